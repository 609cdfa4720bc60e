"""The memory stores and the Lua scripts on a real Redis, driven side by side: every reply must be the same.

Both see one virtual time and the same arguments. What a store makes up itself (epochs, revisions) need not be equal,
but must correspond: the same one here always means the same one there. A restart of Redis is played by another run
id and by putting its keys back; real restarts are in the contract suites. A store that fails (a script with an error
in it, say) is no difference: its error goes through.
"""

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from typing import Any, ClassVar, Final, NamedTuple

import msgspec
import redis  # noqa: TC002 - as the other imports

from alpha_panda.adapters.ids import RandomIds
from alpha_panda.adapters.memory.database import EMPTY_IMAGE, Image, MemoryDatabase
from alpha_panda.adapters.redis.checkpoints import RedisCheckpointStore
from alpha_panda.adapters.redis.control import RedisControlStore
from alpha_panda.adapters.redis.database import Argument, RedisDatabase, Reply
from alpha_panda.adapters.redis.decisions import RedisDecisionStore
from alpha_panda.adapters.redis.journal import RedisOrderJournal
from alpha_panda.adapters.redis.leases import RedisLease
from alpha_panda.adapters.redis.pool import RedisPool
from alpha_panda.adapters.redis.prices import RedisPriceCache
from alpha_panda.adapters.redis.scripts import Script
from alpha_panda.contracts.stored import BeginVerdict, CheckpointClaim, JournalEntry, PriceRange, RiskClaim
from alpha_panda.errors import FencedError, MisuseError
from alpha_panda.ports import BeginRequest
from alpha_panda.testing.servers.redis import RedisServer
from contracts.harness import ACCOUNT, Lose
from contracts.lua_guards import Patch
from contracts.memory_stores import CountedIds, ManualClock

RUN_KEY: Final = "side-by-side:run"
TIME: Final = "return tonumber(time[1]) * 1000000 + tonumber(time[2]) + tonumber(ARGV[1])"
RUN: Final = "return string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')"
TIMEOUT: Final = 10.0
RESTART_SECONDS: Final = 1.0
"""A restart takes time: that no revision comes again rests on it."""

REFUSALS: Final = (FencedError, MisuseError)
"""What a store may answer; any other error is a store that has failed, and no answer to compare."""


class Difference(AssertionError):  # noqa: N818 - what it is
    """The two stores answered differently."""


class Pair(NamedTuple):
    """What means the same: in memory, and in Redis."""

    memory: Any
    redis: Any


class MemoryPorts:
    """The memory stores; a test may put others in their places."""

    def __init__(self, clock: ManualClock, kinds: dict[str, Any]) -> None:
        self.database = MemoryDatabase(clock, CountedIds())
        self.journal = kinds["journal"](self.database, ACCOUNT)
        self.decisions = kinds["decisions"](self.database, ACCOUNT)
        self.control = kinds["control"](self.database)
        self.lease = kinds["leases"](self.database)
        self.checkpoints = kinds["checkpoints"](self.database)
        self.prices = kinds["prices"](self.database)


class RedisPorts:
    """The Redis stores over scripts that a test may change."""

    def __init__(self, database: RedisDatabase) -> None:
        self.journal = RedisOrderJournal(database, ACCOUNT)
        self.decisions = RedisDecisionStore(database, ACCOUNT)
        self.control = RedisControlStore(database)
        self.lease = RedisLease(database)
        self.checkpoints = RedisCheckpointStore(database)
        self.prices = RedisPriceCache(database)


class PatchedDatabase(RedisDatabase):
    """Runs scripts that take time and run id from the test, and that `patch` has changed."""

    patch: Patch = staticmethod(str)
    clock = ManualClock()

    async def run(
        self,
        script: Script,
        keys: Sequence[str],
        args: Sequence[Argument] = (),
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - as the base
    ) -> Reply:
        return await super().run(_patched(script, type(self).patch), keys, args, timeout=timeout)


