"""Moving-average crossover on numbers worked out by hand: fast 2, slow 3."""

from collections.abc import Sequence
from typing import Any

from alpha_panda.sdk import Side
from alpha_panda.strategies.ma_crossover import MaCrossover
from alpha_panda.testing.strategy import SECOND, drive, start

BUY, SELL = Side.BUY, Side.SELL

FALL = [12.0, 11, 10, 9]
"""Means 10.5 and 11, then 9.5 and 10: the fast one is below."""


def sides(prices: Sequence[float], **parameters: Any) -> list[Side]:
    strategy, _ = start(MaCrossover, **{"fast": 2, "slow": 3, **parameters})
    return [order.side for order in drive(strategy, prices)]


def test_it_buys_when_the_fast_mean_crosses_above() -> None:
    # 10 9 12: means 10.5 and 10.33.
    assert sides([*FALL, 12]) == [BUY]


def test_touching_is_no_crossing() -> None:
    # 10 9 11: means 10 and 10.
    assert sides([*FALL, 11]) == []


def test_which_is_above_at_first_is_no_crossing() -> None:
    assert sides([10, 11, 12, 13, 14]) == []
    assert sides(FALL, allow_short=True) == []


def test_it_sells_out_when_the_fast_mean_crosses_below() -> None:
    # 9 12 9: means 10.5 and 10; 12 9 6: means 7.5 and 9.
    assert sides([*FALL, 12, 9]) == [BUY]
    assert sides([*FALL, 12, 9, 6]) == [BUY, SELL]


def test_with_short_it_turns_in_two_orders() -> None:
    assert sides([*FALL, 12, 9, 6, 5], allow_short=True) == [BUY, SELL, SELL]


def test_a_touch_on_the_way_keeps_the_side() -> None:
    # 12 9 10.5 -> 9.75 and 10.5 below: sold; 9 10.5 9.75: means 10.125 and 9.75 above: bought.
    assert sides([*FALL, 12, 9, 10.5]) == [BUY, SELL]
    assert sides([*FALL, 12, 9, 10.5, 9.75]) == [BUY, SELL, BUY]


def test_with_bars_only_their_closes_count() -> None:
    strategy, runtime = start(MaCrossover, fast=2, slow=3, bar_seconds=60)
    for index, close in enumerate([*FALL, 12.0], start=1):
        runtime.tick(1, 1_000.0 * (index % 2), ts=(60 * index - 30) * SECOND)
        runtime.tick(1, close, ts=60 * index * SECOND)
        assert len(runtime.intents) == (index == 5)
    assert strategy.bar_seconds == 60


def test_the_reason_says_what_was_seen() -> None:
    strategy, _ = start(MaCrossover, fast=2, slow=3)
    assert [order.reason for order in drive(strategy, [*FALL, 12, 9, 6])] == [
        "mean of 2 crossed above mean of 3",
        "mean of 2 crossed below mean of 3",
    ]
