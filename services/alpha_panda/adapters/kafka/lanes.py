"""One partition's way out: records wait here while a batch is under way, then leave together.

aiokafka has one batch of a partition in flight, and would queue more. Kept here instead, what nobody waits for any
more can be withdrawn: it surely was not written.
"""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, Protocol

from aiokafka import AIOKafkaProducer
from aiokafka.errors import InvalidMessageError, KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from alpha_panda.adapters.kafka.connection import MILLISECONDS, describe, unavailable
from alpha_panda.adapters.kafka.protocol import InvalidRecordError
from alpha_panda.errors import AlphaPandaError, RecordError
from alpha_panda.ports import Outgoing

UNUSABLE: Final = (
    InvalidMessageError,
    InvalidRecordError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
)


class Line:
    """One aiokafka producer, used until one of its batches fails: then its sequence numbers have a gap.

    aiokafka counts a failed batch's sequence numbers as used; the broker would refuse every later batch of that
    partition as out of order, for ever.
    """

    def __init__(self, inner: AIOKafkaProducer) -> None:
        self.inner = inner
        self.batches = 0
        self.retired = False


class Lines(Protocol):
    """Whoever owns the aiokafka producers."""

    async def line(self) -> Line:
        """Return one that may be used."""

    def release(self, line: Line, *, failed: bool) -> None:
        """Note the end of a batch."""


class Parcel:
    """The records of one send for one partition; `done` is set when all are acknowledged or refused, or one failed."""

    __slots__ = ("_abandoned", "_refusal", "done", "items", "offsets", "partition", "taken", "topic")

    def __init__(self, topic: str, partition: int, items: Sequence[tuple[int, Outgoing]]) -> None:
        self.topic = topic
        self.partition = partition
        self.items = items
        self.taken = 0
        self.offsets: list[int] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._abandoned = False
        self._refusal: AlphaPandaError | None = None

    @property
    def wanted(self) -> bool:
        """Whether its records should still be sent."""
        return not self._abandoned and not self.done.done()

    def abandon(self) -> None:
        """Say that nobody waits any more: what is not under way is not sent."""
        self._abandoned = True
        if self.done.done() and not self.done.cancelled():
            self.done.exception()  # seen: of several parcels only the first failure is raised
        self.done.cancel()

    def land(self, offsets: Sequence[int]) -> None:
        """Note where the next records landed."""
        self.offsets.extend(offsets)
        if len(self.offsets) < len(self.items) or self.done.done():
            return
        if self._refusal is None:
            self.done.set_result(None)
        else:
            self.done.set_exception(self._refusal)

    def refuse(self, error: AlphaPandaError) -> None:
        """Note that the next record will never be taken: those behind it go on, the wait ends with the error."""
        self._refusal = self._refusal or error
        self.land([NOWHERE])

    def fail(self, error: AlphaPandaError) -> None:
        """End the wait with an error."""
        if not self.done.done():
            self.done.set_exception(error)


NOWHERE: Final = -1
"""Offset of a record that was refused."""

Share = tuple[Parcel, int]
"""A parcel and how many of its records are in a batch."""


