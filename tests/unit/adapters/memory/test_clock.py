import asyncio
import os
import signal
import threading
from collections.abc import Coroutine
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_panda.adapters.memory.clock import MANY_CANCELLED, VirtualClock
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.errors import MisuseError
from alpha_panda.testing.virtual_time import START, run_virtual

S = SECOND_NS


class Stage:
    """Actors that note what they do and when, in seconds since START."""

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.trace: list[tuple[str, float]] = []
        self.tasks: list[asyncio.Task[None]] = []

    def note(self, name: str) -> None:
        self.trace.append((name, (self.clock.now() - START) / S))

    def start(self, actor: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        self.tasks.append(asyncio.create_task(actor))
        return self.tasks[-1]

    async def sleeper(self, name: str, *seconds: float) -> None:
        for nap in seconds:
            await self.clock.sleep(nap)
            self.note(name)

    async def pacer(self, name: str, *times: float) -> None:
        for at in times:
            await self.clock.pace_until(START + round(at * S))
            self.note(name)

    async def ticker(self, name: str, period: float) -> None:
        async for _ in self.clock.every(period):
            self.note(name)
            await asyncio.sleep(0)
            self.note(f"{name} done")

    def stop(self) -> None:
        for task in self.tasks:
            task.cancel()


@pytest.fixture
def stage(clock: VirtualClock) -> Stage:
    return Stage(clock)


async def test_time_stands_still_while_anything_runs(clock: VirtualClock) -> None:
    assert clock.virtual
    for _ in range(100):
        await asyncio.sleep(0)
        await clock.sleep(0)
    assert clock.now() == START
    assert clock.monotonic() == 0


async def test_a_sleep_takes_its_time_and_no_more(clock: VirtualClock) -> None:
    await clock.sleep(3600.5)
    assert clock.now() - START == clock.monotonic() == 3_600_500_000_000


async def test_a_jump_runs_sleepers_in_order_then_tickers_and_the_pacer_last(stage: Stage) -> None:
    pacer = stage.start(stage.pacer("pacer", 10))
    stage.start(stage.sleeper("late", 7))
    stage.start(stage.sleeper("early", 2, 1))
    stage.start(stage.ticker("ticker", 4))
    stage.start(stage.sleeper("with the pacer", 10))
    await pacer
    stage.stop()
    assert stage.trace == [
        ("early", 2),
        ("early", 3),
        ("ticker", 7),  # due at 4, but only the sleeper's 7 moved time past it
        ("ticker done", 7),
        ("late", 7),
        ("ticker", 10),  # due at 8
        ("ticker done", 10),
        ("with the pacer", 10),
        ("pacer", 10),
    ]


async def test_all_that_a_ticker_does_is_done_before_the_pacer_goes_on(stage: Stage) -> None:
    keys_until = START

    async def renew() -> None:
        nonlocal keys_until
        async for now in stage.clock.every(5):
            for _ in range(20):  # a renewal that takes several turns of the loop
                await asyncio.sleep(0)
            keys_until = now + 60 * S

    stage.start(renew())
    for day in range(1, 4):  # daily bars: each jump is longer than the keys live
        await stage.clock.pace_until(START + day * 86_400 * S)
        assert keys_until == stage.clock.now() + 60 * S
    stage.stop()


async def test_tickers_never_move_time(stage: Stage) -> None:
    stage.start(stage.ticker("ticker", 1))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.02):  # real time
            await asyncio.get_running_loop().create_future()
    stage.stop()
    assert stage.trace == []
    assert stage.clock.now() == START


async def test_a_ticker_wakes_once_however_many_periods_passed_and_stays_on_its_grid(
    clock: VirtualClock,
) -> None:
    ticker = clock.every(10)
    await clock.advance(35)
    assert await anext(ticker) == START + 35 * S
    waiting = asyncio.ensure_future(anext(ticker))
    await clock.advance(4)
    assert not waiting.done()
    await clock.advance(1)
    assert waiting.result() == START + 40 * S


