"""Each role works under a user with exactly the rights of `adapters.redis.acl`, and under none with one less."""

import re
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import replace
from functools import reduce
from operator import or_
from typing import Any

import pytest

from alpha_panda.adapters.redis.acl import (
    SETTINGS,
    Rights,
    RoleRights,
    all_roles,
    person_rights,
    strategy_rights,
)
from alpha_panda.adapters.redis.durability import APPENDFSYNC, durability_problems
from alpha_panda.compose.acl_docs import render_acl, user_of
from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.keys import KeyMap, strategy_lease, tracker_lease
from alpha_panda.errors import AlphaPandaError
from alpha_panda.testing.servers.redis import RedisServer
from contracts.checkpoints_contract import CheckpointStoreContract
from contracts.control_contract import ControlStoreContract
from contracts.decisions_contract import DecisionStoreContract
from contracts.harness import ACCOUNT, Stores
from contracts.journal_contract import OrderJournalContract
from contracts.prices_contract import PriceCacheContract, price_range
from contracts.redis_stores import PREFIX, redis_stores
from contracts.samples import SCOPE, latch, signal
from integration.real.redis_roles import (
    CHECKPOINT,
    FEED,
    KEYS,
    PASSWORD,
    PLATFORM_KEYS,
    QUOTE,
    ROLES,
    SCOPES,
    STRATEGY,
    TOKEN,
    TTL,
    WORK,
    Place,
    Servers,
    databases,
    opened,
    place,
    platform_person_work,
    work,
)

DENIED = "NOPERM|no permissions|can't run this command|can't access at least one of the keys"
"""What Redis says of a right that is missing, of the whole request and within a script."""


@pytest.fixture(scope="module")
def apart() -> Iterator[Servers]:
    """Two that don't wait for their disks: nothing here asks what they keep."""
    with RedisServer(appendfsync="no") as prices, RedisServer(appendfsync="no") as journal:
        yield Servers(prices, journal)


@pytest.fixture(scope="module")
def together(apart: Servers) -> Servers:
    return Servers(apart.journal, apart.journal)


# ----------------------------------------------------------------------------- the ports' promises, as those users


class _AsTheUsers:
    """Under what all roles have together: a suite does what several roles do, and once as those of another feed."""

    @pytest.fixture
    async def stores(self, together: Servers) -> AsyncIterator[Stores]:
        others = all_roles(KeyMap(PREFIX), feed="other", account=ACCOUNT, strategy=STRATEGY)
        checkpoints = {KEYS.checkpoint(STRATEGY, "live"), KEYS.checkpoint("rsi", ACCOUNT)}
        named = frozenset(
            {KEYS.lease(tracker_lease("other")), KEYS.control_spec(SCOPE), KEYS.control_latches(SCOPE)}
            | checkpoints
        )
        parts = [part for role in (*ROLES.values(), *others.values()) for part in (role.prices, role.journal)]
        together.journal.add_user(
            "all", f"on >{PASSWORD} {' '.join(reduce(or_, parts, Rights(writes=named)).rules)}"
        )
        async with redis_stores(together.journal, username="all", password=PASSWORD) as stores:
            yield stores


class TestJournal(_AsTheUsers, OrderJournalContract):
    pass


class TestDecisions(_AsTheUsers, DecisionStoreContract):
    pass


class TestControl(_AsTheUsers, ControlStoreContract):
    pass


class TestCheckpoints(_AsTheUsers, CheckpointStoreContract):
    pass


class TestPrices(_AsTheUsers, PriceCacheContract):
    pass


# ------------------------------------------------------------------------------------------ exactly, and one less


@pytest.mark.parametrize("role", list(WORK))
async def test_each_role_works_with_its_rights(apart: Servers, role: str) -> None:
    await work(apart, role, ROLES[role])


@pytest.mark.parametrize("role", list(WORK))
async def test_each_role_works_where_prices_and_journal_are_one(together: Servers, role: str) -> None:
    await work(together, role, ROLES[role])


def lessened() -> list[tuple[str, str, RoleRights]]:
    """Each role's rights without one of them; a right to write is lessened to one to read."""
    found = []
    for role, rights in ROLES.items():
        found += [
            (role, f"prices {name}", replace(rights, prices=part)) for name, part in _less(rights.prices)
        ]
        found += [
            (role, f"journal {name}", replace(rights, journal=part)) for name, part in _less(rights.journal)
        ]
    return sorted(found, key=lambda item: item[:2])


def _less(rights: Rights) -> list[tuple[str, Rights]]:
    commands, reads, writes = rights.commands, rights.reads, rights.writes
    return [
        *((f"+{name}", replace(rights, commands=commands - {name})) for name in commands),
        *((f"%R~{name}", replace(rights, reads=reads - {name})) for name in reads - writes),
        *((f"%W~{name}", replace(rights, writes=writes - {name}, reads=reads | {name})) for name in writes),
    ]


