"""What a deletion waits for."""

from typing import Any

import pytest

from alpha_panda.contracts.resources import DeletionPolicy
from alpha_panda.contracts.status_details import (
    BookFigures,
    StrategyFigures,
    StrategyOrders,
    TrackerFigures,
    strategy_details,
)
from alpha_panda_operator.facts import ChildFact, PodFact
from alpha_panda_operator.names import Key
from alpha_panda_operator.reconcile.teardown import Waiting, pods_left, strategy_waits, users_left
from unit.operator.kit import START, cache_of, deleted, strategy, view
from unit.operator.reconcile.test_figures import report

PAPER = Key("BrokerAccount", "desk", "paper")
LATER = round((START + 10) * 1e9)


def waits(
    policy: str, *reports: Any, accounts: tuple[Key, ...] = (PAPER,), quiet: float | None = START
) -> str:
    item = view(cache_of(deleted(strategy(deletionPolicy=policy))), "Strategy", "momo")
    return strategy_waits(item, accounts, dict(reports), quiet)


def tracker(counted: int = LATER, reconciled: bool = True, **orders: Any) -> Any:
    own = strategy_details({"momo": StrategyOrders(**orders)}) if orders else {}
    figures = TrackerFigures(reconciled=reconciled, counted_ts=counted).details()
    return report("order-tracker", "paper", {**figures, **own})


def risk(judged: int = LATER, uid: str = "uid-momo", **own: Any) -> Any:
    figures = BookFigures(judged_ts=judged).details()
    return report("risk", "paper", {**figures, **strategy_details({"momo": StrategyFigures(uid=uid, **own)})})


def test_retain_waits_for_nothing() -> None:
    assert waits("Retain", quiet=None) == ""


@pytest.mark.parametrize("policy", ["CancelOrders", "Flatten"])
def test_nothing_is_believed_before_the_last_permission_to_send_has_run_out(policy: str) -> None:
    assert "permission to send" in waits(policy, tracker(), risk(flat=True), quiet=None)


@pytest.mark.parametrize(
    ("reports", "words"),
    [
        ((), "the order-tracker of account paper to report"),
        ((tracker(reconciled=False),), "account paper to cancel its orders"),
        ((tracker(counted=round(START * 1e9)),), "account paper to cancel"),
        ((tracker(resting=2),), "2 resting, 0 untold, 0 in doubt"),
        ((tracker(doubt=1),), "1 in doubt"),
        ((tracker(),), ""),
        ((tracker(resting=0),), ""),
    ],
)
def test_cancel_orders_waits_until_a_later_count_finds_none(reports: tuple[Any, ...], words: str) -> None:
    found = waits("CancelOrders", *reports)
    assert words in found
    assert bool(found) is bool(words)


@pytest.mark.parametrize(
    ("reports", "words"),
    [
        ((), "risk of account paper to report"),
        (
            (risk(flat=False, position="NSE:X 5", teardown="closing"),),
            "close its positions: NSE:X 5 (closing)",
        ),
        ((risk(flat=True, uid="another"),), "close its positions"),
        ((risk(flat=True, judged=round(START * 1e9)),), "close its positions"),
        ((risk(flat=True),), ""),
    ],
)
def test_flatten_waits_until_risk_finds_this_very_resource_flat(reports: tuple[Any, ...], words: str) -> None:
    found = waits("Flatten", *reports)
    assert words in found
    assert bool(found) is bool(words)


def test_each_account_is_waited_for_and_those_that_are_gone_are_not() -> None:
    second = Key("BrokerAccount", "desk", "second")
    assert "second" in waits("CancelOrders", tracker(), accounts=(PAPER, second))
    assert waits("CancelOrders", accounts=()) == ""


def test_a_policy_that_can_not_be_read_cancels() -> None:
    item = view(cache_of(strategy(deletionPolicy="Nonsense")), "Strategy", "momo")
    assert item.deletion_policy is DeletionPolicy.CANCEL_ORDERS


def test_who_still_uses_it_is_named() -> None:
    cache = cache_of(*(strategy(f"s{number:02}") for number in range(12)))
    told = users_left(cache.strategies_on("desk", "paper"))
    assert "Strategy s00" in told
    assert "and 2 more still use it" in told
    assert users_left([]) == ""


def test_waiting_is_over_when_nothing_is_left_or_the_time_is() -> None:
    assert Waiting("").over
    assert not Waiting("pods").over
    assert Waiting("pods", timed_out=True).over


def deployment(role: str, pods: int) -> ChildFact:
    return ChildFact(Key("Deployment", "desk", f"paper-{role}"), PAPER, "u", "d", "1", "f", pods=pods)


def pod(name: str, role: str, *, ended: bool = False) -> PodFact:
    return PodFact(Key("Pod", "desk", name), PAPER, role, ready=False, ended=ended)


@pytest.mark.parametrize(
    ("children", "pods", "words"),
    [
        ([], [], ""),
        ([deployment("risk", 0)], [], ""),
        ([deployment("risk", 1)], [], "paper-risk (1)"),
        ([deployment("risk", 0)], [pod("a", "risk")], "paper-risk (1)"),
        ([], [pod("a", "risk")], "paper-risk (1)"),
        ([deployment("engine", 1)], [pod("a", "engine"), pod("b", "engine")], "paper-engine (2)"),
        (
            [deployment("engine", 3)],
            [pod("a", "engine"), pod("b", "risk")],
            "paper-engine (3), paper-risk (1)",
        ),
        ([deployment("risk", 0)], [pod("a", "risk", ended=True)], ""),
    ],
)
def test_pods_count_until_they_are_gone_whatever_their_deployment_says(
    children: list[ChildFact], pods: list[PodFact], words: str
) -> None:
    assert pods_left(children, pods) == words
