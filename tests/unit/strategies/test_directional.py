"""How the shipped strategies trade: one order in flight, the confirmed position, closing before turning."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from alpha_panda.contracts.instruments import Instrument
from alpha_panda.sdk import Code, OrderIntent, OrderType, Side, StrategyDriver, Tick
from alpha_panda.strategies.directional import FLAT, LONG, SHORT, DirectionalStrategy
from alpha_panda.strategies.indicators import Lookback
from alpha_panda.testing.strategy import TEST_INSTRUMENT, RecordingRuntime, start

TWO = Instrument(token=2, symbol="TEST:TWO", tick_size=Decimal("0.01"))


class Pointer(DirectionalStrategy[Lookback]):
    """Aims at the sign of the price: 1 long, 0 flat, -1 short or flat."""

    def make_indicator(self) -> Lookback:
        return Lookback(2)

    def shape(self) -> list[int]:
        return [2]

    def on_tick(self, tick: Tick) -> None:
        self.memory[tick.token].prices.append(tick.last_price)
        sign = {1.0: LONG, 0.0: FLAT, -1.0: self.below}[tick.last_price]
        self.aim(tick.token, sign, "pointed")


def pointer(**parameters: Any) -> tuple[Pointer, RecordingRuntime]:
    return start(Pointer, instruments=(TEST_INSTRUMENT, TWO), **parameters)


def last(runtime: RecordingRuntime) -> tuple[Side, Decimal]:
    intent = runtime.intents[-1]
    assert isinstance(intent, OrderIntent)
    return intent.side, intent.quantity


def test_the_order_is_a_market_order_of_the_quantity_with_its_reason() -> None:
    _, runtime = pointer(quantity="2.5")
    runtime.tick(1, 1)
    assert runtime.intents == [OrderIntent(token=1, side=Side.BUY, quantity=Decimal("2.5"), reason="pointed")]
    assert runtime.orders["signal-1"].order_type is OrderType.MARKET


def test_at_most_one_order_is_in_flight_per_instrument() -> None:
    _, runtime = pointer()
    for price in (1, 1, -1, 1):
        runtime.tick(1, price)
    assert len(runtime.intents) == 1
    runtime.tick(2, 1)
    assert len(runtime.intents) == 2


def test_a_partial_fill_leaves_the_order_in_flight() -> None:
    _, runtime = pointer(quantity=4)
    runtime.tick(1, 1)
    runtime.fill("signal-1", 100, 1)
    runtime.tick(1, 0)
    assert len(runtime.intents) == 1


def test_nothing_is_sent_when_the_position_is_there_already() -> None:
    _, runtime = pointer()
    runtime.set_position(1, "0.5")
    for price in (1, 1, 1):
        runtime.tick(1, price)
    assert runtime.intents == []


def test_the_whole_confirmed_position_is_closed_whatever_the_quantity() -> None:
    _, runtime = pointer(quantity=4)
    runtime.tick(1, 1)
    runtime.fill("signal-1", 100, 3)
    runtime.cancelled("signal-1")
    runtime.time += 60_000_000_000
    runtime.tick(1, 0)
    assert last(runtime) == (Side.SELL, Decimal(3))


def test_without_short_a_fall_ends_flat() -> None:
    _, runtime = pointer()
    runtime.tick(1, -1)
    assert runtime.intents == []
    runtime.set_position(2, 1)
    runtime.tick(2, -1)
    assert last(runtime) == (Side.SELL, Decimal(1))


def test_turning_closes_first_and_opens_on_a_later_event() -> None:
    _, runtime = pointer(quantity=2, allow_short=True)
    runtime.set_position(1, 5)
    runtime.tick(1, -1)
    assert last(runtime) == (Side.SELL, Decimal(5))
    runtime.fill("signal-1", 100)
    assert len(runtime.intents) == 1
    runtime.tick(1, -1)
    assert last(runtime) == (Side.SELL, Decimal(2))
    runtime.fill("signal-2", 100)
    runtime.tick(1, 1)
    assert last(runtime) == (Side.BUY, Decimal(2))
    runtime.fill("signal-3", 100)
    runtime.tick(1, 1)
    assert last(runtime) == (Side.BUY, Decimal(2))
    assert len(runtime.intents) == 4


def test_a_short_position_that_is_not_wanted_is_bought_back() -> None:
    _, runtime = pointer()
    runtime.set_position(1, -3)
    runtime.tick(1, -1)
    assert last(runtime) == (Side.BUY, Decimal(3))


@pytest.mark.parametrize("how", ["reject", "fail", "cancelled"])
def test_after_a_refusal_the_instrument_pauses_by_event_time_and_only_it(how: str) -> None:
    _, runtime = pointer(retry_seconds=10)
    runtime.tick(1, 1)
    if how == "reject":
        runtime.reject("signal-1", Code.MAX_ORDER_VALUE)
    elif how == "fail":
        runtime.fail("signal-1")
    else:
        runtime.cancelled("signal-1")
    for _ in range(9):
        runtime.tick(1, 1)
    assert len(runtime.intents) == 1
    runtime.tick(2, 1, ts=runtime.time)
    assert len(runtime.intents) == 2
    runtime.tick(1, 1)
    assert len(runtime.intents) == 3


def test_a_rejection_pauses_no_other_instrument_that_has_traded() -> None:
    _, runtime = pointer()
    runtime.tick(1, 1)
    runtime.tick(2, 1)
    runtime.fill("signal-2", 100)
    runtime.reject("signal-1", Code.MAX_ORDER_VALUE)
    runtime.tick(2, 0)
    assert last(runtime) == (Side.SELL, Decimal(1))


def test_a_fill_does_not_pause() -> None:
    _, runtime = pointer()
    runtime.tick(1, 1)
    runtime.fill("signal-1", 100)
    runtime.tick(1, 0)
    assert last(runtime) == (Side.SELL, Decimal(1))


def test_a_position_that_changes_by_an_order_event_is_noticed() -> None:
    _, runtime = pointer(quantity=1, allow_short=True)
    runtime.set_position(1, 1)
    runtime.tick(1, 1)
    runtime.tick(1, 0)
    runtime.fill("signal-1", 100)
    runtime.tick(1, 0)
    runtime.tick(1, 1)
    assert last(runtime) == (Side.BUY, Decimal(1))


def test_a_gap_makes_it_look_at_the_position_anew() -> None:
    _, runtime = pointer()
    runtime.set_position(1, 1)
    runtime.tick(1, 1)
    runtime.set_position(1, 0)
    runtime.tick(1, 1)
    assert runtime.intents == []
    runtime.gap()
    runtime.tick(1, 1)
    assert last(runtime) == (Side.BUY, Decimal(1))


def restarted(runtime: RecordingRuntime, **parameters: Any) -> Pointer:
    """Start a new instance on the same runtime, from the old one's snapshot."""
    state = runtime.driver.snapshot()
    strategy = Pointer(Pointer.Parameters.model_validate(parameters), (TEST_INSTRUMENT, TWO), runtime)
    runtime.attach(strategy)
    runtime.driver.restore(state)
    return strategy


