"""Signal → paper order: risk and engine, an order-tracker beside them, against bare loops that write as much, as durably.

A round: 1,000 raw signals, each of another key (10 strategies, 100 instruments: two orders of one key that overlap are
refused as in doubt), are produced while the services run, and are filled on paper.

Ours: the three services as they run in pods, in this process: every check of the gate, the fold of the fills into
books, portfolio snapshots, BEGIN and settle as scripts, orders of different keys side by side.

The bare side: two loops as tasks of this process.
    1. getmany(500) of raw signals · decode · a decision each, written durably (one pipeline of SETs a batch) ·
       produce the validated events and await them · commit
    2. getmany(500) of validated signals · decode · "begin" of each, written durably (one pipeline a batch) ·
       "settle" of each, written durably (one more pipeline) · produce the order events and await them ·
       "acknowledge" each, written durably (one more pipeline) · commit
Values are of the same structs as ours (signal, decision, journal entry as JSON or MessagePack). It does what ours may
never do: write the begin of a whole batch before it knows what became of the first order, and no check of any kind; no
price is read, no book kept, no order event read back, no epoch, fence, state, expiry, rate or duplicate looked at.

Both are timed from the production of the signals to the moment when the second stage has committed the last.
"""

import asyncio
from decimal import Decimal
from typing import Any, Final
from uuid import uuid4

import msgspec
from bench.bare import MAX_RECORDS, produce, producing, put, reading, storing
from bench.span import Comparison, Cost, Span
from bench.world import (
    ACCOUNT,
    FEED,
    FIRST_TOKEN,
    PARTITIONS,
    PATIENCE,
    Servers,
    World,
    opened_world,
    symbol_of,
)

from alpha_panda.contracts.codec import decode_event, encode_event, payload_hash
from alpha_panda.contracts.enums import (
    EntryState,
    EventType,
    FeedMode,
    OrderStatus,
    OrderType,
    Side,
    SignalClass,
    Validity,
    Verdict,
)
from alpha_panda.contracts.events import VERSION, Envelope, OrderUpdate, Signal, ValidatedSignal
from alpha_panda.contracts.stored import Decision, JournalEntry, Quote
from alpha_panda.contracts.topics import TopicMap, TopicSpec
from alpha_panda.domain.ids import broker_tag
from alpha_panda.ports import Outgoing, TopicPartition

AIM: Final = 0.50
INSTRUMENTS: Final = 100
STRATEGIES: Final = tuple(f"s{number}" for number in range(10))
SIGNALS: Final = INSTRUMENTS * len(STRATEGIES)
PRICE: Final = Decimal(100)

_json: Final = msgspec.json.Encoder().encode
_pack: Final = msgspec.msgpack.Encoder().encode


async def compare(servers: Servers, *, rounds: int) -> Comparison:
    """Return the costs of a signal on both sides; the rounds take turns."""
    ours, bare = [], []
    async with opened_world(servers, "orders", instruments=INSTRUMENTS, strategies=STRATEGIES) as world:
        await _prepare(world)
        for number in range(rounds + 1):
            side = Side.BUY if number % 2 == 0 else Side.SELL  # the books come back to nothing
            ours.append(await _ours(world, side))
            bare.append(await _bare(world, side))
    return Comparison("signal → paper order", "orders", AIM, ours[1:], bare[1:])  # the first round warms up


async def _prepare(world: World) -> None:
    """Prices of all instruments, trading states, topics."""
    ports, now = world.ports, world.ports.clock.now()
    await world.keep_trading()
    tokens = range(FIRST_TOKEN, FIRST_TOKEN + INSTRUMENTS)
    quotes = {token: Quote(float(PRICE), now, FEED, FeedMode.SIMULATED, 1, 1) for token in tokens}
    await ports.prices.write(FEED, 1, quotes, dict.fromkeys(range(PARTITIONS), now), PARTITIONS)
    partitions = world.settings.order_partitions
    await ports.bus.ensure_topics(TopicMap(ACCOUNT, world.settings.topic_prefix).specs(partitions))
    await ports.bus.ensure_topics(
        [
            TopicSpec("bare.raw", 1),
            TopicSpec("bare.validated", partitions),
            TopicSpec("bare.orders", partitions),
        ]
    )


def _signals(world: World, side: Side) -> list[Envelope]:
    now = world.ports.clock.now()
    signals = [
        Signal(
            signal_id=str(uuid4()),
            strategy_id=strategy,
            strategy_uid="bench",
            instrument_token=token,
            symbol=symbol_of(token),
            side=side,
            order_type=OrderType.MARKET,
            quantity=Decimal(1),
            validity=Validity.DAY,
            expires_at=now + 3600 * 10**9,
        )
        for token in range(FIRST_TOKEN, FIRST_TOKEN + INSTRUMENTS)
        for strategy in STRATEGIES
    ]
    return [_event(signal, EventType.TRADING_SIGNAL, signal, now) for signal in signals]


def _event(signal: Signal, event_type: EventType, data: Any, now: int) -> Envelope:  # noqa: ANN401 - any payload
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


