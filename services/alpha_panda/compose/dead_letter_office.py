"""Dead letter queues in a person's hands: what is in them, sending records again, deleting them.

Replaying deletes nothing and remembers nothing: every reader folds by ids, so a second replay does no harm, and only
`purge` empties a queue. A signal always goes in by `signals.raw`, so that risk sees it again (DESIGN section 4): of
a decision the signal that it was made on goes back there, and risk re-emits what it has stored.
"""

from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from typing import Final

import msgspec

from alpha_panda.contracts.codec import decode_event, decode_ticks, encode_event
from alpha_panda.contracts.enums import EventType
from alpha_panda.contracts.events import VERSION, Envelope, Signal, TickBatch, ValidatedSignal
from alpha_panda.contracts.topics import DLQ_SUFFIX, TopicMap, dlq, market_ticks
from alpha_panda.errors import (
    DependencyUnavailableError,
    OffsetOutOfRangeError,
    RecordError,
    TransientError,
    UndecodableRecordError,
    UserInputError,
)
from alpha_panda.ports import Outgoing, Record, Subscription, TopicPartition
from alpha_panda.runtime.context import Ports
from alpha_panda.runtime.dead_letter import HEADER_PREFIX, original
from alpha_panda.runtime.settings import Settings

from .installation import BUS, bounded, dead_letter_queues, owner_of

REPLAY_PREFIX: Final = "replay."
"""Headers of a record that was sent again: `of` (the dead letter), `by`, `at` (UTC ns)."""

