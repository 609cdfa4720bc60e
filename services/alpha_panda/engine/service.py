"""The engine service: any number a BrokerAccount, one consumer group. Validated signals → the broker, once each.

The order of effects is the promise (DESIGN section 4): refusals and BEGIN are stored before anything is said or
sent; GO permits one call before its deadline; the outcome is settled before its event; the event is acknowledged
before the entry leaves `open`; the offset is committed last. Whatever dies in between, the order-tracker finishes.

Nor does the engine end for a lost reply of the journal: it holds nothing that a new start would claim anew. After
a broker call it goes on and leaves to the order-tracker what the journal or the book shows: the broker is not asked
again. Before one the record is retried: BEGIN and `refuse` write once, and a signal that is not written has no end.
"""

from collections.abc import Awaitable, Mapping, Sequence
from typing import TypeVar

import structlog
from msgspec.structs import replace

from alpha_panda.contracts.codec import encode_event
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, EventType
from alpha_panda.contracts.events import VERSION, ZERO, CancelRequest, Envelope, Signal, ValidatedSignal
from alpha_panda.contracts.scopes import scopes_of
from alpha_panda.contracts.stored import BeginVerdict, JournalEntry, Outcome, PriceReading
from alpha_panda.contracts.topics import TopicMap
from alpha_panda.contracts.units import nanoseconds
from alpha_panda.domain.ids import event_id
from alpha_panda.domain.order_events import order_event, order_topic, order_update
from alpha_panda.errors import RecordError, TransientError, UnknownOutcomeError
from alpha_panda.ports import BeginRequest, Outgoing, Record, Subscription
from alpha_panda.runtime.builder import BreakerAction, StreamServiceBuilder
from alpha_panda.runtime.context import ServiceContext
from alpha_panda.runtime.logging import log_fields
from alpha_panda.runtime.records import event_of
from alpha_panda.runtime.registry import ServiceDefinition
from alpha_panda.runtime.service import StreamService
from alpha_panda.runtime.tracing import names
from alpha_panda.runtime.tracing.tracing import Kind, current
from alpha_panda.runtime.venues import broker_of

from .metrics import EngineMetrics
from .presend import PreSend
from .router import ExecutionRouter, is_cancel, validated

log = structlog.get_logger()

T = TypeVar("T")

SOURCE = "engine"
PREPARE, BEGIN, PLACE, SETTLE = "prepare", "BEGIN", "place order", "settle"
REFUSE, CANCEL = "refuse", "cancel order"
"""Names of spans."""

GO = "GO"
UNCONFIRMED = "the broker did not confirm the cancellation; the order may rest on"
UNSTORED = "the broker's answer to the cancellation could not be stored; the order may rest on"
UNANSWERED = "the permission to send was asked for and no answer came"


