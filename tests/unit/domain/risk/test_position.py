from dataclasses import replace

import pytest

from alpha_panda.contracts.enums import Side, SignalClass
from alpha_panda.domain.risk.position import (
    ClosingOrder,
    OpenQuantity,
    classify,
    closing_order,
    free_quantity,
    is_flat,
    open_quantity,
    own_orders,
)
from unit.domain.risk.making import BUY, INSTRUMENT, SELL, TOKEN, D, open_order

NOTHING = OpenQuantity(D(0), D(0))


def test_open_quantities_are_summed_by_side_and_never_netted() -> None:
    orders = [open_order(BUY, 3), open_order(BUY, 4), open_order(SELL, 5), open_order(SELL, -1)]
    assert open_quantity(orders) == OpenQuantity(D(7), D(5))


def test_own_orders_are_those_of_strategy_and_instrument() -> None:
    mine = open_order(BUY, 1)
    others = [replace(mine, strategy_id="n"), replace(mine, instrument_token=99)]
    assert own_orders([mine, *others], "m", TOKEN) == [mine]


@pytest.mark.parametrize(
    ("position", "opens", "free"),
    [(10, (0, 0), 10), (10, (7, 0), 10), (10, (0, 4), 6), (10, (0, 12), 0), (-10, (3, 9), 7), (0, (1, 1), 0)],
)
def test_free_is_what_no_open_order_of_the_closing_side_may_take(
    position: int, opens: tuple[int, int], free: int
) -> None:
    assert free_quantity(D(position), OpenQuantity(D(opens[0]), D(opens[1]))) == free


@pytest.mark.parametrize(
    ("side", "quantity", "position", "expected"),
    [
        (SELL, 10, 10, SignalClass.REDUCING),
        (SELL, 11, 10, SignalClass.INCREASING),
        (BUY, 1, 10, SignalClass.INCREASING),
        (BUY, 10, -10, SignalClass.REDUCING),
        (SELL, 1, -10, SignalClass.INCREASING),
        (BUY, 1, 0, SignalClass.INCREASING),
        (SELL, 1, 0, SignalClass.INCREASING),
    ],
)
def test_reducing_goes_against_the_position_and_no_further_than_zero(
    side: Side, quantity: int, position: int, expected: SignalClass
) -> None:
    assert classify(side, D(quantity), D(position), NOTHING) is expected


@pytest.mark.parametrize(
    ("position", "sells", "freeze", "expected"),
    [
        (10, 0, None, ClosingOrder(SELL, D(10))),
        (-10, 0, None, ClosingOrder(BUY, D(10))),
        (10, 3, None, ClosingOrder(SELL, D(6))),  # 7 are free, in lots of 2
        (10, 10, None, None),
        (0, 0, None, None),
        (10, 0, 5, ClosingOrder(SELL, D(4))),
        (1, 0, None, ClosingOrder(SELL, D(1))),  # less than a lot: all that is left
    ],
)
def test_the_next_closing_order(
    position: int, sells: int, freeze: int | None, expected: ClosingOrder | None
) -> None:
    instrument = replace(INSTRUMENT, lot_size=D(2), freeze_quantity=None if freeze is None else D(freeze))
    assert closing_order(D(position), OpenQuantity(D(0), D(sells)), instrument) == expected


def test_flat_means_nothing_held_and_nothing_open() -> None:
    assert is_flat(D(0), [])
    assert not is_flat(D(1), [])
    assert not is_flat(D(0), [open_order(SELL, 1)])
