"""Whose position an external trade has closed: it is shared out among those who held what is gone.

A person's trade, or the broker squaring off, has no strategy. What it closes of strategies' virtual positions must be
taken from their books too, or they would sell once more what nobody holds any longer.
"""

from collections.abc import Mapping
from decimal import ROUND_FLOOR, Decimal
from typing import Final

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import Side
from alpha_panda.contracts.events import ZERO, OrderUpdate
from alpha_panda.domain.book import Book, quantity_of
from alpha_panda.domain.exact import wide
from alpha_panda.domain.order_events import EXTERNAL

SHARED: Final = frozenset({Code.EXTERNAL_TRADE, Code.SQUARE_OFF, Code.ADOPTED})
"""Codes of external orders whose fills are shared out. An order with our tag that nobody knows is not: it has a strategy."""

_SHARE: Final = "@"
_OF: Final = "/"


def opening_id(opened_at: int, token: int) -> str:
    """Return the id of the external order that books an opening position."""
    return f"{EXTERNAL}:opening-{opened_at}-{token}"


def adoption_id(difference_id: str) -> str:
    """Return the id of the external order that books a difference by a person's word: once, however often it is asked."""
    return f"{EXTERNAL}:adopt-{difference_id}"


def is_shared(update: OrderUpdate) -> bool:
    """Whether what the order fills may have closed what strategies hold."""
    return update.external and not update.share_of and update.code in SHARED


def share_id(order_id: str, filled: Decimal, strategy: str) -> str:
    """Return the id of a strategy's share in what an external order has filled up to `filled` (cumulative)."""
    return f"{share_group(order_id, filled)}{_OF}{strategy}"


def share_group(order_id: str, filled: Decimal) -> str:
    """Return what the ids of all shares in one step of an external order begin with."""
    return f"{order_id}{_SHARE}{filled:f}"


def group_of(signal_id: str) -> str | None:
    """Return the group of a share by its id; None if it is no share's."""
    if not signal_id.startswith(f"{EXTERNAL}:") or _SHARE not in signal_id:
        return None
    return signal_id.rpartition(_OF)[0] or None


def claims_on(book: Book, token: int, side: Side) -> dict[str, Decimal]:
    """Return what each strategy holds that a trade of that side closes, by strategy; never negative."""
    found = {
        name: -side.sign * quantity_of(own.positions, token)
        for name, own in sorted(book.strategies.items())
        if name != EXTERNAL
    }
    return {name: claim for name, claim in found.items() if claim > 0}


def shared_out(book: Book, token: int, side: Side, quantity: Decimal, step: Decimal) -> dict[str, Decimal]:
    """Return each strategy's share of an external trade that is in the book already; what is left is nobody's.

    What others than strategies held goes first: only what the trade has opened for them beyond zero closed something
    of the strategies'.
    """
    own = book.strategies.get(EXTERNAL)
    beyond = side.sign * (ZERO if own is None else quantity_of(own.positions, token))
    return pro_rata(min(quantity, max(beyond, ZERO)), claims_on(book, token, side), step)


def pro_rata(quantity: Decimal, claims: Mapping[str, Decimal], step: Decimal) -> dict[str, Decimal]:
    """Share out up to `quantity` by the size of the claims, in whole steps (lots), largest remainder first.

    Nobody gets more than the claim, and together they get all of the quantity, or all that is claimed. Ties: the
    greater claim, then the name. Without zeros.
    """
    total = sum(claims.values(), ZERO)
    if quantity >= total:
        return {name: claim for name, claim in claims.items() if claim}
    with wide():
        ideal = {name: quantity * claim / total for name, claim in claims.items()}
        found = {
            name: min((part / step).to_integral_value(ROUND_FLOOR) * step, claims[name])
            for name, part in ideal.items()
        }
        order = sorted(claims, key=lambda name: (found[name] - ideal[name], -claims[name], name))
        left = quantity - sum(found.values(), ZERO)
        while left > 0:
            for name in order:
                more = min(step, left, claims[name] - found[name])
                found[name] += more
                left -= more
    return {name: part for name, part in found.items() if part}
