"""How services come and go: readiness, liveness, SIGTERM, rebalance; and what poison does to them."""

import asyncio
import time
from pathlib import Path

import pytest

from alpha_panda.contracts.codec import encode_event
from alpha_panda.contracts.enums import Side
from alpha_panda.contracts.topics import dlq, market_ticks
from alpha_panda.domain.ids import broker_tag
from alpha_panda.ports import Outgoing
from alpha_panda.testing.broker import faults
from alpha_panda.testing.processes import manifests
from alpha_panda.testing.processes.platform import Platform
from alpha_panda.testing.processes.points import Harm, Moment, Point
from alpha_panda.testing.processes.signals import make_signal, validated_event
from alpha_panda.testing.servers.kafka import KafkaServer
from alpha_panda.testing.servers.redis import RedisServer
from totals import Tally

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

DEAD_LETTERS = True
"""They are what these tests are about, or what an outage leaves; see `conftest.platform`."""


async def one_engine(platform: Platform) -> None:
    """Leave one ready engine to those who come after."""
    if "engine-2" in platform.children:
        await platform.end("engine-2")
        del platform.children["engine-2"]
    if not platform.children["engine"].running:
        await platform.start("engine")
    await platform.ready("engine")


async def test_an_engine_that_is_told_to_stop_finishes_its_order_and_another_goes_on(
    platform: Platform, tally: Tally
) -> None:
    core, token = platform.broker.core, manifests.HAND_TOKENS[0]
    core.plan(faults.slow(1.2))
    sent = await platform.signal(token=token)
    await platform.until(lambda: core.placed()[broker_tag(sent)] == 1, "the order is at the broker")
    await platform.start("engine-2", wait=False)
    began = time.monotonic()
    ending = asyncio.create_task(platform.end("engine"))
    await platform.unready("engine", "stopping")
    assert platform.children["engine"].running  # it says so first, and then finishes
    assert await ending == 0
    left = time.monotonic()
    assert left - began < platform.settings.drain_timeout_seconds
    later = await platform.signal(token=token)  # of the same partition
    await platform.outcomes([sent, later])
    assert time.monotonic() - left < platform.settings.kafka_session_timeout_seconds
    assert [platform.told(one) for one in (sent, later)] == ["FILLED", "FILLED"]
    assert core.placed()[broker_tag(sent)] == 1
    await one_engine(platform)
    tally("graceful stops")


@pytest.mark.parametrize("service", ["market-feed", "feed-cacher", "order-tracker", "risk"])
async def test_every_service_ends_with_0_and_its_successor_waits_for_nothing(
    platform: Platform, service: str, tally: Tally
) -> None:
    sent = await platform.signal()
    assert await platform.end(service) == 0
    began = time.monotonic()
    await platform.start(service)
    took = time.monotonic() - began
    await platform.outcomes([sent, await platform.signal()])
    assert took < platform.settings.lease_ttl_seconds  # the lease was given back
    tally("graceful stops")


async def test_engines_come_and_go_while_orders_are_slow_at_the_broker(
    platform: Platform, tally: Tally
) -> None:
    core = platform.broker.core
    core.plan(faults.slow(0.25), times=12)
    sent = [await platform.signal() for _ in range(12)]
    await platform.until(lambda: any(core.placed()[broker_tag(one)] for one in sent), "an order is there")
    await platform.start("engine-2", wait=False)  # joins
    await platform.until(lambda: sum(core.placed()[broker_tag(one)] for one in sent) >= 5, "five orders")
    await platform.kill("engine")  # dies, and comes back
    await platform.until(lambda: sum(core.placed()[broker_tag(one)] for one in sent) >= 8, "eight orders")
    await platform.ready("engine-2")
    assert await platform.end("engine-2") == 0  # leaves
    await platform.outcomes(sent)
    calls = [core.placed()[broker_tag(one)] for one in sent]
    assert max(calls) == 1
    # What the dead engine had begun may not have been sent, and then is lost in so many words.
    unsent = [platform.told(one) for one, called in zip(sent, calls, strict=True) if not called]
    assert set(unsent) <= {"LOST ORDER_LOST"}
    assert sum(calls) >= 8
    core.behave()
    await one_engine(platform)
    tally("rebalances", 3)


# ------------------------------------------------------------------------------------------------------ poison


