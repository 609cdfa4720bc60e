"""The base class: what it offers to a strategy and what it refuses."""

import ast
from decimal import Decimal
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field, ValidationError

import alpha_panda.sdk
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.errors import UnknownInstrumentError
from alpha_panda.sdk import (
    CancelIntent,
    OrderIntent,
    OrderType,
    Side,
    Strategy,
    StrategyParameters,
    Tick,
    Validity,
)
from alpha_panda.testing.strategy import TEST_INSTRUMENT, RecordingRuntime, start

OTHER = Instrument(token=2, symbol="TEST:TWO", tick_size=Decimal("0.5"))


class Sized(Strategy):
    """Does on a tick what a test tells it to."""

    class Parameters(StrategyParameters):
        lot_count: int = 3
        bar_seconds: int = 0

    parameters: Parameters


def started() -> tuple[Sized, RecordingRuntime]:
    strategy, runtime = start(Sized, instruments=(TEST_INSTRUMENT, OTHER))
    runtime._handling = True
    runtime.time = 17
    return strategy, runtime


@pytest.mark.parametrize("name", ["lotCount", "lot_count"])
def test_parameters_take_both_spellings(name: str) -> None:
    assert Sized.Parameters.model_validate({name: 5}).lot_count == 5


def test_a_parameter_given_in_both_spellings_is_refused() -> None:
    with pytest.raises(ValidationError, match="lotCount and lot_count are the same parameter"):
        Sized.Parameters.model_validate({"lotCount": 5, "lot_count": 5})


def test_unknown_parameters_are_refused() -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        Sized.Parameters.model_validate({"lots": 5})


def test_parameters_that_are_no_mapping_are_refused() -> None:
    with pytest.raises(ValidationError, match="valid dictionary"):
        Sized.Parameters.model_validate([1])


def test_parameters_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Sized.Parameters().lot_count = 4  # type: ignore[misc]


def test_a_decimal_parameter_written_as_a_yaml_number_keeps_its_digits() -> None:
    class Priced(StrategyParameters):
        step: Decimal = Field(default=Decimal(1))

    assert Priced.model_validate({"step": 12.1}).step == Decimal("12.1")


def test_a_class_whose_parameters_are_of_another_kind_is_refused_when_it_is_defined() -> None:
    with pytest.raises(TypeError, match=r"Wrong\.Parameters must be a subclass of StrategyParameters"):

        class Wrong(Strategy):
            Parameters: ClassVar[type] = dict


def test_a_strategy_takes_only_its_own_parameters() -> None:
    with pytest.raises(TypeError, match="Sized takes Parameters, not StrategyParameters"):
        Sized(StrategyParameters(), [TEST_INSTRUMENT], RecordingRuntime())


def test_bar_seconds_come_from_the_parameters_or_from_the_class() -> None:
    class Minutely(Strategy):
        bar_seconds = 60

    assert start(Sized, bar_seconds=300)[0].bar_seconds == 300
    assert start(Minutely)[0].bar_seconds == 60
    assert start(Strategy)[0].bar_seconds == 0


def test_buy_submits_an_intent_and_returns_its_id() -> None:
    strategy, runtime = started()
    assert strategy.buy(1, "2.5", reason="because") == "signal-1"
    assert runtime.intents == [OrderIntent(token=1, side=Side.BUY, quantity=Decimal("2.5"), reason="because")]


def test_sell_carries_every_term() -> None:
    strategy, runtime = started()
    strategy.sell(
        2,
        3,
        order_type=OrderType.STOP_LIMIT,
        limit_price="10.5",
        trigger_price=Decimal(11),
        validity=Validity.IOC,
    )
    assert runtime.intents == [
        OrderIntent(
            token=2,
            side=Side.SELL,
            quantity=Decimal(3),
            order_type=OrderType.STOP_LIMIT,
            limit_price=Decimal("10.5"),
            trigger_price=Decimal(11),
            validity=Validity.IOC,
        )
    ]


def test_cancel_names_the_signal() -> None:
    strategy, runtime = started()
    first = strategy.buy(1, 1)
    assert strategy.cancel(first, "changed my mind") == "signal-2"
    assert runtime.intents[1] == CancelIntent(signal_id=first, reason="changed my mind")


def test_what_is_refused_submits_nothing() -> None:
    strategy, runtime = started()
    with pytest.raises(ValueError, match="quantity must be greater than zero"):
        strategy.buy(1, 0)
    with pytest.raises(TypeError, match="quantity must be"):
        strategy.sell(1, 1.0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="tick size"):
        strategy.buy(2, 1, order_type=OrderType.LIMIT, limit_price="10.3")
    with pytest.raises(ValueError, match="needs limit_price"):
        strategy.buy(2, 1, order_type=OrderType.LIMIT)
    with pytest.raises(UnknownInstrumentError, match="token 3"):
        strategy.buy(3, 1)
    assert runtime.intents == []


def test_helpers_ask_the_runtime() -> None:
    strategy, runtime = started()
    runtime.set_position(2, "-4")
    signal = strategy.buy(2, 4)
    assert strategy.position(2) == -4
    assert strategy.position(1) == 0
    assert strategy.has_open_order(2)
    assert not strategy.has_open_order(1)
    assert strategy.now == 17
    runtime.fill(signal, 1)
    assert strategy.position(2) == 0
    assert not strategy.has_open_order(2)


def test_instruments_keep_the_manifests_order() -> None:
    strategy, _ = start(Sized, instruments=(OTHER, TEST_INSTRUMENT))
    assert strategy.instruments == (OTHER, TEST_INSTRUMENT)
    assert strategy.instrument(2) is OTHER


def test_a_strategy_that_overrides_nothing_runs() -> None:
    strategy, runtime = start(Strategy)
    runtime.tick(1, 100.0)
    runtime.gap()
    runtime.driver.restore(runtime.driver.snapshot())
    assert strategy.snapshot() is None
    assert runtime.intents == []


def test_the_sdk_exports_the_wire_types_themselves() -> None:
    from alpha_panda.contracts import events  # noqa: PLC0415 - only to compare

    assert Tick is events.Tick
    assert all(hasattr(alpha_panda.sdk, name) for name in alpha_panda.sdk.__all__)


def imported(folder: str) -> list[tuple[str, str]]:
    """Every `alpha_panda` module that the files of a package import."""
    root = Path(alpha_panda.sdk.__file__).parent.parent / folder
    found = []
    for file in sorted(root.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("alpha_panda"):
                found.append((file.name, node.module or ""))
            elif isinstance(node, ast.Import):
                found += [
                    (file.name, each.name) for each in node.names if each.name.startswith("alpha_panda")
                ]
    return found


def test_the_sdk_needs_contracts_and_errors_only() -> None:
    allowed = ("alpha_panda.contracts", "alpha_panda.errors", "alpha_panda.sdk")
    assert imported("sdk")
    assert [each for each in imported("sdk") if not each[1].startswith(allowed)] == []


def test_the_shipped_strategies_need_the_sdk_only() -> None:
    modules = imported("strategies")
    assert modules
    assert [
        each
        for each in modules
        if each[1] != "alpha_panda.sdk" and not each[1].startswith("alpha_panda.strategies.")
    ] == []
