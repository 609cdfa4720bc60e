"""Each role of the service and its work, over one Redis or two, under a user of its own."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

from alpha_panda.adapters.ids import RandomIds
from alpha_panda.adapters.redis.acl import Rights, RoleRights, all_roles
from alpha_panda.adapters.redis.checkpoints import RedisCheckpointStore
from alpha_panda.adapters.redis.control import RedisControlStore
from alpha_panda.adapters.redis.database import RedisDatabase
from alpha_panda.adapters.redis.decisions import RedisDecisionStore
from alpha_panda.adapters.redis.durability import durability_problems
from alpha_panda.adapters.redis.instruments import RedisInstrumentStore
from alpha_panda.adapters.redis.journal import RedisOrderJournal
from alpha_panda.adapters.redis.leases import RedisLease
from alpha_panda.adapters.redis.pace import RedisOrderPace
from alpha_panda.adapters.redis.pool import RedisPool
from alpha_panda.adapters.redis.prices import RedisPriceCache
from alpha_panda.adapters.redis.statuses import RedisStatusStore
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, FeedMode, TradingState
from alpha_panda.contracts.keys import (
    KeyMap,
    broker_user_lease,
    feed_lease,
    risk_lease,
    strategy_lease,
    tracker_lease,
)
from alpha_panda.contracts.scopes import PLATFORM, account_scope, scopes_of, strategy_scope
from alpha_panda.contracts.stored import (
    CLEARED,
    AdoptionRequest,
    BrokerFacts,
    Checkpoint,
    PaceWindow,
    Quote,
    RiskSnapshot,
    ServiceStatus,
    TeardownRequest,
)
from alpha_panda.testing.servers.proxy import FaultyProxy
from alpha_panda.testing.servers.redis import RedisServer
from alpha_panda_operator.store import Store
from contracts.decisions_contract import FOLD
from contracts.desk import Desk
from contracts.harness import ACCOUNT, Stores
from contracts.instruments_contract import listed
from contracts.prices_contract import price_range
from contracts.redis_stores import TIMEOUT, RedisHarness, ShiftedTime
from contracts.samples import CANCELLED, FILLED, LOST, PLACED, entry, latch, signal

FEED, STRATEGY, TOKEN = "demo", "momentum", 738561
KEYS: Final = KeyMap("contract.")
ROLES: Final = all_roles(KEYS, feed=FEED, account=ACCOUNT, strategy=STRATEGY)
PLATFORM_KEYS: Final = KeyMap("", "inst")
SCOPES: Final = scopes_of(ACCOUNT, STRATEGY)
PASSWORD: Final = "secret"  # noqa: S105 - of users that live for one test
TTL: Final = 60.0

QUOTE: Final = Quote(2500.05, 1, FEED, FeedMode.SIMULATED, 1, 12)
WINDOWS: Final = (PaceWindow("second", 1, 1, rolling=True), PaceWindow("day", 86_400, 5_000))
CHECKPOINT: Final = Checkpoint(
    lineage="line",
    store_run_id="run",
    strategy_uid="uid",
    counter=1,
    state=b"state",
    offsets={},
    sequences={},
    pending=[],
)
SENDING: Final = ("e1", "e2", "p1")
"""Signals that risk has decided before anybody works: the engine's, and one that is in doubt for a person."""


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the prices are, and where the journal is; perhaps the same."""

    prices: RedisServer
    journal: RedisServer

    @property
    def one(self) -> bool:
        return self.prices is self.journal

    def clear(self) -> None:
        for server in (self.prices, self.journal):
            server.clear()

    def forget_scripts(self) -> None:
        """So that the next one must load what it runs."""
        for server in (self.prices, self.journal):
            with server.client() as client:
                client.script_flush()

    def allow(self, user: str, rights: RoleRights) -> None:
        """Make the user anew, on one Redis by the rules for one."""
        if self.one:
            self.journal.add_user(user, _rules(rights))
            return
        self.prices.add_user(user, _rules(rights.prices))
        self.journal.add_user(user, _rules(rights.journal))

    def denials(self) -> list[str]:
        """Return what Redis has denied to anybody, of either server."""
        found = []
        for server in (self.prices, self.journal):
            with server.client(decode_responses=True) as client:
                found += [f"{item['username']}: {item['object']}" for item in client.acl_log()]
        return found

    def forget_denials(self) -> None:
        for server in (self.prices, self.journal):
            with server.client() as client:
                client.acl_log_reset()


def _rules(rights: Rights | RoleRights) -> str:
    return f"on >{PASSWORD} {' '.join(rights.rules)}"


@dataclass(frozen=True, slots=True)
class Place:
    """A role at work: the account's desk over the role's own connections."""

    desk: Desk
    prices: RedisDatabase
    journal: RedisDatabase

    @property
    def stores(self) -> Stores:
        return self.desk.stores


@asynccontextmanager
async def databases(
    servers: Servers, user: str = "", time: ShiftedTime | None = None, keys: KeyMap = KEYS
) -> AsyncIterator[tuple[RedisDatabase, RedisDatabase]]:
    """Give the prices' Redis and the journal's, logged in as the user; by default as one with all rights."""
    login = {"username": user, "password": PASSWORD} if user else {}
    async with AsyncExitStack() as stack:
        made = []
        for server in (servers.prices, servers.journal):
            pool = RedisPool(server.url, timeout=TIMEOUT, max_connections=8, client_name="roles", **login)
            offset = time or ShiftedTime()
            database = RedisDatabase(pool, RandomIds(), keys, timeout=TIMEOUT, time_offset=offset)
            stack.push_async_callback(database.close)
            made.append(database)
        yield made[0], made[1]


@asynccontextmanager
async def place(servers: Servers, user: str = "", desk: Desk | None = None) -> AsyncIterator[Place]:
    """Give a role's place, at a desk that others have opened."""
    time = ShiftedTime()
    async with databases(servers, user, time) as (prices, journal):
        proxy = FaultyProxy("127.0.0.1", servers.journal.port)  # not begun: nothing here goes wrong
        stores = Stores(
            journal=RedisOrderJournal(journal, ACCOUNT),
            decisions=RedisDecisionStore(journal, ACCOUNT),
            checkpoints=RedisCheckpointStore(journal),
            control=RedisControlStore(journal),
            prices=RedisPriceCache(prices),
            lease=RedisLease(journal),
            statuses=RedisStatusStore(prices),
            pace=RedisOrderPace(journal),
            instruments=RedisInstrumentStore(prices),
            harness=RedisHarness(servers.journal, proxy, journal, time),
        )
        yield Place(replace(desk or Desk(stores), stores=stores), prices, journal)


