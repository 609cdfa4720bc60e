"""A broker that dies, freezes and comes back under producers and consumers."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import pytest

from alpha_panda.adapters.ids import RandomIds
from alpha_panda.adapters.kafka.bus import KafkaBus
from alpha_panda.contracts.topics import TopicSpec
from alpha_panda.errors import DependencyUnavailableError, RebalancedError
from alpha_panda.ports import Consumer, Outgoing, Producer, Subscription, TopicPartition
from alpha_panda.testing.servers.kafka import KafkaServer
from integration.real.kafka_kit import SECONDS, connection_to

PATIENCE = 1.5


@pytest.fixture
def server(own_kafka_server: KafkaServer) -> Iterator[KafkaServer]:
    """The module's broker, which every test finds and leaves running."""
    yield own_kafka_server
    if own_kafka_server.running:
        own_kafka_server.resume()
    else:
        own_kafka_server.start()


@dataclass
class World:
    """A topic of one partition for one test."""

    bus: KafkaBus
    tp: TopicPartition

    @property
    def group(self) -> Subscription:
        return Subscription(self.tp.topic, (self.tp.topic,))

    @property
    def alone(self) -> Subscription:
        return Subscription(f"{self.tp.topic}.reader", partitions=(self.tp,))

    async def send(self, producer: Producer, *values: bytes) -> None:
        await producer.send([Outgoing(self.tp.topic, value) for value in values])

    async def insist(self, producer: Producer, value: bytes) -> None:
        """Send until it is acknowledged, as a service does."""
        async with asyncio.timeout(SECONDS):
            while True:
                try:
                    return await self.send(producer, value)
                except DependencyUnavailableError:
                    continue

    async def end(self) -> int:
        return (await self.bus.offsets(self.tp.topic))[self.tp][1]


@pytest.fixture
async def world(server: KafkaServer) -> AsyncIterator[World]:
    connection = connection_to(server.bootstrap_servers, request_timeout=PATIENCE, close_timeout=0.5)
    topic = f"faults-{RandomIds().new_id()}"
    async with KafkaBus(connection) as bus:
        await bus.ensure_topics([TopicSpec(topic, 1)])
        yield World(bus, TopicPartition(topic, 0))


async def read(consumer: Consumer, count: int) -> list[bytes]:
    values: list[bytes] = []
    async with asyncio.timeout(SECONDS):
        while len(values) < count:
            try:
                values += [record.value for record in await consumer.fetch(100, timeout=1.0)]
            except DependencyUnavailableError:
                continue
    return values


async def in_thread(action: Callable[[], object]) -> None:
    """Blocking calls on the server must not stop the loop, whose clients should notice."""
    await asyncio.to_thread(action)


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_clients_survive_a_restart_of_the_broker(server: KafkaServer, world: World, end: str) -> None:
    async with world.bus.producer("p") as producer, world.bus.consumer(world.group) as consumer:
        await world.send(producer, b"before")
        assert await read(consumer, 1) == [b"before"]
        await consumer.commit({world.tp: 1})
        await in_thread(getattr(server, end))
        with pytest.raises(DependencyUnavailableError, match="kafka"):
            await world.send(producer, b"during")
        await in_thread(server.start)
        await world.insist(producer, b"after")
        # What was under way is written once the broker is back: once, and in its place.
        assert await read(consumer, 2) == [b"during", b"after"]
        async with asyncio.timeout(SECONDS):
            await consumer.commit({world.tp: consumer.position(world.tp)})
        assert await world.bus.offsets(world.tp.topic) == {world.tp: (0, 3)}


async def test_nothing_is_lost_or_doubled_while_the_broker_restarts(
    server: KafkaServer, world: World
) -> None:
    """Acknowledged records are there once each, in order: idempotence holds over the restart."""
    patient = connection_to(server.bootstrap_servers, request_timeout=SECONDS)
    sent = [b"%d" % n for n in range(300)]
    async with KafkaBus(patient) as calm, calm.producer("p") as producer:
        restart = asyncio.create_task(in_thread(server.restart))
        for first in range(0, 300, 5):
            await world.send(producer, *sent[first : first + 5])
            await asyncio.sleep(0.01)
        await restart
    async with world.bus.consumer(world.alone) as consumer:
        assert await read(consumer, 300) == sent
    assert await world.bus.offsets(world.tp.topic) == {world.tp: (0, 300)}


