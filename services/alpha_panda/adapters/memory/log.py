"""One partition: its records, who reads them and how far, what may be dropped."""

import asyncio
import sys
from bisect import bisect_left
from heapq import heapify, heappop, heapreplace
from operator import attrgetter
from typing import Protocol

from alpha_panda.errors import DependencyUnavailableError, OffsetOutOfRangeError
from alpha_panda.ports import Outgoing, Record, TopicPartition

BUS = "bus"
"""What `DependencyUnavailableError` calls this dependency."""

Sender = asyncio.Future[None]
"""Who waits until a log has room."""

_offset_of = attrgetter("offset")


class Reader(Protocol):
    """Who owns cursors: a consumer."""

    def on_records(self, cursor: "Cursor") -> None:
        """Note that the cursor has something to fetch, or that its log is gone; once until it has caught up."""


class Cursor:
    """A consumer's place in one partition.

    `position` is the next offset to fetch, `origin` the lowest that it started from: as long as its group has
    committed nothing, records from there on are kept.
    """

    __slots__ = ("group", "log", "origin", "position", "reader")

    def __init__(self, log: "PartitionLog", reader: Reader, group: str, position: int) -> None:
        self.log = log
        self.reader = reader
        self.group = group
        self.position = self.origin = position

    def check(self) -> bool:
        """Whether there is a record to fetch; raises if the log is gone or doesn't reach to the position."""
        log = self.log
        if log.deleted:
            raise DependencyUnavailableError(BUS, f"topic {log.tp.topic} was deleted; open the consumer anew")
        if not log.start <= self.position <= log.end:
            raise OffsetOutOfRangeError(
                f"{log.tp}: offset {self.position} is not among {log.start}..{log.end}"
            )
        return self.position < log.end


