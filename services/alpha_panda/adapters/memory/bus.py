"""The EventBus inside one process, with Kafka's semantics: partitions, groups, commits, redelivery."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Final

from alpha_panda.adapters.ids import RandomIds
from alpha_panda.adapters.memory.consumer import MemoryConsumer
from alpha_panda.adapters.memory.faults import Faults
from alpha_panda.adapters.memory.groups import Group
from alpha_panda.adapters.memory.producer import MemoryProducer
from alpha_panda.adapters.memory.topics import Observer, Topics
from alpha_panda.contracts.topics import TopicSpec
from alpha_panda.errors import MisuseError
from alpha_panda.ports import Clock, IdSource, Subscription, TopicPartition

RETAIN_RECORDS: Final = 10_000
MAX_BACKLOG: Final = 10_000
PATIENCE: Final = 5.0


class MemoryBus:
    """Topics, groups and offsets in memory. Use within one event loop.

    At least once: what a consumer fetched but did not commit before it left is delivered again. A fetch returns
    records in the order of their arrival across all its partitions, so the same program gives the same trace.

    Memory stays flat: of each partition the last `retain_records` are kept, and before them whatever a known group
    may still ask for: from its committed offset on; for a connected group that has never committed, from where it
    began. So readers must commit. A group that has committed once and stays away holds records back for ever.

    Args:
        clock: stamps records; fetch time-outs and back-pressure wait on it.
        ids: makes the topics' identities.
        retain_records: per partition; None keeps all.
        max_backlog: records of one partition that a connected reader may be behind before senders wait; None: any.
        patience: seconds for which a sender waits then.

    """

    def __init__(
        self,
        clock: Clock,
        *,
        ids: IdSource | None = None,
        retain_records: int | None = RETAIN_RECORDS,
        max_backlog: int | None = MAX_BACKLOG,
        patience: float = PATIENCE,
    ) -> None:
        self.faults = Faults()
        self._clock = clock
        self._ids = ids or RandomIds()
        self._patience = patience
        self._topics = Topics(retain_records, max_backlog)
        self._groups: dict[str, Group] = {}

    async def ensure_topics(self, topics: Iterable[TopicSpec]) -> None:
        """Create what is missing; TopicMismatchError (and nothing created) on another partition count."""
        missing = self._topics.missing(tuple(topics))
        for spec in missing:
            self._topics.create(spec, self._ids.new_id())
        self._rebalance_for(spec.name for spec in missing)

    async def topic_id(self, topic: str) -> str:
        """Return the topic's identity; DependencyUnavailableError if it doesn't exist."""
        return self._topics.get(topic).id

    async def offsets(self, topic: str) -> dict[TopicPartition, tuple[int, int]]:
        """Return (oldest kept, next) offset of each partition; a compacted topic can be read from 0 for ever."""
        return {log.tp: (log.start, log.end) for log in self._topics.get(topic).logs}

    async def topics(self) -> frozenset[str]:
        """Return the names of all topics."""
        return frozenset(self._topics.counts())

    async def delete_records(self, partition: TopicPartition, before: int) -> None:
        """Delete the records of lower offsets, whoever may want them; -1, or an offset beyond the end: all."""
        log = self._topics.log(partition)
        log.drop_before(log.end if before < 0 else before)

    @asynccontextmanager
    async def producer(self, client: str) -> AsyncIterator[MemoryProducer]:
        """Open a producer."""
        producer = MemoryProducer(client, self._topics, self._clock, self.faults, self._patience)
        try:
            yield producer
        finally:
            producer.close()

    @asynccontextmanager
    async def consumer(self, subscription: Subscription) -> AsyncIterator[MemoryConsumer]:
        """Open a consumer; leaving the context leaves the group without committing.

        Topics that don't exist yet are assigned once they do; a `partitions` entry must exist.

        Raises:
            MisuseError: both or neither of `topics` and `partitions` are given.
            DependencyUnavailableError: one of `partitions` is of an unknown topic.

        """
        if bool(subscription.topics) == bool(subscription.partitions):
            raise MisuseError(
                "a subscription names topics (to share with its group) or partitions (to read alone)"
            )
        consumer = MemoryConsumer(subscription, self._topics, self._clock, self.faults)
        try:
            if subscription.topics:
                self._group(subscription.group).join(consumer)
            else:
                consumer.assign(subscription.partitions)
            yield consumer
        finally:
            if subscription.topics:
                self._group(subscription.group).leave(consumer)
            consumer.close()

    def observe(self, callback: Observer) -> Callable[[], None]:
        """Call `callback` with every record as it is appended, in order; returns how to stop that.

        It runs inside `send`, so it must be quick and must not raise.
        """
        self._topics.observers.append(callback)
        return lambda: self._topics.observers.remove(callback)

    def generation(self, group: str) -> int:
        """Return how often the group has been rebalanced."""
        return self._group(group).generation

    def delete_topic(self, topic: str) -> None:
        """Remove a topic, its records and its committed offsets (for tests: nothing of ours deletes one)."""
        self._topics.delete(topic)
        self._rebalance_for([topic])

    def _group(self, name: str) -> Group:
        if name not in self._groups:
            self._groups[name] = Group(name, self._topics.counts)
        return self._groups[name]

    def _rebalance_for(self, topics: Iterable[str]) -> None:
        changed = tuple(topics)
        for group in self._groups.values():
            if any(group.subscribes(topic) for topic in changed):
                group.rebalance()
