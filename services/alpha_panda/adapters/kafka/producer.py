"""The producer: idempotent, acknowledged by all in-sync replicas, each partition in the order of the calls."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from alpha_panda.adapters.kafka.clients import cut, opening, pace
from alpha_panda.adapters.kafka.connection import KafkaConnection, unavailable
from alpha_panda.adapters.kafka.lanes import Lane, Line, Parcel
from alpha_panda.adapters.kafka.sizes import LETTER_BYTES, record_bytes
from alpha_panda.contracts.topics import key_partition
from alpha_panda.errors import MisuseError, RecordError
from alpha_panda.ports import Outgoing, RecordPosition

_partition_of_key = lru_cache(maxsize=65_536)(
    key_partition
)  # a hash in pure Python; the same few keys come again


class KafkaProducer:
    """Writes records; made by `KafkaBus.producer`. Safe for concurrent sends."""

    def __init__(self, client: str, connection: KafkaConnection) -> None:
        self._client = client
        self._connection = connection
        self._line: Line | None = None
        self._opening = asyncio.Lock()
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._counts: dict[str, int] = {}
        self._turn = 0
        self._queue = asyncio.Lock()
        self._queued = 0
        self._closed = False
        self._closing: set[asyncio.Task[None]] = set()

    async def send(self, records: Sequence[Outgoing]) -> list[RecordPosition]:
        """Produce the records and return where they landed; see `ports.Producer`.

        Concurrent sends to one partition share batches. What has not left when the time is up is withdrawn; what
        has is written at most once, whenever the broker is back. A record may be larger than `batch_bytes`: it is a
        batch by itself.

        Raises:
            DependencyUnavailableError: not acknowledged within `request_timeout`, or a topic doesn't exist.
            RecordError: the broker will never take a record: too large, or without a key in a compacted topic. The
                others are written all the same.
            MisuseError: no partition of that number, or the producer was closed; nothing was written.

        """
        if self._closed:
            raise MisuseError(f"producer {self._client} was closed")
        if not records:
            return []
        parcels: list[Parcel] = []
        try:
            async with asyncio.timeout(self._connection.request_timeout):
                parcels = await self._hand_over(records)
                await _all_done(parcels)
        except TimeoutError as error:
            raise unavailable(
                f"{len(records)} records to {_names(records)}: not acknowledged within "
                f"{self._connection.request_timeout:g} s; some may have been or still be written"
            ) from error
        finally:
            for parcel in parcels:
                parcel.abandon()
        return _positions(records, parcels)

    async def open(self) -> None:
        """Connect, so that the first send doesn't have to."""
        await self.line()

    async def close(self) -> None:
        """Refuse further sends, give up what is under way, close the connections."""
        self._closed = True
        for lane in self._lanes.values():
            lane.close(unavailable(f"producer {self._client} was closed before the acknowledgement"))
        if self._line is not None:
            await shut(self._line.inner, self._connection.close_timeout)
        if self._closing:
            await asyncio.wait(self._closing)

    # -------------------------------------------------------------------------------------------------- lanes

    async def line(self) -> Line:
        """Return a producer that may be used, a fresh one if need be."""
        async with self._opening:
            if self._line is None or self._line.retired:
                self._line = Line(
                    await opening(self._connection, f"open producer {self._client}", self._new_producer)
                )
            return self._line

    def release(self, line: Line, *, failed: bool) -> None:
        """Note the end of a batch; a producer with a failed one is closed when its others have ended."""
        line.batches -= 1
        line.retired = line.retired or failed
        if line.retired and not line.batches:
            task = asyncio.create_task(shut(line.inner, self._connection.close_timeout))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    async def _hand_over(self, records: Sequence[Outgoing]) -> list[Parcel]:
        """Put the records into their partitions' lanes, in the order of the calls, at once if that can be."""
        if self._queued or any(record.topic not in self._counts for record in records):
            self._queued += 1
            try:
                async with self._queue:
                    for topic in dict.fromkeys(record.topic for record in records):
                        await self._learn(topic)
                    return self._enqueue(records)
            finally:
                self._queued -= 1
        return self._enqueue(records)

    async def _learn(self, topic: str) -> None:
        if topic in self._counts:
            return
        line = await self.line()
        try:
            self._counts[topic] = len(await line.inner.partitions_for(topic))
        except (KafkaError, TimeoutError) as error:
            raise unavailable(f"there is no topic {topic}, or it can't be seen", error) from error

    def _enqueue(self, records: Sequence[Outgoing]) -> list[Parcel]:
        groups: dict[tuple[str, int], list[tuple[int, Outgoing]]] = {}
        parcels: list[Parcel] = []
        for index, record in enumerate(records):
            partition = self._partition(record)
            if record_bytes(record) > LETTER_BYTES:
                parcels.append(_refused(index, record, partition))
            else:
                groups.setdefault((record.topic, partition), []).append((index, record))
        for place, items in groups.items():
            lane = self._lanes.get(place)
            if lane is None:
                lane = self._lanes[place] = Lane(*place, self)
            parcels.append(lane.put(items))
        return parcels

    def _partition(self, record: Outgoing) -> int:
        count = self._counts[record.topic]
        if record.partition is not None:
            if not 0 <= record.partition < count:
                raise MisuseError(
                    f"topic {record.topic} has {count} partitions, there is no {record.partition}"
                )
            return record.partition
        if record.key is not None:
            return _partition_of_key(record.key, count)
        self._turn += 1
        return (self._turn - 1) % count

    # ----------------------------------------------------------------------------------------------- aiokafka

    async def _new_producer(self) -> AIOKafkaProducer:
        inner = AIOKafkaProducer(
            **self._connection.client_options(self._client),
            acks="all",
            enable_idempotence=True,
            max_batch_size=self._connection.batch_bytes,
            max_request_size=LETTER_BYTES,
        )
        pace(inner.client, self._connection)
        try:
            await inner.start()
        except BaseException:
            await shut(inner, self._connection.close_timeout)
            raise
        return inner


