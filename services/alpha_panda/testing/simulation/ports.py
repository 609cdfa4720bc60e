"""A process's ports: every operation is a call over the network to a server that all processes share."""

import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, cast

from alpha_panda.adapters.memory.bus import MemoryBus
from alpha_panda.adapters.memory.consumer import MemoryConsumer
from alpha_panda.contracts.topics import TopicSpec
from alpha_panda.contracts.units import MS_NS
from alpha_panda.ports import (
    Consumer,
    Outgoing,
    Producer,
    Record,
    RecordPosition,
    Subscription,
    TopicPartition,
)
from alpha_panda.testing.simulation.loop import Process
from alpha_panda.testing.simulation.network import Network, Server

READS: Final = frozenset(
    {
        "all",
        "adoptions",
        "epoch",
        "facts",
        "find_tag",
        "folds",
        "get",
        "in_doubt",
        "known",
        "read",
        "read_many",
        "readings",
        "resting",
        "run_id",
        "server_time",
        "snapshot",
        "unacknowledged",
        "watched",
    }
)
"""Operations of stores that change nothing: without a reply they have failed, and that is all."""

WAITING: Final = frozenset({"ranges"})
"""Operations that wait at the server; here they wait in the caller's process, and only what they return travels."""

SESSION_TIMEOUT: Final = 1500 * MS_NS
"""How long a member of a group may be silent before its partitions go to others."""
REJOIN: Final = 100 * MS_NS
"""How soon a member that comes back is in its group again."""


