"""The chart's roles are what the operator needs: it lives a whole life under them, and uses every right in it."""

import dataclasses
import json
import re
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import yaml

from alpha_panda.contracts.enums import TradingState
from alpha_panda.testing.servers.redis import RedisServer
from alpha_panda_operator.names import (
    CHILDREN,
    CONFIG_VERSION,
    GROUP,
    Key,
    config_map_name,
    resource_labels,
)
from alpha_panda_operator.rights import HOME, WATCHED
from alpha_panda_operator.rights import Right as Granted
from cluster.authorizations import Asked, Recorder, RecordingControlPlane
from cluster.operator_fixtures import redis_server
from cluster.operator_process import QUICK, ROOT, Desk, OperatorProcess
from cluster.test_operator_conditions import BA, MF, STRAT
from harness.cluster import Cluster
from harness.versions import KUBERNETES
from unit.chart.helm import CHART, OWN, RELEASE, run
from unit.operator.kit import account, feed, strategy

__all__ = ["redis_server"]

ACCOUNT: Final = f"{RELEASE}-operator"
PLATFORM: Final = f"{RELEASE}-platform"
KINDS: Final = ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")
NAMES: Final = {"{leader.leaseName}": ACCOUNT, "{platformConfigMap}": PLATFORM, "": ""}

Json = dict[str, Any]


class Right(NamedTuple):
    """A verb on a resource of a group; of one object if it is named."""

    group: str
    resource: str
    verb: str
    name: str = ""


def expanded(rules: Iterable[Granted]) -> set[Right]:
    return {
        Right(rule.group, resource, verb, NAMES[name])
        for rule in rules
        for resource, verb, name in product(rule.resources, rule.verbs, rule.names or ("",))
    }


IN_WATCHED, IN_HOME = expanded(WATCHED), expanded(HOME)


@pytest.fixture(scope="module")
def recorder() -> Iterator[Recorder]:
    with Recorder() as recorder:
        yield recorder


