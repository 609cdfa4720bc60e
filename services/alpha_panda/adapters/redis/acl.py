"""The rights that the user of each role needs, as ACL rules: no more, and a test shows that not one can be left out.

`ACL SETUSER engine-paper on >secret` and the words of `rules`; or `user engine-paper on >secret …` in redis.conf;
docs/reference/redis-acl.md has the lines. AUTH and HELLO need no right. Commands within scripts are checked like any
other, hence the many small ones; so are the keys, and keys that a script gets as KEYS count as written.

Prices may be in another Redis than the journal, decisions, control, leases and checkpoints: a role has rights for
each, and on one Redis both. A database of its own (`redis://host/3`) takes `select` beside them.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import Final

from alpha_panda.contracts.keys import (
    KeyMap,
    broker_user_lease,
    feed_lease,
    risk_lease,
    strategy_lease,
    tracker_lease,
)
from alpha_panda.contracts.scopes import PLATFORM, account_scope, strategy_scope

_CONNECT: Final = frozenset({"client|setname"})
_SCRIPTS: Final = frozenset({"evalsha", "script|load"})
_READS: Final = frozenset({"evalsha_ro", "script|load"})
_CLOCK: Final = frozenset({"time"})

_STATUS: Final = _SCRIPTS | _CLOCK | {"set", "zadd", "zremrangebyscore"}
_RUN: Final = _CLOCK | {"info"}
"""Asked of the journal's Redis by every service: its time, and at the start whether it keeps what it answers."""

_LEASE: Final = _SCRIPTS | _RUN | {"hget", "hmget", "hset"}
_LATCHES: Final = frozenset({"hexists", "hvals", "hset"})
_CONTROL: Final = _READS | _CLOCK | {"hmget", "hvals"}
_CLEARING: Final = frozenset({"hdel", "hget", "hset", "hvals"})
_ASKING: Final = frozenset({"del", "hdel", "hkeys", "hset", "hsetnx", "hvals"})
"""What the operator takes to write trading states, and to ask risk to clear a latch or to tear a strategy down."""

_OWNING: Final = frozenset({"del", "get", "set"})
"""What it takes to claim a prefix for an installation, and to give it back."""

_QUOTES: Final = frozenset({"mget"})

_JOURNAL_WRITES: Final = _SCRIPTS | _RUN | {"hget", "hmget", "hset", "hsetnx", "incr", "zadd", "zrem"}
"""What any change of an entry takes; INFO tells the run that an epoch belongs to."""

_JOURNAL_READS: Final = _READS | _RUN | {"hget", "hmget"}
_JOURNAL_LISTS: Final = _JOURNAL_READS | {"zrange"}
_BEGIN: Final = frozenset({"exists", "hvals", "lindex", "llen", "lpop", "rpush"})
_DECIDING: Final = _SCRIPTS | _READS | _RUN | {"get", "hget", "hmget", "hscan", "hset", "set"}
_PACING: Final = _SCRIPTS | _CLOCK | {"hmget", "hset", "lindex", "llen", "lpop", "rpush"}
"""What it takes to count the calls that are made to a broker."""

_CHECKPOINTS: Final = _SCRIPTS | _RUN | {"hgetall", "hmget", "hset"}

SETTINGS: Final = "config|get"
"""Lets a service look whether the journal's Redis is set as it must be; without it the service says so and goes on.

Left out on purpose: it shows every setting, `requirepass` and `masterauth` too.
"""


_NOTHING: Final = ("resetkeys", "resetchannels", "-@all", "clearselectors")


