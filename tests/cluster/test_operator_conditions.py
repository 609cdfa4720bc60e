"""Situations that a person meets, each with the condition that tells of it: type, status, reason, generation."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.status_details import FeedFigures, RunnerFigures, TrackerFigures
from alpha_panda.contracts.stored import Latch, ServiceStatus
from alpha_panda.testing.servers.redis import RedisServer
from cluster.operator_fixtures import crds, desk, home, operator, redis_server, set_platform, with_store
from cluster.operator_process import Desk
from harness.kubectl import Kubectl
from unit.operator.kit import account, feed, strategy

__all__ = ["crds", "desk", "home", "operator", "redis_server"]

Change = Callable[[Desk], None]
MF, BA, STRAT = "marketfeed", "brokeraccount", "strategy"


def all_three(desk: Desk) -> None:
    desk.apply(feed(), account(), strategy())


def own_code(config_map: str | None) -> dict[str, Any]:
    return strategy(code={"file": "mine.py", **({"configMap": config_map} if config_map else {})})


def test_what_is_right_is_accepted_and_all_conditions_are_there(desk: Desk) -> None:
    all_three(desk)
    for kind, name in ((MF, "demo"), (BA, "paper"), (STRAT, "momo")):
        desk.expect(kind, name, "Accepted", "True", "Accepted")
        desk.expect(kind, name, "Ready", "False", "PodsNotReady", "no pod is ready yet")
        desk.expect(kind, name, "UpdatePending", "False", "UpToDate")
        desk.expect(kind, name, "Drifted", "False", "InSync")
        desk.expect(kind, name, "Progressing", "False", "Settled")
        status = desk.kubectl.get(kind, name)["status"]
        assert all(item["lastTransitionTime"].endswith("Z") for item in status["conditions"])
        assert all(item["message"] for item in status["conditions"])
    desk.expect(MF, "demo", "FeedFresh", "Unknown", "Pending")
    desk.expect(BA, "paper", "SessionValid", "True", "NotRequired")
    desk.expect(BA, "paper", "Reconciled", "Unknown", "Pending")
    desk.expect(BA, "paper", "ControlPublished", "True", "Published")
    desk.expect(STRAT, "momo", "TradingAllowed", "True", "Active")
    desk.expect(STRAT, "momo", "StrategyRunning", "Unknown", "Pending")


WRONG: list[tuple[str, list[dict[str, Any]], str, str, str, str]] = [
    ("a missing feed", [account()], BA, "paper", "MissingFeed", "apply it"),
    ("a missing account", [feed(), strategy()], STRAT, "momo", "MissingAccount", "no BrokerAccount 'paper'"),
    (
        "two feeds",
        [feed(), feed("other"), account(marketFeed="other"), strategy()],
        STRAT,
        "momo",
        "FeedMismatch",
        "name the same feed",
    ),
    (
        "an account that does not want it",
        [feed(), account(acceptStrategies=["else"]), strategy()],
        STRAT,
        "momo",
        "NotAcceptedByAccount",
        "spec.acceptStrategies",
    ),
    (
        "an instrument that the feed lacks",
        [feed(), account(), strategy(instruments=["NSE:INFY"])],
        STRAT,
        "momo",
        "UnknownInstrument",
        "NSE:INFY",
    ),
    (
        "a type that nobody has",
        [feed(), account(), strategy(type="momentm")],
        STRAT,
        "momo",
        "UnknownType",
        "it has ma_crossover",
    ),
    (
        "code without a ConfigMap",
        [feed(), account(), own_code(None)],
        STRAT,
        "momo",
        "MissingConfigMap",
        "kubectl create configmap",
    ),
    (
        "code in a ConfigMap that is not there",
        [feed(), account(), own_code("mine")],
        STRAT,
        "momo",
        "MissingConfigMap",
        "there is no ConfigMap 'mine'",
    ),
    ("an unknown calendar", [feed(calendar="XXXX")], MF, "demo", "Invalid", "XBOM"),
    (
        "a replay without its files",
        [feed(source={"replay": {"path": "t.csv", "configMap": "ticks"}})],
        MF,
        "demo",
        "MissingConfigMap",
        "'ticks'",
    ),
]


@pytest.mark.parametrize(
    ("resources", "kind", "name", "reason", "words"),
    [row[1:] for row in WRONG],
    ids=[row[0] for row in WRONG],
)
def test_what_is_not_accepted_says_why_and_gets_no_pods(  # noqa: PLR0917 - fixtures and a row of the table
    desk: Desk, resources: list[dict[str, Any]], kind: str, name: str, reason: str, words: str
) -> None:
    desk.apply(*resources)
    desk.expect(kind, name, "Accepted", "False", reason, words)
    waits = reason in ("MissingFeed", "MissingAccount")
    desk.expect(kind, name, "Ready", "False", "WaitingForDependency" if waits else "NotAccepted")
    owner = resources[-1]["metadata"]["name"]
    assert desk.kubectl.list("deployments", f"--selector=app.kubernetes.io/instance={owner}") == []


def test_what_was_missing_is_noticed_when_it_comes(desk: Desk) -> None:
    desk.apply(own_code("mine"))
    desk.expect(STRAT, "momo", "Accepted", "False", "MissingFeed")
    desk.apply(account(), feed())
    desk.expect(STRAT, "momo", "Accepted", "False", "MissingConfigMap", "there is no ConfigMap")
    desk.kubectl("create", "configmap", "mine", "--from-literal=other.py=x")
    desk.expect(STRAT, "momo", "Accepted", "False", "MissingConfigMap", "no key 'mine.py'")
    desk.kubectl("delete", "configmap", "mine")
    desk.kubectl("create", "configmap", "mine", "--from-literal=mine.py=x=1")
    desk.expect(STRAT, "momo", "Accepted", "True", "Accepted")
    desk.until_there("deployment", "momo-strategy")


def test_what_breaks_later_leaves_what_runs(desk: Desk) -> None:
    all_three(desk)
    before = desk.until_there("deployment", "momo-strategy")
    desk.apply(account(acceptStrategies=["else"]))
    desk.expect(STRAT, "momo", "Accepted", "False", "NotAcceptedByAccount")
    desk.expect(STRAT, "momo", "Ready", "False", "NotAccepted", "What ran before goes on unchanged")
    assert desk.kubectl.get("deployment", "momo-strategy")["metadata"]["uid"] == before["metadata"]["uid"]


def test_an_object_of_somebody_else_is_a_conflict_and_is_left_alone(desk: Desk) -> None:
    desk.kubectl("create", "configmap", "demo-market-feed", "--from-literal=theirs=yes")
    desk.apply(feed())
    desk.expect(MF, "demo", "Accepted", "False", "NameConflict", "ConfigMap demo-market-feed exists already")
    assert desk.kubectl.get("configmap", "demo-market-feed")["data"] == {"theirs": "yes"}
    desk.kubectl("delete", "configmap", "demo-market-feed")
    desk.expect(MF, "demo", "Accepted", "True", "Accepted")


def test_a_namespace_of_another_installation_is_a_conflict_until_it_is_given_back(desk: Desk) -> None:
    desk.store.set(f"{desk.namespace}.owner", "blue")
    desk.apply(feed(), account())
    desk.expect(BA, "paper", "Accepted", "False", "NameConflict", "installation blue")
    assert desk.spec_state("account/paper") is None
    desk.store.delete(f"{desk.namespace}.owner")
    desk.expect(BA, "paper", "Accepted", "True", "Accepted")
    desk.until_state("account/paper", TradingState.ACTIVE)


# --------------------------------------------------------------------------------------------------------- pods


def pods_of(desk: Desk, deployment: str) -> list[str]:
    instance, _, role = deployment.partition("-")
    labels = f"app.kubernetes.io/instance={instance},app.kubernetes.io/component={role}"
    found = desk.kubectl.list("pods", f"--selector={labels}")
    return [item["metadata"]["name"] for item in found if not item["metadata"].get("deletionTimestamp")]


def be_pod(desk: Desk, deployment: str, status: dict[str, Any]) -> None:
    """Say of a workload's pods what a kubelet would."""
    desk.until_there("deployment", deployment)
    desk.operator.until(lambda: bool(pods_of(desk, deployment)), f"pods of {deployment}")
    for name in pods_of(desk, deployment):
        desk.kubectl(
            "patch",
            "pod",
            name,
            "--subresource=status",
            "--type=merge",
            "--patch",
            json.dumps({"status": status}),
        )


