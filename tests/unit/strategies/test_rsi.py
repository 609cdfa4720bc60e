"""RSI on numbers worked out by hand: period 2."""

from collections.abc import Sequence
from typing import Any

from alpha_panda.sdk import Side
from alpha_panda.strategies.rsi import Rsi
from alpha_panda.testing.strategy import SECOND, drive, start

BUY, SELL = Side.BUY, Side.SELL


def sides(prices: Sequence[float], **parameters: Any) -> list[Side]:
    strategy, _ = start(Rsi, **{"period": 2, **parameters})
    return [order.side for order in drive(strategy, prices)]


def test_it_buys_at_or_below_oversold() -> None:
    # Changes -7, +3: gain 1.5, loss 3.5, RSI exactly 30.
    assert sides([100, 93, 96]) == [BUY]
    assert sides([100, 93, 96], oversold="29.9") == []


def test_it_sells_out_at_or_above_overbought() -> None:
    # ... then +7: gain (1.5 + 7) / 2 = 4.25, loss 1.75, RSI 70.83.
    assert sides([100, 93, 96, 103]) == [BUY, SELL]
    assert sides([100, 93, 96, 103], overbought=71) == [BUY]


def test_it_waits_for_period_changes() -> None:
    assert sides([100, 90]) == []


def test_prices_that_do_not_move_cause_nothing() -> None:
    assert sides([100] * 20, allow_short=True) == []


def test_with_short_overbought_opens_one() -> None:
    assert sides([100, 107, 104]) == []
    assert sides([100, 107, 104], allow_short=True) == [SELL]


def test_with_bars_only_their_closes_count() -> None:
    strategy, runtime = start(Rsi, period=2, bar_seconds=60)
    for second, price in ((30, 50), (60, 100), (90, 200), (120, 93), (150, 10), (179, 300)):
        runtime.tick(1, price, ts=second * SECOND)
    assert runtime.intents == []
    runtime.tick(1, 96, ts=180 * SECOND)
    assert [order.side for order in runtime.orders.values()] == [BUY]
    assert strategy.bar_seconds == 60


def test_the_reason_says_what_was_seen() -> None:
    strategy, _ = start(Rsi, period=2)
    assert [order.reason for order in drive(strategy, [100, 93, 96, 103])] == ["RSI <= 30", "RSI >= 70"]
