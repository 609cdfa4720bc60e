"""A small world for tests of `runtime`: the memory bus and stores on virtual time, everything else absent."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from alpha_panda.adapters.ids import SeededIds
from alpha_panda.adapters.memory.bus import MemoryBus
from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.adapters.memory.database import MemoryDatabase
from alpha_panda.adapters.memory.leases import MemoryLease
from alpha_panda.adapters.memory.statuses import MemoryStatusStore
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.topics import TopicSpec, dlq
from alpha_panda.ports import Outgoing, Record, Subscription, TopicPartition
from alpha_panda.runtime.builder import StreamService, StreamServiceBuilder
from alpha_panda.runtime.context import Ports, ServiceContext
from alpha_panda.runtime.settings import Settings

TOPIC = "paper.signals.validated"
GROUP = "paper.engine"
SUBSCRIPTION = Subscription(group=GROUP, topics=(TOPIC,))


class World:
    def __init__(self, clock: VirtualClock, **settings: Any) -> None:
        self.clock = clock
        self.lanes = 0
        self.settings = Settings(**settings)
        self.bus = MemoryBus(clock, ids=SeededIds(1))
        self.database = MemoryDatabase(clock, SeededIds(2))
        self.lease = MemoryLease(self.database)
        self.statuses = MemoryStatusStore(self.database)

    def context(self, *, instance: str = "pod-1", **ports: Any) -> ServiceContext:
        absent = cast("Any", None)
        chosen: dict[str, Any] = {
            "clock": self.clock,
            "ids": SeededIds(3),
            "bus": self.bus,
            "prices": absent,
            "journal": absent,
            "decisions": absent,
            "checkpoints": absent,
            "control": absent,
            "lease": self.lease,
            "statuses": self.statuses,
            "traders": absent,
            "source": absent,
            **ports,
        }
        return ServiceContext(self.settings, Ports(**chosen), ResourceSet(), "paper", instance)

    def builder(self, **context: Any) -> StreamServiceBuilder:
        return StreamServiceBuilder("engine", self.context(**context)).topics([TopicSpec(TOPIC, 1)])

    async def produce(self, *values: str, topic: str = TOPIC) -> None:
        await self.bus.ensure_topics([TopicSpec(topic, 1)])
        async with self.bus.producer("test") as producer:
            outgoing = [
                Outgoing(topic, v.encode(), key=v, headers=(("traceparent", b"00-1"),)) for v in values
            ]
            await producer.send(outgoing)

    async def records(self, topic: str) -> list[Record]:
        subscription = Subscription(group="test", partitions=(TopicPartition(topic, 0),))
        async with self.bus.consumer(subscription) as consumer:
            return await consumer.fetch(1000, timeout=0.0)

    async def letters(self) -> list[Record]:
        return await self.records(dlq(TOPIC))

    async def committed(self) -> int | None:
        async with self.bus.consumer(Subscription(GROUP, partitions=(TopicPartition(TOPIC, 0),))) as consumer:
            return await consumer.committed(TopicPartition(TOPIC, 0))

    async def settle(self) -> None:
        """Let everything run that needs no time to pass."""
        await self.clock.advance(0)

    async def pass_seconds(self, seconds: int) -> None:
        """Let time pass second by second: one jump would be one turn of every ticker, however many it missed."""
        for _ in range(seconds):
            await self.clock.advance(1)

    @asynccontextmanager
    async def running(self, service: StreamService) -> AsyncIterator["asyncio.Task[None]"]:
        """Run the service until the block is left; then it is killed, if it still runs."""
        task = asyncio.create_task(service.run())
        try:
            await self.settle()
            yield task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


class Handler:
    """Records what it was given; raises what it was told to, by value or for the next calls."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.poison: dict[str, Callable[[], BaseException]] = {}
        self.failures: list[BaseException] = []

    async def __call__(self, records: Sequence[Record]) -> None:
        values = [record.value.decode() for record in records]
        self.calls.append(values)
        if self.failures:
            raise self.failures.pop(0)
        for value in values:
            if value in self.poison:
                raise self.poison[value]()  # noqa: RSE102 - makes a fresh error each time


def headers_of(record: Record) -> dict[str, str]:
    return {name: value.decode() for name, value in record.headers}