@dataclass(frozen=True, slots=True)
class Rights:
    """Commands, and patterns of the keys that may be read, and read and written."""

    commands: frozenset[str] = frozenset()
    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()

    def __or__(self, other: "Rights") -> "Rights":
        """Return the rights of one who is both."""
        return Rights(self.commands | other.commands, self.reads | other.reads, self.writes | other.writes)

    @property
    def grants(self) -> tuple[str, ...]:
        """The words of ACL SETUSER that give these rights to a user who has none."""
        writes = tuple(f"~{pattern}" for pattern in sorted(self.writes))
        reads = tuple(f"%R~{pattern}" for pattern in sorted(self.reads - self.writes))
        return (*writes, *reads, *(f"+{command}" for command in sorted(self.commands)))

    @property
    def rules(self) -> tuple[str, ...]:
        """The words that ACL SETUSER takes after the password: whatever the user had before, now it is this."""
        return (*_NOTHING, *self.grants)


@dataclass(frozen=True, slots=True)
class RoleRights:
    """What a role needs of the Redis of the prices, and of the journal's."""

    prices: Rights
    journal: Rights

    @property
    def grants(self) -> tuple[str, ...]:
        """What gives both where the two are one.

        The prices' are a selector of their own, no union: who may HDEL what it watches must not HDEL a latch.
        """
        prices = self.prices.grants
        return (*self.journal.grants, f"({' '.join(prices)})") if prices else self.journal.grants

    @property
    def rules(self) -> tuple[str, ...]:
        """The words that ACL SETUSER takes after the password, where the two are one."""
        return (*_NOTHING, *self.grants)


# ----------------------------------------------------------------------------------------------- roles of services


def market_feed_rights(keys: KeyMap, feed: str) -> RoleRights:
    """Return what a market-feed needs: its lease, and to say what its symbols stand for. Prices are the cachers' to write."""
    return RoleRights(
        prices=_status(keys, "market-feed", feed) | _instruments(keys, feed, writes=True),
        journal=_service() | _lease(keys, feed_lease(feed)),
    )


def feed_cacher_rights(keys: KeyMap, feed: str) -> RoleRights:
    """Return what a feed-cacher needs: the prices of its feed, and nothing of the journal's Redis but to ask how it is."""
    return RoleRights(
        prices=_status(keys, "feed-cacher", feed)
        | Rights(
            _SCRIPTS | _CLOCK | {"expire", "get", "hvals", "mget", "mset", "set", "xadd"},
            reads=frozenset({keys.watched(feed)}),
            writes=_quote_keys(keys, feed) | _range_keys(keys, feed),
        ),
        journal=_service(),
    )


def strategy_rights(keys: KeyMap, strategy: str, accounts: Iterable[str], feed: str) -> RoleRights:
    """Return what a strategy's runner needs: its lease and checkpoints, and risk's book of its accounts to read.

    It runs its user's code: nothing that anybody trades by may be written by it.
    """
    names = tuple(accounts)
    books = frozenset(key for name in names for key in (keys.decisions(name), keys.order_folds(name)))
    return RoleRights(
        prices=_status(keys, "strategy", strategy) | _instruments(keys, feed),
        journal=_service()
        | _lease(keys, strategy_lease(strategy))
        | Rights(_CHECKPOINTS, writes=frozenset(keys.checkpoint(strategy, name) for name in names))
        | Rights(frozenset({"hget", "hscan"}), reads=books),
    )


def risk_rights(keys: KeyMap, account: str, feed: str) -> RoleRights:
    """Return what risk needs: its decisions, snapshot and folds, latches to set; journal and prices to read.

    It clears latches too, where a manifest names them: it alone can tell Kafka of it, which comes first.
    """
    scopes = (PLATFORM, account_scope(account), strategy_scope("*"))
    return RoleRights(
        prices=_status(keys, "risk", account)
        | _instruments(keys, feed)
        | Rights(_QUOTES, reads=_quote_keys(keys, feed)),
        journal=_service()
        | _lease(keys, risk_lease(account))
        | Rights(_DECIDING, writes=_decision_keys(keys, account))
        | Rights(_JOURNAL_LISTS, reads=_journal_keys(keys, account))
        | Rights(_CONTROL, reads=_control_keys(keys, account))
        | Rights(_LATCHES, writes=_latch_keys(keys, *scopes))
        | Rights(_CLEARING, reads=frozenset({keys.control_teardowns()}), writes=_clear_keys(keys, *scopes)),
    )


