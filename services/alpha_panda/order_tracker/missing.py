"""Orders that rest by the broker's own word, but that its book does not show: nobody could say what became of them.

Two ways lead there: the broker answered with an id and then never knew it, or its book went over to another day
while nobody read it, and the order's last row is gone. Either way the position may be another than the account's
book says: the account is latched, and the order waits for a person (`alpha-panda orders resolve`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from msgspec.structs import replace

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import Validity
from alpha_panda.contracts.stored import BookReading, JournalEntry, Outcome
from alpha_panda.contracts.topics import TopicMap
from alpha_panda.domain.matching import outcome_of
from alpha_panda.ports import Clock, ControlStore, OrderJournal, Producer

from .latches import announce, halt
from .resolver import matching_row

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Misses:
    """Complete readings in a row that did not show an order; all of the same user and day."""

    count: int
    user: str
    trading_day: str


@dataclass(frozen=True, slots=True)
class MissingTerms:
    """D in nanoseconds, how many readings tell, and the day of a moment (UTC ns; days are ISO dates)."""

    lost_after: int
    reads: int
    trading_day: Callable[[int], str]


class Missing:
    """Counts the readings of a live account's book that lack a resting order, and marks the order once.

    The mark is the entry's code: it is told, shown in `orders list`, lets a person resolve the order, and keeps a
    latch that a person has cleared from coming back. The row, should it appear after all, takes it off (`Strays`).
    """

    def __init__(
        self,
        topics: TopicMap,
        journal: OrderJournal,
        control: ControlStore,
        clock: Clock,
        terms: MissingTerms,
    ) -> None:
        self._topics = topics
        self._journal = journal
        self._control = control
        self._clock = clock
        self._terms = terms
        self._misses: dict[str, _Misses] = {}

    async def judge(
        self, resting: Sequence[JournalEntry], reading: BookReading, producer: Producer
    ) -> list[JournalEntry]:
        """Return the entries that are marked now. `resting` are those from before the reading began."""
        absent = [entry for entry in resting if not is_missing(entry) and not shown(entry, reading)]
        misses = {entry.signal_id: self._missed(entry, reading) for entry in absent}
        self._misses = {signal_id: miss for signal_id, miss in misses.items() if miss is not None}
        gone = [await self._mark(entry, reading, producer) for entry in absent if self._is_gone(entry)]
        return [entry for entry in gone if entry is not None]

    def holds(self, entry: JournalEntry) -> bool:
        """Whether only the book, or a person, may end the order: it is marked, or about to be."""
        return is_missing(entry) or self._is_gone(entry)

    def _missed(self, entry: JournalEntry, reading: BookReading) -> _Misses | None:
        """Return the count with this reading, if it speaks of the order; else as it was before."""
        before = self._misses.get(entry.signal_id)
        if not self._speaks_of(entry, reading):
            return before
        same = before is not None and (before.user, before.trading_day) == (reading.user, reading.trading_day)
        count = before.count + 1 if before is not None and same else 1
        return _Misses(count, reading.user, reading.trading_day)

    def _speaks_of(self, entry: JournalEntry, reading: BookReading) -> bool:
        """Whether the order ought to be in the reading, or can be in no later one either.

        A book of the order's own day must show it. A later day's says that an order good for its day has ended;
        how, its own day's book could have told.
        """
        if not reading.complete or reading.begun_at < entry.send_by + self._terms.lost_after:
            return False
        began = self._terms.trading_day(entry.created_at)
        sent = self._terms.trading_day(max(entry.created_at, entry.send_by))
        over = began < reading.trading_day and entry.signal.validity in (Validity.DAY, Validity.IOC)
        return over or began == sent == reading.trading_day

    def _is_gone(self, entry: JournalEntry) -> bool:
        misses = self._misses.get(entry.signal_id)
        return misses is not None and misses.count >= self._terms.reads

    async def _mark(
        self, entry: JournalEntry, reading: BookReading, producer: Producer
    ) -> JournalEntry | None:
        """Latch, then mark: who dies between the two latches again, with the same id."""
        if await self._journal.get(entry.signal_id) != entry:
            return None  # it moved meanwhile; the next readings judge it anew
        account, reads, day = self._topics.account, self._terms.reads, reading.trading_day
        message = f"{entry.state}, but not in {reads} complete reads of the broker's book of {day}"
        log.error("order_missing", account=account, signal_id=entry.signal_id, reason=message)
        latch = halt(account, f"missing-{entry.tag}", f"order {entry.tag} is {message}", self._clock.now())
        await announce(producer, self._topics, latch)
        await self._control.set_latch(latch)
        return await self._journal.fill(entry.signal_id, entry.revision, marked(entry, message))


def shown(entry: JournalEntry, reading: BookReading) -> bool:
    """Whether the reading has the very order: its id, or where the broker told none its tag and what it is."""
    if entry.broker_order_id:
        return any(row.broker_order_id == entry.broker_order_id for row in reading.rows)
    return matching_row(entry, reading.rows) is not None


def is_missing(entry: JournalEntry) -> bool:
    """Whether the order has been found to be missing, and nobody has said since what became of it."""
    return entry.state.resting and entry.code is Code.ORDER_MISSING


def marked(entry: JournalEntry, message: str) -> Outcome:
    """Return what the entry already says, with the mark."""
    return replace(outcome_of(entry), code=Code.ORDER_MISSING, message=message)
