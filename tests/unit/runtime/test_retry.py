import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.errors import (
    DependencyUnavailableError,
    FencedError,
    RebalancedError,
    RecordError,
    UndecodableRecordError,
)
from alpha_panda.runtime.retry import Backoff, RetryPolicies, retrying
from alpha_panda.runtime.settings import Settings

POLICIES = RetryPolicies(transient_attempts=3, unexpected_attempts=2, backoff=Backoff(0.1, 1.0))

seconds = st.floats(min_value=0.001, max_value=100)


@given(initial=seconds, cap=seconds, attempt=st.integers(1, 5000), seed=st.text())
def test_a_wait_lies_between_half_and_all_of_the_capped_power_of_two(
    initial: float, cap: float, attempt: int, seed: str
) -> None:
    ceiling = cap if attempt > 60 else min(cap, initial * 2 ** (attempt - 1))
    assert ceiling / 2 <= Backoff(initial, cap).delay(attempt, seed) <= ceiling


@given(attempt=st.integers(1, 20), seed=st.text())
def test_the_same_seed_waits_the_same_time(attempt: int, seed: str) -> None:
    assert Backoff(0.1, 5).delay(attempt, seed) == Backoff(0.1, 5).delay(attempt, seed)


def test_replicas_with_other_seeds_do_not_march_in_step() -> None:
    delays = {Backoff(1, 1).delay(1, f"pod-{number}") for number in range(50)}
    assert len(delays) == 50
    assert min(delays) < 0.6
    assert max(delays) > 0.9


def test_the_third_wait_of_a_tenth_is_four_tenths_at_most() -> None:
    assert 0.2 <= Backoff(0.1, 5).delay(3, "x") <= 0.4


@pytest.mark.parametrize(
    ("error", "attempts"),
    [
        (RecordError("bad"), 1),
        (UndecodableRecordError("bad"), 1),
        (DependencyUnavailableError("redis", "down"), 5),
        (RebalancedError("moved"), 5),
        (KeyError("surprise"), 2),
    ],
)
def test_the_class_of_the_error_decides_how_often(error: Exception, attempts: int) -> None:
    assert RetryPolicies.from_settings(Settings()).attempts(error) == attempts


class Flaky:
    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


async def test_retrying_repeats_transient_errors_after_a_wait(clock: VirtualClock) -> None:
    flaky = Flaky(DependencyUnavailableError("redis", "down"), RebalancedError("moved"))
    begun = clock.monotonic()
    assert await retrying(clock, POLICIES, flaky, seed="x") == "done"
    waited = (clock.monotonic() - begun) / 1e9
    assert flaky.calls == 3
    assert 0.05 + 0.1 <= waited <= 0.1 + 0.2


async def test_retrying_gives_up_with_the_last_error(clock: VirtualClock) -> None:
    errors = [DependencyUnavailableError("redis", str(number)) for number in range(4)]
    with pytest.raises(DependencyUnavailableError, match="redis: 2"):
        await retrying(clock, POLICIES, Flaky(*errors), seed="x")


@pytest.mark.parametrize("error", [RecordError("bad"), FencedError("stale"), KeyError("surprise")])
async def test_retrying_repeats_nothing_else(clock: VirtualClock, error: Exception) -> None:
    flaky = Flaky(error)
    with pytest.raises(type(error)):
        await retrying(clock, POLICIES, flaky, seed="x")
    assert flaky.calls == 1


async def test_retrying_can_be_cancelled_while_it_waits(clock: VirtualClock) -> None:
    with clock.hold():
        task = asyncio.create_task(
            retrying(clock, POLICIES, Flaky(RebalancedError("moved")), seed="x"),
        )
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
