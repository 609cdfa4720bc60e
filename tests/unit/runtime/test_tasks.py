import asyncio

import pytest

from alpha_panda.errors import MisuseError
from alpha_panda.runtime.tasks import Crew, Runner, current_runner, intake


async def forever() -> None:
    await asyncio.Event().wait()


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


class Work:
    """Takes an input, works on it until it is let go, and so on."""

    def __init__(self) -> None:
        self.inputs: asyncio.Queue[int] = asyncio.Queue()
        self.finish = asyncio.Event()
        self.done: list[int] = []
        self.cancelled = False

    async def gated(self) -> None:
        while True:
            item = await intake(self.inputs.get())
            await self._work(item)

    async def _work(self, item: int) -> None:
        try:
            await self.finish.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        self.done.append(item)


async def test_a_stop_interrupts_the_wait_for_input() -> None:
    crew, work = Crew(5), Work()
    serving = asyncio.create_task(crew.serve([Runner("w", work.gated, gated=True)]))
    await turns()
    crew.request_stop()
    assert await serving


async def test_a_stop_lets_the_work_in_hand_finish_and_takes_no_more() -> None:
    crew, work = Crew(5), Work()
    work.inputs.put_nowait(1)
    work.inputs.put_nowait(2)
    serving = asyncio.create_task(crew.serve([Runner("w", work.gated, gated=True)]))
    await turns()
    crew.request_stop()
    await turns()
    assert not serving.done()
    work.finish.set()
    assert await serving
    assert work.done == [1]
    assert not work.cancelled


async def test_work_that_does_not_finish_in_time_is_cut_off() -> None:
    crew, work = Crew(0.05), Work()
    work.inputs.put_nowait(1)
    serving = asyncio.create_task(crew.serve([Runner("w", work.gated, gated=True)]))
    await turns()
    crew.request_stop()
    assert not await serving
    assert work.cancelled


async def test_a_runner_that_uses_no_intake_is_cancelled_at_once() -> None:
    crew = Crew(5)
    serving = asyncio.create_task(crew.serve([Runner("w", forever, gated=False)]))
    await turns()
    crew.request_stop()
    assert await serving


async def test_the_first_intake_makes_a_runner_gated() -> None:
    crew, work = Crew(5), Work()
    work.inputs.put_nowait(1)
    serving = asyncio.create_task(crew.serve([Runner("w", work.gated, gated=False)]))
    await turns()
    crew.request_stop()
    await turns()
    work.finish.set()
    assert await serving
    assert work.done == [1]


async def test_intake_outside_of_a_runner_just_waits() -> None:
    async def answer() -> int:
        return 42

    assert current_runner() is None
    assert await intake(answer()) == 42


async def test_a_task_that_a_runner_started_is_not_the_runner() -> None:
    seen: list[Runner | None] = []

    async def child() -> None:
        seen.append(current_runner())

    async def parent() -> None:
        await asyncio.create_task(child())
        seen.append(current_runner())

    runner = Runner("parent", parent, gated=True)
    await Crew(5).complete(runner, stoppable=True)
    assert seen == [None, runner]


async def test_the_first_failure_cancels_the_others_and_comes_out_plain() -> None:
    crew, other = Crew(5), Work()
    other.inputs.put_nowait(1)

    async def fail() -> None:
        await turns()
        raise KeyError("x")

    with pytest.raises(KeyError):
        await crew.serve([Runner("other", other.gated, gated=True), Runner("fail", fail, gated=True)])
    assert other.cancelled


async def test_a_failure_in_the_background_ends_a_phase() -> None:
    crew = Crew(5)

    async def fail() -> None:
        await turns()
        raise KeyError("background")

    crew.add_background(Runner("back", fail, gated=False))
    with pytest.raises(KeyError, match="background"):
        await crew.serve([Runner("w", forever, gated=False)])
    await crew.close()


async def test_a_failure_while_draining_is_not_swallowed() -> None:
    crew, work = Crew(5), Work()

    async def fail_late() -> None:
        await work.gated()

    async def fail() -> None:
        await work.finish.wait()
        raise KeyError("late")

    runners = [Runner("w", fail_late, gated=True), Runner("f", fail, gated=True)]
    serving = asyncio.create_task(crew.serve(runners))
    await turns()
    crew.request_stop()
    await turns()
    work.finish.set()
    with pytest.raises(KeyError, match="late"):
        await serving


async def test_the_background_lives_through_phases_until_close() -> None:
    crew = Crew(5)
    back = Runner("back", forever, gated=False)
    crew.add_background(back)
    assert await crew.complete(Runner("start", turns, gated=True), stoppable=True)
    assert not back.task.done()
    await crew.close()
    assert back.task.cancelled()


async def test_a_runner_that_ends_by_itself_does_not_end_the_service() -> None:
    crew = Crew(5)
    serving = asyncio.create_task(crew.serve([Runner("short", turns, gated=True)]))
    await turns(20)
    assert not serving.done()
    crew.request_stop()
    assert await serving


async def test_a_stop_before_the_end_of_the_start_is_told() -> None:
    crew = Crew(5)

    async def wait_for_lease() -> None:
        await intake(asyncio.Event().wait())

    starting = asyncio.create_task(crew.complete(Runner("start", wait_for_lease, gated=True), stoppable=True))
    await turns()
    crew.request_stop()
    assert not await starting


