"""What is told of an installation, and what of it a person has to do something about."""

from typing import Any

import pytest

from alpha_panda.contracts.enums import EntryState, TradingState
from alpha_panda.contracts.scopes import PLATFORM, account_scope, strategy_scope
from alpha_panda.contracts.status_details import (
    MANIFESTS,
    PROBLEM,
    BookFigures,
    BrokerFigures,
    FeedFigures,
    RunnerFigures,
    StrategyFigures,
    TrackerFigures,
    strategy_details,
)
from alpha_panda.contracts.stored import ControlReading, Latch, ServiceStatus
from alpha_panda.domain.overview import Facts, Finding, Lag, age_text, findings, strategies_of
from contracts.samples import entry, signal

NOW = 1_700_000_000_000_000_000
SECOND = 1_000_000_000
FRESH = FeedFigures(last_tick_ts=NOW - SECOND, source_alive=True, session_open=True, ticks=5, instruments=1)


def status(service: str, resource: str, works: Any = "running", **details: Any) -> ServiceStatus:
    return ServiceStatus(
        service=service,
        resource=resource,
        instance=f"{service}-0",
        state=works,
        processed=1,
        errors=0,
        dead_lettered=0,
        last_event_ts=None,
        started_at=NOW,
        details=details,
    )


def reading(scope: str, spec: TradingState | None = TradingState.ACTIVE, **changes: Any) -> ControlReading:
    fields: dict[str, Any] = {"expired": False, "latches": ()}
    return ControlReading(scope=scope, spec=spec, **(fields | changes))


def readings(*changed: ControlReading) -> dict[str, ControlReading]:
    scopes = (PLATFORM, account_scope("paper"), strategy_scope("alpha"))
    return {scope: reading(scope) for scope in scopes} | {item.scope: item for item in changed}


def services(**details: dict[str, Any]) -> list[ServiceStatus]:
    book = BookFigures(positions=1, orders_today=3, day_pnl="-5").details()
    own = strategy_details({"alpha": StrategyFigures(orders_today=3, position="X 1", day_pnl="-5")})
    runner = RunnerFigures(state="running", signals=3, last_tick_ts=NOW - SECOND).details()
    given = {
        "market-feed": FRESH.details(),
        "risk": {**book, **own},
        "order-tracker": TrackerFigures(reconciled=True, resting=2).details(),
        "strategy": runner,
    }
    given |= details
    feeds = [status(name, "demo", **given.get(name, {})) for name in ("market-feed", "feed-cacher")]
    accounts = [status(name, "paper", **given.get(name, {})) for name in ("risk", "engine", "order-tracker")]
    return [*feeds, *accounts, status("strategy", "alpha", **given["strategy"])]


def facts(**changes: Any) -> Facts:
    fields: dict[str, Any] = {
        "now": NOW,
        "accounts": ["paper"],
        "feeds": ["demo"],
        "statuses": services(),
        "controls": readings(),
        "ready": {"paper": True},
    }
    return Facts(**(fields | changes))


def ill(**changes: Any) -> list[Finding]:
    return [item for item in findings(facts(**changes)) if not item.well]


def only(**changes: Any) -> Finding:
    (found,) = ill(**changes)
    return found


def without(*names: str) -> list[ServiceStatus]:
    return [item for item in services() if item.service not in names]


def test_where_all_is_well_nobody_has_to_do_anything() -> None:
    found = findings(facts(lags=[Lag(group="g", topic="t", records=0)]))
    assert [(item.what, item.says, item.remedy) for item in found] == [
        ("feed demo", "fresh: newest tick at most 1.0 s old, 5 ticks of 1 instrument", ""),
        ("strategy alpha", "running: 3 signals, newest tick at most 1.0 s old", ""),
        ("strategy alpha", "on paper: X 1, 3 orders today, day's P&L -5", ""),
        (
            "account paper",
            "Active: risk, 1 engine, order-tracker, 1 position, 3 orders today, day's P&L -5, 2 resting, 0 in doubt",
            "",
        ),
        ("consumers", "1 group keeps up", ""),
    ]


@pytest.mark.parametrize(
    "name", ["risk", "engine", "order-tracker", "market-feed", "feed-cacher", "strategy"]
)
def test_a_service_that_does_not_report_is_missed(name: str) -> None:
    found = only(statuses=without(name))
    assert found.what.startswith(name)
    assert "does not run" in found.says


