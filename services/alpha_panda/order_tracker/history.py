"""Reads what Kafka still keeps of a topic, from its oldest record to its present end."""

from collections.abc import AsyncIterator, Sequence

import structlog

from alpha_panda.contracts.events import Envelope
from alpha_panda.errors import RecordError
from alpha_panda.ports import EventBus, Subscription
from alpha_panda.runtime.records import event_of

log = structlog.get_logger()


async def kept_events(
    bus: EventBus, topics: Sequence[str], group: str, max_records: int
) -> AsyncIterator[Envelope]:
    """Yield the events of each topic in turn, up to its end at that moment. What can't be decoded is logged."""
    for topic in topics:
        offsets = await bus.offsets(topic)
        left = {partition: end for partition, (oldest, end) in offsets.items() if oldest < end}
        if not left:
            continue
        async with bus.consumer(Subscription(group, partitions=tuple(left))) as consumer:
            for partition in left:
                await consumer.seek(partition, offsets[partition][0])
            while any(consumer.position(partition) < end for partition, end in left.items()):
                for record in await consumer.fetch(max_records):
                    try:
                        yield event_of(record)
                    except RecordError as error:
                        log.error("record_skipped", record=record.id, error=str(error))  # noqa: TRY400
