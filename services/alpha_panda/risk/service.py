"""The risk service: one a BrokerAccount. Raw signals in, one stored decision each, then the event that tells it.

One task handles all input in order, so that no order event is ever folded between computing and recording a
decision. The decisions between two order events are stored in one step and then produced together. The order of
effects (DESIGN section 4, "Risk decides once"): record the decision → produce it → pass its raw offset in the
snapshot. Input is read from the snapshot's offsets, never from the group's. What was lost
between them and what the topics still keep is a gap, and a gap in `orders.*` halts the account.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

import structlog

from alpha_panda.contracts.events import CancelRequest, Envelope, OrderUpdate, Signal
from alpha_panda.contracts.keys import risk_lease
from alpha_panda.contracts.stored import RiskSnapshot
from alpha_panda.contracts.topics import TopicMap
from alpha_panda.contracts.units import nanoseconds
from alpha_panda.errors import RecordError, UndecodableRecordError
from alpha_panda.ports import Consumer, Producer, Record, Subscription, TopicPartition
from alpha_panda.runtime.builder import StreamServiceBuilder
from alpha_panda.runtime.context import ServiceContext
from alpha_panda.runtime.control_topics import installation_topics
from alpha_panda.runtime.dead_letter import dead_letter_topics
from alpha_panda.runtime.logging import log_fields
from alpha_panda.runtime.metrics.metrics import Reading
from alpha_panda.runtime.reading import RecordReader
from alpha_panda.runtime.records import event_of
from alpha_panda.runtime.registry import ServiceDefinition
from alpha_panda.runtime.service import StreamService
from alpha_panda.runtime.venues import broker_of

from .desk import Desk
from .requests import some_flat

log = structlog.get_logger()


class RiskService:
    """Moves records between the bus and the desk, and the desk's memory into the store."""

    def __init__(self, context: ServiceContext) -> None:
        self._account = context.resource
        self._settings = context.settings
        self._bus = context.ports.bus
        self._store = context.ports.decisions(context.resource)
        self._journal = context.ports.journal(context.resource)
        self._instance = context.instance
        self.topics = TopicMap(context.resource, context.settings.topic_prefix)
        self.group = f"{context.settings.topic_prefix}{context.resource}.risk"
        self._desk = Desk(context, self._store)
        self._next: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._consumer: Consumer | None = None
        self._clock = context.ports.clock
        self._saved: dict[TopicPartition, int] = {}
        self._between_saves = nanoseconds(context.settings.portfolio_change_seconds)
        self._saved_at = self._clock.monotonic() - self._between_saves
        self._busy = asyncio.Lock()
        self._torn = False
        self._tracer = context.tracer("risk")
        self._begun: int | None = None
        self.service: StreamService

    async def claim(self) -> None:
        """Take over the account: a fresh epoch, all decisions, and the place in the input."""
        self._desk.heed_calendar()
        claim = await self._store.claim(self._instance)
        self._desk.take_over(claim)
        stored = claim.snapshot.offsets if claim.snapshot is not None else {}
        kept = {
            partition: offsets
            for topic in (self.topics.signals_raw, *self.topics.orders)
            for partition, offsets in (await self._bus.offsets(topic)).items()
        }
        if claim.snapshot is None:
            self._desk.begin_after({partition: end for partition, (_, end) in kept.items()})
        gaps = [
            await self._begin(partition, stored.get(str(partition), 0), *offsets)
            for partition, offsets in kept.items()
        ]
        if any(gaps):
            await self._save()  # a latch that a person has cleared must not be set again for the same gap

    async def _begin(self, partition: TopicPartition, wanted: int, oldest: int, end: int) -> bool:
        """Set where to read on; True if that is not what was wanted: records are lost, or the topic is another."""
        gap = not oldest <= wanted <= end
        self._next[partition] = oldest if gap else wanted
        if gap:
            log.error(
                "input_lost", account=self._account, partition=str(partition), wanted=wanted, oldest=oldest
            )
            self.service.record_error()
            if partition.topic in self.topics.orders:
                await self._desk.on_gap(partition, wanted, oldest, self.service.producer)
        return gap

    async def run(self, producer: Producer) -> None:
        """Consume until cancelled."""
        async with self._bus.consumer(Subscription(self.group, partitions=tuple(self._next))) as consumer:
            for partition, offset in self._next.items():
                await consumer.seek(partition, offset)
            self._consumer = consumer
            self.service.reading()
            async with self._busy:
                await self._desk.re_emit_closing(producer)
                await self._desk.publish(producer, "start")
            try:
                await self._follow(self.service.reader(consumer), producer)
            finally:
                self._consumer = None

    async def _follow(self, reader: RecordReader, producer: Producer) -> None:
        while True:
            records = await reader.fetch(self._settings.fetch_max_records)
            async with self._busy:
                await self._handle(records, producer)
            self.service.record_processed(len(records), records[-1].timestamp if records else 0)

    async def _handle(self, records: Sequence[Record], producer: Producer) -> None:
        """Handle records to their end. Whatever interrupts that leaves memory that must not be saved.

        Order events first: all decisions are then made on one book, and stored and told together.
        """
        self._torn = True
        if self._tracer.on:
            self._begun = self._clock.now()
        signals = [record for record in records if record.topic == self.topics.signals_raw]
        await self._take_all(
            [record for record in records if record.topic != self.topics.signals_raw], producer
        )
        await self._desk.share_out(self._next, self._order_ends, producer)
        await self._desk.look_up([*self._signals(signals)])
        await self._take_all(signals, producer)
        await self._desk.flush(producer)
        due = self._keeps_now()
        if due:
            await self._keep(producer)
        self._torn = False
        if due:
            await self._desk.publish_changes(producer)
        if self._clock.virtual:  # on a real one `mark` does, each second: a signal need not wait for it
            await self._commit()

    def _keeps_now(self) -> bool:
        """Whether to store what there is now: in a replay always, else when the book has changed, at intervals."""
        if self._clock.virtual:
            return True
        return self._desk.unpublished and self._clock.monotonic() - self._saved_at >= self._between_saves

    async def _keep(self, producer: Producer) -> None:
        """Mark the book if it has changed, and store it with the place in the input.

        It is the whole book, so on a real clock not for each record: what a kill takes of the memory is read again,
        and folded or told again, with the same result. What is not kept now, `mark` keeps within a second.
        """
        await self._desk.settle_up(producer)
        await self._save()

    async def _commit(self) -> None:
        """Tell the group how far input is handled. For lag figures alone: reading starts from the snapshot."""
        if self._consumer is not None and self._next != self._committed:
            offsets = dict(self._next)
            await self._consumer.commit(offsets)
            self._committed = offsets

    def _signals(self, records: Sequence[Record]) -> Iterator[Signal | CancelRequest]:
        """Yield what the records of signals hold; what can't be read is set aside at its turn."""
        for record in records:
            with suppress(RecordError):
                data = event_of(record).data
                if isinstance(data, Signal | CancelRequest):
                    yield data

    async def _take_all(self, records: Sequence[Record], producer: Producer) -> None:
        for record in records:
            await self._take(record, producer)
            self.service.progressed()

    async def _take(self, record: Record, producer: Producer) -> None:
        """Handle one record to its end; its offset moves on only then.

        A RecordError is the record's own fault here: whatever else fails is an UntoldError (see the desk).
        """
        try:
            event = event_of(record)
            with (
                log_fields(correlation_id=event.correlation_id),
                self._tracer.process(record, event, self.group, at=self._begun),
            ):
                await self._give(record, event, producer)
        except RecordError as error:
            self.service.record_error(error)
            if record.topic in self.topics.orders:
                await self._desk.on_unreadable(record.id, producer)
            await self.service.dead_letter(record, error)
        self._next[TopicPartition(record.topic, record.partition)] = record.offset + 1

    async def _give(self, record: Record, event: Envelope, producer: Producer) -> None:
        data, raw = event.data, record.topic == self.topics.signals_raw
        if raw and isinstance(data, Signal) and data.closing:
            raise UndecodableRecordError(f"event {event.id}: closing signals are risk's own")
        if raw and isinstance(data, Signal | CancelRequest):
            await self._desk.on_signal(event, data, producer)
        elif not raw and isinstance(data, OrderUpdate):
            await self._desk.flush(producer)  # a decision is stored on the book that it was made on
            at = (TopicPartition(record.topic, record.partition), record.offset)
            await self._desk.on_order(event, data, producer, at)
        else:
            raise UndecodableRecordError(
                f"event {event.id} of type {event.type} does not belong on {record.topic}"
            )

    async def _save(self) -> None:
        offsets = {str(partition): offset for partition, offset in self._next.items()}
        await self._desk.save(RiskSnapshot(offsets=offsets, state=self._desk.encode()))
        self._saved, self._saved_at = dict(self._next), self._clock.monotonic()

    def _unkept(self) -> bool:
        return self._saved != self._next or self._desk.unpublished

    async def mark(self) -> None:
        """Mark the book at the latest prices, latch what lost too much, and keep the day's peak and last value.

        Then publish the book if it has changed or its equity has moved; after the save, like every book. And commit.
        """
        self._desk.heed_calendar()
        producer = self.service.producer
        async with self._busy:
            if not self._torn:
                await self._desk.share_out(self._next, self._order_ends, producer)
            if not self._torn and (await self._desk.mark(producer) or self._unkept()):
                await self._keep(producer)
                await self._desk.publish_changes(producer)
                await self._desk.publish_moves(producer)
            if not self._torn:
                await self._commit()

    async def heed_operator(self) -> None:
        """Clear the latches that manifests name, and go on with closing what deleted strategies hold.

        That a strategy is flat is reported only after a save that our epoch fences: one who was replaced says nothing.
        """
        producer = self.service.producer
        async with self._busy:
            if self._torn:
                return
            await self._desk.clear_latches(producer)
            now = self._clock.now()
            teardowns = await self._desk.tear_down(self._next, self._ends, producer)
            if some_flat(teardowns):
                await self._keep(producer)
            self._desk.report(teardowns, now)

    async def _ends(self) -> dict[TopicPartition, int]:
        """Return the ends of the account's input as they are now."""
        return await self._ends_of(self.topics.signals_raw, *self.topics.orders)

    async def _order_ends(self) -> dict[TopicPartition, int]:
        """Return the ends of what is told of the account's orders."""
        return await self._ends_of(*self.topics.orders)

    async def _ends_of(self, *topics: str) -> dict[TopicPartition, int]:
        found = [await self._bus.offsets(topic) for topic in topics]
        return {partition: end for offsets in found for partition, (_, end) in offsets.items()}

    async def finish(self) -> None:
        """Publish the final book (graceful stop), unless somebody else has taken over."""
        if not self._torn:
            await self._save()
        await self._desk.publish(self.service.producer, "stop")

    async def lacks_epoch(self) -> str | None:
        """Say so while the journal has no valid epoch: nothing that increases exposure is decided without."""
        return (
            None if await self._journal.epoch() is not None else f"account {self._account} is not reconciled"
        )

    def details(self) -> Mapping[str, str | int | float | bool | None]:
        """Figures for get_status."""
        return self._desk.figures()

    def figures(self) -> Iterator[Reading]:
        """Return the book's figures; before it is loaded there are none: a book that looks empty is a wrong one."""
        return iter(()) if self._consumer is None else self._desk.book_figures.read()


def build(context: ServiceContext) -> StreamService:
    """Wire the risk service of the account that the context names.

    The lease keeps a second one waiting; what fences the writes of one that was replaced is the claimed epoch.
    """
    settings = context.settings
    risk = RiskService(context)
    inputs = (risk.topics.signals_raw, *risk.topics.orders)
    builder = (
        StreamServiceBuilder("risk", context)
        .log_fields(account=context.resource, broker=broker_of(context.resources.accounts[context.resource]))
        .topics(risk.topics.specs(settings.order_partitions))
        .topics(dead_letter_topics(inputs))
        .topics(installation_topics(settings.installation))
        .with_lease(risk_lease(context.resource))
        .on_start(risk.claim)
        .consume_with(risk.run, "decide", tells_reading=True)
        .every(settings.portfolio_interval_seconds, risk.mark, name="mark")
        .needs("reconciled", risk.lacks_epoch)
        .on_stop(risk.finish)
        .details(risk.details)
        .figures(risk.figures)
    )
    if context.ports.operated:
        builder.every(settings.portfolio_interval_seconds, risk.heed_operator, name="requests")
    risk.service = builder.build()
    return risk.service


SERVICE = ServiceDefinition(name="risk", kind="BrokerAccount", build=build, start_order=20)
