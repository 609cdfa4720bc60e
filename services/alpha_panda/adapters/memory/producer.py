"""The memory bus's producer."""

import asyncio
from collections.abc import Iterable, Sequence

from alpha_panda.adapters.memory.faults import Faults
from alpha_panda.adapters.memory.log import BUS, PartitionLog
from alpha_panda.adapters.memory.topics import Topics
from alpha_panda.adapters.memory.waiting import wait_for
from alpha_panda.contracts.units import SECOND_NS, nanoseconds
from alpha_panda.errors import DependencyUnavailableError, MisuseError
from alpha_panda.ports import Clock, Outgoing, RecordPosition


class MemoryProducer:
    """Writes records; made by `MemoryBus.producer`.

    While a partition is full (a connected reader is `max_backlog` behind) a send waits for room, `patience` seconds
    at most: then it writes all the same, so that services which wait for one another in a ring go on. Sends of one
    producer never overtake each other. Without a full partition a send doesn't let others run.
    """

    def __init__(self, client: str, topics: Topics, clock: Clock, faults: Faults, patience: float) -> None:
        self.client = client
        self._topics = topics
        self._clock = clock
        self._faults = faults
        self._patience = patience
        self._turn = asyncio.Lock()
        self._queued = 0
        self._closed = False

    async def send(self, records: Sequence[Outgoing]) -> list[RecordPosition]:
        """Produce the records and return where they landed.

        Raises:
            DependencyUnavailableError: a topic doesn't exist, and nothing was written; or an ordered fault.
            RecordError: a record without a key for a compacted topic; nothing was written.
            MisuseError: no partition of that number, or the producer was closed; nothing was written.

        """
        if self._closed:
            raise MisuseError(f"producer {self.client} was closed")
        logs = self._topics.route(records)
        if self._queued or _any_full(logs):
            return await self._send_in_turn(records, logs)
        return self._write(records, logs)

    def close(self) -> None:
        """Refuse further sends."""
        self._closed = True

    def _write(self, records: Sequence[Outgoing], logs: Sequence[PartitionLog]) -> list[RecordPosition]:
        if not self._faults.pending:
            return self._topics.append(logs, records, self._clock.now())
        topics = tuple({record.topic: None for record in records})
        self._faults.check_send(topics, written=False)
        positions = self._topics.append(logs, records, self._clock.now())
        self._faults.check_send(topics, written=True)
        return positions

    async def _send_in_turn(
        self, records: Sequence[Outgoing], logs: Sequence[PartitionLog]
    ) -> list[RecordPosition]:
        self._queued += 1
        try:
            async with self._turn:
                await self._wait_for_room(dict.fromkeys(logs))
                return self._write(records, logs)
        finally:
            self._queued -= 1

    async def _wait_for_room(self, logs: Iterable[PartitionLog]) -> None:
        deadline = self._clock.monotonic() + nanoseconds(self._patience)
        for log in logs:
            while log.full() and not log.deleted and (left := deadline - self._clock.monotonic()) > 0:
                room = asyncio.get_running_loop().create_future()
                log.senders.append(room)
                try:
                    await wait_for(room, self._clock, left / SECOND_NS)
                finally:
                    if room in log.senders:
                        log.senders.remove(room)
            if log.deleted:
                raise DependencyUnavailableError(
                    BUS, f"topic {log.tp.topic} was deleted; nothing was written"
                )


def _any_full(logs: Sequence[PartitionLog]) -> bool:
    seen = None
    for log in logs:
        if log is not seen and log.full():  # records of one send mostly go to one partition
            return True
        seen = log
    return False
