"""One service as a process of its own: what a pod runs, and `python -m alpha_panda.<service>`."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import structlog

from alpha_panda.adapters.clock import RealClock
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.status_details import PROBLEM, Detail, RunnerFigures
from alpha_panda.contracts.units import nanoseconds
from alpha_panda.errors import (
    SettingsError,
    StrategyError,
    TransientError,
    UnknownOutcomeError,
    UserInputError,
)
from alpha_panda.ports import Clock, Producer
from alpha_panda.runtime.builder import StreamServiceBuilder
from alpha_panda.runtime.context import Ports, ServiceContext
from alpha_panda.runtime.control_writer import ControlWriter
from alpha_panda.runtime.listing import ListedManifests
from alpha_panda.runtime.logging import configure_logging
from alpha_panda.runtime.manifests import Manifests
from alpha_panda.runtime.metrics.metrics import Metrics
from alpha_panda.runtime.registry import ServiceDefinition, find_services
from alpha_panda.runtime.retry import Backoff
from alpha_panda.runtime.service import StreamService
from alpha_panda.runtime.settings import Settings, env_name
from alpha_panda.runtime.tasks import intake

from .health_server import answering_probes
from .instruments import Instruments
from .live_manifests import MAX_PROBLEM, LiveManifests
from .metrics_server import answering_scrapes
from .ports import memory_ports, with_manifests
from .refusals import refused, stopped
from .safety import refuse_live_in_memory
from .tracing import tracing_to
from .traders import has_live_accounts
from .transports import connected, has_transports, process_name

log = structlog.get_logger()

Read = Callable[[Sequence[Path], bool], ResourceSet]
"""Reads manifests; with True their strategies' parameters are checked by their own models."""

STRATEGY: Final = "Strategy"
"""Kind whose services run users' code."""


def _as_they_are(ports: Ports) -> Ports:
    return ports


def run_service(
    name: str,
    resources: ResourceSet,
    resource: str,
    settings: Settings,
    *,
    wire: Callable[[Ports], Ports] = _as_they_are,
) -> None:
    """Run one service until SIGTERM or SIGINT; UserInputError for a name or resource that doesn't exist.

    `wire` may replace ports before the service gets them. The resources stay what they are: see `run_pod`.
    """
    definition = _definition(name)
    served = _served(definition, resources, resource)
    configure_logging(settings)

    async def main() -> None:
        listed = ListedManifests(resources)
        metrics = Metrics()
        with tracing_to(settings, metrics) as tracing:
            async with service_ports(resources, settings, listed) as ports:
                context = ServiceContext(
                    settings,
                    wire(ports),
                    listed,
                    served,
                    process_name(),
                    metrics=metrics,
                    tracing=tracing,
                )
                while await _serve_listed(definition, context, resources, listed, lambda _: None):
                    pass

    asyncio.run(main())


def run_pod(name: str, paths: Sequence[Path], resource: str, settings: Settings, *, read: Read) -> None:
    """Run one service of the manifests at `paths` until SIGTERM or SIGINT, and follow what changes in them.

    `read(paths, own)` reads them: `own` is whether the service runs the strategies' code, so that their parameters
    are to be checked. A strategy that can't be run as its manifest is (class, parameters, instruments; or its code
    raises as it starts) ends no process: the status says so, it is not ready, and waits until the manifest changes.

    Raises:
        UserInputError: there is no such service or resource; of other services, the manifests are wrong.

    """
    definition = _definition(name)
    kind, _, wanted = resource.partition("/")
    if kind != definition.kind or not wanted:
        _served(definition, read(paths, False), resource)  # raises, and names what there is
    configure_logging(settings)
    manifests = LiveManifests(paths, lambda: read(paths, definition.kind == STRATEGY), resource)
    asyncio.run(_pod(definition, manifests, resource, settings))


async def _pod(
    definition: ServiceDefinition, manifests: LiveManifests, resource: str, settings: Settings
) -> None:
    backoff = Backoff(settings.restart_initial_seconds, settings.restart_max_seconds)
    clock, failures = RealClock(), 0
    while True:
        began = clock.monotonic()
        try:
            outcome = await _run_once(definition, manifests, resource, settings)
        except (TransientError, UnknownOutcomeError) as error:
            if clock.monotonic() - began > nanoseconds(settings.restart_max_seconds):
                failures = 0
            failures += 1
            if await _signalled_within(backoff.delay(failures, process_name()), definition, settings, error):
                return
            continue
        failures = 0
        if outcome is True:
            continue
        if not outcome or await _refused(definition, manifests, resource, settings, outcome):
            return


