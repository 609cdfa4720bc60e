"""Follows the events of a running installation, filtered, for a person who watches."""

import asyncio
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from alpha_panda.contracts.enums import EventType
from alpha_panda.contracts.events import (
    PRICES_MOVED,
    Envelope,
    OrderUpdate,
    PortfolioSnapshot,
    TickBatch,
)
from alpha_panda.contracts.topics import TopicMap, market_ticks
from alpha_panda.domain.story.evidence import orders_named, signal_of
from alpha_panda.errors import RecordError, TransientError, UserInputError
from alpha_panda.ports import Consumer, Record, Subscription, TopicPartition
from alpha_panda.runtime.context import Ports
from alpha_panda.runtime.control_topics import owner_of
from alpha_panda.runtime.records import event_of, ticks_of
from alpha_panda.runtime.settings import Settings

from .installation import BUS, account_names, bounded
from .record_search import NOBODY, RecordSearch

_TICKS_TAIL: Final = market_ticks("").removeprefix(".")
_PAGE: Final = 20_000
"""Records of before that are held to be put in order."""
_SILENCE: Final = 3
"""Empty fetches after which all that there was has been read: what is left was compacted away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What to show; what is empty filters nothing. `order`: an id, or the beginning of one.

    Without `types`: everything but ticks, and books that prices alone have moved. `since` (UTC ns; None: from now on).
    """

    accounts: Collection[str] = ()
    strategies: Collection[str] = ()
    types: Collection[EventType] = ()
    order: str = ""
    since: int | None = None
    follow: bool = True

    def shows(self, event: Envelope) -> bool:
        """Whether an event is to be shown."""
        if not self._of_type(event):
            return False
        if self.strategies and strategy_of(event) not in self.strategies:
            return False
        if self.since is not None and event.ts < self.since:
            return False
        return not self.order or bool(orders_named(event, self.order))

    def _of_type(self, event: Envelope) -> bool:
        if self.types:
            return event.type in self.types
        data = event.data
        return not (isinstance(data, PortfolioSnapshot) and data.reason.startswith(PRICES_MOVED))

    @property
    def ticks(self) -> bool:
        """Whether ticks are wanted: only if they are asked for."""
        return EventType.MARKET_TICKS in self.types

    @property
    def events(self) -> bool:
        """Whether anything but ticks is wanted."""
        return not self.types or any(item is not EventType.MARKET_TICKS for item in self.types)


def strategy_of(event: Envelope) -> str:
    """Return the strategy that an event is of; "" for those of an account."""
    original = signal_of(event)
    if original is not None:
        return original.strategy_id
    return event.data.strategy_id if isinstance(event.data, OrderUpdate) else ""


class Watch:
    """Reads as nobody's member; nothing is committed."""

    def __init__(self, ports: Ports, settings: Settings) -> None:
        self._bus = ports.bus
        self._prefix = settings.topic_prefix
        self._seconds = settings.command_timeout_seconds
        self._batch = settings.fetch_max_records
        self._pause = settings.retry_transient_initial_seconds
        self._poll = settings.poll_seconds
        self._search = RecordSearch(ports.bus, settings)

    async def records(self, wish: Wish) -> AsyncIterator[tuple[Record, Envelope | TickBatch]]:
        """Yield the records to be shown, each partition in order; ends only if the wish does not follow.

        Raises:
            UserInputError: an account that there is not.
            DependencyUnavailableError: Kafka does not answer at the start; later it is waited for.

        """
        places = await self._places(wish)
        starts = await self._starts(places, wish)
        if not starts:
            return
        async with AsyncExitStack() as stack:
            opening = self._bus.consumer(Subscription(NOBODY, partitions=tuple(starts)))
            consumer = await stack.enter_async_context(opening)
            for partition, offset in starts.items():
                await consumer.seek(partition, offset)
            there = {partition: places[partition][1] for partition in starts}
            async for record, shown in _in_order(self._fetched(consumer, there), wish):
                yield record, shown
            if wish.follow:
                for partition, end in there.items():  # what came meanwhile was read, and left out
                    await consumer.seek(partition, min(end, consumer.position(partition)))
                async for record in self._fetched(consumer, None):
                    told = _shown(record, wish)
                    if told is not None:
                        yield record, told

    async def _places(self, wish: Wish) -> dict[TopicPartition, tuple[int, int]]:
        names = await bounded(BUS, self._seconds, self._bus.topics())
        accounts = account_names(names, self._prefix)
        strangers = sorted({*wish.accounts}.difference(accounts))
        if strangers:
            known = ", ".join(accounts) or "none"
            raise UserInputError(f"there is no account {', '.join(strangers)}; there are: {known}")
        wanted = [name for name in accounts if not wish.accounts or name in wish.accounts]
        topics = (
            [spec.name for name in wanted for spec in TopicMap(name, self._prefix).specs(1)]
            if wish.events
            else []
        )
        if wish.ticks:
            topics += sorted(topic for topic in names if self._is_ticks(topic))
        places: dict[TopicPartition, tuple[int, int]] = {}
        for topic in topics:
            if topic in names:
                places |= await self._search.ranges(topic)
        return places

    def _is_ticks(self, topic: str) -> bool:
        owner = owner_of(topic, self._prefix)
        return owner is not None and owner[1] == _TICKS_TAIL

    async def _starts(
        self, places: dict[TopicPartition, tuple[int, int]], wish: Wish
    ) -> dict[TopicPartition, int]:
        ends = {partition: end for partition, (_, end) in places.items()}
        if wish.since is None:
            return ends if wish.follow else {}
        return {**(ends if wish.follow else {}), **await self._search.from_time(places, wish.since)}

    async def _fetched(
        self, consumer: Consumer, ends: dict[TopicPartition, int] | None
    ) -> AsyncIterator[Record]:
        silence = 0
        while ends is None or any(consumer.position(p) < end for p, end in ends.items()):
            try:
                records: Sequence[Record] = await consumer.fetch(self._batch, self._poll)
            except TransientError:
                await asyncio.sleep(self._pause)  # a broker that restarts: it is waited for
                continue
            silence = 0 if records else silence + 1
            if ends is not None and silence >= _SILENCE:
                return
            for record in records:
                if ends is None or record.offset < ends[TopicPartition(record.topic, record.partition)]:
                    yield record


async def _in_order(
    records: AsyncIterator[Record], wish: Wish
) -> AsyncIterator[tuple[Record, Envelope | TickBatch]]:
    """Yield what is there already by its time, a page at a time: topics are read one after the other."""
    page: list[tuple[Record, Envelope | TickBatch]] = []
    async for record in records:
        shown = _shown(record, wish)
        if shown is not None:
            page.append((record, shown))
        if len(page) >= _PAGE:
            for item in sorted(page, key=_time):
                yield item
            page = []
    for item in sorted(page, key=_time):
        yield item


def _time(item: tuple[Record, Envelope | TickBatch]) -> int:
    return item[1].ts


def _shown(record: Record, wish: Wish) -> Envelope | TickBatch | None:
    """Return what a record holds, if it is to be shown; what can't be decoded is the dead letters' business."""
    try:
        if record.topic.endswith(_TICKS_TAIL):
            batch = ticks_of(record)
            old = wish.since is not None and batch.ts < wish.since
            return batch if batch.ticks and not old else None
        event = event_of(record)
    except RecordError:
        return None
    return event if wish.shows(event) else None
