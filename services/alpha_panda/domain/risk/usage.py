"""How much of each limit is used, as a share of it: what a person watches to see a limit come."""

from decimal import Decimal
from typing import TypeVar

from alpha_panda.domain.book import Prices
from alpha_panda.domain.risk.facts import ScopeFacts
from alpha_panda.domain.risk.limits import Limits
from alpha_panda.domain.risk.open_orders import OrderGroup

L = TypeVar("L", bound=Limits)


def limit_use(scope: ScopeFacts[L], marks: Prices, orders: OrderGroup) -> dict[str, float]:
    """Return the share of each limit that is set, by its name in the manifest; 1 at the limit, never negative.

    Exposures and positions are of what is held at `marks` (a position without one at its cost); what is open counts
    for the limits on open orders. A limit that no state can use up (of one order's size, say) has no share.
    """
    limits, pnl, counts, positions = scope.limits, scope.pnl, scope.counts, scope.positions
    values = [position.value(marks.get(token)) for token, position in positions.items()]
    quantities = [abs(position.quantity) for position in positions.values()]
    open_value = sum(orders.values.values(), Decimal(0))
    used: tuple[tuple[str, Decimal | int | None, Decimal | int], ...] = (
        ("maxDailyLoss", limits.max_daily_loss, -pnl.day_pnl),
        ("maxDrawdown", limits.max_drawdown, pnl.drawdown),
        ("maxGrossExposure", limits.max_gross_exposure, sum(map(abs, values), Decimal(0))),
        ("maxNetExposure", limits.max_net_exposure, abs(sum(values, Decimal(0)))),
        ("maxPosition", limits.max_position, max(quantities, default=Decimal(0))),
        ("maxOpenOrders", limits.max_open_orders, len(orders)),
        ("maxOpenOrderValue", limits.max_open_order_value, open_value),
        ("maxOrdersPerMinute", limits.max_orders_per_minute, counts.last_minute),
        ("maxOrdersPerDay", limits.max_orders_per_day, counts.today),
    )
    return {name: max(0.0, float(amount) / float(limit)) for name, limit, amount in used if limit}
