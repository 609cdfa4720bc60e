"""Every word that the operator writes into Kubernetes: groups, labels, annotations, names of children."""

from dataclasses import dataclass
from typing import Final, NamedTuple

GROUP: Final = "alphapanda.io"
VERSION: Final = "v1alpha1"
FIELD_MANAGER: Final = "alpha-panda-operator"
FINALIZER: Final = f"{GROUP}/teardown"

PAUSED: Final = f"{GROUP}/paused"
"""Annotation of a resource, `true`: its children are left alone; trading state and status go on."""
ROLLOUT: Final = f"{GROUP}/rollout"
"""Annotation of a resource, `now`: what an upgrade of the operator changes is not held back any longer."""
START_HASH: Final = f"{GROUP}/start-hash"
"""Annotation of a pod template and its Deployment: hash of what the user says and a pod reads at its start only."""
TEMPLATE_REVISION: Final = f"{GROUP}/template-revision"
"""Annotation of a Deployment: hash of its whole pod template, as the operator that rolled it out made it."""
PINNED_TEMPLATE: Final = f"{GROUP}/pinned-template"
"""Annotation of a Deployment: that template itself (base64 of zlib of JSON), to be held on to after an upgrade."""
APPLIED: Final = f"{GROUP}/applied"
"""Annotation of a child: hash of what was applied last, so that a restarted operator need not apply it again."""
CONFIG_VERSION: Final = f"{GROUP}/config-version"
"""Annotation of a pod: version of its ConfigMap when that last changed under it; makes the kubelet look at once."""
TEARDOWN: Final = f"{GROUP}/teardown"
"""Annotation of a deleted strategy in its accounts' manifests: the policy by which it is taken down."""

KIND_LABEL: Final = f"{GROUP}/kind"
INSTALLATION_LABEL: Final = f"{GROUP}/installation"
NAME_LABEL: Final = "app.kubernetes.io/name"
COMPONENT_LABEL: Final = "app.kubernetes.io/component"
INSTANCE_LABEL: Final = "app.kubernetes.io/instance"
MANAGED_BY_LABEL: Final = "app.kubernetes.io/managed-by"

MARKET_FEED: Final = "MarketFeed"
BROKER_ACCOUNT: Final = "BrokerAccount"
STRATEGY: Final = "Strategy"


class Kind(NamedTuple):
    """One kind of object of the API."""

    api_version: str
    kind: str
    plural: str

    @property
    def group(self) -> str:
        """Group of the API; empty for the core."""
        return self.api_version.rpartition("/")[0]

    @property
    def version(self) -> str:
        """Version of the group."""
        return self.api_version.rpartition("/")[2]


RESOURCES: Final = {
    kind: Kind(f"{GROUP}/{VERSION}", kind, plural)
    for kind, plural in (
        (MARKET_FEED, "marketfeeds"),
        (BROKER_ACCOUNT, "brokeraccounts"),
        (STRATEGY, "strategies"),
    )
}
"""The kinds that users write."""

DEPLOYMENT: Final = Kind("apps/v1", "Deployment", "deployments")
CONFIG_MAP: Final = Kind("v1", "ConfigMap", "configmaps")
SERVICE_ACCOUNT: Final = Kind("v1", "ServiceAccount", "serviceaccounts")
PDB: Final = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
NETWORK_POLICY: Final = Kind("networking.k8s.io/v1", "NetworkPolicy", "networkpolicies")
POD: Final = Kind("v1", "Pod", "pods")
EVENT: Final = Kind("events.k8s.io/v1", "Event", "events")
LEASE: Final = Kind("coordination.k8s.io/v1", "Lease", "leases")

CHILDREN: Final = {kind.kind: kind for kind in (SERVICE_ACCOUNT, CONFIG_MAP, NETWORK_POLICY, PDB, DEPLOYMENT)}
"""What the operator makes, in the order in which it does: a pod finds what it needs."""


@dataclass(frozen=True, slots=True)
class Role:
    """One service as a workload. `singleton`: one pod, and never two at once (Recreate)."""

    name: str
    kind: str
    singleton: bool


ROLES: Final = {
    role.name: role
    for role in (
        Role("market-feed", MARKET_FEED, singleton=True),
        Role("feed-cacher", MARKET_FEED, singleton=False),
        Role("risk", BROKER_ACCOUNT, singleton=True),
        Role("order-tracker", BROKER_ACCOUNT, singleton=True),
        Role("engine", BROKER_ACCOUNT, singleton=False),
        Role("strategy", STRATEGY, singleton=True),
    )
}


def roles_of(kind: str) -> tuple[Role, ...]:
    """Return the workloads of a kind of resource."""
    return tuple(role for role in ROLES.values() if role.kind == kind)


class Key(NamedTuple):
    """One resource: what the queue holds and the cache is searched by."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


def workload_name(resource: str, role: str) -> str:
    """Return the name of a Deployment, and of all that belongs to its pods alone."""
    return f"{resource}-{role}"


_CONFIG_SUFFIX: Final = {MARKET_FEED: "market-feed", BROKER_ACCOUNT: "account", STRATEGY: "strategy"}


def config_map_name(kind: str, resource: str) -> str:
    """Return the name of the ConfigMap with the manifests of a resource's pods."""
    return f"{resource}-{_CONFIG_SUFFIX[kind]}"


def resource_labels(key: Key, installation: str) -> dict[str, str]:
    """Return the labels of everything that is made for a resource."""
    return {
        NAME_LABEL: "alpha-panda",
        INSTANCE_LABEL: key.name,
        MANAGED_BY_LABEL: FIELD_MANAGER,
        KIND_LABEL: key.kind,
        INSTALLATION_LABEL: installation,
    }


def selector_labels(key: Key, role: str) -> dict[str, str]:
    """Return the labels by which a workload's pods are found; a Deployment can't change its own."""
    return {
        NAME_LABEL: "alpha-panda",
        COMPONENT_LABEL: role,
        INSTANCE_LABEL: key.name,
        KIND_LABEL: key.kind,
    }


def children_selector(installation: str) -> str:
    """Return the label selector of all that this installation has made."""
    return f"{MANAGED_BY_LABEL}={FIELD_MANAGER},{INSTALLATION_LABEL}={installation}"
