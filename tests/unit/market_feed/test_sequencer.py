from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.contracts.events import Tick
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.contracts.topics import tick_partition
from alpha_panda.market_feed.sequencer import Sequencer
from alpha_panda.ports import SourceBatch

PARTITIONS = 4
TOKENS = (101, 102, 103, 104)


def sequencer(partitions: int = PARTITIONS) -> Sequencer:
    return Sequencer([Instrument(token, f"X:{token}", Decimal(1)) for token in TOKENS], partitions)


def batch(*rows: tuple[int, float, int], **columns: Any) -> SourceBatch:
    tokens, prices, ts = zip(*rows, strict=True) if rows else ((), (), ())
    return SourceBatch(tokens, prices, ts, **columns)


def flat(lanes: list[list[Tick]]) -> list[Tick]:
    return [tick for lane in lanes for tick in lane]


def test_each_token_counts_by_itself_and_on_over_batches() -> None:
    made = sequencer(1)
    first = made.lanes(batch((101, 1.0, 10), (102, 2.0, 10), (101, 3.0, 11)))
    second = made.lanes(batch((101, 4.0, 12)))
    assert first == [[Tick(101, 1.0, 10, 1), Tick(102, 2.0, 10, 1), Tick(101, 3.0, 11, 2)]]
    assert second == [[Tick(101, 4.0, 12, 3)]]


def test_volumes_are_kept_without_other_columns() -> None:
    assert flat(sequencer().lanes(batch((101, 1.0, 10), volumes=[7.0])))[0].volume == 7.0


COLUMNS = {
    "bids": ("bid", 1.5),
    "asks": ("ask", 2.5),
    "opens": ("open", 3.5),
    "highs": ("high", 4.5),
    "lows": ("low", 0.5),
    "source_ts": ("source_ts", 9),
}


@pytest.mark.parametrize("column", COLUMNS)
def test_any_further_column_by_itself_arrives_in_its_field(column: str) -> None:
    field, value = COLUMNS[column]
    (tick,) = flat(sequencer().lanes(batch((101, 1.0, 10), **{column: [value]})))
    others = {name for name, _ in COLUMNS.values()} - {field}
    assert getattr(tick, field) == value
    assert {getattr(tick, name) for name in others} == {None}
    assert (tick.token, tick.last_price, tick.ts, tick.seq, tick.volume) == (101, 1.0, 10, 1, 0.0)


def test_all_columns_together() -> None:
    columns = {column: [value] for column, (_, value) in COLUMNS.items()}
    (tick,) = flat(sequencer().lanes(batch((101, 1.0, 10), volumes=[7.0], **columns)))
    assert tick == Tick(101, 1.0, 10, 1, 7.0, 1.5, 2.5, 3.5, 4.5, 0.5, 9)


def test_plain_and_full_batches_share_the_count() -> None:
    made = sequencer(1)
    made.lanes(batch((101, 1.0, 10)))
    assert made.lanes(batch((101, 1.0, 10), bids=[1.0]))[0][0].seq == 2


def test_a_token_that_the_feed_does_not_have_is_an_error() -> None:
    with pytest.raises(KeyError):
        sequencer().lanes(batch((999, 1.0, 10)))


@given(st.lists(st.lists(st.tuples(st.sampled_from(TOKENS), st.floats(1, 9), st.integers(0, 99)))))
def test_nothing_is_lost_or_moved_and_every_tick_is_in_its_partition(
    rows: list[list[tuple[int, float, int]]],
) -> None:
    made = sequencer()
    counts = dict.fromkeys(TOKENS, 0)
    for part in rows:
        lanes = made.lanes(batch(*part))
        assert len(lanes) == PARTITIONS
        for number, lane in enumerate(lanes):
            mine = [row for row in part if tick_partition(row[0], PARTITIONS) == number]
            assert [(tick.token, tick.last_price, tick.ts) for tick in lane] == mine
            for tick in lane:
                counts[tick.token] += 1
                assert tick.seq == counts[tick.token]
