"""A real cluster of one node without Docker: control plane, scheduler, containerd, kubelet, kube-proxy, DNS.

with Node() as node:
    import_images(node.cluster, project_image())
    node.cluster.kubectl("run", "try", "--image=localhost/alpha-panda:dev", "--image-pull-policy=Never")

Needs Linux and root (`sandbox.why_not`). Images are imported, nothing is pulled; NetworkPolicies are taken and not
enforced; volumes are emptyDir, hostPath and what the API holds.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final, Self, TypeVar

from . import versions
from .build import find_programs
from .cluster import Cluster
from .command import attempt
from .control_plane import ControlPlane
from .images import pause_image
from .importing import import_images
from .node_files import NODE, NodeFiles
from .sandbox import Sandbox
from .scheduler import start_scheduler

T = TypeVar("T")

START_SECONDS: Final = 120.0  # 8 s when idle
PROBE_SECONDS: Final = 20.0


class Node:
    """A cluster with one node, in namespaces of its own. All methods block."""

    def __init__(self) -> None:
        self.sandbox = Sandbox()
        self.seconds: dict[str, float] = {}
        """How long the steps of the start took."""
        self._stack = ExitStack()
        self._control_plane: ControlPlane | None = None
        self._files: NodeFiles | None = None

    @property
    def control_plane(self) -> ControlPlane:
        """The cluster's; `pause_api_server` and the like work as ever."""
        assert self._control_plane is not None, "enter the node first"
        return self._control_plane

    @property
    def cluster(self) -> Cluster:
        """What the cluster's users need, on the host as well."""
        return replace(
            self.control_plane.cluster, containerd=str(self._written.socket), init=self.sandbox.init
        )

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill everything at once, pods too, and delete what they kept."""
        self._stack.close()

    @property
    def _written(self) -> NodeFiles:
        assert self._files is not None, "enter the node first"
        return self._files

    def _start(self) -> None:
        programs = find_programs(versions.NODE)
        sandbox = self._timed("sandbox", lambda: self._stack.enter_context(self.sandbox))
        control_plane = ControlPlane(place=sandbox.place, folder=sandbox.folder)
        self._control_plane = control_plane
        self._stack.callback(
            control_plane.processes.close
        )  # containerd is one of them, and starts before the rest
        self._files = NodeFiles(
            sandbox.folder, control_plane.kubeconfig, sandbox.address, sandbox.place.pods, sandbox.name_server
        )
        self._files.write()
        self._timed("containerd", self._start_containerd)
        self._timed("control plane", lambda: self._stack.enter_context(control_plane))
        start_scheduler(control_plane, programs["kube-scheduler"])
        self._start_daemons(programs)
        self._timed("ready", self._await_ready)

    def _timed(self, name: str, step: Callable[[], T]) -> T:
        began = time.monotonic()
        result = step()
        self.seconds[name] = time.monotonic() - began
        return result

    def _start_containerd(self) -> None:
        config = self.sandbox.folder / "containerd.toml"
        self._daemon("containerd", "containerd", "--config", config)
        ready = self.control_plane.processes
        ready.wait_until(self._containerd_answers, "containerd answers", START_SECONDS, "containerd")
        import_images(self.cluster, pause_image())

    def _containerd_answers(self) -> bool:
        command = ["ctr", "--address", str(self._written.socket), "version"]
        return self._written.socket.exists() and attempt(command, seconds=PROBE_SECONDS).returncode == 0

    def _start_daemons(self, programs: dict[str, Path]) -> None:
        folder, kubeconfig = self.sandbox.folder, self.control_plane.kubeconfig
        self._daemon(
            "kubelet",
            programs["kubelet"],
            f"--config={folder / 'kubelet.yaml'}",
            f"--kubeconfig={kubeconfig}",
            f"--root-dir={folder / 'kubelet'}",
            f"--cert-dir={folder / 'kubelet-certificates'}",
            f"--hostname-override={NODE}",
            f"--node-ip={self.sandbox.address}",
        )
        self._daemon("kube-proxy", programs["kube-proxy"], f"--config={folder / 'kube-proxy.yaml'}")
        self._daemon("coredns", programs["coredns"], "-conf", folder / "Corefile")
        self.cluster.kubectl.apply(*self._written.name_service())

    def _daemon(self, name: str, *command: str | Path) -> None:
        words = [*self.sandbox.inside, *(str(word) for word in command)]
        self.control_plane.processes.start(name, words, prefixed=False)

    def _await_ready(self) -> None:
        self.control_plane.processes.wait_until(
            self._is_ready, "the node is ready", START_SECONDS, "kubelet", "kube-proxy", "coredns"
        )

    def _is_ready(self) -> bool:
        nodes = self.cluster.kubectl.list("nodes")
        return any(
            condition["type"] == "Ready" and condition["status"] == "True"
            for node in nodes
            for condition in node["status"].get("conditions", [])
        )
