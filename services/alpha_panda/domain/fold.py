"""What the events of one order amount to, in whatever order and however often they come.

The fold is a maximum, so order and repetition can't matter. Values (quantity, amount, average price, fees) are
those of the event that is greatest by (correction revision, filled quantity, fees, amount, price): a correction
beats all that is not one, a later correction beats an earlier one, and without corrections the greatest filled
quantity counts. The rank is a maximum of its own. Who has corrected an order marks every later event of it as a
correction as well.

Books move by the amount, which is exact; the average price is for display. An event without an amount (its broker
tells averages only) amounts to price times quantity.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from msgspec.structs import replace

from alpha_panda.contracts.enums import OrderStatus
from alpha_panda.contracts.events import ZERO, OrderUpdate
from alpha_panda.contracts.stored import OrderFold, order_id_of
from alpha_panda.domain.exact import amount_of, bounded, bounded_amount, exact, tidy
from alpha_panda.errors import RecordError

_REFUSED: Final = (OrderStatus.FAILED, OrderStatus.LOST)
_SEEN_BY_BROKER: Final = (
    OrderStatus.PLACED,
    OrderStatus.PARTIALLY_FILLED,
    OrderStatus.FILLED,
    OrderStatus.CANCELLED,
)
_REFUSED_LATER: Final = {OrderStatus.PLACED, OrderStatus.FAILED}
_TWO_ENDS: Final = {OrderStatus.CANCELLED, OrderStatus.FILLED}
_NO_CORRECTION: Final = -1


@dataclass(frozen=True, slots=True)
class FoldStep:
    """The fold after an event and what it adds to the books; deltas are negative where a correction lowers.

    `contradiction`: with this event, and not before, the order both reached the broker and was refused or lost.
    Latch the account before the fold is stored, so that a crash between the two repeats the step.
    """

    fold: OrderFold
    quantity_delta: Decimal
    amount_delta: Decimal
    fees_delta: Decimal
    contradiction: bool


def fold_order(fold: OrderFold, update: OrderUpdate, *, rejected: bool = False) -> FoldStep:
    """Add an event to the fold of its order. `rejected`: risk's stored decision on the id is REJECTED.

    Amounts don't know the side: never negative in sum.

    Raises:
        RecordError: a quantity, price, amount or fee is no usable number, or something filled at no price.

    """
    _check(update)
    with exact():
        new = _merge(fold, update)
        return FoldStep(
            fold=new,
            quantity_delta=tidy(new.filled_quantity - fold.filled_quantity),
            amount_delta=tidy(new.amount - fold.amount),
            fees_delta=tidy(new.fees - fold.fees),
            contradiction=contradictory(new, rejected=rejected)
            and not contradictory(fold, rejected=rejected),
        )


def merge_folds(one: OrderFold, other: OrderFold) -> OrderFold:
    """Return what two readers of an order's events, each of whom may lack some, know of it together."""
    return replace(
        max(one, other, key=_value),
        rank=max(one.rank, other.rank),
        statuses=tuple(sorted(dict.fromkeys((*one.statuses, *other.statuses)))),
        unplaced=one.unplaced or other.unplaced,
    )


def traded_amount(update: OrderUpdate) -> Decimal:
    """Return the money that the event's filled quantity cost or brought, before fees."""
    return amount_of(update.filled_quantity, update.price, update.amount)


def contradictory(fold: OrderFold, *, rejected: bool = False) -> bool:
    """Whether the order both reached the broker and was refused (by risk: `rejected`), failed or lost.

    One life has both and no contradiction: a broker that took an order may refuse it later, with nothing filled.
    Then PLACED and FAILED both name the broker's id, and neither is a correction. Nor does one order end as cancelled
    and as filled: a store that forgot the one may come to the other.
    """
    told = set(fold.statuses)
    if told >= _TWO_ENDS:
        return True
    if not told.intersection(_SEEN_BY_BROKER) or not (rejected or told.intersection(_REFUSED)):
        return False
    uncorrected = fold.correction_revision == _NO_CORRECTION and not fold.unplaced
    return rejected or not (told == _REFUSED_LATER and uncorrected)


def _merge(fold: OrderFold, update: OrderUpdate) -> OrderFold:
    revision = update.revision if update.correction else _NO_CORRECTION
    known = _value(fold)
    told = (revision, update.filled_quantity, update.fees, traded_amount(update), _price(update))
    correction, filled, fees, traded, price = max(known, told)
    return OrderFold(
        filled_quantity=tidy(filled),
        average_price=tidy(price),
        amount=tidy(traded),
        fees=tidy(fees),
        rank=max(fold.rank, int(update.status.rank)),
        statuses=_seen(fold.statuses, update),
        correction_revision=correction,
        unplaced=fold.unplaced or (update.status is OrderStatus.FAILED and not update.broker_order_id),
    )


def _value(fold: OrderFold) -> tuple[int, Decimal, Decimal, Decimal, Decimal]:
    return fold.correction_revision, fold.filled_quantity, fold.fees, fold.amount, fold.average_price


def _price(update: OrderUpdate) -> Decimal:
    """Return the average price; what filled nothing has none, whatever it says."""
    return update.price if update.filled_quantity and update.price is not None else ZERO


def _seen(statuses: tuple[OrderStatus, ...], update: OrderUpdate) -> tuple[OrderStatus, ...]:
    """Return the set of all statuses told, sorted, so that it is the same whatever came first.

    A fill that comes with a refusal is kept in it as PARTIALLY_FILLED: the quantity alone would forget it once a
    correction lowers it, and then what is a contradiction would depend on what came first.
    """
    filled = (OrderStatus.PARTIALLY_FILLED,) if update.filled_quantity and update.status in _REFUSED else ()
    told = [status for status in (update.status, *filled) if status not in statuses]
    return tuple(sorted((*statuses, *told))) if told else statuses


def _check(update: OrderUpdate) -> None:
    numbers, amount = (update.filled_quantity, update.fees, update.price or ZERO), update.amount or ZERO
    usable = all(bounded(number) for number in numbers) and bounded_amount(amount)
    if not usable or update.filled_quantity < 0:
        raise RecordError(
            f"order {order_id_of(update)}: quantity, fees, price and amount must be numbers:"
            f" {', '.join(str(number) for number in (*numbers, amount))}"
        )
    if update.filled_quantity and update.price is None:
        raise RecordError(
            f"order {order_id_of(update)}: {update.filled_quantity} filled, but the event has no price"
        )
