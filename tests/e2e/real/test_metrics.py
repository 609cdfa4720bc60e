"""What a Prometheus gets of the services as processes, over real Kafka and Redis: all that the catalogue promises."""

import re
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from alpha_panda.runtime.metrics import catalogue
from alpha_panda.runtime.metrics.catalogue import CATALOGUE, EVERY, Spec
from alpha_panda.testing.processes.platform import ALL, Platform
from alpha_panda.testing.servers.kafka import KafkaServer
from alpha_panda.testing.servers.ports import LOOPBACK, free_ports
from alpha_panda.testing.servers.redis import RedisServer
from unit.runtime.metrics.scraped import Scraped

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

NOT_HERE = {
    catalogue.TOKEN_REMAINING.name,  # this broker wants none
    *(catalogue.RECONCILED.name, catalogue.RECONCILIATION_DIFFERENCES.name),  # nor does it keep positions
    catalogue.STRATEGY_LIMIT_USE.name,  # these strategies have no limits
    catalogue.SPANS.name,  # no collector
    *(catalogue.BREAKER_STATE.name, catalogue.RETRIES.name),  # nothing fails until a test lets it
}
MAIN = {"account": "main"}
A_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-")


class Pods:
    """The platform's processes, and the port of each one's figures."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.ports = dict(zip(ALL, free_ports(len(ALL)), strict=True))

    async def start(self) -> None:
        await self.platform.start("control")
        for name, port in self.ports.items():
            await self.platform.start(name, ALPHAPANDA_METRICS_PORT=str(port))
        await self.platform.priced()

    async def scrape(self, name: str) -> Scraped:
        url = f"http://{LOOPBACK}:{self.ports[name]}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            assert answer.status == 200
            return Scraped(await answer.text())

    async def all(self) -> dict[str, Scraped]:
        return {name: await self.scrape(name) for name in self.ports}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pods(
    worker_kafka: KafkaServer, module_redis: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pods]:
    folder = tmp_path_factory.mktemp("metrics")
    risk = {"maxOrdersPerSecond": 1000, "maxDailyLoss": "1000000"}
    parts = {"risk": risk}
    async with Platform(folder, worker_kafka.bootstrap_servers, module_redis.url, parts=parts) as made:
        found = Pods(made)
        await found.start()
        yield found
        await made.end("strategy")
        await made.comes_to_rest(letters=None)


def those_of(name: str) -> set[str]:
    """The metrics that the catalogue says this service tells."""
    return {spec.name for spec in CATALOGUE if name in spec.writers or spec.writers == (EVERY,)} - NOT_HERE


async def test_each_service_tells_what_the_catalogue_says_of_it_and_nothing_of_another(pods: Pods) -> None:
    async def complete() -> bool:
        found = await pods.all()
        return all(found[name].told() >= those_of(name) - without_input(name) for name in ALL)

    await pods.platform.until(complete, "every service tells all of its metrics")
    found = await pods.all()
    for name in ALL:
        assert found[name].told() == those_of(name) - without_input(name), name
        assert found[name].value(catalogue.SERVICE_READY, service=name) == 1
        assert abs(found[name].value(catalogue.CLOCK_OFFSET, service=name) or 0) < 0.2
        assert not [pair for pair in found[name].label_values() if A_UUID.search(pair[1])]


def without_input(name: str) -> set[str]:
    """What only who reads from Kafka can tell."""
    absent: set[Spec] = {catalogue.PROGRESS_AGE, catalogue.LAG, catalogue.QUEUE, catalogue.DEAD_LETTERS}
    return {spec.name for spec in absent} if name == "market-feed" else set()


async def test_one_order_is_seen_by_everybody_on_its_way(pods: Pods) -> None:
    before = await pods.all()
    signal_id = await pods.platform.signal()
    await pods.platform.outcomes([signal_id])

    async def on_its_way() -> bool:
        after = await pods.all()
        engine, was = after["engine"], before["engine"]
        return engine.total(catalogue.BROKER_CALL) > was.total(catalogue.BROKER_CALL)

    await pods.platform.until(on_its_way, "the engine has counted the call")
    after = await pods.all()

    def more(name: str, spec: Spec, **labels: str) -> float:
        return after[name].total(spec, **labels) - before[name].total(spec, **labels)

    assert more("risk", catalogue.DECISIONS, code="VALIDATED") >= 1
    assert more("risk", catalogue.SIGNAL_TO_DECISION) >= 1
    assert more("engine", catalogue.DECISION_TO_CALL) >= 1
    assert (
        more("engine", catalogue.ORDERS, outcome="FILLED")
        + more("engine", catalogue.ORDERS, outcome="PLACED")
        >= 1
    )
    assert after["order-tracker"].value(catalogue.UNRESOLVED_ORDERS, **MAIN) == 0
    assert after["order-tracker"].value(catalogue.JOURNAL_DURABLE, **MAIN) == 1
    assert after["order-tracker"].value(catalogue.TRADING_STATE, scope="account/main", **MAIN) == 0
    assert after["risk"].number(catalogue.POSITIONS, **MAIN) >= 1
    for name in ALL:
        assert after[name].total(catalogue.ERRORS) == 0, name


async def test_a_redis_that_does_not_answer_opens_breakers_that_are_seen_and_close_again(
    pods: Pods, module_redis: RedisServer
) -> None:
    async def breaker(state: int) -> bool:
        found = await pods.scrape("feed-cacher")
        told = {value for (name, _), value in found.samples.items() if name == catalogue.BREAKER_STATE.name}
        return state in told if state else told == {0}

    module_redis.pause()
    try:
        await pods.platform.until(lambda: breaker(2), "the feed-cacher's breaker is open")
        found = await pods.scrape("feed-cacher")
        assert found.total(catalogue.RETRIES) >= 1
        assert found.total(catalogue.ERRORS, service="feed-cacher", reason="DEPENDENCY_UNAVAILABLE") >= 1
    finally:
        module_redis.resume()
    await pods.platform.until(lambda: breaker(0), "the feed-cacher's breaker is closed")
    for name in ALL:
        await pods.platform.ready(name)


async def test_a_feed_that_dies_is_scraped_no_more_and_its_successor_goes_on(pods: Pods) -> None:
    await pods.platform.kill("market-feed")
    await pods.platform.ready("market-feed")
    found = await pods.scrape("market-feed")
    assert (found.value(catalogue.FEED_AGE, feed="demo") or 0) < 10
    assert found.value(catalogue.TICKS_PUBLISHED, service="market-feed", feed="demo") is not None
