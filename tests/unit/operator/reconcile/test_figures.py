"""What services report, as conditions and figures; what they don't report is not known."""

from typing import Any

import pytest

from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.resources.status import STATUSES
from alpha_panda.contracts.status_details import (
    BookFigures,
    FeedFigures,
    RunnerFigures,
    StrategyFigures,
    TrackerFigures,
    strategy_details,
)
from alpha_panda.contracts.stored import ControlReading, Latch, ServiceStatus
from alpha_panda_operator.reconcile.figures import Seen, figures, findings, refusal, stale_manifests
from unit.operator.kit import account, cache_of, feed, strategy, view

TS = 1_767_600_000_000_000_000
CACHE = cache_of(feed(), account(), strategy())
FEED, ACCOUNT, STRATEGY = (
    view(CACHE, kind, name)
    for kind, name in (("MarketFeed", "demo"), ("BrokerAccount", "paper"), ("Strategy", "momo"))
)


def report(service: str, resource: str, details: Any) -> tuple[tuple[str, str], ServiceStatus]:
    status = ServiceStatus(
        service=service, resource=resource, instance="i", state="running", processed=0, errors=0,
        dead_lettered=0, last_event_ts=None, started_at=1, details=details,
    )  # fmt: skip
    return (service, resource), status


def reading(
    scope: str, state: TradingState | None = TradingState.ACTIVE, *latches: Latch, expired: bool = False
) -> ControlReading:
    return ControlReading(scope=scope, spec=state, expired=expired, latches=latches)


def latch(scope: str, state: TradingState = TradingState.HALTED) -> Latch:
    return Latch(latch_id="loss-1", scope=scope, state=state, reason="daily loss", set_by="risk", set_at=TS)


def seen(*reports: Any, readings: tuple[ControlReading, ...] = ()) -> Seen:
    return Seen(dict(reports), {item.scope: item for item in readings})


def condition(item: Any, type_: str, what: Seen) -> tuple[str, str, str]:
    found = next(one for one in findings(item, what) if one.type == type_)
    return found.status, found.reason, found.message


@pytest.mark.parametrize(
    ("told", "status", "reason"),
    [
        (None, "Unknown", "Pending"),
        (FeedFigures(), "False", "NoTicks"),
        (FeedFigures(last_tick_ts=TS, source_alive=True, session_open=True), "True", "Fresh"),
        (FeedFigures(last_tick_ts=TS, source_alive=False, session_open=True), "False", "Stale"),
        (FeedFigures(last_tick_ts=TS, source_alive=False, session_open=False), "False", "SessionClosed"),
    ],
)
def test_a_feed_is_fresh_if_it_says_so(told: FeedFigures | None, status: str, reason: str) -> None:
    what = seen(*([report("market-feed", "demo", told.details())] if told else []))
    assert condition(FEED, "FeedFresh", what)[:2] == (status, reason)


@pytest.mark.parametrize(
    ("told", "status", "reason"),
    [
        (None, "Unknown", "Pending"),
        (TrackerFigures(reconciled=False), "False", "Waiting"),
        (TrackerFigures(reconciled=True, in_doubt=2), "False", "InDoubt"),
        (TrackerFigures(reconciled=True), "True", "Reconciled"),
    ],
)
def test_an_account_is_reconciled_if_its_tracker_says_so(
    told: TrackerFigures | None, status: str, reason: str
) -> None:
    what = seen(*([report("order-tracker", "paper", told.details())] if told else []))
    assert condition(ACCOUNT, "Reconciled", what)[:2] == (status, reason)


ACTIVE, REDUCING, HALTED = TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED


