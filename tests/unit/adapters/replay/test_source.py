import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from alpha_panda.adapters.replay import ReplayOptions, ReplaySource
from alpha_panda.adapters.replay.columns import Kind
from alpha_panda.contracts.enums import FeedMode
from alpha_panda.errors import SourceError
from unit.adapters.source_kit import MS, NS, FakeClock, instruments, joined, read, replay, write

T = 1_704_164_645 * NS
HEADER = "timestamp,last_price\n"


def ticks(folder: Path, *offsets_ms: int, name: str = "prices.csv") -> Path:
    return write(
        folder,
        HEADER + "".join(f"{T + offset * MS},{number + 1}\n" for number, offset in enumerate(offsets_ms)),
        name,
    )


async def test_on_a_virtual_clock_rows_keep_their_times_and_drive_the_clock(tmp_path: Path) -> None:
    clock = FakeClock()
    batches = await read(replay(ticks(tmp_path, 0, 50, 51, 3_600_000), clock))
    assert [batch.ts for batch in batches] == [[T, T + 50 * MS], [T + 51 * MS], [T + 3_600 * NS]]
    assert clock.waits == [T + 50 * MS, T + 51 * MS, T + 3_600 * NS]
    assert all(batch.source_ts is None for batch in batches)


async def test_on_a_wall_clock_rows_come_at_their_pace_with_new_stamps_and_keep_the_old(
    tmp_path: Path,
) -> None:
    clock = FakeClock(virtual=False, start=2 * T)
    source = replay(ticks(tmp_path, 0, 40, 300, 700), clock, speed=2)
    seen = [(clock.time - 2 * T, batch) async for batch in source.batches(instruments())]
    assert [at for at, _ in seen] == [0, 130 * MS, 330 * MS]  # the first batch (to 40 ms) begins the replay
    assert [batch.ts for _, batch in seen] == [[2 * T] * 2, [2 * T + 130 * MS], [2 * T + 330 * MS]]
    assert [batch.source_ts for _, batch in seen] == [[T, T + 40 * MS], [T + 300 * MS], [T + 700 * MS]]


async def test_speed_0_on_a_wall_clock_is_as_fast_as_possible(tmp_path: Path) -> None:
    clock = FakeClock(virtual=False, start=5)
    batches = await read(replay(ticks(tmp_path, 0, 3_600_000), clock, speed=0))
    assert clock.time == 5
    assert joined(batches, "ts") == [5, 5]
    assert joined(batches, "source_ts") == [T, T + 3_600 * NS]


async def test_a_replay_that_waits_says_that_it_lives(tmp_path: Path) -> None:
    clock = FakeClock(virtual=False)
    batches = await read(replay(ticks(tmp_path, 0, 10_000), clock, speed=1, alive_every_ns=NS))
    assert [len(batch.ts) for batch in batches] == [1, *[0] * 9, 1]


async def test_it_is_exhausted_after_its_last_row_and_can_be_read_again(tmp_path: Path) -> None:
    source = replay(ticks(tmp_path, 0, 1_000))
    assert source.mode is FeedMode.REPLAY
    states = [source.exhausted async for _ in source.batches(instruments())]
    assert (states, source.exhausted) == ([False, False], True)
    assert len(await read(source)) == 2


async def test_several_files_are_one_replay(tmp_path: Path) -> None:
    ticks(tmp_path, 2_000, name="t-2.csv")
    ticks(tmp_path, 0, 1_000, name="t-1.csv")
    assert joined(await read(replay(tmp_path / "t-*.csv")), "ts") == [T, T + NS, T + 2 * NS]


async def test_files_of_one_replay_may_have_their_columns_in_another_order(tmp_path: Path) -> None:
    ticks(tmp_path, 0, name="t-1.csv")
    write(tmp_path, f"Price,Time\n7,{T + NS}\n", "t-2.csv")
    assert joined(await read(replay(tmp_path / "t-*.csv")), "prices") == [1.0, 7.0]


