"""A whole platform in one process, from the manifests: what `alpha-panda run` runs."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import BinaryIO

import structlog

from alpha_panda.adapters.clock import RealClock
from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.adapters.memory.loop import IdleAwareEventLoop
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.contracts.manifests import ResourceSet, check_embedded
from alpha_panda.errors import DependencyUnavailableError, ManifestError, StrategyError
from alpha_panda.ports import Clock
from alpha_panda.runtime.context import Ports, ServiceContext
from alpha_panda.runtime.control_writer import ControlWriter
from alpha_panda.runtime.listing import ListedManifests
from alpha_panda.runtime.metrics.metrics import Metrics
from alpha_panda.runtime.registry import ServiceDefinition, find_services
from alpha_panda.runtime.settings import Settings
from alpha_panda.runtime.supervisor import Supervisor
from alpha_panda.runtime.tracing.tracing import NO_TRACING, Tracing
from alpha_panda.runtime.venues import rules_of

from .health_server import answering_probes
from .instruments import BUILT_OF_THEM, feed_of, list_at_start, needed_of, usable
from .lister import Lister
from .metrics_server import answering_scrapes
from .ports import memory_ports, with_manifests
from .recorder import Recorder
from .safety import refuse_live_in_memory
from .sources import first_ts, source_faults
from .summary import RunSummary, summarize
from .tail import Tail, topics_of
from .tracing import tracing_to
from .traders import has_live_accounts
from .transports import connected, has_transports, process_name

log = structlog.get_logger()

FEED = "market-feed"
LAST_TO_STOP = "risk"


@dataclass(frozen=True, slots=True)
class RunOptions:
    """What `run` was asked: `duration` is wall time in seconds."""

    duration: float | None = None
    max_ticks: int | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """One service of the run: its definition and the name (or names) of what it serves."""

    definition: ServiceDefinition
    resource: str
    replica: int = 0

    @property
    def name(self) -> str:
        """Unique name within the run."""
        suffix = f"-{self.replica}" if self.definition.replicas > 1 else ""
        return f"{self.definition.name}/{self.resource}{suffix}"


Wiring = Callable[[Member, Ports], Ports]
"""Exchanges ports of a member, e.g. its source or its trader: how a test harness puts its own in."""


def needs_virtual_time(resources: ResourceSet) -> bool:
    """Whether the feeds drive the time (they all do, or none: `check_embedded`)."""
    return any(feed.virtual_time for feed in resources.feeds.values())


def check(resources: ResourceSet, settings: Settings) -> None:
    """Refuse what can't be run, before anything starts.

    Raises:
        ManifestError: with all faults found, files of prices that can't be read among them.
        SettingsError: a live account's journal would be this process's memory: said before anybody is asked for a word.

    """
    check_embedded(resources)
    faults = [
        fault
        for feed in resources.feeds.values()
        for fault in source_faults(feed, resources, settings, RealClock())
    ]
    if faults:
        raise ManifestError(faults)
    if not has_transports(settings):
        refuse_live_in_memory(resources, settings)


def calendar_warnings(resources: ResourceSet, now: int) -> list[str]:
    """Return a line for each feed on the wall clock whose calendar's data end soon after `now` (UTC ns).

    A feed that drives the time itself has a present of its own; risk looks at that.
    """
    paced = (feed for feed in resources.feeds.values() if not feed.virtual_time)
    found = ((feed.name, rules_of(feed).expiry_warning(now)) for feed in paced)
    return [f"MarketFeed/{name}: {warning}" for name, warning in found if warning is not None]


def make_clock(resources: ResourceSet, settings: Settings) -> Clock:
    """Return the run's clock: a virtual one begins when the first row becomes known."""
    if not needs_virtual_time(resources):
        return RealClock()
    real = RealClock()
    return VirtualClock(min(first_ts(feed, resources, settings, real) for feed in resources.feeds.values()))


def members(resources: ResourceSet) -> list[Member]:
    """Return the services of the run, in the order of starting: who follows before who sends, feeds last.

    Strategies of one feed share a runner: a tick is decoded once, whatever their number.
    """
    definitions = sorted(find_services().values(), key=lambda item: (item.start_order, item.name))
    found: list[Member] = []
    for definition in definitions:
        for resource in _resources_of(definition, resources):
            found += [Member(definition, resource, replica) for replica in range(definition.replicas)]
    return found


def _resources_of(definition: ServiceDefinition, resources: ResourceSet) -> Sequence[str]:
    if definition.kind == "MarketFeed":
        return tuple(resources.feeds)
    if definition.kind == "BrokerAccount":
        return tuple(resources.accounts)
    hosted = (resources.strategies_of_feed(feed) for feed in resources.feeds)
    return tuple(",".join(strategy.name for strategy in strategies) for strategies in hosted if strategies)


