from typing import Self

import pytest

from alpha_panda.adapters.memory.bus import MAX_BACKLOG, RETAIN_RECORDS, MemoryBus
from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.contracts.topics import TopicSpec
from alpha_panda.errors import OffsetOutOfRangeError
from alpha_panda.ports import Outgoing, Subscription, TopicPartition

TP = TopicPartition("t", 0)
RETAIN = 8
SLACK = 1  # RETAIN // 8: how many more than RETAIN may be there before the next trim


@pytest.fixture
async def bus(clock: VirtualClock) -> MemoryBus:
    bus = MemoryBus(clock, retain_records=RETAIN, max_backlog=None)
    await bus.ensure_topics([TopicSpec("t", 1)])
    return bus


async def send(bus: MemoryBus, count: int, topic: str = "t", key: str | None = None) -> None:
    async with bus.producer("test") as producer:
        await producer.send([Outgoing(topic, b"x", key=key) for _ in range(count)])


async def oldest(bus: MemoryBus) -> int:
    return (await bus.offsets("t"))[TP][0]


async def test_without_readers_the_last_records_are_kept(bus: MemoryBus) -> None:
    await send(bus, RETAIN)
    assert await oldest(bus) == 0
    await send(bus, 100)
    assert 100 - SLACK <= await oldest(bus) <= 100


async def test_none_keeps_all(clock: VirtualClock) -> None:
    bus = MemoryBus(clock, retain_records=None)
    await bus.ensure_topics([TopicSpec("t", 1)])
    await send(bus, 50_000)
    assert await bus.offsets("t") == {TP: (0, 50_000)}


async def test_a_connected_group_without_a_commit_holds_everything_from_its_beginning(bus: MemoryBus) -> None:
    async with bus.consumer(Subscription("g", ("t",))) as consumer:
        await send(bus, 100)
        assert len(await consumer.fetch(100)) == 100
        await send(bus, 100)
        assert await oldest(bus) == 0
        await consumer.commit({TP: 90})
        await send(bus, 10)
        assert 90 - SLACK <= await oldest(bus) <= 90
    await send(bus, 100)
    assert await oldest(bus) == 90  # it has gone, but it is known by its commit


async def test_a_group_that_left_without_a_commit_holds_nothing(bus: MemoryBus) -> None:
    async with bus.consumer(Subscription("g", ("t",))):
        await send(bus, 100)
    await send(bus, 100)
    assert await oldest(bus) >= 192 - SLACK


async def test_the_slowest_group_counts(bus: MemoryBus) -> None:
    await send(bus, 7)
    for group, offset in (("fast", 7), ("slow", 3)):
        async with bus.consumer(Subscription(group, ("t",))) as consumer:
            await consumer.fetch(7)
            await consumer.commit({TP: offset})
    await send(bus, 100)
    assert await oldest(bus) == 3


async def test_what_a_reader_has_not_fetched_is_kept_even_if_it_was_committed(bus: MemoryBus) -> None:
    await send(bus, 7)
    async with bus.consumer(Subscription("g", ("t",))) as consumer:
        await consumer.fetch(7)
        await consumer.commit({TP: 7})
        await consumer.seek(TP, 2)
        await send(bus, 100)
        assert await oldest(bus) == 2
        assert (await consumer.fetch(1))[0].offset == 2


async def test_a_reader_by_itself_holds_from_where_it_sought(bus: MemoryBus) -> None:
    await send(bus, 8)
    async with bus.consumer(Subscription("g", partitions=(TP,))) as consumer:
        await consumer.seek(TP, 6)
        await consumer.fetch(2)
        await send(bus, 100)
        assert await oldest(bus) == 6


async def test_what_was_dropped_cannot_be_fetched(bus: MemoryBus) -> None:
    await send(bus, 100)
    async with bus.consumer(Subscription("g", partitions=(TP,))) as consumer:
        assert consumer.position(TP) == await oldest(bus)
        await consumer.seek(TP, 5)
        with pytest.raises(OffsetOutOfRangeError, match=r"t/0: offset 5 .* 9\d\.\.100"):
            await consumer.fetch(1)


async def test_a_compacted_topic_keeps_the_last_of_each_key_and_skips_the_gaps(bus: MemoryBus) -> None:
    await bus.ensure_topics([TopicSpec("c", 1, compacted=True)])
    for key, count in (("x", 3), ("y", 1), ("x", 2), ("z", 100)):
        await send(bus, count, "c", key)
    async with bus.consumer(Subscription("g", partitions=(TopicPartition("c", 0),))) as consumer:
        records = await consumer.fetch(1000)
        assert [(record.key, record.offset) for record in records[:2]] == [("y", 3), ("x", 5)]
        assert all(record.key == "z" for record in records[2:])
        assert RETAIN <= len(records) - 2 <= RETAIN + SLACK
        assert records[-1].offset == 105
        assert await bus.offsets("c") == {TopicPartition("c", 0): (0, 106)}
        await consumer.seek(TopicPartition("c", 0), 4)
        assert (await consumer.fetch(1))[0].offset == 5
        await send(bus, 50, "c", "w")
        assert (await consumer.fetch(1))[0].key == "z"


class Key(str):
    """A key that knows how many of its kind are alive: as many as there are records."""

    __slots__ = ()
    alive = 0

    def __new__(cls, text: str) -> Self:
        cls.alive += 1
        return super().__new__(cls, text)

    def __del__(self) -> None:
        type(self).alive -= 1


async def test_memory_is_flat_over_many_records(clock: VirtualClock) -> None:
    bus = MemoryBus(clock)
    await bus.ensure_topics([TopicSpec("t", 1)])
    most = 0
    async with bus.consumer(Subscription("g", ("t",))) as consumer, bus.producer("test") as producer:
        for n in range(400):
            await producer.send([Outgoing("t", b"x", key=Key("k"), partition=0) for _ in range(500)])
            records = await consumer.fetch(500)
            await consumer.commit({TP: records[-1].offset + 1})
            del records
            if n % 50 == 0:
                most = max(most, Key.alive)
    assert (await bus.offsets("t"))[TP][1] == 200_000
    assert RETAIN_RECORDS <= most <= RETAIN_RECORDS * 9 // 8 + 500
    assert MAX_BACKLOG > 500
