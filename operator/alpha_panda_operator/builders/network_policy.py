"""Whom a workload's pods may talk to: Kafka, Redis, DNS and telemetry; the broker where the role needs it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from alpha_panda_operator.builders.broker import POSTBACKS, ROLES, takes_postbacks
from alpha_panda_operator.builders.workload import Workload, metadata
from alpha_panda_operator.names import selector_labels

NOT_PUBLIC: Final = {
    "0.0.0.0/0": ["10.0.0.0/8", "100.64.0.0/10", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"],
    "::/0": ["fc00::/7", "fe80::/10"],
}
"""All addresses, and which of them are somebody's own network, a carrier's, or a node's metadata."""

PUBLIC_HTTPS: Final[tuple[Mapping[str, Any], ...]] = (
    {
        "to": [{"ipBlock": {"cidr": cidr, "except": kept}} for cidr, kept in NOT_PUBLIC.items()],
        "ports": [{"protocol": "TCP", "port": 443}],
    },
)
"""Where a broker is, unless the installation says better: policies know no names, and addresses of a broker change."""

HEALTH: Final = "health"
"""Name of the port that answers probes."""

METRICS: Final = "metrics"
"""Name of the port that serves figures: of an account, so nobody may ask who is not named."""


def network_policy(workload: Workload) -> dict[str, Any] | None:
    """Return the policy of a workload; None where the installation wants none."""
    peers = workload.config.network_policy
    if not peers.enabled:
        return None
    egress: list[Mapping[str, Any]] = [*peers.dns, *peers.kafka, *peers.redis, *peers.otlp]
    if workload.login is not None and workload.role.name in ROLES:
        egress += peers.broker or PUBLIC_HTTPS
    ingress: dict[str, Any] = {"ports": [{"protocol": "TCP", "port": HEALTH}]}
    if peers.probes:
        ingress["from"] = [dict(peer) for peer in peers.probes]
    return {
        "metadata": metadata(workload.view, workload.name, workload.labels),
        "spec": {
            "podSelector": {"matchLabels": selector_labels(workload.key, workload.role.name)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [ingress, *_scrapers(peers.metrics), *_posters(workload)],
            "egress": [dict(rule) for rule in egress],
        },
    }


def _posters(workload: Workload) -> list[dict[str, Any]]:
    """Let postbacks in from anywhere: who ends the TLS in front is the user's, and each has a checksum."""
    if not takes_postbacks(workload.login, workload.role.name):
        return []
    return [{"ports": [{"protocol": "TCP", "port": POSTBACKS}]}]


def _scrapers(peers: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    if not peers:
        return []
    return [{"ports": [{"protocol": "TCP", "port": METRICS}], "from": [dict(peer) for peer in peers]}]
