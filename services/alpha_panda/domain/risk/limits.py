"""The limits of a scope: of an account's whole book, or of a strategy's own. None means no limit.

Money in the account's currency, quantities in units of the instrument, times in ns.
"""

from dataclasses import dataclass
from decimal import Decimal

from alpha_panda.contracts.events import ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class Runaway:
    """`signals` signals of one strategy, instrument and side within `seconds` are a loop: it is latched."""

    signals: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What both scopes may limit. `max_position` and `max_order_quantity` are per instrument.

    `price_collar_bps`: how far the order's prices may be from the last price. `max_daily_loss`: of net P&L since
    the day began. `max_drawdown`: of net P&L from the day's peak. Reaching either latches the scope. Of two
    `runaway` the strategy's own counts.
    """

    max_order_quantity: Decimal | None = None
    max_order_value: Decimal | None = None
    price_collar_bps: Decimal | None = None
    max_position: Decimal | None = None
    max_open_orders: int | None = None
    max_open_order_value: Decimal | None = None
    max_gross_exposure: Decimal | None = None
    max_net_exposure: Decimal | None = None
    max_orders_per_second: int | None = None
    max_orders_per_minute: int | None = None
    max_orders_per_day: int | None = None
    max_daily_loss: Decimal | None = None
    max_drawdown: Decimal | None = None
    allow_short: bool = True
    signal_max_age: int | None = None
    runaway: Runaway | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountLimits(Limits):
    """Limits of the account's book.

    `cost_allowance_bps`: what slippage and fees may add to the value of a BUY, set aside with its cash.
    `short_margin_ratio`: the share of a short's value that must lie in cash beside its proceeds.
    `allow_short=False` binds each strategy's own book as well: else one strategy would sell another's holding.
    """

    cost_allowance_bps: Decimal = ZERO
    short_margin_ratio: Decimal = Decimal(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class StrategyLimits(Limits):
    """Limits of a strategy's own virtual book."""
