"""An account on the memory adapters, without services: the parts of the order path that a test puts together."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from decimal import Decimal
from typing import Any, Self, cast

import msgspec

from alpha_panda.adapters.ids import SeededIds
from alpha_panda.adapters.memory.bus import MemoryBus
from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.adapters.memory.control import MemoryControlStore
from alpha_panda.adapters.memory.database import MemoryDatabase
from alpha_panda.adapters.memory.decisions import MemoryDecisionStore
from alpha_panda.adapters.memory.journal import MemoryOrderJournal
from alpha_panda.adapters.memory.leases import MemoryLease
from alpha_panda.adapters.memory.prices import MemoryPriceCache
from alpha_panda.compose.traders import ManifestTraders
from alpha_panda.contracts.codec import encode_event, payload_hash
from alpha_panda.contracts.enums import (
    EventType,
    FeedMode,
    OrderType,
    Side,
    SignalClass,
    TradingState,
    Validity,
    Verdict,
)
from alpha_panda.contracts.events import (
    VERSION,
    CancelRequest,
    Envelope,
    OrderUpdate,
    Signal,
    ValidatedSignal,
)
from alpha_panda.contracts.keys import tracker_lease
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.scopes import scopes_of
from alpha_panda.contracts.stored import Decision, JournalEntry, PriceRange, Quote
from alpha_panda.contracts.topics import TopicMap
from alpha_panda.domain.ids import event_id, signal_id
from alpha_panda.engine.service import Engine
from alpha_panda.errors import DependencyUnavailableError, RecordError, UnknownOutcomeError
from alpha_panda.order_tracker.service import OrderTracker
from alpha_panda.ports import Outgoing, Producer, Record
from alpha_panda.runtime.context import Ports, ServiceContext
from alpha_panda.runtime.metrics.metrics import Metrics
from alpha_panda.runtime.records import event_of
from alpha_panda.runtime.settings import Settings
from alpha_panda.testing.pipeline import SpyTrader

FEED, ACCOUNT, STRATEGY = "demo", "paper", "alpha"
TOKEN, SYMBOL = 738561, "NSE:RELIANCE"
OTHER_TOKEN = 2953217
SECOND = 1_000_000_000
LINEAGE = "00000000-0000-4000-8000-000000000000"
LONG = 1e6

Harm = Callable[[str, Callable[[], Awaitable[Any]]], Awaitable[Any]]
"""Makes the call of that name, or does harm instead, before or after."""


def documents(
    feed: Mapping[str, Any] | None = None,
    account: Mapping[str, Any] | None = None,
    paper: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    instruments = [
        {"symbol": SYMBOL, "token": TOKEN, "tickSize": "0.05", "referencePrice": "2500"},
        {"symbol": "NSE:TCS", "token": OTHER_TOKEN, "tickSize": "0.05", "referencePrice": "3900"},
    ]
    specs: dict[tuple[str, str], dict[str, Any]] = {
        ("MarketFeed", FEED): {
            "source": {"simulated": {"seed": 1, "ticksPerSecond": 1}},
            "instruments": instruments,
            **(feed or {}),
        },
        ("BrokerAccount", ACCOUNT): {
            "marketFeed": FEED,
            "paper": {"cash": "1000000", **(paper or {})},
            **(account or {}),
        },
    }
    return [
        {"apiVersion": "alphapanda.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}
        for (kind, name), spec in specs.items()
    ]


class Through:
    """A port whose every call goes through a `Harm`."""

    def __init__(self, name: str, target: object, harm: Harm) -> None:
        self._name, self._target, self._harm = name, target, harm

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._target, name)
        if not asyncio.iscoroutinefunction(value):
            return value

        async def call(*args: Any, **kwargs: Any) -> Any:
            return await self._harm(f"{self._name}.{name}", lambda: value(*args, **kwargs))

        return call


class Calls:
    """A `Harm` that notes the calls, and at the `nth` (from 1) of some name does what it was told."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.plans: list[tuple[str, int, str]] = []

    def plan(self, how: str, name: str = "", nth: int = 1) -> None:
        """How: "kill before", "kill after", "refuse", "lose reply", "lose request"; name "": any call."""
        self.plans.append((name, nth, how))

    def count(self, name: str) -> int:
        return self.names.count(name)

    async def __call__(self, name: str, call: Callable[[], Awaitable[Any]]) -> Any:
        self.names.append(name)
        how = self._due(name)
        if how == "kill before":
            raise asyncio.CancelledError
        if how == "refuse":
            raise DependencyUnavailableError("store", f"{name} refused by plan")
        if how == "lose request":
            raise UnknownOutcomeError(f"{name} lost by plan, and its reply too")
        result = await call()
        if how == "kill after":
            raise asyncio.CancelledError
        if how == "lose reply":
            if name.startswith("producer"):
                raise DependencyUnavailableError("bus", f"{name} not acknowledged, by plan")
            raise UnknownOutcomeError(f"reply of {name} lost by plan")
        return result

    def _due(self, name: str) -> str:
        for index, (wanted, nth, how) in enumerate(self.plans):
            if wanted in ("", name):
                self.plans[index] = (wanted, nth - 1, how)
                if nth == 1:
                    del self.plans[index]
                    return how
        return ""