class Lane:
    """The records of one partition on their way; a task sends batch after batch while there are any."""

    def __init__(self, topic: str, partition: int, producer: Lines) -> None:
        self._topic = topic
        self._partition = partition
        self._producer = producer
        self._waiting: deque[Parcel] = deque()
        self._under_way: list[Share] = []
        self._alone = 0
        self._task: asyncio.Task[None] | None = None

    def put(self, items: Sequence[tuple[int, Outgoing]]) -> Parcel:
        """Queue records behind those that wait."""
        parcel = Parcel(self._topic, self._partition, items)
        self._waiting.append(parcel)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())
        return parcel

    def close(self, error: AlphaPandaError) -> None:
        """Fail whatever waits or is under way."""
        if self._task is not None:
            self._task.cancel()
        self._fail_all(error)

    async def _run(self) -> None:
        try:
            while self._waiting:
                await self._send_batch(await self._producer.line())
        except AlphaPandaError as error:
            self._fail_all(error)
        except Exception as error:  # nobody awaits this task: those who wait for it must learn of it
            self._fail_all(unavailable(f"{self._name}: the client failed", error))
            raise

    async def _send_batch(self, line: Line) -> None:
        builder = line.inner.create_batch()
        self._fill(builder)
        if not self._under_way:
            return  # nobody waits for what there was
        line.batches += 1
        failed = True
        try:
            base = await self._deliver(line.inner, builder)
            failed = False
            self._land(base)
        except (KafkaError, TimeoutError) as error:
            self._fail(error)
        finally:
            self._producer.release(line, failed=failed)
        self._under_way = []

    async def _deliver(self, inner: Any, builder: Any) -> int:  # noqa: ANN401 - untyped library
        """Send a batch and return its first offset. Retried by aiokafka, with its sequence numbers, until it is in."""
        builder.close()
        delivery = await inner.send_batch(builder, self._topic, partition=self._partition)
        offset: int = (await delivery).offset
        return offset

    def _fill(self, builder: Any) -> None:  # noqa: ANN401 - untyped library
        """Move waiting records into a batch until it is full; note whose they are."""
        shares: list[Share] = []
        self._under_way = shares
        now = int(time.time() * MILLISECONDS)
        while self._waiting:
            parcel = self._waiting[0]
            if not parcel.wanted:
                self._waiting.popleft()
                continue
            count = _append(builder, parcel, now, 1 if self._alone else None)
            parcel.taken += count
            if count:
                shares.append((parcel, count))
            if parcel.taken == len(parcel.items):
                self._waiting.popleft()
            elif not self._alone:
                break  # full
            if self._alone:
                self._alone -= 1
                break

    def _land(self, base: int) -> None:
        if base < 0:  # the broker knew the batch from before and has forgotten where it is
            self._fail_shares(unavailable(f"{self._name}: written, but the broker does not say where"))
            return
        for parcel, count in self._under_way:
            parcel.land(range(base, base + count))
            base += count

    def _fail(self, error: Exception) -> None:
        records = sum(count for _, count in self._under_way)
        if not isinstance(error, UNUSABLE):
            self._fail_shares(unavailable(f"{self._name}: not acknowledged", error))
        elif records > 1:  # the broker refuses all for one: find out which
            self._try_each_alone(records)
        else:
            parcel, _ = self._under_way[0]
            parcel.refuse(RecordError(f"{self._name}: the broker refuses a record: {describe(error)}"))

    def _try_each_alone(self, records: int) -> None:
        """Send the records under way again, each in a batch of its own."""
        for parcel, count in reversed(self._under_way):
            parcel.taken -= count
            if not self._waiting or self._waiting[0] is not parcel:
                self._waiting.appendleft(parcel)
        self._alone = records

    def _fail_shares(self, error: AlphaPandaError) -> None:
        for parcel, _ in self._under_way:
            parcel.fail(error)

    def _fail_all(self, error: AlphaPandaError) -> None:
        self._fail_shares(error)
        for parcel in self._waiting:
            parcel.fail(error)
        self._waiting.clear()

    @property
    def _name(self) -> str:
        return f"{self._topic}/{self._partition}"


def _append(builder: Any, parcel: Parcel, now: int, most: int | None) -> int:  # noqa: ANN401 - untyped library
    """Append a parcel's next records, `most` of them at most; return how many fitted."""
    count = 0
    for _, record in itertools.islice(
        parcel.items, parcel.taken, None if most is None else parcel.taken + most
    ):
        key = None if record.key is None else record.key.encode()
        if builder.append(timestamp=now, key=key, value=record.value, headers=list(record.headers)) is None:
            break
        count += 1
    return count
