import asyncio
import gc
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import pytest

from alpha_panda.testing.simulation.loop import DeadlockError, Process, SimulatedLoop, abandon

Work = Callable[[], Coroutine[Any, Any, None]]


def spawn(loop: SimulatedLoop, process: Process, work: Work) -> "asyncio.Task[None]":
    return loop.create_task(work(), context=loop.context_of(process))


def run(main: Callable[[SimulatedLoop], Coroutine[Any, Any, Any]], seed: int = 1) -> Any:
    loop = SimulatedLoop(Random(seed))
    try:
        return loop.run_until_complete(main(loop))
    finally:
        abandon(loop)


def steps(trace: list[str], name: str, count: int = 3) -> Work:
    async def work() -> None:
        for n in range(count):
            trace.append(f"{name}{n}")
            await asyncio.sleep(0)

    return work


def interleaving(seed: int) -> list[str]:
    trace: list[str] = []

    async def main(loop: SimulatedLoop) -> None:
        tasks = [spawn(loop, Process(name), steps(trace, name)) for name in "abc"]
        await asyncio.gather(*tasks)

    run(main, seed)
    return trace


def test_processes_interleave_as_the_seed_says() -> None:
    traces = {tuple(interleaving(seed)) for seed in range(20)}
    assert len(traces) > 10
    assert all(interleaving(seed) == interleaving(seed) for seed in range(5))


def test_one_process_keeps_the_order_that_asyncio_promises() -> None:
    for seed in range(20):
        trace = interleaving(seed)
        assert [step for step in trace if step[0] == "a"] == ["a0", "a1", "a2"]

    def both(seed: int) -> list[str]:
        trace: list[str] = []

        async def main(loop: SimulatedLoop) -> None:
            process = Process("p")
            await asyncio.gather(*(spawn(loop, process, steps(trace, name)) for name in "ab"))

        run(main, seed)
        return trace

    assert all(both(seed) == ["a0", "b0", "a1", "b1", "a2", "b2"] for seed in range(10))


def test_time_moves_only_when_nothing_can_run_and_then_to_the_next_timer() -> None:
    async def main(loop: SimulatedLoop) -> list[int]:
        seen = []
        for seconds in (1.5, 0.000000001, 0.0):
            await asyncio.sleep(seconds)
            seen.append(loop.now_ns)
        return seen

    assert run(main) == [1_500_000_000, 1_500_000_001, 1_500_000_001]


def test_what_is_paused_neither_runs_nor_wakes_and_then_goes_on_where_it_was() -> None:
    trace: list[tuple[str, int]] = []

    async def main(loop: SimulatedLoop) -> None:
        process = Process("p")

        async def work() -> None:
            await asyncio.sleep(1)
            trace.append(("woke", loop.now_ns))

        task = spawn(loop, process, work)
        await asyncio.sleep(0.5)
        loop.pause(process)
        await asyncio.sleep(4.5)
        assert trace == []
        loop.resume(process)
        await task

    run(main)
    assert trace == [("woke", 5_000_000_000)]


def test_what_is_killed_runs_no_finally_not_even_when_it_is_collected() -> None:
    trace: list[str] = []

    async def main(loop: SimulatedLoop) -> None:
        process = Process("p")

        async def work() -> None:
            try:
                await asyncio.sleep(1)
            finally:
                trace.append("finally")

        spawn(loop, process, work)
        await asyncio.sleep(0.5)
        loop.kill(process)
        gc.collect()
        await asyncio.sleep(10)
        assert trace == []

    run(main)


def test_a_future_that_is_set_for_a_dead_process_wakes_nobody() -> None:
    trace: list[str] = []

    async def main(loop: SimulatedLoop) -> None:
        process, future = Process("p"), loop.create_future()

        async def work() -> None:
            await future
            trace.append("woke")

        spawn(loop, process, work)
        await asyncio.sleep(0.1)
        loop.kill(process)
        future.set_result(None)
        await asyncio.sleep(1)

    run(main)
    assert trace == []


@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_trap_springs_after_so_many_steps_of_its_process(at: int) -> None:
    trace: list[str] = []

    async def main(loop: SimulatedLoop) -> None:
        process = Process("p")
        process.spring(at, lambda: loop.kill(process))
        spawn(loop, process, steps(trace, "p", 5))
        spawn(loop, Process("q"), steps(trace, "q", 5))
        await asyncio.sleep(1)

    run(main)
    assert [step for step in trace if step[0] == "p"] == ["p0", "p1", "p2"][:at]
    assert len([step for step in trace if step[0] == "q"]) == 5


def test_a_world_that_waits_for_nothing_says_so() -> None:
    async def main(loop: SimulatedLoop) -> None:
        await loop.create_future()

    with pytest.raises(DeadlockError):
        run(main)


def test_cancelled_timers_never_fire_and_move_no_time() -> None:
    async def main(loop: SimulatedLoop) -> int:
        timer = loop.call_later(1, lambda: pytest.fail("fired"))
        timer.cancel()
        await asyncio.sleep(2)
        return loop.now_ns

    assert run(main) == 2_000_000_000


def test_timeouts_of_asyncio_are_on_simulated_time() -> None:
    async def main(loop: SimulatedLoop) -> int:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(2.5):
                await asyncio.sleep(1000)
        return loop.now_ns

    assert run(main) == 2_500_000_000


def test_what_asyncio_complains_of_is_kept() -> None:
    async def main(loop: SimulatedLoop) -> list[str]:
        def fail() -> None:
            raise KeyError("broken")

        loop.call_soon(fail)
        await asyncio.sleep(0.1)
        return [repr(problem["exception"]) for problem in loop.problems]

    assert run(main) == ["KeyError('broken')"]
