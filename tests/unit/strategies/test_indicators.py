"""Rolling figures: hand-worked numbers, soundness over a million values, and restart anywhere."""

import math
import random
import statistics
from collections import deque
from collections.abc import Callable
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.strategies.indicators import Crossover, Lookback, RollingMean, RollingScore, WilderRsi

# The 14-period example of StockCharts' ChartSchool, "Relative Strength Index (RSI)": closes, and the RSI from the
# 15th on, to two decimals.
CLOSES = [
    44.3389, 44.0902, 44.1497, 43.6124, 44.3278, 44.8264, 45.0955, 45.4245, 45.8433, 46.0826, 45.8931, 46.0328,
    45.6140, 46.2820, 46.2820, 46.0028, 46.0328, 46.4116, 46.2222, 45.6439, 46.2122, 46.2521, 45.7137, 46.4515,
    45.7835, 45.3548, 44.0288, 44.1783, 44.2181, 44.5672, 43.4205, 42.6628, 43.1314,
]  # fmt: skip
RSI = [
    70.53, 66.32, 66.55, 69.41, 66.36, 57.97, 62.93, 63.26, 56.06, 62.38, 54.71, 50.42, 39.99, 41.46, 41.87, 45.46,
    37.30, 33.08, 37.77,
]  # fmt: skip


def test_lookback_holds_the_price_of_that_many_values_ago() -> None:
    lookback = Lookback(2)
    seen = []
    for price in (1.0, 2.0, 3.0, 4.0):
        seen.append(lookback.prices[0])
        lookback.prices.append(price)
    assert math.isnan(seen[0])
    assert math.isnan(seen[1])
    assert seen[2:] == [1.0, 2.0]


def test_rolling_mean_by_hand() -> None:
    mean = RollingMean(3)
    assert [math.isnan(mean.add(value)) for value in (1.0, 2.0)] == [True, True]
    assert [mean.add(value) for value in (6.0, 7.0, 2.0)] == [3.0, 5.0, 5.0]


def test_rolling_mean_forgets_a_wild_value_and_rounding() -> None:
    mean = RollingMean(10)
    for value in [0.1] * 10 + [1e16] + [0.1] * 200:
        last = mean.add(value)
    assert last == pytest.approx(0.1, rel=1e-15)


def test_rolling_mean_heals_after_a_value_that_is_no_number() -> None:
    mean = RollingMean(5)
    for value in [1.0] * 5 + [math.nan] + [1.0] * 100:
        last = mean.add(value)
    assert last == 1.0


def test_rolling_score_by_hand() -> None:
    # 10 10 10 10 20: mean 12, variance (4 * 4 + 64) / 5 = 16, deviation 4, score (20 - 12) / 4 = 2.
    score = RollingScore(5)
    assert all(math.isnan(score.add(10.0)) for _ in range(5))
    assert score.add(20.0) == pytest.approx(2.0, rel=1e-14)
    # 10 10 10 20 7: mean 11.4, squares 100+100+100+400+49 = 749, variance 149.8 - 129.96 = 19.84.
    assert score.add(7.0) == pytest.approx((7 - 11.4) / math.sqrt(19.84), rel=1e-14)


def test_rolling_score_has_no_score_without_spread_at_any_level() -> None:
    score, scored = RollingScore(20), list[float]()
    for value in [0.1] * 50 + [1e9 + 0.1] * 50 + [123.45] * 50:
        last = score.add(value)
        if value == 123.45:
            scored.append(last)
    assert [math.isnan(each) for each in scored] == [False] * 19 + [True] * 31


def exact_score(values: list[float]) -> float:
    """The score in exact arithmetic: at 1e9 even the mean's last bit would be too coarse a yardstick."""
    exact = [Fraction(value) for value in values]
    mean = sum(exact) / len(exact)
    return float(exact[-1] - mean) / math.sqrt(sum((value - mean) ** 2 for value in exact) / len(exact))


@pytest.mark.parametrize("offset", [0.0, 1e6, 1e9])
def test_rolling_score_does_not_drift_over_a_million_values_on_a_large_offset(offset: float) -> None:
    generator = random.Random(5)
    gauss = generator.gauss
    score, window, worst = RollingScore(50), deque[float](maxlen=50), 0.0
    for index in range(1_000_000 if offset else 200_000):
        value = offset + gauss(0.0, 0.05)
        window.append(value)
        found = score.add(value)
        if index % 9_973 == 0 and index > 50:
            worst = max(worst, abs(found - exact_score(list(window))))
    assert worst < 1e-6


def test_rolling_score_heals_after_a_value_that_is_no_number() -> None:
    score = RollingScore(5)
    found = [score.add(value) for value in [1.0, 2.0] * 5 + [math.nan] + [1.0, 2.0] * 100]
    assert found[-1] == found[9]
    assert found[-1] > 0


def test_rolling_score_survives_a_trend_away_from_where_it_began() -> None:
    score, window = RollingScore(20), deque[float](maxlen=20)
    for index in range(50_000):
        value = 1.0 + index * 1e5 + (index % 7) * 0.01
        window.append(value)
        found = score.add(value)
    assert found == pytest.approx(exact_score(list(window)), rel=1e-9)


