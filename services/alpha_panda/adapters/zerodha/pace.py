"""The broker's limits on calls, kept on this side: over all processes that call for one account.

Kite counts by the calendar second of its own clock. Any second of ours, wherever it begins, holds no more than the
limit, so no second of the broker's does either, but for what the way there takes: hence a limit below the broker's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.stored import PaceWindow
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.errors import TransientError, UnknownOutcomeError
from alpha_panda.ports import Clock, OrderPace

IST_OFFSET: Final = 19_800
"""Seconds that India is ahead of UTC: its day begins by so much earlier."""

SHORTEST_WAIT: Final = 0.001
"""Seconds: a place that is free in less is not asked for again at once."""

_DAY: Final = 86_400


@dataclass(frozen=True, slots=True)
class PaceLimits:
    """Most calls in any second and minute, and on a day in India. Cancels count as orders of their second alone.

    Of each second one place is left to cancels: however many orders wait, a cancel gets through.
    """

    orders_per_second: int = 8
    orders_per_minute: int = 400
    orders_per_day: int = 5_000
    calls_per_second: int = 8

    @property
    def placing(self) -> tuple[PaceWindow, ...]:
        """What an order counts in."""
        return (
            _second(max(1, self.orders_per_second - 1)),
            PaceWindow("orders-minute", 60, self.orders_per_minute, rolling=True),
            PaceWindow("orders-day", _DAY, self.orders_per_day, IST_OFFSET),
        )

    @property
    def cancelling(self) -> tuple[PaceWindow, ...]:
        """What a cancellation counts in."""
        return (_second(self.orders_per_second),)

    @property
    def calling(self) -> tuple[PaceWindow, ...]:
        """What any other call counts in."""
        return (PaceWindow("calls-second", 1, self.calls_per_second, rolling=True),)


def _second(limit: int) -> PaceWindow:
    """Return the second's window. It is one for all limits: what an order's lower limit forgets is older than it."""
    return PaceWindow("orders-second", 1, limit, rolling=True)


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a call must not be made now."""

    code: Code
    message: str


class Pacer:
    """Waits for a free place in all windows of a call, as long as its deadline allows."""

    def __init__(self, pace: OrderPace, clock: Clock, account: str) -> None:
        self._pace = pace
        self._clock = clock
        self._account = account

    async def permit(self, windows: Sequence[PaceWindow], deadline: int) -> Refused | None:
        """Count the call and return None, or say why it can't be made before `deadline` (monotonic ns).

        Where nobody can tell how many calls were made, none is.
        """
        while True:
            try:
                seconds = await self._pace.take(self._account, windows)
            except (TransientError, UnknownOutcomeError) as error:
                return Refused(Code.DEPENDENCY_UNAVAILABLE, f"calls can't be counted: {error}")
            if seconds <= 0:
                return None
            wait = max(seconds, SHORTEST_WAIT)
            if self._clock.monotonic() + round(wait * SECOND_NS) >= deadline:
                return Refused(Code.RATE_LIMIT, f"the account's limits leave no place for {seconds:.3g} s")
            await self._clock.sleep(wait)
