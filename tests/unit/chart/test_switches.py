"""Each switch of the chart, on and off: what is there, and what is not."""

import pytest

from unit.chart.helm import DEVELOPMENT, OWN, Object, of_kind, one, pods, rendered, variables

Kinds = set[tuple[str, str]]


def kinds(objects: list[Object]) -> Kinds:
    return {(each["kind"], each["metadata"]["name"]) for each in objects}


OPERATOR: Kinds = {
    (kind, "trading-operator")
    for kind in (
        "Deployment",
        "ServiceAccount",
        "ConfigMap",
        "Service",
        "PodDisruptionBudget",
        "NetworkPolicy",
        "Role",
        "RoleBinding",
    )
}
CLUSTER_WIDE: Kinds = {
    ("ClusterRole", "alpha-panda:desk:trading"),
    ("ClusterRoleBinding", "alpha-panda:desk:trading"),
    ("ClusterRole", "alpha-panda:desk:trading:view"),
    ("ClusterRole", "alpha-panda:desk:trading:edit"),
}
CRDS: Kinds = {
    ("CustomResourceDefinition", f"{plural}.alphapanda.io")
    for plural in ("marketfeeds", "brokeraccounts", "strategies")
}
HOOKS: Kinds = {
    ("ConfigMap", "trading-platform"),
    ("Job", "trading-uninstall-check"),
    ("Pod", "trading-test"),
}
PAIR: Kinds = {
    (kind, f"trading-{store}")
    for kind in ("StatefulSet", "Service", "ConfigMap", "NetworkPolicy")
    for store in ("kafka", "redis")
}
ALL: Kinds = OPERATOR | CLUSTER_WIDE | CRDS | HOOKS


def test_with_your_own_stores_this_is_all_there_is() -> None:
    assert kinds(rendered(*OWN)) == ALL


@pytest.mark.parametrize(
    ("setting", "more", "fewer"),
    [
        ("crds.enabled=false", set(), CRDS),
        ("platform.create=false", set(), {("ConfigMap", "trading-platform")}),
        ("uninstallCheck.enabled=false", set(), {("Job", "trading-uninstall-check")}),
        ("forceUninstall=true", set(), {("Job", "trading-uninstall-check")}),
        (
            "operator.podDisruptionBudget.enabled=false",
            set(),
            {("PodDisruptionBudget", "trading-operator")},
        ),
        ("networkPolicy.enabled=false", set(), {("NetworkPolicy", "trading-operator")}),
        (
            "monitoring.podMonitor.enabled=true",
            {("PodMonitor", "trading-operator"), ("PodMonitor", "trading-trading")},
            set(),
        ),
        ("monitoring.prometheusRule.enabled=true", {("PrometheusRule", "trading-operator")}, set()),
        (
            "monitoring.dashboards.enabled=true",
            {
                ("ConfigMap", f"trading-dashboard-{name}")
                for name in ("feed", "operator", "orders-and-latency", "overview", "risk-and-pnl")
            },
            set(),
        ),
        (
            "operator.rbac.aggregateToUsers=false",
            set(),
            {each for each in CLUSTER_WIDE if each[1].endswith((":view", ":edit"))},
        ),
        (
            "operator.rbac.create=false",
            set(),
            CLUSTER_WIDE | {("Role", "trading-operator"), ("RoleBinding", "trading-operator")},
        ),
    ],
)
def test_a_switch_makes_or_leaves_out_just_this(setting: str, more: Kinds, fewer: Kinds) -> None:
    assert kinds(rendered(*OWN, setting)) == (ALL | more) - fewer


def test_the_development_pair_comes_with_its_switch() -> None:
    assert kinds(rendered(*DEVELOPMENT)) == ALL | PAIR
    assert kinds(rendered(*DEVELOPMENT, "networkPolicy.enabled=false")) == (ALL | PAIR) - {
        (kind, name) for kind, name in ALL | PAIR if kind == "NetworkPolicy"
    }


def test_an_account_of_yours_is_used_and_not_made() -> None:
    objects = rendered(*OWN, "operator.serviceAccount.create=false", "operator.serviceAccount.name=theirs")
    assert not of_kind(objects, "ServiceAccount")
    assert {pod["serviceAccountName"] for pod in pods(objects).values()} == {"theirs"}
    assert one(objects, "ClusterRoleBinding")["subjects"][0]["name"] == "theirs"


@pytest.mark.parametrize("keep", [True, False])
def test_crds_are_kept_if_the_switch_says_so(*, keep: bool) -> None:
    found = of_kind(rendered(*OWN, f"crds.keep={str(keep).lower()}"), "CustomResourceDefinition")
    policies = {(each["metadata"].get("annotations") or {}).get("helm.sh/resource-policy") for each in found}
    assert policies == ({"keep"} if keep else {None})


def test_with_watched_namespaces_nothing_is_cluster_wide_but_the_crds() -> None:
    objects = rendered(*OWN, "watchNamespaces={blue,green}")
    namespaceless = {each["kind"] for each in objects if "namespace" not in each["metadata"]}
    assert namespaceless == {"CustomResourceDefinition"}
    for namespace in ("blue", "green"):
        roles = [each for each in of_kind(objects, "Role") if each["metadata"]["namespace"] == namespace]
        assert len(roles) == 1
        bindings = [
            each for each in of_kind(objects, "RoleBinding") if each["metadata"]["namespace"] == namespace
        ]
        assert [each["roleRef"]["name"] for each in bindings] == [roles[0]["metadata"]["name"]]
        assert bindings[0]["subjects"] == [
            {"kind": "ServiceAccount", "name": "trading-operator", "namespace": "desk"}
        ]


