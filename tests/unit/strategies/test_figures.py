"""What the shipped strategies say of themselves is what their order came from."""

from typing import Any

import pytest

from alpha_panda.sdk import Strategy
from alpha_panda.strategies.ma_crossover import MaCrossover
from alpha_panda.strategies.mean_reversion import MeanReversion
from alpha_panda.strategies.momentum import Momentum
from alpha_panda.strategies.rsi import Rsi
from alpha_panda.strategy.explaining import text_of
from alpha_panda.testing.strategy import start

TOKEN = 1


def said_at_the_order(kind: type[Strategy], prices: list[float], **parameters: Any) -> dict[str, str]:
    """Drive until the first order, and return what is said at its moment."""
    strategy, runtime = start(kind, **parameters)
    said: list[dict[str, str]] = []
    submit = runtime.submit

    def submitted(intent: Any) -> str:
        said.append({name: text_of(value) for name, value in strategy.explain(TOKEN).items()})
        return submit(intent)

    runtime.submit = submitted  # type: ignore[method-assign]
    for price in prices:
        runtime.tick(TOKEN, price)
    return said[0]


def test_momentum_names_both_prices_and_the_return() -> None:
    said = said_at_the_order(Momentum, [100, 100.5, 101, 102], lookback=2, threshold_bps=100)
    assert said == {
        "price": "101",
        "price 2 ticks ago": "100",
        "return": "100.00 bps",
        "threshold": "100 bps",
        "position": "0",
    }


def test_mean_reversion_names_the_score_and_its_moments() -> None:
    said = said_at_the_order(MeanReversion, [100, 100, 100, 96], window=4, entry_z="1.5", exit_z="0.5")
    # mean 99, deviations 1, 1, 1, -3: variance (1 + 1 + 1 + 9) / 4 = 3; z = -3 / sqrt(3).
    assert said["z"] == "-1.7321"
    assert said["mean of 4"] == "99"
    assert float(said["standard deviation"]) == pytest.approx(3**0.5)
    assert (said["enters at"], said["leaves at"]) == ("±1.5", "±0.5")


def test_rsi_names_the_index_and_its_thresholds() -> None:
    said = said_at_the_order(Rsi, [100, 99, 98], period=2, oversold=30, overbought=70)
    assert said == {"RSI(2)": "0.00", "buys at": "30", "sells at": "70", "position": "0"}


def test_ma_crossover_names_both_means() -> None:
    said = said_at_the_order(MaCrossover, [10, 10, 10, 7, 13], fast=1, slow=3)
    assert said == {"mean of 1": "13", "mean of 3": "10", "position": "0"}