@pytest.mark.parametrize("wild", [1e6, 1e9, 1e12])
def test_rolling_score_forgets_a_wild_value_as_soon_as_it_has_left_the_window(wild: float) -> None:
    score, window = RollingScore(20), deque[float](maxlen=20)
    generator = random.Random(3)
    for index in range(100):
        value = wild if index == 60 else 100.0 + generator.gauss(0.0, 0.05)
        window.append(value)
        found = score.add(value)
        if index > 20 and index != 60:
            assert found == pytest.approx(exact_score(list(window)), rel=1e-5, abs=1e-6), index


def test_rolling_score_survives_a_jump_to_another_level() -> None:
    score, window = RollingScore(20), deque[float](maxlen=20)
    generator = random.Random(4)
    for index in range(200):
        value = (100.0 if index < 90 else 1e6) + generator.gauss(0.0, 0.05)
        window.append(value)
        found = score.add(value)
        if index > 20:
            assert found == pytest.approx(exact_score(list(window)), rel=1e-5, abs=1e-6), index


def test_rsi_equals_the_published_example() -> None:
    rsi = WilderRsi(14)
    found = [rsi.add(price) for price in CLOSES]
    assert all(math.isnan(value) for value in found[:14])
    assert [round(value, 2) for value in found[14:]] == RSI


def test_rsi_by_hand() -> None:
    # Changes +2, -1: gain 1, loss 0.5, RSI 66.67. Then +3: gain (1 + 3) / 2 = 2, loss 0.25: 200 / 2.25 = 88.89.
    rsi = WilderRsi(2)
    found = [rsi.add(price) for price in (10.0, 12.0, 11.0, 14.0)]
    assert found[2:] == [pytest.approx(200 / 3), pytest.approx(800 / 9)]


def test_rsi_is_100_without_losses_0_without_gains_and_none_without_either() -> None:
    up, down, flat = WilderRsi(2), WilderRsi(2), WilderRsi(2)
    assert [up.add(price) for price in (1.0, 2.0, 3.0, 4.0)][2:] == [100.0, 100.0]
    assert [down.add(price) for price in (4.0, 3.0, 2.0, 1.0)][2:] == [0.0, 0.0]
    assert all(math.isnan(flat.add(price)) for price in (5.0,) * 4)


def test_crossover_by_hand() -> None:
    # fast 2, slow 3: means (11.5, 11) above; (8.5, 10) below: first crossing; (7, 8); (10, 9) above again.
    crossover = Crossover(2, 3)
    prices = (10.0, 10.0, 10.0, 13.0, 10.0, 7.0, 7.0, 13.0)
    assert [crossover.add(price) for price in prices] == [0, 0, 0, 0, 0, -1, -1, 1]


@pytest.mark.parametrize("price", [0.06, 0.09, 0.11])
def test_rounding_is_no_crossing(price: float) -> None:
    # The sums of these prices round so that their means differ in the last bit, now one way, now the other.
    crossover = Crossover(3, 7)
    for each in [10.0] * 7 + [20.0, 10.0, 10.0, 10.0] + [price] * 21:
        crossover.add(each)
    before = crossover.add(price)
    assert [crossover.add(price) for _ in range(300)] == [before] * 300


MAKERS: dict[str, Callable[[], RollingMean | RollingScore | WilderRsi | Crossover]] = {
    "mean": lambda: RollingMean(5),
    "score": lambda: RollingScore(5),
    "rsi": lambda: WilderRsi(4),
    "crossover": lambda: Crossover(3, 7),
}
prices = st.lists(st.integers(1, 10_000).map(lambda cents: cents / 100), max_size=120)


@pytest.mark.parametrize("name", MAKERS)
@given(series=prices, cut=st.integers(0, 120))
def test_a_restored_indicator_goes_on_to_the_last_bit(name: str, series: list[float], cut: int) -> None:
    whole, first, second = MAKERS[name](), MAKERS[name](), MAKERS[name]()
    expected = [repr(whole.add(price)) for price in series]
    before = [repr(first.add(price)) for price in series[:cut]]
    second.load(first.dump())
    assert before + [repr(second.add(price)) for price in series[cut:]] == expected


@given(series=prices)
def test_the_mean_and_score_are_those_of_the_window(series: list[float]) -> None:
    mean, score = RollingMean(6), RollingScore(6)
    for index, price in enumerate(series):
        found, z = mean.add(price), score.add(price)
        window = series[max(0, index - 5) : index + 1]
        if len(window) < 6:
            assert math.isnan(found)
            assert math.isnan(z)
        else:
            assert found == pytest.approx(statistics.fmean(window), rel=1e-12)
            if len(set(window)) == 1:
                assert math.isnan(z)
            else:
                assert z == pytest.approx(exact_score(window), rel=1e-6, abs=1e-6)


@given(series=prices)
def test_the_crossover_is_that_of_the_plain_means(series: list[float]) -> None:
    crossover = Crossover(2, 5)
    side = crossed = 0
    for index, price in enumerate(series):
        found = crossover.add(price)
        if index >= 4:
            cents = [round(each * 100) for each in series[index - 4 : index + 1]]
            lead = 5 * sum(cents[-2:]) - 2 * sum(cents)
            now = (lead > 0) - (lead < 0) or side
            crossed = now if side and now != side else crossed
            side = now
        assert found == crossed