async def test_poison_goes_to_the_dead_letters_and_nothing_stops(platform: Platform, tally: Tally) -> None:
    if "strategy" not in platform.children:
        await platform.start("strategy")
    topics = platform.topics
    ticks = market_ticks(manifests.FEED, topics.prefix)
    poisoned = (topics.signals_raw, topics.signals_validated, *topics.orders, ticks)
    bodies = (b"", b"\xff\xfe", b"{}", b'{"id":1}')
    before = {name: len(child.exits) for name, child in platform.children.items()}
    letters = len(platform.recorder.dead_letters)
    await platform.send(
        *(Outgoing(topic, body, key="k", partition=0) for topic in poisoned for body in bodies)
    )
    expected = {dlq(topic) for topic in poisoned}
    await platform.until(
        lambda: {one.topic for one in platform.recorder.dead_letters[letters:]} >= expected,
        "a dead letter of each topic",
    )
    unreadable = {dlq(topic) for topic in topics.orders}
    await platform.until(
        lambda: (
            sum(one.topic in unreadable for one in platform.recorder.dead_letters[letters:])
            >= len(topics.orders) * len(bodies)
        ),
        "a dead letter of each order event",
    )
    await platform.until(
        lambda: has_latches(platform, len(topics.orders)),
        "the account is halted by each topic of orders that has something unreadable",
    )
    await platform.clear_latches()
    sent = await platform.signal()
    await platform.outcomes([sent])
    assert platform.told(sent) == "FILLED"
    assert {name: len(child.exits) for name, child in platform.children.items()} == before
    tally("poison records", len(poisoned) * len(bodies))


async def has_latches(platform: Platform, count: int) -> bool:
    return len(await platform.latches()) == count


async def test_a_validated_signal_that_risk_never_stored_ends_as_order_failed(
    platform: Platform, tally: Tally
) -> None:
    signal = make_signal(Side.BUY, "1")
    epoch = await platform.journal.epoch() or ""
    forged = validated_event(signal, source="forger", risk_epoch="none", journal_epoch=epoch)
    await platform.send(Outgoing(platform.topics.signals_validated, encode_event(forged), key=forged.key))
    await platform.outcomes([signal.signal_id])
    assert platform.told(signal.signal_id) == "FAILED PAYLOAD_MISMATCH"
    assert platform.broker.core.placed()[broker_tag(signal.signal_id)] == 0
    tally("poison records")


# ------------------------------------------------------------------------------------------------------ probes


async def test_services_are_unready_while_redis_does_not_answer(
    platform: Platform, module_redis: RedisServer, tally: Tally
) -> None:
    module_redis.pause()
    try:
        began = time.monotonic()
        await platform.unready("engine", "no answer")
        assert time.monotonic() - began < 5
    finally:
        module_redis.resume()
    await platform.ready("engine")
    sent = await platform.signal()
    await platform.outcomes([sent])
    tally("outages")


async def test_a_handler_that_hangs_fails_liveness(platform: Platform, tally: Tally) -> None:
    await platform.end("engine")
    await platform.start("engine", ALPHAPANDA_STALL_SECONDS="1.5")
    plan = platform.arm("engine", Point("prices.read", Moment.BEFORE, Harm.HANG))
    sent = await platform.signal()
    await platform.struck(plan, "engine hangs")
    await platform.dead("engine", "busy for")
    await platform.kill("engine")  # as a kubelet would
    await platform.outcomes([sent])
    assert platform.told(sent) == "FILLED"
    await platform.end("engine")
    await one_engine(platform)
    tally("crash points")


async def test_nobody_is_ready_before_the_journal_has_an_epoch(own_platform: Platform, tally: Tally) -> None:
    platform = own_platform
    await platform.start("control", "market-feed", "feed-cacher")
    await platform.priced()
    await platform.start("engine", "risk", wait=False)
    for name in ("engine", "risk"):
        await platform.unready(name, "not reconciled")
    sent = await platform.signal()
    assert not platform.broker.core.calls
    await platform.start("order-tracker")
    for name in ("engine", "risk"):
        await platform.ready(name)
    await platform.outcomes([sent])
    assert platform.told(sent) == "FILLED"
    tally("outages")


async def test_a_live_account_does_not_start_over_a_redis_that_may_forget(
    worker_kafka: KafkaServer, tmp_path: Path
) -> None:
    with RedisServer(appendfsync="everysec") as redis:
        async with Platform(tmp_path, worker_kafka.bootstrap_servers, redis.url) as platform:
            with pytest.raises(AssertionError, match="set appendfsync always"):
                await platform.start("engine")
            assert platform.children["engine"].exits == [2]
