"""The memory bus's consumer."""

import asyncio
from collections.abc import Mapping, Sequence

from alpha_panda.adapters.memory.faults import Faults
from alpha_panda.adapters.memory.log import Cursor, take
from alpha_panda.adapters.memory.topics import Topics
from alpha_panda.adapters.memory.waiting import wait_for
from alpha_panda.contracts.units import SECOND_NS, nanoseconds
from alpha_panda.errors import MisuseError, RebalancedError
from alpha_panda.ports import Clock, Record, Subscription, TopicPartition


class MemoryConsumer:
    """Reads its partitions; a member of its group, or by itself. Made by `MemoryBus.consumer`."""

    def __init__(self, subscription: Subscription, topics: Topics, clock: Clock, faults: Faults) -> None:
        self._subscription = subscription
        self._all = topics
        self._clock = clock
        self._faults = faults
        self._cursors: dict[TopicPartition, Cursor] = {}
        self._ready: list[Cursor] = []  # cursors with something to fetch
        self._again: list[Record] = []  # to be delivered a second time (a fault)
        self._waiter: asyncio.Future[None] | None = None
        self._closed = False

    @property
    def topics(self) -> tuple[str, ...]:
        """What a member of a group has subscribed to."""
        return self._subscription.topics

    async def fetch(self, max_records: int, timeout: float | None = None) -> list[Record]:  # noqa: ASYNC109 - the port's
        """Return up to `max_records`, in the order of their arrival on the bus; see `ports.Consumer`.

        A time-out drives virtual time, as a sleep does: where there is no need to come back, give none.

        Raises:
            OffsetOutOfRangeError: a position is not kept or not written yet; `seek` is the way on.
            DependencyUnavailableError: a partition's topic was deleted.
            MisuseError: the consumer was closed, or another task waits in `fetch`.

        """
        if max_records < 1:
            raise MisuseError(f"a fetch of {max_records} records can't return any")
        deadline = None if timeout is None else self._clock.monotonic() + nanoseconds(timeout)
        while True:
            if self._again:
                return self._take_again(max_records)
            if self._ready and (records := self._take(max_records)):
                return records
            if not await self._wait(deadline):
                return []

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Store the next offsets to read, all or none.

        Raises:
            RebalancedError: a partition is not ours any more, or what is committed was fetched before it went away
                and came back: another member may have read on.

        """
        self._check_open()
        for tp, offset in offsets.items():
            cursor = self._cursor(tp)
            if self._subscription.topics and not cursor.origin <= offset <= cursor.position:
                raise RebalancedError(
                    f"{tp}: offset {offset} does not lie within what was read since the last assignment "
                    f"({cursor.origin}..{cursor.position})"
                )
        for tp, offset in offsets.items():
            self._cursors[tp].log.committed[self._subscription.group] = offset

    async def seek(self, partition: TopicPartition, offset: int) -> None:
        """Set the next offset to fetch; whether it exists, `fetch` will tell."""
        self._check_open()
        cursor = self._cursor(partition)
        cursor.position = offset
        # A reader by itself means what it says; a group's other members may still start from further back.
        cursor.origin = min(cursor.origin, offset) if self._subscription.topics else offset
        self._unready(cursor)
        cursor.log.place(cursor)

    def assignment(self) -> frozenset[TopicPartition]:
        """Return the partitions that this consumer reads now."""
        return frozenset(self._cursors)

    def joined(self) -> bool:
        """See the port: in memory a group answers at once."""
        return True

    def position(self, partition: TopicPartition) -> int:
        """Return the next offset that `fetch` would return."""
        return self._cursor(partition).position

    async def lag(self) -> int:
        """Return how many offsets of the assignment have not been fetched."""
        return sum(cursor.log.end - cursor.position for cursor in self._cursors.values())

    async def committed(self, partition: TopicPartition) -> int | None:
        """Return the group's stored offset, if any."""
        return self._all.log(partition).committed.get(self._subscription.group)

    def on_records(self, cursor: Cursor) -> None:
        """Note a cursor that has something to fetch."""
        self._ready.append(cursor)
        self._wake()

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        """Read exactly these: give up the others, begin new ones at the committed offset."""
        for tp in [tp for tp in self._cursors if tp not in partitions]:
            self._give_up(tp)
        for tp in partitions:
            if tp not in self._cursors:
                self._begin(tp)

    def close(self) -> None:
        """Give everything up; nothing is committed."""
        self.assign(())
        self._closed = True
        self._wake()

    def _begin(self, tp: TopicPartition) -> None:
        log, group = self._all.log(tp), self._subscription.group
        fresh = log.end if self._subscription.from_latest else log.start
        cursor = self._cursors[tp] = Cursor(log, self, group, log.committed.get(group, fresh))
        log.attach(cursor)

    def _give_up(self, tp: TopicPartition) -> None:
        cursor = self._cursors.pop(tp)
        self._unready(cursor)
        cursor.log.detach(cursor)
        self._again = [
            record for record in self._again if (record.topic, record.partition) != (tp.topic, tp.partition)
        ]

    def _unready(self, cursor: Cursor) -> None:
        if cursor in self._ready:
            self._ready.remove(cursor)

    def _cursor(self, tp: TopicPartition) -> Cursor:
        try:
            return self._cursors[tp]
        except KeyError:
            if self._subscription.topics:
                raise RebalancedError(
                    f"{tp} is not assigned to this member of {self._subscription.group}"
                ) from None
            raise MisuseError(f"{tp} is not among the partitions that this consumer was opened for") from None

    def _take(self, max_records: int) -> list[Record]:
        ready = [cursor for cursor in self._ready if cursor.check()]
        records = take(ready, max_records) if ready else []
        seen, self._ready = self._ready, []
        for cursor in seen:
            log = cursor.log
            (log.caught_up if cursor.position == log.end else self._ready).append(cursor)
            if log.senders:
                log.admit_senders()
        if self._faults.pending and self._faults.redelivers(
            tuple({record.topic: None for record in records})
        ):
            self._again = list(records)
        return records

    def _take_again(self, max_records: int) -> list[Record]:
        records, self._again = self._again[:max_records], self._again[max_records:]
        return records

    async def _wait(self, deadline: int | None) -> bool:
        """Wait for something to fetch; False when the deadline passed first."""
        self._check_open()
        if self._waiter is not None:
            raise MisuseError("two tasks fetch from one consumer")
        left = None if deadline is None else (deadline - self._clock.monotonic()) / SECOND_NS
        if left is not None and left <= 0:
            return False
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            return await wait_for(self._waiter, self._clock, left)
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _check_open(self) -> None:
        if self._closed:
            raise MisuseError("the consumer was closed")