def be_ready(desk: Desk, deployment: str) -> None:
    condition = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-05T08:00:00Z"}
    be_pod(desk, deployment, {"phase": "Running", "conditions": [condition]})


def waiting(reason: str, message: str, **more: Any) -> dict[str, Any]:
    container = {
        "name": "strategy", "image": "x", "imageID": "", "ready": False, "restartCount": 3,
        "state": {"waiting": {"reason": reason, "message": message}}, **more,
    }  # fmt: skip
    return {"phase": "Pending", "containerStatuses": [container]}


def test_pods_that_are_ready(desk: Desk) -> None:
    all_three(desk)
    be_ready(desk, "momo-strategy")
    desk.expect(STRAT, "momo", "Ready", "True", "Ready", "strategy 1/1")


def test_a_pod_that_crashes(desk: Desk) -> None:
    all_three(desk)
    ended = {"exitCode": 2, "reason": "Error", "message": "ModuleNotFoundError: mine"}
    be_pod(desk, "momo-strategy", waiting("CrashLoopBackOff", "back-off", lastState={"terminated": ended}))
    desk.expect(
        STRAT,
        "momo",
        "Ready",
        "False",
        "CrashLoop",
        "exit code 2: ModuleNotFoundError: mine; see the pod's log",
    )


def test_an_image_that_is_not_there(desk: Desk) -> None:
    all_three(desk)
    be_pod(desk, "momo-strategy", waiting("ImagePullBackOff", "no such image x"))
    desk.expect(STRAT, "momo", "Ready", "False", "ImageMissing", "no such image x; check the image's name")


