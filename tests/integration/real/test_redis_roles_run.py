"""The services themselves, each under its role's user: they trade, and Redis has denied nothing to anybody."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest
import yaml

from alpha_panda.adapters.clock import RealClock
from alpha_panda.adapters.redis.checkpoints import RedisCheckpointStore
from alpha_panda.adapters.redis.control import RedisControlStore
from alpha_panda.adapters.redis.decisions import RedisDecisionStore
from alpha_panda.adapters.redis.journal import RedisOrderJournal
from alpha_panda.adapters.redis.leases import RedisLease
from alpha_panda.adapters.redis.prices import RedisPriceCache
from alpha_panda.adapters.redis.statuses import RedisStatusStore
from alpha_panda.compose.control_room import ControlRoom
from alpha_panda.compose.embedded import EmbeddedRun, Member, RunOptions
from alpha_panda.compose.order_desk import Listing, OrderDesk
from alpha_panda.compose.ports import memory_ports
from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.manifests import ResourceSet, load_manifests
from alpha_panda.contracts.scopes import account_scope
from alpha_panda.contracts.stored import JournalEntry
from alpha_panda.errors import AlphaPandaError
from alpha_panda.runtime.context import Ports
from alpha_panda.runtime.settings import Settings
from alpha_panda.testing.servers.redis import RedisServer
from contracts.harness import ACCOUNT
from integration.kit import RELIANCE, account, feed, strategy
from integration.real.redis_roles import FEED, KEYS, ROLES, STRATEGY, Servers, databases, work

PREFIX = KEYS.prefix
SCRIPT = {"20": ["BUY", "2"], "40": ["BUY", "1", {"order_type": "LIMIT", "limit_price": "1"}]}
SECONDS = 30.0
"""Longest wait for a step on a busy machine."""

BRISK = Settings(
    topic_prefix=PREFIX,
    lease_renew_seconds=0.2,
    status_interval_seconds=0.2,
    control_renew_seconds=0.2,
    tracker_interval_seconds=0.2,
    drain_quiet_seconds=0.1,
)


def resources(folder: Path) -> ResourceSet:
    """A feed of 50 ticks a second; a strategy that buys, and leaves an order resting far below the market."""
    recorder = strategy(
        STRATEGY,
        **{"class": "integration.kit:Recorder"},
        instruments=[RELIANCE],
        parameters={"label": "roles", "script": SCRIPT},
    )
    source = {"simulated": {"seed": 1, "ticksPerSecond": 50}}
    file = folder / "manifests.yaml"
    documents = [feed(FEED, source=source, calendar="24/7"), account(ACCOUNT), recorder]
    file.write_text(yaml.safe_dump_all(documents), encoding="utf-8")
    return load_manifests([file])


@asynccontextmanager
async def ports_of(role: str, servers: Servers, base: Ports) -> AsyncIterator[Ports]:
    """Give the ports with all stores, and the probes, under the role's user."""
    servers.allow(role, ROLES[role])
    async with databases(servers, role) as (prices, journal):
        yield replace(
            base,
            prices=RedisPriceCache(prices),
            journal=lambda name: RedisOrderJournal(journal, name),
            decisions=lambda name: RedisDecisionStore(journal, name),
            checkpoints=RedisCheckpointStore(journal),
            control=RedisControlStore(journal),
            lease=RedisLease(journal),
            statuses=RedisStatusStore(prices),
            probes={"prices": prices.time, "journal": journal.time},
        )


async def the_person(ports: Ports) -> None:
    """Find the order that rests, halt its account, and resume it when the order is cancelled."""
    desk, room = OrderDesk(ports, BRISK), ControlRoom(ports, BRISK, "somebody")
    assert await desk.ready(ACCOUNT)
    (resting,) = await until(lambda: desk.listed(ACCOUNT, Listing.RESTING))
    assert (await desk.find(resting.tag)).entry == resting
    (halt,) = await room.halt([account_scope(ACCOUNT)], TradingState.HALTED, "a test")
    assert halt.complete, halt.problems
    await until(lambda: _none(desk.listed(ACCOUNT, Listing.RESTING)))
    resumption = await room.resume(account_scope(ACCOUNT), [halt.latch.latch_id], "done")
    assert resumption.reading.latches == ()


async def _none(found: Awaitable[list[JournalEntry]]) -> bool:
    return not await found


T = TypeVar("T")


async def until(question: Callable[[], Awaitable[T]]) -> T:
    """Ask until the answer is something; what answers is a server, which tells nobody by itself."""
    async with asyncio.timeout(SECONDS):
        while not (answer := await question()):  # noqa: ASYNC110 - as said
            await asyncio.sleep(0.02)
        return answer


@pytest.fixture(params=["apart", "together"])
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    with RedisServer(appendfsync="no") as prices, RedisServer(appendfsync="no") as journal:
        yield Servers(prices if request.param == "apart" else journal, journal)


async def test_every_service_does_all_that_it_does_and_is_denied_nothing(
    servers: Servers, tmp_path: Path
) -> None:
    manifests = resources(tmp_path)
    base = memory_ports(manifests, BRISK, RealClock())[1]
    async with AsyncExitStack() as stack:
        ports = {role: await stack.enter_async_context(ports_of(role, servers, base)) for role in ROLES}

        def wire(member: Member, given: Ports) -> Ports:
            own = ports[member.definition.name]
            return replace(own, ids=given.ids, source=given.source, traders=given.traders)

        run = EmbeddedRun(manifests, BRISK, RunOptions(), wire=wire, transports=ports["operator"])
        running = asyncio.create_task(run.run())
        await asyncio.wait_for(run.supervisor.wait_ready(), SECONDS)
        await the_person(ports["person"])
        statuses = await ports["operator"].statuses.all()
        run.request_stop()
        summary = await asyncio.wait_for(running, SECONDS)
    assert servers.denials() == []
    assert {status.service for status in statuses} == set(ROLES) - {"operator", "person"}
    assert (summary.orders.filled, summary.orders.cancelled, summary.dlq) == (1, 1, 0)


async def test_a_denial_would_be_seen(servers: Servers) -> None:
    """What the test above rests on: also one within a script, of a key that the request doesn't name."""
    lame = replace(ROLES["engine"].journal, reads=frozenset())
    with pytest.raises(AlphaPandaError):
        await work(servers, "engine", replace(ROLES["engine"], journal=lame))
    assert servers.denials()