@pytest.fixture(scope="module")
def own(recorder: Recorder, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of this module, with the kinds."""
    with RecordingControlPlane(recorder, tmp_path_factory.mktemp("webhook")) as control_plane:
        kubectl = control_plane.cluster.kubectl
        files = sorted((ROOT / "crds").glob("*.yaml"))
        kubectl.apply(*(file.read_text(encoding="utf-8") for file in files))
        names = [f"crd/{file.stem}.{GROUP}" for file in files]
        kubectl("wait", "--for=condition=Established", "--timeout=60s", *names)
        yield control_plane.cluster


@dataclass(frozen=True)
class Installation:
    """The chart's roles in a cluster, and an operator that has no others. `roles`: where the watched rights stand."""

    desk: Desk
    home: str
    roles: tuple[str, str]

    @property
    def user(self) -> str:
        return f"system:serviceaccount:{self.home}:{ACCOUNT}"

    @property
    def operator(self) -> OperatorProcess:
        return self.desk.operator

    def beside(self, name: str) -> "Installation":
        """The same with another replica, which is started."""
        replica = dataclasses.replace(self.operator, name=name, port=0, _process=None)
        return dataclasses.replace(self, desk=dataclasses.replace(self.desk, operator=replica.start()))


def installed(own: Cluster, name: str, redis: RedisServer, folder: Path, *, scoped: bool) -> Installation:
    """Apply what the chart makes of roles, and the platform's state; the operator is not started."""
    home, trading = f"{name}-home", f"{name}-trading"
    for namespace in (home, trading):
        own.kubectl("create", "namespace", namespace)
    watched = [f"watchNamespaces={{{trading}}}"] if scoped else []
    settings = [word for setting in (*OWN, *watched) for word in ("--set", setting)]
    rendered = run(
        "template", RELEASE, str(CHART), "--namespace", home, "--kube-version", KUBERNETES, *settings
    )
    assert rendered.returncode == 0, rendered.stderr
    made = [found for found in yaml.safe_load_all(rendered.stdout) if found]
    kept = [each for each in made if each["kind"] in KINDS or each["metadata"]["name"] == PLATFORM]
    own.kubectl.apply(
        *(
            each
            for each in kept
            if each["metadata"].get("annotations", {}).get("helm.sh/hook") != "pre-delete"
        )
    )
    (text,) = [
        each["data"]["config.yaml"]
        for each in made
        if each["kind"] == "ConfigMap" and "config.yaml" in each["data"]
    ]
    config = yaml.safe_load(text)
    leader = {**config.get("leader", {}), **QUICK["leader"]}
    process = OperatorProcess(
        own.service_account_kubeconfig(home, ACCOUNT),
        home,
        redis.url,
        folder,
        {**{field: value for field, value in config.items() if field not in QUICK}, "leader": leader},
    )
    role = f"alpha-panda:{home}:{RELEASE}"
    desk = Desk(own, trading, process, redis.client(), config["installation"])
    return Installation(desk, home, ("role", role) if scoped else ("clusterrole", role))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("operators")


def refused(operator: OperatorProcess) -> dict[tuple[str, str], float]:
    """How often the API server has said no to the operator, by verb and resource."""
    with urllib.request.urlopen(f"http://127.0.0.1:{operator.port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    pattern = re.compile(
        r'^alphapanda_operator_api_requests_total\{code="403",resource="(\w+)",verb="(\w+)"\} (.+)$',
        re.MULTILINE,
    )
    return {(verb, resource): float(number) for resource, verb, number in pattern.findall(text)}


# ------------------------------------------------------------------------------------------------- a whole life


def pods(desk: Desk, resource: str) -> list[Json]:
    return desk.kubectl.list("pods", f"--selector=app.kubernetes.io/instance={resource}")


def old_children(desk: Desk, owner: Json) -> list[Json]:
    """One of each kind, as an older operator might have made it for what this one does not make any more."""
    key = Key(owner["kind"], desk.namespace, owner["metadata"]["name"])
    labels = {"app": "old"}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "old", "image": "old"}]}}
    specs: Mapping[str, Json] = {
        "Deployment": {"spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": pod}},
        "PodDisruptionBudget": {"spec": {"maxUnavailable": 1, "selector": {"matchLabels": labels}}},
        "NetworkPolicy": {"spec": {"podSelector": {"matchLabels": labels}}},
        "ConfigMap": {"data": {}},
        "ServiceAccount": {},
    }
    metadata = {
        "name": "old",
        "labels": resource_labels(key, desk.installation),
        "ownerReferences": [
            {
                "apiVersion": owner["apiVersion"],
                "kind": owner["kind"],
                "name": key.name,
                "uid": owner["metadata"]["uid"],
                "controller": True,
            }
        ],
    }
    return [
        {"apiVersion": kind.api_version, "kind": name, "metadata": metadata, **specs[name]}
        for name, kind in CHILDREN.items()
    ]


def make(desk: Desk) -> None:
    """Everything is made and told of, the user's code found, trading allowed."""
    desk.kubectl("create", "configmap", "ideas", "--from-literal=mine.py=pass")
    mine = strategy("mine", code={"file": "mine.py", "configMap": "ideas"}, deletionPolicy="Retain")
    desk.apply(feed(), account(), strategy(deletionPolicy="Retain"), mine)
    for kind, name in ((MF, "demo"), (BA, "paper"), (STRAT, "momo"), (STRAT, "mine")):
        desk.expect(kind, name, "Ready", "False", "PodsNotReady", "no pod is ready yet")
    for scope in ("strategy/momo", "account/paper", "platform"):
        desk.until_state(scope, TradingState.ACTIVE)
    desk.operator.until(lambda: len(pods(desk, "paper")) == 4, "the account's pods")


def change(desk: Desk) -> None:
    """A new limit is in the ConfigMap, and its pods were told; no workload was changed."""
    before = {
        item["metadata"]["name"]: item["metadata"]["generation"] for item in desk.kubectl.list("deployments")
    }
    desk.apply(account(risk={"maxDailyLoss": 5}))

    def told() -> bool:
        config = desk.kubectl.get("configmap", config_map_name("BrokerAccount", "paper"))
        notes = [item["metadata"].get("annotations", {}).get(CONFIG_VERSION) for item in pods(desk, "paper")]
        return (
            '"maxDailyLoss": 5' in config["data"]["manifests.yaml"]
            and notes == [config["metadata"]["resourceVersion"]] * 4
        )

    desk.operator.until(told, "all four pods are told of the limit")
    assert all(CONFIG_VERSION not in item["metadata"].get("annotations", {}) for item in pods(desk, "demo"))
    after = {
        item["metadata"]["name"]: item["metadata"]["generation"] for item in desk.kubectl.list("deployments")
    }
    assert after == before


