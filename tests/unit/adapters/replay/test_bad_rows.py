import gzip
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from alpha_panda.adapters.replay.bad_rows import BadRows
from alpha_panda.errors import BadRowError, SourceError
from unit.adapters.source_kit import NS, instruments, joined, read, replay, write

HEADER = "timestamp,symbol,last_price,volume\n"
GOOD = "1704164645,A,100,1\n"


async def told(file: Path, **options: Any) -> tuple[list[str], int, int]:
    """Return what was logged about single rows, the bad rows counted, and the rows that came through."""
    with capture_logs() as logs:
        batches = await read(replay(file, **options))
    reasons = [
        str(entry["reason"]).removeprefix(f"{file}, ") for entry in logs if entry["event"] == "row left out"
    ]
    return reasons, sum(batch.bad_rows for batch in batches), len(joined(batches, "ts"))


CASES = {
    "1704164646,A,x,1": "line 3, column 'last_price': 'x' is not a finite number",
    "1704164646,A,nan,1": "line 3, column 'last_price': 'nan' is not a finite number",
    "1704164646,A,inf,1": "line 3, column 'last_price': 'inf' is not a finite number",
    "1704164646,A,1_0,1": "line 3, column 'last_price': '1_0' is not a finite number",
    "1704164646,A,0,1": "line 3, column 'last_price': '0' is not a positive price",
    "1704164646,A,-5,1": "line 3, column 'last_price': '-5' is not a positive price",
    "1704164646,A,,1": "line 3, column 'last_price': '' is empty",
    "1704164646,A,5,-1": "line 3, column 'volume': '-1' is negative",
    "1704164646,A,5,many": "line 3, column 'volume': 'many' is not a finite number",
    ",A,5,1": "line 3, column 'timestamp': '' is empty",
    "noon,A,5,1": "line 3, column 'timestamp': 'noon' is not a time this release can read",
    "1704164644,A,5,1": "line 3, column 'timestamp': '1704164644' is earlier than the row before; rows must be sorted by time",
    "9704164644000,A,5,1": "line 3, column 'timestamp': '9704164644000' looks like ms, the file's first stamp like s; set timestampUnit",
    "99999999999,A,5,1": "line 3, column 'timestamp': '99999999999' is outside of the years 1678 to 2261",
    "1704164646,A,5": "line 3, column 'last_price': '5' ends a row of 3 cells, not 4",
    "1704164646,A,1,640.25,1": "line 3, column 'volume': '1' ends a row of 5 cells, not 4",
    "1704164646": "line 3, column 'timestamp': '1704164646' ends a row of 1 cells, not 4",
}


@pytest.mark.parametrize(("row", "reason"), CASES.items())
async def test_a_bad_row_is_told_with_line_column_value_and_reason_and_left_out(
    tmp_path: Path, row: str, reason: str
) -> None:
    file = write(tmp_path, HEADER + GOOD + row + "\n1704164650,A,101,2\n")
    assert await told(file) == ([reason], 1, 2)


@pytest.mark.parametrize(("row", "reason"), CASES.items())
async def test_a_strict_replay_stops_at_it(tmp_path: Path, row: str, reason: str) -> None:
    file = write(tmp_path, HEADER + GOOD + row + "\n")
    with pytest.raises(BadRowError) as caught:
        await read(replay(file, strict=True))
    assert str(caught.value) == f"{file}, {reason}; correct the row, or leave bad rows out with strict: false"


@pytest.mark.parametrize(
    "row", ["1704164645,A,5,1", "1704164646,A,5,", "1704164646,A, 5 ,1", "", "1704164646,Z,x,x"]
)
async def test_equal_times_empty_volumes_blanks_and_rows_of_others_are_fine(tmp_path: Path, row: str) -> None:
    file = write(tmp_path, HEADER + GOOD + row + "\n1704164650,A,101,2\n")
    reasons, bad, _ = await told(file, strict=True)
    assert (reasons, bad) == ([], 0)


async def test_an_empty_volume_is_nothing_traded(tmp_path: Path) -> None:
    file = write(tmp_path, HEADER + "1704164645,A,100,\n1704164646,A,100,7\n")
    assert joined(await read(replay(file)), "volumes") == [0.0, 7.0]


async def test_line_numbers_are_right_behind_quoted_line_breaks_blank_lines_and_all_line_ends(
    tmp_path: Path,
) -> None:
    text = 'note,timestamp,last_price\n"two\nlines",1704164645,1\n\n"three\n\nlines",1704164646,bad\nx,1704164647,1\r\ny,1704164648,\r\nz,1704164649,2\n'
    reasons, bad, rows = await told(write(tmp_path, text))
    assert reasons == [
        "line 5, column 'last_price': 'bad' is not a finite number",
        "line 9, column 'last_price': '' is empty",
    ]
    assert (bad, rows) == (2, 3)


@pytest.mark.parametrize("chunk_rows", [1, 7, 100, 4096])
async def test_line_numbers_and_counts_do_not_depend_on_chunks(tmp_path: Path, chunk_rows: int) -> None:
    lines = [
        f"{1704164645 + number},A,{'bad' if number % 97 == 5 else 100 + number},1" for number in range(1_000)
    ]
    reasons, bad, rows = await told(write(tmp_path, HEADER + "\n".join(lines)), chunk_rows=chunk_rows)
    assert [int(reason.split(",")[0].removeprefix("line ")) for reason in reasons] == list(
        range(7, 1_000, 97)
    )
    assert (bad, rows) == (11, 989)


