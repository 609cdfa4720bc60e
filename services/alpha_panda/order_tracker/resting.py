"""Resting paper orders: filled from the price ranges that feed-cachers publish, expired with their session."""

import asyncio
from collections.abc import Callable, Sequence

from alpha_panda.contracts.enums import Validity
from alpha_panda.contracts.instruments import InstrumentMaster
from alpha_panda.contracts.stored import JournalEntry, Outcome, PriceRange, PriceReading
from alpha_panda.domain import matching
from alpha_panda.domain.matching import PaperTerms
from alpha_panda.domain.sessions import SessionRules, SessionState
from alpha_panda.ports import Clock, OrderJournal, PriceCache, Producer
from alpha_panda.runtime.tasks import intake

from .announcer import CHANGE, Announcer


class RestingOrders:
    """Watches the tokens of resting orders and matches each new range against them.

    The fill and its journal entry are one script (compare-and-set on the revision): a second tracker, a cancel
    or a redelivered range can't fill twice.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what a paper venue consists of
        self,
        feed: str,
        watcher: str,
        instruments: Callable[[], InstrumentMaster],
        terms: PaperTerms,
        rules: Callable[[], SessionRules],
        clock: Clock,
        journal: OrderJournal,
        prices: PriceCache,
        announcer: Announcer,
    ) -> None:
        self._feed = feed
        self._watcher = watcher
        self._instruments = instruments
        self._terms = terms
        self._rules = rules
        self._clock = clock
        self._journal = journal
        self._prices = prices
        self._announcer = announcer
        self._watched: tuple[int, ...] = ()
        self._cursors: dict[int, int] = {}
        self._moved: dict[str, int] = {}
        self._changed = asyncio.Event()
        self._refreshing = asyncio.Lock()

    async def refresh(self, producer: Producer) -> None:
        """Watch the tokens that have resting orders now; a newly watched one is matched with its last quote."""
        async with self._refreshing:  # an older look must not undo what a newer one has seen
            await self._refresh(producer)

    async def _refresh(self, producer: Producer) -> None:
        resting = await self._journal.resting()
        self._moved = {entry.signal_id: ts for entry in resting if (ts := self._moved.get(entry.signal_id))}
        tokens = dict.fromkeys(entry.signal.instrument_token for entry in resting)
        if tokens.keys() == set(self._watched):
            return
        fresh = [token for token in tokens if token not in self._watched]
        await self._prices.watch(self._feed, self._watcher, tokens)
        self._watched = tuple(tokens)
        try:
            for token in fresh:
                reading = await self._prices.read(self._feed, token)
                await self._match(producer, _last_known(token, reading))
        finally:  # whatever became of the last quotes: who follows must not wait for the next change of the set
            self._changed.set()

    async def follow(self, producer: Producer) -> None:
        """Match ranges as they come, until cancelled; a graceful stop lets what is being matched come to its end."""
        while True:
            self._changed.clear()
            if not self._watched:
                await intake(self._changed.wait())
                continue
            ranges = await self._next_ranges()
            for price_range in ranges:
                self._cursors[price_range.token] = price_range.cursor
            await self._match(producer, ranges)
            if ranges:
                await self.refresh(producer)

    async def _next_ranges(self) -> list[PriceRange]:
        """Return the next ranges, or none as soon as the watched set changes.

        The place in a token's ranges is kept while nobody waits for it: what was matched is never read again.
        """
        cursors = {token: self._cursors.get(token, 0) for token in self._watched}
        reading = asyncio.ensure_future(self._prices.ranges(self._feed, cursors, None))
        changed = asyncio.ensure_future(self._changed.wait())
        try:
            await intake(asyncio.wait((reading, changed), return_when=asyncio.FIRST_COMPLETED))
            return reading.result() if reading.done() else []
        finally:
            for task in (reading, changed):
                task.cancel()
            await asyncio.gather(reading, changed, return_exceptions=True)

    async def _match(self, producer: Producer, ranges: Sequence[PriceRange]) -> None:
        """Match the ranges, in order, with the orders that rest now: one that comes later is sent on later prices."""
        if not ranges:
            return
        resting: dict[int, list[JournalEntry]] = {}
        for entry in await self._journal.resting():
            resting.setdefault(entry.signal.instrument_token, []).append(entry)
        for price_range in ranges:
            entries = resting.get(price_range.token, [])
            late = [entry for entry in entries if price_range.ts > self._rests_since(entry)]
            if late and self._rules().status(_covers_to(price_range)).state is SessionState.OPEN:
                after = {
                    entry.signal_id: await self._match_one(producer, entry, price_range) for entry in late
                }
                entries[:] = [after.get(entry.signal_id, entry) for entry in entries]

    async def _match_one(
        self, producer: Producer, entry: JournalEntry, price_range: PriceRange
    ) -> JournalEntry:
        """Return the entry as the range leaves it."""
        instrument = self._instruments().by_token.get(price_range.token)
        if instrument is None or self._is_over(entry, _covers_to(price_range)):
            return entry
        seen = _since(self._rests_since(entry), price_range)
        outcome = None if seen is None else matching.match_resting(entry, instrument, seen, self._terms)
        if outcome is None:
            return entry
        if await self.apply(producer, entry, outcome):
            self._moved[entry.signal_id] = price_range.ts
        return await self._journal.get(entry.signal_id) or entry

    def _rests_since(self, entry: JournalEntry) -> int:
        """Return the time of the last range that moved the order, or of its creation (UTC ns).

        Who moved it before a restart is gone: then prices up to that change count no more, for the ranges that
        are read again must not fill a second part, or a limit that was not yet triggered.
        """
        untouched = not entry.triggered and not entry.filled_quantity
        return self._moved.get(entry.signal_id, entry.created_at if untouched else entry.updated_at)

    def _is_over(self, entry: JournalEntry, ts: int) -> bool:
        return entry.signal.validity is Validity.DAY and self._rules().day_order_over(entry.created_at, ts)

    async def apply(self, producer: Producer, entry: JournalEntry, outcome: Outcome) -> bool:
        """Change the entry if nobody else did meanwhile, and tell it; say whether."""
        begun = self._clock.now()
        changed = await self._journal.fill(entry.signal_id, entry.revision, outcome)
        if changed is not None:
            await self._announcer.tell(producer, changed, step=CHANGE, begun=begun)
        return changed is not None

    async def expire(self, producer: Producer) -> None:
        """End DAY orders whose session is over.

        Not yet at its very end: the session's last bar comes then, and on virtual time this runs before it.
        """
        before = self._clock.now() - 1
        for entry in await self._journal.resting():
            if self._is_over(entry, before):
                await self.apply(producer, entry, matching.expire(entry))


def _covers_to(price_range: PriceRange) -> int:
    """Return the last moment (UTC ns) whose prices the range holds: a bar that ends at the session's end is of it."""
    return price_range.ts - 1 if price_range.bars else price_range.ts


def _since(start: int, price_range: PriceRange) -> PriceRange | None:
    """Return what of the range happened after `start` (UTC ns): when the order was sent or last moved.

    A range that began before is worth its last price alone: its extremes may be from before.
    """
    if price_range.ts <= start:
        return None
    if price_range.first_ts > start:
        return price_range
    return PriceRange(
        cursor=price_range.cursor,
        token=price_range.token,
        low=price_range.last,
        high=price_range.last,
        last=price_range.last,
        ts=price_range.ts,
        first_seq=price_range.last_seq,
        last_seq=price_range.last_seq,
        mode=price_range.mode,
        first_ts=price_range.ts,
    )


def _last_known(token: int, reading: PriceReading) -> list[PriceRange]:
    quote = reading.quote
    if quote is None:
        return []
    price = quote.last_price
    return [PriceRange(0, token, price, price, price, quote.ts, quote.seq, quote.seq, quote.mode, quote.ts)]
