"""Resolves orders in doubt by reading the broker's book: found, or LOST after enough complete reads.

A reading counts against an order only if it began after the order's permission to send had ended plus D, was
complete, and all counted readings are of the same user and trading day (DESIGN section 4, "LOST").
"""

from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, OrderStatus, TradingState
from alpha_panda.contracts.scopes import account_scope
from alpha_panda.contracts.stored import BookReading, BrokerRow, JournalEntry, Latch, Outcome
from alpha_panda.ports import OrderJournal, Trader

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Misses:
    """Complete readings in a row that did not show an order."""

    count: int
    user: str
    trading_day: str


class Resolver:
    """Reads the book while something is in doubt; every change is one script fenced by the lease."""

    def __init__(
        self, account: str, journal: OrderJournal, trader: Trader, lost_after: int, reads_for_lost: int
    ) -> None:
        self._account = account
        self._journal = journal
        self._trader = trader
        self._lost_after = lost_after
        self._reads_for_lost = reads_for_lost
        self._misses: dict[str, _Misses] = {}

    async def resolve(self, lease_epoch: int) -> list[JournalEntry]:
        """Read the book once if anything is in doubt; return the entries that came to an outcome."""
        doubtful = await self._journal.in_doubt()
        self._misses = {entry.signal_id: m for entry in doubtful if (m := self._misses.get(entry.signal_id))}
        if not doubtful:
            return []
        reading = await self._trader.order_book()
        resolved = [await self._resolve_one(lease_epoch, entry, reading) for entry in doubtful]
        return [entry for entry in resolved if entry is not None]

    async def _resolve_one(
        self, lease_epoch: int, entry: JournalEntry, reading: BookReading
    ) -> JournalEntry | None:
        row = matching_row(entry, reading.rows)
        if row is not None:
            return await self._journal.resolve(lease_epoch, entry.signal_id, outcome_of_row(row))
        if not self._counts(entry, reading):
            return None
        misses = self._count_miss(entry, reading)
        if misses < self._reads_for_lost:
            return None
        message = f"not in the broker's book at {misses} complete reads after its deadline"
        log.warning(
            "order_lost",
            account=self._account,
            signal_id=entry.signal_id,
            correlation_id=entry.correlation_id,
        )
        outcome = Outcome(state=EntryState.LOST, code=Code.ORDER_LOST, message=message)
        return await self._journal.resolve(lease_epoch, entry.signal_id, outcome)

    def _counts(self, entry: JournalEntry, reading: BookReading) -> bool:
        return reading.complete and reading.begun_at >= entry.send_by + self._lost_after

    def _count_miss(self, entry: JournalEntry, reading: BookReading) -> int:
        before = self._misses.get(entry.signal_id)
        same = before is not None and (before.user, before.trading_day) == (reading.user, reading.trading_day)
        count = before.count + 1 if before is not None and same else 1
        self._misses[entry.signal_id] = _Misses(count, reading.user, reading.trading_day)
        return count

    async def correct_late(self, lease_epoch: int, reading: BookReading, now: int) -> list[JournalEntry]:
        """Correct LOST and FAILED entries that the book shows after all; each latches the account."""
        corrected = []
        for row in reading.rows:
            entry = await self._journal.find_tag(row.tag)
            if entry is None or matching_row(entry, (row,)) is None:
                continue
            if entry.state in (EntryState.LOST, EntryState.FAILED) and not entry.late:
                latch = self._late_latch(entry, now)
                corrected.append(
                    await self._journal.correct(lease_epoch, entry.signal_id, outcome_of_row(row), latch)
                )
        return [entry for entry in corrected if entry is not None]

    def _late_latch(self, entry: JournalEntry, now: int) -> Latch:
        return Latch(
            latch_id=f"late-{entry.tag}",
            scope=account_scope(self._account),
            state=TradingState.HALTED,
            reason=f"order {entry.tag} was {entry.state} but the broker has it",
            set_by="order-tracker",
            set_at=now,
        )


def matching_row(entry: JournalEntry, rows: Sequence[BrokerRow]) -> BrokerRow | None:
    """Return the row with the entry's tag, token, side and quantity."""
    signal = entry.signal
    wanted = (entry.tag, signal.instrument_token, signal.side.value, signal.quantity)
    return next(
        (row for row in rows if (row.tag, row.instrument_token, row.side, row.quantity) == wanted), None
    )


def outcome_of_row(row: BrokerRow) -> Outcome:
    """Return what the broker's row says became of the order."""
    state = EntryState.FAILED if row.status is OrderStatus.LOST else EntryState(row.status.value)
    return Outcome(
        state=state,
        filled_quantity=row.filled_quantity,
        average_price=row.average_price,
        fees=row.fees,
        broker_order_id=row.broker_order_id,
        code=Code.BROKER_REJECTED if state is EntryState.FAILED else None,
        message=row.message,
    )
