"""How many calls an account makes to its broker, counted in memory."""

from collections import deque
from collections.abc import Sequence

from alpha_panda.adapters.memory.database import MemoryDatabase, Section, script
from alpha_panda.contracts.stored import PaceWindow
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.errors import DependencyUnavailableError, MisuseError, UnknownOutcomeError


class WindowState(Section):
    """A window: its number and count; or, if it is rolling, the times (UTC ns) of its last calls."""

    def __init__(self) -> None:
        self.number = 0
        self.count = 0
        self.times: deque[int] = deque()

    def wait(self, window: PaceWindow, now: int) -> int:
        """Return for how long (ns) the window has no place."""
        length = window.seconds * SECOND_NS
        if window.rolling:
            due = self.times[-window.limit] + length - now if len(self.times) >= window.limit else 0
            # Times far ahead are of a clock that was set back since: who waited for them would wait for hours.
            return due if 0 < due <= 2 * length else 0
        number, into = divmod(now + window.offset * SECOND_NS, length)
        return length - into if number == self.number and self.count >= window.limit else 0

    def add(self, window: PaceWindow, now: int) -> None:
        """Count a call."""
        if window.rolling:
            self.times.append(now)
            while len(self.times) > window.limit:
                self.times.popleft()
            return
        number = (now + window.offset * SECOND_NS) // (window.seconds * SECOND_NS)
        self.count = self.count + 1 if number == self.number else 1
        self.number = number


class MemoryOrderPace:
    """`ports.OrderPace`."""

    def __init__(self, database: MemoryDatabase) -> None:
        self.database = database

    async def take(self, account: str, windows: Sequence[PaceWindow]) -> float:
        """See the port."""
        try:
            return await self._take(account, windows)
        except UnknownOutcomeError as error:
            raise DependencyUnavailableError("store", f"perhaps not counted: {error}") from error

    @script
    def _take(self, account: str, windows: Sequence[PaceWindow]) -> float:
        if any(window.limit < 1 or window.seconds < 1 for window in windows):
            raise MisuseError("a window takes at least one call")
        now, keys = self.database.now(), self.database.keys
        states = [self.database.section(keys.pace(account, window.name), WindowState) for window in windows]
        both = tuple(zip(states, windows, strict=True))
        wait = max((state.wait(window, now) for state, window in both), default=0)
        if not wait:
            for state, window in both:
                state.add(window, now)
        return wait / SECOND_NS
