"""kill -9 on a paper account: an order fills once, and a resting one is filled by the order-tracker's one script."""

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
import pytest_asyncio

from alpha_panda.contracts.enums import Side
from alpha_panda.testing.processes import manifests
from alpha_panda.testing.processes.platform import Platform
from alpha_panda.testing.servers.kafka import KafkaServer
from alpha_panda.testing.servers.redis import RedisServer
from totals import Tally

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

TICK = Decimal("0.05")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def paper(
    worker_kafka: KafkaServer, module_redis: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Platform]:
    folder = tmp_path_factory.mktemp("paper")
    async with Platform(folder, worker_kafka.bootstrap_servers, module_redis.url, live=False) as made:
        await made.start("control", "market-feed", "feed-cacher", "order-tracker", "risk", "engine")
        await made.priced()
        yield made
        await made.comes_to_rest()


async def rest(platform: Platform, side: Side, token: int) -> str:
    """Send an order one tick off the price: it rests until the price moves."""
    quote = (await platform.ports.prices.read_many(manifests.FEED, [token]))[token]
    price = (Decimal(str(quote.last_price)) / TICK).quantize(Decimal(1)) * TICK
    limit = price + side.sign * -TICK
    return await platform.signal(side, token=token, limit=str(limit))


@pytest.mark.parametrize(
    ("point", "end"),
    [
        ("journal.begin:before", "FILLED"),
        ("journal.begin:after", "LOST ORDER_LOST"),
        (
            "trader.place:after",
            "LOST ORDER_LOST",
        ),  # the paper venue is the journal: what isn't settled never was
        ("journal.settle:after", "FILLED"),
        ("producer.send(orders.filled):before", "FILLED"),
        ("producer.send(orders.filled):after", "FILLED"),
        ("journal.acknowledge:before", "FILLED"),
    ],
)
async def test_an_order_fills_once_whenever_the_engine_dies(
    paper: Platform, point: str, end: str, tally: Tally
) -> None:
    (sent,) = await paper.harm("engine", point, send=1)
    await paper.outcomes([sent])
    assert paper.told(sent) == end
    filled = paper.recorder.stories[sent].fold.filled_quantity
    assert filled == (1 if end == "FILLED" else 0)
    tally("crash points")


@pytest.mark.parametrize(
    "point", ["journal.fill:before", "journal.fill:after", "producer.send(orders.filled):before"]
)
async def test_a_resting_order_fills_once_whenever_the_tracker_dies(
    paper: Platform, point: str, tally: Tally
) -> None:
    tracker = paper.children["order-tracker"]
    exits = len(tracker.exits)
    plan = paper.arm("order-tracker", point)
    tokens = manifests.HAND_TOKENS[:12]
    sent = [await rest(paper, side, token) for token in tokens for side in (Side.BUY, Side.SELL)]
    await paper.struck(plan, f"the tracker dies at {point}")
    await tracker.wait_exit(exits)
    await paper.ready("order-tracker")
    await paper.until(lambda: any(paper.told(one) == "FILLED" for one in sent), "one has filled")
    for one in sent:
        if not paper.told(one):
            await paper.cancel(one)
    await paper.outcomes(sent)
    for one in sent:
        assert paper.recorder.stories[one].fold.filled_quantity == (1 if paper.told(one) == "FILLED" else 0)
    tally("crash points")
