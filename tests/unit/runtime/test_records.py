import pytest

from alpha_panda.contracts.codec import encode_event, encode_ticks
from alpha_panda.contracts.enums import EventType, FeedMode, TradingState
from alpha_panda.contracts.events import ControlChanged, Envelope, Tick, TickBatch
from alpha_panda.errors import UndecodableRecordError, UnknownVersionError
from alpha_panda.ports import Record
from alpha_panda.runtime.records import event_of, ticks_of

BATCH = TickBatch("demo", FeedMode.SIMULATED, 1, 5, [Tick(1, 2.0, 5, 1)])
EVENT = Envelope(
    id="e",
    type=EventType.CONTROL_CHANGED,
    version=1,
    ts=1,
    source="test",
    account="paper",
    key="k",
    correlation_id="c",
    causation_id="d",
    data=ControlChanged(scope="platform", latch_id="l", state=TradingState.HALTED, action="set"),
)


def record(value: bytes) -> Record:
    return Record("topic", 0, 0, None, value, (), 0)


def test_ticks_are_decoded_once_for_all_readers() -> None:
    one = record(encode_ticks(BATCH))
    assert ticks_of(one) == BATCH
    assert ticks_of(one) is ticks_of(one) is one.decoded


def test_events_are_decoded_once_for_all_readers() -> None:
    one = record(encode_event(EVENT))
    assert event_of(one) == EVENT
    assert event_of(one) is event_of(one) is one.decoded


def test_what_another_reader_made_of_it_is_not_taken_for_the_wrong_kind() -> None:
    one = record(encode_event(EVENT))
    one.decoded = BATCH
    assert event_of(one) == EVENT


@pytest.mark.parametrize("read", [ticks_of, event_of])
def test_what_can_not_be_read_stays_undecoded(read: object) -> None:
    one = record(b"\xc1")
    with pytest.raises(UndecodableRecordError):
        read(one)  # type: ignore[operator]
    assert one.decoded is None


def test_a_newer_writers_record_says_so() -> None:
    newer = TickBatch("demo", FeedMode.SIMULATED, 1, 5, [], version=99)
    with pytest.raises(UnknownVersionError):
        ticks_of(record(encode_ticks(newer)))
