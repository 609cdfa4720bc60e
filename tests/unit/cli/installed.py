"""A running installation over memory ports, for the operators' commands: with hands on its clock, bus and stores."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, cast

from alpha_panda.adapters.ids import SeededIds
from alpha_panda.adapters.memory.bus import MemoryBus
from alpha_panda.adapters.memory.checkpoints import MemoryCheckpointStore
from alpha_panda.adapters.memory.control import MemoryControlStore
from alpha_panda.adapters.memory.database import MemoryDatabase
from alpha_panda.adapters.memory.decisions import MemoryDecisionStore
from alpha_panda.adapters.memory.instruments import MemoryInstrumentStore
from alpha_panda.adapters.memory.journal import MemoryOrderJournal
from alpha_panda.adapters.memory.leases import MemoryLease
from alpha_panda.adapters.memory.pace import MemoryOrderPace
from alpha_panda.adapters.memory.prices import MemoryPriceCache
from alpha_panda.adapters.memory.statuses import MemoryStatusStore
from alpha_panda.contracts.codec import decode_event
from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.events import ControlChanged
from alpha_panda.contracts.keys import KeyMap
from alpha_panda.contracts.scopes import PLATFORM, account_scope, strategy_scope
from alpha_panda.contracts.topics import TopicMap, TopicSpec, dlq, market_ticks
from alpha_panda.errors import DependencyUnavailableError
from alpha_panda.ports import Outgoing, Record, Subscription, TopicPartition
from alpha_panda.runtime.context import Ports
from alpha_panda.runtime.dead_letter import Failure, dead_letter
from alpha_panda.runtime.settings import Settings, load_settings
from contracts.desk import Desk
from contracts.harness import Stores

START = 1_700_000_000_000_000_000
"""2023-11-14T22:13:20Z."""
SECOND = 1_000_000_000


class SteppedClock:
    """Moves when told to, and by what is slept."""

    virtual = False

    def __init__(self) -> None:
        self.time = START

    def now(self) -> int:
        return self.time

    def monotonic(self) -> int:
        return self.time - START

    async def sleep(self, seconds: float) -> None:
        self.time += round(seconds * SECOND)
        await asyncio.sleep(0)

    def every(self, seconds: float) -> AsyncIterator[int]:
        raise NotImplementedError

    async def pace_until(self, ts: int) -> None:
        raise NotImplementedError


class WatchedBus:
    """The bus as a command sees it: `down` raises, `mute` never answers; calls of `topics` are counted."""

    def __init__(self, bus: MemoryBus) -> None:
        self.bus = bus
        self.down = False
        self.mute = False
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.bus, name)

    async def _meet(self) -> None:
        self.asked += 1
        if self.mute:
            await asyncio.Event().wait()
        if self.down:
            raise DependencyUnavailableError("bus", "no broker answers")

    async def topics(self) -> frozenset[str]:
        await self._meet()
        return await self.bus.topics()

    async def delete_records(self, partition: TopicPartition, before: int) -> None:
        await self._meet()
        await self.bus.delete_records(partition, before)


class Installation:
    """Accounts `paper` and `second`, strategy `alpha`, feed `demo`, all Active; another installation beside it."""

    def __init__(self, prefix: str = "", installation: str = "") -> None:
        self.prefix = prefix
        self.clock = SteppedClock()
        ids = SeededIds(1)
        self.database = MemoryDatabase(self.clock, ids.child("store"), KeyMap(prefix, installation))
        self.memory_bus = MemoryBus(self.clock, ids=ids.child("bus"))
        self.bus = WatchedBus(self.memory_bus)
        self.control = MemoryControlStore(self.database)
        nobody = cast("Any", None)
        self.ports = Ports(
            clock=self.clock,
            ids=ids.child("services"),
            bus=cast("Any", self.bus),
            prices=MemoryPriceCache(self.database),
            journal=cache(lambda account: MemoryOrderJournal(self.database, account)),
            decisions=cache(lambda account: MemoryDecisionStore(self.database, account)),
            checkpoints=MemoryCheckpointStore(self.database),
            control=self.control,
            lease=MemoryLease(self.database),
            statuses=MemoryStatusStore(self.database),
            traders=nobody,
            source=nobody,
        )

    @classmethod
    async def opened(cls, prefix: str = "") -> "Installation":
        made = cls(prefix)
        await made.open()
        return made

    async def open(self) -> None:
        specs: list[TopicSpec] = []
        for account in ("paper", "second"):
            topics = TopicMap(account, self.prefix)
            specs += topics.specs(4)
            specs += [
                TopicSpec(dlq(topic), 1)
                for topic in (topics.signals_raw, topics.signals_validated, *topics.orders)
            ]
        ticks = market_ticks("demo", self.prefix)
        specs += [
            TopicSpec(ticks, 4),
            TopicSpec(dlq(ticks), 1),
            TopicSpec(f"{self.prefix}strange.topic.dlq", 1),
        ]
        other = TopicMap("theirs", f"{self.prefix}other.")
        specs += [TopicSpec(other.control, 1, compacted=True), TopicSpec(dlq(other.signals_raw), 1)]
        await self.memory_bus.ensure_topics(specs)
        for scope in (PLATFORM, account_scope("paper"), account_scope("second"), strategy_scope("alpha")):
            await self.control.put_spec(scope, TradingState.ACTIVE, 1e9)

    def settings(self, **changes: Any) -> Settings:
        return load_settings(topic_prefix=self.prefix, **changes)

    @asynccontextmanager
    async def connected(self, settings: Settings) -> AsyncIterator[Ports]:
        """Stand in for `cli.connecting.connected`."""
        assert settings.topic_prefix == self.prefix
        yield self.ports

    def topics(self, account: str = "paper") -> TopicMap:
        return TopicMap(account, self.prefix)

    async def state(self, scope: str) -> TradingState:
        (reading,) = await self.control.read((scope,))
        return reading.state

    async def latch_ids(self, scope: str) -> list[str]:
        (reading,) = await self.control.read((scope,))
        return [latch.latch_id for latch in reading.latches]

    def refuse(self, operation: str, times: int = 100) -> None:
        for _ in range(times):
            self.database.faults.refuse(operation)

    async def desk(self) -> Desk:
        """Return account `paper` ready to trade: see `contracts.desk`."""
        return await Desk.opened(
            Stores(
                journal=self.ports.journal("paper"),
                decisions=self.ports.decisions("paper"),
                checkpoints=self.ports.checkpoints,
                control=self.control,
                prices=self.ports.prices,
                lease=self.ports.lease,
                statuses=self.ports.statuses,
                pace=MemoryOrderPace(self.database),
                instruments=MemoryInstrumentStore(self.database),
                harness=cast("Any", None),
            )
        )

    # -------------------------------------------------------------------------------------------- records

    async def produce(self, *records: Outgoing) -> None:
        async with self.memory_bus.producer("test") as producer:
            await producer.send(records)

    async def set_aside(self, topic: str, value: bytes, error: Exception, **fields: Any) -> None:
        """Put a record into its dead letter queue as a service does."""
        given: dict[str, Any] = {
            "partition": 0,
            "offset": 7,
            "key": "alpha:1",
            "headers": (),
            "timestamp": START,
        }
        record = Record(topic=topic, value=value, **(given | fields))
        await self.produce(dead_letter(record, Failure.of(error, 3), "risk"))

    async def records(self, topic: str) -> list[Record]:
        """Return all that a topic holds."""
        ends = {
            tp: end for tp, (oldest, end) in (await self.memory_bus.offsets(topic)).items() if end > oldest
        }
        if not ends:
            return []
        found: list[Record] = []
        async with self.memory_bus.consumer(Subscription("look", partitions=tuple(ends))) as consumer:
            while any(consumer.position(tp) < end for tp, end in ends.items()):
                found += await consumer.fetch(1000)
        return found

    async def told(self, account: str = "paper") -> list[ControlChanged]:
        """Return what the account's control topic says, in order."""
        events = [decode_event(record.value) for record in await self.records(self.topics(account).control)]
        changes = [event.data for event in events]
        assert all(isinstance(change, ControlChanged) for change in changes)
        return cast("list[ControlChanged]", changes)
