"""What the test clusters promise to the tests that use them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from alpha_panda.errors import DependencyUnavailableError, MisuseError
from harness.cluster import KUBECONFIG_VARIABLE, Cluster
from harness.command import run, wait_until
from harness.control_plane import ControlPlane
from harness.keeper import shared_cluster
from harness.kubectl import Kubectl
from harness.remains import processes_of, start_session

SECONDS = 60.0

CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "trials.harness.alphapanda.io"},
    "spec": {
        "group": "harness.alphapanda.io",
        "names": {"kind": "Trial", "plural": "trials", "singular": "trial"},
        "scope": "Namespaced",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {"low": {"type": "integer"}, "high": {"type": "integer"}},
                                "x-kubernetes-validations": [
                                    {"rule": "self.low <= self.high", "message": "low must not be above high"}
                                ],
                            },
                            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                        },
                    }
                },
            }
        ],
    },
}


def trial(low: object, high: object) -> dict[str, object]:
    return {
        "apiVersion": "harness.alphapanda.io/v1",
        "kind": "Trial",
        "metadata": {"name": "one"},
        "spec": {"low": low, "high": high},
    }


@pytest.fixture
def crd(cluster: Cluster) -> Iterator[None]:
    cluster.kubectl.apply(CRD)
    cluster.kubectl("wait", "--for=condition=Established", "crd/trials.harness.alphapanda.io")
    yield
    cluster.kubectl("delete", "crd", "trials.harness.alphapanda.io", "--wait=false")


@pytest.fixture
def kubectl(cluster: Cluster, namespace: str) -> Kubectl:
    return cluster.kubectl.within(namespace)


@pytest.mark.usefixtures("crd")
def test_an_object_of_a_new_kind_is_stored_and_read_back(kubectl: Kubectl) -> None:
    wait_until(
        lambda: "trials" in kubectl("api-resources", "--api-group=harness.alphapanda.io"), "the kind", SECONDS
    )
    kubectl.apply(trial(1, 2))
    assert kubectl.get("trial", "one")["spec"] == {"low": 1, "high": 2}
    assert [found["metadata"]["name"] for found in kubectl.list("trials")] == ["one"]

    assert "low must not be above high" in kubectl.refused_apply(trial(3, 2))
    assert "must be of type integer" in kubectl.refused_apply(trial("x", 2))
    assert kubectl.get("trial", "one")["spec"] == {"low": 1, "high": 2}


def test_what_is_not_there_is_nothing_and_to_get_it_is_refused_in_kubectls_words(kubectl: Kubectl) -> None:
    for kind in ("configmap", "secrets", "endpoints"):  # the last is read by kubectl
        assert kubectl.find(kind, "none") == {}
        assert not kubectl.exists(kind, "none")
        with pytest.raises(DependencyUnavailableError, match='"none" not found'):
            kubectl.get(kind, "none")
    kubectl("create", "configmap", "one")
    assert kubectl.find("configmap", "one") == kubectl.get("configmap", "one")
    assert kubectl.exists("configmap", "one")


def test_a_service_account_may_do_what_its_role_says_and_no_more(
    cluster: Cluster, kubectl: Kubectl, namespace: str
) -> None:
    kubectl("create", "serviceaccount", "reader")
    kubectl("create", "role", "reader", "--verb=list,get", "--resource=configmaps")
    kubectl("create", "rolebinding", "reader", "--role=reader", f"--serviceaccount={namespace}:reader")
    kubeconfig = cluster.service_account_kubeconfig(namespace, "reader")
    reader = Kubectl(kubectl.program, kubeconfig, namespace)

    def may_list() -> bool:
        return reader("auth", "can-i", "list", "configmaps").strip() == "yes"

    wait_until(may_list, "the role is known", SECONDS)
    assert [found["metadata"]["name"] for found in reader.list("configmaps")] == ["kube-root-ca.crt"]
    assert "forbidden" in reader.refused("get", "secrets").lower()
    assert "forbidden" in reader.refused("create", "configmap", "x").lower()
    assert "forbidden" in reader.within("default").refused("get", "configmaps").lower()
    assert "forbidden" in kubectl.acting_as("somebody").refused("get", "configmaps").lower()
    assert kubeconfig.stat().st_mode & 0o077 == 0


def test_a_command_that_should_be_refused_and_is_not_is_an_error(kubectl: Kubectl) -> None:
    with pytest.raises(MisuseError, match="was not refused"):
        kubectl.refused("get", "configmaps")


def test_the_children_of_a_deleted_owner_are_collected(kubectl: Kubectl) -> None:
    kubectl("create", "configmap", "owner")
    uid = kubectl.get("configmap", "owner")["metadata"]["uid"]
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
    child = {"name": "child", "ownerReferences": [owner]}
    kubectl.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": child})
    kubectl("delete", "configmap", "owner")
    wait_until(lambda: not kubectl.exists("configmap", "child"), "the child is gone", SECONDS)


def test_a_deleted_namespace_goes_with_all_that_is_in_it(kubectl: Kubectl, namespace: str) -> None:
    kubectl("create", "configmap", "something")
    kubectl("delete", "namespace", namespace, "--wait=false")
    wait_until(lambda: not kubectl.exists("namespace", namespace), "the namespace is gone", SECONDS)


def test_namespaces_have_an_account_when_a_test_begins(kubectl: Kubectl) -> None:
    assert kubectl.exists("serviceaccount", "default")


@pytest.mark.slow
def test_pods_of_a_simulated_cluster_become_ready_and_go(simulated_cluster: Cluster) -> None:
    kubectl = simulated_cluster.kubectl
    kubectl("create", "deployment", "many", "--image=of-any-name", "--replicas=30")
    kubectl("wait", "--for=condition=Available", "deployment/many", "--timeout=60s", seconds=90.0)
    pods = kubectl.list("pods", "--selector=app=many")
    assert {pod["status"]["phase"] for pod in pods} == {"Running"}
    assert len(pods) == 30
    kubectl("delete", "deployment", "many")
    wait_until(lambda: not kubectl.list("pods", "--selector=app=many"), "the pods are gone", SECONDS)


@pytest.mark.slow
def test_an_api_server_comes_back_with_what_it_knew(own_control_plane: ControlPlane) -> None:
    kubectl = own_control_plane.cluster.kubectl
    kubectl("create", "configmap", "kept")
    own_control_plane.kill_api_server()
    assert "refused" in kubectl.refused("get", "configmaps")
    own_control_plane.restart_api_server()
    assert kubectl.exists("configmap", "kept")

    own_control_plane.pause_api_server()
    assert "exceeded" in kubectl.refused("get", "configmap", "kept", "--request-timeout=1s")
    own_control_plane.resume_api_server()
    assert kubectl.exists("configmap", "kept")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_a_session_that_is_killed_leaves_no_process() -> None:
    session, folder = start_session("bare")
    assert len(processes_of(folder)) >= 6, "etcd, API server, controllers, each with its watchdog"
    session.send_signal(signal.SIGKILL)
    session.communicate()
    wait_until(
        lambda: not processes_of(folder),
        "all processes have ended",
        SECONDS,
        lambda: str(processes_of(folder)),
    )


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc")
def test_workers_share_one_cluster_that_ends_with_their_session(tmp_path: Path) -> None:
    session = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        first = shared_cluster("bare", tmp_path, session.pid)
        again = shared_cluster("bare", tmp_path, session.pid)
        assert again == first
        assert first.kubectl.exists("namespace", "default")
    finally:
        session.kill()
        session.communicate()
    folder = Path(first.folder)
    wait_until(lambda: not processes_of(folder) and not folder.exists(), "all is gone", SECONDS)


@pytest.mark.slow
def test_workers_are_told_why_there_is_no_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = tmp_path / "cache"
    monkeypatch.setenv("ALPHAPANDA_TEST_CACHE", str(empty))
    monkeypatch.setenv("CI", "true")
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    with pytest.raises(DependencyUnavailableError, match="tools/install-cluster-tools"):
        shared_cluster("bare", tmp_path, os.getpid())


def test_only_the_variable_for_it_names_a_cluster_to_test_against(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", "/somebody/production")
    monkeypatch.delenv(KUBECONFIG_VARIABLE, raising=False)
    assert Cluster.from_environment(tmp_path) is None
    monkeypatch.setenv(KUBECONFIG_VARIABLE, "/chosen")
    chosen = Cluster.from_environment(tmp_path)
    assert chosen is not None
    assert chosen.kubeconfig == "/chosen"


@pytest.mark.slow
def test_make_cluster_says_how_to_use_it_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "harness.up", "--simulated"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as up:  # noqa: S603 - our own program
        assert up.stdout is not None
        try:
            exports = dict(
                up.stdout.readline().strip().removeprefix("export ").split("=", 1) for _ in range(2)
            )
            programs = Path(exports["PATH"].removesuffix(":$PATH"))
            user = {"KUBECONFIG": exports["KUBECONFIG"], "HOME": str(tmp_path)}
            assert "simulated-0" in run([programs / "kubectl", "get", "nodes"], seconds=SECONDS, env=user)
            assert "v3." in run([programs / "helm", "version"], seconds=SECONDS, env=user)
        finally:
            up.send_signal(signal.SIGINT)
        assert up.wait(SECONDS) == 0
    assert not Path(exports["KUBECONFIG"]).parent.exists()


SLOW = """
import contextlib, os, signal, sys, time
from harness import up

@contextlib.contextmanager
def slow():
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
        yield
    finally:
        print("ended")

up.KINDS["simulated"] = slow
sys.exit(up.main(["--simulated"]))
"""
"""`make cluster` whose start takes long, as it does where images are made, and somebody who loses patience."""


def test_make_cluster_ends_with_ctrl_c_while_it_still_starts() -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", SLOW]
    done = subprocess.run(  # noqa: S603 - our own program
        command, stdout=subprocess.PIPE, text=True, env=env, timeout=SECONDS / 2, check=False
    )
    assert (done.returncode, done.stdout) == (130, "ended\n")
