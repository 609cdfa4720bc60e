"""Tells the world what the journal says, again and again until Kafka has it."""

from collections.abc import Sequence
from typing import Final

from alpha_panda.contracts.codec import encode_event
from alpha_panda.contracts.stored import JournalEntry
from alpha_panda.contracts.topics import TopicMap
from alpha_panda.domain.order_events import order_event, order_topic
from alpha_panda.ports import OrderJournal, Outgoing, Producer

SOURCE = "order-tracker"

PAGE: Final = 500
"""Entries that are read, told and acknowledged together: one script, one wait for Kafka, one script."""

PAGES: Final = 8
"""Pages of one turn at most: the other duties have their turn too, and Redis other clients."""


class Announcer:
    """Produces the event of an entry's present state; after the acknowledgement the entry may leave `open`."""

    def __init__(
        self, account: str, topics: TopicMap, journal: OrderJournal, *, page: int = PAGE, pages: int = PAGES
    ) -> None:
        self._account = account
        self._topics = topics
        self._journal = journal
        self._page = page
        self._pages = pages
        self._place = 0
        self._seen: dict[str, int] = {}
        self._seeing: dict[str, int] = {}

    async def tell(self, producer: Producer, *entries: JournalEntry) -> None:
        """Produce the events of the entries' states, none of which may be in doubt."""
        if entries:
            await producer.send([self._event(entry) for entry in entries])
            await self._journal.acknowledge_all([(entry.signal_id, entry.revision) for entry in entries])

    async def repeat(self, producer: Producer) -> int:
        """Tell what has stayed in `open` since it was last seen here: whoever changed it may have died before telling.

        An entry seen for the first time is left to its owner once more. Where `open` is long, a turn sees a part of
        it, and the next one goes on from there. Returns how many were told.
        """
        told = 0
        for _ in range(self._pages):
            page = await self._journal.open_page(self._place, self._page)
            told += await self._repeat_some(producer, page.entries)
            self._place = page.after or 0
            if page.after is None:
                self._seen, self._seeing = self._seeing, {}
                break
        return told

    async def _repeat_some(self, producer: Producer, entries: Sequence[JournalEntry]) -> int:
        waiting = [entry for entry in entries if not entry.state.in_doubt]
        overdue = [entry for entry in waiting if self._seen.get(entry.signal_id) == entry.revision]
        await self.tell(producer, *overdue)
        self._seeing.update((entry.signal_id, entry.revision) for entry in waiting)
        return len(overdue)

    def _event(self, entry: JournalEntry) -> Outgoing:
        event = order_event(entry, self._account, f"{SOURCE}/{self._account}")
        return Outgoing(order_topic(self._topics, event.type), encode_event(event), key=event.key)
