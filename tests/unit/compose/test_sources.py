"""Sources by the manifests' words."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from alpha_panda.adapters.clock import RealClock
from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.adapters.replay import ReplaySource
from alpha_panda.adapters.simulated import SimulatedOptions, SimulatedSource
from alpha_panda.compose.ports import memory_ports
from alpha_panda.compose.sources import Played, TickBudget, WatchedSource, first_ts, make_source
from alpha_panda.contracts.enums import FeedMode
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.ports import MarketSource, SourceBatch
from alpha_panda.runtime.settings import Settings
from alpha_panda.testing.virtual_time import run_virtual
from unit.cli.kit import Document, feed, rows


def made(source: Document, seed: int | None = None) -> MarketSource:
    resources = ResourceSet.from_documents([feed(source)])
    return make_source(resources.feeds["demo"], resources, Settings(), RealClock(), seed)


def test_every_word_on_a_simulation_reaches_it() -> None:
    words = {
        "seed": 3,
        "ticksPerSecond": 50,
        "volatility": 0.4,
        "drift": -0.1,
        "correlation": 0.9,
        "timeScale": 60,
        "speed": 2,
    }
    source = made({"simulated": words})
    assert isinstance(source, SimulatedSource)
    assert source._options == SimulatedOptions(
        seed=3,
        ticks_per_second=50,
        volatility=0.4,
        drift=-0.1,
        correlation=0.9,
        time_scale=60,
        speed=2,
        batch_max_ticks=Settings().feed_batch_max_ticks,
        batch_max_delay_ns=Settings().feed_batch_max_delay_ms * 1_000_000,
    )


def test_the_manifest_s_defaults_of_the_market_are_the_simulation_s_own() -> None:
    source = made({"simulated": {}})
    assert isinstance(source, SimulatedSource)
    own = SimulatedOptions()
    chosen = source._options
    assert (chosen.time_scale, chosen.correlation) == (own.time_scale, own.correlation) == (120, 0.3)
    assert (chosen.volatility, chosen.drift) == (own.volatility, own.drift)


def test_the_run_s_seed_replaces_the_manifest_s() -> None:
    source = made({"simulated": {"seed": 3}}, seed=0)
    assert isinstance(source, SimulatedSource)
    assert source._options.seed == 0


def test_every_word_on_a_replay_reaches_it() -> None:
    words = {
        "path": "a.csv",
        "speed": 3,
        "strict": True,
        "timezone": "Asia/Kolkata",
        "timestampUnit": "ms",
        "symbol": "NSE:RELIANCE",
        "format": "csv",
        "delimiter": ";",
        "barSeconds": 60,
        "barLabel": "end",
        "columns": {"lastPrice": "px"},
    }
    source = made({"replay": words})
    assert isinstance(source, ReplaySource)
    told = source._options
    assert (told.path, told.speed, told.strict, told.timezone) == ("a.csv", 3, True, "Asia/Kolkata")
    assert (told.timestamp_unit, told.symbol, told.format, told.delimiter) == (
        "ms",
        "NSE:RELIANCE",
        "csv",
        ";",
    )
    assert (told.bar_seconds, told.bar_label, told.columns) == (60, "end", {"last_price": "px"})


def test_a_simulation_on_virtual_time_begins_at_its_own_start() -> None:
    resources = ResourceSet.from_documents([feed()])
    begin = first_ts(resources.feeds["demo"], resources, Settings(), RealClock())
    assert begin == SimulatedOptions().start_ts


class Batches:
    """A source of batches of the given sizes."""

    mode = FeedMode.SIMULATED
    exhausted = False

    def __init__(self, *sizes: int) -> None:
        self.sizes = sizes

    async def batches(self, instruments: Sequence[Instrument]) -> AsyncIterator[SourceBatch]:
        for size in self.sizes:
            yield SourceBatch([1] * size, [1.0] * size, list(range(size)), source_ts=[7] * size)


@pytest.mark.parametrize(
    ("ticks", "sizes", "expected"),
    [
        (None, (3, 4), [3, 4]),
        (5, (3, 4), [3, 2]),
        (3, (3, 4), [3]),
        (7, (3, 4), [3, 4]),
        (9, (3, 4), [3, 4]),
        (1, (0, 3), [0, 1]),  # an empty batch proves the feed alive
    ],
)
async def test_a_budget_ends_the_source_at_exactly_its_ticks(
    ticks: int | None, sizes: tuple[int, ...], expected: list[int]
) -> None:
    ended: list[bool] = []
    source = WatchedSource(Batches(*sizes), TickBudget(ticks), lambda: ended.append(True))
    got = [batch async for batch in source.batches(())]
    assert [len(batch.ts) for batch in got] == expected
    assert [len(batch.source_ts or ()) for batch in got] == expected
    assert ended == [True]
    assert source.exhausted == (ticks is not None and ticks <= sum(sizes))


async def test_what_is_wrong_with_a_source_is_told_through_it() -> None:
    class Ailing(Batches):
        def problem(self) -> str:
            return "log in again"

    assert WatchedSource(Ailing(), TickBudget(None), lambda: None).problem() == "log in again"
    assert WatchedSource(Batches(), TickBudget(None), lambda: None).problem() == ""


async def test_a_batch_that_is_cut_keeps_its_counts_and_its_proof() -> None:
    class Counted(Batches):
        async def batches(self, instruments: Sequence[Instrument]) -> AsyncIterator[SourceBatch]:
            async for batch in super().batches(instruments):
                batch.bad_rows, batch.conflated, batch.proven = 1, 2, 3
                yield batch

    (head,) = [batch async for batch in WatchedSource(Counted(4), TickBudget(2), lambda: None).batches(())]
    assert (len(head.ts), head.bad_rows, head.conflated, head.proven) == (2, 1, 2, 3)


async def test_feeds_share_one_budget() -> None:
    budget = TickBudget(5)
    sources = [WatchedSource(Batches(3, 3), budget, lambda: None) for _ in range(2)]
    taken = [sum([len(batch.ts) async for batch in source.batches(())]) for source in sources]
    assert taken == [5, 0]


# --------------------------------------------------------------------------------- a feed that is started again


async def rows_of(
    source: MarketSource, listed: Sequence[Instrument], batches: int | None = None
) -> list[Any]:
    """Return (time, token, price) of the rows; with `batches`, leave after the batch of that number."""
    found: list[Any] = []
    stream = source.batches(listed)
    number = 0
    async for batch in stream:
        if number == batches:  # it is not published: the feed dies with it
            break
        found += zip(batch.ts, batch.tokens, batch.prices, strict=True)
        number += 1
        if batches is None and len(found) >= ENOUGH:
            break
    await cast("AsyncGenerator[SourceBatch]", stream).aclose()
    return found


ENOUGH = 300


@pytest.mark.parametrize("words", [{"replay": {"path": "rows.csv"}}, {"simulated": {"speed": 0}}])
@pytest.mark.parametrize("batches", [1, 3, 0])
def test_on_virtual_time_a_feed_that_is_started_again_goes_on_where_it_was(
    tmp_path: Path, words: Document, batches: int
) -> None:
    (tmp_path / "rows.csv").write_text(rows(ENOUGH), encoding="utf-8")
    resources = ResourceSet.from_documents([feed(words)], directory=tmp_path)
    listed = tuple(resources.feeds["demo"].instruments)

    async def main(clock: VirtualClock, lives: Sequence[int | None]) -> list[Any]:
        _, ports = memory_ports(resources, Settings(), clock, seed=1)
        return [row for life in lives for row in await rows_of(ports.source("demo"), listed, life)]

    whole = run_virtual(partial(main, lives=(None,)))
    broken = run_virtual(partial(main, lives=(batches, batches, None)))
    assert len(whole) >= ENOUGH
    assert broken[:ENOUGH] == whole[:ENOUGH]


async def test_a_part_of_a_batch_that_was_published_is_left_out_alone() -> None:
    played = Played(RealClock(), begin_ts=0, rows=4)
    source = WatchedSource(Batches(3, 3, 2), TickBudget(None), lambda: None, played)
    assert [list(batch.ts) async for batch in source.batches(())] == [[1, 2], [0, 1]]
    assert played.rows == 8


async def test_on_the_wall_clock_a_feed_that_is_started_again_begins_anew(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(rows(3), encoding="utf-8")
    resources = ResourceSet.from_documents(
        [feed({"replay": {"path": "rows.csv", "speed": 1000000}})], directory=tmp_path
    )
    listed = tuple(resources.feeds["demo"].instruments)
    _, ports = memory_ports(resources, Settings(), RealClock())
    for _ in range(2):
        assert len(await rows_of(ports.source("demo"), listed)) == 3
