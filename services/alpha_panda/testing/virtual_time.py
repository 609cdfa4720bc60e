"""Run a coroutine in virtual time."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar

from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.adapters.memory.loop import IdleAwareEventLoop

START: Final = 1_767_343_500_000_000_000
"""2026-01-02 08:45 UTC (14:15 in Mumbai, a Friday with an open session), in nanoseconds."""

T = TypeVar("T")


def run_virtual(main: Callable[[VirtualClock], Coroutine[Any, Any, T]], *, start: int = START) -> T:
    """Run `main(clock)` to its end on a loop of its own and return its result.

    A program that waits for something that nothing can bring hangs, as it would in real time.
    """
    with asyncio.Runner(loop_factory=IdleAwareEventLoop) as runner:
        return runner.run(main(VirtualClock(start)))