async def opened(servers: Servers) -> Desk:
    """Open the account on empty servers, with all rights: epoch, trading states, decisions, prices, one in doubt."""
    servers.clear()
    async with place(servers) as at:
        desk = await Desk.opened(at.stores)
        for scope in SCOPES:
            await at.stores.control.put_spec(scope, TradingState.ACTIVE, TTL)
            await at.stores.control.request_clears(scope, ["named"], 1)
        for number, signal_id in enumerate(SENDING, 1):
            await desk.decide(signal(signal_id, token=number))
        assert (await desk.begin(signal("p1", token=3), scopes=SCOPES)).go
        await at.stores.prices.write(FEED, 1, {TOKEN: QUOTE}, {0: 1}, 4)
        await at.stores.statuses.put(_status("engine", ACCOUNT), TTL)
        await at.stores.instruments.put(listed(FEED))
        await at.stores.lease.release(tracker_lease(ACCOUNT), "tracker", desk.lease)
    servers.forget_scripts()
    return desk


# ------------------------------------------------------------------------------------------------------- work


async def service_life(at: Place, service: str, resource: str) -> None:
    """What every service does: the check at its start, its probes, its status."""
    (unchecked,) = await durability_problems(at.journal)
    assert unchecked.unchecked
    await at.prices.time()
    await at.journal.time()
    await at.stores.statuses.put(_status(service, resource), TTL)


async def lease_life(at: Place, name: str) -> int:
    """Take a lease and renew it; whoever ends gives it back by itself."""
    lease = await at.stores.lease.acquire(name, "one", TTL)
    assert lease is not None
    await at.stores.lease.renew(name, "one", lease, TTL)
    return lease


async def market_feed_work(at: Place) -> None:
    await service_life(at, "market-feed", FEED)
    await at.stores.instruments.put(listed(FEED))
    assert await at.stores.instruments.version(FEED) == "v1"
    name = feed_lease(FEED)
    await at.stores.lease.release(name, "one", await lease_life(at, name))


async def feed_cacher_work(at: Place) -> None:
    await service_life(at, "feed-cacher", FEED)
    assert await at.stores.prices.write(FEED, 2, {TOKEN: QUOTE, 1: QUOTE}, {0: 2}, 4) == frozenset()
    await at.stores.prices.publish_ranges(FEED, [price_range(1)])


