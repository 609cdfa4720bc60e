"""Which partitions a consumer reads, from where, and in which generation of its group."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import aiokafka
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.errors import IllegalStateError, KafkaError

from alpha_panda.adapters.ids import RandomIds
from alpha_panda.adapters.kafka.clients import within
from alpha_panda.adapters.kafka.connection import KafkaConnection
from alpha_panda.adapters.kafka.offsets import Epoch, GroupOffsets
from alpha_panda.errors import DependencyUnavailableError, RebalancedError
from alpha_panda.ports import Subscription, TopicPartition


class Cursor:
    """A place in a partition: where reading began since the assignment, and what comes next."""

    __slots__ = ("origin", "position", "seen", "seen_at")

    def __init__(self, position: int) -> None:
        self.origin = position
        self.position = position
        self.seen = 0
        """When the broker last answered, as aiokafka stamps it (ms of the wall clock); only changes mean something."""
        self.seen_at = time.monotonic()


class Membership(ConsumerRebalanceListener):  # type: ignore[misc] # untyped library
    """A consumer's partitions. In a group: told by aiokafka; else fixed by `assign`.

    Partitions that stay with a member from one generation to the next keep their position: nobody else can have
    read them in between. All others begin at the stored offset.
    """

    def __init__(
        self,
        inner: aiokafka.AIOKafkaConsumer,
        subscription: Subscription,
        offsets: GroupOffsets,
        connection: KafkaConnection,
    ) -> None:
        self.cursors: dict[TopicPartition, Cursor] = {}
        self.epoch = Epoch()
        self.ready = asyncio.Event()
        """Set while partitions are assigned (none of them, perhaps) and it is known where to begin."""
        self.unready_since = time.monotonic()
        self._inner = inner
        self._subscription = subscription
        self._offsets = offsets
        self._connection = connection
        self._before: dict[TopicPartition, Cursor] = {}
        self._task: asyncio.Task[None] | None = None
        self._seed = RandomIds().new_id()

    def cursor(self, partition: TopicPartition) -> Cursor | None:
        """Return the partition's cursor; during a rebalance that of the generation that ends."""
        return self.cursors.get(partition) or self._before.get(partition)

    async def assign(self, partitions: Iterable[TopicPartition]) -> None:
        """Read exactly these."""
        wanted = tuple(partitions)
        starts = await self._starts(wanted)
        self._inner.assign([aiokafka.TopicPartition(*tp) for tp in wanted])
        self._begin({tp: Cursor(starts[tp]) for tp in wanted})

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:  # noqa: ARG002 - aiokafka's
        """Stop reading: a new generation begins. What was fetched may be committed until it has begun."""
        self.close()
        self._before, self.cursors = self.cursors or self._before, {}
        self.unready_since = time.monotonic()
        self.ready.clear()

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Find out where to begin, in a task: heartbeats start only when this returns."""
        coordinator = self._inner._coordinator  # noqa: SLF001 - aiokafka has no public way to the generation
        before, self.epoch = self.epoch, Epoch(coordinator.generation, coordinator.member_id)
        kept = self._before if self.epoch.continues(before) else {}
        partitions = [TopicPartition(*tp) for tp in assigned]
        self._before = {}
        self._task = asyncio.create_task(
            self._resolve({tp: kept[tp] for tp in partitions if tp in kept}, partitions)
        )

    def close(self) -> None:
        """Stop finding out."""
        if self._task is not None:
            self._task.cancel()

    async def _resolve(self, kept: dict[TopicPartition, Cursor], partitions: list[TopicPartition]) -> None:
        starts = await self._insist(lambda: self._starts([tp for tp in partitions if tp not in kept]))
        cursors = {tp: kept.get(tp) or Cursor(starts[tp]) for tp in partitions}
        try:
            self._begin(cursors)
        except IllegalStateError:
            self.cursors = {}  # revoked meanwhile: another call follows

    def _begin(self, cursors: dict[TopicPartition, Cursor]) -> None:
        for tp, cursor in cursors.items():
            self._inner.seek(aiokafka.TopicPartition(*tp), cursor.position)
            cursor.seen_at = time.monotonic()
        self.cursors = cursors
        self.ready.set()

    async def _starts(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return where to begin: at the stored offset, else at the end that the subscription names."""
        wanted = list(partitions)
        stored = await self._offsets.fetch(wanted) if self._subscription.group else {}
        fresh = [aiokafka.TopicPartition(*tp) for tp in wanted if tp not in stored]
        if not fresh:
            return stored
        ask = self._inner.end_offsets if self._subscription.from_latest else self._inner.beginning_offsets
        found = await within(self._connection.request_timeout, "look up offsets", ask(fresh))
        return {**stored, **{TopicPartition(*tp): offset for tp, offset in found.items()}}

    async def _insist(
        self, action: Callable[[], Coroutine[Any, Any, dict[TopicPartition, int]]]
    ) -> dict[TopicPartition, int]:
        """Repeat until it succeeds: until then nothing is read, which `fetch` reports."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return await action()
            except (DependencyUnavailableError, RebalancedError, KafkaError):
                await asyncio.sleep(self._connection.backoff(attempt, self._seed))
