"""From a match to the book: money that changes hands is booked to the last digit, however an order fills."""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.contracts.enums import EntryState, FeedMode, OrderType, Side, SignalClass, Validity
from alpha_panda.contracts.events import OrderUpdate, Signal
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.contracts.stored import JournalEntry, OrderFold, Outcome, PriceRange
from alpha_panda.domain.book import Book
from alpha_panda.domain.fold import fold_order
from alpha_panda.domain.matching import PaperTerms, match_new, match_resting
from alpha_panda.domain.order_events import order_update

D = Decimal
INSTRUMENT = Instrument(token=7, symbol="X:A", tick_size=D("0.05"))
OPENING = D(1_000_000)


class Part(NamedTuple):
    """One trade of an order: signed quantity and price."""

    quantity: Decimal
    price: Decimal


def entry_of(signal: Signal, outcome: Outcome, revision: int) -> JournalEntry:
    return JournalEntry(
        signal=signal,
        state=outcome.state,
        signal_class=SignalClass.INCREASING,
        tag="ap1",
        revision=revision,
        send_by=0,
        updated_at=0,
        correlation_id="c",
        causation_id="c",
        filled_quantity=outcome.filled_quantity,
        average_price=outcome.average_price,
        amount=outcome.amount,
        fees=outcome.fees,
        triggered=outcome.triggered,
        quote_ts=0,
    )


def market(number: int, side: Side, quantity: int) -> Signal:
    return Signal(
        signal_id=f"s-{number}",
        strategy_id="m",
        strategy_uid="u",
        instrument_token=INSTRUMENT.token,
        symbol=INSTRUMENT.symbol,
        side=side,
        order_type=OrderType.MARKET,
        quantity=D(quantity),
        validity=Validity.DAY,
        expires_at=0,
    )


def seen(price: float) -> PriceRange:
    return PriceRange(1, INSTRUMENT.token, price, price, price, 1, 1, 1, FeedMode.SIMULATED)


def life(signal: Signal, prices: Sequence[float], terms: PaperTerms) -> list[Outcome]:
    """Every state of a market order that trades a part at each price."""
    outcomes = [match_new(signal, INSTRUMENT, prices[0], terms)]
    for price in prices[1:]:
        after = match_resting(entry_of(signal, outcomes[-1], 0), INSTRUMENT, seen(price), terms)
        outcomes += [] if after is None else [after]
    return outcomes


def events(signal: Signal, outcomes: Sequence[Outcome]) -> list[OrderUpdate]:
    return [order_update(entry_of(signal, outcome, number)) for number, outcome in enumerate(outcomes)]


def parts(signal: Signal, outcomes: Sequence[Outcome]) -> list[Part]:
    """The trades that the outcomes consist of; each price is found again from the amounts, exactly."""
    found, filled, amount = [], Fraction(0), Fraction(0)
    for outcome in outcomes:
        quantity = Fraction(outcome.filled_quantity) - filled
        price = (Fraction(outcome.amount or 0) - amount) / quantity
        assert price % Fraction(INSTRUMENT.tick_size) == 0, "every part trades on the tick grid"
        filled, amount = filled + quantity, amount + quantity * price
        found.append(Part(signal.side.sign * D(int(quantity)), D(int(price * 20)) / 20))
    return found


def booked(told: Sequence[OrderUpdate]) -> tuple[Book, dict[str, OrderFold]]:
    book, folds = Book.opened(OPENING), dict[str, OrderFold]()
    for update in told:
        step = fold_order(folds.get(update.signal_id, OrderFold()), update)
        folds[update.signal_id] = step.fold
        deltas = (step.quantity_delta, step.amount_delta, step.fees_delta)
        book.apply("m", update.instrument_token, update.symbol, update.side, *deltas)
    return book, folds


def test_parts_whose_average_has_no_end_by_hand() -> None:
    """1 at 100, 2 at 101: 302, whose third goes on for ever; sold again at 100 in one piece."""
    signal = market(1, Side.BUY, 3)
    first = Outcome(
        state=EntryState.PARTIALLY_FILLED, filled_quantity=D(1), average_price=D(100), amount=D(100)
    )
    second = match_resting(entry_of(signal, first, 1), INSTRUMENT, seen(101.0), PaperTerms())
    assert second is not None
    assert (second.average_price, second.amount) == (D("100.6666666667"), 302)
    third = match_new(market(2, Side.SELL, 3), INSTRUMENT, 100.0, PaperTerms())
    told = [*events(signal, [first, second]), *events(market(2, Side.SELL, 3), [third])]
    assert booked(told)[0].cash == OPENING - 302 + 300


