"""Momentum on numbers worked out by hand."""

from collections.abc import Sequence
from typing import Any

import pytest

from alpha_panda.sdk import Side
from alpha_panda.strategies.momentum import Momentum
from alpha_panda.testing.strategy import drive, start


def sides(prices: Sequence[float], **parameters: Any) -> list[Side]:
    strategy, _ = start(Momentum, **{"lookback": 2, "threshold_bps": 100, **parameters})
    return [order.side for order in drive(strategy, prices)]


def test_it_buys_when_the_return_over_the_lookback_reaches_the_threshold() -> None:
    # 101 / 100 - 1 = 1 % = 100 bps; two ticks apart.
    assert sides([100, 100.5, 101]) == [Side.BUY]


def test_one_tick_size_less_is_not_enough() -> None:
    assert sides([100, 100.5, 100.99]) == []


def test_it_compares_with_exactly_lookback_ticks_ago() -> None:
    assert sides([100, 101, 101]) == [Side.BUY]
    assert sides([100, 101.5]) == []
    assert sides([90, 101, 101, 101.5], lookback=3) == [Side.BUY]
    assert sides([90, 101, 101, 101.5], lookback=4) == []


def test_it_sells_out_when_the_return_falls_to_the_negative_threshold() -> None:
    # 101 -> 99.99: -1 % exactly.
    assert sides([100, 100, 101, 101, 99.99]) == [Side.BUY, Side.SELL]
    assert sides([100, 100, 101, 101, 100]) == [Side.BUY]


def test_between_the_thresholds_it_keeps_what_it_has() -> None:
    strategy, _ = start(Momentum, lookback=2, threshold_bps=100)
    drive(strategy, [100, 100, 101, 101, 101, 101, 100.5])
    assert strategy.position(1) == 1


def test_with_short_it_turns_in_two_orders() -> None:
    prices = [100, 100, 101, 100, 99, 98]
    assert sides(prices) == [Side.BUY, Side.SELL]
    assert sides(prices, allow_short=True) == [Side.BUY, Side.SELL, Side.SELL]


@pytest.mark.parametrize(
    ("price", "bps", "after"), [(1.35, 100, 1.3635), (2.47, 100, 2.4947), (1.56, 100, 1.5756)]
)
def test_a_rise_that_equals_the_threshold_in_decimal_counts_whatever_the_floats(
    price: float, bps: int, after: float
) -> None:
    assert sides([price, price, after], threshold_bps=bps) == [Side.BUY]


@pytest.mark.parametrize(
    ("price", "bps", "after"), [(1.14, 25, 1.13715), (1.14, 100, 1.1286), (1.21, 50, 1.20395)]
)
def test_a_fall_that_equals_the_threshold_in_decimal_counts_whatever_the_floats(
    price: float, bps: int, after: float
) -> None:
    assert sides([price, price, after], threshold_bps=bps, allow_short=True) == [Side.SELL]


def test_a_return_on_a_price_of_zero_or_less_means_nothing() -> None:
    assert sides([0, 0, 5]) == []
    assert sides([-10, -10, 5]) == []
    assert sides([-10, -10, -20], allow_short=True) == []


def test_the_reason_says_what_was_seen() -> None:
    strategy, _ = start(Momentum, lookback=2, threshold_bps="100", allow_short=True)
    orders = drive(strategy, [100, 100, 101, 101, 99])
    assert [order.reason for order in orders] == [
        "return over 2 ticks >= 100 bps",
        "return over 2 ticks <= -100 bps",
    ]
