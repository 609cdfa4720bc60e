"""What all four have in common: documented defaults, refusals that explain, restart anywhere, repeatability."""

import math
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from alpha_panda.sdk import OrderType, Strategy, load_strategy_class
from alpha_panda.testing.strategy import RecordingRuntime, drive, start

SHORT: dict[str, dict[str, Any]] = {
    "momentum": {"lookback": 3, "thresholdBps": "50"},
    "mean_reversion": {"window": 6, "entryZ": "1.2", "exitZ": "0.3"},
    "rsi": {"period": 3, "oversold": 40, "overbought": 60},
    "ma_crossover": {"fast": 2, "slow": 5},
}
"""Parameters that make each of them trade often on a short series."""

VARIANTS = [
    pytest.param(name, {**parameters, **extra}, id="-".join([name, *extra]))
    for name, parameters in SHORT.items()
    for extra in ({}, {"allowShort": True}, {"allowShort": True, "barSeconds": 3})
    if "barSeconds" not in extra or name in ("rsi", "ma_crossover")
]

walks = st.lists(st.integers(-150, 150), min_size=1, max_size=90).map(
    lambda steps: [100 + sum(steps[: index + 1]) / 100 for index in range(len(steps))]
)


def restart(strategy: Strategy, runtime: RecordingRuntime) -> Strategy:
    """Return a new instance that goes on from the old one's snapshot, on the same runtime."""
    state = runtime.driver.snapshot()
    new = type(strategy)(strategy.parameters, strategy.instruments, runtime)
    runtime.attach(new)
    runtime.driver.restore(state)
    return new


@pytest.mark.parametrize("name", SHORT)
def test_it_runs_with_no_parameters_at_all(name: str) -> None:
    strategy, runtime = start(load_strategy_class(type=name))
    drive(strategy, [100 + 20 * math.sin(index / 40) ** 9 for index in range(2_000)])
    assert runtime.orders


@pytest.mark.parametrize("name", SHORT)
def test_every_parameter_has_a_default_and_a_description(name: str) -> None:
    fields = load_strategy_class(type=name).Parameters.model_fields
    assert fields
    assert [key for key, field in fields.items() if field.is_required() or not field.description] == []


@pytest.mark.parametrize("name", SHORT)
def test_the_user_page_lists_every_parameter_with_its_default(name: str) -> None:
    page = (Path(__file__).parents[3] / "docs" / "strategies.md").read_text()
    section = page.split(f"### `{name}`")[1].split("\n### ")[0].split("\n## ")[0]
    common = page.split("### Parameters that all four have")[1].split("\n### ")[0]
    found = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", common + section, flags=re.MULTILINE))
    fields = load_strategy_class(type=name).Parameters.model_fields
    assert found == {field.alias: str(field.default).lower() for field in fields.values()}


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("momentum", {"lookback": 0}, "greater than or equal to 1"),
        ("momentum", {"lookback": 10_001}, "less than or equal to 10000"),
        ("momentum", {"lookback": "many"}, "valid integer"),
        ("momentum", {"thresholdBps": 0}, "greater than 0"),
        ("momentum", {"thresholdBps": "10000"}, "less than 10000"),
        ("momentum", {"quantity": 0}, "greater than 0"),
        ("momentum", {"quantity": "NaN"}, "finite number"),
        ("momentum", {"quantity": "Infinity"}, "finite number"),
        ("momentum", {"window": 20}, "Extra inputs are not permitted"),
        ("mean_reversion", {"window": 2}, "greater than or equal to 3"),
        ("mean_reversion", {"entryZ": 1, "exitZ": 1}, r"exitZ \(1\) must be less than entryZ \(1\)"),
        ("mean_reversion", {"window": 5, "entryZ": 2}, r"entryZ \(2\) is never reached with window 5"),
        ("rsi", {"period": 1}, "greater than or equal to 2"),
        ("rsi", {"oversold": 70}, r"oversold \(70\) must be less than overbought \(70\)"),
        ("rsi", {"overbought": 100}, "less than 100"),
        ("rsi", {"barSeconds": -1}, "greater than or equal to 0"),
        ("ma_crossover", {"fast": 30}, r"fast \(30\) must be less than slow \(30\)"),
        ("ma_crossover", {"slow": 5}, r"fast \(10\) must be less than slow \(5\)"),
        ("ma_crossover", {"retrySeconds": -1}, "greater than or equal to 0"),
    ],
)
def test_parameters_that_make_no_sense_are_refused_with_the_reason(
    name: str, parameters: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        load_strategy_class(type=name).Parameters.model_validate(parameters)


@pytest.mark.parametrize(("name", "parameters"), VARIANTS)
@given(walk=walks, cut=st.integers(0, 90))
def test_a_restart_at_any_point_changes_nothing(
    name: str, parameters: dict[str, Any], walk: list[float], cut: int
) -> None:
    kind = load_strategy_class(type=name)
    whole, expected = start(kind, **parameters)
    drive(whole, walk)
    first, runtime = start(kind, **parameters)
    drive(first, walk[:cut])
    drive(restart(first, runtime), walk[cut:])
    assert runtime.intents == expected.intents


@pytest.mark.parametrize(("name", "parameters"), VARIANTS)
@given(walk=walks)
def test_it_never_holds_more_than_the_quantity_nor_goes_short_unasked(
    name: str, parameters: dict[str, Any], walk: list[float]
) -> None:
    strategy, runtime = start(load_strategy_class(type=name), quantity=2, **parameters)
    allowed = (-2, 0, 2) if parameters.get("allowShort") else (0, 2)
    for price in walk:
        drive(strategy, [price])
        assert strategy.position(1) in allowed
    assert all(order.order_type is OrderType.MARKET for order in runtime.orders.values())


@pytest.mark.parametrize(("name", "parameters"), VARIANTS)
def test_a_cycle_of_rises_and_falls_makes_it_trade_both_sides(name: str, parameters: dict[str, Any]) -> None:
    cycle = [100.0 + abs((index % 40) - 20) for index in range(400)]
    strategy, runtime = start(load_strategy_class(type=name), **parameters)
    drive(strategy, cycle)
    sides = [order.side.value for order in runtime.orders.values()]
    assert sides.count("BUY") >= 5
    assert sides.count("SELL") >= 5
