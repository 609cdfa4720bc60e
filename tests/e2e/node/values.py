"""Values of the installation that the tests share: the development pair from the node's images, and everything quick."""

from typing import Any, Final

from harness.chart import image_values

CONTROL_TTL: Final = 8
"""Seconds; a dead operator stops trading after it."""

SEND_WITHIN: Final = 2
"""S, in seconds: the last broker call is at most that much later than a halt."""

QUICK: Final = {
    "STATUS_INTERVAL_SECONDS": 1,
    "STATUS_TTL_SECONDS": 6,
    "LEASE_TTL_SECONDS": 3,
    "LEASE_RENEW_SECONDS": 0.8,
    "SEND_WITHIN_SECONDS": SEND_WITHIN,
    "KAFKA_SESSION_TIMEOUT_SECONDS": 4,
    "KAFKA_GROUP_HEARTBEAT_SECONDS": 1,
    "KAFKA_REQUEST_TIMEOUT_SECONDS": 5,
    "KAFKA_RECONNECT_MAX_SECONDS": 1,
    "BREAKER_RESET_SECONDS": 1,
    "RETRY_MAX_SECONDS": 1,
    "TRACKER_INTERVAL_SECONDS": 0.5,
    "CHECKPOINT_INTERVAL_SECONDS": 1,
    "SWEEP_SECONDS": 2,
    "DRAIN_TIMEOUT_SECONDS": 10,
    "PROBE_SECONDS": 1,
    "MANIFESTS_POLL_SECONDS": 0.5,
}
"""Settings of the services that a test would have to wait for."""

LITTLE: Final = {"requests": {"cpu": "10m", "memory": "64Mi"}, "limits": {"memory": "512Mi"}}


def values(forwarded: int, storage_class: str | None) -> dict[str, Any]:
    """Return the chart's values.

    Args:
        forwarded: the port of this machine under which Kafka is reached from here.
        storage_class: of the development pair's disks, "-" for disks that are there; None: the cluster's own.

    """
    images = image_values()
    pair = images["development"]
    return {
        **images,
        "control": {"ttlSeconds": CONTROL_TTL, "renewSeconds": 1},
        "statusSeconds": 1,
        "teardownSeconds": 60,
        "resyncSeconds": 30,
        "env": {f"ALPHAPANDA_{name}": str(value) for name, value in QUICK.items()},
        "roles": {"defaults": {"resources": LITTLE}},
        "operator": {
            "replicas": 1,
            "resources": LITTLE,
            "config": {
                "leader": {
                    "leaseSeconds": 10,
                    "renewSeconds": 1,
                    "giveUpSeconds": 7,
                    "callTimeoutSeconds": 3,
                },
                "codePollSeconds": 1,
                "teardownSettleSeconds": 0.5,
                "terminationGraceSeconds": 15,
            },
        },
        "development": {
            **pair,
            "persistence": {
                "enabled": True,
                **({} if storage_class is None else {"storageClass": storage_class}),
            },
            "kafka": {
                **pair["kafka"],
                "settings": {
                    "advertised.listeners": "PLAINTEXT://alpha-panda-kafka.alpha-panda.svc:9092,"
                    f"FORWARDED://localhost:{forwarded}",
                    "group.min.session.timeout.ms": "1000",
                },
            },
        },
    }
