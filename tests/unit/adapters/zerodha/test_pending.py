from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.adapters.zerodha.frames import Columns, Kind
from alpha_panda.adapters.zerodha.pending import LEAST, Pending


def columns(*rows: tuple[int, float], bad: int = 0) -> Columns:
    """Token and price of each row."""
    size = len(rows)
    return Columns(
        [Kind.FULL.value] * size,
        [token for token, _ in rows],
        [price for _, price in rows],
        [0] * size,
        [None] * size,
        [None] * size,
        [1] * size,
        bad,
    )


def taken(pending: Pending, most: int = 10**9) -> list[tuple[int, float, int]]:
    return [
        (token, price, at)
        for chunk, received in pending.take(most)
        for token, price, at in zip(chunk.tokens, chunk.prices, received, strict=True)
    ]


def test_rows_come_out_in_order_with_the_time_they_came() -> None:
    pending = Pending(2)
    pending.add(columns((1, 10.0), (2, 20.0)), 5)
    pending.add(columns((1, 11.0)), 6)
    assert len(pending) == 3
    assert taken(pending) == [(1, 10.0, 5), (2, 20.0, 5), (1, 11.0, 6)]
    assert (len(pending), taken(pending)) == (0, [])


def test_chunks_are_taken_until_there_are_enough_rows_and_never_cut() -> None:
    pending = Pending(2)
    for at in range(4):
        pending.add(columns((1, 1.0), (2, 2.0)), at)
    assert [at for _, _, at in taken(pending, 3)] == [0, 0, 1, 1]
    assert [at for _, _, at in taken(pending, 1)] == [2, 2]
    assert len(pending) == 2


def test_what_could_not_be_read_is_counted_once() -> None:
    pending = Pending(2)
    pending.add(columns(bad=2), 1)
    pending.add(columns((1, 1.0), bad=1), 2)
    assert pending.take_counts() == (0, 3)
    assert pending.take_counts() == (0, 0)


def test_beyond_the_limit_the_newest_of_each_token_stay_and_the_rest_is_counted() -> None:
    pending = Pending(2)
    for number in range(LEAST):
        pending.add(columns((1, float(number))), number)
    assert pending.take_counts() == (0, 0)
    pending.add(columns((2, 7.0)), LEAST)
    assert pending.take_counts() == (LEAST - 1, 0)
    assert taken(pending) == [(1, LEAST - 1.0, LEAST - 1), (2, 7.0, LEAST)]


ROWS = st.lists(st.tuples(st.integers(1, 9), st.floats(1, 9)), max_size=9)


@given(st.lists(ROWS.map(lambda rows: rows * 100), max_size=9))
def test_never_more_than_the_limit_waits_and_each_tokens_last_price_is_kept(
    frames: list[list[tuple[int, float]]],
) -> None:
    pending, rows = Pending(9), 0
    last: dict[int, tuple[float, int]] = {}
    for at, frame in enumerate(frames):
        pending.add(columns(*frame), at)
        rows += len(frame)
        last |= {token: (price, at) for token, price in frame}
        assert len(pending) <= LEAST
    dropped, _ = pending.take_counts()
    out = taken(pending)
    assert len(out) + dropped == rows
    assert {token: (price, at) for token, price, at in out} == last
    assert [at for _, _, at in out] == sorted(at for _, _, at in out)


def test_conflated_rows_are_in_the_order_of_their_arrival() -> None:
    pending = Pending(2)
    pending.add(columns((1, 1.0), (2, 1.0), (4, 1.0)), 0)
    pending.add(columns(*[(1, 3.0)] * LEAST), 1)
    assert taken(pending) == [(2, 1.0, 0), (4, 1.0, 0), (1, 3.0, 1)]


def test_a_flood_of_one_frame_is_bounded_by_its_instruments() -> None:
    pending = Pending(3000)
    for at in range(20):
        pending.add(columns(*((token, 1.0) for token in range(3000))), at)
    assert len(pending) <= 6000
