"""The one installation that the tests on the node share: the packaged chart, with the development pair."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from alpha_panda.testing.servers.ports import free_ports
from e2e.node.values import values
from harness.build import find_program
from harness.cluster import Cluster
from harness.command import run, wait_until
from harness.forward import Forward
from harness.helm import Helm
from harness.kubectl import Kubectl

if TYPE_CHECKING:
    import subprocess

ROOT: Final = Path(__file__).parents[3]
NAME: Final = "alpha-panda"
"""Of the release, and of its namespace."""

SECONDS: Final = 90.0


class Installation:
    """What `helm install` makes. `install` and `uninstall` may follow one another; `ensure` installs if need be."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.folder = folder
        self.kafka_port, self.redis_port = free_ports(2)
        self.helm = Helm(cluster, NAME)
        self.values = values(self.kafka_port, "-" if cluster.containerd else None)
        self._stack = ExitStack()
        self.installed = False

    @property
    def kubectl(self) -> Kubectl:
        """Within the operator's namespace."""
        return self.cluster.kubectl.within(NAME)

    def package(self, chart: Path = ROOT / "charts" / NAME) -> Path:
        """Pack a chart as a release does; return the file."""
        tool: list[str | Path] = [sys.executable, ROOT / "tools" / "package_chart.py", chart, self.folder]
        env = {**os.environ, "HELM": str(find_program("helm"))}
        return Path(run(tool, seconds=SECONDS, env=env).strip())

    def ensure(self) -> None:
        """Install it unless it is."""
        if not self.installed:
            self.install()

    def install(self) -> None:
        """`helm install` of the packaged chart; returns when all is ready."""
        if self.cluster.containerd:
            self._make_disks()
        self.helm(
            "install",
            NAME,
            self.package(),
            "--create-namespace",
            "--wait",
            "--timeout=120s",
            values=self.values,
        )
        self.installed = True
        for target, port, local in (("kafka", 9094, self.kafka_port), ("redis", 6379, self.redis_port)):
            self._stack.enter_context(Forward(self.kubectl, f"service/{NAME}-{target}", port, local))

    def _make_disks(self) -> None:
        """Make a disk for each claim of the development pair: nobody else does on a node of ours."""
        for store in ("kafka", "redis"):
            folder = Path(self.cluster.folder) / "disks" / store
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o777)
            self.cluster.kubectl.apply(_disk(f"{NAME}-{store}", f"data-{NAME}-{store}-0", folder))

    def upgrade(self, package: Path, **changes: Any) -> None:
        """`helm upgrade` to a package, with other values; returns when all is ready."""
        self.helm("upgrade", NAME, package, "--wait", "--timeout=120s", values=_merged(self.values, changes))

    def uninstall(self) -> "subprocess.CompletedProcess[str]":
        """`helm uninstall`; the development pair's data go with it."""
        done = self.helm.attempt("uninstall", NAME, "--wait", "--timeout=60s")
        if done.returncode == 0:
            self.close()
        return done

    def close(self) -> None:
        """End what reaches into it from here."""
        self._stack.close()
        self._stack = ExitStack()
        self.installed = False

    # ------------------------------------------------------------------------------------------ the operator

    def scale_operator(self, replicas: int) -> None:
        """Take the operator away, or bring it back; returns when it is so."""
        self.kubectl("scale", f"deployment/{NAME}-operator", f"--replicas={replicas}")
        if replicas:
            self.kubectl(
                "rollout",
                "status",
                f"deployment/{NAME}-operator",
                f"--timeout={SECONDS:.0f}s",
                seconds=SECONDS + 5,
            )
            return
        self.kubectl(
            "wait", "pod", f"--selector=app.kubernetes.io/component=operator,app.kubernetes.io/instance={NAME}",
            "--for=delete", f"--timeout={SECONDS:.0f}s", seconds=SECONDS + 5,
        )  # fmt: skip

    @contextmanager
    def without_operator(self) -> Iterator[None]:
        """No operator while the context lasts."""
        self.scale_operator(0)
        try:
            yield
        finally:
            self.scale_operator(1)

    def explain(self) -> str:
        """Return what a person would look at: pods and the operator's last lines."""
        pods = self.cluster.kubectl("get", "pods", "--all-namespaces")
        log = self.kubectl("logs", f"deployment/{NAME}-operator", "--tail=40") if self.installed else ""
        return f"{pods}\n{log}"

    def wait_until(self, holds: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
        """Wait; the error says how the cluster is."""
        wait_until(holds, what, seconds, self.explain)


def _disk(name: str, claim: str, folder: Path) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {
            "capacity": {"storage": "8Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "",
            "claimRef": {"namespace": NAME, "name": claim},
            "hostPath": {"path": str(folder)},
        },
    }


def _merged(base: Any, changes: Any) -> Any:
    if not isinstance(base, dict) or not isinstance(changes, dict):
        return changes
    return {**base, **{name: _merged(base.get(name), value) for name, value in changes.items()}}
