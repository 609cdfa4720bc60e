from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.adapters.batching import batch_end, cut, spans
from alpha_panda.ports import SourceBatch


def test_a_batch_ends_when_it_holds_the_most_ticks() -> None:
    assert list(spans([1, 1, 1, 1, 1], 2, 100)) == [(0, 2), (2, 4), (4, 5)]


def test_a_batch_ends_before_the_row_that_is_later_than_the_delay() -> None:
    assert list(spans([0, 50, 51, 101, 102], 10, 50)) == [(0, 2), (2, 4), (4, 5)]


def test_a_batch_holds_at_least_one_row() -> None:
    assert batch_end([0, 10**18], 0, 500, 0) == 1


def test_no_rows_make_no_batch() -> None:
    assert list(spans([], 5, 5)) == []


@given(
    gaps=st.lists(st.integers(0, 100), min_size=1, max_size=200),
    max_ticks=st.integers(1, 20),
    max_delay=st.integers(0, 200),
)
def test_batches_are_the_rows_and_each_is_as_long_as_it_may_be(
    gaps: list[int], max_ticks: int, max_delay: int
) -> None:
    ts = [sum(gaps[: index + 1]) for index in range(len(gaps))]
    parts = [ts[begin:end] for begin, end in spans(ts, max_ticks, max_delay)]
    assert [stamp for part in parts for stamp in part] == ts
    for part, following in zip(parts, [*parts[1:], None], strict=True):
        assert 1 <= len(part) <= max_ticks
        assert part[-1] - part[0] <= max_delay
        if following:
            assert len(part) == max_ticks or following[0] - part[0] > max_delay


def test_cut_takes_all_columns_and_leaves_missing_ones_out() -> None:
    rows = SourceBatch(
        tokens=[1, 2, 3],
        prices=[1.0, 2.0, 3.0],
        ts=[10, 20, 30],
        volumes=[5.0, 6.0, 7.0],
        highs=[1.5, 2.5, 3.5],
        bad_rows=4,
    )
    assert cut(rows, 1, 3) == SourceBatch(
        tokens=[2, 3], prices=[2.0, 3.0], ts=[20, 30], volumes=[6.0, 7.0], highs=[2.5, 3.5]
    )
