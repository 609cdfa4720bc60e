"""The operator's time, so that tests can turn the hands."""

import asyncio
import time
from datetime import datetime
from typing import Final, Protocol

_BOOTTIME: Final[int | None] = getattr(time, "CLOCK_BOOTTIME", None)
"""Also counts while the machine is suspended (Linux): a leader that slept must not think its lease fresh."""


class Clock(Protocol):
    """What parts that wait need."""

    def now(self) -> float:
        """UTC in seconds since 1970."""

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean something."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""


class SystemClock:
    """The machine's."""

    def now(self) -> float:
        """See the protocol."""
        return time.time()

    def monotonic(self) -> float:
        """See the protocol."""
        return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)

    async def sleep(self, seconds: float) -> None:
        """See the protocol."""
        await asyncio.sleep(max(0.0, seconds))


def rfc3339(moment: float) -> str:
    """Return a UTC moment as Kubernetes writes it, to the second."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(moment))


def moment(text: str) -> float | None:
    """Return the UTC moment that Kubernetes has written so; None for anything else."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def rfc3339_micro(moment: float) -> str:
    """Return a UTC moment with microseconds, as Leases and Events want it."""
    whole = int(moment)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{int((moment - whole) * 1e6):06d}Z"
