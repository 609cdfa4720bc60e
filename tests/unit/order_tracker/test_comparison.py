"""What a book holds beside what its broker says, without a broker."""

from decimal import Decimal
from typing import Any

import pytest

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import OrderStatus, Side
from alpha_panda.contracts.stored import BrokerPosition, BrokerRow, PortfolioReading
from alpha_panda.domain.book import Book
from alpha_panda.order_tracker.comparison import (
    Held,
    differences,
    fills_of,
    held_by_broker,
    is_fresh,
    moved,
    opening_cash,
    opening_of,
)
from alpha_panda.order_tracker.external import ExternalTerms

D = Decimal


def position(
    token: int, quantity: str, average: str = "100", product: str = "MIS", last: str = "110"
) -> BrokerPosition:
    return BrokerPosition(
        instrument_token=token,
        symbol=f"NSE:{token}",
        product=product,
        quantity=D(quantity),
        average_price=D(average),
        last_price=D(last),
    )


def portfolio(*positions: BrokerPosition, holdings: tuple[BrokerPosition, ...] = ()) -> PortfolioReading:
    return PortfolioReading(
        complete=True,
        begun_at=1,
        user="u",
        trading_day="d",
        positions=positions,
        holdings=holdings,
        cash=D(1000),
    )


def row(order: str, token: int, filled: str, side: Side = Side.BUY, **changes: object) -> BrokerRow:
    return BrokerRow(
        broker_order_id=order,
        tag="",
        instrument_token=token,
        side=side.value,
        quantity=D(10),
        status=OrderStatus.PARTIALLY_FILLED,
        filled_quantity=D(filled),
        **changes,  # type: ignore[arg-type]
    )


def book(*trades: tuple[str, int, str, str]) -> Book:
    found = Book.opened(D(0))
    for name, token, quantity, price in trades:
        size = D(quantity)
        side = Side.BUY if size > 0 else Side.SELL
        found.apply(name, token, f"NSE:{token}", side, abs(size), abs(size) * D(price), D(0))
    return found


def test_positions_of_the_accounts_product_count_and_holdings_where_it_delivers() -> None:
    reading = portfolio(
        position(1, "5"),
        position(1, "7", product="CNC"),
        holdings=(position(1, "20", "80", "CNC"), position(2, "3", product="CNC")),
    )
    assert {token: held.quantity for token, held in held_by_broker(reading, "MIS").items()} == {1: 5}
    assert {token: held.quantity for token, held in held_by_broker(reading, "CNC").items()} == {1: 27, 2: 3}
    assert {token: held.quantity for token, held in held_by_broker(reading, "").items()} == {1: 32, 2: 3}


def test_shares_sold_today_are_less_than_what_was_held_and_the_average_is_theirs() -> None:
    reading = portfolio(position(1, "-4", "0", "CNC"), holdings=(position(1, "10", "80", "CNC"),))
    assert held_by_broker(reading, "CNC")[1] == Held("NSE:1", D(6), D("133.3333333333"), D(110))


def test_fills_that_differ_between_readings_make_an_instrument_restless() -> None:
    first = fills_of([row("a", 1, "5"), row("b", 2, "0"), row("c", 3, "1")])
    second = fills_of([row("a", 1, "5"), row("b", 2, "1"), row("c", 3, "2")])
    assert moved(first, second) == {2, 3}
    assert moved(first, first, second) == {2, 3}
    assert moved(first) == frozenset()


def test_a_difference_is_confirmed_by_a_second_sight_of_the_same_quantities() -> None:
    held = {1: Held("NSE:1", D(4), D(90), D(95))}
    (first,) = differences(book(("a", 1, "10", "100")), held, 7, ()).values()
    assert (first.ours, first.theirs, first.confirmed, first.difference_id) == (10, 4, False, "1-7")
    (again,) = differences(book(("a", 1, "10", "100")), held, 9, [first]).values()
    assert (again.confirmed, again.since, again.difference_id) == (True, 7, "1-7")
    (other,) = differences(book(("a", 1, "11", "100")), held, 9, [again]).values()
    assert (other.confirmed, other.difference_id) == (False, "1-9")
    assert differences(book(("a", 1, "4", "100")), held, 9, [again]) == {}


