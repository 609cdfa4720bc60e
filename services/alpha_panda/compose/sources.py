"""Market sources by the manifests' words."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from alpha_panda.adapters.batching import cut
from alpha_panda.adapters.replay import ReplayOptions, ReplaySource
from alpha_panda.adapters.simulated import SimulatedOptions, SimulatedSource
from alpha_panda.contracts.enums import FeedMode
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.resources import MarketFeed
from alpha_panda.contracts.resources import ReplaySource as ReplaySpec
from alpha_panda.contracts.resources import SimulatedSource as SimulatedSpec
from alpha_panda.contracts.units import MS_NS
from alpha_panda.errors import ManifestFault, MisuseError, SourceError
from alpha_panda.ports import Clock, MarketSource, SourceBatch, Troubled
from alpha_panda.runtime.settings import Settings

if TYPE_CHECKING:
    from .zerodha import Kites


def make_source(  # noqa: PLR0913, PLR0917 - what a source consists of
    feed: MarketFeed,
    resources: ResourceSet,
    settings: Settings,
    clock: Clock,
    seed: int | None,
    begin_ts: int | None = None,
    kites: "Kites | None" = None,
) -> MarketSource:
    """Return the feed's source; `seed` replaces that of a simulated one, `begin_ts` is when it began if it goes on."""
    source = feed.spec.source
    if source.zerodha is not None:
        if kites is None:
            raise MisuseError(f"{feed.ref} is one of Zerodha, and nobody has wired that")
        return kites.source(resources, feed)
    if source.replay is not None:
        return _replay(source.replay, resources.directory_of(feed), settings, clock)
    return _simulated(source.simulated or SimulatedSpec(), settings, clock, seed, begin_ts)


def first_ts(feed: MarketFeed, resources: ResourceSet, settings: Settings, clock: Clock) -> int:
    """Return when the first row of a feed on virtual time becomes known; SourceError if it can't be read."""
    replay = feed.spec.source.replay
    if replay is None:
        return SimulatedOptions().start_ts
    source = _replay(replay, resources.directory_of(feed), settings, clock)
    return source.inspect(tuple(feed.instruments)).first_ts


def source_faults(
    feed: MarketFeed, resources: ResourceSet, settings: Settings, clock: Clock
) -> Iterator[ManifestFault]:
    """Yield what is wrong with the feed's file, as a fault of the manifest that names it."""
    if feed.spec.source.replay is None:
        return
    try:
        first_ts(feed, resources, settings, clock)
    except SourceError as error:
        yield resources.fault(feed, ("spec", "source", "replay", "path"), str(error))


def _replay(spec: ReplaySpec, base: Path, settings: Settings, clock: Clock) -> ReplaySource:
    columns = spec.columns.model_dump(by_alias=False, exclude_none=True)
    options = ReplayOptions(
        path=spec.path,
        base=base,
        speed=spec.speed,
        strict=spec.strict,
        timezone=spec.timezone,
        columns=columns,
        timestamp_unit=spec.timestamp_unit,
        symbol=spec.symbol,
        format=spec.format,
        delimiter=spec.delimiter,
        bar_seconds=spec.bar_seconds,
        bar_label=spec.bar_label,
        batch_max_ticks=settings.feed_batch_max_ticks,
        batch_max_delay_ns=settings.feed_batch_max_delay_ms * MS_NS,
    )
    return ReplaySource(options, clock)


def _simulated(
    spec: SimulatedSpec, settings: Settings, clock: Clock, seed: int | None, begin_ts: int | None
) -> SimulatedSource:
    options = SimulatedOptions(
        seed=spec.seed if seed is None else seed,
        ticks_per_second=spec.ticks_per_second,
        volatility=spec.volatility,
        drift=spec.drift,
        correlation=spec.correlation,
        time_scale=spec.time_scale,
        speed=spec.speed,
        batch_max_ticks=settings.feed_batch_max_ticks,
        batch_max_delay_ns=settings.feed_batch_max_delay_ms * MS_NS,
    )
    return SimulatedSource(options, clock, begin_ts)


class TickBudget:
    """How many ticks a run may still see, over all its feeds; None: any."""

    def __init__(self, ticks: int | None) -> None:
        self._left = ticks

    @property
    def spent(self) -> bool:
        """Whether no tick is left."""
        return self._left is not None and self._left <= 0

    def take(self, wanted: int) -> int:
        """Return how many of `wanted` ticks are granted."""
        if self._left is None:
            return wanted
        granted = min(wanted, self._left)
        self._left -= granted
        return granted


@dataclass(slots=True)
class Played:
    """How far a feed on virtual time has come: when it began (UTC ns), and how many rows were taken and published."""

    clock: Clock
    begin_ts: int | None = None
    rows: int = 0


class WatchedSource:
    """A source that ends with the run's tick budget (`run --max-ticks`) and tells when it has ended.

    With `played` it leaves out the rows that an earlier source of this feed has given: on virtual time a market-feed
    that is started again goes on where it was, as a market would. A batch counts once the next is asked for.
    """

    def __init__(
        self,
        source: MarketSource,
        budget: TickBudget,
        on_end: Callable[[], None],
        played: Played | None = None,
    ) -> None:
        self._source = source
        self._budget = budget
        self._on_end = on_end
        self._played = played

    @property
    def mode(self) -> FeedMode:
        """As the source's."""
        return self._source.mode

    @property
    def exhausted(self) -> bool:
        """Whether the source or the budget has ended."""
        return self._source.exhausted or self._budget.spent

    def problem(self) -> str:
        """As the source's, if it can say."""
        return self._source.problem() if isinstance(self._source, Troubled) else ""

    async def batches(self, instruments: Sequence[Instrument]) -> AsyncIterator[SourceBatch]:
        """Yield the source's batches until the budget is spent."""
        played = self._played
        skip = 0 if played is None else played.rows
        if played is not None and played.begin_ts is None:
            played.begin_ts = played.clock.now()
        async for whole in self._source.batches(instruments):
            known = min(skip, len(whole.tokens))
            skip -= known
            if known and known == len(whole.tokens):
                continue
            batch = cut(whole, known, len(whole.tokens)) if known else whole
            taken = self._budget.take(len(batch.tokens))
            yield batch if taken == len(batch.tokens) else _head(batch, taken)
            if played is not None:
                played.rows += taken
            if self._budget.spent:
                break
        self._on_end()


def _head(batch: SourceBatch, rows: int) -> SourceBatch:
    """Return the first rows of the batch, with its counts."""
    head = cut(batch, 0, rows)
    source_ts = batch.source_ts and batch.source_ts[:rows]
    return replace(head, bad_rows=batch.bad_rows, conflated=batch.conflated, source_ts=source_ts)
