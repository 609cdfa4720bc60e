"""Records near and above what a broker takes: nothing stops for one, and nothing else is lost with it."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from alpha_panda.adapters.clock import RealClock
from alpha_panda.adapters.ids import RandomIds
from alpha_panda.adapters.kafka.bus import KafkaBus
from alpha_panda.adapters.kafka.sizes import LETTER_BYTES, TOPIC_BYTES
from alpha_panda.compose.ports import memory_ports
from alpha_panda.contracts.codec import decode_event
from alpha_panda.contracts.keys import tracker_lease
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.topics import TopicMap, TopicSpec, dlq
from alpha_panda.errors import RecordError, UndecodableRecordError
from alpha_panda.ports import Outgoing, Record, Subscription, TopicPartition
from alpha_panda.risk import service as risk_service
from alpha_panda.runtime.context import ServiceContext
from alpha_panda.runtime.dead_letter import STUB_BYTES, DeadLetters, Failure, dead_letter_topics, original
from alpha_panda.runtime.settings import Settings
from alpha_panda.testing.servers.kafka import ExternalKafka, KafkaServer
from integration.real.kafka_kit import SECONDS, connection_to
from unit.risk.world import ACCOUNT, RiskWorld, documents, signal

FAILURE = Failure.of(UndecodableRecordError("not JSON"), 1)


@pytest.fixture
async def bus(kafka_server: KafkaServer | ExternalKafka) -> AsyncIterator[KafkaBus]:
    async with KafkaBus(connection_to(kafka_server.bootstrap_servers)) as bus:
        yield bus


@pytest.fixture
async def topic(bus: KafkaBus) -> str:
    """A topic of one partition, and its queue."""
    name = f"sizes-{RandomIds().new_id()}"
    await bus.ensure_topics([TopicSpec(name, 1), *dead_letter_topics([name])])
    return name


async def read(bus: KafkaBus, topic: str, count: int) -> list[Record]:
    """Return the first `count` records of all partitions, as soon as there are so many."""
    partitions = tuple(await bus.offsets(topic))
    found: list[Record] = []
    async with asyncio.timeout(SECONDS):
        async with bus.consumer(Subscription(f"{topic}.reader", partitions=partitions)) as consumer:
            for partition in partitions:
                await consumer.seek(partition, 0)
            while len(found) < count:
                found += await consumer.fetch(100, timeout=1.0)
    return found


@pytest.mark.parametrize("size", [900_000, TOPIC_BYTES - 200])
async def test_a_dead_letter_queue_takes_what_its_topic_took(bus: KafkaBus, topic: str, size: int) -> None:
    value = b"\x00" * size
    async with bus.producer("p") as producer:
        await producer.send([Outgoing(topic, value, "k")])
        (record,) = await read(bus, topic, 1)
        await DeadLetters(producer, "risk").put(record, FAILURE)
    (letter,) = await read(bus, dlq(topic), 1)
    assert original(letter) == Outgoing(topic, value, "k", 0)


async def test_a_letter_that_the_queue_refuses_goes_there_as_a_stub(bus: KafkaBus, topic: str) -> None:
    """As it may be with a topic that somebody lets take more, or a record that was compressed."""
    value = b"\x00" * (2 * LETTER_BYTES)
    async with bus.producer("p") as producer:
        await DeadLetters(producer, "risk").put(Record(topic, 0, 7, "k", value, (), 1), FAILURE)
    (letter,) = await read(bus, dlq(topic), 1)
    assert letter.value == value[:STUB_BYTES]
    assert dict(letter.headers)["dlq.sha256"] == hashlib.sha256(value).hexdigest().encode()


@pytest.mark.parametrize("size", [TOPIC_BYTES + 1, 2 * LETTER_BYTES])
async def test_of_one_send_only_what_is_too_large_is_not_written(
    bus: KafkaBus, topic: str, size: int
) -> None:
    """Whether the broker says so or the producer knows."""
    values = [b"a", b"x" * size, b"b", b"c"]
    async with bus.producer("p") as producer:
        with pytest.raises(RecordError, match=topic):
            await producer.send([Outgoing(topic, value) for value in values])
        await producer.send([Outgoing(topic, b"d")])
    found = await read(bus, topic, 4)
    assert [record.value for record in found] == [b"a", b"b", b"c", b"d"]


async def test_risk_goes_on_behind_a_signal_and_an_order_event_that_are_too_long(bus: KafkaBus) -> None:
    """Memory for stores; the bus is the real one. Both are set aside whole, the signals around are told."""
    resources = ResourceSet.from_documents(documents())
    settings = Settings(topic_prefix=f"{RandomIds().new_id()}.", decision_batch_max=2)
    clock = RealClock()
    _, ports = memory_ports(resources, settings, clock, seed=1)
    world = RiskWorld.__new__(RiskWorld)  # for the making of records alone
    world.topics = topics = TopicMap(ACCOUNT, settings.topic_prefix)
    world.clock = clock  # type: ignore[assignment]
    context = ServiceContext(settings, replace(ports, bus=bus), resources, ACCOUNT, "risk")
    long = world.raw(signal("s2", reason="x" * 600_000))
    poison = b"\x00" * 900_000
    risk = risk_service.build(context)
    running = asyncio.create_task(risk.run())
    try:
        async with asyncio.timeout(SECONDS):
            await risk.ready.wait()
        lease = await ports.lease.acquire(tracker_lease(ACCOUNT), "tracker", 1e6)
        assert lease is not None
        journal = ports.journal(ACCOUNT)
        await journal.write_epoch(lease, await journal.run_id())
        async with bus.producer("p") as producer:
            await producer.send([world.raw(signal("s1")), long, world.raw(signal("s3"))])
            await producer.send([Outgoing(topics.orders_filled, poison, "k")])
            rejected = await read(bus, topics.signals_rejected, 2)
            letters = [*await read(bus, dlq(topics.signals_raw), 1)]
            letters += await read(bus, dlq(topics.orders_filled), 1)
            await producer.send([world.raw(signal("s4"))])
            rejected = await read(bus, topics.signals_rejected, 3)
        assert not running.done()
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    told = [decode_event(record.value).data for record in rejected]
    assert sorted(data.original_signal.signal_id for data in told) == ["s1", "s3", "s4"]  # type: ignore[union-attr]
    assert [letter.value for letter in letters] == [long.value, poison]
    assert (await bus.offsets(topics.signals_raw))[TopicPartition(topics.signals_raw, 0)] == (0, 4)
