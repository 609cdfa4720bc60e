"""Simulated nodes on a control plane: pods are scheduled, get ready and end, and nothing runs (kwok)."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final, Self

from alpha_panda.testing.servers.ports import LOOPBACK, free_ports

from . import versions
from .build import find_programs
from .cluster import Cluster
from .control_plane import ControlPlane
from .scheduler import start_scheduler

START_SECONDS: Final = 60.0
MARK: Final = "kwok.x-k8s.io/node"
"""The annotation by which kwok knows its nodes."""

CONFIG: Final = {
    "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
    "kind": "KwokConfiguration",
    "options": {"manageAllNodes": False},
}
"""No stages of ours: by its own a pod is ready at once, a Job's completes, a deleted one goes."""


class Kwok:
    """`nodes` simulated nodes with room for `pods` pods each, and a scheduler; they end with the control plane."""

    def __init__(self, control_plane: ControlPlane, *, nodes: int = 2, pods: int = 10_000) -> None:
        self._control_plane = control_plane
        self._nodes = nodes
        self._pods = pods

    @property
    def cluster(self) -> Cluster:
        """What the cluster's users need."""
        return replace(self._control_plane.cluster, simulated=True)

    def start(self) -> Self:
        """Start scheduler and kwok; return when all nodes are ready."""
        programs = find_programs(versions.KWOK)
        start_scheduler(self._control_plane, programs["kube-scheduler"])
        config = self._control_plane.folder / "kwok.json"
        config.write_text(json.dumps(CONFIG))  # named, so that it looks for none in the user's home
        self._control_plane.processes.start(
            "kwok",
            [
                programs["kwok"],
                f"--kubeconfig={self._control_plane.kubeconfig}",
                f"--config={config}",
                f"--manage-nodes-with-annotation-selector={MARK}=fake",
                f"--server-address={LOOPBACK}:{free_ports(1)[0]}",
                "--node-lease-duration-seconds=40",
            ],
        )
        self.cluster.kubectl.apply(
            *(simulated_node(f"simulated-{n}", self._pods) for n in range(self._nodes))
        )
        self._control_plane.processes.wait_until(
            self._all_ready, "the simulated nodes are ready", START_SECONDS, "kwok", "kube-scheduler"
        )
        return self

    def _all_ready(self) -> bool:
        nodes = self.cluster.kubectl.list("nodes")
        states = [
            condition["status"]
            for node in nodes
            for condition in node.get("status", {}).get("conditions", [])
            if condition["type"] == "Ready"
        ]
        return states.count("True") >= self._nodes


def simulated_node(name: str, pods: int) -> Mapping[str, Any]:
    """Return a Node that kwok plays."""
    room = {"cpu": "1000", "memory": "4Ti", "pods": str(pods)}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "annotations": {MARK: "fake"},
            "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "type": "kwok"},
        },
        "status": {"allocatable": room, "capacity": room},
    }
