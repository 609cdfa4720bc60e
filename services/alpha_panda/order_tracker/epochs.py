"""The journal's epoch: what must happen before anybody trades on a store that has just begun a new run.

Without this a store that lost its tail could let a signal reach the broker a second time (DESIGN section 4,
"Redis comes back").
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from alpha_panda.contracts.events import Envelope, OrderUpdate
from alpha_panda.contracts.stored import BookReading, JournalEntry
from alpha_panda.contracts.topics import TopicMap
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.errors import RecordError, TransientError
from alpha_panda.ports import OrderJournal, Producer, Record, Trader
from alpha_panda.runtime.context import Ports
from alpha_panda.runtime.control_topics import control_topics

from .history import History
from .latches import announce, halt, may_bind, put_back, return_latch
from .rebuild import Rebuild, as_told, telling

log = structlog.get_logger()

STEP: Final = 5 * SECOND_NS
"""Nanoseconds of a wait between two words that it goes on: less than anybody's `stall_seconds`."""

SAID_EACH: Final = 60 * SECOND_NS
"""Nanoseconds between two words on a book that can't be read."""

Reconcile = Callable[[int, BookReading], Awaitable[None]]
"""Brings the journal in line with a reading of the broker's book, under a lease epoch."""


@dataclass(frozen=True, slots=True)
class EpochTerms:
    """S and D in nanoseconds, how much to read at a time, whether real money is behind the account, and whose it is."""

    send_within: int
    lost_after: int
    fetch_max_records: int
    live: bool
    installation: str = ""


class EpochKeeper:
    """Writes the journal's epoch for a new run of the store, once it is safe.

    That may take minutes: `progressed` is called with each page that was read, and in each wait.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what a return of the store touches
        self,
        topics: TopicMap,
        ports: Ports,
        trader: Trader,
        terms: EpochTerms,
        reconcile: Reconcile,
        progressed: Callable[[], None],
    ) -> None:
        self._account = topics.account
        self._topics = topics
        self._ports = ports
        self._clock = ports.clock
        self._journal: OrderJournal = ports.journal(topics.account)
        self._trader = trader
        self._terms = terms
        self._reconcile = reconcile
        self._progressed = progressed

    async def ensure(self, lease_epoch: int, producer: Producer) -> bool:
        """Return at once if the epoch is valid; else rebuild, wait, read the book, write. Says whether it wrote.

        Only a journal whose `signals.validated` has never held a record needs no wait. Latches come first, and what
        can't be read of Kafka latches the account.
        FencedError when the store begins yet another run meanwhile: all begins anew.
        """
        if await self._journal.epoch() is not None:
            return False
        run_id = await self._journal.run_id()
        history = self._history(run_id, producer)
        topics = await control_topics(self._ports.bus, self._topics, self._terms.installation)
        await put_back(self._account, history.events(*topics), self._ports.control)
        if await self._never_traded():
            await self._rebuild(lease_epoch, run_id, history)  # there may be rejections
        else:
            await self._come_back(lease_epoch, run_id, producer, history)
        epoch = await self._journal.write_epoch(lease_epoch, run_id)
        log.info("journal_epoch_written", account=self._account, epoch=epoch)
        return True

    async def _never_traded(self) -> bool:
        offsets = await self._ports.bus.offsets(self._topics.signals_validated)
        return all(end == 0 for _, end in offsets.values())

    async def _come_back(self, lease_epoch: int, run_id: str, producer: Producer, history: History) -> None:
        latch = return_latch(self._account, run_id, self._clock.now(), live=self._terms.live)
        if latch is not None:
            await announce(producer, self._topics, latch)
            await self._ports.control.set_latch(latch)
        await self._rebuild(lease_epoch, run_id, history)
        await self._wait(self._terms.send_within + self._terms.lost_after)
        await self._hear_the_rest(lease_epoch, run_id, history)
        await self._reconcile(lease_epoch, await self._complete_book())

    async def _wait(self, span: int) -> None:
        """Wait so many nanoseconds, in steps."""
        while span > 0:
            self._progressed()
            await self._clock.sleep(min(span, STEP) / 1e9)
            span -= STEP

    async def _complete_book(self) -> BookReading:
        """Read the book until a reading is complete. One that fails costs no more than the next reading's turn."""
        said_at: int | None = None
        while True:
            try:
                reading = await self._trader.order_book()
                reason = "not complete"
            except (TransientError, RecordError) as error:
                reason = str(error)
            else:
                if reading.complete:
                    return reading
            now = self._clock.now()
            if said_at is None or now - said_at >= SAID_EACH:
                said_at = now
                log.warning("book_not_read", account=self._account, reason=reason)
            await self._wait(self._terms.send_within)

    async def _rebuild(self, lease_epoch: int, run_id: str, history: History) -> None:
        """Give the journal what Kafka knows: events settle, a validated id without one is UNKNOWN.

        Outcomes are read first, so that what is validated can be adopted a page at a time: an order that rests for
        a moment, though it ended long ago, would be cancelled or filled.
        """
        rebuild, adopted = Rebuild(), 0
        async for page in history.pages(*self._topics.orders, self._topics.signals_rejected):
            _add(rebuild, page)
        async for page in history.pages(self._topics.signals_validated):
            _add(rebuild, page)
            now = self._clock.now()
            entries = rebuild.entries(now, now + self._terms.send_within)
            adopted += await self._adopt(lease_epoch, run_id, rebuild, entries)
        refusals, at_once = rebuild.refusals(self._clock.now()), self._terms.fetch_max_records
        for first in range(0, len(refusals), at_once):
            part = refusals[first : first + at_once]
            adopted += await self._adopt(lease_epoch, run_id, rebuild, part)
        if adopted:
            log.warning("journal_rebuilt_from_kafka", account=self._account, entries=adopted, run_id=run_id)

    async def _adopt(
        self, lease_epoch: int, run_id: str, rebuild: Rebuild, entries: Sequence[JournalEntry]
    ) -> int:
        if entries:
            await self._journal.adopt(lease_epoch, run_id, entries, rebuild.told(entries))
            self._progressed()
        return len(entries)

    async def _hear_the_rest(self, lease_epoch: int, run_id: str, history: History) -> None:
        """Take over what was told since the outcomes were read: an engine may have been on its way to tell."""
        async for page in history.pages(*self._topics.orders):
            updates: dict[str, OrderUpdate] = {}
            for event in page:
                data = event.data
                if isinstance(data, OrderUpdate) and not data.external:
                    updates[data.signal_id] = max(updates.get(data.signal_id, data), data, key=telling)
            known = await self._journal.get_many(*updates)
            learnt = [as_told(entry, updates[of]) for of, entry in known.items() if not entry.state.terminal]
            await self._journal.adopt(lease_epoch, run_id, learnt)

    def _history(self, run_id: str, producer: Producer) -> History:
        latched: set[str] = set()

        async def unreadable(record: Record) -> None:
            """Halt the account, once a topic and return: the record may have been a latch, or what an order did."""
            if record.topic in latched or not may_bind(record.key, self._account):
                return
            message = f"gap: {record.id} can't be read; the journal came back without what it said"
            latch_id = f"gap-unreadable-{record.topic}-{run_id}"
            latch = halt(self._account, latch_id, message, self._clock.now())
            await announce(producer, self._topics, latch)
            await self._ports.control.set_latch(latch)
            latched.add(record.topic)

        at_once = self._terms.fetch_max_records
        return History(self._ports.bus, at_once, unreadable, self._progressed)


def _add(rebuild: Rebuild, page: Sequence[Envelope]) -> None:
    for event in page:
        rebuild.add(event)
