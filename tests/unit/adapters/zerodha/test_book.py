"""When a book is complete, and what its rows are worth."""

from decimal import Decimal
from typing import Any

import pytest

from alpha_panda.adapters.http.exchange import Answer, Exchange, NotSent, Unanswered
from alpha_panda.adapters.zerodha.book import TRADES_LAG, BookReader, last_state, trades_by_order
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import OrderStatus
from alpha_panda.contracts.stored import BookReading

from .rest_kit import MASTER, SECOND, START, USER, StillClock, error, order_row, success, trade_row

DAY = 86_400 * SECOND


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def reader(clock: StillClock) -> BookReader:
    return BookReader(clock, USER, lambda: MASTER, lambda _: "2026-01-02")


def read(
    reader: BookReader, orders: list[Any] | Exchange | None, trades: list[Any] | Exchange | None = None
) -> BookReading:
    answers = [item if not isinstance(item, list | None) else success(item) for item in (orders, trades)]
    return reader.reading(START, *answers)


@pytest.mark.parametrize(("orders", "trades"), [([], []), (None, None), ([order_row()], [])])
def test_both_lists_of_the_day_are_a_complete_book(
    reader: BookReader, orders: list[Any], trades: list[Any]
) -> None:
    reading = read(reader, orders, trades)
    assert reading.complete
    assert (reading.user, reading.trading_day, reading.begun_at) == (USER, "2026-01-02", START)
    assert len(reading.rows) == len(orders or [])


BROKEN: list[Exchange] = [
    error(500, "GeneralException", "x"),
    error(403, "TokenException", "x"),
    error(429, "NetworkException", "Too many requests"),
    Answer(200, b""),
    Answer(200, b"<html>"),
    Answer(200, b'{"status":"success","data":[{'),
    success({}),
    success([], status=500),
    Unanswered("x"),
    NotSent(Code.RATE_LIMIT, "x"),
]


@pytest.mark.parametrize("broken", BROKEN, ids=str)
def test_half_a_book_is_incomplete_and_its_rows_count(reader: BookReader, broken: Exchange) -> None:
    assert not read(reader, broken, []).complete
    without_trades = read(reader, [order_row()], broken)
    assert not without_trades.complete
    assert len(without_trades.rows) == 1


@pytest.mark.parametrize(
    "odd",
    [
        order_row("2", account_id="XY9876"),
        order_row("2", transaction_type="HOLD"),
        order_row("2", quantity="NaN"),
        order_row("2", status=...),
        order_row("2", order_timestamp="2026-01-01 14:15:00"),
        order_row("2", order_timestamp="2026-01-03 09:15:00"),
        order_row("2", order_timestamp=None),
        order_row("1"),
        7,
        None,
        [],
    ],
    ids=lambda row: str(row)[:40],
)
def test_a_row_of_another_user_or_day_or_of_nothing_makes_it_incomplete(reader: BookReader, odd: Any) -> None:
    reading = read(reader, [order_row("1"), odd], [])
    assert not reading.complete
    assert "1" in {row.broker_order_id for row in reading.rows}


def test_rows_of_another_user_are_left_out(reader: BookReader) -> None:
    reading = read(reader, [order_row("1", account_id="XY9876"), order_row("2", account_id=...)], [])
    assert [row.broker_order_id for row in reading.rows] == ["2"]


def test_an_order_placed_after_hours_belongs_to_the_next_days_book(reader: BookReader) -> None:
    amo = order_row("1", variety="amo", order_timestamp="2026-01-01 22:00:00", status="OPEN")
    assert read(reader, [amo, order_row("2")], []).complete
    assert reader.variety("1") == "regular"


@pytest.mark.parametrize(
    ("variety", "status", "sent"),
    [
        ("regular", "OPEN", "regular"),
        ("amo", "AMO REQ RECEIVED", "amo"),
        ("amo", "OPEN", "regular"),
        ("iceberg", "OPEN", "iceberg"),
        (None, "OPEN", "regular"),
    ],
)
def test_an_order_is_cancelled_under_its_own_variety(
    reader: BookReader, variety: str | None, status: str, sent: str
) -> None:
    read(reader, [order_row("1", variety=variety, status=status)], [])
    assert reader.variety("1") == sent
    assert reader.variety("unknown") == "regular"


def test_each_trade_counts_once_and_in_its_own_order(reader: BookReader) -> None:
    rows = [
        order_row("1", status="COMPLETE", quantity=3, filled_quantity=3, average_price=100.3333),
        order_row("2", status="OPEN", filled_quantity=4, average_price=99),
    ]
    trades = [
        trade_row("1", 2, 100, "a"),
        trade_row("1", 1, 101, "b"),
        trade_row("1", 1, 101, "b"),
        trade_row("2", 4, "99.05", "a"),
        trade_row("3", 4, 99, "z"),
    ]
    first, second = read(reader, rows, trades).rows
    assert (first.status, first.amount) == (OrderStatus.FILLED, Decimal(301))
    assert (second.status, second.amount) == (OrderStatus.PARTIALLY_FILLED, Decimal("396.20"))