async def _ours(world: World, side: Side) -> Cost:
    topics = TopicMap(ACCOUNT, world.settings.topic_prefix)
    span = Span(SIGNALS, SIGNALS, by_commit=True)
    services = [(name, ACCOUNT) for name in ("order-tracker", "risk", "engine")]
    before = await _filled(world, topics)
    async with (
        asyncio.timeout(PATIENCE),
        world.ports.bus.producer("bench") as producer,
        world.running(*services, watching=(topics.signals_validated, span)),
    ):
        raw = [
            Outgoing(topics.signals_raw, encode_event(event), key=event.key)
            for event in _signals(world, side)
        ]
        span.begin()
        await producer.send(raw)
        await span.ended.wait()
    if (filled := await _filled(world, topics) - before) < SIGNALS:  # more: the order-tracker repeated some
        raise RuntimeError(f"{filled} of {SIGNALS} signals were filled")
    return span.cost


async def _filled(world: World, topics: TopicMap) -> int:
    return sum(end for _, end in (await world.ports.bus.offsets(topics.orders_filled)).values())


# --------------------------------------------------------------------------------------------------- bare


async def _bare(world: World, side: Side) -> Cost:
    span, stages = Span(SIGNALS, SIGNALS), (_decide, _execute)
    async with asyncio.timeout(PATIENCE), producing(world.servers) as producer:
        tasks = [asyncio.create_task(stage(world, span)) for stage in stages]
        await produce(producer, "bare.raw", [])
        await asyncio.sleep(1.0)  # both have their connections, as running services do
        raw = [(event.key, _json(event)) for event in _signals(world, side)]
        span.begin()
        await produce(producer, "bare.raw", raw)
        await asyncio.gather(*tasks)
    return span.cost


async def _ends(world: World, topic: str) -> dict[TopicPartition, int]:
    return {partition: end for partition, (_, end) in (await world.ports.bus.offsets(topic)).items()}


async def _decide(world: World, span: Span) -> None:
    """Stage 1: see above."""
    left = span.records
    async with (
        reading(world.servers, "bare.risk", await _ends(world, "bare.raw")) as consumer,
        storing(world.servers) as store,
        producing(world.servers) as producer,
    ):
        await producer.partitions_for("bare.validated")
        while left:
            decisions = [
                _decision(world, decode_event(record.value))
                for batch in (await consumer.getmany(timeout_ms=1000, max_records=MAX_RECORDS)).values()
                for record in batch
            ]
            if not decisions:
                continue
            await put(store, [(f"bare:decision:{one.signal.signal_id}", _json(one)) for one in decisions])
            events = [
                _event(one.signal, EventType.VALIDATED_SIGNAL, _validated(one), one.decided_at)
                for one in decisions
                if isinstance(one.signal, Signal)
            ]
            await produce(producer, "bare.validated", [(event.key, _json(event)) for event in events])
            await consumer.commit()
            left -= len(decisions)


def _decision(world: World, event: Envelope) -> Decision:
    if not isinstance(event.data, Signal):
        raise TypeError(f"not a signal: {event}")
    return Decision(
        signal=event.data,
        verdict=Verdict.VALIDATED,
        signal_class=SignalClass.INCREASING,
        payload_hash=payload_hash(event.data),
        risk_epoch="",
        journal_epoch="",
        decided_at=world.ports.clock.now(),
        correlation_id=event.correlation_id,
        causation_id=event.id,
    )


def _validated(decision: Decision) -> ValidatedSignal:
    return ValidatedSignal(
        original_signal=decision.signal,
        signal_class=decision.signal_class,
        payload_hash=decision.payload_hash,
        risk_epoch="",
        journal_epoch="",
        decided_at=decision.decided_at,
    )


async def _execute(world: World, span: Span) -> None:
    """Stage 2: see above."""
    async with (
        reading(world.servers, "bare.engine", await _ends(world, "bare.validated")) as consumer,
        storing(world.servers) as store,
        producing(world.servers) as producer,
    ):
        await producer.partitions_for("bare.orders")
        while span.seen < span.records:
            signals = [
                _signal_of(decode_event(record.value))
                for batch in (await consumer.getmany(timeout_ms=1000, max_records=MAX_RECORDS)).values()
                for record in batch
            ]
            if not signals:
                continue
            now = world.ports.clock.now()
            begun = [_entry(signal, EntryState.SENDING, now) for signal in signals]
            await put(store, [(f"bare:journal:{entry.signal_id}", _pack(entry)) for entry in begun])
            settled = [_entry(signal, EntryState.FILLED, now) for signal in signals]
            await put(store, [(f"bare:journal:{entry.signal_id}", _pack(entry)) for entry in settled])
            events = [
                _event(signal, EventType.ORDER_FILLED, _update(entry), now)
                for signal, entry in zip(signals, settled, strict=True)
            ]
            await produce(producer, "bare.orders", [(event.key, _json(event)) for event in events])
            await put(store, [(f"bare:told:{signal.signal_id}", b"1") for signal in signals])
            await consumer.commit()
            span.seen += len(signals)
        span.end()


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
        revision=1,
        send_by=now,
        updated_at=now,
        correlation_id=signal.signal_id,
        causation_id=signal.signal_id,
        filled_quantity=filled,
        average_price=PRICE,
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
