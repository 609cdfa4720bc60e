"""From a chunk of cells to a batch of rows.

A chunk is converted column by column, at the speed of C loops. Only where that fails is it halved and tried again,
and a small part that fails is read row by row, to find out which rows are bad and why.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import compress
from operator import ge, is_not
from typing import Any

from alpha_panda.adapters.replay.bad_rows import BadRows
from alpha_panda.adapters.replay.chunks import Chunk
from alpha_panda.adapters.replay.columns import Kind, Layout, Role
from alpha_panda.adapters.replay.timestamps import StampReader
from alpha_panda.adapters.replay.tokens import Tokens
from alpha_panda.ports import SourceBatch

_STAMP_LIMIT = 2**63
_SMALL = 64
_Columns = dict[Role, list[Any]]


class _BadCellError(Exception):
    """A cell that makes its row unusable. Never leaves this module."""

    def __init__(self, column: int, value: object, problem: str) -> None:
        self.column, self.value, self.problem = column, value, problem


class Converter:
    """Converts the chunks of one file. `last_ts` carries the time order over from chunk to chunk."""

    def __init__(
        self, layout: Layout, tokens: Tokens | int, stamps: StampReader, bad_rows: BadRows, last_ts: int
    ) -> None:
        self._layout = layout
        self._tokens = tokens
        self._stamps = stamps
        self._bad_rows = bad_rows
        self._optional = {Role.VOLUME} | ({Role.BID, Role.ASK} if layout.kind is Kind.TICKS else set())
        self.last_ts = last_ts
        self.skipped = 0

    def convert(self, chunk: Chunk) -> Iterator[SourceBatch]:
        """Yield the usable rows of the feed's instruments, never none; bad ones go to the `BadRows`."""
        try:
            batch, skipped = self._by_column(chunk)
        except (ValueError, TypeError, ArithmeticError):
            if len(chunk) > _SMALL:
                middle = len(chunk) // 2
                yield from self.convert(chunk.part(0, middle))
                yield from self.convert(chunk.part(middle, len(chunk)))
                return
            batch, skipped = self._by_row(chunk)
        self.skipped += skipped
        if batch.ts:
            self.last_ts = batch.ts[-1]
            yield batch

    # ------------------------------------------------------------------------------------------- all at once

    def _by_column(self, chunk: Chunk) -> tuple[SourceBatch, int]:
        chunk.column(self._layout.timestamp)  # are all rows as long as the header?
        tokens, wanted = self._token_column(chunk)
        skipped = len(chunk) - len(tokens)
        if not tokens:
            return SourceBatch((), (), ()), skipped

        def cells(index: int) -> Sequence[Any]:
            column = chunk.column(index)
            return column if wanted is None else list(compress(column, wanted))

        ts = self._stamps.many(self._stamp_cells(cells))
        if ts[0] < self.last_ts or ts[-1] >= _STAMP_LIMIT or ts[0] <= -_STAMP_LIMIT or ts != sorted(ts):
            raise ValueError
        numbers: _Columns = {
            role: self._number_column(role, cells(index)) for role, index in self._layout.numbers
        }
        if Role.HIGH in numbers and not all(map(ge, numbers[Role.HIGH], numbers[Role.LOW])):
            raise ValueError
        return _batch(self._layout.kind, tokens, ts, numbers), skipped

    def _token_column(self, chunk: Chunk) -> tuple[list[int], list[bool] | None]:
        """Return the tokens of the feed's rows, and which rows these are (None: all)."""
        if isinstance(self._tokens, int):
            return [self._tokens] * len(chunk), None
        found = list(map(self._tokens.__getitem__, chunk.column(self._name_column)))
        if None not in found:
            return found, None  # type: ignore[return-value]  # no None in it
        wanted = list(map(is_not, found, [None] * len(found)))
        return [token for token in found if token is not None], wanted

    @property
    def _name_column(self) -> int:
        index = self._layout.token if self._layout.token is not None else self._layout.symbol
        return index if index is not None else 0

    def _stamp_cells(self, cells: Callable[[int], Sequence[Any]]) -> Sequence[Any]:
        stamps = cells(self._layout.timestamp)
        if self._layout.time is None:
            return stamps
        return [f"{day}T{time}" for day, time in zip(stamps, cells(self._layout.time), strict=True)]

    def _number_column(self, role: Role, cells: Sequence[Any]) -> list[Any]:
        if role in self._optional:
            numbers = [float(cell) if cell not in ("", None) else 0.0 for cell in cells]
        else:
            numbers = list(map(float, cells))
        lowest = min(numbers)
        if not math.isfinite(sum(numbers)) or lowest < 0 or (lowest == 0 and role not in self._optional):
            raise ValueError
        if isinstance(cells[0], str) and "_" in "".join(cells):
            raise ValueError
        return [number or None for number in numbers] if role in (Role.BID, Role.ASK) else numbers

    # -------------------------------------------------------------------------------------------- row by row

    def _by_row(self, chunk: Chunk) -> tuple[SourceBatch, int]:
        tokens: list[int] = []
        ts: list[int] = []
        numbers: _Columns = {role: [] for role, _ in self._layout.numbers}
        skipped, last = 0, self.last_ts
        for number in range(len(chunk)):
            cells = chunk.row(number)
            if cells is None:
                continue
            try:
                token = self._token(cells)
                if token is None:
                    skipped += 1
                    continue
                last, row = self._row(cells, last)
            except _BadCellError as bad:
                self._report(chunk.place(number), bad)
                continue
            tokens.append(token)
            ts.append(last)
            for role, value in row.items():
                numbers[role].append(value)
        return _batch(self._layout.kind, tokens, ts, numbers), skipped

    def _report(self, place: str, bad: _BadCellError) -> None:
        name = self._layout.header[bad.column]
        self._bad_rows.add(f"{self._layout.file}, {place}", name, bad.value, bad.problem)

    def _token(self, cells: Sequence[Any]) -> int | None:
        width = len(self._layout.header)
        if len(cells) != width:
            raise _BadCellError(
                min(len(cells), width) - 1, list(cells)[-1], f"ends a row of {len(cells)} cells, not {width}"
            )
        return self._tokens if isinstance(self._tokens, int) else self._tokens[cells[self._name_column]]

    def _row(self, cells: Sequence[Any], last: int) -> tuple[int, dict[Role, float | None]]:
        stamp = self._stamp(cells)
        if stamp < last:
            value = cells[self._layout.timestamp]
            raise _BadCellError(
                self._layout.timestamp, value, "is earlier than the row before; rows must be sorted by time"
            )
        row = {role: self._number(role, index, cells[index]) for role, index in self._layout.numbers}
        high, low = row.get(Role.HIGH), row.get(Role.LOW)
        if high is not None and low is not None and high < low:
            raise _BadCellError(dict(self._layout.numbers)[Role.HIGH], high, f"is a high below the low {low}")
        return stamp, row

    def _stamp(self, cells: Sequence[Any]) -> int:
        value = self._stamp_cells(lambda index: [cells[index]])[0]
        try:
            stamp = self._stamps.one(value)
        except (ValueError, TypeError, ArithmeticError) as error:
            raise _BadCellError(self._layout.timestamp, value, str(error)) from None
        if not -_STAMP_LIMIT < stamp < _STAMP_LIMIT:
            raise _BadCellError(self._layout.timestamp, value, "is outside of the years 1678 to 2261")
        return stamp

    def _number(self, role: Role, index: int, value: Any) -> float | None:  # noqa: ANN401 - a file's cell
        optional = role in self._optional
        if value is None or (isinstance(value, str) and not value.strip()):
            if optional:
                return 0.0 if role is Role.VOLUME else None
            raise _BadCellError(index, value, "is empty")
        try:
            number = math.nan if isinstance(value, str) and "_" in value else float(value)
        except (ValueError, TypeError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            raise _BadCellError(index, value, "is not a finite number")
        if number < 0 or (number == 0 and not optional):
            raise _BadCellError(index, value, "is negative" if optional else "is not a positive price")
        return (number or None) if optional and role is not Role.VOLUME else number


def _batch(kind: Kind, tokens: list[int], ts: list[int], numbers: _Columns) -> SourceBatch:
    """Put columns together; the price of a quote is the middle of bid and ask, that of a bar its close."""
    if kind is Kind.QUOTES:
        prices = [(bid + ask) / 2 for bid, ask in zip(numbers[Role.BID], numbers[Role.ASK], strict=True)]
    else:
        prices = numbers[Role.CLOSE if kind is Kind.BARS else Role.LAST_PRICE]
    return SourceBatch(
        tokens=tokens,
        prices=prices,
        ts=ts,
        volumes=numbers.get(Role.VOLUME),
        bids=numbers.get(Role.BID),
        asks=numbers.get(Role.ASK),
        opens=numbers.get(Role.OPEN),
        highs=numbers.get(Role.HIGH),
        lows=numbers.get(Role.LOW),
    )
