"""Conditions and figures that the services report by way of Redis. Pure: reports and readings in, findings out.

A report that is missing is not known (`Unknown`), never taken for a no or for a zero.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.resources.broker_account import BROKERS
from alpha_panda.contracts.scopes import PLATFORM, account_scope, strategy_scope
from alpha_panda.contracts.status_details import (
    BAD_PARAMETERS,
    INVALID,
    PROBLEM,
    REFUSED,
    RUNNING,
    STOPPED,
    UNKNOWN_INSTRUMENT,
    UNKNOWN_TYPE,
    BookFigures,
    BrokerFigures,
    FeedFigures,
    RunnerFigures,
    StrategyFigures,
    TrackerFigures,
    manifests_problem,
)
from alpha_panda.contracts.status_details import STRATEGY as TOLD_OF_STRATEGY
from alpha_panda.contracts.stored import ControlReading, ServiceStatus
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda_operator.cache import user_of
from alpha_panda_operator.clock import rfc3339
from alpha_panda_operator.conditions import PENDING, TRUE, UNKNOWN, Finding
from alpha_panda_operator.names import BROKER_ACCOUNT, MARKET_FEED, roles_of
from alpha_panda_operator.reconcile.acceptance import Verdict
from alpha_panda_operator.view import ResourceView

Reports = Mapping[tuple[str, str], ServiceStatus]
"""Statuses of a namespace by (service, resource); of several replicas one."""

MAX_LATCHES: Final = 100

EXPIRES_SOON: Final = "ExpiresSoon"
"""Reason of a session that is valid, and of which somebody should be told."""

_REFUSALS: Final = (BAD_PARAMETERS, UNKNOWN_INSTRUMENT, UNKNOWN_TYPE)
"""What a strategy's pod may say of its manifest; anything else is Invalid."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What Redis shows of one namespace."""

    reports: Reports
    readings: Mapping[str, ControlReading]
    now: int = 0
    """UTC ns."""
    warn_ns: int = 0
    """How long before its end an access token is warned of."""


def findings(view: ResourceView, seen: Seen) -> Iterator[Finding]:
    """Yield the conditions that come from Redis."""
    if view.key.kind == MARKET_FEED:
        yield _feed_fresh(view, seen)
    elif view.key.kind == BROKER_ACCOUNT:
        yield _session_valid(view, seen)
        yield _reconciled(view, seen)
        yield _trading(seen, [account_scope(view.key.name)])
    else:
        yield _strategy_trading(view, seen)
        yield _running(view, seen)


def figures(view: ResourceView, seen: Seen) -> dict[str, Any]:
    """Return the figures of a resource's status, each one there: null is not known."""
    if view.key.kind == MARKET_FEED:
        return _feed_figures(view, seen)
    return _account_figures(view, seen) if view.key.kind == BROKER_ACCOUNT else _strategy_figures(view, seen)


def refusal(view: ResourceView, seen: Seen) -> Verdict | None:
    """Return what a strategy's pod says against its manifest; None if it says nothing."""
    runner = _runner(view, seen)
    if runner is None or runner.state != REFUSED:
        return None
    return Verdict(
        runner.reason if runner.reason in _REFUSALS else INVALID, f"{runner.message}; change the manifest"
    )


# -------------------------------------------------------------------------------------------------- conditions


def _feed_fresh(view: ResourceView, seen: Seen) -> Finding:
    report = seen.reports.get(("market-feed", view.key.name))
    if report is None:
        return _unknown("FeedFresh", "the market-feed has not reported yet")
    told = FeedFigures.of(report.details)
    problem = report.details.get(PROBLEM)
    if isinstance(problem, str) and problem and not told.source_alive and told.session_open is not False:
        return Finding.of("FeedFresh", False, "SourceProblem", problem)
    if told.session_open is False:
        return Finding.of("FeedFresh", False, "SessionClosed", "the venue is closed: no prices are expected")
    if told.last_tick_ts is None:
        return Finding.of(
            "FeedFresh", False, "NoTicks", "no tick has come since the feed started; check its source"
        )
    if told.source_alive:
        return Finding.of("FeedFresh", True, "Fresh", f"last tick at {_time(told.last_tick_ts)}")
    return Finding.of(
        "FeedFresh",
        False,
        "Stale",
        f"last tick at {_time(told.last_tick_ts)}: nothing trades on its prices until new ones come; check the source",
    )


