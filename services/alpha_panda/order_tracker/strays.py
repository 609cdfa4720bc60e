"""What the broker's book shows against the journal's word: late matches, more fills, orders nobody knows.

A broker or a proxy may repeat a request, and a write frozen in a process may arrive after LOST. Such an order is
booked and latches the account (DESIGN section 1). Trades without a tag of our form are somebody else's by right: a
person's, or the broker squaring off. They are booked too, as `external`, for they change what the account holds, and
they latch nothing. The book is one day's: whatever of today it holds is booked, also from before the account's start.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

import structlog
from msgspec.structs import replace

from alpha_panda.contracts.enums import EntryState, OrderStatus, Side
from alpha_panda.contracts.instruments import InstrumentMaster
from alpha_panda.contracts.stored import BookReading, BrokerRow, JournalEntry, Latch, Outcome
from alpha_panda.contracts.topics import TopicMap
from alpha_panda.domain.ids import TAG_DIGITS, TAG_PREFIX
from alpha_panda.domain.order_events import EXTERNAL, outcome_of_row
from alpha_panda.ports import Clock, OrderJournal, Producer

from .external import ExternalTerms, external_entry
from .latches import announce, halt
from .missing import is_missing
from .resolver import matching_row

log = structlog.get_logger()

_OUR_TAG = re.compile(rf"{TAG_PREFIX}[a-z2-7]{{{TAG_DIGITS}}}")
_REFUSED = (EntryState.FAILED, EntryState.LOST)


@dataclass(slots=True)
class _Known:
    """What a reading's rows are compared with: entries by tag, and by the ids of orders that nobody knew."""

    by_tag: dict[str, JournalEntry]
    by_id: dict[str, JournalEntry]


@dataclass(slots=True)
class Strays:
    """Compares readings of a live account's book with the journal; every change is one script under the lease.

    Rows that have come to rest are remembered and not asked for again until they change: those of an order that has
    ended and of which journal and book say the same (only a row can change that), and what a stranger's order that
    has not traded shows. The memory is that of one lease epoch: a store that comes back ends every lease.
    """

    topics: TopicMap
    journal: OrderJournal
    clock: Clock
    instruments: Callable[[], InstrumentMaster]
    external: ExternalTerms = field(default_factory=ExternalTerms)
    _settled: dict[str, BrokerRow] = field(default_factory=dict, init=False)
    _under: int = field(default=0, init=False)

    def forget(self) -> None:
        """Compare all rows anew at the next reading."""
        self._settled = {}

    async def settle(self, lease_epoch: int, reading: BookReading, producer: Producer) -> list[JournalEntry]:
        """Follow, correct and book what the rows show; return the entries that changed.

        `resolve` the entries in doubt with the same reading first.
        """
        if self._under != lease_epoch:
            self.forget()
            self._under = lease_epoch
        rows = [row for row in reading.rows if self._settled.get(row.broker_order_id) != row]
        known, touched, changed = await self._look_up(rows), set[str](), list[JournalEntry]()
        if reading.complete:
            present = {row.broker_order_id for row in reading.rows}
            self._settled = {of: row for of, row in self._settled.items() if of in present}
        for row in rows:
            self._settled.pop(row.broker_order_id, None)
            known_now = await self._look_up([row]) if row.tag in touched else known
            entry = self._entry_of(row, known_now)
            if _is_over(row, entry) or (entry is None and self._is_elsewhere(row)):
                self._settled[row.broker_order_id] = row
            elif (moved := await self._settle_one(lease_epoch, row, entry, producer)) is not None:
                if is_ours(row.tag):
                    touched.add(row.tag)
                changed.append(moved)
        return changed

    async def _look_up(self, rows: Sequence[BrokerRow]) -> _Known:
        """Ask for all at once: a book has thousands of rows, and comes every second."""
        by_tag = await self.journal.find_tags(*(row.tag for row in rows if is_ours(row.tag)))
        strangers = (external_id(row) for row in rows if _entry_by_tag(row, by_tag) is None)
        return _Known(by_tag, await self.journal.get_many(*strangers))

    async def _settle_one(
        self, lease_epoch: int, row: BrokerRow, entry: JournalEntry | None, producer: Producer
    ) -> JournalEntry | None:
        if entry is None:
            return await self._book(lease_epoch, row, producer)
        outcome = self._outcome(row)
        if entry.state.resting and (_progressed(entry, outcome) or _is_back(entry, outcome)):
            return await self.journal.fill(entry.signal_id, entry.revision, outcome)
        if not contradicts(entry, outcome):
            return None
        reason = f"order {entry.tag} was {entry.state} but the broker's book says {outcome.state}"
        latch = await self._latch(f"late-{entry.tag}", reason, producer)
        return await self.journal.correct(lease_epoch, entry.signal_id, outcome, latch)

    @staticmethod
    def _entry_of(row: BrokerRow, known: _Known) -> JournalEntry | None:
        """Return the entry of this very order: a second order of a tag has an entry of its own."""
        return _entry_by_tag(row, known.by_tag) or known.by_id.get(external_id(row))

    async def _book(self, lease_epoch: int, row: BrokerRow, producer: Producer) -> JournalEntry | None:
        """Book an order that has no entry; one that the broker refused traded nothing."""
        if row.status in (OrderStatus.FAILED, OrderStatus.LOST):
            return None
        if not is_ours(row.tag):
            return await self._book_foreign(lease_epoch, row)
        reason = f"order {row.broker_order_id} has our tag {row.tag} but the journal does not know it"
        latch = await self._latch(f"stray-{row.broker_order_id}", reason, producer)
        return await self.journal.orphan(lease_epoch, self._orphan(row), latch)

    async def _book_foreign(self, lease_epoch: int, row: BrokerRow) -> JournalEntry | None:
        """Book what somebody else has traded; an order of theirs that only rests is none of our business."""
        if not row.filled_quantity:
            return None
        booked = await self.journal.orphan(lease_epoch, self._orphan(row), None)
        if booked is not None:
            log.info(
                "external_trade_booked",
                account=self.topics.account,
                broker_order_id=row.broker_order_id,
                instrument_token=row.instrument_token,
                side=row.side,
                quantity=str(row.filled_quantity),
                code=None if booked.code is None else booked.code.value,
            )
        return booked

    def _is_elsewhere(self, row: BrokerRow) -> bool:
        """Whether somebody else's order moves no position of the account."""
        return not is_ours(row.tag) and not self.external.concerns(row)

    def _outcome(self, row: BrokerRow) -> Outcome:
        """Return what the row says; of somebody else's order also what kind of trade it was."""
        outcome = outcome_of_row(row)
        if is_ours(row.tag) or outcome.code is not None:
            return outcome
        return replace(outcome, code=self.external.code_of(row))

    async def _latch(self, latch_id: str, reason: str, producer: Producer) -> Latch:
        latch = halt(self.topics.account, latch_id, reason, self.clock.now())
        log.error("order_contradiction", account=self.topics.account, reason=reason)
        await announce(producer, self.topics, latch)
        return latch

    def _orphan(self, row: BrokerRow) -> JournalEntry:
        instrument, signal_id = self.instruments().by_token.get(row.instrument_token), external_id(row)
        unknown = row.symbol or f"UNKNOWN:{row.instrument_token}"
        return external_entry(
            signal_id,
            row.instrument_token,
            unknown if instrument is None else instrument.symbol,
            Side(row.side),
            row.quantity,
            self._outcome(row),
            tag=row.tag if is_ours(row.tag) else signal_id,  # others' may be empty, or many orders'
            cause=row.broker_order_id,
        )


