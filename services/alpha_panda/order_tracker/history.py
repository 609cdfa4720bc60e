"""Reads what Kafka still keeps of a topic, from its oldest record to its present end, a page at a time."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import structlog

from alpha_panda.contracts.events import Envelope
from alpha_panda.errors import RecordError
from alpha_panda.ports import Consumer, EventBus, Record, Subscription, TopicPartition
from alpha_panda.runtime.records import event_of

log = structlog.get_logger()

Unreadable = Callable[[Record], Awaitable[None]]
"""Is told of each record that can't be decoded."""


class History:
    """Reads topics page by page; what it has read once it does not read again.

    `progressed` is called with each page that had records: the reading may last minutes.
    """

    def __init__(
        self,
        bus: EventBus,
        max_records: int,
        unreadable: Unreadable,
        progressed: Callable[[], None],
    ) -> None:
        self._bus = bus
        self._max_records = max_records
        self._unreadable = unreadable
        self._progressed = progressed
        self._read_to: dict[TopicPartition, int] = {}

    async def pages(self, *topics: str) -> AsyncIterator[list[Envelope]]:
        """Yield the events of each topic in turn, up to its end at that moment, from where the last call ended."""
        for topic in topics:
            offsets = await self._bus.offsets(topic)
            starts = {of: max(oldest, self._read_to.get(of, 0)) for of, (oldest, _) in offsets.items()}
            left = {of: end for of, (_, end) in offsets.items() if starts[of] < end}
            if not left:
                continue
            # No group: nothing is stored under it, and it would need a right of its own.
            async with self._bus.consumer(Subscription("", partitions=tuple(left))) as consumer:
                for partition in left:
                    await consumer.seek(partition, starts[partition])
                while any(consumer.position(partition) < end for partition, end in left.items()):
                    yield await self._page(consumer)
            self._read_to.update(left)

    async def events(self, *topics: str) -> AsyncIterator[Envelope]:
        """Yield what `pages` does, one by one."""
        async for page in self.pages(*topics):
            for event in page:
                yield event

    async def _page(self, consumer: Consumer) -> list[Envelope]:
        records = await consumer.fetch(self._max_records)
        if records:
            self._progressed()
        return await self._decoded(records)

    async def _decoded(self, records: Sequence[Record]) -> list[Envelope]:
        events = []
        for record in records:
            try:
                events.append(event_of(record))
            except RecordError as error:
                log.error("record_unreadable", record=record.id, error=str(error))  # noqa: TRY400
                await self._unreadable(record)
        return events
