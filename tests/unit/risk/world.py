"""One account's risk service alone on the memory adapters: what it reads is put in by hand, what it writes is seen."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, Final

import msgspec

from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.adapters.memory.decisions import MemoryDecisionStore
from alpha_panda.adapters.memory.journal import MemoryOrderJournal
from alpha_panda.adapters.memory.leases import LeaseState
from alpha_panda.compose.ports import memory_ports
from alpha_panda.contracts.codec import decode_event, encode_event
from alpha_panda.contracts.enums import (
    EntryState,
    EventType,
    FeedMode,
    OrderStatus,
    OrderType,
    Side,
    SignalClass,
    TradingState,
    Validity,
)
from alpha_panda.contracts.events import (
    VERSION,
    CancelRequest,
    Envelope,
    OrderUpdate,
    PortfolioSnapshot,
    Signal,
)
from alpha_panda.contracts.keys import risk_lease, tracker_lease
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.scopes import PLATFORM, account_scope, strategy_scope
from alpha_panda.contracts.stored import Decision, JournalEntry, Latch, Quote
from alpha_panda.contracts.topics import DLQ_SUFFIX, TopicMap
from alpha_panda.domain.ids import broker_tag, event_id
from alpha_panda.domain.order_events import order_topic
from alpha_panda.ports import Outgoing, Record
from alpha_panda.risk import service as risk_service
from alpha_panda.runtime.context import ServiceContext
from alpha_panda.runtime.service import StreamService
from alpha_panda.runtime.settings import Settings
from alpha_panda.testing.taps import Harm, Taps

D = Decimal
BUY, SELL = Side.BUY, Side.SELL
RELIANCE, TCS = 738561, 2953217
SYMBOLS: Final = {RELIANCE: "NSE:RELIANCE", TCS: "NSE:TCS"}
SECOND = 1_000_000_000
FOREVER = 4_000_000_000 * SECOND
ACCOUNT = "paper"
API = "alphapanda.io/v1alpha1"
_TYPES: Final = {
    OrderStatus.PLACED: EventType.ORDER_PLACED,
    OrderStatus.PARTIALLY_FILLED: EventType.ORDER_FILLED,
    OrderStatus.FILLED: EventType.ORDER_FILLED,
    OrderStatus.CANCELLED: EventType.ORDER_CANCELLED,
    OrderStatus.FAILED: EventType.ORDER_FAILED,
    OrderStatus.LOST: EventType.ORDER_FAILED,
}

Document = dict[str, Any]


def documents(
    *,
    risk: Document | None = None,
    paper: Document | None = None,
    instruments: Sequence[str] = tuple(SYMBOLS.values()),
    strategy_risk: Document | None = None,
    strategies: Iterable[str] = ("alpha", "beta"),
    **account: Any,
) -> list[Document]:
    """A 24/7 feed of two instruments, the account `paper` of 1,000,000 without limits, two strategies."""
    tokens = {symbol: token for token, symbol in SYMBOLS.items()}
    named = [
        {"symbol": item, "token": tokens[item], "tickSize": "0.05", "referencePrice": "100"}
        for item in instruments
    ]
    limits = {"maxOrdersPerSecond": None, **(risk or {})}
    spec = {"marketFeed": "demo", "paper": {"cash": "1000000", **(paper or {})}, "risk": limits, **account}
    trading = {
        "type": "momentum",
        "marketFeed": "demo",
        "instruments": list(instruments),
        "accounts": [ACCOUNT],
    }
    source = {"simulated": {"seed": 1}}
    feed = {"source": source, "calendar": "24/7", "instruments": named, "staleAfterSeconds": 86_400}
    return [
        _resource("MarketFeed", "demo", feed),
        _resource("BrokerAccount", ACCOUNT, spec),
        *(_resource("Strategy", name, {**trading, "risk": strategy_risk or {}}) for name in strategies),
    ]


def _resource(kind: str, name: str, spec: Document) -> Document:
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec}


class RiskWorld:
    """The bus, the stores, and risk services on them; `records` is everything that was ever produced."""

    def __init__(
        self, clock: VirtualClock, manifests: list[Document] | ResourceSet | None = None, **settings: Any
    ) -> None:
        self.clock = clock
        self.settings = Settings(**settings)
        given = documents() if manifests is None else manifests
        self.resources = given if isinstance(given, ResourceSet) else ResourceSet.from_documents(given)
        self.bus, self.ports = memory_ports(self.resources, self.settings, clock, seed=1)
        self.topics = TopicMap(ACCOUNT)
        self.records: list[Record] = []
        self.bus.observe(self.records.append)
        self.taps = Taps(self._kill)
        self.services: dict[str, StreamService] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self._seq = 0

    @property
    def decisions(self) -> MemoryDecisionStore:
        store = self.ports.decisions(ACCOUNT)
        assert isinstance(store, MemoryDecisionStore)
        return store

    @property
    def journal(self) -> MemoryOrderJournal:
        journal = self.ports.journal(ACCOUNT)
        assert isinstance(journal, MemoryOrderJournal)
        return journal

    async def open(self, *, epoch: bool = True, prices: bool = True) -> "RiskWorld":
        """Make the topics, let all scopes trade, price both instruments at 100, and write the journal's epoch."""
        await self.bus.ensure_topics(self.topics.specs(self.settings.order_partitions))
        for scope in (PLATFORM, account_scope(ACCOUNT), strategy_scope("alpha"), strategy_scope("beta")):
            await self.ports.control.put_spec(scope, TradingState.ACTIVE, 1e6)
        if prices:
            await self.price({RELIANCE: 100.0, TCS: 100.0})
        if epoch:
            await self.write_epoch()
        return self

    async def write_epoch(self) -> None:
        lease = await self.ports.lease.acquire(tracker_lease(ACCOUNT), "tracker", 1e6)
        assert lease is not None
        await self.journal.write_epoch(lease, await self.journal.run_id())

    def database_restart(self) -> None:
        """Let the store come back with all it held, as another run."""
        self.journal.database.restart()

    @property
    def lease(self) -> LeaseState:
        """What the store holds of risk's own lease."""
        database = self.journal.database
        return database.section(database.keys.lease(risk_lease(ACCOUNT)), LeaseState)

    def expire_lease(self) -> None:
        """Let risk's lease run out though its holder still runs: from now on that may be a zombie."""
        self.lease.expires_at = 0

    async def price(self, prices: dict[int, float]) -> None:
        self._seq += 1
        now = self.clock.now()
        quotes = {
            token: Quote(price, now, "demo", FeedMode.SIMULATED, 1, self._seq)
            for token, price in prices.items()
        }
        await self.ports.prices.write("demo", 1, quotes, dict.fromkeys(range(4), now), 4)

    # ------------------------------------------------------------------------------------------ services

    def build(self, member: str = "risk") -> StreamService:
        context = ServiceContext(
            self.settings, self.taps.wrap(member, self.ports), self.resources, ACCOUNT, member
        )
        return risk_service.build(context)

    async def start(self, member: str = "risk") -> "asyncio.Task[None]":
        """Start a risk service and wait until all is at rest."""
        self.services[member] = self.build(member)
        self.tasks[member] = asyncio.create_task(self.services[member].run(), name=member)
        await self.settle()
        return self.tasks[member]

    async def _kill(self, member: str) -> None:
        await self.kill(member)

    async def kill(self, member: str = "risk") -> BaseException | None:
        """End a service as SIGKILL would; return what it had ended with, if it had ended by itself."""
        task = self.tasks[member]
        task.cancel()
        (found,) = await asyncio.gather(task, return_exceptions=True)
        return found if isinstance(found, Exception) else None

    async def restart(self, member: str = "risk") -> "asyncio.Task[None]":
        await self.kill(member)
        return await self.start(member)

    async def end(self, member: str = "risk") -> BaseException | None:
        """Wait for a service that must end by itself, and return its error."""
        (found,) = await asyncio.gather(asyncio.shield(self.tasks[member]), return_exceptions=True)
        return found

    @asynccontextmanager
    async def running(self) -> AsyncIterator["asyncio.Task[None]"]:
        """Run risk until the block is left; then whatever still runs is killed."""
        try:
            yield await self.start()
        finally:
            for member in self.tasks:
                await self.kill(member)

    async def settle(self) -> None:
        """Let everything run that needs no time to pass."""
        await self.clock.advance(0)

    async def pass_seconds(self, seconds: int) -> None:
        for _ in range(seconds):
            await self.clock.advance(1)
        await self.settle()

    def plan(self, operation: str, harm: Harm, *, nth: int = 1, member: str = "risk") -> None:
        self.taps.plan(member, operation, harm, nth=nth)

    # ------------------------------------------------------------------------------------------ input

    def raw(self, payload: Signal | CancelRequest) -> Outgoing:
        kind = EventType.TRADING_SIGNAL if isinstance(payload, Signal) else EventType.CANCEL_REQUEST
        event = Envelope(
            id=event_id(payload.signal_id, kind, 0),
            type=kind,
            version=VERSION,
            ts=self.clock.now(),
            source=f"strategy/{payload.strategy_id}",
            account=ACCOUNT,
            key=payload.key,
            correlation_id=payload.signal_id,
            causation_id="tick",
            data=payload,
        )
        return Outgoing(self.topics.signals_raw, encode_event(event), event.key)

    def order(self, update: OrderUpdate) -> Outgoing:
        kind = EventType.ORDER_UPDATED if update.correction else _TYPES[update.status]
        event = Envelope(
            id=event_id(update.signal_id, kind, update.revision),
            type=kind,
            version=VERSION,
            ts=self.clock.now(),
            source="engine",
            account=ACCOUNT,
            key=f"{update.strategy_id}:{update.instrument_token}",
            correlation_id=update.signal_id,
            causation_id="",
            data=update,
        )
        return Outgoing(order_topic(self.topics, kind), encode_event(event), event.key)

    async def put(self, *records: Outgoing) -> None:
        """Produce records at once and wait until all is at rest."""
        async with self.bus.producer("test") as producer:
            await producer.send(records)
        await self.settle()

    async def signal(
        self, signal_id: str, side: Side = BUY, quantity: int | str = 10, **changes: Any
    ) -> Signal:
        made = signal(signal_id, side, quantity, **changes)
        await self.put(self.raw(made))
        return made

    async def fill(
        self, of: Signal, price: int | str = 100, quantity: int | str | None = None, **changes: Any
    ) -> None:
        """Tell that an order filled: all of it, or `quantity` in all so far."""
        await self.put(self.order(filled(of, price, quantity, **changes)))

    async def doubt(self, of: Signal, **changes: Any) -> None:
        """Put an order in doubt into the journal, as an orphan learnt by the tracker would be."""
        entry = JournalEntry(
            signal=of,
            state=EntryState.UNKNOWN,
            signal_class=SignalClass.INCREASING,
            tag=broker_tag(of.signal_id),
            revision=0,
            send_by=0,
            updated_at=0,
            correlation_id="corr",
            causation_id="cause",
        )
        lease = await self.ports.lease.acquire(tracker_lease(ACCOUNT), "tracker", 1e6)
        assert lease is not None
        await self.journal.adopt(
            lease, await self.journal.run_id(), [msgspec.structs.replace(entry, **changes)]
        )

    # ------------------------------------------------------------------------------------------ output

    def values(self, topic: str) -> list[bytes]:
        return [record.value for record in self.records if record.topic == topic]

    def events(self, topic: str) -> list[Envelope]:
        return [decode_event(value) for value in self.values(topic)]

    def told(self) -> list[tuple[str, str]]:
        """(signal id, event type) of all decisions told so far."""
        topics = (self.topics.signals_validated, self.topics.signals_rejected)
        events = [decode_event(record.value) for record in self.records if record.topic in topics]
        return [(event.data.original_signal.signal_id, event.type.value) for event in events]  # type: ignore[union-attr]

    def codes(self) -> dict[str, str]:
        """The code of each rejection told, by signal id."""
        rejected = self.events(self.topics.signals_rejected)
        return {event.data.original_signal.signal_id: event.data.code.value for event in rejected}  # type: ignore[union-attr]

    def letters(self, topic: str) -> list[tuple[bytes, str]]:
        """(value, code) of each dead letter of a topic."""
        found = (record for record in self.records if record.topic == topic + DLQ_SUFFIX)
        return [(item.value, dict(item.headers)["dlq.code"].decode()) for item in found]

    def books(self) -> list[PortfolioSnapshot]:
        found = [event.data for event in self.events(self.topics.portfolio)]
        assert all(isinstance(item, PortfolioSnapshot) for item in found)
        return found  # type: ignore[return-value]

    async def latches(self, scope: str = account_scope(ACCOUNT)) -> dict[str, Latch]:
        (reading,) = await self.ports.control.read((scope,))
        return {latch.latch_id: latch for latch in reading.latches}

    def controls(self) -> list[tuple[str, str, str]]:
        """(scope, latch id, state) of every CONTROL_CHANGED, repeats once."""
        found = {event.id: event.data for event in self.events(self.topics.control)}
        return [(item.scope, item.latch_id, item.state.value) for item in found.values()]  # type: ignore[union-attr]

    async def stored(self, signal_id: str) -> Decision:
        found = await self.decisions.get(signal_id)
        assert found is not None
        return found

    async def offset(self, topic: str) -> int:
        """The stored next offset of a topic, all partitions added up."""
        snapshot = (await self.claimed()).snapshot
        if snapshot is None:
            return 0
        return sum(n for place, n in snapshot.offsets.items() if place.rpartition("/")[0] == topic)

    async def claimed(self) -> Any:
        """What the store holds, without claiming it."""
        return self.decisions._state()


