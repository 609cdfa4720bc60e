"""Topics: created, described, trimmed. Asked over one client that is opened when first needed."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    BrokerResponseError,
    ClusterAuthorizationFailedError,
    LeaderNotAvailableError,
    NoError,
    OffsetOutOfRangeError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.admin import CreateTopicsRequest, DeleteRecordsRequest, DescribeConfigsRequest
from aiokafka.protocol.offset import OffsetRequest

from alpha_panda.adapters.ids import RandomIds
from alpha_panda.adapters.kafka.clients import cut, opening, pace, persisting
from alpha_panda.adapters.kafka.connection import HOUR_MS, MILLISECONDS, KafkaConnection, unavailable
from alpha_panda.adapters.kafka.protocol import NO_ID, ClusterInfo, MetadataWithIds, TopicInfo
from alpha_panda.adapters.kafka.sizes import max_message_bytes
from alpha_panda.adapters.kafka.topic_terms import (
    CHECKED,
    OWN_TOPICS_FACTOR,
    TopicProblem,
    TopicState,
    in_sync_for,
    problems_of,
    replicas_for,
)
from alpha_panda.contracts.topics import TopicSpec
from alpha_panda.errors import MisuseError, TopicMismatchError
from alpha_panda.ports import TopicPartition

T = TypeVar("T")

EARLIEST: Final = -2
LATEST: Final = -1
READ_UNCOMMITTED: Final = 0
ALL_RECORDS: Final = -1
TOPIC: Final = 2
BROKER: Final = 4
"""Kinds of what has settings, in the protocol."""

FORBIDDEN: Final = (ClusterAuthorizationFailedError, TopicAuthorizationFailedError)


class KafkaAdmin:
    """What a bus asks of the cluster besides producing and consuming. Every call ends within `request_timeout`."""

    def __init__(self, connection: KafkaConnection) -> None:
        self._connection = connection
        self._client: AIOKafkaClient | None = None
        self._lock = asyncio.Lock()
        self._seed = RandomIds().new_id()

    async def close(self) -> None:
        """Close the client, if one was opened."""
        client, self._client = self._client, None
        if client is not None:
            await cut(client, self._connection.close_timeout)

    async def topic_names(self) -> frozenset[str]:
        """Return the names of all topics but Kafka's internal ones."""
        cluster = await self._until_done("list topics", lambda: self._describe(None))
        return frozenset(name for name in cluster.topics if not name.startswith("__"))

    async def topic(self, name: str) -> TopicInfo:
        """Return a topic; DependencyUnavailableError if there is none."""
        cluster = await self._until_done(f"describe topic {name}", lambda: self._describe([name]))
        return _existing(cluster, name)

    async def ensure(self, specs: Iterable[TopicSpec]) -> None:
        """Create what is missing, wait until every partition has a leader; see `ports.EventBus`."""
        wanted = {spec.name: spec for spec in specs}
        if wanted:
            await self._until_done(f"ensure topics {', '.join(wanted)}", lambda: self._ensure(wanted))

    async def alive(self) -> None:
        """Ask a broker for no topic at all; DependencyUnavailableError if none answers."""
        await self._until_done("ask for a sign of life", lambda: self._describe([]))

    async def problems(self, specs: Iterable[TopicSpec]) -> list[TopicProblem]:
        """Return what is wrong with those of the topics that exist."""
        wanted = {spec.name: spec for spec in specs}
        return await self._until_done("check topics", lambda: self._problems(wanted)) if wanted else []

    async def offsets(self, name: str) -> dict[TopicPartition, tuple[int, int]]:
        """Return (oldest kept, next) offset of each partition."""
        return await self._until_done(f"offsets of topic {name}", lambda: self._offsets(name))

    async def delete_records(self, partition: TopicPartition, before: int) -> None:
        """Delete records of lower offsets; -1: all."""
        await self._until_done(f"delete records of {partition}", lambda: self._delete(partition, before))

    # ----------------------------------------------------------------------------------------------- requests

    async def _describe(self, names: Iterable[str] | None) -> ClusterInfo:
        client = await self._open()
        return ClusterInfo.of(await client.send(client.get_random_node(), MetadataWithIds(names)))

    async def _ensure(self, wanted: Mapping[str, TopicSpec]) -> None:
        cluster = await self._describe(wanted)
        missing = [spec for spec in wanted.values() if not _compare(cluster.topics[spec.name], spec)]
        if missing:
            await self._create(missing, cluster)
            raise LeaderNotAvailableError  # look again
        if any(leader < 0 for topic in cluster.topics.values() for leader in topic.leaders.values()):
            raise LeaderNotAvailableError

    async def _create(self, specs: Iterable[TopicSpec], cluster: ClusterInfo) -> None:
        alone = self._connection.replication_factor is None and await self._meant_to_be_alone(cluster.brokers)
        replicas = replicas_for(self._connection, len(cluster.brokers), meant_to_be_alone=alone)
        request = CreateTopicsRequest(
            [self._creation(spec, replicas) for spec in specs],
            timeout=round(self._connection.request_timeout * MILLISECONDS),
            validate_only=False,
        )
        response = await (await self._open()).send(cluster.controller, request)
        for _, error_code, message in response.topic_errors:
            error = for_code(error_code)
            if error not in (NoError, TopicAlreadyExistsError):  # another service may have been first
                raise error(message)

    async def _meant_to_be_alone(self, brokers: tuple[int, ...]) -> bool:
        """Whether there is one broker and its settings say that it is all: others of a cluster may just be down."""
        if len(brokers) != 1:
            return False
        name = str(brokers[0])
        settings = (await self._settings(BROKER, [name], [OWN_TOPICS_FACTOR], brokers[0]))[name]
        return settings is not None and settings.get(OWN_TOPICS_FACTOR, "1") == "1"

    async def _problems(self, wanted: Mapping[str, TopicSpec]) -> list[TopicProblem]:
        cluster = await self._describe(wanted)
        there = {name: topic for name, topic in cluster.topics.items() if topic.leaders}
        settings = await self._settings(TOPIC, there, CHECKED, cluster.brokers[0])
        states = {name: TopicState(topic.replicas, settings[name]) for name, topic in there.items()}
        return problems_of(wanted.values(), states, self._connection, len(cluster.brokers))

    async def _settings(
        self, kind: int, names: Iterable[str], settings: Iterable[str], node: int
    ) -> dict[str, Mapping[str, str] | None]:
        """Return some settings of topics or brokers by their names; None of what this user may not read."""
        request = DescribeConfigsRequest([(kind, name, list(settings)) for name in names])
        response = await (await self._open()).send(node, request)
        found: dict[str, Mapping[str, str] | None] = {}
        for error_code, message, _, name, entries in response.resources:
            error = for_code(error_code)
            if error not in (NoError, *FORBIDDEN):
                raise error(message)
            known = {entry[0]: entry[1] for entry in entries if entry[1] is not None}
            found[name] = known if error is NoError else None
        return found

    def _creation(self, spec: TopicSpec, replicas: int) -> tuple[Any, ...]:
        connection = self._connection
        in_sync = in_sync_for(connection, replicas)
        config = {
            "min.insync.replicas": str(in_sync),
            "max.message.bytes": str(max_message_bytes(spec.name)),
        }
        if spec.compacted:
            config["cleanup.policy"] = "compact"
        else:
            hours = connection.short_retention_hours if spec.short_lived else connection.retention_hours
            config["cleanup.policy"] = "delete"
            config["retention.ms"] = str(hours * HOUR_MS)
        return (spec.name, spec.partitions, replicas, [], list(config.items()))

    async def _offsets(self, name: str) -> dict[TopicPartition, tuple[int, int]]:
        leaders = _leaders(await self._describe([name]), name)
        oldest, following = await asyncio.gather(
            self._list_offsets(name, leaders, EARLIEST), self._list_offsets(name, leaders, LATEST)
        )
        return {
            TopicPartition(name, number): (oldest[number], following[number]) for number in sorted(leaders)
        }

    async def _list_offsets(self, name: str, leaders: Mapping[int, int], which: int) -> dict[int, int]:
        found: dict[int, int] = {}
        for node in set(leaders.values()):
            asked = [(number, which) for number, leader in leaders.items() if leader == node]
            request = OffsetRequest(-1, READ_UNCOMMITTED, [(name, asked)])
            response = await (await self._open()).send(node, request)
            for number, error_code, _, offset in response.topics[0][1]:
                _check(error_code)
                found[number] = offset
        return found

    async def _delete(self, partition: TopicPartition, before: int) -> None:
        leaders = _leaders(await self._describe([partition.topic]), partition.topic)
        if partition.partition not in leaders:
            raise MisuseError(f"topic {partition.topic} has no partition {partition.partition}")
        request = DeleteRecordsRequest(
            [(partition.topic, [(partition.partition, before)])],
            round(self._connection.request_timeout * MILLISECONDS),
        )
        response = await (await self._open()).send(leaders[partition.partition], request)
        _, _, error_code, *_ = response.topics[0][1][0]
        if for_code(error_code) is OffsetOutOfRangeError and before != ALL_RECORDS:
            await self._delete(partition, ALL_RECORDS)  # it ends before that
            return
        _check(error_code)

    # ------------------------------------------------------------------------------------------------- client

    async def _open(self) -> AIOKafkaClient:
        async with self._lock:
            if self._client is None:
                self._client = await opening(self._connection, "open Kafka", self._new_client)
            return self._client

    async def _new_client(self) -> AIOKafkaClient:
        client = AIOKafkaClient(**self._connection.client_options("admin"))
        pace(client, self._connection)
        try:
            await client.bootstrap()
        except BaseException:
            await cut(client, self._connection.close_timeout)
            raise
        return client

    async def _until_done(self, what: str, action: Callable[[], Awaitable[T]]) -> T:
        # Opening is bounded by itself, with a better reason.
        return await persisting(
            self._connection, self._seed, what, action, prepare=self._open, recover=self._recover
        )

    async def _recover(self, error: Exception) -> None:
        """After a lost connection begin again from the bootstrap servers: all brokers may have new addresses."""
        if not isinstance(error, BrokerResponseError):
            await self.close()


