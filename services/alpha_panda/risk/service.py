"""The risk service: one a BrokerAccount. Raw signals in, one stored decision each, then the event that tells it.

One task handles all input in order, so that no order event is ever folded between computing and recording a
decision. The order of effects (DESIGN section 4, "Risk decides once"): record the decision → produce it → pass
its raw offset in the snapshot. Input is read from the snapshot's offsets, never from the group's.
"""

import asyncio
from collections.abc import Mapping

import structlog

from alpha_panda.contracts.events import CancelRequest, OrderUpdate, Signal
from alpha_panda.contracts.stored import RiskSnapshot
from alpha_panda.contracts.topics import TopicMap
from alpha_panda.errors import RecordError
from alpha_panda.ports import Consumer, Producer, Record, Subscription, TopicPartition
from alpha_panda.runtime.builder import StreamServiceBuilder
from alpha_panda.runtime.context import ServiceContext
from alpha_panda.runtime.dead_letter import DeadLetters, Failure, dead_letter_topics
from alpha_panda.runtime.records import event_of
from alpha_panda.runtime.registry import ServiceDefinition
from alpha_panda.runtime.service import StreamService
from alpha_panda.runtime.tasks import intake

from .desk import Desk

log = structlog.get_logger()


class RiskService:
    """Moves records between the bus and the desk, and the desk's memory into the store."""

    def __init__(self, context: ServiceContext) -> None:
        self._account = context.resource
        self._settings = context.settings
        self._bus = context.ports.bus
        self._store = context.ports.decisions(context.resource)
        self._instance = context.instance
        self.topics = TopicMap(context.resource, context.settings.topic_prefix)
        self.group = f"{context.settings.topic_prefix}{context.resource}.risk"
        self._desk = Desk(context, self._store)
        self._next: dict[TopicPartition, int] = {}
        self._saved: RiskSnapshot | None = None
        self._busy = asyncio.Lock()
        self.service: StreamService

    async def claim(self) -> None:
        """Take over the account: a fresh epoch, all decisions, and the place in the input."""
        claim = await self._store.claim(self._instance)
        self._desk.take_over(claim)
        stored = claim.snapshot.offsets if claim.snapshot is not None else {}
        for topic in (self.topics.signals_raw, *self.topics.orders):
            for partition, (oldest, _) in (await self._bus.offsets(topic)).items():
                self._next[partition] = max(stored.get(str(partition), oldest), oldest)

    async def run(self, producer: Producer) -> None:
        """Consume until cancelled."""
        letters = DeadLetters(producer, "risk")
        async with self._bus.consumer(Subscription(self.group, partitions=tuple(self._next))) as consumer:
            for partition, offset in self._next.items():
                await consumer.seek(partition, offset)
            async with self._busy:
                await self._desk.re_emit_closing(producer)
                await self._desk.publish(producer, "start")
            while True:
                records = await intake(consumer.fetch(self._settings.fetch_max_records))
                async with self._busy:
                    for record in records:
                        await self._take(record, producer, letters)
                    await self._desk.settle_up(producer)
                    await self._save(consumer)
                self.service.record_processed(len(records), records[-1].timestamp if records else 0)

    async def _take(self, record: Record, producer: Producer, letters: DeadLetters) -> None:
        """Handle one record to its end; its offset moves on only then."""
        try:
            event = event_of(record)
            data = event.data
            if isinstance(data, Signal | CancelRequest):
                await self._desk.on_signal(event, data, producer)
            elif isinstance(data, OrderUpdate):
                await self._desk.on_order(event, data, producer)
        except RecordError as error:
            self.service.record_error()
            log.error("record_set_aside", record=record.id, account=self._account, error=str(error))  # noqa: TRY400
            await letters.put(record, Failure.of(error, 1))
        self._next[TopicPartition(record.topic, record.partition)] = record.offset + 1

    async def _save(self, consumer: Consumer) -> None:
        offsets = {str(partition): offset for partition, offset in self._next.items()}
        await self._desk.save(RiskSnapshot(offsets=offsets, state=self._desk.encode()))
        await consumer.commit(dict(self._next))

    async def mark(self) -> None:
        """Mark the book at the latest prices, latch what lost too much, publish what has changed."""
        async with self._busy:
            await self._desk.mark(self.service.producer)

    async def finish(self) -> None:
        """Publish the final book (graceful stop)."""
        await self._desk.publish(self.service.producer, "stop")

    def details(self) -> Mapping[str, str | int | float | bool | None]:
        """Figures for get_status."""
        return self._desk.figures()


def build(context: ServiceContext) -> StreamService:
    """Wire the risk service of the account that the context names."""
    settings = context.settings
    risk = RiskService(context)
    inputs = (risk.topics.signals_raw, *risk.topics.orders)
    risk.service = (
        StreamServiceBuilder("risk", context)
        .topics(risk.topics.specs(settings.order_partitions))
        .topics(dead_letter_topics(inputs))
        .on_start(risk.claim)
        .consume_with(risk.run, "decide")
        .every(settings.portfolio_interval_seconds, risk.mark, name="mark")
        .on_stop(risk.finish)
        .details(risk.details)
        .build()
    )
    return risk.service


SERVICE = ServiceDefinition(name="risk", kind="BrokerAccount", build=build, start_order=20)
