"""The source of a running feed falls silent while its socket lives: whoever looks, wherever they look, sees it in time.

A whole platform over real Kafka and Redis, a real Prometheus that scrapes it, and `alpha-panda status` as a person types it.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from alpha_panda.adapters.clock import RealClock
from alpha_panda.compose.transports import connected
from alpha_panda.runtime.metrics import catalogue
from alpha_panda.testing.processes.children import child_environment
from alpha_panda.testing.processes.quick import as_environment
from alpha_panda.testing.servers.kafka import KafkaServer
from alpha_panda.testing.servers.ports import LOOPBACK
from alpha_panda.testing.servers.redis import RedisServer
from harness.prometheus import Prometheus
from integration.conftest import quiet
from integration.test_metrics import Watched, quick_settings, watched
from unit.monitoring.expressions import RULES, alerts

SECONDS = 90.0
NAME = "AlphaPandaFeedSilent"
STALE = 5.0
"""The feed's limit, in seconds."""
LIVELY = {"simulated": {"seed": 1, "ticksPerSecond": 200}}
STEPS = 1.0 + 0.5 + 0.5
"""What may pass besides: a heartbeat, a scrape, an evaluation."""
BUSY = 20.0
"""What a busy machine takes, to start `alpha-panda` above all."""
SELDOM = {"status_interval_seconds": 600, "status_ttl_seconds": 1800}
"""A status in its turn would come too late: this one must be written because something has changed."""

__all__ = ["quiet"]


@pytest.fixture
def stores() -> Iterator[dict[str, str]]:
    with KafkaServer() as kafka, RedisServer() as redis:
        yield {"kafka_bootstrap_servers": kafka.bootstrap_servers, "redis_url": redis.url}


@dataclass
class Desk:
    """A running platform, and all the places where a person may look at it."""

    platform: Watched
    prometheus: Prometheus
    stores: dict[str, str]

    async def metric(self) -> bool:
        """Whether the figures say that the source lives no more."""
        found = await self.platform.scrape()
        return found.value(catalogue.FEED_SOURCE_ALIVE, feed="demo") == 0

    async def expression(self) -> bool:
        """Whether the alert's expression holds."""
        return bool(await asyncio.to_thread(self.prometheus.query, alerts()[NAME]["expr"]))

    async def alert(self) -> str:
        """Return the alert's state."""
        return str((await asyncio.to_thread(self.prometheus.rules))[NAME]["state"])

    async def status_line(self) -> tuple[int, dict[str, Any]]:
        """Type `alpha-panda status`; return its exit code and what it says of the feed."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "alpha_panda.cli", "status", "--output", "json"),
            env=child_environment(**as_environment(self.stores)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode in (0, 1), err.decode()
        (line,) = [item for item in json.loads(out)["findings"] if item["what"] == "feed demo"]
        return process.returncode, line

    async def status(self) -> bool:
        """Whether the status says that the feed is silent."""
        code, line = await self.status_line()
        return code == 1 and str(line["says"]).startswith("SILENT in session") and not line["well"]

    async def refusal(self) -> bool:
        """Send one more signal; whether risk refuses it for its price's age."""
        before = await self.platform.scrape()
        await self.platform.signal()
        after = await self.platform.until(
            lambda seen: seen.total(catalogue.DECISIONS) > before.total(catalogue.DECISIONS)
        )
        stale = {"account": "main", "code": "PRICE_STALE"}
        return (after.value(catalogue.DECISIONS, **stale) or 0) > (
            before.value(catalogue.DECISIONS, **stale) or 0
        )


@asynccontextmanager
async def trading(folder: Path, stores: dict[str, str]) -> AsyncIterator[Desk]:
    (folder / "data").mkdir()
    settings = quick_settings(**SELDOM, **stores)
    feed = {"staleAfterSeconds": STALE, "source": LIVELY}
    async with (
        connected(settings, RealClock()) as transports,
        watched(folder, settings, transports, feed=feed) as platform,
    ):
        target = {f"{LOOPBACK}:{settings.metrics_port}": {"namespace": "desk"}}
        prometheus = Prometheus(folder / "data", target, RULES, every=0.5)
        try:
            await asyncio.to_thread(prometheus.start)
            await platform.priced()
            yield Desk(platform, prometheus, stores)
        finally:
            await asyncio.to_thread(prometheus.close)


async def comes_true(look: Callable[[], Awaitable[bool]]) -> float:
    """Look until it does; return at which moment of the loop."""
    async with asyncio.timeout(SECONDS):
        while not await look():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.1)
    return asyncio.get_running_loop().time()


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.usefixtures("quiet")
async def test_metric_alert_status_and_refused_orders_show_a_silent_source_within_its_limit(
    tmp_path: Path, stores: dict[str, str]
) -> None:
    async with trading(tmp_path, stores) as desk:
        places = (desk.metric, desk.expression, desk.status, desk.refusal)
        for (
            place
        ) in places:  # once it is under way; a machine that is busy with its start may be late with prices
            await comes_true(lambda place=place: _is(place, False))  # type: ignore[misc]
        await comes_true(lambda: _is(desk.alert, "inactive"))
        assert (await desk.status_line())[1]["says"].startswith("fresh: ")

        for faucet in desk.platform.faucets:
            faucet.open = False
        silent = asyncio.get_running_loop().time()
        seen = await asyncio.gather(*map(comes_true, places))
        took = {place.__name__: moment - silent for place, moment in zip(places, seen, strict=True)}
        assert {name: value for name, value in took.items() if value > STALE + STEPS + BUSY} == {}

        orders = (await desk.platform.scrape()).total(catalogue.ORDERS)
        assert await desk.refusal()
        await comes_true(lambda: _is(desk.alert, "firing"))
        assert await desk.metric()
        assert await desk.status()
        assert (await desk.platform.scrape()).total(catalogue.ORDERS) == orders


async def _is(asked: Callable[[], Awaitable[object]], wanted: object) -> bool:
    return await asked() == wanted
