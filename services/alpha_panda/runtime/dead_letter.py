"""Dead letters: a record that can't be processed goes to `<topic>.dlq` with all that is needed to replay it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

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

HEADER_PREFIX: Final = "dlq."
DLQ_PARTITIONS: Final = 1
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
    added = tuple((HEADER_PREFIX + name, text.encode()) for name, text in facts.items())
    return Outgoing(
        dlq(record.topic), record.value, record.key, partition=0, headers=(*record.headers, *added)
    )


def original(letter: Record) -> Outgoing:
    """Return the record to produce in order to replay a dead letter, to its own topic and partition.

    A signal goes through risk again that way. Its new offset is another one; whoever reads it must know its id.

    Raises:
        UndecodableRecordError: not a dead letter.

    """
    facts = {name: value.decode() for name, value in letter.headers if name.startswith(HEADER_PREFIX)}
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

        Raises:
            DependencyUnavailableError: not acknowledged; the caller must not commit the record.

        """
        await self._producer.send([dead_letter(record, failure, self._service)])