async def strategy_work(at: Place) -> None:
    await service_life(at, "strategy", STRATEGY)
    assert await at.stores.instruments.read(FEED) == listed(FEED)
    await lease_life(at, strategy_lease(STRATEGY))
    claim = await at.stores.checkpoints.claim(STRATEGY, ACCOUNT)
    await at.stores.checkpoints.save(STRATEGY, ACCOUNT, claim.incarnation, CHECKPOINT, {"s1": FOLD})
    assert set(await at.stores.decisions.folds()) == set(SENDING)
    assert await at.stores.decisions.get("e1")


async def risk_work(at: Place) -> None:
    desk, stores = at.desk, at.stores
    await service_life(at, "risk", ACCOUNT)
    assert await at.stores.instruments.read(FEED) == listed(FEED)
    await lease_life(at, risk_lease(ACCOUNT))
    desk.risk = (await stores.decisions.claim("risk-0")).epoch
    await desk.decide(signal("r1"))
    await stores.decisions.save(desk.risk, RiskSnapshot(offsets={}, state=b"book"), {"r1": FOLD})
    assert not await stores.journal.known("r1")
    assert len(await stores.journal.in_doubt()) == 1
    assert await stores.journal.facts() is None
    assert await stores.journal.epoch() == desk.epoch
    await stores.control.read(SCOPES)
    for scope in (account_scope(ACCOUNT), strategy_scope(STRATEGY)):
        await stores.control.set_latch(latch("loss", scope))
        await stores.control.set_latch(latch("more", scope))
    for scope in SCOPES:  # those of the platform too: of any of its accounts the risk clears them
        await stores.control.set_latch(latch("named", scope))
        assert await stores.control.clear_latch(scope, "named", set_at=1)
    assert await stores.control.teardowns() == ()
    requests = await stores.control.clear_requests(SCOPES)
    assert {request.scope for request in requests} == set(SCOPES)
    for request in requests:
        await stores.control.end_clear(request, CLEARED)
    assert (await stores.prices.readings(FEED, [TOKEN]))[TOKEN].quote == QUOTE
    assert await stores.prices.read_many(FEED, [TOKEN]) == {TOKEN: QUOTE}


async def calls_counted(at: Place) -> None:
    """Count two calls, the second when the first is over."""
    assert not await at.stores.pace.take(ACCOUNT, WINDOWS)
    assert await at.stores.pace.take(ACCOUNT, WINDOWS)
    await at.stores.harness.advance(1)
    assert not await at.stores.pace.take(ACCOUNT, WINDOWS)


async def engine_work(at: Place) -> None:
    desk, journal = at.desk, at.stores.journal
    await service_life(at, "engine", ACCOUNT)
    await calls_counted(at)
    assert await at.stores.instruments.read(FEED) == listed(FEED)
    assert await journal.epoch() == desk.epoch
    assert (await at.stores.prices.read(FEED, TOKEN)).quote == QUOTE
    first = await desk.begin(signal("e1", token=1), orders_per_second=5, scopes=SCOPES)
    await at.stores.harness.advance(2)
    second = await desk.begin(signal("e2", token=2), orders_per_second=5, scopes=SCOPES)
    assert first.go
    assert second.go
    placed = await journal.settle("e1", first.entry.attempt, PLACED, first.entry)
    assert await journal.get("e1") == placed
    filled = await journal.fill("e1", placed.revision, FILLED)
    assert filled is not None
    assert await journal.acknowledge("e1", filled.revision)
    await journal.refuse(desk.request(signal("e3")), Code.PRICE_STALE, "old")


async def order_tracker_work(at: Place) -> None:
    await service_life(at, "order-tracker", ACCOUNT)
    await calls_counted(at)
    assert await at.stores.instruments.read(FEED) == listed(FEED)
    await lease_life(at, broker_user_lease("AB1234"))
    await _track_journal(at, await lease_life(at, tracker_lease(ACCOUNT)))
    assert await at.stores.decisions.snapshot() is None
    await at.stores.control.read(SCOPES)
    for scope in SCOPES:
        await at.stores.control.set_latch(latch("kept", scope))
    assert await at.stores.control.teardowns() == ()
    prices = at.stores.prices
    await prices.watch(FEED, ACCOUNT, [TOKEN])
    assert (await prices.read(FEED, TOKEN)).quote == QUOTE
    await prices.watch(FEED, ACCOUNT, [])
    assert await prices.ranges(FEED, {TOKEN: 0}, 0.2) == []  # last: it waits