@pytest.mark.parametrize(
    ("ours", "held", "price"),
    [
        ("0", Held("x", D(5), D(90), D(95)), "90"),  # bought: their average
        ("0", Held("x", D(5), D(0), D(95)), "95"),
        ("10", Held("x", D(4), D(90), D(95)), "95"),  # sold at a price that nobody tells
        ("10", Held("x", D(0)), "100"),  # nor a last one: our own cost
        ("10", Held("x", D(-2), D(90), D(95)), "95"),
        ("-10", Held("x", D(-12), D(90), D(95)), "90"),
    ],
)
def test_the_price_that_it_is_booked_at(ours: str, held: Held, price: str) -> None:
    mine = book(*([("a", 1, ours, "100")] if D(ours) else []))
    assert differences(mine, {1: held}, 1, ())[1].price == D(price)


def test_a_book_is_fresh_if_it_holds_nothing_but_what_others_traded_today() -> None:
    rows = [row("h", 1, "5"), row("k", 1, "2", Side.SELL)]
    assert is_fresh(book(), rows, {"h", "k"})
    assert is_fresh(book(("external", 1, "3", "100")), rows, {"h", "k"})
    assert not is_fresh(book(("external", 1, "3", "100")), rows, {"h"})
    assert not is_fresh(book(("external", 2, "3", "100")), rows, {"h", "k"})
    assert not is_fresh(book(("alpha", 1, "3", "100")), rows, {"h", "k"})


def test_the_opening_cash_leaves_the_brokers_once_all_is_booked() -> None:
    mine = book(("external", 1, "3", "100.05"))
    held = {1: Held("NSE:1", D(13), D("99.35"), D(101)), 2: Held("NSE:2", D(-4), D("50.15"), D(49))}
    found = differences(mine, held, 1, ())
    opening = opening_of(found.values(), held)
    assert [(item.quantity, item.price, item.last_price) for item in opening] == [
        (10, D("99.35"), 101),
        (-4, D("50.15"), 49),
    ]
    mine.reopen(opening_cash(D("1000.25"), mine, opening))
    for item in opening:
        side = Side.BUY if item.quantity > 0 else Side.SELL
        size = abs(item.quantity)
        mine.apply("external", item.instrument_token, item.symbol, side, size, size * item.price, D(0))
    assert mine.cash == D("1000.25")


def test_trades_of_another_product_are_none_of_the_accounts() -> None:
    terms = ExternalTerms("MIS", "AB1234")
    assert terms.concerns(row("h", 1, "5", product="MIS"))
    assert terms.concerns(row("h", 1, "5"))
    assert not terms.concerns(row("h", 1, "5", product="CNC"))
    assert ExternalTerms().concerns(row("h", 1, "5", product="CNC"))


@pytest.mark.parametrize(
    ("product", "changes", "code"),
    [
        ("MIS", {}, Code.EXTERNAL_TRADE),
        ("MIS", {"placed_by": "AB1234", "placed_at": 99}, Code.EXTERNAL_TRADE),
        ("MIS", {"placed_by": "AB1234", "placed_at": 100}, Code.SQUARE_OFF),
        ("MIS", {"placed_by": "RMS", "placed_at": 1}, Code.SQUARE_OFF),
        ("CNC", {"placed_by": "RMS", "placed_at": 100}, Code.EXTERNAL_TRADE),
    ],
)
def test_the_broker_squares_off_by_orders_of_its_own_or_after_the_cut_off(
    product: str, changes: dict[str, Any], code: Code
) -> None:
    terms = ExternalTerms(product, "AB1234", lambda ts: ts >= 100)
    assert terms.code_of(row("h", 1, "5", **changes)) is code