async def test_the_line_is_exact_in_a_large_chunk_with_multi_line_cells(tmp_path: Path) -> None:
    rows = [f'{1704164645 + number},A,{"x" if number == 700 else 1},1,"a\nb"\n' for number in range(1_000)]
    reasons, _, _ = await told(write(tmp_path, HEADER.replace("\n", ",note\n") + "".join(rows)))
    assert reasons == ["line 1402, column 'last_price': 'x' is not a finite number"]  # 2 + 2 * 700


async def test_after_twenty_only_the_summary_speaks(tmp_path: Path) -> None:
    file = write(tmp_path, HEADER + GOOD + "x,A,1,1\n" * 50)
    with capture_logs() as logs:
        batches = await read(replay(file))
    assert [entry["event"] for entry in logs] == ["row left out"] * 20 + ["rows left out"]
    assert {key: logs[-1][key] for key in ("bad", "used", "shown")} == {"bad": 50, "used": 1, "shown": 20}
    assert sum(batch.bad_rows for batch in batches) == 50


async def test_bad_rows_behind_the_last_good_one_are_counted_too(tmp_path: Path) -> None:
    source = replay(write(tmp_path, HEADER + GOOD * 3 + "x,A,1,1\n" * 2), chunk_rows=3)
    batches = await read(source)
    assert [(len(batch.ts), batch.bad_rows) for batch in batches] == [(3, 0), (0, 2)]
    assert source.bad_rows == 2


async def test_rows_of_other_instruments_are_skipped_and_counted(tmp_path: Path) -> None:
    source = replay(write(tmp_path, HEADER + GOOD + "1,Z,1,1\n" * 5 + GOOD))
    with capture_logs() as logs:
        batches = await read(source)
    assert joined(batches, "prices") == [100.0, 100.0]
    assert (source.skipped_rows, source.bad_rows) == (5, 0)
    assert logs == [
        {"event": "rows of other instruments skipped", "skipped": 5, "used": 2, "log_level": "info"}
    ]


async def test_time_order_holds_across_files(tmp_path: Path) -> None:
    write(tmp_path, HEADER + "1704164650,A,1,1\n", "a1.csv")
    second = write(tmp_path, HEADER + "1704164649,A,2,1\n1704164651,A,3,1\n", "a2.csv")
    with capture_logs() as logs:
        batches = await read(replay(tmp_path / "a*.csv"))
    assert joined(batches, "prices") == [1.0, 3.0]
    assert str(logs[0]["reason"]).startswith(f"{second}, line 2, column 'timestamp': '1704164649' is earlier")


async def test_a_bar_whose_high_is_below_its_low_is_bad(tmp_path: Path) -> None:
    file = write(tmp_path, "bar_end,open,high,low,close\n1704164645,1,2,1,1\n1704164646,1,1,2,1\n")
    assert await told(file) == (["line 3, column 'high': 1.0 is a high below the low 2.0"], 1, 1)


async def test_a_quote_needs_both_sides_but_a_trade_does_not(tmp_path: Path) -> None:
    quotes = write(tmp_path, "ts,bid,ask\n1704164645,1,\n1704164646,1,2\n")
    assert await told(quotes) == (["line 2, column 'ask': '' is empty"], 1, 1)
    trades = write(tmp_path, "ts,price,bid,ask\n1704164645,5,,6\n1704164646,5,4,0\n1704164647,5,-4,6\n")
    assert await told(trades) == (["line 4, column 'bid': '-4' is negative"], 1, 2)
    (batch,) = [batch for batch in await read(replay(trades, batch_max_delay_ns=9 * NS)) if batch.ts]
    assert (batch.bids, batch.asks) == ([None, 4.0], [6.0, None])


async def test_rows_that_are_all_too_long_are_all_bad(tmp_path: Path) -> None:
    file = write(tmp_path, "timestamp,price\n" + "".join(f"{1704164645 + n},1,640.25\n" for n in range(3)))
    with pytest.raises(SourceError, match=r"3 rows are bad, the first: .* ends a row of 3 cells, not 2"):
        await read(replay(file))


async def test_a_zero_bid_beside_a_price_is_none(tmp_path: Path) -> None:
    (batch,) = await read(replay(write(tmp_path, "ts,price,bid,ask\n1704164645,5,0,6\n")))
    assert (batch.bids, batch.asks) == ([None], [6.0])


async def test_a_file_of_bad_rows_only_is_an_error_that_shows_the_first(tmp_path: Path) -> None:
    with pytest.raises(
        SourceError,
        match=r"no usable row for this feed; 2 rows are bad, the first: .*line 2, column 'timestamp': 'x'",
    ):
        await read(replay(write(tmp_path, HEADER + "x,A,1,1\n" * 2)))


async def test_a_file_of_strangers_only_is_an_error_that_names_them(tmp_path: Path) -> None:
    with pytest.raises(
        SourceError, match="its instruments are Y, Z …, the feed's are NSE:A, NSE:B; set `symbol`"
    ):
        await read(replay(write(tmp_path, HEADER + "1,Y,1,1\n1,Z,1,1\n")), instruments("NSE:A", "NSE:B"))


async def test_a_truncated_gzip_file_is_an_error_and_not_an_end(tmp_path: Path) -> None:
    file = tmp_path / "a.csv.gz"
    file.write_bytes(gzip.compress((HEADER + GOOD * 5_000).encode())[:-20])
    with pytest.raises(SourceError, match=r"a\.csv\.gz: can't be read to its end"):
        await read(replay(file))


def test_a_quiet_look_counts_but_does_not_log() -> None:
    rows = BadRows(strict=False, quiet=True)
    with capture_logs() as logs:
        rows.add("f.csv, line 2", "price", "x", "is not a number")
        rows.summarise(5, 5)
    assert logs == []
    assert (rows.take(), rows.take(), rows.total) == (1, 0, 1)
