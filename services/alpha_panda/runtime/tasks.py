"""The tasks of one service: the first failure ends all; a graceful stop interrupts only where input is awaited."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import ContextVar
from typing import TypeVar

from alpha_panda.errors import MisuseError

T = TypeVar("T")


class Runner:
    """A long task. `gated`: it waits for its input through `intake`, so that a stop interrupts it only there.

    Its children (`spawn`) are stopped with it, and are busy for it.
    """

    def __init__(self, name: str, work: Callable[[], Awaitable[None]], *, gated: bool) -> None:
        self.name = name
        self.gated = gated
        self.stopping = False
        self.killed = False
        self._work = work
        self._waiting = False
        self._busy_since = 0.0
        self._task: asyncio.Task[None] | None = None
        self._children: list[Runner] = []

    @property
    def task(self) -> asyncio.Task[None]:
        """The task; only after `start`."""
        if self._task is None:
            raise MisuseError(f"{self.name} has not been started")
        return self._task

    @property
    def draining(self) -> bool:
        """Whether it was asked to stop and may still finish what it has in hand."""
        return self.stopping and not self.killed

    def start(self) -> None:
        """Begin."""
        self.progressed()
        self._task = asyncio.create_task(self._main(), name=self.name)

    async def _main(self) -> None:
        _current.set(self)
        await self._work()

    def request_stop(self) -> None:
        """Stop at the next (or present) `intake`; at once if it uses none."""
        self.stopping = True
        if self._waiting or not self.gated:
            self.task.cancel()
        self.stop_children()

    def spawn(self, name: str, work: Callable[[], Awaitable[None]]) -> "Runner":
        """Begin a gated child: `intake` and `progressed` in its task are its own. It has to see to its errors itself.

        Whoever spawns ends them in the end (`end_children`).
        """
        child = Runner(name, work, gated=True)
        child.stopping = self.stopping
        child.start()
        self._children.append(child)
        child.task.add_done_callback(lambda _: self._children.remove(child))
        return child

    def stop_children(self) -> None:
        """Ask the children to stop, and them alone."""
        for child in tuple(self._children):
            child.request_stop()

    async def end_children(self) -> None:
        """Cut off the children that still run."""
        await _end(tuple(self._children))

    def kill(self) -> None:
        """Cancel, wherever it is."""
        self.killed = True
        self.task.cancel()

    async def wait_for_input(self, awaitable: Awaitable[T]) -> T:
        """Await; CancelledError as soon as a stop is requested."""
        self.gated = True
        if self.stopping:
            _discard(awaitable)
            raise asyncio.CancelledError
        self._waiting = True
        try:
            return await awaitable
        finally:
            self._waiting = False
            self.progressed()

    def progressed(self) -> None:
        """Say that work goes on: something was finished, and more is in hand."""
        self._busy_since = asyncio.get_running_loop().time()

    def busy_seconds(self) -> float:
        """Return how long it, or a child, has been at one piece of work; 0 while all wait for input, or have ended.

        Wall time: what hangs is noticed by it, whatever drives the clock of the services.
        """
        return max((self._own_busy_seconds(), *(child.busy_seconds() for child in self._children)))

    def _own_busy_seconds(self) -> float:
        if self._waiting or self._task is None or self._task.done():
            return 0.0
        return asyncio.get_running_loop().time() - self._busy_since


_current: ContextVar[Runner | None] = ContextVar("runner", default=None)


def current_runner() -> Runner | None:
    """Return the runner whose task this is; None in any other task, also in one that a runner created by itself."""
    runner = _current.get()
    return runner if runner is not None and runner.task is asyncio.current_task() else None


async def intake(awaitable: Awaitable[T]) -> T:
    """Wait for input: the one place where a graceful stop interrupts the task, by CancelledError.

    What the awaitable has taken by then must be safe to take again (uncommitted records are).
    """
    runner = current_runner()
    return await (awaitable if runner is None else runner.wait_for_input(awaitable))


def _discard(awaitable: Awaitable[object]) -> None:
    close = getattr(awaitable, "close", None)
    if close is not None:
        close()  # a coroutine that is never awaited would warn


class Crew:
    """All runners of a service. Background ones live until `close`, through all phases."""

    def __init__(self, drain_timeout_seconds: float) -> None:
        self.present: tuple[Runner, ...] = ()
        self.stop_requested = asyncio.Event()
        self._drain_timeout = drain_timeout_seconds
        self._deadline: float | None = None
        self._background: list[Runner] = []

    def request_stop(self) -> None:
        """Begin the graceful stop; its time runs from the first call."""
        if self._deadline is None:
            # A grace period is the outside world's, so it is wall time even when the clock is virtual.
            self._deadline = asyncio.get_running_loop().time() + self._drain_timeout
        self.stop_requested.set()

    def add_background(self, runner: Runner) -> None:
        """Start a runner that ends at `close`; its failure ends every phase."""
        runner.start()
        self._background.append(runner)

    async def serve(self, runners: Sequence[Runner]) -> bool:
        """Run until a stop is requested, then let each finish; False if the time for that ran out."""
        return await self._phase(runners, until_stop=True, stoppable=True)

    async def complete(self, runner: Runner, *, stoppable: bool) -> bool:
        """Run one to its end; False if it was stopped (`stoppable`) or ran out of the time for stopping."""
        return (
            await self._phase((runner,), until_stop=False, stoppable=stoppable)
            and not runner.task.cancelled()
        )

    async def close(self) -> None:
        """End the background."""
        await _end(self._background)

    async def _phase(self, runners: Sequence[Runner], *, until_stop: bool, stoppable: bool) -> bool:
        stop = asyncio.create_task(self.stop_requested.wait())
        self.present = tuple(runners)
        for runner in runners:
            runner.start()
        try:
            if not await self._watch(runners, stop, until_stop=until_stop):
                return True
            if stoppable:
                for runner in runners:
                    runner.request_stop()
            return await self._drain(runners)
        finally:
            stop.cancel()
            await _end(runners)

    async def _watch(self, runners: Sequence[Runner], stop: asyncio.Task[bool], *, until_stop: bool) -> bool:
        """Wait for the stop (True) or, unless `until_stop`, for all runners to end (False)."""
        while not self.stop_requested.is_set():
            waiting = [runner.task for runner in self._alive(runners)]
            if not until_stop and all(runner.task.done() for runner in runners):
                return False
            await asyncio.wait({stop, *waiting}, return_when=asyncio.FIRST_COMPLETED)
            self._raise_failures(runners)
        return True

    async def _drain(self, runners: Sequence[Runner]) -> bool:
        loop = asyncio.get_running_loop()
        while not all(runner.task.done() for runner in runners):
            left = (self._deadline or 0.0) - loop.time()
            if left <= 0:
                return False
            waiting = [runner.task for runner in self._alive(runners)]
            await asyncio.wait(waiting, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            self._raise_failures(runners)
        self._raise_failures(runners)
        return True

    def _alive(self, runners: Sequence[Runner]) -> list[Runner]:
        return [runner for runner in (*self._background, *runners) if not runner.task.done()]

    def _raise_failures(self, runners: Sequence[Runner]) -> None:
        # In the order of the runners, not of the set that asyncio.wait returns: the same error every time.
        for runner in (*self._background, *runners):
            if not runner.task.done():
                continue
            if runner.task.cancelled():
                if not runner.stopping:
                    raise asyncio.CancelledError  # the work cancelled itself: not ours to swallow
                continue
            error = runner.task.exception()
            if error is not None:
                raise error


async def _end(runners: Iterable[Runner]) -> None:
    tasks = []
    for runner in runners:
        if not runner.task.done():
            runner.kill()
        tasks.append(runner.task)
    await asyncio.gather(*tasks, return_exceptions=True)
