"""What is wrong with a payload by itself: ids, finite positive numbers, and just the prices that its type has."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from alpha_panda.contracts.enums import OrderType
from alpha_panda.contracts.events import CancelRequest, Signal
from alpha_panda.domain.exact import bounded

_HAS_LIMIT: Final = (OrderType.LIMIT, OrderType.STOP_LIMIT)
_HAS_TRIGGER: Final = (OrderType.STOP, OrderType.STOP_LIMIT)


def signal_faults(signal: Signal) -> Iterator[str]:
    """Yield everything that is wrong with a signal's fields by themselves."""
    yield from id_faults(signal, "symbol")
    yield from _number_faults("quantity", signal.quantity)
    for name, price, types in (
        ("limit_price", signal.limit_price, _HAS_LIMIT),
        ("trigger_price", signal.trigger_price, _HAS_TRIGGER),
    ):
        if (price is not None) is not (signal.order_type in types):
            yield f"{name} is {'missing' if price is None else 'not allowed'} in a {signal.order_type} order"
        if price is not None:
            yield from _number_faults(name, price)
    if signal.price is not None:
        yield from _number_faults("price", signal.price)


def id_faults(payload: Signal | CancelRequest, *more: str) -> Iterator[str]:
    """Yield the ids that are empty; `more`: names of further fields that must not be."""
    for name in ("signal_id", "strategy_id", *more):
        if not getattr(payload, name):
            yield f"{name} is empty"


def _number_faults(name: str, number: Decimal) -> Iterator[str]:
    if not bounded(number) or number <= 0:
        yield f"{name} {number} is not a positive number of at most 31 digits before and 40 after the point"
