import builtins
import gzip
from datetime import date, time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from alpha_panda.errors import BadRowError, SourceError
from alpha_panda.ports import SourceBatch
from unit.adapters.source_kit import NS, instruments, joined, read, replay, write

T = 1_704_164_645
IST = 19_800


def store(folder: Path, name: str = "f.parquet", **columns: Any) -> Path:
    parquet.write_table(pa.table(columns), folder / name)
    return folder / name


def same_rows(left: list[SourceBatch], right: list[SourceBatch]) -> bool:
    names = ("ts", "tokens", "prices", "volumes", "bids", "asks", "opens", "highs", "lows")
    return all(joined(left, name) == joined(right, name) for name in names)


async def test_parquet_gives_what_csv_gives(tmp_path: Path) -> None:
    count = 3_000
    stamps = [T * NS + number * 7_000_001 for number in range(count)]
    symbols = ["ABZ"[number % 3] for number in range(count)]
    prices = [100 + number / 8 for number in range(count)]
    volumes = [number % 5 or None for number in range(count)]
    text = "timestamp,symbol,last_price,volume\n" + "".join(
        f"{stamp},{symbol},{price},{'' if volume is None else volume}\n"
        for stamp, symbol, price, volume in zip(stamps, symbols, prices, volumes, strict=True)
    )
    stored = store(
        tmp_path,
        timestamp=pa.array(stamps, pa.timestamp("ns", "UTC")),
        symbol=symbols,
        last_price=prices,
        volume=volumes,
    )
    listed = instruments("A", "B")
    from_csv = await read(replay(write(tmp_path, text), chunk_rows=500), listed)
    from_parquet = await read(replay(stored, chunk_rows=500), listed)
    assert len(joined(from_csv, "ts")) == 2_000
    assert from_csv == from_parquet


@pytest.mark.parametrize(
    "stamps",
    [
        pa.array([T, T + 1], pa.timestamp("s", "UTC")),
        pa.array([T * 1000, T * 1000 + 1000], pa.timestamp("ms", "Asia/Kolkata")),
        pa.array([T * 10**6, (T + 1) * 10**6], pa.timestamp("us", "UTC")),
        pa.array([T, T + 1], pa.int64()),
        pa.array([T, T + 1], pa.uint64()),
        pa.array([T, T + 1], pa.float64()),
        pa.array([T * 1000, (T + 1) * 1000], pa.int64()),
        pa.array(["2024-01-02 08:34:05", "2024-01-02 08:34:06"]),
        pa.array(["2024-01-02T03:04:05Z", "2024-01-02T03:04:06Z"]).dictionary_encode(),
        pa.array([T + IST, T + IST + 1], pa.timestamp("s")),
        pa.array([(T + IST) * NS, (T + IST + 1) * NS], pa.timestamp("ns")),
    ],
    ids=str,
)
async def test_all_types_of_time_are_read(tmp_path: Path, stamps: Any) -> None:
    file = store(tmp_path, ts=stamps, price=[1.0, 2.0])
    assert joined(await read(replay(file, timezone="Asia/Kolkata")), "ts") == [T * NS, (T + 1) * NS]


async def test_dates_and_a_date_with_a_time_are_read(tmp_path: Path) -> None:
    days, midnight = [date(2024, 1, 2)] * 2, (T - 11_045) * NS
    assert joined(await read(replay(store(tmp_path, date=days, price=[1.0, 2.0]))), "ts") == [midnight] * 2
    file = store(tmp_path, date=days, time=[time(3, 4, 5), time(3, 4, 5, 83_000)], price=[1.0, 2.0])
    assert joined(await read(replay(file)), "ts") == [T * NS, T * NS + 83_000_000]


@pytest.mark.parametrize(
    "prices",
    [
        pa.array([1.5, 2.5], pa.float32()),
        pa.array([Decimal("1.5"), Decimal("2.5")]),
        pa.array(["1.5", "2.5"]),
        pa.array([0.0, 1.5, 2.5])[1:],
    ],
    ids=str,
)
async def test_all_types_of_number_are_read(tmp_path: Path, prices: Any) -> None:
    file = store(tmp_path, ts=[T, T + 1], price=prices, qty=pa.array([1, 2], pa.uint8()))
    batches = await read(replay(file))
    assert joined(batches, "prices") == [1.5, 2.5]
    assert joined(batches, "volumes") == [1.0, 2.0]


async def test_tokens_are_numbers(tmp_path: Path) -> None:
    file = store(tmp_path, ts=[T] * 3, price=[1.0, 2.0, 3.0], instrument_token=[2, 9, 1])
    assert joined(await read(replay(file), instruments("A", "B")), "tokens") == [2, 1]


async def test_bars_and_quotes_are_read(tmp_path: Path) -> None:
    bars = store(
        tmp_path,
        "b.parquet",
        time=[T, T + 60],
        open=[1.0, 2.0],
        high=[3.0, 3.0],
        low=[1.0, 1.0],
        close=[2.0, 2.5],
    )
    batches = await read(replay(bars))
    assert joined(batches, "ts") == [(T + 60) * NS, (T + 120) * NS]
    assert (joined(batches, "prices"), joined(batches, "highs")) == ([2.0, 2.5], [3.0, 3.0])
    quotes = store(tmp_path, "q.parquet", time=[T], bid=[1.0], ask=[2.0])
    (batch,) = await read(replay(quotes))
    assert (batch.prices, batch.bids, batch.asks) == ([1.5], [1.0], [2.0])


@pytest.mark.parametrize(
    ("price", "reason"), [(None, "None is empty"), (float("nan"), "nan is not a finite number")]
)
async def test_a_bad_row_is_told_by_its_number(tmp_path: Path, price: float | None, reason: str) -> None:
    file = store(tmp_path, ts=list(range(T, T + 300)), price=[1.0] * 250 + [price] + [1.0] * 49)
    with pytest.raises(BadRowError, match=f"f.parquet, row 251, column 'price': {reason}"):
        await read(replay(file, strict=True, chunk_rows=100))
    batches = await read(replay(file))
    assert (len(joined(batches, "ts")), sum(batch.bad_rows for batch in batches)) == (299, 1)


async def test_columns_that_nobody_needs_are_not_read(tmp_path: Path) -> None:
    file = store(tmp_path, ts=[T], price=[1.0], blob=[b"x"], nested=[{"price": 5}])
    (batch,) = await read(replay(file))
    assert batch.prices == [1.0]


async def test_a_broken_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f.parquet").write_bytes(b"PAR1 and nothing more")
    with pytest.raises(SourceError, match=r"f\.parquet: not a readable Parquet file"):
        await read(replay(tmp_path / "f.parquet"))
    with pytest.raises(SourceError, match="not a readable Parquet file"):
        await read(replay(write(tmp_path, "a,b\n"), format="parquet"))


async def test_a_gzipped_parquet_file_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "f.parquet.gz").write_bytes(gzip.compress(b"PAR1"))
    with pytest.raises(SourceError, match="gzipped Parquet file; unpack it"):
        await read(replay(tmp_path / "f.parquet.gz"))


async def test_without_pyarrow_the_message_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = store(tmp_path, ts=[T], price=[1.0])
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name.startswith("pyarrow"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(
        SourceError, match=r"needs pyarrow; install it with: pip install 'alpha-panda\[parquet\]'"
    ):
        await read(replay(file))
