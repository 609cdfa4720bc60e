import pytest

from alpha_panda.adapters.pacing import Pacer
from unit.adapters.source_kit import MS, NS, FakeClock


async def test_on_a_virtual_clock_a_row_is_due_at_its_own_time_whatever_the_speed() -> None:
    clock = FakeClock()
    pacer = Pacer(clock, 10.0)
    assert not pacer.restamps
    assert await pacer.step(5 * NS)
    assert await pacer.step(3600 * NS)
    assert clock.waits == [5 * NS, 3600 * NS]


@pytest.mark.parametrize(("speed", "expected"), [(1.0, 400 * MS), (2.0, 200 * MS), (0.5, 800 * MS)])
async def test_on_a_wall_clock_rows_follow_the_first_at_the_recorded_pace_times_speed(
    speed: float, expected: int
) -> None:
    clock = FakeClock(virtual=False, start=1_000 * NS)
    pacer = Pacer(clock, speed, alive_every_ns=NS)
    assert pacer.restamps
    assert await pacer.step(77 * NS)
    assert clock.time == 1_000 * NS
    assert await pacer.step(77 * NS + 400 * MS)
    assert clock.time == 1_000 * NS + expected


async def test_speed_0_on_a_wall_clock_waits_for_nothing_but_lets_others_run() -> None:
    clock = FakeClock(virtual=False, start=1_000 * NS)
    pacer = Pacer(clock, 0)
    for ts in (1, 10**15, 10**18):
        assert await pacer.step(ts)
    assert clock.time == 1_000 * NS
    assert len(clock.waits) == 3


async def test_a_long_wait_is_broken_up_so_that_the_source_can_say_that_it_lives() -> None:
    clock = FakeClock(virtual=False, start=0)
    pacer = Pacer(clock, 1, alive_every_ns=400 * MS)
    assert await pacer.step(0)
    assert [await pacer.step(NS) for _ in range(3)] == [False, False, True]
    assert clock.waits == [0, 400 * MS, 800 * MS, NS]


async def test_a_late_source_catches_up_by_no_more_than_the_allowed_lag() -> None:
    clock = FakeClock(virtual=False, start=0)
    pacer = Pacer(clock, 1, max_lag_ns=NS)
    assert await pacer.step(0)
    clock.time = 60 * NS  # the process was stopped for a minute
    assert await pacer.step(100 * MS)
    assert pacer.due(100 * MS) == 59 * NS
    assert await pacer.step(1_100 * MS)
    assert clock.time == 60 * NS  # within the allowed lag: at once
    assert await pacer.step(1_200 * MS)
    assert clock.time == 60 * NS + 100 * MS  # and from then on at the old pace
