"""What all objects of one workload are made from, and the part of it that restarts pods."""

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any, Final

from alpha_panda_operator.builders.broker import Login
from alpha_panda_operator.config import OperatorConfig
from alpha_panda_operator.names import (
    BROKER_ACCOUNT,
    COMPONENT_LABEL,
    MARKET_FEED,
    RESOURCES,
    STRATEGY,
    Key,
    Role,
    resource_labels,
    roles_of,
    workload_name,
)
from alpha_panda_operator.view import ResourceView, digest

LIVE: Final[Mapping[str, tuple[str, ...]]] = {
    MARKET_FEED: ("feedCacher",),
    BROKER_ACCOUNT: (
        "tradingState",
        "clearLatch",
        "risk",
        "acceptStrategies",
        "orderTypes",
        "validities",
        "productCutOff",
        "engine",
    ),
    STRATEGY: ("tradingState", "clearLatch", "risk", "deletionPolicy"),
}
"""Fields of a spec that pods read again while they run, or that only scale: no change of them restarts anything."""


@dataclass(frozen=True, slots=True)
class Workload:
    """One role of one resource. `login`: at a broker, where the resource has one."""

    view: ResourceView
    role: Role
    config: OperatorConfig
    replicas: int
    start_hash: str
    login: Login | None = None

    @property
    def key(self) -> Key:
        """The resource."""
        return self.view.key

    @property
    def name(self) -> str:
        """Name of the Deployment and of all that is this workload's alone."""
        return workload_name(self.key.name, self.role.name)

    @property
    def labels(self) -> dict[str, str]:
        """Labels of its objects."""
        return {**resource_labels(self.key, self.config.installation), COMPONENT_LABEL: self.role.name}


def start_hash(view: ResourceView, code_hash: str = "", login: Login | None = None) -> str:
    """Return a hash of what the user says and pods read at their start only; a new resource has another.

    `login`: of a feed, by another resource's word; what an account says of its own is in its spec.
    """
    kept = {name: value for name, value in view.spec.items() if name not in LIVE[view.key.kind]}
    others = [astuple(login)] if login is not None and view.key.kind == MARKET_FEED else []
    return digest([view.uid, kept, code_hash, *others])


def workloads(
    view: ResourceView, config: OperatorConfig, code_hash: str = "", login: Login | None = None
) -> tuple[Workload, ...]:
    """Return the workloads of a resource. `code_hash`: of the user's ConfigMap, where it names one."""
    own = start_hash(view, code_hash, login)
    return tuple(
        Workload(view, role, config, replicas_of(view, role, config), own, login)
        for role in roles_of(view.key.kind)
    )


_SCALED: Final = {"feed-cacher": ("feedCacher", 1), "engine": ("engine", 2)}
"""Where the manifest says how many pods a role has, and how many without."""


def replicas_of(view: ResourceView, role: Role, config: OperatorConfig) -> int:
    """Return how many pods a role has: what the manifest says, else the configuration, else the usual."""
    if role.singleton:
        return 1
    field, usual = _SCALED[role.name]
    block = view.spec.get(field)
    told = block.get("replicas") if isinstance(block, Mapping) else None
    if isinstance(told, int) and not isinstance(told, bool):
        return told
    return config.role(role.name).replicas or usual


def metadata(
    view: ResourceView, name: str, labels: Mapping[str, str], annotations: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return a child's metadata: it goes when the resource goes."""
    owner = {
        "apiVersion": RESOURCES[view.key.kind].api_version,
        "kind": view.key.kind,
        "name": view.key.name,
        "uid": view.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    made: dict[str, Any] = {
        "name": name,
        "namespace": view.key.namespace,
        "labels": dict(labels),
        "ownerReferences": [owner],
    }
    if annotations:
        made["annotations"] = dict(annotations)
    return made
