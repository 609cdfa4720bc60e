"""Settings under which a platform of processes does everything within seconds."""

from collections.abc import Mapping
from typing import Any, Final

from alpha_panda.runtime.settings import env_name
from alpha_panda.testing.servers.ports import LOOPBACK

QUICK: Final[dict[str, Any]] = {
    "send_within_seconds": 2,
    "lost_after_seconds": 0.5,
    "lease_ttl_seconds": 2,
    "lease_renew_seconds": 0.4,
    "kafka_session_timeout_seconds": 2,
    "kafka_group_heartbeat_seconds": 0.4,
    "kafka_request_timeout_seconds": 3,
    "kafka_reconnect_max_seconds": 0.5,
    "redis_timeout_seconds": 1,
    "tracker_interval_seconds": 0.25,
    "poll_seconds": 0.25,
    "probe_seconds": 0.5,
    "status_interval_seconds": 1,
    "breaker_reset_seconds": 1,
    "retry_max_seconds": 1,
    "checkpoint_interval_seconds": 1,
    "portfolio_interval_seconds": 0.25,
    "control_renew_seconds": 1,
    "control_ttl_seconds": 20,
    "drain_timeout_seconds": 10,
    "health_host": LOOPBACK,
    "metrics_host": LOOPBACK,
    "log_format": "json",
}
"""Settings under which everything happens within seconds; `settings` of the platform win."""


def as_environment(fields: Mapping[str, Any]) -> dict[str, str]:
    """Return fields of `Settings` as the variables that a process reads."""
    return {env_name(name): _text(value) for name, value in fields.items()}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
