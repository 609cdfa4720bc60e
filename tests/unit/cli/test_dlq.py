"""`alpha-panda dlq` as typed: what is in the queues, what is sent again and where to, what is deleted."""

from typing import Any

import msgspec
import pytest

from alpha_panda.adapters.memory.consumer import MemoryConsumer
from alpha_panda.adapters.memory.producer import MemoryProducer
from alpha_panda.contracts.codec import decode_event, encode_event, encode_ticks, payload_hash
from alpha_panda.contracts.enums import EventType, FeedMode, SignalClass
from alpha_panda.contracts.events import VERSION, Envelope, Payload, Signal, TickBatch, ValidatedSignal
from alpha_panda.errors import DependencyUnavailableError, PayloadMismatchError, UndecodableRecordError
from alpha_panda.ports import Outgoing, Record, TopicPartition
from contracts.samples import cancel_request, signal
from unit.cli.installed import START
from unit.cli.operating import Operator

RAW, VALIDATED = "paper.signals.raw", "paper.signals.validated"
RAW_DLQ, VALIDATED_DLQ = f"{RAW}.dlq", f"{VALIDATED}.dlq"
POISON = b"\x00 not a record"
UNREADABLE = UndecodableRecordError("not an event envelope")


def event(event_type: EventType, data: Payload, **changes: Any) -> Envelope:
    fields: dict[str, Any] = {
        "id": "e1",
        "type": event_type,
        "version": VERSION,
        "ts": START,
        "source": "strategy/momentum",
        "account": "paper",
        "key": "momentum:738561",
        "correlation_id": "corr",
        "causation_id": "tick",
        "data": data,
    }
    return Envelope(**(fields | changes))


def raw_signal() -> bytes:
    return encode_event(event(EventType.TRADING_SIGNAL, signal()))


def validated(original: Any) -> bytes:
    data = ValidatedSignal(
        original_signal=original,
        signal_class=SignalClass.INCREASING,
        payload_hash=payload_hash(original),
        risk_epoch="r",
        journal_epoch="j",
        decided_at=START,
    )
    return encode_event(event(EventType.VALIDATED_SIGNAL, data, id="decision", causation_id="e1"))


def set_aside(
    operator: Operator, topic: str, value: bytes, error: Exception = UNREADABLE, **fields: Any
) -> None:
    operator.run(operator.site.set_aside(topic, value, error, **fields))


def records(operator: Operator, topic: str) -> list[Record]:
    return operator.run(operator.site.records(topic))


def texts(record: Record) -> dict[str, str]:
    return {name: value.decode() for name, value in record.headers}


# ----------------------------------------------------------------------------------------------- list, show


def fill(operator: Operator) -> None:
    set_aside(operator, RAW, raw_signal(), PayloadMismatchError("another content"))
    set_aside(operator, RAW, POISON)
    set_aside(operator, RAW, POISON)
    set_aside(operator, "second.orders.filled", POISON)
    set_aside(operator, "demo.market.ticks", POISON, key=None)


def test_the_queues_are_counted_by_code(operator: Operator) -> None:
    fill(operator)
    called = operator("dlq", "list", "-o", "json")
    assert called.code == 0
    queues = {queue["topic"]: queue for queue in called.json["queues"]}
    assert len(queues) == 2 * 7 + 1  # empty ones too; none of another installation
    assert queues[RAW_DLQ] == {
        "topic": RAW_DLQ,
        "records": 3,
        "oldest": 0,
        "next": 3,
        "codes": {"UNDECODABLE": 2, "PAYLOAD_MISMATCH": 1},
        "services": {"risk": 3},
        "last_at": "2023-11-14T22:13:20.000Z",
    }
    assert queues[VALIDATED_DLQ]["records"] == 0


def test_in_a_pipe_only_full_queues_are_listed(operator: Operator) -> None:
    fill(operator)
    lines = operator("dlq", "list").out.splitlines()
    assert [line.split("\t")[:4] for line in lines] == [
        ["QUEUE", "RECORDS", "OFFSETS", "CODES"],
        ["demo.market.ticks.dlq", "1", "0-0", "1 UNDECODABLE"],
        [RAW_DLQ, "3", "0-2", "2 UNDECODABLE, 1 PAYLOAD_MISMATCH"],
        ["second.orders.filled.dlq", "1", "0-0", "1 UNDECODABLE"],
    ]


