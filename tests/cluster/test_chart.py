"""The chart on a real API server: what it makes is taken, its rights are what they say, and Helm leaves a halt alone."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from alpha_panda.errors import DependencyUnavailableError
from alpha_panda_operator.uninstall_check import refusal
from harness.cluster import Cluster
from harness.kubectl import Kubectl, as_text
from harness.versions import KUBERNETES
from unit.chart.helm import CHART, DEVELOPMENT, OWN, helm, one, pods
from unit.project.repository import ROOT

SECONDS = 120
RELEASE = "trading"
EXAMPLE = ROOT / "examples" / "01-paper-momentum" / "manifest.yaml"

Json = dict[str, Any]


def of(kind: str, **properties: Json) -> Json:
    return {"type": kind, **({"properties": properties} if properties else {})}


TEXT = of("string")
TEXTS: Json = {"type": "object", "additionalProperties": TEXT}


def every(item: Json) -> Json:
    return {"type": "array", "items": item}


ENDPOINT = of("object", port=TEXT, path=TEXT, interval=TEXT, scrapeTimeout=TEXT)
ALERT = of("object", **{"for": TEXT}, alert=TEXT, expr=TEXT, labels=TEXTS, annotations=TEXTS)
EXPRESSION = of("object", key=TEXT, operator=TEXT, values=every(TEXT))
MONITORS = {
    "PodMonitor": of(
        "object",
        namespaceSelector=of("object", any=of("boolean"), matchNames=every(TEXT)),
        selector=of("object", matchLabels=TEXTS, matchExpressions=every(EXPRESSION)),
        podMetricsEndpoints=every(ENDPOINT),
    ),
    "PrometheusRule": of("object", groups=every(of("object", name=TEXT, rules=every(ALERT)))),
}
"""The part of the Prometheus operator's kinds that the chart uses; a field that is not here is refused."""


