"""Records worked off beside one another by key, and the account of what is done up to where.

Lanes are no batches: input goes on while a record hangs, and only its key (and what it keeps of the room) waits.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from alpha_panda.ports import Record, TopicPartition
from alpha_panda.runtime.tasks import Runner, current_runner, intake


@dataclass(slots=True, eq=False)
class _Item:
    record: Record
    done: bool = False

    @property
    def partition(self) -> TopicPartition:
        return TopicPartition(self.record.topic, self.record.partition)


@dataclass(slots=True, eq=False)
class _Lane:
    """The records of one key, in turn: waiting for a worker, or with one."""

    key: str | None
    items: deque[_Item] = field(default_factory=deque)


class Lanes:
    """Records of different keys beside one another, those of one key in the order in which they came.

    A stop, or an error that ends the service, lets every record in hand come to its end, interrupts those that only
    wait (`intake`), and begins no other. All of it runs as children of `runner`, so that liveness sees each by itself.

    Args:
        runner: the task that reads on: its stop is the workers' too.
        handle: handles one record; what it raises ends the service.
        width: how many may be handled at once, asked again after each.
        max_records: how many are taken before the first of them is done; also how many come again after a kill.

    """

    def __init__(
        self,
        runner: Runner,
        handle: Callable[[Record], Awaitable[None]],
        width: Callable[[], int],
        max_records: int,
    ) -> None:
        self._runner = runner
        self._handle = handle
        self._width = width
        self._max_records = max_records
        self._lanes: dict[str | None, _Lane] = {}
        self._waiting: deque[_Lane] = deque()
        self._unfinished: dict[TopicPartition, deque[_Item]] = {}
        self._done: dict[TopicPartition, int] = {}
        self._workers = 0
        self._error: BaseException | None = None
        self._moved = asyncio.Event()
        self._has_room = asyncio.Event()

    @property
    def stopping(self) -> bool:
        """Whether no further record may be begun."""
        return self._error is not None or self._runner.stopping

    def in_hand(self) -> dict[str, int]:
        """Return how many records of each topic are taken and not done."""
        found: dict[str, int] = {}
        for partition, items in self._unfinished.items():
            found[partition.topic] = found.get(partition.topic, 0) + sum(not item.done for item in items)
        return found

    # ------------------------------------------------------------------------------------------------- input

    def feed_by(self, feed: Callable[[], Awaitable[None]]) -> None:
        """Let `feed` run beside the workers; it ends at its next `intake` when they must."""
        self._runner.spawn("feed", partial(self._guarded, feed))

    async def room(self) -> int:
        """Wait, as for input, until more records may be taken; return how many."""
        while not (room := self._room()):
            self._has_room.clear()
            await intake(self._has_room.wait())
        return room

    def _room(self) -> int:
        # What is done behind a record that is not counts too: it can't be committed, and would come again.
        return max(0, self._max_records - sum(map(len, self._unfinished.values())))

    def put(self, records: Iterable[Record]) -> None:
        """Take records; each is begun when a worker is free and all before it of its key are done."""
        for record in records:
            item = _Item(record)
            self._unfinished.setdefault(item.partition, deque()).append(item)
            lane = self._lanes.get(record.key)
            if lane is None:
                lane = self._lanes[record.key] = _Lane(record.key)
                self._waiting.append(lane)
            lane.items.append(item)
        self._staff()

    # ----------------------------------------------------------------------------------------------- workers

    def _staff(self) -> None:
        idle = len(self._waiting)
        while idle and not self.stopping and self._workers < self._width():
            idle -= 1
            self._workers += 1
            self._runner.spawn("lane", partial(self._guarded, self._work))

    def _may_go_on(self) -> bool:
        return not self.stopping and self._workers <= self._width()

    async def _work(self) -> None:
        try:
            while self._waiting and self._may_go_on():
                await self._work_off(self._waiting.popleft())
        finally:
            self._workers -= 1

    async def _work_off(self, lane: _Lane) -> None:
        while lane.items and self._may_go_on():
            await self._handle(lane.items[0].record)
            self._finish_item(lane.items.popleft())
        if lane.items:
            self._waiting.appendleft(lane)
        else:
            del self._lanes[lane.key]

    def _finish_item(self, item: _Item) -> None:
        """Account for what is done: of each partition up to the first record that is not.

        A record stays unfinished until it is done, even if its partition moves away: were it forgotten, and the
        partition came back, a later one could be committed over it.
        """
        item.done = True
        unfinished = self._unfinished[item.partition]
        while unfinished and unfinished[0].done:
            self._done[item.partition] = unfinished.popleft().record.offset + 1
        worker = current_runner()
        if worker is not None:
            worker.progressed()
        self._has_room.set()
        self._moved.set()
        self._staff()

    async def _guarded(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run a child's work; its error, the first of all, ends the rest."""
        child = current_runner()
        try:
            await work()
        except asyncio.CancelledError as error:
            if child is None or not (child.stopping or child.killed):
                self._fail(error)  # the work cancelled itself: not ours to swallow
        except Exception as error:  # noqa: BLE001 - `progress` raises it
            self._fail(error)
        finally:
            self._moved.set()

    def _fail(self, error: BaseException) -> None:
        if self._error is None:
            self._error = error
            self._runner.stop_children()

    # ------------------------------------------------------------------------------------------------ output

    async def progress(self) -> None:
        """Wait, as for input, until `take_done` has something new, or may have.

        Raises:
            Exception: what a worker or the feed ended with, when no record is in hand any more.

        """
        await intake(self._moved.wait())
        self._moved.clear()
        if self._error is not None:
            await self.finish()

    def take_done(self) -> dict[TopicPartition, int]:
        """Return the next offset of each partition that got further since the last call: what may be committed."""
        done, self._done = self._done, {}
        return done

    async def finish(self) -> None:
        """Wait until no record is in hand; only after a stop or an error. Raises as `progress`."""
        while self._workers:
            self._moved.clear()
            await self._moved.wait()
        if self._error is not None:
            raise self._error

    async def close(self) -> None:
        """Cut off whatever still runs."""
        await self._runner.end_children()
