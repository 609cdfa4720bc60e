"""The feed-cacher service: N a MarketFeed, one consumer group. Ticks → price cache, coalesced by token."""

from collections.abc import Sequence
from typing import Final

import structlog

from alpha_panda.contracts.events import Tick, TickBatch
from alpha_panda.contracts.stored import PriceRange, Quote
from alpha_panda.contracts.topics import ticks_topic
from alpha_panda.contracts.traceparent import context_of
from alpha_panda.errors import DependencyUnavailableError, FencedError, UnknownOutcomeError
from alpha_panda.ports import Record, Subscription
from alpha_panda.runtime.builder import BreakerAction, StreamServiceBuilder
from alpha_panda.runtime.context import ServiceContext
from alpha_panda.runtime.metrics.metrics import seconds_between
from alpha_panda.runtime.records import ticks_of
from alpha_panda.runtime.registry import ServiceDefinition
from alpha_panda.runtime.service import StreamService
from alpha_panda.runtime.tracing import names
from alpha_panda.runtime.tracing.tracing import NO_SPAN, Kind, Span, current

from .metrics import CacherMetrics

CACHE: Final = "price cache"
"""Name of the dependency in errors."""

log = structlog.get_logger()


class FeedCacher:
    """Coalesces what was fetched into one write a feed epoch, and one range a watched token and batch."""

    def __init__(self, context: ServiceContext) -> None:
        self._feed = context.resource
        self._partitions = context.resources.feeds[context.resource].spec.partitions
        self._prices = context.ports.prices
        self._clock = context.ports.clock
        self._metrics = CacherMetrics(context.metrics, context.resource)
        self._tracer = context.tracer("feed-cacher")
        self._group = f"{context.settings.topic_prefix}{context.resource}.feed-cacher"
        self.service: StreamService

    async def handle(self, records: Sequence[Record]) -> None:
        """Write the newest quote of each token, each partition's heartbeat, and the ranges of watched tokens.

        Writing the same records again changes nothing: the cache drops what is not newer.
        """
        arrived = [(record.partition, ticks_of(record)) for record in records]
        self._metrics.received.inc(sum(len(batch.ticks) for _, batch in arrived))
        with self._span(records) if self._tracer.on else NO_SPAN:
            for epoch in dict.fromkeys(batch.feed_epoch for _, batch in arrived):
                await self._write(epoch, [item for item in arrived if item[1].feed_epoch == epoch])

    def _span(self, records: Sequence[Record]) -> Span:
        """Begin a span if a record's batch is traced: a child of the one, or linked to each of several."""
        # Most records have no headers: no more than that is asked of them.
        traced = [record for record in records if record.headers]
        found = [(record, context) for record in traced if (context := context_of(record.headers))]
        if not found:
            return NO_SPAN
        first, batches = found[0][0], list(dict.fromkeys(context for _, context in found))
        name = f"{names.PROCESS} {first.topic}"
        attributes = {**names.received(first, self._group), names.BATCH_COUNT: len(records)}
        if len(batches) == 1:
            return self._tracer.start(name, Kind.CONSUMER, batches[0], attributes)
        for one in (names.PARTITION, names.OFFSET):
            del attributes[one]
        return self._tracer.start(name, Kind.CONSUMER, None, attributes, links=batches)

    async def _write(self, epoch: int, arrived: Sequence[tuple[int, TickBatch]]) -> None:
        batches = [batch for _, batch in arrived]
        last, mode, heartbeats = _newest(batches), batches[-1].mode, _heartbeats(arrived)
        quotes = {
            token: Quote(tick.last_price, tick.ts, self._feed, mode, epoch, tick.seq, tick.bid, tick.ask)
            for token, tick in last.items()
        }
        try:
            watched = await self._prices.write(self._feed, epoch, quotes, heartbeats, self._partitions)
        except FencedError:
            self._metrics.old_epoch.inc(sum(len(batch.ticks) for batch in batches))
            log.warning(
                "ticks_of_an_older_feed_epoch_dropped", feed=self._feed, feed_epoch=epoch, ticks=len(last)
            )
            return
        except UnknownOutcomeError as error:
            raise _again(error) from error
        self._note_written(batches, len(quotes))
        if watched and not watched.isdisjoint(last):
            await self._publish(_ranges(batches, watched))
        self.service.record_processed(sum(len(batch.ticks) for batch in batches), max(heartbeats.values()))

    def _note_written(self, batches: Sequence[TickBatch], quotes: int) -> None:
        """Count what the cache has acknowledged, and time each batch: nothing is done for a single tick."""
        now, metrics, trace = self._clock.now(), self._metrics, current().exemplar
        metrics.written.inc(quotes)
        for batch in batches:
            if batch.ticks:
                metrics.latency.observe(seconds_between(batch.ts, now), trace)

    async def _publish(self, ranges: Sequence[PriceRange]) -> None:
        try:
            await self._prices.publish_ranges(self._feed, ranges)
        except UnknownOutcomeError as error:
            raise _again(error) from error