def test_a_feed_of_which_nothing_runs_is_missed_while_a_strategy_reads_it() -> None:
    """Its topic alone tells nothing: a deleted feed leaves that too."""
    reading = RunnerFigures(state="running", feed="demo").details()
    left = without("market-feed", "feed-cacher", "strategy")
    assert not ill(statuses=[*left, status("strategy", "alpha", **RunnerFigures(state="running").details())])
    for feeds in (["demo"], []):
        found = ill(statuses=[*left, status("strategy", "alpha", **reading)], feeds=feeds)
        assert [item.what for item in found] == ["market-feed demo", "feed-cacher demo"]


def test_where_no_report_can_be_read_nobody_is_said_to_be_missing() -> None:
    problem = "redis does not answer: redis: away"
    assert only(statuses=[], reported=False, problems=[problem]).says == problem


@pytest.mark.parametrize("state", ["starting", "failed", "waiting-for-lease", "stopping"])
def test_a_service_of_which_no_replica_works_is_told_with_its_state(state: str) -> None:
    found = only(statuses=[*without("engine"), status("engine", "paper", state)])
    assert (found.what, found.says) == ("engine paper", f"does not work: {state}")


def test_one_working_replica_is_enough() -> None:
    assert not ill(statuses=[*services(), status("engine", "paper", "starting")])


def test_a_deleted_account_leaves_its_topics_and_nobody_misses_it() -> None:
    gone = readings(reading(account_scope("old"), None))
    found = findings(facts(accounts=["old", "paper"], controls=gone))
    assert all(item.well for item in found)
    assert ("account old", "nothing runs of it and nobody asks for it") in [(f.what, f.says) for f in found]


def test_a_feed_whose_source_is_silent_in_session_is_told() -> None:
    figures = FeedFigures(last_tick_ts=NOW - 9 * SECOND, source_alive=False, session_open=True)
    found = only(statuses=services(**{"market-feed": figures.details()}))
    assert found.says.startswith("SILENT in session: newest tick at most 9.0 s old")
    assert "PRICE_STALE" in found.remedy


def test_a_source_that_has_never_said_anything_is_not_fresh() -> None:
    figures = FeedFigures(session_open=True, instruments=3)
    found = only(statuses=services(**{"market-feed": figures.details()}))
    assert found.says == "no sign of life of its source yet: no tick yet, 0 ticks of 3 instruments"
    assert found.remedy.startswith("orders are refused until there is one")


def test_out_of_session_silence_is_well() -> None:
    figures = FeedFigures(source_alive=False, session_open=False)
    assert not ill(statuses=services(**{"market-feed": figures.details()}))


def test_an_open_breaker_and_unusable_manifests_are_told() -> None:
    assert only(statuses=services(engine={"breaker.redis": "open"})).says == "the breaker of redis is open"
    assert not ill(statuses=services(engine={"breaker.redis": "closed"}))
    assert not ill(statuses=services(engine={"breaker.redis": "half-open"}))
    assert "line 7" in only(statuses=services(engine={MANIFESTS: "line 7"})).says


@pytest.mark.parametrize("state", ["stopped", "refused"])
def test_a_strategy_that_crashed_or_can_t_run_says_why(state: str) -> None:
    figures = RunnerFigures(state=state, message="raised ValueError")
    found = only(statuses=services(strategy=figures.details()))
    assert found.says == f"{state}: raised ValueError"


def test_a_latch_says_who_and_why_and_how_it_is_cleared() -> None:
    latch = Latch(
        latch_id="by-hand-1",
        scope=account_scope("paper"),
        state=TradingState.HALTED,
        reason="odd fills",
        set_by="ann",
        set_at=NOW - 300 * SECOND,
    )
    found = only(controls=readings(reading(account_scope("paper"), latches=(latch,))))
    assert found.says == "Halted by ann, 5 min ago: odd fills (latch by-hand-1)"
    assert found.remedy.endswith("alpha-panda resume paper --latch by-hand-1")


@pytest.mark.parametrize(
    ("scope", "typed"), [(PLATFORM, "--all"), (strategy_scope("alpha"), "Strategy/alpha")]
)
def test_other_scopes_are_typed_as_resume_takes_them(scope: str, typed: str) -> None:
    latch = Latch(
        latch_id="l", scope=scope, state=TradingState.REDUCING, reason="r", set_by="risk", set_at=NOW
    )
    assert only(controls=readings(reading(scope, latches=(latch,)))).remedy.endswith(
        f"resume {typed} --latch l"
    )


def test_a_manifest_s_halt_is_told_with_its_own_remedy() -> None:
    found = only(controls=readings(reading(account_scope("paper"), TradingState.HALTED)))
    assert (found.what, found.says) == ("account paper", "Halted by its manifest")
    assert "spec.tradingState" in found.remedy


