"""Tells the world what the journal says, again and again until Kafka has it."""

from alpha_panda.contracts.codec import encode_event
from alpha_panda.contracts.stored import JournalEntry
from alpha_panda.contracts.topics import TopicMap
from alpha_panda.domain.order_events import order_event, order_topic
from alpha_panda.ports import OrderJournal, Outgoing, Producer

SOURCE = "order-tracker"


class Announcer:
    """Produces the event of an entry's present state; after the acknowledgement the entry may leave `open`."""

    def __init__(self, account: str, topics: TopicMap, journal: OrderJournal) -> None:
        self._account = account
        self._topics = topics
        self._journal = journal
        self._seen: dict[str, int] = {}

    async def tell(self, producer: Producer, entry: JournalEntry) -> None:
        """Produce the event of the entry's state, which must not be in doubt."""
        event = order_event(entry, self._account, f"{SOURCE}/{self._account}")
        topic = order_topic(self._topics, event.type)
        await producer.send([Outgoing(topic, encode_event(event), key=event.key)])
        await self._journal.acknowledge(entry.signal_id, entry.revision)

    async def repeat(self, producer: Producer) -> int:
        """Tell what has stayed in `open` since the last call: whoever changed it may have died before telling.

        An entry seen for the first time is left to its owner once more. Returns how many were told.
        """
        waiting = {
            entry.signal_id: entry
            for entry in await self._journal.unacknowledged()
            if not entry.state.in_doubt
        }
        overdue = [entry for key, entry in waiting.items() if self._seen.get(key) == entry.revision]
        for entry in overdue:
            await self.tell(producer, entry)
        self._seen = {key: entry.revision for key, entry in waiting.items()}
        return len(overdue)