@pytest.mark.parametrize(
    ("role", "less", "rights"), lessened(), ids=lambda item: item if isinstance(item, str) else ""
)
async def test_no_right_is_one_too_many(apart: Servers, role: str, less: str, rights: RoleRights) -> None:
    with pytest.raises(AlphaPandaError, match=DENIED):
        await work(apart, role, rights)


PLATFORM_PERSON = person_rights(PLATFORM_KEYS, ())


async def test_who_halts_the_platform_alone_works_with_these_rights(
    apart: Servers, together: Servers
) -> None:
    for servers in (apart, together):
        servers.forget_scripts()
        await platform_person_work(servers, PLATFORM_PERSON)
    written = {key for key in PLATFORM_PERSON.journal.writes | PLATFORM_PERSON.journal.reads if "*" in key}
    assert written == set()  # no account's, no strategy's, no other installation's


@pytest.mark.parametrize(
    "journal", [pytest.param(part, id=name) for name, part in sorted(_less(PLATFORM_PERSON.journal), key=str)]
)
async def test_nor_is_one_of_these_too_many(apart: Servers, journal: Rights) -> None:
    apart.forget_scripts()
    with pytest.raises(AlphaPandaError, match=DENIED):
        await platform_person_work(apart, replace(PLATFORM_PERSON, journal=journal))


async def test_the_right_to_see_settings_lets_a_service_check_all_of_them(
    own_redis_server: RedisServer,
) -> None:
    servers = Servers(own_redis_server, own_redis_server)
    seeing = Rights(frozenset({"client|setname", "info", SETTINGS}))
    servers.allow("seeing", RoleRights(Rights(), seeing))
    async with databases(servers, "seeing") as (_, journal):
        assert await durability_problems(journal) == []
        with own_redis_server.client() as client:
            client.config_set(APPENDFSYNC, "everysec")
        (found,) = await durability_problems(journal)
        assert found.problem.startswith(APPENDFSYNC)


# ------------------------------------------------------------------------------------------------ what is refused

Deed = Callable[[Place], Coroutine[Any, Any, None]]


async def _acknowledge(at: Place) -> None:
    await at.stores.journal.acknowledge("p1", 1)


async def _begin(at: Place) -> None:
    await at.desk.begin(signal("e1", token=1), scopes=SCOPES)


async def _decide(at: Place) -> None:
    await at.desk.decide(signal("new"))


async def _claim_decisions(at: Place) -> None:
    await at.stores.decisions.claim("me")


async def _activate(at: Place) -> None:
    await at.stores.control.put_spec(SCOPES[0], TradingState.ACTIVE, TTL)


async def _forget_state(at: Place) -> None:
    await at.stores.control.drop_spec(SCOPES[0])


async def _read_states(at: Place) -> None:
    await at.stores.control.read(SCOPES)


async def _latch(at: Place) -> None:
    await at.stores.control.set_latch(latch("mine", SCOPES[1]))


async def _latch_another_account(at: Place) -> None:
    await at.stores.control.set_latch(latch("mine", "account/other"))


async def _clear_latch(at: Place) -> None:
    await at.stores.control.clear_latch(SCOPES[1], "late")


async def _write_price(at: Place) -> None:
    await at.stores.prices.write(FEED, 9, {TOKEN: QUOTE}, {}, 4)


async def _publish_range(at: Place) -> None:
    await at.stores.prices.publish_ranges(FEED, [price_range(1)])


async def _write_other_price(at: Place) -> None:
    await at.stores.prices.write("other", 9, {TOKEN: QUOTE}, {}, 4)


async def _read_price(at: Place) -> None:
    await at.stores.prices.read(FEED, TOKEN)


async def _claim_other_strategy(at: Place) -> None:
    await at.stores.checkpoints.claim("other", ACCOUNT)


async def _save_other_strategy(at: Place) -> None:
    await at.stores.checkpoints.save("other", ACCOUNT, "mine", CHECKPOINT, {})


async def _claim_on_another_account(at: Place) -> None:
    await at.stores.checkpoints.claim(STRATEGY, "other")


async def _take_trackers_lease(at: Place) -> None:
    await at.stores.lease.acquire(tracker_lease(ACCOUNT), "me", TTL)


async def _take_other_strategys_lease(at: Place) -> None:
    await at.stores.lease.acquire(strategy_lease("other"), "me", TTL)


async def _statuses(at: Place) -> None:
    await at.stores.statuses.all()


async def _flush(at: Place) -> None:
    await at.journal.command("FLUSHALL", writes=True)


async def _raw_journal(at: Place) -> None:
    await at.journal.command("HSET", KEYS.journal(ACCOUNT), "p1", "mine", writes=True)


