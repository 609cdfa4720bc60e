"""A small world for tests of the strategy runner: the memory bus and stores, prices and order news by hand."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from pydantic import Field

from alpha_panda.adapters.ids import SeededIds
from alpha_panda.adapters.memory.bus import MemoryBus
from alpha_panda.adapters.memory.checkpoints import CheckpointState, MemoryCheckpointStore
from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.adapters.memory.database import MemoryDatabase
from alpha_panda.adapters.memory.decisions import MemoryDecisionStore
from alpha_panda.adapters.memory.leases import LeaseState, MemoryLease
from alpha_panda.adapters.memory.statuses import MemoryStatusStore
from alpha_panda.cli.loading import parameters_model
from alpha_panda.contracts.codec import decode_event, encode_event, encode_ticks, payload_hash
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EventType, FeedMode, OrderStatus, Side, SignalClass, Verdict
from alpha_panda.contracts.events import (
    VERSION,
    CancelRequest,
    Envelope,
    OrderUpdate,
    RejectedSignal,
    Signal,
    Tick,
    TickBatch,
)
from alpha_panda.contracts.keys import strategy_lease
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.stored import Checkpoint, Decision, OrderFold, RiskSnapshot
from alpha_panda.contracts.topics import TopicMap, TopicSpec, market_ticks, tick_partition
from alpha_panda.domain.ids import event_id, order_id
from alpha_panda.ports import CheckpointStore, EventBus, Outgoing, Subscription, TopicPartition
from alpha_panda.runtime.context import Ports, ServiceContext
from alpha_panda.runtime.settings import Settings
from alpha_panda.sdk import Strategy, StrategyParameters
from alpha_panda.strategy.service import build

if TYPE_CHECKING:
    from alpha_panda.errors import StrategyError
    from alpha_panda.runtime.service import StreamService

API = "alphapanda.io/v1alpha1"
SECOND = 1_000_000_000
PARTITIONS = 2
A, B, C = 101, 102, 103
"""Tokens: A and B share a partition, C is alone in the other (checked below)."""
SYMBOLS = {A: "X:A", B: "X:B", C: "X:C"}
TICKS = market_ticks("demo")
assert [tick_partition(token, PARTITIONS) for token in (A, B, C)] in ([0, 0, 1], [1, 1, 0])

D = Decimal
S = OrderStatus


class ProbeParameters(StrategyParameters):
    breaks: str = Field(default="", description="Which callback raises.")
    at: float = Field(default=0.0, description="… at which price; 0: always.")
    bars: int = Field(default=0, description="Bars of so many seconds.")


class Probe(Strategy):
    """Trades by price: .25 sells one, .5 buys one, .75 cancels the last order. Its state is all that it has seen."""

    Parameters = ProbeParameters
    parameters: ProbeParameters

    @property
    def bar_seconds(self) -> int:
        return self.parameters.bars

    def on_start(self) -> None:
        self.seen: list[list[float]] = []
        self.last = ""
        self.orders: list[OrderUpdate] = []
        self.positions: list[Decimal] = []
        self.rejected: list[tuple[str, Code]] = []
        self.gaps: list[str] = []
        self.restored = False
        LIVES[cast("Any", self.runtime).key].append(self)
        self._break("on_start")

    def on_tick(self, tick: Tick) -> None:
        self._break("on_tick", tick.last_price)
        self.seen.append([tick.token, tick.last_price])
        reason = f"{len(self.seen)} seen, holding {self.position(tick.token)}"
        match tick.last_price % 1:
            case 0.25:
                self.last = self.sell(tick.token, 1, reason=reason)
            case 0.5:
                self.last = self.buy(tick.token, 1, reason=reason)
            case 0.75:
                self.cancel(self.last, reason)

    def on_order(self, order: OrderUpdate) -> None:
        self._break("on_order")
        self.orders.append(order)
        self.positions.append(self.position(order.instrument_token))

    def on_rejected(self, signal_id: str, code: Code, message: str) -> None:
        self._break("on_rejected")
        self.rejected.append((signal_id, code))

    def on_gap(self, reason: str) -> None:
        self._break("on_gap")
        self.gaps.append(reason)
        self.positions.append(self.position(A))

    def snapshot(self) -> object:
        if self.seen:
            self._break("snapshot", self.seen[-1][1])
        return {"seen": self.seen, "last": self.last}

    def restore(self, state: object) -> None:
        self._break("restore")
        assert isinstance(state, dict)
        self.seen, self.last, self.restored = state["seen"], state["last"], True

    @property
    def prices(self) -> list[float]:
        return [price for _, price in self.seen]

    def _break(self, where: str, price: float = 0.0) -> None:
        if self.parameters.breaks == where and self.parameters.at in (0.0, price):
            raise RuntimeError(f"broken in {where}")


LIVES: defaultdict[tuple[str, str], list[Probe]] = defaultdict(list)
"""Every instance that was started, by strategy and account."""


def strategy(name: str = "probe", tokens: Iterable[int] = (A,), **spec: Any) -> dict[str, Any]:
    uid = spec.pop("uid", None)
    base = {
        "class": spec.pop("cls", "unit.strategy.kit:Probe"),
        "marketFeed": "demo",
        "instruments": [SYMBOLS[token] for token in tokens],
        "accounts": ["paper"],
    }
    found = _resource("Strategy", name, {**base, **spec})
    if uid is not None:
        found["metadata"]["uid"] = uid
    return found


def _resource(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec}


def _manifests(strategies: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    instruments = [
        {"symbol": symbol, "token": token, "tickSize": "0.05", "referencePrice": "100"}
        for token, symbol in SYMBOLS.items()
    ]
    source = {"simulated": {"seed": 1, "ticksPerSecond": 1, "speed": 0}}
    feed = {"source": source, "instruments": instruments, "partitions": PARTITIONS}
    accounts = dict.fromkeys(name for item in strategies for name in item["spec"]["accounts"])
    paper = {"marketFeed": "demo", "paper": {"cash": "1000000"}}
    return [
        _resource("MarketFeed", "demo", feed),
        *(_resource("BrokerAccount", name, paper) for name in accounts),
        *strategies,
    ]


class World:
    """One bus, one store, one runner at a time (more, for zombies). Use within one event loop."""

    def __init__(self, clock: VirtualClock, *strategies: dict[str, Any], **settings: Any) -> None:
        self.clock = clock
        self.settings = Settings(order_partitions=2, **settings)
        self.bus = MemoryBus(clock, ids=SeededIds(1), retain_records=None)
        self.database = MemoryDatabase(clock, SeededIds(2))
        self.checkpoints: CheckpointStore = MemoryCheckpointStore(self.database)
        self.event_bus: EventBus = cast("EventBus", self.bus)
        self.ids = SeededIds(3)
        self.topics = TopicMap("paper")
        self.epoch = 1
        self.stopped: list[StrategyError] = []
        self.service: StreamService
        self.task: asyncio.Task[None]
        self._sequences: dict[tuple[int, int], int] = {}
        self.manifest(*(strategies or (strategy(),)))

    def manifest(self, *strategies: dict[str, Any]) -> None:
        """Replace the strategies: what the next start hosts."""
        self.resources = ResourceSet.from_documents(_manifests(strategies), parameters_model=parameters_model)
        self.hosted = ",".join(item["metadata"]["name"] for item in strategies)

    def context(self, instance: str = "pod-1") -> ServiceContext:
        absent = cast("Any", None)
        ports = Ports(
            clock=self.clock,
            ids=self.ids,
            bus=self.event_bus,
            prices=absent,
            journal=absent,
            decisions=self.decisions,
            checkpoints=self.checkpoints,
            control=absent,
            lease=MemoryLease(self.database),
            statuses=MemoryStatusStore(self.database),
            traders=absent,
            source=absent,
        )
        return ServiceContext(
            self.settings, ports, self.resources, self.hosted, instance, self.stopped.append
        )

    def decisions(self, account: str = "paper") -> MemoryDecisionStore:
        return MemoryDecisionStore(self.database, account)

    # --------------------------------------------------------------------------------------- the runner's life

    async def start(self) -> None:
        self.service = build(self.context())
        self.task = asyncio.create_task(self.service.run())
        await self.settle()

    def lease(self, runner: str = "probe") -> LeaseState:
        return self.database.section(self.database.keys.lease(strategy_lease(runner)), LeaseState)

    async def settle(self) -> None:
        await self.clock.advance(0)

    async def kill(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def restart(self) -> None:
        await self.kill()
        await self.start()

    async def stop(self) -> None:
        await self.service.stop()
        await self.task

    def probe(self, strategy: str = "probe", account: str = "paper") -> Probe:
        return LIVES[strategy, account][-1]

    def stored(self, strategy: str = "probe", account: str = "paper") -> Checkpoint:
        key = self.database.keys.checkpoint(strategy, account)
        found = self.database.section(key, CheckpointState).checkpoint
        assert found is not None
        return found

    # ------------------------------------------------------------------------------------------- what comes in

    async def send(self, *records: Outgoing) -> None:
        async with self.bus.producer("test") as producer:
            await producer.send(records)
        await self.settle()

    async def tick(self, token: int, *prices: float, seq: int | None = None, ts: int | None = None) -> None:
        await self.send(self.ticks(token, *prices, seq=seq, ts=ts))

    def ticks(self, token: int, *prices: float, seq: int | None = None, ts: int | None = None) -> Outgoing:
        """Return one record; sequences go on within the feed's epoch unless told."""
        first = self._sequences.get((self.epoch, token), 0) + 1 if seq is None else seq
        now = self.clock.now() if ts is None else ts
        made = [Tick(token, price, now, first + i) for i, price in enumerate(prices)]
        if seq is None:
            self._sequences[self.epoch, token] = made[-1].seq
        batch = TickBatch("demo", FeedMode.SIMULATED, self.epoch, now, made)
        return Outgoing(TICKS, encode_ticks(batch), partition=tick_partition(token, PARTITIONS))

    async def order(self, signal: Signal, status: OrderStatus, filled: str = "0", **changes: Any) -> None:
        await self.send(self.order_news(signal, status, filled, **changes))

    def order_news(
        self,
        signal: Signal,
        status: OrderStatus,
        filled: str = "0",
        *,
        account: str = "paper",
        **changes: Any,
    ) -> Outgoing:
        topics = TopicMap(account)
        event_type, topic = {
            S.PLACED: (EventType.ORDER_PLACED, topics.orders_submitted),
            S.PARTIALLY_FILLED: (EventType.ORDER_FILLED, topics.orders_filled),
            S.FILLED: (EventType.ORDER_FILLED, topics.orders_filled),
            S.CANCELLED: (EventType.ORDER_CANCELLED, topics.orders_cancelled),
            S.FAILED: (EventType.ORDER_FAILED, topics.orders_failed),
        }[status]
        fields: dict[str, Any] = {
            "signal_id": signal.signal_id,
            "order_id": order_id(signal.signal_id),
            "strategy_id": signal.strategy_id,
            "instrument_token": signal.instrument_token,
            "symbol": signal.symbol,
            "side": signal.side,
            "order_type": signal.order_type,
            "quantity": signal.quantity,
            "validity": signal.validity,
            "status": status,
            "rank": int(status.rank),
            "price": D(100) if D(filled) else None,
            "filled_quantity": D(filled),
        }
        return self.event(event_type, topic, OrderUpdate(**(fields | changes)), signal.key, account)

    def event(
        self, event_type: EventType, topic: str, data: OrderUpdate | RejectedSignal, key: str, account: str
    ) -> Outgoing:
        event = Envelope(
            id=event_id(key, event_type, 0),
            type=event_type,
            version=VERSION,
            ts=self.clock.now(),
            source="test",
            account=account,
            key=key,
            correlation_id="test",
            causation_id="test",
            data=data,
        )
        return Outgoing(topic, encode_event(event), key=key)

    async def reject(self, signal: Signal | CancelRequest, code: Code = Code.MAX_ORDER_VALUE) -> None:
        data = RejectedSignal(original_signal=signal, code=code, message="no", decided_at=1)
        topic = self.topics.signals_rejected
        await self.send(self.event(EventType.REJECTED_SIGNAL, topic, data, signal.key, "paper"))

    async def book(self, *rows: tuple[Signal, Verdict, OrderFold | None]) -> None:
        """Let risk have decided on signals and have folded their orders (None: not yet)."""
        store = self.decisions()
        epoch = (await store.claim("risk")).epoch
        for signal, verdict, _ in rows:
            await store.record(epoch, _decision(signal, verdict))
        folds = {signal.signal_id: fold for signal, _, fold in rows if fold is not None}
        await store.save(epoch, RiskSnapshot(offsets={}, state=b""), folds)

    # -------------------------------------------------------------------------------------------- what comes out

    async def events(self, topic: str, partitions: int = 1) -> list[Envelope]:
        wanted = tuple(TopicPartition(topic, number) for number in range(partitions))
        async with self.bus.consumer(Subscription("test", partitions=wanted)) as consumer:
            return [decode_event(record.value) for record in await consumer.fetch(10_000, timeout=0.0)]

    async def raw(self, account: str = "paper") -> list[Envelope]:
        return await self.events(TopicMap(account).signals_raw)

    async def signals(self, account: str = "paper") -> list[Signal]:
        return [event.data for event in await self.raw(account) if isinstance(event.data, Signal)]

    async def suppressed(self) -> list[Envelope]:
        return await self.events(self.topics.signals_rejected, 2)

    async def recreate(self, topic: str, partitions: int) -> None:
        """Delete a topic and create it anew, under another identity."""
        self.bus.delete_topic(topic)
        await self.bus.ensure_topics([TopicSpec(topic, partitions)])


def _decision(signal: Signal, verdict: Verdict) -> Decision:
    return Decision(
        signal=signal,
        verdict=verdict,
        signal_class=SignalClass.INCREASING,
        payload_hash=payload_hash(signal),
        risk_epoch="risk",
        journal_epoch="epoch",
        decided_at=1,
        correlation_id="corr",
        causation_id="cause",
        code=None if verdict is Verdict.VALIDATED else Code.MAX_ORDER_VALUE,
    )


def sides(signals: Iterable[Signal]) -> list[Side]:
    return [signal.side for signal in signals]