@cache
def _patched(script: Script, patch: Patch) -> Script:
    text = script.text.replace(TIME, "return tonumber(ARGV[1])")
    text = text.replace(RUN, f"return redis.call('GET', '{RUN_KEY}')")
    return Script(script.name, patch(text), script.writes)


def patched_database(server: RedisServer) -> PatchedDatabase:
    """Return a database for one event loop; `Sides` gives it its clock."""
    pool = RedisPool(server.url, timeout=TIMEOUT, max_connections=4)
    database = PatchedDatabase(pool, RandomIds(), timeout=TIMEOUT, time_offset=lambda: database.clock.time)
    return database


class World:
    """What all examples share: a server and a loop."""

    runner: ClassVar[asyncio.Runner]
    database: ClassVar[PatchedDatabase]
    client: ClassVar["redis.Redis"]


@contextmanager
def opened_world() -> Iterator[None]:
    """Start the server and the loop that all examples share; afterwards the world is as before."""
    before = {name: vars(World)[name] for name in World.__annotations__ if name in vars(World)}
    with RedisServer(appendfsync="no") as server, asyncio.Runner() as runner, server.client() as client:
        World.runner, World.client, World.database = runner, client, patched_database(server)
        try:
            yield
        finally:
            runner.run(World.database.close())
            for name, value in before.items():
                setattr(World, name, value)


