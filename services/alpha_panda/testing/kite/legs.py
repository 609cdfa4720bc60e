"""Orders that come of other orders: iceberg legs, the stop of a cover order, the broker's closing orders."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

from alpha_panda.contracts.enums import Side

from .orders import KiteOrder, Terms
from .trades import Position


def iceberg_leg(whole: Terms, leg: int) -> tuple[Terms, dict[str, Any]] | None:
    """Return the terms of a leg, from 1, and what its row says of it; None after the last.

    `whole` is the order for everything. Guess: that each leg waits for the one before.
    """
    each = whole.iceberg_quantity
    left = whole.quantity - each * (leg - 1)
    if left <= 0:
        return None
    meta = {
        "iceberg": {
            "leg": leg,
            "legs": whole.iceberg_legs,
            "leg_quantity": each,
            "total_quantity": whole.quantity,
            "remaining_quantity": max(0, left - each),
        }
    }
    return replace(whole, quantity=min(each, left)), meta


def next_leg(order: KiteOrder) -> tuple[Terms, dict[str, Any]] | None:
    """Return what follows a leg that is filled."""
    said = order.meta["iceberg"]
    return iceberg_leg(replace(order.terms, quantity=said["total_quantity"]), said["leg"] + 1)


def cover_stop(order: KiteOrder) -> Terms:
    """Return the second leg of a cover order whose first is filled."""
    return Terms(
        instrument=order.terms.instrument,
        variety="co",
        side=order.terms.side.opposite,
        order_type="SL-M",
        product="CO",
        quantity=order.filled,
        trigger_price=order.terms.trigger_price,
        market_protection=Decimal(-1),
    )


def closing(position: Position) -> Terms:
    """Return the market order by which the broker closes a position: without protection and without a tag."""
    return Terms(
        instrument=position.instrument,
        variety="regular",
        side=Side.SELL if position.quantity > 0 else Side.BUY,
        order_type="MARKET",
        product=position.product,
        quantity=abs(position.quantity),
    )
