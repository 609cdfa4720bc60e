"""Every right that the operator needs in Kubernetes, and what for. The chart's roles are made from this table.

Nothing on Secrets, CustomResourceDefinitions, Namespaces or Nodes. `WATCHED` is needed where resources are served: in a
ClusterRole, or with `watchNamespaces` in a Role of each of these namespaces. `HOME` is needed in the operator's own
namespace alone.
"""

from dataclasses import dataclass
from typing import Any, Final

from alpha_panda_operator.names import GROUP, RESOURCES


@dataclass(frozen=True, slots=True)
class Right:
    """Verbs on resources of one group. `names`: on objects of these names alone (`{…}`: from the configuration)."""

    group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]
    why: str
    names: tuple[str, ...] = ()

    def rule(self) -> dict[str, Any]:
        """Return it as a rule of a Role."""
        made: dict[str, Any] = {
            "apiGroups": [self.group],
            "resources": list(self.resources),
            "verbs": list(self.verbs),
        }
        if self.names:
            made["resourceNames"] = list(self.names)
        return made


_PLURALS: Final = tuple(kind.plural for kind in RESOURCES.values())

WATCHED: Final = (
    Right(
        GROUP,
        _PLURALS,
        ("list", "watch"),
        "know what is asked for; fresh reads before control keys are renewed",
    ),
    Right(GROUP, _PLURALS, ("patch",), "set and remove the finalizer"),
    Right(GROUP, tuple(f"{name}/status" for name in _PLURALS), ("patch",), "write the status"),
    Right(
        GROUP,
        tuple(f"{name}/finalizers" for name in _PLURALS),
        ("update",),
        "name an owner whose deletion waits for its children (admission plugin OwnerReferencesPermissionEnforcement)",
    ),
    Right(
        "apps",
        ("deployments",),
        ("list", "watch", "get", "create", "patch", "delete"),
        "run the pods; see them changed; read a pinned template; scale to zero; take away what is not wanted",
    ),
    Right(
        "",
        ("configmaps", "serviceaccounts"),
        ("list", "watch", "get", "create", "patch", "delete"),
        "give pods their manifests and their own names; read users' code and replay files by version",
    ),
    Right(
        "policy",
        ("poddisruptionbudgets",),
        ("list", "watch", "get", "create", "patch", "delete"),
        "keep one engine during a drain",
    ),
    Right(
        "networking.k8s.io",
        ("networkpolicies",),
        ("list", "watch", "get", "create", "patch", "delete"),
        "keep pods from talking to anybody else",
    ),
    Right(
        "",
        ("pods",),
        ("list", "watch", "patch"),
        "say why a pod does not run; by an annotation, have the kubelet bring changed manifests into it at once",
    ),
    Right("events.k8s.io", ("events",), ("create",), "tell people what happened"),
)
"""`get` on children: whether one that is to be made exists and is somebody else's."""

HOME: Final = (
    Right("coordination.k8s.io", ("leases",), ("create",), "the first replica makes the Lease"),
    Right(
        "coordination.k8s.io",
        ("leases",),
        ("get", "update"),
        "one replica leads",
        ("{leader.leaseName}",),
    ),
    Right(
        "",
        ("configmaps",),
        ("get", "watch"),
        "the platform-wide halt",
        ("{platformConfigMap}",),
    ),
)