@pytest.mark.parametrize(
    ("readings", "status", "reason", "words"),
    [
        ((), "Unknown", "Pending", "can't be read"),
        ((reading("platform"),), "Unknown", "Pending", ""),
        ((reading("platform"), reading("account/paper")), "True", "Active", ""),
        ((reading("platform"), reading("account/paper", REDUCING)), "False", "Reducing", "account/paper"),
        ((reading("platform", HALTED), reading("account/paper")), "False", "Halted", "platform"),
        ((reading("platform"), reading("account/paper", None)), "False", "ControlExpired", ""),
        (
            (reading("platform"), reading("account/paper", ACTIVE, expired=True)),
            "False",
            "ControlExpired",
            "",
        ),
        (
            (reading("platform"), reading("account/paper", ACTIVE, latch("account/paper"))),
            "False",
            "Latched",
            "spec.clearLatch: loss-1",
        ),
        (
            (reading("platform"), reading("account/paper", HALTED, latch("account/paper", REDUCING))),
            "False",
            "Halted",
            "",
        ),
        (
            (reading("platform", ACTIVE, latch("platform")), reading("account/paper")),
            "False",
            "Latched",
            "platform: daily loss",
        ),
    ],
)
def test_trading_is_allowed_as_the_strictest_scope_says(
    readings: tuple[ControlReading, ...], status: str, reason: str, words: str
) -> None:
    found = condition(ACCOUNT, "TradingAllowed", seen(readings=readings))
    assert (found[0], found[1], words in found[2]) == (status, reason, True), found


TWO = view(cache_of(strategy(accounts=["paper", "other"])), "Strategy", "momo")
OPEN = (reading("platform"), reading("strategy/momo"))


@pytest.mark.parametrize(
    ("item", "readings", "status", "reason", "words"),
    [
        (STRATEGY, (*OPEN, reading("account/paper")), "True", "Active", "orders may be sent"),
        (STRATEGY, (*OPEN, reading("account/paper", HALTED)), "False", "Halted", "account/paper"),
        (STRATEGY, (*OPEN, reading("account/paper", ACTIVE, latch("account/paper"))), "False", "Latched", "loss-1"),
        (STRATEGY, OPEN, "Unknown", "Pending", "can't be read"),
        (STRATEGY, (reading("platform"), reading("strategy/momo", HALTED)), "False", "Halted", "strategy/momo"),
        (
            TWO,
            (*OPEN, reading("account/paper", HALTED), reading("account/other")),
            "True",
            "Active",
            "but not on paper",
        ),
        (
            TWO,
            (*OPEN, reading("account/paper", HALTED), reading("account/other", REDUCING)),
            "False",
            "Halted",
            "account/paper",
        ),
        (TWO, (*OPEN, reading("account/other", REDUCING)), "False", "Reducing", "account/other"),
    ],
)  # fmt: skip
def test_a_strategy_trades_only_where_an_account_lets_it(
    item: Any, readings: tuple[ControlReading, ...], status: str, reason: str, words: str
) -> None:
    found = condition(item, "TradingAllowed", seen(readings=readings))
    assert (found[0], found[1], words in found[2]) == (status, reason, True), found


@pytest.mark.parametrize(
    ("told", "status", "reason"),
    [
        (None, "Unknown", "Pending"),
        (RunnerFigures(state="running"), "True", "Running"),
        (RunnerFigures(state="stopped", message="ZeroDivisionError in on_tick"), "False", "Stopped"),
        (RunnerFigures(state="refused", message="spec.parameters.lookback: no"), "False", "Stopped"),
        (RunnerFigures(state="starting"), "Unknown", "Unknown"),
    ],
)
def test_a_strategy_runs_if_its_pod_says_so(told: RunnerFigures | None, status: str, reason: str) -> None:
    what = seen(*([report("strategy", "momo", told.details())] if told else []))
    found = condition(STRATEGY, "StrategyRunning", what)
    assert found[:2] == (status, reason)
    if told and told.message:
        assert told.message in found[2]


