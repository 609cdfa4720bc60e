"""The operator as a real process against a real API server, and what tests ask of both."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from harness.cluster import Cluster
from harness.command import wait_until
from harness.kubectl import Kubectl

if TYPE_CHECKING:
    import redis

from alpha_panda.contracts.enums import TradingState
from alpha_panda.testing.servers.ports import free_ports
from alpha_panda_operator.names import INSTALLATION_LABEL

ROOT: Final = Path(__file__).parents[2]
SECONDS: Final = 60.0
"""How long anything may take that takes a second when the machine is idle."""

QUICK: Final[Mapping[str, Any]] = {
    "image": {"repository": "alpha-panda", "tag": "test"},
    "controlTtlSeconds": 6,
    "controlRenewSeconds": 1,
    "statusSeconds": 1,
    "codePollSeconds": 1,
    "resyncSeconds": 5,
    "teardownSeconds": 20,
    "teardownSettleSeconds": 0,
    "leader": {"leaseSeconds": 4, "renewSeconds": 1, "giveUpSeconds": 3, "callTimeoutSeconds": 1},
    "env": {"ALPHAPANDA_SEND_WITHIN_SECONDS": "0.1"},
}
"""A configuration in which a test need not wait for anything."""


@dataclass
class OperatorProcess:
    """One replica. Its log is a file in `folder`; `home` is its own namespace."""

    kubeconfig: Path
    home: str
    redis_url: str
    folder: Path
    config: Mapping[str, Any] = field(default_factory=dict)
    name: str = "one"
    port: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    _process: "subprocess.Popen[bytes] | None" = None

    def start(self) -> "OperatorProcess":
        """Start it; it need not lead yet."""
        self.port = self.port or free_ports(1)[0]
        config = self.folder / f"{self.name}.yaml"
        config.write_text(yaml.safe_dump({**QUICK, **self.config, "healthPort": self.port}), encoding="utf-8")
        environment = {name: text for name, text in os.environ.items() if not name.startswith("ALPHAPANDA_")}
        environment |= {
            "KUBECONFIG": str(self.kubeconfig),
            "PYTHONPATH": ":".join(
                filter(None, (os.environ.get("PYTHONPATH"), f"{ROOT / 'services'}:{ROOT / 'operator'}"))
            ),
            "ALPHAPANDA_OPERATOR_CONFIG": str(config),
            "ALPHAPANDA_OPERATOR_NAMESPACE": self.home,
            "ALPHAPANDA_OPERATOR_NAME": self.name,
            "ALPHAPANDA_REDIS_URL": self.redis_url,
            "ALPHAPANDA_HEALTH_HOST": "127.0.0.1",
            **self.environment,
        }
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "alpha_panda_operator"],
                env=environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
            )
        return self

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        """The running process."""
        assert self._process is not None
        return self._process

    @property
    def log_file(self) -> Path:
        """Where it logs."""
        return self.folder / f"{self.name}.log"

    def log(self) -> str:
        """What it has logged."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def tail(self) -> str:
        """The end of that, for messages."""
        return f"exit code {self.process.poll()}\n{self.log()[-4000:]}"

    def started(self) -> "OperatorProcess":
        """Start it and wait until it leads."""
        self.start()
        self.until(lambda: self.metric("alphapanda_operator_leader") == 1, "the operator leads")
        return self

    def until(self, holds: Callable[[], bool], what: str, seconds: float = SECONDS) -> None:
        """Wait, and show the log's end if it takes too long."""
        wait_until(holds, what, seconds, self.tail)

    def metric(self, name: str) -> float | None:
        """Return the sum of a metric's samples; None while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
                text = answer.read().decode()
        except (OSError, urllib.error.URLError):
            return None
        values = [
            float(line.rpartition(" ")[2])
            for line in text.splitlines()
            if line.startswith((f"{name} ", f"{name}{{"))
        ]
        return sum(values) if values else None

    def probe(self, path: str) -> tuple[int, str]:
        """Ask a probe; 0 while it does not answer."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
            raise

    def close(self) -> None:
        """End it in any case."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.terminate()
            try:
                self._process.wait(20)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)


@dataclass(frozen=True)
class Desk:
    """A namespace with an operator on it: kubectl, the operator, its Redis."""

    cluster: Cluster
    namespace: str
    operator: OperatorProcess
    store: "redis.Redis"
    installation: str = "alpha-panda"

    @property
    def kubectl(self) -> Kubectl:
        """The administrator's kubectl in the namespace."""
        return self.cluster.kubectl.within(self.namespace)

    def apply(self, *resources: Mapping[str, Any]) -> None:
        """Apply resources as a user of this installation does."""
        self.kubectl.apply(*map(self._labelled, resources))

    def _labelled(self, resource: Mapping[str, Any]) -> dict[str, Any]:
        metadata = dict(resource["metadata"])
        made = {"name": metadata["name"], "labels": {INSTALLATION_LABEL: self.installation}}
        made |= {name: metadata[name] for name in ("annotations",) if name in metadata}
        kept = {name: resource[name] for name in ("apiVersion", "kind", "spec")}
        return {**kept, "metadata": made}

    def condition(self, kind: str, name: str, type_: str) -> dict[str, Any]:
        """Return a condition; empty while there is none."""
        conditions = (self.kubectl.find(kind, name).get("status") or {}).get("conditions", [])
        return next((item for item in conditions if item["type"] == type_), {})

    def expect(  # noqa: PLR0917 - a condition's parts, in their order
        self, kind: str, name: str, type_: str, status: str, reason: str, words: str = ""
    ) -> str:
        """Wait for a condition of the present generation; return its message."""

        told: list[str] = []

        def holds() -> bool:
            found = self.condition(kind, name, type_)
            told[:] = [str(found.get("message", ""))]
            generation = self.kubectl.get(kind, name)["metadata"]["generation"]
            return (
                (found.get("status"), found.get("reason")) == (status, reason)
                and found["observedGeneration"] == generation
                and words in found["message"]
            )

        try:
            self.operator.until(holds, f"{kind}/{name}: {type_}={status} {reason} {words!r}")
        except Exception as error:
            raise AssertionError(f"{error}\nis: {self.condition(kind, name, type_)}") from error
        return told[0]

    def spec_state(self, scope: str) -> str | None:
        """Return the trading state that is written for a scope; None if none is or it has run out."""
        prefix = f"{self.installation}:" if scope == "platform" else f"{self.namespace}."
        return self._state(f"{prefix}control:{scope}:spec")

    def _state(self, key: str) -> str | None:
        found: dict[bytes, bytes] = self.store.hgetall(key)  # type: ignore[assignment]
        return found[b"state"].decode() if found and int(found[b"expires_us"]) > time.time() * 1e6 else None

    def until_state(self, scope: str, state: TradingState) -> float:
        """Wait until a scope's key says so; return how long that took."""
        began = time.monotonic()
        self.operator.until(lambda: self.spec_state(scope) == state.value, f"{scope} is {state.value}")
        return time.monotonic() - began

    def until_there(self, kind: str, name: str) -> dict[str, Any]:
        """Wait for an object."""
        self.operator.until(lambda: self.kubectl.exists(kind, name), f"{kind}/{name} is there")
        return self.kubectl.get(kind, name)

    def until_gone(self, kind: str, name: str) -> None:
        """Wait until an object is gone."""
        self.operator.until(lambda: not self.kubectl.exists(kind, name), f"{kind}/{name} is gone")
