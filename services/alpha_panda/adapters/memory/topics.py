"""The memory bus's topics, and the one place where records are appended."""

from collections.abc import Callable, Sequence
from functools import lru_cache

from alpha_panda.adapters.memory.log import BUS, PartitionLog
from alpha_panda.contracts.topics import TopicSpec, key_partition
from alpha_panda.errors import DependencyUnavailableError, MisuseError, RecordError, TopicMismatchError
from alpha_panda.ports import Outgoing, Record, RecordPosition, TopicPartition

Observer = Callable[[Record], None]

_partition_of_key = lru_cache(maxsize=65_536)(
    key_partition
)  # a hash in pure Python; the same few keys come again


class Topic:
    """A topic: its identity and its partitions."""

    def __init__(self, spec: TopicSpec, topic_id: str, retain: int | None, max_backlog: int | None) -> None:
        self.spec = spec
        self.id = topic_id
        self.logs = tuple(
            PartitionLog(TopicPartition(spec.name, partition), retain, max_backlog, compacted=spec.compacted)
            for partition in range(spec.partitions)
        )
        self._turn = 0

    def route(self, outgoing: Outgoing) -> PartitionLog:
        """Return the partition that the record goes to: the one it names, else its key's, else the next in turn."""
        if outgoing.key is None and self.spec.compacted:
            raise RecordError(f"topic {self.spec.name} is compacted: a record needs a key")
        if outgoing.partition is not None:
            return self.log(outgoing.partition)
        if len(self.logs) == 1:
            return self.logs[0]
        if outgoing.key is not None:
            return self.logs[_partition_of_key(outgoing.key, len(self.logs))]
        self._turn += 1
        return self.logs[(self._turn - 1) % len(self.logs)]

    def log(self, partition: int) -> PartitionLog:
        """Return a partition; MisuseError if there is none of that number."""
        if not 0 <= partition < len(self.logs):
            raise MisuseError(
                f"topic {self.spec.name} has {len(self.logs)} partitions, there is no {partition}"
            )
        return self.logs[partition]


class Topics:
    """All topics of a bus, by name.

    Args:
        retain: see `PartitionLog`.
        max_backlog: see `PartitionLog`.

    """

    def __init__(self, retain: int | None, max_backlog: int | None) -> None:
        self.observers: list[Observer] = []
        self._retain = retain
        self._max_backlog = max_backlog
        self._topics: dict[str, Topic] = {}
        self._arrivals = 0

    def create(self, spec: TopicSpec, topic_id: str) -> None:
        """Add a topic that doesn't exist."""
        self._topics[spec.name] = Topic(spec, topic_id, self._retain, self._max_backlog)

    def missing(self, specs: Sequence[TopicSpec]) -> list[TopicSpec]:
        """Return those of `specs` that don't exist; TopicMismatchError if one exists in another form."""
        for spec in specs:
            there = self._topics.get(spec.name)
            if there is not None and there.spec.partitions != spec.partitions:
                raise TopicMismatchError(
                    f"topic {spec.name} has {there.spec.partitions} partitions, {spec.partitions} are configured; "
                    "the count of a topic never changes: set the configuration back, or use another name"
                )
        return [spec for spec in specs if spec.name not in self._topics]

    def delete(self, name: str) -> None:
        """Remove a topic with its records and committed offsets."""
        topic = self.get(name)
        del self._topics[name]
        for log in topic.logs:
            log.delete()

    def get(self, name: str) -> Topic:
        """Return a topic; DependencyUnavailableError if there is none (Kafka without auto-creation)."""
        try:
            return self._topics[name]
        except KeyError:
            raise DependencyUnavailableError(
                BUS, f"there is no topic {name}; `ensure_topics` makes it"
            ) from None

    def counts(self) -> dict[str, int]:
        """Return each topic's number of partitions."""
        return {name: topic.spec.partitions for name, topic in self._topics.items()}

    def log(self, tp: TopicPartition) -> PartitionLog:
        """Return a partition; errors as those of `get` and `Topic.log`."""
        return self.get(tp.topic).log(tp.partition)

    def route(self, records: Sequence[Outgoing]) -> list[PartitionLog]:
        """Return each record's partition; if one has none, nothing is written of any."""
        return [self.get(record.topic).route(record) for record in records]

    def append(
        self, logs: Sequence[PartitionLog], records: Sequence[Outgoing], timestamp: int
    ) -> list[RecordPosition]:
        """Write the records to their partitions, in order, and show each to the observers."""
        positions = []
        for log, outgoing in zip(logs, records, strict=True):
            self._arrivals += 1
            record = log.append(outgoing, timestamp, self._arrivals)
            for observer in self.observers:
                observer(record)
            positions.append(RecordPosition(record.topic, record.partition, record.offset))
        return positions
