from decimal import Decimal
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_panda.contracts.enums import OrderStatus, OrderType, Side, Validity
from alpha_panda.contracts.events import ZERO, OrderUpdate
from alpha_panda.contracts.stored import OrderFold
from alpha_panda.domain.exact import exact
from alpha_panda.domain.fold import FoldStep, contradictory, fold_order, merge_folds
from alpha_panda.errors import RecordError

D = Decimal
S = OrderStatus


def update(
    status: OrderStatus,
    filled: str = "0",
    price: str | None = None,
    fees: str = "0",
    *,
    amount: str | None = None,
    revision: int = 0,
    correction: bool = False,
    broker_order_id: str = "",
) -> OrderUpdate:
    return OrderUpdate(
        signal_id="s",
        order_id="o",
        strategy_id="m",
        instrument_token=1,
        symbol="X:A",
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        quantity=D(10),
        validity=Validity.DAY,
        status=status,
        rank=int(status.rank),
        price=None if price is None else D(price),
        filled_quantity=D(filled),
        amount=None if amount is None else D(amount),
        fees=D(fees),
        revision=revision,
        correction=correction,
        broker_order_id=broker_order_id,
    )


def fold_all(updates: list[OrderUpdate]) -> tuple[OrderFold, list[FoldStep]]:
    fold, steps = OrderFold(), []
    for item in updates:
        step = fold_order(fold, item)
        steps.append(step)
        fold = step.fold
    return fold, steps


LIFE = [
    update(S.PLACED, revision=1),
    update(S.PARTIALLY_FILLED, "4", "100", "0.4", revision=2),
    update(S.PARTIALLY_FILLED, "7", "101", "0.7", revision=3),
    update(S.CANCELLED, "7", "101", "0.7", revision=4),
]


def test_a_life_by_hand() -> None:
    fold, steps = fold_all(LIFE)
    assert [step.quantity_delta for step in steps] == [0, 4, 3, 0]
    assert [step.amount_delta for step in steps] == [0, 400, 307, 0]
    assert [step.fees_delta for step in steps] == [0, D("0.4"), D("0.3"), 0]
    assert fold.filled_quantity == 7
    assert fold.average_price == 101
    assert fold.terminal
    assert not any(step.contradiction for step in steps)


def test_cancelled_first_already_has_the_final_quantity() -> None:
    _, steps = fold_all(LIFE[::-1])
    assert [step.quantity_delta for step in steps] == [7, 0, 0, 0]
    assert steps[0].amount_delta == 707


def test_the_rank_is_a_maximum_of_its_own() -> None:
    fold, _ = fold_all([update(S.CANCELLED, "0"), update(S.PARTIALLY_FILLED, "4", "100")])
    assert fold.terminal
    assert fold.filled_quantity == 4


def test_a_correction_lowers_once() -> None:
    lower = update(S.FILLED, "6", "99", "0.5", revision=5, correction=True)
    filled = update(S.FILLED, "10", "100", "1", revision=4)
    fold, steps = fold_all([filled, lower, lower, filled])
    assert [step.quantity_delta for step in steps] == [10, -4, 0, 0]
    assert [step.amount_delta for step in steps] == [1000, 6 * 99 - 1000, 0, 0]
    assert [step.fees_delta for step in steps] == [1, D("-0.5"), 0, 0]
    assert fold.correction_revision == 5


def test_of_two_corrections_the_later_revision_wins_whatever_comes_first() -> None:
    first = update(S.FILLED, "6", "99", revision=5, correction=True)
    second = update(S.FILLED, "3", "98", revision=6, correction=True)
    for order in ([first, second], [second, first]):
        fold, _ = fold_all(order)
        assert (fold.filled_quantity, fold.average_price, fold.correction_revision) == (3, 98, 6)


def test_books_move_by_the_exact_amount_and_the_average_is_only_shown() -> None:
    first = update(S.PARTIALLY_FILLED, "1", "100", amount="100")
    second = update(S.FILLED, "3", "100.6666666667", amount="302")
    fold, steps = fold_all([first, second])
    assert [step.amount_delta for step in steps] == [100, 202]
    assert (fold.amount, fold.average_price) == (302, D("100.6666666667"))


