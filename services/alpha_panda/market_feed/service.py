"""The market-feed service: one a MarketFeed, by lease. Source → numbered tick batches → `{feed}.market.ticks`."""

from collections.abc import Iterator, Mapping

from alpha_panda.contracts.codec import encode_ticks
from alpha_panda.contracts.events import Tick, TickBatch
from alpha_panda.contracts.keys import feed_lease
from alpha_panda.contracts.status_details import FeedFigures
from alpha_panda.contracts.topics import tick_partition, ticks_topic
from alpha_panda.contracts.units import SECOND_NS, nanoseconds
from alpha_panda.domain.sessions import SessionState
from alpha_panda.errors import FencedError
from alpha_panda.ports import Outgoing, Producer, SourceBatch, Troubled
from alpha_panda.runtime.builder import StreamServiceBuilder
from alpha_panda.runtime.context import ServiceContext
from alpha_panda.runtime.metrics.catalogue import (
    FEED_AGE,
    FEED_HEARTBEAT_AGE,
    FEED_SESSION_OPEN,
    FEED_SOURCE_ALIVE,
    FEED_STALE_AFTER,
)
from alpha_panda.runtime.metrics.metrics import Reading
from alpha_panda.runtime.registry import ServiceDefinition
from alpha_panda.runtime.service import StreamService
from alpha_panda.runtime.tracing import names
from alpha_panda.runtime.tracing.tracing import Kind, with_headers
from alpha_panda.runtime.venues import rules_of

from .metrics import FeedMetrics, age
from .sequencer import Sequencer


