"""Whether a Redis keeps what it has answered: what a journal's Redis must be, found by asking it.

At most one broker call a signal rests on this: a `SENDING` that was answered and then forgotten would be sent again.
The rules need no trust in it (the journal's epoch notices each restart), but each loss costs a halt until a person
has looked, so one that loses by configuration is refused or warned of at the start. Who calls decides which.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from alpha_panda.adapters.redis.database import RedisDatabase
from alpha_panda.errors import DependencyUnavailableError

OLDEST: Final = (7, 0)
"""Before 7.0 a script could not say that it only reads (`#!lua flags=no-writes`, EVALSHA_RO)."""

APPENDONLY: Final = "appendonly"
APPENDFSYNC: Final = "appendfsync"
MAXMEMORY_POLICY: Final = "maxmemory-policy"
NO_APPENDFSYNC_ON_REWRITE: Final = "no-appendfsync-on-rewrite"

WANTED: Final = {
    APPENDONLY: "yes",
    APPENDFSYNC: "always",
    NO_APPENDFSYNC_ON_REWRITE: "no",
    MAXMEMORY_POLICY: "noeviction",
}
"""Settings of redis.conf that a journal needs."""

_WHY: Final = {
    APPENDONLY: "what was written since the last snapshot is lost when it ends",
    APPENDFSYNC: "what it answered may not be on disk yet: up to a second of orders is forgotten in a crash",
    NO_APPENDFSYNC_ON_REWRITE: "while it rewrites its file, what it answers is not on disk",
    MAXMEMORY_POLICY: "when memory is short it throws away orders",
}


@dataclass(frozen=True, slots=True)
class DurabilityProblem:
    """One thing that is wrong, in plain words, and what to do about it.

    `unchecked`: nothing is known to be wrong; it could not be looked at.
    """

    problem: str
    remedy: str
    unchecked: bool = False

    def __str__(self) -> str:
        return f"{self.problem}; {self.remedy}"


async def durability_problems(database: RedisDatabase) -> list[DurabilityProblem]:
    """Return what keeps this Redis from being a journal's; [] when all is as it must be.

    Raises:
        DependencyUnavailableError: it does not answer, or `INFO` is not allowed (the scripts need it too).

    """
    info = parse_info((await database.command("INFO", "everything")).decode())
    return problems_of(info, await _settings(database))


async def _settings(database: RedisDatabase) -> Mapping[str, str] | None:
    """Return the settings that matter; None where CONFIG is not allowed or not known (managed services)."""
    try:
        flat = await database.command("CONFIG", "GET", *WANTED)
    except DependencyUnavailableError:
        return None
    texts = [text.decode() for text in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True)) or None


def parse_info(text: str) -> dict[str, str]:
    """Return the fields of an `INFO` reply."""
    pairs = (line.partition(":") for line in text.splitlines() if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def problems_of(info: Mapping[str, str], settings: Mapping[str, str] | None) -> list[DurabilityProblem]:
    """Return the problems that `INFO` and, where they could be read, the settings show. Pure."""
    found = [*_server(info), *_persistence(info)]
    if settings is None:
        return [*found, *_without_settings(info)]
    return found + [
        DurabilityProblem(f"{name} is {settings.get(name, 'unknown')}: {_WHY[name]}", f"set {name} {value}")
        for name, value in WANTED.items()
        if settings.get(name) != value
    ]


def _server(info: Mapping[str, str]) -> list[DurabilityProblem]:
    problems = []
    version = info.get("redis_version", "0")
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < OLDEST:
        problems.append(DurabilityProblem(f"it is version {version}", "use 7.0 or newer"))
    if info.get("cluster_enabled", "0") != "0":
        problems.append(
            DurabilityProblem(
                "it is a Redis Cluster: a script's keys would lie on several servers", "use a single Redis"
            )
        )
    if info.get("role", "master") != "master":
        problems.append(
            DurabilityProblem(
                f"it is a replica of {info.get('master_host', 'another')}: it refuses writes, and would take them "
                "back when it follows its primary",
                "name the primary's address",
            )
        )
    return problems


def _persistence(info: Mapping[str, str]) -> list[DurabilityProblem]:
    """Return what is wrong with the writing of the file right now."""
    problems = []
    if info.get("aof_last_write_status", "ok") != "ok":
        problems.append(
            DurabilityProblem(
                "its last write to the append-only file failed: it refuses writes until one succeeds",
                "look at its log; is the disk full?",
            )
        )
    if info.get("aof_last_bgrewrite_status", "ok") != "ok":
        problems.append(
            DurabilityProblem(
                "its last rewrite of the append-only file failed: the file grows until the disk is full",
                "look at its log; a rewrite needs free disk and memory",
            )
        )
    return problems


def _without_settings(info: Mapping[str, str]) -> list[DurabilityProblem]:
    """Return what `INFO` tells of the settings, and what it can't tell."""
    told = {
        APPENDONLY: {"1": "yes", "0": "no"}.get(info.get("aof_enabled", ""), ""),
        MAXMEMORY_POLICY: info.get("maxmemory_policy", ""),
    }
    problems = [
        DurabilityProblem(f"{name} is {value}: {_WHY[name]}", f"set {name} {WANTED[name]}")
        for name, value in told.items()
        if value and value != WANTED[name]
    ]
    hidden = [name for name in WANTED if not told.get(name)]
    remedy = "allow the user +config|get, or see to it that the server has " + " and ".join(
        f"{name} {WANTED[name]}" for name in hidden
    )
    return [
        *problems,
        DurabilityProblem(f"could not be checked: {', '.join(hidden)}", remedy, unchecked=True),
    ]