class Engine:
    """Executes one account's validated signals: those of one order key in turn, others beside them (`engine_lanes`)."""

    def __init__(self, context: ServiceContext) -> None:
        self._account = context.resource
        self._manifests = context.manifests
        self._feed = context.resources.accounts[context.resource].spec.market_feed
        self._ports = context.ports
        self._clock = context.ports.clock
        self._instance = context.instance
        self._send_within = nanoseconds(context.settings.send_within_seconds)
        self._topics = TopicMap(context.resource, context.settings.topic_prefix)
        self._journal = context.ports.journal(context.resource)
        self._router = ExecutionRouter(context.ports.traders)
        self._presend = PreSend(context)
        self._orders: dict[EntryState, int] = {}
        self._unanswered = 0
        self._metrics = EngineMetrics(context.metrics, context.resource)
        self._tracer = context.tracer(SOURCE)
        self.group = f"{context.settings.topic_prefix}{context.resource}.engine"
        self.service: StreamService

    async def handle(self, records: Sequence[Record]) -> None:
        """Execute the records in order; the same record again does nothing (BEGIN answers DUP)."""
        for record in records:
            event = event_of(record)
            decision = validated(event)
            original = decision.original_signal
            with (
                log_fields(correlation_id=event.correlation_id),
                self._tracer.process(record, event, self.group),
            ):
                if isinstance(original, CancelRequest):
                    await self._cancel(event, original)
                else:
                    await self._execute(event, decision, original)
            self.service.record_processed(1, event.ts)

    async def dead_letter(self, record: Record, code: Code, message: str) -> None:
        """End a validated signal that can't be processed as ORDER_FAILED too: never only in a DLQ."""
        try:
            event = event_of(record)
            decision = validated(event)
        except RecordError:
            return  # nothing in it names a signal: the DLQ record is all there is to tell
        original = decision.original_signal
        with self._tracer.process(record, event, self.group):
            if isinstance(original, Signal):
                await self._refuse(self._request(event, decision, original, None), code, message)
                return
            entry = await self._journal.get(original.order_signal_id)
            if entry is not None:
                await self._send(self._cannot_cancel(event, original, entry, code, message))

    async def lacks_epoch(self) -> str | None:
        """Say so while the order-tracker has not made the journal's present run usable: every signal would end in doubt."""
        return (
            None if await self._journal.epoch() is not None else f"account {self._account} is not reconciled"
        )

    def details(self) -> Mapping[str, str | int | float | bool | None]:
        """Figures for get_status: orders by the state they came to, and scripts whose reply was lost."""
        orders = {f"orders_{state.value.lower()}": count for state, count in sorted(self._orders.items())}
        return {**orders, "unanswered": self._unanswered}

    # ------------------------------------------------------------------------------------------- orders

    async def _execute(self, event: Envelope, decision: ValidatedSignal, signal: Signal) -> None:
        with current().child(PREPARE):
            reading = await self._ports.prices.read(self._feed, signal.instrument_token)
            now = self._clock.now()
            token_valid = self._router.token_valid(self._account, now)
            fault = self._presend.fault(signal, decision, reading, now, token_valid=token_valid)
        if fault is not None and fault.code is not None:
            await self._refuse(self._request(event, decision, signal, reading), fault.code, fault.message)
            return
        # What needs no price may go out on a stale one, which nobody may match it with.
        reading = self._presend.tradable(signal, decision, reading, now)
        request = self._request(event, decision, signal, reading)
        deadline = (
            self._clock.monotonic() + self._send_within
        )  # read before BEGIN: never later than the store's
        with current().child(BEGIN, Kind.CLIENT) as step:
            verdict = await self._answer("begin", signal.signal_id, self._journal.begin(request))
            if verdict is not None:
                step.set({names.OUTCOME: GO if verdict.go else verdict.entry.state.value})
        if verdict is None:
            # Counts as DUP: if it was written it stands, and is the order-tracker's to resolve.
            await self._refuse(request, Code.DEPENDENCY_UNAVAILABLE, UNANSWERED)
            return
        if not verdict.go:
            await self._tell_refusal(verdict)
            return
        trace = self._tracer.exemplar(event.correlation_id)
        self._metrics.calling(decision.decided_at, self._clock.now(), trace)
        begun = self._clock.monotonic()
        with current().child(PLACE, Kind.CLIENT) as step:
            outcome = await self._router.place(self._account, verdict.entry, reading, deadline)
            step.set(_ended(outcome))
        self._metrics.called(outcome.state, self._clock.monotonic() - begun, trace)
        settling = self._journal.settle(signal.signal_id, request.attempt, outcome, verdict.entry)
        with current().child(SETTLE, Kind.CLIENT):
            entry = await self._answer("settle", signal.signal_id, settling)
        if entry is None:
            return  # settled or not, the order-tracker finds out: the broker is not asked twice
        self._metrics.settled(signal.tick_ts, self._clock.now(), trace)
        await self._tell(entry)

    async def _answer(self, script: str, signal_id: str, asked: Awaitable[T]) -> T | None:
        """Return the script's answer; None if it was lost, which is logged and counted."""
        try:
            return await asked
        except UnknownOutcomeError as error:
            self._note_unanswered(script, signal_id, error)
            return None

    def _note_unanswered(self, script: str, signal_id: str, error: UnknownOutcomeError) -> None:
        self._unanswered += 1
        self.service.record_error(error)
        current().fail(error)
        log.warning("script_unanswered", script=script, signal_id=signal_id, error=str(error))

    async def _refuse(self, request: BeginRequest, code: Code, message: str) -> None:
        """Write the refusal once, and tell it.

        Raises:
            TransientError: the answer was lost. Going on could leave a signal without any entry, which nobody ends.

        """
        signal_id = request.signal.signal_id
        with current().child(REFUSE, Kind.CLIENT, {names.CODE: code.value}):
            verdict = await self._answer("refuse", signal_id, self._journal.refuse(request, code, message))
        if verdict is None:
            raise TransientError(f"whether the refusal of signal {signal_id} is stored is not known")
        await self._tell_refusal(verdict)

    def _request(
        self, event: Envelope, decision: ValidatedSignal, signal: Signal, reading: PriceReading | None
    ) -> BeginRequest:
        quote = reading.quote if reading is not None else None
        return BeginRequest(
            signal=signal,
            payload_hash=decision.payload_hash,
            journal_epoch=decision.journal_epoch,
            attempt=self._ports.ids.new_id(),
            send_within=self._send_within,
            scopes=scopes_of(self._account, signal.strategy_id),
            orders_per_second=self._manifests.resources.accounts[
                self._account
            ].spec.risk.max_orders_per_second,
            correlation_id=event.correlation_id,
            causation_id=event.id,
            quote_price=None if quote is None else self._presend.price(signal, quote),
            quote_ts=None if quote is None else quote.ts,
        )

    async def _tell_refusal(self, verdict: BeginVerdict) -> None:
        """Tell a refusal that was stored just now. DUP is somebody else's to tell; UNKNOWN the tracker's."""
        if verdict.fresh and not verdict.entry.state.in_doubt:
            await self._tell(verdict.entry)

    async def _tell(self, entry: JournalEntry) -> None:
        """Produce the event of the entry's present state, then let the entry leave `open`."""
        self._orders[entry.state] = self._orders.get(entry.state, 0) + 1
        self._metrics.ended(entry)
        current().set(_ended(entry))
        if entry.state.in_doubt:
            return
        event = order_event(entry, self._account, f"{SOURCE}/{self._account}")
        await self._send(event)
        acknowledging = self._journal.acknowledge(entry.signal_id, entry.revision)
        await self._answer("acknowledge", entry.signal_id, acknowledging)  # still open: it is told once more

    async def _send(self, event: Envelope) -> None:
        topic = order_topic(self._topics, event.type)
        with current().send(topic, names.told(event)) as span:
            record = Outgoing(topic, encode_event(event), key=event.key, headers=span.headers)
            await self.service.producer.send([record])

    # ---------------------------------------------------------------------------------------- cancelling

    async def _cancel(self, event: Envelope, request: CancelRequest) -> None:
        """Cancel a resting order. Never gated by trading state, price or rate."""
        entry = await self._journal.get(request.order_signal_id)
        if entry is None:  # risk knows the order, so the journal has lost it: set the request aside
            raise RecordError(
                f"the order to cancel, of signal {request.order_signal_id}, is not in the journal"
            )
        if not entry.state.resting:
            code = Code.IN_DOUBT if entry.state.in_doubt else Code.ORDER_NOT_OPEN
            message = f"order {entry.tag} is {entry.state}: it can't be cancelled"
            await self._send(self._cannot_cancel(event, request, entry, code, message))
            return
        with current().child(CANCEL, Kind.CLIENT) as step:
            outcome = await self._router.cancel(self._account, entry)
            step.set(_ended(outcome))
        if outcome.state.resting or entry.code is Code.ORDER_MISSING:
            await self._send(self._cannot_cancel(event, request, entry, Code.CANCEL_UNCONFIRMED, UNCONFIRMED))
            return  # what became of it is the broker's to tell, by its book; of one that it lacks, a person's
        if outcome.state is EntryState.CANCELLED and outcome.code is None:
            outcome = replace(outcome, code=Code.CANCELLED_BY_STRATEGY)
        try:
            changed = await self._journal.fill(entry.signal_id, entry.revision, outcome)
        except UnknownOutcomeError as error:
            self._note_unanswered("fill", entry.signal_id, error)
            await self._send(self._cannot_cancel(event, request, entry, Code.CANCEL_UNCONFIRMED, UNSTORED))
            return  # if it was written it is in `open`, and told; if not, a live order is followed in the book
        if changed is None:  # it moved on meanwhile, to its end at the last
            await self._cancel(event, request)
            return
        await self._tell(changed)

    def _cannot_cancel(
        self, event: Envelope, request: CancelRequest, entry: JournalEntry, code: Code, message: str
    ) -> Envelope:
        """Return ORDER_UPDATED that changes nothing but says why the order was not cancelled.

        Of an order that has not ended it says so under the request's id: nothing may be told of an order in doubt,
        or who folds or rebuilds would take it for one that the broker has.
        """
        if not entry.state.terminal:
            signal = replace(entry.signal, signal_id=request.signal_id)
            entry = replace(entry, signal=signal, state=EntryState.FAILED, filled_quantity=ZERO, fees=ZERO)
        return Envelope(
            id=event_id(request.signal_id, EventType.ORDER_UPDATED, 0),
            type=EventType.ORDER_UPDATED,
            version=VERSION,
            ts=event.ts,
            source=f"{SOURCE}/{self._account}",
            account=self._account,
            key=event.key,
            correlation_id=event.correlation_id,
            causation_id=event.id,
            data=replace(order_update(entry), code=code, message=message, correction=False),
        )