@pytest.mark.parametrize(
    ("words", "queues"),
    [
        (("second",), 7),
        (("second", "demo"), 8),
        (("--topic", RAW), 1),
        (("--topic", RAW_DLQ), 1),
        (("second", "--topic", RAW), 0),
    ],
)
def test_some_queues_are_listed(operator: Operator, words: tuple[str, ...], queues: int) -> None:
    assert len(operator("dlq", "list", *words, "-o", "json").json["queues"]) == queues


def test_no_dead_letters_are_good_news(operator: Operator) -> None:
    called = operator("dlq", "list")
    assert (called.code, called.out) == (0, "no dead letters (15 queues)\n")


@pytest.mark.parametrize(
    "words",
    [
        ("list", "papr"),
        ("list", "--topic", "paper.control"),
        ("show", "papr.signals.raw", "0"),
        ("show", RAW, "0"),
        ("show", "other.theirs.signals.raw.dlq", "0"),
        ("replay", RAW),
        ("replay", RAW, "--all", "--offset", "0"),
        ("replay", RAW, "--offset", "9"),
        ("purge", RAW),
        ("purge", RAW, "--all", "--before", "1"),
        ("purge", RAW, "--before", "1", "--yes"),
        ("purge", "paper.portfolio", "--all", "--yes"),
    ],
)
def test_what_does_not_exist_is_said(operator: Operator, words: tuple[str, ...]) -> None:
    called = operator("dlq", *words)
    assert called.code == 2
    assert called.err.startswith("error: ")


@pytest.mark.parametrize(
    "words", [("list",), ("show", RAW, "0"), ("replay", RAW, "--all"), ("purge", RAW, "--all")]
)
def test_a_silent_kafka_is_a_failure_soon(operator: Operator, words: tuple[str, ...]) -> None:
    operator.site.bus.mute = True
    called = operator("dlq", *words)
    assert called.code == 1
    assert "kafka: no answer within 0.5 s" in called.err


def test_a_letter_is_shown_with_reason_and_content(operator: Operator) -> None:
    trace = (("traceparent", b"00-1-1-01"),)
    set_aside(operator, RAW, raw_signal(), PayloadMismatchError("another content"), headers=trace)
    shown = operator("dlq", "show", RAW, "0", "-o", "json").json
    assert (shown["topic"], shown["offset"], shown["key"]) == (RAW_DLQ, 0, "alpha:1")
    assert shown["headers"] == {"traceparent": "00-1-1-01"}
    assert shown["dlq"]["code"] == "PAYLOAD_MISMATCH"
    assert shown["dlq"]["message"] == "another content"
    assert (shown["dlq"]["topic"], shown["dlq"]["partition"], shown["dlq"]["offset"]) == (RAW, "0", "7")
    assert shown["payload"]["data"]["signal_id"] == "s1"
    text = operator("dlq", "show", RAW, "0").out
    assert "dlq.message      another content" in text
    assert '"signal_id": "s1"' in text


def test_poison_is_shown_as_it_is(operator: Operator) -> None:
    set_aside(operator, RAW, b"\xff\x00 bad")
    called = operator("dlq", "show", RAW, "0")
    assert called.code == 0
    assert "can't be decoded: not an event envelope" in called.out
    assert "\\xff" in called.out


def test_ticks_are_shown(operator: Operator) -> None:
    batch = TickBatch("demo", FeedMode.SIMULATED, 1, START, [])
    set_aside(operator, "demo.market.ticks", encode_ticks(batch), key=None)
    shown = operator("dlq", "show", "demo.market.ticks", "0", "-o", "json").json
    assert shown["payload"][0] == "demo"


# -------------------------------------------------------------------------------------------------- replay


def test_a_raw_signal_goes_again_as_it_was(operator: Operator) -> None:
    trace = (("traceparent", b"00-1-1-01"), ("replay.of", b"earlier"))
    set_aside(operator, RAW, raw_signal(), headers=trace, key="momentum:738561")
    called = operator("dlq", "replay", RAW, "--all", "--by", "ann", "-o", "json")
    assert called.code == 0
    assert called.json["sent"] == [{"offset": 0, "to": {"topic": RAW, "partition": 0, "offset": 0}}]
    (sent,) = records(operator, RAW)
    assert (sent.value, sent.key) == (raw_signal(), "momentum:738561")
    assert texts(sent) == {
        "traceparent": "00-1-1-01",
        "replay.of": f"{RAW_DLQ}/0/0",
        "replay.by": "ann",
        "replay.at": str(START),
    }
    assert [name for name, _ in sent.headers].count("replay.of") == 1  # the last replay's alone
    assert len(records(operator, RAW_DLQ)) == 1  # nothing is deleted


