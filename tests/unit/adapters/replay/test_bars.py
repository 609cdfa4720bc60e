from pathlib import Path
from typing import Any

import pytest

from alpha_panda.adapters.replay import ReplaySource
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


async def test_a_file_of_one_bar_has_the_length_of_the_file_before(tmp_path: Path) -> None:
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


# ------------------------------------------------------------------------------- no bar is known before its end


def of(symbol: str, *minutes: int) -> list[tuple[int, str]]:
    return [(minute, symbol) for minute in minutes]


def mixed(*rows: tuple[int, str]) -> str:
    lines = (f"{60 * minute},{symbol},1,1,1,1\n" for minute, symbol in sorted(rows))
    return "timestamp,symbol,open,high,low,close\n" + "".join(lines)


async def known(source: ReplaySource) -> list[float]:
    return [stamp / MINUTE for stamp in joined(await read(source, instruments("A", "B")), "ts")]


async def test_each_file_has_its_own_length(tmp_path: Path) -> None:
    write(tmp_path, bars(1, 2, 3), "p1.csv")
    write(tmp_path, bars(60, 120), "p2.csv")
    assert await ends(tmp_path / "p?.csv") == [2, 3, 4, 120, 180]


async def test_files_whose_bars_end_in_the_wrong_order_are_refused(tmp_path: Path) -> None:
    write(tmp_path, bars(0, 60, 120), "p1.csv")
    write(tmp_path, bars(121, 122), "p2.csv")
    with pytest.raises(
        SourceError, match=r"p2.csv: its first bar ends before the last bar of the file before"
    ):
        await ends(tmp_path / "p?.csv")


async def test_instruments_with_bars_of_different_lengths_are_refused(tmp_path: Path) -> None:
    file = write(tmp_path, mixed(*of("A", 0, 5, 10), *of("B", *range(12))))
    with pytest.raises(
        SourceError, match=r"prices.csv: the bars of A are 300 s apart, those of B 60 s; set barSeconds"
    ):
        await known(replay(file, timestamp_unit="s"))
    with pytest.raises(SourceError, match="the bars of A are 300 s apart"):
        replay(file, timestamp_unit="s").inspect(instruments("A", "B"))
    assert len(await known(replay(file, timestamp_unit="s", bar_seconds=300))) == 15


@pytest.mark.parametrize("chunk_rows", [4, 6])
async def test_a_length_that_shows_late_is_refused_too(tmp_path: Path, chunk_rows: int) -> None:
    """The first rows hold one bar of A, which tells nothing."""
    file = write(tmp_path, mixed(*of("B", *range(20)), *of("A", 3, 8, 13)))
    with pytest.raises(SourceError, match=r"the bars of A are 300 s apart, the others 60 s"):
        await known(replay(file, timestamp_unit="s", chunk_rows=chunk_rows))


@pytest.mark.parametrize("minutes", [(0, 1, 7, 9), (0, 2, 5, 11), (4,), (2, 2)])
async def test_an_instrument_that_trades_seldom_has_the_others_length(
    tmp_path: Path, minutes: tuple[int, ...]
) -> None:
    file = write(tmp_path, mixed(*of("B", *range(12)), *of("A", *minutes)))
    assert max(await known(replay(file, timestamp_unit="s"))) == 12


async def test_nights_and_weekends_do_not_make_bars_longer(tmp_path: Path) -> None:
    week = [day * 1440 for day in (0, 3, 4, 5, 8)]
    file = write(tmp_path, mixed(*of("A", *week), *of("B", *week[1:])))
    assert (await known(replay(file, timestamp_unit="s")))[-1] == 9 * 1440
