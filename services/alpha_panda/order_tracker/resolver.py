"""Resolves orders in doubt by the broker's book: found, or LOST after enough complete reads.

A reading counts against an order only if it began after the order's permission to send had ended plus D, was
complete, and all counted readings are of the same user and trading day (DESIGN section 4, "LOST"). Of a live order
that day must be its own: a book begins empty each day, so tomorrow's says nothing of what was sent today.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, OrderStatus
from alpha_panda.contracts.stored import BookReading, BrokerRow, JournalEntry, Outcome
from alpha_panda.domain.order_events import outcome_of_row
from alpha_panda.ports import OrderJournal

log = structlog.get_logger()

_REFUSED = (OrderStatus.FAILED, OrderStatus.LOST)


@dataclass(frozen=True, slots=True)
class _Misses:
    """Complete readings in a row that did not show an order; all of the same user, day and permission to send."""

    count: int
    user: str
    trading_day: str
    send_by: int


class Resolver:
    """Judges readings of the book; every change is one script fenced by the lease.

    `trading_day` tells the day of a moment (UTC ns) where the venue's book is one day's; None: it has no days.
    """

    def __init__(
        self,
        account: str,
        journal: OrderJournal,
        lost_after: int,
        reads_for_lost: int,
        trading_day: Callable[[int], str] | None = None,
    ) -> None:
        self._account = account
        self._journal = journal
        self._lost_after = lost_after
        self._reads_for_lost = reads_for_lost
        self._trading_day = trading_day
        self._misses: dict[str, _Misses] = {}

    async def resolve(
        self, lease_epoch: int, doubtful: Sequence[JournalEntry], reading: BookReading
    ) -> list[JournalEntry]:
        """Return the entries that came to an outcome. `doubtful` are those from before the reading began."""
        self._misses = {entry.signal_id: m for entry in doubtful if (m := self._misses.get(entry.signal_id))}
        resolved = [await self._resolve_one(lease_epoch, entry, reading) for entry in doubtful]
        return [entry for entry in resolved if entry is not None]

    async def _resolve_one(
        self, lease_epoch: int, entry: JournalEntry, reading: BookReading
    ) -> JournalEntry | None:
        row = matching_row(entry, reading.rows)
        if row is not None:
            return await self._journal.resolve(lease_epoch, entry.signal_id, outcome_of_row(row))
        if reading.begun_at < entry.send_by + self._lost_after:
            return None
        speaks_of_it = reading.complete and self._is_of_its_day(entry, reading)
        if speaks_of_it and self._count_miss(entry, reading) >= self._reads_for_lost:
            return await self._lose(lease_epoch, entry)
        if entry.state is EntryState.SENDING:  # overdue: whoever was to settle it is gone
            overdue = Outcome(state=EntryState.UNKNOWN, message="not settled before its deadline")
            await self._journal.resolve(lease_epoch, entry.signal_id, overdue)
        return None

    def _is_of_its_day(self, entry: JournalEntry, reading: BookReading) -> bool:
        """Whether the order, had it been sent at any moment of its permission, would be in a book of that day."""
        if self._trading_day is None:
            return True
        days = {self._trading_day(entry.created_at), self._trading_day(entry.send_by)}
        return days == {reading.trading_day}

    async def _lose(self, lease_epoch: int, entry: JournalEntry) -> JournalEntry | None:
        message = f"not in the broker's book at {self._reads_for_lost} complete reads after its deadline"
        log.warning(
            "order_lost",
            account=self._account,
            signal_id=entry.signal_id,
            correlation_id=entry.correlation_id,
        )
        outcome = Outcome(state=EntryState.LOST, code=Code.ORDER_LOST, message=message)
        return await self._journal.resolve(lease_epoch, entry.signal_id, outcome)

    def _count_miss(self, entry: JournalEntry, reading: BookReading) -> int:
        first = _Misses(1, reading.user, reading.trading_day, entry.send_by)
        before = self._misses.get(entry.signal_id)
        count = 1
        if before is not None and _Misses(1, before.user, before.trading_day, before.send_by) == first:
            count = before.count + 1
        self._misses[entry.signal_id] = _Misses(count, reading.user, reading.trading_day, entry.send_by)
        return count


def matching_row(entry: JournalEntry, rows: Sequence[BrokerRow]) -> BrokerRow | None:
    """Return the row with the entry's tag, token, side and quantity.

    Of several (a request that was repeated on its way) one that the broker took, if there is one: a repeat may have
    been refused for being one.
    """
    signal = entry.signal
    wanted = (entry.tag, signal.instrument_token, signal.side.value, signal.quantity)
    found = (row for row in rows if (row.tag, row.instrument_token, row.side, row.quantity) == wanted)
    return min(found, key=lambda row: row.status in _REFUSED, default=None)
