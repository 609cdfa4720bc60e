"""Pods hear at once that their ConfigMap has changed; nothing else is touched, and what fails hurts nothing."""

from dataclasses import replace
from typing import Any

import pytest

from alpha_panda.errors import (
    AlphaPandaError,
    ApiRefusedError,
    DependencyUnavailableError,
    FencedError,
)
from alpha_panda_operator.facts import pod_fact
from alpha_panda_operator.names import CONFIG_VERSION, Key
from unit.operator.kit import account, child, feed, strategy, with_metadata
from unit.operator.reconcile.test_reconciler import FEED, MOMO, PAPER, Bench

ACCOUNT_PODS = ("paper-engine-a", "paper-engine-b", "paper-order-tracker-a", "paper-risk-a")
ALL_PODS = {"demo-market-feed-a": FEED, "momo-strategy-a": MOMO} | dict.fromkeys(ACCOUNT_PODS, PAPER)


def run_pods(bench: Bench) -> None:
    for name, owner in ALL_PODS.items():
        role = name.removeprefix(f"{owner.name}-").rpartition("-")[0]
        template = bench.cluster.objects["Deployment", f"{owner.name}-{role}"]["spec"]["template"]
        pod = child(owner, "Pod", name, role)
        pod["metadata"]["annotations"] = dict(template["metadata"]["annotations"])
        show(bench, pod)


def show(bench: Bench, pod: dict[str, Any]) -> None:
    bench.cluster.objects["Pod", pod["metadata"]["name"]] = pod
    fact = pod_fact(pod)
    assert fact is not None
    bench.cache.put_pod(fact)


async def trading() -> Bench:
    bench = Bench()
    bench.see(feed(), account(), strategy())
    await bench.go(FEED, PAPER, MOMO)
    run_pods(bench)
    await bench.go(FEED, PAPER, MOMO)
    return bench


def told(bench: Bench) -> dict[str, str]:
    """The pods that were told, and the version."""
    notes = {
        name: (bench.cluster.objects["Pod", name]["metadata"].get("annotations") or {}) for name in ALL_PODS
    }
    return {name: found[CONFIG_VERSION] for name, found in notes.items() if CONFIG_VERSION in found}


def merges(calls: list[Any]) -> list[str]:
    return sorted(call["name"] for call in calls if (call["verb"], call["kind"]) == ("merge", "Pod"))


async def limits_change(bench: Bench) -> list[Any]:
    bench.see(with_metadata(account(risk={"maxDailyLoss": 5}), generation=2))
    return await bench.go(PAPER)


async def test_what_starts_needs_no_telling() -> None:
    assert told(await trading()) == {}


async def test_a_changed_limit_is_told_to_every_pod_that_mounts_it_and_to_no_other() -> None:
    bench = await trading()
    calls = await limits_change(bench)
    assert merges(calls) == sorted(ACCOUNT_PODS)
    version = bench.cluster.objects["ConfigMap", "paper-account"]["metadata"]["resourceVersion"]
    assert told(bench) == dict.fromkeys(ACCOUNT_PODS, version)
    assert [call["kind"] for call in calls if call["verb"] == "apply"] == ["ConfigMap"]  # no template changes


async def test_pods_are_told_only_after_the_config_map_has_changed() -> None:
    calls = await limits_change(await trading())
    kinds = [call["kind"] for call in calls]
    assert kinds.index("ConfigMap") < kinds.index("Pod")


async def test_a_new_strategy_is_told_to_its_accounts_pods() -> None:
    bench = await trading()
    bench.see(strategy("second"))
    assert merges(await bench.go(PAPER)) == sorted(ACCOUNT_PODS)


async def test_nothing_is_told_twice() -> None:
    bench = await trading()
    await limits_change(bench)
    assert merges(await bench.go(PAPER)) == []


