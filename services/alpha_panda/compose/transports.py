"""The bus and the stores that the settings name: Kafka and Redis instead of this process's memory."""

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from alpha_panda.errors import SettingsError
from alpha_panda.ports import Clock
from alpha_panda.runtime.context import Ports
from alpha_panda.runtime.settings import Settings, env_name


def has_transports(settings: Settings) -> bool:
    """Whether the settings name Kafka and Redis; neither: everything is in this process.

    Raises:
        SettingsError: one of the two without the other.

    """
    kafka, redis = bool(settings.kafka_bootstrap_servers), bool(settings.redis_url.get_secret_value())
    if kafka is not redis:
        given, lacking = (
            ("kafka_bootstrap_servers", "redis_url") if kafka else ("redis_url", "kafka_bootstrap_servers")
        )
        raise SettingsError(f"{env_name(given)} is set, but {env_name(lacking)} is not: set both, or none")
    return kafka


def process_name() -> str:
    """Return `host-pid`: one name for each process that may hold leases."""
    return f"{socket.gethostname()}-{os.getpid()}"


@asynccontextmanager
async def connected(settings: Settings, clock: Clock) -> AsyncIterator[Ports]:
    """Give the ports over the settings' Kafka and Redis, without traders and sources, and close them at the end.

    Nothing is connected before it is needed: an address that nobody answers at shows in readiness and errors.
    """
    raise SettingsError(f"not yet: {settings} {clock}")
    yield
