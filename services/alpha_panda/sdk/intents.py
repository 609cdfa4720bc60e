"""What a strategy asks for, checked at once, and the runtime that it asks."""

from decimal import Decimal, InvalidOperation
from typing import Final, Protocol

import msgspec

from alpha_panda.contracts.enums import OrderType, Side, Validity
from alpha_panda.contracts.instruments import Instrument

Number = Decimal | int | str
"""How a quantity or a price of an order may be written: exactly. A float is refused."""


class OrderIntent(msgspec.Struct, frozen=True, kw_only=True):
    """An order that a strategy wants: positive quantity in units, prices on the instrument's tick grid.

    Of `reason`, a comment, the first 2,000 characters are kept.
    """

    token: int
    side: Side
    quantity: Decimal
    order_type: OrderType = OrderType.MARKET
    limit_price: Decimal | None = None
    trigger_price: Decimal | None = None
    validity: Validity = Validity.DAY
    reason: str = ""


class CancelIntent(msgspec.Struct, frozen=True, kw_only=True):
    """A wish to cancel the order that the signal `signal_id` made."""

    signal_id: str
    reason: str = ""


class StrategyRuntime(Protocol):
    """What stands behind a strategy: the runner in production, `testing.strategy.RecordingRuntime` in tests.

    It never calls the strategy from within one of these methods. What `position` returns changes only with an
    `on_order` (just before it) or an `on_gap`; `has_open_order` likewise with `on_order` or `on_rejected`.
    """

    def submit(self, intent: OrderIntent | CancelIntent) -> str:
        """Take the intent and return its signal id; what becomes of it is told by later callbacks.

        An intent caused by a tick too old to act on gets an id too, then `on_rejected` with SIGNAL_SUPPRESSED.
        Refused with RuntimeError when no event is being handled (`on_start`, `on_gap`, `snapshot`, `restore`).
        """

    def position(self, token: int) -> Decimal:
        """Return the confirmed position: signed quantity from fills, zero if there was none."""

    def has_open_order(self, token: int) -> bool:
        """Whether an order of this strategy on the token has been submitted and has not ended."""

    def now(self) -> int:
        """Return the time of the event being handled, UTC ns, never wall-clock time; RuntimeError without one."""


_NEEDS: Final[dict[OrderType, tuple[bool, bool]]] = {
    OrderType.MARKET: (False, False),
    OrderType.LIMIT: (True, False),
    OrderType.STOP: (False, True),
    OrderType.STOP_LIMIT: (True, True),
}
"""Which of (limit price, trigger price) an order type has; it must not have the other."""


def exact(value: Number, name: str) -> Decimal:
    """Return a quantity or price as a positive Decimal.

    Raises:
        TypeError: a float (its digits are not what was typed), a bool or something else.
        ValueError: not a number, not finite, zero or negative.

    """
    if isinstance(value, bool) or not isinstance(value, Decimal | int | str):
        remedy = f"write Decimal({str(value)!r}) or use instrument.quantize(price)"
        raise TypeError(
            f"{name} must be a Decimal, int or str, not {type(value).__name__} {value!r}: {remedy}"
        )
    try:
        number = Decimal(value)
    except InvalidOperation:
        raise ValueError(f"{name} is not a number: {value!r}") from None
    if not number.is_finite() or number <= 0:
        raise ValueError(f"{name} must be greater than zero, not {value}")
    return number


def order_price(value: Number | None, name: str, instrument: Instrument) -> Decimal | None:
    """Return a limit or trigger price, or raise ValueError when it is off the instrument's tick grid."""
    if value is None:
        return None
    price = exact(value, name)
    if not instrument.on_tick_grid(price):
        nearest = instrument.quantize(price)
        raise ValueError(
            f"{name} {price} of {instrument.symbol} is not a multiple of its tick size {instrument.tick_size}: "
            f"use instrument.quantize(price), here {nearest}"
        )
    return price


def check_order_prices(intent: OrderIntent) -> None:
    """Raise ValueError unless the intent has exactly the prices that its order type needs."""
    needs = _NEEDS[intent.order_type]
    prices = (intent.limit_price, intent.trigger_price)
    for name, needed, price in zip(("limit_price", "trigger_price"), needs, prices, strict=True):
        if needed and price is None:
            raise ValueError(f"a {intent.order_type} order needs {name}")
        if price is not None and not needed:
            raise ValueError(f"a {intent.order_type} order takes no {name}, got {price}")
