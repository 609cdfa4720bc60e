"""What the short positions are worth: cash must back it. Of what is negative: the price of a long one may be, too."""

from collections.abc import Collection, Mapping
from decimal import Decimal
from typing import NamedTuple

from alpha_panda.contracts.events import ZERO
from alpha_panda.domain.book import Position, Prices
from alpha_panda.domain.exact import wide


class Shorts(NamedTuple):
    """Values of the short positions, not below zero: of the account's net ones, and of the strategies' own."""

    net: Decimal
    own: Decimal


def shorts_at(
    account: Mapping[int, Position], books: Collection[Mapping[int, Position]], marks: Prices
) -> Shorts:
    """Return the values at the marks; `account` are its positions, `books` every strategy's own."""
    with wide():
        return Shorts(_shorts(account, marks), sum((_shorts(book, marks) for book in books), ZERO))


def remarked(
    books: Collection[Mapping[int, Position]], token: int, mark: Decimal | None, price: Decimal
) -> Decimal:
    """Return how much more the books' shorts in an instrument are worth at a price than they were at the mark."""
    held = (book[token] for book in books if token in book)
    return sum((_short(item, price) - _short(item, mark) for item in held), ZERO)


def _shorts(positions: Mapping[int, Position], marks: Prices) -> Decimal:
    values = [item.value(marks.get(token)) for token, item in positions.items()]
    return -sum([value for value in values if value < 0], ZERO)


def _short(item: Position, price: Decimal | None) -> Decimal:
    value = item.value(price)
    return -value if value < 0 else ZERO
