"""Deployments: safe by default, restarted by what must restart them and by nothing else."""

from typing import Any

import pytest

from alpha_panda_operator.builders.deployment import deployment, pin, unpin
from alpha_panda_operator.builders.workload import Workload, replicas_of, start_hash, workloads
from alpha_panda_operator.config import OperatorConfig
from alpha_panda_operator.names import ROLES, START_HASH, TEMPLATE_REVISION
from unit.operator.kit import account, cache_of, config, feed, strategy, view, with_metadata

RESOURCES = {"MarketFeed": feed(), "BrokerAccount": account(), "Strategy": strategy()}


def workload(role: str, settings: OperatorConfig | None = None, **spec: Any) -> Workload:
    kind = ROLES[role].kind
    made = {"MarketFeed": feed, "BrokerAccount": account, "Strategy": strategy}[kind](**spec)
    found = workloads(view(cache_of(made), kind, made["metadata"]["name"]), settings or config())
    return next(item for item in found if item.role.name == role)


def pod(role: str, settings: OperatorConfig | None = None, **spec: Any) -> dict[str, Any]:
    found: dict[str, Any] = deployment(workload(role, settings, **spec))["spec"]["template"]["spec"]
    return found


def container(role: str, settings: OperatorConfig | None = None, **spec: Any) -> dict[str, Any]:
    (found,) = pod(role, settings, **spec)["containers"]
    return dict(found)


