"""A partition's way out, without a broker."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from aiokafka.errors import MessageSizeTooLargeError, OutOfOrderSequenceNumber

from alpha_panda.adapters.kafka.lanes import NOWHERE, Lane, Line, Parcel
from alpha_panda.errors import DependencyUnavailableError, RecordError
from alpha_panda.ports import Outgoing

BATCH = 3


class Builder:
    """A batch of three records at most."""

    def __init__(self) -> None:
        self.values: list[bytes] = []

    def append(self, *, value: bytes, **_: Any) -> object | None:
        if len(self.values) == BATCH:
            return None
        self.values.append(value)
        return object()

    def close(self) -> None:
        pass


class Broker:
    """Takes batches when it is told to; refuses those with a poisoned record."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.log: list[bytes] = []
        self.batches: list[list[bytes]] = []
        self.error: Exception | None = None

    def create_batch(self) -> Builder:
        return Builder()

    async def send_batch(self, builder: Builder, topic: str, *, partition: int) -> asyncio.Future[Any]:
        await self.open.wait()
        self.batches.append(builder.values)
        future = asyncio.get_running_loop().create_future()
        if b"poison" in builder.values:
            future.set_exception(MessageSizeTooLargeError())
        elif self.error is not None:
            future.set_exception(self.error)
        else:
            future.set_result(type("Landed", (), {"offset": len(self.log)}))
            self.log += builder.values
        return future


class Lines:
    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.failed: list[bool] = []
        self.unreachable = False

    async def line(self) -> Line:
        if self.unreachable:
            raise DependencyUnavailableError("kafka", "no broker")
        return Line(self.broker)

    def release(self, line: Line, *, failed: bool) -> None:
        line.batches -= 1
        assert line.batches == 0
        self.failed.append(failed)


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def lines(broker: Broker) -> Lines:
    return Lines(broker)


@pytest.fixture
def lane(lines: Lines) -> Lane:
    return Lane("t", 0, lines)


def put(lane: Lane, *values: bytes) -> Parcel:
    return lane.put([(index, Outgoing("t", value)) for index, value in enumerate(values)])


async def settle(parcels: Sequence[Parcel]) -> None:
    await asyncio.wait([parcel.done for parcel in parcels], timeout=5)


async def test_what_waits_leaves_together_and_in_order(lane: Lane, broker: Broker) -> None:
    broker.open.clear()
    parcels = [put(lane, b"a")]
    await asyncio.sleep(0)
    parcels += [put(lane, b"b"), put(lane, b"c"), put(lane, b"d")]
    broker.open.set()
    await settle(parcels)
    assert broker.batches == [[b"a"], [b"b", b"c", b"d"]]
    assert [parcel.offsets for parcel in parcels] == [[0], [1], [2], [3]]


async def test_a_parcel_above_a_batch_leaves_in_pieces(lane: Lane, broker: Broker) -> None:
    big, small = put(lane, *(b"%d" % n for n in range(7))), put(lane, b"x")
    await settle([big, small])
    assert [len(batch) for batch in broker.batches] == [3, 3, 2]
    assert big.offsets == [0, 1, 2, 3, 4, 5, 6]
    assert small.offsets == [7]


async def test_what_nobody_waits_for_is_not_sent(lane: Lane, broker: Broker) -> None:
    broker.open.clear()
    first = put(lane, b"under way")
    await asyncio.sleep(0)
    gone, stays = put(lane, b"gone"), put(lane, b"stays")
    gone.abandon()
    first.abandon()
    broker.open.set()
    await settle([stays])
    assert broker.log == [b"under way", b"stays"]


async def test_the_rest_of_an_abandoned_parcel_is_not_sent(lane: Lane, broker: Broker) -> None:
    broker.open.clear()
    big = put(lane, *(b"%d" % n for n in range(7)))
    await asyncio.sleep(0)
    big.abandon()
    broker.open.set()
    await settle([put(lane, b"next")])
    assert broker.log == [b"0", b"1", b"2", b"next"]