class ServiceStub:
    """What engine and tracker use of their StreamService."""

    def __init__(self, producer: Producer) -> None:
        self.producer = producer
        self.processed = 0
        self.errors = 0
        self.steps = 0

    def progressed(self) -> None:
        self.steps += 1

    def record_error(self, error: BaseException | None = None) -> None:
        self.errors += 1

    def record_processed(self, n: int, event_ts: int) -> None:
        self.processed += n


class Desk:
    """Stores, bus, broker and prices of one paper account; `async with` opens it ready to trade."""

    def __init__(
        self,
        clock: VirtualClock,
        *,
        manifests: list[dict[str, Any]] | None = None,
        ready: bool = True,
        yields: bool = False,
        **settings: Any,
    ) -> None:
        self.clock = clock
        self.settings = Settings(**settings)
        self.resources = ResourceSet.from_documents(manifests or documents())
        self.database = MemoryDatabase(clock, SeededIds(2), yields=yields)
        self.bus = MemoryBus(clock, ids=SeededIds(1))
        self.journal = MemoryOrderJournal(self.database, ACCOUNT)
        self.decisions = MemoryDecisionStore(self.database, ACCOUNT)
        self.control = MemoryControlStore(self.database)
        self.prices = MemoryPriceCache(self.database)
        self.leases = MemoryLease(self.database)
        self.broker = SpyTrader(ManifestTraders(self.resources, clock).trader(ACCOUNT))
        self.topics = TopicMap(ACCOUNT)
        self.records: list[Record] = []
        self.metrics = Metrics()
        self.lease = 0
        self.risk = ""
        self.epoch = ""
        self._ready = ready
        self._stack = AsyncExitStack()
        self._sent = 0
        self._seq = 0
        self._services = 0
        self.producer: Producer

    async def __aenter__(self) -> Self:
        self.bus.observe(self.records.append)
        await self.bus.ensure_topics(self.topics.specs(self.settings.order_partitions))
        self.producer = await self._stack.enter_async_context(self.bus.producer("test"))
        await self.take_over()
        if self._ready:
            await self.open_epoch()
            await self.state(TradingState.ACTIVE)
            await self.quote(2500.0)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()

    async def take_over(self) -> None:
        """Become order-tracker and risk (again)."""
        lease = await self.leases.acquire(tracker_lease(ACCOUNT), "tracker", LONG)
        assert lease is not None
        self.lease = lease
        self.risk = (await self.decisions.claim("risk")).epoch

    async def open_epoch(self) -> None:
        self.epoch = await self.journal.write_epoch(self.lease, await self.journal.run_id())

    async def state(self, state: TradingState, *scopes: str, ttl: float = LONG) -> None:
        for scope in scopes or scopes_of(ACCOUNT, STRATEGY):
            await self.control.put_spec(scope, state, ttl)

    # ------------------------------------------------------------------------------------------- prices

    async def quote(
        self, price: float, *, token: int = TOKEN, mode: FeedMode = FeedMode.SIMULATED, age: float = 0
    ) -> None:
        """Write a quote, `age` seconds old; the heartbeat is of now."""
        self._seq += 1
        ts = self.clock.now() - round(age * SECOND)
        quote = Quote(price, ts, FEED, mode, 1, self._seq)
        await self.prices.write(FEED, 1, {token: quote}, {0: self.clock.now()}, 1)

    async def range(
        self,
        low: float,
        high: float,
        last: float,
        *,
        token: int = TOKEN,
        since: int | None = None,
        bars: bool = False,
    ) -> None:
        """Publish a range that ends now, and its last price as the quote."""
        await self.quote(last, token=token)
        now = self.clock.now()
        item = PriceRange(
            0,
            token,
            low,
            high,
            last,
            now,
            self._seq,
            self._seq,
            FeedMode.SIMULATED,
            now if since is None else since,
            bars,
        )
        await self.prices.publish_ranges(FEED, [item])

    # ------------------------------------------------------------------------------------------ signals

    def signal(self, n: int = 1, **changes: Any) -> Signal:
        """Return a market BUY of 10, good for 10 s; the n-th of its strategy."""
        fields: dict[str, Any] = {
            "signal_id": signal_id(LINEAGE, ACCOUNT, n),
            "strategy_id": STRATEGY,
            "strategy_uid": STRATEGY,
            "instrument_token": TOKEN,
            "symbol": SYMBOL,
            "side": Side.BUY,
            "order_type": OrderType.MARKET,
            "quantity": Decimal(10),
            "validity": Validity.DAY,
            "expires_at": self.clock.now() + 10 * SECOND,
        }
        return Signal(**(fields | changes))

    def limit(self, n: int = 1, price: str = "2400", **changes: Any) -> Signal:
        """Return a limit BUY that rests at a price of 2500."""
        return self.signal(n, order_type=OrderType.LIMIT, limit_price=Decimal(price), **changes)

    def cancel_request(self, order: Signal, n: int = 90) -> CancelRequest:
        return CancelRequest(
            signal_id=signal_id(LINEAGE, ACCOUNT, n),
            strategy_id=order.strategy_id,
            strategy_uid=order.strategy_uid,
            instrument_token=order.instrument_token,
            symbol=order.symbol,
            order_signal_id=order.signal_id,
        )

    async def validated(
        self,
        signal: Signal | CancelRequest,
        signal_class: SignalClass = SignalClass.INCREASING,
        *,
        stored: bool = True,
    ) -> Record:
        """Decide as risk does, produce VALIDATED_SIGNAL, and return its record."""
        if isinstance(signal, CancelRequest):
            signal_class = SignalClass.CANCEL
        decision = Decision(
            signal=signal,
            verdict=Verdict.VALIDATED,
            signal_class=signal_class,
            payload_hash=payload_hash(signal),
            risk_epoch=self.risk,
            journal_epoch=self.epoch,
            decided_at=self.clock.now(),
            correlation_id=signal.signal_id,
            causation_id="tick",
        )
        if stored:
            await self.decisions.record(self.risk, decision)
        event = self.event(
            EventType.VALIDATED_SIGNAL,
            signal,
            ValidatedSignal(
                original_signal=signal,
                signal_class=signal_class,
                payload_hash=decision.payload_hash,
                risk_epoch=decision.risk_epoch,
                journal_epoch=decision.journal_epoch,
                decided_at=decision.decided_at,
            ),
        )
        return await self.produce(self.topics.signals_validated, event)

    def event(self, event_type: EventType, signal: Signal | CancelRequest, data: Any) -> Envelope:
        return Envelope(
            id=event_id(signal.signal_id, event_type, 0),
            type=event_type,
            version=VERSION,
            ts=self.clock.now(),
            source="risk/paper",
            account=ACCOUNT,
            key=signal.key,
            correlation_id=signal.signal_id,
            causation_id="tick",
            data=data,
        )

    async def produce(self, topic: str, event: Envelope) -> Record:
        await self.producer.send([Outgoing(topic, encode_event(event), key=event.key)])
        return self.records[-1]

    # ----------------------------------------------------------------------------------------- services

    def engine(self, harm: Harm | None = None) -> Engine:
        """Return a fresh engine; all its calls go through `harm`."""
        context, producer = self._context(harm)
        engine = Engine(context)
        engine.service = cast("Any", ServiceStub(producer))
        return engine

    async def tracker(
        self, harm: Harm | None = None, *, leads: bool = True, live: bool = False
    ) -> OrderTracker:
        """Return a fresh order-tracker that leads; `live`: as if the account's broker were a real one."""
        context, producer = self._context(harm)
        if live:
            account = context.resources.accounts[ACCOUNT]
            spec = account.spec.model_copy(update={"paper": None})
            accounts = {ACCOUNT: account.model_copy(update={"spec": spec})}
            context = replace(context, manifests=cast("Any", _Resources(self.resources.feeds, accounts)))
        tracker = OrderTracker(context)
        tracker.service = cast("Any", ServiceStub(producer))
        if leads:
            await tracker.lead(self.lease)
        return tracker

    def _context(self, harm: Harm | None) -> tuple[ServiceContext, Producer]:
        self._services += 1

        def tapped(name: str, target: object) -> Any:
            return target if harm is None else Through(name, target, harm)

        journal, broker = tapped("journal", self.journal), tapped("trader", self.broker)
        absent = cast("Any", None)
        ports = Ports(
            clock=self.clock,
            ids=SeededIds(100 + self._services),
            bus=self.bus,
            prices=tapped("prices", self.prices),
            journal=lambda _: journal,
            decisions=absent,
            checkpoints=absent,
            control=tapped("control", self.control),
            lease=self.leases,
            statuses=absent,
            traders=cast("Any", _Traders(broker)),
            source=absent,
        )
        context = ServiceContext(
            self.settings, ports, self.resources, ACCOUNT, f"pod-{self._services}", metrics=self.metrics
        )
        return context, tapped("producer", self.producer)

    async def place(self, signal: Signal, signal_class: SignalClass = SignalClass.INCREASING) -> JournalEntry:
        """Let an engine execute the signal; return its entry."""
        await self.engine().handle([await self.validated(signal, signal_class)])
        return await self.entry(signal)

    # -------------------------------------------------------------------------------------- look inside

    async def entry(self, signal: Signal) -> JournalEntry:
        entry = await self.journal.get(signal.signal_id)
        assert entry is not None
        return entry

    async def open_ids(self) -> list[str]:
        return [entry.signal_id for entry in await self.journal.unacknowledged()]

    def events(self) -> list[Envelope]:
        """Return the order events so far."""
        found = []
        for record in self.records:
            try:
                event = event_of(record)
            except RecordError:
                continue
            if isinstance(event.data, OrderUpdate):
                found.append(event)
        return found

    def updates(self) -> list[tuple[EventType, OrderUpdate]]:
        return [(event.type, cast("OrderUpdate", event.data)) for event in self.events()]

    def told(self) -> list[EventType]:
        return [event.type for event in self.events()]


class _Traders:
    def __init__(self, trader: object) -> None:
        self._trader = trader

    def trader(self, account: str) -> Any:
        return self._trader


class _Resources:
    def __init__(self, feeds: Any, accounts: Any) -> None:
        self.feeds, self.accounts = feeds, accounts
        self.strategies: dict[str, Any] = {}
        self.problem = None

    @property
    def resources(self) -> "_Resources":
        return self

    def strategies_of(self, account: str) -> tuple[Any, ...]:
        return ()


def bytes_of(events: Sequence[Envelope]) -> list[bytes]:
    return [msgspec.json.encode(event) for event in events]
