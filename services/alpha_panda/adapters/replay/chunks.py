"""What the file readers hand to the converter."""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from alpha_panda.adapters.replay.timestamps import StampReader


class Chunk(Protocol):
    """Some thousands of rows that follow one another in a file."""

    def __len__(self) -> int:
        """Return the count of rows, blank lines included."""

    def column(self, index: int) -> Sequence[Any]:
        """Return the cells of a column; ValueError when the rows differ in length (blank lines do)."""

    def row(self, number: int) -> Sequence[Any] | None:
        """Return the cells of a row: as many as the header has, or other when it is ragged. None: a blank line."""

    def part(self, begin: int, end: int) -> "Chunk":
        """Return rows `begin` to `end` (exclusive)."""

    def place(self, number: int) -> str:
        """Return where the row is, for a person: `line 17`."""


class RowReader(Protocol):
    """An open file."""

    @property
    def header(self) -> Sequence[str]:
        """The names of the columns."""

    def stamps(self, timestamp: int, time: int | None) -> StampReader:
        """Return the reader for the time stamps in a column, or in a date and a time column together."""

    def chunks(self, indices: Sequence[int]) -> Iterator[Chunk]:
        """Yield the rows; only the columns `indices` need to be there."""

    def close(self) -> None:
        """Close the file."""
