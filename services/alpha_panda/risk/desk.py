"""The desk: gathers the facts on a signal, lets the gate rule, stores the decision, tells it, keeps the book."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal

import structlog

from alpha_panda.contracts.codec import encode_event, payload_hash
from alpha_panda.contracts.enums import EventType, TradingState, Verdict
from alpha_panda.contracts.events import (
    PRICES_MOVED,
    VERSION,
    CancelRequest,
    Envelope,
    OrderUpdate,
    PortfolioSnapshot,
    RejectedSignal,
    Signal,
    ValidatedSignal,
)
from alpha_panda.contracts.scopes import PLATFORM, account_scope, strategy_scope
from alpha_panda.contracts.stored import Decision, RiskClaim, RiskSnapshot
from alpha_panda.contracts.topics import TopicMap
from alpha_panda.contracts.units import nanoseconds
from alpha_panda.domain.book import quantity_of
from alpha_panda.domain.ids import event_id
from alpha_panda.domain.risk.losses import LatchRequest, loss_latches
from alpha_panda.errors import FencedError, PayloadMismatchError, RecordError, UntoldError
from alpha_panda.ports import DecisionStore, Outgoing, Producer, TopicPartition
from alpha_panda.runtime.context import ServiceContext
from alpha_panda.runtime.tasks import intake

from .facts import FactFinder
from .figures import book_details
from .flatten import Flattener, Offsets
from .latches import SOURCE, Latches
from .ledger import ACCOUNT, Ledger
from .metrics import BookFigures, DecisionMetrics
from .requests import Requests, Teardowns
from .sharing import Sharing
from .terms import present_terms
from .tracing import DecisionSpans

log = structlog.get_logger()


class Desk:
    """Decides and keeps the book. Every method is called under the service's lock, one at a time."""

    def __init__(self, context: ServiceContext, store: DecisionStore) -> None:
        paper = context.resources.accounts[context.resource].spec.paper
        self._account = context.resource
        self._topics = TopicMap(context.resource, context.settings.topic_prefix)
        self._ports = context.ports
        self._clock = context.ports.clock
        self._journal = context.ports.journal(context.resource)
        self._store = store
        self._poll_seconds = context.settings.retry_transient_initial_seconds
        self._terms = present_terms(context)
        self._ledger = Ledger(Decimal(paper.cash) if paper else Decimal(0))
        self._facts = FactFinder(context, self._ledger, self._terms)
        self._metrics = DecisionMetrics(context.metrics, context.resource)
        self._tracer = context.tracer("risk")
        self._spans = DecisionSpans(self._tracer)
        self._made_at: dict[str, int] = {}
        self.book_figures = BookFigures(
            context.resource, self._ledger, self._facts.pace, self._terms, self._clock.now
        )
        self._latches = Latches(context)
        self._flattener = Flattener(context, store, self._ledger, self._facts, self._terms)
        self._sharing = Sharing(context, store, self._ledger, self._terms)
        self._requests = Requests(context, self._ledger, self._flattener)
        self._teardowns: Teardowns = {}
        self._judged_ts: int | None = None
        self._operated = context.ports.operated
        self._untold_closings: dict[str, Decision] = {}
        self._epoch = ""
        self._journal_epoch = ""
        self._heeded = ""
        self._published: PortfolioSnapshot | None = None
        self._published_at = 0
        wait = nanoseconds(context.settings.portfolio_replay_seconds)
        self._least_wait = wait if self._clock.virtual else 0
        self._unmarked = False
        self._priced = False
        self._unpublished = False
        self._decided = {Verdict.VALIDATED: 0, Verdict.REJECTED: 0}
        self._untold: list[tuple[Decision, bool]] = []
        self._most_untold = context.settings.decision_batch_max

    def take_over(self, claim: RiskClaim) -> None:
        """Begin where the last owner ended."""
        self._epoch = self._flattener.epoch = self._sharing.epoch = claim.epoch
        self._ledger.load(claim)
        for decision in self._ledger.decisions.values():
            self._facts.note(decision)

    def begin_after(self, ends: Mapping[TopicPartition, int]) -> None:
        """Take it that external trades before these offsets were shared out, by whom the store has forgotten."""
        self._ledger.told_to = {str(partition): end for partition, end in ends.items()}

    def heed_calendar(self) -> None:
        """Warn, once a trading day, when the calendar's data are about to end: after them no order passes."""
        today = self._today()
        if today == self._heeded:
            return
        self._heeded = today
        warning = self._terms().rules.expiry_warning(self._clock.now())
        if warning is not None:
            log.warning("calendar_ends", account=self._account, message=warning)

    def encode(self) -> bytes:
        """Return the book for the snapshot."""
        return self._ledger.encode()

    async def save(self, snapshot: RiskSnapshot) -> None:
        """Store the snapshot and the folds that changed, fenced by our epoch."""
        await self._store.save(self._epoch, snapshot, self._ledger.changed_folds)
        self._ledger.changed_folds = {}

    def figures(self) -> Mapping[str, str | int | float | bool | None]:
        """Return figures for get_status."""
        equity = None if self._published is None else self._ledger.book.equity(self._ledger.marks)
        decided = {
            "validated": self._decided[Verdict.VALIDATED],
            "rejected": self._decided[Verdict.REJECTED],
        }
        if not self._operated:
            return decided
        figures = book_details(
            self._ledger,
            self._facts.counts,
            self._today(),
            equity=equity,
            judged_ts=self._judged_ts,
            terms=self._terms(),
            teardowns=self._teardowns,
        )
        return {**decided, **figures}

    # ---------------------------------------------------------------------------------------- decisions

    async def look_up(self, signals: Sequence[Signal | CancelRequest]) -> None:
        """Ask the stores, once for all, what decisions on these signals will need."""
        new = [signal for signal in signals if signal.signal_id not in self._ledger.decisions]
        if not new:
            return
        # What the journal knows is complete once its epoch is valid. That the epoch which was valid before still
        # is asked at the same time; of another one it must be known first.
        before, mark = self._journal_epoch, self._unmarked
        self._priced = mark
        if not (before and await self._facts.look_up(new, before, mark=mark) == before):
            self._journal_epoch = await self._valid_epoch()
            await self._facts.look_up(new, self._journal_epoch, mark=mark)
        self._heed_broker()

    def _heed_broker(self) -> None:
        """Begin the book with what the account has at its broker, once that is told."""
        facts = self._facts.broker
        if facts is not None and self._ledger.open(facts, self._today()):
            self._unmarked = self._unpublished = True
            self._priced = False

    async def on_signal(self, event: Envelope, signal: Signal | CancelRequest, producer: Producer) -> None:
        """Decide on a signal once; one that is known has its stored decision re-emitted.

        It was looked up before. The decision counts from now on; it is stored and told by `flush`.

        Raises:
            PayloadMismatchError: the id is known with another content.
            UntoldError: see `flush`.

        """
        digest = payload_hash(signal)
        known = self._ledger.decisions.get(signal.signal_id)
        if known is not None:
            if known.payload_hash != digest:
                raise PayloadMismatchError(f"signal {signal.signal_id} came back with another content")
            self._untold.append((known, False))
            self._spans.hold(known)
            return
        with self._not_its_fault(signal.signal_id):
            await self._decide(event, signal, digest, producer)

    async def _decide(
        self, event: Envelope, signal: Signal | CancelRequest, digest: str, producer: Producer
    ) -> None:
        await self.settle_up(producer)
        if self._facts.known_to_the_journal(signal.signal_id):
            # Its decision was lost with the store; the journal's word, rebuilt from Kafka, stands.
            log.warning(
                "signal_known_to_the_journal_dropped", account=self._account, signal_id=signal.signal_id
            )
            return
        decision, latches = await self._facts.rule(event, signal, digest, self._epoch)
        # Latched before it is stored: a decision that is known is not looked at again.
        await self._latch(latches, self._today(), producer)
        self._ledger.add(decision)
        self._facts.note(decision)
        self._untold.append((decision, True))
        self._spans.hold(decision)
        self._made_at[decision.signal_id] = event.ts
        if len(self._untold) >= self._most_untold:
            await self.flush(producer)

    async def flush(self, producer: Producer) -> None:
        """Store what was decided, all in one step, and only then tell it.

        Raises:
            FencedError: the store holds another decision on one of them: what is in memory is not what is true.
            UntoldError: the bus will not take one of the events. Never a RecordError: these are decisions on many
                records, none of them the one in hand.

        """
        untold, self._untold = self._untold, []
        if not untold:
            return
        with self._not_its_fault("a decision"), self._spans.telling() as telling:
            fresh = {decision.signal_id: decision for decision, is_fresh in untold if is_fresh}
            known = [decision for decision, _ in untold if decision.signal_id not in fresh]
            whole = {**await self._stored(known), **fresh}
            made = list(fresh.values())
            if made:
                with telling.storing():
                    stored = await self._store.record(self._epoch, *made)
                if stored != made:
                    raise self._decided_by_another()
            for decision in made:
                self._decided[decision.verdict] += 1
            events = [(decision, self._told(whole[decision.signal_id])) for decision, _ in untold]
            await producer.send([telling.sent(decision, event) for decision, event in events])
        now, made_at, self._made_at = self._clock.now(), self._made_at, {}
        for signal_id, decision in fresh.items():
            trace = self._tracer.exemplar(decision.correlation_id)
            self._metrics.told(decision, made_at.get(signal_id), now, trace)
            self._ledger.shorten(signal_id)

    async def _stored(self, decisions: Sequence[Decision]) -> dict[str, Decision]:
        """Return decisions of the ledger by id, whole: what they are told with is kept in the store alone."""
        ids = dict.fromkeys(decision.signal_id for decision in decisions)
        found = await asyncio.gather(*(self._store.get(signal_id) for signal_id in ids))
        whole = {decision.signal_id: decision for decision in found if decision is not None}
        if any(_identity(whole.get(item.signal_id)) != _identity(item) for item in decisions):
            raise self._decided_by_another()
        return whole

    def _decided_by_another(self) -> FencedError:
        return FencedError(f"risk of {self._account}: a signal was decided by somebody else; start anew")

    @contextmanager
    def _not_its_fault(self, what: str) -> Iterator[None]:
        """Keep what went wrong here from the record in hand: set aside for it would be one that is good."""
        try:
            yield
        except RecordError as error:
            raise UntoldError(f"risk of {self._account}: what follows from {what} fails: {error}") from error

    async def _valid_epoch(self) -> str:
        """Wait until the journal vouches for what was sent: without that nothing is decided.

        A graceful stop ends the wait: the record's offset has not passed.
        """
        epoch = await self._journal.epoch()
        if epoch is None:
            log.warning("waiting_for_the_journal_epoch", account=self._account)
        while epoch is None:
            await intake(self._clock.sleep(self._poll_seconds))
            epoch = await self._journal.epoch()
        return epoch

    # ----------------------------------------------------------------------------------- the operator's requests

    async def clear_latches(self, producer: Producer) -> None:
        """Clear the latches that manifests name."""
        if await self._requests.clear(producer):
            self._facts.forget_controls()

    async def tear_down(
        self, read: Offsets, ends: Callable[[], Awaitable[Offsets]], producer: Producer
    ) -> Teardowns:
        """Do the next step of each Flatten and return how each stands: see `Flattener`. `report` makes it known."""

        async def tell(decision: Decision) -> None:
            self._untold_closings[decision.signal_id] = decision
            await self._tell_closings(producer)

        await self._tell_closings(producer)
        return await self._requests.tear_down(read, ends, tell)

    async def _tell_closings(self, producer: Producer) -> None:
        """Tell the closing decisions that are stored and that the bus has not acknowledged."""
        if self._untold_closings:
            closings = [(decision, self._told(decision)) for decision in self._untold_closings.values()]
            with self._spans.retelling(closings, anew=True) as records:
                await producer.send(records)
            self._untold_closings = {}

    def report(self, teardowns: Teardowns, judged_ts: int) -> None:
        """Let the status say how the teardowns stand, as of `judged_ts` (UTC ns). Only whoever has the epoch may."""
        for name, (request, words) in teardowns.items():
            if self._teardowns.get(name) != (request, words):
                log.info("teardown", account=self._account, strategy=name, uid=request.uid, stands=words)
        self._teardowns, self._judged_ts = teardowns, judged_ts

    async def re_emit_closing(self, producer: Producer) -> None:
        """Tell our own closing decisions again that have not ended: no strategy would."""
        closing = await self._stored([*self._ledger.closing_decisions()])
        if closing:
            again = [(decision, self._told(decision)) for decision in closing.values()]
            with self._spans.retelling(again, anew=False) as records:
                await producer.send(records)

    def _told(self, decision: Decision) -> Outgoing:
        """Return the decision's event: the same decision always gives the same bytes."""
        signal = decision.signal
        if decision.verdict is Verdict.VALIDATED:
            topic, event_type = self._topics.signals_validated, EventType.VALIDATED_SIGNAL
        else:
            topic, event_type = self._topics.signals_rejected, EventType.REJECTED_SIGNAL
        event = Envelope(
            id=event_id(signal.signal_id, event_type, 0),
            type=event_type,
            version=VERSION,
            ts=decision.decided_at,
            source=f"{SOURCE}/{self._account}",
            account=self._account,
            key=signal.key,
            correlation_id=decision.correlation_id,
            causation_id=decision.causation_id,
            data=_validated(decision) if decision.verdict is Verdict.VALIDATED else _rejected(decision),
        )
        return Outgoing(topic, encode_event(event), key=signal.key)

    async def _latch(self, requests: Sequence[LatchRequest], day: str, producer: Producer) -> None:
        """Set latches; decisions after them see them."""
        if requests:
            await self._latches.set_all(requests, day, producer)
            self._facts.forget_controls()

    # -------------------------------------------------------------------------------------------- fills

    async def on_order(
        self,
        event: Envelope,
        update: OrderUpdate,
        producer: Producer,
        at: tuple[TopicPartition, int] | None = None,
    ) -> None:
        """Fold an order event into the book; a contradiction latches the account before it is stored.

        `at`: where it was read.

        Raises:
            RecordError: it can't be folded; nothing has changed.

        """
        step = self._ledger.fold(update)
        if step.contradiction:
            message = f"order {update.order_id} has two ends: it was filled, and refused, lost or cancelled"
            log.error("order_contradiction", account=self._account, correlation_id=event.correlation_id)
            await self._halt(f"contradiction-{update.order_id}", message, producer)
        old = at is not None and at[1] < self._ledger.told_to.get(str(at[0]), 0)
        self._sharing.take(event, update, step, old=old)
        if step.fold.terminal and not step.fold.filled_quantity:
            self._facts.reserve.drop(update.signal_id)
        if step.quantity_delta or step.amount_delta or step.fees_delta or step.fold.terminal:
            self._unmarked = self._unpublished = True
            self._priced = False
            if self._tracer.on:
                held = quantity_of(self._ledger.book.positions, update.instrument_token)
                self._spans.moved(f"{held:f}")

    async def share_out(
        self, read: Offsets, ends: Callable[[], Awaitable[Offsets]], producer: Producer
    ) -> None:
        """Share out what somebody else has traded, once it is known who held it: see `Sharing`."""
        if self._sharing.waiting:
            with self._not_its_fault("a share in an external trade"):
                if await self._sharing.turn(read, ends, producer):
                    self._unmarked = self._unpublished = True

    async def on_gap(self, partition: TopicPartition, wanted: int, oldest: int, producer: Producer) -> None:
        """Halt the account: order events from offset `wanted` on are gone, the book may miss fills."""
        message = f"gap: {partition} is kept from {oldest}, {wanted} was next; the book may miss fills"
        await self._halt(f"gap-{partition.topic}-{partition.partition}-{wanted}", message, producer)

    async def on_unreadable(self, record_id: str, producer: Producer) -> None:
        """Halt the account: an order event can't be booked; what it said is in the dead letters only.

        One latch a topic and day: a person who clears it has looked at them all.
        """
        message = f"gap: order event {record_id} can't be read; the book may miss fills"
        topic, *_ = record_id.split("/")
        await self._halt(f"gap-unreadable-{topic}-{self._today()}", message, producer)

    async def _halt(self, latch_id: str, reason: str, producer: Producer) -> None:
        with self._not_its_fault(f"latch {latch_id}"):
            await self._latches.set(latch_id, account_scope(self._account), reason, producer)
        self._facts.forget_controls()

    async def settle_up(self, producer: Producer) -> None:
        """Mark the book if it changed and latch what lost too much: before a decision, and before a save."""
        if self._unmarked:
            await self._mark(producer, read=not self._priced)

    async def mark(self, producer: Producer) -> bool:
        """Mark the book at the latest prices and latch what lost too much; say whether there was anything to."""
        await self._facts.look_at_broker()
        self._heed_broker()
        if not self._ledger.held_tokens():
            return False
        await self._mark(producer, read=True)
        return True

    async def _mark(self, producer: Producer, *, read: bool) -> None:
        """`read`: the prices were not read, with all that the signals in hand need, since the book has changed."""
        day = self._today()
        if read:
            await self._facts.mark()
        self._ledger.observe(day)
        found = loss_latches(
            account_scope(self._account), self._ledger.pnl(ACCOUNT, day), self._facts.account_limits
        )
        for name in self._ledger.book.strategies:
            limits = self._facts.limits_of(name)
            if limits is not None:
                found += loss_latches(strategy_scope(name), self._ledger.pnl(name, day), limits)
        await self._latch(found, day, producer)
        self._unmarked = self._priced = False

    async def publish_changes(self, producer: Producer) -> None:
        """Publish the book if it has changed. After the save, so that one who was fenced publishes nothing."""
        if self._unpublished:
            await self._publish(producer, "change")

    @property
    def unpublished(self) -> bool:
        """Whether the book has changed since it was published."""
        return self._unpublished

    async def publish_moves(self, producer: Producer) -> None:
        """Publish the book if prices have moved its equity: at every mark, in a replay less often."""
        last = self._published
        if last is None or self._clock.now() - self._published_at < self._least_wait:
            return
        if last.equity != self._ledger.book.equity(self._ledger.marks):
            await self._publish(producer, PRICES_MOVED)

    async def publish(self, producer: Producer, reason: str) -> None:
        """Publish the book at the latest prices."""
        await self._facts.mark()
        await self._publish(producer, reason)

    async def _publish(self, producer: Producer, reason: str) -> None:
        marking = self._ledger.book.mark(self._ledger.marks)
        readings = await self._ports.control.read((PLATFORM, account_scope(self._account)))
        state = TradingState.strictest(*(reading.state for reading in readings))
        snapshot = marking.snapshot(len(self._ledger.open_orders()), state, reason)
        event, topic = self._event(snapshot), self._topics.portfolio
        with self._spans.publishing(topic, event.correlation_id) as span:
            await producer.send(
                [Outgoing(topic, encode_event(event), key=self._account, headers=span.headers)]
            )
        self._published, self._published_at = snapshot, self._clock.now()
        self._unpublished = False

    def _today(self) -> str:
        return self._terms().rules.trading_day(self._clock.now())

    def _event(self, snapshot: PortfolioSnapshot) -> Envelope:
        new_id = self._ports.ids.new_id()
        return Envelope(
            id=new_id,
            type=EventType.PORTFOLIO_SNAPSHOT,
            version=VERSION,
            ts=self._clock.now(),
            source=f"{SOURCE}/{self._account}",
            account=self._account,
            key=self._account,
            correlation_id=new_id,
            causation_id="",
            data=snapshot,
        )


def _identity(decision: Decision | None) -> tuple[object, ...]:
    """Return what tells two decisions on one id apart, whole or short."""
    if decision is None:
        return ()
    return (decision.payload_hash, decision.verdict, decision.risk_epoch, decision.decided_at)


def _validated(decision: Decision) -> ValidatedSignal:
    return ValidatedSignal(
        original_signal=decision.signal,
        signal_class=decision.signal_class,
        payload_hash=decision.payload_hash,
        risk_epoch=decision.risk_epoch,
        journal_epoch=decision.journal_epoch,
        decided_at=decision.decided_at,
        checks=decision.checks,
    )


def _rejected(decision: Decision) -> RejectedSignal:
    if decision.code is None:
        raise ValueError(f"rejection of {decision.signal_id} has no code")
    return RejectedSignal(
        original_signal=decision.signal,
        code=decision.code,
        message=decision.message,
        decided_at=decision.decided_at,
        checks=decision.checks,
    )
