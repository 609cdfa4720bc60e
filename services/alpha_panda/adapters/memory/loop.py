"""An asyncio event loop that notices when it has nothing to do."""

import asyncio
import selectors
from collections.abc import Callable

IdleHook = Callable[[], bool]
"""Called when nothing is ready to run; returns whether it has made something ready."""


class IdleAwareEventLoop(asyncio.SelectorEventLoop):
    """asyncio's selector loop with a hook that is asked before the loop blocks.

    asyncio selects with a time-out of 0 while a callback is ready or a timer due, and with None or more only
    when nothing is: that is the moment `idle_hook` hears of. If it made something ready, the real selector is
    polled instead of waited on, so sockets, signals and timers keep working however long the hook keeps the loop
    busy. Without a hook, or once it returns False, the loop blocks as any other.
    """

    def __init__(self) -> None:
        selector = _IdleAwareSelector()
        super().__init__(selector)
        self._idle_selector = selector

    @property
    def idle_hook(self) -> IdleHook | None:
        """Who is asked; at most one."""
        return self._idle_selector.hook

    @idle_hook.setter
    def idle_hook(self, hook: IdleHook | None) -> None:
        self._idle_selector.hook = hook


class _IdleAwareSelector(selectors.DefaultSelector):
    hook: IdleHook | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if (timeout is None or timeout > 0) and self.hook is not None and self.hook():
            timeout = 0
        return super().select(timeout)
