"""Tells the world what the journal says, again and again until Kafka has it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from alpha_panda.contracts.codec import encode_event
from alpha_panda.contracts.stored import JournalEntry
from alpha_panda.contracts.topics import TopicMap
from alpha_panda.domain.order_events import order_event, order_topic
from alpha_panda.ports import OrderJournal, Outgoing, Producer
from alpha_panda.runtime.tracing import names
from alpha_panda.runtime.tracing.tracing import NO_TRACER, Span, Tracer, end_all

from .metrics import OrderMetrics

SOURCE = "order-tracker"

RESOLVE: Final = "resolve order"
CHANGE: Final = "change resting order"
REPEAT: Final = "repeat order"
"""Names of spans: found in the broker's book; filled, cancelled or expired where it rests; told once more."""

PAGE: Final = 500
"""Entries that are read, told and acknowledged together: one script, one wait for Kafka, one script."""

PAGES: Final = 8
"""Pages of one turn at most: the other duties have their turn too, and Redis other clients."""


class Announcer:
    """Produces the event of an entry's present state; after the acknowledgement the entry may leave `open`."""

    def __init__(  # noqa: PLR0913 - the last three by keyword
        self,
        account: str,
        topics: TopicMap,
        journal: OrderJournal,
        *,
        page: int = PAGE,
        pages: int = PAGES,
        metrics: OrderMetrics | None = None,
        tracer: Tracer = NO_TRACER,
    ) -> None:
        self._account = account
        self._topics = topics
        self._journal = journal
        self._page = page
        self._pages = pages
        self._metrics = metrics
        self._tracer = tracer
        self._place = 0
        self._seen: dict[str, int] = {}
        self._seeing: dict[str, int] = {}

    async def tell(
        self, producer: Producer, *entries: JournalEntry, step: str = RESOLVE, begun: int | None = None
    ) -> None:
        """Produce the events of states that entries have just come to, none of which may be in doubt.

        `step`: what that was, in words of a span; `begun`: when (UTC ns).
        """
        if self._metrics is not None:
            self._metrics.changed(entries)
        await self._produce(producer, *entries, step=step, begun=begun)

    async def _produce(
        self, producer: Producer, *entries: JournalEntry, step: str, begun: int | None = None
    ) -> None:
        if entries:
            with self._spanned(entries, step, begun) as records:
                await producer.send(records)
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
        await self._produce(producer, *overdue, step=REPEAT)
        self._seeing.update((entry.signal_id, entry.revision) for entry in waiting)
        return len(overdue)

    @contextmanager
    def _spanned(
        self, entries: Sequence[JournalEntry], step: str, begun: int | None
    ) -> Iterator[list[Outgoing]]:
        """Give the entries' events, to be sent inside; each in its own order's trace."""
        spans: list[Span] = []
        records = []
        for entry in entries:
            event = order_event(entry, self._account, f"{SOURCE}/{self._account}")
            topic, told = order_topic(self._topics, event.type), names.told(event) if self._tracer.on else {}
            span = self._tracer.of(entry.correlation_id, step, told, at=begun)
            sending = span.send(topic, told)
            spans += (sending, span)
            records.append(Outgoing(topic, encode_event(event), key=event.key, headers=sending.headers))
        try:
            yield records
        except BaseException as error:
            end_all(spans, error)
            raise
        end_all(spans)
