"""The protocol runs under a user with exactly the rights of `adapters.redis.acl`, and under none with one less."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Final

import pytest

from alpha_panda.adapters.redis.acl import (
    Rights,
    control_rights,
    engine_rights,
    protocol_rights,
    risk_rights,
    tracker_rights,
)
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, TradingState
from alpha_panda.contracts.keys import KeyMap, risk_lease, tracker_lease
from alpha_panda.contracts.stored import RiskSnapshot
from alpha_panda.errors import AlphaPandaError
from alpha_panda.testing.servers.redis import RedisServer
from contracts.control_contract import ControlStoreContract
from contracts.decisions_contract import FOLD, DecisionStoreContract
from contracts.desk import Desk
from contracts.harness import ACCOUNT, Stores
from contracts.journal_contract import OrderJournalContract
from contracts.redis_stores import PREFIX, redis_stores
from contracts.samples import FILLED, LOST, PLACED, SCOPE, entry, latch, signal

KEYS: Final = KeyMap(PREFIX)
ALL: Final = protocol_rights(KEYS, ACCOUNT)
USER, PASSWORD = "trader", "secret"
DENIED: Final = "NOPERM|no permissions|can't run this command|can't access at least one of the keys"
"""What Redis says of a right that is missing, of the whole request and within a script."""


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


def allow(server: RedisServer, rights: Rights) -> None:
    server.add_user(USER, f"on >{PASSWORD} {' '.join(rights.rules)}")


def logged_in(server: RedisServer) -> AbstractAsyncContextManager[Stores]:
    return redis_stores(server, username=USER, password=PASSWORD)


class _AsTheUser:
    @pytest.fixture
    async def stores(self, server: RedisServer) -> AsyncIterator[Stores]:
        other = Rights(frozenset(), writes=frozenset({KEYS.lease(tracker_lease("other"))}))
        allow(server, ALL | other)  # one test holds the lease of another account
        async with logged_in(server) as stores:
            yield stores


class TestJournal(_AsTheUser, OrderJournalContract):
    pass


class TestDecisions(_AsTheUser, DecisionStoreContract):
    pass


class TestControl(_AsTheUser, ControlStoreContract):
    pass


# ------------------------------------------------------------------------------------------ one right less


async def engine_work(desk: Desk) -> None:
    """All that an engine does; the desk's own rights have opened the account."""
    stores = desk.stores
    first = await desk.begin(signal("e1", token=1), orders_per_second=5)
    assert first.go
    await stores.harness.advance(2)
    second = await desk.begin(signal("e2", token=2), orders_per_second=5)
    assert second.go
    placed = await stores.journal.settle("e1", first.entry.attempt, PLACED, first.entry)
    assert await stores.journal.fill("e1", placed.revision, FILLED)
    await stores.journal.refuse(desk.request(signal("e3")), Code.PRICE_STALE, "old")
    assert await stores.journal.epoch() == desk.epoch
    assert len(await stores.journal.unacknowledged()) == 3
    assert await stores.journal.find_tag(first.entry.tag)
    (filled, *_) = await stores.journal.unacknowledged()
    await stores.journal.acknowledge(filled.signal_id, filled.revision)
    await stores.control.read([SCOPE])


async def tracker_work(desk: Desk) -> None:
    stores, journal = desk.stores, desk.stores.journal
    lease = await stores.lease.acquire(tracker_lease(ACCOUNT), "tracker", 60)
    assert lease is not None
    await stores.lease.renew(tracker_lease(ACCOUNT), "tracker", lease, 60)
    run_id = await journal.run_id()
    unsent = entry(signal("t1"), EntryState.SENDING, send_by=1)
    await journal.adopt(lease, run_id, [unsent])
    assert await journal.resolve(lease, "t1", LOST)
    assert await journal.correct(lease, "t1", FILLED, latch("late"))
    assert await journal.orphan(lease, entry(signal("external:b9"), EntryState.FILLED), latch("stray"))
    await journal.write_epoch(lease, run_id)
    assert len(await journal.unacknowledged()) == 2
    await stores.decisions.get("t1")
    await stores.control.read([SCOPE])
    await stores.lease.release(tracker_lease(ACCOUNT), "tracker", lease)


