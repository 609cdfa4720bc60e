"""What topics take, and what a record takes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.adapters.kafka.connection import KafkaConnection
from alpha_panda.adapters.kafka.producer import KafkaProducer
from alpha_panda.adapters.kafka.sizes import (
    FRAME_BYTES,
    LETTER_BYTES,
    TOPIC_BYTES,
    max_message_bytes,
    record_bytes,
)
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.topics import dlq
from alpha_panda.errors import RecordError
from alpha_panda.ports import Outgoing, Record
from alpha_panda.runtime.dead_letter import STUB_BYTES, Failure, dead_letter, stub

WORST = Failure(Code.DEPENDENCY_UNAVAILABLE, "\U0001f4a5" * 100_000, "E" * 200, 10**9)


def letter_of(value: bytes) -> Record:
    return Record("t" * 249, 10**9, 2**63, "k", value, (), 2**63)


@pytest.mark.parametrize(("topic", "most"), [("paper.signals.raw", TOPIC_BYTES), (dlq("t"), LETTER_BYTES)])
def test_a_dead_letter_queue_takes_more_than_its_topic(topic: str, most: int) -> None:
    assert max_message_bytes(topic) == most


def test_whatever_a_topic_took_fits_its_queue_with_the_reason() -> None:
    letter = dead_letter(letter_of(b"x" * TOPIC_BYTES), WORST, "order-tracker")
    assert record_bytes(letter) <= LETTER_BYTES


def test_a_stub_fits_any_topic() -> None:
    assert record_bytes(stub(letter_of(b"x" * TOPIC_BYTES), WORST, "order-tracker")) < 2 * STUB_BYTES


@given(
    st.none() | st.text(),
    st.binary(),
    st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=9))).map(tuple),
)
def test_everything_in_a_record_counts(
    key: str | None, value: bytes, headers: tuple[tuple[str, bytes], ...]
) -> None:
    content = len((key or "").encode()) + len(value)
    content += sum(len(name.encode()) + len(text) for name, text in headers)
    counted = record_bytes(Outgoing("t", value, key, headers=headers))
    assert content + FRAME_BYTES <= counted <= content + FRAME_BYTES + 10 * len(headers)


async def test_what_no_topic_takes_is_refused_without_asking_a_broker() -> None:
    """Above its largest request a broker just hangs up: that would look as if it were away, for ever."""
    producer = KafkaProducer("p", KafkaConnection(bootstrap_servers="127.0.0.1:1"))
    producer._counts["t"] = 1
    with pytest.raises(RecordError, match=f"above the limit of {LETTER_BYTES}"):
        await producer.send([Outgoing("t", b"x" * LETTER_BYTES)])
