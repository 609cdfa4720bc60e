"""One reconcile: made, left alone, healed, pruned, held, taken down; statuses written no more often than needed."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from alpha_panda.contracts.status_details import TrackerFigures
from alpha_panda.errors import ApiRefusedError, DependencyUnavailableError
from alpha_panda_operator.cache import Cache
from alpha_panda_operator.control import ControlDesk
from alpha_panda_operator.events import Events
from alpha_panda_operator.facts import child_fact, pod_fact
from alpha_panda_operator.metrics import Metrics
from alpha_panda_operator.names import DEPLOYMENT, Key
from alpha_panda_operator.ownership import Ownership
from alpha_panda_operator.reconcile.board import StatusBoard
from alpha_panda_operator.reconcile.children import Children
from alpha_panda_operator.reconcile.reconciler import Parts, Reconciler
from alpha_panda_operator.reconcile.status import UNDECLARED_SECONDS, StatusWriter
from unit.operator.kit import (
    NAMESPACE,
    FakeClock,
    FakeCluster,
    account,
    child,
    config,
    deleted,
    feed,
    strategy,
    with_metadata,
)
from unit.operator.stores import FakeControl, FakeStatuses

FEED, PAPER, MOMO = (
    Key(kind, NAMESPACE, name)
    for kind, name in (("MarketFeed", "demo"), ("BrokerAccount", "paper"), ("Strategy", "momo"))
)


class Bench:
    """A reconciler on a cluster that remembers."""

    def __init__(self, **fields: Any) -> None:
        self.clock, self.cluster, self.cache = FakeClock(), FakeCluster(), Cache()
        self.control, self.statuses = FakeControl(), FakeStatuses()
        self.fields = fields
        self.restart()

    def restart(self, **fields: Any) -> None:
        """A new operator, which remembers nothing of its own."""
        cluster: Any = self.cluster
        settings = config(**{"teardownSeconds": 100, "statusSeconds": 15, **self.fields, **fields})
        self.desk = ControlDesk(
            store=lambda _: self.control,  # type: ignore[arg-type,return-value]
            clock=self.clock, metrics=Metrics(), ttl=60,
            in_use=lambda item: bool(self.cache.strategies_on(item.key.namespace, item.key.name)),
        )  # fmt: skip
        self.ownership = Ownership(lambda _: self.control, settings.installation)
        board = StatusBoard(lambda _: self.statuses, self.desk)  # type: ignore[arg-type,return-value]
        self.board = board
        events = Events(cluster, self.clock, Metrics(), "me")
        self.reconciler = Reconciler(
            Parts(
                config=settings, cluster=cluster, cache=self.cache,
                children=Children(cluster, self.cache, events),
                statuses=StatusWriter(cluster, self.cache, events, self.clock, settings.status_seconds),
                board=board, desk=self.desk, clock=self.clock, events=events,
                types=frozenset({"momentum"}), send_within=5, ownership=self.ownership,
            )
        )  # fmt: skip

    def see(self, *resources: dict[str, Any]) -> None:
        for resource in resources:
            metadata = resource["metadata"]
            place = (resource["kind"], metadata["name"])
            metadata["finalizers"] = metadata.get("finalizers") or self._finalizers(place)
            self.cluster.objects[place] = {**self.cluster.objects.get(place, {}), **resource}
            self.cache.put(resource)

    def _finalizers(self, place: tuple[str, str]) -> list[str]:
        return list(self.cluster.objects.get(place, {"metadata": {}})["metadata"].get("finalizers", []))

    async def go(self, *keys: Key) -> list[Mapping[str, Any]]:
        """Reconcile; return the calls other than of statuses."""
        before = len(self.cluster.calls)
        for key in keys:
            await self.reconciler.reconcile(key)
        return [
            SimpleNamespace(verb=v, kind=k, name=n).__dict__
            for v, k, n in self.cluster.calls[before:]
            if v != "apply status"
        ]

    def status(self, key: Key) -> dict[str, Any]:
        return dict(self.cluster.objects[key.kind, key.name].get("status", {}))

    def condition(self, key: Key, type_: str) -> tuple[str, str, str]:
        found = next(item for item in self.status(key)["conditions"] if item["type"] == type_)
        return found["status"], found["reason"], found["message"]

    def be(self, name: str, ready: int = 1, pods: int = 1) -> None:
        """Say of a Deployment what its controller would."""
        found = self.cluster.objects["Deployment", name]
        found["status"] = {
            "observedGeneration": 1,
            "replicas": pods,
            "updatedReplicas": pods,
            "readyReplicas": ready,
        }
        found["metadata"]["resourceVersion"] = str(10**9 + self.clock.time)
        fact = child_fact(found, "Deployment")
        assert fact is not None
        self.cache.put_child(fact)

    def edited(self, kind: str, name: str, **changes: Any) -> None:
        """Somebody else changes a child, and the watch shows it."""
        found = self.cluster.objects[kind, name]
        found |= changes
        fact = child_fact(found, kind)
        assert fact is not None
        self.cache.put_child(fact)


async def ready_bench(**fields: Any) -> Bench:
    bench = Bench(**fields)
    bench.see(feed(), account(), strategy())
    await bench.go(FEED, PAPER, MOMO)
    return bench


async def test_everything_is_made_behind_a_finalizer_and_then_left_alone() -> None:
    bench = await ready_bench()
    assert bench.cluster.named("Deployment") == [
        "demo-feed-cacher", "demo-market-feed", "momo-strategy", "paper-engine", "paper-order-tracker", "paper-risk",
    ]  # fmt: skip
    assert bench.cluster.objects["Strategy", "momo"]["metadata"]["finalizers"] == ["alphapanda.io/teardown"]
    first = next(index for index, (_, kind, _) in enumerate(bench.cluster.calls) if kind == "ServiceAccount")
    assert ("apply", "MarketFeed", "demo") in bench.cluster.calls[:first]
    assert await bench.go(FEED, PAPER, MOMO) == []


async def test_a_restarted_operator_reads_all_once_and_applies_nothing() -> None:
    bench = await ready_bench()
    bench.restart()
    calls = await bench.go(FEED, PAPER, MOMO)
    assert len(calls) > 10
    assert {item["verb"] for item in calls} == {"get"}
    assert await bench.go(FEED, PAPER, MOMO) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"data": {"manifests.yaml": "changed"}},
        {"data": {}},
        {"metadata": {"annotations": {}}},
        {"metadata": {"ownerReferences": []}},
    ],
)
async def test_what_somebody_changed_while_no_operator_ran_is_put_back(changes: dict[str, Any]) -> None:
    bench = await ready_bench()
    found = bench.cluster.objects["ConfigMap", "momo-strategy"]
    metadata = {**found["metadata"], **changes.get("metadata", {})}
    bench.edited("ConfigMap", "momo-strategy", **{**changes, "metadata": metadata})
    bench.restart()
    applied = [item for item in await bench.go(FEED, PAPER, MOMO) if item["verb"] == "apply"]
    assert [(item["kind"], item["name"]) for item in applied] == [("ConfigMap", "momo-strategy")]
    assert "momentum" in bench.cluster.objects["ConfigMap", "momo-strategy"]["data"]["manifests.yaml"]


async def test_more_manifests_than_a_config_map_holds_are_told_of_and_what_runs_goes_on() -> None:
    bench = await ready_bench()
    before = bench.cluster.objects["ConfigMap", "paper-account"]["data"]
    bench.see(*(strategy(f"s{number}", parameters={"note": "x" * 60_000}) for number in range(18)))
    with pytest.raises(ApiRefusedError, match="move strategies to another account"):
        await bench.go(PAPER)
    assert bench.cluster.objects["ConfigMap", "paper-account"]["data"] == before
    status, reason, message = bench.condition(PAPER, "Ready")
    assert (status, reason) == ("False", "ManifestsTooLarge")
    assert "a ConfigMap holds 1,048,576" in message
    assert bench.condition(PAPER, "Accepted")[0] == "True"


async def test_what_somebody_changes_is_put_back_and_told_of_once() -> None:
    bench = await ready_bench()
    bench.edited("ConfigMap", "momo-strategy", data={"manifests.yaml": "changed"})
    calls = await bench.go(MOMO)
    assert [(item["verb"], item["name"]) for item in calls] == [("apply", "momo-strategy")]
    assert "momentum" in bench.cluster.objects["ConfigMap", "momo-strategy"]["data"]["manifests.yaml"]
    assert [item["reason"] for item in bench.cluster.events if item["reason"] == "Healed"] == ["Healed"]
    assert await bench.go(MOMO) == []


async def test_what_somebody_deletes_is_made_again() -> None:
    bench = await ready_bench()
    del bench.cluster.objects["Deployment", "paper-risk"]
    bench.cache.drop_child(Key("Deployment", NAMESPACE, "paper-risk"))
    await bench.go(PAPER)
    assert "paper-risk" in bench.cluster.named("Deployment")


async def test_what_is_not_wanted_any_more_goes() -> None:
    bench = await ready_bench()
    assert bench.cluster.named("PodDisruptionBudget") == ["paper-engine"]
    bench.see(with_metadata(account(engine={"replicas": 1}), generation=2))
    calls = await bench.go(PAPER)
    assert {"verb": "delete", "kind": "PodDisruptionBudget", "name": "paper-engine"} in calls


async def test_objects_of_others_are_left_alone_and_named() -> None:
    bench = Bench()
    bench.see(feed())
    theirs = {"metadata": {"name": "demo-market-feed", "uid": "x", "resourceVersion": "1"}, "data": {}}
    bench.cluster.objects["ConfigMap", "demo-market-feed"] = theirs
    await bench.go(FEED)
    assert bench.condition(FEED, "Accepted")[:2] == ("False", "NameConflict")
    assert bench.cluster.objects["ConfigMap", "demo-market-feed"] is theirs


async def test_children_of_an_older_namesake_are_waited_for() -> None:
    bench = await ready_bench()
    bench.see(with_metadata(strategy(), uid="another"))
    bench.cache.put(with_metadata(strategy(), uid="another"))
    with pytest.raises(DependencyUnavailableError, match="of a deleted resource"):
        await bench.go(MOMO)


async def test_limits_change_the_manifests_and_no_pod() -> None:
    bench = await ready_bench()
    bench.see(with_metadata(strategy(risk={"maxPosition": 5}, tradingState="Halted"), generation=2))
    calls = await bench.go(MOMO, PAPER)
    assert {(item["kind"], item["name"]) for item in calls if item["verb"] == "apply"} == {
        ("ConfigMap", "momo-strategy"),
        ("ConfigMap", "paper-account"),
    }


async def test_paused_changes_nothing_but_the_status() -> None:
    bench = await ready_bench()
    bench.see(
        with_metadata(
            strategy(parameters={"lookback": 3}), generation=2, annotations={"alphapanda.io/paused": "true"}
        )
    )
    assert await bench.go(MOMO) == []
    assert bench.condition(MOMO, "Progressing")[:2] == ("False", "Paused")


UPGRADE = {"image": {"repository": "alpha-panda", "tag": "2"}}


def image(bench: Bench, name: str) -> str:
    (only,) = bench.cluster.objects["Deployment", name]["spec"]["template"]["spec"]["containers"]
    return str(only["image"])


async def test_an_upgrade_waits_while_the_session_is_open_and_heals_what_it_holds() -> None:
    bench = await ready_bench()
    for name in bench.cluster.named("Deployment"):
        bench.be(name)
    bench.restart(**UPGRADE)
    await bench.go(FEED, PAPER, MOMO)
    assert {image(bench, name) for name in bench.cluster.named("Deployment")} == {"alpha-panda:1"}
    assert bench.condition(PAPER, "UpdatePending")[:2] == ("True", "SessionOpen")
    assert await bench.go(PAPER) == []
    spec = bench.cluster.objects["Deployment", "paper-risk"]["spec"]
    bench.edited(
        "Deployment", "paper-risk", spec={**spec, "template": {"spec": {"containers": [{"image": "evil"}]}}}
    )
    await bench.go(PAPER)
    assert image(bench, "paper-risk") == "alpha-panda:1"
    bench.see(with_metadata(account(engine={"replicas": 3}), generation=2))
    await bench.go(PAPER)
    assert bench.cluster.objects["Deployment", "paper-engine"]["spec"]["replicas"] == 3
    assert image(bench, "paper-engine") == "alpha-panda:1"


async def test_an_upgrade_is_taken_on_request_and_with_the_users_own_change_and_not_by_who_is_merely_unready() -> (
    None
):
    bench = await ready_bench()
    for name in bench.cluster.named("Deployment"):
        bench.be(name, ready=int(name != "demo-feed-cacher"))
    bench.restart(**UPGRADE)
    bench.see(with_metadata(strategy(parameters={"lookback": 3}), generation=2))
    bench.see(with_metadata(account(), annotations={"alphapanda.io/rollout": "now"}))
    await bench.go(FEED, PAPER, MOMO)
    assert image(bench, "demo-market-feed") == image(bench, "demo-feed-cacher") == "alpha-panda:1"
    assert image(bench, "paper-risk") == image(bench, "momo-strategy") == "alpha-panda:2"
    assert bench.condition(PAPER, "UpdatePending")[:2] == ("False", "UpToDate")


async def test_an_upgrade_is_taken_when_the_session_is_closed() -> None:
    bench = Bench()
    night = feed(sessions=[{"open": "20:00", "close": "21:00"}])  # it is 08:00
    bench.see(night)
    await bench.go(FEED)
    for name in bench.cluster.named("Deployment"):
        bench.be(name)
    bench.restart(**UPGRADE)
    await bench.go(FEED)
    assert image(bench, "demo-market-feed") == "alpha-panda:2"


# ------------------------------------------------------------------------------------------------- taking down


async def test_a_strategy_goes_after_its_pods_and_its_orders() -> None:
    bench = await ready_bench()
    bench.be("momo-strategy")
    bench.see(deleted(strategy(deletionPolicy="Retain")))
    await bench.desk.publish(bench.cache.resources[MOMO])
    assert await bench.reconciler.reconcile(MOMO) is not None
    assert bench.cluster.objects["Deployment", "momo-strategy"]["spec"]["replicas"] == 0
    assert bench.condition(MOMO, "Progressing")[1] == "Deleting"
    assert "pods to end" in bench.condition(MOMO, "Progressing")[2]
    assert bench.control.specs["strategy/momo"][0].value == "Halted"
    bench.be("momo-strategy", ready=0, pods=0)
    assert await bench.reconciler.reconcile(MOMO) is None
    assert bench.cluster.objects["Strategy", "momo"]["metadata"]["finalizers"] == []
    assert "strategy/momo" not in bench.control.specs


async def test_a_deletion_creates_nothing() -> None:
    bench = await ready_bench()
    del bench.cluster.objects["ConfigMap", "momo-strategy"]
    bench.cache.drop_child(Key("ConfigMap", NAMESPACE, "momo-strategy"))
    bench.see(deleted(strategy()))
    await bench.go(MOMO)
    assert "momo-strategy" not in bench.cluster.named("ConfigMap")


async def test_a_deletion_that_nobody_reports_on_ends_at_its_deadline_with_an_event() -> None:
    bench = await ready_bench()
    bench.be("momo-strategy", ready=0, pods=0)
    bench.see(deleted(strategy()))
    await bench.desk.publish(bench.cache.resources[MOMO])
    await bench.reconciler.reconcile(MOMO)
    assert "the order-tracker of account paper to report" in bench.condition(MOMO, "Progressing")[2]
    await bench.clock.pass_(99)
    await bench.reconciler.reconcile(MOMO)
    assert bench.cluster.objects["Strategy", "momo"]["metadata"]["finalizers"] != []
    await bench.clock.pass_(2)
    await bench.reconciler.reconcile(MOMO)
    assert bench.cluster.objects["Strategy", "momo"]["metadata"]["finalizers"] == []
    (told,) = [item for item in bench.cluster.events if item["reason"] == "TeardownTimedOut"]
    assert "order-tracker of account paper" in told["note"]


async def test_an_account_waits_for_its_strategies_and_keeps_its_pods_meanwhile() -> None:
    bench = await ready_bench()
    for name in ("paper-risk", "paper-engine", "paper-order-tracker"):
        bench.be(name)
    bench.see(deleted(account()))
    await bench.clock.pass_(500)
    await bench.go(PAPER)
    assert bench.condition(PAPER, "Progressing")[1:] == (
        "Deleting", "waits for strategies on it: Strategy momo still use it; delete them first",
    )  # fmt: skip
    assert bench.cluster.objects["Deployment", "paper-risk"]["spec"]["replicas"] == 1
    bench.cache.drop(MOMO)
    await bench.go(PAPER)
    assert bench.cluster.objects["Deployment", "paper-risk"]["spec"]["replicas"] == 0
    assert bench.cluster.objects["BrokerAccount", "paper"]["metadata"]["finalizers"] != []
    for name in ("paper-risk", "paper-engine", "paper-order-tracker"):
        bench.be(name, ready=0, pods=0)
    await bench.go(PAPER)
    assert bench.cluster.objects["BrokerAccount", "paper"]["metadata"]["finalizers"] == []


async def test_a_feed_waits_for_who_uses_it() -> None:
    bench = await ready_bench()
    bench.see(deleted(feed()))
    await bench.go(FEED)
    assert "BrokerAccount paper, Strategy momo still use it" in bench.condition(FEED, "Progressing")[2]


# ---------------------------------------------------------------------------------------------------- statuses


async def test_a_status_is_written_when_a_condition_changes_and_figures_now_and_then() -> None:
    bench = await ready_bench()

    def writes() -> int:
        return sum(verb == "apply status" and name == "paper" for verb, _, name in bench.cluster.calls)

    count = writes()
    await bench.reconciler.tell(PAPER)
    assert writes() == count
    for name in ("paper-risk", "paper-engine", "paper-order-tracker"):
        bench.be(name)
    await bench.reconciler.tell(PAPER)
    assert writes() == count + 1
    assert bench.condition(PAPER, "Ready")[:2] == ("True", "Ready")
    report = SimpleNamespace(service="risk", resource="paper", started_at=1, details={"signals_today": 4})
    bench.statuses.found = [report]  # type: ignore[list-item]
    await bench.desk.publish(bench.cache.resources[PAPER])
    await bench.board.refresh(NAMESPACE, list(bench.cache.resources.values()))
    await bench.reconciler.tell(PAPER)
    count = writes()
    report.details = {"signals_today": 5}
    await bench.reconciler.tell(PAPER)
    assert writes() == count
    await bench.clock.pass_(14)
    await bench.reconciler.tell(PAPER)
    assert writes() == count
    await bench.clock.pass_(2)
    await bench.reconciler.tell(PAPER)
    assert writes() == count + 1
    assert bench.status(PAPER)["signalsToday"] == 5


async def test_the_more_resources_there_are_the_rarer_are_their_figures_written() -> None:
    bench = await ready_bench()
    bench.see(*(strategy(f"s{number}") for number in range(147)))
    await bench.go(*bench.cache.resources)

    async def figures_of(signals: int) -> object:
        report = SimpleNamespace(
            service="risk", resource="paper", started_at=1, details={"signals_today": signals}
        )
        bench.statuses.found = [report]  # type: ignore[list-item]
        await bench.board.refresh(NAMESPACE, [])
        await bench.reconciler.tell(PAPER)
        return bench.status(PAPER)["signalsToday"]

    await bench.clock.pass_(29)
    assert await figures_of(4) is None
    await bench.clock.pass_(2)
    assert await figures_of(4) == 4


async def test_a_quota_that_refuses_an_object_is_told_of() -> None:
    bench = Bench()
    bench.see(feed())
    bench.cluster.refuse["Deployment", "demo-market-feed"] = ApiRefusedError(
        403, "Forbidden", "exceeded quota: q"
    )
    with pytest.raises(ApiRefusedError):
        await bench.go(FEED)
    assert bench.condition(FEED, "Ready")[:2] == ("False", "QuotaExceeded")
    del bench.cluster.refuse["Deployment", "demo-market-feed"]
    await bench.go(FEED)
    assert bench.condition(FEED, "Ready")[:2] == ("False", "PodsNotReady")


async def test_users_code_is_looked_at_before_it_is_judged() -> None:
    bench = await ready_bench()
    bench.see(strategy("own", code={"file": "a.py", "configMap": "mine"}))
    key = Key("Strategy", NAMESPACE, "own")
    await bench.go(key)
    assert bench.condition(key, "Accepted")[:2] == ("False", "MissingConfigMap")
    assert "own-strategy" not in bench.cluster.named("Deployment")


async def test_gone_means_forgotten() -> None:
    bench = await ready_bench()
    bench.cache.drop(MOMO)
    assert await bench.go(MOMO) == []
    await bench.reconciler.tell(MOMO)
    assert DEPLOYMENT.kind == "Deployment"
    assert child(MOMO, "X", "y")["metadata"]["name"] == "y"


async def test_nothing_is_begun_where_another_installation_may_be() -> None:
    bench = Bench()
    bench.see(feed())
    bench.control.down = True
    assert await bench.reconciler.reconcile(FEED) is not None
    assert bench.cluster.named("ServiceAccount") == []
    bench.control.down, bench.control.owned_by = False, "blue"
    await bench.go(FEED)
    assert bench.condition(FEED, "Accepted")[:2] == ("False", "NameConflict")
    assert await bench.ownership.claim([NAMESPACE], again=True) == []
    bench.control.owned_by = "green"
    assert await bench.ownership.claim([NAMESPACE], again=True) == [NAMESPACE]
    bench.control.owned_by = ""
    assert await bench.ownership.claim([NAMESPACE], again=True) == [NAMESPACE]
    await bench.go(FEED)
    assert len(bench.cluster.named("Deployment")) == 2
    await bench.ownership.release([])
    assert bench.control.owned_by == ""


async def test_what_another_installation_has_is_neither_taken_down_nor_told_of_against_it() -> None:
    bench = await ready_bench()
    bench.control.owned_by = "blue"
    assert await bench.ownership.claim([NAMESPACE], again=True) == [NAMESPACE]
    await bench.go(MOMO)
    assert bench.condition(MOMO, "Accepted")[:2] == ("False", "NameConflict")

    theirs = [{"type": "Accepted", "status": "True", "reason": "Accepted", "message": "theirs"}]
    told = bench.cache.resources[MOMO]
    bench.see({**with_metadata(strategy(), generation=2), "status": {**told.status, "conditions": theirs}})
    assert [call for call in await bench.go(MOMO) if call["verb"] != "get"] == []

    leaving = with_metadata(deleted(strategy(deletionPolicy="Retain")), generation=3)
    bench.see({**leaving, "status": {"conditions": theirs}})
    assert [call for call in await bench.go(MOMO) if call["verb"] != "get"] == []
    assert bench.cache.resources[MOMO].guarded


async def test_what_runs_is_healed_although_redis_is_down() -> None:
    bench = await ready_bench()
    bench.restart()
    bench.control.down = True
    bench.edited("ConfigMap", "momo-strategy", data={})
    await bench.go(MOMO)
    assert bench.cluster.objects["ConfigMap", "momo-strategy"]["data"] != {}


async def test_a_count_from_before_the_last_permission_to_send_ran_out_is_not_believed() -> None:
    bench = await ready_bench()
    bench.be("momo-strategy", ready=0, pods=0)
    bench.see(deleted(strategy()))
    await bench.desk.publish(bench.cache.resources[MOMO])
    tightened = bench.clock.now()

    async def counted(after: float) -> list[str]:
        figures = TrackerFigures(reconciled=True, counted_ts=round((tightened + after) * 1e9))
        report = SimpleNamespace(
            service="order-tracker", resource="paper", started_at=1, details=figures.details()
        )
        bench.statuses.found = [report]  # type: ignore[list-item]
        await bench.board.refresh(NAMESPACE, list(bench.cache.resources.values()))
        await bench.reconciler.reconcile(MOMO)
        return list(bench.cluster.objects["Strategy", "momo"]["metadata"]["finalizers"])

    await counted(0)  # its pods are gone since now
    await bench.clock.pass_(10)
    assert await counted(5.9) != []  # S is 5 s, and 1 s more for clocks that differ
    assert await counted(6.1) == []


async def test_an_account_that_fits_again_goes_on() -> None:
    bench = await ready_bench()
    many = [strategy(f"s{number}", parameters={"note": "x" * 60_000}) for number in range(18)]
    bench.see(*many)
    with pytest.raises(ApiRefusedError):
        await bench.go(PAPER)
    for resource in many[:5]:
        bench.cache.drop(Key("Strategy", NAMESPACE, resource["metadata"]["name"]))
    await bench.go(PAPER)
    assert bench.condition(PAPER, "Ready")[1] == "PodsNotReady"
    text = bench.cluster.objects["ConfigMap", "paper-account"]["data"]["manifests.yaml"]
    assert '"s17"' in text
    assert '"s0"' not in text


def show_pod(bench: Bench, owner: Key, role: str, **more: Any) -> Key:
    pod = child(owner, "Pod", f"{owner.name}-{role}-x", role, status=more.pop("status", {"phase": "Running"}))
    pod["metadata"] |= more
    fact = pod_fact(pod)
    assert fact is not None
    bench.cache.put_pod(fact)
    return fact.key


async def test_a_strategy_does_not_go_while_its_last_pod_still_drains() -> None:
    bench = await ready_bench()
    bench.be("momo-strategy", ready=0, pods=0)  # a Deployment counts no pod that is ending
    bench.see(deleted(strategy(deletionPolicy="Retain")))
    pod = show_pod(bench, MOMO, "strategy", deletionTimestamp="2026-01-05T08:00:00Z")
    await bench.desk.publish(bench.cache.resources[MOMO])
    assert await bench.reconciler.reconcile(MOMO) is not None
    assert "pods to end: momo-strategy (1)" in bench.condition(MOMO, "Progressing")[2]
    bench.cache.drop_pod(pod)
    assert await bench.reconciler.reconcile(MOMO) is None
    assert bench.cluster.objects["Strategy", "momo"]["metadata"]["finalizers"] == []


async def test_the_last_permission_to_send_is_counted_from_the_end_of_the_last_pod() -> None:
    bench = await ready_bench()
    bench.be("momo-strategy", ready=0, pods=0)
    bench.see(deleted(strategy()))
    pod = show_pod(bench, MOMO, "strategy", deletionTimestamp="2026-01-05T08:00:00Z")
    await bench.desk.publish(bench.cache.resources[MOMO])
    await bench.reconciler.reconcile(MOMO)
    await bench.clock.pass_(30)
    bench.cache.drop_pod(pod)
    ended = bench.clock.now()

    async def counted(after: float) -> list[str]:
        figures = TrackerFigures(reconciled=True, counted_ts=round((ended + after) * 1e9))
        report = SimpleNamespace(
            service="order-tracker", resource="paper", started_at=1, details=figures.details()
        )
        bench.statuses.found = [report]  # type: ignore[list-item]
        await bench.board.refresh(NAMESPACE, list(bench.cache.resources.values()))
        await bench.reconciler.reconcile(MOMO)
        return list(bench.cluster.objects["Strategy", "momo"]["metadata"]["finalizers"])

    assert await counted(5.9) != []
    assert await counted(6.1) == []


async def test_a_pod_that_was_evicted_long_ago_holds_nothing_up() -> None:
    bench = await ready_bench()
    bench.be("momo-strategy", ready=0, pods=0)
    bench.see(deleted(strategy(deletionPolicy="Retain")))
    show_pod(bench, MOMO, "strategy", status={"phase": "Failed", "reason": "Evicted"})
    await bench.desk.publish(bench.cache.resources[MOMO])
    assert await bench.reconciler.reconcile(MOMO) is None


async def test_a_status_says_nothing_of_a_generation_that_was_not_looked_at_yet() -> None:
    bench = await ready_bench()
    bench.be("momo-strategy")
    await bench.reconciler.tell(MOMO)
    assert bench.status(MOMO)["observedGeneration"] == 1
    bench.see(with_metadata(strategy(accounts=["nobody"]), generation=2))
    bench.be("momo-strategy", ready=0)
    await bench.reconciler.tell(MOMO)  # a status pass is faster than the queue
    assert bench.condition(MOMO, "Ready")[0] == "False"
    assert bench.condition(MOMO, "Accepted")[0] == "True"
    assert {item["observedGeneration"] for item in bench.status(MOMO)["conditions"]} == {1}
    assert bench.status(MOMO)["observedGeneration"] == 1
    await bench.go(MOMO)
    assert bench.condition(MOMO, "Accepted")[:2] == ("False", "MissingAccount")
    assert {item["observedGeneration"] for item in bench.status(MOMO)["conditions"]} == {2}


async def test_what_could_not_be_applied_is_not_told_as_done() -> None:
    bench = await ready_bench()
    bench.be("momo-strategy")
    await bench.go(MOMO)
    bench.see(with_metadata(strategy(parameters={"lookback": 3}), generation=2))
    bench.cluster.refuse["Deployment", "momo-strategy"] = DependencyUnavailableError("kubernetes", "500")
    with pytest.raises(DependencyUnavailableError):
        await bench.go(MOMO)
    await bench.reconciler.tell(MOMO)
    assert bench.status(MOMO)["observedGeneration"] == 1
    del bench.cluster.refuse["Deployment", "momo-strategy"]
    await bench.go(MOMO)
    assert bench.status(MOMO)["observedGeneration"] == 2


async def test_a_secret_that_pods_wait_for_is_named() -> None:
    bench = await ready_bench(roles={"risk": {"credentialsSecret": "logins"}})
    for name in ("paper-risk", "paper-engine", "paper-order-tracker"):
        bench.be(name, ready=int(name != "paper-risk"))
    since = {"type": "PodReadyToStartContainers", "status": "False"}
    since["lastTransitionTime"] = "2026-01-05T08:00:00Z"
    show_pod(bench, PAPER, "risk", status={"phase": "Pending", "conditions": [since]})
    await bench.go(PAPER)
    assert bench.condition(PAPER, "Ready")[1] == "PodsNotReady"
    await bench.clock.pass_(25)
    await bench.go(PAPER)
    status, reason, message = bench.condition(PAPER, "Ready")
    assert (status, reason) == ("False", "MissingSecret")
    assert "Secret 'logins' in namespace desk" in message


async def test_a_crash_of_a_pod_that_is_ending_is_no_news() -> None:
    bench = await ready_bench()
    bench.be("momo-strategy", ready=0)
    waiting = {"name": "strategy", "restartCount": 9, "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
    crashing = {"phase": "Running", "containerStatuses": [waiting]}
    show_pod(bench, MOMO, "strategy", status=crashing, deletionTimestamp="2026-01-05T08:00:00Z")
    await bench.go(MOMO)
    assert bench.condition(MOMO, "Ready")[1] == "PodsNotReady"


async def test_figures_that_older_definitions_do_not_have_are_left_out_until_they_do() -> None:
    bench = Bench()
    bench.cluster.undeclared = frozenset({"broker", "openOrders"})
    bench.see(feed(), account(), strategy())
    await bench.go(FEED, PAPER, MOMO)
    assert bench.condition(PAPER, "Accepted")[0] == "True"
    assert "broker" not in bench.status(PAPER)
    refused = sum(call == ("apply status", "BrokerAccount", "paper") for call in bench.cluster.calls)
    await bench.go(PAPER)
    again = sum(call == ("apply status", "BrokerAccount", "paper") for call in bench.cluster.calls)
    assert again - refused <= 1, "what is known to be refused is not tried at each turn"

    bench.cluster.undeclared = frozenset()
    bench.clock.time += UNDECLARED_SECONDS + 1
    await bench.go(PAPER)
    assert bench.status(PAPER)["broker"] == "paper"


async def test_a_refusal_of_what_is_no_figure_is_none_of_older_definitions() -> None:
    bench = Bench()
    bench.see(feed(), account(), strategy())
    bench.cluster.undeclared = frozenset({"conditions"})
    with pytest.raises(ApiRefusedError):
        await bench.go(PAPER)
