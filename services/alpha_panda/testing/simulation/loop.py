"""An event loop of many simulated processes on virtual time, scheduled by a seed.

Handles of one process run in the order in which asyncio made them ready, as in a real process; which process runs
next is drawn, at every await point. A process can be stopped as by SIGSTOP (its handles wait, its timers too) or
killed as by SIGKILL (nothing of it ever runs again, no `finally` either).
"""

import asyncio
import heapq
from collections import deque
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from random import Random
from typing import Any, Final

from alpha_panda.contracts.units import SECOND_NS

Trap = Callable[[], None]


class Process:
    """One simulated process: what of it is ready to run, and whether it may."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.ready: deque[asyncio.Handle] = deque()
        self.paused = False
        self.dead = False
        self.steps_to_trap = 0
        self.trap: Trap | None = None

    def spring(self, steps: int, trap: Trap) -> None:
        """Call `trap` when the process has taken so many more steps (from 1): between any two of its awaits."""
        self.steps_to_trap, self.trap = steps, trap

    def __repr__(self) -> str:
        return f"Process({self.name})"


ROOT: Final = "world"
_current: ContextVar[Process | None] = ContextVar("process", default=None)


class DeadlockError(RuntimeError):
    """Nothing is ready and no timer is set: the world waits for ever."""


class SimulatedLoop(asyncio.BaseEventLoop):
    """The loop. Time is integer nanoseconds since its making; it moves only when no process can run."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self.now_ns = 0
        self.steps = 0
        self.root = Process(ROOT)
        self.problems: list[dict[str, Any]] = []
        self.tasks: list[asyncio.Task[Any]] = []  # all of them: one of a dead process must not be collected
        self._random = random.random
        self._runnable: list[Process] = []
        self._timers: list[tuple[int, int, asyncio.TimerHandle, Process]] = []
        self._serial = 0

    # ------------------------------------------------------------------------------------------- processes

    def context_of(self, process: Process) -> Context:
        """Return a context whose tasks belong to the process."""
        context = copy_context()
        context.run(_current.set, process)
        return context

    def pause(self, process: Process) -> None:
        """Stop the process where it is."""
        process.paused = True
        if process in self._runnable:
            self._runnable.remove(process)

    def resume(self, process: Process) -> None:
        """Let the process go on; what became due meanwhile runs now."""
        process.paused = False
        if process.ready and not process.dead and process not in self._runnable:
            self._runnable.append(process)

    def kill(self, process: Process) -> None:
        """End the process for good."""
        process.dead = True
        process.ready.clear()
        if process in self._runnable:
            self._runnable.remove(process)

    # ---------------------------------------------------------------------------------- what asyncio calls

    def create_task(self, coro: Any, **options: Any) -> "asyncio.Task[Any]":  # noqa: ANN401 - as asyncio's
        """See asyncio; the task is kept until the end of the world, so that no `finally` runs when it is collected."""
        task = super().create_task(coro, **options)
        self.tasks.append(task)
        return task

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self.now_ns / SECOND_NS

    def call_soon(  # type: ignore[override] # asyncio's own stubs bind the types of the arguments
        self,
        callback: Callable[..., object],
        *args: Any,  # noqa: ANN401 - as asyncio's
        context: Context | None = None,
    ) -> asyncio.Handle:
        """See asyncio; the context says which process the callback belongs to."""
        handle = asyncio.Handle(callback, args, self, context)
        process = handle._context.get(_current) or self.root  # type: ignore[attr-defined] # noqa: SLF001 - asyncio's own slot; no accessor
        self._append(handle, process)
        return handle

    def call_soon_threadsafe(  # type: ignore[override] # as above
        self,
        callback: Callable[..., object],
        *args: Any,  # noqa: ANN401 - as asyncio's
        context: Context | None = None,
    ) -> asyncio.Handle:
        """See asyncio; there is one thread."""
        return self.call_soon(callback, *args, context=context)

    def call_at(  # type: ignore[override] # as above
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,  # noqa: ANN401 - as asyncio's
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """See asyncio."""
        timer = asyncio.TimerHandle(when, callback, list(args), self, context)
        process = timer._context.get(_current) or self.root  # type: ignore[attr-defined] # noqa: SLF001 - as above
        self._serial += 1
        due = max(self.now_ns, round(when * SECOND_NS))
        heapq.heappush(self._timers, (due, self._serial, timer, process))
        return timer

    def after(
        self,
        delay_ns: int,
        callback: Callable[..., object],
        *args: Any,  # noqa: ANN401 - as asyncio's
    ) -> None:
        """Call back in the world's own context, which nothing stops."""
        self.call_at((self.now_ns + delay_ns) / SECOND_NS, callback, *args, context=self._root_context())

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Keep what asyncio complains of: the run's verdict looks at it."""
        self.problems.append(context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """Do nothing: a cancelled timer is dropped when it is due."""

    def _root_context(self) -> Context:
        context = self.__dict__.get("_root_ctx")
        if context is None:
            context = self.__dict__["_root_ctx"] = self.context_of(self.root)
        return context

    # ------------------------------------------------------------------------------------------- running

    def _append(self, handle: asyncio.Handle, process: Process) -> None:
        if process.dead:
            return
        if not process.ready and not process.paused:
            self._runnable.append(process)
        process.ready.append(handle)

    def _run_once(self) -> None:
        runnable, random = self._runnable, self._random
        while not self._stopping:  # type: ignore[attr-defined] # asyncio's own flag
            if not runnable:
                self._advance()
                continue
            count = len(runnable)
            process = runnable[int(random() * count)] if count > 1 else runnable[0]
            handle = process.ready.popleft()
            if not process.ready:
                runnable.remove(process)
            if handle.cancelled():
                continue
            self.steps += 1
            handle._run()  # noqa: SLF001 - what asyncio's own loop does
            if process.steps_to_trap:
                self._count_down(process)

    def _count_down(self, process: Process) -> None:
        process.steps_to_trap -= 1
        if not process.steps_to_trap and process.trap is not None:
            trap, process.trap = process.trap, None
            trap()

    def _advance(self) -> None:
        timers = self._timers
        while timers and (timers[0][2].cancelled() or timers[0][3].dead):
            heapq.heappop(timers)
        if not timers:
            raise DeadlockError("nothing is ready and no timer is set")
        self.now_ns = due = timers[0][0]
        while timers and timers[0][0] == due:
            _, _, timer, process = heapq.heappop(timers)
            if not timer.cancelled():
                self._append(timer, process)


def abandon(loop: SimulatedLoop) -> None:
    """Let go of everything that has not ended, as the end of the world: no loop turns, nothing takes effect."""
    loop.root.ready.clear()
    pending = [task for task in loop.tasks if not task.done()]
    for task in pending:
        task._log_destroy_pending = False  # type: ignore[attr-defined] # noqa: SLF001 - it is meant to be pending
        _close(task)
    loop.close()


_CLOSINGS: Final = 20


def _close(task: "asyncio.Task[Any]") -> None:
    """Close the task's coroutine; each await within a `finally` needs one more turn."""
    coroutine = task.get_coro()
    for _ in range(_CLOSINGS):
        try:
            coroutine.close()
        except RuntimeError as error:
            if "ignored GeneratorExit" in str(error):
                continue
            return
        except BaseException:  # noqa: BLE001 - whatever its `finally` raises: nobody is left to care
            return
        return
