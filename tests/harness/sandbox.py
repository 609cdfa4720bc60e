"""Namespaces for a test node: processes, mounts and network of its own, gone when its process 1 is killed.

The host reaches the node, its pods and services by routes over a pair of interfaces; from inside nothing leads out.
"""

import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self

from alpha_panda.errors import DependencyUnavailableError
from alpha_panda.testing.servers.process import ServerProcess

from .build import find_program
from .command import run, wait_until
from .control_plane import Place
from .leftovers import Lease, group_folders, remove_groups, started

NEEDED: Final = {
    "containerd": "containerd",
    "runc": "runc",
    "ip": "iproute2",
    "iptables": "iptables",
    "conntrack": "conntrack",
    "socat": "socat",
    "ethtool": "ethtool",
    "unshare": "util-linux",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
}
"""What a node needs by the Debian package that has it."""

START_SECONDS: Final = 30.0
COMMAND_SECONDS: Final = 20.0
PLENTY: Final = 6
"""GiB of free memory from which on images are kept in it: the project's, Kafka and Redis take 1.5."""

PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def why_not() -> str:
    """Return why no node can run on this machine; "" if one can."""
    if sys.platform != "linux":
        return "a real node needs Linux"
    if os.geteuid() != 0:
        return "a real node needs root (namespaces, containerd)"
    missing = sorted(package for name, package in NEEDED.items() if shutil.which(name) is None)
    return f"not installed: {' '.join(missing)}; run tools/install-cluster-tools" if missing else ""


class Sandbox:
    """Namespaces with a network: `address` inside, `gateway` outside.

    Addresses are of 198.18.0.0/15, which is set aside for tests of networks (RFC 2544).

    Raises (on enter):
        DependencyUnavailableError: this machine can't have one; the message says why.

    """

    def __init__(self) -> None:
        self.folder = Path()
        self.init = 0
        """Process 1 of the namespaces, as the host counts."""
        self._lease: Lease | None = None
        self._process: ServerProcess | None = None

    @property
    def number(self) -> int:
        """Which of the machine's sandboxes it is."""
        return self._held.number

    @property
    def address(self) -> str:
        """The node's."""
        return f"198.18.{self.number}.2"

    @property
    def gateway(self) -> str:
        """The host's, as the node sees it."""
        return f"198.18.{self.number}.1"

    @property
    def place(self) -> Place:
        """Where a control plane of the node runs: in its network and mounts."""
        prefix = (
            "nsenter",
            f"--target={self.init}",
            "--mount",
            "--net",
            "--",
            *self._clean("--pdeathsig=KILL"),
        )
        return Place(
            self.address,
            prefix,
            services=f"198.19.{self.number}.0/24",
            pods=f"198.18.{64 + self.number}.0/24",
        )

    @property
    def name_server(self) -> str:
        """The address of the cluster's DNS Service."""
        return f"198.19.{self.number}.10"

    @property
    def inside(self) -> tuple[str, ...]:
        """The words that start a command in all namespaces and the control groups of the node, without environment."""
        join = 'for f in /sys/fs/cgroup/*/cgroup.procs; do echo 0 >"$f" || true; done; exec "$@"'
        enter = (
            "nsenter",
            f"--target={self.init}",
            "--mount",
            "--net",
            "--pid",
            "--cgroup",
            "--uts",
            "--ipc",
            "--",
        )
        return (*enter, *self._clean("--pdeathsig=KILL"), "sh", "-c", join, "sh")

    def __enter__(self) -> Self:
        if reason := why_not():
            raise DependencyUnavailableError("test node", reason)
        try:
            self._start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Kill process 1, and with it all that is inside; delete the folder."""
        if self._process is not None:
            self._process.kill()
            self._process = None
        if self._lease is not None:
            remove_groups(self._lease.group)
            self._lease.clear()
            self._lease.release()
            self._lease = None

    @property
    def _held(self) -> Lease:
        if self._lease is None:
            raise DependencyUnavailableError("test node", "its sandbox was not entered")
        return self._lease

    def _clean(self, *setpriv: str) -> tuple[str, ...]:
        return ("setpriv", *setpriv, "env", "-i", f"PATH={PATH}", f"HOME={self.folder}")

    def _start(self) -> None:
        self._lease = Lease.take()
        self.folder = Path(tempfile.mkdtemp(prefix="alpha-panda-node-"))
        self.folder.chmod(0o755)  # pods of any user read what is mounted from here
        self._lease.note(folder=str(self.folder))
        groups = _make_groups(self._lease.group)
        self._process = ServerProcess(self._command(groups), self.folder / "sandbox.log")
        wait_until(self._found_init, "process 1 of the node", START_SECONDS, self._process.tail)
        self._lease.note(folder=str(self.folder), pid=self.init, started=started(self.init))
        self._connect()

    def _command(self, groups: Sequence[Path]) -> list[str]:
        """The control groups first: the namespace of control groups begins where its first process is."""
        joins = "".join(f"echo 0 >{group}/cgroup.procs; " for group in groups)
        script = Path(__file__).with_name("sandbox.sh")
        flags = (
            "--pid --fork --kill-child --mount --mount-proc --propagation private --net --uts --ipc --cgroup"
        )
        inner = f'exec unshare {flags} -- sh {script} "$@"'
        arguments = (str(self.folder), self.address, str(find_program("pause")), str(PLENTY))
        return [*self._clean("--pdeathsig=KILL"), "sh", "-ec", joins + inner, "sh", *arguments]

    def _found_init(self) -> bool:
        assert self._process is not None
        if not self._process.running:
            raise DependencyUnavailableError(
                "test node", f"its namespaces can't be made:\n{self._process.tail()}"
            )
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        self.init = int(children[0]) if children and (self.folder / "inside").exists() else 0
        return self.init != 0

    def _connect(self) -> None:
        """A cable between host and node: the other end goes with the node's network."""
        outside = f"ap-node{self.number}"
        _ip("link", "add", outside, "type", "veth", "peer", "name", "eth0", "netns", str(self.init))
        _ip("address", "add", f"{self.gateway}/24", "dev", outside)
        _ip("link", "set", outside, "up")
        self.run("ip", "address", "add", f"{self.address}/24", "dev", "eth0")
        self.run("ip", "link", "set", "eth0", "up")
        self.run(
            "ip", "route", "add", "default", "via", self.gateway
        )  # without one the kubelet finds no address
        for network in (self.place.services, self.place.pods):
            _ip("route", "add", network, "via", self.address)

    def run(self, *command: str, seconds: float = COMMAND_SECONDS) -> str:
        """Run a command inside to its end; return what it printed."""
        return run([*self.inside, *command], seconds=seconds)


def _make_groups(name: str) -> list[Path]:
    made = []
    for folder in group_folders(name):
        folder.mkdir(exist_ok=True)
        for setting in (
            "cpuset.cpus",
            "cpuset.mems",
        ):  # version 1: empty at first, and then nothing can be in it
            if (folder / setting).exists() and (folder / "tasks").exists():
                (folder / setting).write_text((folder.parent / setting).read_text())
        if (folder / "memory.use_hierarchy").exists():
            with contextlib.suppress(OSError):
                (folder / "memory.use_hierarchy").write_text("1")
        made.append(folder)
    return made


def _ip(*arguments: str) -> None:
    run(["ip", *arguments], seconds=COMMAND_SECONDS)