def test_two_releases_of_one_name_share_no_cluster_wide_name() -> None:
    objects = rendered(*OWN)
    names = {each["metadata"]["name"] for each in objects if each["kind"].startswith("ClusterRole")}
    assert all("desk" in name and "trading" in name for name in names)


def test_a_long_name_is_cut_and_stays_its_own() -> None:
    """46: what a Job's and a StatefulSet's name put behind it goes into labels of 63 characters."""

    def first(*settings: str) -> str:
        return str(one(rendered(*OWN, *settings), "Deployment")["metadata"]["name"]).removesuffix("-operator")

    assert first(f"fullnameOverride={'a' * 46}") == "a" * 46
    cut = {first(f"fullnameOverride={'a' * 46}{last}") for last in "bc"}
    assert {len(name) for name in cut} == {46}
    assert len(cut) == 2


def test_every_object_has_the_common_labels_and_annotations() -> None:
    objects = rendered(
        *DEVELOPMENT,
        "crds.enabled=false",
        "monitoring.podMonitor.enabled=true",
        "monitoring.prometheusRule.enabled=true",
        "monitoring.dashboards.enabled=true",
        "commonLabels.team=blue",
        "commonAnnotations.cost=high",
    )
    assert all(each["metadata"]["labels"]["team"] == "blue" for each in objects)
    assert all(each["metadata"]["annotations"]["cost"] == "high" for each in objects)


def test_the_operators_pods_take_what_the_values_say() -> None:
    objects = rendered(
        *OWN,
        "operator.replicas=3",
        "operator.logLevel=DEBUG",
        "operator.podLabels.team=blue",
        "operator.nodeSelector.disk=ssd",
        "operator.tolerations[0].key=trading",
        "operator.priorityClassName=high",
        "operator.extraEnv[0].name=TZ,operator.extraEnv[0].value=UTC",
        "operator.extraVolumes[0].name=more,operator.extraVolumes[0].emptyDir.medium=Memory",
        "operator.extraVolumeMounts[0].name=more,operator.extraVolumeMounts[0].mountPath=/more",
        "imagePullSecrets[0].name=registry",
        "image.repository=registry.test/panda,image.tag=v1",
    )
    deployment = one(objects, "Deployment")
    template, pod = deployment["spec"]["template"], deployment["spec"]["template"]["spec"]
    container = pod["containers"][0]
    assert deployment["spec"]["replicas"] == 3
    assert template["metadata"]["labels"]["team"] == "blue"
    assert pod["nodeSelector"] == {"disk": "ssd"}
    assert pod["tolerations"] == [{"key": "trading"}]
    assert pod["priorityClassName"] == "high"
    assert variables(pod)["TZ"] == "UTC"
    assert variables(pod)["ALPHAPANDA_LOG_LEVEL"] == "DEBUG"
    assert {"name": "more", "mountPath": "/more"} in container["volumeMounts"]
    assert {"name": "more", "emptyDir": {"medium": "Memory"}} in pod["volumes"]
    assert all(each["imagePullSecrets"] == [{"name": "registry"}] for each in pods(objects).values())
    ours = [each["image"] for spec in pods(objects).values() for each in spec["containers"]]
    assert set(ours) == {"registry.test/panda:v1"}


def test_a_digest_wins_over_a_tag() -> None:
    digest = "sha256:" + "0" * 64
    pod = pods(rendered(*OWN, f"image.digest={digest}", "image.tag=v1"))["trading-operator"]
    assert pod["containers"][0]["image"] == f"alpha-panda@{digest}"


def test_replicas_are_spread_unless_the_values_know_better() -> None:
    mine = one(rendered(*OWN), "Deployment")["spec"]["template"]["spec"]["affinity"]
    assert "podAntiAffinity" in mine
    told = rendered(*OWN, "operator.affinity.nodeAffinity.x=y")
    assert one(told, "Deployment")["spec"]["template"]["spec"]["affinity"] == {"nodeAffinity": {"x": "y"}}


def test_what_the_operator_reads_at_its_start_rolls_it_and_nothing_else_does() -> None:
    def template(*settings: str) -> Object:
        found: Object = one(rendered(*OWN, *settings), "Deployment")["spec"]["template"]
        return found

    def stamp(*settings: str) -> str:
        return str(template(*settings)["metadata"]["annotations"]["alphapanda.io/config-hash"])

    assert stamp("control.ttlSeconds=30") != stamp()
    assert stamp("roles.risk.priorityClassName=high") != stamp()
    for unread in ("crds.keep=false", "platform.tradingState=Halted", "operator.replicas=3"):
        assert template(unread) == template(), unread


def test_the_leader_stays_until_its_successor_is_ready() -> None:
    strategy = one(rendered(*OWN), "Deployment")["spec"]["strategy"]
    assert strategy["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}


def test_probes_ask_the_port_that_the_operator_listens_at() -> None:
    objects = rendered(*OWN, "operator.port=9999")
    container = one(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    assert container["ports"] == [{"name": "health", "containerPort": 9999}]
    for probe, path in (
        ("startupProbe", "/livez"),
        ("livenessProbe", "/livez"),
        ("readinessProbe", "/readyz"),
    ):
        assert container[probe]["httpGet"] == {"path": path, "port": "health"}
    assert one(objects, "Service")["spec"]["ports"][0]["port"] == 9999
    assert ":9999/readyz" in one(objects, "Pod")["spec"]["containers"][0]["args"][0]