async def shut(inner: AIOKafkaProducer, seconds: float) -> None:
    """Close an aiokafka producer without waiting for what it has not sent: `stop` would, for ever."""
    if inner._closed:  # noqa: SLF001 - `stop` can't be told to give up
        return
    inner._closed = True  # noqa: SLF001 - see above
    task = inner._sender.sender_task  # noqa: SLF001 - see above
    if task is not None:
        task.cancel()
    await cut(inner.client, seconds)
    if task is not None:
        await asyncio.wait([task], timeout=seconds)
        with contextlib.suppress(asyncio.CancelledError, asyncio.InvalidStateError):
            task.exception()  # seen: nobody else will look


@asynccontextmanager
async def opened_producer(client: str, connection: KafkaConnection) -> AsyncIterator[KafkaProducer]:
    """Open a producer for the time of the context."""
    producer = KafkaProducer(client, connection)
    try:
        await producer.open()
        yield producer
    finally:
        await asyncio.shield(producer.close())


async def _all_done(parcels: Sequence[Parcel]) -> None:
    """Wait for all; a refusal is raised at the end, so that the others are not withdrawn for it."""
    refusal: RecordError | None = None
    for parcel in parcels:
        try:
            await parcel.done
        except RecordError as error:
            refusal = refusal or error
    if refusal is not None:
        raise refusal


def _refused(index: int, record: Outgoing, partition: int) -> Parcel:
    """Return what no topic of ours takes as a parcel that has failed: asked, a broker might just hang up."""
    parcel = Parcel(record.topic, partition, [(index, record)])
    size = record_bytes(record)
    parcel.fail(
        RecordError(f"a record of {size} bytes for topic {record.topic} is above the limit of {LETTER_BYTES}")
    )
    return parcel


def _positions(records: Sequence[Outgoing], parcels: Sequence[Parcel]) -> list[RecordPosition]:
    if len(parcels) == 1:  # most sends go to one partition
        parcel = parcels[0]
        return [RecordPosition(parcel.topic, parcel.partition, offset) for offset in parcel.offsets]
    landed: dict[int, RecordPosition] = {}
    for parcel in parcels:
        for (index, _), offset in zip(parcel.items, parcel.offsets, strict=True):
            landed[index] = RecordPosition(parcel.topic, parcel.partition, offset)
    return [landed[index] for index in range(len(records))]


def _names(records: Sequence[Outgoing]) -> str:
    return ", ".join(dict.fromkeys(record.topic for record in records))
