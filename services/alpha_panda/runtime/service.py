"""A service's life: topics, lease, start, consuming, graceful stop; or death, which commits nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import structlog

from alpha_panda.contracts.status_details import MANIFESTS
from alpha_panda.contracts.stored import ServiceStatus
from alpha_panda.contracts.topics import TopicSpec
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.errors import (
    AlphaPandaError,
    MisuseError,
    ProcessMustExitError,
    RecordError,
    StrategyError,
    TransientError,
)
from alpha_panda.ports import Consumer, Producer, Record
from alpha_panda.runtime.breaker import Breakers, Circuit
from alpha_panda.runtime.consume import ConsumeLoop, Consumption, LoopTools
from alpha_panda.runtime.context import ServiceContext
from alpha_panda.runtime.counters import Counters, ServiceState
from alpha_panda.runtime.dead_letter import DeadLetters, Failure, dead_letter_topics
from alpha_panda.runtime.health import ClockTerms, HealthChecks, Need
from alpha_panda.runtime.lease import LeaseKeeper
from alpha_panda.runtime.logging import log_fields
from alpha_panda.runtime.metrics.catalogue import CLOCK_OFFSET, PROGRESS_AGE, SERVICE_READY, SERVICE_START
from alpha_panda.runtime.metrics.input import InputFigures
from alpha_panda.runtime.metrics.metrics import Reader, Reading, seconds_between
from alpha_panda.runtime.metrics.service import ServiceMetrics
from alpha_panda.runtime.reading import RecordReader
from alpha_panda.runtime.retry import RetryPolicies
from alpha_panda.runtime.tasks import Crew, Runner, current_runner, intake

log = structlog.get_logger()

T = TypeVar("T")
Action = Callable[[], Awaitable[None]]
Detail = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Periodic:
    """One `StreamServiceBuilder.every`."""

    seconds: float
    action: Action
    name: str


@dataclass(frozen=True, slots=True)
class LeaseWish:
    """One `StreamServiceBuilder.with_lease`."""

    name: str
    on_acquired: Callable[[int], Awaitable[None]] | None


@dataclass(frozen=True, slots=True)
class OwnRunner:
    """One `StreamServiceBuilder.consume_with`."""

    name: str
    work: Callable[[Producer], Awaitable[None]]
    tells_reading: bool


@dataclass(slots=True)
class ServicePlan:
    """What the builder has collected."""

    consumptions: list[Consumption] = field(default_factory=list)
    runners: list[OwnRunner] = field(default_factory=list)
    periodic: list[Periodic] = field(default_factory=list)
    on_start: list[Action] = field(default_factory=list)
    on_stop: list[Action] = field(default_factory=list)
    topics: list[TopicSpec] = field(default_factory=list)
    lease: LeaseWish | None = None
    details: list[Callable[[], Mapping[str, Detail]]] = field(default_factory=list)
    log_fields: dict[str, str] = field(default_factory=dict)
    needs: dict[str, Need] = field(default_factory=dict)
    figures: list[Reader] = field(default_factory=list)


class StreamService:
    """One service, built once and run once; `StreamServiceBuilder` makes it.

    `ready` is set when start is over and consuming has begun: all consumers are assigned and at their place.
    """

    def __init__(self, name: str, context: ServiceContext, plan: ServicePlan) -> None:
        settings, clock = context.settings, context.ports.clock
        self.name = name
        self.resource = context.resource
        self.ready = asyncio.Event()
        self.metrics = context.metrics
        self._figures = ServiceMetrics(context.metrics, name)
        self.counters = Counters(on_error=self._figures.failed)
        self.policies = RetryPolicies.from_settings(settings)
        self.breakers = Breakers(clock, settings.breaker_failure_threshold, settings.breaker_reset_seconds)
        self._context = context
        self._plan = plan
        self._settings = settings
        self._clock = clock
        self._crew = Crew(settings.drain_timeout_seconds)
        self._state = ServiceState.CREATED
        self._started_at = clock.now()
        self._progressed_at = clock.monotonic()
        self._input = InputFigures(name)
        self._ended = asyncio.Event()
        self._producer: Producer | None = None
        self._dead_letters: DeadLetters | None = None
        self._consumers: dict[str, Consumer] = {}
        self._keeper = self._make_keeper()
        self._checks = HealthChecks(
            clock,
            ClockTerms(settings.clock_skew_max_ms, settings.probe_seconds),
            context.ports.probes,
            plan.needs,
        )
        self._not_reading = sum(own.tells_reading for own in plan.runners)

    def _make_keeper(self) -> LeaseKeeper | None:
        wish, context = self._plan.lease, self._context
        if wish is None:
            return None
        return LeaseKeeper(context.ports.lease, self._clock, wish.name, context.instance, self._settings)

    # --------------------------------------------------------------------------------------------------- run

    async def run(self) -> None:
        """Run until `stop` or an error. Cancellation is a kill: nothing is flushed or committed.

        Raises:
            FencedError: the lease went to somebody else.
            AlphaPandaError: whatever start, a handler (ProcessMustExitError) or a task ended with.

        """
        if self._state is not ServiceState.CREATED:
            raise MisuseError(f"{self.name} has been run before; build a new one")
        readers = (self._read_figures, *self._plan.figures)
        for reader in readers:
            self.metrics.at_scrape(reader)
        with log_fields(**self._log_fields()):
            try:
                await self._live()
            except asyncio.CancelledError:
                self._state = ServiceState.KILLED
                log.info("service killed")
                raise
            except BaseException as error:
                self._state = ServiceState.FAILED
                self._log_failure(error)
                if isinstance(error, StrategyError):  # what users' code raised is in no other status
                    await self._put_status()
                raise
            else:
                self._state = ServiceState.STOPPED
                log.info("service stopped", processed=self.counters.processed, errors=self.counters.errors)
            finally:
                for reader in readers:
                    self.metrics.forget(reader)
                self._ended.set()

    async def stop(self) -> None:
        """Stop gracefully: no more input, finish what is in hand, `on_stop`, commit, leave.

        Returns when the service has ended, at the latest `drain_timeout_seconds` (and the closing of its
        connections) after the first call. What took longer was cut off uncommitted, and `on_stop` was left out.
        """
        never_ran = self._state is ServiceState.CREATED
        self._crew.request_stop()
        if not never_ran:
            await self._ended.wait()

    def _log_failure(self, error: BaseException) -> None:
        # Being fenced is ordinary and says all in its message; anything else deserves its traceback.
        trace = None if isinstance(error, ProcessMustExitError) else error
        log.error("service failed", error=repr(error), exc_info=trace)

    def _log_fields(self) -> dict[str, str]:
        fixed = {"service_name": self.name, "resource": self.resource, "instance": self._context.instance}
        return {**fixed, **self._plan.log_fields}

    async def _live(self) -> None:
        self._state = ServiceState.STARTING
        if self.stopping:
            return
        async with AsyncExitStack() as stack:
            client = f"{self.name}-{self._context.instance}"
            self._producer = await stack.enter_async_context(self._context.ports.bus.producer(client))
            self._dead_letters = DeadLetters(self._producer, self.name)
            stack.push_async_callback(self._crew.close)
            self._crew.add_background(Runner("status", self._report, gated=False))
            if not self._clock.virtual:
                self._crew.add_background(Runner("health", self._keep_asking, gated=False))
                self._crew.add_background(Runner("lag", self._keep_measuring, gated=False))
            if await self._step("prepare", self._prepare) and await self._step("start", self._start):
                clean = await self._crew.serve(await self._runners(stack, self._producer))
                await self._finish(clean=clean)
        if self._keeper is not None:
            await self._keeper.release()

    async def _step(self, name: str, work: Action) -> bool:
        return await self._crew.complete(Runner(name, work, gated=True), stoppable=True)

    async def _prepare(self) -> None:
        await self._context.ports.bus.ensure_topics(self._topics())
        if self._keeper is not None:
            self._state = ServiceState.WAITING
            await self._keeper.acquire()
            self._state = ServiceState.STARTING
            self._crew.add_background(Runner("lease", self._keeper.keep, gated=False))

    async def _start(self) -> None:
        wish = self._plan.lease
        if self._keeper is not None and wish is not None and wish.on_acquired is not None:
            await wish.on_acquired(self._keeper.epoch)
        for action in self._plan.on_start:
            await action()

    def _topics(self) -> list[TopicSpec]:
        consumed: list[str] = []
        for what in self._plan.consumptions:
            consumed += what.subscription.topics
            consumed += (partition.topic for partition in what.subscription.partitions)
        self._figures.expect(consumed)
        return list(dict.fromkeys([*self._plan.topics, *dead_letter_topics(consumed)]))

    async def _runners(self, stack: AsyncExitStack, producer: Producer) -> list[Runner]:
        """Open the consumers (only now: a member that does not read yet would hold up its partitions)."""
        runners = []
        for what in self._plan.consumptions:
            consumer = await stack.enter_async_context(self._context.ports.bus.consumer(what.subscription))
            loop = ConsumeLoop(what, consumer, self._tools())
            self._input.add_loop(loop)
            self._consumers[what.subscription.group] = consumer
            runners.append(Runner(f"consume {what.subscription.group}", loop.run, gated=True))
        runners += [Runner(own.name, partial(own.work, producer), gated=False) for own in self._plan.runners]
        runners += [
            Runner(item.name, partial(self._repeat, item), gated=True) for item in self._plan.periodic
        ]
        self._state = ServiceState.RUNNING
        self._note_progress()
        if not self._not_reading:
            self.ready.set()
        log.info("service running")
        await self._put_status()
        return runners

    def _tools(self) -> LoopTools:
        return LoopTools(
            bus=self._context.ports.bus,
            clock=self._clock,
            policies=self.policies,
            circuit=Circuit(self.breakers),
            dead_letters=self._letters(),
            counters=self.counters,
            salt=self._context.instance,
            poll_seconds=self._settings.poll_seconds,
            stall_seconds=self._settings.stall_seconds,
            metrics=self._figures,
            progressed=self._note_progress,
        )

    async def _finish(self, *, clean: bool) -> None:
        self._state = ServiceState.STOPPING
        clean = clean and await self._crew.complete(
            Runner("on_stop", self._run_on_stop, gated=True), stoppable=False
        )
        if not clean:
            log.warning(
                "drain timed out; the rest is left uncommitted", seconds=self._settings.drain_timeout_seconds
            )

    async def _run_on_stop(self) -> None:
        for action in self._plan.on_stop:
            await action()

    async def _repeat(self, item: Periodic) -> None:
        """Run a periodic action; a failure is logged and counted, the next turn is its retry.

        Errors that nobody foresaw end the service when they come `retry_unexpected_attempts` times in a row.
        """
        unexpected = 0
        ticks = aiter(self._clock.every(item.seconds))
        while True:
            await intake(anext(ticks))
            try:
                await item.action()
            except (TransientError, RecordError) as error:
                self.counters.failed(error)
                log.warning("periodic action failed", action=item.name, error=str(error))
            except ProcessMustExitError:
                raise
            except Exception as error:
                self.counters.failed(error)
                unexpected += 1
                if unexpected >= self.policies.unexpected_attempts:
                    raise
                log.exception("periodic action failed", action=item.name)
            else:
                unexpected = 0

    # ------------------------------------------------------------------------------------ for the service's code

    @property
    def producer(self) -> Producer:
        """The service's producer, from `on_start` on."""
        if self._producer is None:
            raise MisuseError(f"{self.name} is not running yet: its producer exists from on_start on")
        return self._producer

    @property
    def stopping(self) -> bool:
        """Whether a graceful stop has been asked for."""
        return self._crew.stop_requested.is_set()

    async def intake(self, awaitable: Awaitable[T]) -> T:
        """Wait for input in a runner of the service's own.

        A graceful stop then interrupts the runner only here, by CancelledError, and never between; a runner that
        does not use this is cancelled wherever it is.
        """
        return await intake(awaitable)

    def reading(self) -> None:
        """Say that a runner's own consumer is assigned and at its place; `ready` waits for all that promised this.

        Each such runner (`consume_with`, `tells_reading`) calls it once.
        """
        if not self._not_reading:
            raise MisuseError(f"{self.name}: no runner is left that promised to tell when it reads")
        self._not_reading -= 1
        if not self._not_reading:
            self.ready.set()

    async def tell_status(self) -> None:
        """Write the status now: something has changed that nobody should wait for until the next one is due."""
        await self._put_status()

    async def dead_letter(self, record: Record, error: Exception, attempts: int = 1) -> None:
        """Set a record aside from a runner of the service's own; commit it only after this has returned.

        Raises:
            DependencyUnavailableError: not acknowledged.

        """
        failure = Failure.of(error, attempts)
        log.error("record set aside", record=record.id, code=failure.code.value, message=failure.message)
        await self._letters().put(record, failure)
        self.counters.dead_lettered += 1
        self._figures.dead_lettered(record.topic, failure.code)

    def _letters(self) -> DeadLetters:
        if self._dead_letters is None:
            raise MisuseError(f"{self.name} is not running yet")
        return self._dead_letters

    def reader(self, consumer: Consumer) -> RecordReader:
        """Return how a runner of the service's own reads its consumer: as input, and not stuck without a word."""
        settings, bus = self._settings, self._context.ports.bus
        waits = (settings.poll_seconds, settings.stall_seconds)
        reader = RecordReader(consumer, bus, self._clock, *waits, self._note_progress)
        self._input.add(reader)
        self._figures.expect({partition.topic for partition in consumer.assignment()})
        return reader

    def progressed(self) -> None:
        """Say from a runner that its work goes on: one piece that takes longer than `stall_seconds` is a fault."""
        self._note_progress()
        runner = current_runner()
        if runner is not None:
            runner.progressed()

    def record_processed(self, n: int, event_ts: int) -> None:
        """Count `n` records handled, the newest of `event_ts` (UTC ns). Handlers and runners call it: they know the unit."""
        self._note_progress()
        self.counters.record_processed(n, event_ts)

    def record_error(self, error: BaseException | None = None) -> None:
        """Count a failed attempt. `consume` and `every` count by themselves."""
        self.counters.failed(error)

    def _note_progress(self) -> None:
        self._progressed_at = self._clock.monotonic()

    # ------------------------------------------------------------------------------------------------ health

    async def _keep_asking(self) -> None:
        await self._checks.ask()
        async for _ in self._clock.every(self._settings.probe_seconds):
            await self._checks.ask()

    def not_ready_because(self) -> list[str]:
        """Return why the service is not ready, a line each; empty: it is."""
        if self._state is not ServiceState.RUNNING or self.stopping:
            return [f"{self.name} is {self._shown_state()}"]
        reasons = [] if self.ready.is_set() else [f"{self.name} does not read yet"]
        joining = (group for group, consumer in self._consumers.items() if not consumer.joined())
        reasons += [f"{self.name}: group {group} has not assigned partitions yet" for group in joining]
        return [*reasons, *self._checks.reasons()]

    def stuck(self) -> list[str]:
        """Return the tasks that have been at one piece of work for longer than `stall_seconds`; empty: alive."""
        limit = self._settings.stall_seconds
        busy = ((runner.name, runner.busy_seconds()) for runner in self._crew.present)
        return [
            f"{self.name}: {name!r} busy for {seconds:.0f} s" for name, seconds in busy if seconds > limit
        ]

    # ----------------------------------------------------------------------------------------------- figures

    async def _keep_measuring(self) -> None:
        """Ask, as often as the status is written, how far behind the service's consumers are."""
        async for _ in self._clock.every(self._settings.status_interval_seconds):
            try:
                await self._input.measure()
            except AlphaPandaError as error:
                log.info("lag not measured", error=str(error))

    def _read_figures(self) -> Iterator[Reading]:
        """Return at a scrape what is the same for every service."""
        own = (self.name,)
        yield Reading(SERVICE_READY, own, not self.not_ready_because())
        yield Reading(SERVICE_START, own, self._started_at / SECOND_NS)
        if self._state is ServiceState.RUNNING and self._input.any:
            age = seconds_between(self._progressed_at, self._clock.monotonic())
            yield Reading(PROGRESS_AGE, own, age)
        if self._checks.clock_offset_ms is not None:
            yield Reading(CLOCK_OFFSET, own, self._checks.clock_offset_ms / 1000)
        yield from self._figures.breakers(self.breakers.states())
        yield from self._input.read()

    # ------------------------------------------------------------------------------------------------ status

    def get_status(self) -> ServiceStatus:
        """Return what the service is doing; the same for every service, plus its own details."""
        details: dict[str, Detail] = {}
        for name, state in self.breakers.states().items():
            details[f"breaker.{name}"] = state
        for extra in self._plan.details:
            details.update(extra())
        if self._context.manifests.problem is not None:
            details[MANIFESTS] = self._context.manifests.problem
        return ServiceStatus(
            service=self.name,
            resource=self.resource,
            instance=self._context.instance,
            state=self._shown_state(),
            processed=self.counters.processed,
            errors=self.counters.errors,
            dead_lettered=self.counters.dead_lettered,
            last_event_ts=self.counters.last_event_ts,
            started_at=self._started_at,
            details=details,
        )

    def _shown_state(self) -> str:
        if self._state is ServiceState.RUNNING and self.stopping:
            return ServiceState.STOPPING.value
        return self._state.value

    async def _report(self) -> None:
        await self._put_status()
        async for _ in self._clock.every(self._settings.status_interval_seconds):
            await self._put_status()

    async def _put_status(self) -> None:
        """Write the status; that it can't be written must not stop the service it speaks of."""
        try:
            await self._context.ports.statuses.put(self.get_status(), self._settings.status_ttl_seconds)
        except Exception as error:  # noqa: BLE001 - logged and counted; it expires, which is seen
            self.counters.failed(error)
            log.warning("status not written", error=repr(error))
