"""A group's stored offsets, and leaving the group, over a connection of their own.

Kafka answers the requests of one connection in their order. aiokafka's own commits share a connection with joining
the group, which waits until all members have joined; these don't.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

from aiokafka.client import AIOKafkaClient, CoordinationType
from aiokafka.errors import (
    CoordinatorLoadInProgressError,
    IllegalGenerationError,
    NoError,
    RebalanceInProgressError,
    UnknownMemberIdError,
    UnknownTopicOrPartitionError,
    for_code,
)
from aiokafka.protocol.commit import OffsetCommitRequest, OffsetFetchRequest
from aiokafka.protocol.group import LeaveGroupRequest

from alpha_panda.adapters.ids import RandomIds
from alpha_panda.adapters.kafka.clients import persisting
from alpha_panda.adapters.kafka.connection import KafkaConnection
from alpha_panda.errors import RebalancedError
from alpha_panda.ports import TopicPartition

T = TypeVar("T")

SIDE: Final = 2
"""Our connection's place among aiokafka's (`ConnectionGroup`: 0 for data, 1 for joining and heartbeats)."""

NOTHING_STORED: Final = -1
KEEP_AS_CONFIGURED: Final = -1

MOVED: Final = (IllegalGenerationError, UnknownMemberIdError, RebalanceInProgressError)


class Epoch(NamedTuple):
    """A membership: which member, in which generation of its group. The default is a reader without one."""

    generation: int = -1
    member: str = ""

    def continues(self, before: "Epoch") -> bool:
        """Whether nobody else can have had this member's partitions in between."""
        return self.member == before.member and self.generation == before.generation + 1


class GroupOffsets:
    """Stored offsets of one group. Every call ends within `request_timeout`."""

    def __init__(self, client: AIOKafkaClient, group: str, connection: KafkaConnection) -> None:
        self._client = client
        self._group = group
        self._connection = connection
        self._coordinator: int | None = None
        self._seed = RandomIds().new_id()

    async def fetch(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Return the stored offsets, of those partitions that have one."""
        asked = tuple(partitions)
        if not asked:
            return {}
        return await self._until_done("read the group's offsets", lambda: self._fetch(asked))

    async def commit(self, offsets: Mapping[TopicPartition, int], epoch: Epoch) -> None:
        """Store offsets as the member that fetched up to them.

        Raises:
            RebalancedError: the group has gone on without it; nothing was stored.

        """
        await self._until_done("commit", lambda: self._commit(offsets, epoch))

    async def leave(self, member: str) -> None:
        """Take a member out of the group at once."""
        await self._until_done("leave the group", lambda: self._ask(LeaveGroupRequest(self._group, member)))

    async def _fetch(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        by_topic: dict[str, list[int]] = defaultdict(list)
        for tp in partitions:
            by_topic[tp.topic].append(tp.partition)
        response = await self._ask(OffsetFetchRequest(self._group, list(by_topic.items())))
        # aiokafka's consumer overlooks this code: a coordinator that still loads would seem to have no offsets.
        self._check(getattr(response, "error_code", 0))
        stored: dict[TopicPartition, int] = {}
        for topic, rows in response.topics:
            for number, offset, _, error_code in rows:
                if for_code(error_code) is not UnknownTopicOrPartitionError:
                    self._check(error_code)
                if offset != NOTHING_STORED:
                    stored[TopicPartition(topic, number)] = offset
        return stored

    async def _commit(self, offsets: Mapping[TopicPartition, int], epoch: Epoch) -> None:
        by_topic: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
        for tp, offset in offsets.items():
            by_topic[tp.topic].append((tp.partition, offset, ""))
        request = OffsetCommitRequest(
            self._group, epoch.generation, epoch.member, KEEP_AS_CONFIGURED, list(by_topic.items())
        )
        response = await self._ask(request)
        for _, rows in response.topics:
            for _, error_code in rows:
                self._check(error_code)

    async def _ask(self, request: Any) -> Any:  # noqa: ANN401 - untyped library
        if self._coordinator is None:
            self._coordinator = await self._client.coordinator_lookup(CoordinationType.GROUP, self._group)
        return await self._client.send(self._coordinator, request, group=SIDE)

    def _check(self, error_code: int) -> None:
        error = for_code(error_code)
        if error in MOVED:
            raise RebalancedError(f"group {self._group} has gone on without this member ({error.__name__})")
        if error is not NoError:
            raise error

    async def _until_done(self, what: str, action: Callable[[], Awaitable[T]]) -> T:
        return await persisting(self._connection, self._seed, what, action, recover=self._recover)

    async def _recover(self, error: Exception) -> None:
        """Look the coordinator up again, unless it only needs time."""
        if not isinstance(error, CoordinatorLoadInProgressError):
            self._coordinator = None
