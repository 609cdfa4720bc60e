from itertools import pairwise

import pytest

from alpha_panda.adapters.simulated import SimulatedOptions, SimulatedSource
from alpha_panda.adapters.simulated.model import DEFAULT_START_TS, PriceModel
from alpha_panda.contracts.enums import FeedMode
from alpha_panda.errors import SourceError
from alpha_panda.ports import SourceBatch
from unit.adapters.source_kit import MS, NS, FakeClock, instruments, joined

LISTED = instruments("NSE:A", "NSE:B")


async def take(source: SimulatedSource, ticks: int) -> list[SourceBatch]:
    batches: list[SourceBatch] = []
    count = 0
    async for batch in source.batches(LISTED):
        batches.append(batch)
        count += len(batch.ts)
        if count >= ticks or len(batches) > 10_000:
            break
    return batches


async def test_a_virtual_feed_starts_at_its_fixed_time_and_drives_the_clock() -> None:
    clock = FakeClock()
    batches = await take(SimulatedSource(SimulatedOptions(), clock), 1_000)
    stamps = joined(batches, "ts")
    assert stamps == sorted(stamps)
    assert 0 <= stamps[0] - DEFAULT_START_TS < NS
    assert clock.waits == [batch.ts[-1] for batch in batches]


async def test_a_virtual_feed_never_goes_back_behind_its_clock() -> None:
    clock = FakeClock(start=DEFAULT_START_TS + 3_600 * NS)
    batches = await take(SimulatedSource(SimulatedOptions(), clock), 10)
    assert batches[0].ts[0] >= DEFAULT_START_TS + 3_600 * NS


async def test_batches_keep_their_limits_and_are_the_models_ticks() -> None:
    options = SimulatedOptions(seed=2, ticks_per_second=2_000, batch_max_ticks=70, batch_max_delay_ns=20 * MS)
    batches = await take(SimulatedSource(options, FakeClock()), 3_000)
    model = PriceModel(options, LISTED)
    expected = [price for _ in range(60) for price in model.block().prices]
    prices = joined(batches, "prices")
    assert prices == expected[: len(prices)]
    assert all(len(batch.ts) <= 70 and batch.ts[-1] - batch.ts[0] <= 20 * MS for batch in batches)
    for batch, following in pairwise(batches):  # none is cut short where a block of the model ends
        assert len(batch.ts) == 70 or following.ts[0] - batch.ts[0] > 20 * MS


async def test_on_a_wall_clock_ticks_are_stamped_when_they_come() -> None:
    clock = FakeClock(virtual=False, start=5_000 * NS)
    source = SimulatedSource(SimulatedOptions(ticks_per_second=200), clock)
    count = 0
    async for batch in source.batches(LISTED):
        assert all(stamp <= clock.time for stamp in batch.ts)
        assert not batch.ts or clock.time - batch.ts[0] <= 50 * MS
        count += len(batch.ts)
        if count >= 2_000:
            break
    assert clock.time - 5_000 * NS == pytest.approx(10 * NS, rel=0.02)


async def test_speed_makes_a_wall_clock_feed_faster() -> None:
    clock = FakeClock(virtual=False)
    await take(SimulatedSource(SimulatedOptions(ticks_per_second=200, speed=4), clock), 2_000)
    assert clock.time == pytest.approx(2.5 * NS, rel=0.03)


async def test_prices_do_not_depend_on_when_they_are_asked_for() -> None:
    steady, shaken = FakeClock(virtual=False), FakeClock(virtual=False, start=9 * NS)

    def shake() -> None:
        shaken.time += 333 * MS

    shaken.on_wait = shake
    options = SimulatedOptions(seed=11)
    calm = await take(SimulatedSource(options, steady), 1_000)
    late = await take(SimulatedSource(options, shaken), 1_000)
    virtual = await take(SimulatedSource(options, FakeClock()), 1_000)
    assert joined(calm, "prices") == joined(late, "prices") == joined(virtual, "prices")
    assert joined(calm, "tokens") == joined(late, "tokens")


async def test_stamps_stay_in_order_after_a_pause_and_no_flood_follows() -> None:
    clock = FakeClock(virtual=False)
    source = SimulatedSource(SimulatedOptions(ticks_per_second=200, max_lag_ns=NS), clock)
    stamps: list[int] = []
    async for batch in source.batches(LISTED):
        stamps.extend(batch.ts)
        if 1_000 <= len(stamps) < 1_020:
            clock.time += 60 * NS
        if len(stamps) >= 3_000:
            break
    assert stamps == sorted(stamps)
    assert (
        clock.time > 60 * NS + 8 * NS
    )  # 3,000 ticks take 15 s; at most a second (and a batch) of them came at once


async def test_a_slow_feed_says_that_it_lives() -> None:
    clock = FakeClock(virtual=False)
    batches = await take(SimulatedSource(SimulatedOptions(ticks_per_second=0.2), clock), 5)
    assert sum(not batch.ts for batch in batches) > 10
    assert max(b - a for a, b in pairwise([0, *clock.waits])) <= 500 * MS


async def test_it_is_simulated_and_never_ends() -> None:
    source = SimulatedSource(SimulatedOptions(), FakeClock())
    assert source.mode is FeedMode.SIMULATED
    assert not source.exhausted


async def test_no_instrument_is_an_error() -> None:
    with pytest.raises(SourceError, match="at least one instrument"):
        await anext(aiter(SimulatedSource(SimulatedOptions(), FakeClock()).batches([])))
