"""The `kubectl` of the person who types: asked for objects, and started with a terminal or without one.

Words are passed as a list, never through a shell. A request is given up after `ALPHAPANDA_COMMAND_TIMEOUT_SECONDS`;
what was started by `exec` or `logs` ends by itself.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from alpha_panda.errors import DependencyUnavailableError, UserInputError

PROGRAM: Final = "kubectl"
_RIGHTS: Final = "docs/kubernetes/security.md lists the rights that a person needs"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kubectl:
    """One cluster, one namespace; an empty text is kubectl's own choice."""

    kubeconfig: str = ""
    context: str = ""
    namespace: str = ""
    seconds: float

    def objects(self, kind: str, *, selector: str = "", everywhere: bool = False) -> list[Json]:
        """Return the objects that the selector takes, of the namespace or of all of them.

        Raises:
            DependencyUnavailableError: the API server does not answer, or refuses.

        """
        where = ["--all-namespaces"] if everywhere else self._namespaced()
        found = self._get([kind, f"--selector={selector}", *where])
        items = found.get("items", []) if found else []
        return list(items)

    def object(self, kind: str, name: str) -> Json | None:
        """Return one object of the namespace, None if there is none; raises as `objects` does."""
        return self._get([kind, name, "--ignore-not-found", *self._namespaced()])

    def _get(self, words: Sequence[str]) -> Json | None:
        timeout = f"--request-timeout={self.seconds:g}s"
        asked = subprocess.run(  # noqa: S603 - a list of words, kubectl by its path
            [*self._program(), "get", *words, timeout, "--output=json"],
            stdout=subprocess.PIPE,  # stderr stays the person's: a login may ask something there
            check=False,
        )
        if asked.returncode:
            raise DependencyUnavailableError(
                PROGRAM, f"`kubectl get {words[0]}` failed, for the reason above; {_RIGHTS}"
            )
        if not asked.stdout.strip():
            return None
        try:
            found = json.loads(asked.stdout)
        except ValueError:
            raise DependencyUnavailableError(PROGRAM, "what `kubectl get` printed is no JSON") from None
        return found if isinstance(found, dict) else None

    def apply(self, manifest: Json, manager: str) -> None:
        """Apply an object on the server's side, as this manager of its fields; it travels by stdin, never as a word.

        Raises:
            DependencyUnavailableError: the API server does not answer, or refuses.

        """
        where = [f"--request-timeout={self.seconds:g}s", "--server-side", f"--field-manager={manager}"]
        asked = subprocess.run(  # noqa: S603 - as above
            [*self._program(), "apply", *where, "--force-conflicts", "--output=name", "--filename=-"],
            input=json.dumps(manifest).encode(),
            stdout=subprocess.DEVNULL,
            check=False,
        )
        if asked.returncode:
            kind = str(manifest["kind"]).lower()
            raise DependencyUnavailableError(
                PROGRAM, f"`kubectl apply` of a {kind} failed, for the reason above; {_RIGHTS}"
            )

    def annotate(self, kind: str, name: str, note: str) -> bool:
        """Set an annotation (`name=value`) of an object of the namespace; say whether that was done."""
        words = [kind, name, note, "--overwrite", *self._namespaced()]
        asked = subprocess.run(  # noqa: S603 - as above
            [*self._program(), "annotate", *words], stdout=subprocess.DEVNULL, check=False
        )
        return not asked.returncode

    def started(self, words: Sequence[str], *, namespace: str = "") -> "subprocess.Popen[bytes]":
        """Start kubectl with this process's stdin, stdout and stderr."""
        where = [f"--namespace={namespace}"] if namespace else self._namespaced()
        verb, *rest = words
        return subprocess.Popen([*self._program(), verb, *where, *rest])  # noqa: S603 - as above

    def _program(self) -> list[str]:
        path = shutil.which(PROGRAM)
        if path is None:
            raise UserInputError("kubectl is not on the PATH; this command reaches the cluster through it")
        words = [path]
        if self.kubeconfig:
            words.append(f"--kubeconfig={self.kubeconfig}")
        if self.context:
            words.append(f"--context={self.context}")
        return words

    def _namespaced(self) -> list[str]:
        return [f"--namespace={self.namespace}"] if self.namespace else []


def on_terminal() -> bool:
    """Whether a command's terminal can be passed on: all three streams are one. A redirected one stays apart."""
    return all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))
