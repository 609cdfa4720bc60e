"""The whole pipeline in a test: every service from manifests, prices by hand, time that moves when told to.

async with Pipeline(MANIFESTS) as pipeline:                       # on an IdleAwareEventLoop, see pytest_plugin
    await pipeline.tick("NSE:RELIANCE", 2500.0)
    signal_id = await pipeline.signal("momentum-reliance", "NSE:RELIANCE", Side.BUY, "1")
    assert pipeline.events(EventType.ORDER_FILLED)[0].data.signal_id == signal_id

What is under test is what `alpha-panda run` runs: `compose.EmbeddedRun` over the memory adapters.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Protocol, Self, cast

import msgspec
import yaml

from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.adapters.memory.database import MemoryDatabase
from alpha_panda.adapters.memory.journal import MemoryOrderJournal  # noqa: TC001 - one style of imports
from alpha_panda.adapters.memory.loop import IdleAwareEventLoop
from alpha_panda.cli.loading import parameters_model
from alpha_panda.compose.embedded import EmbeddedRun, Member, RunOptions
from alpha_panda.compose.summary import RunSummary  # noqa: TC001 - as above
from alpha_panda.contracts.codec import encode_event
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EventType, FeedMode, OrderType, Side, TradingState, Validity
from alpha_panda.contracts.events import (
    VERSION,
    CancelRequest,
    Envelope,
    OrderUpdate,
    PortfolioSnapshot,
    RejectedSignal,
    Signal,
    TickBatch,
)
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.stored import (
    BookReading,
    BrokerRow,
    JournalEntry,
    Outcome,
    PortfolioReading,
    PriceReading,
)
from alpha_panda.contracts.topics import DLQ_SUFFIX, TopicMap
from alpha_panda.domain.ids import event_id, signal_id
from alpha_panda.errors import MisuseError, RecordError
from alpha_panda.ports import (
    CheckpointStore,
    ControlStore,
    DecisionStore,
    MarketSource,
    OrderJournal,
    OrderUpdates,
    Outgoing,
    PortfolioReader,
    PriceCache,
    Record,
    SourceBatch,
    TokenHolder,
    TokenTeller,
    Trader,
)
from alpha_panda.runtime.context import Ports
from alpha_panda.runtime.records import event_of, ticks_of
from alpha_panda.runtime.settings import Settings, load_settings
from alpha_panda.runtime.tracing.tracing import NO_TRACING, Tracing
from alpha_panda.testing.taps import Taps
from alpha_panda.testing.virtual_time import START

SECOND: Final = 1_000_000_000
LINEAGE: Final = "00000000-0000-4000-8000-000000000000"
"""Lineage of the ids of signals that a test sends itself (`Pipeline.signal`)."""

PATIENCE: Final = 20.0
"""Wall seconds that entering and leaving may take: a pipeline that hangs fails its test."""


class ScriptedSource:
    """A market source that yields what a test puts in."""

    def __init__(self, mode: FeedMode) -> None:
        self.mode = mode
        self.queue: asyncio.Queue[SourceBatch] = asyncio.Queue()

    @property
    def exhausted(self) -> bool:
        """Never: a test may always put in more."""
        return False

    async def batches(self, instruments: Sequence[Instrument]) -> AsyncIterator[SourceBatch]:  # noqa: ARG002 - the port's
        """Yield the batches as they are put in; one taken by a feed that then died is gone, as on a wire."""
        while True:
            yield await self.queue.get()


class SpyTrader:
    """Counts what reaches the broker; answers as the real trader, or as told (`answers`, once each)."""

    def __init__(self, trader: Trader) -> None:
        self.placed: list[JournalEntry] = []
        self.cancelled: list[JournalEntry] = []
        self.answers: deque[Outcome] = deque()
        self.books: deque[BookReading] = deque()
        self._trader = trader

    @property
    def calls(self) -> Counter[str]:
        """How often each signal id was placed."""
        return Counter(entry.signal_id for entry in self.placed)

    async def place(self, entry: JournalEntry, price: PriceReading, deadline: int) -> Outcome:
        """See the port."""
        self.placed.append(entry)
        if self.answers:
            return self.answers.popleft()
        return await self._trader.place(entry, price, deadline)

    async def cancel(self, entry: JournalEntry) -> Outcome:
        """See the port."""
        self.cancelled.append(entry)
        return await self._trader.cancel(entry)

    async def order_book(self) -> BookReading:
        """See the port; `books` come first, once each."""
        return self.books.popleft() if self.books else await self._trader.order_book()


class AccountBroker(Trader, PortfolioReader, OrderUpdates, TokenHolder, TokenTeller, Protocol):
    """A trader with all that a broker may offer."""


class SpyAccount(SpyTrader):
    """A spy before a trader whose broker keeps positions, pushes changes and wants a token."""

    def __init__(self, trader: AccountBroker) -> None:
        super().__init__(trader)
        self._account = trader

    async def portfolio(self) -> PortfolioReading:
        """See the port."""
        return await self._account.portfolio()

    def order_updates(self) -> AsyncIterator[BrokerRow | None]:
        """See the port."""
        return self._account.order_updates()

    def token_expires_at(self) -> int | None:
        """See the port."""
        return self._account.token_expires_at()

    def token_problem(self) -> str:
        """See the port."""
        return self._account.token_problem()


class _Traders:
    """One spy an account, whichever member asks; tapped for that member."""

    def __init__(self, pipeline: "Pipeline", member: str) -> None:
        self._pipeline = pipeline
        self._member = member

    def trader(self, account: str) -> Trader:
        spy = self._pipeline.broker(account)
        if isinstance(spy, SpyAccount):
            return cast("Trader", _TappedAccount(self._pipeline.taps, self._member, spy))
        return cast("Trader", _TappedTrader(self._pipeline.taps, self._member, spy))


class _TappedTrader:
    def __init__(self, taps: Taps, member: str, trader: SpyTrader) -> None:
        self._taps = taps
        self._member = member
        self._trader = trader

    async def place(self, entry: JournalEntry, price: PriceReading, deadline: int) -> Outcome:
        call = self._trader.place
        outcome: Outcome = await self._taps.meet(
            self._member, "trader.place", lambda: call(entry, price, deadline)
        )
        return outcome

    async def cancel(self, entry: JournalEntry) -> Outcome:
        outcome: Outcome = await self._taps.meet(
            self._member, "trader.cancel", lambda: self._trader.cancel(entry)
        )
        return outcome

    async def order_book(self) -> BookReading:
        return await self._trader.order_book()


class _TappedAccount(_TappedTrader):
    def __init__(self, taps: Taps, member: str, trader: SpyAccount) -> None:
        super().__init__(taps, member, trader)
        self._account = trader

    async def portfolio(self) -> PortfolioReading:
        reading: PortfolioReading = await self._taps.meet(
            self._member, "trader.portfolio", self._account.portfolio
        )
        return reading

    def order_updates(self) -> AsyncIterator[BrokerRow | None]:
        return self._account.order_updates()

    def token_expires_at(self) -> int | None:
        return self._account.token_expires_at()

    def token_problem(self) -> str:
        return self._account.token_problem()


class _Control:
    """The control store as the writer of the manifests' states sees it: a test can change or silence it."""

    def __init__(self, store: ControlStore) -> None:
        self.store = store
        self.states: dict[str, TradingState] = {}
        self.silent: set[str] = set()

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as the store's
        return getattr(self.store, name)

    async def put_spec(self, scope: str, state: TradingState, ttl: float) -> None:
        if scope not in self.silent:
            await self.store.put_spec(scope, self.states.get(scope, state), ttl)


