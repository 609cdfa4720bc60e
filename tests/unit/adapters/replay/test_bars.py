from pathlib import Path
from typing import Any

import pytest

from alpha_panda.errors import SourceError
from unit.adapters.source_kit import NS, instruments, joined, read, replay, write

MINUTE = 60 * NS
HEADER = "timestamp,open,high,low,close,volume\n"


def bars(*minutes: int) -> str:
    return HEADER + "".join(f"{60 * minute},1,3,0.5,2,10\n" for minute in minutes)


async def ends(file: Path, **options: Any) -> list[float]:
    return [stamp / MINUTE for stamp in joined(await read(replay(file, timestamp_unit="s", **options)), "ts")]


async def test_a_bar_is_one_row_with_all_its_prices(tmp_path: Path) -> None:
    file = write(tmp_path, HEADER + "60,100,103,99.5,102,10\n")
    (batch,) = await read(replay(file, timestamp_unit="s", bar_seconds=60))
    assert (batch.prices, batch.opens, batch.highs, batch.lows) == ([102.0], [100.0], [103.0], [99.5])
    assert (batch.ts, batch.volumes, batch.tokens) == ([2 * MINUTE], [10.0], [1])


async def test_a_bar_comes_at_its_end_by_the_commonest_distance(tmp_path: Path) -> None:
    assert await ends(write(tmp_path, bars(1, 2, 3, 10, 11, 12))) == [2, 3, 4, 11, 12, 13]


async def test_a_length_that_is_given_counts(tmp_path: Path) -> None:
    assert await ends(write(tmp_path, bars(10, 20)), bar_seconds=300) == [15, 25]


async def test_a_label_at_the_end_moves_nothing(tmp_path: Path) -> None:
    assert await ends(write(tmp_path, bars(10, 20)), bar_label="end") == [10, 20]
    file = write(tmp_path, bars(10, 20).replace("timestamp", "bar_end"))
    assert await ends(file) == [10, 20]
    assert await ends(file, bar_label="start") == [20, 30]


async def test_the_distance_is_that_of_one_instruments_bars(tmp_path: Path) -> None:
    rows = "".join(
        f"{60 * minute + second},{symbol},1,1,1,1\n"
        for minute in range(5)
        for second, symbol in ((0, "A"), (20, "B"))
    )
    file = write(tmp_path, "timestamp,symbol,open,high,low,close\n" + rows)
    batches = await read(replay(file, timestamp_unit="s"), instruments("A", "B"))
    assert joined(batches, "ts")[:2] == [MINUTE, MINUTE + 20 * NS]


async def test_the_length_found_in_the_first_file_counts_for_all(tmp_path: Path) -> None:
    write(tmp_path, bars(1, 2, 3), "p1.csv")
    write(tmp_path, bars(10), "p2.csv")
    source = replay(tmp_path / "p?.csv", timestamp_unit="s")
    assert [stamp // MINUTE for stamp in joined(await read(source), "ts")] == [2, 3, 4, 11]


@pytest.mark.parametrize("minutes", [(1,), (1, 1), (1, 2, 4, 7, 11)])
async def test_bars_without_a_common_distance_need_to_be_told(
    tmp_path: Path, minutes: tuple[int, ...]
) -> None:
    with pytest.raises(
        SourceError, match="how long a bar is; set barSeconds, or barLabel: end if 'timestamp'"
    ):
        await ends(write(tmp_path, bars(*minutes)))
