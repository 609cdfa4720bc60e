"""The bare loops of signal → paper order: plain aiokafka and redis.asyncio, and of ours only the wire structs.

`AsOurs` makes the same durable writes as the services, no fewer and no smaller, and none before what it must wait for:

    1. decide: getmany(500) of raw signals · decode · in lots of 64 (`decision_batch_max`): one script that stores the
       decisions; then the validated events, awaited
    2. execute: getmany(500) of validated signals · decode · 16 tasks (`engine_lanes`), each with one order at a time:
       BEGIN (one script: entry, tag, sequence, three indices, and of what increases a rate token); then SETTLE (entry,
       sequence, indices); then the order event, awaited; then ACKNOWLEDGE (index) · beside them a task that commits
       how far all is done, after 16 orders or more: as often as the engine comes to it
    3. book: getmany(500) of order events · decode · the folds and a book of the size of ours in one script, and that
       book as a record, both each `portfolio_change_seconds` at most · then commit

`AtOnce` writes what an engine may never write so: a batch's decisions, then all its BEGINs before it knows what became
of the first, then all its SETTLEs, all its events, all its ACKNOWLEDGEs; and less: plain SETs, decisions without their
checks, no index, no folds, no book. It shows what order by order costs at all.

Neither checks anything: no price is read, no epoch, fence, state, expiry, rate or duplicate looked at, nothing is read
back from Redis, no book is kept, no error handled. The scripts write unconditionally: one command with many effects
is the cheapest way that Redis has to make them together.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha1
from typing import TYPE_CHECKING, Any, Final

import aiokafka
import msgspec
from bench.bare import MAX_RECORDS, produce, producing, put, reading, storing
from bench.span import Cost, Span
from bench.world import ACCOUNT, PATIENCE, World

from alpha_panda.adapters.redis.records import packed_entry
from alpha_panda.contracts.codec import decode_event, payload_hash
from alpha_panda.contracts.enums import (
    EntryState,
    EventType,
    OrderStatus,
    Side,
    SignalClass,
    Verdict,
)
from alpha_panda.contracts.events import VERSION, CheckResult, Envelope, OrderUpdate, Signal, ValidatedSignal
from alpha_panda.contracts.stored import Decision, JournalEntry, OrderFold
from alpha_panda.contracts.topics import TopicSpec
from alpha_panda.domain.ids import broker_tag
from alpha_panda.ports import TopicPartition

if TYPE_CHECKING:
    from redis.asyncio import Redis

PRICE: Final = Decimal(100)
RAW: Final = "bare.raw"
VALIDATED: Final = "bare.validated"
ORDERS: Final = "bare.orders"
PORTFOLIO: Final = "bare.portfolio"

KEYS: Final = ("bare:sequence", "bare:entries", "bare:tags", "bare:open", "bare:doubt")

_json: Final = msgspec.json.Encoder().encode
_pack: Final = msgspec.msgpack.Encoder().encode

DECIDE: Final = "for at = 1, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1]) end"
BEGIN: Final = """
local place = redis.call('INCR', KEYS[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('HSETNX', KEYS[3], ARGV[3], ARGV[1])
for at = 4, 6 do redis.call('ZADD', KEYS[at], place, ARGV[1]) end
if ARGV[4] == '1' then redis.call('RPUSH', KEYS[7], ARGV[5]); redis.call('LPOP', KEYS[7]) end"""
SETTLE: Final = """
local place = redis.call('INCR', KEYS[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[4], place, ARGV[1])
redis.call('ZREM', KEYS[5], ARGV[1])
redis.call('ZREM', KEYS[6], ARGV[1])"""
ACKNOWLEDGE: Final = "redis.call('ZREM', KEYS[1], ARGV[1])"
BOOK: Final = """
redis.call('SET', KEYS[1], ARGV[1])
for at = 2, #ARGV, 2 do redis.call('HSET', KEYS[2], ARGV[at], ARGV[at + 1]) end"""
SHA: Final = {text: sha1(text.encode()).hexdigest() for text in (DECIDE, BEGIN, SETTLE, ACKNOWLEDGE, BOOK)}  # noqa: S324 - Redis names scripts so


@dataclass(frozen=True, slots=True)
class Likeness:
    """What the bare side's values are made like, taken from what ours wrote: checks of a decision, bytes of a book."""

    checks: Sequence[CheckResult]
    snapshot_bytes: int
    portfolio_bytes: int


def topic_specs(world: World) -> list[TopicSpec]:
    """Return the topics of the bare loops, partitioned as ours are."""
    partitions = world.settings.order_partitions
    return [
        TopicSpec(RAW, 1),
        TopicSpec(VALIDATED, partitions),
        TopicSpec(ORDERS, partitions),
        TopicSpec(PORTFOLIO, 1),
    ]


def event_of(signal: Signal, event_type: EventType, data: Any, now: int) -> Envelope:  # noqa: ANN401 - any payload
    """Return an event about a signal."""
    return Envelope(
        id=f"{signal.signal_id}:{event_type.value}",
        type=event_type,
        version=VERSION,
        ts=now,
        source="bench",
        account=ACCOUNT,
        key=signal.key,
        correlation_id=signal.signal_id,
        causation_id="bench",
        data=data,
    )


async def run(stages: "AsOurs | AtOnce", world: World, raw: Sequence[Envelope]) -> Cost:
    """Return what a round costs: from the production of the signals to the commit that covers the last order."""
    async with asyncio.timeout(PATIENCE), producing(world.servers) as producer:
        tasks = [asyncio.create_task(stage()) for stage in stages.stages]
        await produce(producer, RAW, [])
        await asyncio.sleep(1.0)  # all have their connections, as running services do
        records = [(event.key, _json(event)) for event in raw]
        stages.span.begin()
        await produce(producer, RAW, records)
        await asyncio.gather(*tasks)
    return stages.span.cost


class _Stages:
    """What both have in common: their source of records, and how their values are made."""

    def __init__(self, world: World, records: int, checks: Sequence[CheckResult] = ()) -> None:
        self.span = Span(records, records)
        self._world = world
        self._checks = list(checks)

    async def _starts(self, topic: str) -> dict[TopicPartition, int]:
        offsets = await self._world.ports.bus.offsets(topic)
        return {partition: end for partition, (_, end) in offsets.items()}

    def _decision(self, event: Envelope) -> Decision:
        if not isinstance(event.data, Signal):
            raise TypeError(f"not a signal: {event}")
        return Decision(
            signal=event.data,
            verdict=Verdict.VALIDATED,
            signal_class=SignalClass.INCREASING,
            payload_hash=payload_hash(event.data),
            risk_epoch="",
            journal_epoch="",
            decided_at=self._world.ports.clock.now(),
            correlation_id=event.correlation_id,
            causation_id=event.id,
            checks=self._checks,
        )

    async def _tell(self, producer: aiokafka.AIOKafkaProducer, decisions: Sequence[Decision]) -> None:
        events = [
            event_of(one.signal, EventType.VALIDATED_SIGNAL, _validated(one), one.decided_at)
            for one in decisions
            if isinstance(one.signal, Signal)
        ]
        await produce(producer, VALIDATED, [(event.key, _json(event)) for event in events])


class AtOnce(_Stages):
    """A batch at once: see above."""

    @property
    def stages(self) -> Sequence[Any]:
        """The loops, to run side by side."""
        return (self.decide, self.execute)

    async def decide(self) -> None:
        """Decide on all signals of the round."""
        left = self.span.records
        async with (
            reading(self._world.servers, "bare.risk", await self._starts(RAW)) as consumer,
            storing(self._world.servers) as store,
            producing(self._world.servers) as producer,
        ):
            await producer.partitions_for(VALIDATED)
            while left:
                decisions = [self._decision(event) for event in await _fetched(consumer)]
                if not decisions:
                    continue
                await put(store, [(f"bare:decision:{one.signal.signal_id}", _json(one)) for one in decisions])
                await self._tell(producer, decisions)
                await consumer.commit()
                left -= len(decisions)

    async def execute(self) -> None:
        """Write the orders of all validated signals of the round."""
        span = self.span
        async with (
            reading(self._world.servers, "bare.engine", await self._starts(VALIDATED)) as consumer,
            storing(self._world.servers) as store,
            producing(self._world.servers) as producer,
        ):
            await producer.partitions_for(ORDERS)
            while span.seen < span.records:
                signals = [_signal_of(event) for event in await _fetched(consumer)]
                if not signals:
                    continue
                now = self._world.ports.clock.now()
                begun = [_entry(signal, EntryState.SENDING, now) for signal in signals]
                await put(store, [(f"bare:journal:{entry.signal_id}", _pack(entry)) for entry in begun])
                settled = [_entry(signal, EntryState.FILLED, now) for signal in signals]
                await put(store, [(f"bare:journal:{entry.signal_id}", _pack(entry)) for entry in settled])
                events = [
                    event_of(signal, EventType.ORDER_FILLED, _update(entry), now)
                    for signal, entry in zip(signals, settled, strict=True)
                ]
                await produce(producer, ORDERS, [(event.key, _json(event)) for event in events])
                await put(store, [(f"bare:told:{signal.signal_id}", b"1") for signal in signals])
                await consumer.commit()
                span.seen += len(signals)
            span.end()


class AsOurs(_Stages):
    """The same durable writes, with the same waits: see above."""

    def __init__(self, world: World, records: int, like: Likeness) -> None:
        super().__init__(world, records, like.checks)
        self._like = like
        self._orders: asyncio.Queue[tuple[aiokafka.TopicPartition, list[int | bool], Signal]] = asyncio.Queue(
            MAX_RECORDS
        )
        self._unfinished: dict[aiokafka.TopicPartition, deque[list[int | bool]]] = {}
        self._done: dict[aiokafka.TopicPartition, int] = {}
        self._moved = asyncio.Event()

    @property
    def stages(self) -> Sequence[Any]:
        """The loops, to run side by side."""
        return (self.decide, self.execute, self.book)

    async def decide(self) -> None:
        """Decide on all signals of the round; how far it has read is in the book, as in ours."""
        left, lot = self.span.records, self._world.settings.decision_batch_max
        async with (
            reading(self._world.servers, "bare.risk", await self._starts(RAW)) as consumer,
            storing(self._world.servers) as store,
            producing(self._world.servers) as producer,
        ):
            await store.script_load(DECIDE)
            await producer.partitions_for(VALIDATED)
            while left:
                events = await _fetched(consumer)
                for first in range(0, len(events), lot):
                    decisions = [self._decision(event) for event in events[first : first + lot]]
                    stored = [part for one in decisions for part in (one.signal.signal_id, _json(one))]
                    await store.evalsha(SHA[DECIDE], 1, "bare:decisions", *stored)
                    await self._tell(producer, decisions)
                left -= len(events)

    async def execute(self) -> None:
        """Read on, work in lanes, and commit what is done, beside one another."""
        async with (
            reading(self._world.servers, "bare.engine", await self._starts(VALIDATED)) as consumer,
            storing(self._world.servers) as store,
            producing(self._world.servers) as producer,
        ):
            for text in (BEGIN, SETTLE, ACKNOWLEDGE):
                await store.script_load(text)
            await producer.partitions_for(ORDERS)
            lanes = range(self._world.settings.engine_lanes)
            workers = [asyncio.create_task(self._lane(store, producer)) for _ in lanes]
            feed = asyncio.create_task(self._feed(consumer))
            try:
                await self._commit_what_is_done(consumer)
            finally:
                for task in (feed, *workers):
                    task.cancel()
                await asyncio.gather(feed, *workers, return_exceptions=True)
            self.span.end()

    async def _feed(self, consumer: aiokafka.AIOKafkaConsumer) -> None:
        while True:
            fetched = await consumer.getmany(timeout_ms=1000, max_records=MAX_RECORDS)
            for partition, batch in fetched.items():
                for record in batch:
                    item: list[int | bool] = [record.offset + 1, False]
                    self._unfinished.setdefault(partition, deque()).append(item)
                    await self._orders.put((partition, item, _signal_of(decode_event(record.value))))

    async def _lane(self, store: "Redis", producer: aiokafka.AIOKafkaProducer) -> None:
        while True:
            partition, item, signal = await self._orders.get()
            await self._order(signal, store, producer)
            item[1] = True
            waiting = self._unfinished[partition]
            while waiting and waiting[0][1]:
                self._done[partition] = waiting.popleft()[0]
                self.span.seen += 1
            self._moved.set()

    async def _order(self, signal: Signal, store: "Redis", producer: aiokafka.AIOKafkaProducer) -> None:
        name, now = signal.signal_id, self._world.ports.clock.now()
        keys = (*KEYS, f"bare:doubt:{signal.key}")
        begun = _entry(signal, EntryState.SENDING, now)
        token = "1" if signal.side is Side.BUY else ""
        await store.evalsha(
            SHA[BEGIN], 7, *keys, "bare:rate", name, packed_entry(begun), begun.tag, token, now
        )
        settled = _entry(signal, EntryState.FILLED, now)
        await store.evalsha(SHA[SETTLE], 6, *keys, name, packed_entry(settled))
        event = event_of(signal, EventType.ORDER_FILLED, _update(settled), now)
        await producer.send_and_wait(ORDERS, _json(event), key=event.key.encode())
        await store.evalsha(SHA[ACKNOWLEDGE], 1, "bare:open", name)

    async def _commit_what_is_done(self, consumer: aiokafka.AIOKafkaConsumer) -> None:
        span, committed = self.span, 0
        while committed < span.records:
            await self._moved.wait()
            self._moved.clear()
            if span.seen - committed < self._world.settings.engine_lanes and span.seen < span.records:
                continue
            committed, done, self._done = span.seen, self._done, {}
            await consumer.commit(done)

    async def book(self) -> None:
        """Store and tell a book of the size of ours; until the last order is folded and stored."""
        left, pause = self.span.records, self._world.settings.portfolio_change_seconds
        loop = asyncio.get_running_loop()
        async with (
            reading(self._world.servers, "bare.book", await self._starts(ORDERS)) as consumer,
            storing(self._world.servers) as store,
            producing(self._world.servers) as producer,
        ):
            await store.script_load(BOOK)
            await producer.partitions_for(PORTFOLIO)
            folds, due = list[str | bytes](), 0.0
            while left or folds:
                fetched = await _fetched(consumer, 1000 if left else 10)
                updates = [event.data for event in fetched if isinstance(event.data, OrderUpdate)]
                for update in updates:
                    folds += (update.signal_id, _pack(_fold(update)))
                left -= len(updates)
                if folds and loop.time() >= due:
                    due = loop.time() + pause
                    snapshot = b"x" * self._like.snapshot_bytes
                    await store.evalsha(SHA[BOOK], 2, "bare:snapshot", "bare:folds", snapshot, *folds)
                    folds = []
                    await producer.send_and_wait(PORTFOLIO, b"x" * self._like.portfolio_bytes, key=b"main")
                    await consumer.commit()


async def _fetched(consumer: aiokafka.AIOKafkaConsumer, timeout_ms: int = 1000) -> list[Envelope]:
    fetched = await consumer.getmany(timeout_ms=timeout_ms, max_records=MAX_RECORDS)
    return [decode_event(record.value) for batch in fetched.values() for record in batch]


def _validated(decision: Decision) -> ValidatedSignal:
    return ValidatedSignal(
        original_signal=decision.signal,
        signal_class=decision.signal_class,
        payload_hash=decision.payload_hash,
        risk_epoch="",
        journal_epoch="",
        decided_at=decision.decided_at,
        checks=decision.checks,
    )


def _signal_of(event: Envelope) -> Signal:
    if isinstance(event.data, ValidatedSignal) and isinstance(event.data.original_signal, Signal):
        return event.data.original_signal
    raise TypeError(f"not a validated signal: {event}")


def _entry(signal: Signal, state: EntryState, now: int) -> JournalEntry:
    filled = signal.quantity if state is EntryState.FILLED else Decimal(0)
    return JournalEntry(
        signal=signal,
        state=state,
        signal_class=SignalClass.INCREASING,
        tag=broker_tag(signal.signal_id),
        revision=now // 1000,
        send_by=now,
        created_at=now,
        updated_at=now,
        attempt=signal.signal_id,
        correlation_id=signal.signal_id,
        causation_id=f"{signal.signal_id}:{EventType.VALIDATED_SIGNAL}",
        broker_order_id=broker_tag(signal.signal_id),
        quote_price=PRICE,
        quote_ts=now,
        filled_quantity=filled,
        average_price=PRICE,
    )


def _fold(update: OrderUpdate) -> OrderFold:
    price = update.price or PRICE
    return OrderFold(
        update.filled_quantity,
        price,
        update.filled_quantity * price,
        rank=update.rank,
        statuses=(update.status,),
    )


def _update(entry: JournalEntry) -> OrderUpdate:
    signal = entry.signal
    return OrderUpdate(
        signal_id=signal.signal_id,
        order_id=entry.tag,
        strategy_id=signal.strategy_id,
        instrument_token=signal.instrument_token,
        symbol=signal.symbol,
        side=signal.side,
        order_type=signal.order_type,
        quantity=signal.quantity,
        validity=signal.validity,
        status=OrderStatus.FILLED,
        rank=OrderStatus.FILLED.rank,
        price=entry.average_price,
        filled_quantity=entry.filled_quantity,
    )