class MarketFeedService:
    """Publishes what the source yields. The lease's epoch goes into every record: readers refuse an older one."""

    def __init__(self, context: ServiceContext) -> None:
        feed = context.resources.feeds[context.resource]
        self._name = context.resource
        self._clock = context.ports.clock
        self._rules = rules_of(feed)
        self._stale_ns = feed.stale_after_ns
        self._source = context.ports.source(context.resource)
        self._instruments = tuple(feed.instruments)
        self._sequencer = Sequencer(self._instruments, feed.spec.partitions)
        self.topic = ticks_topic(context.resource, feed.spec.partitions, context.settings.topic_prefix)
        self._lanes_in_use = {tick_partition(item.token, feed.spec.partitions) for item in self._instruments}
        self._beat_ns = nanoseconds(context.settings.heartbeat_seconds)
        self._lane_told_at: dict[int, int] = {}
        self._epoch = 0
        self._proven_at: int | None = None
        self._told_at: int | None = None
        self._last_tick_ts: int | None = None
        self._ticks = 0
        self._bad_rows = 0
        self._conflated = 0
        self._metrics = FeedMetrics(context.metrics, context.resource)
        self._begun = self._clock.now()
        self._tracer = context.tracer("market-feed")
        self._told: tuple[bool | None, bool] | None = None
        self.service: StreamService

    async def lead(self, epoch: int) -> None:
        """Take the epoch of the lease just acquired."""
        self._epoch = epoch
        self._begun = self._clock.now()

    async def pump(self, producer: Producer) -> None:
        """Publish the source's batches until it ends."""
        if not self._epoch:
            raise FencedError(f"feed {self._name} has no lease; nothing was published")
        batches = aiter(self._source.batches(self._instruments))
        # As input: a source may be quiet for as long as it likes, and a stop lets what was taken be published.
        while (batch := await self.service.intake(anext(batches, None))) is not None:
            self._bad_rows += batch.bad_rows
            self._metrics.received.inc(len(batch.tokens))
            if batch.bad_rows:
                self._metrics.bad_rows.inc(batch.bad_rows)
            if batch.conflated:
                self._metrics.conflated.inc(batch.conflated)
                self._conflated += batch.conflated
            self._proven_at = proven = self._proof(batch)
            if batch.tokens:
                self._last_tick_ts = max(batch.ts)
                await self._publish(batch, producer, proven)
                self._ticks += len(batch.tokens)
                self._metrics.published.inc(len(batch.tokens))
                self._told_at = proven
                self.service.record_processed(len(batch.tokens), proven)

    def _proof(self, batch: SourceBatch) -> int:
        """Return until when the source is proven alive."""
        if batch.proven is not None:
            return batch.proven
        return batch.ts[-1] if batch.ts else self._clock.now()

    async def _publish(self, batch: SourceBatch, producer: Producer, proven: int) -> None:
        records = self._records(batch, proven)
        if not (self._tracer.on and self._tracer.take_share()):
            await producer.send(records)
            return
        topic = self.topic.name
        attributes = {**names.sent(topic, len(records)), names.TICKS: len(batch.tokens)}
        with self._tracer.start(f"{names.SEND} {topic}", Kind.PRODUCER, None, attributes) as span:
            await producer.send([with_headers(record, span) for record in records])

    async def heartbeat(self) -> None:
        """Tell every partition that the source lives, if it was proven since the last time.

        On a virtual clock each row proves it: see `_is_due`.
        """
        proven = self._proven_at
        if self._clock.virtual or proven is None or (self._told_at is not None and proven < self._told_at):
            return
        records = [self._record(partition, [], proven) for partition in range(self.topic.partitions)]
        await self.service.producer.send(records)
        self._told_at = max(proven + 1, self._told_at or 0)

    def details(self) -> Mapping[str, str | int | float | bool | None]:
        """Figures for get_status."""
        alive, is_open = self._freshness()
        figures = FeedFigures(
            last_tick_ts=self._last_tick_ts,
            source_alive=alive,
            session_open=is_open,
            ticks=self._ticks,
            instruments=len(self._instruments),
        )
        return {
            **figures.details(),
            "bad_rows": self._bad_rows,
            "conflated": self._conflated,
            "problem": self._source.problem() if isinstance(self._source, Troubled) else "",
            "feed_epoch": self._epoch,
            "mode": self._source.mode.value,
            "exhausted": self._source.exhausted,
        }

    async def tell_change(self) -> None:
        """Write the status as soon as the source falls silent or speaks again, or the market opens or closes."""
        freshness = self._freshness()
        if freshness != self._told:
            await self.service.tell_status()
            self._told = freshness

    def _freshness(self) -> tuple[bool | None, bool]:
        now = self._clock.now()
        return None if self._proven_at is None else self._is_alive(now), self._is_open(now)

    def _is_alive(self, now: int) -> bool:
        return self._proven_at is not None and now - self._proven_at <= self._stale_ns

    def _is_open(self, now: int) -> bool:
        return self._rules.status(now).state is not SessionState.CLOSED

    def figures(self) -> Iterator[Reading]:
        """Return how fresh the feed is; a replica that waits for its lease has nothing to tell."""
        if not self._epoch:
            return
        now, feed = self._clock.now(), (self._name,)
        yield Reading(FEED_AGE, feed, age(now, self._last_tick_ts, self._begun))
        yield Reading(FEED_HEARTBEAT_AGE, feed, age(now, self._told_at, self._begun))
        yield Reading(FEED_STALE_AFTER, feed, self._stale_ns / SECOND_NS)
        yield Reading(FEED_SESSION_OPEN, feed, self._is_open(now))
        yield Reading(FEED_SOURCE_ALIVE, feed, self._is_alive(now))

    def _records(self, batch: SourceBatch, ts: int) -> list[Outgoing]:
        lanes = self._sequencer.lanes(batch)
        due = [
            (partition, lane) for partition, lane in enumerate(lanes) if lane or self._is_due(partition, ts)
        ]
        self._lane_told_at.update((partition, ts) for partition, _ in due)
        return [self._record(partition, lane, ts) for partition, lane in due]

    def _is_due(self, partition: int, ts: int) -> bool:
        """Whether rows elsewhere must prove the feed alive to a partition too: on a virtual clock nothing else does."""
        if not self._clock.virtual or partition not in self._lanes_in_use:
            return False
        told = self._lane_told_at.get(partition)
        return told is None or ts - told >= self._beat_ns

    def _record(self, partition: int, ticks: list[Tick], ts: int) -> Outgoing:
        batch = TickBatch(self._name, self._source.mode, self._epoch, ts, ticks)
        return Outgoing(self.topic.name, encode_ticks(batch), partition=partition, decoded=batch)


def build(context: ServiceContext) -> StreamService:
    """Wire the service of the feed that the context names."""
    feed = MarketFeedService(context)
    builder = (
        StreamServiceBuilder("market-feed", context)
        .log_fields(feed=context.resource)
        .topics([feed.topic])
        .with_lease(feed_lease(context.resource), feed.lead)
        .consume_with(feed.pump, "source")
        .every(context.settings.heartbeat_seconds, feed.heartbeat, name="heartbeat")
        .details(feed.details)
        .figures(feed.figures)
    )
    if not context.ports.clock.virtual:  # apart from the heartbeat, which must not wait for a store
        builder.every(context.settings.heartbeat_seconds, feed.tell_change, name="tell change")
    feed.service = builder.build()
    return feed.service


SERVICE = ServiceDefinition(name="market-feed", kind="MarketFeed", build=build, start_order=90)