@pytest.mark.parametrize(
    ("spec", "expired", "word"), [(TradingState.ACTIVE, True, "ran out"), (None, False, "never")]
)
def test_a_state_that_nobody_renews_is_a_halt(spec: TradingState | None, expired: bool, word: str) -> None:
    found = only(controls=readings(reading(PLATFORM, spec, expired=expired)))
    assert word in found.says
    assert "alpha-panda control" in found.remedy


def test_an_order_in_doubt_is_one_line_with_the_command() -> None:
    doubtful = entry(signal("s1"), EntryState.UNKNOWN, created_at=NOW - 90 * SECOND)
    found = only(doubt={"paper": [doubtful]})
    assert found.what == "order s1"
    assert found.says == "UNKNOWN for 1 min: BUY 10 NSE:RELIANCE of momentum"
    assert found.remedy.endswith("alpha-panda orders resolve paper s1")


def test_a_call_that_is_under_way_is_well() -> None:
    sending = entry(signal("s1"), EntryState.SENDING, created_at=NOW - SECOND, send_by=NOW + SECOND)
    assert not ill(doubt={"paper": [sending]})
    overdue = entry(signal("s1"), EntryState.SENDING, created_at=NOW - SECOND, send_by=NOW - 1)
    assert ill(doubt={"paper": [overdue]})


def at_broker(**told: Any) -> list[Finding]:
    figures = BrokerFigures(**{"broker_reconciled": True, "token_expires_at": NOW + SECOND, **told})
    tracker = {**TrackerFigures(reconciled=True).details(), **figures.details()}
    return ill(statuses=services(**{"order-tracker": tracker}))


def test_an_account_that_is_compared_with_its_broker_by_a_valid_login_needs_nobody() -> None:
    assert at_broker() == []


@pytest.mark.parametrize(
    "told", [{"token_expires_at": NOW}, {"token_expires_at": 0, "token_problem": "expired"}]
)
def test_a_login_that_has_ended_needs_a_person_to_log_in(told: dict[str, Any]) -> None:
    (found,) = at_broker(broker_reconciled=False, **told)
    assert (found.what, found.remedy) == ("account paper", "alpha-panda login paper")
    assert "expired" in found.says


def test_an_account_that_is_not_compared_with_its_broker_says_why() -> None:
    (found,) = at_broker(broker_reconciled=False, reconcile_problem="no positions")
    assert found.says.endswith("no position grows: no positions")


def test_what_differs_from_the_broker_is_named_with_what_books_it() -> None:
    (found,) = at_broker(differences=1, difference_names="NSE:X ours 5 broker 3")
    assert "NSE:X ours 5 broker 3" in found.says
    assert "alpha-panda orders adopt paper" in found.remedy


def test_a_feed_says_what_keeps_its_source_from_prices() -> None:
    silent = FeedFigures(source_alive=False, session_open=True).details()
    (found,) = ill(statuses=services(**{"market-feed": {**silent, PROBLEM: "log in again"}}))
    assert found.says.endswith("; log in again")


def test_an_account_that_is_not_reconciled_needs_a_person_if_it_stays_so() -> None:
    assert "not reconciled" in only(ready={"paper": False}).says


@pytest.mark.parametrize(
    ("age", "shown", "well"),
    [(SECOND, False, True), (6 * SECOND, True, True), (31 * SECOND, True, False), (None, True, True)],
)
def test_what_waits_long_is_shown_and_what_waits_too_long_needs_a_person(
    age: int | None, shown: bool, well: bool
) -> None:
    found = findings(facts(lags=[Lag(group="g", topic="t", records=2, age=age)]))
    told = [item for item in found if item.what == "group g"]
    assert bool(told) is shown
    assert all(item.well for item in found) is well


def test_dead_letters_need_a_person_and_empty_queues_don_t() -> None:
    found = only(letters={"a.dlq": 1, "b.dlq": 0})
    assert (found.what, found.says) == ("queue a.dlq", "1 dead letter")


def test_what_does_not_answer_comes_first() -> None:
    assert findings(facts(problems=["redis does not answer"]))[0].says == "redis does not answer"


def test_strategies_are_those_that_run_and_those_that_risk_knows() -> None:
    hosted = status("strategy", "b,a")
    assert strategies_of([*services(), hosted]) == ["a", "alpha", "b"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(-1, "0.0 s"), (59.94, "59.9 s"), (61, "1 min"), (7199, "119 min"), (7200, "2 h")]
)
def test_ages_are_told_as_people_say_them(seconds: float, text: str) -> None:
    assert age_text(round(seconds * SECOND)) == text