def test_a_secret_that_the_container_names_and_nobody_made(desk: Desk) -> None:
    all_three(desk)
    be_pod(desk, "momo-strategy", waiting("CreateContainerConfigError", 'secret "key" not found'))
    desk.expect(STRAT, "momo", "Ready", "False", "MissingSecret", 'secret "key" not found; create it')


def unmounted() -> dict[str, Any]:
    """A pod with a node, as a kubelet tells of it while a volume is not there."""
    since = {"lastTransitionTime": "2026-01-05T08:00:00Z"}
    conditions = [
        {"type": "PodReadyToStartContainers", "status": "False", **since},
        {"type": "PodScheduled", "status": "True", **since},
    ]
    return {"phase": "Pending", "conditions": conditions}


def test_a_secret_that_is_mounted_and_nobody_made(desk: Desk) -> None:
    all_three(desk)
    be_pod(desk, "demo-market-feed", unmounted())
    words = f"is Secret 'feed-login' in namespace {desk.namespace}?"
    desk.expect(MF, "demo", "Ready", "False", "MissingSecret", words)


def test_a_volume_that_does_not_come(desk: Desk) -> None:
    all_three(desk)
    be_pod(desk, "momo-strategy", unmounted())
    desk.expect(STRAT, "momo", "Ready", "False", "PodsNotReady", "waits for its volumes or its network")


def test_more_strategies_than_a_config_map_holds(desk: Desk) -> None:
    desk.apply(feed(), account())
    desk.expect(BA, "paper", "Accepted", "True", "Accepted")
    large = [strategy(f"s{number:02}", parameters={"note": "x" * 100_000}) for number in range(11)]
    desk.apply(*large)
    desk.expect(BA, "paper", "Ready", "False", "ManifestsTooLarge", "move strategies to another account")
    assert desk.kubectl.exists("deployment", "paper-risk")
    desk.kubectl("delete", STRAT, "s00", "--wait=false")
    desk.until_gone(STRAT, "s00")
    desk.expect(BA, "paper", "Ready", "False", "PodsNotReady", "no pod is ready yet")


