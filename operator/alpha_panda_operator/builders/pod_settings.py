"""The settings of a pod as environment variables; secrets as files of a mounted directory, read anew when they change."""

from typing import Any, Final

from alpha_panda.runtime.settings import env_name
from alpha_panda_operator.builders.broker import variables
from alpha_panda_operator.builders.workload import Workload
from alpha_panda_operator.config import OperatorConfig

_CREDENTIALS: Final = "/var/run/alpha-panda/credentials"

_USERS: Final = {
    "kafka-sasl-username": "kafka_sasl_username",
    "redis-username": "redis_username",
    "journal-redis-username": "journal_redis_username",
}
_PASSWORDS: Final = {
    "kafka-sasl-password": "kafka_sasl_password",
    "redis-password": "redis_password",
    "journal-redis-password": "journal_redis_password",
}
"""Keys of a role's Secret, and the settings that they are."""


def credentials_mount() -> str:
    """Return where a role's Secret is mounted."""
    return _CREDENTIALS


def environment(workload: Workload, health_port: int, metrics_port: int) -> list[dict[str, Any]]:
    """Return the variables of a container: the operator's own, the installation's, the role's, credentials."""
    config = workload.config
    own = {
        env_name("topic_prefix"): config.prefix(workload.key.namespace),
        env_name("installation"): config.installation,
        env_name("health_port"): str(health_port),
        env_name("metrics_port"): str(metrics_port),
    }
    login = variables(workload.login, workload.role.name)
    told = {**dict(sorted(config.env.items())), **own, **login}
    role = config.role(workload.role.name)
    return [
        *({"name": name, "value": value} for name, value in told.items()),
        *_credentials(workload, role.credentials_secret),
        *(dict(item) for item in role.extra_env),
    ]


def _credentials(workload: Workload, secret: str) -> list[dict[str, Any]]:
    """Return how the pod logs in. The operator can't look into the Secret: what the settings say decides.

    A user's name may be missing; a password's file must be there where the settings ask for a login.
    """
    if not secret:
        return []
    keys = _asked_keys(workload.config)
    users = {key: field for key, field in _USERS.items() if key in keys}
    files = {key: field for key, field in _PASSWORDS.items() if key in keys}
    return [
        *(
            {
                "name": env_name(field),
                "valueFrom": {"secretKeyRef": {"name": secret, "key": key, "optional": True}},
            }
            for key, field in users.items()
        ),
        *(
            {"name": f"{env_name(field)}_FILE", "value": f"{_CREDENTIALS}/{key}"}
            for key, field in files.items()
        ),
    ]


def _asked_keys(config: OperatorConfig) -> frozenset[str]:
    if config.credential_keys is not None:
        return frozenset(config.credential_keys)
    asked = ["redis"]
    if config.env.get(env_name("kafka_security_protocol"), "").startswith("SASL"):
        asked.append("kafka")
    if config.env.get(env_name("journal_redis_url")):
        asked.append("journal")
    return frozenset(key for key in (*_USERS, *_PASSWORDS) if key.partition("-")[0] in asked)
