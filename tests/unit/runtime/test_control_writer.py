import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from alpha_panda.adapters.memory.control import MemoryControlStore
from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.stored import Latch
from alpha_panda.runtime.control_writer import ControlWriter, states_of
from unit.runtime.world import World

TTL, RENEW = 60.0, 5.0
SCOPES = ("platform", "account/paper", "strategy/probe")
API = "alphapanda.io/v1alpha1"


def manifests() -> ResourceSet:
    def resource(kind: str, name: str, **spec: object) -> dict[str, object]:
        return {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec}

    instruments = [{"symbol": "X:A", "token": 1, "tickSize": "0.05", "referencePrice": "1"}]
    return ResourceSet.from_documents(
        [
            resource("MarketFeed", "demo", source={"simulated": {"seed": 1}}, instruments=instruments),
            resource(
                "BrokerAccount", "paper", marketFeed="demo", paper={"cash": "1"}, tradingState="Reducing"
            ),
            resource(
                "Strategy",
                "probe",
                type="momentum",
                marketFeed="demo",
                instruments=["X:A"],
                accounts=["paper"],
                tradingState="Halted",
            ),
        ]
    )


@pytest.fixture
def store(world: World) -> MemoryControlStore:
    return MemoryControlStore(world.database)


@asynccontextmanager
async def running(world: World, store: MemoryControlStore) -> AsyncIterator["asyncio.Task[None]"]:
    task = asyncio.create_task(ControlWriter(store, world.clock, manifests(), TTL, RENEW).run())
    try:
        await world.settle()
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def states(store: MemoryControlStore) -> list[TradingState]:
    return [reading.state for reading in await store.read(SCOPES)]


WANTED = [TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED]


def test_the_states_are_those_of_the_manifests_and_the_platform_is_active() -> None:
    assert states_of(manifests()) == dict(zip(SCOPES, WANTED, strict=True))


async def test_every_scope_is_written(world: World, store: MemoryControlStore) -> None:
    assert await states(store) == [TradingState.HALTED] * 3
    await ControlWriter(store, world.clock, manifests(), TTL, RENEW).write()
    assert await states(store) == WANTED


async def test_renewed_as_long_as_it_runs_and_expired_afterwards(
    world: World, store: MemoryControlStore
) -> None:
    async with running(world, store):
        await world.pass_seconds(200)
        assert await states(store) == WANTED
    await world.clock.advance(TTL + 1)
    assert [reading.expired for reading in await store.read(SCOPES)] == [True] * 3
    assert await states(store) == [TradingState.HALTED] * 3


@pytest.mark.parametrize("fault", ["refuse", "lose_reply"])
async def test_a_store_that_does_not_answer_is_asked_again(
    world: World, store: MemoryControlStore, fault: str
) -> None:
    async with running(world, store) as task:
        getattr(world.database.faults, fault)("put_spec")
        await world.pass_seconds(5)
        assert not task.done()
        await world.pass_seconds(5)
        assert await states(store) == WANTED


async def test_a_latch_is_none_of_its_business(world: World, store: MemoryControlStore) -> None:
    latch = Latch(
        latch_id="l", scope="platform", state=TradingState.HALTED, reason="r", set_by="a person", set_at=1
    )
    await store.set_latch(latch)
    async with running(world, store):
        await world.pass_seconds(20)
        assert (await states(store))[0] is TradingState.HALTED


class Changing:
    """Manifests that a test changes."""

    problem = None

    def __init__(self) -> None:
        self.resources = manifests()


async def test_what_the_manifests_say_now_is_written_and_who_left_them_is_halted(
    world: World, store: MemoryControlStore
) -> None:
    changing = Changing()
    writer = ControlWriter(store, world.clock, changing, TTL, RENEW)
    await writer.write()
    changing.resources = ResourceSet(accounts=changing.resources.accounts)
    await writer.write()
    assert await states(store) == [*WANTED[:2], TradingState.HALTED]
    (gone,) = await store.read(SCOPES[2:])
    assert gone.spec is None  # not merely expired: it went at once
