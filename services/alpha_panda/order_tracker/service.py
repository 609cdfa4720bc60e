"""The order-tracker service: one a BrokerAccount, by lease. See the package's docstring."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import structlog
from msgspec.structs import replace

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState
from alpha_panda.contracts.events import OrderUpdate
from alpha_panda.contracts.keys import tracker_lease
from alpha_panda.contracts.scopes import PLATFORM, account_scope, strategy_scope
from alpha_panda.contracts.status_details import BrokerFigures, Detail
from alpha_panda.contracts.stored import (
    BookReading,
    BrokerFacts,
    BrokerRow,
    JournalEntry,
    Outcome,
    TeardownRequest,
)
from alpha_panda.contracts.topics import TopicMap
from alpha_panda.contracts.units import nanoseconds
from alpha_panda.domain.order_events import outcome_of_row
from alpha_panda.domain.sessions import SessionState
from alpha_panda.errors import DependencyUnavailableError, FencedError, RecordError, TransientError
from alpha_panda.ports import OrderUpdates, PortfolioReader, Producer, Record, Subscription, TokenHolder
from alpha_panda.runtime.builder import BreakerAction, StreamServiceBuilder
from alpha_panda.runtime.context import ServiceContext
from alpha_panda.runtime.control_topics import installation_topics
from alpha_panda.runtime.manifests import Derived
from alpha_panda.runtime.metrics.metrics import Reading
from alpha_panda.runtime.records import event_of
from alpha_panda.runtime.registry import ServiceDefinition
from alpha_panda.runtime.service import StreamService
from alpha_panda.runtime.teardowns import flattens, torn_down
from alpha_panda.runtime.venues import broker_of, broker_user_of, paper_terms, product_of, rules_of

from .announcer import Announcer
from .broker_user import BrokerUser
from .counting import OrderCount
from .duties import Duties, Duty, passes
from .epochs import EpochKeeper, EpochTerms
from .external import ExternalTerms
from .metrics import OrderMetrics
from .missing import Missing, MissingTerms
from .pushes import Pushes
from .reconciler import Reconciler, ReconcileTerms, difference_names
from .resolver import Resolver, matching_row
from .resting import RestingOrders
from .strays import Strays, is_foreign, is_ours
from .sweeper import Sweeper, SweepTerms, to_cancel
from .token import TokenWatch

log = structlog.get_logger()

HOUR: Final = 3600
MOST_NAMES: Final = 500
"""Characters of a status that name what differs."""


class OrderTracker:
    """Runs the tracker's duties in turn; each is safe to repeat and safe beside an engine."""

    def __init__(self, context: ServiceContext) -> None:
        account = context.resources.accounts[context.resource]
        feed = account.spec.market_feed
        self._manifests = context.manifests
        settings, ports = context.settings, context.ports
        self._account = context.resource
        self._ports = ports
        self.topics = TopicMap(context.resource, settings.topic_prefix)
        self._journal = ports.journal(context.resource)
        self._trader = ports.traders.trader(context.resource)
        self._live = account.spec.paper is None
        self._updates = self._trader if isinstance(self._trader, OrderUpdates) else None
        terms = EpochTerms(
            send_within=nanoseconds(settings.send_within_seconds),
            lost_after=nanoseconds(settings.lost_after_seconds) if self._live else 0,
            fetch_max_records=settings.fetch_max_records,
            live=self._live,
            installation=settings.installation,
        )
        self._metrics = OrderMetrics(context.metrics, context.resource)
        self._announcer = Announcer(
            context.resource,
            self.topics,
            self._journal,
            metrics=self._metrics,
            tracer=context.tracer("order-tracker"),
        )
        # Without the account's cut-off: what rests goes on to the session's end.
        rules = Derived(context.manifests, lambda resources: rules_of(resources.feeds[feed]))
        instruments = Derived(context.manifests, lambda resources: resources.feeds[feed].instruments)

        def trading_day(ts: int) -> str:
            return rules().trading_day(ts)

        self._resolver = Resolver(
            context.resource,
            self._journal,
            terms.lost_after,
            settings.book_reads_for_lost,
            trading_day if self._live else None,
        )
        self._missing = Missing(
            self.topics,
            self._journal,
            ports.control,
            ports.clock,
            MissingTerms(terms.lost_after, settings.book_reads_for_lost, trading_day),
        )
        self._sweeper = Sweeper(
            ports.clock,
            SweepTerms(settings.sweep_cancels_at_once, nanoseconds(settings.sweep_seconds)),
            self._cancel,
        )
        product_rules = Derived(
            context.manifests,
            lambda resources: rules_of(resources.feeds[feed], resources.accounts[context.resource]),
        )

        def after_cut_off(ts: int) -> bool:
            status = product_rules().status(ts)
            return status.state is SessionState.CLOSED and status.reducing_allowed

        external = ExternalTerms(product_of(account), broker_user_of(account), after_cut_off)
        self._strays = Strays(self.topics, self._journal, ports.clock, instruments, external)
        self._booking = asyncio.Lock()
        self._read_at: int | None = None
        self._idle_for = nanoseconds(settings.book_idle_seconds)
        warn_before = nanoseconds(settings.zerodha_token_warning_hours * HOUR)
        self._token = TokenWatch(context.resource, self._trader, ports.clock, warn_before)
        self.user = BrokerUser(
            ports.lease,
            ports.clock,
            external.user,
            f"{settings.topic_prefix}{context.resource}",  # of the account: it has one tracker, by lease
            settings.lease_ttl_seconds,
        )
        self._reconciler: Reconciler | None = None
        if isinstance(self._trader, PortfolioReader):
            self._reconciler = Reconciler(
                self.topics,
                ports,
                self._trader,
                self._announcer,
                ReconcileTerms(
                    nanoseconds(settings.reconcile_seconds),
                    nanoseconds(settings.reconcile_confirm_seconds),
                    external,
                    trading_day,
                ),
                self._read_book,
            )
        self.pushes: Pushes | None = None
        if self._updates is not None:
            self.pushes = Pushes(
                self._updates,
                ports.clock,
                settings.tracker_interval_seconds,
                self._take_pushed,
                self._read_pushed,
                self._failed,
            )
        self._duties = Duties(ports.clock)
        self._epochs = EpochKeeper(self.topics, ports, self._trader, terms, self._reconcile, self._progressed)
        self.resting = RestingOrders(
            feed,
            f"{settings.topic_prefix}{context.resource}",
            instruments,
            paper_terms(account),
            rules,
            ports.clock,
            self._journal,
            ports.prices,
            self._announcer,
        )
        self._count = OrderCount(context.resource, self._journal, ports.clock)
        self._counted_at: int | None = None
        self._count_each = nanoseconds(settings.status_interval_seconds)
        self._lease_epoch = 0
        self._repeated = 0
        self._resolved = 0
        self._answered: set[str] = set()  # missing orders of which the broker has said that they are over
        self.service: StreamService

    async def lead(self, epoch: int) -> None:
        """Take the epoch of the lease just acquired, and make the journal usable."""
        self._lease_epoch = epoch
        await self.user.keep()
        if self._reconciler is not None:
            await self._reconciler.begin(epoch)
        await self._epochs.ensure(epoch, self.service.producer)

    async def handle_rested(self, records: Sequence[Record]) -> None:
        """Look at what must be watched, if an order came to rest: whole, or what a partial fill left of it."""
        if any(_leaves_something(record) for record in records):
            await self._watch()
        self.service.record_processed(len(records), records[-1].timestamp)

    async def look_after(self) -> None:
        """Do every duty but sweeping once: epoch and book, session's end, repeats, watched tokens."""
        if not self._lease_epoch:
            raise FencedError(f"the order-tracker of {self._account} has no lease")
        await self._duties.in_turn(
            {
                "book": self._keep_book,
                "reconcile": self._reconcile_account,
                "expire": self._expire,
                "repeat": self._repeat,
                "watch": self._watch,
            }
        )

    async def sweep(self) -> None:
        """Cancel what the trading state forbids; apart from the other duties, which no cancellation may hold up.

        Nor do they hold it up: what must not rest is cancelled also while the journal comes back.
        """
        await self._duties.in_turn({"sweep": self._sweep})

    async def _sweep(self) -> None:
        resting = await self._journal.resting()
        self._answered &= {entry.signal_id for entry in resting}
        asked = [entry for entry in resting if entry.signal_id not in self._answered]
        flattened = {name for name, request in (await self._torn_down()).items() if flattens(request)}
        await self._sweeper.sweep(await to_cancel(self._account, asked, self._ports.control, flattened))

    async def _torn_down(self) -> dict[str, TeardownRequest]:
        if not self._ports.operated:
            return {}
        return torn_down(await self._ports.control.teardowns(), self._manifests.resources)

    async def count(self) -> None:
        """Count the orders for the status; each turn while somebody waits for them to end."""
        requests, now = await self._torn_down(), self._ports.clock.monotonic()
        if requests or self._counted_at is None or now - self._counted_at >= self._count_each:
            self._counted_at = now
            try:
                await self._count.count(self._manifests.resources, requests)
            except TransientError:
                self._count.metrics.looked = False  # what was is not what is
                raise

    async def look_around(self) -> None:
        """Look, for who watches, at the trading states that bind the account, its journal's store and its token."""
        found, ports = self._count.metrics, self._ports
        strategies = self._manifests.resources.strategies_of(self._account)
        scopes = [PLATFORM, account_scope(self._account), *(strategy_scope(item.name) for item in strategies)]
        if isinstance(self._trader, TokenHolder):
            found.token_until = self._trader.token_expires_at()
        found.broker = None if self._reconciler is None else self._reconciler.facts
        try:
            found.controls = await ports.control.read(scopes)
            found.durable = None if ports.durable is None else await ports.durable()
        except TransientError:
            found.controls, found.durable = (), None  # as above
            raise

    def figures(self) -> Iterator[Reading]:
        """Return the last looks; a replica that waits for its lease has none."""
        return self._count.metrics.read(self._ports.clock.now())

    def _failed(self, error: BaseException) -> None:
        self.service.record_error(error)

    @property
    def has_user(self) -> bool:
        """Whether the account trades with a login that must be nobody else's."""
        return self.user.named

    def _progressed(self) -> None:
        self.service.progressed()

    def counting(self, turn: Duty) -> Duty:
        """Return the turn as `every` gets it: what passes by itself is counted, for `Duties` has logged it."""

        async def counted() -> None:
            try:
                await turn()
            except Exception as error:
                if not passes(error):
                    raise
                self.service.record_error(error)

        return counted

    async def _expire(self) -> None:
        if not self._live:
            await self.resting.expire(self.service.producer)

    async def _repeat(self) -> None:
        self._repeated += await self._announcer.repeat(self.service.producer)

    async def _watch(self) -> None:
        """Only a paper venue fills from the price cache; a live order is followed in the broker's book."""
        if not self._live:
            await self.resting.refresh(self.service.producer)

    # -------------------------------------------------------------------------------- the broker's book

    async def _keep_book(self) -> None:
        """Follow the book, but never beside a journal without an epoch: it may have forgotten what the book shows."""
        producer = self.service.producer
        async with self._booking:
            await self._epochs.ensure(self._lease_epoch, producer)
            await self._follow_book(producer)

    async def _follow_book(self, producer: Producer) -> None:
        """Read the book once: while something is in doubt, and always where strays are possible."""
        doubtful, resting = await self._journal.in_doubt(), await self._followed()
        if doubtful or (self._live and (resting or self._is_book_old())):
            await self._read_once(producer, doubtful, resting)

    def _is_book_old(self) -> bool:
        """Whether to look for what nobody has told: each turn, less often where the broker pushes changes."""
        if self._updates is None or self._read_at is None:
            return True
        return self._ports.clock.monotonic() - self._read_at >= self._idle_for

    async def _read_book(self) -> BookReading:
        """Read the book now, whatever there is to expect; what it shows is settled and told."""
        async with self._booking:
            if await self._journal.epoch() is None:
                raise DependencyUnavailableError("journal", "the journal has no valid epoch yet")
            doubtful, resting = await self._journal.in_doubt(), await self._followed()
            return await self._read_once(self.service.producer, doubtful, resting)

    async def _read_pushed(self) -> None:
        """Read the book because a push said so; while the journal comes back there is another duty for that."""
        if await self._journal.epoch() is not None:
            await self._read_book()

    async def _take_pushed(self, row: BrokerRow) -> None:
        """Settle what one pushed row shows: as an incomplete reading, against which nothing can be missing."""
        async with self._booking:
            if await self._journal.epoch() is None:
                return
            now, lease_epoch = self._ports.clock.now(), self._lease_epoch
            reading = BookReading(complete=False, begun_at=now, user="", trading_day="", rows=(row,))
            changed = []
            entry = await self._journal.find_tag(row.tag) if is_ours(row.tag) else None
            if entry is not None and entry.state.in_doubt and matching_row(entry, [row]) is not None:
                resolved = await self._journal.resolve(lease_epoch, entry.signal_id, outcome_of_row(row))
                changed += [] if resolved is None else [resolved]
            changed += await self._strays.settle(lease_epoch, reading, self.service.producer)
            self._resolved += len(changed)
            await self._tell_changes(changed, now)

    async def _tell_changes(self, changed: Sequence[JournalEntry], begun: int) -> None:
        """Tell our own orders first: who held what somebody else's trade closed must be known when that is told."""
        producer = self.service.producer
        await self._announcer.tell(producer, *(item for item in changed if not is_foreign(item)), begun=begun)
        await self._announcer.tell(producer, *(item for item in changed if is_foreign(item)), begun=begun)

    async def _reconcile_account(self) -> None:
        """Compare the account with its broker, where that keeps positions."""
        if self._reconciler is not None:
            await self._reconciler.turn(self.service.producer, self._token.read(), self.user.problem)

    async def _read_once(
        self, producer: Producer, doubtful: Sequence[JournalEntry], resting: Sequence[JournalEntry]
    ) -> BookReading:
        self._read_at = self._ports.clock.monotonic()
        reading = await self._trader.order_book()
        begun = reading.begun_at
        resolved = await self._judge(self._lease_epoch, doubtful, reading)
        await self._tell_changes(resolved, begun)
        missing = await self._missing.judge(resting, reading, producer)
        await self._announcer.tell(producer, *missing, begun=begun)
        return reading

    async def _followed(self) -> list[JournalEntry]:
        """Return the orders that the broker's book must show; a paper venue's rest in the journal itself."""
        return await self._journal.resting() if self._live else []

    async def _judge(
        self, lease_epoch: int, doubtful: Sequence[JournalEntry], reading: BookReading
    ) -> list[JournalEntry]:
        changed = await self._resolver.resolve(lease_epoch, doubtful, reading)
        if self._live:
            changed += await self._strays.settle(lease_epoch, reading, self.service.producer)
        self._resolved += len(changed)
        return changed

    async def _reconcile(self, lease_epoch: int, reading: BookReading) -> None:
        """Bring the journal in line with the book before a new epoch; what changed stays in `open` and is told."""
        self._strays.forget()
        await self._judge(lease_epoch, await self._journal.in_doubt(), reading)

    # ------------------------------------------------------------------------------------ trading state

    async def _cancel(self, entry: JournalEntry, reason: str) -> None:
        outcome = await self._trader.cancel(entry)
        if outcome.state is entry.state and outcome.filled_quantity == entry.filled_quantity:
            return  # not cancelled yet: the next turn asks again
        if self._missing.holds(entry):
            self._hear_of_missing(entry, outcome)
            return
        if outcome.state is EntryState.CANCELLED:
            outcome = replace(outcome, code=Code.CANCELLED_BY_STATE, message=reason)
        if await self.resting.apply(self.service.producer, entry, outcome):
            log.info(
                "resting_order_cancelled", account=self._account, signal_id=entry.signal_id, reason=reason
            )

    def _hear_of_missing(self, entry: JournalEntry, outcome: Outcome) -> None:
        """Log the answer, and ask no more: whoever lost an order from the book may not know its fills either."""
        self._answered.add(entry.signal_id)
        log.warning(
            "missing_order_answered",
            account=self._account,
            signal_id=entry.signal_id,
            state=outcome.state.value,
            filled_quantity=str(outcome.filled_quantity),
        )

    def _broker_details(self) -> Mapping[str, Detail]:
        return {} if self._reconciler is None else broker_figures(self._reconciler.facts).details()

    def details(self) -> Mapping[str, str | int | float | bool | None]:
        """Figures for get_status."""
        return {
            "lease_epoch": self._lease_epoch,
            "repeated": self._repeated,
            "resolved": self._resolved,
            **self._count.details(),
            **self._broker_details(),
        }