async def test_the_last_phase_is_not_stopped_by_the_stop_that_it_belongs_to() -> None:
    crew, done = Crew(5), []

    async def on_stop() -> None:
        await turns()
        done.append(1)

    crew.request_stop()
    assert await crew.complete(Runner("on_stop", on_stop, gated=True), stoppable=False)
    assert done == [1]


async def test_the_last_phase_is_bounded_by_the_drain_time() -> None:
    crew = Crew(0.05)
    crew.request_stop()
    assert not await crew.complete(Runner("on_stop", forever, gated=True), stoppable=False)


async def test_cancelling_a_phase_cancels_its_runners() -> None:
    crew, work = Crew(5), Work()
    work.inputs.put_nowait(1)
    serving = asyncio.create_task(crew.serve([Runner("w", work.gated, gated=True)]))
    await turns()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    assert work.cancelled


async def test_work_that_cancels_itself_ends_the_phase() -> None:
    async def cancel_myself() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await Crew(5).serve([Runner("w", cancel_myself, gated=True)])


def test_a_runner_that_was_not_started_has_no_task() -> None:
    with pytest.raises(MisuseError, match="w has not been started"):
        _ = Runner("w", forever, gated=True).task


class TestBusySeconds:
    """How liveness knows a task that hangs from one that waits for input."""

    async def test_waiting_for_input_is_not_being_busy_however_long(self) -> None:
        crew, work = Crew(5), Work()
        runner = Runner("w", work.gated, gated=True)
        serving = asyncio.create_task(crew.serve([runner]))
        await asyncio.sleep(0.02)
        assert runner.busy_seconds() == 0
        assert crew.present == (runner,)
        crew.request_stop()
        await serving

    async def test_one_piece_of_work_that_does_not_end_is_counted_from_its_beginning(self) -> None:
        crew, work = Crew(5), Work()
        runner = Runner("w", work.gated, gated=True)
        serving = asyncio.create_task(crew.serve([runner]))
        await asyncio.sleep(0.02)
        work.inputs.put_nowait(1)
        await asyncio.sleep(0.02)
        assert 0.01 < runner.busy_seconds() < 1
        runner.progressed()
        assert runner.busy_seconds() < 0.01
        work.finish.set()
        await turns()
        assert runner.busy_seconds() == 0
        crew.request_stop()
        await serving
        assert runner.busy_seconds() == 0


class TestChildren:
    """Tasks that a runner spawns: stopped with it, and busy for it."""

    @staticmethod
    def parent_of(*works: Work) -> Runner:
        async def run() -> None:
            for work in works:
                parent.spawn("child", work.gated)
            try:
                await intake(asyncio.Event().wait())
            finally:
                if parent.draining:
                    await asyncio.gather(*(work.finish.wait() for work in works if not work.inputs.empty()))
                await turns()
                await parent.end_children()

        parent = Runner("parent", run, gated=True)
        return parent

    async def test_a_stop_interrupts_the_wait_of_a_child_too(self) -> None:
        crew, work = Crew(5), Work()
        serving = asyncio.create_task(crew.serve([self.parent_of(work)]))
        await turns()
        crew.request_stop()
        assert await serving
        assert work.done == []
        assert not work.cancelled

    async def test_stopping_the_children_alone_leaves_the_parent(self) -> None:
        crew, waits, works = Crew(5), Work(), Work()
        works.inputs.put_nowait(1)
        parent = self.parent_of(waits, works)
        serving = asyncio.create_task(crew.serve([parent]))
        await turns()
        parent.stop_children()
        await turns()
        assert not parent.task.done()
        works.finish.set()
        await turns()
        assert (works.done, parent.busy_seconds()) == ([1], 0)
        crew.request_stop()
        assert await serving

    async def test_a_child_that_hangs_makes_the_parent_busy_whatever_its_siblings_do(self) -> None:
        crew, hangs, waits = Crew(5), Work(), Work()
        hangs.inputs.put_nowait(1)
        parent = self.parent_of(hangs, waits)
        serving = asyncio.create_task(crew.serve([parent]))
        await turns()
        await asyncio.sleep(0.03)
        waits.inputs.put_nowait(2)
        waits.finish.set()
        await turns()
        assert parent.busy_seconds() > 0.02
        hangs.finish.set()
        await turns()
        assert parent.busy_seconds() == 0
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)

    async def test_a_kill_of_the_parent_ends_the_children_by_its_hand(self) -> None:
        crew, work = Crew(5), Work()
        work.inputs.put_nowait(1)
        serving = asyncio.create_task(crew.serve([self.parent_of(work)]))
        await turns()
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        assert work.cancelled

    async def test_a_child_of_one_that_is_stopping_takes_no_input(self) -> None:
        taken = Work()
        taken.inputs.put_nowait(1)

        async def spawn_late() -> None:
            crew.request_stop()
            await turns()
            runner.spawn("late", taken.gated)
            await turns()

        crew = Crew(5)
        runner = Runner("parent", spawn_late, gated=True)
        await crew.complete(runner, stoppable=True)
        assert taken.inputs.qsize() == 1
