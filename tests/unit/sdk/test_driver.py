"""The driver: the order of calls, and strategy and bars stored as one."""

from decimal import Decimal

import pytest

from alpha_panda.sdk import Bar, Strategy, StrategyDriver, StrategyParameters, Tick
from alpha_panda.testing.strategy import TEST_INSTRUMENT, RecordingRuntime, start

S = 1_000_000_000


class Diary(Strategy):
    """Writes down what it is told."""

    class Parameters(StrategyParameters):
        bar_seconds: int = 0

    parameters: Parameters

    def on_start(self) -> None:
        self.entries: list[str] = []
        self.stored: object = ["state"]

    def on_tick(self, tick: Tick) -> None:
        self.entries.append(f"tick {tick.ts // S}")

    def on_bar(self, bar: Bar) -> None:
        self.entries.append(f"bar to {bar.end // S}: {bar.close:g}")

    def snapshot(self) -> object:
        return self.stored

    def restore(self, state: object) -> None:
        self.entries.append(f"restored {state}")


class Other(Diary):
    pass


def made(bar_seconds: int, kind: type[Diary] = Diary) -> tuple[Diary, StrategyDriver]:
    strategy = kind(kind.Parameters(bar_seconds=bar_seconds), [TEST_INSTRUMENT], RecordingRuntime())
    strategy.on_start()
    return strategy, StrategyDriver(strategy)


def test_without_bars_a_tick_goes_straight_to_the_strategy() -> None:
    strategy, driver = made(0)
    assert driver.on_tick == strategy.on_tick
    driver.on_tick(Tick(1, 5.0, 60 * S, 1))
    assert strategy.entries == ["tick 60"]


def test_a_bar_that_ended_before_the_tick_comes_first_and_one_that_it_completes_comes_after() -> None:
    strategy, driver = made(60)
    for second, price in ((30, 1.0), (61, 2.0), (120, 3.0), (130, 4.0), (240, 5.0)):
        driver.on_tick(Tick(1, price, second * S, 1))
    assert strategy.entries == [
        "tick 30",
        "bar to 60: 1",
        "tick 61",
        "tick 120",
        "bar to 120: 3",
        "tick 130",
        "bar to 180: 4",
        "tick 240",
        "bar to 240: 5",
    ]


def test_open_bars_survive_a_restart() -> None:
    _, before = made(60)
    before.on_tick(Tick(1, 7.0, 30 * S, 1))
    strategy, after = made(60)
    after.restore(before.snapshot())
    after.on_tick(Tick(1, 8.0, 61 * S, 2))
    assert strategy.entries == ["restored ['state']", "bar to 60: 7", "tick 61"]


def test_bars_that_are_new_since_the_snapshot_begin_anew() -> None:
    strategy, after = made(60)
    after.restore(made(0)[1].snapshot())
    after.on_tick(Tick(1, 8.0, 60 * S, 2))
    assert strategy.entries == ["restored ['state']", "tick 60", "bar to 60: 8"]


def test_the_state_of_another_class_is_not_restored() -> None:
    strategy, driver = made(0)
    driver.restore(made(0, Other)[1].snapshot())
    assert strategy.entries == []


@pytest.mark.parametrize("state", [object(), {1: {2: Ellipsis}}, 2**70])
def test_a_snapshot_that_can_not_be_stored_is_named(state: object) -> None:
    strategy, driver = made(0)
    strategy.stored = state
    with pytest.raises(TypeError, match=r"Diary\.snapshot\(\) must return what MessagePack can hold"):
        driver.snapshot()


def test_no_order_can_be_sent_from_on_start() -> None:
    class Hasty(Strategy):
        def on_start(self) -> None:
            self.buy(1, Decimal(1))

    with pytest.raises(RuntimeError, match="orders can be sent from on_tick"):
        start(Hasty)
