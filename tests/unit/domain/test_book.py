from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.contracts.enums import Side, TradingState
from alpha_panda.contracts.events import ZERO
from alpha_panda.domain.book import Book, Position, StrategyBook

D = Decimal
BUY, SELL = Side.BUY, Side.SELL
TOKEN, OTHER = 7, 8
SYMBOLS = {TOKEN: "X:A", OTHER: "X:B"}


def trade(book: Book, side: Side, quantity: str, price: str, fees: str = "0", *, strategy: str = "m") -> None:
    book.apply(strategy, TOKEN, "X:A", side, D(quantity), D(quantity) * D(price), D(fees))


def held(book: Book) -> Position:
    return book.positions[TOKEN]


def test_long_by_hand() -> None:
    book = Book.opened(D(10_000))
    trade(book, BUY, "10", "100", "1")
    trade(book, BUY, "10", "110", "1")
    trade(book, SELL, "5", "120", "2")
    assert held(book).quantity == 15
    assert held(book).average_price == 105
    assert held(book).cost == 1575
    assert book.realized_pnl == 5 * (120 - 105)
    assert book.cash == 10_000 - 1000 - 1100 + 600 - 4
    assert book.fees == 4


def test_short_by_hand() -> None:
    book = Book.opened(D(10_000))
    trade(book, SELL, "10", "100")
    assert (held(book).quantity, held(book).cost, held(book).average_price) == (-10, -1000, 100)
    assert book.cash == 11_000
    trade(book, BUY, "4", "90")
    assert (held(book).quantity, held(book).cost, held(book).realized_pnl) == (-6, -600, 40)
    marking = book.mark({TOKEN: D(95)})
    assert marking.unrealized_pnl == 30
    assert marking.equity == 10_000 + 40 + 30
    assert (marking.net_exposure, marking.gross_exposure) == (-570, 570)


def test_crossing_zero_closes_and_opens() -> None:
    book = Book.opened(D(0))
    trade(book, BUY, "10", "100")
    trade(book, SELL, "15", "120")
    assert (held(book).quantity, held(book).cost, held(book).realized_pnl) == (-5, -600, 200)
    trade(book, BUY, "8", "110")
    assert (held(book).quantity, held(book).cost, held(book).realized_pnl) == (3, 330, 250)


def test_flat_again_leaves_no_cost() -> None:
    book = Book.opened(D(0))
    trade(book, BUY, "3", "33.33")
    trade(book, SELL, "1", "40")
    trade(book, SELL, "2", "41")
    assert (held(book).quantity, held(book).cost, held(book).average_price) == (0, 0, 0)
    assert book.realized_pnl == D("122") - D("99.99") == book.cash


def test_thirds_lose_nothing() -> None:
    """100 / 3 has no end: the share of the cost is rounded, what it lacks stays in the position."""
    book = Book.opened(D(0))
    book.apply("m", TOKEN, "X:A", BUY, D(3), D(100), ZERO)
    trade(book, SELL, "1", "50")
    assert held(book).cost == D("66.6666666667")
    assert held(book).realized_pnl == D("16.6666666667")
    assert held(book).average_price == D("33.3333333334")
    marking = book.mark({TOKEN: D("41.05")})
    assert marking.equity == marking.realized_pnl + marking.unrealized_pnl == D("32.10")


def test_a_correction_takes_a_fill_back_at_its_amount() -> None:
    book = Book.opened(D(1000))
    trade(book, BUY, "10", "100", "5")
    book.apply("m", TOKEN, "X:A", BUY, D(-4), D(-400), D(-2))
    assert (held(book).quantity, held(book).cost, book.realized_pnl) == (6, 600, 0)
    assert (book.cash, book.fees) == (1000 - 600 - 3, 3)


def test_a_wholly_corrected_fill_leaves_the_book_as_it_was() -> None:
    book = Book.opened(D(1000))
    trade(book, SELL, "10", "99.95", "5")
    book.apply("m", TOKEN, "X:A", SELL, D(-10), D("-999.5"), D(-5))
    assert (book.cash, book.fees, book.realized_pnl) == (1000, 0, 0)
    assert (held(book).quantity, held(book).cost) == (0, 0)


@pytest.mark.parametrize("delta", ["-20", "20"])
def test_a_corrected_price_changes_the_cost_of_what_it_opened(delta: str) -> None:
    book = Book.opened(D(0))
    trade(book, BUY, "10", "100")
    book.apply("m", TOKEN, "X:A", BUY, ZERO, D(delta), ZERO)
    assert (held(book).cost, book.realized_pnl, book.cash) == (1000 + int(delta), 0, -1000 - int(delta))


