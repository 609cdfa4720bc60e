"""An order in an events file: found by any of its ids, or said not to be there."""

from pathlib import Path

import pytest
from msgspec.structs import replace

from alpha_panda.compose.explain_file import explain_file
from alpha_panda.compose.recorder import dead_letter_line
from alpha_panda.contracts.codec import encode_event
from alpha_panda.contracts.enums import OrderStatus
from alpha_panda.domain.ids import broker_tag
from alpha_panda.domain.story.model import Ending
from alpha_panda.domain.story.telling import tell
from alpha_panda.errors import UserInputError
from alpha_panda.ports import Record
from unit.story_kit import (
    AFTER,
    ANSWERED_AT,
    BEFORE,
    MS,
    PRICES,
    T0,
    A,
    B,
    book,
    cancel,
    filled,
    raw,
    rejected,
    signal,
    told,
    validated,
    write,
)

OTHER = [raw(signal(B)), rejected(signal(B))]
WHOLE = [BEFORE, *OTHER, raw(), validated(), told(), PRICES, AFTER]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write(tmp_path / "events.jsonl", WHOLE)


def test_the_file_tells_the_same_story_as_the_events(file: Path) -> None:
    assert explain_file(file, A) == tell(filled())


@pytest.mark.parametrize(
    "words",
    [A, A[:13], broker_tag(A), broker_tag(A)[:8], raw().id, told().id[:12], f" {A} "],
)
def test_any_id_of_the_order_or_its_beginning_means_it(file: Path, words: str) -> None:
    assert explain_file(file, words).order.signal_id == A


def test_the_broker_s_own_id_means_it_too(tmp_path: Path) -> None:
    file = write(tmp_path / "f", [raw(), validated(), told(broker_order_id="240101000000001")])
    assert explain_file(file, "240101000000001").order.signal_id == A


def test_a_rejected_one_is_found(file: Path) -> None:
    assert explain_file(file, B).ending is Ending.REJECTED


def test_what_means_several_is_refused_with_their_names(file: Path) -> None:
    with pytest.raises(UserInputError, match=f"means 2 orders; type more of it: {A}, {B}"):
        explain_file(file, A[:9])


def test_a_whole_id_wins_over_those_that_begin_with_it(tmp_path: Path) -> None:
    longer = A + "0"
    file = write(tmp_path / "f", [raw(), raw(signal(longer)), rejected(signal(longer))])
    assert explain_file(file, A).order.signal_id == A


def test_an_unknown_id_says_what_was_searched(file: Path) -> None:
    with pytest.raises(UserInputError, match=r"nothing is known of '99999999'.*events.jsonl \(9 records\)"):
        explain_file(file, "99999999")


def test_a_text_that_is_no_id_of_it_is_not_found_though_a_line_has_it(file: Path) -> None:
    with pytest.raises(UserInputError, match="nothing is known"):
        explain_file(file, "RELIANCE")


@pytest.mark.parametrize("words", ["", "1111111", "  1111111  "])
def test_too_few_characters_are_refused(file: Path, words: str) -> None:
    with pytest.raises(UserInputError, match="too short"):
        explain_file(file, words)


def test_a_file_that_is_not_there_is_a_user_s_error(tmp_path: Path) -> None:
    with pytest.raises(UserInputError, match="can't be read: No such file"):
        explain_file(tmp_path / "none", A)


def test_a_file_that_was_cut_off_is_read_as_far_as_it_goes(tmp_path: Path, file: Path) -> None:
    cut = tmp_path / "cut"
    cut.write_bytes(file.read_bytes()[:-20])
    made = explain_file(cut, A)
    assert made.ending is Ending.FILLED
    assert any("can't be read" in note for note in made.notes)


def test_a_tick_that_is_not_in_the_file_is_missing(tmp_path: Path) -> None:
    made = explain_file(write(tmp_path / "f", WHOLE, tick=False), A)
    assert made.tick is not None
    assert made.tick.price is None


def test_what_was_set_aside_of_it_is_a_note(tmp_path: Path) -> None:
    headers = (("dlq.code", b"RETRIES_EXHAUSTED"), ("dlq.message", b"redis is away"))
    dead = Record("paper.signals.raw.dlq", 0, 4, "k", encode_event(raw()), headers, T0)
    made = explain_file(write(tmp_path / "f", [raw()], more=[dead_letter_line(dead)]), A)
    assert made.notes == ("set aside in paper.signals.raw.dlq at offset 4: RETRIES_EXHAUSTED redis is away",)
    assert made.ending is Ending.UNDECIDED


def test_a_request_to_cancel_leads_to_its_order(tmp_path: Path) -> None:
    asked = cancel()
    placed = told(OrderStatus.PLACED, "0")
    ended = told(OrderStatus.CANCELLED, "0", revision=2, ts=asked.ts + MS)
    file = write(tmp_path / "f", [raw(), validated(), placed, asked, ended])
    made = explain_file(file, asked.correlation_id)
    assert (made.order.signal_id, made.ending) == (A, Ending.CANCELLED)
    assert "the strategy asks to cancel it: it fell" in [step.what for step in made.steps]


def test_books_of_another_account_and_of_long_before_are_left_alone(tmp_path: Path) -> None:
    theirs = replace(book(ANSWERED_AT + MS, "1"), account="second")
    old = book(T0 - 900_000 * MS, "5")
    file = write(tmp_path / "f", [old, BEFORE, raw(), validated(), told(), theirs, AFTER])
    made = explain_file(file, A).book
    assert made is not None
    assert made.before is not None
    assert (made.before.cash, made.alone) == (1_000_000, True)
