import math
import statistics
from collections import defaultdict
from decimal import Decimal
from itertools import pairwise

import pytest

from alpha_panda.adapters.simulated.model import (
    BLOCK,
    NS,
    SESSION_SECONDS,
    PriceModel,
    SimulatedOptions,
    session_shape,
    shape_integral,
)
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.errors import SettingsError
from alpha_panda.ports import SourceBatch


def listed(count: int, tick: str = "0.05", price: str = "2500", lot: str = "1") -> list[Instrument]:
    return [
        Instrument(token, f"NSE:S{token}", Decimal(tick), Decimal(lot), reference_price=Decimal(price))
        for token in range(1, count + 1)
    ]


def blocks(count: int, instruments: list[Instrument], **options: float) -> list[SourceBatch]:
    model = PriceModel(SimulatedOptions(**options), instruments)  # type: ignore[arg-type]
    return [model.block() for _ in range(count)]


def rows(made: list[SourceBatch]) -> list[tuple[int, float, int, float, float, float]]:
    return [
        row
        for block in made
        for row in zip(
            block.tokens,
            block.prices,
            block.ts,
            block.volumes or (),
            [bid or 0.0 for bid in block.bids or ()],
            [ask or 0.0 for ask in block.asks or ()],
            strict=True,
        )
    ]


def test_the_same_seed_makes_the_same_ticks() -> None:
    assert rows(blocks(20, listed(3), seed=7)) == rows(blocks(20, listed(3), seed=7))


def test_another_seed_makes_others() -> None:
    one, other = rows(blocks(20, listed(3), seed=7)), rows(blocks(20, listed(3), seed=8))
    assert sum(left == right for left, right in zip(one, other, strict=True)) == 0


def test_ticks_come_in_time_order_and_exactly_as_many_as_asked_for() -> None:
    made = blocks(50, listed(3), ticks_per_second=200)
    stamps = [row[2] for row in rows(made)]
    assert stamps == sorted(stamps)
    for number, block in enumerate(made):
        assert all(
            number * 320_000_000 <= stamp < (number + 1) * 320_000_000 for stamp in block.ts
        )  # 64 / 200 s


def test_gaps_look_like_those_of_independent_arrivals() -> None:
    stamps = [row[2] for row in rows(blocks(200, listed(1), ticks_per_second=100))]
    gaps = [(later - earlier) / NS for earlier, later in pairwise(stamps)]
    assert statistics.mean(gaps) == pytest.approx(0.01, rel=0.01)
    assert statistics.stdev(gaps) == pytest.approx(0.01, rel=0.05)  # an exponential's deviation is its mean


def test_every_instrument_gets_its_share() -> None:
    tokens = [row[0] for row in rows(blocks(200, listed(4)))]
    for token in (1, 2, 3, 4):
        assert tokens.count(token) / len(tokens) == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize(
    ("tick", "price"), [("0.05", "2500"), ("0.01", "1.07"), ("0.0001", "1.3911"), ("5", "40000")]
)
def test_prices_lie_exactly_on_the_tick_grid_with_bid_and_ask_around(tick: str, price: str) -> None:
    instrument = listed(1, tick, price)[0]
    for _, last, _, _, bid, ask in rows(blocks(30, [instrument], volatility=0.5)):
        for value in (last, bid, ask):
            assert instrument.on_tick_grid(Decimal(repr(value)))
        assert 0 < bid <= last <= ask
        assert Decimal(repr(ask)) - Decimal(repr(bid)) in {step * Decimal(tick) for step in (1, 2, 3)}


def test_a_price_that_falls_to_nothing_stays_positive() -> None:
    made = rows(blocks(200, listed(1, "0.05", "0.10"), volatility=20, time_scale=1e6))
    assert min(row[1] for row in made) == 0.05
    assert all(0 < bid <= last <= ask for _, last, _, _, bid, ask in made)


def test_an_instrument_without_reference_price_starts_at_100() -> None:
    made = rows(blocks(1, [Instrument(1, "NSE:A", Decimal("0.05"))], volatility=0.01))
    assert made[0][1] == pytest.approx(100, rel=0.001)


def test_volumes_are_lots() -> None:
    volumes = [row[3] for row in rows(blocks(50, listed(1, lot="25")))]
    assert all(volume >= 25 and volume % 25 == 0 for volume in volumes)
    assert len(set(volumes)) > 50


