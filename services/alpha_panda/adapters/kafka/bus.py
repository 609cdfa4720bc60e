"""The EventBus over a Kafka cluster."""

from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager
from typing import Self

from alpha_panda.adapters.kafka.admin import KafkaAdmin
from alpha_panda.adapters.kafka.connection import KafkaConnection
from alpha_panda.adapters.kafka.consumer import KafkaConsumer, opened_consumer
from alpha_panda.adapters.kafka.producer import KafkaProducer, opened_producer
from alpha_panda.adapters.kafka.topic_terms import TopicProblem
from alpha_panda.contracts.topics import TopicSpec
from alpha_panda.errors import MisuseError
from alpha_panda.ports import Subscription, TopicPartition


class KafkaBus:
    """Topics, groups and offsets of a Kafka cluster. Use within one event loop, as a context or with `close`.

    At least once. A group's partitions are shared by range; a member that is killed is missed after
    `session_timeout`, one that leaves its context at once. There is no static membership: it would keep the
    partitions of a member that left for good.
    """

    def __init__(self, connection: KafkaConnection) -> None:
        self._connection = connection
        self._admin = KafkaAdmin(connection)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection for questions about topics; producers and consumers have contexts of their own."""
        await self._admin.close()

    async def ensure_topics(self, topics: Iterable[TopicSpec]) -> None:
        """Create what is missing and wait until it can be written; TopicMismatchError on another partition count.

        Several services may do so at once. Of a topic that exists only the count is compared; `topic_problems`
        tells the rest.

        Raises:
            DependencyUnavailableError: also if a topic is missing and fewer brokers are there than it needs copies.

        """
        await self._admin.ensure(topics)

    async def topic_problems(self, topics: Iterable[TopicSpec]) -> list[TopicProblem]:
        """Return what keeps those of the topics that exist from being what orders can rest on; [] when all is well."""
        return await self._admin.problems(topics)

    async def alive(self) -> None:
        """Ask a broker for a sign of life, which costs it nothing; DependencyUnavailableError if none answers."""
        await self._admin.alive()

    async def topic_id(self, topic: str) -> str:
        """Return the topic's identity, 32 hex digits; DependencyUnavailableError if it doesn't exist."""
        return (await self._admin.topic(topic)).id.hex

    async def offsets(self, topic: str) -> dict[TopicPartition, tuple[int, int]]:
        """Return (oldest kept, next) offset of each partition."""
        return await self._admin.offsets(topic)

    async def topics(self) -> frozenset[str]:
        """Return the names of all topics that this user may see, but Kafka's internal ones (`__…`)."""
        return await self._admin.topic_names()

    async def delete_records(self, partition: TopicPartition, before: int) -> None:
        """Delete the records of lower offsets for good; -1: all there are."""
        await self._admin.delete_records(partition, before)

    def producer(self, client: str) -> AbstractAsyncContextManager[KafkaProducer]:
        """Open a producer."""
        return opened_producer(client, self._connection)

    def consumer(self, subscription: Subscription) -> AbstractAsyncContextManager[KafkaConsumer]:
        """Open a consumer. A group's topics that don't exist yet are found within `metadata_max_age`.

        Raises:
            MisuseError: both or neither of `topics` and `partitions` are given, or a partition doesn't exist.
            DependencyUnavailableError: the cluster can't be reached, or one of `partitions` is of an unknown topic.

        """
        if bool(subscription.topics) == bool(subscription.partitions):
            raise MisuseError(
                "a subscription names topics (to share with its group) or partitions (to read alone)"
            )
        return opened_consumer(subscription, self._connection)
