"""What aiokafka lacks of Kafka's protocol: an error code, and metadata with topic ids (KIP-516, Kafka 2.8).

Field by field after `MetadataRequest.json` and `MetadataResponse.json` of Apache Kafka, version 10.
"""

import uuid
from collections.abc import Iterable, Sequence
from io import BytesIO
from typing import Any, Final, NamedTuple

from aiokafka.errors import BrokerResponseError, kafka_errors
from aiokafka.protocol.abstract import AbstractType
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

UUID_BYTES: Final = 16
NO_ID: Final = uuid.UUID(int=0)


class InvalidRecordError(BrokerResponseError):  # type: ignore[misc] # untyped library
    """The broker refuses a record, for instance one without a key in a compacted topic."""

    errno = 87
    message = "INVALID_RECORD"
    description = "The broker refuses a record: for instance one without a key in a compacted topic."
    retriable = False


kafka_errors.setdefault(InvalidRecordError.errno, InvalidRecordError)  # it would be an UnknownError


class Uuid(AbstractType):  # type: ignore[misc] # untyped library
    """16 bytes."""

    @classmethod
    def encode(cls, value: uuid.UUID) -> bytes:
        """Return the bytes of a UUID."""
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> uuid.UUID:
        """Return the UUID of the next 16 bytes."""
        return uuid.UUID(bytes=data.read(UUID_BYTES))


_STRING: Final = CompactString("utf-8")

_PARTITION: Final = (
    ("error_code", Int16),
    ("partition", Int32),
    ("leader", Int32),
    ("leader_epoch", Int32),
    ("replicas", CompactArray(Int32)),
    ("isr", CompactArray(Int32)),
    ("offline_replicas", CompactArray(Int32)),
    ("tags", TaggedFields),
)

_TOPIC: Final = (
    ("error_code", Int16),
    ("topic", _STRING),
    ("topic_id", Uuid),
    ("is_internal", Boolean),
    ("partitions", CompactArray(*_PARTITION)),
    ("authorized_operations", Int32),
    ("tags", TaggedFields),
)


class MetadataResponseV10(Response):  # type: ignore[misc] # untyped library
    """Brokers and topics."""

    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", _STRING),
                ("port", Int32),
                ("rack", _STRING),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", _STRING),
        ("controller_id", Int32),
        ("topics", CompactArray(*_TOPIC)),
        ("cluster_authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class MetadataRequestV10(RequestStruct):  # type: ignore[misc] # untyped library
    """Asks for some topics by name, or for all."""

    API_KEY = 3
    API_VERSION = 10
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = MetadataResponseV10
    SCHEMA = Schema(
        ("topics", CompactArray(("topic_id", Uuid), ("name", _STRING), ("tags", TaggedFields))),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class MetadataWithIds(Request[MetadataRequestV10]):  # type: ignore[misc] # untyped library
    """Never creates a topic; None asks for all there are."""

    API_KEY = 3

    def __init__(self, topics: Iterable[str] | None) -> None:
        self._topics: list[Any] | None = None if topics is None else [(NO_ID, name, {}) for name in topics]

    def build(self, request_struct_class: type[MetadataRequestV10]) -> MetadataRequestV10:
        """Return the struct to send."""
        return request_struct_class(self._topics, False, False, False, {})


class TopicInfo(NamedTuple):
    """A topic as a broker sees it; `leaders` has the node of each partition, -1 for none, by partition number.

    `replicas`: the copies of the partition that has the fewest.
    """

    error_code: int
    id: uuid.UUID
    leaders: dict[int, int]
    replicas: int


class ClusterInfo(NamedTuple):
    """What a broker says of the cluster."""

    brokers: tuple[int, ...]
    controller: int
    topics: dict[str, TopicInfo]

    @classmethod
    def of(cls, response: Any) -> "ClusterInfo":  # noqa: ANN401 - untyped library
        """Read a `MetadataResponseV10`."""
        return cls(
            tuple(broker[0] for broker in response.brokers),
            response.controller_id,
            {topic[1]: _topic(topic) for topic in response.topics},
        )


def _topic(fields: Sequence[Any]) -> TopicInfo:
    error_code, _, topic_id, _, partitions, *_ = fields
    leaders = {partition[1]: partition[2] for partition in partitions}
    return TopicInfo(
        error_code, topic_id, leaders, min((len(partition[4]) for partition in partitions), default=0)
    )
