"""Finds an order in a running installation: Redis by its id, Kafka from its time on; both bounded.

What one of the two can't say is a note of the story, not its end: with Kafka down there is still what the journal and
risk have stored.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

from alpha_panda.contracts.codec import decode_event, decode_ticks
from alpha_panda.contracts.enums import EntryState
from alpha_panda.contracts.events import (
    CancelRequest,
    Envelope,
    OrderUpdate,
    RejectedSignal,
    Signal,
    ValidatedSignal,
)
from alpha_panda.contracts.stored import Decision, JournalEntry
from alpha_panda.contracts.topics import TopicMap, dlq, key_partition
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.domain.ids import broker_tag
from alpha_panda.domain.story.evidence import Evidence, TickSeen, is_book, order_of, orders_named, signal_of
from alpha_panda.domain.story.model import Story
from alpha_panda.domain.story.telling import causation_of, tell
from alpha_panda.errors import RecordError, TransientError, UserInputError
from alpha_panda.ports import Record, TopicPartition
from alpha_panda.runtime.context import Ports
from alpha_panda.runtime.settings import Settings

from .finding import chosen, unknown, unusable, wanted_id
from .installation import BUS, STORE, account_names, bounded
from .record_search import Budget, RecordSearch

T = TypeVar("T")

_MARGIN: Final = 60 * SECOND_NS
"""How far clocks and time stamps may lie apart: reading begins so long before the order's first known time."""
_ENDED: Final = (EntryState.FILLED, EntryState.FAILED, EntryState.LOST)
_MOST_EVENTS: Final = 10_000
_MOST_BOOKS: Final = 2_000
"""Snapshots held around the fills: risk publishes some each second."""
_BOOKS_AFTER: Final = 10 * SECOND_NS
"""For so long after the last fill snapshots are looked at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a person asks, and what it may cost: `records` of Kafka, `seconds` on the wall clock."""

    words: str
    account: str = ""
    records: int
    seconds: float


@dataclass(slots=True)
class _Known:
    """What is known of the order so far."""

    account: str
    signal_id: str
    entry: JournalEntry | None = None
    decision: Decision | None = None
    events: dict[str, Envelope] = field(default_factory=dict)

    def complete(self) -> bool:
        """Whether nothing of the order is left to be read; one that rested may have been asked to be cancelled."""
        told = [event.data for event in self.events.values()]
        if not any(isinstance(data, Signal) for data in told):
            return False
        if any(isinstance(data, RejectedSignal) for data in told):
            return True
        ended = self.entry is not None and self.entry.state in _ENDED and self.entry.revision
        updates = (data for data in told if isinstance(data, OrderUpdate))
        decided = any(isinstance(data, ValidatedSignal) for data in told)
        return decided and bool(ended) and any(update.revision >= ended for update in updates)

    def key(self) -> str | None:
        """Return the key of the order's records."""
        stored = self.entry or self.decision
        if stored is not None:
            return stored.signal.key
        return next((event.key for event in self.events.values()), None)

    def begins(self) -> int | None:
        """Return the first time (UTC ns) that is known of the order; its signal is older, by less than the margin."""
        times = [event.ts for event in self.events.values()]
        if self.decision is not None:
            times.append(self.decision.decided_at)
        if self.entry is not None:
            times += [ts for ts in (self.entry.created_at, self.entry.signal.tick_ts) if ts]
        return min(times, default=None)


