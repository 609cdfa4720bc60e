"""The journal's epoch: what must happen before anybody trades on a store that has just begun a new run.

Without this a store that lost its tail could let a signal reach the broker a second time (DESIGN section 4,
"Redis comes back").
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import structlog

from alpha_panda.contracts.events import Envelope
from alpha_panda.contracts.stored import BookReading
from alpha_panda.contracts.topics import TopicMap
from alpha_panda.ports import OrderJournal, Producer, Trader
from alpha_panda.runtime.context import Ports

from .history import kept_events
from .latches import announce, put_back, return_latch
from .rebuild import Rebuild

log = structlog.get_logger()

Reconcile = Callable[[int, BookReading], Awaitable[None]]
"""Brings the journal in line with a reading of the broker's book, under a lease epoch."""


@dataclass(frozen=True, slots=True)
class EpochTerms:
    """S and D in nanoseconds, how much to read at a time, and whether real money is behind the account."""

    send_within: int
    lost_after: int
    fetch_max_records: int
    live: bool


class EpochKeeper:
    """Writes the journal's epoch for a new run of the store, once it is safe."""

    def __init__(
        self, topics: TopicMap, ports: Ports, trader: Trader, terms: EpochTerms, reconcile: Reconcile
    ) -> None:
        self._account = topics.account
        self._topics = topics
        self._ports = ports
        self._clock = ports.clock
        self._journal: OrderJournal = ports.journal(topics.account)
        self._trader = trader
        self._terms = terms
        self._reconcile = reconcile

    async def ensure(self, lease_epoch: int, producer: Producer) -> bool:
        """Return at once if the epoch is valid; else rebuild, wait, read the book, write. Says whether it wrote.

        Only a journal whose `signals.validated` has never held a record needs no wait. Latches come first.
        FencedError when the store begins yet another run meanwhile: all begins anew.
        """
        if await self._journal.epoch() is not None:
            return False
        run_id = await self._journal.run_id()
        await put_back(self._kept(self._topics.control), self._ports.control)
        if await self._never_traded():
            await self._rebuild(lease_epoch, run_id)  # there may be rejections
        else:
            await self._come_back(lease_epoch, run_id, producer)
        epoch = await self._journal.write_epoch(lease_epoch, run_id)
        log.info("journal_epoch_written", account=self._account, epoch=epoch)
        return True

    async def _never_traded(self) -> bool:
        offsets = await self._ports.bus.offsets(self._topics.signals_validated)
        return all(end == 0 for _, end in offsets.values())

    async def _come_back(self, lease_epoch: int, run_id: str, producer: Producer) -> None:
        latch = return_latch(self._account, run_id, self._clock.now(), live=self._terms.live)
        if latch is not None:
            await announce(producer, self._topics, latch)
            await self._ports.control.set_latch(latch)
        await self._rebuild(lease_epoch, run_id)
        await self._clock.sleep((self._terms.send_within + self._terms.lost_after) / 1e9)
        while not (reading := await self._trader.order_book()).complete:
            await self._clock.sleep(self._terms.send_within / 1e9)
        await self._reconcile(lease_epoch, reading)

    async def _rebuild(self, lease_epoch: int, run_id: str) -> None:
        """Give the journal what Kafka knows: events settle, a validated id without one is UNKNOWN."""
        rebuild = Rebuild()
        topics = (self._topics.signals_validated, self._topics.signals_rejected, *self._topics.orders)
        async for event in self._kept(*topics):
            rebuild.add(event)
        now = self._clock.now()
        entries = rebuild.entries(now, now + self._terms.send_within)
        if not entries:
            return
        log.warning("journal_rebuilt_from_kafka", account=self._account, entries=len(entries), run_id=run_id)
        await self._journal.adopt(lease_epoch, run_id, entries)
        for signal_id in rebuild.refused:  # their rejections are out: no ORDER_FAILED beside them
            entry = await self._journal.get(signal_id)
            if entry is not None:
                await self._journal.acknowledge(signal_id, entry.revision)

    def _kept(self, *topics: str) -> AsyncIterator[Envelope]:
        group = f"{self._topics.prefix}{self._account}.rebuild"
        return kept_events(self._ports.bus, topics, group, self._terms.fetch_max_records)