orders = st.lists(
    st.tuples(
        st.sampled_from(Side),
        st.integers(1, 500),
        st.lists(st.integers(1, 100_000).map(lambda ticks: ticks / 20), min_size=1, max_size=7),
    ),
    min_size=1,
    max_size=5,
)
terms_of = st.builds(
    PaperTerms,
    slippage_bps=st.sampled_from([D(0), D(5)]),
    commission_bps=st.sampled_from([D(0), D("2.5"), D(3)]),
    partial_fill_ratio=st.just(D(1)),
    seed=st.integers(0, 2**16),
)


@given(orders, terms_of)
def test_cash_is_the_opening_less_the_parts_less_the_fees_to_the_last_digit(
    wanted: list[tuple[Side, int, list[float]]], terms: PaperTerms
) -> None:
    told, trades, fees = list[OrderUpdate](), list[Part](), Fraction(0)
    for number, (side, quantity, prices) in enumerate(wanted):
        signal = market(number, side, quantity)
        outcomes = life(signal, prices, terms)
        told += events(signal, outcomes)
        trades += parts(signal, outcomes)
        fees += Fraction(outcomes[-1].fees)

    book, _ = booked(told)

    paid = sum((Fraction(part.quantity) * Fraction(part.price) for part in trades), Fraction(0))
    assert Fraction(book.cash) == Fraction(OPENING) - paid - fees
    assert book.quantity(INSTRUMENT.token) == sum((part.quantity for part in trades), D(0))
    # Two places of prices on a grid of 0.05 times whole quantities, four of fees.
    exponent = book.cash.as_tuple().exponent
    assert isinstance(exponent, int)
    assert exponent >= -4


@given(orders, terms_of, st.integers(-5, 5))
def test_the_average_price_moves_no_money(
    wanted: list[tuple[Side, int, list[float]]], terms: PaperTerms, shift: int
) -> None:
    signals = [(market(n, side, quantity), prices) for n, (side, quantity, prices) in enumerate(wanted)]
    told = [update for signal, prices in signals for update in events(signal, life(signal, prices, terms))]
    other = [msgspec.structs.replace(item, price=(item.price or D(0)) + shift) for item in told]

    assert booked(told)[0] == booked(other)[0]


@given(orders, terms_of, st.data())
def test_the_book_is_the_same_whatever_order_the_events_of_each_order_come_in(
    wanted: list[tuple[Side, int, list[float]]], terms: PaperTerms, data: st.DataObject
) -> None:
    signals = [(market(n, side, quantity), prices) for n, (side, quantity, prices) in enumerate(wanted)]
    told = [update for signal, prices in signals for update in events(signal, life(signal, prices, terms))]
    shuffled = data.draw(st.permutations(told + data.draw(st.lists(st.sampled_from(told), max_size=4))))

    (book, folds), (again, other) = booked(told), booked(shuffled)

    assert folds == other
    assert (book.cash, book.fees) == (again.cash, again.fees)
    assert book.quantity(INSTRUMENT.token) == again.quantity(INSTRUMENT.token)


@given(orders, terms_of)
def test_without_amounts_cash_moves_by_price_times_quantity(
    wanted: list[tuple[Side, int, list[float]]], terms: PaperTerms
) -> None:
    signals = [(market(n, side, quantity), prices) for n, (side, quantity, prices) in enumerate(wanted)]
    ends = [events(signal, life(signal, prices, terms))[-1] for signal, prices in signals]
    told = [msgspec.structs.replace(item, amount=None) for item in ends]

    book, _ = booked(told)

    paid = [item.side.sign * Fraction(item.price or 0) * Fraction(item.filled_quantity) for item in told]
    fees = [Fraction(item.fees) for item in told]
    assert Fraction(book.cash) == Fraction(OPENING) - sum(paid, Fraction(0)) - sum(fees, Fraction(0))