def engine_rights(keys: KeyMap, account: str, feed: str) -> RoleRights:
    """Return what an engine needs: BEGIN, the outcome, cancels, the count of calls. It can't decide, nor set or clear a latch."""
    return RoleRights(
        prices=_status(keys, "engine", account)
        | _instruments(keys, feed)
        | Rights(_QUOTES, reads=_quote_keys(keys, feed)),
        journal=_service()
        | Rights(
            _JOURNAL_WRITES | _JOURNAL_READS | _BEGIN,
            reads=_control_keys(keys, account) | {keys.decisions(account)},
            writes=_journal_keys(keys, account),
        )
        | _pacing(keys, account),
    )


def order_tracker_rights(keys: KeyMap, account: str, feed: str) -> RoleRights:
    """Return what an order-tracker needs: the journal under its lease, and the latches that it sets or puts back.

    It reads the book that risk has saved, to compare it with the broker's, and holds the lease of the broker's user.
    Of the prices, for paper orders that rest: which tokens it watches, quotes and ranges to read.
    """
    watching = Rights(
        _QUOTES | _READS | {"get", "hdel", "hset", "xrange", "xread"},
        reads=_quote_keys(keys, feed) | _range_keys(keys, feed),
        writes=frozenset({keys.watched(feed)}),
    )
    scopes = (PLATFORM, account_scope(account), strategy_scope("*"))
    return RoleRights(
        prices=_status(keys, "order-tracker", account) | _instruments(keys, feed) | watching,
        journal=_service()
        | _lease(keys, tracker_lease(account))
        | _lease(keys, broker_user_lease("*"))
        | Rights(_JOURNAL_WRITES | _JOURNAL_LISTS, writes=_journal_keys(keys, account))
        | Rights(frozenset({"get"}), reads=frozenset({keys.risk_snapshot(account)}))
        | Rights(_CONTROL, reads=_control_keys(keys, account) | {keys.control_teardowns()})
        | Rights(_LATCHES, writes=_latch_keys(keys, *scopes))
        | _pacing(keys, account),
    )


# ------------------------------------------------------------------------------------------------- roles of others


def operator_rights(keys: KeyMap) -> RoleRights:
    """Return what the operator, or `alpha-panda control`, needs: trading states to write, latches and statuses to read.

    It can't clear a latch: that takes a person, whose word in a manifest it hands on to risk.
    """
    return RoleRights(
        prices=_statuses(keys),
        journal=_service()
        | Rights(
            _SCRIPTS | _CLOCK | _ASKING,
            writes=_spec_keys(keys, *_every(keys))
            | _clear_keys(keys, *_every(keys))
            | {keys.control_teardowns()},
        )
        | Rights(_OWNING, writes=frozenset({keys.owner()}))
        | Rights(_CONTROL, reads=_latch_keys(keys, *_every(keys))),
    )


def person_rights(keys: KeyMap, accounts: Iterable[str]) -> RoleRights:
    """Return what a person needs to halt and resume, to list, show and resolve the accounts' orders, and to see how all stands.

    With no account it is the platform alone: for `halt --all` where no account's keys are within reach, as in the
    operator's pod. Dead letters are in Kafka alone.
    """
    names = tuple(accounts)
    halting = _halting(keys, *(_every(keys) if names else (PLATFORM,)))
    if not names:
        return RoleRights(prices=Rights(), journal=halting)
    journals = (_journal_keys(keys, name) for name in names)
    orders = Rights(
        _JOURNAL_WRITES | _JOURNAL_LISTS,
        reads=frozenset(keys.decisions(name) for name in names),
        writes=reduce(or_, journals, frozenset[str]()),
    )
    return RoleRights(prices=_statuses(keys), journal=halting | orders)


def _halting(keys: KeyMap, *scopes: str) -> Rights:
    return Rights(
        _CONNECT | _SCRIPTS | _CONTROL | _LATCHES | {"hdel", "hget"},
        reads=_spec_keys(keys, *scopes),
        writes=_latch_keys(keys, *scopes),
    )


