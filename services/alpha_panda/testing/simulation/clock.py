"""A process's clocks: the world's time, and the error of its own wall clock."""

from typing import Final

from alpha_panda.adapters.clock import RealClock
from alpha_panda.testing.simulation.loop import SimulatedLoop
from alpha_panda.testing.virtual_time import START

UPTIME: Final = 1_000_000_000_000
"""Monotonic clocks don't begin at zero, and each begins elsewhere: nobody may compare them with another's."""


class SkewedClock(RealClock):
    """A real clock on simulated time: `now` is off by `skew` ns, `monotonic` begins at `uptime` ns."""

    def __init__(self, loop: SimulatedLoop, skew: int = 0, uptime: int = UPTIME) -> None:
        self._loop = loop
        self.skew = skew
        self._uptime = uptime

    def now(self) -> int:
        """UTC in nanoseconds, as this process believes it to be."""
        return START + self._loop.now_ns + self.skew

    def monotonic(self) -> int:
        """Nanoseconds that never go back."""
        return self._uptime + self._loop.now_ns