def test_a_quota_that_allows_no_pod(desk: Desk) -> None:
    desk.kubectl("create", "quota", "none", "--hard=pods=0")
    desk.operator.until(
        lambda: "hard" in desk.kubectl.get("resourcequota", "none").get("status", {}), "the quota"
    )
    desk.apply(feed())
    desk.expect(MF, "demo", "Ready", "False", "QuotaExceeded", "raise the quota")


def test_rolling_out(desk: Desk) -> None:
    all_three(desk)
    be_ready(desk, "momo-strategy")
    desk.kubectl("create", "quota", "none", "--hard=pods=0")
    desk.operator.until(
        lambda: "hard" in desk.kubectl.get("resourcequota", "none").get("status", {}), "the quota"
    )
    desk.apply(strategy(parameters={"lookback": 3}))
    desk.expect(STRAT, "momo", "Progressing", "True", "RollingOut", "strategy")


def test_paused(desk: Desk) -> None:
    desk.apply(feed(), account())
    paused = strategy()
    paused["metadata"]["annotations"] = {"alphapanda.io/paused": "true"}
    desk.apply(paused)
    desk.expect(STRAT, "momo", "Progressing", "False", "Paused")
    desk.until_state("strategy/momo", TradingState.ACTIVE)
    assert not desk.kubectl.exists("deployment", "momo-strategy")
    desk.apply(strategy(tradingState="Halted"))
    desk.kubectl("annotate", STRAT, "momo", "alphapanda.io/paused-")
    desk.until_there("deployment", "momo-strategy")


def test_deleting_an_account_that_is_in_use(desk: Desk) -> None:
    all_three(desk)
    desk.expect(BA, "paper", "Accepted", "True", "Accepted")
    desk.until_there("deployment", "paper-risk")
    desk.kubectl("delete", BA, "paper", "--wait=false")
    desk.expect(BA, "paper", "Progressing", "True", "Deleting", "Strategy momo still use it")
    desk.expect(BA, "paper", "Ready", "False", "Deleting")
    desk.until_state("account/paper", TradingState.REDUCING)
    assert desk.kubectl.get("deployment", "paper-risk")["spec"]["replicas"] == 1


def test_fields_of_others(desk: Desk) -> None:
    desk.apply(feed())
    desk.until_there("deployment", "demo-market-feed")
    desk.kubectl("label", "deployment", "demo-market-feed", "team=blue")
    desk.expect(MF, "demo", "Drifted", "True", "ForeignFields", "metadata.labels.team")
    desk.kubectl("label", "deployment", "demo-market-feed", "team-")
    desk.expect(MF, "demo", "Drifted", "False", "InSync")


# ------------------------------------------------------------------------------------------------------ control


@pytest.mark.parametrize(("state", "reason"), [("Halted", "Halted"), ("Reducing", "Reducing")])
def test_a_trading_state(desk: Desk, state: str, reason: str) -> None:
    desk.apply(feed(), account(), strategy(tradingState=state))
    desk.expect(STRAT, "momo", "TradingAllowed", "False", reason, "strategy/momo")
    desk.expect(BA, "paper", "TradingAllowed", "True", "Active")


def test_a_halt_of_the_platform(desk: Desk, home: Kubectl) -> None:
    all_three(desk)
    desk.expect(STRAT, "momo", "TradingAllowed", "True", "Active")
    try:
        set_platform(home, "Halted")
        desk.expect(STRAT, "momo", "TradingAllowed", "False", "Halted", "platform")
        home("delete", "configmap", "alpha-panda-platform")
        desk.until_state("platform", TradingState.HALTED)
    finally:
        set_platform(home, "Active")
    desk.expect(STRAT, "momo", "TradingAllowed", "True", "Active")


