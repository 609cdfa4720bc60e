"""The consume loop: fetch, handle, commit; retry by class of error, breaker, dead letters.

Handlers must be idempotent. A record comes again after a kill, a lost commit or a rebalance, and also after a batch
that failed half-way: it is then repeated record by record.

In lanes (`runtime.lanes`) these three go on beside one another; without, a batch is fetched when the last is done.

A handler that calls a broker must not let the call's failure escape: everything here repeats what raised.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from functools import partial

import structlog

from alpha_panda.contracts.codes import Code
from alpha_panda.errors import (
    DependencyUnavailableError,
    MisuseError,
    OffsetOutOfRangeError,
    ProcessMustExitError,
    RebalancedError,
    RecordError,
    TransientError,
)
from alpha_panda.ports import Clock, Consumer, EventBus, Record, Subscription, TopicPartition
from alpha_panda.runtime.breaker import Breakers, Circuit, FreePass
from alpha_panda.runtime.counters import Counters
from alpha_panda.runtime.dead_letter import DeadLetters, Failure
from alpha_panda.runtime.lanes import Lanes
from alpha_panda.runtime.metrics.service import ServiceMetrics
from alpha_panda.runtime.reading import RecordReader
from alpha_panda.runtime.retry import RetryPolicies
from alpha_panda.runtime.tasks import Runner, current_runner, intake

log = structlog.get_logger()

Handler = Callable[[Sequence[Record]], Awaitable[None]]
DeadLetterHook = Callable[[Record, Code, str], Awaitable[None]]


class BreakerAction(Enum):
    """What a consumer does while a dependency's breaker is open.

    PAUSE: wait; what was fetched is kept, and no record is set aside because a dependency is down.
    DEAD_LETTER: records go straight to `.dlq` with BREAKER_OPEN, until a probe passes.
    """

    PAUSE = "pause"
    DEAD_LETTER = "dead-letter"


@dataclass(frozen=True, slots=True)
class Consumption:
    """One `StreamServiceBuilder.consume`; see there."""

    subscription: Subscription
    handler: Handler
    max_records: int
    when_open: BreakerAction
    on_dead_letter: DeadLetterHook | None
    commit: bool
    passes_breaker: Callable[[Record], bool] | None = None
    lanes: int = 0


@dataclass(frozen=True, slots=True)
class LoopTools:
    """What a loop shares with the rest of its service. `salt` keeps the jitter of replicas apart."""

    bus: EventBus
    clock: Clock
    policies: RetryPolicies
    circuit: Circuit
    dead_letters: DeadLetters
    counters: Counters
    salt: str
    poll_seconds: float
    stall_seconds: float
    metrics: ServiceMetrics
    progressed: Callable[[], None]


class ConsumeLoop:
    """Runs one consumption until cancelled."""

    def __init__(self, what: Consumption, consumer: Consumer, tools: LoopTools) -> None:
        self._what = what
        self._consumer = consumer
        self.reader = RecordReader(
            consumer, tools.bus, tools.clock, tools.poll_seconds, tools.stall_seconds, tools.progressed
        )
        self._lanes: Lanes | None = None
        self._tools = tools
        self._circuit = tools.circuit
        self._free_pass = FreePass(Breakers(tools.clock, failure_threshold=1, reset_seconds=0.0))
        self._counters = tools.counters
        self._done: dict[TopicPartition, int] = {}

    def in_hand(self) -> Mapping[str, int]:
        """Return how many records of each topic are fetched and not finished."""
        return self.reader.handed if self._lanes is None else self._lanes.in_hand()

    async def run(self) -> None:
        """Fetch, handle, commit. A graceful stop commits what is done; a kill commits nothing more."""
        runner = current_runner()
        try:
            if self._what.lanes:
                await self._run_lanes(runner)
            while True:
                await self._turn()
        except asyncio.CancelledError:
            if runner is not None and runner.draining:
                await self._commit()
            raise

    async def _turn(self) -> None:
        records = await self._fetch(self._what.max_records)
        if records:
            await self._handle(records)
            await self._commit()

    async def _run_lanes(self, runner: Runner | None) -> None:
        """Fetch, handle and commit beside one another, until cancelled."""
        if runner is None:
            raise MisuseError("a consumption in lanes runs as a Runner")
        lanes = self._lanes = Lanes(runner, self._handle_one, self._width, self._what.max_records)
        lanes.feed_by(partial(self._feed, lanes))
        try:
            while True:
                await lanes.progress()
                self._done.update(lanes.take_done())
                await self._commit()
        except asyncio.CancelledError:
            if runner.draining:
                await lanes.finish()
                self._done.update(lanes.take_done())
            raise
        finally:
            await lanes.close()

    async def _feed(self, lanes: Lanes) -> None:
        while True:
            lanes.put(await self._fetch(await lanes.room()))

    def _width(self) -> int:
        """One record at a time while a dependency is in doubt: it alone is the probe."""
        return self._what.lanes if self._circuit.closed else 1

    # ------------------------------------------------------------------------------------------ fetch, commit

    async def _fetch(self, max_records: int) -> list[Record]:
        attempt = 0
        while True:
            attempt += 1
            try:
                return await self.reader.fetch(max_records)
            except OffsetOutOfRangeError as error:
                await self._skip_gap(error)
            except TransientError as error:
                self._counters.failed(error)
                self._tools.metrics.retried(error)
                log.warning("fetch failed", error=str(error), attempt=attempt)
                await intake(self._tools.clock.sleep(self._delay(attempt, "fetch")))

    async def _skip_gap(self, error: OffsetOutOfRangeError) -> None:
        """Go on at the oldest record that is kept (the end, for `from_latest`); the loss is logged and counted."""
        lost = 0
        for partition in sorted(self._consumer.assignment(), key=str):
            oldest, end = (await self._tools.bus.offsets(partition.topic))[partition]
            position = self._consumer.position(partition)
            if not oldest <= position <= end:
                target = end if self._what.subscription.from_latest else oldest
                await self._consumer.seek(partition, target)
                lost += 1
                log.error("records are gone", partition=str(partition), wanted=position, resumed_at=target)
        if not lost:
            raise error
        self._counters.failed(error, lost)

    async def _commit(self) -> None:
        if self._what.commit:
            await self._store(self._done)
        else:
            self._done.clear()

    async def _store(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit; what can't be committed because the partition moved is dropped, and the rest is committed all the same."""
        if not offsets:
            return
        offsets = dict(offsets)
        try:
            await self._consumer.commit(offsets)
        except RebalancedError as error:
            if len(offsets) > 1:  # one partition is enough to refuse all
                await self._store_each(offsets)
                return
            log.info("partition moved before its commit; its records come again elsewhere", error=str(error))
        except TransientError as error:
            self._counters.failed(error)
            log.warning("commit failed; the next one covers it", error=str(error))
            return
        self._forget(offsets)

    async def _store_each(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit each by itself: one that went away and came back is assigned, but its offset is refused."""
        assigned = self._consumer.assignment()
        self._forget([partition for partition in offsets if partition not in assigned])
        for partition, offset in offsets.items():
            if partition in assigned:
                await self._store({partition: offset})

    def _forget(self, partitions: Iterable[TopicPartition]) -> None:
        for partition in partitions:
            del self._done[partition]

    def _mark(self, record: Record) -> None:
        self._done[TopicPartition(record.topic, record.partition)] = record.offset + 1

    # ------------------------------------------------------------------------------------------------- handle

    async def _handle(self, records: Sequence[Record]) -> None:
        if len(records) == 1 or not self._circuit.closed or not await self._handled_at_once(records):
            await self._handle_in_turn(records)

    async def _handle_in_turn(self, records: Sequence[Record]) -> None:
        runner = current_runner()
        for record in records:
            await self._handle_one(record)
            self._mark(record)
            if runner is not None:
                runner.progressed()
                if runner.draining:
                    return  # what is left of the batch comes again, to whoever reads these partitions next

    async def _handled_at_once(self, records: Sequence[Record]) -> bool:
        """Give the handler the whole batch; if that fails, whose fault it is shows record by record."""
        try:
            await self._what.handler(records)
        except ProcessMustExitError:
            raise
        except Exception as error:  # noqa: BLE001 - each record is tried again by itself and then judged
            self._circuit.failed(error)
            self._counters.failed(error)
            self._tools.metrics.retried(error)
            log.warning("batch failed, going record by record", records=len(records), error=repr(error))
            return False
        self._circuit.succeeded()
        self._tools.progressed()
        for record in records:
            self._mark(record)
        return True

    async def _handle_one(self, record: Record) -> None:
        """Handle one record, or set it aside: afterwards it may be committed."""
        circuit = self._circuit_of(record)
        attempt = 0
        while True:
            blocking = await self._admitted(circuit)
            if blocking:
                message = f"circuit breaker open: {', '.join(blocking)}"
                await self._set_aside(record, Failure(Code.BREAKER_OPEN, message, attempts=attempt))
                return
            attempt += 1
            error = await self._attempt(record, circuit)
            if error is None:
                self._tools.progressed()
                return
            if self._exhausted(error, attempt, circuit):
                await self._set_aside(record, Failure.of(error, attempt), error)
                return
            self._tools.metrics.retried(error)
            await self._back_off(record, error, attempt, circuit)

    def _circuit_of(self, record: Record) -> Circuit:
        """Return the breakers that stand in the record's way: none for one that passes them."""
        passes = self._what.passes_breaker
        return self._free_pass if passes is not None and passes(record) else self._circuit

    async def _admitted(self, circuit: Circuit) -> list[str]:
        """Pass the breakers: wait for them (PAUSE), or return those that refuse (DEAD_LETTER)."""
        while blocking := circuit.blocking():
            if self._what.when_open is BreakerAction.DEAD_LETTER:
                return blocking
            # As input: a stop while nothing can be done leaves the records to whoever reads them next.
            await intake(self._tools.clock.sleep(circuit.wait_seconds()))
        circuit.enter()
        return []

    async def _attempt(self, record: Record, circuit: Circuit) -> Exception | None:
        try:
            await self._what.handler((record,))
        except ProcessMustExitError:
            raise
        except Exception as error:  # noqa: BLE001 - judged by its class, and set aside at the end
            circuit.failed(error)
            self._counters.failed(error)
            return error
        circuit.succeeded()
        return None

    async def _back_off(self, record: Record, error: Exception, attempt: int, circuit: Circuit) -> None:
        if circuit.blocking():
            return  # the breaker says how long
        sleep = self._tools.clock.sleep(self._delay(attempt, record.id))
        # What has a last attempt is finished even during a stop; what waits for a dependency may wait for ever.
        await (intake(sleep) if self._waits_for(error) else sleep)

    def _waits_for(self, error: Exception) -> bool:
        """Whether the record waits until a dependency is back: that it is down says nothing against the record."""
        return isinstance(error, DependencyUnavailableError) and self._what.when_open is BreakerAction.PAUSE

    def _exhausted(self, error: Exception, attempt: int, circuit: Circuit) -> bool:
        if self._waits_for(error):
            return False
        if isinstance(error, DependencyUnavailableError) and error.dependency in circuit.blocking():
            return False  # the open breaker decides: BREAKER_OPEN
        return attempt >= self._tools.policies.attempts(error)

    def _delay(self, attempt: int, seed: str) -> float:
        return self._tools.policies.backoff.delay(attempt, f"{self._tools.salt}:{seed}")

    # ---------------------------------------------------------------------------------------------- set aside

    async def _set_aside(self, record: Record, failure: Failure, error: Exception | None = None) -> None:
        log.error(
            "record set aside",
            record=record.id,
            code=failure.code.value,
            message=failure.message,
            attempts=failure.attempts,
            correlation_id=getattr(record.decoded, "correlation_id", None),
            exc_info=error if failure.code is Code.INTERNAL_ERROR else None,
        )
        await self._insist(record, lambda: self._tools.dead_letters.put(record, failure))
        self._counters.dead_lettered += 1
        self._tools.metrics.dead_lettered(record.topic, failure.code)
        hook = self._what.on_dead_letter
        if hook is None:
            return
        try:
            await self._insist(record, lambda: hook(record, failure.code, failure.message))
        except RecordError as unusable:
            # The dead letter is written, and nothing more can be made of the record.
            self._counters.failed(unusable)
            log.warning("nothing to tell of a dead letter", record=record.id, error=str(unusable))

    async def _insist(self, record: Record, action: Callable[[], Awaitable[None]]) -> None:
        """Repeat until it succeeds: a record that is neither handled nor set aside is never committed.

        A stop interrupts the waiting and leaves the record uncommitted.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                return await action()
            except TransientError as error:
                self._counters.failed(error)
                self._tools.metrics.retried(error)
                log.warning("dead letter not written", record=record.id, error=str(error), attempt=attempt)
            await intake(self._tools.clock.sleep(self._delay(attempt, f"dlq:{record.id}")))