@dataclass(frozen=True, slots=True)
class Stores:
    """The stores behind the pipeline, without taps."""

    database: MemoryDatabase
    journal: OrderJournal
    decisions: DecisionStore
    checkpoints: CheckpointStore
    control: ControlStore
    prices: PriceCache


@dataclass(frozen=True, slots=True)
class Reading:
    """One open consumer: whose it is, its group, and the topics whose partitions it reads."""

    member: str
    group: str
    topics: tuple[str, ...]
    partitions: tuple[str, ...] = field(repr=False)


class Pipeline:
    """All services of the manifests, on virtual time. Use as an async context manager, once.

    Leaving stops gracefully and sets `summary`; after an error inside, everything is killed.

    Args:
        manifests: YAML text, or documents. Every feed's source is replaced by a script: see `tick`.
        seed: of all ids.
        settings: fields of `Settings` to change.
        start: UTC ns at which time begins.
        events_file: as `run --events`.
        directory: where relative paths in the manifests begin.
        tracing: what makes spans, see `testing.spans`.

    """

    def __init__(  # noqa: PLR0913 - all but the manifests by keyword, with defaults
        self,
        manifests: str | Iterable[Mapping[str, Any]],
        *,
        seed: int = 1,
        settings: Mapping[str, object] | None = None,
        start: int = START,
        events_file: BinaryIO | None = None,
        directory: Path | None = None,
        tracing: Tracing = NO_TRACING,
    ) -> None:
        documents = yaml.safe_load_all(manifests) if isinstance(manifests, str) else manifests
        self.resources = ResourceSet.from_documents(
            [item for item in documents if item], directory=directory, parameters_model=parameters_model
        )
        self.settings: Settings = load_settings(**dict(settings or {}))
        self.clock = VirtualClock(start)
        self.taps = Taps(self.kill)
        self.records: list[Record] = []
        self.summary: RunSummary | None = None
        self._sources = {name: ScriptedSource(feed.mode) for name, feed in self.resources.feeds.items()}
        self._brokers: dict[str, SpyTrader] = {}
        self._counts: Counter[str] = Counter()
        self._task: asyncio.Task[RunSummary] | None = None
        self.run = EmbeddedRun(
            self.resources,
            self.settings,
            RunOptions(seed=seed),
            events_file,
            clock=self.clock,
            wire=self._wire,
            tracing=tracing,
        )
        self.control = _Control(self.run.ports.control)
        self.run.ports = replace(self.run.ports, control=cast("ControlStore", self.control))

    def _wire(self, member: Member, ports: Ports) -> Ports:
        tapped = self.taps.wrap(member.name, ports)
        return replace(tapped, operated=True, traders=_Traders(self, member.name), source=self._source)

    def _source(self, feed: str) -> MarketSource:
        return self._sources[feed]

    # ------------------------------------------------------------------------------------------- life

    async def __aenter__(self) -> Self:
        self.run.bus.observe(self.records.append)
        self._task = asyncio.create_task(self.run.run(), name="pipeline")
        try:
            async with asyncio.timeout(PATIENCE):
                await self.run.supervisor.wait_ready()
                await self.idle()
            if self._task.done():
                self._task.result()
        except BaseException:
            await self._abort(self._task)
            self._let_go()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None  # noqa: S101 - entered
        try:
            if error is not None:
                await self._abort(self._task)
                return
            self.run.request_stop()
            async with asyncio.timeout(PATIENCE):
                self.summary = await self._task
        finally:
            self._let_go()

    async def _abort(self, task: "asyncio.Task[RunSummary]") -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    def _let_go(self) -> None:
        """Leave the loop to the next pipeline: there is one clock in a loop at a time."""
        loop = asyncio.get_running_loop()
        if isinstance(loop, IdleAwareEventLoop):
            loop.idle_hook = None

    async def idle(self) -> None:
        """Let everything run that needs no time to pass."""
        async with asyncio.timeout(PATIENCE):
            await self.clock.advance(0)

    async def advance(self, seconds: float) -> None:
        """Let time pass in steps of at most a second: periodic work takes its turns."""
        left = round(seconds * SECOND)
        async with asyncio.timeout(PATIENCE):
            while left > 0:
                step = min(left, SECOND)
                await self.clock.advance(step / SECOND)
                left -= step
        await self.idle()

    async def kill(self, member: str, *, restart: bool = True) -> None:
        """End a member (`engine/paper-0`) as SIGKILL would. Then a fresh one starts at once, or by `revive`."""
        await self.run.supervisor.kill(member, restart=restart)

    async def revive(self, member: str) -> None:
        """Start a member that was killed for good, and wait until all is at rest."""
        self.run.supervisor.revive(member)
        await self.idle()

    def build(self, member: str, *, instance: str) -> Any:  # noqa: ANN401 - a service not yet run
        """Return one more service like that member, under another instance name: a zombie for tests."""
        found = next(item for item in self.run.members if item.name == member)
        context = self.run.context_of(found)
        return found.definition.build(replace(context, instance=instance))

    # ------------------------------------------------------------------------------------------ prices

    async def tick(self, symbol: str, price: float, *, at: float | None = None, **columns: float) -> None:
        """Feed one price, `at` seconds after the start (now, if left out), and wait until all is at rest."""
        await self.ticks([(symbol, price)], at=at, **columns)

    async def ticks(
        self, rows: Sequence[tuple[str, float]], *, at: float | None = None, **columns: float
    ) -> None:
        """Feed prices of one feed in one batch, all at the same time; columns are those of `SourceBatch`."""
        if at is not None:
            await self.advance(self._due(at))
        feed, ts = self._feed_of(rows[0][0]), self.clock.now()
        master = self.resources.feeds[feed].instruments
        tokens = [master.symbol(symbol).token for symbol, _ in rows]
        extra: dict[str, Any] = {name: [value] * len(rows) for name, value in columns.items()}
        batch = SourceBatch(tokens, [price for _, price in rows], [ts] * len(rows), **extra)
        self._sources[feed].queue.put_nowait(batch)
        await self.idle()

    def _due(self, at: float) -> float:
        seconds = at - self.clock.monotonic() / SECOND
        if seconds < 0:
            raise MisuseError(f"{at} s after the start is {-seconds} s ago")
        return seconds

    def _feed_of(self, symbol: str) -> str:
        return next(
            name for name, feed in self.resources.feeds.items() if symbol in feed.instruments.by_symbol
        )

    # ----------------------------------------------------------------------------------------- signals

    async def signal(  # noqa: PLR0913 - what a signal says, all but the first four by keyword
        self,
        strategy: str,
        symbol: str,
        side: Side,
        quantity: str | Decimal,
        *,
        account: str | None = None,
        order_type: OrderType = OrderType.MARKET,
        validity: Validity = Validity.DAY,
        limit: str | None = None,
        trigger: str | None = None,
        ttl: float = 10.0,
        **changes: object,
    ) -> str:
        """Send a TRADING_SIGNAL as the strategy would, wait until all is at rest, return its id.

        Ids are deterministic: the n-th signal of a test on an account always has the same one. `changes` replace
        fields of the signal.
        """
        name = account or next(iter(self.resources.accounts))
        instrument = self.resources.feeds[self._feed_of(symbol)].instruments.symbol(symbol)
        signal = Signal(
            signal_id=self._next_id(name),
            strategy_id=strategy,
            strategy_uid=strategy,
            instrument_token=instrument.token,
            symbol=symbol,
            side=side,
            order_type=order_type,
            quantity=Decimal(quantity),
            validity=validity,
            expires_at=self.clock.now() + round(ttl * SECOND),
            limit_price=None if limit is None else Decimal(limit),
            trigger_price=None if trigger is None else Decimal(trigger),
        )
        signal = msgspec.structs.replace(signal, **changes)
        await self.send(name, signal)
        return signal.signal_id

    async def cancel(self, order_signal_id: str, *, account: str | None = None) -> str:
        """Send a CANCEL_REQUEST as the order's strategy would; return its id."""
        name = account or next(iter(self.resources.accounts))
        entry = await self.stores(name).journal.get(order_signal_id)
        assert entry is not None, f"{order_signal_id} is no order"  # noqa: S101 - a test's mistake
        signal = entry.signal
        request = CancelRequest(
            signal_id=self._next_id(name),
            strategy_id=signal.strategy_id,
            strategy_uid=signal.strategy_uid,
            instrument_token=signal.instrument_token,
            symbol=signal.symbol,
            order_signal_id=order_signal_id,
        )
        await self.send(name, request)
        return request.signal_id

    def _next_id(self, account: str) -> str:
        self._counts[account] += 1
        return signal_id(LINEAGE, account, self._counts[account])

    async def send(self, account: str, signal: Signal | CancelRequest) -> None:
        """Produce a signal or cancel request on the account's `signals.raw`."""
        event_type = EventType.TRADING_SIGNAL if isinstance(signal, Signal) else EventType.CANCEL_REQUEST
        event = Envelope(
            id=event_id(signal.signal_id, event_type, 0),
            type=event_type,
            version=VERSION,
            ts=self.clock.now(),
            source=f"strategy/{signal.strategy_id}",
            account=account,
            key=signal.key,
            correlation_id=signal.signal_id,
            causation_id="test",
            data=signal,
        )
        await self.produce(self.topics(account).signals_raw, encode_event(event), key=event.key)

    async def produce(
        self, topic: str, value: bytes, *, key: str | None = None, partition: int | None = None
    ) -> None:
        """Write any bytes to a topic and wait until all is at rest."""
        await self.produce_all([Outgoing(topic, value, key, partition)])

    async def produce_all(self, records: Sequence[Outgoing]) -> None:
        """Write records at once and wait until all is at rest."""
        async with self.run.bus.producer("test") as producer:
            await producer.send(records)
        await self.idle()

    # ---------------------------------------------------------------------------------------- controls

    async def set_state(self, scope: str, state: TradingState) -> None:
        """Change a scope's trading state as applying a changed manifest would; renewals keep it."""
        self.control.states[scope] = state
        self.control.silent.discard(scope)
        await self.control.put_spec(scope, state, self.settings.control_ttl_seconds)
        await self.idle()

    def stop_renewing(self, *scopes: str) -> None:
        """Renew these scopes' keys no more: they run out after `control_ttl_seconds`."""
        self.control.silent.update(scopes)

    # --------------------------------------------------------------------------------------- look inside

    def topics(self, account: str | None = None) -> TopicMap:
        """Return the account's topics."""
        return TopicMap(account or next(iter(self.resources.accounts)), self.settings.topic_prefix)

    def stores(self, account: str | None = None) -> Stores:
        """Return the stores of an account (the first one, if left out)."""
        name, ports = account or next(iter(self.resources.accounts)), self.run.ports
        journal = cast("MemoryOrderJournal", ports.journal(name))
        return Stores(
            database=journal.database,
            journal=journal,
            decisions=ports.decisions(name),
            checkpoints=ports.checkpoints,
            control=self.control.store,
            prices=ports.prices,
        )

    def broker(self, account: str | None = None) -> SpyTrader:
        """Return the spy before the account's trader."""
        name = account or next(iter(self.resources.accounts))
        if name not in self._brokers:
            trader = self.run.ports.traders.trader(name)
            rich = isinstance(trader, PortfolioReader)
            self._brokers[name] = SpyAccount(cast("AccountBroker", trader)) if rich else SpyTrader(trader)
        return self._brokers[name]

    def events(self, what: EventType | str | None = None, *, account: str | None = None) -> list[Envelope]:
        """Return the events so far in the order of their recording, by type or by the end of their topic's name.

        Ticks, dead letters and what can't be decoded are not among them.
        """
        found = []
        for record in self.records:
            if record.topic.endswith((DLQ_SUFFIX, ".market.ticks")) or not _decodes(record):
                continue
            event = event_of(record)
            wanted = what is None or event.type == what or (type(what) is str and record.topic.endswith(what))
            if wanted and account in (None, event.account):
                found.append(event)
        return found

    def about(self, signal: str) -> list[Envelope]:
        """Return every event about a signal but the raw one, once each (a repeat has the same id)."""
        found = {event.id: event for event in self.events() if _signal_of(event) == signal}
        raw = (EventType.TRADING_SIGNAL, EventType.CANCEL_REQUEST)
        return [event for event in found.values() if event.type not in raw]

    def batches(self) -> list[TickBatch]:
        """Return the tick batches so far."""
        return [ticks_of(record) for record in self.records if record.topic.endswith(".market.ticks")]

    def dead_letters(self, topic: str | None = None) -> list[Record]:
        """Return the dead letters so far, of one topic or of all."""
        return [
            record
            for record in self.records
            if record.topic.endswith(DLQ_SUFFIX) and topic in (None, record.topic.removesuffix(DLQ_SUFFIX))
        ]

    def snapshot(self, account: str | None = None) -> PortfolioSnapshot:
        """Return the account's last PORTFOLIO_SNAPSHOT."""
        name = account or next(iter(self.resources.accounts))
        data = self.events(EventType.PORTFOLIO_SNAPSHOT, account=name)[-1].data
        assert isinstance(data, PortfolioSnapshot)  # noqa: S101 - by its type
        return data

    def subscriptions(self) -> list[Reading]:
        """Return what every running service's consumers read now."""
        found = []
        for member, subscription, consumer in self.taps.consumers:
            partitions = sorted(consumer.assignment(), key=lambda item: (item.topic, item.partition))
            topics = dict.fromkeys((*subscription.topics, *(item.topic for item in partitions)))
            found.append(Reading(member, subscription.group, tuple(topics), tuple(map(str, partitions))))
        return found


def outcome_of(events: Iterable[Envelope]) -> tuple[EventType, Code | None]:
    """Return the type and code of the last of the events: what became of a signal."""
    event = list(events)[-1]
    data = event.data
    code = data.code if isinstance(data, OrderUpdate | RejectedSignal) else None
    return event.type, code


def _decodes(record: Record) -> bool:
    try:
        event_of(record)
    except RecordError:
        return False
    return True


def _signal_of(event: Envelope) -> str | None:
    data = event.data
    if isinstance(data, OrderUpdate | Signal | CancelRequest):
        return data.signal_id
    original = getattr(data, "original_signal", None)
    return None if original is None else cast("str", original.signal_id)


__all__ = ["LINEAGE", "Pipeline", "Reading", "ScriptedSource", "SpyTrader", "Stores", "outcome_of"]
