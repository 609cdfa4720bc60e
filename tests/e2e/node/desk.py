"""A namespace in which resources trade, as a person with kubectl sees it."""

import json
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from alpha_panda.errors import DependencyUnavailableError
from e2e.node.installation import ROOT, Installation
from e2e.node.tape import Tape
from harness.kubectl import Kubectl
from harness.resources import release

SECONDS: Final = 90.0
ROLES: Final = ("market-feed", "feed-cacher", "strategy", "risk", "engine", "order-tracker")
EXAMPLE: Final = ROOT / "examples" / "01-paper-momentum"
BUSY: Final = Path(__file__).parent / "manifests" / "busy.yaml"

HOPELESS: Final = 4
"""Restarts of a container that no test causes."""

LOOK: Final = 1.0
"""Seconds between two looks for such a container, while something else is waited for."""

READY: Final = {
    "marketfeeds": ("Accepted", "Ready", "FeedFresh"),
    "brokeraccounts": ("Accepted", "Ready", "Reconciled", "TradingAllowed"),
    "strategies": ("Accepted", "Ready", "StrategyRunning", "TradingAllowed"),
}
"""Conditions that are True when all is well."""


@dataclass
class Desk:
    """One namespace. Tapes of its accounts are read while the test lasts."""

    installation: Installation
    namespace: str
    stack: ExitStack = field(default_factory=ExitStack)

    @property
    def kubectl(self) -> Kubectl:
        """Within the namespace."""
        return self.installation.cluster.kubectl.within(self.namespace)

    def tape(self, account: str = "paper") -> Tape:
        """Begin to read what an account's topics tell; they must be there."""
        made = Tape(self.installation.kafka_port, self.installation.redis_port, f"{self.namespace}.", account)
        return self.stack.enter_context(made)

    def follow(self) -> Tape:
        """Begin to read; return when what is read is of now, whatever the desk has done before."""
        began, tape = time.time(), self.tape()
        self.wait_until(lambda: tape.last_call() > began, "an order that is sent now")
        return tape

    # ---------------------------------------------------------------------------------------- resources

    def apply(self, path: Path) -> None:
        """`kubectl apply` of a file or a folder."""
        self.kubectl("apply", "-f", str(path))

    def trades(self, seconds: float = SECONDS) -> None:
        """Wait until every resource says that all is well."""
        for kind, types in READY.items():
            for item in self.kubectl.list(kind):
                for type_ in types:
                    self.expect(kind, item["metadata"]["name"], type_, "True", seconds=seconds)

    def condition(self, kind: str, name: str, type_: str) -> Mapping[str, Any]:
        """Return a condition of a resource; empty if it has none of this type."""
        found = self.kubectl.get(kind, name).get("status", {}).get("conditions", [])
        return next((item for item in found if item["type"] == type_), {})

    def expect(  # noqa: PLR0917 - what is expected, and for how long
        self, kind: str, name: str, type_: str, status: str, reason: str = "", seconds: float = SECONDS
    ) -> float:
        """Wait for a condition; return how long it took (seconds)."""
        began = time.monotonic()

        def holds() -> bool:
            seen = self.condition(kind, name, type_)
            return seen.get("status") == status and reason in ("", seen.get("reason"))

        try:
            self.wait_until(holds, f"{kind}/{name} {type_}={status} {reason}", seconds)
        except Exception as error:
            error.add_note(f"it has: {self.kubectl.get(kind, name).get('status')}")
            raise
        return time.monotonic() - began

    def patch(self, kind: str, name: str, spec: Mapping[str, Any]) -> None:
        """Change fields of a spec, as `kubectl patch` does."""
        self.kubectl("patch", kind, name, "--type=merge", f"--patch={json.dumps({'spec': spec})}")

    def close(self) -> None:
        """Stop reading, and take everything away at once: how resources end is what tests of their own look at.

        Nothing is left to the operator, and no pod is asked to end: eight that drain would be waited for after each test,
        or slow the next one down.
        """
        self.stack.close()
        self.installation.cluster.kubectl("delete", "namespace", self.namespace, "--wait=false")
        self.kubectl("delete", "pods", "--all", "--grace-period=0", "--force", "--wait=false")
        release(self.kubectl)

    # --------------------------------------------------------------------------------------------- pods

    def pods(self, role: str = "") -> list[dict[str, Any]]:
        """Return the pods, of a role if one is named, that are not about to go."""
        selector = "app.kubernetes.io/name=alpha-panda" + (
            f",app.kubernetes.io/component={role}" if role else ""
        )
        found = self.kubectl.list("pods", f"--selector={selector}")
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def uids(self, role: str = "") -> dict[str, str]:
        """Return the pods' uids by name, with their containers' restarts."""
        return {
            pod["metadata"]["name"]: f"{pod['metadata']['uid']} {_restarts(pod)}" for pod in self.pods(role)
        }

    def wait_until(self, holds: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
        """Wait; the error says how the cluster is. A pod that crashes again and again ends the wait."""

        next_look = time.monotonic()

        def looked() -> bool:
            nonlocal next_look
            if time.monotonic() >= next_look:
                next_look = time.monotonic() + LOOK
                self._must_not_crash(what)
            return holds()

        self.installation.wait_until(looked, what, seconds)

    def _must_not_crash(self, what: str) -> None:
        hopeless = [pod["metadata"]["name"] for pod in self.pods() if _restarts(pod) >= HOPELESS]
        if hopeless:
            log = self.kubectl("logs", hopeless[0], "--previous", "--tail=20")
            raise DependencyUnavailableError("test cluster", f"{what}: {hopeless} crash:\n{log}")


def _restarts(pod: Mapping[str, Any]) -> int:
    return sum(item["restartCount"] for item in pod["status"].get("containerStatuses", []))
