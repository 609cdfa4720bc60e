"""What a person may say of an order in doubt: worked out by hand, and rules that hold for all numbers."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.compose.verdicts import Verdict, Word, outcome_of, preview, says
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState
from alpha_panda.contracts.stored import JournalEntry
from alpha_panda.errors import UserInputError
from contracts.samples import entry, signal

D = Decimal
SECOND = 1_000_000_000
SEND_BY, LATER = 100 * SECOND, 30 * SECOND
LONG_AGO = SEND_BY + LATER


def doubtful(state: EntryState = EntryState.UNKNOWN, **changes: Any) -> JournalEntry:
    return entry(signal("s1"), state, send_by=SEND_BY, **changes)


def word(
    said: Word, quantity: str | None = None, price: str | None = None, fees: str | None = None
) -> Verdict:
    numbers = {"quantity": quantity, "price": price, "fees": fees}
    given_numbers: dict[str, Any] = {name: D(text) for name, text in numbers.items() if text is not None}
    return Verdict(word=said, by="ann", reason="saw it", **given_numbers)


@pytest.mark.parametrize(
    ("said", "filled", "price", "state"),
    [
        (word(Word.FILLED, price="5"), "10", "5", EntryState.FILLED),
        (word(Word.FILLED, "10", "5.25", "1"), "10", "5.25", EntryState.FILLED),
        (word(Word.CANCELLED), "0", "0", EntryState.CANCELLED),
        (word(Word.CANCELLED, "4", "5"), "4", "5", EntryState.CANCELLED),
        (word(Word.FAILED), "0", "0", EntryState.FAILED),
        (word(Word.LOST), "0", "0", EntryState.FAILED),
    ],
)
def test_words_by_hand(said: Verdict, filled: str, price: str, state: EntryState) -> None:
    outcome = outcome_of(doubtful(), said, LONG_AGO, LATER)
    assert (outcome.state, outcome.filled_quantity, outcome.average_price) == (state, D(filled), D(price))
    assert outcome.message == "by hand (ann): saw it"
    assert outcome.fees == (D(1) if said.fees else D(0))


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        (word(Word.FILLED), "--price is wanted"),
        (word(Word.FILLED, "10.5", "5"), "more than was ordered, 10"),
        (word(Word.FILLED, "9", "5"), "`--as cancelled`"),
        (word(Word.FILLED, price="0"), "above 0"),
        (word(Word.FILLED, price="-1"), "--price -1"),
        (word(Word.FILLED, price="Infinity"), "--price Infinity"),
        (word(Word.FILLED, "NaN", "5"), "--quantity NaN"),
        (word(Word.FILLED, price="5", fees="-1"), "--fees -1"),
        (word(Word.CANCELLED, "10", "5"), "`--as filled`"),
        (word(Word.CANCELLED, "4"), "--price is wanted"),
        (word(Word.CANCELLED, "-1", "5"), "--quantity -1"),
        (word(Word.CANCELLED, price="5"), "nothing has"),
        (word(Word.CANCELLED, fees="1"), "nothing has"),
        (word(Word.LOST, "1", "5"), "not lost"),
        (word(Word.FAILED, "1", "5"), "not failed"),
    ],
)
def test_numbers_that_do_not_fit(said: Verdict, problem: str) -> None:
    with pytest.raises(UserInputError) as refused:
        outcome_of(doubtful(), said, LONG_AGO, LATER)
    assert problem in str(refused.value)


def test_what_has_filled_already_stays() -> None:
    known = doubtful(filled_quantity=D(4), average_price=D(7), fees=D(1))
    outcome = outcome_of(known, word(Word.CANCELLED), LONG_AGO, LATER)
    assert (outcome.filled_quantity, outcome.average_price, outcome.fees) == (D(4), D(7), D(1))
    with pytest.raises(UserInputError, match="less than has filled already, 4"):
        outcome_of(known, word(Word.CANCELLED, "3", "7"), LONG_AGO, LATER)
    with pytest.raises(UserInputError, match="not lost"):
        outcome_of(known, word(Word.LOST), LONG_AGO, LATER)
    with pytest.raises(UserInputError, match="--price is wanted"):
        outcome_of(known, word(Word.FILLED), LONG_AGO, LATER)


SENDING, UNKNOWN = EntryState.SENDING, EntryState.UNKNOWN


@pytest.mark.parametrize(
    ("state", "said", "now", "wait"),
    [
        (SENDING, word(Word.FILLED, price="5"), SEND_BY - 1, "be on its way: look again in 1 s"),
        (SENDING, word(Word.FILLED, price="5"), SEND_BY, None),
        (UNKNOWN, word(Word.FILLED, price="5"), SEND_BY - 1, None),  # the broker's book shows it
        (UNKNOWN, word(Word.CANCELLED), SEND_BY - 1, None),
        (SENDING, word(Word.LOST), SEND_BY - 1, "be on its way: look again in 31 s"),
        (UNKNOWN, word(Word.LOST), LONG_AGO - 1, "appear in the broker's book: look again in 1 s"),
        (UNKNOWN, word(Word.FAILED), SEND_BY, "look again in 30 s"),
        (UNKNOWN, word(Word.LOST), LONG_AGO, None),
    ],
)
def test_absence_is_believed_only_after_waiting(
    state: EntryState, said: Verdict, now: int, wait: str | None
) -> None:
    if wait is None:
        outcome_of(doubtful(state), said, now, LATER)
        return
    with pytest.raises(UserInputError) as refused:
        outcome_of(doubtful(state), said, now, LATER)
    assert wait in str(refused.value)


@pytest.mark.parametrize("state", [state for state in EntryState if not state.in_doubt])
def test_only_doubt_is_resolved(state: EntryState) -> None:
    with pytest.raises(UserInputError, match="nothing is in doubt" if state.resting else "has ended"):
        outcome_of(doubtful(state), word(Word.LOST), LONG_AGO, LATER)


numbers = st.decimals(min_value=-5, max_value=15, places=2) | st.none()


@given(said=st.sampled_from(Word), quantity=numbers, price=numbers, fees=numbers, known=st.integers(0, 10))
def test_no_word_books_what_cannot_be(
    said: Word, quantity: Decimal | None, price: Decimal | None, fees: Decimal | None, known: int
) -> None:
    before = doubtful(filled_quantity=D(known), average_price=D(7) if known else D(0))
    verdict = Verdict(word=said, by="a", reason="b", quantity=quantity, price=price, fees=fees)
    try:
        outcome = outcome_of(before, verdict, LONG_AGO, LATER)
    except UserInputError:
        return
    filled = outcome.filled_quantity
    assert known <= filled <= 10
    assert (outcome.state is EntryState.FILLED) is (filled == 10)
    assert (outcome.average_price > 0) is (filled > 0)
    assert outcome.fees >= 0
    assert filled == 0 or outcome.state is not EntryState.FAILED
    assert says(preview(before, outcome), outcome)


def test_the_words_of_another_are_not_ours() -> None:
    outcome = outcome_of(doubtful(), word(Word.LOST), LONG_AGO, LATER)
    after = preview(doubtful(), outcome)
    assert says(after, outcome)
    other = Verdict(word=Word.LOST, by="bob", reason="saw it")
    assert not says(after, outcome_of(doubtful(), other, LONG_AGO, LATER))
    assert not says(doubtful(), outcome)


@pytest.mark.parametrize("state", [EntryState.PLACED, EntryState.PARTIALLY_FILLED])
def test_a_resting_order_is_a_persons_to_decide_only_if_it_is_missing(state: EntryState) -> None:
    resting = doubtful(state, filled_quantity=D(4), average_price=D(5))
    with pytest.raises(UserInputError, match="it rests at the venue"):
        outcome_of(resting, word(Word.CANCELLED), LONG_AGO, LATER)
    missing = doubtful(state, filled_quantity=D(4), average_price=D(5), code=Code.ORDER_MISSING)
    outcome = outcome_of(missing, word(Word.CANCELLED), LONG_AGO, LATER)
    assert (outcome.state, outcome.filled_quantity, outcome.code) == (EntryState.CANCELLED, 4, None)