def heal(desk: Desk) -> None:
    """What is deleted or edited comes back, and people are told."""
    uid = desk.kubectl.get("deployment", "momo-strategy")["metadata"]["uid"]
    desk.kubectl("delete", "deployment", "momo-strategy", "--wait=false")
    desk.kubectl(
        "patch", "configmap", "momo-strategy", "--type=merge", '--patch={"data":{"manifests.yaml":""}}'
    )

    def healed() -> bool:
        return (
            desk.kubectl.get("configmap", "momo-strategy")["data"]["manifests.yaml"] != ""
            and desk.kubectl.exists("deployment", "momo-strategy")
            and desk.kubectl.get("deployment", "momo-strategy")["metadata"]["uid"] != uid
        )

    desk.operator.until(healed, "both are back")
    desk.operator.until(lambda: "Healed" in reasons(desk), "it is told")


def reasons(desk: Desk) -> set[str]:
    return {item["reason"] for item in desk.kubectl.list("events.events.k8s.io")}


def prune(desk: Desk) -> None:
    """What an older operator made goes."""
    desk.kubectl.apply(*old_children(desk, desk.kubectl.get(BA, "paper")))
    plurals = ",".join(kind.plural for kind in CHILDREN.values())

    def gone() -> bool:
        return "old" not in {item["metadata"]["name"] for item in desk.kubectl.list(plurals)}

    desk.operator.until(gone, "what is not wanted is deleted")


def halt(installation: Installation) -> None:
    """The platform's ConfigMap is followed."""
    home = installation.desk.cluster.kubectl.within(installation.home)
    home("patch", "configmap", PLATFORM, "--type=merge", '--patch={"data":{"tradingState":"Halted"}}')
    assert installation.desk.until_state("platform", TradingState.HALTED) < 30


def hand_over(one: Installation) -> Installation:
    """Another replica leads after the first has ended."""
    two = one.beside("two")
    two.operator.until(lambda: two.operator.probe("/readyz")[0] == 200, "the standby is ready")
    assert one.operator.stop() == 0
    two.operator.until(lambda: two.operator.metric("alphapanda_operator_leader") == 1, "the standby leads")
    return two


def take_down(desk: Desk) -> None:
    """All goes, in order, and nothing is left."""
    for kind, name in ((MF, "demo"), (BA, "paper"), (STRAT, "momo"), (STRAT, "mine")):
        desk.kubectl("delete", kind, name, "--wait=false")
    for kind, name in ((STRAT, "momo"), (BA, "paper"), (MF, "demo")):
        desk.until_gone(kind, name)
    desk.operator.until(lambda: "Deleted" in reasons(desk), "it is told")
    desk.operator.until(
        lambda: not [key for key in desk.store.keys(f"{desk.namespace}.*") if b"status" not in key],
        "nothing is left in Redis",
    )


def split(asked: set[Asked], home: str) -> tuple[set[Right], set[Right]]:
    """Return what was asked of the watched namespaces' rights, and of those of home."""
    watched: set[Right] = set()
    at_home: set[Right] = set()
    for each in asked:
        named = Right(each.group, each.resource, each.verb, each.name)
        by_name = {named, named._replace(name="")} & IN_HOME if each.namespace == home else set()
        at_home |= by_name
        if not by_name:
            watched.add(named._replace(name=""))
    return watched, at_home


@pytest.mark.parametrize("scoped", [False, True], ids=["everywhere", "watched"])
def test_a_whole_life_takes_every_right_of_the_charts_roles_and_no_other(
    own: Cluster, recorder: Recorder, redis_server: RedisServer, folder: Path, *, scoped: bool
) -> None:
    one = installed(own, "scoped" if scoped else "wide", redis_server, folder, scoped=scoped)
    replicas = [one]
    try:
        one.operator.started()
        make(one.desk)
        change(one.desk)
        heal(one.desk)
        prune(one.desk)
        halt(one)
        assert refused(one.operator) == {}
        if scoped:  # once is enough: the Lease's rights are the same in both
            replicas.append(hand_over(one))
        take_down(replicas[-1].desk)
        assert refused(replicas[-1].operator) == {}
        assert "orbidden" not in "".join(each.operator.log() for each in replicas)
    finally:
        for each in replicas:
            each.operator.close()
    asked = {
        each for each in recorder.by(one.user) if not each.resource.startswith("*")
    }  # the plugin's short way
    watched, at_home = split(asked, one.home)
    assert watched == IN_WATCHED
    assert at_home == IN_HOME
    if scoped:
        assert {each.namespace for each in asked} == {one.home, one.desk.namespace}


