"""Rows of a CSV file, plain or gzipped, in chunks."""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TextIO

from alpha_panda.adapters.replay.options import ReplayOptions
from alpha_panda.adapters.replay.timestamps import StampReader, TextStamps
from alpha_panda.errors import SourceError

GZIP_MAGIC = b"\x1f\x8b"
_DELIMITERS = ",;\t|"
_LINE_BREAK = re.compile(r"\r\n|\r|\n")
_HEADER_LIMIT = 65_536


class CsvChunk:
    """Rows of text. A line number is the line on which the row begins; a quoted cell may hold line breaks."""

    def __init__(self, rows: list[list[str]], width: int, first_line: int, *, one_line_each: bool) -> None:
        self._rows = rows
        self._width = width
        self._first_line = first_line
        self._one_line_each = one_line_each
        self._columns: list[tuple[str, ...]] | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def column(self, index: int) -> Sequence[str]:
        """Return the cells of a column; ValueError when the rows differ in length."""
        if self._columns is None:
            columns = list(zip(*self._rows, strict=True))
            if len(columns) != self._width:
                raise ValueError
            self._columns = columns
        return self._columns[index]

    def row(self, number: int) -> Sequence[str] | None:
        """Return the cells of a row; None for a blank line."""
        return self._rows[number] or None

    def part(self, begin: int, end: int) -> "CsvChunk":
        """Return rows `begin` to `end` (exclusive)."""
        return CsvChunk(
            self._rows[begin:end], self._width, self._line(begin), one_line_each=self._one_line_each
        )

    def place(self, number: int) -> str:
        """Return `line N`."""
        return f"line {self._line(number)}"

    def _line(self, number: int) -> int:
        line = self._first_line + number
        if self._one_line_each:
            return line
        return line + sum(len(_LINE_BREAK.findall(cell)) for row in self._rows[:number] for cell in row)


class CsvReader:
    """An open CSV file: its header is read, its rows come by `chunks`."""

    def __init__(self, path: Path, options: ReplayOptions) -> None:
        self._path = path
        self._options = options
        self._file = _open(path)
        try:
            with self._explained():
                self._rows = csv.reader(
                    self._file, delimiter=options.delimiter or _delimiter(self._file), strict=False
                )
                header = next((row for row in self._rows if row), None)
        except SourceError:
            self._file.close()
            raise
        if header is None:
            self._file.close()
            raise SourceError(f"{path}: the file is empty; its first line must name the columns")
        self.header: Sequence[str] = header

    def stamps(self, timestamp: int, time: int | None) -> StampReader:  # noqa: ARG002 - all columns hold text
        """Return a reader of text."""
        return TextStamps(self._options.timestamp_unit, self._options.zone)

    def chunks(self, indices: Sequence[int]) -> Iterator[CsvChunk]:  # noqa: ARG002 - a row is read as a whole
        """Yield the rows."""
        while True:
            line = self._rows.line_num + 1
            with self._explained():
                rows = list(islice(self._rows, self._options.chunk_rows))
            if not rows:
                return
            one_line_each = self._rows.line_num + 1 - line == len(rows)
            yield CsvChunk(rows, len(self.header), line, one_line_each=one_line_each)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what the file's bytes can do to us into a SourceError."""
        try:
            yield
        except UnicodeDecodeError as error:
            raise SourceError(
                f"{self._path}: not a text file in UTF-8 ({error.reason}); convert it to CSV"
            ) from error
        except csv.Error as error:
            line = self._rows.line_num
            raise SourceError(f"{self._path}, near line {line}: {error}; is a quote left open?") from error
        except (EOFError, zlib.error, OSError) as error:
            raise SourceError(f"{self._path}: can't be read to its end: {error}") from error


def _open(path: Path) -> TextIO:
    """Open for reading, unpacking gzip; a byte order mark is skipped, line ends are left to the csv module."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == GZIP_MAGIC
        if packed:
            return io.TextIOWrapper(gzip.open(path, "rb"), encoding="utf-8-sig", newline="")
        return path.open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise SourceError(f"{path}: can't be opened: {error.strerror}") from error


def _delimiter(file: TextIO) -> str:
    """Return the candidate that occurs most in the first line, outside of quotes."""
    line = re.sub(r'"[^"]*"', "", file.readline(_HEADER_LIMIT))
    file.seek(0)
    return max(_DELIMITERS, key=line.count)
