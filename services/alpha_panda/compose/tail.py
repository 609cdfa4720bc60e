"""Follows topics as they grow, for whoever watches a run whose bus is not in this process."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import structlog

from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.topics import TopicMap, TopicSpec, ticks_topic
from alpha_panda.errors import TransientError
from alpha_panda.ports import Consumer, EventBus, Record, Subscription, TopicPartition
from alpha_panda.runtime.dead_letter import dead_letter_topics
from alpha_panda.runtime.reading import unread
from alpha_panda.runtime.settings import Settings

log = structlog.get_logger()

CATCH_UP_SECONDS: Final = 5.0
"""How long the end of a run waits for what was produced before it."""


def topics_of(resources: ResourceSet, settings: Settings) -> list[TopicSpec]:
    """Return all topics of the manifests' resources, dead letters included."""
    prefix = settings.topic_prefix
    specs = [ticks_topic(name, feed.spec.partitions, prefix) for name, feed in resources.feeds.items()]
    for account in resources.accounts:
        specs += TopicMap(account, prefix).specs(settings.order_partitions)
    return [*specs, *dead_letter_topics(spec.name for spec in specs if not spec.compacted)]


class Tail:
    """Hands every record that is appended from now on to `observe`, in the order of each partition."""

    def __init__(self, bus: EventBus, observe: Callable[[Record], None], settings: Settings) -> None:
        self._bus = bus
        self._observe = observe
        self._settings = settings

    @asynccontextmanager
    async def following(self, topics: Sequence[TopicSpec]) -> AsyncIterator[None]:
        """Follow while the context lasts; leaving it first takes in what is there by then."""
        await self._bus.ensure_topics(topics)
        starts: dict[TopicPartition, int] = {}
        for topic in topics:
            starts |= {
                partition: end for partition, (_, end) in (await self._bus.offsets(topic.name)).items()
            }
        group = f"{self._settings.topic_prefix}run.tail"
        async with self._bus.consumer(Subscription(group, partitions=tuple(starts))) as consumer:
            for partition, offset in starts.items():
                await consumer.seek(partition, offset)
            following = asyncio.create_task(self._follow(consumer), name="tail")
            try:
                yield
                await self._catch_up(consumer, following)
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)

    async def _follow(self, consumer: Consumer) -> None:
        while True:
            try:
                for record in await consumer.fetch(
                    self._settings.fetch_max_records, self._settings.poll_seconds
                ):
                    self._observe(record)
            except TransientError as error:
                log.warning("run not watched", error=str(error))
                await asyncio.sleep(self._settings.retry_transient_initial_seconds)

    async def _catch_up(self, consumer: Consumer, following: "asyncio.Task[None]") -> None:
        try:
            async with asyncio.timeout(CATCH_UP_SECONDS):
                while not following.done() and await unread(self._bus, consumer):  # noqa: ASYNC110 - Kafka tells no other way
                    await asyncio.sleep(self._settings.drain_quiet_seconds)
        except (TimeoutError, TransientError) as error:
            log.warning("the summary may lack the last records", error=str(error))