def _session_valid(view: ResourceView, seen: Seen) -> Finding:
    if not user_of(view):
        return Finding.of("SessionValid", True, "NotRequired", "a paper account needs no login")
    report = seen.reports.get(("order-tracker", view.key.name))
    told = BrokerFigures.of(report.details) if report is not None else None
    if told is None or told.token_expires_at is None:
        return _unknown("SessionValid", "the order-tracker has not said yet whether anybody is logged in")
    remedy = f"kubectl alpha-panda login {view.key.name} -n {view.key.namespace}"
    until = told.token_expires_at
    if told.token_problem or until <= seen.now:
        why = told.token_problem or f"the access token ended at {_time(until)}"
        message = f"{why}; no order is sent until somebody logs in: {remedy}"
        return Finding.of("SessionValid", False, "LoginNeeded", message)
    if until - seen.now <= seen.warn_ns:
        return Finding.of(
            "SessionValid",
            True,
            EXPIRES_SOON,
            f"the access token ends at {_time(until)}; log in anew: {remedy}",
        )
    return Finding.of("SessionValid", True, "Valid", f"the access token is good until {_time(until)}")


def _differs(report: ServiceStatus) -> Finding | None:
    """Return what the order-tracker found different at the broker; None if nothing, or it has none to compare with."""
    told = BrokerFigures.of(report.details)
    if told.differences:
        return Finding.of(
            "Reconciled",
            False,
            "Difference",
            f"book and broker differ: {told.difference_names}; new orders in these wait until it is gone, or you book it: "
            f"alpha-panda orders adopt {report.resource}",
        )
    if told.broker_reconciled is False:
        why = told.reconcile_problem or "not compared yet"
        return Finding.of("Reconciled", False, "Waiting", f"orders, positions and money at the broker: {why}")
    return None


def _reconciled(view: ResourceView, seen: Seen) -> Finding:
    report = seen.reports.get(("order-tracker", view.key.name))
    if report is None:
        return _unknown("Reconciled", "the order-tracker has not reported yet")
    told = TrackerFigures.of(report.details)
    if not told.reconciled:
        return Finding.of(
            "Reconciled", False, "Waiting", "the order-tracker still compares journal and broker"
        )
    if told.in_doubt:
        return Finding.of(
            "Reconciled",
            False,
            "InDoubt",
            f"of {told.in_doubt} orders nobody knows whether the broker has them; see alpha-panda orders list",
        )
    return _differs(report) or Finding.of("Reconciled", True, "Reconciled", "journal and broker agree")


def _running(view: ResourceView, seen: Seen) -> Finding:
    runner = _runner(view, seen)
    if runner is None:
        return _unknown("StrategyRunning", "the strategy's pod has not reported yet")
    if runner.state == RUNNING:
        return Finding.of("StrategyRunning", True, "Running", "its code runs")
    if runner.state in (STOPPED, REFUSED):
        return Finding.of("StrategyRunning", False, "Stopped", runner.message or "its code was stopped")
    return Finding("StrategyRunning", UNKNOWN, "Unknown", f"its pod says: {runner.state}")


def _strategy_trading(view: ResourceView, seen: Seen) -> Finding:
    """Return what strategy and platform allow, unless none of the strategy's accounts lets it trade."""
    own = _trading(seen, [strategy_scope(view.key.name)])
    if own.status != TRUE or not view.accounts:
        return own
    accounts = {name: _trading(seen, [account_scope(name)]) for name in view.accounts}
    shut = {name: found for name, found in accounts.items() if found.status != TRUE}
    if len(shut) == len(accounts):
        return min(shut.values(), key=lambda found: found.status == UNKNOWN)
    if shut:
        return Finding.of(
            "TradingAllowed", True, "Active", f"orders may be sent, but not on {', '.join(shut)}"
        )
    return own


def _trading(seen: Seen, scopes: list[str]) -> Finding:
    """Return what the strictest of the platform and the scopes allows."""
    readings = [seen.readings.get(scope) for scope in (PLATFORM, *scopes)]
    known = [reading for reading in readings if reading is not None]
    if len(known) < len(readings):
        return _unknown("TradingAllowed", "the control keys can't be read now")
    strictest = max(known, key=lambda reading: reading.state.strictness)
    if strictest.state is TradingState.ACTIVE:
        return Finding.of("TradingAllowed", True, "Active", "orders may be sent")
    reason, message = _why(strictest)
    return Finding.of("TradingAllowed", False, reason, f"{strictest.scope}: {message}")


def _why(reading: ControlReading) -> tuple[str, str]:
    spec = TradingState.HALTED if reading.spec is None or reading.expired else reading.spec
    latches = [latch for latch in reading.latches if latch.state is reading.state]
    if latches and (spec.strictness < reading.state.strictness or reading.latches):
        ids = ", ".join(latch.latch_id for latch in latches[:5])
        return "Latched", f"{latches[0].reason}; look into it, then name in spec.clearLatch: {ids}"
    if reading.spec is None or reading.expired:
        return "ControlExpired", "its control key has run out or was never written: is the operator well?"
    if reading.state is TradingState.REDUCING:
        return "Reducing", "only orders that shrink a position are sent (tradingState)"
    return "Halted", "no orders are sent, what rests is cancelled (tradingState)"


def _unknown(type_: str, message: str) -> Finding:
    return Finding(type_, UNKNOWN, PENDING, message)


