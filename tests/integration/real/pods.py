"""Pods of an installation over real servers: order-trackers below two prefixes, and `alpha-panda` as in the operator's."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from alpha_panda.adapters.clock import RealClock
from alpha_panda.compose.ports import with_manifests
from alpha_panda.compose.transports import connected
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.order_tracker.service import build
from alpha_panda.runtime.context import Ports, ServiceContext
from alpha_panda.runtime.settings import Settings, load_settings
from alpha_panda.testing.servers.kafka import ExternalKafka, KafkaServer
from alpha_panda.testing.servers.redis import RedisServer
from integration.kit import manifests

ACCOUNT: Final = "paper"
SECONDS: Final = 60.0
"""Longest wait for a step on a busy machine."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Site:
    """One installation; `name` is nobody else's on this Kafka."""

    kafka: KafkaServer | ExternalKafka
    redis: RedisServer
    name: str

    @property
    def prefixes(self) -> tuple[str, str]:
        """Of its two namespaces."""
        return f"{self.name}-one.", f"{self.name}-two."

    def environment(self, prefix: str = "") -> dict[str, str]:
        """Return the variables of a pod; without a prefix: of the operator's."""
        named = {
            "ALPHAPANDA_KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers,
            "ALPHAPANDA_KAFKA_REPLICATION_FACTOR": "1",
            "ALPHAPANDA_REDIS_URL": self.redis.url,
            "ALPHAPANDA_INSTALLATION": self.name,
        }
        return {**named, "ALPHAPANDA_TOPIC_PREFIX": prefix} if prefix else named

    def settings(self, prefix: str = "", **changes: Any) -> Settings:
        fields = {
            name.removeprefix("ALPHAPANDA_").lower(): value
            for name, value in self.environment(prefix).items()
        }
        brisk = {"lease_ttl_seconds": 2, "lease_renew_seconds": 0.5, "tracker_interval_seconds": 0.2}
        return load_settings(**fields, **brisk, **changes)

    @asynccontextmanager
    async def ports(self, prefix: str = "", **changes: Any) -> AsyncIterator[Ports]:
        async with connected(self.settings(prefix, **changes), RealClock()) as ports:
            yield ports

    @asynccontextmanager
    async def tracking(self, prefix: str) -> AsyncIterator[Ports]:
        """Run the order-tracker of the prefix's account, and wait until the account may trade."""
        settings, resources = self.settings(prefix), ResourceSet.from_documents(manifests())
        async with connected(settings, RealClock()) as transports:
            ports = with_manifests(transports, resources, settings)
            service = build(ServiceContext(settings, ports, resources, ACCOUNT, f"{prefix}tracker"))
            running = asyncio.create_task(service.run())
            try:
                await until(ports.journal(ACCOUNT).epoch, running)
                yield ports
            finally:
                running.cancel()
                await asyncio.gather(running, return_exceptions=True)


async def until(question: Callable[[], Awaitable[T | None]], running: "asyncio.Task[None]") -> T:
    """Ask until there is an answer, as long as the task runs; a server tells nobody by itself."""
    async with asyncio.timeout(SECONDS):
        while (answer := await question()) is None:
            assert not running.done(), running.exception()
            await asyncio.sleep(0.05)
        return answer
