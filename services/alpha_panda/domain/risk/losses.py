"""Loss limits: what a day has made or lost, and the latches that follow.

A loss limit latches Reducing: the scope may still close what it holds (a limit never traps a position), and
resting orders that increase are cancelled. Only a person clears it.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Final

import msgspec

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.events import ZERO
from alpha_panda.domain.exact import exact, tidy
from alpha_panda.domain.risk.facts import PnlReading
from alpha_panda.domain.risk.limits import Limits

LOSS_STATE: Final = TradingState.REDUCING
RUNAWAY_STATE: Final = TradingState.HALTED
"""A strategy that loops can't be trusted with closing either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LatchRequest:
    """A latch to be set: on which scope, which state, why."""

    scope: str
    state: TradingState
    code: Code
    message: str


class DayPnl(msgspec.Struct, kw_only=True):
    """A scope's net P&L through the days. A day begins where the last one ended, so a gap overnight counts in it.

    Net P&L: of an account equity, of a strategy `StrategyBook.net_pnl`; only differences matter. `last` starts as
    the value before any trade (opening cash; zero).
    """

    last: Decimal = ZERO
    day: str = ""
    start: Decimal = ZERO
    peak: Decimal = ZERO

    def observe(self, day: str, value: Decimal) -> PnlReading:
        """Take note of the value on a trading day (ISO date) and return the day's reading."""
        with exact():
            if day != self.day:
                self.day, self.start, self.peak = day, self.last, self.last
            self.peak, self.last = max(self.peak, value), value
            return PnlReading(day_pnl=tidy(value - self.start), drawdown=tidy(self.peak - value))

    def shift(self, more: Decimal) -> None:
        """Take it that the value has always been so much more: money that came from outside is no profit."""
        with exact():
            self.last, self.start = tidy(self.last + more), tidy(self.start + more)
            self.peak = tidy(self.peak + more)


def breaches_daily_loss(pnl: PnlReading, limit: Decimal | None) -> bool:
    """Whether the day's loss has reached the limit."""
    return limit is not None and pnl.day_pnl < 0 and -pnl.day_pnl >= limit


def breaches_drawdown(pnl: PnlReading, limit: Decimal | None) -> bool:
    """Whether the fall from the day's peak has reached the limit."""
    return limit is not None and pnl.drawdown > 0 and pnl.drawdown >= limit


def loss_latches(scope: str, pnl: PnlReading, limits: Limits) -> list[LatchRequest]:
    """Return the latches that a scope's P&L calls for; ask after each fold and each mark."""
    found: list[LatchRequest] = []
    if breaches_daily_loss(pnl, limits.max_daily_loss):
        message = f"the day's loss {-pnl.day_pnl} reached maxDailyLoss {limits.max_daily_loss}"
        found.append(LatchRequest(scope=scope, state=LOSS_STATE, code=Code.DAILY_LOSS, message=message))
    if breaches_drawdown(pnl, limits.max_drawdown):
        message = f"the fall {pnl.drawdown} from the day's peak reached maxDrawdown {limits.max_drawdown}"
        found.append(LatchRequest(scope=scope, state=LOSS_STATE, code=Code.DRAWDOWN, message=message))
    return found
