"""What short positions are worth: from a sum at the marks to one at the signal's last price, without adding up anew."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.contracts.events import ZERO
from alpha_panda.domain.book import Position
from alpha_panda.domain.exact import wide
from alpha_panda.domain.risk.case import Case
from alpha_panda.domain.risk.shorts import Shorts, remarked, shorts_at
from unit.domain.risk.making import D, facts, position, positions, price, signal

TOKENS = (7, 8, 9)
Held = dict[int, Position]
numbers = st.integers(-50, 50).map(lambda number: D(number) / 4)
marks_of = st.dictionaries(st.sampled_from(TOKENS), numbers)


def _book(quantities: dict[int, tuple[Decimal, Decimal]]) -> Held:
    return {
        token: Position(instrument_token=token, symbol=f"X:{token}", quantity=quantity, cost=cost)
        for token, (quantity, cost) in quantities.items()
    }


books_of = st.dictionaries(st.sampled_from(TOKENS), st.tuples(numbers, numbers)).map(_book)


def _added_up(book: Held, marks: dict[int, Decimal]) -> Decimal:
    values = [item.quantity * marks[token] if token in marks else item.cost for token, item in book.items()]
    return -sum((value for value in values if value < 0), ZERO)


@given(books_of, st.lists(books_of, max_size=4), marks_of)
def test_shorts_are_the_negative_values_of_the_account_and_of_each_book(
    account: Held, books: list[Held], marks: dict[int, Decimal]
) -> None:
    own = sum((_added_up(book, marks) for book in books), ZERO)
    assert shorts_at(account, books, marks) == (_added_up(account, marks), own)


@given(books_of, st.lists(books_of, max_size=4), marks_of, st.integers(1, 100), st.booleans())
def test_a_case_values_its_own_instrument_at_the_last_price_whether_the_sum_was_at_hand_or_not(
    account: Held, books: list[Held], marks: dict[int, Decimal], last: int, at_hand: bool
) -> None:
    known = shorts_at(account, books, marks) if at_hand else None
    given_facts = facts(
        signal(), held=account, books=books, marks=marks, price=price(float(last)), shorts=known
    )
    at_last = {**marks, TOKENS[0]: D(last)}
    own = sum((_added_up(book, at_last) for book in books), ZERO)
    with wide():
        assert Case(given_facts).short_value == max(_added_up(account, at_last), own)


def test_a_long_position_is_worth_nothing_as_a_short_one() -> None:
    assert shorts_at(positions(position(5)), [positions(position(5))], {7: D(100)}) == Shorts(ZERO, ZERO)


def test_digits_beyond_those_of_the_default_context_are_kept() -> None:
    mark = D("1." + "1" * 39)
    assert shorts_at(positions(position(-3)), [], {7: mark}).net.as_tuple().digits == (3,) * 40


def test_only_books_that_hold_the_instrument_are_remarked() -> None:
    books = [positions(position(-2)), positions(position(-5, token=8)), {}]
    assert remarked(books, 7, D(100), D(103)) == 6
    assert remarked(books, 7, None, D(103)) == 6  # unmarked: it was worth its cost, 2 at 100
