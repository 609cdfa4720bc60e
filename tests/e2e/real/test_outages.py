"""Kafka and Redis stop, freeze, come back, and forget: under load, with a strategy that trades all the while."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from signal import SIGCONT, SIGSTOP

import pytest
import pytest_asyncio

from alpha_panda.domain.ids import broker_tag
from alpha_panda.testing.processes.platform import Platform
from alpha_panda.testing.processes.points import Harm, Moment, Point
from alpha_panda.testing.servers.kafka import KafkaServer
from alpha_panda.testing.servers.redis import RedisServer
from totals import Tally

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

DEAD_LETTERS = True
"""They are what these tests are about, or what an outage leaves; see `conftest.platform`."""

REQUEST_SECONDS = 3.0
"""Longest wait for Kafka's answer in these tests: a freeze beyond it breaks connections."""


@pytest_asyncio.fixture(loop_scope="module")
async def trading(platform: Platform) -> AsyncIterator[Platform]:
    """The module's platform with a strategy that trades; nothing of an earlier outage left."""
    await resume(platform)
    if "strategy" not in platform.children or not platform.children["strategy"].running:
        await platform.start("strategy")
    await trades(platform)
    yield platform


async def resume(platform: Platform) -> None:
    """As a person who has looked: clear what an outage has latched."""
    await platform.until(platform.journal.epoch, "the journal has an epoch")
    await platform.clear_latches()


async def trades(platform: Platform, count: int = 3) -> None:
    """Wait until so many more signals of the strategy have reached the broker."""
    before = len(platform.broker.core.placed())
    await platform.until(
        lambda: len(platform.broker.core.placed()) >= before + count, "orders reach the broker"
    )


def all_called(platform: Platform, signals: Sequence[str]) -> bool:
    return all(platform.broker.core.placed()[broker_tag(one)] == 1 for one in signals)


def stop_and_start(kafka: KafkaServer) -> None:
    kafka.restart()


def kill_and_start(kafka: KafkaServer) -> None:
    kafka.kill()
    kafka.start()


@pytest.mark.parametrize("outage", [stop_and_start, kill_and_start])
async def test_trading_goes_on_when_kafka_is_back(
    trading: Platform, worker_kafka: KafkaServer, outage: Callable[[KafkaServer], None], tally: Tally
) -> None:
    sent = [await trading.signal() for _ in range(3)]
    await asyncio.to_thread(outage, worker_kafka)
    sent += [await trading.signal() for _ in range(3)]
    await trades(trading)
    await trading.outcomes(sent)
    assert not await trading.latches()
    tally("outages")


async def test_a_kafka_that_freezes_longer_than_a_request_may_take(
    trading: Platform, worker_kafka: KafkaServer, tally: Tally
) -> None:
    sent = [await trading.signal() for _ in range(3)]
    worker_kafka.pause()
    await asyncio.sleep(REQUEST_SECONDS + 1)
    worker_kafka.resume()
    await trades(trading)
    await trading.outcomes([*sent, await trading.signal()])
    tally("outages")


async def test_a_redis_that_comes_back_halts_the_live_account_until_a_person_has_looked(
    trading: Platform, module_redis: RedisServer, tally: Tally
) -> None:
    sent = [await trading.signal() for _ in range(5)]
    await trading.outcomes(sent)
    await asyncio.to_thread(module_redis.restart)
    await halted_and_rebuilt(trading)
    refused = await trading.signal()
    await trading.outcomes([refused])
    assert trading.broker.core.placed()[broker_tag(refused)] == 0
    assert trading.told(refused).endswith("TRADING_HALTED")
    await trading.clear_latches()
    await trades(trading)
    tally("outages")


async def halted_and_rebuilt(platform: Platform) -> None:
    await platform.until(lambda: returned(platform), "the journal is rebuilt and the account latched")


async def returned(platform: Platform) -> bool:
    epoch = await platform.journal.epoch()
    return epoch is not None and bool(await platform.latches())


