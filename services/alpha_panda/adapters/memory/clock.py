"""Virtual time: it stands still while anything runs, and jumps when nothing can."""

import asyncio
import heapq
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Final

from alpha_panda.adapters.clock import next_due, period_of
from alpha_panda.adapters.memory.loop import IdleAwareEventLoop
from alpha_panda.contracts.units import nanoseconds
from alpha_panda.errors import MisuseError

MANY_CANCELLED: Final = 64
"""Cancelled waiters that may stay in a heap before it is swept."""


class VirtualClock:
    """Time that is driven by who waits for it; runs on an `IdleAwareEventLoop`.

    When the loop comes to rest, time moves to the earliest `sleep` deadline or `pace_until` time. At each such
    time waiters are released in three ranks, and the loop comes to rest again after each step:

    1. all `every` tickers that are due, at once (so control keys are renewed before anybody acts on the new time);
    2. the sleepers, one by one;
    3. the pacers, one by one: a source goes on when everything that its last rows caused has been done.

    Within a rank the earlier time goes first, then who came first. `every` never moves time by itself.

    Work outside the loop (a thread, a socket) is not seen: put it inside `hold()`, or time runs on meanwhile.

    Args:
        start_ns: UTC nanoseconds at which time begins.

    """

    def __init__(self, start_ns: int) -> None:
        self._start = self._now = start_ns
        self._loop: asyncio.AbstractEventLoop | None = None
        self._holds = 0
        self._forget_all()

    @property
    def virtual(self) -> bool:
        """True: time is driven, it doesn't pass."""
        return True

    def now(self) -> int:
        """UTC in nanoseconds."""
        return self._now

    def monotonic(self) -> int:
        """Nanoseconds since the clock's start."""
        return self._now - self._start

    async def sleep(self, seconds: float) -> None:
        """Wait; drives time. Zero or less only lets others run."""
        if seconds <= 0:
            await asyncio.sleep(0)
        else:
            loop = self._attached()
            await self._sleepers.wait(self._now + nanoseconds(seconds), loop.create_future())

    def every(self, seconds: float) -> AsyncIterator[int]:
        """Yield `now()` when time has passed a multiple of `seconds` since this call, once for all it passed.

        Raises:
            MisuseError: the period is not positive.

        """
        return _VirtualTicker(self, period_of(seconds))

    async def pace_until(self, ts: int) -> None:
        """Wait until `now()` is at least `ts` and all else is at rest, even if that time has come already."""
        loop = self._attached()
        await self._pacers.wait(ts, loop.create_future())

    async def advance(self, seconds: float) -> None:
        """Drive time by `seconds`; returns when all that became due by then has been done. 0: come to rest."""
        target = self._now + nanoseconds(seconds)
        await self.pace_until(self._now)  # tasks just started register first, and so go first
        await self.pace_until(target)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Stop time: the loop waits for real things as any other until the context is left."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1

    async def _tick(self, due: int) -> None:
        if due > self._now:
            loop = self._attached()
            await self._tickers.wait(due, loop.create_future())

    def _attached(self) -> asyncio.AbstractEventLoop:
        """Return the running loop, which this clock drives from now on; waiters of a former loop are forgotten."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._attach(loop)
        return loop

    def _attach(self, loop: asyncio.AbstractEventLoop) -> None:
        if not isinstance(loop, IdleAwareEventLoop):
            raise MisuseError(
                f"a VirtualClock needs an IdleAwareEventLoop, this is a {type(loop).__name__}: run the program with "
                "asyncio.Runner(loop_factory=IdleAwareEventLoop) or testing.virtual_time.run_virtual"
            )
        if loop.idle_hook is not None:
            raise MisuseError("another clock drives this event loop already; there is one time in a loop")
        loop.idle_hook = self._on_idle
        self._loop = loop
        self._forget_all()

    def _forget_all(self) -> None:
        self._tickers, self._sleepers, self._pacers = _Waiters(), _Waiters(), _Waiters()

    def _on_idle(self) -> bool:
        if self._holds:
            return False
        while not self._release():
            sleeper, pacer = self._sleepers.earliest(), self._pacers.earliest()
            if sleeper is None and pacer is None:
                return False
            if sleeper is None or (pacer is not None and pacer < sleeper):
                sleeper = pacer
            assert sleeper is not None  # noqa: S101 - tells the type checker what the lines above ensure
            self._now = sleeper
        return True

    def _release(self) -> bool:
        now = self._now
        return (
            self._tickers.release_all(now) or self._sleepers.release_one(now) or self._pacers.release_one(now)
        )


class _VirtualTicker(AsyncIterator[int]):
    def __init__(self, clock: VirtualClock, period: int) -> None:
        self._clock = clock
        self._period = period
        self._due = clock.now() + period

    async def __anext__(self) -> int:
        await self._clock._tick(self._due)  # noqa: SLF001 - the clock's own iterator
        now = self._clock.now()
        self._due = next_due(self._due, self._period, now)
        return now


class _Waiters:
    """Futures by the time they wait for, then by arrival. Cancelled ones are dropped before they pile up."""

    __slots__ = ("_arrival", "_cancelled", "_heap")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, asyncio.Future[None]]] = []
        self._arrival = count()
        self._cancelled = 0  # at least as many of the heap as are cancelled

    async def wait(self, due: int, future: "asyncio.Future[None]") -> None:
        heapq.heappush(self._heap, (due, next(self._arrival), future))
        try:
            await future
        except asyncio.CancelledError:
            self._note_cancelled()
            raise

    def earliest(self) -> int | None:
        heap = self._heap
        while heap and heap[0][2].done():
            heapq.heappop(heap)
            self._cancelled -= 1
        return heap[0][0] if heap else None

    def release_one(self, now: int) -> bool:
        due = self.earliest()
        if due is None or due > now:
            return False
        heapq.heappop(self._heap)[2].set_result(None)
        return True

    def release_all(self, now: int) -> bool:
        released = False
        while self.release_one(now):
            released = True
        return released

    def _note_cancelled(self) -> None:
        self._cancelled += 1
        if self._cancelled > MANY_CANCELLED and self._cancelled * 2 > len(self._heap):
            self._heap = [waiter for waiter in self._heap if not waiter[2].done()]
            heapq.heapify(self._heap)
            self._cancelled = 0
