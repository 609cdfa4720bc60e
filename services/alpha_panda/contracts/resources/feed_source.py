"""Where a feed's prices come from: a simulation, a file, or a broker."""

from collections.abc import Iterator
from typing import Annotated, Final, Literal

from pydantic import Field

from alpha_panda.contracts.enums import FeedMode
from alpha_panda.contracts.resources.common import ManifestModel, RuledModel
from alpha_panda.contracts.resources.fields import Flag, Number, ObjectName, Seed, Symbol
from alpha_panda.contracts.resources.rules import Finding, at_most_one, exactly_one
from alpha_panda.contracts.resources.zerodha import ZerodhaSource

SOURCES: Final = ("simulated", "replay", "zerodha")
"""The sources a feed can have: exactly one is given."""
REPLAY_VOLUMES: Final = ("config_map", "volume_claim")
"""Where the files of a replay come from in a cluster: at most one is given."""
DATA_DIRECTORY: Final = "/etc/alpha-panda/data"
"""Where a feed's pod finds them, read-only; a relative path begins there, as it does at the manifest elsewhere."""

Speed = Annotated[Number, Field(ge=0, le=1_000_000)]
ColumnName = Annotated[str, Field(min_length=1, max_length=128)]


class SimulatedSource(ManifestModel):
    """Prices made by a seeded random walk: each instrument starts at its `referencePrice`."""

    seed: Seed = Field(0, description="The same seed gives the same prices. `run --seed` overrides it.")
    ticks_per_second: Annotated[Number, Field(gt=0, le=1_000_000)] = Field(
        10.0, description="Ticks in a second of feed time, over all instruments together."
    )
    volatility: Annotated[Number, Field(ge=0, le=10)] = Field(
        0.3, description="Annualised standard deviation of returns; 0.3 is 30 %."
    )
    drift: Annotated[Number, Field(ge=-10, le=10)] = Field(
        0.0, description="Annualised mean return; 0.05 is 5 %."
    )
    correlation: Annotated[Number, Field(ge=0, le=1)] = Field(
        0.3, description="Correlation of any two instruments' moves; 0: none, 1: all move as one."
    )
    time_scale: Annotated[Number, Field(gt=0, le=86_400)] = Field(
        120.0,
        description="Market seconds that pass in a second of feed time: above 1 a demo sees in a minute what a market "
        "does in an hour. It changes how far prices move, not how many ticks there are.",
    )
    speed: Speed = Field(
        1.0,
        description="1: as fast as the wall clock; 10: ten times faster; 0: as fast as possible, virtual clock.",
    )


class ReplayColumns(ManifestModel):
    """Names of a file's columns where they can't be detected."""

    timestamp: ColumnName | None = Field(None, description="Column of the time of the trade, quote or bar.")
    symbol: ColumnName | None = Field(None, description="Column of the instrument's symbol.")
    token: ColumnName | None = Field(None, description="Column of the instrument's token.")
    last_price: ColumnName | None = Field(None, description="Column of the price traded.")
    time: ColumnName | None = Field(
        None, description="Column of the time of day, where the date is in another."
    )
    volume: ColumnName | None = Field(None, description="Column of the quantity traded.")
    bid: ColumnName | None = Field(None, description="Column of the best bid.")
    ask: ColumnName | None = Field(None, description="Column of the best ask.")
    open: ColumnName | None = Field(None, description="Column of a bar's first price.")
    high: ColumnName | None = Field(None, description="Column of a bar's highest price.")
    low: ColumnName | None = Field(None, description="Column of a bar's lowest price.")
    close: ColumnName | None = Field(None, description="Column of a bar's last price.")


class ReplaySource(RuledModel):
    """Prices read from a file of ticks, quotes or bars."""

    path: Annotated[str, Field(min_length=1, max_length=1024)] = Field(
        description="A file relative to the manifest, in a cluster to the root of configMap or volumeClaim; a pattern "
        "of several (ticks/2024-*.csv.gz); or `package:NAME/FILE` inside an installed Python package, in a cluster one "
        "of the image."
    )
    config_map: ObjectName | None = Field(
        None,
        description="ConfigMap in the feed's namespace whose keys are the files, up to 1 MiB together. A cluster mounts "
        f"it read-only at {DATA_DIRECTORY}; a run in one process ignores it.",
    )
    volume_claim: ObjectName | None = Field(
        None,
        description="PersistentVolumeClaim in the feed's namespace that holds the files. A cluster mounts it read-only "
        f"at {DATA_DIRECTORY}; a run in one process ignores it.",
    )
    speed: Speed = Field(
        0.0, description="0: as fast as possible, virtual clock; 1: as recorded; 10: ten times faster."
    )
    strict: Flag = Field(False, description="Stop at the first bad row instead of counting it.")
    timezone: Annotated[str, Field(min_length=1, max_length=64)] = Field(
        "UTC", description="IANA time zone of time stamps that name none, e.g. America/Chicago."
    )
    columns: ReplayColumns = Field(
        default_factory=ReplayColumns, description="Column names; those left out are detected."
    )
    timestamp_unit: Literal["auto", "s", "ms", "us", "ns"] = Field(
        "auto", description="Unit of numeric time stamps (since 1970 UTC); auto: by their size."
    )
    symbol: Symbol | None = Field(
        None, description="The instrument of all rows, for a file without a symbol or token column."
    )
    format: Literal["auto", "csv", "parquet"] = Field(
        "auto", description="Format; auto: by the file's first bytes."
    )
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = Field(
        None, description="Character between CSV columns; detected when left out."
    )
    bar_seconds: Annotated[Number, Field(gt=0, le=31_536_000)] | None = Field(
        None, description="Length of a bar, for a file of bars; absent: the commonest distance between two."
    )
    bar_label: Literal["start", "end"] | None = Field(
        None,
        description="Whether a bar's time stamp is its start or its end; absent: the start, unless the column's name "
        "says end. A bar is known at its end only.",
    )

    @classmethod
    def rules(cls, raw: object) -> Iterator[Finding]:
        """Yield a finding when the files come from two places."""
        return at_most_one(raw, "place of the files", REPLAY_VOLUMES)


class FeedSource(RuledModel):
    """Where the prices come from: exactly one."""

    simulated: SimulatedSource | None = Field(None, description="A seeded random walk.")
    replay: ReplaySource | None = Field(None, description="A file of recorded prices.")
    zerodha: ZerodhaSource | None = Field(None, description="Live prices by the login of a Zerodha account.")

    @classmethod
    def rules(cls, raw: object) -> Iterator[Finding]:
        """Yield a finding unless there is exactly one source."""
        return exactly_one(raw, "source", SOURCES)

    @property
    def mode(self) -> FeedMode:
        """What a price of this source is marked with."""
        if self.zerodha:
            return FeedMode.LIVE
        return FeedMode.REPLAY if self.replay else FeedMode.SIMULATED

    @property
    def speed(self) -> float:
        """Feed seconds in a wall-clock second; 0: as fast as possible on a virtual clock."""
        chosen = self.replay or self.simulated
        return chosen.speed if chosen else 1.0