async def test_an_order_that_redis_forgot_and_kafka_hands_out_again_is_not_sent_again(
    trading: Platform, module_redis: RedisServer, tally: Tally
) -> None:
    """The worst case: the journal is from before the call, the decision stands, and the tracker is not there yet."""
    await trading.end("strategy")  # the points below are to be met by one signal
    await trading.comes_to_rest(letters=None)
    core, tracker = trading.broker.core, trading.children["order-tracker"]
    engine, (sent,) = await trading.freeze("engine", "journal.begin:before", send=1)
    image = module_redis.image()
    plan = trading.arm("engine", Point("consumer.commit", Moment.BEFORE, Harm.STOP))
    engine.send_signal(SIGCONT)
    await trading.struck(plan, "the engine freezes before it commits")
    await trading.until(lambda: core.placed()[broker_tag(sent)] == 1, "the order is sent")
    tracker.send_signal(SIGSTOP)
    await asyncio.to_thread(module_redis.restart, image)
    await trading.kill("engine")
    await trading.until(lambda: begun_again(trading, sent), "the engine has asked again whether it may send")
    tracker.send_signal(SIGCONT)
    await halted_and_rebuilt(trading)
    await trading.outcomes([sent])
    assert core.placed()[broker_tag(sent)] == 1
    assert trading.told(sent) == "FILLED"
    tally("outages")


async def begun_again(platform: Platform, signal_id: str) -> bool:
    return bool(await platform.journal.known(signal_id))


async def test_a_redis_that_lost_its_last_second(
    trading: Platform, module_redis: RedisServer, tally: Tally
) -> None:
    sent = [await trading.signal() for _ in range(8)]
    await trading.until(lambda: all_called(trading, sent), "all are sent")
    module_redis.kill()
    assert module_redis.truncate_last(seconds=1) > 0
    await asyncio.to_thread(module_redis.start)
    await halted_and_rebuilt(trading)
    await trading.outcomes(sent)
    assert {trading.told(one) for one in sent} == {"FILLED"}
    tally("outages")


@pytest.mark.parametrize(
    "point",
    [
        "journal.adopt:before",
        "journal.adopt:after",
        "trader.order_book:after",
        "journal.write_epoch:before",
        "journal.write_epoch:after",
    ],
)
async def test_the_tracker_dies_while_it_rebuilds_the_journal(
    trading: Platform, module_redis: RedisServer, point: str, tally: Tally
) -> None:
    sent = [await trading.signal() for _ in range(3)]
    await trading.outcomes(sent)
    image = module_redis.image()
    sent += [await trading.signal() for _ in range(3)]
    await trading.until(lambda: all_called(trading, sent), "all are sent")
    seen = len(trading.children["order-tracker"].exits)
    if point != "trader.order_book:after":
        plan = trading.arm("order-tracker", point)
    await asyncio.to_thread(module_redis.restart, image)
    if point == "trader.order_book:after":
        plan = trading.arm("order-tracker", point)
    await trading.struck(plan, f"the tracker dies at {point}")
    await trading.children["order-tracker"].wait_exit(seen)
    await halted_and_rebuilt(trading)
    await trading.outcomes(sent)
    assert {trading.told(one) for one in sent} == {"FILLED"}
    tally("crash points")


async def test_a_redis_that_lost_everything(
    own_platform: Platform, own_redis: RedisServer, tally: Tally
) -> None:
    platform = own_platform
    await platform.start_all()
    sent = [await platform.signal() for _ in range(5)]
    await platform.outcomes(sent)
    await trades(platform)
    await asyncio.to_thread(own_redis.flush)
    await halted_and_rebuilt(platform)
    later = [await platform.signal() for _ in range(3)]
    await platform.outcomes([*sent, *later])
    assert {platform.told(one) for one in sent} == {"FILLED"}
    assert not any(
        platform.broker.core.placed()[broker_tag(one)] for one in later
    )  # a person must look first
    await platform.end("strategy")
    tally("outages")