def signal(signal_id: str, side: Side = BUY, quantity: int | str = 10, **changes: Any) -> Signal:
    """A MARKET order of strategy alpha on RELIANCE that never expires."""
    token = changes.pop("token", RELIANCE)
    made = Signal(
        signal_id=signal_id,
        strategy_id=changes.pop("strategy", "alpha"),
        strategy_uid="uid",
        instrument_token=token,
        symbol=SYMBOLS[token],
        side=side,
        order_type=OrderType.MARKET,
        quantity=D(quantity),
        validity=Validity.DAY,
        expires_at=FOREVER,
    )
    return msgspec.structs.replace(made, **changes)


def cancel(signal_id: str, order: Signal) -> CancelRequest:
    return CancelRequest(
        signal_id=signal_id,
        strategy_id=order.strategy_id,
        strategy_uid=order.strategy_uid,
        instrument_token=order.instrument_token,
        symbol=order.symbol,
        order_signal_id=order.signal_id,
    )


def update(of: Signal, status: OrderStatus, **changes: Any) -> OrderUpdate:
    """An event of the signal's order."""
    made = OrderUpdate(
        signal_id=of.signal_id,
        order_id=broker_tag(of.signal_id),
        strategy_id=of.strategy_id,
        instrument_token=of.instrument_token,
        symbol=of.symbol,
        side=of.side,
        order_type=of.order_type,
        quantity=of.quantity,
        validity=of.validity,
        status=status,
        rank=int(status.rank),
    )
    return msgspec.structs.replace(made, **changes)


def filled(
    of: Signal, price: int | str = 100, quantity: int | str | None = None, **changes: Any
) -> OrderUpdate:
    """A fill: the whole order, or `quantity` in all so far."""
    done = of.quantity if quantity is None else D(quantity)
    status = OrderStatus.FILLED if done >= of.quantity else OrderStatus.PARTIALLY_FILLED
    return update(of, status, **{"price": D(price), "filled_quantity": done, **changes})
