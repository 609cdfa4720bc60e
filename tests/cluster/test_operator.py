"""The operator as a process against a real API server: what it makes, heals, halts, hands over and lets go."""

import json
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.stored import ClearRequest, TeardownRequest
from alpha_panda.testing.servers.redis import RedisServer
from cluster.operator_fixtures import (
    crds,
    desk,
    home,
    operator,
    redis_server,
    set_platform,
    with_store,
)
from cluster.operator_process import SECONDS, Desk, OperatorProcess
from cluster.test_operator_conditions import BA, MF, STRAT, all_three, be_ready, pods_of
from harness.cluster import Cluster
from harness.kubectl import Kubectl
from harness.resources import release
from unit.operator.kit import account, feed, strategy

__all__ = ["crds", "desk", "home", "operator", "redis_server"]

CHILDREN = [
    ("deployment", "demo-market-feed"),
    ("deployment", "demo-feed-cacher"),
    ("deployment", "paper-engine"),
    ("deployment", "paper-risk"),
    ("deployment", "paper-order-tracker"),
    ("deployment", "momo-strategy"),
    ("configmap", "demo-market-feed"),
    ("configmap", "paper-account"),
    ("configmap", "momo-strategy"),
    ("poddisruptionbudget", "paper-engine"),
    ("networkpolicy", "momo-strategy"),
    ("serviceaccount", "paper-risk"),
]


def test_everything_is_made_for_the_resource_that_owns_it(desk: Desk) -> None:
    all_three(desk)
    for kind, name in CHILDREN:
        found = desk.until_there(kind, name)
        (owner,) = found["metadata"]["ownerReferences"]
        assert owner["name"] == name.partition("-")[0]
        assert owner["controller"] is True
    for kind, name in ((MF, "demo"), (BA, "paper"), (STRAT, "momo")):
        metadata = desk.kubectl.get(kind, name)["metadata"]
        assert metadata["finalizers"] == ["alphapanda.io/teardown"]
        shown = json.loads(desk.kubectl("get", kind, name, "--output=json", "--show-managed-fields"))
        managers = {entry["manager"] for entry in shown["metadata"]["managedFields"]}
        assert not any("kopf" in manager for manager in managers)
        assert not any("kopf" in note for note in metadata.get("annotations", {}))


@pytest.mark.parametrize(("kind", "name"), CHILDREN)
def test_what_is_deleted_comes_back(desk: Desk, kind: str, name: str) -> None:
    all_three(desk)
    uid = desk.until_there(kind, name)["metadata"]["uid"]
    desk.kubectl("delete", kind, name, "--wait=false")

    def back() -> bool:
        found = desk.kubectl.find(kind, name)
        return bool(found) and found["metadata"]["uid"] != uid

    desk.operator.until(back, f"{kind}/{name} comes back")


EDITS: list[tuple[str, str, Any]] = [
    ("deployment", "paper-risk", {"spec": {"replicas": 0}}),
    ("deployment", "momo-strategy", {"spec": {"template": {"spec": {"automountServiceAccountToken": True}}}}),
    ("deployment", "momo-strategy", {"metadata": {"labels": {"alphapanda.io/kind": "Else"}}}),
    ("configmap", "momo-strategy", {"data": {"manifests.yaml": "nothing"}}),
    ("networkpolicy", "momo-strategy", {"spec": {"egress": [{}]}}),
    ("poddisruptionbudget", "paper-engine", {"spec": {"maxUnavailable": 2}}),
    ("serviceaccount", "momo-strategy", {"automountServiceAccountToken": True}),
]