def test_what_a_pod_refuses_becomes_the_verdict() -> None:
    parameters = RunnerFigures(
        state="refused",
        reason="BadParameters",
        message="m.yaml, spec.parameters.lookback: 'x' is not a number",
    )
    found = refusal(STRATEGY, seen(report("strategy", "momo", parameters.details())))
    assert found is not None
    assert (found.reason, "lookback" in found.message) == ("BadParameters", True)
    for told, reason in (
        ("UnknownType", "UnknownType"),
        ("UnknownInstrument", "UnknownInstrument"),
        ("Invalid", "Invalid"),
        ("", "Invalid"),  # an image that is older than the reasons
        ("CodeRaised", "Invalid"),
    ):
        other = RunnerFigures(state="refused", reason=told, message="spec.parameters: no")
        found = refusal(STRATEGY, seen(report("strategy", "momo", other.details())))
        assert found is not None
        assert found.reason == reason
    assert (
        refusal(STRATEGY, seen(report("strategy", "momo", RunnerFigures(state="running").details()))) is None
    )
    assert refusal(STRATEGY, seen()) is None


def test_every_figure_of_the_schema_is_written_and_null_is_not_known() -> None:
    for item in (FEED, ACCOUNT, STRATEGY):
        model = STATUSES[item.key.kind]
        names = {field.alias for field in model.model_fields.values()} - {"conditions", "observedGeneration"}
        found = figures(item, seen())
        assert set(found) == names
        model.model_validate(found)
    assert figures(ACCOUNT, seen())["dayPnl"] is None
    assert figures(FEED, seen()) == {"source": "simulated", "instruments": 2, "lastTickTime": None}


def test_figures_are_those_of_the_reports() -> None:
    book = BookFigures(
        day_pnl="-12.50", equity="999987.5", signals_today=3, orders_today=2, positions=1, open_orders=1
    )
    own = {"momo": StrategyFigures(signals_today=2, orders_today=1, day_pnl="-12.50", position="NSE:X 5")}
    what = seen(
        report("risk", "paper", {**book.details(), **strategy_details(own)}),
        report("order-tracker", "paper", TrackerFigures(in_doubt=4).details()),
        report("strategy", "momo", RunnerFigures(state="running", last_tick_ts=TS).details()),
        report("market-feed", "demo", FeedFigures(last_tick_ts=TS).details()),
        readings=(reading("account/paper", ACTIVE, latch("account/paper")),),
    )
    found = figures(ACCOUNT, what)
    assert (found["dayPnl"], found["signalsToday"], found["inDoubt"]) == ("-12.50", 3, 4)
    assert found["latches"] == [
        {
            "id": "loss-1",
            "state": "Halted",
            "reason": "daily loss",
            "setBy": "risk",
            "setAt": "2026-01-05T08:00:00Z",
        }
    ]
    found = figures(STRATEGY, what)
    assert (found["dayPnl"], found["ordersToday"], found["position"]) == ("-12.50", 1, "NSE:X 5 on paper")
    assert found["lastTickTime"] == figures(FEED, what)["lastTickTime"] == "2026-01-05T08:00:00Z"


def test_money_of_several_accounts_is_summed_exactly_and_not_known_if_one_is_not() -> None:
    item = view(cache_of(strategy(accounts=["a", "b"])), "Strategy", "momo")

    def told(name: str, pnl: str | None) -> Any:
        return report("risk", name, strategy_details({"momo": StrategyFigures(day_pnl=pnl)}))

    assert figures(item, seen(told("a", "0.1"), told("b", "0.2")))["dayPnl"] == "0.3"
    assert figures(item, seen(told("a", "0.1"), told("b", None)))["dayPnl"] is None


def test_a_pod_that_can_not_use_its_manifests_is_told_of() -> None:
    what = seen(report("risk", "paper", {"manifests": "line 3: no"}))
    assert stale_manifests(ACCOUNT, what) == "risk: line 3: no"
    assert stale_manifests(ACCOUNT, seen()) == ""


def test_a_namesake_of_another_kind_is_not_taken_for_it() -> None:
    what = seen(report("strategy", "paper", {"manifests": "line 3: no"}))
    assert stale_manifests(ACCOUNT, what) == ""


def test_of_strategies_whose_names_begin_alike_each_has_its_own_figures() -> None:
    told = strategy_details({"momo-2": StrategyFigures(signals_today=7)})
    assert figures(STRATEGY, seen(report("risk", "paper", told)))["signalsToday"] is None