class Remote:
    """Any store, seen from one process: its coroutine methods are calls."""

    def __init__(self, network: Network, process: Process, server: Server, name: str, target: object) -> None:
        self._remote = (network, process, server, name, target)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as the port's
        remote: tuple[Network, Process, Server, str, object] = self.__dict__["_remote"]
        network, process, server, label, target = remote
        value = getattr(target, name)
        if not inspect.iscoroutinefunction(value) or name in WAITING:
            return value
        operation, writes = f"{label}.{name}", name not in READS

        def call(*args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:  # noqa: ANN401 - as the port's
            return network.call(process, server, operation, lambda: value(*args, **kwargs), writes=writes)

        self.__dict__[name] = call
        return call


class SharedBus(MemoryBus):
    """The bus, whose coordinator gives up members that are silent for too long."""

    def open(self, subscription: Subscription) -> MemoryConsumer:
        """Return a consumer that has not joined anything."""
        return MemoryConsumer(subscription, self._topics, self._clock, self.faults)

    def join(self, consumer: MemoryConsumer, group: str) -> None:
        """Take a member into its group."""
        self._group(group).join(consumer)

    def expel(self, consumer: MemoryConsumer, group: str) -> None:
        """Give a member's partitions to the others; it still believes that they are its own until it asks."""
        self._group(group).leave(consumer)
        consumer.assign(())


class RemoteBus:
    """The bus, seen from one process."""

    def __init__(self, network: Network, process: Process, bus: SharedBus) -> None:
        self._network = network
        self._process = process
        self._bus = bus
        self.members: list[RemoteConsumer] = []

    async def ensure_topics(self, topics: Iterable[TopicSpec]) -> None:
        """See the port."""
        specs = tuple(topics)
        await self._call("bus.ensure_topics", lambda: self._bus.ensure_topics(specs))

    async def topic_id(self, topic: str) -> str:
        """See the port."""
        return cast("str", await self._call("bus.topic_id", lambda: self._bus.topic_id(topic)))

    async def offsets(self, topic: str) -> dict[TopicPartition, tuple[int, int]]:
        """See the port."""
        found = await self._call("bus.offsets", lambda: self._bus.offsets(topic))
        return cast("dict[TopicPartition, tuple[int, int]]", found)

    async def topics(self) -> frozenset[str]:
        """See the port."""
        return cast("frozenset[str]", await self._call("bus.topics", self._bus.topics))

    async def delete_records(self, partition: TopicPartition, before: int) -> None:
        """See the port."""
        await self._call("bus.delete_records", lambda: self._bus.delete_records(partition, before))

    async def _call(self, operation: str, step: Callable[[], Coroutine[Any, Any, Any]]) -> Any:  # noqa: ANN401 - as the port's
        return await self._network.call(self._process, Server.BUS, operation, step, writes=False)

    @asynccontextmanager
    async def producer(self, client: str) -> AsyncIterator[Producer]:
        """See the port."""
        async with self._bus.producer(client) as producer:
            yield RemoteProducer(self._network, self._process, producer)

    @asynccontextmanager
    async def consumer(self, subscription: Subscription) -> AsyncIterator[Consumer]:
        """See the port. A process that is killed leaves its group when its session has run out."""
        consumer = RemoteConsumer(self._network, self._process, self._bus, subscription)
        self.members.append(consumer)
        consumer.open()
        try:
            yield cast("Consumer", consumer)
        finally:
            self.members.remove(consumer)
            consumer.close()

    def silence(self) -> None:
        """Watch the sessions: the process can't be heard from now on."""
        for member in self.members:
            member.silent()

    def voice(self) -> None:
        """Let the members come back: the process can be heard again."""
        if not self._process.dead:
            for member in self.members:
                member.heard()


class RemoteProducer:
    """A producer, seen from one process."""

    def __init__(self, network: Network, process: Process, producer: Producer) -> None:
        self._network = network
        self._process = process
        self._producer = producer

    async def send(self, records: Sequence[Outgoing]) -> list[RecordPosition]:
        """See the port: when it raises, the records may be there, or come to be."""
        topic = records[0].topic if records else ""
        operation = f"send {topic.partition('.')[2]}"
        done = await self._network.call(
            self._process, Server.BUS, operation, lambda: self._producer.send(records), writes=True
        )
        return cast("list[RecordPosition]", done)


class RemoteConsumer:
    """A consumer, seen from one process; in a group it has a session."""

    def __init__(
        self, network: Network, process: Process, bus: SharedBus, subscription: Subscription
    ) -> None:
        self._network = network
        self._process = process
        self._bus = bus
        self._subscription = subscription
        self._inner = bus.open(subscription)
        self._joined = False
        self._closed = False
        self._mute = 0  # how often it fell silent: an older watch is over

    # ------------------------------------------------------------------------------------------ session

    def open(self) -> None:
        """Join the group, or take the partitions."""
        if self._subscription.topics:
            self._bus.join(self._inner, self._subscription.group)
            self._joined = True
        else:
            self._inner.assign(self._subscription.partitions)

    def close(self) -> None:
        """Leave at once, as a client that ends in order does."""
        if self._closed:
            return
        self._closed = True
        if self._joined:
            self._bus.expel(self._inner, self._subscription.group)
            self._joined = False
        self._inner.close()

    def silent(self) -> None:
        """Begin to count: nothing is heard of the process."""
        self._mute += 1
        self._network.loop.after(SESSION_TIMEOUT, self._session_over, self._mute)

    def heard(self) -> None:
        """Stop counting; who was given up joins anew."""
        self._mute += 1
        if not self._joined and self._subscription.topics and not self._closed:
            self._network.loop.after(REJOIN, self._rejoin, self._mute)

    def _session_over(self, mute: int) -> None:
        if mute != self._mute or self._closed:
            return
        self._network.counts["session timed out"] += 1
        if self._joined:
            self._joined = False
            self._bus.expel(self._inner, self._subscription.group)
        if self._process.dead:
            self._closed = True
            self._inner.close()

    def _rejoin(self, mute: int) -> None:
        if mute == self._mute and not self._closed and not self._process.dead and not self._joined:
            self._joined = True
            self._bus.join(self._inner, self._subscription.group)

    def rebalance(self) -> None:
        """Lose everything and join anew: what was fetched and not committed comes again, here or elsewhere."""
        if self._joined:
            self._bus.expel(self._inner, self._subscription.group)
            self._bus.join(self._inner, self._subscription.group)

    # --------------------------------------------------------------------------------------------- port

    async def fetch(self, max_records: int, timeout: float | None = None) -> list[Record]:  # noqa: ASYNC109 - the port's
        """See the port. Behind a split nothing comes; what was on its way arrives when it is over."""
        network = self._network
        records = await self._inner.fetch(max_records, timeout)
        if records:
            if network.before is not None:
                network.before(self._process, f"fetch {records[0].topic.partition('.')[2]}")
            while network.cut(self._process, Server.BUS):
                await network.sleep(100 * MS_NS)
            await network.turn()
        return records

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """See the port."""
        wanted = dict(offsets)
        await self._call("consumer.commit", lambda: self._inner.commit(wanted))

    async def seek(self, partition: TopicPartition, offset: int) -> None:
        """See the port."""
        await self._inner.seek(partition, offset)

    def assignment(self) -> frozenset[TopicPartition]:
        """See the port."""
        return self._inner.assignment()

    def joined(self) -> bool:
        """See the port."""
        return self._inner.joined()

    def position(self, partition: TopicPartition) -> int:
        """See the port."""
        return self._inner.position(partition)

    async def lag(self) -> int:
        """See the port."""
        return await self._inner.lag()

    async def committed(self, partition: TopicPartition) -> int | None:
        """See the port."""
        return cast(
            "int | None", await self._call("consumer.committed", lambda: self._inner.committed(partition))
        )

    async def _call(self, operation: str, step: Callable[[], Coroutine[Any, Any, Any]]) -> Any:  # noqa: ANN401 - as the port's
        return await self._network.call(self._process, Server.BUS, operation, step, writes=False)