offsets = st.lists(st.integers(0, 120), min_size=1, max_size=120)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    gaps=offsets, max_ticks=st.integers(1, 30), delay_ms=st.integers(0, 300), chunk_rows=st.integers(1, 60)
)
async def test_batches_together_are_the_file(
    tmp_path: Path, gaps: list[int], max_ticks: int, delay_ms: int, chunk_rows: int
) -> None:
    stamps = [T + sum(gaps[: index + 1]) * MS for index in range(len(gaps))]
    text = "timestamp,symbol,price,qty\n" + "".join(
        f"{stamp},{'AB'[number % 2]},{number + 1},{number}\n" for number, stamp in enumerate(stamps)
    )
    batches = await read(
        replay(
            write(tmp_path, text),
            batch_max_ticks=max_ticks,
            batch_max_delay_ns=delay_ms * MS,
            chunk_rows=chunk_rows,
        ),
        instruments("A", "B"),
    )
    assert joined(batches, "ts") == stamps
    assert joined(batches, "prices") == [float(number + 1) for number in range(len(stamps))]
    assert joined(batches, "volumes") == [float(number) for number in range(len(stamps))]
    assert joined(batches, "tokens") == [1 + number % 2 for number in range(len(stamps))]
    for batch in batches:
        assert 1 <= len(batch.ts) <= max_ticks
        assert batch.ts[-1] - batch.ts[0] <= delay_ms * MS


async def test_the_mid_of_a_quote_is_its_price(tmp_path: Path) -> None:
    (batch,) = await read(replay(write(tmp_path, f"timestamp,bid,ask\n{T},1.39102,1.39116\n")))
    assert batch.prices == [pytest.approx(1.39109)]
    assert (batch.bids, batch.asks, batch.opens) == ([1.39102], [1.39116], None)


async def test_the_option_symbol_names_the_instrument_of_a_file_without_one(tmp_path: Path) -> None:
    batches = await read(replay(ticks(tmp_path, 0), symbol="B"), instruments("NSE:A", "NSE:B"))
    assert joined(batches, "tokens") == [2]


def test_a_look_beforehand_tells_what_the_file_is_and_when_it_begins(tmp_path: Path) -> None:
    file = write(tmp_path, "Date,Open,High,Low,Close\n2024-01-02,1,1,1,1\nbad,1,1,1,1\n2024-01-03,1,1,1,1\n")
    with capture_logs() as logs:
        found = replay(file, timezone="Asia/Kolkata").inspect(instruments())
    assert logs == []
    assert (found.files, found.kind) == ((file,), Kind.BARS)
    assert found.columns == {
        "timestamp": "Date",
        "open": "Open",
        "high": "High",
        "low": "Low",
        "close": "Close",
    }
    assert found.first_ts == 1_704_220_200 * NS  # the end of 2 January, 00:00 in Kolkata


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "none.csv"}, "no such file"),
        ({"timezone": "Mars/Olympus"}, "timezone 'Mars/Olympus' is unknown; use an IANA name"),
        ({"timezone": "../../etc"}, "is unknown"),
        ({"symbol": "Z"}, "symbol 'Z' is not in the feed"),
        ({"speed": -1.0}, "speed is -1.0"),
        ({"bar_seconds": 0.0}, "barSeconds is 0.0"),
        ({"columns": {"last_price": "x"}}, "column 'x', mapped to lastPrice, does not exist"),
    ],
)
def test_a_look_beforehand_finds_the_faults(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    ticks(tmp_path, 0)
    chosen: dict[str, Any] = {"path": "prices.csv", "base": tmp_path} | options
    with pytest.raises(SourceError, match=message):
        ReplaySource(ReplayOptions(**chosen), FakeClock()).inspect(instruments())


async def test_the_file_is_closed_when_the_reader_stops_early(tmp_path: Path) -> None:
    stream = replay(ticks(tmp_path, 0, 1_000)).batches(instruments())
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]  # an open file would be a ResourceWarning, which is an error


async def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    async def peak(rows: int) -> int:
        file = ticks(tmp_path, *range(rows))
        tracemalloc.start()
        async for _ in replay(file, chunk_rows=1_000).batches(instruments()):
            pass
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    small, large = await peak(3_000), await peak(30_000)
    assert large < small * 1.2


async def test_real_ticks_come_through_whole() -> None:
    source = ReplaySource(
        ReplayOptions(path="package:mlfinpy/dataset/data/dollar_bar_sample.csv", bar_label="end"), FakeClock()
    )
    batches = await read(source)
    assert (len(joined(batches, "ts")), source.bad_rows) == (1_000, 0)
    assert joined(batches, "prices")[0] == 2056.75


async def test_real_daily_bars_come_through_whole() -> None:
    source = ReplaySource(ReplayOptions(path="package:bokeh_sampledata/_data/stocks.csv.gz"), FakeClock())
    batches = await read(source, instruments("NASDAQ:AAPL"))
    assert len(joined(batches, "ts")) == 3_270
    assert joined(batches, "prices")[:2] == [130.31, 122.0]
    assert joined(batches, "ts")[0] == 951_955_200 * NS  # stamped 2000-03-01, known when that day has ended