def _again(error: UnknownOutcomeError) -> DependencyUnavailableError:
    """Return what a lost reply is here: to write the same prices again does no harm, so nobody need exit over it."""
    return DependencyUnavailableError(CACHE, f"{error}; it is written again")


def _heartbeats(arrived: Sequence[tuple[int, TickBatch]]) -> dict[int, int]:
    """Return the newest time of each partition: a record proves the feed alive to the readers of its own alone."""
    newest: dict[int, int] = {}
    for partition, batch in arrived:
        newest[partition] = max(batch.ts, newest.get(partition, batch.ts))
    return newest


def _newest(batches: Sequence[TickBatch]) -> dict[int, Tick]:
    """Return the newest tick of each token; a record that is in the topic twice brings older ones after newer."""
    newest: dict[int, Tick] = {}
    for batch in batches:
        for token, tick in {tick.token: tick for tick in batch.ticks}.items():
            known = newest.get(token)
            if known is None or tick.seq > known.seq:
                newest[token] = tick
    return newest


def _ranges(batches: Sequence[TickBatch], watched: frozenset[int]) -> list[PriceRange]:
    """Return low, high and last of each watched token in each batch, in order."""
    ranges = []
    for batch in batches:
        by_token: dict[int, list[Tick]] = {}
        for tick in batch.ticks:
            if tick.token in watched:
                by_token.setdefault(tick.token, []).append(tick)
        ranges += [_range(token, ticks, batch) for token, ticks in by_token.items()]
    return ranges


def _range(token: int, ticks: list[Tick], batch: TickBatch) -> PriceRange:
    return PriceRange(
        cursor=0,
        token=token,
        low=min(tick.last_price if tick.low is None else tick.low for tick in ticks),
        high=max(tick.last_price if tick.high is None else tick.high for tick in ticks),
        last=ticks[-1].last_price,
        ts=ticks[-1].ts,
        first_seq=ticks[0].seq,
        last_seq=ticks[-1].seq,
        mode=batch.mode,
        first_ts=ticks[0].ts,
        bars=all(tick.high is not None for tick in ticks),
    )


def build(context: ServiceContext) -> StreamService:
    """Wire a cacher of the feed that the context names.

    While the cache is down consumption pauses: what waits is coalesced into one write when it is back, and
    a tick in a dead letter queue would help nobody.
    """
    settings = context.settings
    cacher = FeedCacher(context)
    feed = context.resources.feeds[context.resource]
    ticks = ticks_topic(context.resource, feed.spec.partitions, settings.topic_prefix)
    cacher.service = (
        StreamServiceBuilder("feed-cacher", context)
        .log_fields(feed=context.resource)
        .topics([ticks])
        .consume(
            Subscription(
                group=f"{settings.topic_prefix}{context.resource}.feed-cacher", topics=(ticks.name,)
            ),
            cacher.handle,
            when_open=BreakerAction.PAUSE,
        )
        .build()
    )
    return cacher.service


SERVICE = ServiceDefinition(name="feed-cacher", kind="MarketFeed", build=build, start_order=40)
