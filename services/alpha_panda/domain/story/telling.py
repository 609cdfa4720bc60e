"""Evidence to story: puts what was found into the order in which it happened, and says what is missing."""

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from alpha_panda.contracts.codes import DESCRIPTIONS, REMEDIES, Code
from alpha_panda.contracts.enums import EntryState, EventType, OrderStatus, Verdict
from alpha_panda.contracts.events import Envelope, OrderUpdate, RejectedSignal, Signal, ValidatedSignal
from alpha_panda.domain.ids import broker_tag

from .effect import effect, fill_of, folded
from .evidence import Evidence
from .model import (
    BookPart,
    DecisionPart,
    Ending,
    FillPart,
    Hop,
    Order,
    PricePart,
    SignalPart,
    Story,
    TickPart,
    Why,
)
from .steps import begun_at, steps_of

if TYPE_CHECKING:
    from alpha_panda.contracts.stored import JournalEntry

_ENDINGS: Final = {
    OrderStatus.FILLED: Ending.FILLED,
    OrderStatus.CANCELLED: Ending.CANCELLED,
    OrderStatus.FAILED: Ending.FAILED,
    OrderStatus.LOST: Ending.LOST,
    OrderStatus.PLACED: Ending.RESTING,
    OrderStatus.PARTIALLY_FILLED: Ending.RESTING,
}
_UNFILLED: Final = (Ending.CANCELLED, Ending.FAILED, Ending.LOST, Ending.RESTING)

Told = tuple[Envelope, OrderUpdate]


def tell(evidence: Evidence) -> Story | None:
    """Return the story; None if what was found does not even say what the order is."""
    told = _updates(evidence)
    order = _order(evidence, [update for _, update in told])
    if order is None:
        return None
    signal, decision = _signal(evidence), _decision(evidence)
    ending = _ending(evidence, [update for _, update in told], decision)
    begun = begun_at(evidence, [update for _, update in told])
    price = _price(evidence, told, begun)
    fill, book = _effects(evidence, told, order, price)
    tick = _tick(evidence, signal)
    return Story(
        order=order,
        ending=ending,
        tick=tick,
        signal=signal,
        decision=decision,
        price=price,
        steps=steps_of(evidence, told, begun),
        fill=fill,
        book=book,
        why=_why(evidence, told, decision, ending),
        hops=_hops(tick, signal, decision, begun, told),
        notes=tuple(evidence.notes),
        missing=tuple(_missing(evidence, tick, book, ending)),
    )


# ------------------------------------------------------------------------------------------------ the order


def _updates(evidence: Evidence) -> list[Told]:
    """Return the order's own events, oldest first."""
    own = ((event, event.data) for event in evidence.distinct())
    return [
        (event, data)
        for event, data in own
        if isinstance(data, OrderUpdate) and data.signal_id == evidence.signal_id
    ]


def _order(evidence: Evidence, updates: Sequence[OrderUpdate]) -> Order | None:
    terms: Signal | OrderUpdate | None = evidence.signal or next(iter(updates), None)
    if terms is None:
        return None
    account = evidence.account or next((event.account for event in evidence.events), "")
    return Order(
        signal_id=evidence.signal_id,
        order_id=updates[0].order_id if updates else broker_tag(evidence.signal_id),
        account=account,
        strategy=terms.strategy_id,
        symbol=terms.symbol,
        instrument_token=terms.instrument_token,
        side=terms.side.value,
        order_type=terms.order_type.value,
        quantity=terms.quantity,
        validity=terms.validity.value,
        limit_price=terms.limit_price,
        trigger_price=terms.trigger_price,
    )


def _ending(evidence: Evidence, updates: Sequence[OrderUpdate], decision: DecisionPart | None) -> Ending:
    entry = evidence.entry
    if entry is not None:
        return Ending.IN_DOUBT if entry.state.in_doubt else _ENDINGS[entry.state.order_status]
    if updates:
        return _ENDINGS[last_word(updates).status]
    if decision is None:
        return Ending.UNDECIDED
    if not decision.passed:
        return Ending.REJECTED
    # That it was not sent the journal alone knows: one in doubt has no event either.
    return Ending.VALIDATED if evidence.journal_read else Ending.UNTOLD