@pytest.mark.parametrize("delta", ["-20", "20"])
def test_a_corrected_price_of_a_closing_fill_changes_the_realized_pnl(delta: str) -> None:
    book = Book.opened(D(0))
    trade(book, BUY, "10", "100")
    trade(book, SELL, "4", "110")
    book.apply("m", TOKEN, "X:A", SELL, ZERO, D(delta), ZERO)
    assert (held(book).cost, book.realized_pnl) == (600, 40 + int(delta))
    assert book.cash == -1000 + 440 + int(delta)


def test_fees_alone_open_no_position() -> None:
    book = Book.opened(D(10))
    book.apply("m", TOKEN, "X:A", BUY, ZERO, ZERO, D(3))
    assert book.positions == {}
    assert (book.cash, book.fees, book.strategy("m").fees) == (7, 3, 3)


def test_strategies_keep_their_own_books_where_the_account_nets() -> None:
    book = Book.opened(D(0))
    trade(book, BUY, "10", "100", strategy="long")
    trade(book, SELL, "10", "110", strategy="short")
    assert book.quantity(TOKEN) == 0
    assert book.realized_pnl == 100
    assert book.strategy("long").quantity(TOKEN) == 10
    assert book.strategy("short").quantity(TOKEN) == -10
    prices = {TOKEN: D(104)}
    assert book.strategy("long").net_pnl(prices) == 40
    assert book.strategy("short").net_pnl(prices) == 60


def test_a_position_without_price_is_marked_at_its_average_and_said_so() -> None:
    book = Book.opened(D(1000))
    book.apply("m", TOKEN, "X:A", BUY, D(3), D(100), ZERO)
    book.apply("m", OTHER, "X:B", BUY, D(1), D(50), ZERO)
    marking = book.mark({OTHER: D(60)})
    assert marking.unpriced == ("X:A",)
    assert marking.equity == 1010
    assert marking.positions["X:A"].last_price is None
    assert marking.positions["X:A"].unrealized_pnl == 0
    assert marking.positions["X:B"].last_price == 60
    assert "X:A" in marking.snapshot(0, TradingState.ACTIVE, "start").reason
    assert book.mark({TOKEN: D(1), OTHER: D(1)}).snapshot(0, TradingState.ACTIVE, "start").reason == "start"


def test_a_flat_position_needs_no_price() -> None:
    book = Book.opened(D(1000))
    trade(book, BUY, "3", "10")
    trade(book, SELL, "3", "10")
    assert book.mark({}).unpriced == ()


def test_the_snapshot_says_what_the_marking_says() -> None:
    book = Book.opened(D(1000))
    trade(book, BUY, "3", "10", "1")
    marking = book.mark({TOKEN: D(12)})
    snapshot = marking.snapshot(4, TradingState.REDUCING)
    assert (snapshot.open_orders, snapshot.trading_state) == (4, TradingState.REDUCING)
    for name in ("opening_cash", "cash", "equity", "realized_pnl", "unrealized_pnl", "fees", "net_exposure"):
        assert getattr(snapshot, name) == getattr(marking, name)
    assert snapshot.strategies["m"].fees == 1
    assert snapshot.strategies["m"].unrealized_pnl == 6


def test_an_unknown_strategy_has_an_empty_book_that_is_not_kept() -> None:
    book = Book.opened(D(0))
    assert book.strategy("x") == StrategyBook()
    assert book.strategies == {}


def test_views_are_sorted_by_name() -> None:
    book = Book.opened(D(0))
    for name, token in (("z", OTHER), ("a", TOKEN)):
        book.apply(name, token, SYMBOLS[token], BUY, D(1), D(1), ZERO)
    marking = book.mark({})
    assert list(marking.positions) == ["X:A", "X:B"]
    assert list(marking.strategies) == ["a", "z"]


quantities = st.decimals(min_value="0.001", max_value=1000, places=3)
prices_ = st.decimals(min_value="0.01", max_value=5000, places=4)
Fill = tuple[str, int, Side, Decimal, Decimal, Decimal]


