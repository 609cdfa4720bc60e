"""What `/metrics` tells, in a registry of its own: nothing is counted that is not ours."""

from typing import NamedTuple

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from alpha_panda import __version__
from alpha_panda_operator.names import RESOURCES

PREFIX = "alphapanda_operator_"


class Family(NamedTuple):
    """What the reference page says of one metric; `name` as Prometheus has it."""

    name: str
    kind: str
    help: str
    labels: tuple[str, ...]


class Metrics:
    """All figures of the operator; names begin with `alphapanda_operator_`."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.families: list[Family] = []
        self.reconciles = self._counter("reconciles", "Reconciles of resources.", "kind", "result")
        for kind in RESOURCES:  # Prometheus sees no increase in a counter that begins at 1
            for result in ("done", "failed", "crashed"):
                self.reconciles.labels(kind, result)
        self.seconds = self._histogram("reconcile_seconds", "How long one reconcile took.", "kind")
        self.failing = self._gauge(
            "failing_resources", "Resources whose reconcile has failed three times in a row or more.", "kind"
        )
        self.depth = self._gauge("queue_depth", "Resources that are due and wait for a worker.")
        self.age = self._gauge("queue_age_seconds", "How long the longest waiting of them has been due.")
        self.watch_lag = self._gauge(
            "watch_lag_seconds", "How long a version that a listing has shown has been unknown to the watch."
        )
        self.watch_age = self._gauge(
            "watch_event_age_seconds", "Time since the watches last brought anything."
        )
        self.requests = self._counter(
            "api_requests", "Requests to the API server.", "verb", "resource", "code"
        )
        self.applies = self._counter("applies", "Server-side applies of children.", "kind")
        self.events = self._counter("events", "Events written for people.", "reason")
        self.leader = self._gauge("leader", "1 while this replica leads.")
        self.control_writes = self._counter("control_writes", "Trading states written.", "result")
        self.control_age = self._gauge(
            "control_age_seconds", "Time since all trading states were last renewed."
        )
        self.resources = self._gauge("resources", "Resources known.", "kind")
        info = self._gauge("info", "Version of the operator.", "version")
        info.labels(__version__).set(1)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        self.families.append(Family(f"{PREFIX}{name}_total", "counter", text, labels))
        return Counter(f"{PREFIX}{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        self.families.append(Family(f"{PREFIX}{name}", "gauge", text, labels))
        return Gauge(f"{PREFIX}{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        self.families.append(Family(f"{PREFIX}{name}", "histogram", text, labels))
        return Histogram(f"{PREFIX}{name}", text, labels, registry=self.registry)

    def text(self) -> bytes:
        """Return the exposition that Prometheus reads."""
        return generate_latest(self.registry)
