"""Reads everything that an account's topics hold, while it is written, and keeps one short story a signal."""

import asyncio
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

import msgspec

from alpha_panda.contracts.codec import encode_event
from alpha_panda.contracts.enums import EventType, Side
from alpha_panda.contracts.events import (
    CancelRequest,
    Envelope,
    OrderUpdate,
    PortfolioSnapshot,
    Signal,
    ValidatedSignal,
)
from alpha_panda.contracts.stored import OrderFold
from alpha_panda.contracts.topics import DLQ_SUFFIX, TopicMap
from alpha_panda.domain.fold import fold_order
from alpha_panda.errors import RecordError, TransientError
from alpha_panda.ports import EventBus, Record, Subscription, TopicPartition
from alpha_panda.runtime.records import event_of

AGAIN = 0.2
"""Seconds before a bus that does not answer is asked again."""


@dataclass(slots=True)
class Story:
    """What the topics tell of one signal. `ends`: its terminal words, once each; corrections are not among them."""

    raw: bool = False
    validated: bool = False
    cancel: bool = False
    ends: set[str] = field(default_factory=set)
    codes: set[str] = field(default_factory=set)
    corrected: bool = False
    fold: OrderFold = field(default_factory=OrderFold)
    symbol: str = ""
    token: int = 0
    side: Side = Side.BUY


class Recorder:
    """Reads from the oldest record on, and survives outages of the bus."""

    def __init__(self, bus: EventBus, topics: TopicMap, others: Iterable[str]) -> None:
        self.stories: dict[str, Story] = {}
        self.dead_letters: list[Record] = []
        self.contradictions: list[str] = []
        self.snapshot: PortfolioSnapshot | None = None
        self.counts: dict[str, int] = {}
        self._bus = bus
        self._topics = topics
        self._names = tuple(
            dict.fromkeys(
                (
                    topics.signals_raw,
                    topics.signals_validated,
                    topics.signals_rejected,
                    *topics.orders,
                    topics.portfolio,
                    *others,
                )
            )
        )
        self._next: dict[TopicPartition, int] = {}
        self._said: dict[str, bytes] = {}

    async def run(self) -> None:
        """Read until cancelled."""
        while True:
            try:
                await self._read()
            except TransientError:
                await asyncio.sleep(AGAIN)

    async def lag(self) -> int:
        """Return how many records it has not read yet."""
        ends = [(await self._bus.offsets(name)).items() for name in self._names]
        return sum(max(0, end - self._next.get(one, 0)) for items in ends for one, (_, end) in items)

    async def _read(self) -> None:
        if not self._next:
            for name in self._names:
                for partition, (oldest, _) in (await self._bus.offsets(name)).items():
                    self._next[partition] = oldest
        subscription = Subscription(f"{self._topics.prefix}test-recorder", partitions=tuple(self._next))
        async with self._bus.consumer(subscription) as consumer:
            for partition, offset in self._next.items():
                await consumer.seek(partition, offset)
            while True:
                for record in await consumer.fetch(1000, 1.0):
                    self._note(record)

    def _note(self, record: Record) -> None:
        self._next[TopicPartition(record.topic, record.partition)] = record.offset + 1
        self.counts[record.topic] = self.counts.get(record.topic, 0) + 1
        if record.topic.endswith(DLQ_SUFFIX):
            self.dead_letters.append(record)
            return
        try:
            event = event_of(record)
        except RecordError:
            return  # a test's own poison
        self._compare(event)
        self._tell(event)

    def _compare(self, event: Envelope) -> None:
        """An event that comes again says the same; only who says it may differ."""
        said = hashlib.blake2b(
            encode_event(msgspec.structs.replace(event, source="")), digest_size=16
        ).digest()
        if self._said.setdefault(event.id, said) != said:
            self.contradictions.append(f"event {event.id} ({event.type}) came again with another content")

    def _tell(self, event: Envelope) -> None:
        data = event.data
        if isinstance(data, PortfolioSnapshot):
            self.snapshot = data
        elif isinstance(data, OrderUpdate):
            self._order(event, data)
        elif isinstance(data, Signal | CancelRequest):
            self._story(data).raw = True
        elif event.type is EventType.VALIDATED_SIGNAL and isinstance(data, ValidatedSignal):
            self._story(data.original_signal).validated = True
        elif event.type is EventType.REJECTED_SIGNAL:
            story = self._story(data.original_signal)  # type: ignore[union-attr] # what that type holds
            story.ends.add("REJECTED")
            story.codes.add(data.code.value)  # type: ignore[union-attr] # as above

    def _story(self, signal: Signal | CancelRequest) -> Story:
        story = self.stories.setdefault(signal.signal_id, Story())
        story.cancel = isinstance(signal, CancelRequest)
        story.symbol, story.token = signal.symbol, signal.instrument_token
        if isinstance(signal, Signal):
            story.side = signal.side
        return story

    def _order(self, event: Envelope, update: OrderUpdate) -> None:
        story = self.stories.setdefault(update.signal_id or f"external:{update.broker_order_id}", Story())
        story.symbol, story.token, story.side = update.symbol, update.instrument_token, update.side
        story.fold = fold_order(story.fold, update).fold
        if update.correction:
            story.corrected = True
        elif update.status.terminal and event.type is not EventType.ORDER_UPDATED:
            story.ends.add(update.status.value)
            if update.code is not None:
                story.codes.add(update.code.value)