async def test_each_change_has_a_version_of_its_own() -> None:
    bench = await trading()
    await limits_change(bench)
    first = set(told(bench).values())
    bench.see(with_metadata(account(), generation=3))  # as it was before
    await bench.go(PAPER)
    assert len(first | set(told(bench).values())) == 2


async def test_a_restarted_operator_tells_nothing_unless_something_has_changed() -> None:
    bench = await trading()
    bench.restart()
    assert merges(await bench.go(FEED, PAPER, MOMO)) == []
    bench.restart()
    assert merges(await limits_change(bench)) == sorted(ACCOUNT_PODS)


async def test_an_apply_that_changes_nothing_tells_nobody() -> None:
    bench = await trading()
    bench.restart()
    key = Key("ConfigMap", PAPER.namespace, "paper-account")
    bench.cache.put_child(replace(bench.cache.children[key], applied=""))
    calls = await bench.go(PAPER)
    assert ("apply", "ConfigMap") in {(call["verb"], call["kind"]) for call in calls}
    assert merges(calls) == []


async def test_changes_of_other_objects_are_not_told() -> None:
    bench = await trading()
    bench.edited("PodDisruptionBudget", "paper-engine", spec={"maxUnavailable": 9})
    calls = await bench.go(PAPER)
    assert ("apply", "PodDisruptionBudget") in {(call["verb"], call["kind"]) for call in calls}
    assert merges(calls) == []


@pytest.mark.parametrize(
    ("error", "asked"),
    [
        (ApiRefusedError(403, "Forbidden", "a policy says no"), 4),
        (DependencyUnavailableError("kubernetes", "no answer in time"), 1),
    ],
)
async def test_a_refusal_hurts_nothing_and_a_dead_api_is_not_asked_for_each_pod(
    error: AlphaPandaError, asked: int
) -> None:
    bench = await trading()
    for name in ACCOUNT_PODS:
        bench.cluster.refuse["Pod", name] = error
    calls = await limits_change(bench)  # does not raise
    assert len(merges(calls)) == asked
    assert told(bench) == {}
    text = bench.cluster.objects["ConfigMap", "paper-account"]["data"]["manifests.yaml"]
    assert '"maxDailyLoss": 5' in text
    assert bench.condition(PAPER, "Accepted")[:2] == ("True", "Accepted")
    assert merges(await bench.go(PAPER)) == []  # the kubelet comes by itself


async def test_a_pod_that_has_ended_is_not_asked() -> None:
    bench = await trading()
    ended = bench.cache.drop_pod(Key("Pod", PAPER.namespace, "paper-risk-a"))
    assert ended is not None
    assert merges(await limits_change(bench)) == [name for name in ACCOUNT_PODS if name != "paper-risk-a"]


async def test_who_does_not_lead_any_more_ends() -> None:
    bench = await trading()
    bench.cluster.refuse["Pod", "paper-risk-a"] = FencedError("somebody else leads")
    with pytest.raises(FencedError):
        await limits_change(bench)


async def test_pods_that_are_replaced_anyway_are_not_told_and_the_others_are() -> None:
    bench = await trading()
    bench.see(with_metadata(strategy(parameters={"lookback": 3}), generation=2))
    calls = await bench.go(MOMO, PAPER)
    assert ("apply", "Deployment") in {(call["verb"], call["kind"]) for call in calls}
    assert merges(calls) == sorted(ACCOUNT_PODS)


@pytest.mark.parametrize(
    "more",
    [{"metadata": {"deletionTimestamp": "2026-01-05T08:00:00Z"}}, {"status": {"phase": "Failed"}}],
    ids=["ending", "evicted"],
)
async def test_pods_that_end_are_not_told(more: dict[str, Any]) -> None:
    bench = await trading()
    pod = bench.cluster.objects["Pod", "paper-risk-a"]
    show(bench, with_metadata({**pod, "status": more.get("status", {})}, **more.get("metadata", {})))
    assert merges(await limits_change(bench)) == [name for name in ACCOUNT_PODS if name != "paper-risk-a"]
