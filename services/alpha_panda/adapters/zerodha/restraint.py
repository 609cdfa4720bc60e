"""Leaves a broker alone for a while that refuses whoever calls: each further call makes it worse.

Kite counts what it refuses, and blocks apps that go on. So after such a refusal nothing of the kind is sent, at first
for a second, then for twice as long each time; any other answer ends it.
"""

from typing import Final

from alpha_panda.adapters.http.exchange import Answer, Exchange, NotSent
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.ports import Clock

from .answers import unwelcome

FIRST: Final = SECOND_NS
LONGEST: Final = 30 * SECOND_NS
"""Nanoseconds of the first pause and of any."""


class Restraint:
    """Of one kind of calls of one process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._code: Code | None = None
        self._pause = 0
        self._until = 0

    def held(self) -> NotSent | None:
        """Return why nothing may be sent now, or None."""
        left = self._until - self._clock.monotonic()
        if self._code is None or left <= 0:
            return None
        words = "calls too many" if self._code is Code.RATE_LIMIT else "our address"
        message = (
            f"the broker refuses {words}; it is left alone for {left / SECOND_NS:.3g} s, and nothing was sent"
        )
        return NotSent(self._code, message)

    def heed(self, exchange: Exchange) -> None:
        """Take note of what came of a call. Refusals of calls that were under way together are one."""
        code, now = unwelcome(exchange), self._clock.monotonic()
        if code is not None:
            if self._code is None or now >= self._until:
                self._pause = FIRST if self._code is None else min(2 * self._pause, LONGEST)
                self._until = now + self._pause
            self._code = code
        elif isinstance(exchange, Answer) and now >= self._until:
            self._code = None
