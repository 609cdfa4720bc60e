"""A market source that reads recorded prices from files."""

from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from alpha_panda.adapters.batching import cut, spans
from alpha_panda.adapters.pacing import Pacer
from alpha_panda.adapters.replay.bad_rows import BadRows
from alpha_panda.adapters.replay.bars import BarClock
from alpha_panda.adapters.replay.chunks import RowReader
from alpha_panda.adapters.replay.columns import Kind, Layout, find_columns
from alpha_panda.adapters.replay.convert import Converter
from alpha_panda.adapters.replay.csv_rows import GZIP_MAGIC, CsvReader
from alpha_panda.adapters.replay.options import ReplayOptions
from alpha_panda.adapters.replay.parquet_rows import PARQUET_MAGIC, ParquetReader
from alpha_panda.adapters.replay.paths import find_files
from alpha_panda.adapters.replay.tokens import Tokens, only_token
from alpha_panda.contracts.enums import FeedMode
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.errors import SourceError
from alpha_panda.ports import Clock, SourceBatch

_BEFORE_ALL = -(2**63)


@dataclass(frozen=True, slots=True)
class Inspection:
    """What the first rows of a replay show: the files, what a row is, and when the first row becomes known."""

    files: tuple[Path, ...]
    kind: Kind
    columns: dict[str, str]
    first_ts: int


class ReplaySource:
    """Replays CSV and Parquet files; see the manual page on market data.

    On a virtual clock the rows drive the time and keep their own. On a wall clock they come at `speed` times the
    recorded pace; `ts` is then the clock's, and `source_ts` keeps the file's.
    """

    mode = FeedMode.REPLAY

    def __init__(self, options: ReplayOptions, clock: Clock) -> None:
        self._options = options
        self._clock = clock
        self._exhausted = False
        self._reading: _Reading | None = None

    @property
    def exhausted(self) -> bool:
        """Whether the last row has been given out."""
        return self._exhausted

    @property
    def bad_rows(self) -> int:
        """Rows left out so far because they could not be used."""
        return self._reading.bad_rows.total if self._reading else 0

    @property
    def skipped_rows(self) -> int:
        """Rows left out so far because their instrument is not in the feed."""
        return self._reading.skipped if self._reading else 0

    def inspect(self, instruments: Sequence[Instrument]) -> Inspection:
        """Read the beginning of the files: to find faults before anything starts, and the first row's time.

        Raises:
            SourceError: as `batches` would.

        """
        reading = _Reading(self._options, instruments, BadRows(strict=self._options.strict, quiet=True))
        with closing(reading.parts()) as parts:
            first = next(parts)
        layout = reading.layout
        columns = {role.value: layout.header[index] for role, index in layout.numbers}
        columns["timestamp"] = layout.header[layout.timestamp]
        return Inspection(tuple(reading.files), layout.kind, columns, first.ts[0])

    async def batches(self, instruments: Sequence[Instrument]) -> AsyncIterator[SourceBatch]:
        """Yield the rows of the feed's instruments in time order, each batch when its last row is due.

        Raises:
            SourceError: a file is missing, unreadable, of unknown shape, or holds no row for the feed.
            BadRowError: a row can't be used, and the replay is strict.

        """
        options = self._options
        pacer = Pacer(
            self._clock, options.speed, alive_every_ns=options.alive_every_ns, max_lag_ns=options.max_lag_ns
        )
        self._exhausted = False
        self._reading = reading = _Reading(options, instruments, BadRows(strict=options.strict))
        with closing(reading.parts()) as parts:
            for part in parts:
                for begin, end in spans(part.ts, options.batch_max_ticks, options.batch_max_delay_ns):
                    while not await pacer.step(part.ts[end - 1]):
                        yield SourceBatch((), (), ())
                    yield self._batch(cut(part, begin, end), pacer.restamps)
        self._exhausted = True
        if rest := reading.bad_rows.take():
            yield SourceBatch((), (), (), bad_rows=rest)

    def _batch(self, batch: SourceBatch, restamp: bool) -> SourceBatch:
        if self._reading:
            batch.bad_rows = self._reading.bad_rows.take()
        if restamp:
            batch.source_ts, batch.ts = batch.ts, [self._clock.now()] * len(batch.ts)
        return batch