def _ended(what: Outcome | JournalEntry) -> dict[str, names.Value]:
    """Return attributes of what became of an order."""
    found: dict[str, names.Value] = {names.OUTCOME: what.state.value}
    if what.filled_quantity:
        found[names.FILLED] = f"{what.filled_quantity:f}"
    return found if what.code is None else {**found, names.CODE: what.code.value}


def build(context: ServiceContext) -> StreamService:
    """Wire an engine of the account that the context names.

    Waiting would let signals trade late, so while a dependency's breaker is open records go to the DLQ and end
    as ORDER_FAILED with BREAKER_OPEN; but cancels, which nothing gates, are always tried. The broker call itself is inside no breaker and no retry.
    """
    settings = context.settings
    engine = Engine(context)
    topics = TopicMap(context.resource, settings.topic_prefix)
    engine.service = (
        StreamServiceBuilder("engine", context)
        .log_fields(account=context.resource, broker=broker_of(context.resources.accounts[context.resource]))
        .topics(topics.specs(settings.order_partitions))
        .consume(
            Subscription(group=engine.group, topics=(topics.signals_validated,)),
            engine.handle,
            when_open=BreakerAction.DEAD_LETTER,
            on_dead_letter=engine.dead_letter,
            passes_breaker=is_cancel,
            lanes=settings.engine_lanes,
        )
        .needs("reconciled", engine.lacks_epoch)
        .details(engine.details)
        .build()
    )
    return engine.service


SERVICE = ServiceDefinition(name="engine", kind="BrokerAccount", build=build, replicas=2, start_order=30)
