"""Compares what an account's book holds with what its broker says. Pure: no I/O, no clock."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from msgspec.structs import replace

from alpha_panda.contracts.enums import Product, Side
from alpha_panda.contracts.events import ZERO
from alpha_panda.contracts.stored import (
    BrokerPosition,
    BrokerRow,
    InstrumentDifference,
    OpeningPosition,
    PortfolioReading,
)
from alpha_panda.domain.book import Book
from alpha_panda.domain.exact import exact, quotient, tidy, times
from alpha_panda.domain.order_events import EXTERNAL

Fills = Mapping[int, frozenset[tuple[str, Decimal]]]
"""By token: the id of each order that has filled something, with what it has filled."""


@dataclass(frozen=True, slots=True)
class Held:
    """What the broker holds of one instrument: signed net quantity; prices per unit, 0 where it tells none."""

    symbol: str
    quantity: Decimal = ZERO
    average_price: Decimal = ZERO
    last_price: Decimal = ZERO


def held_by_broker(portfolio: PortfolioReading, product: str) -> dict[int, Held]:
    """Return the account's net holdings by token: positions of its product ("": all), and shares it owns (CNC)."""
    counted = [item for item in portfolio.positions if not product or item.product in ("", product)]
    if product in ("", Product.CNC):
        counted += portfolio.holdings
    found: dict[int, list[BrokerPosition]] = {}
    for item in counted:
        found.setdefault(item.instrument_token, []).append(item)
    return {token: _net(items) for token, items in found.items()}


def _net(items: list[BrokerPosition]) -> Held:
    with exact():
        quantity = tidy(sum((item.quantity for item in items), ZERO))
        cost = sum((times(item.quantity, item.average_price) for item in items), ZERO)
    last = next((item.last_price for item in items if item.last_price), ZERO)
    if len(items) == 1:
        return Held(items[0].symbol, quantity, items[0].average_price, last)
    average = abs(quotient(cost, quantity)) if quantity and cost * quantity > 0 else ZERO
    return Held(items[0].symbol, quantity, average, last)


def fills_of(rows: Iterable[BrokerRow]) -> dict[int, frozenset[tuple[str, Decimal]]]:
    """Return what each instrument's orders have filled."""
    found: dict[int, set[tuple[str, Decimal]]] = {}
    for row in rows:
        if row.filled_quantity:
            found.setdefault(row.instrument_token, set()).add((row.broker_order_id, row.filled_quantity))
    return {token: frozenset(fills) for token, fills in found.items()}


def moved(*readings: Fills) -> frozenset[int]:
    """Return the tokens whose fills are not the same in all readings."""
    tokens = {token for fills in readings for token in fills}
    first = readings[0]
    return frozenset(
        token for token in tokens if any(fills.get(token) != first.get(token) for fills in readings)
    )


def differences(
    book: Book, broker: Mapping[int, Held], now: int, before: Collection[InstrumentDifference]
) -> dict[int, InstrumentDifference]:
    """Return each instrument of which the two say different quantities, by token.

    One that was seen `before` with these very quantities keeps its id and is confirmed now.
    """
    known = {item.instrument_token: item for item in before}
    found = {}
    for token in dict.fromkeys((*book.positions, *broker)):
        fresh = _difference(book, broker, token, now)
        if fresh is None:
            continue
        last = known.get(token)
        same = last is not None and (last.ours, last.theirs) == (fresh.ours, fresh.theirs)
        found[token] = replace(last, confirmed=True, price=fresh.price) if last and same else fresh
    return found


def _difference(book: Book, broker: Mapping[int, Held], token: int, now: int) -> InstrumentDifference | None:
    ours, position = book.quantity(token), book.positions.get(token)
    symbol = "" if position is None else position.symbol
    held = broker.get(token, Held(symbol))
    if held.quantity == ours:
        return None
    cost = ZERO if position is None else position.average_price
    return InstrumentDifference(
        difference_id=f"{token}-{now}",
        instrument_token=token,
        symbol=symbol or held.symbol,
        ours=ours,
        theirs=held.quantity,
        price=_price(held, ours, cost),
        since=now,
    )


def _price(held: Held, ours: Decimal, cost: Decimal) -> Decimal:
    """Return at what the difference is booked.

    What the broker holds more than we know was bought at the broker's average; what it holds less was closed at some
    price nobody tells, of which the last one is the best guess, and our own cost where there is none.
    """
    lacking = held.quantity - ours
    grows = lacking * held.quantity > 0 and abs(held.quantity) > abs(ours)
    wanted = (
        (held.average_price, held.last_price, cost) if grows else (held.last_price, cost, held.average_price)
    )
    return next((price for price in wanted if price), ZERO)


def is_fresh(book: Book, rows: Iterable[BrokerRow], is_foreign: Collection[str]) -> bool:
    """Whether the book holds nothing but what others' orders of today's broker book have traded.

    `is_foreign`: ids of those orders. Such a book has never had an opening.
    """
    if any(name != EXTERNAL and own.positions for name, own in book.strategies.items()):
        return False
    traded: dict[int, Decimal] = {}
    for row in rows:
        if row.broker_order_id in is_foreign:
            signed = Side(row.side).sign * row.filled_quantity
            traded[row.instrument_token] = traded.get(row.instrument_token, ZERO) + signed
    return all(held.quantity == traded.get(token, ZERO) for token, held in book.positions.items())


def opening_of(
    found: Iterable[InstrumentDifference], broker: Mapping[int, Held]
) -> tuple[OpeningPosition, ...]:
    """Return the differences as opening positions."""
    return tuple(
        OpeningPosition(
            instrument_token=item.instrument_token,
            symbol=item.symbol,
            quantity=item.quantity,
            price=item.price,
            last_price=broker[item.instrument_token].last_price if item.instrument_token in broker else ZERO,
        )
        for item in sorted(found, key=lambda item: item.instrument_token)
    )


def opening_cash(cash: Decimal, book: Book, opening: Iterable[OpeningPosition]) -> Decimal:
    """Return what the book must have begun with, so that it has the broker's cash once the opening is booked."""
    with exact():
        paid = sum((times(item.quantity, item.price) for item in opening), ZERO)
        return tidy(cash + paid - (book.cash - book.opening_cash))