def _compare(topic: TopicInfo, spec: TopicSpec) -> bool:
    """Whether the topic exists as it should; False if it is missing, TopicMismatchError if it differs."""
    error = for_code(topic.error_code)
    if error is UnknownTopicOrPartitionError:
        return False
    if error is not LeaderNotAvailableError:
        _check(topic.error_code)
    if len(topic.leaders) != spec.partitions:
        raise TopicMismatchError(
            f"topic {spec.name} has {len(topic.leaders)} partitions, {spec.partitions} are configured; "
            "the count of a topic never changes: set the configuration back, or use another name"
        )
    return True


def _existing(cluster: ClusterInfo, name: str) -> TopicInfo:
    topic = cluster.topics[name]
    if for_code(topic.error_code) is UnknownTopicOrPartitionError:
        raise unavailable(f"there is no topic {name}; `ensure_topics` makes it")
    if topic.id == NO_ID:
        raise unavailable(f"the cluster gives topic {name} no id: Kafka 2.8 or newer is needed")
    return topic


def _leaders(cluster: ClusterInfo, name: str) -> dict[int, int]:
    leaders = _existing(cluster, name).leaders
    if any(leader < 0 for leader in leaders.values()):
        raise LeaderNotAvailableError
    return leaders


def _check(error_code: int) -> None:
    error = for_code(error_code)
    if error is not NoError:
        raise error
