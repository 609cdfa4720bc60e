import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.topics import TopicSpec
from alpha_panda.errors import (
    BreakerOpenError,
    DependencyUnavailableError,
    PayloadMismatchError,
    RebalancedError,
    RecordError,
    UndecodableRecordError,
    UnknownInstrumentError,
    UnknownVersionError,
)
from alpha_panda.ports import Outgoing, Record, RecordPosition
from alpha_panda.runtime.dead_letter import (
    STUB_BYTES,
    DeadLetters,
    Failure,
    dead_letter,
    dead_letter_topics,
    failure_code,
    original,
    stub,
)

FAILURE = Failure(Code.UNDECODABLE, "not JSON", "UndecodableRecordError", 1)


def record(
    key: str | None = "m:1", value: bytes = b"{", headers: tuple[tuple[str, bytes], ...] = ()
) -> Record:
    return Record("a.signals.raw", 3, 17, key, value, headers, 1_700_000_000_000_000_000)


def as_read(letter: Outgoing) -> Record:
    return Record(letter.topic, 0, 0, letter.key, letter.value, letter.headers, 0)


def test_a_letter_holds_where_the_record_came_from_and_why_it_was_set_aside() -> None:
    letter = dead_letter(record(headers=(("traceparent", b"00-1"),)), FAILURE, "risk")
    assert (letter.topic, letter.key, letter.value, letter.partition) == ("a.signals.raw.dlq", "m:1", b"{", 0)
    assert letter.headers == (
        ("traceparent", b"00-1"),
        ("dlq.topic", b"a.signals.raw"),
        ("dlq.partition", b"3"),
        ("dlq.offset", b"17"),
        ("dlq.timestamp", b"1700000000000000000"),
        ("dlq.code", b"UNDECODABLE"),
        ("dlq.message", b"not JSON"),
        ("dlq.error", b"UndecodableRecordError"),
        ("dlq.service", b"risk"),
        ("dlq.attempts", b"1"),
    )


@given(
    key=st.none() | st.text(),
    value=st.binary(),
    headers=st.lists(st.tuples(st.sampled_from(["traceparent", "x", ""]), st.binary())).map(tuple),
)
def test_a_letter_replays_as_the_record_it_was(
    key: str | None, value: bytes, headers: tuple[tuple[str, bytes], ...]
) -> None:
    letter = as_read(dead_letter(record(key, value, headers), FAILURE, "risk"))
    assert original(letter) == Outgoing("a.signals.raw", value, key, 3, headers)


def test_what_is_no_letter_can_not_be_replayed() -> None:
    with pytest.raises(UndecodableRecordError, match=r"a\.signals\.raw/3/17 is not a dead letter"):
        original(record())


def test_secrets_in_a_message_do_not_reach_the_letter() -> None:
    failure = Failure(Code.INTERNAL_ERROR, "GET /x?api_key=abc123 failed")
    assert b"abc123" not in b"".join(value for _, value in dead_letter(record(), failure, "risk").headers)


def test_a_long_message_is_cut() -> None:
    letter = dead_letter(record(), Failure(Code.INTERNAL_ERROR, "x" * 100_000), "risk")
    assert len(dict(letter.headers)["dlq.message"]) == 2000


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UndecodableRecordError("x"), Code.UNDECODABLE),
        (UnknownVersionError("x"), Code.UNKNOWN_VERSION),
        (UnknownInstrumentError("x"), Code.INSTRUMENT_UNKNOWN),
        (PayloadMismatchError("x"), Code.PAYLOAD_MISMATCH),
        (RecordError("x"), Code.SCHEMA_INVALID),
        (BreakerOpenError("redis", "x"), Code.BREAKER_OPEN),
        (DependencyUnavailableError("redis", "x"), Code.DEPENDENCY_UNAVAILABLE),
        (RebalancedError("x"), Code.RETRIES_EXHAUSTED),
        (KeyError("x"), Code.INTERNAL_ERROR),
    ],
)
def test_the_code_tells_the_class_of_the_last_error(error: Exception, code: Code) -> None:
    assert failure_code(error) is code


def test_an_error_without_words_is_told_by_its_name() -> None:
    assert Failure.of(ValueError(), 2) == Failure(Code.INTERNAL_ERROR, "ValueError", "ValueError", 2)


def test_each_topic_has_a_dead_letter_topic_of_one_partition() -> None:
    assert dead_letter_topics(["a", "b"]) == (TopicSpec("a.dlq", 1), TopicSpec("b.dlq", 1))


class Queue:
    """A producer that takes records of so many bytes at most."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken: list[Outgoing] = []

    async def send(self, records: Sequence[Outgoing]) -> list[RecordPosition]:
        if any(len(item.value) > self.most for item in records):
            raise RecordError("too large")
        self.taken += records
        return [RecordPosition(item.topic, 0, 0) for item in records]


LARGE = bytes(range(256)) * 4_000


async def test_a_letter_that_the_queue_takes_is_whole() -> None:
    queue = Queue(len(LARGE))
    await DeadLetters(queue, "risk").put(record(value=LARGE), FAILURE)
    assert queue.taken == [dead_letter(record(value=LARGE), FAILURE, "risk")]


async def test_of_one_that_it_refuses_a_stub_tells_what_it_was() -> None:
    queue = Queue(STUB_BYTES)
    await DeadLetters(queue, "risk").put(record(value=LARGE, headers=(("traceparent", b"00-1"),)), FAILURE)
    (letter,) = queue.taken
    headers = dict(letter.headers)
    assert (letter.topic, letter.key, letter.partition) == ("a.signals.raw.dlq", "m:1", 0)
    assert letter.value == LARGE[:STUB_BYTES]
    assert headers["dlq.size"] == b"1024000"
    assert headers["dlq.sha256"] == hashlib.sha256(LARGE).hexdigest().encode()
    assert {name: headers[name] for name in ("dlq.offset", "dlq.code", "traceparent")} == {
        "dlq.offset": b"17",
        "dlq.code": b"UNDECODABLE",
        "traceparent": b"00-1",
    }


async def test_a_queue_that_refuses_even_the_stub_says_so() -> None:
    with pytest.raises(RecordError, match="too large"):
        await DeadLetters(Queue(100), "risk").put(record(value=LARGE), FAILURE)


async def test_a_queue_that_does_not_answer_gets_no_stub() -> None:
    class Away(Queue):
        async def send(self, records: Sequence[Outgoing]) -> list[RecordPosition]:
            self.taken += records
            raise DependencyUnavailableError("kafka", "away")

    queue = Away(0)
    with pytest.raises(DependencyUnavailableError):
        await DeadLetters(queue, "risk").put(record(value=LARGE), FAILURE)
    assert len(queue.taken) == 1


def test_a_stub_can_not_be_replayed() -> None:
    with pytest.raises(
        UndecodableRecordError, match=f"stub: of {len(LARGE)} bytes only the first {STUB_BYTES}"
    ):
        original(as_read(stub(record(value=LARGE), FAILURE, "risk")))


@given(key=st.none() | st.text(min_size=2_000), value=st.binary(), name=st.text(max_size=5))
def test_a_stub_is_small_whatever_the_record_was(key: str | None, value: bytes, name: str) -> None:
    whole = record(key, value + LARGE, ((name, LARGE), (name, b"")))
    made = stub(whole, Failure(Code.INTERNAL_ERROR, "é" * 100_000, "E"), "risk")
    size = len(made.value) + sum(len(header) + len(text) for header, text in made.headers)
    assert size < STUB_BYTES + 6_000
    assert made.key is None
