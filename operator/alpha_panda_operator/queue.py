"""A keyed queue: a key waits in it once, is worked on by one worker at a time, and comes back after failures.

As client-go's work queue: a key that is added while it is worked on is worked on once more afterwards.
"""

import asyncio
import heapq
from collections.abc import Hashable
from typing import Final, Generic, TypeVar

from alpha_panda_operator.clock import Clock

K = TypeVar("K", bound=Hashable)

FIRST_BACKOFF: Final = 0.5
"""Seconds before the first repeat of what failed; then doubled. A conflict with another writer is over by then."""

LONGEST_BACKOFF: Final = 60.0
"""Seconds between two repeats at most: what a person mends is seen by the watch at once; this is for the rest."""


class KeyedQueue(Generic[K]):
    """Keys that want work, each with the time from which on. Not thread-safe: one event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._number = 0
        self._at_work: set[K] = set()
        self._failures: dict[K, int] = {}
        self._idle: set[asyncio.Future[None]] = set()

    def add(self, key: K, after: float = 0.0) -> None:
        """Want work on the key in `after` seconds; an earlier wish stays."""
        due = self._clock.monotonic() + after
        if key in self._due and self._due[key] <= due:
            return
        self._due[key] = due
        self._push(key, due)

    def retry(self, key: K) -> float:
        """Want work again after a failure; return in how many seconds."""
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        delay = min(LONGEST_BACKOFF, FIRST_BACKOFF * 2.0 ** min(count, 16))
        self.add(key, delay)
        return delay

    def forget(self, key: K) -> None:
        """Forget the failures of a key that has succeeded."""
        self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        """Return how often the key has failed in a row."""
        return self._failures.get(key, 0)

    def failing(self, times: int) -> list[K]:
        """Return the keys that have failed that often in a row, or more."""
        return [key for key, count in self._failures.items() if count >= times]

    async def get(self) -> K:
        """Wait for a key that is due and that nobody works on; give it back with `done`."""
        while True:
            key = self._take()
            if key is not None:
                return key
            await self._wait()

    def done(self, key: K) -> None:
        """Say that the work on a key from `get` has ended."""
        self._at_work.discard(key)
        if key in self._due:
            self._push(key, self._due[key])

    @property
    def depth(self) -> int:
        """How many keys are due and wait for a worker."""
        now = self._clock.monotonic()
        return sum(1 for due in self._due.values() if due <= now)

    @property
    def age(self) -> float:
        """Seconds that the longest waiting key has been due."""
        return max(0.0, self._clock.monotonic() - min(self._due.values(), default=float("inf")))

    def _push(self, key: K, due: float) -> None:
        self._number += 1
        heapq.heappush(self._heap, (due, self._number, key))
        for idle in self._idle:
            if not idle.done():
                idle.set_result(None)

    def _take(self) -> K | None:
        now = self._clock.monotonic()
        while self._heap and self._heap[0][0] <= now:
            due, _, key = heapq.heappop(self._heap)
            if key in self._at_work or self._due.get(key) != due:
                continue  # `done` puts it back; or an older wish
            del self._due[key]
            self._at_work.add(key)
            return key
        return None

    async def _wait(self) -> None:
        """Wait until something is added or the next key is due."""
        idle: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._idle.add(idle)
        waiting: list[asyncio.Future[None]] = [idle]
        if self._heap:
            next_due = self._heap[0][0] - self._clock.monotonic()
            waiting.append(asyncio.ensure_future(self._clock.sleep(next_due)))
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._idle.discard(idle)
            for future in waiting:
                future.cancel()