def broker_figures(facts: BrokerFacts) -> BrokerFigures:
    """Return what the status says of an account at its broker."""
    return BrokerFigures(
        broker_reconciled=facts.reconciled,
        compared_ts=facts.compared_at or None,
        reconcile_problem=facts.problem,
        differences=len(facts.differences),
        difference_names=difference_names(facts)[:MOST_NAMES],
        broker_cash=None if facts.cash is None else f"{facts.cash:f}",
        token_expires_at=facts.token_valid_until,
        token_problem=facts.token_problem,
    )


def _leaves_something(record: Record) -> bool:
    """Whether the event is of an order that goes on. What can't be read is set aside by risk, once is enough."""
    try:
        data = event_of(record).data
    except RecordError:
        return False
    return isinstance(data, OrderUpdate) and not data.status.terminal


def build(context: ServiceContext) -> StreamService:
    """Wire the order-tracker of the account that the context names.

    With the journal's breaker open it waits: nothing can be followed without the journal, and nothing is lost.
    """
    settings = context.settings
    tracker = OrderTracker(context)
    group = f"{settings.topic_prefix}{context.resource}.order-tracker"
    builder = (
        StreamServiceBuilder("order-tracker", context)
        .log_fields(account=context.resource, broker=broker_of(context.resources.accounts[context.resource]))
        .topics(tracker.topics.specs(settings.order_partitions))
        .topics(installation_topics(settings.installation))
        .with_lease(tracker_lease(context.resource), tracker.lead)
        .consume(
            Subscription(group=group, topics=(tracker.topics.orders_submitted, tracker.topics.orders_filled)),
            tracker.handle_rested,
            when_open=BreakerAction.PAUSE,
        )
        .consume_with(tracker.resting.follow, "resting")
        .on_stop(tracker.user.release)
        .every(settings.tracker_interval_seconds, tracker.counting(tracker.look_after), name="look-after")
        .every(settings.tracker_interval_seconds, tracker.counting(tracker.sweep), name="sweep")
        .details(tracker.details)
        .figures(tracker.figures)
    )
    if tracker.pushes is not None:
        builder.consume_with(tracker.pushes.listen, "order-updates")
        builder.consume_with(tracker.pushes.read_when_told, "pushed-book")
    if tracker.has_user:
        builder.every(settings.lease_renew_seconds, tracker.user.keep, name="broker-user")
    if not context.ports.clock.virtual:
        interval = settings.status_interval_seconds
        builder.every(interval, tracker.counting(tracker.look_around), name="look-around")
    if context.ports.operated or not context.ports.clock.virtual:
        builder.every(settings.tracker_interval_seconds, tracker.counting(tracker.count), name="count")
    tracker.service = builder.build()
    return tracker.service


SERVICE = ServiceDefinition(name="order-tracker", kind="BrokerAccount", build=build, start_order=10)
