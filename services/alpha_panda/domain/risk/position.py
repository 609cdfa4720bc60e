"""What a strategy may close: the rule that tells a reducing order from an increasing one.

Reducing: against the strategy's own confirmed position, and no larger than what of it no open order of that side
may still take. So whatever subset of the open orders fills, a reducing order moves the position towards zero and
never across (`models/strategy-risk`: the guards `less_open` and `same_side`).
"""

from collections.abc import Collection, Iterable
from decimal import ROUND_FLOOR, Decimal
from typing import NamedTuple

from alpha_panda.contracts.enums import Side, SignalClass
from alpha_panda.contracts.events import ZERO
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.domain.exact import minus, plus, tidy, wide
from alpha_panda.domain.risk.facts import OpenOrder


class OpenQuantity(NamedTuple):
    """What may still be bought and sold; never netted against each other."""

    buys: Decimal
    sells: Decimal

    def of(self, side: Side) -> Decimal:
        """Return the quantity of a side."""
        return self.buys if side is Side.BUY else self.sells


class ClosingOrder(NamedTuple):
    """The next order that brings a position closer to zero."""

    side: Side
    quantity: Decimal


def open_quantity(orders: Iterable[OpenOrder]) -> OpenQuantity:
    """Return the sums of the orders' open quantities by side."""
    sums = {Side.BUY: ZERO, Side.SELL: ZERO}
    for order in orders:
        sums[order.side] = plus(sums[order.side], max(ZERO, order.open_quantity))
    return OpenQuantity(sums[Side.BUY], sums[Side.SELL])


def own_orders(orders: Iterable[OpenOrder], strategy_id: str, token: int) -> list[OpenOrder]:
    """Return the strategy's orders on the instrument."""
    return [order for order in orders if order.strategy_id == strategy_id and order.instrument_token == token]


def closing_side(position: Decimal) -> Side:
    """Return the side that closes a position (of zero: SELL, of quantity zero)."""
    return Side.BUY if position < 0 else Side.SELL


def free_quantity(position: Decimal, opens: OpenQuantity) -> Decimal:
    """Return how much of a confirmed position no open order of the closing side may take; never negative."""
    return max(ZERO, minus(position.copy_abs(), opens.of(closing_side(position))))


def classify(side: Side, quantity: Decimal, position: Decimal, opens: OpenQuantity) -> SignalClass:
    """Return the class of an order, by the strategy's own confirmed position and own open orders on the token."""
    against = position * side.sign < 0
    reduces = against and quantity <= free_quantity(position, opens)
    return SignalClass.REDUCING if reduces else SignalClass.INCREASING


def closing_order(position: Decimal, opens: OpenQuantity, instrument: Instrument) -> ClosingOrder | None:
    """Return the MARKET order that closes what is free of a position, or as much as one order may hold.

    None when nothing is free. A rest smaller than a lot is closed as it is: the gate lets a residue pass.
    """
    with wide():
        free = free_quantity(position, opens)
        most = free if instrument.freeze_quantity is None else min(free, instrument.freeze_quantity)
        lots = (most / instrument.lot_size).to_integral_value(ROUND_FLOOR) * instrument.lot_size
        quantity = tidy(lots or free)
        return ClosingOrder(closing_side(position), quantity) if quantity else None


def is_flat(position: Decimal, orders: Collection[OpenOrder]) -> bool:
    """Whether a strategy is out of an instrument for good: nothing confirmed, and nothing that may still fill.

    `orders`: its orders on the instrument that have not ended, whatever their open quantity.
    """
    return not position and not orders
