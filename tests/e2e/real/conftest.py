"""Real services in processes of their own, over real Kafka and Redis: one platform a module and worker, or a test's."""

from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from alpha_panda.testing.processes.platform import LOGS, Platform
from alpha_panda.testing.servers.kafka import KafkaServer
from alpha_panda.testing.servers.redis import RedisServer


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach the services' logs to a failure."""
    report = yield
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            if isinstance(value, Platform) and LOGS not in str(report.longrepr):
                report.sections.append(("logs of the services", value.explain()))
    return report


@pytest.fixture(scope="session")
def worker_kafka() -> Iterator[KafkaServer]:
    """A broker for all modules of this worker; whoever stops it starts it again."""
    with KafkaServer() as server:
        yield server


@pytest.fixture(scope="module")
def module_redis() -> Iterator[RedisServer]:
    """A Redis for one module; its tests may end and roll it back."""
    with RedisServer() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def platform(
    request: pytest.FixtureRequest,
    worker_kafka: KafkaServer,
    module_redis: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Platform]:
    """A live platform for a whole module, with all services but the strategy; at its end every promise must hold.

    There must be no dead letters, unless the module says `DEAD_LETTERS = True`.
    """
    folder = tmp_path_factory.mktemp("platform")
    async with Platform(folder, worker_kafka.bootstrap_servers, module_redis.url) as made:
        await made.start("control", "market-feed", "feed-cacher", "order-tracker", "risk", "engine")
        await made.priced()
        yield made
        if "strategy" in made.children:
            await made.end("strategy")
        await made.comes_to_rest(letters=None if getattr(request.module, "DEAD_LETTERS", False) else 0)


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """The Redis of `own_platform`."""
    with RedisServer() as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def own_platform(
    worker_kafka: KafkaServer, own_redis: RedisServer, tmp_path: Path
) -> AsyncIterator[Platform]:
    """A platform for one test, nothing started; at its end every promise must hold."""
    async with Platform(tmp_path, worker_kafka.bootstrap_servers, own_redis.url) as made:
        yield made
        await made.comes_to_rest(letters=None)
