"""Open orders with their sums at hand: after any sequence they are what adding up all of them gives."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.contracts.enums import Side, SignalClass
from alpha_panda.domain.risk.facts import OpenOrder
from alpha_panda.domain.risk.open_orders import OpenOrders, OrderGroup
from unit.domain.risk.making import BUY, SELL, D, open_order

STRATEGIES, TOKENS = ("m", "n", "o"), (7, 8)
REDUCING, INCREASING = SignalClass.REDUCING, SignalClass.INCREASING
amounts = st.decimals(0, 10**30, places=38, allow_nan=False)
"""Such that a product needs more digits than the default context has."""


@st.composite
def orders(draw: st.DrawFn) -> OpenOrder:
    """Of ten signals; strategy and instrument follow from the id, all else may change."""
    number = draw(st.integers(0, 9))
    return open_order(
        draw(st.sampled_from(Side)),
        0,
        open_quantity=draw(amounts),
        reference_price=draw(amounts),
        signal_id=f"o{number}",
        strategy_id=STRATEGIES[number % 3],
        instrument_token=TOKENS[number % 2],
        signal_class=draw(st.sampled_from((REDUCING, INCREASING))),
    )


steps = st.lists(orders() | st.integers(0, 9).map("o{}".format), max_size=40)


def _value(order: OpenOrder) -> Fraction:
    return Fraction(order.open_quantity) * Fraction(order.reference_price)


def _agrees(group: OrderGroup, wanted: list[OpenOrder]) -> None:
    assert list(group) == wanted
    assert len(group) == len(wanted)
    for side in Side:
        mine = [order for order in wanted if order.side is side]
        covered = [order for order in mine if side is BUY or order.signal_class is INCREASING]
        assert Fraction(group.values[side]) == sum(map(_value, mine))
        assert Fraction(group.covered[side]) == sum(map(_value, covered))


@given(steps)
def test_after_any_sequence_everything_is_as_if_added_up_anew(taken: list[OpenOrder | str]) -> None:
    book, model = OpenOrders(), dict[str, OpenOrder]()
    for step in taken:
        if isinstance(step, str):
            book.drop(step)
            model.pop(step, None)
        else:
            book.put(step)
            model[step.signal_id] = step
    every = list(model.values())
    assert (list(book), len(book)) == (every, len(every))
    _agrees(book.account, every)
    for name in STRATEGIES:
        _agrees(book.strategy(name), [order for order in every if order.strategy_id == name])
    for token in TOKENS:
        assert list(book.on_token(token)) == [order for order in every if order.instrument_token == token]


def test_a_reducing_sell_is_open_but_needs_no_cash() -> None:
    closing = open_order(SELL, 3, 10, signal_class=REDUCING)
    book = OpenOrders([closing, open_order(BUY, 2, 10, signal_id="o2")])
    assert (book.account.values[SELL], book.account.covered[SELL]) == (30, 0)
    assert (book.account.values[BUY], book.account.covered[BUY]) == (20, 20)


def test_an_order_is_among_them_as_it_is_now_known() -> None:
    whole, part = open_order(BUY, 3), open_order(BUY, 1)
    book = OpenOrders([whole])
    assert whole in book
    book.put(part)
    assert part in book
    assert whole not in book
    assert "o1" not in book


def test_what_a_strategy_without_orders_has_is_nothing() -> None:
    book = OpenOrders([open_order(BUY, 3)])
    assert len(book.strategy("n")) == 0
    assert book.strategy("n").values == {BUY: 0, SELL: 0}
    assert list(book.on_token(99)) == []


@pytest.mark.parametrize("signal_id", ["o2", ""])
def test_dropping_what_is_not_open_changes_nothing(signal_id: str) -> None:
    book = OpenOrders([open_order(BUY, 3, 10)])
    book.drop(signal_id)
    assert (len(book), book.account.values[BUY]) == (1, D(30))
