"""A call waits for its place as long as its deadline allows, and is not made where nobody can count it."""

from collections.abc import Sequence

import pytest

from alpha_panda.adapters.ids import SeededIds
from alpha_panda.adapters.memory.database import MemoryDatabase
from alpha_panda.adapters.memory.pace import MemoryOrderPace
from alpha_panda.adapters.zerodha.pace import PaceLimits, Pacer, Refused
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.stored import PaceWindow
from alpha_panda.errors import (
    AlphaPandaError,
    BreakerOpenError,
    DependencyUnavailableError,
    UnknownOutcomeError,
)

from .rest_kit import SECOND, StillClock

LIMITS = PaceLimits(orders_per_second=3, orders_per_minute=5, orders_per_day=6, calls_per_second=3)


class Broken:
    def __init__(self, error: AlphaPandaError) -> None:
        self.error = error

    async def take(self, account: str, windows: Sequence[PaceWindow]) -> float:
        raise self.error


@pytest.fixture
def clock() -> StillClock:
    return StillClock()


@pytest.fixture
def pacer(clock: StillClock) -> Pacer:
    return Pacer(MemoryOrderPace(MemoryDatabase(clock, SeededIds(1))), clock, "live")


async def permit(
    pacer: Pacer, clock: StillClock, windows: Sequence[PaceWindow], seconds: float = 5
) -> Refused | None:
    return await pacer.permit(windows, clock.monotonic() + round(seconds * SECOND))


async def test_within_the_limits_nobody_waits(pacer: Pacer, clock: StillClock) -> None:
    for _ in range(2):
        assert await permit(pacer, clock, LIMITS.placing) is None
    assert clock.slept == []


async def test_beyond_them_an_order_waits_for_its_place(pacer: Pacer, clock: StillClock) -> None:
    for _ in range(5):
        assert await permit(pacer, clock, LIMITS.placing) is None
    assert 2 <= sum(clock.slept) < 2.1


async def test_an_order_that_can_not_wait_so_long_is_refused_at_once(pacer: Pacer, clock: StillClock) -> None:
    for _ in range(2):
        await permit(pacer, clock, LIMITS.placing)
    refused = await permit(pacer, clock, LIMITS.placing, 0.9)
    assert refused is not None
    assert refused.code is Code.RATE_LIMIT
    assert clock.slept == []


async def test_the_minutes_limit_refuses_what_the_second_would_take(pacer: Pacer, clock: StillClock) -> None:
    for _ in range(5):
        await permit(pacer, clock, LIMITS.placing)
    clock.time += 2 * SECOND
    refused = await permit(pacer, clock, LIMITS.placing)
    assert refused is not None
    assert refused.code is Code.RATE_LIMIT


async def test_cancels_count_in_the_orders_second_alone(pacer: Pacer, clock: StillClock) -> None:
    for _ in range(2):
        assert await permit(pacer, clock, LIMITS.cancelling, 0.5) is None
    assert await permit(pacer, clock, LIMITS.placing, 0.5) is not None
    for _ in range(20):
        assert await permit(pacer, clock, LIMITS.cancelling) is None
    clock.time += SECOND
    assert await permit(pacer, clock, LIMITS.placing, 0.5) is None


async def test_orders_leave_a_cancel_its_place_in_each_second(pacer: Pacer, clock: StillClock) -> None:
    for _ in range(4):
        while await permit(pacer, clock, [LIMITS.placing[0]], 0) is None:
            pass
        assert await permit(pacer, clock, LIMITS.cancelling, 0) is None
        assert await permit(pacer, clock, LIMITS.cancelling, 0) is not None
        clock.time += SECOND
    assert clock.slept == []


async def test_whoever_calls_no_second_holds_more_than_the_limit(pacer: Pacer, clock: StillClock) -> None:
    """Both limits are of one count: what the lower one forgets, the higher one may forget too."""
    begun = []
    for number in range(60):
        windows = LIMITS.cancelling if number % 3 else [LIMITS.placing[0]]
        if await permit(pacer, clock, windows, 0) is None:
            begun.append(clock.time)
        clock.time += SECOND // 7
    assert max(sum(at <= other < at + SECOND for other in begun) for at in begun) == 3


def test_of_one_order_a_second_a_cancel_takes_the_place() -> None:
    limits = PaceLimits(orders_per_second=1)
    assert limits.placing[0] == limits.cancelling[0]


async def test_calls_are_counted_apart_from_orders(pacer: Pacer, clock: StillClock) -> None:
    for _ in range(2):
        assert await permit(pacer, clock, LIMITS.placing, 0.5) is None
    for _ in range(3):
        assert await permit(pacer, clock, LIMITS.calling, 0.5) is None
    assert await permit(pacer, clock, LIMITS.calling, 0.5) is not None


async def test_the_day_is_indias(pacer: Pacer, clock: StillClock) -> None:
    clock.time = 1_767_378_590 * SECOND  # 2026-01-02 23:59:50 IST
    day = [LIMITS.placing[-1]]
    for _ in range(6):
        assert await permit(pacer, clock, day) is None
    assert await permit(pacer, clock, day) is not None
    clock.time += 10 * SECOND
    assert await permit(pacer, clock, day) is None


@pytest.mark.parametrize(
    "error",
    [DependencyUnavailableError("redis", "x"), BreakerOpenError("redis", "x"), UnknownOutcomeError("x")],
    ids=lambda error: type(error).__name__,
)
async def test_a_call_that_nobody_can_count_is_not_made(clock: StillClock, error: AlphaPandaError) -> None:
    refused = await permit(Pacer(Broken(error), clock, "live"), clock, LIMITS.placing)
    assert refused is not None
    assert refused.code is Code.DEPENDENCY_UNAVAILABLE


async def test_a_wait_of_almost_nothing_is_no_busy_loop(clock: StillClock) -> None:
    class Impatient:
        asked = 0

        async def take(self, account: str, windows: Sequence[PaceWindow]) -> float:
            self.asked += 1
            return 1e-9

    pace = Impatient()
    assert await permit(Pacer(pace, clock, "live"), clock, LIMITS.placing, 1) is not None
    assert pace.asked <= 1001


def test_the_limits_are_below_the_brokers() -> None:
    limits = PaceLimits()
    assert limits.orders_per_second < 10
    assert {window.name for window in limits.placing} > {window.name for window in limits.cancelling}
    assert all(window.rolling for window in (*limits.cancelling, *limits.calling))