def moves_by_session_part(volatility: float, sessions: int) -> dict[int, list[float]]:
    """Log returns over tenths of a session, by the tenth's number; one instrument, 640 ticks a session."""
    model = PriceModel(
        SimulatedOptions(seed=3, volatility=volatility, ticks_per_second=640, time_scale=SESSION_SECONDS),
        listed(1, "0.0001", "1000"),
    )
    moves = defaultdict(list)
    last = math.log(1000)
    for number in range(10 * sessions):
        last, before = math.log(model.block().prices[-1]), last
        moves[number % 10].append(last - before)
    return moves


def test_returns_have_the_annualised_volatility_asked_for() -> None:
    moves = moves_by_session_part(0.3, 400)
    variance = sum(statistics.fmean(move * move for move in part) for part in moves.values())
    # Without the jumps' share 5 % would be missing.
    assert math.sqrt(variance * 252) == pytest.approx(0.3, rel=0.03)


def test_variance_follows_the_u_shape_of_the_session() -> None:
    moves = moves_by_session_part(0.3, 400)
    total = sum(statistics.fmean(move * move for move in part) for part in moves.values())
    for part in range(10):
        share = statistics.fmean(move * move for move in moves[part]) / total
        expected = shape_integral((part + 1) / 10) - shape_integral(part / 10)
        assert share == pytest.approx(expected, rel=0.35)
    edges, middle = sum(map(len, (moves[0], moves[9]))), sum(map(len, (moves[4], moves[5])))
    assert edges == middle


def test_volume_follows_the_u_shape_too() -> None:
    made = blocks(2_000, listed(1), ticks_per_second=640, time_scale=SESSION_SECONDS)
    means = [
        statistics.fmean(volume for block in made[part::10] for volume in block.volumes or ())
        for part in range(10)
    ]
    assert means[0] > 2 * means[4]
    assert means[9] > 2 * means[5]


def test_drift_moves_the_price() -> None:
    """Without volatility a drift of 10 % a year is exp(0.1) after a year's 252 sessions."""
    model = PriceModel(
        SimulatedOptions(volatility=0, drift=0.1, ticks_per_second=64, time_scale=SESSION_SECONDS),
        listed(1, "0.0001", "1000"),
    )
    for _ in range(252):
        block = model.block()
    assert block.prices[-1] == pytest.approx(1000 * math.exp(0.1), rel=0.001)


@pytest.mark.parametrize("correlation", [0.0, 0.6, 1.0])
def test_instruments_move_together_as_far_as_asked(correlation: float) -> None:
    model = PriceModel(
        SimulatedOptions(seed=5, correlation=correlation, ticks_per_second=64, time_scale=SESSION_SECONDS),
        listed(2, "0.0001", "1000"),
    )
    prices: dict[int, list[float]] = {1: [], 2: []}
    latest = {1: 1000.0, 2: 1000.0}
    for _ in range(600):
        block = model.block()
        latest.update(zip(block.tokens, block.prices, strict=True))
        for token, price in latest.items():
            prices[token].append(math.log(price))
    left, right = ([b - a for a, b in pairwise(prices[t])] for t in (1, 2))
    # Jumps (a tenth of the variance) are each instrument's own; prices are not read at the same moment.
    assert statistics.correlation(left, right) == pytest.approx(correlation * 0.9, abs=0.12)


def test_the_shape_has_mean_1_and_its_integral_adds_up_over_sessions() -> None:
    steps = 10_000
    assert sum(session_shape((step + 0.5) / steps) for step in range(steps)) / steps == pytest.approx(
        1, abs=1e-6
    )
    assert [shape_integral(x) for x in (0.0, 0.5, 1.0, 2.5)] == pytest.approx([0, 0.5, 1, 2.5])
    assert shape_integral(0.1) == pytest.approx(0.172)  # 0.05 + 0.25 (1 - 0.8³)


def test_a_demo_of_30_seconds_moves_enough_for_momentum_to_trade_a_few_dozen_times() -> None:
    """10 basis points over 20 ticks at 200 ticks a second, with all other settings at their defaults."""
    for seed in range(3):
        prices = [row[1] for row in rows(blocks(30 * 200 // BLOCK, listed(1), seed=seed))]
        trades, position = 0, 0
        for before, price in zip(prices, prices[20:], strict=False):
            wanted = (price > before * 1.001) - (price < before * 0.999)
            if wanted not in (0, position):
                trades, position = trades + 1, wanted
        assert 12 <= trades <= 60


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ticks_per_second", 0),
        ("volatility", -0.1),
        ("volatility", math.nan),
        ("drift", math.inf),
        ("correlation", 1.1),
        ("time_scale", 0),
        ("speed", -1),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(field: str, value: float) -> None:
    with pytest.raises(SettingsError, match=field):
        SimulatedOptions(**{field: value})  # type: ignore[arg-type]