class PartitionLog:
    """Records of one partition with consecutive offsets `start` … `end` - 1; a compacted one has holes.

    Args:
        tp: which partition.
        retain: how many of the last records to keep although all groups are done with them; None: all.
        max_backlog: from how many records that a connected reader has not fetched the log is full; None: never.
        compacted: keep the last record of each key for ever, so that any offset can be sought.

    """

    def __init__(
        self, tp: TopicPartition, retain: int | None, max_backlog: int | None, *, compacted: bool
    ) -> None:
        self.tp = tp
        self.start = 0
        self.end = 0
        self.records: list[Record] = []
        self.arrivals: list[int] = []  # bus-wide arrival numbers, parallel to `records`
        self.cursors: list[Cursor] = []
        self.caught_up: list[Cursor] = []  # cursors to be told of the next record
        self.committed: dict[str, int] = {}  # by group
        self.senders: list[Sender] = []  # who waits until the log is not full
        self.deleted = False
        self._retain = retain
        self._slack = sys.maxsize if retain is None else max(1, retain // 8)
        self._trim_at = sys.maxsize if retain is None else retain + self._slack
        self._max_backlog = max_backlog
        self._full_at = 0  # below this end the log is surely not full
        self._last_by_key: dict[str | None, int] | None = {} if compacted else None

    def append(self, outgoing: Outgoing, timestamp: int, arrival: int) -> Record:
        """Add a record and tell the cursors that had caught up."""
        tp, offset = self.tp, self.end
        record = Record(
            tp.topic,
            tp.partition,
            offset,
            outgoing.key,
            outgoing.value,
            outgoing.headers,
            timestamp,
            outgoing.decoded,
        )
        self.records.append(record)
        self.arrivals.append(arrival)
        self.end = offset + 1
        if self._last_by_key is not None:
            self._last_by_key[outgoing.key] = offset
        if self.caught_up:
            self._wake(self.caught_up)
        if len(self.records) >= self._trim_at:
            self._trim()
        return record

    def index(self, offset: int) -> int:
        """Return where in `records` the first one at or after `offset` is."""
        if self._last_by_key is None:
            return offset - self.start
        return bisect_left(self.records, offset, key=_offset_of)

    def attach(self, cursor: Cursor) -> None:
        """Add a reader."""
        self.cursors.append(cursor)
        self.place(cursor)

    def detach(self, cursor: Cursor) -> None:
        """Take a reader away."""
        self.cursors.remove(cursor)
        if cursor in self.caught_up:
            self.caught_up.remove(cursor)
        self.admit_senders()

    def place(self, cursor: Cursor) -> None:
        """Have the cursor's owner told, now or as soon as there is a record for it (or an error)."""
        self._full_at = 0
        if cursor in self.caught_up:
            self.caught_up.remove(cursor)
        if cursor.position == self.end and not self.deleted:
            self.caught_up.append(cursor)
        else:
            cursor.reader.on_records(cursor)

    def full(self) -> bool:
        """Whether a connected reader is so far behind that senders should wait."""
        if self._max_backlog is None or self.end < self._full_at:
            return False
        slowest = min((cursor.position for cursor in self.cursors), default=self.end)
        self._full_at = slowest + self._max_backlog
        return self.end >= self._full_at

    def admit_senders(self) -> None:
        """Let the waiting senders look again, if there is room or nothing to wait for any more."""
        if self.senders and (self.deleted or not self.full()):
            senders, self.senders = self.senders, []
            for sender in senders:
                if not sender.done():
                    sender.set_result(None)

    def drop_before(self, offset: int) -> None:
        """Drop older records, whoever may still want them: they become a gap."""
        self._drop(offset)
        self.start = max(self.start, min(offset, self.end))
        self._wake([cursor for cursor in self.caught_up if cursor.position < self.start])

    def delete(self) -> None:
        """End the log; readers are told at their next fetch."""
        self.deleted = True
        self._wake(self.caught_up)
        self.admit_senders()

    def _wake(self, cursors: list[Cursor]) -> None:
        self.caught_up = [] if cursors is self.caught_up else [c for c in self.caught_up if c not in cursors]
        for cursor in cursors:
            cursor.reader.on_records(cursor)

    def _held_from(self) -> int:
        """Return the lowest offset that a known group may still ask for."""
        waiting = (
            cursor.position if cursor.group in self.committed else min(cursor.position, cursor.origin)
            for cursor in self.cursors
        )
        return min((*self.committed.values(), *waiting), default=self.end)

    def _trim(self) -> None:
        assert self._retain is not None  # noqa: S101 - else nothing is ever due for trimming
        self._drop(min(self.end - self._retain, self._held_from()))
        self._trim_at = len(self.records) + self._slack

    def _drop(self, offset: int) -> None:
        count = self.index(min(max(offset, self.start), self.end))
        kept = self._survivors(count)
        self.arrivals[:count] = [self.arrivals[i] for i in kept]
        self.records[:count] = [self.records[i] for i in kept]
        if self._last_by_key is None:
            self.start += count

    def _survivors(self, count: int) -> list[int]:
        if self._last_by_key is None:
            return []
        last = self._last_by_key
        return [i for i, record in enumerate(self.records[:count]) if last[record.key] == record.offset]


def take(cursors: list[Cursor], limit: int) -> list[Record]:
    """Return up to `limit` records after the cursors, in the order of their arrival, and move the cursors.

    Each cursor must have at least one record before it.
    """
    if len(cursors) == 1:
        return _take_one(cursors[0], limit)
    heap = [_head(cursor) for cursor in cursors]
    heapify(heap)
    taken: list[Record] = []
    while heap and len(taken) < limit:
        _, index, cursor = heap[0]
        record = cursor.log.records[index]
        taken.append(record)
        cursor.position = record.offset + 1
        if index + 1 < len(cursor.log.records):
            heapreplace(heap, (cursor.log.arrivals[index + 1], index + 1, cursor))
        else:
            heappop(heap)
    return taken


def _head(cursor: Cursor) -> tuple[int, int, Cursor]:
    index = cursor.log.index(cursor.position)
    return (
        cursor.log.arrivals[index],
        index,
        cursor,
    )  # arrival numbers differ, so cursors are never compared


def _take_one(cursor: Cursor, limit: int) -> list[Record]:
    log = cursor.log
    index = log.index(cursor.position)
    taken = log.records[index : index + limit]
    cursor.position = taken[-1].offset + 1
    return taken