async def test_a_due_ticker_does_not_wait(clock: VirtualClock) -> None:
    ticker = clock.every(1)
    await clock.sleep(1)
    step = ticker.__anext__()
    with pytest.raises(StopIteration) as done:
        step.send(None)  # type: ignore[attr-defined]
    assert done.value.value == START + S


async def test_ties_go_to_who_came_first(stage: Stage) -> None:
    for name in ("a", "b", "c"):
        stage.start(stage.pacer(f"pacer {name}", 5))
        stage.start(stage.sleeper(f"sleeper {name}", 5))
        stage.start(stage.ticker(f"ticker {name}", 5))
    await stage.clock.advance(5)
    stage.stop()
    assert [name for name, _ in stage.trace] == [
        *(f"ticker {name}" for name in "abc"),
        *(f"ticker {name} done" for name in "abc"),
        *(f"sleeper {name}" for name in "abc"),
        *(f"pacer {name}" for name in "abc"),
    ]


async def test_the_loop_comes_to_rest_between_two_of_the_same_time(clock: VirtualClock) -> None:
    trace = list[str]()

    async def actor(name: str) -> None:
        await clock.pace_until(START + S)
        for _ in range(3):
            trace.append(name)
            await asyncio.sleep(0)

    await asyncio.gather(actor("a"), actor("b"))
    assert trace == ["a"] * 3 + ["b"] * 3


async def test_pacing_to_the_past_waits_until_all_is_at_rest(stage: Stage) -> None:
    await stage.clock.sleep(5)

    async def busy() -> None:
        for _ in range(10):
            await asyncio.sleep(0)
        stage.note("busy")

    stage.start(busy())
    await stage.clock.pace_until(START)
    stage.note("paced")
    assert stage.trace == [("busy", 5), ("paced", 5)]


async def test_pacers_that_are_behind_catch_up_in_the_order_of_their_times(stage: Stage) -> None:
    await stage.clock.sleep(5)
    stage.start(stage.pacer("late", 3, 4))
    stage.start(stage.pacer("later", 1, 2))
    await stage.clock.advance(0)
    assert stage.trace == [("later", 5), ("later", 5), ("late", 5), ("late", 5)]


async def test_advance_returns_when_all_that_became_due_was_done(stage: Stage) -> None:
    stage.start(stage.sleeper("sleeper", 1, 1, 1, 1))
    await stage.clock.advance(0)
    await stage.clock.advance(3)
    assert stage.trace == [("sleeper", 1), ("sleeper", 2), ("sleeper", 3)]
    assert stage.clock.now() == START + 3 * S
    stage.stop()


@pytest.mark.parametrize("kind", ["sleep", "pace", "every"])
async def test_a_cancelled_waiter_is_forgotten(clock: VirtualClock, kind: str) -> None:
    waits = {"sleep": clock.sleep(5), "pace": clock.pace_until(START + 5 * S), "every": anext(clock.every(5))}
    task = asyncio.ensure_future(waits.pop(kind))
    for other in waits.values():
        other.close()  # type: ignore[attr-defined]
    await asyncio.sleep(0)
    task.cancel()
    await clock.sleep(10)
    assert task.cancelled()
    assert clock.now() == START + 10 * S  # nobody was woken at 5


async def test_cancelled_waiters_do_not_pile_up(clock: VirtualClock) -> None:
    for _ in range(20 * MANY_CANCELLED):
        task = asyncio.create_task(clock.sleep(1e6))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert len(clock._sleepers._heap) <= 2 * MANY_CANCELLED
    await clock.sleep(1)
    assert clock.now() == START + S


async def test_a_waiter_cancelled_in_the_moment_of_its_release_harms_nobody(stage: Stage) -> None:
    task = stage.start(stage.sleeper("victim", 1))
    await asyncio.sleep(0)
    released = stage.clock._on_idle
    assert released()  # time is 1 now, the victim's future is done, its task has not run
    task.cancel()
    await stage.clock.sleep(1)
    assert task.cancelled()
    assert stage.clock.now() == START + 2 * S


