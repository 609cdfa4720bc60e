"""The broker's access token as the trader knows it: valid until when, and said in time that it ends."""

from dataclasses import dataclass
from typing import Final

import structlog

from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.ports import Clock, TokenHolder, TokenTeller, Trader

log = structlog.get_logger()

NONE_VALID: Final = 0
"""Stands for all tokens that are valid no more."""


@dataclass(frozen=True, slots=True)
class TokenReading:
    """`until` in UTC ns: past, or 0, where none is valid; None where none is needed. `problem` in words, no secret."""

    until: int | None = None
    problem: str = ""

    def valid(self, now: int) -> bool:
        """Whether the broker lets us in at `now` (UTC ns)."""
        return self.until is None or now < self.until


class TokenWatch:
    """Reads the token each turn, and warns once a token. `warn_before` in ns."""

    def __init__(self, account: str, trader: Trader, clock: Clock, warn_before: int) -> None:
        self._account = account
        self._trader = trader
        self._clock = clock
        self._warn_before = warn_before
        self._said: int | None = -1

    def read(self) -> TokenReading:
        """Return how it stands now; no I/O."""
        if not isinstance(self._trader, TokenHolder):
            return TokenReading()
        until, now = self._trader.token_expires_at(), self._clock.now()
        problem = self._trader.token_problem() if isinstance(self._trader, TokenTeller) else ""
        if until is not None and until <= now:
            self._say(NONE_VALID, "access_token_gone", problem)
            return TokenReading(until, problem or "the access token has ended")
        if until is not None and until - now <= self._warn_before:
            self._say(until, "access_token_ends_soon", f"{(until - now) // SECOND_NS} s")
        elif until != self._said and self._said == NONE_VALID:
            self._say(until, "access_token_valid_again", "")
        return TokenReading(until, "")

    def _say(self, until: int | None, event: str, detail: str) -> None:
        if until != self._said:
            self._said = until
            log.warning(event, account=self._account, detail=detail)