@pytest.mark.parametrize(("kind", "name", "edit"), EDITS)
def test_what_is_edited_is_put_back(desk: Desk, kind: str, name: str, edit: dict[str, Any]) -> None:
    all_three(desk)
    desk.until_there(kind, name)
    desk.expect(BA, "paper", "Progressing", "False", "Settled")
    desk.expect(STRAT, "momo", "Progressing", "False", "Settled")

    def content() -> Any:
        found = desk.kubectl.get(kind, name)
        kept = {part: found.get(part) for part in ("spec", "data", "automountServiceAccountToken")}
        return kept, found["metadata"]["labels"]

    before = content()
    desk.kubectl("patch", kind, name, "--type=merge", "--patch", json.dumps(edit))
    assert content() != before or desk.kubectl.get(kind, name)
    desk.operator.until(lambda: content() == before, f"{kind}/{name} is put back")


def test_a_child_that_lost_its_label_gets_it_back_and_holds_nothing_up(desk: Desk) -> None:
    """The operator watches by that label: to its watch the child was gone."""
    all_three(desk)
    desk.expect(STRAT, "momo", "Progressing", "False", "Settled")
    child = ("deployment", "momo-strategy")
    label = "alphapanda.io/installation"
    desk.kubectl("label", *child, f"{label}-")
    desk.operator.until(
        lambda: label in desk.kubectl.get(*child)["metadata"]["labels"], "it has the label again"
    )
    desk.kubectl("delete", STRAT, "momo", "--wait=false")
    desk.operator.until(lambda: not desk.kubectl.exists(STRAT, "momo"), "the strategy is gone", 90)


def test_limits_and_states_reach_the_pods_and_restart_none(desk: Desk) -> None:
    all_three(desk)
    for name in ("momo-strategy", "paper-risk"):
        desk.until_there("deployment", name)
    for kind, name in ((STRAT, "momo"), (BA, "paper"), (MF, "demo")):
        desk.expect(kind, name, "Progressing", "False", "Settled")
    before = {item["metadata"]["name"]: item["metadata"]["uid"] for item in desk.kubectl.list("replicasets")}
    desk.apply(strategy(tradingState="Halted", risk={"maxPosition": 7}), account(risk={"maxDailyLoss": 5}))

    def arrived() -> bool:
        texts = [
            desk.kubectl.get("configmap", name)["data"]["manifests.yaml"]
            for name in ("momo-strategy", "paper-account")
        ]
        return all('"maxPosition": 7' in text and '"maxDailyLoss": 5' in text for text in texts)

    desk.operator.until(arrived, "the limits in the ConfigMaps")
    desk.expect(STRAT, "momo", "TradingAllowed", "False", "Halted")
    assert before == {
        item["metadata"]["name"]: item["metadata"]["uid"] for item in desk.kubectl.list("replicasets")
    }
    desk.apply(strategy(tradingState="Halted", parameters={"lookback": 5}))
    desk.operator.until(
        lambda: len(desk.kubectl.list("replicasets")) == len(before) + 1,
        "a start-up field rolls one workload",
    )