_CLIENT: Final = "alpha-panda-dlq"


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """A dead letter queue: offsets `oldest` … `end` - 1, and how many records there are of each code and service."""

    topic: str
    oldest: int
    end: int
    codes: dict[str, int]
    services: dict[str, int]
    last_ts: int | None

    @property
    def count(self) -> int:
        """How many records there are."""
        return sum(self.codes.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A dead letter that was sent again, and where it landed."""

    offset: int
    topic: str
    partition: int
    landed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What a replay came to. `skipped`: offset and why; `problem`: what ended it early, "" if nothing did."""

    topic: str
    sent: tuple[Sent, ...]
    skipped: tuple[tuple[int, str], ...]
    problem: str = ""


class DeadLetterOffice:
    """The dead letter queues of an installation. `by` is who asks."""

    def __init__(self, ports: Ports, settings: Settings, by: str) -> None:
        self._bus = ports.bus
        self._clock = ports.clock
        self._prefix = settings.topic_prefix
        self._seconds = settings.command_timeout_seconds
        self._batch = settings.fetch_max_records
        self._by = by

    async def topics(self, accounts: Sequence[str] = (), topic: str = "") -> list[str]:
        """Return the queues, of some accounts or feeds or of one topic; UserInputError for what doesn't exist."""
        known = dead_letter_queues(await bounded(BUS, self._seconds, self._bus.topics()), self._prefix)
        found = known
        if accounts:
            owners = {queue: _owner(queue, self._prefix) for queue in known}
            _require(accounts, set(owners.values()), "account or feed with dead letter queues")
            found = [queue for queue in known if owners[queue] in accounts]
        if topic:
            wanted = topic if topic.endswith(DLQ_SUFFIX) else dlq(topic)
            _require([wanted], set(known), "dead letter queue")
            found = [queue for queue in found if queue == wanted]
        return found

    async def overview(self, topic: str) -> Queue:
        """Count a queue's records by code and by the service that set them aside."""
        oldest, end = await self._bounds(topic)
        codes: Counter[str] = Counter()
        services: Counter[str] = Counter()
        last_ts = None
        async for letter in self._letters(topic, oldest, end):
            facts = facts_of(letter)
            codes[facts.get("code", "?")] += 1
            services[facts.get("service", "?")] += 1
            last_ts = letter.timestamp
        return Queue(
            topic=topic,
            oldest=oldest,
            end=end,
            codes=dict(codes.most_common()),
            services=dict(services.most_common()),
            last_ts=last_ts,
        )

    async def letter(self, topic: str, offset: int) -> Record:
        """Return one record; UserInputError if it is not kept."""
        (found,) = await self._named(topic, [offset])
        return found

    # -------------------------------------------------------------------------------------------- replay

    async def replay(self, topic: str, offsets: Sequence[int] | None) -> Replay:
        """Send records again: these, or (None) all that are there now. What can't be sent is left and named."""
        if offsets is not None:
            named = await self._named(topic, offsets)
            return await self._replay(topic, _one(named))
        oldest, end = await self._bounds(topic)
        return await self._replay(topic, self._pages(topic, oldest, end))

    async def _pages(self, topic: str, begin: int, end: int) -> AsyncGenerator[Sequence[Record], None]:
        """Yield the records in pages: a queue may be longer than memory."""
        page: list[Record] = []
        async with aclosing(self._letters(topic, begin, end)) as letters:
            async for letter in letters:
                page.append(letter)
                if len(page) == self._batch:
                    yield page
                    page = []
        if page:
            yield page

    async def _replay(self, topic: str, pages: AsyncGenerator[Sequence[Record], None]) -> Replay:
        sent: list[Sent] = []
        skipped: list[tuple[int, str]] = []
        try:
            async with AsyncExitStack() as stack:
                opening = stack.enter_async_context(self._bus.producer(_CLIENT))
                producer = await bounded(BUS, self._seconds, opening)
                await stack.enter_async_context(aclosing(pages))
                async for page in pages:
                    pairs = self._made(page, skipped)
                    records = [record for _, record in pairs]
                    places = await bounded(BUS, self._seconds, producer.send(records)) if records else []
                    sent += [
                        Sent(offset=offset, topic=at.topic, partition=at.partition, landed=at.offset)
                        for (offset, _), at in zip(pairs, places, strict=True)
                    ]
        except TransientError as error:
            problem = f"{error}; of those not listed as sent some may have been: the same command again does no harm"
            return Replay(topic=topic, sent=tuple(sent), skipped=tuple(skipped), problem=problem)
        return Replay(topic=topic, sent=tuple(sent), skipped=tuple(skipped))

    def _made(self, letters: Sequence[Record], skipped: list[tuple[int, str]]) -> list[tuple[int, Outgoing]]:
        made = []
        for letter in letters:
            try:
                made.append((letter.offset, replayed(letter, self._prefix, self._by, self._clock.now())))
            except RecordError as error:
                skipped.append((letter.offset, str(error)))
        return made

    # --------------------------------------------------------------------------------------------- purge

    async def purgeable(self, topic: str, before: int | None) -> tuple[int, int]:
        """Return (oldest, the offset before which a purge would delete), checked; None: all there is now."""
        oldest, end = await self._bounds(topic)
        if before is not None and not oldest <= before <= end:
            raise UserInputError(f"--before {before}: {topic} has {_range(oldest, end)}")
        return oldest, end if before is None else before

    async def purge(self, topic: str, before: int) -> None:
        """Delete the records of lower offsets for good."""
        await bounded(BUS, self._seconds, self._bus.delete_records(TopicPartition(topic, 0), before))

    # ------------------------------------------------------------------------------------------- reading

    async def _bounds(self, topic: str) -> tuple[int, int]:
        """Return (oldest kept, next) offset; a dead letter queue has one partition."""
        offsets = await bounded(BUS, self._seconds, self._bus.offsets(topic))
        return offsets[TopicPartition(topic, 0)]

    async def _named(self, topic: str, offsets: Sequence[int]) -> list[Record]:
        """Return the records of these offsets, in order; UserInputError if one is not kept."""
        oldest, end = await self._bounds(topic)
        wanted = sorted(set(offsets))
        for offset in wanted:
            if not oldest <= offset < end:
                raise UserInputError(f"{topic} has no record {offset}; it has {_range(oldest, end)}")
        found = {}
        for offset in wanted:
            async for letter in self._letters(topic, offset, offset + 1):
                found[letter.offset] = letter
        return list(found.values())

    async def _letters(self, topic: str, begin: int, end: int) -> AsyncGenerator[Record, None]:
        """Yield the records of offsets `begin` … `end` - 1; each wait is bounded."""
        if begin >= end:
            return
        partition = TopicPartition(topic, 0)
        subscription = Subscription("", partitions=(partition,))  # nobody's: no right to a group is needed
        async with AsyncExitStack() as stack:
            opening = stack.enter_async_context(self._bus.consumer(subscription))
            consumer = await bounded(BUS, self._seconds, opening)
            await consumer.seek(partition, begin)
            while consumer.position(partition) < end:
                try:
                    records = await bounded(BUS, self._seconds, consumer.fetch(self._batch))
                except OffsetOutOfRangeError as error:
                    message = f"{topic} was purged while it was being read; the same command again shows what is left"
                    raise DependencyUnavailableError(BUS, message) from error
                for record in records:
                    if record.offset < end:
                        yield record


async def _one(page: Sequence[Record]) -> AsyncGenerator[Sequence[Record], None]:
    yield page


def facts_of(letter: Record) -> dict[str, str]:
    """Return the `dlq.*` headers without their prefix."""
    return {
        name.removeprefix(HEADER_PREFIX): value.decode(errors="replace")
        for name, value in letter.headers
        if name.startswith(HEADER_PREFIX)
    }


def content_of(letter: Record) -> Envelope | TickBatch:
    """Return the record that was set aside, decoded; RecordError if it can't be."""
    topic = letter.topic.removesuffix(DLQ_SUFFIX)
    return decode_ticks(letter.value) if topic.endswith(market_ticks("")) else decode_event(letter.value)


def replayed(letter: Record, prefix: str, by: str, now: int) -> Outgoing:
    """Return the record to produce for a dead letter.

    Keyed events go by their key, ticks and records without a key to the partition that they came from.

    Raises:
        RecordError: not a dead letter of this topic, or a decision from which no signal can be read.

    """
    sent = original(letter)
    if dlq(sent.topic) != letter.topic:
        raise UndecodableRecordError(
            f"{letter.id} says that it comes from {sent.topic}: it does not belong here"
        )
    owner = owner_of(sent.topic, prefix)
    if owner is not None and TopicMap(owner[0], prefix).signals_validated == sent.topic:
        sent = _signal_behind(letter, sent, TopicMap(owner[0], prefix))
    keyed = sent.key is not None and not sent.topic.endswith(market_ticks(""))
    marks = {"of": letter.id, "by": by, "at": str(now)}
    headers = tuple(pair for pair in sent.headers if not pair[0].startswith(REPLAY_PREFIX))
    return msgspec.structs.replace(
        sent,
        partition=None if keyed else sent.partition,
        headers=(*headers, *((REPLAY_PREFIX + name, text.encode()) for name, text in marks.items())),
    )


def _signal_behind(letter: Record, sent: Outgoing, topics: TopicMap) -> Outgoing:
    """Return the signal of a decision, for `signals.raw`: risk knows its id and re-emits the decision it has stored.

    Nobody but risk may write to `signals.validated`; what risk has never decided, it decides now.
    """
    try:
        decision = decode_event(letter.value)
    except RecordError as error:
        raise UndecodableRecordError(
            f"no signal can be read from it, so there is none for risk: {error}"
        ) from error
    if not isinstance(decision.data, ValidatedSignal):
        raise UndecodableRecordError(f"{decision.type} is no decision of risk: nothing to send again")
    signal = decision.data.original_signal
    event = Envelope(
        id=decision.causation_id,
        type=EventType.TRADING_SIGNAL if isinstance(signal, Signal) else EventType.CANCEL_REQUEST,
        version=VERSION,
        ts=decision.ts,
        source=f"strategy/{signal.strategy_id}",
        account=decision.account,
        key=signal.key,
        correlation_id=decision.correlation_id,
        causation_id=letter.id,
        data=signal,
    )
    return Outgoing(topics.signals_raw, encode_event(event), key=signal.key, headers=sent.headers)


def _owner(queue: str, prefix: str) -> str:
    owner = owner_of(queue.removesuffix(DLQ_SUFFIX), prefix)
    return owner[0] if owner else ""


def _require(wanted: Sequence[str], known: set[str], what: str) -> None:
    missing = [name for name in wanted if name not in known]
    if missing:
        there = ", ".join(sorted(known)) or "none"
        raise UserInputError(f"there is no {what} {', '.join(missing)}; there are: {there}")


def _range(oldest: int, end: int) -> str:
    return f"records {oldest} to {end - 1}" if oldest < end else "none"
