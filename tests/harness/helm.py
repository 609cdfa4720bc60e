"""The real Helm with one cluster and namespace: runs to an end, refusals as text."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from alpha_panda.errors import DependencyUnavailableError

from .build import find_program
from .cluster import Cluster
from .command import attempt

if TYPE_CHECKING:
    import subprocess

SECONDS: Final = 180.0


@dataclass(frozen=True, slots=True)
class Helm:
    """Call it with Helm's arguments: `helm("list")` returns what it printed."""

    cluster: Cluster
    namespace: str

    def __call__(self, *arguments: str | Path, values: Mapping[str, Any] | None = None) -> str:
        """Run Helm; `values` go into a file that it is given.

        Raises:
            DependencyUnavailableError: it failed; the message has what it said.

        """
        done = self.attempt(*arguments, values=values)
        if done.returncode:
            words = " ".join(str(word) for word in arguments)
            raise DependencyUnavailableError("helm", f"`helm {words}`: {done.stdout}{done.stderr}")
        return done.stdout

    def attempt(
        self, *arguments: str | Path, values: Mapping[str, Any] | None = None
    ) -> "subprocess.CompletedProcess[str]":
        """Run Helm and return how it ended, well or not."""
        own = ["--kubeconfig", self.cluster.kubeconfig, "--namespace", self.namespace]
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(values or {}, file)
            file.flush()
            given = ["--values", file.name] if values is not None else []
            return attempt([find_program("helm"), *arguments, *own, *given], seconds=SECONDS)
