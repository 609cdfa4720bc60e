"""The consumer: a member of a group, or by itself."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import aiokafka
from aiokafka.coordinator.assignors.range import RangePartitionAssignor
from aiokafka.errors import IllegalStateError, KafkaError, NoOffsetForPartitionError
from aiokafka.errors import OffsetOutOfRangeError as KafkaOffsetOutOfRangeError

from alpha_panda.adapters.kafka.clients import cut, opening, pace, within
from alpha_panda.adapters.kafka.connection import MILLISECONDS, KafkaConnection, unavailable
from alpha_panda.adapters.kafka.membership import Cursor, Membership
from alpha_panda.adapters.kafka.offsets import Epoch, GroupOffsets
from alpha_panda.contracts.units import MS_NS
from alpha_panda.errors import (
    DependencyUnavailableError,
    MisuseError,
    OffsetOutOfRangeError,
    RebalancedError,
)
from alpha_panda.ports import Record, Subscription, TopicPartition

CHECK_SECONDS: Final = 1.0
"""How often a waiting fetch looks whether the cluster still answers; records wake it at once."""

GRACE_SECONDS: Final = 0.05
"""By how much aiokafka's own time-out should win: a fetch that is cancelled leaves a future behind."""

STALL_FACTOR: Final = 2.0
"""A broker that has not answered fetches for so many request time-outs has failed to more than once."""