async def _track_journal(at: Place, lease: int) -> None:
    journal, run_id = at.stores.journal, await at.stores.journal.run_id()
    await journal.adopt(lease, run_id, [entry(signal("t1"), EntryState.SENDING, send_by=1)])
    await journal.put_facts(lease, BrokerFacts(problem="why"))
    assert await journal.facts() == BrokerFacts(problem="why")
    assert await journal.adoptions("d1") == {}
    assert await journal.resolve(lease, "t1", LOST)
    scope = account_scope(ACCOUNT)
    assert await journal.correct(lease, "t1", FILLED, latch("late", scope))
    stray = entry(signal("external:b9"), EntryState.FILLED)
    assert await journal.orphan(lease, stray, latch("stray", scope))
    await journal.write_epoch(lease, run_id)
    (placed,) = [await journal.resolve(lease, item.signal_id, PLACED) for item in await journal.in_doubt()]
    assert placed is not None
    assert await journal.find_tag(placed.tag) == placed
    assert await journal.resting() == [placed]
    filled = await journal.fill(placed.signal_id, placed.revision, FILLED)
    assert filled is not None
    assert len(await journal.unacknowledged()) == 3
    await journal.acknowledge(filled.signal_id, filled.revision)


async def operator_work(at: Place) -> None:
    await durability_problems(at.journal)
    control = at.stores.control
    for scope in SCOPES:
        await control.put_spec(scope, TradingState.ACTIVE, TTL)
        await control.request_clears(scope, ["other"], 2)
    await control.read(SCOPES)
    await control.drop_spec(SCOPES[-1])
    request = TeardownRequest(scope=SCOPES[-1], uid="uid", policy="Flatten", requested_at=1)
    await control.request_teardown(request)
    assert await control.teardowns() == (request,)
    await control.withdraw_teardown(request.scope, request.uid)
    assert len(await control.clear_requests(SCOPES)) == len(SCOPES)
    assert len(await at.stores.statuses.all()) == 1
    store = Store(control, at.stores.statuses, at.journal)
    assert await store.owner("ours") == "ours"
    await store.disown("ours")


async def person_work(at: Place) -> None:
    """What `halt`, `resume`, `orders`, `explain` and `status` ask of the stores."""
    assert len(await at.stores.statuses.all()) == 1
    control, journal = at.stores.control, at.stores.journal
    for scope in SCOPES:
        await control.set_latch(latch("hand", scope))
        await control.set_latch(latch("more", scope))
        await control.read([scope])
        assert await control.clear_latch(scope, "hand", set_at=1)
    assert await journal.epoch() == at.desk.epoch
    (doubtful,) = await journal.in_doubt()
    assert await journal.find_tag(doubtful.tag) == await journal.get("p1")
    assert await at.stores.decisions.get("p1")
    placed = await journal.settle("p1", doubtful.attempt, PLACED, doubtful)
    assert await journal.resting() == await journal.unacknowledged() == [placed]
    assert await journal.fill("p1", placed.revision, CANCELLED)
    assert await journal.facts() is None
    assert await journal.ask_adoption(AdoptionRequest(difference_id="d1", by="ann", reason="", asked_at=1))


async def platform_person_work(servers: Servers, rights: RoleRights) -> None:
    """What `halt --all` and `resume --all` ask of the stores where no account's keys are within reach."""
    servers.clear()
    servers.allow("platform", rights)
    async with databases(servers, "platform", keys=PLATFORM_KEYS) as (_, journal):
        control = RedisControlStore(journal)
        for latch_id in ("hand", "more"):
            await control.set_latch(latch(latch_id, PLATFORM))
        await control.read([PLATFORM])
        assert await control.clear_latch(PLATFORM, "hand", set_at=1)
    servers.forget_scripts()


Work = Callable[[Place], Awaitable[None]]
WORK: Final[dict[str, Work]] = {
    "market-feed": market_feed_work,
    "feed-cacher": feed_cacher_work,
    "strategy": strategy_work,
    "risk": risk_work,
    "engine": engine_work,
    "order-tracker": order_tracker_work,
    "operator": operator_work,
    "person": person_work,
}


def _status(service: str, resource: str) -> ServiceStatus:
    return ServiceStatus(
        service=service,
        resource=resource,
        instance=f"{service}-0",
        state="running",
        processed=1,
        errors=0,
        dead_lettered=0,
        last_event_ts=None,
        started_at=1,
        details={},
    )


async def work(servers: Servers, role: str, rights: RoleRights) -> None:
    """Do the role's work in an account that others have opened, with these rights and no others."""
    desk = await opened(servers)
    servers.allow(role, rights)
    async with place(servers, role, desk) as at:
        await WORK[role](at)
