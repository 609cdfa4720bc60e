"""Whom a workload's pods may talk to: Kafka, Redis, DNS and telemetry; the broker where the role needs it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from alpha_panda_operator.builders.workload import Workload, metadata
from alpha_panda_operator.names import selector_labels

BROKER_ROLES: Final = ("engine", "order-tracker", "market-feed")
"""Roles that speak to a broker or a source of prices. Strategy pods run users' code and never do."""

HEALTH: Final = "health"
"""Name of the port that answers probes."""

METRICS: Final = "metrics"
"""Name of the port that serves figures: of an account, so nobody may ask who is not named."""


def network_policy(workload: Workload) -> dict[str, Any] | None:
    """Return the policy of a workload; None where the installation wants none."""
    peers = workload.config.network_policy
    if not peers.enabled:
        return None
    egress = [*peers.dns, *peers.kafka, *peers.redis, *peers.otlp]
    if workload.role.name in BROKER_ROLES:
        egress += peers.broker
    ingress: dict[str, Any] = {"ports": [{"protocol": "TCP", "port": HEALTH}]}
    if peers.probes:
        ingress["from"] = [dict(peer) for peer in peers.probes]
    return {
        "metadata": metadata(workload.view, workload.name, workload.labels),
        "spec": {
            "podSelector": {"matchLabels": selector_labels(workload.key, workload.role.name)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [ingress, *_scrapers(peers.metrics)],
            "egress": [dict(rule) for rule in egress],
        },
    }


def _scrapers(peers: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    if not peers:
        return []
    return [{"ports": [{"protocol": "TCP", "port": METRICS}], "from": [dict(peer) for peer in peers]}]
