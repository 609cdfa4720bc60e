"""Pods as the plugin sees them, and the choice among them: the one that most likely answers.

The labels are those that the operator gives to all that it makes, and the chart to the operator.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from alpha_panda.errors import DependencyUnavailableError

NAME: Final = "app.kubernetes.io/name=alpha-panda"
COMPONENT: Final = "app.kubernetes.io/component"
INSTANCE: Final = "app.kubernetes.io/instance"
KIND: Final = "alphapanda.io/kind"

RISK: Final = "risk"
OPERATOR: Final = "operator"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """One pod. `container` is its own container, not one that somebody put beside it; `state` is that container's."""

    name: str
    namespace: str
    component: str
    instance: str
    container: str
    running: bool
    ready: bool
    leaving: bool
    state: str

    @classmethod
    def of(cls, found: Mapping[str, Any]) -> "Pod":
        """Return the pod of an object of the API."""
        metadata, status = found.get("metadata", {}), found.get("status", {})
        labels = metadata.get("labels", {})
        component = labels.get(COMPONENT, "")
        container = _container(found, component)
        own = _status(status, container)
        return cls(
            name=metadata.get("name", ""),
            namespace=metadata.get("namespace", ""),
            component=component,
            instance=labels.get(INSTANCE, ""),
            container=container,
            running="running" in own.get("state", {}),
            ready=bool(own.get("ready")),
            leaving="deletionTimestamp" in metadata,
            state=_state(status, own),
        )

    @property
    def rank(self) -> tuple[bool, bool, str]:
        """Order of choice among pods that run: not about to leave, ready. A pod is unready while Kafka is down, too."""
        return (self.leaving, not self.ready, self.name)


def _container(found: Mapping[str, Any], component: str) -> str:
    """Return the container of the pod's role: of its name, else the first one."""
    names = [item.get("name", "") for item in found.get("spec", {}).get("containers", [])]
    return component if component in names else next(iter(names), "")


def _status(status: Mapping[str, Any], container: str) -> Mapping[str, Any]:
    own = (item for item in status.get("containerStatuses", []) if item.get("name") == container)
    return next(own, {})


def _state(status: Mapping[str, Any], own: Mapping[str, Any]) -> str:
    """Return why it does not run, as `kubectl get pods` would: the container's reason, else the pod's phase."""
    for word in ("waiting", "terminated"):
        reason = own.get("state", {}).get(word, {}).get("reason")
        if reason:
            return str(reason)
    return str(status.get("reason") or status.get("phase") or "unknown")


def best(pods: Iterable[Pod]) -> Pod | None:
    """Return the running pod that is ready, else one that runs; None if none does."""
    return min((pod for pod in pods if pod.running), key=lambda pod: pod.rank, default=None)


def chosen(pods: Sequence[Pod], what: str, remedy: str) -> Pod:
    """Return the best pod; DependencyUnavailableError that says what there is, and the remedy."""
    pod = best(pods)
    if pod is not None:
        return pod
    there = ", ".join(f"{item.name} ({item.state})" for item in pods)
    found = f"none of {what} runs: {there}" if there else f"there is no {what}"
    raise DependencyUnavailableError("kubernetes", f"{found}; {remedy}")
