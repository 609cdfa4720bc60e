"""Harm to containers, from below Kubernetes."""

from typing import Any

import pytest

from harness.cluster import Cluster
from harness.command import run

SECONDS = 30.0


def kill_container(cluster: Cluster, pod: dict[str, Any]) -> None:
    """SIGKILL to a pod's container, as the kernel does when memory is short; needs a node of ours."""
    if not cluster.containerd:
        pytest.skip("a container is killed through containerd, on a node of the harness")
    (status,) = pod["status"]["containerStatuses"]
    container = status["containerID"].removeprefix("containerd://")
    ctr = ["ctr", "--address", cluster.containerd, "--namespace", "k8s.io"]
    run([*ctr, "tasks", "kill", "--signal", "SIGKILL", container], seconds=SECONDS)
