"""What services tell of themselves is read back as it was told, and never trusted further than its type."""

import pytest

from alpha_panda.contracts.status_details import (
    FLAT,
    LEFT_OUT,
    MANIFESTS,
    MAX_STRATEGIES,
    REFUSED,
    RUNNING,
    STARTING,
    BookFigures,
    Details,
    FeedFigures,
    RunnerFigures,
    StrategyFigures,
    StrategyOrders,
    TrackerFigures,
    cancelled_out,
    flattened,
    left_out,
    manifests_problem,
    risk_strategies,
    strategy_details,
    tracker_strategies,
)
from alpha_panda.contracts.stored import ServiceStatus

EXAMPLES = [
    FeedFigures(last_tick_ts=1, source_alive=True, session_open=False, ticks=3, instruments=2),
    FeedFigures(),
    TrackerFigures(reconciled=True, in_doubt=1, open=2, resting=3, counted_ts=4),
    StrategyOrders(uid="u", resting=1, open=2, doubt=3),
    BookFigures(day_pnl="-1.50", equity="99", cash="9", signals_today=1, positions=2, judged_ts=5),
    StrategyFigures(uid="u", positions=1, position="NSE:X 5", flat=True, teardown=FLAT, day_pnl="0"),
    RunnerFigures(state=REFUSED, message="spec.parameters.lookback: must be at least 1", signals=2),
    RunnerFigures(state=RUNNING, last_tick_ts=7),
]


def status(details: Details) -> ServiceStatus:
    return ServiceStatus(
        service="risk",
        resource="paper",
        instance="pod",
        state="running",
        processed=0,
        errors=0,
        dead_lettered=0,
        last_event_ts=None,
        started_at=0,
        details=dict(details),
    )


@pytest.mark.parametrize("figures", EXAMPLES, ids=lambda item: type(item).__name__)
def test_what_is_told_is_read_back(figures: TrackerFigures) -> None:
    assert type(figures).of(figures.details()) == figures
    assert type(figures).of({**figures.details("x."), "y.z": 1}, "x.") == figures


@pytest.mark.parametrize("figures", EXAMPLES, ids=lambda item: type(item).__name__)
def test_nothing_told_is_the_careful_answer(figures: TrackerFigures) -> None:
    assert type(figures).of({}) == type(figures)()


def test_what_is_not_known_is_not_told() -> None:
    assert "last_tick_ts" not in FeedFigures().details()


@pytest.mark.parametrize(
    "wrong", [{"reconciled": 1}, {"reconciled": "true"}, {"counted_ts": "9"}, {"resting": True}]
)
def test_a_value_of_another_type_is_as_if_it_were_not_there(wrong: Details) -> None:
    assert TrackerFigures.of(wrong) == TrackerFigures()


def test_a_service_that_tells_nothing_of_its_runner_is_starting() -> None:
    assert RunnerFigures.of({}).state == STARTING


def test_strategies_are_told_by_name() -> None:
    orders = {"a": StrategyOrders(uid="1", resting=2), "b-c": StrategyOrders(doubt=1)}
    told = strategy_details(orders)
    assert told["strategy.a.resting"] == 2
    assert tracker_strategies({**told, "other": 1}) == orders
    assert left_out(told) == 0


def test_many_strategies_are_cut_those_to_be_torn_down_last() -> None:
    many = {f"s{number}": StrategyFigures(signals_today=number) for number in range(MAX_STRATEGIES + 5)}
    last = f"s{MAX_STRATEGIES + 4}"
    told = strategy_details(many, [last, "unknown"])
    found = risk_strategies(told)
    assert len(found) == MAX_STRATEGIES
    assert found[last] == many[last]
    assert left_out(told) == 5


def test_a_problem_with_the_manifests_is_text_or_none() -> None:
    assert manifests_problem({}) is None
    assert manifests_problem({MANIFESTS: ""}) is None
    assert manifests_problem({MANIFESTS: 5}) is None
    assert manifests_problem({MANIFESTS: "a.yaml:1: bad"}) == "a.yaml:1: bad"


# -------------------------------------------------------------------------------------------------- deletion

SINCE = 100
GOOD = TrackerFigures(reconciled=True, counted_ts=SINCE + 1).details()


@pytest.mark.parametrize(
    ("details", "done"),
    [
        ({**GOOD, **strategy_details({"a": StrategyOrders(uid="1")})}, True),
        ({**GOOD, LEFT_OUT: 0}, True),
        ({**GOOD, LEFT_OUT: 1}, False),
        ({**GOOD, **strategy_details({"a": StrategyOrders(resting=1)})}, False),
        ({**GOOD, **strategy_details({"a": StrategyOrders(open=1)})}, False),
        ({**GOOD, **strategy_details({"a": StrategyOrders(doubt=1)})}, False),
        ({**GOOD, **strategy_details({"b": StrategyOrders(doubt=1)})}, True),
        ({**GOOD, "reconciled": False}, False),
        ({**GOOD, "counted_ts": SINCE}, False),
        ({}, False),
    ],
)
def test_cancelled_out_wants_a_late_count_of_nothing(details: Details, done: bool) -> None:
    assert cancelled_out(status(details), "a", SINCE) is done


@pytest.mark.parametrize(
    ("judged", "own", "done"),
    [
        (SINCE + 1, StrategyFigures(uid="u", flat=True), True),
        (SINCE, StrategyFigures(uid="u", flat=True), False),
        (None, StrategyFigures(uid="u", flat=True), False),
        (SINCE + 1, StrategyFigures(uid="u", flat=False), False),
        (SINCE + 1, StrategyFigures(uid="other", flat=True), False),
    ],
)
def test_flat_is_of_this_very_resource_and_of_late(
    judged: int | None, own: StrategyFigures, done: bool
) -> None:
    details = {**BookFigures(judged_ts=judged).details(), **strategy_details({"a": own})}
    assert flattened(status(details), "a", "u", SINCE) is done
    assert not flattened(status(details), "b", "u", SINCE)
