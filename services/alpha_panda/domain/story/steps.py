"""The steps of an order: what the journal went through, who told of it, and what was asked meanwhile."""

from collections.abc import Iterable, Sequence
from typing import Final

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, OrderStatus
from alpha_panda.contracts.events import CancelRequest, Envelope, OrderUpdate, RejectedSignal, ValidatedSignal
from alpha_panda.contracts.stored import JournalEntry

from .evidence import Evidence, signal_of
from .model import Step

JOURNAL: Final = "journal"
BEGIN: Final = "BEGIN: permission to send, once; the broker is called"
REFUSED: Final = "refused before sending: the broker was not called"
SILENT: Final = "the engine told of no outcome: it was in doubt until the order-tracker found out"

_TRACKER: Final = "order-tracker/"
_AFTER_GO: Final = frozenset(
    {Code.BROKER_REJECTED, Code.BROKER_UNREACHABLE, Code.SEND_DEADLINE_PASSED, Code.ORDER_LOST, Code.NO_FILL}
)
"""Codes of failures that come after the permission; any other failure was found before it."""

Told = tuple[Envelope, OrderUpdate]


def begun_at(evidence: Evidence, updates: Sequence[OrderUpdate]) -> int | None:
    """Return when the journal's entry was written (UTC ns); None if nobody has told."""
    told = next((update.begun_at for update in updates if update.begun_at), 0)
    if told:
        return told
    return evidence.entry.created_at or None if evidence.entry is not None else None


def steps_of(evidence: Evidence, told: Sequence[Told], begun: int | None) -> tuple[Step, ...]:
    """Return all steps in order of time."""
    steps = [*_begin(evidence, told, begun), *(_step(event, update) for event, update in told)]
    steps += [*_doubt(evidence.entry), *_requests(evidence)]
    ordered = sorted(steps, key=lambda step: step.ts)
    return tuple(
        step if n == 0 else _after(step, step.ts - ordered[n - 1].ts) for n, step in enumerate(ordered)
    )


def _after(step: Step, span: int) -> Step:
    return Step(ts=step.ts, what=step.what, by=step.by, after=span, code=step.code, message=step.message)


def _begin(evidence: Evidence, told: Sequence[Told], begun: int | None) -> Iterable[Step]:
    if begun is None:
        return
    first = told[0][1] if told else None
    if first is not None and first.external:
        return
    if (first is not None and _unsent(first)) or (first is None and _refused(evidence.entry)):
        yield Step(ts=begun, what=REFUSED, by=JOURNAL)
        return
    yield Step(ts=begun, what=BEGIN, by=JOURNAL)
    if told and told[0][0].source.startswith(_TRACKER):
        yield Step(ts=begun, what=SILENT, by=JOURNAL)


def _unsent(update: OrderUpdate) -> bool:
    return update.status is OrderStatus.FAILED and update.code not in _AFTER_GO and not update.broker_order_id


def _refused(entry: JournalEntry | None) -> bool:
    return (
        entry is not None
        and entry.state is EntryState.FAILED
        and entry.code not in _AFTER_GO
        and not entry.broker_order_id
    )


def _step(event: Envelope, update: OrderUpdate) -> Step:
    filled = f" {update.filled_quantity:f} at {update.price:f}" if update.price is not None else ""
    correction = "correction: " if update.correction else ""
    own = update.broker_order_id in ("", update.order_id)  # a paper broker gives ours back
    at_broker = "" if own else f", broker's id {update.broker_order_id}"
    fees = f", fees {update.fees:f}" if update.fees else ""
    return Step(
        ts=event.ts,
        what=f"{correction}{update.status.value}{filled}{fees}{at_broker}",
        by=event.source,
        code=update.code,
        message=update.message,
    )


def _doubt(entry: JournalEntry | None) -> Iterable[Step]:
    if entry is not None and entry.state.in_doubt and entry.state is not EntryState.SENDING:
        yield Step(
            ts=entry.updated_at, what=f"{entry.state.value}: in doubt", by=JOURNAL, message=entry.message
        )


def _requests(evidence: Evidence) -> Iterable[Step]:
    """Yield what was asked and said about cancelling the order."""
    requests = set()
    for event in evidence.distinct():
        request = signal_of(event)
        if isinstance(request, CancelRequest):
            requests.add(request.signal_id)
            yield _request(event, request)
        elif isinstance(event.data, OrderUpdate) and event.data.signal_id in requests:
            yield Step(
                ts=event.ts,
                what="not cancelled",
                by=event.source,
                code=event.data.code,
                message=event.data.message,
            )


def _request(event: Envelope, request: CancelRequest) -> Step:
    data = event.data
    if isinstance(data, ValidatedSignal):
        return Step(ts=event.ts, what="the cancellation may go to the broker", by=event.source)
    if isinstance(data, RejectedSignal):
        what = "the cancellation is refused"
        return Step(ts=event.ts, what=what, by=event.source, code=data.code, message=data.message)
    why = f": {request.reason}" if request.reason else ""
    return Step(ts=event.ts, what=f"the strategy asks to cancel it{why}", by=event.source)