# ----------------------------------------------------------------------------------------------------- figures


def _feed_figures(view: ResourceView, seen: Seen) -> dict[str, Any]:
    report = seen.reports.get(("market-feed", view.key.name))
    source, instruments = view.spec.get("source"), view.spec.get("instruments")
    return {
        "source": next(iter(source), "") if isinstance(source, Mapping) else "",
        "instruments": len(instruments) if isinstance(instruments, list) else None,
        "lastTickTime": _time(FeedFigures.of(report.details).last_tick_ts) if report else None,
    }


def _account_figures(view: ResourceView, seen: Seen) -> dict[str, Any]:
    risk = seen.reports.get(("risk", view.key.name))
    tracker = seen.reports.get(("order-tracker", view.key.name))
    book = BookFigures.of(risk.details) if risk else None
    return {
        "broker": _broker(view),
        "signalsToday": book.signals_today if book else None,
        "ordersToday": book.orders_today if book else None,
        "dayPnl": book.day_pnl if book else None,
        "equity": book.equity if book else None,
        "positions": book.positions if book else None,
        "openOrders": book.open_orders if book else None,
        "inDoubt": TrackerFigures.of(tracker.details).in_doubt if tracker else None,
        "brokerUser": user_of(view),
        "sessionExpires": _session_end(tracker, seen.now),
        "latches": _latches(seen.readings.get(account_scope(view.key.name))),
    }


def _broker(view: ResourceView) -> str:
    """Return which broker, and whether no order reaches it: what `kubectl get` shows of it."""
    name = next((name for name in BROKERS if view.spec.get(name) is not None), "")
    block = view.spec.get(name)
    dry = isinstance(block, Mapping) and block.get("dryRun") is True
    return f"{name} (dry run)" if dry else name


def _session_end(tracker: ServiceStatus | None, now: int) -> str | None:
    """Return until when the log-in is good; None once it is not: a time gone by would read as one to come."""
    until = BrokerFigures.of(tracker.details).token_expires_at if tracker is not None else None
    return _time(until) if until and until > now else None


def _strategy_figures(view: ResourceView, seen: Seen) -> dict[str, Any]:
    told = list(_of_strategy(view, seen))
    runner = _runner(view, seen)
    positions = [f"{item.position} on {account}" for account, item in told if item.position]
    return {
        "type": _class(view),
        "signalsToday": sum(item.signals_today for _, item in told) if told else None,
        "ordersToday": sum(item.orders_today for _, item in told) if told else None,
        "dayPnl": _sum([item.day_pnl for _, item in told]),
        "lastTickTime": _time(runner.last_tick_ts) if runner else None,
        "position": ("; ".join(positions) or "none")[:512] if told else None,
        "latches": _latches(seen.readings.get(strategy_scope(view.key.name))),
    }


def _of_strategy(view: ResourceView, seen: Seen) -> Iterator[tuple[str, StrategyFigures]]:
    prefix = f"{TOLD_OF_STRATEGY}{view.key.name}."
    for account in view.accounts:
        report = seen.reports.get(("risk", account))
        if report is not None and any(name.startswith(prefix) for name in report.details):
            yield account, StrategyFigures.of(report.details, prefix)


def _sum(amounts: list[str | None]) -> str | None:
    """Return the sum of exact amounts; of different accounts it is for orientation. None if any is not known."""
    if not amounts or None in amounts:
        return None
    try:
        return f"{sum((Decimal(item) for item in amounts if item is not None), Decimal(0)):f}"
    except InvalidOperation:
        return None


def _runner(view: ResourceView, seen: Seen) -> RunnerFigures | None:
    report = seen.reports.get(("strategy", view.key.name))
    return None if report is None else RunnerFigures.of(report.details)


def _class(view: ResourceView) -> str:
    code = view.spec.get("code")
    told = (
        view.spec.get("type")
        or view.spec.get("class")
        or (code.get("file") if isinstance(code, Mapping) else "")
    )
    return str(told or "")


def _latches(reading: ControlReading | None) -> list[dict[str, str]]:
    return [
        {
            "id": latch.latch_id,
            "state": latch.state.value,
            "reason": latch.reason[:2048],
            "setBy": latch.set_by[:253],
            "setAt": rfc3339(latch.set_at / SECOND_NS),
        }
        for latch in (reading.latches if reading else ())[:MAX_LATCHES]
    ]


def _time(ts: int | None) -> str | None:
    return None if ts is None else rfc3339(ts / SECOND_NS)


def stale_manifests(view: ResourceView, seen: Seen) -> str:
    """Return why a pod of the resource can't use its present manifests; empty if all can."""
    for role in roles_of(view.key.kind):
        report = seen.reports.get((role.name, view.key.name))
        problem = manifests_problem(report.details) if report is not None else None
        if problem:
            return f"{role.name}: {problem}"
    return ""
