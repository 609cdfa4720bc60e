from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from alpha_panda.errors import BreakerOpenError, DependencyUnavailableError, FencedError, RecordError
from alpha_panda.runtime.breaker import Breaker, Breakers, BreakerState, Circuit

if TYPE_CHECKING:
    from alpha_panda.ports import Clock

THRESHOLD = 3
RESET = 10.0


class HandClock:
    """A clock that a test moves; only what a breaker reads."""

    def __init__(self) -> None:
        self.ns = 5_000_000_000

    def monotonic(self) -> int:
        return self.ns

    def advance(self, seconds: float) -> None:
        self.ns += round(seconds * 1e9)


def make(clock: HandClock) -> Breaker:
    return Breaker("redis", cast("Clock", cast("Any", clock)), THRESHOLD, RESET)


def board(clock: HandClock) -> Breakers:
    return Breakers(cast("Clock", cast("Any", clock)), THRESHOLD, RESET)


def down(dependency: str = "redis") -> DependencyUnavailableError:
    return DependencyUnavailableError(dependency, "down")


def opened(clock: HandClock) -> Breaker:
    breaker = make(clock)
    for _ in range(THRESHOLD):
        breaker.failed()
    return breaker


class BreakerMachine(RuleBasedStateMachine):
    """The breaker against a model of three variables."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = HandClock()
        self.breaker = make(self.clock)
        self.failures = 0
        self.opened_at: int | None = None
        self.probing = False

    @property
    def over(self) -> bool:
        return self.opened_at is not None and self.clock.ns - self.opened_at >= RESET * 1e9

    @rule(seconds=st.floats(min_value=0, max_value=12))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def ask(self) -> None:
        expected = self.opened_at is None or (self.over and not self.probing)
        assert self.breaker.ready == expected
        assert self.breaker.allow() == expected
        if expected and self.opened_at is not None:
            self.probing = True

    @rule()
    def fail(self) -> None:
        self.breaker.failed()
        if self.opened_at is None:
            self.failures += 1
            if self.failures >= THRESHOLD:
                self.opened_at = self.clock.ns
        elif self.probing:
            self.opened_at, self.probing = self.clock.ns, False

    @rule()
    def succeed(self) -> None:
        self.breaker.succeeded()
        if self.opened_at is None or self.probing:
            self.failures, self.opened_at, self.probing = 0, None, False

    @precondition(lambda self: self.probing)
    @rule()
    def abandon(self) -> None:
        self.breaker.abandoned()
        self.probing = False
        assert self.breaker.ready

    @invariant()
    def states_agree(self) -> None:
        expected = BreakerState.CLOSED
        if self.opened_at is not None:
            expected = BreakerState.HALF_OPEN if self.probing else BreakerState.OPEN
        assert self.breaker.state is expected

    @invariant()
    def a_wait_is_asked_for_exactly_when_it_would_refuse(self) -> None:
        assert (self.breaker.wait_seconds() == 0) == self.breaker.ready
        assert 0 <= self.breaker.wait_seconds() <= RESET


BreakerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestBreakerStates = BreakerMachine.TestCase


def test_it_opens_at_the_threshold_and_not_before() -> None:
    breaker = make(HandClock())
    breaker.failed()
    breaker.failed()
    assert breaker.allow()
    breaker.failed()
    assert not breaker.allow()


def test_a_success_in_between_starts_the_count_anew() -> None:
    breaker = make(HandClock())
    for _ in range(5):
        breaker.failed()
        breaker.failed()
        breaker.succeeded()
    assert breaker.state is BreakerState.CLOSED


def test_one_probe_passes_after_the_reset_time_and_only_one() -> None:
    clock = HandClock()
    breaker = opened(clock)
    clock.advance(RESET - 0.001)
    assert not breaker.allow()
    clock.advance(0.001)
    assert breaker.allow()
    assert not breaker.allow()


def test_a_failed_probe_opens_it_for_the_whole_time_again() -> None:
    clock = HandClock()
    breaker = opened(clock)
    clock.advance(RESET)
    assert breaker.allow()
    breaker.failed()
    assert breaker.wait_seconds() == RESET


def test_a_late_success_from_before_does_not_close_it() -> None:
    breaker = opened(HandClock())
    breaker.succeeded()
    assert breaker.state is BreakerState.OPEN


async def test_call_refuses_without_asking_while_open() -> None:
    asked = []

    async def ask() -> None:
        asked.append(1)

    with pytest.raises(BreakerOpenError, match=r"redis: circuit breaker open for 10\.0 s more"):
        await opened(HandClock()).call(ask)
    assert asked == []


async def test_call_counts_failures_of_its_own_dependency_only() -> None:
    breaker = make(HandClock())

    async def fail(error: Exception) -> None:
        raise error

    for error in (down("kafka"), RecordError("bad"), BreakerOpenError("redis", "not asked"), KeyError("x")):
        for _ in range(THRESHOLD):
            with pytest.raises(type(error)):
                await breaker.call(lambda error=error: fail(error))  # type: ignore[misc]
    assert breaker.ready
    for _ in range(THRESHOLD):
        with pytest.raises(DependencyUnavailableError):
            await breaker.call(lambda: fail(down()))
    assert not breaker.ready


async def test_a_probe_that_says_nothing_of_the_dependency_is_followed_by_another_at_once() -> None:
    clock = HandClock()
    breaker = opened(clock)
    clock.advance(RESET)

    async def fenced() -> None:
        raise FencedError("stale")

    with pytest.raises(FencedError):
        await breaker.call(fenced)
    assert breaker.state is BreakerState.OPEN
    assert breaker.ready


async def test_a_probe_that_succeeds_closes_and_returns_the_answer() -> None:
    clock = HandClock()
    breaker = opened(clock)
    clock.advance(RESET)

    async def answer() -> int:
        return 42

    assert await breaker.call(answer) == 42
    assert breaker.state is BreakerState.CLOSED


def test_a_board_has_one_breaker_a_dependency_and_tells_their_states_by_name() -> None:
    breakers = board(HandClock())
    assert breakers.get("redis") is breakers.get("redis")
    for _ in range(THRESHOLD):
        breakers.get("kafka").failed()
    assert breakers.states() == {"kafka": "open", "redis": "closed"}


class TestCircuit:
    def test_a_dependency_that_another_consumer_saw_fail_does_not_stand_in_this_ones_way(self) -> None:
        breakers = board(HandClock())
        mine, other = Circuit(breakers), Circuit(breakers)
        for _ in range(THRESHOLD):
            other.failed(down())
        assert other.blocking() == ["redis"]
        assert mine.blocking() == []
        assert mine.closed

    def test_the_first_failure_on_an_open_breaker_joins_the_wait(self) -> None:
        breakers = board(HandClock())
        mine, other = Circuit(breakers), Circuit(breakers)
        for _ in range(THRESHOLD):
            other.failed(down())
        mine.failed(down())
        assert mine.blocking() == ["redis"]

    def test_it_waits_for_the_last_of_several(self) -> None:
        clock = HandClock()
        circuit = Circuit(board(clock))
        for _ in range(THRESHOLD):
            circuit.failed(down("redis"))
        clock.advance(4)
        for _ in range(THRESHOLD):
            circuit.failed(down("prices"))
        assert circuit.blocking() == ["redis", "prices"]
        assert circuit.wait_seconds() == 10
        clock.advance(6)
        assert circuit.blocking() == ["prices"]

    def test_one_attempt_probes_all_and_its_success_closes_all(self) -> None:
        clock = HandClock()
        breakers = board(clock)
        circuit = Circuit(breakers)
        for _ in range(THRESHOLD):
            circuit.failed(down("redis"))
            circuit.failed(down("prices"))
        clock.advance(RESET)
        circuit.enter()
        assert breakers.states() == {"prices": "half-open", "redis": "half-open"}
        assert not circuit.closed
        circuit.succeeded()
        assert circuit.closed

    def test_a_probe_that_fails_on_one_dependency_leaves_the_other_to_be_probed_again(self) -> None:
        clock = HandClock()
        circuit = Circuit(board(clock))
        for _ in range(THRESHOLD):
            circuit.failed(down("redis"))
            circuit.failed(down("prices"))
        clock.advance(RESET)
        circuit.enter()
        circuit.failed(down("redis"))
        assert circuit.blocking() == ["redis"]


def test_one_that_nobody_tries_is_not_shown_open_for_ever() -> None:
    """Whether its dependency is back nobody knows, and nothing is held up: that is no reason to call a person."""
    clock = HandClock()
    breakers = board(clock)
    breaker = breakers.get("redis")
    for _ in range(THRESHOLD):
        breaker.failed()
    assert breakers.states() == {"redis": "open"}
    clock.advance(RESET)
    assert breakers.states() == {"redis": "half-open"}
    assert breaker.state is BreakerState.OPEN
    assert breaker.allow()
    assert breakers.states() == {"redis": "half-open"}
    breaker.failed()
    assert breakers.states() == {"redis": "open"}
    clock.advance(RESET)
    assert breaker.allow()
    breaker.succeeded()
    assert breakers.states() == {"redis": "closed"}
