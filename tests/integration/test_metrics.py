"""Scraped from a real run: every metric that should be there, with values that can be true; and a feed that falls silent."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from alpha_panda.cli.loading import load
from alpha_panda.compose.embedded import EmbeddedRun, Member, RunOptions
from alpha_panda.compose.metrics_server import answering_scrapes
from alpha_panda.contracts.codec import encode_event
from alpha_panda.contracts.topics import TopicMap
from alpha_panda.ports import MarketSource, Outgoing, SourceBatch
from alpha_panda.runtime.context import Ports
from alpha_panda.runtime.metrics import catalogue
from alpha_panda.runtime.metrics.catalogue import CATALOGUE
from alpha_panda.runtime.settings import Settings, load_settings
from alpha_panda.testing.processes import manifests
from alpha_panda.testing.processes.quick import QUICK
from alpha_panda.testing.processes.signals import make_signal, raw_event
from alpha_panda.testing.servers.ports import LOOPBACK, free_ports
from unit.runtime.metrics.scraped import Scraped

PATIENCE = 20.0
STALE = 1.0
FAST = {"simulated": {"seed": 1, "ticksPerSecond": 1000}}
SERVICES = ("market-feed", "feed-cacher", "strategy", "risk", "engine", "order-tracker")

ABSENT_IN_ONE_PROCESS = {
    catalogue.CLOCK_OFFSET.name,  # no store but this process
    catalogue.JOURNAL_DURABLE.name,  # no Redis
    catalogue.TOKEN_REMAINING.name,  # paper needs none
    *(
        catalogue.RECONCILED.name,
        catalogue.RECONCILIATION_DIFFERENCES.name,
    ),  # paper has no broker to compare with
    catalogue.BREAKER_STATE.name,  # nothing has failed
    catalogue.RETRIES.name,
    catalogue.SPANS.name,  # no collector
    catalogue.STRATEGY_LIMIT_USE.name,  # these strategies have no limits of their own
}
AN_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}|[0-9a-f]{12,}|^ap[a-z2-7]{18}$|[:#]")


class Faucet:
    """A source that gives nothing more once it is turned off; whoever reads it sees an open connection."""

    def __init__(self, source: MarketSource) -> None:
        self._source = source
        self.mode = source.mode
        self.exhausted = False
        self.open = True

    async def batches(self, instruments: Any) -> AsyncIterator[SourceBatch]:
        async for batch in self._source.batches(instruments):
            if not self.open:
                await asyncio.get_running_loop().create_future()
            yield batch


class Watched:
    """A run on the wall clock, its port of figures, and the way to cut its source off."""

    def __init__(self, path: Path, settings: Settings, transports: Ports | None = None) -> None:
        self.settings = settings
        self.faucets: list[Faucet] = []
        self.run = EmbeddedRun(load([path]), settings, RunOptions(), wire=self._wire, transports=transports)

    def _wire(self, member: Member, ports: Ports) -> Ports:
        if member.definition.name != "market-feed":
            return ports

        def source(feed: str) -> MarketSource:
            self.faucets.append(Faucet(ports.source(feed)))
            return self.faucets[-1]

        return replace(ports, source=source)

    async def scrape(self) -> Scraped:
        url = f"http://{LOOPBACK}:{self.settings.metrics_port}/metrics"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            assert answer.status == 200
            return Scraped(await answer.text())

    async def until(self, holds: Callable[[Scraped], object]) -> Scraped:
        async with asyncio.timeout(PATIENCE):
            while not holds(found := await self.scrape()):  # noqa: ASYNC110 - a scrape tells of no event
                await asyncio.sleep(0.05)
        return found

    async def priced(self) -> None:
        """Wait until every instrument of the strategy that signals are sent for has a price."""
        prices, tokens = self.run.ports.prices, manifests.HAND_TOKENS
        async with asyncio.timeout(PATIENCE):
            while len(await prices.read_many(manifests.FEED, tokens)) < len(tokens):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.05)

    async def signal(self) -> None:
        """Send a signal in the name of the strategy that sends none itself."""
        event = raw_event(make_signal())
        topic = TopicMap(manifests.ACCOUNT).signals_raw
        async with self.run.ports.bus.producer("test") as producer:
            await producer.send([Outgoing(topic, encode_event(event), key=event.key)])


def quick_settings(**fields: Any) -> Settings:
    return load_settings(**{**QUICK, "metrics_host": LOOPBACK, "metrics_port": free_ports(1)[0], **fields})


@asynccontextmanager
async def watched(
    folder: Path, settings: Settings | None = None, transports: Ports | None = None, **parts: Any
) -> AsyncIterator[Watched]:
    settings = settings or quick_settings()
    one = Watched(manifests.write(folder, **parts), settings, transports)
    running = asyncio.create_task(one.run.run())
    try:
        async with answering_scrapes(one.run.metrics, settings):
            await asyncio.wait_for(one.run.supervisor.wait_ready(), PATIENCE)
            yield one
    finally:
        one.run.request_stop()
        await asyncio.wait_for(running, PATIENCE)


def filled(found: Scraped) -> float:
    return found.total(catalogue.ORDERS, account="main", outcome="FILLED")


@pytest.mark.usefixtures("quiet")
async def test_a_run_tells_every_metric_of_the_catalogue_that_it_can(tmp_path: Path) -> None:
    limits = {"maxDailyLoss": "1000000", "maxGrossExposure": "1000000", "maxOrdersPerDay": 100000}
    async with watched(tmp_path, risk={"maxOrdersPerSecond": 1000, **limits}) as one:
        found = await one.until(
            lambda seen: filled(seen) > 20 and seen.told() >= {catalogue.LAG.name, catalogue.LATCHES.name}
        )
        assert {spec.name for spec in CATALOGUE} - found.told() == ABSENT_IN_ONE_PROCESS
        for service in SERVICES:
            assert found.value(catalogue.SERVICE_READY, service=service) == 1
            assert (
                found.value(catalogue.PROGRESS_AGE, service=service) is not None or service == "market-feed"
            )
        plausible(found)
        assert [pair for pair in found.label_values() if AN_ID.search(pair[1])] == []


def plausible(found: Scraped) -> None:
    """Check that the figures agree with one another, and with what such a run can do."""
    feed, account = {"feed": "demo"}, {"account": "main"}
    received = found.number(catalogue.TICKS_RECEIVED, service="market-feed", **feed)
    published = found.number(catalogue.TICKS_PUBLISHED, service="market-feed", **feed)
    cached = found.number(catalogue.TICKS_RECEIVED, service="feed-cacher", **feed)
    assert received >= published >= cached > 0
    assert found.total(catalogue.TICKS_DROPPED) == 0
    assert 0 <= found.number(catalogue.FEED_AGE, **feed) < PATIENCE
    assert 0 <= found.number(catalogue.FEED_HEARTBEAT_AGE, **feed) < PATIENCE
    assert found.number(catalogue.FEED_SOURCE_ALIVE, **feed) == 1
    assert found.number(catalogue.FEED_SESSION_OPEN, **feed) == 1
    sent = found.total(catalogue.SIGNALS, state="sent", **account)
    validated = found.number(catalogue.DECISIONS, code="VALIDATED", **account)
    assert sent >= validated >= filled(found) > 0
    assert found.total(catalogue.DECISIONS) == validated
    assert found.total(catalogue.ORDERS) == filled(found)
    assert found.count(catalogue.SIGNAL_TO_DECISION, **account) == validated
    assert found.total(catalogue.TICK_TO_SIGNAL) == sent == found.total(catalogue.SIGNALS)
    calls = found.count(catalogue.BROKER_CALL, outcome="FILLED", **account)
    assert calls == found.count(catalogue.DECISION_TO_CALL, **account)
    assert calls >= found.count(catalogue.TICK_TO_ORDER, **account) >= filled(found)
    assert found.total(catalogue.BROKER_CALL) == calls
    end_to_end = found.number(f"{catalogue.TICK_TO_ORDER.name}_sum", **account)
    assert 0 < end_to_end / found.count(catalogue.TICK_TO_ORDER, **account) < PATIENCE
    assert 1 <= found.number(catalogue.POSITIONS, **account) <= filled(found)
    assert found.number(catalogue.EXPOSURE_GROSS, **account) >= abs(
        found.number(catalogue.EXPOSURE_NET, **account)
    )
    use = found.number(catalogue.LIMIT_USE, limit="maxGrossExposure", **account)
    assert use == pytest.approx(found.number(catalogue.EXPOSURE_GROSS, **account) / 1_000_000)
    assert found.number(catalogue.LIMIT_USE, limit="maxOrdersPerDay", **account) > 0
    assert found.number(catalogue.UNRESOLVED_ORDERS, **account) == 0
    assert found.number(catalogue.LATCHES, **account) == 0
    for scope in ("platform", "account/main", "strategy/scripted", "strategy/hand"):
        assert found.number(catalogue.TRADING_STATE, scope=scope, **account) == 0
    for spec in (catalogue.PROGRESS_AGE, catalogue.LAG, catalogue.QUEUE):
        assert all(value >= 0 for (name, _), value in found.samples.items() if name == spec.name)
    assert found.total(catalogue.DEAD_LETTERS) == found.total(catalogue.ERRORS) == 0


@pytest.mark.usefixtures("quiet")
async def test_a_source_that_stops_while_its_socket_lives_shows_and_no_order_passes(tmp_path: Path) -> None:
    async with watched(tmp_path, feed={"staleAfterSeconds": STALE, "source": FAST}) as one:
        await one.priced()
        for faucet in one.faucets:
            faucet.open = False
        silent = await one.until(
            lambda seen: seen.number(catalogue.FEED_HEARTBEAT_AGE, feed="demo") > 2 * STALE
        )
        assert silent.number(catalogue.FEED_AGE, feed="demo") > STALE
        assert silent.value(catalogue.FEED_SOURCE_ALIVE, feed="demo") == 0
        assert silent.value(catalogue.FEED_SESSION_OPEN, feed="demo") == 1  # so somebody ought to be told
        assert silent.value(catalogue.SERVICE_READY, service="market-feed") == 1  # and no probe would
        orders = silent.total(catalogue.ORDERS)
        await one.signal()
        refused = await one.until(
            lambda seen: seen.value(catalogue.DECISIONS, account="main", code="PRICE_STALE")
        )
        assert refused.total(catalogue.ORDERS) == orders


@pytest.mark.usefixtures("quiet")
async def test_what_is_stopped_is_told_no_more(tmp_path: Path) -> None:
    async with watched(tmp_path) as one:
        await one.until(lambda seen: filled(seen) > 0)
    left = Scraped.of(one.run.metrics)
    gauges = {spec.name for spec in CATALOGUE if spec.kind is catalogue.Kind.GAUGE}
    assert left.told() & gauges == {catalogue.BUILD_INFO.name}
    assert filled(left) > 0
