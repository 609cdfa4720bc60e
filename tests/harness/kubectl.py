"""The real kubectl with one kubeconfig: runs to an end, answers parsed, refusals as text."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from alpha_panda.errors import DependencyUnavailableError, MisuseError

from .command import attempt
from .reading import read

SECONDS: Final = 60.0
"""How long a command may take unless told otherwise; a loaded machine needs seconds for what takes 0.1 s idle."""

Manifest = Mapping[str, Any] | str
"""An object, or YAML text with any number of them."""


@dataclass(frozen=True, slots=True)
class Kubectl:
    """Call it with kubectl's arguments: `kubectl("get", "pods")` returns what it printed."""

    program: Path
    kubeconfig: Path
    namespace: str = ""
    options: tuple[str, ...] = ()

    def __call__(self, *arguments: str, stdin: str = "", seconds: float = SECONDS) -> str:
        """Run kubectl.

        Raises:
            DependencyUnavailableError: it failed; the message has what it said.

        """
        code, out, err = self._run(arguments, stdin, seconds)
        if code:
            raise DependencyUnavailableError(
                "kubectl", f"`kubectl {' '.join(arguments)}`: {err.strip() or out}"
            )
        return out

    def refused(self, *arguments: str, stdin: str = "", seconds: float = SECONDS) -> str:
        """Run a command that must fail, and return what it said.

        Raises:
            MisuseError: it did not fail.

        """
        code, out, err = self._run(arguments, stdin, seconds)
        if code == 0:
            raise MisuseError(f"`kubectl {' '.join(arguments)}` was not refused: {out}")
        return err.strip()

    def within(self, namespace: str) -> "Kubectl":
        """The same for another default namespace."""
        return replace(self, namespace=namespace)

    def acting_as(self, user: str, *groups: str) -> "Kubectl":
        """The same with another user's rights: `system:serviceaccount:NAMESPACE:NAME`, say."""
        return replace(self, options=(f"--as={user}", *(f"--as-group={group}" for group in groups)))

    def apply(self, *manifests: Manifest, server_side: bool = False, dry_run: bool = False) -> str:
        """Apply objects as a user does; `server_side` for CRDs that are too long for the annotation of the other way."""
        return self(*_apply_words(server_side=server_side, dry_run=dry_run), stdin=as_text(*manifests))

    def refused_apply(self, *manifests: Manifest, server_side: bool = False, dry_run: bool = False) -> str:
        """Apply objects that must be refused; return what a user reads."""
        return self.refused(
            *_apply_words(server_side=server_side, dry_run=dry_run), stdin=as_text(*manifests)
        )

    def get(self, kind: str, name: str) -> dict[str, Any]:
        """Return one object.

        Raises:
            DependencyUnavailableError: there is none, or it can't be read.

        """
        return self._read(kind, name) or json.loads(self("get", kind, name, "--output=json"))

    def find(self, kind: str, name: str) -> dict[str, Any]:
        """Return one object, empty if there is none."""
        found = self._read(kind, name)
        if found is None:
            found = json.loads(self("get", kind, name, "--ignore-not-found", "--output=json") or "{}")
        return found

    def list(self, kind: str, *arguments: str) -> list[dict[str, Any]]:
        """Return all objects of a kind; further arguments as kubectl takes them (`--selector=…`)."""
        found = self._read(kind, "", *arguments) or json.loads(self("get", kind, *arguments, "--output=json"))
        items: list[dict[str, Any]] = found["items"]
        return items

    def exists(self, kind: str, name: str) -> bool:
        """Whether there is such an object."""
        found = self._read(kind, name)
        if found is None:
            return bool(self("get", kind, name, "--ignore-not-found", "--output=name").strip())
        return bool(found)

    def _read(self, kind: str, name: str, *arguments: str) -> dict[str, Any] | None:
        return None if self.options else read(self.kubeconfig, self.namespace, kind, name, *arguments)

    def _run(self, arguments: tuple[str, ...], stdin: str, seconds: float) -> tuple[int, str, str]:
        own = (
            f"--kubeconfig={self.kubeconfig}",
            # Its own: another cluster of the same address would find our kinds in the user's.
            f"--cache-dir={self.kubeconfig.parent / 'kubectl-cache'}",
            *([f"--namespace={self.namespace}"] if self.namespace else []),
        )
        done = attempt([self.program, *own, *self.options, *arguments], stdin=stdin, seconds=seconds)
        return done.returncode, done.stdout, done.stderr


def _apply_words(*, server_side: bool, dry_run: bool) -> tuple[str, ...]:
    side = ("--server-side", "--force-conflicts") if server_side else ()
    return ("apply", *side, *(("--dry-run=server",) if dry_run else ()), "-f", "-")


def as_text(*manifests: Manifest) -> str:
    """Return manifests as one text that kubectl reads (JSON is YAML)."""
    return "\n---\n".join(one if isinstance(one, str) else json.dumps(one) for one in manifests)