async def risk_work(desk: Desk) -> None:
    stores = desk.stores
    lease = await stores.lease.acquire(risk_lease(ACCOUNT), "risk", 60)
    assert lease is not None
    await stores.lease.renew(risk_lease(ACCOUNT), "risk", lease, 60)
    desk.risk = (await stores.decisions.claim("risk-0")).epoch
    await desk.decide(signal("r1"))
    await stores.decisions.save(desk.risk, RiskSnapshot(offsets={}, state=b"book"), {"r1": FOLD})
    assert await stores.decisions.folds()
    assert await stores.decisions.get("r1")
    assert not await stores.journal.known("r1")
    assert await stores.journal.in_doubt("momentum:1") == []
    await stores.journal.epoch()
    await stores.control.set_latch(latch("loss"))
    await stores.control.set_latch(latch("loss"))
    await stores.control.read([SCOPE])


async def control_work(desk: Desk) -> None:
    control = desk.stores.control
    await control.put_spec(SCOPE, TradingState.ACTIVE, 60)
    await control.set_latch(latch())
    await control.read([SCOPE])
    assert await control.clear_latch(SCOPE, latch().latch_id)
    await control.drop_spec(SCOPE)


WORK: Final = {
    "engine": (engine_rights(KEYS, ACCOUNT), engine_work),
    "order-tracker": (tracker_rights(KEYS, ACCOUNT), tracker_work),
    "risk": (risk_rights(KEYS, ACCOUNT), risk_work),
    "control": (control_rights(KEYS), control_work),
}


def lessened() -> list[tuple[str, str, Rights]]:
    """Each role's rights without one of them; a right to write is lessened to one to read."""
    found = []
    for role, (rights, _) in WORK.items():
        found += [
            (role, f"+{name}", replace(rights, commands=rights.commands - {name})) for name in rights.commands
        ]
        found += [
            (role, f"%R~{name}", replace(rights, reads=rights.reads - {name}))
            for name in rights.reads - rights.writes
        ]
        found += [
            (role, f"%W~{name}", replace(rights, writes=rights.writes - {name}, reads=rights.reads | {name}))
            for name in rights.writes
        ]
    return sorted(found, key=lambda item: item[:2])


async def _opened(server: RedisServer) -> Desk:
    """Open the account and decide what the engine sends, with all rights."""
    async with redis_stores(server) as stores:
        desk = await Desk.opened(stores)
        for number in (1, 2):
            await desk.decide(signal(f"e{number}", token=number))
        return desk


async def _work(server: RedisServer, role: str, rights: Rights) -> None:
    allow(server, rights)
    opened = await _opened(server)
    async with redis_stores(server, clear=False, username=USER, password=PASSWORD) as stores:
        await WORK[role][1](replace(opened, stores=stores))


@pytest.mark.parametrize("role", list(WORK))
async def test_each_role_works_with_its_rights(server: RedisServer, role: str) -> None:
    await _work(server, role, WORK[role][0])


@pytest.mark.parametrize(
    ("role", "less", "rights"), lessened(), ids=lambda item: item if isinstance(item, str) else ""
)
async def test_no_right_is_one_too_many(server: RedisServer, role: str, less: str, rights: Rights) -> None:
    with pytest.raises(AlphaPandaError, match=DENIED):
        await _work(server, role, rights)


@pytest.mark.parametrize("role", ["engine", "order-tracker"])
async def test_only_risk_can_decide(server: RedisServer, role: str) -> None:
    allow(server, WORK[role][0])
    opened = await _opened(server)
    async with redis_stores(server, clear=False, username=USER, password=PASSWORD) as stores:
        with pytest.raises(AlphaPandaError, match=DENIED):
            await replace(opened, stores=stores).decide(signal("new"))


async def test_only_control_can_clear_a_latch(server: RedisServer) -> None:
    for role in ("engine", "order-tracker", "risk"):
        allow(server, WORK[role][0])
        async with redis_stores(server, username=USER, password=PASSWORD) as stores:
            with pytest.raises(AlphaPandaError, match=DENIED):
                await stores.control.clear_latch(SCOPE, "late")
