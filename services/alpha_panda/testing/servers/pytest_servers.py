"""For a conftest: `from alpha_panda.testing.servers.pytest_servers import kafka_server, own_kafka_server`.

Also `redis_server`, `own_redis_server`. Each pytest worker has servers of its own: they cost about a second and
155 MB (Kafka), or 50 ms and 10 MB (Redis), and no test of one worker can disturb another's.
"""

import os
from collections.abc import Iterator
from typing import NoReturn

import pytest

from alpha_panda.testing.servers.kafka import ADDRESS_VARIABLE, ExternalKafka, KafkaServer
from alpha_panda.testing.servers.redis import URL_VARIABLE, ForeignRedis, RedisServer


@pytest.fixture(scope="session")
def kafka_server() -> Iterator[KafkaServer | ExternalKafka]:
    """A broker for the whole session; tests use topics and groups of their own and never stop it."""
    external = ExternalKafka.from_environment()
    if external is not None:
        yield external
        return
    with KafkaServer() as server:
        yield server


@pytest.fixture(scope="module")
def own_kafka_server() -> Iterator[KafkaServer]:
    """A broker for the tests of one module, which may stop, kill and freeze it; each leaves it running."""
    if ExternalKafka.from_environment() is not None:
        pytest.skip(f"stops its broker, and {ADDRESS_VARIABLE} names one that is not ours")
    with KafkaServer() as server:
        yield server


class _SkippingRedis(ForeignRedis):
    def refuse(self, what: str) -> NoReturn:
        pytest.skip(f"needs to {what}, and the Redis of {URL_VARIABLE} is not ours")


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A Redis for the whole session, perhaps somebody else's; a test that it can't serve skips itself.

    A test begins with `clear()`, and leaves it running.
    """
    url = os.environ.get(URL_VARIABLE)
    with _SkippingRedis(url) if url else RedisServer() as server:
        yield server


@pytest.fixture
def own_redis_server() -> Iterator[RedisServer]:
    """A Redis for one test, which may end, freeze and roll it back."""
    if os.environ.get(URL_VARIABLE):
        pytest.skip(f"ends its Redis, and {URL_VARIABLE} names one that is not ours")
    with RedisServer() as server:
        yield server
