"""The rights that a user of Redis needs, as ACL rules: no more, and a test shows that not one can be left out.

`ACL SETUSER engine on >secret` and the words of `rules`; or `user engine on >secret …` in redis.conf. AUTH and HELLO
need no right. Commands within scripts are checked like any other, hence the many small ones.
"""

from dataclasses import dataclass
from typing import Final

from alpha_panda.contracts.keys import KeyMap, risk_lease, tracker_lease

_CALLS: Final = frozenset({"evalsha", "evalsha_ro", "script|load", "client|setname", "time"})
_SCRIPTS: Final = _CALLS | {"info"}

_JOURNAL_WRITES: Final = frozenset({"hget", "hmget", "hset", "hsetnx", "incr", "zadd", "zrem"})
"""What any change of an entry takes; INFO (above) tells the run that an epoch belongs to."""

_JOURNAL_READS: Final = frozenset({"hget", "hmget", "zrange"})
_BEGIN: Final = frozenset({"exists", "hvals", "lindex", "llen", "lpop", "rpush"})
_LATCHES: Final = frozenset({"hexists", "hvals", "hset"})
_LEASE: Final = frozenset({"hmget", "hget", "hset"})


@dataclass(frozen=True, slots=True)
class Rights:
    """Commands, and patterns of the keys that may be read, and read and written."""

    commands: frozenset[str]
    reads: frozenset[str] = frozenset()
    writes: frozenset[str] = frozenset()

    def __or__(self, other: "Rights") -> "Rights":
        """Return the rights of one who is both."""
        return Rights(self.commands | other.commands, self.reads | other.reads, self.writes | other.writes)

    @property
    def rules(self) -> tuple[str, ...]:
        """The words that ACL SETUSER takes after the password."""
        writes = tuple(f"~{pattern}" for pattern in sorted(self.writes))
        reads = tuple(f"%R~{pattern}" for pattern in sorted(self.reads - self.writes))
        return ("resetkeys", "-@all", *writes, *reads, *(f"+{command}" for command in sorted(self.commands)))


def engine_rights(keys: KeyMap, account: str) -> Rights:
    """Return what an engine needs: BEGIN, the outcome, cancels. It can't decide, nor set or clear a latch."""
    return Rights(
        _SCRIPTS | _JOURNAL_WRITES | _JOURNAL_READS | _BEGIN,
        reads=frozenset({keys.decisions(account), *_control_keys(keys)}),
        writes=_journal_keys(keys, account),
    )


def tracker_rights(keys: KeyMap, account: str) -> Rights:
    """Return what an order-tracker needs: the journal under its lease, and the latches that corrections set."""
    return Rights(
        _SCRIPTS | _JOURNAL_WRITES | _JOURNAL_READS | _LATCHES | _LEASE,
        reads=frozenset({keys.decisions(account), *_control_keys(keys)}),
        writes=_journal_keys(keys, account) | {keys.lease(tracker_lease(account)), keys.control_latches("*")},
    )


def risk_rights(keys: KeyMap, account: str) -> Rights:
    """Return what risk needs: its decisions, snapshot and folds, the journal to read, latches to set."""
    return Rights(
        _SCRIPTS | _JOURNAL_READS | _LATCHES | _LEASE | {"hscan", "get", "set"},
        reads=_journal_keys(keys, account) | _control_keys(keys),
        writes=frozenset(
            {
                keys.risk_epoch(account),
                keys.decisions(account),
                keys.risk_snapshot(account),
                keys.order_folds(account),
                keys.lease(risk_lease(account)),
                keys.control_latches("*"),
            }
        ),
    )


def control_rights(keys: KeyMap) -> Rights:
    """Return what the operator, and a person who halts or resumes, need: specs and latches."""
    return Rights(
        _CALLS | _LATCHES | {"hmget", "del", "hdel"},
        writes=_control_keys(keys),
    )


def protocol_rights(keys: KeyMap, account: str) -> Rights:
    """Return what all of the above need together: for a process that runs them all."""
    return (
        engine_rights(keys, account)
        | tracker_rights(keys, account)
        | risk_rights(keys, account)
        | control_rights(keys)
    )


def _journal_keys(keys: KeyMap, account: str) -> frozenset[str]:
    return frozenset({keys.journal(account), f"{keys.journal(account)}:*"})


def _control_keys(keys: KeyMap) -> frozenset[str]:
    return frozenset({keys.control_spec("*"), keys.control_latches("*")})
