"""What the real node promises to the tests that use it: our image runs as it will, names resolve, Kafka and Redis serve."""

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
import redis

from harness.cluster import Cluster
from harness.command import wait_until
from harness.images import KAFKA_IMAGE, PROJECT_IMAGE, REDIS_IMAGE
from harness.kubectl import Kubectl

pytestmark = pytest.mark.slow

SECONDS = 60.0
USER = 10001

ASK_KAFKA = """
import asyncio
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

async def main():
    where = {"bootstrap_servers": "kafka:9092"}
    admin = AIOKafkaAdminClient(**where)
    await admin.start()
    await admin.create_topics([NewTopic("t", 1, 1)])
    await admin.close()
    async with AIOKafkaProducer(**where) as producer:
        await producer.send_and_wait("t", b"said")
    async with AIOKafkaConsumer("t", auto_offset_reset="earliest", **where) as consumer:
        print((await asyncio.wait_for(consumer.getone(), 20)).value.decode())

asyncio.run(main())
"""


@pytest.fixture(scope="module", autouse=True)
def failing(cluster: Cluster) -> Iterator[Kubectl]:
    """Two pods that fail, from the first test on: only after fifteen seconds does the kubelet say that one crashes."""
    name = f"failing-{secrets.token_hex(5)}"
    cluster.kubectl("create", "namespace", name)
    kubectl = cluster.kubectl.within(name)
    wait_until(lambda: kubectl.exists("serviceaccount", "default"), "its account", SECONDS)
    fails = pod("fails", PROJECT_IMAGE, **python("raise SystemExit(3)"))
    fails["spec"]["restartPolicy"] = "Always"
    kubectl.apply(fails, pod("missing", "localhost/nowhere:1"))
    yield kubectl
    cluster.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def kubectl(cluster: Cluster, namespace: str) -> Kubectl:
    return cluster.kubectl.within(namespace)


def pod(name: str, image: str, *arguments: str, **more: Any) -> dict[str, Any]:
    """A pod with all restrictions that a namespace may ask for."""
    container = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "Never",
        "args": list(arguments),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        **more,
    }
    spec = {
        "containers": [container],
        "restartPolicy": "Never",
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": spec,
    }


def python(code: str) -> dict[str, Sequence[str]]:
    return {"command": ["python", "-c", code]}


def service(name: str, port: int) -> dict[str, Any]:
    spec = {"selector": {"app": name}, "ports": [{"port": port}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def with_scratch(manifest: dict[str, Any], *paths: str) -> dict[str, Any]:
    names = [f"scratch-{number}" for number in range(len(paths))]
    manifest["spec"]["volumes"] = [{"name": name, "emptyDir": {}} for name in names]
    mounts = [{"name": name, "mountPath": path} for name, path in zip(names, paths, strict=True)]
    manifest["spec"]["containers"][0]["volumeMounts"] = mounts
    manifest["spec"]["securityContext"]["fsGroup"] = USER
    return manifest


def probe(port: int) -> dict[str, Mapping[str, Any]]:
    return {"readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1}}


def says(kubectl: Kubectl, name: str) -> str:
    """Return what a pod printed that ends well."""

    def phase() -> str:
        return str(kubectl.get("pod", name)["status"].get("phase"))

    wait_until(lambda: phase() in {"Succeeded", "Failed"}, f"the end of {name}", SECONDS)
    said = kubectl("logs", name).strip()
    assert phase() == "Succeeded", said
    return said


def is_ready(kubectl: Kubectl, name: str) -> None:
    kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s", seconds=90.0)


def test_our_image_runs_the_command_line_as_a_user_without_rights(kubectl: Kubectl) -> None:
    kubectl.apply(pod("version", PROJECT_IMAGE, "version"))
    assert says(kubectl, "version").startswith("alpha-panda ")

    kubectl.apply(
        pod("who", PROJECT_IMAGE, **python("import os; print(os.getuid(), os.getgid(), os.getcwd())"))
    )
    assert says(kubectl, "who") == f"{USER} {USER} /"


def test_logs_and_exec_reach_a_pod(kubectl: Kubectl) -> None:
    kubectl.apply(
        pod("waits", PROJECT_IMAGE, **python("import time; print('here', flush=True); time.sleep(600)"))
    )
    is_ready(kubectl, "waits")
    wait_until(lambda: kubectl("logs", "waits").strip() == "here", "its log", SECONDS)
    assert kubectl("exec", "waits", "--", "python", "-c", "print(6 * 7)").strip() == "42"
    assert "Read-only file system" in kubectl.refused("exec", "waits", "--", "touch", "/opt/x")


def test_a_changed_secret_arrives_in_a_running_pod(kubectl: Kubectl) -> None:
    kubectl("create", "secret", "generic", "token", "--from-literal=value=old")
    manifest = pod("reads", PROJECT_IMAGE, **python("import time; time.sleep(600)"))
    manifest["spec"]["volumes"] = [{"name": "token", "secret": {"secretName": "token"}}]
    manifest["spec"]["containers"][0]["volumeMounts"] = [{"name": "token", "mountPath": "/token"}]
    kubectl.apply(manifest)
    is_ready(kubectl, "reads")
    assert kubectl("exec", "reads", "--", "cat", "/token/value") == "old"
    kubectl("patch", "secret", "token", "--patch", json.dumps({"stringData": {"value": "new"}}))
    wait_until(
        lambda: kubectl("exec", "reads", "--", "cat", "/token/value") == "new", "the new value", SECONDS
    )


def test_a_redis_pod_is_found_by_name_from_a_pod_and_by_address_from_the_host(
    kubectl: Kubectl, namespace: str
) -> None:
    server = pod(
        "redis", REDIS_IMAGE, "redis-server", "--protected-mode", "no", "--dir", "/data", **probe(6379)
    )
    kubectl.apply(with_scratch(server, "/data"), service("redis", 6379))
    is_ready(kubectl, "redis")
    address = kubectl.get("service", "redis")["spec"]["clusterIP"]

    ask = "import redis, socket, sys; redis.Redis('redis').set('k', 'v'); print(socket.gethostbyname(sys.argv[1]))"
    full = f"redis.{namespace}.svc.cluster.local"
    client = pod("client", PROJECT_IMAGE)
    client["spec"]["containers"][0]["command"] = ["python", "-c", ask, full]
    kubectl.apply(client)
    assert says(kubectl, "client") == address

    with redis.Redis(address, socket_timeout=10.0) as from_host:
        assert from_host.get("k") == b"v"


def test_a_kafka_pod_keeps_and_gives_records(kubectl: Kubectl) -> None:
    server = pod("kafka", KAFKA_IMAGE, env=[{"name": "KAFKA_HOST", "value": "kafka"}], **probe(9092))
    kubectl.apply(with_scratch(server, "/var/lib/kafka/data", "/tmp"), service("kafka", 9092))  # noqa: S108 - in the pod
    is_ready(kubectl, "kafka")
    kubectl.apply(pod("client", PROJECT_IMAGE, **python(ASK_KAFKA)))
    assert says(kubectl, "client") == "said"


def test_a_pod_that_fails_is_seen_to_fail(failing: Kubectl) -> None:
    def waits_for(name: str) -> str:
        statuses = failing.get("pod", name)["status"].get("containerStatuses", [{}])
        return str(statuses[0].get("state", {}).get("waiting", {}).get("reason", ""))

    wait_until(lambda: waits_for("missing") == "ErrImageNeverPull", "a missing image", SECONDS)
    wait_until(lambda: waits_for("fails") == "CrashLoopBackOff", "a crash loop", SECONDS)
