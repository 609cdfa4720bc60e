"""What every MarketSource promises.

class TestMySource(MarketSourceConformance):
    @pytest.fixture
    async def case(self):
        async with my_broker() as broker:
            yield SourceCase(make=lambda: MySource(broker.url), instruments=broker.instruments)

The source must give prices of the instruments by itself, within `patience` seconds: let the test's broker move them.
pytest runs the tests with `asyncio_mode = "auto"`.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import pytest

from alpha_panda.adapters.clock import RealClock
from alpha_panda.contracts.enums import FeedMode
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.errors import SourceError
from alpha_panda.ports import Clock, MarketSource, SourceBatch, Troubled

SKEW_NS: Final = SECOND_NS // 10
"""How far a price's time may be ahead of the clock that the test reads afterwards: none, but for coarse clocks."""

OPTIONAL: Final = ("volumes", "bids", "asks", "opens", "highs", "lows", "source_ts")


@dataclass(frozen=True, slots=True)
class SourceCase:
    """A source to be tried.

    Attributes:
        make: returns a new source on `clock`.
        instruments: at least two, all of which get prices.
        clock: real time, unless the source is driven by virtual time.
        mode: what its prices must be marked with; None: anything.
        endless: whether it goes on for ever, as a market does; a replay ends.
        patience: seconds within which it gives prices.

    """

    make: Callable[[], MarketSource]
    instruments: Sequence[Instrument]
    clock: Clock = field(default_factory=RealClock)
    mode: FeedMode | None = None
    endless: bool = True
    patience: float = 10.0


class MarketSourceConformance:
    """Subclass it with a fixture `case` that returns or yields a `SourceCase`."""

    async def test_mode_is_known_before_the_first_price(self, case: SourceCase) -> None:
        """What prices are is known before there is one, and doesn't depend on a connection."""
        mode = case.make().mode
        assert isinstance(mode, FeedMode)
        assert case.mode is None or mode is case.mode

    async def test_it_has_not_ended_before_it_began(self, case: SourceCase) -> None:
        """A source that has given nothing is not exhausted."""
        assert case.make().exhausted is False

    async def test_without_instruments_it_says_so(self, case: SourceCase) -> None:
        """A feed of nothing is a mistake in a manifest, not a silent feed."""
        batches = case.make().batches([])
        with pytest.raises(SourceError):
            await _next(batches, case)
        await _close(batches)

    async def test_columns_are_of_equal_length_and_of_their_types(self, case: SourceCase) -> None:
        """Prices are finite floats, times are ints of UTC nanoseconds, volumes never negative."""
        for batch in await _read(case, rows=4):
            size = len(batch.tokens)
            assert len(batch.prices) == len(batch.ts) == size
            for name in OPTIONAL:
                column = getattr(batch, name)
                assert column is None or len(column) == size, name
            assert all(type(token) is int for token in batch.tokens)
            assert all(type(price) is float and math.isfinite(price) for price in batch.prices)
            assert all(type(ts) is int and ts > 0 for ts in batch.ts)
            assert all(volume >= 0 for volume in batch.volumes or ())
            assert batch.bad_rows >= 0
            assert batch.conflated >= 0

    async def test_only_what_was_asked_for_is_told(self, case: SourceCase) -> None:
        """A token that the feed doesn't have would end the service that publishes it."""
        asked = case.instruments[:1]
        told = {token for batch in await _read(case, rows=3, instruments=asked) for token in batch.tokens}
        assert told == {item.token for item in asked}

    async def test_every_instrument_gets_prices(self, case: SourceCase) -> None:
        """None is forgotten: a subscription covers them all."""
        wanted = {item.token for item in case.instruments}
        batches = case.make().batches(case.instruments)
        seen: set[int] = set()
        async with asyncio.timeout(case.patience):
            while not wanted <= seen:
                seen.update((await anext(batches)).tokens)
        await _close(batches)

    async def test_a_tokens_times_never_go_back_nor_lie_ahead(self, case: SourceCase) -> None:
        """Readers drop what is older, and orders on prices of the future are refused."""
        last: dict[int, int] = {}
        batches = case.make().batches(case.instruments)
        rows = 0
        async with asyncio.timeout(case.patience):
            while rows < 2 * len(case.instruments):
                batch = await anext(batches, None)
                if batch is None:
                    break
                now = case.clock.now()
                for token, ts in zip(batch.tokens, batch.ts, strict=True):
                    assert last.get(token, 0) <= ts <= now + SKEW_NS
                    last[token] = ts
                assert batch.proven is None or batch.proven <= now + SKEW_NS
                rows += len(batch.tokens)
        await _close(batches)
        assert rows

    async def test_what_waits_can_be_cancelled_and_leaves_nothing_running(self, case: SourceCase) -> None:
        """A service stops at any moment: whoever waits for a batch is cancelled, and the source ends all it began."""
        before = asyncio.all_tasks()
        batches = case.make().batches(case.instruments)
        await _next(batches, case)
        reading = asyncio.ensure_future(anext(batches))
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await _close(batches)
        await asyncio.sleep(0)
        left = {task for task in asyncio.all_tasks() - before if "alpha_panda.adapters" in _where(task)}
        assert not left

    async def test_it_can_be_read_anew(self, case: SourceCase) -> None:
        """A service that is started again reads the same source again."""
        source = case.make()
        for _ in range(2):
            batches = source.batches(case.instruments)
            assert (await _rows(batches, case)).tokens
            await _close(batches)

    async def test_a_market_does_not_end(self, case: SourceCase) -> None:
        """An endless source is never exhausted; one that ends says so after its last row."""
        source = case.make()
        batches = source.batches(case.instruments)
        async with asyncio.timeout(case.patience):
            if case.endless:
                await _rows(batches, case)
            else:
                async for _ in batches:
                    assert not source.exhausted
        await _close(batches)
        assert source.exhausted is not case.endless

    async def test_while_prices_come_it_tells_no_trouble(self, case: SourceCase) -> None:
        """A source that can say what is wrong with it says so in words, and only while something is."""
        source = case.make()
        if isinstance(source, Troubled):
            batches = source.batches(case.instruments)
            await _rows(batches, case)
            assert source.problem() == ""
            await _close(batches)


async def _next(batches: AsyncIterator[SourceBatch], case: SourceCase) -> SourceBatch:
    async with asyncio.timeout(case.patience):
        return await anext(batches)


async def _rows(batches: AsyncIterator[SourceBatch], case: SourceCase) -> SourceBatch:
    """Return the next batch that has rows."""
    batch = await _next(batches, case)
    while not batch.tokens:
        batch = await _next(batches, case)
    return batch


async def _read(
    case: SourceCase, rows: int, instruments: Sequence[Instrument] | None = None
) -> list[SourceBatch]:
    """Return batches until they hold so many rows, or the source ends."""
    batches = case.make().batches(instruments or case.instruments)
    read: list[SourceBatch] = []
    async with asyncio.timeout(case.patience):
        while sum(len(batch.tokens) for batch in read) < rows:
            batch = await anext(batches, None)
            if batch is None:
                break
            read.append(batch)
    await _close(batches)
    return read


async def _close(batches: AsyncIterator[SourceBatch]) -> None:
    """End a reading, as a service that stops does."""
    close = getattr(batches, "aclose", None)
    if close is not None:
        await close()


def _where(task: "asyncio.Task[object]") -> str:
    frame = getattr(task.get_coro(), "cr_frame", None)
    return str(frame.f_globals.get("__name__", "")) if frame is not None else ""
