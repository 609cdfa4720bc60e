"""Bars: which tick belongs to which, when each is closed, and that no timer is needed."""

from collections.abc import Sequence
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.sdk import Bar, BarBuilder, Tick

S = 1_000_000_000


def tick(second: float, price: float, volume: float = 0.0, token: int = 1) -> Tick:
    return Tick(token, price, int(second * S), 1, volume)


def bars_of(builder: BarBuilder, ticks: Sequence[Tick]) -> list[Bar]:
    return [bar for each in ticks for bar in builder.add(each)]


def test_a_bar_holds_open_high_low_close_volume_and_count() -> None:
    ticks = [tick(61, 10, 1), tick(70, 12, 2), tick(80, 9, 3), tick(119, 11, 4), tick(121, 50, 5)]
    assert bars_of(BarBuilder(60), ticks) == [Bar(1, 60 * S, 120 * S, 10, 12, 9, 11, 10, 4)]


def test_a_tick_at_the_boundary_belongs_to_the_bar_that_ends_there_and_closes_it_at_once() -> None:
    builder = BarBuilder(60)
    assert list(builder.add(tick(90, 10))) == []
    assert list(builder.add(tick(120, 11))) == [Bar(1, 60 * S, 120 * S, 10, 11, 10, 11, 0, 2)]
    assert list(builder.add(tick(120.000000001, 12))) == []


def test_a_boundary_tick_alone_is_a_whole_bar() -> None:
    assert list(BarBuilder(60).add(tick(120, 7))) == [Bar(1, 60 * S, 120 * S, 7, 7, 7, 7, 0, 1)]


def test_one_tick_can_close_two_bars() -> None:
    builder = BarBuilder(60)
    builder.add(tick(90, 10))
    assert list(builder.add(tick(180, 20))) == [
        Bar(1, 60 * S, 120 * S, 10, 10, 10, 10, 0, 1),
        Bar(1, 120 * S, 180 * S, 20, 20, 20, 20, 0, 1),
    ]


def test_empty_periods_make_no_bar() -> None:
    ticks = [tick(30, 1), tick(3_601, 2), tick(7_300, 3)]
    assert [(bar.start // S, bar.end // S) for bar in bars_of(BarBuilder(60), ticks)] == [
        (0, 60),
        (3_600, 3_660),
    ]


def test_a_second_tick_at_the_boundary_counts_in_the_next_bar() -> None:
    ticks = [tick(60, 1, 5), tick(60, 2, 7), tick(61, 3, 1), tick(121, 4)]
    assert bars_of(BarBuilder(60), ticks) == [
        Bar(1, 0, 60 * S, 1, 1, 1, 1, 5, 1),
        Bar(1, 60 * S, 120 * S, 2, 3, 2, 3, 8, 2),
    ]


def test_a_late_tick_counts_in_the_open_bar_and_never_reopens_a_closed_one() -> None:
    ticks = [tick(30, 1), tick(61, 2), tick(59, 9), tick(121, 3)]
    assert bars_of(BarBuilder(60), ticks) == [
        Bar(1, 0, 60 * S, 1, 1, 1, 1, 0, 1),
        Bar(1, 60 * S, 120 * S, 2, 9, 2, 9, 0, 2),
    ]


def test_ticks_that_are_bars_contribute_their_open_high_and_low() -> None:
    builder = BarBuilder(120)
    builder.add(Tick(1, 10.0, 60 * S, 1, 100.0, open=9.0, high=13.0, low=8.0))
    (bar,) = builder.add(Tick(1, 11.0, 120 * S, 2, 50.0, open=10.0, high=12.0, low=7.0))
    assert bar == Bar(1, 0, 120 * S, 9, 13, 7, 11, 150, 2)


def test_a_bar_tick_without_high_and_low_still_spans_its_open_and_close() -> None:
    (bar,) = BarBuilder(60).add(Tick(1, 10.0, 60 * S, 1, open=14.0))
    assert (bar.open, bar.high, bar.low, bar.close) == (14, 14, 10, 10)


def test_tokens_have_bars_of_their_own() -> None:
    builder = BarBuilder(60)
    builder.add(tick(30, 1, token=1))
    assert list(builder.add(tick(60, 5, token=2))) == [Bar(2, 0, 60 * S, 5, 5, 5, 5, 0, 1)]
    assert list(builder.add(tick(60, 2, token=1))) == [Bar(1, 0, 60 * S, 1, 2, 1, 2, 0, 2)]


@pytest.mark.parametrize("seconds", [0, -1, True, 1.5])
def test_a_length_that_is_no_whole_number_above_zero_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="whole number of seconds above zero"):
        BarBuilder(seconds)  # type: ignore[arg-type]


def test_bars_of_another_length_are_not_restored() -> None:
    old = BarBuilder(60)
    old.add(tick(30, 1))
    new = BarBuilder(300)
    new.restore(old.snapshot())
    assert bars_of(new, [tick(40, 5), tick(301, 6)]) == [Bar(1, 0, 300 * S, 5, 5, 5, 5, 0, 1)]


steps = st.lists(
    st.tuples(
        st.integers(1, 2),
        st.integers(0, 90),
        st.floats(1, 1000, width=32),
        st.integers(0, 100),
    ),
    max_size=60,
)


def series(raw: list[tuple[int, int, float, int]]) -> list[Tick]:
    ts = 0
    ticks: list[Tick] = []
    for token, gap, price, volume in raw:
        ts += gap * S // 2
        ticks.append(Tick(token, price, ts, len(ticks), float(volume)))
    return ticks


@given(steps)
def test_every_tick_is_in_one_bar_and_bars_are_aligned_ordered_and_disjoint(
    raw: list[tuple[int, int, float, int]],
) -> None:
    ticks = series(raw)
    builder = BarBuilder(10)
    bars = bars_of(builder, ticks)
    for token in (1, 2):
        own = [tick for tick in ticks if tick.token == token]
        closed = [bar for bar in bars if bar.token == token]
        final = list(builder.add(Tick(token, 1.0, 10**18, 0)))
        done = [*closed, *(bar for bar in final if bar.end < 10**18)]
        assert sum(bar.ticks for bar in done) == len(own)
        assert sum(bar.volume for bar in done) == sum(tick.volume for tick in own)
        assert all(bar.end - bar.start == 10 * S and bar.end % (10 * S) == 0 for bar in done)
        assert all(before.end <= after.start for before, after in pairwise(done))
        assert all(
            bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high for bar in done
        )


@given(steps, st.integers(0, 60))
def test_a_restored_builder_goes_on_identically(raw: list[tuple[int, int, float, int]], cut: int) -> None:
    ticks = series(raw)
    whole = BarBuilder(10)
    expected = bars_of(whole, ticks)
    first, second = BarBuilder(10), BarBuilder(10)
    before = bars_of(first, ticks[:cut])
    second.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(first.snapshot())))
    assert before + bars_of(second, ticks[cut:]) == expected
    assert second.snapshot() == whole.snapshot()
