"""A person's word on an order in doubt, or missing at its broker: what may be said of it, and what outcome it is."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Final

from msgspec.structs import replace

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState
from alpha_panda.contracts.events import ZERO
from alpha_panda.contracts.stored import JournalEntry, Outcome
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.errors import UserInputError


class Word(StrEnum):
    """What a person can say became of an order."""

    FILLED = "filled"
    CANCELLED = "cancelled"
    FAILED = "failed"
    LOST = "lost"


_TRADED: Final = (Word.FILLED, Word.CANCELLED)
"""The words that the broker's book shows; the others say that it shows nothing, for which one must have waited."""

_OUTCOMES: Final = {
    Word.FILLED: (EntryState.FILLED, None),
    Word.CANCELLED: (EntryState.CANCELLED, None),
    Word.FAILED: (EntryState.FAILED, Code.BROKER_REJECTED),
    # LOST is the order-tracker's word, fenced by its lease; FAILED with this code is the same to every reader.
    Word.LOST: (EntryState.FAILED, Code.ORDER_LOST),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """A person's word on an order, with the numbers as the broker's book has them. Money in the account's currency.

    `quantity`: what has filled in all; None: all of it if `filled`, else what the journal knows. `price`: the average.
    """

    word: Word
    by: str
    reason: str
    quantity: Decimal | None = None
    price: Decimal | None = None
    fees: Decimal | None = None
    broker_order_id: str = ""


def outcome_of(entry: JournalEntry, verdict: Verdict, now: int, lost_after: int) -> Outcome:
    """Return the outcome that the verdict gives the entry. `now` in UTC ns, `lost_after` (D) in ns.

    Raises:
        UserInputError: the entry is neither in doubt nor missing, the order may still arrive, or the numbers don't fit it.

    """
    _check_doubt(entry)
    _check_time(entry, verdict.word, now, lost_after)
    quantity = _quantity(entry, verdict)
    price, fees = _money(entry, verdict, quantity)
    state, code = _OUTCOMES[verdict.word]
    return Outcome(
        state=state,
        filled_quantity=quantity,
        average_price=price,
        fees=fees,
        broker_order_id=verdict.broker_order_id,
        code=code,
        message=f"by hand ({verdict.by}): {verdict.reason}",
    )


def preview(entry: JournalEntry, outcome: Outcome) -> JournalEntry:
    """Return the entry as the outcome would leave it."""
    return replace(
        entry,
        state=outcome.state,
        filled_quantity=outcome.filled_quantity,
        average_price=outcome.average_price,
        amount=None,
        fees=outcome.fees,
        broker_order_id=outcome.broker_order_id or entry.broker_order_id,
        code=outcome.code,
        message=outcome.message,
    )


def says(entry: JournalEntry, outcome: Outcome) -> bool:
    """Whether the entry holds this very outcome, who said it and why included."""
    told = (entry.state, entry.filled_quantity, entry.average_price, entry.message)
    return told == (outcome.state, outcome.filled_quantity, outcome.average_price, outcome.message)


def _check_doubt(entry: JournalEntry) -> None:
    if entry.state.resting and entry.code is not Code.ORDER_MISSING:
        raise UserInputError(
            f"order {entry.signal_id} is {entry.state}: it rests at the venue, nothing is in doubt; "
            "its strategy can cancel it, and a halt cancels all that rests"
        )
    if entry.state.terminal:
        why = f" ({entry.message})" if entry.message else ""
        raise UserInputError(
            f"order {entry.signal_id} is {entry.state}{why}: what has ended is not decided again"
        )


def _check_time(entry: JournalEntry, word: Word, now: int, lost_after: int) -> None:
    """An order that is being sent is nobody's to decide; one that the book does not show may be about to appear."""
    wait = entry.send_by - now
    if word not in _TRADED:
        wait += lost_after
    elif entry.state is not EntryState.SENDING:
        return
    if wait > 0:
        doing = "be on its way" if now < entry.send_by else "appear in the broker's book"
        raise UserInputError(
            f"order {entry.signal_id} is {entry.state} and may still {doing}: look again in "
            f"{-(-wait // SECOND_NS)} s"
        )


def _quantity(entry: JournalEntry, verdict: Verdict) -> Decimal:
    """Return what has filled in all, checked against the word and what is known."""
    ordered, known = entry.signal.quantity, entry.filled_quantity
    default = ordered if verdict.word is Word.FILLED else known
    quantity = default if verdict.quantity is None else verdict.quantity
    _require_number("--quantity", quantity)
    if quantity > ordered:
        raise UserInputError(f"--quantity {quantity:f} is more than was ordered, {ordered:f}")
    if quantity < known:
        raise UserInputError(f"--quantity {quantity:f} is less than has filled already, {known:f}")
    if verdict.word is Word.FILLED and quantity != ordered:
        raise UserInputError(
            f"--as filled means all {ordered:f}; an order that ended with {quantity:f} filled is `--as cancelled`"
        )
    if verdict.word is Word.CANCELLED and quantity == ordered:
        raise UserInputError(f"all {ordered:f} have filled: that is `--as filled`")
    if verdict.word not in _TRADED and quantity:
        raise UserInputError(
            f"an order of which {quantity:f} have filled is `--as filled` or `--as cancelled`, not {verdict.word}"
        )
    return quantity


def _money(entry: JournalEntry, verdict: Verdict, quantity: Decimal) -> tuple[Decimal, Decimal]:
    """Return average price and fees."""
    same = quantity == entry.filled_quantity
    price = entry.average_price if verdict.price is None and same else verdict.price
    fees = entry.fees if verdict.fees is None else verdict.fees
    _require_number("--fees", fees)
    if not quantity:
        if verdict.price is not None or fees:
            raise UserInputError(
                "--price and --fees are of what has filled, and nothing has: give --quantity"
            )
        return ZERO, ZERO
    if price is None:
        raise UserInputError(f"--price is wanted: the average price at which {quantity:f} have filled")
    _require_number("--price", price)
    if not price:
        raise UserInputError("--price must be above 0")
    return price, fees


def _require_number(option: str, value: Decimal) -> None:
    if not value.is_finite() or value < 0:
        raise UserInputError(f"{option} {value} is no number of 0 or more")