async def test_a_refused_record_does_not_take_its_neighbours_along(
    lane: Lane, broker: Broker, lines: Lines
) -> None:
    broker.open.clear()
    parcels = [put(lane, b"a")]
    await asyncio.sleep(0)
    parcels += [put(lane, b"b"), put(lane, b"poison"), put(lane, b"c")]
    broker.open.set()
    await settle(parcels)
    assert broker.log == [b"a", b"b", b"c"]
    with pytest.raises(RecordError, match="t/0"):
        await parcels[2].done
    assert parcels[3].offsets == [2]
    assert lines.failed == [False, True, False, True, False]  # each refusal costs its producer


async def test_a_refused_record_fails_the_send_that_it_is_part_of(lane: Lane, broker: Broker) -> None:
    parcel = put(lane, b"a", b"poison")
    with pytest.raises(RecordError, match="refuses a record"):
        await parcel.done
    assert broker.log == [b"a"]


async def test_of_one_send_only_the_record_that_is_refused_is_not_written(
    lane: Lane, broker: Broker, lines: Lines
) -> None:
    big, after = put(lane, b"a", b"poison", b"b", b"c", b"poison", b"d"), put(lane, b"e")
    await settle([big, after])
    assert broker.log == [b"a", b"b", b"c", b"d", b"e"]
    assert big.offsets == [0, NOWHERE, 1, 2, NOWHERE, 3]
    assert after.offsets == [4]
    with pytest.raises(RecordError):
        await big.done
    assert sum(lines.failed) == 4  # two batches with one in it, then each alone


async def test_after_a_refusal_records_leave_together_again(lane: Lane, broker: Broker) -> None:
    parcel = put(lane, b"poison", b"b", b"c")
    await settle([parcel])
    broker.batches.clear()
    await put(lane, b"d", b"e", b"f").done
    assert broker.batches == [[b"d", b"e", b"f"]]


async def test_a_send_with_a_refused_record_that_nobody_waits_for_is_not_finished(
    lane: Lane, broker: Broker
) -> None:
    broker.open.clear()
    parcel, after = put(lane, b"poison", b"a", b"b"), put(lane, b"c")
    await asyncio.sleep(0)
    parcel.abandon()
    broker.open.set()
    await settle([after])
    assert broker.log == [b"c"]


async def test_a_gap_in_the_sequence_fails_the_send_and_replaces_the_producer(
    lane: Lane, broker: Broker, lines: Lines
) -> None:
    broker.error = OutOfOrderSequenceNumber()
    with pytest.raises(DependencyUnavailableError, match=r"not acknowledged: .*OutOfOrderSequence"):
        await put(lane, b"a").done
    assert lines.failed == [True]
    broker.error = None
    await put(lane, b"b").done
    assert broker.log == [b"b"]


async def test_without_a_broker_everything_that_waits_fails(lane: Lane, lines: Lines) -> None:
    lines.unreachable = True
    parcels = [put(lane, b"a"), put(lane, b"b")]
    for parcel in parcels:
        with pytest.raises(DependencyUnavailableError, match="no broker"):
            await parcel.done
    lines.unreachable = False
    await put(lane, b"c").done


async def test_a_written_batch_of_unknown_place_is_not_reported_as_at_offset_minus_one(
    lane: Lane, broker: Broker
) -> None:
    landed = asyncio.get_running_loop().create_future()
    landed.set_result(type("Landed", (), {"offset": -1}))

    async def send_batch(*_: Any, **__: Any) -> asyncio.Future[Any]:
        return landed

    broker.send_batch = send_batch  # type: ignore[method-assign]
    with pytest.raises(DependencyUnavailableError, match="does not say where"):
        await put(lane, b"a").done


async def test_closing_fails_what_waits_and_what_is_under_way(lane: Lane, broker: Broker) -> None:
    broker.open.clear()
    parcels = [put(lane, b"a")]
    await asyncio.sleep(0)
    parcels.append(put(lane, b"b"))
    lane.close(DependencyUnavailableError("kafka", "closed"))
    for parcel in parcels:
        with pytest.raises(DependencyUnavailableError, match="closed"):
            await parcel.done
    assert broker.log == []
