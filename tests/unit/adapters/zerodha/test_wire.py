"""A row of Kite's book as ours: statuses, tags, money, lots, and what can't be a row."""

import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.adapters.zerodha.wire import (
    Order,
    Traded,
    is_priced,
    parsed,
    pushed_row,
    row_of,
    sound,
    tag_of,
    timestamp,
)
from alpha_panda.contracts.enums import OrderStatus
from alpha_panda.contracts.stored import BrokerRow
from alpha_panda.domain.ids import broker_tag

from .rest_kit import CRUDE, MASTER, RELIANCE, START, USER, order_row

TAG = broker_tag("s1")


def order(**changes: Any) -> Order:
    read = parsed(json.dumps(order_row(**changes)).encode(), Order)
    assert read is not None
    return read


def row(traded: Traded | None = None, **changes: Any) -> BrokerRow:
    found = row_of(order(**changes), MASTER, traded)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("status", "filled", "expected"),
    [
        ("OPEN", 0, OrderStatus.PLACED),
        ("OPEN", 4, OrderStatus.PARTIALLY_FILLED),
        ("COMPLETE", 10, OrderStatus.FILLED),
        ("COMPLETE", 4, OrderStatus.PARTIALLY_FILLED),
        ("CANCELLED", 0, OrderStatus.CANCELLED),
        ("CANCELLED", 4, OrderStatus.CANCELLED),
        ("REJECTED", 0, OrderStatus.FAILED),
        ("REJECTED", 4, OrderStatus.CANCELLED),
        ("UPDATE", 4, OrderStatus.PARTIALLY_FILLED),
        ("TRIGGER PENDING", 0, OrderStatus.PLACED),
        ("CANCEL PENDING", 0, OrderStatus.PLACED),
        ("PUT ORDER REQ RECEIVED", 0, OrderStatus.PLACED),
        ("SOMETHING NEW", 0, OrderStatus.PLACED),
        ("", 0, OrderStatus.PLACED),
        ("complete", 10, OrderStatus.PARTIALLY_FILLED),
    ],
)
def test_a_status_is_an_end_only_if_kite_says_so_in_its_three_words(
    status: str, filled: int, expected: OrderStatus
) -> None:
    found = row(status=status, filled_quantity=filled, average_price=100)
    assert (found.status, found.filled_quantity) == (expected, filled)


def test_a_row_has_all_that_the_broker_tells() -> None:
    found = row(status="REJECTED", status_message="RMS: no", placed_by="DEALER")
    assert found == BrokerRow(
        broker_order_id="1",
        tag=TAG,
        instrument_token=RELIANCE,
        side="BUY",
        quantity=Decimal(10),
        status=OrderStatus.FAILED,
        message="RMS: no",
        symbol="NSE:RELIANCE",
        product="MIS",
        placed_by="DEALER",
        placed_at=START - 1_000_000_000,
    )


def test_money_is_that_of_the_trades_where_they_tell_all() -> None:
    found = row(
        Traded(Decimal(3), Decimal("310.00")),
        status="COMPLETE",
        quantity=3,
        filled_quantity=3,
        average_price=103.3333,
    )
    assert found.amount == Decimal("310.00")
    assert found.status is OrderStatus.FILLED


@pytest.mark.parametrize("known", [None, Traded(Decimal(2), Decimal(206))])
def test_money_is_not_told_where_trades_are_missing(known: Traded | None) -> None:
    found = row(known, status="COMPLETE", quantity=3, filled_quantity=3, average_price=103.3333)
    assert (found.amount, found.average_price) == (None, Decimal("103.3333"))


@pytest.mark.parametrize(
    ("known", "filled", "status"),
    [
        (None, 0, OrderStatus.PLACED),
        (Traded(Decimal(2), Decimal(206)), 2, OrderStatus.PARTIALLY_FILLED),
        (Traded(Decimal(6), Decimal(606)), 6, OrderStatus.PARTIALLY_FILLED),
    ],
)
@pytest.mark.parametrize("told", ["OPEN", "COMPLETE", "CANCELLED"])
def test_fills_without_any_price_are_those_of_the_trades_and_the_order_goes_on(
    told: str, known: Traded | None, filled: int, status: OrderStatus
) -> None:
    found = row(known, status=told, quantity=10, filled_quantity=5, average_price=0)
    assert (found.filled_quantity, found.status) == (filled, status)
    assert found.amount == (known.amount if known else None)


def test_lots_become_units_and_money_with_them() -> None:
    crude = {"exchange": "MCX", "tradingsymbol": "CRUDEOIL26JANFUT", "instrument_token": CRUDE}
    found = row(
        Traded(Decimal(2), Decimal(12_345)),
        **crude,
        status="COMPLETE",
        quantity=2,
        filled_quantity=2,
        average_price=6172.5,
    )
    assert (found.quantity, found.filled_quantity) == (200, 200)
    assert (found.amount, found.average_price) == (Decimal(1_234_500), Decimal("6172.5"))


def test_an_order_of_ours_in_lots_of_what_is_not_listed_is_no_row() -> None:
    """Two lots would be two units: another order than the one we know, under our tag."""
    lots: dict[str, Any] = {
        "exchange": "MCX",
        "tradingsymbol": "CRUDEOIL25DECFUT",
        "instrument_token": 1,
        "quantity": 2,
    }
    assert row_of(order(**lots, tag=TAG), MASTER) is None
    assert row_of(order(**lots, tag=None, tags=["mktp", TAG]), MASTER) is None
    assert row(**lots, tag=None, tags=None).quantity == 2
    assert row(**{**lots, "exchange": "NFO"}, tag=TAG).quantity == 2