def _entry_by_tag(row: BrokerRow, by_tag: Mapping[str, JournalEntry]) -> JournalEntry | None:
    """Return the entry of the row's tag if it is of this very order.

    Which one it is the broker's id tells, once it is known: a person may have changed its quantity since.
    """
    entry = by_tag.get(row.tag)
    if entry is None or entry.broker_order_id not in ("", row.broker_order_id):
        return None
    same = entry.signal if not entry.broker_order_id else replace(entry.signal, quantity=row.quantity)
    return entry if matching_row(replace(entry, signal=same), (row,)) is not None else None


def _is_over(row: BrokerRow, entry: JournalEntry | None) -> bool:
    """Whether nothing but a change of the row itself could ask for anything."""
    if entry is None:
        return not is_ours(row.tag) and not row.filled_quantity
    return entry.state.terminal and not contradicts(entry, outcome_of_row(row))


def external_id(row: BrokerRow) -> str:
    """Return the journal's id of an order whose signal nobody knows."""
    return f"{EXTERNAL}:{row.broker_order_id}"


def is_ours(tag: str) -> bool:
    """Whether a broker's tag has the form of ours."""
    return _OUR_TAG.fullmatch(tag) is not None


def is_foreign(entry: JournalEntry) -> bool:
    """Whether the entry is of an order that somebody else gave: booked, and otherwise left alone."""
    return entry.signal_id.startswith(f"{EXTERNAL}:") and not is_ours(entry.tag)


def contradicts(entry: JournalEntry, outcome: Outcome) -> bool:
    """Whether the broker took an order that is LOST or FAILED, or filled more of one that has ended."""
    taken = entry.state in _REFUSED and outcome.state not in _REFUSED
    return entry.state.terminal and (taken or outcome.filled_quantity > entry.filled_quantity)


def _progressed(entry: JournalEntry, outcome: Outcome) -> bool:
    return _stage(outcome) > _stage(entry)


def _is_back(entry: JournalEntry, outcome: Outcome) -> bool:
    """Whether an order that was missing is in the book again as it was: the mark comes off, the latch stays."""
    return is_missing(entry) and _stage(outcome) == _stage(entry)


def _stage(of: JournalEntry | Outcome) -> tuple[Decimal, int]:
    return of.filled_quantity, int(of.state.order_status.rank)