def last_word(updates: Sequence[OrderUpdate]) -> OrderUpdate:
    """Return the update that says most: a correction, else the furthest stage, else the latest revision."""
    return max(updates, key=lambda update: (update.correction, update.rank, update.revision))


# ------------------------------------------------------------------------------------- signal, tick, decision


def _signal(evidence: Evidence) -> SignalPart | None:
    signal = evidence.signal
    if signal is None:
        return None
    sent = next((event for event in evidence.distinct() if event.data == signal), None)
    return SignalPart(
        ts=None if sent is None else sent.ts,
        reason=signal.reason,
        price=signal.price,
        expires_at=signal.expires_at,
        closing=signal.closing,
        state=dict(signal.state),
        cause=_cause(evidence),
    )


def causation_of(evidence: Evidence) -> str:
    """Return what the signal names as its cause: `topic/partition/offset#token:seq`, or an event's id; "" unknown."""
    for event in evidence.events:
        if event.type is EventType.TRADING_SIGNAL and event.data == evidence.signal:
            return event.causation_id
    suppressed = (event for event in evidence.events if event.source.startswith("strategy/"))
    return next((event.causation_id for event in suppressed), "")


def _cause(evidence: Evidence) -> str:
    """Return in words what caused the signal, if it was no tick."""
    if evidence.cause is not None:
        return f"{evidence.cause.type.value} {evidence.cause.id}"
    signal, causation = evidence.signal, causation_of(evidence)
    if signal is not None and signal.closing:
        return "the strategy is being torn down: risk closes its position"
    return "" if not causation or "#" in causation else f"event {causation}"


def _tick(evidence: Evidence, signal: SignalPart | None) -> TickPart | None:
    causation = causation_of(evidence)
    told = evidence.signal.tick_ts if evidence.signal else 0
    made = None if signal is None else signal.ts
    seen = evidence.tick
    if seen is None:
        return (
            TickPart(record=causation, ts=told or None, age=_span(told, made)) if "#" in causation else None
        )
    tick = seen.tick
    return TickPart(
        record=causation or seen.record,
        ts=tick.ts,
        price=tick.last_price,
        bid=tick.bid,
        ask=tick.ask,
        feed=seen.feed,
        mode=seen.mode.value,
        seq=tick.seq,
        age=_span(tick.ts, made),
        source_ts=tick.source_ts,
    )


def _span(begin: int | None, end: int | None) -> int | None:
    return None if not begin or end is None else end - begin


def _decision(evidence: Evidence) -> DecisionPart | None:
    stored = evidence.decision
    if stored is not None:
        return DecisionPart(
            ts=stored.decided_at,
            passed=stored.verdict is Verdict.VALIDATED,
            signal_class=stored.signal_class,
            code=stored.code,
            message=stored.message,
            checks=tuple(stored.checks),
        )
    for event in evidence.distinct():
        data = event.data
        if isinstance(data, ValidatedSignal | RejectedSignal) and isinstance(data.original_signal, Signal):
            rejected = data if isinstance(data, RejectedSignal) else None
            return DecisionPart(
                ts=data.decided_at,
                passed=rejected is None,
                signal_class=data.signal_class if isinstance(data, ValidatedSignal) else None,
                code=None if rejected is None else rejected.code,
                message="" if rejected is None else rejected.message,
                checks=tuple(data.checks),
            )
    return None


# --------------------------------------------------------------------------------------------- price and book


def _price(evidence: Evidence, told: Sequence[Told], begun: int | None) -> PricePart | None:
    quotes: list[tuple[OrderUpdate | JournalEntry, int]] = [(update, event.ts) for event, update in told]
    if evidence.entry is not None:
        quotes.append((evidence.entry, evidence.entry.updated_at))
    for source, ts in quotes:
        if source.quote_price is not None and source.quote_ts is not None:
            return PricePart(
                price=source.quote_price, ts=source.quote_ts, age=_span(source.quote_ts, begun or ts)
            )
    return None