async def test_a_frozen_broker_hangs_nobody(server: KafkaServer, world: World) -> None:
    async with world.bus.producer("p") as producer, world.bus.consumer(world.group) as consumer:
        await world.send(producer, b"a")
        assert await read(consumer, 1) == [b"a"]
        server.pause()
        try:
            calls = (
                world.send(producer, b"b"),
                consumer.commit({world.tp: 1}),
                consumer.committed(world.tp),
                consumer.lag(),
                world.bus.offsets(world.tp.topic),
                world.bus.topic_id(world.tp.topic),
                world.bus.ensure_topics([TopicSpec("u", 1)]),
            )
            began = time.monotonic()
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert time.monotonic() - began < PATIENCE + 1.0
            assert [type(outcome) for outcome in outcomes] == [DependencyUnavailableError] * len(calls)
            with pytest.raises(DependencyUnavailableError, match="no answer"):
                async with asyncio.timeout(SECONDS):
                    await consumer.fetch(1)
        finally:
            server.resume()
        await world.insist(producer, b"c")
        assert (await read(consumer, 2))[-1] == b"c"


async def test_leaving_does_not_wait_for_a_frozen_broker(server: KafkaServer, world: World) -> None:
    async with world.bus.consumer(world.group) as consumer, world.bus.producer("p") as producer:
        await world.send(producer, b"a")
        await read(consumer, 1)
        server.pause()
        doomed = asyncio.create_task(world.send(producer, b"b"))
        await asyncio.sleep(0.1)
        doomed.cancel()
        began = time.monotonic()
    assert time.monotonic() - began < 6.0


async def test_opening_without_a_broker_says_so_in_time(server: KafkaServer, world: World) -> None:
    server.kill()
    for context in (world.bus.producer("p"), world.bus.consumer(world.group)):
        began = time.monotonic()
        with pytest.raises(DependencyUnavailableError, match=server.bootstrap_servers):
            async with context:
                pass
        assert time.monotonic() - began < PATIENCE + 2.0


async def test_what_was_not_sent_in_time_is_not_sent_later(server: KafkaServer, world: World) -> None:
    """Of all that was tried while the broker was away only the one batch under way may still come."""
    async with world.bus.producer("p") as producer:
        await world.send(producer, b"first")
        await in_thread(server.stop)
        tries = await asyncio.gather(
            *(world.send(producer, b"lost-%d" % n) for n in range(20)), return_exceptions=True
        )
        assert all(isinstance(error, DependencyUnavailableError) for error in tries)
        with pytest.raises(DependencyUnavailableError):
            await world.send(producer, b"lost-too")
        await in_thread(server.start)
        await world.insist(producer, b"last")
    async with world.bus.consumer(world.alone) as consumer:
        end = await world.end()
        values = await read(consumer, end)
    assert values[0] == b"first"
    assert values[-1] == b"last"
    assert b"lost-too" not in values
    assert values[1:-1] in ([], [b"lost-%d" % n for n in range(len(values) - 2)])


async def test_a_member_that_was_frozen_can_not_commit_what_another_reads_now(
    server: KafkaServer, world: World
) -> None:
    async with world.bus.producer("p") as producer:
        await world.send(producer, b"a", b"b")
    async with world.bus.consumer(world.group) as old:
        assert await read(old, 2) == [b"a", b"b"]
        _freeze(old)
        async with world.bus.consumer(world.group) as new:
            assert await read(new, 2) == [b"a", b"b"]
            await new.commit({world.tp: 2})
            with pytest.raises(RebalancedError):
                await old.commit({world.tp: 1})
            assert await new.committed(world.tp) == 2


def _freeze(consumer: Consumer) -> None:
    """Stop a member's heartbeats and its part in rebalances, as SIGSTOP of its process would."""
    for task in _tasks(consumer):
        task.cancel()


def _tasks(consumer: Consumer) -> list[asyncio.Task[None]]:
    coordinator = consumer._inner._coordinator  # type: ignore[attr-defined]
    return [coordinator._heartbeat_task, coordinator._coordination_task]
