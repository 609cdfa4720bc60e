"""Dead letters: a record that can't be processed goes to `<topic>.dlq` with all that is needed to replay it.

If even the queue will not take it, a stub goes there instead: where it is, why it was set aside, its size, its
SHA-256 and how it begins. The topic that it came from still keeps it for its time.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import structlog

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.topics import TopicSpec, dlq
from alpha_panda.errors import (
    BreakerOpenError,
    DependencyUnavailableError,
    PayloadMismatchError,
    RecordError,
    TransientError,
    UndecodableRecordError,
    UnknownInstrumentError,
    UnknownVersionError,
)
from alpha_panda.ports import Outgoing, Producer, Record
from alpha_panda.runtime.logging import redact_text

log = structlog.get_logger()

HEADER_PREFIX: Final = "dlq."
DLQ_PARTITIONS: Final = 1
SIZE, SHA256 = HEADER_PREFIX + "size", HEADER_PREFIX + "sha256"
"""Headers that a stub alone has: bytes and SHA-256 (hex) of the whole value."""
STUB_BYTES: Final = 16 * 1024
"""How much of the value a stub keeps."""
_STUB_EXTRAS: Final = 1024  # bytes of a key, and of all headers, up to which a stub keeps them
_MESSAGE_LIMIT: Final = 2000  # characters: headers count against the broker's record size

# The first class that fits decides: subclasses before their bases.
_CODES: Final[tuple[tuple[type[Exception], Code], ...]] = (
    (UnknownVersionError, Code.UNKNOWN_VERSION),
    (UndecodableRecordError, Code.UNDECODABLE),
    (UnknownInstrumentError, Code.INSTRUMENT_UNKNOWN),
    (PayloadMismatchError, Code.PAYLOAD_MISMATCH),
    (RecordError, Code.SCHEMA_INVALID),
    (BreakerOpenError, Code.BREAKER_OPEN),
    (DependencyUnavailableError, Code.DEPENDENCY_UNAVAILABLE),
    (TransientError, Code.RETRIES_EXHAUSTED),
)

REASONS: Final = (*(code for _, code in _CODES), Code.INTERNAL_ERROR)
"""Every code that `failure_code` may return."""


def failure_code(error: Exception) -> Code:
    """Return the code under which a record that failed with `error` for the last time is set aside."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), Code.INTERNAL_ERROR)


def dead_letter_topics(topics: Iterable[str]) -> tuple[TopicSpec, ...]:
    """Return what to ensure for the dead letters of `topics`: one partition each, their order does not matter."""
    return tuple(TopicSpec(dlq(topic), DLQ_PARTITIONS) for topic in topics)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a record is set aside. `error` is the class's name, "" when nothing was raised (breaker open)."""

    code: Code
    message: str
    error: str = ""
    attempts: int = 0

    @classmethod
    def of(cls, error: Exception, attempts: int) -> "Failure":
        """Return the failure that `error` is after `attempts`."""
        return cls(failure_code(error), str(error) or type(error).__name__, type(error).__name__, attempts)


def dead_letter(record: Record, failure: Failure, service: str) -> Outgoing:
    """Return the record for `<topic>.dlq`: original key, value and headers, and `dlq.*` headers."""
    headers = (*record.headers, *_facts(record, failure, service))
    return Outgoing(dlq(record.topic), record.value, record.key, partition=0, headers=headers)


def stub(record: Record, failure: Failure, service: str) -> Outgoing:
    """Return what goes to `<topic>.dlq` of a record that the queue will not take: it can't be replayed.

    Key and headers are left out if they are long themselves.
    """
    key = record.key if len((record.key or "").encode()) <= _STUB_EXTRAS else None
    size = sum(len(name.encode()) + len(value) for name, value in record.headers)
    headers = (
        *(record.headers if size <= _STUB_EXTRAS else ()),
        *_facts(record, failure, service),
        (SIZE, str(len(record.value)).encode()),
        (SHA256, hashlib.sha256(record.value).hexdigest().encode()),
    )
    return Outgoing(dlq(record.topic), record.value[:STUB_BYTES], key, partition=0, headers=headers)


def _facts(record: Record, failure: Failure, service: str) -> tuple[tuple[str, bytes], ...]:
    facts = {
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "timestamp": str(record.timestamp),
        "code": failure.code.value,
        "message": redact_text(failure.message)[:_MESSAGE_LIMIT],
        "error": failure.error,
        "service": service,
        "attempts": str(failure.attempts),
    }
    return tuple((HEADER_PREFIX + name, text.encode()) for name, text in facts.items())


def original(letter: Record) -> Outgoing:
    """Return the record to produce in order to replay a dead letter, to its own topic and partition.

    A signal goes through risk again that way. Its new offset is another one; whoever reads it must know its id.

    Raises:
        UndecodableRecordError: not a dead letter, or the stub of one.

    """
    facts = {name: value.decode() for name, value in letter.headers if name.startswith(HEADER_PREFIX)}
    if SHA256 in facts:
        raise UndecodableRecordError(
            f"{letter.id} is a stub: of {facts[SIZE]} bytes only the first {len(letter.value)} were kept"
        )
    try:
        topic, partition = facts[HEADER_PREFIX + "topic"], int(facts[HEADER_PREFIX + "partition"])
    except (KeyError, ValueError) as error:
        raise UndecodableRecordError(f"{letter.id} is not a dead letter: header {error}") from error
    headers = tuple(pair for pair in letter.headers if not pair[0].startswith(HEADER_PREFIX))
    return Outgoing(topic, letter.value, letter.key, partition, headers)


class DeadLetters:
    """Writes dead letters for one service."""

    def __init__(self, producer: Producer, service: str) -> None:
        self._producer = producer
        self._service = service

    async def put(self, record: Record, failure: Failure) -> None:
        """Write one; a repeat after a redelivery is possible and carries the same origin.

        A stub of it if the queue refuses the whole: no record may stop a service for ever.

        Raises:
            DependencyUnavailableError: not acknowledged; the caller must not commit the record.

        """
        try:
            await self._producer.send([dead_letter(record, failure, self._service)])
        except RecordError as error:
            log.error(  # noqa: TRY400 - all is said, and the service goes on
                "dead letter refused, a stub goes instead",
                record=record.id,
                size=len(record.value),
                error=str(error),
            )
            await self._producer.send([stub(record, failure, self._service)])