class KafkaConsumer:
    """Reads records; made by `KafkaBus.consumer`. One task at a time may fetch."""

    def __init__(
        self,
        inner: aiokafka.AIOKafkaConsumer,
        subscription: Subscription,
        membership: Membership,
        offsets: GroupOffsets,
        connection: KafkaConnection,
    ) -> None:
        self._inner = inner
        self._subscription = subscription
        self._membership = membership
        self._offsets = offsets
        self._connection = connection
        self._fetching = False
        self._closed = False

    async def fetch(self, max_records: int, timeout: float | None = None) -> list[Record]:  # noqa: ASYNC109 - the port's
        """Return up to `max_records`, those of one partition together and in order; see `ports.Consumer`.

        Raises:
            OffsetOutOfRangeError: a position is not kept or not written yet; `seek` is the way on.
            DependencyUnavailableError: a broker with some of the partitions, or the group's coordinator, has not
                answered for twice the request time-out. Nothing is lost: fetch again.
            MisuseError: the consumer was closed, or another task waits in `fetch`.

        """
        if max_records < 1:
            raise MisuseError(f"a fetch of {max_records} records can't return any")
        if self._fetching:
            raise MisuseError("two tasks fetch from one consumer")
        self._fetching = True
        try:
            return await self._fetch(max_records, timeout)
        finally:
            self._fetching = False

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Store the next offsets to read, all or none.

        Raises:
            RebalancedError: a partition is not ours any more, or what is committed was fetched before it went away
                and came back: another member may have read on.
            DependencyUnavailableError: the coordinator did not answer; they may have been stored.

        """
        self._check_open()
        if not offsets:
            return
        if not self._subscription.group:
            raise MisuseError("a subscription without a group has nowhere to commit to")
        grouped = bool(self._subscription.topics)
        epoch = self._membership.epoch if grouped else Epoch()
        for tp, offset in offsets.items():
            cursor = self._membership.cursor(tp)
            if cursor is None:
                raise self._foreign(tp)
            if grouped and not cursor.origin <= offset <= cursor.position:
                raise RebalancedError(
                    f"{tp}: offset {offset} does not lie within what was read since the last assignment "
                    f"({cursor.origin}..{cursor.position})"
                )
        await self._offsets.commit(offsets, epoch)

    async def seek(self, partition: TopicPartition, offset: int) -> None:
        """Set the next offset to fetch; whether it exists, `fetch` will tell."""
        self._check_open()
        cursor = self._cursor(partition)
        with contextlib.suppress(IllegalStateError):  # a rebalance has begun: it will be told
            self._inner.seek(aiokafka.TopicPartition(*partition), offset)
        cursor.position = offset
        # A reader by itself means what it says; a group's other members may still start from further back.
        cursor.origin = min(cursor.origin, offset) if self._subscription.topics else offset

    def assignment(self) -> frozenset[TopicPartition]:
        """Return the partitions that this consumer reads now: none during a rebalance."""
        return frozenset(self._membership.cursors)

    def joined(self) -> bool:
        """See the port: not before the group's first answer, nor during a rebalance."""
        return self._membership.ready.is_set()

    def position(self, partition: TopicPartition) -> int:
        """Return the next offset that `fetch` would return."""
        return self._cursor(partition).position

    async def lag(self) -> int:
        """Return how many offsets of the assignment have not been fetched."""
        self._check_open()
        positions = {tp: cursor.position for tp, cursor in self._membership.cursors.items()}
        if not positions:
            return 0
        partitions = [aiokafka.TopicPartition(*tp) for tp in positions]
        ends = await within(self._connection.request_timeout, "lag", self._inner.end_offsets(partitions))
        return sum(max(0, end - positions[TopicPartition(*tp)]) for tp, end in ends.items())

    async def committed(self, partition: TopicPartition) -> int | None:
        """Return the group's stored offset, if any."""
        self._check_open()
        return (await self._offsets.fetch([partition])).get(partition)

    async def close(self) -> None:
        """Leave the group at once, without committing, whatever the cluster does."""
        self._closed = True
        self._membership.close()
        await leave(self._inner, self._offsets, self._connection.close_timeout)

    # -------------------------------------------------------------------------------------------------- fetch

    async def _fetch(self, max_records: int, timeout: float | None) -> list[Record]:  # noqa: ASYNC109 - the port's
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            self._check_open()
            left = CHECK_SECONDS if deadline is None else deadline - time.monotonic()
            records = await self._poll(max_records, min(max(left, 0.0), CHECK_SECONDS))
            if records:
                return records
            if deadline is not None and time.monotonic() >= deadline:
                return []
            self._check_alive()

    async def _poll(self, max_records: int, seconds: float) -> list[Record]:
        try:
            async with asyncio.timeout(seconds + GRACE_SECONDS):
                if not self._membership.ready.is_set():
                    await self._membership.ready.wait()
                batches = await self._inner.getmany(
                    timeout_ms=seconds * MILLISECONDS, max_records=max_records
                )
        except TimeoutError:
            self._end_fetch_context()
            return []
        except NoOffsetForPartitionError:  # asked by aiokafka before we had set the position
            self._end_fetch_context()
            return []
        except KafkaOffsetOutOfRangeError as error:
            self._end_fetch_context()
            raise self._gap(error) from error
        except (KafkaError, OSError) as error:
            self._end_fetch_context()
            raise unavailable(f"fetch for {self._name}", error) from error
        except asyncio.CancelledError:
            self._end_fetch_context()
            raise
        return self._accept(batches) if batches else []

    def _accept(self, batches: Mapping[Any, list[Any]]) -> list[Record]:
        records: list[Record] = []
        for tp, batch in batches.items():
            cursor = self._membership.cursors.get(TopicPartition(*tp))
            if cursor is None:
                continue  # of an assignment that ended, or before its position was set: it will be read again
            topic, partition = tp
            records += [
                Record(
                    topic,
                    partition,
                    raw.offset,
                    None if raw.key is None else raw.key.decode(errors="backslashreplace"),
                    raw.value or b"",
                    raw.headers,
                    raw.timestamp * MS_NS,
                )
                for raw in batch
            ]
            cursor.position = batch[-1].offset + 1
        return records

    def _end_fetch_context(self) -> None:
        """Make up for a lack of aiokafka: a fetch that raises would count as one that goes on for ever.

        With it a member would never seem idle, and `max_poll_interval` would not find one that is stuck.
        """
        state = self._inner._subscription  # noqa: SLF001 - see above
        state._fetch_count = 0  # noqa: SLF001 - see above
        state._last_fetch_ended = time.monotonic()  # noqa: SLF001 - see above

    def _gap(self, error: KafkaError) -> OffsetOutOfRangeError:
        wanted = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
        places = ", ".join(f"{tp.topic}/{tp.partition}: offset {offset}" for tp, offset in wanted.items())
        return OffsetOutOfRangeError(f"{places or self._name} is not there (dropped, or not written yet)")

    # -------------------------------------------------------------------------------------------------- state

    def _check_alive(self) -> None:
        """Notice what aiokafka only logs: brokers that don't answer, a group that never forms, a dead task."""
        fetcher = self._inner._fetcher  # noqa: SLF001 - aiokafka does not tell
        if fetcher._fetch_task.done():  # noqa: SLF001 - see above
            raise unavailable(f"the consumer of {self._name} has failed; it must be opened anew")
        now = time.monotonic()
        patience = STALL_FACTOR * self._connection.request_timeout
        if not self._membership.ready.is_set():
            waited = now - self._membership.unready_since
            if waited > patience + self._connection.rebalance_timeout:
                raise unavailable(f"{self._name}: no partitions assigned for {waited:.0f} s")
            return
        silent = [
            tp for tp, cursor in self._membership.cursors.items() if self._silent(tp, cursor, now, patience)
        ]
        if silent:
            raise unavailable(
                f"no answer for {patience:.0f} s from the leaders of {', '.join(map(str, silent))}"
            )

    def _silent(self, tp: TopicPartition, cursor: Cursor, now: float, patience: float) -> bool:
        seen = self._inner.last_poll_timestamp(aiokafka.TopicPartition(*tp)) or 0
        if seen != cursor.seen:
            cursor.seen, cursor.seen_at = seen, now
        return now - cursor.seen_at > patience

    def _cursor(self, tp: TopicPartition) -> Cursor:
        cursor = self._membership.cursors.get(tp)
        if cursor is None:
            raise self._foreign(tp)
        return cursor

    def _foreign(self, tp: TopicPartition) -> Exception:
        if self._subscription.topics:
            return RebalancedError(f"{tp} is not assigned to this member of {self._subscription.group}")
        return MisuseError(f"{tp} is not among the partitions that this consumer was opened for")

    def _check_open(self) -> None:
        if self._closed:
            raise MisuseError("the consumer was closed")

    @property
    def _name(self) -> str:
        what = self._subscription.topics or tuple(map(str, self._subscription.partitions))
        return f"{', '.join(what)} (group {self._subscription.group})"


