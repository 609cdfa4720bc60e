"""Mean reversion on numbers worked out by hand: window 5, where one outlier among equals has a score of 2."""

from collections.abc import Sequence
from typing import Any

from alpha_panda.sdk import Side
from alpha_panda.strategies.mean_reversion import MeanReversion
from alpha_panda.testing.strategy import drive, start

BUY, SELL = Side.BUY, Side.SELL


def sides(prices: Sequence[float], **parameters: Any) -> list[Side]:
    strategy, _ = start(MeanReversion, **{"window": 5, "entry_z": "1.9", "exit_z": "0.5", **parameters})
    return [order.side for order in drive(strategy, prices)]


def test_it_buys_what_is_far_below_its_mean() -> None:
    # 100 100 100 100 90: mean 98, deviation 4, z = -2.
    assert sides([100] * 4 + [90]) == [BUY]


def test_it_waits_for_a_full_window_and_for_spread() -> None:
    assert sides([100, 100, 100, 90]) == []
    assert sides([100] * 50) == []


def test_it_leaves_when_the_score_is_back_within_the_exit() -> None:
    # 100 100 100 90 100: mean 98, deviation 4, z = +0.5 >= -0.5.
    assert sides([100] * 4 + [90, 100]) == [BUY, SELL]


def test_it_stays_while_the_score_is_below_the_exit() -> None:
    # 100 100 100 90 94: mean 96.8, variance (3 * 10.24 + 46.24 + 7.84) / 5 = 16.96, z = -2.8 / 4.118 = -0.68.
    assert sides([100] * 4 + [90, 94]) == [BUY]
    assert sides([100] * 4 + [90, 94], exit_z="0.7") == [BUY, SELL]


def test_far_above_it_leaves_but_does_not_open_unless_short_is_allowed() -> None:
    assert sides([100] * 4 + [110]) == []
    assert sides([100] * 4 + [110], allow_short=True) == [SELL]


def test_a_short_is_closed_when_the_score_is_back() -> None:
    # 110 106: mean 103.2, variance 16.96, z = +0.68. 110 103: mean 102.6, variance 15.04, z = +0.10 <= 0.5.
    assert sides([100] * 4 + [110, 106], allow_short=True) == [SELL]
    assert sides([100] * 4 + [110, 103], allow_short=True) == [SELL, BUY]


def test_a_short_is_closed_by_a_score_far_on_the_other_side() -> None:
    # 100 100 100 110 95: mean 101, variance (3 + 81 + 36) / 5 = 24, z = -1.22: past the mean, short of entry.
    assert sides([100] * 4 + [110, 95], allow_short=True) == [SELL, BUY]


def test_a_long_is_closed_and_turned_by_a_score_far_above() -> None:
    # 90 then 130: 100 100 100 90 130: mean 104, variance (48 + 196 + 676) / 5 = 184, z = 26 / 13.56 = 1.917.
    prices = [100.0] * 4 + [90, 130]
    assert sides(prices) == [BUY, SELL]
    assert sides([*prices, 100_000], allow_short=True) == [BUY, SELL, SELL]


def test_the_reason_says_what_was_seen() -> None:
    strategy, _ = start(MeanReversion, window=5, entry_z="1.9", exit_z="0.5")
    orders = drive(strategy, [100] * 4 + [90, 100])
    assert [order.reason for order in orders] == ["z <= -1.9", "z is back within 0.5 of the mean"]
