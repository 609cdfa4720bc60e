import asyncio

import pytest

from alpha_panda.adapters.memory.bus import PATIENCE, MemoryBus
from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.adapters.memory.producer import MemoryProducer
from alpha_panda.contracts.topics import TopicSpec
from alpha_panda.errors import DependencyUnavailableError
from alpha_panda.ports import Outgoing, RecordPosition, Subscription, TopicPartition

BOUND = 10
TP = TopicPartition("t", 0)
ALL = Subscription("g", ("t",))


@pytest.fixture
async def bus(clock: VirtualClock) -> MemoryBus:
    bus = MemoryBus(clock, max_backlog=BOUND)
    await bus.ensure_topics([TopicSpec("t", 1), TopicSpec("u", 1)])
    return bus


def sending(
    producer: MemoryProducer, count: int = 1, topic: str = "t"
) -> "asyncio.Task[list[RecordPosition]]":
    return asyncio.create_task(producer.send([Outgoing(topic, b"x") for _ in range(count)]))


async def turn() -> None:
    """Let every task run as far as it can, without moving time."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_send_waits_until_the_reader_has_caught_up(bus: MemoryBus, clock: VirtualClock) -> None:
    start = clock.now()
    async with bus.consumer(ALL) as consumer, bus.producer("p") as producer:
        await producer.send([Outgoing("t", b"x")] * BOUND)
        waiting = sending(producer)
        await turn()
        assert not waiting.done()
        await consumer.fetch(1)
        assert (await waiting)[0].offset == BOUND
    assert clock.now() == start


async def test_without_a_connected_reader_nobody_waits(bus: MemoryBus, clock: VirtualClock) -> None:
    start = clock.now()
    async with bus.producer("p") as producer:
        for _ in range(3):
            await producer.send([Outgoing("t", b"x")] * BOUND)
    assert clock.now() == start


async def test_a_reader_that_goes_away_lets_the_sender_go_on(bus: MemoryBus, clock: VirtualClock) -> None:
    start = clock.now()
    async with bus.producer("p") as producer:
        async with bus.consumer(ALL):
            await producer.send([Outgoing("t", b"x")] * BOUND)
            waiting = sending(producer)
            await turn()
            assert not waiting.done()
        await waiting
    assert clock.now() == start


async def test_the_slowest_reader_counts_and_one_that_comes_or_seeks_back_too(bus: MemoryBus) -> None:
    async with bus.consumer(ALL) as fast, bus.producer("p") as producer:
        for _ in range(3):
            await producer.send([Outgoing("t", b"x")] * BOUND)
            await fast.fetch(BOUND)
        async with bus.consumer(Subscription("other", ("t",))):
            waiting = sending(producer)
            await turn()
            assert not waiting.done()
        await waiting
        await fast.seek(TP, 0)
        waiting = sending(producer)
        await turn()
        assert not waiting.done()
        await fast.seek(TP, 31)
        assert await bus.offsets("t") == {TP: (0, 31)}
        waiting.cancel()


async def test_sends_of_one_producer_do_not_overtake_each_other(bus: MemoryBus) -> None:
    seen: list[bytes] = []
    bus.observe(lambda record: seen.append(record.value))
    async with bus.consumer(ALL) as consumer, bus.producer("p") as producer:
        await producer.send([Outgoing("t", b"x")] * BOUND)
        seen.clear()
        sends = [
            asyncio.create_task(producer.send([Outgoing(topic, value)]))
            for topic, value in (("t", b"1"), ("u", b"2"), ("t", b"3"), ("u", b"4"))
        ]
        await turn()
        assert seen == []
        reader = asyncio.create_task(consumer.fetch(BOUND))
        await asyncio.gather(*sends)
        await reader
    assert seen == [b"1", b"2", b"3", b"4"]


async def test_other_producers_do_not_wait_for_a_partition_they_do_not_use(bus: MemoryBus) -> None:
    async with bus.consumer(ALL), bus.producer("p") as blocked, bus.producer("q") as free:
        await blocked.send([Outgoing("t", b"x")] * BOUND)
        waiting = sending(blocked)
        await turn()
        await free.send([Outgoing("u", b"x")] * 3 * BOUND)
        assert not waiting.done()
        waiting.cancel()


async def test_a_ring_of_waiting_services_goes_on_after_a_while(bus: MemoryBus, clock: VirtualClock) -> None:
    """A service that waits for room in its own input would wait for ever."""
    start = clock.now()
    async with bus.consumer(ALL) as consumer, bus.producer("p") as producer:
        await producer.send([Outgoing("t", b"x")] * BOUND)
        await producer.send([Outgoing("t", b"x")])
        assert clock.now() - start == PATIENCE * 1e9
        assert len(await consumer.fetch(BOUND + 1)) == BOUND + 1


async def test_a_cancelled_sender_writes_nothing_and_blocks_nobody(bus: MemoryBus) -> None:
    async with bus.consumer(ALL) as consumer, bus.producer("p") as producer:
        await producer.send([Outgoing("t", b"x")] * BOUND)
        first, second = sending(producer), sending(producer)
        await turn()
        first.cancel()
        await turn()
        assert first.cancelled()
        await consumer.fetch(BOUND)
        assert (await second)[0].offset == BOUND


async def test_a_topic_deleted_under_a_waiting_sender_is_an_error(
    bus: MemoryBus, clock: VirtualClock
) -> None:
    async with bus.consumer(Subscription("g", partitions=(TP,))), bus.producer("p") as producer:
        await producer.send([Outgoing("t", b"x")] * BOUND)
        waiting = sending(producer)
        await turn()
        start = clock.now()
        bus.delete_topic("t")
        with pytest.raises(DependencyUnavailableError, match="deleted"):
            await waiting
        assert clock.now() == start
