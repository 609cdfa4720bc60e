"""An order in an events file: found by any of its ids, or said not to be there."""

import os
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


def test_a_snapshot_from_between_two_fills_is_not_the_one_after(tmp_path: Path) -> None:
    part = told(OrderStatus.PARTIALLY_FILLED, "4")
    whole = told(revision=2, ts=ANSWERED_AT + 10 * MS)
    between = book(ANSWERED_AT + 2 * MS, "990000", "4")
    end = book(ANSWERED_AT + 15 * MS, "900000", "30")
    file = write(tmp_path / "f", [BEFORE, raw(), validated(), part, between, whole, end])
    made = explain_file(file, A).book
    assert made is not None
    assert made.after is not None
    assert (made.after.ts, made.alone) == (end.ts, False)


def test_in_a_replay_where_all_have_the_tick_s_time_the_file_s_order_tells_the_book(tmp_path: Path) -> None:
    """The clock stands while a tick is worked off: the book after the fill has the fill's own time."""
    theirs = told(signal_id=B)
    after_theirs = replace(book(ANSWERED_AT, "974949.9872", "10"), id="first")
    after_ours = replace(book(ANSWERED_AT, "949899.9744", "20"), id="second")
    later = book(ANSWERED_AT + 60_000 * MS, "1000000", "0")
    events = [BEFORE, raw(signal(B)), raw(), theirs, after_theirs, told(), after_ours, later]
    made = explain_file(write(tmp_path / "f", events), A).book
    assert made is not None
    assert made.before is not None
    assert made.after is not None
    assert (made.before.position, made.after.position, made.alone) == (10, 20, True)


@pytest.mark.parametrize("words", [A.upper(), A.replace("-", ""), f" {A.replace('-', '').upper()}"])
def test_an_id_as_traces_and_logs_write_it_means_it_too(file: Path, words: str) -> None:
    assert explain_file(file, words).order.signal_id == A


def test_what_is_no_text_is_no_id(file: Path) -> None:
    with pytest.raises(UserInputError, match=r"udcff.* is no id"):
        explain_file(file, b"\xff\xff\xff\xff\xff\xff\xff\xff".decode(errors="surrogateescape"))


def test_a_pipe_is_refused_for_it_could_be_read_but_once(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(UserInputError, match="pipe or a device"):
        explain_file(pipe, A)


@pytest.mark.parametrize("cut", [120, 400])  # before its id, and behind it
def test_a_line_of_the_order_that_can_t_be_read_is_told(tmp_path: Path, file: Path, cut: int) -> None:
    whole = file.read_bytes().splitlines(keepends=True)
    kept = [line if b"VALIDATED" not in line else line[:cut] + b"}\n" for line in whole]
    assert sum(map(len, kept)) < file.stat().st_size
    broken = tmp_path / "broken"
    broken.write_bytes(b"".join(kept))
    made = explain_file(broken, A)
    assert made.decision is None
    assert made.notes == ("1 of the file's lines can't be read; it may have been cut off",)


def test_line_ends_of_another_system_and_empty_lines_are_no_faults(tmp_path: Path, file: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(file.read_bytes().replace(b"\n", b"\r\n") + b"\r\n\n")
    assert explain_file(other, A) == explain_file(file, A)


def test_a_file_that_ends_before_the_outcome_does_not_say_that_nothing_was_sent(tmp_path: Path) -> None:
    assert explain_file(write(tmp_path / "f", [raw(), validated()]), A).ending is Ending.UNTOLD
