"""Rights as the words that ACL SETUSER takes, and who may write what."""

from fnmatch import fnmatchcase

import pytest

from alpha_panda.adapters.redis.acl import (
    SETTINGS,
    Rights,
    RoleRights,
    all_roles,
    engine_rights,
    person_rights,
    strategy_rights,
)
from alpha_panda.contracts.keys import KeyMap, tracker_lease
from alpha_panda.contracts.scopes import PLATFORM

KEYS = KeyMap("trading.")
ROLES = all_roles(KEYS, feed="demo", account="paper", strategy="momentum")
NOTHING = ("resetkeys", "resetchannels", "-@all", "clearselectors")

OWNERS = {
    KEYS.price("demo", 1): {"feed-cacher"},
    KEYS.heartbeat("demo"): {"feed-cacher"},
    KEYS.ranges("demo", 1): {"feed-cacher"},
    KEYS.ranges_cursor("demo"): {"feed-cacher"},
    KEYS.instruments("demo"): {"market-feed"},
    KEYS.watched("demo"): {"order-tracker"},
    KEYS.journal("paper"): {"engine", "order-tracker", "person"},
    KEYS.journal_epoch("paper"): {"engine", "order-tracker", "person"},
    KEYS.decisions("paper"): {"risk"},
    KEYS.risk_epoch("paper"): {"risk"},
    KEYS.risk_snapshot("paper"): {"risk"},
    KEYS.order_folds("paper"): {"risk"},
    KEYS.checkpoint("momentum", "paper"): {"strategy"},
    KEYS.lease(tracker_lease("paper")): {"order-tracker"},
    KEYS.control_spec("platform"): {"operator"},
    KEYS.control_spec("account/paper"): {"operator"},
    KEYS.control_clears("platform"): {"risk", "operator"},
    KEYS.control_clears("account/paper"): {"risk", "operator"},
    KEYS.control_teardowns(): {"operator"},
    KEYS.owner(): {"operator"},
    KEYS.control_latches("platform"): {"risk", "order-tracker", "person"},
    KEYS.control_latches("account/paper"): {"risk", "order-tracker", "person"},
    KEYS.control_latches("strategy/momentum"): {"risk", "order-tracker", "person"},
    KEYS.control_latches("account/other"): {"person"},
    KEYS.status("engine", "paper", "0"): {"engine"},
}


def writers(key: str) -> set[str]:
    return {
        role
        for role, rights in ROLES.items()
        for pattern in rights.prices.writes | rights.journal.writes
        if fnmatchcase(key, pattern)
    }


def test_rules_begin_with_nothing_and_add() -> None:
    rights = Rights(frozenset({"get", "evalsha"}), reads=frozenset({"a", "b"}), writes=frozenset({"b"}))
    assert rights.rules == (*NOTHING, "~b", "%R~a", "+evalsha", "+get")


def test_union_holds_both() -> None:
    both = Rights(frozenset({"get"}), reads=frozenset({"a"})) | Rights(
        frozenset({"set"}), writes=frozenset({"b"})
    )
    assert both == Rights(frozenset({"get", "set"}), frozenset({"a"}), frozenset({"b"}))


def test_on_one_redis_the_commands_for_prices_go_for_their_keys_alone() -> None:
    prices, journal = Rights(frozenset({"hdel"}), writes=frozenset({"a"})), Rights(frozenset({"get"}))
    assert RoleRights(prices, journal).rules == (*NOTHING, "+get", "(~a +hdel)")
    assert RoleRights(Rights(), journal).rules == journal.rules


@pytest.mark.parametrize("role", list(ROLES))
def test_every_pattern_is_below_the_prefix(role: str) -> None:
    for rights in (ROLES[role].prices, ROLES[role].journal):
        assert all(pattern.startswith("trading.") for pattern in rights.reads | rights.writes)


@pytest.mark.parametrize("role", list(ROLES))
def test_no_role_may_do_anything_dangerous(role: str) -> None:
    everything = {
        "eval",
        "keys",
        "scan",
        "flushall",
        "flushdb",
        "acl",
        "debug",
        "shutdown",
        "script",
        "config",
    }
    commands = ROLES[role].prices.commands | ROLES[role].journal.commands
    assert not commands & {*everything, SETTINGS}
    assert not any(command.startswith("@") or command == "*" for command in commands)


@pytest.mark.parametrize(("key", "owners"), OWNERS.items())
def test_who_may_write_what(key: str, owners: set[str]) -> None:
    assert writers(key) == owners


def test_only_risk_and_a_person_may_delete_from_a_latch_hash() -> None:
    deleting = {role for role, rights in ROLES.items() if "hdel" in rights.journal.commands}
    latch = KEYS.control_latches("account/paper")
    assert deleting & writers(latch) == {"risk", "person"}


def test_with_an_installation_the_platforms_keys_are_within_reach_too() -> None:
    keys = KeyMap("trading.", "production")
    roles = all_roles(keys, feed="demo", account="paper", strategy="momentum")
    spec, latch = keys.control_spec("platform"), keys.control_latches("platform")
    assert (spec, latch) == ("production:control:platform:spec", "production:control:platform:latch")
    for role in ("risk", "engine", "order-tracker"):
        assert {spec, latch} <= roles[role].journal.reads | roles[role].journal.writes
    assert spec in roles["operator"].journal.writes
    assert latch in roles["person"].journal.writes
    assert not any(pattern.startswith("production:") for pattern in ROLES["operator"].journal.writes)


def test_others_of_the_same_kind_are_out_of_reach() -> None:
    other = strategy_rights(KEYS, "other", ["paper"], "demo")
    assert not other.journal.writes & ROLES["strategy"].journal.writes
    another = engine_rights(KEYS, "live", "demo")
    shared = another.journal.writes & ROLES["engine"].journal.writes
    assert shared == frozenset()


def test_a_strategy_reads_the_books_of_its_accounts_alone() -> None:
    rights = strategy_rights(KEYS, "momentum", ["paper", "live"], "demo").journal
    assert rights.reads == {
        key for name in ("paper", "live") for key in (KEYS.decisions(name), KEYS.order_folds(name))
    }
    assert {KEYS.checkpoint("momentum", name) for name in ("paper", "live")} < rights.writes


def test_a_person_has_the_journals_of_the_accounts_named() -> None:
    assert KEYS.journal("live") in person_rights(KEYS, ["paper", "live"]).journal.writes
    assert person_rights(KEYS, []).journal.writes == {KEYS.control_latches(PLATFORM)}