def _effects(
    evidence: Evidence, told: Sequence[Told], order: Order, price: PricePart | None
) -> tuple[FillPart | None, BookPart | None]:
    updates = [update for _, update in told]
    side = updates[0].side if updates else None
    if side is None:
        return None, None
    fill = fill_of(folded(updates), side, None if price is None else price.price)
    if fill is None:
        return None, None
    return fill, effect(fill, side, order.symbol, evidence.before, evidence.after)


# ---------------------------------------------------------------------------------------------- why and when


def _why(
    evidence: Evidence, told: Sequence[Told], decision: DecisionPart | None, ending: Ending
) -> Why | None:
    if ending is Ending.REJECTED and decision is not None and decision.code is not None:
        return why(decision.code, decision.message)
    entry = evidence.entry
    if ending is Ending.IN_DOUBT and entry is not None:
        return why(Code.IN_DOUBT, entry.message or "whether the broker has the order is not known", own=True)
    if ending not in _UNFILLED:
        return None
    source = entry if entry is not None else last_word([update for _, update in told])
    code = source.code or (Code.ORDER_LOST if ending is Ending.LOST else None)
    return None if code is None else why(code, source.message)


def why(code: Code, message: str, *, own: bool = False) -> Why:
    """Return a code with its texts. `own`: IN_DOUBT of this very order, not of an earlier one."""
    meaning = "The broker may or may not have this order." if own else DESCRIPTIONS[code]
    return Why(code=code, message=message, meaning=meaning, remedy=REMEDIES[code])


def _hops(
    tick: TickPart | None,
    signal: SignalPart | None,
    decision: DecisionPart | None,
    begun: int | None,
    told: Sequence[Told],
) -> tuple[Hop, ...]:
    """Return the spans between neighbours that are both known, and the whole way up to the first answer."""
    answered = told[0][0].ts if told else None
    points = [
        ("tick", None if tick is None else tick.ts),
        ("signal", None if signal is None else signal.ts),
        ("decision", None if decision is None else decision.ts),
        ("order", begun),
        ("answer", answered),
    ]
    known = [(name, ts) for name, ts in points if ts is not None]
    hops = [Hop(f"{a} → {b}", end - start) for (a, start), (b, end) in pairwise(known)]
    if len(known) > 2:  # noqa: PLR2004 - of two the whole is the part
        hops.append(Hop(f"{known[0][0]} → {known[-1][0]}", known[-1][1] - known[0][1]))
    if len(told) > 1:
        hops.append(Hop("answer → end", told[-1][0].ts - told[0][0].ts))
    return tuple(hops)


def _missing(evidence: Evidence, tick: TickPart | None, book: BookPart | None, ending: Ending) -> list[str]:
    found = []
    if evidence.signal is None:
        found.append("the signal: it was not made here, or is not kept any more")
    if tick is not None and tick.price is None:
        found.append(f"the tick {tick.record}: not kept any more")
    if book is not None and (book.before is None or book.after is None):
        found.append("the book before and after: the snapshots of that time are not kept any more")
    if ending is Ending.VALIDATED:
        found.append("the order: risk let it pass, but no engine has begun it; `alpha-panda status` says why")
    if ending is Ending.UNTOLD:
        found.append(
            "what became of the order: nobody has told it here, and the journal, which knows whether it was sent, was not read"
        )
    if ending is Ending.UNDECIDED:
        yet = "yet; `alpha-panda status` says why" if evidence.journal_read else "here"
        found.append(f"risk's decision: there is none {yet}")
    if ending is Ending.IN_DOUBT and evidence.entry is not None:
        sending = evidence.entry.state is EntryState.SENDING
        found.append(
            "the broker's answer: the call is under way"
            if sending
            else "the broker's answer: none, or none to rely on"
        )
    return found