@pytest.mark.parametrize(
    "bad",
    [
        {"trade_id": "x"},
        5,
        trade_row("1", -1, 100, "x"),
        trade_row("1", 0, 100, "x"),
        trade_row("1", 1, "NaN", "x"),
    ],
    ids=str,
)
def test_a_trade_that_can_not_be_read_is_missing_in_the_sum(bad: Any) -> None:
    sums = trades_by_order(success([trade_row("1", 2, 100), bad]))
    assert sums is not None
    assert sums["1"].quantity == 2


ENDED: dict[str, Any] = {"status": "COMPLETE", "filled_quantity": 10, "average_price": 100.33333}


def test_an_order_that_has_ended_waits_for_its_trades(reader: BookReader, clock: StillClock) -> None:
    (row,) = read(reader, [order_row(**ENDED)], [trade_row("1", 4, 100)]).rows
    assert (row.status, row.filled_quantity, row.amount) == (OrderStatus.PARTIALLY_FILLED, 4, Decimal(400))
    clock.time += TRADES_LAG - 1
    (row,) = read(reader, [order_row(**ENDED)], []).rows
    assert (row.status, row.filled_quantity) == (OrderStatus.PLACED, 0)
    (row,) = read(reader, [order_row(**ENDED)], [trade_row("1", 10, "100.35")]).rows
    assert (row.status, row.amount) == (OrderStatus.FILLED, Decimal("1003.5"))


def test_an_order_whose_trades_never_come_ends_by_its_average_price(
    reader: BookReader, clock: StillClock
) -> None:
    read(reader, [order_row(**ENDED)], [])
    clock.time += TRADES_LAG
    (row,) = read(reader, [order_row(**ENDED)], []).rows
    assert (row.status, row.amount, row.average_price) == (OrderStatus.FILLED, None, Decimal("100.33333"))


def test_the_wait_for_trades_begins_anew_with_each_order(reader: BookReader, clock: StillClock) -> None:
    read(reader, [order_row("1", **ENDED)], [])
    clock.time += TRADES_LAG
    rows = read(reader, [order_row("1", **ENDED), order_row("2", **ENDED)], []).rows
    assert [row.status for row in rows] == [OrderStatus.FILLED, OrderStatus.PLACED]


def test_what_ended_without_a_fill_waits_for_nothing(reader: BookReader) -> None:
    (row,) = read(reader, [order_row(status="REJECTED")], []).rows
    assert row.status is OrderStatus.FAILED


def test_a_book_that_lacks_what_it_had_before_is_incomplete(reader: BookReader) -> None:
    """Cut short, old, or another day's: Kite's answer is a list, and a list doesn't tell that it is too short."""
    assert read(reader, [order_row("1"), order_row("2")], []).complete
    assert not read(reader, [order_row("2")], []).complete
    assert not read(reader, [], []).complete
    assert not read(reader, [order_row("3"), order_row("2")], []).complete
    assert read(reader, [order_row("2"), order_row("1"), order_row("3")], []).complete


def test_even_an_incomplete_book_shows_what_there_is(reader: BookReader) -> None:
    read(reader, [order_row("1")], error(500, "X", "y"))
    assert not read(reader, [], []).complete


def test_a_new_day_begins_with_an_empty_book(reader: BookReader) -> None:
    assert read(reader, [order_row("1")], []).complete
    assert reader.reading(START + DAY, success([]), success([])).complete


def test_nothing_read_is_incomplete(reader: BookReader) -> None:
    reading = reader.incomplete(START)
    assert not reading.complete
    assert reading.rows == ()


def test_the_last_state_of_an_order_is_its_present_one() -> None:
    state = last_state(success([order_row(status="OPEN"), order_row(status="CANCELLED")]))
    assert state is not None
    assert state.status == "CANCELLED"
    for exchange in (
        success([]),
        success([order_row(), 5]),
        error(404, "GeneralException", "x"),
        Unanswered("x"),
    ):
        assert last_state(exchange) is None


def test_an_ended_order_is_told_with_all_its_trades_or_not_at_all(reader: BookReader) -> None:
    state = last_state(success([order_row(**ENDED)]))
    assert state is not None
    assert reader.ended(state, success([trade_row("1", 4, 100)])) is None
    assert reader.ended(state, error(500, "X", "y")) is None
    row = reader.ended(state, success([trade_row("1", 10, 100)]))
    assert row is not None
    assert (row.status, row.amount) == (OrderStatus.FILLED, Decimal(1000))
