"""Real services in processes of their own, over real Kafka and Redis: one platform a module and worker, or a test's."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from alpha_panda.testing.processes.platform import Platform
from alpha_panda.testing.servers.kafka import ExternalKafka, KafkaServer
from alpha_panda.testing.servers.pytest_servers import (
    kafka_server,
    own_kafka_server,
    own_redis_server,
    redis_server,
)
from alpha_panda.testing.servers.redis import RedisServer

__all__ = ["kafka_server", "own_kafka_server", "own_redis_server", "redis_server"]


@pytest.fixture(scope="module")
def module_redis() -> Iterator[RedisServer]:
    """A Redis for one module; its tests may end and roll it back."""
    with RedisServer() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def platform(
    kafka_server: KafkaServer | ExternalKafka,
    module_redis: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Platform]:
    """A live platform for a whole module, with all services but the strategy; at its end every promise must hold."""
    folder = tmp_path_factory.mktemp("platform")
    async with Platform(folder, kafka_server.bootstrap_servers, module_redis.url) as made:
        await made.start("control", "market-feed", "feed-cacher", "order-tracker", "risk", "engine")
        yield made
        if "strategy" in made.children:
            await made.end("strategy")
        await made.comes_to_rest()