async def test_held_time_lets_a_thread_finish_first(stage: Stage) -> None:
    stage.start(stage.sleeper("sleeper", *[1.0] * 1000))
    await asyncio.sleep(0)
    loop, finish = asyncio.get_running_loop(), threading.Event()
    loop.call_later(0.02, finish.set)
    with stage.clock.hold():
        assert await loop.run_in_executor(None, finish.wait, 10)
        assert stage.clock.now() == START
    await stage.clock.advance(2)
    stage.stop()
    assert stage.trace == [("sleeper", 1), ("sleeper", 2)]


async def test_signals_and_real_timers_work_while_time_runs(stage: Stage) -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGINT, stopped.set)

    async def endless() -> None:
        while True:
            await stage.clock.sleep(1)

    stage.start(endless())
    loop.call_later(0.01, os.kill, os.getpid(), signal.SIGINT)
    await stopped.wait()
    loop.remove_signal_handler(signal.SIGINT)
    stage.stop()
    assert stage.clock.now() > START


def test_on_an_ordinary_loop_it_says_what_is_wrong() -> None:
    async def main() -> None:
        await VirtualClock(START).sleep(1)

    with pytest.raises(MisuseError, match="IdleAwareEventLoop"), asyncio.Runner() as runner:
        runner.run(main())


async def test_there_is_one_time_in_a_loop(clock: VirtualClock) -> None:
    await clock.sleep(1)
    with pytest.raises(MisuseError, match="another clock"):
        await VirtualClock(START).sleep(1)


def test_a_clock_goes_on_in_another_loop_without_the_waiters_of_the_former() -> None:
    clock = VirtualClock(START)

    async def first(_: VirtualClock) -> None:
        task = asyncio.create_task(clock.sleep(5))
        await clock.sleep(1)
        task.cancel()

    async def second(_: VirtualClock) -> None:
        await clock.sleep(10)

    run_virtual(first)
    run_virtual(second)
    assert clock.now() == START + 11 * S


async def test_a_period_must_be_positive(clock: VirtualClock) -> None:
    with pytest.raises(MisuseError, match="positive"):
        clock.every(0)


Program = list[tuple[str, list[int]]]
programs = st.lists(
    st.tuples(
        st.sampled_from(["sleep", "pace", "every"]), st.lists(st.integers(1, 20), min_size=1, max_size=5)
    ),
    min_size=1,
    max_size=8,
)


def trace_of(program: Program) -> list[tuple[str, float]]:
    async def main(clock: VirtualClock) -> list[tuple[str, float]]:
        stage = Stage(clock)
        for n, (kind, numbers) in enumerate(program):
            if kind == "sleep":
                stage.start(stage.sleeper(f"{n} sleep", *numbers))
            elif kind == "pace":
                stage.start(stage.pacer(f"{n} pace", *sorted(numbers)))
            else:
                stage.start(stage.ticker(f"{n} every", numbers[0]))
        await clock.advance(100)
        stage.stop()
        return stage.trace

    return run_virtual(main)


@settings(max_examples=60, deadline=None)
@given(program=programs)
def test_any_program_gives_the_same_trace_twice_and_everybody_wakes_on_time(program: Program) -> None:
    trace = trace_of(program)
    assert trace == trace_of(program)
    assert all(earlier <= later for (_, earlier), (_, later) in pairwise(trace))
    for n, (kind, numbers) in enumerate(program):
        seen = [at for name, at in trace if name == f"{n} {kind}"]
        if kind == "sleep":
            assert seen == [sum(numbers[: i + 1]) for i in range(len(numbers))]
        elif kind == "pace":
            assert seen == sorted(numbers)
        else:
            assert len({at // numbers[0] for at in seen}) == len(seen)  # at most once in each period