class _Reading:
    """One pass over the files."""

    def __init__(self, options: ReplayOptions, instruments: Sequence[Instrument], bad_rows: BadRows) -> None:
        self._options = options
        self._instruments = instruments
        self._last_ts = _BEFORE_ALL
        self._known_ts = _BEFORE_ALL
        self._bar_ns = 0
        self._strangers: list[str] = []
        self.files = find_files(options.path, options.base)
        self.bad_rows = bad_rows
        self.layout: Layout
        self.used = 0
        self._skipped = 0
        self._converter: Converter | None = None

    @property
    def skipped(self) -> int:
        """Rows so far whose instrument is not in the feed."""
        return self._skipped + (self._converter.skipped if self._converter else 0)

    def parts(self) -> Generator[SourceBatch]:
        """Yield the usable rows, a chunk at a time, stamped with the moment when each becomes known.

        Never yields an empty part; raises SourceError at the end when there was none.
        """
        for file in self.files:
            with _opened(file, self._options) as reader:
                yield from self._file_parts(file, reader)
        self.bad_rows.summarise(self.used, self.skipped)
        if not self.used:
            raise SourceError(self._nothing())

    def _file_parts(self, file: Path, reader: RowReader) -> Iterator[SourceBatch]:
        self.layout = layout = find_columns(str(file), reader.header, self._options.columns)
        tokens = self._tokens(layout)
        self._converter = converter = Converter(
            layout, tokens, reader.stamps(layout.timestamp, layout.time), self.bad_rows, self._last_ts
        )
        symbols = {item.token: item.symbol for item in self._instruments}
        bars = BarClock(layout, self._options, symbols, self._bar_ns)
        for chunk in reader.chunks(layout.indices):
            for part in converter.convert(chunk):
                self.used += len(part.ts)
                self._last_ts = converter.last_ts
                yield self._at_end(part, bars)
        self._skipped, self._converter = self.skipped, None
        if isinstance(tokens, Tokens):
            self._strangers.extend(tokens.strangers)

    def _tokens(self, layout: Layout) -> Tokens | int:
        only = only_token(layout, self._instruments, self._options.symbol)
        if only is not None and layout.symbol is None and layout.token is None:
            return only
        return Tokens(layout, self._instruments, only)

    def _at_end(self, part: SourceBatch, bars: BarClock) -> SourceBatch:
        """Stamp the rows with the moments when they become known, which must not go back from file to file."""
        if shift := bars.shift(part.ts, part.tokens):
            self._bar_ns = shift
            part.ts = [stamp + shift for stamp in part.ts]
        if part.ts[0] < self._known_ts:
            raise SourceError(
                f"{self.layout.file}: its first bar ends before the last bar of the file before it; files of bars of "
                "different lengths must not overlap in time: give each length a feed of its own"
            )
        self._known_ts = part.ts[-1]
        return part

    def _nothing(self) -> str:
        message = f"{self._options.path}: holds no usable row for this feed"
        if self._strangers:
            known = ", ".join(item.symbol for item in self._instruments[:5])
            message += f"; its instruments are {', '.join(self._strangers[:5])} …, the feed's are {known}; set `symbol`"
        if self.bad_rows.total:
            message += f"; {self.bad_rows.total} rows are bad, the first: {self.bad_rows.first}"
        return message


@contextmanager
def _opened(file: Path, options: ReplayOptions) -> Iterator[RowReader]:
    reader: RowReader = (
        ParquetReader(file, options) if _is_parquet(file, options) else CsvReader(file, options)
    )
    with closing(reader):
        yield reader


def _is_parquet(file: Path, options: ReplayOptions) -> bool:
    if options.format != "auto":
        return options.format == "parquet"
    try:
        with file.open("rb") as content:
            magic = content.read(4)
    except OSError as error:
        raise SourceError(f"{file}: can't be opened: {error.strerror}") from error
    if magic[:2] == GZIP_MAGIC and ".parquet" in file.name.lower():
        raise SourceError(f"{file}: a gzipped Parquet file; unpack it (Parquet compresses by itself)")
    return magic == PARQUET_MAGIC
