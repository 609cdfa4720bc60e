"""Reads pieces of topics for a person's question: from a time, so many records, for so many seconds, and no more."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from alpha_panda.contracts.units import nanoseconds
from alpha_panda.errors import OffsetOutOfRangeError
from alpha_panda.ports import Consumer, EventBus, Record, Subscription, TopicPartition
from alpha_panda.runtime.settings import Settings

from .installation import BUS, bounded

NOBODY: Final = ""
"""The group of whoever only looks: no right to any is needed, and nothing can be committed."""
_PROBES: Final = 48
"""Steps of a search by time: halving as often finds any offset of a topic that fits a disk."""
_NEAR: Final = 500
"""A range of so few records is read through: probing it would take as long."""
_PATIENCE: Final = 0.5
"""Seconds that one probe waits for a record: compacted away are whole ranges."""


@dataclass(slots=True)
class Budget:
    """What a search may still cost; `searched` tells what it has cost, by topic. `seconds` on the wall clock."""

    records: int
    seconds: float
    searched: dict[str, int] = field(default_factory=dict)
    _begun: float = field(default_factory=time.monotonic)

    @property
    def spent(self) -> bool:
        """Whether there is none left."""
        return self.read >= self.records or time.monotonic() - self._begun >= self.seconds

    @property
    def read(self) -> int:
        """Records read so far."""
        return sum(self.searched.values())

    def note(self, record: Record) -> None:
        """Count a record."""
        self.searched[record.topic] = self.searched.get(record.topic, 0) + 1

    def words(self) -> str:
        """Return what was searched, for whoever found nothing."""
        topics = ", ".join(f"{count} of {topic}" for topic, count in sorted(self.searched.items()))
        return f"{self.read} records ({topics})" if topics else "no records: the topics are empty"


class RecordSearch:
    """Reads topics as nobody's member: nothing is committed, no service notices."""

    def __init__(self, bus: EventBus, settings: Settings) -> None:
        self._bus = bus
        self._seconds = settings.command_timeout_seconds
        self._batch = settings.fetch_max_records

    async def ranges(self, topic: str) -> dict[TopicPartition, tuple[int, int]]:
        """Return (oldest, next) offset of each partition of a topic."""
        return await bounded(BUS, self._seconds, self._bus.offsets(topic))

    async def one(self, partition: TopicPartition, offset: int) -> Record | None:
        """Return the record at an offset; None if it is not kept."""
        ranges = await self.ranges(partition.topic)
        oldest, end = ranges.get(partition, (0, 0))
        if not oldest <= offset < end:
            return None
        async with self._bus.consumer(Subscription(NOBODY, partitions=(partition,))) as consumer:
            record = await self._probe(consumer, partition, offset)
        return record if record is not None and record.offset == offset else None

    async def from_time(
        self, places: Mapping[TopicPartition, tuple[int, int]], ts: int
    ) -> dict[TopicPartition, int]:
        """Return of each partition an offset from which on no record of `ts` (UTC ns) or later is missed."""
        starts: dict[TopicPartition, int] = {}
        full = {partition: span for partition, span in places.items() if span[0] < span[1]}
        if not full:
            return starts
        async with self._bus.consumer(Subscription(NOBODY, partitions=tuple(full))) as consumer:
            for partition, (oldest, end) in full.items():
                starts[partition] = await self._offset_at(consumer, partition, oldest, end, ts)
        return starts

    async def _offset_at(
        self, consumer: Consumer, partition: TopicPartition, oldest: int, end: int, ts: int
    ) -> int:
        low, high = oldest, end
        for _ in range(_PROBES):
            if high - low <= _NEAR:
                break
            middle = (low + high) // 2
            record = await self._probe(consumer, partition, middle)
            if record is None or record.timestamp >= ts or record.offset >= high:
                high = middle
            else:
                low = record.offset + 1
        return low

    async def _probe(self, consumer: Consumer, partition: TopicPartition, offset: int) -> Record | None:
        await consumer.seek(partition, offset)
        deadline = time.monotonic() + self._seconds
        while time.monotonic() < deadline:
            found = await bounded(BUS, self._seconds, consumer.fetch(1, _PATIENCE))
            mine = [r for r in found if (r.topic, r.partition) == partition and r.offset >= offset]
            if mine or not found:
                return mine[0] if mine else None
        return None

    async def read(
        self,
        spans: Mapping[TopicPartition, tuple[int, int]],
        budget: Budget,
        take: Callable[[Record], bool],
    ) -> bool:
        """Give `take` the records of offsets [begin, end) of each partition, until it returns False.

        Returns whether all was read, or `take` has had enough: False if the budget ended it.
        """
        full = {partition: span for partition, span in spans.items() if span[0] < span[1]}
        if not full:
            return True
        async with self._bus.consumer(Subscription(NOBODY, partitions=tuple(full))) as consumer:
            for partition, (begin, _) in full.items():
                await consumer.seek(partition, begin)
            return await self._read(consumer, full, budget, take)

    async def _read(
        self,
        consumer: Consumer,
        full: Mapping[TopicPartition, tuple[int, int]],
        budget: Budget,
        take: Callable[[Record], bool],
    ) -> bool:
        quiet = 0
        while any(consumer.position(partition) < end for partition, (_, end) in full.items()):
            if budget.spent:
                return False
            try:
                records = await bounded(BUS, self._seconds, consumer.fetch(self._batch, _PATIENCE))
            except OffsetOutOfRangeError:
                return False  # retention was faster; what is left is what there is
            quiet = 0 if records else quiet + 1
            if quiet * nanoseconds(_PATIENCE) > nanoseconds(self._seconds):
                return True  # what is left of these partitions was compacted away, or is a transaction's mark
            for record in records:
                if record.offset >= full[TopicPartition(record.topic, record.partition)][1]:
                    continue
                budget.note(record)
                if not take(record):
                    return True
        return True