def test_a_latch_is_shown_and_a_manifest_applied_again_releases_nothing(
    desk: Desk, redis_server: RedisServer
) -> None:
    all_three(desk)
    desk.expect(BA, "paper", "TradingAllowed", "True", "Active")
    latch = Latch(
        latch_id="loss-1", scope="account/paper", state=TradingState.HALTED, reason="daily loss reached",
        set_by="risk", set_at=1_767_600_000_000_000_000,
    )  # fmt: skip
    with_store(desk, redis_server.url, lambda store: store.control.set_latch(latch))
    desk.expect(BA, "paper", "TradingAllowed", "False", "Latched", "name in spec.clearLatch: loss-1")
    all_three(desk)
    desk.until_state("account/paper", TradingState.ACTIVE)
    desk.expect(BA, "paper", "TradingAllowed", "False", "Latched")
    (shown,) = desk.kubectl.get(BA, "paper")["status"]["latches"]
    assert shown == {
        "id": "loss-1",
        "state": "Halted",
        "reason": "daily loss reached",
        "setBy": "risk",
        "setAt": "2026-01-05T08:00:00Z",
    }


def test_a_store_that_does_not_answer(desk: Desk, redis_server: RedisServer) -> None:
    all_three(desk)
    desk.expect(BA, "paper", "ControlPublished", "True", "Published")
    redis_server.pause()
    try:
        desk.expect(BA, "paper", "ControlPublished", "False", "StoreUnavailable")
        desk.expect(BA, "paper", "TradingAllowed", "Unknown", "Pending", "can't be read")
    finally:
        redis_server.resume()
    desk.expect(BA, "paper", "ControlPublished", "True", "Published")


# ------------------------------------------------------------------------------------------------------ reports

NOW = 1_767_600_000_000_000_000
REPORTS: list[tuple[str, str, Any, str, str, str, str]] = [
    ("market-feed", "demo", FeedFigures(), "FeedFresh", "False", "NoTicks", ""),
    ("market-feed", "demo", FeedFigures(last_tick_ts=NOW, source_alive=True, session_open=True), "FeedFresh", "True", "Fresh", ""),
    ("market-feed", "demo", FeedFigures(last_tick_ts=NOW, source_alive=False, session_open=True), "FeedFresh", "False", "Stale", "check the source"),
    ("market-feed", "demo", FeedFigures(last_tick_ts=NOW, session_open=False), "FeedFresh", "False", "SessionClosed", ""),
    ("order-tracker", "paper", TrackerFigures(), "Reconciled", "False", "Waiting", ""),
    ("order-tracker", "paper", TrackerFigures(reconciled=True, in_doubt=2), "Reconciled", "False", "InDoubt", "of 2 orders"),
    ("order-tracker", "paper", TrackerFigures(reconciled=True), "Reconciled", "True", "Reconciled", ""),
    ("strategy", "momo", RunnerFigures(state="running"), "StrategyRunning", "True", "Running", ""),
    ("strategy", "momo", RunnerFigures(state="stopped", message="ZeroDivisionError"), "StrategyRunning", "False", "Stopped", "ZeroDivisionError"),
    ("strategy", "momo", RunnerFigures(state="refused", reason="BadParameters", message="lookback: no"), "Accepted", "False", "BadParameters", "lookback: no"),
    ("strategy", "momo", RunnerFigures(state="refused", reason="UnknownType", message="no module"), "Accepted", "False", "UnknownType", "no module"),
    ("strategy", "momo", RunnerFigures(state="refused", message="an older image's words"), "Accepted", "False", "Invalid", "an older image's words"),
]  # fmt: skip


@pytest.mark.parametrize(("service", "resource", "figures", "type_", "status", "reason", "words"), REPORTS)
def test_what_services_report(  # noqa: PLR0917 - fixtures and a row of the table
    desk: Desk,
    redis_server: RedisServer,
    service: str,
    resource: str,
    figures: Any,
    type_: str,
    status: str,
    reason: str,
    words: str,
) -> None:
    all_three(desk)
    report = ServiceStatus(
        service=service, resource=resource, instance="one", state="running", processed=0, errors=0,
        dead_lettered=0, last_event_ts=None, started_at=NOW, details=figures.details(),
    )  # fmt: skip
    with_store(desk, redis_server.url, lambda store: store.statuses.put(report, 120.0))
    kind = {"demo": MF, "paper": BA, "momo": STRAT}[resource]
    desk.expect(kind, resource, type_, status, reason, words)
