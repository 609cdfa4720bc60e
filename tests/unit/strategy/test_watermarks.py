from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.contracts.events import Tick
from alpha_panda.strategy.cell import Cell
from alpha_panda.strategy.watermarks import Seen, Watermarks
from unit.strategy.test_router import cell


def seen_before(name: str, marks: dict[int, Seen], *tokens: int) -> tuple[Cell, list[tuple[int, int]]]:
    made = cell(name, *(tokens or marks))
    made.sequences = marks
    got: list[tuple[int, int]] = []
    made.deliver = lambda tick: got.append((tick.token, tick.seq))
    return made, got


def resumed(*cells: Cell) -> Watermarks:
    """Even tokens are in partition 0, odd ones in 1."""
    marks = Watermarks(lambda token: token % 2)
    marks.resume(cells)
    return marks


def deliver(marks: Watermarks, cells: list[Cell], epoch: int, token: int, seq: int) -> None:
    """As the runner does it."""
    partition = token % 2
    if epoch < marks.epochs.get(partition, 0):
        return
    if epoch > marks.epochs.get(partition, 0):
        marks.begin_epoch(partition, epoch)
    if seq <= marks.sequences.get(token, 0):
        return
    marks.sequences[token] = seq
    for each in cells:
        if token in each.tokens:
            each.deliver(Tick(token, 1.0, 0, seq))


def test_without_a_past_all_is_new() -> None:
    one, got = seen_before("one", {}, 2, 4)
    marks = resumed(one)
    assert marks.of(one) == {}
    deliver(marks, [one], 1, 2, 1)
    assert got == [(2, 1)]
    assert marks.of(one) == {2: (1, 1), 4: (1, 0)}


def test_alone_it_goes_on_without_a_detour() -> None:
    one, _ = seen_before("one", {2: (3, 7), 4: (3, 0)})
    plain = one.deliver
    marks = resumed(one)
    assert one.deliver is plain
    assert (marks.epochs, marks.sequences) == ({0: 3}, {2: 7})
    assert marks.of(one) == {2: (3, 7), 4: (3, 0)}


def test_the_runner_begins_at_the_one_furthest_behind() -> None:
    behind, _ = seen_before("behind", {2: (1, 5)})
    ahead, got = seen_before("ahead", {2: (1, 8)})
    marks = resumed(behind, ahead)
    assert marks.sequences == {2: 5}
    assert (marks.of(behind), marks.of(ahead)) == ({2: (1, 5)}, {2: (1, 8)})
    for seq in (6, 7, 8, 9, 10):
        deliver(marks, [behind, ahead], 1, 2, seq)
    assert got == [(2, 9), (2, 10)]
    assert marks.of(ahead) == {2: (1, 10)}


def test_once_it_has_caught_up_in_all_tokens_the_detour_is_gone() -> None:
    behind, _ = seen_before("behind", {}, 2, 4)
    ahead, got = seen_before("ahead", {2: (1, 1), 4: (1, 1)})
    plain = ahead.deliver
    marks = resumed(behind, ahead)
    for token, seq in ((2, 1), (4, 1), (2, 2)):
        deliver(marks, [behind, ahead], 1, token, seq)
    assert ahead.deliver is not plain
    deliver(marks, [behind, ahead], 1, 4, 2)
    assert ahead.deliver is plain
    assert got == [(2, 2), (4, 2)]


def test_a_thousand_tokens_ahead_are_no_deeper_than_one() -> None:
    tokens = range(0, 4000, 2)
    behind, _ = seen_before("behind", {}, *tokens)
    ahead, got = seen_before("ahead", dict.fromkeys(tokens, (1, 1)))
    marks = resumed(behind, ahead)
    for seq in (1, 2):
        for token in tokens:
            deliver(marks, [behind, ahead], 1, token, seq)
    assert got == [(token, 2) for token in tokens]


def test_an_epoch_that_began_for_others_is_older_than_what_the_one_ahead_has_seen() -> None:
    behind, got_behind = seen_before("behind", {2: (1, 3)})
    ahead, got = seen_before("ahead", {4: (2, 1)})
    marks = resumed(behind, ahead)
    assert marks.epochs == {0: 1}
    deliver(marks, [behind, ahead], 1, 4, 9)  # older than (2, 1)
    deliver(marks, [behind, ahead], 1, 2, 4)
    deliver(marks, [behind, ahead], 2, 4, 1)
    deliver(marks, [behind, ahead], 2, 4, 2)
    assert (got_behind, got) == ([(2, 4)], [(4, 2)])


MARKS = st.dictionaries(st.integers(0, 3), st.tuples(st.integers(1, 3), st.integers(0, 4)), max_size=4)
TICKS = st.lists(st.tuples(st.integers(1, 3), st.integers(0, 3), st.integers(1, 5)), max_size=30)


@given(MARKS, MARKS, TICKS)
def test_no_cell_gets_a_tick_that_is_not_newer_and_marks_never_fall(
    one_saw: dict[int, Seen], two_saw: dict[int, Seen], ticks: list[tuple[int, int, int]]
) -> None:
    one, _ = seen_before("one", dict(one_saw), 0, 1, 2, 3)
    two, _ = seen_before("two", dict(two_saw), 0, 1, 2, 3)
    newest = {one.key: dict(one_saw), two.key: dict(two_saw)}
    epoch_now = [0]

    def checked(each: Cell) -> None:
        def on_tick(tick: Tick) -> None:
            mark = (epoch_now[0], tick.seq)
            assert mark > newest[each.key].get(tick.token, (0, 0))
            newest[each.key][tick.token] = mark

        each.deliver = on_tick

    checked(one)
    checked(two)
    marks = resumed(one, two)
    before = {each.key: marks.of(each) for each in (one, two)}
    for epoch, token, seq in sorted(ticks, key=lambda tick: tick[0]) + ticks:
        epoch_now[0] = epoch
        deliver(marks, [one, two], epoch, token, seq)
        for each in (one, two):
            now = marks.of(each)
            assert all(now[token] >= mark for token, mark in before[each.key].items())
            assert all(now[token] >= mark for token, mark in newest[each.key].items())
            before[each.key] = now
