"""When the rows of a source become known: the source's times against a clock; shared by the market sources."""

from alpha_panda.ports import Clock

DEFAULT_ALIVE_EVERY_NS = 500_000_000
DEFAULT_MAX_LAG_NS = 1_000_000_000


class Pacer:
    """Waits until a row's moment has come.

    On a virtual clock that moment is the row's own time, and waiting drives the clock. On a wall clock the first
    row is due at once, and the others follow at `speed` times the recorded pace (0: all at once).

    A source that falls behind (a stopped process, a slow reader) catches up by `max_lag_ns` at most: beyond it
    the whole schedule moves, so that a pause is not followed by a flood of rows.
    """

    def __init__(
        self,
        clock: Clock,
        speed: float,
        *,
        alive_every_ns: int = DEFAULT_ALIVE_EVERY_NS,
        max_lag_ns: int = DEFAULT_MAX_LAG_NS,
    ) -> None:
        self._clock = clock
        self._virtual = clock.virtual
        self._speed = speed
        self._alive_every_ns = alive_every_ns
        self._max_lag_ns = max_lag_ns
        self._first: int | None = None
        self._anchor = 0

    @property
    def restamps(self) -> bool:
        """Whether rows are due at other times than their own, so that they must be stamped anew."""
        return not self._virtual

    def due(self, ts: int) -> int:
        """Return the clock's time at which a row of source time `ts` is due. The first one asked for sets the pace."""
        if self._virtual:
            return ts
        if self._speed == 0:
            return self._clock.now()
        if self._first is None:
            self._first, self._anchor = ts, self._clock.now()
        passed = ts - self._first
        return self._anchor + (passed if self._speed == 1 else round(passed / self._speed))

    async def step(self, ts: int) -> bool:
        """Wait for a row of source time `ts`; False when it is still not due after `alive_every_ns`.

        The caller then tells that the source lives, and asks again.
        """
        if self._virtual:
            await self._clock.pace_until(ts)
            return True
        due = self.due(ts)
        now = self._clock.now()
        if due > now + self._alive_every_ns:
            await self._clock.pace_until(now + self._alive_every_ns)
            return False
        self._anchor += max(0, now - due - self._max_lag_ns)
        await self._clock.pace_until(due)  # lets others run even when the row is already due
        return True