def test_an_event_without_an_amount_amounts_to_price_times_quantity_without_rounding() -> None:
    average = D(1001) / D(3)
    fold, steps = fold_all([update(S.FILLED, "3.000000000001", str(average))])
    assert len(average.as_tuple().digits) == 28
    assert steps[0].amount_delta == fold.amount
    assert Fraction(fold.amount) == Fraction(average) * Fraction("3.000000000001")


def test_an_amount_of_nothing_filled_is_nothing() -> None:
    fold, steps = fold_all([update(S.CANCELLED, "0", "5", amount="7")])
    assert (fold.amount, fold.average_price, steps[0].amount_delta) == (0, 0, 0)


def test_an_amount_may_be_as_large_and_as_fine_as_a_price_times_a_quantity() -> None:
    large, fine = D(9 * 10**30), D("9E-40")
    for price, quantity in ((large, large), (fine, fine)):
        with exact():
            product = price * quantity
        told, _ = fold_all([update(S.FILLED, str(quantity), str(price), amount=str(product))])
        untold, _ = fold_all([update(S.FILLED, str(quantity), str(price))])
        assert told.amount == untold.amount == product


@pytest.mark.parametrize("refusal", [S.FAILED, S.LOST])
@pytest.mark.parametrize(
    "reached",
    [
        update(S.PLACED),
        update(S.PARTIALLY_FILLED, "1", "5"),
        update(S.FILLED, "10", "5"),
        update(S.CANCELLED),
    ],
)
def test_reached_and_refused_contradict_once(refusal: OrderStatus, reached: OrderUpdate) -> None:
    for order in ([update(refusal), reached], [reached, update(refusal)]):
        fold, steps = fold_all([*order, *order])
        assert [step.contradiction for step in steps] == [False, True, False, False]
        assert contradictory(fold)


def test_a_placed_order_may_be_refused_by_its_broker_later() -> None:
    life = [update(S.PLACED, broker_order_id="b1"), update(S.FAILED, revision=1, broker_order_id="b1")]
    for order in (life, life[::-1], life * 2):
        fold, steps = fold_all(order)
        assert not any(step.contradiction for step in steps)
        assert fold.terminal
        assert contradictory(fold, rejected=True)  # risk's own no is a no


@pytest.mark.parametrize(
    "more",
    [
        update(S.FAILED),  # said by whoever never got an id from the broker
        update(S.LOST),
        update(S.CANCELLED, broker_order_id="b1"),
        update(S.PARTIALLY_FILLED, "1", "5", broker_order_id="b1"),
        update(S.PLACED, revision=2, correction=True, broker_order_id="b1"),
    ],
)
def test_a_later_refusal_excuses_nothing_else(more: OrderUpdate) -> None:
    life = [update(S.PLACED, broker_order_id="b1"), update(S.FAILED, revision=1, broker_order_id="b1")]
    for order in ([*life, more], [more, *life], [life[0], more, life[1]]):
        fold, steps = fold_all(order)
        assert sum(step.contradiction for step in steps) == 1
        assert contradictory(fold)


def test_what_two_readers_know_of_a_refusal_is_added_up() -> None:
    placed, _ = fold_all([update(S.PLACED, broker_order_id="b1")])
    later, _ = fold_all([update(S.FAILED, broker_order_id="b1")])
    never, _ = fold_all([update(S.FAILED)])
    assert not contradictory(merge_folds(placed, later))
    assert contradictory(merge_folds(placed, never))
    assert contradictory(merge_folds(never, placed))


def test_a_failure_with_a_fill_contradicts_itself() -> None:
    assert fold_order(OrderFold(), update(S.FAILED, "1", "5")).contradiction


def test_a_correction_to_nothing_does_not_hide_a_failure_with_a_fill() -> None:
    impossible = update(S.FAILED, "1", "5")
    nothing = update(S.FAILED, revision=1, correction=True)
    for order in ([impossible, nothing], [nothing, impossible]):
        fold, steps = fold_all(order)
        assert sum(step.contradiction for step in steps) == 1
        assert fold.filled_quantity == 0
        assert contradictory(fold)


def test_a_late_match_is_booked_and_contradicts() -> None:
    late = update(S.FILLED, "10", "100", revision=3, correction=True)
    _, steps = fold_all([update(S.LOST, revision=2), late])
    assert steps[1].quantity_delta == 10
    assert steps[1].contradiction


