"""The share of each limit that is used."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.contracts.enums import Side, SignalClass
from alpha_panda.domain.book import Position
from alpha_panda.domain.risk.facts import OpenOrder, OrderCounts, PnlReading, ScopeFacts
from alpha_panda.domain.risk.limits import AccountLimits
from alpha_panda.domain.risk.losses import loss_latches
from alpha_panda.domain.risk.open_orders import OrderGroup
from alpha_panda.domain.risk.usage import limit_use

D = Decimal
MARKS = {1: D(100), 2: D(50)}


def held(token: int, quantity: str, cost: str) -> Position:
    return Position(instrument_token=token, symbol=f"X:{token}", quantity=D(quantity), cost=D(cost))


def orders(*values: tuple[Side, str]) -> OrderGroup:
    group = OrderGroup()
    for number, (side, value) in enumerate(values):
        order = OpenOrder(
            signal_id=str(number),
            strategy_id="m",
            instrument_token=1,
            side=side,
            open_quantity=D(1),
            reference_price=D(value),
            signal_class=SignalClass.INCREASING,
        )
        group.put(order)
    return group


def use(group: OrderGroup | None = None, **facts: Any) -> dict[str, float]:
    limits = AccountLimits(**facts.pop("limits"))
    scope = ScopeFacts(scope="account/paper", limits=limits, **{"positions": {}, **facts})
    return limit_use(scope, MARKS, group or OrderGroup())


def test_without_limits_there_is_nothing_to_tell() -> None:
    assert use(limits={}) == {}


@pytest.mark.parametrize(
    ("limit", "amount", "share"),
    [("max_daily_loss", D(-800), 0.8), ("max_daily_loss", D(500), 0.0), ("max_daily_loss", D(-1500), 1.5)],
)
def test_a_loss_uses_up_its_limit_and_a_gain_does_not(limit: str, amount: Decimal, share: float) -> None:
    found = use(limits={limit: D(1000)}, pnl=PnlReading(day_pnl=amount))
    assert found == {"maxDailyLoss": share}


def test_the_fall_from_the_peak() -> None:
    assert use(limits={"max_drawdown": D(200)}, pnl=PnlReading(drawdown=D(50))) == {"maxDrawdown": 0.25}


def test_exposures_are_of_what_is_held_at_the_marks_long_and_short() -> None:
    positions = {1: held(1, "3", "250"), 2: held(2, "-2", "-120"), 3: held(3, "1", "40")}
    limits = {"max_gross_exposure": D(880), "max_net_exposure": D(480), "max_position": D(6)}
    found = use(limits=limits, positions=positions)
    # 300 long, 100 short, and one without a mark at its cost of 40
    assert found == {"maxGrossExposure": 0.5, "maxNetExposure": 0.5, "maxPosition": 0.5}


def test_open_orders_count_for_their_own_limits_both_sides_added() -> None:
    group = orders((Side.BUY, "30"), (Side.SELL, "20"))
    found = use(group, limits={"max_open_orders": 4, "max_open_order_value": D(200)})
    assert found == {"maxOpenOrders": 0.5, "maxOpenOrderValue": 0.25}


def test_paces() -> None:
    counts = OrderCounts(last_second=1, last_minute=3, today=10)
    limits = {"max_orders_per_second": 1, "max_orders_per_minute": 6, "max_orders_per_day": 40}
    assert use(limits=limits, counts=counts) == {"maxOrdersPerMinute": 0.5, "maxOrdersPerDay": 0.25}


@given(
    day_pnl=st.decimals(-10_000, 10_000, places=2),
    drawdown=st.decimals(0, 10_000, places=2),
    limit=st.decimals("0.01", 10_000, places=2),
)
def test_at_1_and_not_before_a_loss_limit_latches(
    day_pnl: Decimal, drawdown: Decimal, limit: Decimal
) -> None:
    pnl = PnlReading(day_pnl=day_pnl, drawdown=drawdown)
    limits = AccountLimits(max_daily_loss=limit, max_drawdown=limit)
    found = use(limits={"max_daily_loss": limit, "max_drawdown": limit}, pnl=pnl)
    assert sum(share >= 1 for share in found.values()) == len(loss_latches("a", pnl, limits))
