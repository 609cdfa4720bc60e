"""Rows of a Parquet file in chunks, by pyarrow (the optional extra `parquet`)."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from alpha_panda.adapters.replay.options import ReplayOptions
from alpha_panda.adapters.replay.timestamps import (
    DAY,
    UNIT_NS,
    EpochStamps,
    StampReader,
    TextStamps,
    WallStamps,
)
from alpha_panda.errors import SourceError

PARQUET_MAGIC = b"PAR1"
_WIDTH = {"q": 8, "i": 4, "d": 8}


class ParquetChunk:
    """Rows of one record batch as Python lists; the columns that nobody reads are None."""

    def __init__(self, columns: dict[int, list[Any]], rows: int, width: int, first_row: int) -> None:
        self._columns = columns
        self._rows = rows
        self._width = width
        self._first_row = first_row

    def __len__(self) -> int:
        return self._rows

    def column(self, index: int) -> Sequence[Any]:
        """Return the cells of a column."""
        return self._columns[index]

    def row(self, number: int) -> Sequence[Any]:
        """Return the cells of a row."""
        return [
            self._columns[index][number] if index in self._columns else None for index in range(self._width)
        ]

    def part(self, begin: int, end: int) -> "ParquetChunk":
        """Return rows `begin` to `end` (exclusive)."""
        columns = {index: cells[begin:end] for index, cells in self._columns.items()}
        return ParquetChunk(columns, end - begin, self._width, self._first_row + begin)

    def place(self, number: int) -> str:
        """Return `row N`, counted from 1."""
        return f"row {self._first_row + number}"


class ParquetReader:
    """An open Parquet file."""

    def __init__(self, path: Path, options: ReplayOptions) -> None:
        self._path = path
        self._options = options
        self._arrow, parquet = _pyarrow(path)
        try:
            self._file = parquet.ParquetFile(path, pre_buffer=False)  # else it buffers the whole file
        except (self._arrow.ArrowException, OSError) as error:
            raise SourceError(f"{path}: not a readable Parquet file: {error}") from error
        self._schema = self._file.schema_arrow
        self._as_text: tuple[int, ...] = ()
        self.header: Sequence[str] = self._schema.names

    def stamps(self, timestamp: int, time: int | None) -> StampReader:
        """Return the reader that fits the column's type; a date and a time column are read as text."""
        kind = self._schema.field(timestamp).type
        types, zone = self._arrow.types, self._options.zone
        if time is not None:
            self._as_text = (timestamp, time)
            return TextStamps(self._options.timestamp_unit, zone)
        if types.is_timestamp(kind) and kind.tz is not None:
            return EpochStamps("ns", zone)
        if types.is_timestamp(kind) or types.is_date(kind):
            return WallStamps(zone)
        if types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
            return EpochStamps(self._options.timestamp_unit, zone)
        return TextStamps(self._options.timestamp_unit, zone)

    def chunks(self, indices: Sequence[int]) -> Iterator[ParquetChunk]:
        """Yield the rows."""
        names = [self.header[index] for index in indices]
        first = 1
        try:
            batches = self._file.iter_batches(
                batch_size=self._options.chunk_rows, columns=names, use_threads=False
            )
            for batch in batches:
                columns = {index: self._cells(index, batch.column(self.header[index])) for index in indices}
                yield ParquetChunk(columns, batch.num_rows, len(self.header), first)
                first += batch.num_rows
        except (self._arrow.ArrowException, OSError) as error:
            raise SourceError(f"{self._path}: can't be read on after row {first - 1}: {error}") from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _cells(self, index: int, column: Any) -> list[Any]:  # noqa: ANN401 - no types; a case each
        """Return a column's values: floats, integers, text; times as integer nanoseconds; None for null."""
        arrow, kind = self._arrow, column.type
        if index in self._as_text:
            return [str(value) for value in column.to_pylist()]
        if arrow.types.is_timestamp(kind):
            return _scaled(self._numbers(column.cast(arrow.int64()), "q"), UNIT_NS[kind.unit])
        if arrow.types.is_date(kind):
            return _scaled(self._numbers(column.cast(arrow.date32()).cast(arrow.int32()), "i"), DAY)
        if arrow.types.is_floating(kind) or arrow.types.is_decimal(kind):
            return self._numbers(column.cast(arrow.float64()), "d")
        if arrow.types.is_signed_integer(kind):
            return self._numbers(column.cast(arrow.int64()), "q")
        return self._words(column)

    def _words(self, column: Any) -> list[Any]:  # noqa: ANN401 - pyarrow has no types
        """Return text: each different one is made only once. Other types come as Python has them."""
        arrow = self._arrow
        if arrow.types.is_string(column.type) or arrow.types.is_large_string(column.type):
            column = column.dictionary_encode()
        if not arrow.types.is_dictionary(column.type):
            return list(column.to_pylist())
        words = column.dictionary.to_pylist()
        return [
            None if at is None else words[at] for at in self._numbers(column.indices.cast(arrow.int64()), "q")
        ]

    @staticmethod
    def _numbers(column: Any, code: Literal["q", "i", "d"]) -> list[Any]:  # noqa: ANN401 - pyarrow has no types
        """Return the values of a fixed-width column; straight from its buffer when nothing is null."""
        if column.null_count or not len(column):
            return list(column.to_pylist())
        values = (
            memoryview(column.buffers()[1])[: (column.offset + len(column)) * _WIDTH[code]]
            .cast("B")
            .cast(code)
        )
        return list(values[column.offset :])


def _scaled(values: list[int | None], factor: int) -> list[int | None]:
    if factor == 1:
        return values
    return [None if value is None else value * factor for value in values]


def _pyarrow(path: Path) -> tuple[ModuleType, ModuleType]:
    try:
        import pyarrow as pa  # noqa: PLC0415 - optional, and slow to import
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError:
        raise SourceError(
            f"{path}: reading Parquet needs pyarrow; install it with: pip install 'alpha-panda[parquet]'"
        ) from None
    return pa, parquet
