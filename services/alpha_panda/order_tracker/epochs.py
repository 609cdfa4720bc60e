"""The journal's epoch: what must happen before anybody trades on a store that has just begun a new run.

Without this a store that lost its tail could let a signal reach the broker a second time (DESIGN section 4,
"Redis comes back").
"""

from collections.abc import AsyncIterator, Sequence

import structlog
from msgspec.structs import replace

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, OrderStatus
from alpha_panda.contracts.events import Envelope, OrderUpdate, RejectedSignal, Signal, ValidatedSignal
from alpha_panda.contracts.stored import JournalEntry
from alpha_panda.contracts.topics import TopicMap
from alpha_panda.domain.ids import broker_tag
from alpha_panda.errors import RecordError
from alpha_panda.ports import Clock, EventBus, OrderJournal, Subscription, Trader
from alpha_panda.runtime.records import event_of

log = structlog.get_logger()


class EpochKeeper:
    """Writes the journal's epoch for a new run of the store, once it is safe."""

    def __init__(  # noqa: PLR0913 - everything that an epoch vouches for
        self,
        account: str,
        topics: TopicMap,
        bus: EventBus,
        journal: OrderJournal,
        trader: Trader,
        clock: Clock,
        send_within: int,
        lost_after: int,
        fetch_max_records: int,
    ) -> None:
        self._account = account
        self._topics = topics
        self._bus = bus
        self._journal = journal
        self._trader = trader
        self._clock = clock
        self._send_within = send_within
        self._lost_after = lost_after
        self._fetch_max_records = fetch_max_records

    async def ensure(self, lease_epoch: int) -> bool:
        """Return at once if the epoch is valid; else rebuild, wait, read the book, write. Says whether it wrote.

        Only a journal whose `signals.validated` has never held a record needs no wait.
        """
        if await self._journal.epoch() is not None:
            return False
        run_id = await self._journal.run_id()
        if not await self._never_traded():
            await self._rebuild(lease_epoch, run_id)
            await self._clock.sleep((self._send_within + self._lost_after) / 1e9)
            while not (await self._trader.order_book()).complete:
                await self._clock.sleep(self._send_within / 1e9)
        epoch = await self._journal.write_epoch(lease_epoch, run_id)
        log.info("journal_epoch_written", account=self._account, epoch=epoch)
        return True

    async def _never_traded(self) -> bool:
        offsets = await self._bus.offsets(self._topics.signals_validated)
        return all(end == 0 for _, end in offsets.values())

    async def _rebuild(self, lease_epoch: int, run_id: str) -> None:
        """Give the journal what Kafka knows: terminal events settle, a validated id without one is UNKNOWN."""
        validated: dict[str, tuple[Envelope, ValidatedSignal]] = {}
        outcomes: dict[str, OrderUpdate | RejectedSignal] = {}
        async for event in self._history(
            (self._topics.signals_validated, self._topics.signals_rejected, *self._topics.orders)
        ):
            data = event.data
            if isinstance(data, ValidatedSignal) and isinstance(data.original_signal, Signal):
                validated[data.original_signal.signal_id] = (event, data)
            elif isinstance(data, RejectedSignal):
                outcomes[data.original_signal.signal_id] = data
            elif isinstance(data, OrderUpdate) and not data.external:
                outcomes[data.signal_id] = _later(outcomes.get(data.signal_id), data)
        entries = [self._entry(event, data, outcomes.get(key)) for key, (event, data) in validated.items()]
        log.warning("journal_rebuilt_from_kafka", account=self._account, entries=len(entries), run_id=run_id)
        await self._journal.adopt(lease_epoch, run_id, entries)

    async def _history(self, topics: Sequence[str]) -> AsyncIterator[Envelope]:
        """Yield the topics' kept events up to their present ends."""
        for topic in topics:
            offsets = await self._bus.offsets(topic)
            left = {partition: end for partition, (oldest, end) in offsets.items() if oldest < end}
            if not left:
                continue
            subscription = Subscription(
                f"{self._topics.prefix}{self._account}.rebuild", partitions=tuple(left)
            )
            async with self._bus.consumer(subscription) as consumer:
                for partition, (oldest, _) in offsets.items():
                    if partition in left:
                        await consumer.seek(partition, oldest)
                while any(consumer.position(partition) < end for partition, end in left.items()):
                    for record in await consumer.fetch(self._fetch_max_records):
                        try:
                            yield event_of(record)
                        except RecordError as error:
                            log.error("record_skipped", record=record.id, error=str(error))  # noqa: TRY400

    def _entry(
        self, event: Envelope, decision: ValidatedSignal, outcome: OrderUpdate | RejectedSignal | None
    ) -> JournalEntry:
        signal = decision.original_signal
        assert isinstance(signal, Signal)
        now = self._clock.now()
        entry = JournalEntry(
            signal=signal,
            state=EntryState.UNKNOWN,
            signal_class=decision.signal_class,
            tag=broker_tag(signal.signal_id),
            revision=0,
            send_by=now + self._send_within,
            updated_at=now,
            created_at=now,
            correlation_id=event.correlation_id,
            causation_id=event.id,
        )
        if outcome is None:
            return entry
        if isinstance(outcome, RejectedSignal):
            return replace(entry, state=EntryState.FAILED, code=outcome.code, message=outcome.message)
        return replace(
            entry,
            state=EntryState(outcome.status.value),
            revision=outcome.revision,
            filled_quantity=outcome.filled_quantity,
            average_price=outcome.price or entry.average_price,
            amount=outcome.amount,
            fees=outcome.fees,
            broker_order_id=outcome.broker_order_id,
            code=outcome.code or (Code.ORDER_LOST if outcome.status is OrderStatus.LOST else None),
            message=outcome.message,
        )


def _later(before: OrderUpdate | RejectedSignal | None, update: OrderUpdate) -> OrderUpdate | RejectedSignal:
    """Return the event that tells more: a correction, then the greater revision."""
    if not isinstance(before, OrderUpdate):
        return update
    return max(before, update, key=lambda item: (item.correction, item.rank, item.revision))