@asynccontextmanager
async def opened_consumer(
    subscription: Subscription, connection: KafkaConnection
) -> AsyncIterator[KafkaConsumer]:
    """Open a consumer for the time of the context."""
    inner = await opening(
        connection, f"open consumer of group {subscription.group}", lambda: _start(subscription, connection)
    )
    offsets = GroupOffsets(inner._client, subscription.group, connection)  # noqa: SLF001 - one client is enough
    membership = Membership(inner, subscription, offsets, connection)
    consumer = KafkaConsumer(inner, subscription, membership, offsets, connection)
    try:
        if subscription.topics:
            inner.subscribe(topics=subscription.topics, listener=membership)
        else:
            _check_partitions(inner, subscription)
            await membership.assign(subscription.partitions)
        yield consumer
    finally:
        await asyncio.shield(consumer.close())


async def _start(subscription: Subscription, connection: KafkaConnection) -> aiokafka.AIOKafkaConsumer:
    """Connect; neither subscribed nor assigned yet, so that positions are ours to set."""
    inner = aiokafka.AIOKafkaConsumer(
        **connection.client_options(subscription.group),
        group_id=subscription.group if subscription.topics else None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        partition_assignment_strategy=(RangePartitionAssignor,),
        session_timeout_ms=round(connection.session_timeout * MILLISECONDS),
        heartbeat_interval_ms=round(connection.heartbeat_interval * MILLISECONDS),
        max_poll_interval_ms=round(connection.max_poll_interval * MILLISECONDS),
        rebalance_timeout_ms=round(connection.rebalance_timeout * MILLISECONDS),
        fetch_max_wait_ms=round(connection.fetch_max_wait * MILLISECONDS),
        fetch_max_bytes=connection.fetch_max_bytes,
        max_partition_fetch_bytes=connection.partition_fetch_bytes,
    )
    pace(inner._client, connection)  # noqa: SLF001 - aiokafka has no hook
    try:
        await inner.start()
        await inner._client.force_metadata_update()  # noqa: SLF001 - all topics, to check partitions against
    except BaseException:
        await leave(inner, None, connection.close_timeout)
        raise
    return inner


def _check_partitions(inner: aiokafka.AIOKafkaConsumer, subscription: Subscription) -> None:
    for tp in subscription.partitions:
        there = inner.partitions_for_topic(tp.topic)
        if not there:
            raise unavailable(f"there is no topic {tp.topic}; `ensure_topics` makes it")
        if tp.partition not in there:
            raise MisuseError(f"topic {tp.topic} has {len(there)} partitions, there is no {tp.partition}")


async def leave(inner: aiokafka.AIOKafkaConsumer, offsets: GroupOffsets | None, seconds: float) -> None:
    """Close an aiokafka consumer: leave the group at once, even while it waits to join; then cut the rest."""
    coordinator: Any = inner._coordinator  # noqa: SLF001 - `stop` waits for brokers, and for other members
    member = getattr(coordinator, "member_id", "")
    stopping = asyncio.create_task(inner.stop())
    if member and offsets is not None and inner._subscription.reassignment_in_progress:  # noqa: SLF001 - see above
        with contextlib.suppress(DependencyUnavailableError, RebalancedError, TimeoutError):
            async with asyncio.timeout(seconds):
                await offsets.leave(member)
    await asyncio.wait([stopping], timeout=seconds)
    tasks = [stopping, *_background(inner)]  # `stop` gives up half-way when one of its steps fails
    for task in tasks:
        task.cancel()
    await cut(inner._client, seconds)  # noqa: SLF001 - see above
    await asyncio.wait(tasks, timeout=seconds)
    for task in tasks:
        if task.done() and not task.cancelled():
            task.exception()  # seen: why it failed does not matter any more


def _background(inner: aiokafka.AIOKafkaConsumer) -> list[asyncio.Task[Any]]:
    places = ((inner._coordinator, "_coordination_task"), (inner._coordinator, "_heartbeat_task"))  # noqa: SLF001 - see above
    more = ((inner._coordinator, "_commit_refresh_task"), (inner._fetcher, "_fetch_task"))  # noqa: SLF001 - see above
    found = [getattr(owner, name, None) for owner, name in (*places, *more)]
    return [task for task in found if task is not None]