@pytest.mark.parametrize("original", [signal(), cancel_request()])
def test_a_decision_goes_back_to_risk_as_its_signal(operator: Operator, original: Any) -> None:
    set_aside(operator, VALIDATED, validated(original), key=original.key, partition=2)
    called = operator("dlq", "replay", VALIDATED, "--offset", "0")
    assert called.code == 0
    assert f"sent {VALIDATED_DLQ}/0 to {RAW}/0/0" in called.out
    assert records(operator, VALIDATED) == []
    (sent,) = records(operator, RAW)
    told = decode_event(sent.value)
    assert told.data == original
    assert isinstance(told.data, type(original))
    assert payload_hash(told.data) == payload_hash(original)
    is_signal = isinstance(original, Signal)
    assert told.type is (EventType.TRADING_SIGNAL if is_signal else EventType.CANCEL_REQUEST)
    assert (told.id, told.correlation_id, told.account, told.key) == ("e1", "corr", "paper", original.key)
    assert sent.key == original.key


@pytest.mark.parametrize("value", [POISON, raw_signal()])
def test_what_holds_no_decision_never_reaches_the_engine(operator: Operator, value: bytes) -> None:
    set_aside(operator, VALIDATED, value)
    set_aside(operator, VALIDATED, validated(signal()))
    called = operator("dlq", "replay", VALIDATED, "--all")
    assert called.code == 1
    assert f"{VALIDATED_DLQ}/0 can't be sent again" in called.err
    assert "1 sent, 1 can't be" in called.out
    assert records(operator, VALIDATED) == []
    assert len(records(operator, RAW)) == 1


def test_an_order_event_goes_by_its_key_and_ticks_where_they_came_from(operator: Operator) -> None:
    set_aside(operator, "paper.orders.filled", b"{}", key="k", partition=3)
    set_aside(operator, "demo.market.ticks", b"x", key=None, partition=3)
    operator.run(operator.site.produce(Outgoing("paper.orders.filled", b"beside", key="k")))
    assert operator("dlq", "replay", "paper.orders.filled", "--all").code == 0
    assert operator("dlq", "replay", "demo.market.ticks", "--all").code == 0
    beside, again = records(operator, "paper.orders.filled")
    assert (again.value, again.partition) == (b"{}", beside.partition)
    (tick,) = records(operator, "demo.market.ticks")
    assert tick.partition == 3


def test_only_the_named_ones_go(operator: Operator) -> None:
    for n in range(4):
        set_aside(operator, RAW, f"{n}".encode())
    called = operator("dlq", "replay", RAW, "--offset", "2", "--offset", "0", "--offset", "2")
    assert called.code == 0
    assert [item.value for item in records(operator, RAW)] == [b"0", b"2"]


def test_one_offset_that_is_not_there_sends_none(operator: Operator) -> None:
    set_aside(operator, RAW, b"0")
    called = operator("dlq", "replay", RAW, "--offset", "0", "--offset", "5")
    assert called.code == 2
    assert "no record 5; it has records 0 to 0" in called.err
    assert records(operator, RAW) == []


def test_what_is_no_letter_of_this_queue_is_left(operator: Operator) -> None:
    """A header must not be able to send a record to another topic."""
    forged = (("dlq.topic", b"second.signals.raw"), ("dlq.partition", b"0"))
    operator.run(
        operator.site.produce(
            Outgoing(RAW_DLQ, b"x", key="k"), Outgoing(RAW_DLQ, b"y", key="k", headers=forged)
        )
    )
    called = operator("dlq", "replay", RAW, "--all", "-o", "json")
    assert called.code == 1
    assert [item["offset"] for item in called.json["skipped"]] == [0, 1]
    assert "does not belong here" in called.json["skipped"][1]["why"]
    assert records(operator, "second.signals.raw") == []