# --------------------------------------------------------------------------------------------- without a right


@pytest.fixture(scope="module")
def lacking(own: Cluster, redis_server: RedisServer, folder: Path) -> Iterator[Installation]:
    """An installation in one namespace, with a feed and an account; tests take rights away from it and give them back."""
    made = installed(own, "lacking", redis_server, folder, scoped=True)
    try:
        made.operator.started()
        made.desk.apply(feed(), account())
        made.desk.expect(BA, "paper", "Ready", "False", "PodsNotReady", "no pod is ready yet")
        yield made
    finally:
        made.operator.close()


def give(
    installation: Installation, role: tuple[str, str], namespace: str, rights: set[Right], asked: Right
) -> None:
    """Give exactly these rights, and wait until the API server knows whether the one asked for is among them."""
    kubectl = installation.desk.cluster.kubectl.within(namespace)
    rules = [
        {
            "apiGroups": [right.group],
            "resources": [right.resource],
            "verbs": [right.verb],
            **({"resourceNames": [right.name]} if right.name else {}),
        }
        for right in sorted(rights)
    ]
    kubectl("patch", *role, "--type=merge", "--patch", json.dumps({"rules": rules}))
    resource, _, subresource = asked.resource.partition("/")
    attributes = {"group": asked.group, "resource": resource, "subresource": subresource}
    attributes |= {"verb": asked.verb, "name": asked.name, "namespace": namespace}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": installation.user, "resourceAttributes": attributes},
    }

    def known() -> bool:
        answer = json.loads(kubectl("create", "--filename=-", "--output=json", stdin=json.dumps(review)))
        return bool(answer["status"]["allowed"]) == (asked in rights)

    installation.operator.until(known, f"{asked} is given or taken")


@contextmanager
def without(installation: Installation, right: Right) -> Iterator[None]:
    """Take one of the watched rights away for a while."""
    namespace = installation.desk.namespace
    give(installation, installation.roles, namespace, IN_WATCHED - {right}, right)
    try:
        yield
    finally:
        give(installation, installation.roles, namespace, IN_WATCHED, right)


def until_refused(installation: Installation, verb: str, resource: str) -> None:
    installation.operator.until(
        lambda: (verb, resource) in refused(installation.operator), f"{verb} of {resource} is refused"
    )


@pytest.mark.parametrize("plural", ["configmaps", "poddisruptionbudgets", "deployments"])
def test_without_creating_children_of_a_kind_its_status_says_so_until_it_may(
    lacking: Installation, plural: str
) -> None:
    desk, name = lacking.desk, f"c-{plural[:12]}"
    resource = account(name) if plural == "poddisruptionbudgets" else strategy(name, deletionPolicy="Retain")
    kind, child = (BA, f"{name}-engine") if plural == "poddisruptionbudgets" else (STRAT, f"{name}-strategy")
    group = next(each.group for each in CHILDREN.values() if each.plural == plural)
    with without(lacking, Right(group, plural, "create")):
        desk.apply(resource)
        desk.expect(kind, name, "Ready", "False", "PodsNotReady", f'cannot create resource "{plural}"')
        assert not desk.kubectl.exists(plural, child)
    desk.until_there(plural, child)
    desk.expect(BA, "paper", "Accepted", "True", "Accepted")


def test_without_naming_owners_nothing_is_made(lacking: Installation) -> None:
    with without(lacking, Right(GROUP, "strategies/finalizers", "update")):
        lacking.desk.apply(strategy("owned", deletionPolicy="Retain"))
        lacking.desk.expect(STRAT, "owned", "Ready", "False", "PodsNotReady", "blockOwnerDeletion")
        assert not lacking.desk.kubectl.exists("configmap", "owned-strategy")
    lacking.desk.until_there("deployment", "owned-strategy")