def test_a_halt_is_in_redis_within_a_second(desk: Desk, record_property: Any) -> None:
    all_three(desk)
    desk.until_state("strategy/momo", TradingState.ACTIVE)
    desk.until_state("account/paper", TradingState.ACTIVE)
    took: list[float] = []
    for number in range(6):
        state = TradingState.HALTED if number % 2 == 0 else TradingState.ACTIVE
        kind, scope = ((STRAT, "strategy/momo"), (BA, "account/paper"))[number // 3]
        name = scope.partition("/")[2]
        if desk.spec_state(scope) == state.value:
            continue
        patch = f'{{"spec":{{"tradingState":"{state.value}"}}}}'
        began = time.monotonic()
        desk.kubectl("patch", kind, name, "--type=merge", "--patch", patch)
        desk.until_state(scope, state)
        took.append(time.monotonic() - began)
    record_property("halt_seconds", sorted(took))
    print(f"change of tradingState by kubectl to Redis, kubectl's own time included: {sorted(took)}")  # noqa: T201 - a figure for the reader
    assert sorted(took)[len(took) // 2] < 1.0


def test_keys_are_renewed_while_the_operator_lives_and_run_out_when_it_is_dead(
    desk: Desk, control_plane: Cluster, redis_server: RedisServer
) -> None:
    all_three(desk)
    desk.until_state("strategy/momo", TradingState.ACTIVE)
    end = time.monotonic() + 8  # longer than the keys live
    while time.monotonic() < end:
        assert desk.spec_state("strategy/momo") == "Active"
        time.sleep(0.2)


def test_latches_named_in_the_manifest_are_asked_of_risk(desk: Desk, redis_server: RedisServer) -> None:
    desk.apply(feed(), account(clearLatch=["loss-1"]), strategy())

    async def requests(store: Any) -> tuple[ClearRequest, ...]:
        found: tuple[ClearRequest, ...] = await store.control.clear_requests(
            ["account/paper", "strategy/momo"]
        )
        return found

    desk.operator.until(lambda: bool(with_store(desk, redis_server.url, requests)), "the request")
    (request,) = with_store(desk, redis_server.url, requests)
    assert (request.scope, request.latch_id, request.outcome) == ("account/paper", "loss-1", "")
    desk.apply(account())
    desk.operator.until(lambda: not with_store(desk, redis_server.url, requests), "it is forgotten")


def test_a_broken_resource_hurts_no_other(desk: Desk) -> None:
    desk.apply(
        feed(), feed("broken", calendar="XXXX"), account(), strategy("wrong", accounts=["nobody"]), strategy()
    )
    desk.expect(MF, "broken", "Accepted", "False", "Invalid")
    desk.expect(STRAT, "wrong", "Accepted", "False", "MissingAccount")
    desk.expect(STRAT, "momo", "Accepted", "True", "Accepted")
    desk.until_there("deployment", "momo-strategy")
    text = desk.kubectl.get("configmap", "paper-account")["data"]["manifests.yaml"]
    assert '"momo"' in text
    assert '"wrong"' not in text


# ----------------------------------------------------------------------------------------------------- deletion


@pytest.mark.parametrize("policy", ["Retain", "CancelOrders", "Flatten"])
def test_a_deleted_strategy_is_tightened_scaled_down_and_released(
    desk: Desk, redis_server: RedisServer, policy: str
) -> None:
    desk.apply(feed(), account(), strategy(deletionPolicy=policy))
    desk.until_there("deployment", "momo-strategy")
    desk.until_state("strategy/momo", TradingState.ACTIVE)
    uid = desk.kubectl.get(STRAT, "momo")["metadata"]["uid"]
    desk.kubectl("delete", STRAT, "momo", "--wait=false")
    if policy == "Retain":
        desk.until_gone(STRAT, "momo")
        desk.until_gone("deployment", "momo-strategy")
        assert desk.spec_state("strategy/momo") is None
        return
    desk.until_state("strategy/momo", TradingState.REDUCING if policy == "Flatten" else TradingState.HALTED)
    desk.expect(STRAT, "momo", "Progressing", "True", "Deleting", "of account paper to report")
    assert desk.kubectl.get("deployment", "momo-strategy")["spec"]["replicas"] == 0

    async def asked(store: Any) -> tuple[TeardownRequest, ...]:
        found: tuple[TeardownRequest, ...] = await store.control.teardowns()
        return found

    (request,) = with_store(desk, redis_server.url, asked)
    assert (request.uid, request.policy) == (uid, policy)
    told = desk.kubectl.get("configmap", "paper-account")["data"]["manifests.yaml"]
    assert f'"alphapanda.io/teardown": "{policy}"' in told
    desk.until_gone(STRAT, "momo")  # nobody reports: the deadline
    events = [item["reason"] for item in desk.kubectl.list("events.events.k8s.io")]
    assert "TeardownTimedOut" in events
    desk.operator.until(lambda: with_store(desk, redis_server.url, asked) == (), "the request is taken back")


def test_everything_deleted_at_once_goes_in_order(desk: Desk) -> None:
    desk.apply(feed(), account(), strategy(deletionPolicy="Retain"))
    for name in ("demo-market-feed", "paper-risk", "momo-strategy"):
        desk.until_there("deployment", name)
    for kind, name in ((MF, "demo"), (BA, "paper"), (STRAT, "momo")):
        desk.kubectl("delete", kind, name, "--wait=false")
    for kind, name in ((STRAT, "momo"), (BA, "paper"), (MF, "demo")):
        desk.until_gone(kind, name)
    for kind, name in CHILDREN:
        desk.until_gone(kind, name)
    desk.operator.until(
        lambda: not [key for key in desk.store.keys(f"{desk.namespace}.*") if b"status" not in key],
        "nothing is left in Redis",
    )


def test_a_namespace_that_is_deleted_goes_after_the_deadline_and_leaves_nothing_in_redis(desk: Desk) -> None:
    """Kubernetes deletes the pods of such a namespace first, so nobody can report: what strategies hold stays."""
    name = f"{desk.namespace}-all"
    desk.cluster.kubectl("create", "namespace", name)
    doomed = replace(desk, namespace=name)
    all_three(doomed)
    doomed.until_there("deployment", "momo-strategy")
    doomed.until_state("strategy/momo", TradingState.ACTIVE)
    desk.cluster.kubectl("delete", "namespace", name, "--wait=false")
    doomed.until_state("strategy/momo", TradingState.HALTED)
    desk.operator.until(
        lambda: not desk.cluster.kubectl.exists("namespace", name), "the namespace is gone", SECONDS * 2
    )
    desk.operator.until(
        lambda: not [key for key in desk.store.keys(f"{name}.*") if b"status" not in key],
        "nothing is left in Redis",
    )


def test_an_account_in_use_keeps_its_pods_also_when_it_is_deleted_in_the_foreground(desk: Desk) -> None:
    """As GitOps tools delete: Kubernetes takes the children first, although strategies still need them."""
    all_three(desk)
    desk.expect(BA, "paper", "Progressing", "False", "Settled")
    desk.kubectl("delete", BA, "paper", "--cascade=foreground", "--wait=false")
    desk.expect(BA, "paper", "Progressing", "True", "Deleting", "Strategy momo still use it")

    def served() -> str:
        metadata = desk.kubectl.find("deployment", "paper-risk").get("metadata", {})
        return "" if "deletionTimestamp" in metadata else metadata.get("uid", "")

    uid, since = served(), time.monotonic()

    def stays() -> bool:
        """Whether one and the same has been there for as long as a fight over it would not leave it."""
        nonlocal uid, since
        if (found := served()) != uid:
            uid, since = found, time.monotonic()
        return bool(uid) and time.monotonic() - since > 6

    desk.operator.until(stays, "risk is there again, and stays")


# ------------------------------------------------------------------------------------------ several operators


@pytest.fixture
def alone(  # noqa: PLR0917 - fixtures and a row of the table
    control_plane: Cluster,
    crds: None,
    namespace: str,
    home: Kubectl,
    redis_server: RedisServer,
    tmp_path: Path,
) -> Iterator[Desk]:
    """A namespace with operators of the test's own, which watch that namespace alone."""
    process = OperatorProcess(
        Path(control_plane.kubeconfig),
        namespace,
        redis_server.url,
        tmp_path,
        {"installation": "alone", "watchNamespaces": [namespace]},
    )
    started: list[OperatorProcess] = [process]
    with redis_server.client() as client:
        made = Desk(control_plane, namespace, process, client, "alone")
        set_platform(made.kubectl, "Active")
        try:
            yield made
        finally:
            for one in started:
                one.close()
            release(made.kubectl)


def another(desk: Desk, name: str, **config: Any) -> OperatorProcess:
    return replace(desk.operator, name=name, port=0, config={**desk.operator.config, **config}, _process=None)


def test_a_standby_answers_and_takes_over_when_the_leader_dies_and_trading_goes_on(alone: Desk) -> None:
    one = alone.operator.started()
    all_three(alone)
    alone.until_state("strategy/momo", TradingState.ACTIVE)
    two = another(alone, "two").start()
    try:
        two.until(lambda: two.probe("/readyz")[0] == 200, "the standby is ready")
        assert two.probe("/livez")[0] == 200
        assert two.metric("alphapanda_operator_leader") == 0
        one.stop(signal.SIGKILL)
        began = time.monotonic()
        two.until(lambda: two.metric("alphapanda_operator_leader") == 1, "the standby leads")
        killed = time.monotonic() - began
        alone.kubectl("patch", STRAT, "momo", "--type=merge", '--patch={"spec":{"tradingState":"Halted"}}')
        replace(alone, operator=two).until_state("strategy/momo", TradingState.HALTED)
        three = another(alone, "three").start()
        try:
            three.until(lambda: three.probe("/readyz")[0] == 200, "the third is ready")
            began = time.monotonic()
            assert two.stop() == 0
            three.until(lambda: three.metric("alphapanda_operator_leader") == 1, "the third leads")
            stopped = time.monotonic() - began
        finally:
            three.close()
        print(f"takeover with a lease of 4 s: {killed:.1f} s after SIGKILL, {stopped:.1f} s after SIGTERM")  # noqa: T201 - a figure for the reader
        assert 3 < killed < 15
    finally:
        two.close()


def test_a_frozen_leader_ends_when_it_thaws_and_writes_nothing(alone: Desk) -> None:
    one = alone.operator.started()
    all_three(alone)
    alone.until_state("strategy/momo", TradingState.ACTIVE)
    two = another(alone, "two").start()
    try:
        one.process.send_signal(signal.SIGSTOP)
        two.until(lambda: two.metric("alphapanda_operator_leader") == 1, "the other leads")
        one.process.send_signal(signal.SIGCONT)
        assert one.process.wait(30) == 1
        assert "does not lead any more" in one.log() or "could not be renewed" in one.log()
    finally:
        two.close()


def test_a_dead_operator_first_keeps_then_stops_trading(alone: Desk) -> None:
    one = alone.operator.started()
    all_three(alone)
    alone.until_state("strategy/momo", TradingState.ACTIVE)
    one.stop(signal.SIGKILL)
    died = time.monotonic()
    assert alone.spec_state("strategy/momo") == "Active"
    while alone.spec_state("strategy/momo") == "Active":
        assert time.monotonic() - died < 10
        time.sleep(0.1)
    assert time.monotonic() - died > 3  # controlTtl is 6, renewed each second


def test_what_was_missed_while_down_is_made_good(alone: Desk) -> None:
    alone.operator.started()
    all_three(alone)
    alone.until_there("deployment", "momo-strategy")
    alone.until_there("deployment", "paper-risk")
    alone.until_there("poddisruptionbudget", "paper-engine")
    assert alone.operator.stop() == 0
    alone.kubectl("delete", "deployment", "momo-strategy")
    alone.kubectl("patch", "deployment", "paper-risk", '--patch={"spec":{"replicas":3}}')
    alone.apply(strategy("second"), account(engine={"replicas": 1}))
    alone.operator.started()
    alone.until_there("deployment", "momo-strategy")
    alone.until_there("deployment", "second-strategy")
    alone.until_gone("poddisruptionbudget", "paper-engine")
    alone.operator.until(
        lambda: alone.kubectl.get("deployment", "paper-risk")["spec"]["replicas"] == 1, "one risk pod"
    )


def test_an_upgrade_replaces_no_ready_pod_until_it_is_asked_to(alone: Desk) -> None:
    alone.operator.started()
    all_three(alone)
    deployments = [name for kind, name in CHILDREN if kind == "deployment"]
    for name in deployments:
        be_ready(alone, name)
    alone.expect(BA, "paper", "Ready", "True", "Ready")
    alone.expect(STRAT, "momo", "Ready", "True", "Ready")
    alone.expect(MF, "demo", "Ready", "True", "Ready")
    before = sorted(item["metadata"]["uid"] for item in alone.kubectl.list("pods"))
    assert alone.operator.stop() == 0
    upgraded = another(alone, "new", image={"repository": "alpha-panda", "tag": "next"})
    try:
        upgraded.started()
        now = replace(alone, operator=upgraded)
        now.expect(BA, "paper", "UpdatePending", "True", "SessionOpen", "rollout: now")
        now.expect(STRAT, "momo", "UpdatePending", "True", "SessionOpen")
        now.expect(MF, "demo", "UpdatePending", "True", "SessionOpen")
        assert sorted(item["metadata"]["uid"] for item in now.kubectl.list("pods")) == before
        now.kubectl("annotate", STRAT, "momo", "alphapanda.io/rollout=now")
        now.expect(STRAT, "momo", "UpdatePending", "False", "UpToDate")
        (only,) = now.kubectl.get("deployment", "momo-strategy")["spec"]["template"]["spec"]["containers"]
        assert only["image"] == "alpha-panda:next"
        (risk,) = now.kubectl.get("deployment", "paper-risk")["spec"]["template"]["spec"]["containers"]
        assert risk["image"] == "alpha-panda:test"
    finally:
        upgraded.close()


def test_two_installations_in_one_namespace_do_not_touch_each_others_resources(
    alone: Desk, desk: Desk
) -> None:
    desk.apply(feed("theirs"))  # of the module's operator, which watches all namespaces
    desk.expect(MF, "theirs", "Accepted", "True", "Accepted")
    alone.operator.started()
    alone.apply(feed("mine"))
    plain = {name: feed("plain")[name] for name in ("apiVersion", "kind", "spec")}
    alone.kubectl.apply({**plain, "metadata": {"name": "plain"}})
    for name in ("mine", "plain"):  # the topics are the first one's
        alone.expect(MF, name, "Accepted", "False", "NameConflict", f"installation {desk.installation}")
    alone.expect(MF, "theirs", "Accepted", "True", "Accepted")
    made = [item["metadata"]["name"] for item in alone.kubectl.list("deployments")]
    assert sorted(made) == ["theirs-feed-cacher", "theirs-market-feed"]
    desk.kubectl("delete", MF, "theirs")
    for name in ("mine", "plain"):
        alone.expect(MF, name, "Accepted", "True", "Accepted")
        labels = alone.until_there("deployment", f"{name}-market-feed")["metadata"]["labels"]
        assert labels["alphapanda.io/installation"] == "alone"


def test_a_resource_stays_until_its_last_pod_has_ended(alone: Desk) -> None:
    patient = another(alone, "patient", teardownSeconds=600)
    try:
        patient.started()
        desk = replace(alone, operator=patient)
        desk.apply(feed(), account(), strategy(deletionPolicy="Retain"))
        be_ready(desk, "momo-strategy")
        (pod,) = pods_of(desk, "momo-strategy")
        hold = '--patch={"metadata":{"finalizers":["test/drains"]}}'
        desk.kubectl("patch", "pod", pod, "--type=merge", hold)
        desk.kubectl("delete", STRAT, "momo", "--wait=false")
        desk.operator.until(
            lambda: not desk.kubectl.get("deployment", "momo-strategy")["status"].get("replicas"),
            "the Deployment counts none",
        )
        desk.expect(STRAT, "momo", "Progressing", "True", "Deleting", "pods to end: momo-strategy (1)")
        desk.kubectl("patch", "pod", pod, "--type=merge", '--patch={"metadata":{"finalizers":null}}')
        desk.until_gone(STRAT, "momo")
    finally:
        patient.close()


def test_wrong_settings_end_with_two(alone: Desk) -> None:
    wrong = another(alone, "wrong", statusSecond=1).start()
    assert wrong.process.wait(30) == 2
    assert "statusSecond: there is no such field" in wrong.log()
    bare = replace(another(alone, "bare"), redis_url="").start()
    assert bare.process.wait(30) == 2
    assert "ALPHAPANDA_REDIS_URL is not set" in bare.log()
