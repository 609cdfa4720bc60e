"""How long something took, by the wall's clock and by this process's CPU, and when a service began and ended it."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from alpha_panda.ports import Consumer, EventBus, Record, Subscription, TopicPartition


@dataclass(frozen=True, slots=True)
class Cost:
    """What so many items took, in seconds. `cpu` is that of this process alone, not that of the servers."""

    items: int
    wall: float
    cpu: float


@dataclass(slots=True)
class Span:
    """A piece of work of `records` records that counts as `items`: from `begin` to `end`.

    `by_commit`: it ends when all its records are committed, where a service goes on reading meanwhile (lanes).
    """

    records: int
    items: int
    by_commit: bool = False
    seen: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    _begun: tuple[float, float] | None = None
    _cost: Cost | None = None

    def begin(self) -> None:
        """Start the clocks, the first time."""
        if self._begun is None:
            self._begun = time.perf_counter(), time.process_time()

    def end(self) -> None:
        """Stop the clocks, the first time."""
        if self._begun is not None and self._cost is None:
            wall, cpu = self._begun
            self._cost = Cost(self.items, time.perf_counter() - wall, time.process_time() - cpu)
            self.ended.set()

    @property
    def cost(self) -> Cost:
        """What it took; RuntimeError before its end."""
        if self._cost is None:
            raise RuntimeError(f"not ended: {self.seen} of {self.records} records were read")
        return self._cost


class WatchedBus:
    """A bus whose consumers of one topic begin the span with their first records, and end it by asking for more.

    A service asks for more only when all that it had is handled, its effects are acknowledged, and what it commits
    is committed.
    """

    def __init__(self, bus: EventBus, topic: str, span: Span) -> None:
        self._bus = bus
        self._topic = topic
        self._span = span

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the bus has
        return getattr(self._bus, name)

    @asynccontextmanager
    async def consumer(self, subscription: Subscription) -> AsyncIterator[Any]:
        """Open a consumer, watched if it reads the topic."""
        topics = {*subscription.topics, *(partition.topic for partition in subscription.partitions)}
        async with self._bus.consumer(subscription) as consumer:
            yield _WatchedConsumer(consumer, self._topic, self._span) if self._topic in topics else consumer


class _WatchedConsumer:
    def __init__(self, consumer: Consumer, topic: str, span: Span) -> None:
        self._consumer = consumer
        self._topic = topic
        self._span = span
        self.seek = consumer.seek
        self._uncommitted: dict[TopicPartition, int] = {}

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the consumer has
        return getattr(self._consumer, name)

    def position(self, partition: TopicPartition) -> int:
        return self._consumer.position(partition)

    async def fetch(self, max_records: int, timeout: float | None = None) -> list[Record]:  # noqa: ASYNC109 - the port's
        if self._span.seen >= self._span.records and not self._span.by_commit:
            self._span.end()
        records = await self._consumer.fetch(max_records, timeout)
        found = sum(record.topic == self._topic for record in records)
        if found:
            self._span.begin()
            self._span.seen += found
        for record in records:
            self._uncommitted[TopicPartition(record.topic, record.partition)] = record.offset + 1
        return records

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        await self._consumer.commit(offsets)
        for partition, offset in offsets.items():
            if offset >= self._uncommitted.get(partition, offset + 1):
                del self._uncommitted[partition]
        if self._span.by_commit and self._span.seen >= self._span.records and not self._uncommitted:
            self._span.end()


@dataclass(frozen=True, slots=True)
class Comparison:
    """Ours against a bare loop in rounds taken in turn. `aim`: the share of its rate that ours should reach."""

    title: str
    unit: str
    aim: float
    ours: Sequence[Cost]
    bare: Sequence[Cost]

    @property
    def ratio(self) -> float:
        """Median over the rounds of our rate by the bare one's, by the wall's clock."""
        return statistics.median(b.wall / o.wall for o, b in zip(self.ours, self.bare, strict=True))

    @property
    def cpu_ratio(self) -> float:
        """The same by CPU of this process."""
        return statistics.median(b.cpu / o.cpu for o, b in zip(self.ours, self.bare, strict=True))

    def as_json(self) -> dict[str, Any]:
        """Return the figures."""
        return {
            "aim": self.aim,
            "ratio": self.ratio,
            "cpu_ratio": self.cpu_ratio,
            "met": self.ratio >= self.aim,
            "unit": self.unit,
            "ours_per_second": rate(self.ours),
            "bare_per_second": rate(self.bare),
            "ours_cpu_us_each": cpu_us(self.ours),
            "bare_cpu_us_each": cpu_us(self.bare),
            "rounds": len(self.ours),
        }


def rate(costs: Sequence[Cost]) -> float:
    """Return the median rate, items a second of wall time."""
    return statistics.median(cost.items / cost.wall for cost in costs)


def cpu_us(costs: Sequence[Cost]) -> float:
    """Return the median CPU of an item in microseconds."""
    return statistics.median(cost.cpu / cost.items * 1e6 for cost in costs)
