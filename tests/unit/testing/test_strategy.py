"""The helpers for users' own strategy tests do to orders what a venue does."""

from decimal import Decimal

import pytest

from alpha_panda.sdk import Code, OrderStatus, OrderType, OrderUpdate, Side, Strategy, Tick
from alpha_panda.testing.strategy import SECOND, TEST_INSTRUMENT, RecordingRuntime, drive, start

ONE, HUNDRED = Decimal(1), Decimal(100)


class Listener(Strategy):
    """Buys 3 at the first tick, sells at a limit of 110 once filled, and remembers what it hears."""

    def on_start(self) -> None:
        self.prices: list[float] = []
        self.heard: list[OrderUpdate] = []
        self.refusals: list[tuple[str, Code, str]] = []
        self.gaps: list[str] = []

    def on_tick(self, tick: Tick) -> None:
        self.prices.append(tick.last_price)
        if len(self.prices) == 1:
            self.buy(tick.token, 3)

    def on_order(self, order: OrderUpdate) -> None:
        self.heard.append(order)
        if order.status is OrderStatus.FILLED and order.side is Side.BUY:
            self.sell(order.instrument_token, 3, order_type=OrderType.LIMIT, limit_price=110)

    def on_rejected(self, signal_id: str, code: Code, message: str) -> None:
        self.refusals.append((signal_id, code, message))

    def on_gap(self, reason: str) -> None:
        self.gaps.append(reason)


def test_drive_feeds_a_price_a_second_and_fills_market_orders_at_it() -> None:
    strategy, runtime = start(Listener)
    orders = drive(strategy, [100, 101.239])
    assert [order.side for order in orders] == [Side.BUY, Side.SELL]
    assert strategy.prices == [100.0, 101.239]
    assert runtime.time == 2 * SECOND
    assert [(update.status, update.price) for update in strategy.heard] == [
        (OrderStatus.FILLED, Decimal(100))
    ]
    assert list(runtime.open_orders) == ["signal-2"]


def test_drive_goes_on_where_it_stopped_and_returns_only_new_orders() -> None:
    strategy, runtime = start(Listener)
    assert len(drive(strategy, [100])) == 2
    assert drive(strategy, [101]) == []
    assert runtime.time == 2 * SECOND


def test_drive_without_fills_leaves_orders_open() -> None:
    strategy, runtime = start(Listener)
    drive(strategy, [100, 101], fill=False)
    assert list(runtime.open_orders) == ["signal-1"]
    assert strategy.position(1) == 0


def test_drive_needs_a_strategy_on_a_recording_runtime() -> None:
    strategy = Listener(Listener.Parameters(), [TEST_INSTRUMENT], object())  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="drive needs a strategy on a RecordingRuntime, not on object"):
        drive(strategy, [1])


def test_partial_fills_are_told_cumulatively_with_their_average_price() -> None:
    strategy, runtime = start(Listener)
    drive(strategy, [100], fill=False)
    first = runtime.fill("signal-1", "100", 1)
    assert (first.status, first.filled_quantity, first.price) == (OrderStatus.PARTIALLY_FILLED, ONE, HUNDRED)
    assert strategy.position(1) == 1
    assert strategy.has_open_order(1)
    second = runtime.fill("signal-1", 106)
    assert (second.status, second.filled_quantity, second.price) == (
        OrderStatus.FILLED,
        Decimal(3),
        Decimal(104),
    )
    assert strategy.position(1) == 3
    assert strategy.heard == [first, second]
    runtime.fill("signal-2", 110)
    assert strategy.position(1) == 0
    assert not strategy.has_open_order(1)


def test_a_float_fill_price_is_put_on_the_grid() -> None:
    strategy, runtime = start(Listener)
    drive(strategy, [100], fill=False)
    assert runtime.fill("signal-1", 100.1278).price == Decimal("100.13")


def test_a_cancelled_order_keeps_what_it_has_filled() -> None:
    strategy, runtime = start(Listener)
    drive(strategy, [100], fill=False)
    runtime.fill("signal-1", 100, 2)
    update = runtime.cancelled("signal-1")
    assert (update.status, update.filled_quantity, update.price) == (
        OrderStatus.CANCELLED,
        Decimal(2),
        HUNDRED,
    )
    assert update.code is Code.CANCELLED_BY_STRATEGY
    assert strategy.position(1) == 2
    assert not strategy.has_open_order(1)


def test_a_failed_order_has_filled_nothing() -> None:
    strategy, runtime = start(Listener)
    drive(strategy, [100], fill=False)
    update = runtime.fail("signal-1", Code.PRICE_STALE, "old")
    assert (update.status, update.filled_quantity, update.code, update.message) == (
        OrderStatus.FAILED,
        Decimal(0),
        Code.PRICE_STALE,
        "old",
    )
    assert strategy.heard == [update]
    assert not strategy.has_open_order(1)


def test_a_rejected_signal_makes_no_order() -> None:
    strategy, runtime = start(Listener)
    drive(strategy, [100], fill=False)
    runtime.reject("signal-1", Code.RATE_LIMIT, "slow down")
    assert strategy.refusals == [("signal-1", Code.RATE_LIMIT, "slow down")]
    assert strategy.heard == []
    assert not strategy.has_open_order(1)


def test_an_order_can_not_end_twice() -> None:
    strategy, runtime = start(Listener)
    drive(strategy, [100], fill=False)
    runtime.cancelled("signal-1")
    for again in (
        lambda: runtime.fill("signal-1", 1),
        lambda: runtime.cancelled("signal-1"),
        lambda: runtime.fail("signal-1"),
        lambda: runtime.reject("signal-1", Code.RATE_LIMIT),
    ):
        with pytest.raises(KeyError, match="signal-1 is not an open order; open: none"):
            again()


def test_an_order_can_not_fill_by_more_than_is_left() -> None:
    strategy, runtime = start(Listener)
    drive(strategy, [100], fill=False)
    runtime.fill("signal-1", 100, 2)
    with pytest.raises(ValueError, match="signal-1 has 1 left to fill, not 2"):
        runtime.fill("signal-1", 100, 2)


def test_a_gap_is_told() -> None:
    strategy, runtime = start(Listener)
    runtime.gap("two ticks are missing")
    assert strategy.gaps == ["two ticks are missing"]


def test_there_is_no_time_outside_an_event() -> None:
    strategy, runtime = start(Listener)
    runtime.tick(1, 5, ts=77)
    with pytest.raises(RuntimeError, match="no time but that of the event"):
        _ = strategy.now


def test_a_runtime_without_a_strategy_says_how_to_get_one() -> None:
    with pytest.raises(RuntimeError, match=r"alpha_panda\.testing\.strategy\.start"):
        RecordingRuntime().tick(1, 1.0)


def test_ticks_are_numbered_per_token() -> None:
    _, runtime = start(Listener)
    assert [runtime.tick(1, 1).seq, runtime.tick(1, 1).seq] == [1, 2]


def test_parameters_are_checked_as_in_a_manifest() -> None:
    with pytest.raises(ValueError, match="Extra inputs"):
        start(Listener, nonsense=1)