def definition(kind: str, spec: Json) -> Json:
    singular = kind.lower()
    schema = {"openAPIV3Schema": of("object", spec=spec)}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{singular}s.monitoring.coreos.com"},
        "spec": {
            "group": "monitoring.coreos.com",
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": f"{singular}s", "singular": singular},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }


def with_kinds(kubectl: Kubectl, *definitions: Json) -> Kubectl:
    """Make the API server know these kinds, unless it does; another worker may be about to."""
    for each in definitions:
        name = each["metadata"]["name"]
        if not kubectl.exists("crd", name):
            try:
                kubectl.apply(each)
            except DependencyUnavailableError as error:
                if "AlreadyExists" not in str(error):
                    raise
        kubectl("wait", "--for=condition=Established", f"crd/{name}", "--timeout=30s")
    return kubectl


@pytest.fixture(scope="module")
def monitored(cluster: Cluster) -> Kubectl:
    """The cluster with the kinds of the Prometheus operator, made up if it has none."""
    return with_kinds(cluster.kubectl, *(definition(kind, spec) for kind, spec in MONITORS.items()))


@pytest.fixture(scope="module")
def trading(cluster: Cluster) -> Kubectl:
    """The cluster with the project's kinds."""
    files = sorted((ROOT / "crds").glob("*.yaml"))
    return with_kinds(cluster.kubectl, *(yaml.safe_load(file.read_text(encoding="utf-8")) for file in files))


class Helm:
    """Helm with a cluster and a namespace."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._own = ["--kubeconfig", cluster.kubeconfig, "--namespace", namespace]

    def attempt(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [helm(), *arguments, *self._own]
        return subprocess.run(  # noqa: S603 - our own arguments
            command, capture_output=True, text=True, timeout=SECONDS, check=False
        )

    def __call__(self, *arguments: str) -> str:
        done = self.attempt(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def chart(self, verb: str, *settings: str) -> str:
        """Install or upgrade, without the CRDs: they are the whole cluster's."""
        named = [word for setting in ("crds.enabled=false", *settings) for word in ("--set", setting)]
        return self(verb, RELEASE, str(CHART), *named)

    def render(self, *settings: str) -> str:
        named = [word for setting in settings for word in ("--set", setting)]
        return self("template", RELEASE, str(CHART), "--kube-version", KUBERNETES, *named)


@pytest.fixture
def here(cluster: Cluster, namespace: str) -> Iterator[Helm]:
    """Helm in a namespace of its own; what is cluster-wide is gone afterwards."""
    found = Helm(cluster, namespace)
    yield found
    if found.attempt("status", RELEASE).returncode == 0:
        found("uninstall", RELEASE, "--no-hooks")


SWITCHES = [
    (),
    ("crds.keep=false",),
    ("crds.enabled=false",),
    ("platform.create=false",),
    ("platform.tradingState=Halted",),
    ("forceUninstall=true",),
    ("uninstallCheck.enabled=false",),
    ("networkPolicy.enabled=false",),
    ("networkPolicy.otlp[0].to[0].ipBlock.cidr=10.0.0.0/8",),
    ("operator.podDisruptionBudget.enabled=false",),
    ("operator.podDisruptionBudget.maxUnavailable=50%",),
    ("operator.rbac.create=false",),
    ("operator.rbac.aggregateToUsers=false",),
    ("operator.serviceAccount.create=false", "operator.serviceAccount.name=default"),
    ("operator.replicas=1", "operator.port=9000", "operator.logLevel=DEBUG"),
    ("operator.nodeSelector.a=b", "operator.tolerations[0].key=a", "operator.tolerations[0].operator=Exists"),
    ("operator.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution=null",),
    ("imagePullSecrets[0].name=registry", "commonLabels.team=blue", "commonAnnotations.team=blue"),
    ("operator.extraEnv[0].name=TZ", "operator.extraEnv[0].value=UTC"),
    (
        "operator.extraVolumes[0].name=more",
        "operator.extraVolumes[0].emptyDir.medium=Memory",
        "operator.extraVolumeMounts[0].name=more",
        "operator.extraVolumeMounts[0].mountPath=/more",
    ),
    ("monitoring.podMonitor.enabled=true",),
    ("monitoring.dashboards.enabled=true",),
    ("monitoring.prometheusRule.enabled=true", "monitoring.prometheusRule.labels.release=prometheus"),
    (
        "redis.auth=User",
        "operator.credentialsSecret=own",
        "roles.defaults.credentialsSecret=all",
    ),
]


def with_account(kubectl: Kubectl) -> None:
    """Make the account of the chart's pods for real: no bare pod is taken without."""
    kubectl.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": f"{RELEASE}-operator"}})


def _of_kinds(settings: tuple[str, ...]) -> bool:
    """Whether the CRDs are to be taken too: they are the same under all other switches, and cost a second of a core."""
    return not settings or settings[0].startswith("crds.")


PAIR = [(), ("networkPolicy.enabled=false",), ("imagePullSecrets[0].name=registry", "commonLabels.team=blue")]
"""The switches that change something in the development pair too."""


@pytest.mark.parametrize(
    ("stores", "settings"),
    [*((OWN, settings) for settings in SWITCHES), *((DEVELOPMENT, settings) for settings in PAIR)],
    ids=lambda words: words[0].partition("=")[0] if words else "defaults",
)
def test_the_api_server_takes_all_that_a_switch_makes(
    here: Helm, namespace: str, monitored: Kubectl, stores: tuple[str, ...], settings: tuple[str, ...]
) -> None:
    text = here.render(*stores, *settings, *([] if _of_kinds(settings) else ["crds.enabled=false"]))
    with_account(monitored.within(namespace))
    said = monitored.within(namespace).apply(text, dry_run=True)
    objects = [each for each in yaml.safe_load_all(text) if each]
    assert said.count("(server dry run)") == len(objects)
    assert "unknown field" not in said


@pytest.mark.parametrize(
    "settings",
    [
        ("development.persistence.enabled=false",),
        ("development.persistence.storageClass=fast",),
        ("development.persistence.storageClass=-",),
    ],
)
def test_it_takes_every_disk_of_the_development_pair(
    here: Helm, cluster: Cluster, namespace: str, settings: tuple[str, ...]
) -> None:
    kubectl = cluster.kubectl.within(namespace)
    with_account(kubectl)
    kubectl.apply(here.render(*DEVELOPMENT, *settings), dry_run=True)


def test_it_takes_roles_in_namespaces_alone(here: Helm, cluster: Cluster, namespace: str) -> None:
    text = here.render(*OWN, f"watchNamespaces={{{namespace}}}")
    with_account(cluster.kubectl.within(namespace))
    cluster.kubectl.within(namespace).apply(text, dry_run=True)


def test_a_restricted_namespace_takes_every_pod(here: Helm, cluster: Cluster, namespace: str) -> None:
    kubectl = cluster.kubectl.within(namespace)
    objects = [each for each in yaml.safe_load_all(here.render(*DEVELOPMENT)) if each]
    with_account(kubectl)
    kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    for name, spec in pods(objects).items():
        pod: dict[str, Any] = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
        if name in {"trading-kafka", "trading-redis"}:  # the StatefulSet's controller adds it
            claim = {"name": "data", "persistentVolumeClaim": {"claimName": "data"}}
            spec["volumes"] = [*spec["volumes"], claim]
        kubectl.apply(pod, dry_run=True)
    refused = kubectl.refused_apply(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "root"},
            "spec": {"containers": [{"name": "a", "image": "a"}]},
        }
    )
    assert "restricted" in refused


# ---------------------------------------------------------------------------------------------- rights


