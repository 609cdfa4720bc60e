import gzip
from pathlib import Path
from typing import Any

import pytest

from alpha_panda.errors import SourceError
from unit.adapters.source_kit import NS, joined, read, replay, write

T = 1_704_164_645
ROWS = f"timestamp,last_price,volume\n{T},100.5,1\n{T + 1},101,2\n"


async def rows(file: Path, **options: Any) -> list[tuple[int, float, float]]:
    batches = await read(replay(file, **options))
    columns = (joined(batches, "ts"), joined(batches, "prices"), joined(batches, "volumes"))
    return list(zip(*columns, strict=True))


EXPECTED = [(T * NS, 100.5, 1.0), ((T + 1) * NS, 101.0, 2.0)]


@pytest.mark.parametrize(
    "text",
    [
        ROWS,
        ROWS.replace("\n", "\r\n"),
        ROWS.replace("\n", "\r"),
        "\ufeff" + ROWS,
        "\n\n" + ROWS,
        ROWS + "\n\n",
        ROWS.rstrip("\n"),
        ROWS.replace(",", ";"),
        ROWS.replace(",", "\t"),
        ROWS.replace(",", "|"),
        ROWS.replace(",", " , "),
        f'"timestamp","last_price","volume"\n"{T}","100.5","1"\n"{T + 1}","101","2"\n',
        f'timestamp,last_price,"volume; in lots; of 1"\n{T},100.5,1\n{T + 1},101,2\n',
    ],
)
async def test_the_dialects_of_csv_give_the_same_rows(tmp_path: Path, text: str) -> None:
    file = write(tmp_path, text)
    if "lots" in text:
        batches = await read(replay(file, columns={"volume": "volume; in lots; of 1"}))
        assert joined(batches, "volumes") == [1.0, 2.0]
    else:
        assert await rows(file) == EXPECTED


async def test_gzip_is_unpacked_whatever_the_name(tmp_path: Path) -> None:
    for name in ("prices.csv.gz", "prices.csv"):
        (tmp_path / name).write_bytes(gzip.compress(("\ufeff" + ROWS).encode()))
        assert await rows(tmp_path / name) == EXPECTED


async def test_another_delimiter_can_be_given(tmp_path: Path) -> None:
    assert await rows(write(tmp_path, ROWS.replace(",", "~")), delimiter="~") == EXPECTED


async def test_date_and_time_columns_are_read_together(tmp_path: Path) -> None:
    file = write(tmp_path, "Date,Time,Price,Volume\n2024-01-02,03:04:05,100.5,1\n2024-01-02,03:04:06,101,2\n")
    assert await rows(file) == EXPECTED


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty; its first line must name the columns"),
        (b"\n\n", "the file is empty"),
        (b"timestamp,last_price\n", "holds no usable row"),
        (b"PK\x03\x04\xff\xfe\x00\x80", "not a text file in UTF-8"),
        ("timestamp,last_price\n".encode("utf-16"), "not a text file in UTF-8"),
        (
            f'timestamp,last_price\n{T},"{"x" * 140_000}'.encode(),
            "field larger than field limit.*is a quote left open",
        ),
        (b"\x1f\x8bnot gzip at all", "can't be read to its end"),
        (f"{T},100.5\n{T + 1},101\n".encode(), "the first line looks like data"),
    ],
)
async def test_a_file_that_is_no_csv_is_refused_by_name(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "f.csv"
    file.write_bytes(content)
    with pytest.raises(SourceError, match=f"(?s)f.csv.*{message}"):
        await read(replay(file))


async def test_bytes_that_are_no_text_in_the_middle_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "f.csv"
    file.write_bytes(ROWS.encode() * 1 + f"{T + 2},1,1\n".encode() * 20_000 + b"\xff\xfe\n")
    with pytest.raises(SourceError, match="not a text file in UTF-8"):
        await read(replay(file))


def test_a_delimiter_is_one_character() -> None:
    with pytest.raises(SourceError, match="delimiter is '::'; it must be one character"):
        replay(Path("f.csv"), delimiter="::")
