"""Is the signal an order at all: ids, finite positive numbers, and just the prices that its type has."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import OrderType
from alpha_panda.contracts.events import CancelRequest, Signal
from alpha_panda.domain.exact import bounded
from alpha_panda.domain.risk.case import Case
from alpha_panda.domain.risk.outcome import PASSED, Outcome, refused

_HAS_LIMIT: Final = (OrderType.LIMIT, OrderType.STOP_LIMIT)
_HAS_TRIGGER: Final = (OrderType.STOP, OrderType.STOP_LIMIT)


def schema(case: Case) -> Outcome:
    """Refuse a payload that no venue could take."""
    return _outcome(signal_faults(case.signal))


def cancel_schema(request: CancelRequest) -> Outcome:
    """Refuse a cancel request that names nothing."""
    return _outcome(_id_faults(request, "order_signal_id"))


def signal_faults(signal: Signal) -> Iterator[str]:
    """Yield everything that is wrong with a signal's fields by themselves."""
    yield from _id_faults(signal, "symbol")
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


def _id_faults(payload: Signal | CancelRequest, *more: str) -> Iterator[str]:
    for name in ("signal_id", "strategy_id", *more):
        if not getattr(payload, name):
            yield f"{name} is empty"


def _number_faults(name: str, number: Decimal) -> Iterator[str]:
    if not bounded(number) or number <= 0:
        yield f"{name} {number} is not a positive number of at most 31 digits before and 40 after the point"


def _outcome(faults: Iterator[str]) -> Outcome:
    found = "; ".join(faults)
    return refused(Code.SCHEMA_INVALID, found) if found else PASSED