@pytest.mark.parametrize("reached", [update(S.PLACED), update(S.FILLED, "10", "5")])
def test_a_rejected_signal_that_reached_the_broker_contradicts(reached: OrderUpdate) -> None:
    assert not fold_order(OrderFold(), reached).contradiction
    assert fold_order(OrderFold(), reached, rejected=True).contradiction
    assert not fold_order(OrderFold(), update(S.FAILED), rejected=True).contradiction


@pytest.mark.parametrize("turn", [1, -1])
def test_an_order_that_ended_as_cancelled_and_as_filled_contradicts_once(turn: int) -> None:
    """As a paper order does whose cancel the store has forgotten: it rests anew, and fills."""
    ends = [update(S.CANCELLED, "2", "10"), update(S.FILLED, "10", "10")]
    fold, steps = fold_all([update(S.PARTIALLY_FILLED, "2", "10"), *ends[::turn], *ends])
    assert sum(step.contradiction for step in steps) == 1
    assert contradictory(fold)
    assert fold.filled_quantity == Decimal(10)


@pytest.mark.parametrize("refusal", [S.FAILED, S.LOST])
def test_two_refusals_do_not_contradict(refusal: OrderStatus) -> None:
    _, steps = fold_all([update(refusal), update(S.FAILED)])
    assert not any(step.contradiction for step in steps)


@pytest.mark.parametrize(
    "bad",
    [
        update(S.FILLED, "10"),
        update(S.FILLED, "NaN", "1"),
        update(S.FILLED, "-1", "1"),
        update(S.FILLED, "1", "Infinity"),
        update(S.FILLED, "1", "1", "NaN"),
        update(S.FILLED, "1E+50", "1"),
        update(S.FILLED, "1", "1", amount="NaN"),
        update(S.FILLED, "1", "1", amount="Infinity"),
        update(S.FILLED, "1", "1", amount="1E+70"),
        update(S.FILLED, "1", "1", amount="1E-90"),
    ],
)
def test_what_can_not_be_booked_is_refused(bad: OrderUpdate) -> None:
    with pytest.raises(RecordError, match="order s"):
        fold_order(OrderFold(), bad)


money = st.decimals(min_value=0, max_value=1000, places=2)


@st.composite
def events(draw: st.DrawFn) -> OrderUpdate:
    filled = draw(st.integers(0, 10))
    return update(
        draw(st.sampled_from(list(S))),
        str(filled),
        str(draw(money)) if filled else draw(st.sampled_from([None, "3"])),
        str(draw(money)),
        amount=draw(st.one_of(st.none(), money.map(str))),
        revision=draw(st.integers(0, 4)),
        correction=draw(st.booleans()),
        broker_order_id=draw(st.sampled_from(["", "b1"])),
    )


@settings(max_examples=400)
@given(st.data(), st.lists(events(), max_size=7))
def test_order_and_repetition_do_not_matter(data: st.DataObject, updates: list[OrderUpdate]) -> None:
    shuffled = data.draw(
        st.permutations(updates + data.draw(st.lists(st.sampled_from(updates)) if updates else st.just([])))
    )
    fold, steps = fold_all(updates)
    other, other_steps = fold_all(shuffled)
    assert msgspec.json.encode(fold) == msgspec.json.encode(other)
    for final, run in ((fold, steps), (other, other_steps)):
        assert sum((step.quantity_delta for step in run), ZERO) == final.filled_quantity
        assert sum((step.amount_delta for step in run), ZERO) == final.amount
        assert sum((step.fees_delta for step in run), ZERO) == final.fees
        assert sum(step.contradiction for step in run) == contradictory(final)


@given(st.lists(events(), max_size=7))
def test_without_corrections_nothing_ever_falls(updates: list[OrderUpdate]) -> None:
    plain = [msgspec.structs.replace(item, correction=False) for item in updates]
    fold, steps = fold_all(plain)
    assert all(step.quantity_delta >= 0 for step in steps)
    assert fold.filled_quantity == max((item.filled_quantity for item in plain), default=ZERO)
    assert fold.rank == max((item.rank for item in plain), default=0)


def test_a_fold_survives_storage() -> None:
    fold, _ = fold_all(LIFE)
    assert msgspec.json.decode(msgspec.json.encode(fold), type=OrderFold) == fold