def test_the_token_is_ours_by_symbol_and_the_brokers_for_what_the_feed_does_not_list() -> None:
    assert row(instrument_token=1).instrument_token == RELIANCE
    assert row(tradingsymbol="OTHER", instrument_token=77).instrument_token == 77
    assert row(tradingsymbol="OTHER", instrument_token=None).instrument_token == 0


@pytest.mark.parametrize(
    ("tag", "tags", "found"),
    [
        (TAG, None, TAG),
        (None, ["mktp", TAG, "mktp:2.00"], TAG),
        ("mktp", [TAG], TAG),
        ("mine", None, "mine"),
        (None, ["mine"], "mine"),
        (None, None, ""),
        ("", [], ""),
        (TAG.upper(), ["x"], TAG.upper()),
    ],
)
def test_our_tag_is_found_wherever_it_is(tag: str | None, tags: list[str] | None, found: str) -> None:
    assert tag_of(order(tag=tag, tags=tags)) == found


@pytest.mark.parametrize(
    "changes",
    [
        {"transaction_type": "HOLD"},
        {"quantity": -1},
        {"quantity": 0},
        {"filled_quantity": 11},
        {"filled_quantity": -1},
        {"average_price": -1},
        {"average_price": "NaN"},
        {"quantity": "Infinity"},
        {"average_price": "1e-400"},
        {"quantity": "1e400"},
        {"order_id": ""},
    ],
    ids=str,
)
def test_numbers_that_make_no_sense_are_no_row(changes: dict[str, Any]) -> None:
    assert row_of(order(**changes), MASTER) is None


@pytest.mark.parametrize(
    "missing", ["order_id", "status", "exchange", "tradingsymbol", "transaction_type", "quantity"]
)
def test_an_order_that_lacks_what_names_it_can_not_be_read(missing: str) -> None:
    without: dict[str, Any] = {missing: ...}
    assert parsed(json.dumps(order_row(**without)).encode(), Order) is None


def test_every_other_field_may_be_null_or_missing() -> None:
    needed = {"order_id", "status", "exchange", "tradingsymbol", "transaction_type", "quantity"}
    for value in (None, ...):
        spare: dict[str, Any] = {name: value for name in order_row() if name not in needed}
        assert row(**spare).status is OrderStatus.PLACED


def test_a_push_with_fills_sends_to_the_book_and_one_without_is_a_row() -> None:
    assert pushed_row(order(status="COMPLETE", filled_quantity=10, average_price=100), MASTER) is None
    assert pushed_row(order(status="UPDATE", filled_quantity=1, average_price=100), MASTER) is None
    cancelled = pushed_row(order(status="CANCELLED", user_id=USER, account_id=...), MASTER)
    assert cancelled is not None
    assert cancelled.status is OrderStatus.CANCELLED


@given(st.decimals(0, 10**9, allow_nan=False, places=4))
def test_a_number_is_read_as_it_is_written(number: Decimal) -> None:
    text = f'{{"user_id":"x","quantity":{number:f}}}'.encode()

    class Some(msgspec.Struct):
        quantity: Decimal

    read = parsed(text, Some)
    assert read is not None
    assert (read.quantity, str(read.quantity)) == (number, f"{number:f}")


@given(
    status=st.text(max_size=12) | st.sampled_from(["COMPLETE", "CANCELLED", "REJECTED", "OPEN"]),
    quantity=st.integers(0, 50),
    filled=st.integers(0, 60) | st.none(),
    average=st.sampled_from([None, 0, 100, 99.95]),
    trades=st.lists(st.tuples(st.integers(1, 20), st.sampled_from([99, 100, 101])), max_size=4),
)
def test_no_row_says_more_than_the_broker(
    status: str, quantity: int, filled: int | None, average: float | None, trades: list[tuple[int, int]]
) -> None:
    """Ended only if Kite says it; amounts only with trades that sum up; never more filled than ordered or told."""
    traded = None
    for count, price in trades:
        before = traded or Traded()
        traded = Traded(before.quantity + count, before.amount + count * price)
    read = order(status=status, quantity=quantity, filled_quantity=filled, average_price=average)
    found = row_of(read, MASTER, traded)
    if found is None:
        assert quantity == 0 or (filled or 0) > quantity
        return
    told = max(Decimal(filled or 0), traded.quantity if traded else Decimal(0))
    assert found.filled_quantity <= told
    if found.status.terminal:
        assert status in {"COMPLETE", "CANCELLED", "REJECTED"}
        assert found.filled_quantity == (filled or 0)
    if found.amount is not None:
        assert traded is not None
        assert (found.filled_quantity, found.amount) == (traded.quantity, traded.amount)
    if found.filled_quantity and found.amount is None:
        assert found.average_price > 0


def test_what_has_not_filled_is_priced_without_trades() -> None:
    assert is_priced(order(), None)
    assert not is_priced(order(filled_quantity=1), None)


@pytest.mark.parametrize("text", [None, "", "2026-01-02", "14:15:00", "2026-13-02 00:00:00", "nonsense"])
def test_a_time_that_is_none_is_none(text: str | None) -> None:
    assert timestamp(text) is None


def test_a_time_is_indias() -> None:
    assert timestamp("2026-01-02 14:15:00") == START


def test_sound_numbers() -> None:
    assert sound(None, Decimal(0), Decimal("-0.000001"), Decimal(10) ** 11)
    for text in ("NaN", "sNaN", "Infinity", "1e12", "1e-13"):
        assert not sound(Decimal(1), Decimal(text))