class Sides:
    """Both stores, and what corresponds in them. Use it within one event loop."""

    def __init__(
        self,
        database: PatchedDatabase,
        client: "redis.Redis",
        runner: asyncio.Runner,
        kinds: dict[str, Any],
    ) -> None:
        self.clock = ManualClock()
        self._runner = runner
        self._client = client
        self._client.flushall()
        database.clock = self.clock
        self.memory = MemoryPorts(self.clock, kinds)
        self.redis = RedisPorts(database)
        self._there: dict[tuple[str, Any], Any] = {}
        self._here: dict[tuple[str, Any], Any] = {}
        self._image: tuple[Image, dict[bytes, bytes]] = (EMPTY_IMAGE, {})
        self.run = Pair("", "")
        self._begin_run()

    # ---------------------------------------------------------------------------------------------- calls

    def call(self, port: str, method: str, *args: Any, made: str = "") -> Pair | None:
        """Call both; `made`: the reply is a value that the store has made up, of this kind.

        Returns both replies, None where both raised the same error.
        """
        replies = self._runner.run(self._replies(port, method, args))
        return self._compare(f"{port}.{method}{_side(args, 0)}", made, replies)

    def read(self, *calls: tuple[Any, ...]) -> None:
        """Make calls that only read, all at once."""

        async def read() -> list[Pair]:
            return await asyncio.gather(*(self._replies(port, method, args) for port, method, *args in calls))

        for (port, method, *args), replies in zip(calls, self._runner.run(read()), strict=True):
            self._compare(f"{port}.{method}{_side(tuple(args), 0)}", "", replies)

    async def _replies(self, port: str, method: str, args: Sequence[Any]) -> Pair:
        memory = await _outcome(getattr(getattr(self.memory, port), method)(*_side(tuple(args), 0)))
        other = await _outcome(getattr(getattr(self.redis, port), method)(*_side(tuple(args), 1)))
        return Pair(memory, other)

    def _compare(self, what: str, made: str, replies: Pair) -> Pair | None:
        memory, other = replies
        if isinstance(memory, REFUSALS) or isinstance(other, REFUSALS):
            self._require(type(memory) is type(other), what, memory, other)
            return None
        if made and memory is not None and other is not None:
            self._correspond(what, made, memory, other)
        else:
            self._same(what, memory, other)
        return replies

    # --------------------------------------------------------------------------------------------- the world

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def mark(self) -> None:
        keys = [key for key in self._client.scan_iter(count=1000) if key != RUN_KEY.encode()]
        self._image = (
            self.memory.database.checkpoint_image(),
            {key: self._client.dump(key) or b"" for key in keys},
        )

    def restart(self, lose: Lose) -> None:
        memory, keys = (EMPTY_IMAGE, {}) if lose is Lose.EVERYTHING else self._image
        self.memory.database.restart(None if lose is Lose.NOTHING else memory)
        if lose is not Lose.NOTHING:
            self._client.flushdb()
            for key, value in keys.items():
                self._client.restore(key, 0, value)
        self.advance(RESTART_SECONDS)
        self._begin_run()

    def _begin_run(self) -> None:
        run = RandomIds().new_id()
        self._client.set(RUN_KEY, run)
        self.run = Pair(self.memory.database.run_id, run)

    # ------------------------------------------------------------------------------------------- comparison

    def _same(self, what: str, memory: Any, other: Any) -> None:
        if isinstance(memory, JournalEntry) and isinstance(other, JournalEntry):
            self._correspond(what, f"revision of {memory.signal_id}", memory.revision, other.revision)
            alike = msgspec.structs.replace(other, revision=memory.revision)
            self._require(memory == alike, what, memory, other)
        elif isinstance(memory, BeginVerdict) and isinstance(other, BeginVerdict):
            self._require((memory.go, memory.fresh) == (other.go, other.fresh), what, memory, other)
            self._same(what, memory.entry, other.entry)
        elif isinstance(memory, RiskClaim) and isinstance(other, RiskClaim):
            self._correspond(what, "risk", memory.epoch, other.epoch)
            alike_claim = msgspec.structs.replace(other, epoch=memory.epoch)
            self._require(memory == alike_claim, what, memory, other)
        elif isinstance(memory, CheckpointClaim) and isinstance(other, CheckpointClaim):
            self._correspond(what, "incarnation", memory.incarnation, other.incarnation)
            self._correspond(what, "run", memory.store_run_id, other.store_run_id)
            self._require(
                (memory.checkpoint, memory.folds) == (other.checkpoint, other.folds), what, memory, other
            )
        elif isinstance(memory, PriceRange) and isinstance(other, PriceRange):
            self._correspond(what, "cursor", memory.cursor, other.cursor)
            alike_range = msgspec.structs.replace(other, cursor=memory.cursor)
            self._require(memory == alike_range, what, memory, other)
        elif isinstance(memory, list) and isinstance(other, list):
            self._require(len(memory) == len(other), what, memory, other)
            for one, another in zip(memory, other, strict=True):
                self._same(what, one, another)
        elif isinstance(memory, dict) and isinstance(other, dict):
            self._require(memory.keys() == other.keys(), what, memory, other)
            for key, one in memory.items():
                self._same(what, one, other[key])
        else:
            self._require(memory == other, what, memory, other)

    def _correspond(self, what: str, kind: str, memory: Any, other: Any) -> None:
        """Each value here must go with one value there, for ever."""
        there = self._there.setdefault((kind, memory), other)
        here = self._here.setdefault((kind, other), memory)
        self._require((there, here) == (other, memory), what, memory, other)

    def _require(self, alike: bool, what: str, memory: Any, other: Any) -> None:
        if not alike:
            raise Difference(f"{what}\n  memory: {memory!r}\n  redis:  {other!r}")


async def _outcome(operation: Awaitable[Any]) -> Any:
    try:
        return await operation
    except REFUSALS as error:
        return error


def _side(value: Any, side: int) -> Any:
    """Return the arguments as one side takes them."""
    if isinstance(value, Pair):
        return value[side]
    if isinstance(value, BeginRequest):
        return replace(value, journal_epoch=_side(value.journal_epoch, side))
    if isinstance(value, tuple):
        return tuple(_side(item, side) for item in value)
    if isinstance(value, dict):
        return {key: _side(item, side) for key, item in value.items()}
    return value
