"""Signal → paper order: risk and engine, an order-tracker beside them, against bare loops (`bare_orders`).

A round: 1,000 raw signals, each of another key (10 strategies, 100 instruments: two orders of one key that overlap are
refused as in doubt), are produced while the services run, and are filled on paper.

Ours: the three services as they run in pods, in this process: every check of the gate, the fold of the fills into
books, portfolio snapshots, BEGIN and settle as scripts, orders of different keys side by side.

Two bare sides, tasks of this process. The aim is that of issue 4, "a bare loop that does the same durable writes": as
many of them, of the same sizes, each after what it must wait for (`AsOurs`). The other one writes less, and a whole
batch at a time, before it knows what became of its first order, which no engine may (`AtOnce`): what that rule costs.

All are timed from the production of the signals to the moment when the engine, or who stands for it, has committed the
last.
"""

import asyncio
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final
from uuid import uuid4

from bench.bare_orders import PRICE, AsOurs, AtOnce, Likeness, event_of, run, topic_specs
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

from alpha_panda.contracts.codec import encode_event
from alpha_panda.contracts.enums import EventType, FeedMode, OrderType, Side, Validity
from alpha_panda.contracts.events import Envelope, Signal
from alpha_panda.contracts.stored import Quote
from alpha_panda.contracts.topics import TopicMap
from alpha_panda.ports import Outgoing, Subscription

AIM: Final = 0.50
INSTRUMENTS: Final = 100
STRATEGIES: Final = tuple(f"s{number}" for number in range(10))
SIGNALS: Final = INSTRUMENTS * len(STRATEGIES)


@dataclass(frozen=True, slots=True)
class OrderResult:
    """Ours against the loop that writes the same, and against the one that does what an engine may not."""

    as_ours: Comparison
    at_once: Comparison

    def as_json(self) -> dict[str, Any]:
        """Return the figures; the aim is that of the first."""
        return {**self.as_ours.as_json(), "at_once": self.at_once.as_json()}


async def compare(servers: Servers, *, rounds: int) -> OrderResult:
    """Return the costs of a signal on all sides; the rounds take turns."""
    ours, as_ours, at_once = [], [], []
    async with opened_world(servers, "orders", instruments=INSTRUMENTS, strategies=STRATEGIES) as world:
        await _prepare(world)
        for number in range(rounds + 1):
            side = Side.BUY if number % 2 == 0 else Side.SELL  # the books come back to nothing
            ours.append(await _ours(world, side))
            like = await _likeness(world)
            as_ours.append(await run(AsOurs(world, SIGNALS, like), world, _signals(world, side)))
            at_once.append(await run(AtOnce(world, SIGNALS), world, _signals(world, side)))
    # The first round warms up.
    return OrderResult(
        Comparison("signal → paper order", "orders", AIM, ours[1:], as_ours[1:]),
        Comparison("signal → paper order, a batch at once", "orders", AIM, ours[1:], at_once[1:]),
    )


async def _prepare(world: World) -> None:
    """Prices of all instruments, trading states, topics."""
    ports, now = world.ports, world.ports.clock.now()
    await world.keep_trading()
    tokens = range(FIRST_TOKEN, FIRST_TOKEN + INSTRUMENTS)
    quotes = {token: Quote(float(PRICE), now, FEED, FeedMode.SIMULATED, 1, 1) for token in tokens}
    await ports.prices.write(FEED, 1, quotes, dict.fromkeys(range(PARTITIONS), now), PARTITIONS)
    partitions = world.settings.order_partitions
    await ports.bus.ensure_topics(TopicMap(ACCOUNT, world.settings.topic_prefix).specs(partitions))
    await ports.bus.ensure_topics(topic_specs(world))


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
    return [event_of(signal, EventType.TRADING_SIGNAL, signal, now) for signal in signals]


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


async def _likeness(world: World) -> Likeness:
    """Look at what ours has written, so that the bare side's values have its sizes."""
    ports, topics = world.ports, TopicMap(ACCOUNT, world.settings.topic_prefix)
    claim = await ports.decisions(ACCOUNT).claim("bench")
    subscription = Subscription("", partitions=tuple(await ports.bus.offsets(topics.portfolio)))
    async with ports.bus.consumer(subscription) as consumer:
        for partition, (_, end) in (await ports.bus.offsets(topics.portfolio)).items():
            await consumer.seek(partition, end - 1)
        (*_, book) = await consumer.fetch(1)
    return Likeness(
        checks=next(iter(claim.decisions.values())).checks,
        snapshot_bytes=0 if claim.snapshot is None else len(claim.snapshot.state),
        portfolio_bytes=len(book.value),
    )
