"""How orders, outcomes and decisions are stored: MessagePack maps of strings, which Lua can read without loss.

What no script looks at is one JSON text (`body`). What scripts compare stands beside it as text of its own: times in
nanoseconds and money as decimals (never as Lua numbers), flags as "1" or "", nothing at all as "".
"""

from decimal import Decimal
from typing import Final

import msgspec

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, SignalClass
from alpha_panda.contracts.events import Signal
from alpha_panda.contracts.stored import Decision, JournalEntry, Latch, Outcome
from alpha_panda.errors import MisuseError

ORDER_DIGITS: Final = 30
"""Digits before, and digits after, the decimal point that quantities are compared by."""


class _Body(msgspec.Struct, frozen=True, omit_defaults=True):
    """What never changes in an entry and no script looks at."""

    signal: Signal
    correlation_id: str
    causation_id: str
    quote_price: Decimal | None = None
    quote_ts: int | None = None


class _EntryRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A journal entry. `filled_order` is `filled` as text that compares as the number does."""

    id: str
    key: str
    tag: str
    signal_class: str = msgspec.field(name="class")
    state: str
    attempt: str
    revision: str
    send_by: str
    created_at: str
    updated_at: str
    filled: str
    filled_order: str
    average_price: str
    amount: str
    fees: str
    broker_order_id: str
    triggered: str
    late: str
    code: str
    message: str
    body: str


class _OutcomeRecord(msgspec.Struct, frozen=True, kw_only=True):
    state: str
    filled: str
    filled_order: str
    average_price: str
    amount: str
    fees: str
    broker_order_id: str
    triggered: str
    code: str
    message: str


class _DecisionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A decision: what BEGIN looks at, and the whole as JSON."""

    verdict: str
    signal_class: str = msgspec.field(name="class")
    hash: str
    body: str


class _LatchRecord(msgspec.Struct, frozen=True, kw_only=True):
    place: str
    state: str
    body: str


_pack: Final = msgspec.msgpack.Encoder().encode
_json: Final = msgspec.json.Encoder().encode
_entries: Final = msgspec.msgpack.Decoder(_EntryRecord)
_bodies: Final = msgspec.json.Decoder(_Body)
_decisions: Final = msgspec.msgpack.Decoder(_DecisionRecord)
_decision_bodies: Final = msgspec.json.Decoder(Decision)
_latches: Final = msgspec.msgpack.Decoder(_LatchRecord)
_latch_bodies: Final = msgspec.json.Decoder(Latch)


def packed_entry(entry: JournalEntry) -> bytes:
    """Return the entry as it is stored."""
    body = _Body(entry.signal, entry.correlation_id, entry.causation_id, entry.quote_price, entry.quote_ts)
    record = _EntryRecord(
        id=entry.signal_id,
        key=entry.signal.key,
        tag=entry.tag,
        signal_class=entry.signal_class.value,
        state=entry.state.value,
        attempt=entry.attempt,
        revision=str(entry.revision),
        send_by=str(entry.send_by),
        created_at=str(entry.created_at),
        updated_at=str(entry.updated_at),
        filled=str(entry.filled_quantity),
        filled_order=comparable(entry.filled_quantity),
        average_price=str(entry.average_price),
        amount=_text(entry.amount),
        fees=str(entry.fees),
        broker_order_id=entry.broker_order_id,
        triggered=_flag(entry.triggered),
        late=_flag(entry.late),
        code=entry.code.value if entry.code else "",
        message=entry.message,
        body=_json(body).decode(),
    )
    return _pack(record)


def entry_of(packed: bytes) -> JournalEntry:
    """Return the entry that a script has answered."""
    record = _entries.decode(packed)
    body = _bodies.decode(record.body)
    return JournalEntry(
        signal=body.signal,
        state=EntryState(record.state),
        signal_class=SignalClass(record.signal_class),
        tag=record.tag,
        revision=int(record.revision),
        send_by=int(record.send_by),
        updated_at=int(record.updated_at),
        correlation_id=body.correlation_id,
        causation_id=body.causation_id,
        attempt=record.attempt,
        broker_order_id=record.broker_order_id,
        filled_quantity=Decimal(record.filled),
        average_price=Decimal(record.average_price),
        amount=Decimal(record.amount) if record.amount else None,
        fees=Decimal(record.fees),
        triggered=record.triggered != "",
        late=record.late != "",
        quote_price=body.quote_price,
        quote_ts=body.quote_ts,
        code=Code(record.code) if record.code else None,
        message=record.message,
        created_at=int(record.created_at),
    )


def packed_outcome(outcome: Outcome) -> bytes:
    """Return an outcome as the scripts take it."""
    record = _OutcomeRecord(
        state=outcome.state.value,
        filled=str(outcome.filled_quantity),
        filled_order=comparable(outcome.filled_quantity),
        average_price=str(outcome.average_price),
        amount=_text(outcome.amount),
        fees=str(outcome.fees),
        broker_order_id=outcome.broker_order_id,
        triggered=_flag(outcome.triggered),
        code=outcome.code.value if outcome.code else "",
        message=outcome.message,
    )
    return _pack(record)


def packed_decision(decision: Decision) -> bytes:
    """Return a decision as it is stored."""
    record = _DecisionRecord(
        verdict=decision.verdict.value,
        signal_class=decision.signal_class.value,
        hash=decision.payload_hash,
        body=_json(decision).decode(),
    )
    return _pack(record)


def decision_of(packed: bytes) -> Decision:
    """Return the decision that is stored."""
    return _decision_bodies.decode(_decisions.decode(packed).body)


def latch_body(latch: Latch) -> bytes:
    """Return a latch as JSON; scripts pack it with its state and its place."""
    return _json(latch)


def latches_of(packed: list[bytes]) -> tuple[Latch, ...]:
    """Return a scope's latches in the order they were set."""
    records = sorted((_latches.decode(item) for item in packed), key=lambda record: int(record.place))
    return tuple(_latch_bodies.decode(record.body) for record in records)


def comparable(quantity: Decimal) -> str:
    """Return digits of fixed length that compare as text the way quantities do as numbers.

    Raises:
        MisuseError: negative, not a number, or with more digits than any quantity has.

    """
    sign, digits, exponent = quantity.as_tuple()
    if not isinstance(exponent, int) or (sign and any(digits)) or exponent < -ORDER_DIGITS:
        raise MisuseError(f"{quantity} is no quantity that can be stored")
    width = 2 * ORDER_DIGITS
    number = "".join(map(str, digits)).lstrip("0") if any(digits) else ""
    text = number + "0" * (exponent + ORDER_DIGITS) if number and exponent < ORDER_DIGITS else number
    if len(text) > width or (number and exponent >= ORDER_DIGITS):
        raise MisuseError(f"{quantity} is no quantity that can be stored")
    return text.rjust(width, "0")


def _text(value: Decimal | None) -> str:
    return "" if value is None else str(value)


def _flag(value: bool) -> str:
    return "1" if value else ""
