"""May the scope trade now: rates, loops, losses, trading states, the broker's login, reconciliation, doubt."""

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.events import ZERO
from alpha_panda.contracts.stored import ControlReading, InstrumentDifference
from alpha_panda.domain.risk.case import Case, ScopeCase
from alpha_panda.domain.risk.facts import runaway_of
from alpha_panda.domain.risk.losses import breaches_daily_loss, breaches_drawdown
from alpha_panda.domain.risk.outcome import PASSED, Outcome, at_most, passed, refused

SCOPES = 3
"""Strategy, account, platform: a scope without a reading halts."""


def orders_per_second(case: Case, scope: ScopeCase) -> Outcome | None:
    """Limit the orders within the last second, with this one."""
    return _rate(case, scope, "second", scope.facts.counts.last_second, scope.limits.max_orders_per_second)


def orders_per_minute(case: Case, scope: ScopeCase) -> Outcome | None:
    """Limit the orders within the last minute, with this one."""
    return _rate(case, scope, "minute", scope.facts.counts.last_minute, scope.limits.max_orders_per_minute)


def orders_per_day(case: Case, scope: ScopeCase) -> Outcome | None:
    """Limit the orders of the trading day, with this one."""
    return _rate(case, scope, "day", scope.facts.counts.today, scope.limits.max_orders_per_day)


def _rate(case: Case, scope: ScopeCase, period: str, count: int, limit: int | None) -> Outcome | None:
    del case
    if limit is None:
        return None
    return at_most(Code.RATE_LIMIT, f"{scope.label}: orders per {period}", count + 1, limit)


def runaway(case: Case) -> Outcome | None:
    """Check that the strategy is not in a loop of like signals; else the gate latches it."""
    limit = runaway_of(case.facts.strategy.limits, case.facts.account.limits)
    if limit is None:
        return None
    count = case.facts.repeats + 1
    if count < limit.signals:
        return passed(count, limit.signals)
    message = f"{count} like signals within {limit.seconds} s"
    return refused(Code.RUNAWAY_LOOP, message, count, limit.signals)


def daily_loss(case: Case, scope: ScopeCase) -> Outcome | None:
    """Check that the day's loss is below its limit."""
    del case
    limit, pnl = scope.limits.max_daily_loss, scope.facts.pnl
    if limit is None:
        return None
    if not breaches_daily_loss(pnl, limit):
        return passed(pnl.day_pnl, -limit)
    message = f"{scope.label}: the day's P&L is {pnl.day_pnl}, the loss limit {limit}"
    return refused(Code.DAILY_LOSS, message, pnl.day_pnl, -limit)


def drawdown(case: Case, scope: ScopeCase) -> Outcome | None:
    """Check that the fall from the day's peak is below its limit."""
    del case
    limit, pnl = scope.limits.max_drawdown, scope.facts.pnl
    if limit is None:
        return None
    if not breaches_drawdown(pnl, limit):
        return passed(pnl.drawdown, limit)
    message = f"{scope.label}: {pnl.drawdown} below the day's peak, the limit is {limit}"
    return refused(Code.DRAWDOWN, message, pnl.drawdown, limit)


def trading_state(case: Case) -> Outcome:
    """Check that all three scopes let an order of this class pass. Risk's own closing signals may only reduce."""
    controls = case.facts.controls
    if len(controls) < SCOPES:
        message = f"{len(controls)} of {SCOPES} scopes have a trading state"
        return refused(Code.TRADING_HALTED, message, TradingState.HALTED)
    strictest = max(controls, key=lambda reading: reading.state.strictness)
    state = strictest.state
    if state is TradingState.HALTED:
        return refused(Code.TRADING_HALTED, _why(strictest), state)
    if not case.reducing and (state is TradingState.REDUCING or case.signal.closing):
        message = _why(strictest) if state is TradingState.REDUCING else "a closing signal"
        return refused(Code.TRADING_REDUCING, f"{message}: only what shrinks a position", state)
    return passed(state)


def _why(reading: ControlReading) -> str:
    latches = ", ".join(f"{latch.latch_id} ({latch.reason})" for latch in reading.latches)
    if latches:
        return f"{reading.scope} is {reading.state}, latched by {latches}"
    gone = "its key expired" if reading.expired else "it has no control key" if reading.spec is None else ""
    return f"{reading.scope} is {reading.state}" + (f": {gone}" if gone else "")


def access_token(case: Case) -> Outcome:
    """Check that the broker's login is valid."""
    if case.facts.token_valid:
        return PASSED
    return refused(Code.ACCESS_TOKEN_EXPIRED, "the broker's access token is no longer valid")


def reconciled(case: Case) -> Outcome:
    """Check that the book was compared with the broker's since the last restart: before that nothing is confirmed.

    Where the two differ no position grows, and what shrinks one must shrink the broker's as well: else an order that
    closes what is gone would open its opposite.
    """
    facts = case.facts
    if not facts.account_reconciled:
        problem = facts.reconcile_problem or "the account has not been reconciled since the last restart"
        return refused(Code.NOT_RECONCILED, problem)
    if facts.sharing:
        message = "an external trade on this instrument is being shared out among strategies"
        return refused(Code.NOT_RECONCILED, message)
    problem = _unsure(case)
    if not problem:
        return PASSED
    return _held_by_the_broker(case) if case.reducing else refused(Code.NOT_RECONCILED, problem)


def _unsure(case: Case) -> str:
    """Return why no position may grow on the instrument, or nothing."""
    facts = case.facts
    if not facts.reconciled_lately:
        return "the last complete comparison with the broker is too old"
    if facts.difference is not None:
        return _differs(facts.difference)
    return "this instrument has not been compared with the broker yet" if facts.unjudged else ""


def _held_by_the_broker(case: Case) -> Outcome:
    """Check that the broker holds what a reducing order closes, beside what open orders of its side may close."""
    difference, side = case.facts.difference, case.signal.side
    if difference is None:
        return PASSED
    free = -side.sign * difference.theirs - case.account.opens.of(side)
    if case.signal.quantity <= free:
        return passed(case.signal.quantity, free)
    message = f"{_differs(difference)}: {side} {case.signal.quantity} would open its opposite"
    return refused(Code.NOT_RECONCILED, message, case.signal.quantity, max(free, ZERO))


def _differs(difference: InstrumentDifference) -> str:
    ours, theirs = f"{difference.ours:f}", f"{difference.theirs:f}"
    return f"the book holds {ours} of {difference.symbol}, the broker {theirs}"


def in_doubt(case: Case) -> Outcome:
    """Check that no order of this strategy on this instrument has an unknown outcome."""
    if not case.facts.key_in_doubt:
        return PASSED
    return refused(Code.IN_DOUBT, f"an earlier order on {case.signal.key} has an unknown outcome")
