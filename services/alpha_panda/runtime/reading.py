"""Reads a consumer so that one that gets nothing of what there is does not go unnoticed."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import structlog

from alpha_panda.contracts.units import nanoseconds
from alpha_panda.errors import ConsumerStalledError, TransientError
from alpha_panda.ports import Clock, Consumer, EventBus, Record, TopicPartition
from alpha_panda.runtime.tasks import intake

log = structlog.get_logger()


async def unread(bus: EventBus, consumer: Consumer) -> dict[TopicPartition, tuple[int, int]]:
    """Return (next to read, end) of each assigned partition that holds more; each topic is asked once.

    Raises:
        TransientError: the bus can't tell.

    """
    assigned = sorted(consumer.assignment())
    ends: dict[TopicPartition, int] = {}
    for topic in dict.fromkeys(partition.topic for partition in assigned):
        ends |= {partition: end for partition, (_, end) in (await bus.offsets(topic)).items()}
    places = {partition: (consumer.position(partition), ends[partition]) for partition in assigned}
    return {partition: (position, end) for partition, (position, end) in places.items() if position < end}


def _ignored() -> None:
    """Tell nobody."""


class RecordReader:
    """A consumer's input. On a wall clock it asks every `poll_seconds`, and knows how long it has got nothing.

    `on_idle` is called whenever it has asked and there was nothing.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - a consumer, and what there is to say of reading it
        self,
        consumer: Consumer,
        bus: EventBus,
        clock: Clock,
        poll_seconds: float,
        stall_seconds: float,
        on_idle: Callable[[], None] = _ignored,
    ) -> None:
        self._consumer = consumer
        self._bus = bus
        self._clock = clock
        self._poll = poll_seconds
        self._stall = nanoseconds(stall_seconds)
        self._quiet_since = clock.monotonic()
        self._on_idle = on_idle
        self._handed: Sequence[Record] = ()

    @property
    def handed(self) -> Mapping[str, int]:
        """How many records of each topic were handed over last; until the next `fetch`, whoever asked has them in hand."""
        return Counter(record.topic for record in self._handed)

    async def lag(self) -> dict[str, int]:
        """Return how many records of each topic are there and have not been fetched.

        Raises:
            TransientError: the bus can't tell.

        """
        # All places at once, before anything is awaited: a partition may move away meanwhile.
        places = {partition: self._consumer.position(partition) for partition in self._consumer.assignment()}
        found = dict.fromkeys(sorted(partition.topic for partition in places), 0)
        for topic in found:
            for partition, (_, end) in (await self._bus.offsets(topic)).items():
                found[topic] += max(0, end - places.get(partition, end))
        return found

    async def fetch(self, max_records: int) -> list[Record]:
        """Wait for records, as input: a graceful stop interrupts it.

        Raises:
            ConsumerStalledError: the consumer has got nothing for `stall_seconds` although there is more.
            OffsetOutOfRangeError, TransientError: as the consumer.

        """
        self._handed = ()
        if self._clock.virtual:
            self._handed = records = await intake(self._consumer.fetch(max_records))
            return records
        while True:
            records = await intake(self._consumer.fetch(max_records, self._poll))
            if records:
                self._quiet_since = self._clock.monotonic()
                self._handed = records
                return records
            self._on_idle()
            if self._clock.monotonic() - self._quiet_since >= self._stall:
                await self._look()
                self._quiet_since = self._clock.monotonic()

    async def _look(self) -> None:
        """Compare where the consumer is with what its partitions hold."""
        try:
            behind = await unread(self._bus, self._consumer)
        except TransientError as error:
            log.warning("quiet consumer not checked", error=str(error))
            return
        if behind:
            partition, (position, end) = next(iter(behind.items()))
            raise ConsumerStalledError(
                f"nothing of {partition} has come for {self._stall / 1e9:g} s, but it has records up to {end}, and "
                f"{position} is the next to read; the service starts anew"
            )
