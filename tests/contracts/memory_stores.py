"""The memory stores under the contract suites' harness, with a clock that only `advance` moves."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count

from alpha_panda.adapters.memory.checkpoints import MemoryCheckpointStore
from alpha_panda.adapters.memory.control import MemoryControlStore
from alpha_panda.adapters.memory.database import EMPTY_IMAGE, Image, MemoryDatabase
from alpha_panda.adapters.memory.decisions import MemoryDecisionStore
from alpha_panda.adapters.memory.instruments import MemoryInstrumentStore
from alpha_panda.adapters.memory.journal import MemoryOrderJournal
from alpha_panda.adapters.memory.leases import MemoryLease
from alpha_panda.adapters.memory.pace import MemoryOrderPace
from alpha_panda.adapters.memory.prices import MemoryPriceCache
from alpha_panda.adapters.memory.statuses import MemoryStatusStore
from alpha_panda.contracts.units import nanoseconds
from contracts.harness import ACCOUNT, Lose, Stores

TURNS = 5
"""Turns of the loop after which who wants to sleep, sleeps."""

START = 1_700_000_000_000_000_000


class ManualClock:
    """Stands still until `advance`, which ends the sleeps that are over."""

    virtual = True

    def __init__(self) -> None:
        self.time = START
        self._sleepers: list[tuple[int, asyncio.Future[None]]] = []

    def now(self) -> int:
        return self.time

    def monotonic(self) -> int:
        return self.time - START

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.time + nanoseconds(seconds), future))
        await future

    def every(self, seconds: float) -> AsyncIterator[int]:
        raise NotImplementedError

    async def pace_until(self, ts: int) -> None:
        raise NotImplementedError

    def advance(self, seconds: float) -> None:
        self.time += nanoseconds(seconds)
        for due, future in self._sleepers:
            if due <= self.time and not future.done():
                future.set_result(None)


class CountedIds:
    def __init__(self) -> None:
        self._count = count(1)

    def new_id(self) -> str:
        return f"{next(self._count):032x}"

    def child(self, name: str) -> "CountedIds":
        return self


class MemoryHarness:
    """`StoreHarness` over a MemoryDatabase."""

    def __init__(self, database: MemoryDatabase, clock: ManualClock) -> None:
        self.database = database
        self.clock = clock
        self._image = EMPTY_IMAGE

    async def now(self) -> int:
        return self.database.now()

    async def advance(self, seconds: float) -> None:
        for _ in range(TURNS):
            await asyncio.sleep(0)
        self.clock.advance(seconds)

    async def mark(self) -> None:
        self._image = self.database.checkpoint_image()

    async def restart(self, lose: Lose) -> None:
        images: dict[Lose, Image | None] = {
            Lose.TAIL: self._image,
            Lose.EVERYTHING: EMPTY_IMAGE,
            Lose.NOTHING: None,
        }
        self.database.restart(images[lose])

    def refuse_next(self) -> None:
        self.database.faults.refuse()

    def lose_next_reply(self) -> None:
        self.database.faults.lose_reply()


def memory_stores(*, yields: bool = False) -> Stores:
    """Return all ports over one new memory database."""
    clock = ManualClock()
    database = MemoryDatabase(clock, CountedIds(), yields=yields)
    return Stores(
        journal=MemoryOrderJournal(database, ACCOUNT),
        decisions=MemoryDecisionStore(database, ACCOUNT),
        checkpoints=MemoryCheckpointStore(database),
        control=MemoryControlStore(database),
        prices=MemoryPriceCache(database),
        lease=MemoryLease(database),
        statuses=MemoryStatusStore(database),
        pace=MemoryOrderPace(database),
        instruments=MemoryInstrumentStore(database),
        harness=MemoryHarness(database, clock),
    )