async def _signalled_within(
    seconds: float, definition: ServiceDefinition, settings: Settings, error: Exception
) -> bool:
    """Wait before a dependency is tried anew, answering probes; say whether a signal came meanwhile.

    All is claimed anew then, as by a new process; a process that ended would be begun again by a kubelet whose waits
    grow to five minutes, long after the dependency is back.
    """
    log.error("begins anew", service_name=definition.name, seconds=round(seconds, 3), error=str(error))
    signalled = asyncio.Event()

    async def stop() -> None:
        signalled.set()

    stopping = asyncio.create_task(_on_signal(stop))
    try:
        async with answering_probes(tuple, settings):
            with suppress(TimeoutError):
                await asyncio.wait_for(signalled.wait(), seconds)
    finally:
        stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)
    return signalled.is_set()


async def _run_once(
    definition: ServiceDefinition, manifests: LiveManifests, resource: str, settings: Settings
) -> RunnerFigures | bool:
    """Run the service to its end; return why it can't be run, if a person has to put that right in its manifest.

    Else whether it is to be run again, as instruments have changed under it.
    """
    service: StreamService | None = None

    def begun(made: StreamService) -> None:
        nonlocal service
        service = made

    try:
        manifests.begin()
        listed = ListedManifests(manifests)
        served = _served(definition, manifests.resources, resource)
        metrics = Metrics()
        with tracing_to(settings, metrics) as tracing:
            async with service_ports(manifests.resources, settings, listed) as ports:
                context = ServiceContext(
                    settings,
                    ports,
                    listed,
                    served,
                    process_name(),
                    metrics=metrics,
                    tracing=tracing,
                )
                async with _following(manifests, ports.clock, settings):
                    return await _serve_listed(definition, context, manifests, listed, begun)
    except SettingsError:
        raise
    except UserInputError as error:
        if definition.kind != STRATEGY:
            raise
        return refused(error)
    except StrategyError as error:
        if service is not None and service.ready.is_set():
            raise  # it ran: a new start may go on where it was
        return stopped(error)


async def _serve_listed(
    definition: ServiceDefinition,
    context: ServiceContext,
    plain: Manifests,
    listed: ListedManifests,
    begun: Callable[[StreamService], None],
) -> bool:
    """Run the service to its end, once its feed's symbols are known; return whether it is to be built anew.

    Until then it is not ready, and says why. `begun` is told of the service.
    """
    async with Instruments(definition.name, definition.kind, context, plain, listed) as instruments:
        await instruments.look()
        if instruments.lacking() and await _waited(definition, context, instruments):
            return False
        service = definition.build(context)
        begun(service)
        instruments.watch(service.stop)
        signalled = await _serve(service, context.settings)
        return instruments.changed and not signalled


async def _waited(definition: ServiceDefinition, context: ServiceContext, instruments: Instruments) -> bool:
    """Wait until the feed's symbols are known, or a signal comes: say whether it was that."""
    log.warning("waiting_for_instruments", service_name=definition.name, reason=instruments.lacking())
    idle = _idle_service(
        definition.name, context, instruments.lacking, lambda: {PROBLEM: instruments.lacking()[:MAX_PROBLEM]}
    )

    async def until_known() -> None:
        await instruments.known()
        await idle.stop()

    waiting = asyncio.create_task(until_known())
    try:
        return await _serve(idle, context.settings)
    finally:
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)


async def _refused(
    definition: ServiceDefinition,
    manifests: LiveManifests,
    resource: str,
    settings: Settings,
    refusal: RunnerFigures,
) -> bool:
    """Report the refusal until the manifests change, or a signal comes: say whether it was that."""
    log.error("service refused", service_name=definition.name, resource=resource, reason=refusal.message)
    name = resource.partition("/")[2]
    async with service_ports(ResourceSet(), settings) as ports:
        context = ServiceContext(settings, ports, ResourceSet(), name, process_name())
        why = f"{refusal.state}: {refusal.message}"
        service = _idle_service(definition.name, context, lambda: why, refusal.details)
        changing = asyncio.create_task(_until_changed(manifests, service, settings))
        try:
            return await _serve(service, settings)
        finally:
            changing.cancel()
            await asyncio.gather(changing, return_exceptions=True)


def _idle_service(
    name: str, context: ServiceContext, why: Callable[[], str], details: Callable[[], Mapping[str, Detail]]
) -> StreamService:
    """Return a service that does nothing, is never ready, and says why."""

    async def idle(_: Producer) -> None:
        await intake(asyncio.Event().wait())

    async def lacking() -> str:
        return why() or "about to start"

    builder = StreamServiceBuilder(name, context).consume_with(idle, "idle")
    return builder.needs("manifest", lacking).details(details).build()


async def _until_changed(manifests: LiveManifests, service: StreamService, settings: Settings) -> None:
    """Stop the idle service when what is written has changed: then it is tried again."""
    mark = manifests.mark
    async for _ in RealClock().every(settings.manifests_poll_seconds):
        if manifests.present_mark() != mark:
            await service.stop()
            return


