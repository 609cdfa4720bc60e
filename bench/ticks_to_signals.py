"""Tick → signal: the strategy service against a bare loop over the same backlog of ticks.

Ours: the service as it runs in a pod, in this process, with one strategy that sends a signal every 100 ticks: fenced
checkpoints of its state, offsets, sequences and unacknowledged signals before each produce, duplicates dropped.

The bare loop: getmany, decode, a function call a tick that makes a signal's event every 100 ticks; for each fetch with
signals one durable SET (place in the input, counter and the signals) and then one produce of them, awaited. It drops no
duplicates, keeps no state of a strategy, commits nothing and handles no error.

Both are timed from their first records to the moment when they ask for more after the last, in turns. Each round of
ours has a strategy without a past: nobody answers the signals here, and unanswered ones stay in the checkpoint.
"""

import asyncio
from decimal import Decimal
from typing import Final

import msgspec
from bench.bare import MAX_RECORDS, produce, producing, put, reading, storing
from bench.span import Comparison, Cost, Span
from bench.world import ACCOUNT, PATIENCE, Servers, TickBacklog, World, opened_world, symbol_of

from alpha_panda.contracts.enums import EventType, OrderType, Side, Validity
from alpha_panda.contracts.events import VERSION, Envelope, Signal, Tick, TickBatch
from alpha_panda.contracts.topics import TopicMap
from alpha_panda.ports import TopicPartition

AIM: Final = 0.50
INSTRUMENTS: Final = 500
TICKS: Final = 100
EVERY: Final = 100

_decode: Final = msgspec.msgpack.Decoder(TickBatch).decode
_encode: Final = msgspec.json.Encoder().encode
_pack: Final = msgspec.msgpack.Encoder().encode


async def compare(servers: Servers, *, records: int, rounds: int) -> Comparison:
    """Return the costs of a tick on both sides; the rounds take turns."""
    ours, bare = [], []
    names = [f"steady-{number}" for number in range(rounds + 1)]
    async with opened_world(
        servers, "signals", instruments=INSTRUMENTS, strategies=names, every=EVERY
    ) as world:
        backlog = TickBacklog(world, records, TICKS)
        topics = TopicMap(ACCOUNT, world.settings.topic_prefix)
        await world.ports.bus.ensure_topics(topics.specs(world.settings.order_partitions))
        for name in names:
            async with world.running(("strategy", name)):
                pass  # a strategy begins with what comes after its first start, which leaves a checkpoint
            starts = await backlog.starts()
            ticks = await backlog.produce()
            ours.append(await _ours(world, name, backlog.topic, records, ticks))
            bare.append(await _bare(servers, topics.signals_raw, starts, records, ticks))
    return Comparison("tick → signal", "ticks", AIM, ours[1:], bare[1:])  # the first round warms up


async def _ours(world: World, name: str, topic: str, records: int, ticks: int) -> Cost:
    span = Span(records, ticks)
    async with (
        asyncio.timeout(PATIENCE),
        world.running(("strategy", name), watching=(topic, span)) as (service,),
    ):
        await span.ended.wait()
        if service.get_status().processed != ticks:
            raise RuntimeError(f"the strategy got {service.get_status().processed} of {ticks} ticks")
    return span.cost


class _Strategy:
    """A function call a tick, and a signal's event every so many."""

    def __init__(self) -> None:
        self.seen = 0
        self.pending: list[tuple[str, bytes]] = []

    def on_tick(self, tick: Tick) -> None:
        self.seen += 1
        if self.seen % EVERY == 0:
            self.pending.append(self._signal(tick))

    def _signal(self, tick: Tick) -> tuple[str, bytes]:
        name = f"bare-{self.seen}"
        signal = Signal(
            signal_id=name,
            strategy_id="bare",
            strategy_uid="bare",
            instrument_token=tick.token,
            symbol=symbol_of(tick.token),
            side=Side.BUY,
            order_type=OrderType.MARKET,
            quantity=Decimal(1),
            validity=Validity.DAY,
            expires_at=tick.ts + 10**10,
            reason=str(tick.ts),
        )
        event = Envelope(
            id=name,
            type=EventType.TRADING_SIGNAL,
            version=VERSION,
            ts=tick.ts,
            source="bare",
            account=ACCOUNT,
            key=signal.key,
            correlation_id=name,
            causation_id=str(tick.seq),
            data=signal,
        )
        return signal.key, _encode(event)


async def _bare(
    servers: Servers, topic: str, starts: dict[TopicPartition, int], records: int, ticks: int
) -> Cost:
    span, strategy = Span(records, ticks), _Strategy()
    async with (
        asyncio.timeout(PATIENCE),
        reading(servers, "bare.signals", starts) as consumer,
        storing(servers) as store,
        producing(servers) as producer,
    ):
        await produce(producer, topic, [("warm", b"")])  # knows the topic now, as a running service does
        while span.seen < records:
            fetched = await consumer.getmany(timeout_ms=1000, max_records=MAX_RECORDS)
            if not fetched:
                continue
            span.begin()
            offsets = {}
            for partition, batch in fetched.items():
                for record in batch:
                    for tick in _decode(record.value).ticks:
                        strategy.on_tick(tick)
                offsets[f"{partition.topic}/{partition.partition}"] = batch[-1].offset + 1
                span.seen += len(batch)
            if strategy.pending:
                checkpoint = _pack((offsets, strategy.seen, strategy.pending))
                await put(store, [("bare:checkpoint", checkpoint)])
                await produce(producer, topic, strategy.pending)
                strategy.pending = []
        span.end()
    return span.cost
