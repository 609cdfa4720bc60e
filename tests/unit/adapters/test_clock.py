import asyncio
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.adapters.clock import RealClock, next_due
from alpha_panda.contracts.units import SECOND_NS, nanoseconds
from alpha_panda.errors import MisuseError

WALL = 1_700_000_000 * SECOND_NS


class StagedClock(RealClock):
    """A real clock on a staged machine: each sleep wakes `late` ns late, and the wall clock can be set."""

    def __init__(self, late: int = 0) -> None:
        self.passed = 0
        self.set_by = 0
        self.late = late
        self.naps: list[float] = []

    def now(self) -> int:
        return WALL + self.passed + self.set_by

    def monotonic(self) -> int:
        return self.passed

    async def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        if seconds > 0:
            self.passed += nanoseconds(seconds) + self.late


def test_now_and_monotonic_are_the_machine_s() -> None:
    clock = RealClock()
    before = time.time_ns()
    assert before <= clock.now() <= time.time_ns()
    first = clock.monotonic()
    assert first <= clock.monotonic()
    assert not clock.virtual


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="a clock of Linux")
def test_a_machine_that_was_suspended_has_let_time_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual monotonic clock stands still then: a permission to send would be as fresh as before."""
    hour = 3600 * SECOND_NS
    real = time.clock_gettime_ns

    def slept(clock: int) -> int:
        return real(clock) + (hour if clock == time.CLOCK_BOOTTIME else 0)

    before = RealClock().monotonic()
    monkeypatch.setattr(time, "clock_gettime_ns", slept)
    assert RealClock().monotonic() - before >= hour


def test_elsewhere_the_usual_monotonic_clock_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alpha_panda.adapters.clock._BOOTTIME", None)
    first = time.monotonic_ns()
    assert first <= RealClock().monotonic() <= time.monotonic_ns()


async def test_sleep_waits_and_lets_others_run() -> None:
    clock, ran = RealClock(), asyncio.Event()
    before = time.monotonic()
    await clock.sleep(0.02)
    assert time.monotonic() - before >= 0.019
    asyncio.get_running_loop().call_soon(ran.set)
    await clock.sleep(-1)
    assert ran.is_set()


async def test_every_does_not_add_up_delays() -> None:
    clock = StagedClock(late=3_000_000)
    ticker = clock.every(1)
    times = [await anext(ticker) for _ in range(5)]
    assert times == [WALL + n * SECOND_NS + 3_000_000 for n in range(1, 6)]


async def test_every_skips_the_periods_it_missed() -> None:
    clock = StagedClock()
    ticker = clock.every(10)
    assert await anext(ticker) == WALL + 10 * SECOND_NS
    clock.passed = 37 * SECOND_NS  # the work took 27 s: 20 s and 30 s were missed
    assert await anext(ticker) == WALL + 37 * SECOND_NS
    assert await anext(ticker) == WALL + 40 * SECOND_NS


async def test_every_counts_from_the_call_and_by_the_monotonic_clock() -> None:
    clock = StagedClock()
    ticker = clock.every(10)
    clock.passed = 4 * SECOND_NS
    clock.set_by = 3600 * SECOND_NS  # somebody set the wall clock
    assert await anext(ticker) == WALL + 3610 * SECOND_NS
    assert clock.naps == [6.0]


async def test_every_really_waits() -> None:
    before = time.monotonic()
    ticker = RealClock().every(0.01)
    for _ in range(3):
        await anext(ticker)
    assert time.monotonic() - before >= 0.03


@pytest.mark.parametrize("seconds", [0, -1, 1e-10])
def test_a_period_must_be_positive(seconds: float) -> None:
    with pytest.raises(MisuseError, match="positive"):
        RealClock().every(seconds)


async def test_pace_until_waits_for_the_wall_clock_in_short_naps() -> None:
    clock = StagedClock()
    await clock.pace_until(WALL + 2_500_000_000)
    assert clock.now() == WALL + 2_500_000_000
    assert clock.naps == [0, 1.0, 1.0, 0.5]


async def test_pace_until_the_past_only_lets_others_run() -> None:
    clock = StagedClock()
    await clock.pace_until(WALL - 1)
    assert clock.naps == [0]
    assert clock.now() == WALL


@given(due=st.integers(0, 1000), period=st.integers(1, 100), behind=st.integers(0, 1000))
def test_the_next_due_time_is_the_first_of_the_grid_in_the_future(due: int, period: int, behind: int) -> None:
    now = due + behind
    following = next_due(due, period, now)
    assert (following - due) % period == 0
    assert following - period <= now < following