@pytest.mark.parametrize("scoped", [False, True], ids=["everywhere", "watched"])
def test_the_operator_may_do_its_work_and_not_read_secrets(
    here: Helm, cluster: Cluster, namespace: str, *, scoped: bool
) -> None:
    here.chart("install", *OWN, *([f"watchNamespaces={{{namespace}}}"] if scoped else []))
    account = f"system:serviceaccount:{namespace}:{RELEASE}-operator"

    def may(verb: str, resource: str, where: str, name: str = "") -> bool:
        return allowed(cluster.kubectl, account, verb, resource, where, name)

    assert may("list", "strategies.alphapanda.io", namespace)
    assert may("patch", "deployments.apps", namespace)
    assert may("list", "strategies.alphapanda.io", "default") is not scoped
    assert may("create", "leases.coordination.k8s.io", namespace)
    assert may("update", "leases.coordination.k8s.io", namespace, f"{RELEASE}-operator")
    assert not may("update", "leases.coordination.k8s.io", namespace, "another")
    assert not may("update", "leases.coordination.k8s.io", "default", f"{RELEASE}-operator")
    assert may("get", "configmaps", namespace, f"{RELEASE}-platform")
    for verb in ("get", "list", "watch", "create", "patch", "delete"):
        assert not may(verb, "secrets", namespace), verb
    assert not may("create", "pods", namespace)
    assert not may("create", "pods/exec", namespace)
    assert not may("create", "clusterrolebindings.rbac.authorization.k8s.io", namespace)
    cluster_wide = cluster.kubectl("get", "clusterroles", "--output=name")
    assert (f"alpha-panda:{namespace}:{RELEASE}" in cluster_wide) is not scoped


def allowed(kubectl: Kubectl, account: str, verb: str, what: str, namespace: str, name: str) -> bool:  # noqa: PLR0917
    """Ask the API server whether an account may do something to `resource.group` or `resource/subresource.group`."""
    path, _, group = what.partition(".")
    resource, _, subresource = path.partition("/")
    asked = {"verb": verb, "group": group, "resource": resource, "namespace": namespace, "name": name}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": account, "resourceAttributes": {**asked, "subresource": subresource}},
    }
    told = json.loads(kubectl("create", "--filename=-", "--output=json", stdin=as_text(review)))
    return bool(told["status"]["allowed"])


# ---------------------------------------------------------------------------------------------- the platform's state


def state(kubectl: Kubectl) -> str:
    return str(kubectl.get("configmap", f"{RELEASE}-platform")["data"]["tradingState"])


def halt(kubectl: Kubectl) -> None:
    patch = json.dumps({"data": {"tradingState": "Halted"}})
    kubectl("patch", "configmap", f"{RELEASE}-platform", "--type=merge", "--patch", patch)


def test_no_command_of_helm_ends_a_halt(here: Helm, cluster: Cluster, namespace: str) -> None:
    kubectl = cluster.kubectl.within(namespace)
    here.chart("install", *OWN)
    assert state(kubectl) == "Active"
    halt(kubectl)
    here.chart("upgrade", *OWN, "operator.replicas=1")
    assert state(kubectl) == "Halted"
    here.chart("upgrade", *OWN, "platform.tradingState=Active")
    assert state(kubectl) == "Halted"
    here("rollback", RELEASE, "1")
    assert state(kubectl) == "Halted"
    here("uninstall", RELEASE, "--no-hooks")
    assert state(kubectl) == "Halted"
    here.chart("install", *OWN)
    assert state(kubectl) == "Halted"


def test_a_deleted_state_is_not_made_anew_by_an_upgrade(here: Helm, cluster: Cluster, namespace: str) -> None:
    """Absent means Halted: making it Active again is a person's decision."""
    kubectl = cluster.kubectl.within(namespace)
    here.chart("install", *OWN)
    kubectl("delete", "configmap", f"{RELEASE}-platform")
    here.chart("upgrade", *OWN)
    assert not kubectl.exists("configmap", f"{RELEASE}-platform")


# ---------------------------------------------------------------------------------------------- installing and uninstalling


def test_the_notes_tell_the_next_command(here: Helm, namespace: str) -> None:
    notes = here.chart("install", *DEVELOPMENT, "development.persistence.enabled=false").partition("NOTES:")[
        2
    ]
    for words in (
        "every namespace",
        "kubectl create namespace trading",
        "kubectl apply --namespace trading -f examples/01-paper-momentum",
        f"helm test {RELEASE} --namespace {namespace}",
        '"tradingState":"Halted"',
        "not for money",
        "their data end with their pods",
        "CRDs must be in the cluster already",
    ):
        assert words in notes, notes
    again = here.chart(
        "upgrade", *DEVELOPMENT, "development.persistence.enabled=false", f"watchNamespaces={{{namespace}}}"
    ).partition("NOTES:")[2]
    assert f"the namespaces {namespace}" in again
    assert f"kubectl apply --namespace {namespace}" in again
    assert "kubectl create namespace" not in again


