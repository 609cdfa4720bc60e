"""The order-tracker service: one a BrokerAccount, by lease. See the package's docstring."""

from collections.abc import Iterator, Mapping, Sequence

import structlog
from msgspec.structs import replace

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState
from alpha_panda.contracts.events import OrderUpdate
from alpha_panda.contracts.keys import tracker_lease
from alpha_panda.contracts.scopes import PLATFORM, account_scope, strategy_scope
from alpha_panda.contracts.stored import BookReading, JournalEntry, Outcome, TeardownRequest
from alpha_panda.contracts.topics import TopicMap
from alpha_panda.contracts.units import nanoseconds
from alpha_panda.errors import FencedError, RecordError, TransientError
from alpha_panda.ports import Producer, Record, Subscription, TokenHolder
from alpha_panda.runtime.builder import BreakerAction, StreamServiceBuilder
from alpha_panda.runtime.context import ServiceContext
from alpha_panda.runtime.control_topics import installation_topics
from alpha_panda.runtime.manifests import Derived
from alpha_panda.runtime.metrics.metrics import Reading
from alpha_panda.runtime.records import event_of
from alpha_panda.runtime.registry import ServiceDefinition
from alpha_panda.runtime.service import StreamService
from alpha_panda.runtime.teardowns import flattens, torn_down
from alpha_panda.runtime.venues import broker_of, paper_terms, rules_of

from .announcer import Announcer
from .counting import OrderCount
from .duties import Duties, Duty, passes
from .epochs import EpochKeeper, EpochTerms
from .metrics import OrderMetrics
from .missing import Missing, MissingTerms
from .resolver import Resolver
from .resting import RestingOrders
from .strays import Strays
from .sweeper import Sweeper, SweepTerms, to_cancel

log = structlog.get_logger()


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
        self._strays = Strays(self.topics, self._journal, ports.clock, instruments)
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
        try:
            found.controls = await ports.control.read(scopes)
            found.durable = None if ports.durable is None else await ports.durable()
        except TransientError:
            found.controls, found.durable = (), None  # as above
            raise

    def figures(self) -> Iterator[Reading]:
        """Return the last looks; a replica that waits for its lease has none."""
        return self._count.metrics.read(self._ports.clock.now())

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
        await self._epochs.ensure(self._lease_epoch, producer)
        await self._follow_book(producer)

    async def _follow_book(self, producer: Producer) -> None:
        """Read the book once: while something is in doubt, and always where strays are possible."""
        doubtful, resting = await self._journal.in_doubt(), await self._followed()
        if not doubtful and not self._live:
            return
        reading = await self._trader.order_book()
        begun = reading.begun_at
        resolved = await self._judge(self._lease_epoch, doubtful, reading)
        await self._announcer.tell(producer, *resolved, begun=begun)
        missing = await self._missing.judge(resting, reading, producer)
        await self._announcer.tell(producer, *missing, begun=begun)

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

    def details(self) -> Mapping[str, str | int | float | bool | None]:
        """Figures for get_status."""
        return {
            "lease_epoch": self._lease_epoch,
            "repeated": self._repeated,
            "resolved": self._resolved,
            **self._count.details(),
        }


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
        .every(settings.tracker_interval_seconds, tracker.counting(tracker.look_after), name="look-after")
        .every(settings.tracker_interval_seconds, tracker.counting(tracker.sweep), name="sweep")
        .details(tracker.details)
        .figures(tracker.figures)
    )
    if not context.ports.clock.virtual:
        interval = settings.status_interval_seconds
        builder.every(interval, tracker.counting(tracker.look_around), name="look-around")
    if context.ports.operated or not context.ports.clock.virtual:
        builder.every(settings.tracker_interval_seconds, tracker.counting(tracker.count), name="count")
    tracker.service = builder.build()
    return tracker.service


SERVICE = ServiceDefinition(name="order-tracker", kind="BrokerAccount", build=build, start_order=10)