class OrderSearch:
    """Answers one question about one order."""

    def __init__(self, ports: Ports, settings: Settings) -> None:
        self._ports = ports
        self._prefix = settings.topic_prefix
        self._seconds = settings.command_timeout_seconds
        self._partitions = settings.order_partitions
        self._search = RecordSearch(ports.bus, settings)
        self._notes: list[str] = []
        self._asked_stores = False
        self._store_failed = False
        self._mute: set[str] = set()
        self._left_out = False

    async def story(self, asked: Asked) -> Story:
        """Return the story.

        Raises:
            UserInputError: the id means no order, or several; says what was searched.
            DependencyUnavailableError: neither Kafka nor Redis can tell.

        """
        wanted = wanted_id(asked.words)
        budget = Budget(asked.records, asked.seconds)
        accounts = await self._accounts(asked.account)
        known = await self._stored(wanted, accounts) or await self._scanned(wanted, accounts, budget)
        evidence = await self._evidence(known, budget)
        story = tell(evidence)
        if story is None:
            raise unusable(wanted, budget.words())
        return story

    async def _accounts(self, account: str) -> list[str]:
        if account:
            return [account]
        return account_names(await bounded(BUS, self._seconds, self._ports.bus.topics()), self._prefix)

    # ------------------------------------------------------------------------------------------- by its id

    async def _stored(self, wanted: str, accounts: Sequence[str]) -> _Known | None:
        """Return the order by its id or tag, from the stores; None if they don't know it, or don't answer."""
        for account in accounts:
            known = _Known(account=account, signal_id=wanted)
            known.entry = await self._noted(STORE, partial(self._entry, account, wanted))
            if known.entry is not None:
                known.signal_id = known.entry.signal_id
            known.decision = await self._decision(known)
            if known.decision is not None and isinstance(known.decision.signal, CancelRequest):
                return await self._stored(known.decision.signal.order_signal_id, [account])
            if known.entry is not None or known.decision is not None:
                return known
        return None

    async def _entry(self, account: str, wanted: str) -> JournalEntry | None:
        journal = self._ports.journal(account)
        found = await bounded(STORE, self._seconds, journal.get(wanted))
        for tag in (
            wanted,
            broker_tag(wanted),
        ):  # booked by its tag alone, an order has no entry of its signal's id
            found = found or await bounded(STORE, self._seconds, journal.find_tag(tag))
        return found

    async def _decision(self, known: _Known) -> Decision | None:
        asking = partial(self._ports.decisions(known.account).get, known.signal_id)
        return await self._noted(STORE, lambda: bounded(STORE, self._seconds, asking()))

    async def _noted(self, whom: str, asking: Callable[[], Awaitable[T | None]]) -> T | None:
        """Return the answer; None, and a note, if there is none. Who has once not answered in time is asked no more."""
        if whom in self._mute:
            return None
        try:
            found = await asking()
        except TransientError as error:
            if isinstance(error.__cause__, TimeoutError):
                self._mute.add(whom)
            self._store_failed = self._store_failed or whom == STORE
            note = f"{whom} was not asked in full: {error}"
            if note not in self._notes:
                self._notes.append(note)
            return None
        self._asked_stores = self._asked_stores or whom == STORE
        return found

    # ----------------------------------------------------------------------------------------- by its topics

    async def _scanned(self, wanted: str, accounts: Sequence[str], budget: Budget) -> _Known:
        """Look for the id, or the beginning of one, in the newest records of the accounts' topics."""
        named: dict[str, bool] = {}
        seen: dict[str, Envelope] = {}
        cut = False
        mark = wanted.encode()

        def take(record: Record) -> bool:
            if mark not in record.value:
                return True
            with suppress(RecordError):
                event = decode_event(record.value)
                for order, whole in orders_named(event, wanted).items():
                    named[order] = whole or named.get(order, False)
                    if len(seen) < _MOST_EVENTS:
                        seen[event.id] = event
            return True

        share = max(1, budget.records // max(1, len(accounts)))
        for account in accounts:
            spans = await self._newest(TopicMap(account, self._prefix), share)
            cut = not await self._search.read(spans, budget, take) or cut
        if not named:
            raise self._unknown(wanted, accounts, budget, cut=cut)
        order = chosen(wanted, named)
        account = next(event.account for event in seen.values() if order_of(event) == order)
        stored = await self._stored(order, [account])
        known = stored or _Known(account=account, signal_id=order)
        known.events = {key: event for key, event in seen.items() if order_of(event) == order}
        return known

    async def _newest(self, topics: TopicMap, records: int) -> dict[TopicPartition, tuple[int, int]]:
        """Return the last `records` of the account's topics of signals and orders, shared among partitions."""
        places: dict[TopicPartition, tuple[int, int]] = {}
        for topic in (topics.signals_raw, topics.signals_validated, topics.signals_rejected, *topics.orders):
            places |= await self._search.ranges(topic)
        held = {place: span for place, span in places.items() if span[0] < span[1]}
        share = max(1, records // max(1, len(held)))
        spans = {place: (max(oldest, end - share), end) for place, (oldest, end) in held.items()}
        self._left_out = self._left_out or any(span != held[place] for place, span in spans.items())
        return spans

    def _unknown(self, wanted: str, accounts: Sequence[str], budget: Budget, *, cut: bool) -> UserInputError:
        stores = (
            "the journal and risk's decisions" if self._asked_stores else "no store (Redis does not answer)"
        )
        more = "; there is more, --records and --within allow it" if cut or self._left_out else ""
        names = ", ".join(accounts) or "none"
        searched = f"{stores} of the accounts {names}, and in Kafka the newest {budget.words()}{more}"
        return unknown(wanted, searched)

    # --------------------------------------------------------------------------------------------- evidence

    async def _evidence(self, known: _Known, budget: Budget) -> Evidence:
        vouched = await self._vouched(known)
        before: Envelope | None = None
        after: list[Envelope] = []
        tick, cause = None, None
        try:
            await self._events(known, budget)
            causation = causation_of(Evidence(signal_id=known.signal_id, events=list(known.events.values())))
            tick, cause = await self._cause(causation, known)
            before, after = await self._books(known, budget)
        except TransientError as error:
            self._notes.append(f"{BUS} was not searched in full: {error}")
        if budget.spent:
            self._notes.append(
                f"the search was ended by its bounds after {budget.words()}; --records and --within allow more"
            )
        return Evidence(
            signal_id=known.signal_id,
            account=known.account,
            events=list(known.events.values()),
            tick=tick,
            cause=cause,
            before=before,
            after=after,
            entry=known.entry,
            journal_read=vouched,
            decision=known.decision,
            notes=tuple(self._notes),
        )

    async def _vouched(self, known: _Known) -> bool:
        """Whether the journal has answered, and knows what was sent: one that lost its memory must be made ready first."""
        if known.entry is not None:
            return True
        asking = self._ports.journal(known.account).epoch
        epoch = await self._noted(STORE, lambda: bounded(STORE, self._seconds, asking()))
        return epoch is not None and not self._store_failed

    async def _events(self, known: _Known, budget: Budget) -> None:
        """Add the order's events, and those of requests to cancel it, from its key's partitions."""
        key, begins = known.key(), known.begins()
        if key is None or begins is None:
            return
        topics = TopicMap(known.account, self._prefix)
        partition = key_partition(key, self._partitions)
        spread = (topics.signals_validated, topics.signals_rejected, *topics.orders)
        places = [TopicPartition(topics.signals_raw, 0), *(TopicPartition(t, partition) for t in spread)]
        ids = {known.signal_id}

        def take(record: Record) -> bool:
            if any(name.encode() in record.value for name in ids):
                with suppress(RecordError):
                    event = decode_event(record.value)
                    original = signal_of(event)
                    if isinstance(original, CancelRequest) and original.order_signal_id == known.signal_id:
                        ids.add(original.signal_id)
                    if _theirs(event) in ids and len(known.events) < _MOST_EVENTS:
                        known.events[event.id] = event
                return not known.complete()
            return True

        await self._read_from(places, begins - _MARGIN, budget, take)
        await self._set_aside(known, topics, begins - _MARGIN, budget)

    async def _set_aside(self, known: _Known, topics: TopicMap, since: int, budget: Budget) -> None:
        """Note what was set aside of the order."""
        names = await bounded(BUS, self._seconds, self._ports.bus.topics())
        queues = [dlq(topic) for topic in (topics.signals_raw, topics.signals_validated, *topics.orders)]

        def take(record: Record) -> bool:
            if known.signal_id.encode() in record.value:
                facts = {name: value.decode(errors="replace") for name, value in record.headers}
                code, why = facts.get("dlq.code", "?"), facts.get("dlq.message", "")
                self._notes.append(
                    f"set aside in {record.topic} at offset {record.offset}: {code} {why}".rstrip()
                )
            return True

        places = [TopicPartition(queue, 0) for queue in queues if queue in names]
        await self._read_from(places, since, budget, take)

    async def _read_from(
        self, places: Sequence[TopicPartition], since: int, budget: Budget, take: Callable[[Record], bool]
    ) -> None:
        spans: dict[TopicPartition, tuple[int, int]] = {}
        for place in places:
            held = await self._search.ranges(place.topic)
            if place in held:
                spans[place] = held[place]
        starts = await self._search.from_time(spans, since)
        await self._search.read(
            {place: (begin, spans[place][1]) for place, begin in starts.items()}, budget, take
        )

    async def _cause(self, causation: str, known: _Known) -> tuple[TickSeen | None, Envelope | None]:
        """Return the tick that a signal names as its cause, or the event."""
        record_id, _, which = causation.partition("#")
        place = _place(record_id)
        if not which or place is None:
            return None, known.events.get(causation)
        record = await self._search.one(*place)
        if record is None:
            return None, None
        with suppress(RecordError):
            batch = decode_ticks(record.value)
            for tick in batch.ticks:
                if f"{tick.token}:{tick.seq}" == which:
                    return TickSeen(record=record_id, feed=batch.feed, mode=batch.mode, tick=tick), None
        return None, None

    async def _books(self, known: _Known, budget: Budget) -> tuple[Envelope | None, list[Envelope]]:
        """Return the last snapshot before the first fill, and those of a while after the last; compaction keeps few."""
        fills = [
            event.ts
            for event in known.events.values()
            if isinstance(event.data, OrderUpdate) and event.data.filled_quantity
        ]
        if not fills:
            return None, []
        first, last = min(fills), max(fills)
        before: list[Envelope] = []
        after: list[Envelope] = []

        def take(record: Record) -> bool:
            with suppress(RecordError):
                event = decode_event(record.value)
                if is_book(event, known.account):
                    if event.ts <= first:
                        before[:] = [event]
                    elif event.ts >= last:
                        after.append(event)
                    return event.ts <= last + _BOOKS_AFTER and len(after) < _MOST_BOOKS
            return True

        place = TopicPartition(TopicMap(known.account, self._prefix).portfolio, 0)
        await self._read_from([place], first - _MARGIN, budget, take)
        return next(iter(before), None), after


def _theirs(event: Envelope) -> str:
    """Return the id of the signal, request or order that the event is about."""
    original = signal_of(event)
    if isinstance(original, Signal | CancelRequest):
        return original.signal_id
    return event.data.signal_id if isinstance(event.data, OrderUpdate) else ""


def _place(record_id: str) -> tuple[TopicPartition, int] | None:
    """Return the place that `topic/partition/offset` names; None if it names none."""
    parts = record_id.rsplit("/", 2)
    if len(parts) != 3 or not (parts[1].isdigit() and parts[2].isdigit()):  # noqa: PLR2004 - topic, partition, offset
        return None
    return TopicPartition(parts[0], int(parts[1])), int(parts[2])
