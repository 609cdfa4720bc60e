"""What will happen when. Nothing waits: what is due happens, at its own time and in order, when time is told."""

import heapq
from collections.abc import Callable
from itertools import count

from alpha_panda.contracts.units import nanoseconds
from alpha_panda.errors import MisuseError

Action = Callable[[int], None]


class Agenda:
    """Actions and their times (UTC ns, which never go back)."""

    def __init__(self) -> None:
        self.now = 0
        self._due: list[tuple[int, int, Action]] = []
        self._arrival = count()

    @property
    def next_due(self) -> int | None:
        """When the next action is due; None: nothing is planned."""
        return self._due[0][0] if self._due else None

    def at(self, due: int, now: int, action: Action) -> None:
        """Do it then: at once if `due` is not after `now`."""
        if due <= now:
            action(now)
        else:
            heapq.heappush(self._due, (due, next(self._arrival), action))

    def after(self, seconds: float, now: int, action: Action) -> None:
        """Do it so many seconds after `now`: at once if there are none."""
        self.at(now + nanoseconds(seconds), now, action)

    def settle(self, now: int) -> None:
        """Let happen what is due by `now`."""
        if now < self.now:
            raise MisuseError(f"the broker's time can't go back from {self.now} to {now}")
        while self._due and self._due[0][0] <= now:
            self.now, _, action = heapq.heappop(self._due)
            action(self.now)
        self.now = now