def test_a_pause_survives_a_restart() -> None:
    _, runtime = pointer(retry_seconds=10)
    runtime.tick(1, 1)
    runtime.reject("signal-1", Code.PRICE_STALE)
    restarted(runtime, retry_seconds=10)
    runtime.tick(1, 1)
    assert len(runtime.intents) == 1


def test_a_rejection_after_a_restart_still_finds_its_instrument() -> None:
    _, runtime = pointer(retry_seconds=10)
    runtime.tick(2, 1)
    restarted(runtime, retry_seconds=10)
    runtime.reject("signal-1", Code.PRICE_STALE)
    runtime.tick(2, 1)
    assert len(runtime.intents) == 1


def test_a_snapshot_of_another_shape_starts_the_indicators_anew() -> None:
    _, runtime = pointer()
    runtime.tick(1, 0)
    state = msgspec.msgpack.decode(runtime.driver.snapshot())
    assert state["strategy"]["memory"][1][-1] == 0
    state["strategy"]["shape"] = [3]
    strategy, other = pointer()
    other.driver.restore(msgspec.msgpack.encode(state))
    assert all(price != price for price in strategy.memory[1].prices)  # noqa: PLR0124 - only NaN differs from itself


def test_a_snapshot_with_other_instruments_restores_those_that_are_left() -> None:
    _, runtime = pointer()
    runtime.tick(1, 0)
    runtime.tick(2, 1)
    state = runtime.driver.snapshot()
    strategy = Pointer(Pointer.Parameters(), [TWO], runtime)
    strategy.on_start()
    StrategyDriver(strategy).restore(state)
    assert list(strategy.memory) == [2]
    assert strategy.memory[2].prices[-1] == 1


def test_short_is_where_it_goes_only_when_allowed() -> None:
    assert pointer()[0].below == FLAT
    assert pointer(allowShort=True)[0].below == SHORT
