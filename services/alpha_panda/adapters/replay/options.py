"""What a replay can be told."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import tzinfo
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from alpha_panda.adapters.batching import DEFAULT_MAX_DELAY_NS, DEFAULT_MAX_TICKS
from alpha_panda.adapters.pacing import DEFAULT_ALIVE_EVERY_NS, DEFAULT_MAX_LAG_NS
from alpha_panda.adapters.replay.timestamps import StampUnit
from alpha_panda.errors import SourceError


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """A replay's settings; all but `path` have the defaults that the manual gives.

    Attributes:
        path: file, pattern or `package:NAME/FILE`; relative to `base`.
        base: folder of the manifest.
        speed: on a wall clock: 1 as recorded, 10 ten times faster, 0 as fast as possible.
        strict: stop at the first bad row instead of leaving it out.
        timezone: IANA name of the zone of time stamps without an offset.
        columns: role (`timestamp`, `last_price` …) → the file's column.
        timestamp_unit: unit of numeric time stamps.
        symbol: the instrument of a file that has no column for it.
        format: of the file; `auto` looks at its first bytes.
        delimiter: of a CSV file, one character; None: found in the header line.
        bar_seconds: length of a bar; None: the commonest distance of two bars of one instrument.
        bar_label: which end of a bar its time stamp tells; None: the start, unless the column's name says `end`.
        chunk_rows: rows held in memory at once.
        batch_max_ticks, batch_max_delay_ns: when a batch is full.
        alive_every_ns: how often a replay that waits for its next row says that it lives.
        max_lag_ns: how far a late replay catches up.

    """

    path: str
    base: Path = Path()
    speed: float = 0.0
    strict: bool = False
    timezone: str = "UTC"
    columns: Mapping[str, str] = field(default_factory=dict)
    timestamp_unit: StampUnit = "auto"
    symbol: str | None = None
    format: Literal["auto", "csv", "parquet"] = "auto"
    delimiter: str | None = None
    bar_seconds: float | None = None
    bar_label: Literal["start", "end"] | None = None
    chunk_rows: int = 4096
    batch_max_ticks: int = DEFAULT_MAX_TICKS
    batch_max_delay_ns: int = DEFAULT_MAX_DELAY_NS
    alive_every_ns: int = DEFAULT_ALIVE_EVERY_NS
    max_lag_ns: int = DEFAULT_MAX_LAG_NS

    def __post_init__(self) -> None:
        if self.delimiter is not None and len(self.delimiter) != 1:
            raise SourceError(f"{self.path}: delimiter is {self.delimiter!r}; it must be one character")
        if self.bar_seconds is not None and not 0 < self.bar_seconds < math.inf:
            raise SourceError(f"{self.path}: barSeconds is {self.bar_seconds}; it must be more than 0")
        if not 0 <= self.speed < math.inf:
            raise SourceError(f"{self.path}: speed is {self.speed}; it must be 0 or more")

    @property
    def zone(self) -> tzinfo:
        """The time zone; SourceError when there is none of that name."""
        try:
            return ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise SourceError(
                f"{self.path}: timezone {self.timezone!r} is unknown; use an IANA name such as Asia/Kolkata"
            ) from None