@asynccontextmanager
async def _following(manifests: LiveManifests, clock: Clock, settings: Settings) -> AsyncIterator[None]:
    following = asyncio.create_task(manifests.follow(clock, settings.manifests_poll_seconds))
    try:
        yield
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)


@asynccontextmanager
async def service_ports(
    resources: ResourceSet, settings: Settings, manifests: Manifests | None = None
) -> AsyncIterator[Ports]:
    """Give the ports of one process: over Kafka and Redis if the settings name them, else of this process alone.

    `manifests`: where the resources come from, if they may change.
    """
    clock = RealClock()
    if not has_transports(settings):
        log.warning(
            "in-process transports: no other process sees what this one does",
            set=[env_name("kafka_bootstrap_servers"), env_name("redis_url")],
        )
        refuse_live_in_memory(resources, settings)
        async with _closing(memory_ports(resources, settings, clock, manifests=manifests)[1]) as ports:
            yield ports
        return
    async with connected(settings, clock, live=has_live_accounts(resources)) as transports:
        made = with_manifests(transports, resources, settings, manifests=manifests)
        async with _closing(made) as ports:
            yield ports


@asynccontextmanager
async def _closing(ports: Ports) -> AsyncIterator[Ports]:
    try:
        yield ports
    finally:
        if ports.close is not None:
            await ports.close()


async def _serve(service: StreamService, settings: Settings) -> bool:
    """Run the service to its end; return whether it was a signal that ended it."""
    signalled = asyncio.Event()

    async def stop() -> None:
        signalled.set()
        await service.stop()

    stopping = asyncio.create_task(_on_signal(stop))
    try:
        async with (
            answering_probes(lambda: (service,), settings),
            answering_scrapes(service.metrics, settings),
        ):
            await service.run()
    finally:
        stopping.cancel()
        await asyncio.gather(stopping, return_exceptions=True)
    return signalled.is_set()


def run_control(
    resources: ResourceSet, settings: Settings, *, manifests: LiveManifests | None = None
) -> None:
    """Write and renew the control keys of the manifests until SIGTERM or SIGINT.

    `manifests`: those that the resources were read from, if changes in them are to be followed.
    """
    configure_logging(settings)

    async def main() -> None:
        async with service_ports(resources, settings) as ports:
            await _control(ports, resources, settings, manifests)

    asyncio.run(main())


async def _control(
    ports: Ports, resources: ResourceSet, settings: Settings, manifests: LiveManifests | None
) -> None:
    writer = ControlWriter(
        ports.control,
        ports.clock,
        manifests or resources,
        settings.control_ttl_seconds,
        settings.control_renew_seconds,
    )
    writing = asyncio.create_task(_write(writer, resources, manifests, ports.clock, settings))

    async def stop() -> None:
        writing.cancel()

    stopping = asyncio.create_task(_on_signal(stop))
    done, _ = await asyncio.wait({writing, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    await asyncio.gather(writing, stopping, return_exceptions=True)
    if writing in done and not writing.cancelled():
        writing.result()


async def _write(
    writer: ControlWriter,
    resources: ResourceSet,
    manifests: LiveManifests | None,
    clock: Clock,
    settings: Settings,
) -> None:
    await asyncio.sleep(0)  # the signal handlers come first: a signal during the first write must not kill
    await writer.write()
    log.info("control keys written", service_name="control", resources=len(resources))
    if manifests is None:
        await writer.run()
        return
    async with asyncio.TaskGroup() as group:
        group.create_task(writer.run())
        group.create_task(
            manifests.follow(clock, settings.manifests_poll_seconds, on_change=writer.write_if_answered)
        )


def _definition(name: str) -> ServiceDefinition:
    services = find_services()
    if name not in services:
        raise UserInputError(f"there is no service {name!r}; allowed: {', '.join(services)}")
    return services[name]


def _served(definition: ServiceDefinition, resources: ResourceSet, resource: str) -> str:
    """Return the name in `KIND/NAME` after checking both."""
    kind, _, name = resource.partition("/")
    known = [item.name for item in resources if item.kind == definition.kind]
    if kind != definition.kind or name not in known:
        allowed = (
            ", ".join(f"{definition.kind}/{item}" for item in known)
            or f"no {definition.kind} in the manifests"
        )
        raise UserInputError(
            f"--resource {resource!r} is nothing that {definition.name} serves; allowed: {allowed}"
        )
    return name


async def _on_signal(action: Callable[[], Awaitable[None]]) -> None:
    """Run the action at the first SIGTERM or SIGINT."""
    received = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, received.set)
    try:
        await received.wait()
        await action()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