def test_uninstalling_leaves_what_the_readme_says(here: Helm, cluster: Cluster, namespace: str) -> None:
    kubectl = cluster.kubectl.within(namespace)
    here.chart("install", *DEVELOPMENT)
    here("uninstall", RELEASE, "--no-hooks", "--wait")
    kinds = "configmaps,services,deployments,statefulsets,serviceaccounts,roles,rolebindings,networkpolicies,pdb,jobs"
    left = {
        each["metadata"]["name"]
        for each in kubectl.list(kinds, "--selector=app.kubernetes.io/name=alpha-panda")
    }
    assert left == {f"{RELEASE}-platform"}
    readme = (CHART / "README.md").read_text(encoding="utf-8")
    assert "| ConfigMap `RELEASE-platform` |" in readme
    roles = cluster.kubectl("get", "clusterroles,clusterrolebindings", "--output=name")
    assert f"alpha-panda:{namespace}:" not in roles


def check(module: str, *arguments: str, kubeconfig: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # noqa: S603 - our own arguments
        [sys.executable, "-m", f"alpha_panda_operator.{module}", *arguments],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env={**os.environ, "KUBECONFIG": str(kubeconfig)},
    )


@pytest.mark.parametrize("scoped", [False, True], ids=["everywhere", "watched"])
def test_the_check_before_uninstalling_refuses_while_resources_live(
    here: Helm, cluster: Cluster, trading: Kubectl, namespace: str, *, scoped: bool
) -> None:
    here.chart("install", *OWN, *([f"watchNamespaces={{{namespace}}}"] if scoped else []))
    account = cluster.service_account_kubeconfig(namespace, f"{RELEASE}-operator")
    watched = [namespace] if scoped else []
    trading.within(namespace)("apply", "--filename", str(EXAMPLE))
    refused = check("uninstall_check", RELEASE, namespace, "1", *watched, kubeconfig=account)
    assert refused.returncode == 1, refused.stderr
    for resource in ("MarketFeed", "BrokerAccount", "Strategy"):
        assert f"  {resource} {namespace}/" in refused.stdout
    assert "helm uninstall trading" in refused.stdout
    assert refused.stderr == ""
    trading.within(namespace)("delete", "--filename", str(EXAMPLE))
    if scoped:  # elsewhere in the cluster other tests' resources may live
        allowed = check("uninstall_check", RELEASE, namespace, "1", *watched, kubeconfig=account)
        assert (allowed.returncode, allowed.stdout) == (0, "No feed, account or strategy lives.\n")


def test_it_refuses_too_when_it_may_not_look(
    here: Helm, cluster: Cluster, trading: Kubectl, namespace: str
) -> None:
    account = cluster.service_account_kubeconfig(namespace, "default")
    refused = check("uninstall_check", RELEASE, namespace, "1", kubeconfig=account)
    assert refused.returncode == 1
    assert "can't be asked" in refused.stdout
    assert "cannot list resource" in refused.stdout


def test_an_uninstallation_that_was_refused_is_taken_back_as_the_refusal_says(
    here: Helm, namespace: str
) -> None:
    """The check can't run where no pod does: that is a refusal too."""
    here.chart("install", *OWN)
    args = one(yaml.safe_load_all(here("get", "hooks", RELEASE)), "Job")["spec"]["template"]["spec"]
    release, of, revision = args["containers"][0]["args"]
    assert here.attempt("uninstall", RELEASE, "--timeout=2s").returncode != 0
    again = ("upgrade", RELEASE, str(CHART), "--reuse-values")
    assert "has no deployed releases" in here.attempt(*again).stderr
    *_, rollback = refusal(["Strategy a/b"], release, of, revision).splitlines()
    _, *words = rollback.split()
    here(*words[: words.index("--namespace")])
    here(*again)


def test_the_longest_name_of_a_release_is_installed_and_asked_before_it_goes(
    here: Helm, cluster: Cluster, namespace: str
) -> None:
    """A Job's name is a label of its pods; a StatefulSet's with a hash behind it is one too."""
    release = "r" * 53
    settings = [word for each in ("crds.enabled=false", *DEVELOPMENT) for word in ("--set", each)]
    here("install", release, str(CHART), *settings)
    kubectl = cluster.kubectl.within(namespace)
    try:
        stores = kubectl.list("statefulsets")
        assert len(stores) == 2
        assert max(len(each["metadata"]["name"]) for each in stores) + len("-0123456789") <= 63
        here.attempt("uninstall", release, "--timeout=2s")
        assert [each["metadata"]["name"][-16:] for each in kubectl.list("jobs")] == ["-uninstall-check"]
    finally:
        here("uninstall", release, "--no-hooks")