def test_an_unfinished_replay_says_how_far_it_came(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALPHAPANDA_FETCH_MAX_RECORDS", "2")
    for n in range(5):
        set_aside(operator, RAW, f"{n}".encode())
    operator.site.memory_bus.faults.fail_sends(1, topic=RAW)
    called = operator("dlq", "replay", RAW, "--all")
    assert called.code == 1
    assert "0 sent" in called.out
    assert "the same command again does no harm" in called.err
    assert operator("dlq", "replay", RAW, "--all").code == 0
    assert [item.value for item in records(operator, RAW)] == [b"0", b"1", b"2", b"3", b"4"]


def test_a_replay_that_breaks_off_counts_what_went(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALPHAPANDA_FETCH_MAX_RECORDS", "2")
    for n in range(5):
        set_aside(operator, RAW, f"{n}".encode())
    real, calls = MemoryProducer.send, []

    async def broken_at_the_second(self: MemoryProducer, sent: Any) -> Any:
        calls.append(len(sent))
        if len(calls) == 2:
            raise DependencyUnavailableError("bus", "gone")
        return await real(self, sent)

    monkeypatch.setattr(MemoryProducer, "send", broken_at_the_second)
    called = operator("dlq", "replay", RAW, "--all", "-o", "json")
    assert called.code == 1
    assert [item["offset"] for item in called.json["sent"]] == [0, 1]
    assert "gone" in called.json["problem"]


def test_a_whole_queue_is_read_page_by_page_and_each_is_sent_before_the_next_is_read(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue may be longer than memory: at no time are more than two fetches in it."""
    monkeypatch.setenv("ALPHAPANDA_FETCH_MAX_RECORDS", "2")
    for n in range(7):
        set_aside(operator, RAW, f"{n}".encode())
    steps: list[tuple[str, int]] = []
    real_fetch, real_send = MemoryConsumer.fetch, MemoryProducer.send

    async def fetch(self: MemoryConsumer, *given: Any, **named: Any) -> Any:
        found = await real_fetch(self, *given, **named)
        steps.append(("read", len(found)))
        return found

    async def send(self: MemoryProducer, records: Any) -> Any:
        steps.append(("sent", len(records)))
        return await real_send(self, records)

    monkeypatch.setattr(MemoryConsumer, "fetch", fetch)
    monkeypatch.setattr(MemoryProducer, "send", send)
    assert operator("dlq", "replay", RAW, "--all").code == 0
    held = [0]
    for what, count in steps:
        held.append(held[-1] + (count if what == "read" else -count))
    assert max(held) <= 4
    assert sum(count for what, count in steps if what == "sent") == 7
    monkeypatch.undo()
    assert [item.value for item in records(operator, RAW)] == [f"{n}".encode() for n in range(7)]


# --------------------------------------------------------------------------------------------------- purge


@pytest.mark.parametrize(
    ("words", "left"), [(("--all",), []), (("--before", "2"), [2]), (("--before", "0"), [0, 1, 2])]
)
def test_a_purge_deletes_what_it_says(operator: Operator, words: tuple[str, ...], left: list[int]) -> None:
    for n in range(3):
        set_aside(operator, RAW, f"{n}".encode())
    called = operator("dlq", "purge", RAW, *words, "--yes")
    assert called.code == 0
    assert called.out == f"{RAW_DLQ}: {3 - len(left)} records deleted\n"
    assert [item.offset for item in records(operator, RAW_DLQ)] == left


def test_without_a_yes_nothing_is_deleted(operator: Operator) -> None:
    set_aside(operator, RAW, b"x")
    called = operator("dlq", "purge", RAW, "--all")
    assert called.code == 2
    assert f"add --yes to delete 1 records of {RAW_DLQ}" in called.err
    assert len(records(operator, RAW_DLQ)) == 1


def test_a_queue_purged_while_it_is_read_is_said(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(3):
        set_aside(operator, RAW, f"{n}".encode())
    partition = TopicPartition(RAW_DLQ, 0)
    operator.run(operator.site.bus.delete_records(partition, 2))

    async def as_it_was(topic: str) -> dict[TopicPartition, tuple[int, int]]:
        return {partition: (0, 3)}

    monkeypatch.setattr(operator.site.bus, "offsets", as_it_was, raising=False)
    called = operator("dlq", "replay", RAW, "--all")
    assert called.code == 1
    assert "was purged while it was being read" in called.err


def test_offsets_stay_what_they_are_after_a_purge(operator: Operator) -> None:
    for n in range(3):
        set_aside(operator, RAW, f"{n}".encode())
    assert operator("dlq", "purge", RAW, "--before", "1", "--yes", "-o", "json").json == {
        "topic": RAW_DLQ,
        "deleted": 1,
        "oldest": 1,
    }
    assert operator("dlq", "show", RAW, "0").code == 2
    assert operator("dlq", "show", RAW, "2", "-o", "json").json["value"] == "2"
    assert operator("dlq", "purge", RAW, "--before", "0", "--yes").code == 2
    assert (
        msgspec.json.decode(operator("dlq", "list", "paper", "--topic", RAW, "-o", "json").out)["queues"][0][
            "oldest"
        ]
        == 1
    )