def test_without_setting_the_finalizer_nothing_is_made(lacking: Installation) -> None:
    with without(lacking, Right(GROUP, "strategies", "patch")):
        lacking.desk.apply(strategy("unguarded", deletionPolicy="Retain"))
        until_refused(lacking, "apply", "strategies")
        assert not lacking.desk.kubectl.exists("deployment", "unguarded-strategy")
    lacking.desk.until_there("deployment", "unguarded-strategy")


def test_without_the_status_it_trades_and_nobody_is_told(lacking: Installation) -> None:
    desk = lacking.desk
    with without(lacking, Right(GROUP, "strategies/status", "patch")):
        desk.apply(strategy("mute", deletionPolicy="Retain"))
        desk.until_there("deployment", "mute-strategy")
        desk.until_state("strategy/mute", TradingState.ACTIVE)
        until_refused(lacking, "apply", "strategies")
        assert not desk.condition(STRAT, "mute", "Accepted")
    desk.expect(STRAT, "mute", "Accepted", "True", "Accepted")


def test_without_touching_pods_all_is_well_and_the_kubelet_comes_later(lacking: Installation) -> None:
    desk = lacking.desk
    desk.operator.until(lambda: len(pods(desk, "paper")) == 4, "the account's pods")
    with without(lacking, Right("", "pods", "patch")):
        before = [item["metadata"]["annotations"].get(CONFIG_VERSION) for item in pods(desk, "paper")]
        desk.apply(account(risk={"maxDailyLoss": 77}))
        until_refused(lacking, "patch", "pods")
        text = desk.kubectl.get("configmap", "paper-account")["data"]["manifests.yaml"]
        assert '"maxDailyLoss": 77' in text
        assert [item["metadata"]["annotations"].get(CONFIG_VERSION) for item in pods(desk, "paper")] == before
        desk.expect(BA, "paper", "Accepted", "True", "Accepted")
        desk.expect(BA, "paper", "Ready", "False", "PodsNotReady", "no pod is ready yet")


def test_without_events_it_heals_and_tells_nobody(lacking: Installation) -> None:
    desk = lacking.desk
    uid = desk.until_there("networkpolicy", "demo-market-feed")["metadata"]["uid"]
    with without(lacking, Right("events.k8s.io", "events", "create")):
        patch = '--patch={"spec":{"egress":[{}]}}'
        desk.kubectl("patch", "networkpolicy", "demo-market-feed", "--type=merge", patch)
        until_refused(lacking, "post", "events")
        found = desk.kubectl.get("networkpolicy", "demo-market-feed")
        assert (found["metadata"]["uid"], found["spec"]["egress"] != [{}]) == (uid, True)
        told = [item["note"] for item in desk.kubectl.list("events.events.k8s.io")]
        assert not [note for note in told if "NetworkPolicy demo-market-feed" in note]


def test_without_deleting_what_is_old_stays(lacking: Installation) -> None:
    desk = lacking.desk
    with without(lacking, Right("apps", "deployments", "delete")):
        desk.kubectl.apply(*old_children(desk, desk.kubectl.get(BA, "paper")))
        until_refused(lacking, "delete", "deployments")
        assert desk.kubectl.exists("deployment", "old")
    desk.until_gone("deployment", "old")


def test_without_fresh_listings_trading_states_run_out(lacking: Installation) -> None:
    lacking.desk.until_state("account/paper", TradingState.ACTIVE)
    with without(lacking, Right(GROUP, "strategies", "list")):
        until_refused(lacking, "list", "strategies")
        lacking.operator.until(
            lambda: lacking.desk.spec_state("account/paper") is None, "nobody may trade on what nobody knows"
        )
    lacking.desk.until_state("account/paper", TradingState.ACTIVE)


def test_without_renewing_its_lease_it_ends(lacking: Installation) -> None:
    """The last of them: the operator is gone afterwards."""
    taken = Right("coordination.k8s.io", "leases", "update", ACCOUNT)
    give(lacking, ("role", ACCOUNT), lacking.home, IN_HOME - {taken}, taken)
    assert lacking.operator.process.wait(30) == 1
    assert "could not be renewed" in lacking.operator.log()
