"""A consumer that gets nothing of what there is does not go unnoticed."""

import asyncio
from typing import Any, cast

import pytest

from alpha_panda.adapters.clock import RealClock
from alpha_panda.adapters.ids import SeededIds
from alpha_panda.adapters.memory.bus import MemoryBus
from alpha_panda.contracts.topics import TopicSpec
from alpha_panda.errors import ConsumerStalledError, DependencyUnavailableError
from alpha_panda.ports import Consumer, EventBus, Outgoing, Record, Subscription, TopicPartition
from alpha_panda.runtime.reading import RecordReader

TOPIC = "paper.signals.validated"
PARTITION = TopicPartition(TOPIC, 0)
POLL, STALL = 0.005, 0.02


class Deaf:
    """A consumer of a partition that gives nothing, whatever it holds."""

    def __init__(self, position: int = 0) -> None:
        self.at = position
        self.fetches = 0

    async def fetch(self, _max_records: int, timeout: float | None = None) -> list[Record]:  # noqa: ASYNC109 - the port's
        self.fetches += 1
        await asyncio.sleep(timeout or 0)
        return []

    def assignment(self) -> frozenset[TopicPartition]:
        return frozenset({PARTITION})

    def position(self, _partition: TopicPartition) -> int:
        return self.at


class DownAtFirst:
    """A bus that can't tell its offsets the first time."""

    def __init__(self) -> None:
        self.asked = 0

    async def offsets(self, _topic: str) -> dict[TopicPartition, tuple[int, int]]:
        self.asked += 1
        if self.asked == 1:
            raise DependencyUnavailableError("kafka", "no answer")
        return {PARTITION: (0, 3)}


async def bus_with(*values: bytes) -> MemoryBus:
    bus = MemoryBus(RealClock(), ids=SeededIds(1))
    await bus.ensure_topics([TopicSpec(TOPIC, 1)])
    async with bus.producer("test") as producer:
        await producer.send([Outgoing(TOPIC, value, partition=0) for value in values])
    return bus


def reader(consumer: Any, bus: Any) -> RecordReader:
    return RecordReader(cast("Consumer", consumer), cast("EventBus", bus), RealClock(), POLL, STALL)


async def test_records_are_handed_on_as_they_come() -> None:
    bus = await bus_with(b"a", b"b")
    async with bus.consumer(Subscription("g", partitions=(PARTITION,))) as consumer:
        records = await reader(consumer, bus).fetch(10)
    assert [record.value for record in records] == [b"a", b"b"]


async def test_nothing_of_what_there_is_ends_the_service_and_says_where() -> None:
    deaf = Deaf(position=1)
    with pytest.raises(ConsumerStalledError, match=rf"{TOPIC}/0 .*up to 2, and 1 is the next"):
        await asyncio.wait_for(reader(deaf, await bus_with(b"a", b"b")).fetch(10), timeout=5)
    assert deaf.fetches >= 1


async def test_a_topic_without_news_is_no_stall() -> None:
    deaf = Deaf(position=2)
    waiting = asyncio.ensure_future(reader(deaf, await bus_with(b"a", b"b")).fetch(10))
    await asyncio.sleep(STALL * 5)
    assert not waiting.done()
    assert deaf.fetches > 1
    waiting.cancel()


async def test_a_bus_that_can_not_tell_is_asked_again_and_no_proof_of_a_stall() -> None:
    bus = DownAtFirst()
    with pytest.raises(ConsumerStalledError):
        await asyncio.wait_for(reader(Deaf(), bus).fetch(10), timeout=5)
    assert bus.asked == 2


async def test_what_was_handed_over_is_in_hand_until_more_is_asked_for() -> None:
    bus = await bus_with(b"a", b"b", b"c")
    async with bus.consumer(Subscription("g", partitions=(PARTITION,))) as consumer:
        reading = reader(consumer, bus)
        assert reading.handed == {}
        await reading.fetch(2)
        assert reading.handed == {TOPIC: 2}
        await reading.fetch(2)
        assert reading.handed == {TOPIC: 1}
        waiting = asyncio.ensure_future(reading.fetch(2))
        await asyncio.sleep(0)
        assert reading.handed == {}
        waiting.cancel()


async def test_the_lag_is_what_has_not_been_fetched() -> None:
    bus = await bus_with(b"a", b"b", b"c")
    async with bus.consumer(Subscription("g", partitions=(PARTITION,))) as consumer:
        reading = reader(consumer, bus)
        assert await reading.lag() == {TOPIC: 3}
        await reading.fetch(2)
        assert await reading.lag() == {TOPIC: 1}
        await reading.fetch(2)
        assert await reading.lag() == {TOPIC: 0}


async def test_each_time_that_nothing_came_is_told() -> None:
    told = asyncio.Event()
    arguments = (cast("Consumer", Deaf()), cast("EventBus", await bus_with()), RealClock(), POLL, STALL)
    waiting = asyncio.ensure_future(RecordReader(*arguments, on_idle=told.set).fetch(10))
    await asyncio.wait_for(told.wait(), timeout=5)
    waiting.cancel()