@st.composite
def fills(draw: st.DrawFn) -> Fill:
    """A fill or its taking back; amounts of ugly averages, up to 28 digits."""
    quantity = draw(quantities)
    average = draw(prices_) / draw(st.sampled_from([D(1), D(3), D(7)]))
    sign = draw(st.sampled_from([1, 1, 1, -1]))
    return (
        draw(st.sampled_from(["a", "b"])),
        draw(st.sampled_from([TOKEN, OTHER])),
        draw(st.sampled_from(list(Side))),
        sign * draw(st.sampled_from([quantity, quantity, ZERO])),
        sign * quantity * average,
        draw(st.decimals(min_value=-1, max_value=5, places=5)),
    )


def booked(done: list[Fill]) -> Book:
    book = Book.opened(D("1000000.01"))
    for strategy, token, side, quantity, amount, fees in done:
        book.apply(strategy, token, SYMBOLS[token], side, quantity, amount, fees)
    return book


def total(values: list[Fraction]) -> Fraction:
    return sum(values, Fraction(0))


@given(st.lists(fills(), max_size=25))
def test_positions_are_the_sum_of_fills_and_cash_conserves(done: list[Fill]) -> None:
    book = booked(done)
    for token in SYMBOLS:
        bought = total([Fraction(side.sign * q) for _, t, side, q, _, _ in done if t == token])
        assert Fraction(book.quantity(token)) == bought
    amounts = total([Fraction(side.sign * amount) for _, _, side, _, amount, _ in done])
    fees = total([Fraction(fee) for *_, fee in done])
    assert Fraction(book.fees) == fees
    assert Fraction(book.cash) == Fraction(book.opening_cash) - amounts - fees


@given(st.lists(fills(), max_size=25), prices_, st.one_of(st.none(), prices_))
def test_equity_is_cash_and_positions_and_equals_the_pnl_to_the_last_digit(
    done: list[Fill], price: Decimal, other: Decimal | None
) -> None:
    book = booked(done)
    prices = {TOKEN: price} | ({} if other is None else {OTHER: other})
    marking = book.mark(prices)
    value = total(
        [
            Fraction(item.quantity) * Fraction(prices[token]) if token in prices else Fraction(item.cost)
            for token, item in book.positions.items()
        ]
    )
    assert Fraction(marking.equity) == Fraction(book.cash) + value
    assert Fraction(marking.net_exposure) == value
    gain = Fraction(marking.realized_pnl) + Fraction(marking.unrealized_pnl) - Fraction(marking.fees)
    assert Fraction(marking.equity) - Fraction(marking.opening_cash) == gain
    assert book.equity(prices) == marking.equity
    assert book.realized_pnl == marking.realized_pnl


@given(st.lists(fills(), max_size=25), prices_, prices_)
def test_strategy_books_add_up_to_the_account(done: list[Fill], price: Decimal, other: Decimal) -> None:
    book = booked(done)
    prices = {TOKEN: price, OTHER: other}
    for token in SYMBOLS:
        own = [Fraction(item.quantity(token)) for item in book.strategies.values()]
        assert total(own) == Fraction(book.quantity(token))
    assert total([Fraction(item.fees) for item in book.strategies.values()]) == Fraction(book.fees)
    marking = book.mark(prices)
    gains = [Fraction(item.net_pnl(prices)) for item in book.strategies.values()]
    assert total(gains) == Fraction(marking.equity) - Fraction(marking.opening_cash)
    for name, view in marking.strategies.items():
        gain = Fraction(view.realized_pnl) + Fraction(view.unrealized_pnl) - Fraction(view.fees)
        assert gain == Fraction(book.strategies[name].net_pnl(prices))


@given(st.lists(fills(), max_size=15))
def test_a_book_survives_storage_and_spells_each_number_one_way(done: list[Fill]) -> None:
    book = booked(done)
    stored = msgspec.json.encode(book)
    loaded = msgspec.json.decode(stored, type=Book)
    assert loaded == book
    assert msgspec.json.encode(loaded) == stored
    assert b"E+" not in stored


@given(st.lists(st.tuples(quantities, prices_), min_size=1, max_size=8))
def test_what_is_bought_and_sold_piecewise_realizes_the_difference(
    pieces: list[tuple[Decimal, Decimal]],
) -> None:
    book = Book.opened(D(0))
    for quantity, price in pieces:
        book.apply("m", TOKEN, "X:A", BUY, quantity, quantity * price, ZERO)
    for quantity, price in reversed(pieces):
        book.apply("m", TOKEN, "X:A", SELL, quantity, quantity * (price + 1), ZERO)
    assert held(book).quantity == 0
    assert held(book).cost == 0
    assert book.realized_pnl == sum((quantity for quantity, _ in pieces), ZERO) == book.cash
