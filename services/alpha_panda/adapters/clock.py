"""Real time."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Final

from alpha_panda.contracts.units import SECOND_NS, nanoseconds
from alpha_panda.errors import MisuseError

LONGEST_NAP: Final = 1.0
"""Seconds after which `pace_until` looks at the wall clock again: it may have been set meanwhile."""

_BOOTTIME: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", None)
"""Linux's monotonic clock that also counts the time in which the machine was suspended.

The usual one stands still then: a machine that slept for an hour would find its permission to send an order as
fresh as before, and that order long since LOST.
"""


class RealClock:
    """The machine's clocks. `now` follows the wall clock, `monotonic` never goes back."""

    @property
    def virtual(self) -> bool:
        """False: time passes by itself."""
        return False

    def now(self) -> int:
        """UTC in nanoseconds."""
        return time.time_ns()

    def monotonic(self) -> int:
        """Nanoseconds that never go back; only differences mean something.

        They go on while the machine is suspended, where the system has such a clock (Linux).
        """
        return time.monotonic_ns() if _BOOTTIME is None else time.clock_gettime_ns(_BOOTTIME)

    async def sleep(self, seconds: float) -> None:
        """Wait; not at all (but let others run) for zero or less."""
        await asyncio.sleep(max(0.0, seconds))

    def every(self, seconds: float) -> AsyncIterator[int]:
        """Yield `now()` each `seconds` from this call on, first after one period.

        Due times lie on a grid, so delays don't add up; periods that were missed are skipped.

        Raises:
            MisuseError: the period is not positive.

        """
        return _RealTicker(self, period_of(seconds))

    async def pace_until(self, ts: int) -> None:
        """Wait until `now()` is at least `ts`; others run in between even if it is already."""
        await self.sleep(0)
        while (missing := ts - self.now()) > 0:
            await self.sleep(min(missing / SECOND_NS, LONGEST_NAP))


class _RealTicker(AsyncIterator[int]):
    def __init__(self, clock: RealClock, period: int) -> None:
        self._clock = clock
        self._period = period
        self._due = clock.monotonic() + period

    async def __anext__(self) -> int:
        while (missing := self._due - self._clock.monotonic()) > 0:
            await self._clock.sleep(missing / SECOND_NS)
        self._due = next_due(self._due, self._period, self._clock.monotonic())
        return self._clock.now()


def period_of(seconds: float) -> int:
    """Return a period in nanoseconds; MisuseError unless it is positive."""
    period = nanoseconds(seconds)
    if period <= 0:
        raise MisuseError(f"a period must be positive, not {seconds} s")
    return period


def next_due(due: int, period: int, now: int) -> int:
    """Return the first time after `now` on the grid `due + n * period`, n > 0."""
    return due + period * max(1, (now - due) // period + 1)
