"""A cluster as its users see it: a kubeconfig, whoever runs it. Plain data, so that another process can be told of it."""

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, Self

from alpha_panda.errors import MisuseError

from .build import find_program
from .credentials import write_kubeconfig
from .kubectl import Kubectl

KUBECONFIG_VARIABLE: Final = "ALPHAPANDA_TEST_KUBECONFIG"
"""Names the kubeconfig of a cluster to test against instead of starting one. Never taken from KUBECONFIG."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """An API server's address and what an administrator of it needs.

    `containerd`: the socket of its node, where it has one of ours. `folder`: logs of its processes and kubeconfigs.
    `simulated`: whether pods are only pretended to run (kwok). `init`: process 1 of the node, as the host counts.
    """

    kubeconfig: str
    folder: str
    url: str = ""
    token: str = ""
    authority: str = ""
    containerd: str = ""
    init: int = 0
    simulated: bool = False

    @classmethod
    def from_environment(cls, folder: Path) -> "Cluster | None":
        """Return the cluster that the environment names by ALPHAPANDA_TEST_KUBECONFIG, if any."""
        given = os.environ.get(KUBECONFIG_VARIABLE)
        return cls(given, str(folder)) if given else None

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what `write` wrote."""
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    def write(self, path: Path) -> None:
        """Write it for another process; the file appears whole."""
        fresh = path.with_suffix(".new")
        fresh.touch(mode=0o600)
        fresh.write_text(json.dumps(asdict(self)), encoding="utf-8")
        fresh.rename(path)

    @property
    def kubectl(self) -> Kubectl:
        """The administrator's kubectl."""
        return Kubectl(find_program("kubectl"), Path(self.kubeconfig))

    def service_account_kubeconfig(self, namespace: str, name: str) -> Path:
        """Return a kubeconfig with exactly a service account's rights, for an hour."""
        if not self.authority:
            raise MisuseError(f"the cluster of {KUBECONFIG_VARIABLE} has no address of ours to log in at")
        token = self.kubectl.within(namespace)("create", "token", name, "--duration=1h").strip()
        path = Path(self.folder) / f"{namespace}-{name}.kubeconfig"
        return write_kubeconfig(path, url=self.url, authority=Path(self.authority), token=token)
