import asyncio
from typing import Any

import pytest

from alpha_panda.adapters.clock import RealClock
from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.errors import DependencyUnavailableError, FencedError, MisuseError, UnknownOutcomeError
from alpha_panda.runtime.lease import LeaseKeeper
from alpha_panda.runtime.settings import Settings
from unit.runtime.world import World

SETTINGS = Settings(lease_ttl_seconds=10, lease_renew_seconds=3)


class FlakyLease:
    """A lease store that fails as ordered: by errors for the next calls, or by not answering at all."""

    def __init__(self, inner: Any = None) -> None:
        self.inner = inner
        self.acquires: list[Exception] = []
        self.renewals: list[Exception | None] = []
        self.hang = False
        self.renewed = 0

    async def acquire(self, name: str, owner: str, ttl: float) -> int | None:
        if self.acquires:
            raise self.acquires.pop(0)
        return 1 if self.inner is None else await self.inner.acquire(name, owner, ttl)

    async def renew(self, name: str, owner: str, epoch: int, ttl: float) -> None:
        if self.hang:
            await asyncio.Event().wait()
        error = self.renewals.pop(0) if self.renewals else None
        if error is not None:
            raise error
        self.renewed += 1

    async def release(self, name: str, owner: str, epoch: int) -> None:
        raise DependencyUnavailableError("redis", "down")


def keeper(lease: Any, clock: Any, owner: str = "pod-1", settings: Settings = SETTINGS) -> LeaseKeeper:
    return LeaseKeeper(lease, clock, "risk:paper", owner, settings)


def down() -> DependencyUnavailableError:
    return DependencyUnavailableError("redis", "down")


async def test_it_waits_while_somebody_else_holds_the_lease(world: World) -> None:
    assert await world.lease.acquire("risk:paper", "pod-0", 10) == 1
    begun = world.clock.monotonic()
    assert await keeper(world.lease, world.clock).acquire() == 2
    assert 10 <= (world.clock.monotonic() - begun) / 1e9 <= 10 + 3


async def test_it_goes_on_asking_a_store_that_does_not_answer(clock: VirtualClock) -> None:
    lease = FlakyLease()
    lease.acquires = [down()] * 4
    held = keeper(lease, clock)
    assert await held.acquire() == 1
    assert held.epoch == 1


async def test_an_unknown_outcome_of_the_claim_is_not_guessed(clock: VirtualClock) -> None:
    lease = FlakyLease()
    lease.acquires = [UnknownOutcomeError("reply lost")]
    with pytest.raises(UnknownOutcomeError):
        await keeper(lease, clock).acquire()


async def test_there_is_no_epoch_before_it_is_held(clock: VirtualClock) -> None:
    with pytest.raises(MisuseError):
        _ = keeper(FlakyLease(), clock).epoch


async def test_renewals_keep_others_out(world: World) -> None:
    held = keeper(world.lease, world.clock)
    await held.acquire()
    renewing = asyncio.create_task(held.keep())
    for _ in range(10):
        await world.clock.advance(5)
        assert await world.lease.acquire("risk:paper", "pod-2", 10) is None
    renewing.cancel()


async def test_a_lease_that_went_to_somebody_else_ends_the_keeper(world: World) -> None:
    held = keeper(world.lease, world.clock)
    await held.acquire()
    await world.clock.advance(11)
    assert await world.lease.acquire("risk:paper", "pod-2", 10) == 2
    renewing = asyncio.create_task(held.keep())
    await world.clock.advance(4)
    with pytest.raises(FencedError):
        await renewing


@pytest.mark.parametrize("error", [down(), UnknownOutcomeError("reply lost")])
async def test_a_renewal_that_fails_now_and_then_is_survived(clock: VirtualClock, error: Exception) -> None:
    lease = FlakyLease()
    held = keeper(lease, clock)
    await held.acquire()
    lease.renewals = [error, None, error, None]
    renewing = asyncio.create_task(held.keep())
    for _ in range(13):
        await clock.advance(1)
    assert lease.renewed == 2
    assert not renewing.done()
    renewing.cancel()


async def test_it_ends_before_the_lease_runs_out_when_renewals_keep_failing(clock: VirtualClock) -> None:
    lease = FlakyLease()
    held = keeper(lease, clock)
    await held.acquire()
    lease.renewals = [down()] * 9
    begun = clock.monotonic()
    renewing = asyncio.create_task(held.keep())
    await clock.advance(9)
    with pytest.raises(FencedError, match="risk:paper could not be renewed in time"):
        await renewing
    assert clock.monotonic() - begun <= SETTINGS.lease_ttl_seconds * 1e9


async def test_a_renewal_that_hangs_does_not_outlive_the_lease() -> None:
    lease = FlakyLease()
    held = keeper(lease, RealClock(), settings=Settings(lease_ttl_seconds=0.2, lease_renew_seconds=0.02))
    await held.acquire()
    lease.hang = True
    with pytest.raises(FencedError):
        await asyncio.wait_for(held.keep(), timeout=5)


async def test_a_released_lease_is_free_at_once(world: World) -> None:
    held = keeper(world.lease, world.clock)
    await held.acquire()
    await held.release()
    assert await world.lease.acquire("risk:paper", "pod-2", 10) == 2


async def test_a_release_that_fails_is_left_to_the_expiry(clock: VirtualClock) -> None:
    held = keeper(FlakyLease(), clock)
    await held.release()
    await held.acquire()
    await held.release()