def all_roles(keys: KeyMap, *, feed: str, account: str, strategy: str) -> dict[str, RoleRights]:
    """Return the rights of every role, for one feed, one account on it and one strategy on both."""
    return {
        "market-feed": market_feed_rights(keys, feed),
        "feed-cacher": feed_cacher_rights(keys, feed),
        "strategy": strategy_rights(keys, strategy, [account], feed),
        "risk": risk_rights(keys, account, feed),
        "engine": engine_rights(keys, account, feed),
        "order-tracker": order_tracker_rights(keys, account, feed),
        "operator": operator_rights(keys),
        "person": person_rights(keys, [account]),
    }


# ----------------------------------------------------------------------------------------------------------- parts


def _pacing(keys: KeyMap, account: str) -> Rights:
    return Rights(_PACING, writes=frozenset({keys.pace(account, "*")}))


def _status(keys: KeyMap, service: str, resource: str) -> Rights:
    """Return what every service needs of the prices' Redis: to ask its time, and to report of itself."""
    return Rights(
        _CONNECT | _STATUS, writes=frozenset({keys.status(service, resource, "*"), keys.status_index()})
    )


def _statuses(keys: KeyMap) -> Rights:
    """Return what it takes to read what all services report of themselves."""
    statuses = frozenset({keys.status("*", "*", "*"), keys.status_index()})
    return Rights(_CONNECT | _READS | _CLOCK | {"mget", "zrangebyscore"}, reads=statuses)


def _instruments(keys: KeyMap, feed: str, *, writes: bool = False) -> Rights:
    """Return what it takes to know what the feed's symbols stand for, where a broker says it; and to write it."""
    key = frozenset({keys.instruments(feed)})
    return (
        Rights(_SCRIPTS | {"hget", "hset"}, writes=key) if writes else Rights(frozenset({"hget"}), reads=key)
    )


def _service() -> Rights:
    return Rights(_CONNECT | _RUN)


def _lease(keys: KeyMap, name: str) -> Rights:
    return Rights(_LEASE, writes=frozenset({keys.lease(name)}))


def _quote_keys(keys: KeyMap, feed: str) -> frozenset[str]:
    return frozenset({f"{keys.price_prefix(feed)}*", keys.heartbeat(feed)})


def _range_keys(keys: KeyMap, feed: str) -> frozenset[str]:
    return frozenset({f"{keys.ranges_prefix(feed)}*", keys.ranges_cursor(feed)})


def _journal_keys(keys: KeyMap, account: str) -> frozenset[str]:
    return frozenset({keys.journal(account), f"{keys.journal(account)}:*"})


def _decision_keys(keys: KeyMap, account: str) -> frozenset[str]:
    return frozenset(
        {
            keys.risk_epoch(account),
            keys.decisions(account),
            keys.risk_snapshot(account),
            keys.order_folds(account),
        }
    )


def _control_keys(keys: KeyMap, account: str) -> frozenset[str]:
    """Return the keys that bind an account's orders. Of its strategies any: they come and go."""
    scopes = (PLATFORM, account_scope(account), strategy_scope("*"))
    return _spec_keys(keys, *scopes) | _latch_keys(keys, *scopes)


def _every(keys: KeyMap) -> tuple[str, ...]:
    """Return the scopes whose patterns match every scope's keys: the platform's may be below another name."""
    return ("*", PLATFORM) if keys.installation else ("*",)


def _spec_keys(keys: KeyMap, *scopes: str) -> frozenset[str]:
    return frozenset(keys.control_spec(scope) for scope in scopes)


def _latch_keys(keys: KeyMap, *scopes: str) -> frozenset[str]:
    return frozenset(keys.control_latches(scope) for scope in scopes)


def _clear_keys(keys: KeyMap, *scopes: str) -> frozenset[str]:
    return frozenset(keys.control_clears(scope) for scope in scopes)
