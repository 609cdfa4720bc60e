"""How large records may be: what topics are made with, and what a producer does not even try."""

from typing import Final

from alpha_panda.contracts.topics import DLQ_SUFFIX
from alpha_panda.ports import Outgoing

TOPIC_BYTES: Final = 1024 * 1024
"""`max.message.bytes` of new topics: of a batch with its frame. Kafka's own default is 12 bytes more."""

LETTER_BYTES: Final = TOPIC_BYTES + 64 * 1024
"""The same of dead letter queues: what a topic took must fit with the headers that tell why it was set aside."""

FRAME_BYTES: Final = 128
"""Of a batch and a record in it, generously: what Kafka counts besides key, value and headers."""

_HEADER_BYTES: Final = 10  # two lengths of at most five bytes each


def max_message_bytes(topic: str) -> int:
    """Return the limit that a topic is made with."""
    return LETTER_BYTES if topic.endswith(DLQ_SUFFIX) else TOPIC_BYTES


def record_bytes(record: Outgoing) -> int:
    """Return what a record takes in a batch of its own, at most."""
    key = 0 if record.key is None else len(record.key.encode())
    headers = sum(len(name.encode()) + len(value) + _HEADER_BYTES for name, value in record.headers)
    return FRAME_BYTES + key + len(record.value) + headers