class EmbeddedRun:
    """One run: builds everything on its event loop, runs until it ends, drains, sums up."""

    def __init__(  # noqa: PLR0913 - the last ones are for test harnesses, by keyword
        self,
        resources: ResourceSet,
        settings: Settings,
        options: RunOptions,
        events_file: BinaryIO | None = None,
        *,
        clock: Clock | None = None,
        wire: Wiring | None = None,
        transports: Ports | None = None,
        metrics: Metrics | None = None,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        """`transports`: the bus and the stores, where they are not of this process; then the time is the wall clock's."""
        self.resources = resources
        self.listed = ListedManifests(resources)
        self.settings = settings
        self.options = options
        self.failures: list[str] = []
        self._stop = asyncio.Event()
        self.recorder = Recorder(events_file, on_write_error=self._stop.set)
        self._wire = wire
        self._transports = transports
        if transports is not None:
            self.clock = transports.clock
            self.ports = with_manifests(
                transports,
                resources,
                settings,
                seed=options.seed,
                max_ticks=options.max_ticks,
                on_source_end=self._source_ended,
                manifests=self.listed,
            )
        else:
            self.clock = make_clock(resources, settings) if clock is None else clock
            self.bus, self.ports = memory_ports(
                resources,
                settings,
                self.clock,
                seed=options.seed,
                max_ticks=options.max_ticks,
                on_source_end=self._source_ended,
                manifests=self.listed,
            )
            self.ports = replace(self.ports, operated=False)
        self.metrics = metrics or Metrics()
        self._tracing = tracing
        self.supervisor = Supervisor(self.clock, settings)
        self.members = members(resources)
        self._open_feeds = set(resources.feeds)
        self._add_members()

    @asynccontextmanager
    async def _watched(self) -> AsyncIterator[None]:
        """Show the recorder every record from now on."""
        if self._transports is not None:
            tail = Tail(self.ports.bus, self.recorder, self.settings)
            async with tail.following(topics_of(self.resources, self.settings)):
                yield
            return
        unobserve = self.bus.observe(self.recorder)
        try:
            yield
        finally:
            unobserve()

    def _add_members(self) -> None:
        before: list[str] = []
        for member in self.members:
            context = self.context_of(member)
            self.supervisor.add(member.name, partial(member.definition.build, context), after=tuple(before))
            before.append(member.name)

    def context_of(self, member: Member) -> ServiceContext:
        """Return what the member's `build` gets."""
        return ServiceContext(
            settings=self.settings,
            ports=self._ports_of(member),
            manifests=self.listed,
            resource=member.resource,
            instance=self._instance(member),
            on_strategy_stopped=self._strategy_stopped,
            metrics=self.metrics,
            tracing=self._tracing,
        )

    def _instance(self, member: Member) -> str:
        """Return a name that no other process has, where others may share the stores: leases are held under it."""
        name = member.name.replace("/", "-")
        return name if self._transports is None else f"{name}-{process_name()}"

    def _ports_of(self, member: Member) -> Ports:
        """Return the ports with an id series of the member's own: services don't disturb each other's ids."""
        ports = replace(self.ports, ids=self.ports.ids.child(member.name))
        return ports if self._wire is None else self._wire(member, ports)

    # ------------------------------------------------------------------------------------------- running

    async def run(self) -> RunSummary:
        """Run until the sources end, the duration or the tick budget is spent, or `request_stop`; then drain.

        Raises:
            UserInputError: before anything has started: a symbol that its broker doesn't list.
            AlphaPandaError: what a service was given up with, or is down with at the end, after the others have
                stopped; or the events file could not be written.

        """
        begun = asyncio.get_running_loop().time()
        try:
            listers = await list_at_start(self.resources, self.listed, self.ports, self.settings)
            async with self._watched(), self._kept_listed(listers):
                await self._serve()
        finally:
            if self.ports.close is not None:
                await self.ports.close()
        for error in self.supervisor.down.values():
            raise error
        self._close_events()
        return summarize(self.recorder, asyncio.get_running_loop().time() - begun, self.failures)

    async def _serve(self) -> None:
        control = ControlWriter(
            self.ports.control,
            self.clock,
            self.resources,
            self.settings.control_ttl_seconds,
            self.settings.control_renew_seconds,
        )
        await control.write()
        renewing = asyncio.create_task(control.run(), name="control")
        supervising = asyncio.create_task(self.supervisor.run(), name="supervisor")
        try:
            await self._until_end(supervising)
            if supervising.done():
                await supervising
            await self._drain()
            await supervising
        finally:
            await _cancel(renewing, supervising)

    @asynccontextmanager
    async def _kept_listed(self, listers: Sequence[Lister]) -> AsyncIterator[None]:
        """Ask brokers' lists each day; what was built of instruments that have changed is built anew."""
        if not listers:
            yield
            return
        tasks = [asyncio.create_task(lister.run(), name="lister") for lister in listers]
        tasks.append(asyncio.create_task(self._renew_changed(), name="instruments"))
        try:
            yield
        finally:
            await _cancel(*tasks)

    async def _renew_changed(self) -> None:
        built = {member: self._instruments_of(member) for member in self.members}
        async for _ in self.clock.every(self.settings.instruments_poll_seconds):
            for member, before in built.items():
                now = self._instruments_of(member)
                if now is not None and now != before:
                    log.warning("instruments_changed", service_name=member.name)
                    built[member] = now
                    await self.supervisor.renew(member.name)

    def _instruments_of(self, member: Member) -> tuple[Instrument, ...] | None:
        """Return what the member was built of, if that can change; None too while something of it can't be used."""
        if member.definition.name not in BUILT_OF_THEM:
            return None
        kind = member.definition.kind
        feed = feed_of(member.definition.name, kind, member.resource, self.resources)
        return usable(self.listed, feed, needed_of(kind, member.resource, self.resources)) if feed else None

    def request_stop(self) -> None:
        """End the run: drain and sum up."""
        self._stop.set()

    def _close_events(self) -> None:
        self.recorder.flush()
        error = self.recorder.write_error
        if error is not None:
            raise DependencyUnavailableError("events file", error.strerror or str(error)) from error

    def _strategy_stopped(self, error: StrategyError) -> None:
        self.failures.append(f"{error}{error.place}")

    def _source_ended(self, feed: str) -> None:
        self._open_feeds.discard(feed)
        if not self._open_feeds:
            self._stop.set()

    async def _until_end(self, supervising: "asyncio.Task[None]") -> None:
        """Wait for the end of the run, or of the supervisor (a service was given up)."""
        stopping = asyncio.create_task(self._stop.wait())
        timer = None
        if self.options.duration is not None:
            timer = asyncio.get_running_loop().call_later(self.options.duration, self._stop.set)
        try:
            await asyncio.wait({stopping, supervising}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopping.cancel()
            if timer is not None:
                timer.cancel()

    async def _drain(self) -> None:
        """Stop the feeds, let everything in flight come to its end, then stop the rest, the book-keeper last."""
        for name in [member.name for member in self.members if member.definition.name == FEED]:
            await self.supervisor.hold(name)  # also when the end came before its turn to start
        await self._quiet()
        order = sorted(
            self.members,
            key=lambda member: (member.definition.name == LAST_TO_STOP, -member.definition.start_order),
        )
        await self.supervisor.stop([member.name for member in order])

    async def _quiet(self) -> None:
        """Return when no record has been appended for a while (at once on virtual time), or time is up."""
        quiet, left = self.settings.drain_quiet_seconds, self.settings.drain_timeout_seconds
        seen = -1
        while seen != self.recorder.records and left > 0:
            seen = self.recorder.records
            await self.clock.sleep(quiet)
            left -= quiet


async def _cancel(*tasks: "asyncio.Task[None]") -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


Beside = Callable[[EmbeddedRun], Coroutine[None, None, None]]


def run_embedded(
    resources: ResourceSet,
    settings: Settings,
    options: RunOptions,
    *,
    events_file: BinaryIO | None = None,
    beside: Beside | None = None,
) -> RunSummary:
    """Run to the end and return the summary. `beside` runs beside it (the live view, signal handlers).

    Over the settings' transports, where they name some; then a replay runs on the wall clock too.
    """
    if has_transports(settings):
        return asyncio.run(_run_connected(resources, settings, options, events_file, beside))
    refuse_live_in_memory(resources, settings)
    loop_factory = IdleAwareEventLoop if needs_virtual_time(resources) else None
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(_run(resources, settings, options, events_file, beside))


async def _run_connected(
    resources: ResourceSet,
    settings: Settings,
    options: RunOptions,
    events_file: BinaryIO | None,
    beside: Beside | None,
) -> RunSummary:
    async with connected(settings, RealClock(), live=has_live_accounts(resources)) as transports:
        return await _run(resources, settings, options, events_file, beside, transports)


async def _run(  # noqa: PLR0913, PLR0917 - a run's parts, handed on
    resources: ResourceSet,
    settings: Settings,
    options: RunOptions,
    events_file: BinaryIO | None,
    beside: Beside | None,
    transports: Ports | None = None,
) -> RunSummary:
    metrics = Metrics()
    with tracing_to(settings, metrics) as tracing:
        run = EmbeddedRun(
            resources,
            settings,
            options,
            events_file,
            transports=transports,
            metrics=metrics,
            tracing=tracing,
        )
        company = asyncio.create_task(beside(run)) if beside is not None else None
        try:
            services = run.supervisor
            async with (
                answering_probes(lambda: services.services.values(), settings),  # noqa: PLW0108 - they change
                answering_scrapes(metrics, settings),
            ):
                return await run.run()
        finally:
            if company is not None:
                await _cancel(company)