async def _raw_latch(at: Place) -> None:
    await at.journal.command("HDEL", KEYS.control_latches(SCOPES[1]), "late", writes=True)


async def _raw_price(at: Place) -> None:
    await at.prices.command("SET", KEYS.price(FEED, TOKEN), "1", writes=True)


_TRADING = (_begin, _acknowledge, _raw_journal)
_STATES = (_activate, _forget_state, _clear_latch, _raw_latch)
_PRICES = (_write_price, _publish_range, _raw_price)

REFUSED: dict[str, tuple[Deed, ...]] = {
    "strategy": (
        *_TRADING,
        *_STATES,
        *_PRICES,
        _decide,
        _claim_decisions,
        _latch,
        _read_states,
        _read_price,
        _claim_other_strategy,
        _save_other_strategy,
        _claim_on_another_account,
        _take_trackers_lease,
        _take_other_strategys_lease,
        _statuses,
    ),
    "market-feed": (*_TRADING, *_STATES, *_PRICES, _decide, _latch, _take_trackers_lease),
    "feed-cacher": (*_TRADING, *_STATES, _decide, _latch, _take_trackers_lease, _write_other_price),
    "risk": (*_TRADING, _activate, _forget_state, *_PRICES, _latch_another_account, _take_trackers_lease),
    "engine": (*_STATES, *_PRICES, _decide, _claim_decisions, _latch, _take_trackers_lease),
    "order-tracker": (*_STATES, *_PRICES, _decide, _claim_decisions, _latch_another_account),
    "operator": (*_TRADING, *_PRICES, _decide, _latch, _clear_latch, _raw_latch, _take_trackers_lease),
    "person": (*_PRICES, _decide, _claim_decisions, _activate, _forget_state, _take_trackers_lease),
}


@pytest.mark.parametrize("role", list(REFUSED))
@pytest.mark.parametrize("where", ["apart", "together"])
async def test_what_is_another_roles_is_refused(
    request: pytest.FixtureRequest, where: str, role: str
) -> None:
    servers: Servers = request.getfixturevalue(where)
    desk = await opened(servers)
    servers.allow(role, ROLES[role])
    async with place(servers, role, desk) as at:
        allowed = [deed.__name__ for deed in (*REFUSED[role], _flush) if not await _is_refused(at, deed)]
    assert allowed == []


async def _is_refused(at: Place, deed: Deed) -> bool:
    try:
        await deed(at)
    except AlphaPandaError as error:
        return re.search(DENIED, str(error)) is not None
    return False


async def test_another_strategy_works_beside_and_neither_reaches_the_other(together: Servers) -> None:
    desk = await opened(together)
    together.allow("one", ROLES["strategy"])
    together.allow("two", strategy_rights(KEYS, "other", [ACCOUNT], FEED))
    async with place(together, "one", desk) as one, place(together, "two", desk) as two:
        await _claim_other_strategy(two)
        await one.stores.checkpoints.claim(STRATEGY, ACCOUNT)
        with pytest.raises(AlphaPandaError, match=DENIED):
            await two.stores.checkpoints.claim(STRATEGY, ACCOUNT)


# ------------------------------------------------------------------------------------------------------- the page


def _blocks() -> list[list[str]]:
    """Return the lines of the page's blocks: one Redis, prices, journal, with a prefix."""
    parts = render_acl().split("```")[1::2]
    return [part.splitlines()[1:] for part in parts]


async def test_the_pages_lines_make_users_that_work(own_redis_server: RedisServer) -> None:
    """As pasted: no more than the line is needed, and what the user had before is gone."""
    (one, *_) = _blocks()
    role = "engine"
    (line,) = [text for text in one if text.split()[2] == user_of(role)]
    words = line.replace("PASSWORD", PASSWORD).split()
    with own_redis_server.client(decode_responses=True) as client:
        client.execute_command("ACL", "SETUSER", user_of(role), "on", "nopass", "~*", "+@all")
        assert client.execute_command(*words) in {True, "OK"}
        made = client.acl_getuser(user_of(role))
    assert "+@all" not in made["commands"]
    assert "nopass" not in made["flags"]
    servers = Servers(own_redis_server, own_redis_server)
    async with databases(servers, user_of(role), keys=KeyMap()) as (prices, journal):
        await journal.time()
        assert await prices.command("MGET", KeyMap().price(FEED, TOKEN)) == [None]
        with pytest.raises(AlphaPandaError, match=DENIED):
            await journal.command("GET", "anything")


def test_redis_takes_every_line_of_the_page(own_redis_server: RedisServer) -> None:
    lines = [line for block in _blocks() for line in block]
    assert len(lines) == 8 + 8 + 8 + 1 + 1 + 2
    with own_redis_server.client(decode_responses=True) as client:
        for line in lines:
            assert client.execute_command(*line.split()) in {True, "OK"}