@pytest.mark.parametrize("role", ROLES)
def test_every_pod_is_restricted_and_has_no_token(role: str) -> None:
    spec, (only,) = pod(role), pod(role)["containers"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["serviceAccountName"] == workload(role).name
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 10001
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert only["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not any("hostPath" in volume for volume in spec["volumes"])
    assert not spec.get("hostNetwork")


@pytest.mark.parametrize("role", ROLES)
def test_every_pod_runs_its_service_on_its_resource_and_is_probed(role: str) -> None:
    only, made = container(role), workload(role)
    assert only["args"][:2] == ["service", role]
    assert only["args"][-1] == f"{made.key.kind}/{made.key.name}"
    assert only["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "health"}
    assert only["livenessProbe"]["httpGet"]["path"] == only["startupProbe"]["httpGet"]["path"] == "/livez"
    environment = {item["name"]: item.get("value") for item in only["env"]}
    assert environment["ALPHAPANDA_TOPIC_PREFIX"] == "desk."
    assert environment["ALPHAPANDA_INSTALLATION"] == "alpha-panda"
    ports = {port["name"]: str(port["containerPort"]) for port in only["ports"]}
    assert environment["ALPHAPANDA_HEALTH_PORT"] == ports["health"]
    assert environment["ALPHAPANDA_METRICS_PORT"] == ports["metrics"] != ports["health"]
    assert only["resources"]["requests"]
    assert all("subPath" not in mount for mount in only["volumeMounts"])
    assert pod(role)["terminationGracePeriodSeconds"] > 20


def test_singletons_are_never_two_at_once_and_others_roll() -> None:
    strategies = {role: deployment(workload(role))["spec"]["strategy"] for role in ROLES}
    assert {role for role, told in strategies.items() if told == {"type": "Recreate"}} == {
        "market-feed",
        "risk",
        "order-tracker",
        "strategy",
    }
    assert strategies["engine"]["rollingUpdate"] == {"maxUnavailable": 1, "maxSurge": 1}
    assert [item["topologyKey"] for item in pod("engine")["topologySpreadConstraints"]] == [
        "kubernetes.io/hostname"
    ]


@pytest.mark.parametrize(
    ("role", "spec", "settings", "count"),
    [
        ("engine", {}, {}, 2),
        ("engine", {"engine": {"replicas": 3}}, {"roles": {"engine": {"replicas": 4}}}, 3),
        ("engine", {}, {"roles": {"engine": {"replicas": 4}}}, 4),
        ("engine", {"engine": "nonsense"}, {}, 2),
        ("feed-cacher", {}, {}, 1),
        ("feed-cacher", {"feedCacher": {"replicas": 2}}, {}, 2),
        ("risk", {}, {"roles": {"risk": {"replicas": 4}}}, 1),
    ],
)
def test_replicas_are_the_manifests_then_the_installations(
    role: str, spec: dict[str, Any], settings: dict[str, Any], count: int
) -> None:
    made = workload(role, config(**settings), **spec)
    assert replicas_of(made.view, made.role, made.config) == count
    assert deployment(made)["spec"]["replicas"] == count


LIVE = [
    ("strategy", {"tradingState": "Halted"}),
    ("strategy", {"risk": {"maxPosition": 5}}),
    ("strategy", {"clearLatch": ["x"]}),
    ("strategy", {"deletionPolicy": "Flatten"}),
    ("engine", {"tradingState": "Halted"}),
    ("engine", {"risk": {"maxDailyLoss": 5}}),
    ("engine", {"acceptStrategies": ["momo"]}),
    ("engine", {"orderTypes": ["MARKET"]}),
    ("engine", {"productCutOff": "15:10"}),
    ("engine", {"engine": {"replicas": 5}}),
    ("feed-cacher", {"feedCacher": {"replicas": 5}}),
]


@pytest.mark.parametrize(("role", "change"), LIVE)
def test_limits_and_trading_states_restart_nothing(role: str, change: dict[str, Any]) -> None:
    assert (
        deployment(workload(role, **change))["spec"]["template"]
        == deployment(workload(role))["spec"]["template"]
    )


@pytest.mark.parametrize(
    ("role", "change"),
    [
        ("strategy", {"parameters": {"lookback": 3}}),
        ("strategy", {"instruments": ["NSE:TCS"]}),
        ("strategy", {"accounts": ["other"]}),
        ("strategy", {"image": "mine:1"}),
        ("strategy", {"signalTtlSeconds": 3}),
        ("engine", {"paper": {"cash": 5}}),
        ("risk", {"marketFeed": "other"}),
        ("market-feed", {"staleAfterSeconds": 3}),
        ("feed-cacher", {"source": {"simulated": {"seed": 4}}}),
    ],
)
def test_what_is_read_at_the_start_only_restarts(role: str, change: dict[str, Any]) -> None:
    before, after = (
        deployment(item)["spec"]["template"] for item in (workload(role), workload(role, **change))
    )
    notes = [item["metadata"]["annotations"][START_HASH] for item in (before, after)]
    assert notes[0] != notes[1]


def test_other_code_or_another_resource_of_the_name_restarts() -> None:
    first = view(cache_of(strategy()), "Strategy", "momo")
    second = view(cache_of(with_metadata(strategy(), uid="another")), "Strategy", "momo")
    assert len({start_hash(first), start_hash(first, "code"), start_hash(second)}) == 3


def test_a_strategys_image_and_resources_are_its_own_and_go_to_no_other_pod() -> None:
    own: Any = {"image": "mine:1", "resources": {"requests": {"cpu": 2}, "limits": {}}}
    only = container("strategy", **own)
    assert only["image"] == "mine:1"
    assert only["resources"] == {"requests": {"cpu": "2"}, "limits": {"memory": "512Mi"}}
    assert container("engine", **own)["image"] == "alpha-panda:1"


def test_users_code_and_replay_files_are_mounted_where_they_are_looked_for() -> None:
    code: Any = {"code": {"file": "mine.py", "configMap": "my-code"}}
    assert {"name": "code", "configMap": {"name": "my-code"}} in pod("strategy", **code)["volumes"]
    assert "/etc/alpha-panda/code" in [
        item["mountPath"] for item in container("strategy", **code)["volumeMounts"]
    ]
    replay: Any = {"source": {"replay": {"path": "t.csv", "volumeClaim": "ticks"}}}
    volume = {"name": "data", "persistentVolumeClaim": {"claimName": "ticks", "readOnly": True}}
    assert volume in pod("market-feed", **replay)["volumes"]
    assert all(item["name"] != "data" for item in pod("feed-cacher", **replay)["volumes"])
    files: Any = {"source": {"replay": {"path": "t.csv", "configMap": "ticks"}}}
    assert {"name": "data", "configMap": {"name": "ticks"}} in pod("market-feed", **files)["volumes"]


def test_a_roles_secret_is_a_directory_and_what_the_settings_ask_for_comes_from_it() -> None:
    settings = config(
        env={
            "ALPHAPANDA_KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "ALPHAPANDA_REDIS_URL": "redis://r:6379/0",
        },
        roles={"risk": {"credentialsSecret": "risk-login"}},
    )
    only = container("risk", settings)
    environment = {item["name"]: item for item in only["env"]}
    assert (
        environment["ALPHAPANDA_REDIS_PASSWORD_FILE"]["value"]
        == "/var/run/alpha-panda/credentials/redis-password"
    )
    assert "ALPHAPANDA_KAFKA_SASL_PASSWORD_FILE" in environment
    assert "ALPHAPANDA_JOURNAL_REDIS_PASSWORD_FILE" not in environment
    user = environment["ALPHAPANDA_KAFKA_SASL_USERNAME"]["valueFrom"]["secretKeyRef"]
    assert user == {"name": "risk-login", "key": "kafka-sasl-username", "optional": True}
    assert {"name": "credentials", "secret": {"secretName": "risk-login"}} in pod("risk", settings)["volumes"]
    assert not any("CREDENTIALS" in str(item) for item in container("engine", settings)["env"])
    assert not any(volume["name"] == "credentials" for volume in pod("engine", settings)["volumes"])


def test_what_the_installation_adds_is_there() -> None:
    settings = config(
        image={"repository": "r/ap", "digest": "sha256:1", "pullPolicy": "Never", "pullSecrets": ["reg"]},
        env={"ALPHAPANDA_LOG_LEVEL": "DEBUG"},
        roles={
            "risk": {
                "nodeSelector": {"a": "b"},
                "tolerations": [{"key": "k"}],
                "affinity": {"nodeAffinity": {}},
                "priorityClassName": "high",
                "podLabels": {"team": "x"},
                "podAnnotations": {"note": "y"},
                "extraEnv": [{"name": "A", "value": "1"}],
                "extraVolumes": [{"name": "v", "emptyDir": {}}],
                "extraVolumeMounts": [{"name": "v", "mountPath": "/v"}],
            }
        },
    )
    template = deployment(workload("risk", settings))["spec"]["template"]
    spec, (only,) = template["spec"], template["spec"]["containers"]
    assert template["metadata"]["labels"]["team"] == "x"
    assert template["metadata"]["annotations"]["note"] == "y"
    assert (only["image"], only["imagePullPolicy"]) == ("r/ap@sha256:1", "Never")
    assert spec["imagePullSecrets"] == [{"name": "reg"}]
    assert (spec["nodeSelector"], spec["priorityClassName"]) == ({"a": "b"}, "high")
    assert {"name": "A", "value": "1"} in only["env"]
    assert {"name": "ALPHAPANDA_LOG_LEVEL", "value": "DEBUG"} in only["env"]
    assert {"name": "v", "mountPath": "/v"} in only["volumeMounts"]


def test_a_held_template_stays_and_can_be_read_back() -> None:
    old = deployment(workload("risk", config(image={"repository": "old", "tag": "1"})))
    held = unpin(old["metadata"]["annotations"]["alphapanda.io/pinned-template"])
    assert held == old["spec"]["template"]
    new = deployment(workload("risk"), held)
    assert new["spec"]["template"] == old["spec"]["template"]
    assert new["metadata"]["annotations"] == old["metadata"]["annotations"]
    assert (
        deployment(workload("risk"))["metadata"]["annotations"][TEMPLATE_REVISION]
        != new["metadata"]["annotations"][TEMPLATE_REVISION]
    )


@pytest.mark.parametrize("text", ["", "nonsense", pin([]), "AAAA"])  # type: ignore[arg-type]
def test_a_spoilt_template_is_none(text: str) -> None:
    assert unpin(text) is None


def test_the_same_input_gives_the_same_manifest() -> None:
    assert deployment(workload("engine")) == deployment(workload("engine"))
