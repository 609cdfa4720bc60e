"""One Redis as the stores use it: run a script or a command once, and say exactly what became of it.

What a failure means (`ports` in short):

* no connection, or Redis refused before it began → `DependencyUnavailableError`: nothing was done
* the request was written, perhaps in part, and no reply came → `UnknownOutcomeError`, or for what only reads
  `DependencyUnavailableError`; a caller that is cancelled meanwhile must take a write as unknown too
* the script refused a stale owner → `FencedError`; it was called in a way that can't work → `MisuseError`
"""

from collections.abc import Callable, Sequence
from typing import Final

from redis.exceptions import NoScriptError, RedisError

from alpha_panda.adapters.redis.exchange import Argument, Exchanges, Reply
from alpha_panda.adapters.redis.pool import REDIS, RedisPool
from alpha_panda.adapters.redis.scripts import Script
from alpha_panda.adapters.redis.units import NS_PER_US
from alpha_panda.contracts.keys import KeyMap
from alpha_panda.errors import (
    DependencyUnavailableError,
    FencedError,
    MisuseError,
    UnknownOutcomeError,
)
from alpha_panda.ports import IdSource

__all__ = ["Argument", "RedisDatabase", "Reply"]

_REFUSED: Final = frozenset(
    {
        "LOADING",  # it is starting
        "OOM",  # maxmemory is reached, and what is written here is never evicted
        "READONLY",  # a replica
        "MISCONF",  # it can't write to its disk
        "BUSY",  # another script runs too long
        "MASTERDOWN",
        "NOREPLICAS",
        "NOSCRIPT",
        "NOPERM",
        "NOAUTH",
        "WRONGPASS",
    }
)
"""Error codes of requests that Redis didn't begin to carry out."""

_IN_SCRIPT: Final = "@user_script"
"""Part of each error that was raised within a script: what the script had written by then stays written."""


class RedisDatabase:
    """What all stores on one Redis share.

    `timeout` (s) bounds each call by itself, from the writing of the request to its reply. `time_offset` (ns, whole
    microseconds) is added to Redis' own time inside the scripts, for tests; production has none.
    """

    def __init__(
        self,
        pool: RedisPool,
        ids: IdSource,
        keys: KeyMap | None = None,
        *,
        timeout: float,
        time_offset: Callable[[], int] = lambda: 0,
    ) -> None:
        self.pool = pool
        self.ids = ids
        self.keys = keys or KeyMap()
        self._exchanges = Exchanges(pool, timeout)
        self._time_offset = time_offset

    async def run(
        self,
        script: Script,
        keys: Sequence[str],
        args: Sequence[Argument] = (),
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - one bound for a whole exchange, not a scope of the caller's
    ) -> Reply:
        """Run a script once (twice only if Redis did not know it, so that nothing was done the first time).

        `timeout` (s) instead of the usual one, for scripts whose reply is large.
        """
        offset = self._time_offset() // NS_PER_US
        command = "EVALSHA" if script.writes else "EVALSHA_RO"
        request = (command, script.sha, len(keys), *keys, offset, *args)
        reply = await self._answer(request, writes=script.writes, limit=timeout)
        if isinstance(reply, NoScriptError):
            await self.command("SCRIPT", "LOAD", script.text)
            reply = await self._answer(request, writes=script.writes, limit=timeout)
        return _checked(reply, script.name, writes=script.writes)

    async def command(
        self,
        *args: Argument,
        writes: bool = False,
        timeout: float | None = None,  # noqa: ASYNC109 - one bound for a whole exchange, not a scope of the caller's
    ) -> Reply:
        """Send one plain command; `timeout` (s) instead of the usual one, for commands that wait (XREAD BLOCK)."""
        reply = await self._answer(args, writes=writes, limit=timeout)
        return _checked(reply, str(args[0]), writes=writes)

    async def pipeline(self, commands: Sequence[Sequence[Argument]], *, writes: bool = False) -> list[Reply]:
        """Send several commands at once. Not atomic: a failure may follow the ones before it."""
        replies = await self._exchanges.ask(commands, writes=writes)
        return [
            _checked(reply, str(command[0]), writes=writes)
            for command, reply in zip(commands, replies, strict=True)
        ]

    async def time(self) -> int:
        """Return the store's time (UTC ns)."""
        seconds, microseconds = await self.command("TIME")
        return (int(seconds) * 1_000_000 + int(microseconds)) * NS_PER_US + self._time_offset()

    async def close(self) -> None:
        """Close the connections."""
        await self._exchanges.close()
        await self.pool.close()

    async def _answer(
        self, request: Sequence[Argument], *, writes: bool, limit: float | None = None
    ) -> Reply:
        (reply,) = await self._exchanges.ask([request], writes=writes, limit=limit)
        return reply


def _checked(reply: Reply, name: str, *, writes: bool) -> Reply:
    """Return a reply that is none of error."""
    if not isinstance(reply, RedisError):
        return reply
    code, message = _error_parts(reply)
    if code == "FENCED":
        raise FencedError(message) from reply
    if code == "MISUSE":
        raise MisuseError(message) from reply
    if writes and (code not in _REFUSED or _IN_SCRIPT in message):
        raise UnknownOutcomeError(f"redis: {name} failed half-way: {code} {message}") from reply
    raise DependencyUnavailableError(REDIS, f"{name}: {code} {message}") from reply


def _error_parts(error: RedisError) -> tuple[str, str]:
    """Return an error reply's code and text; the client cuts the codes that it knows off the text."""
    text, code = str(error), getattr(error, "status_code", None)
    if code:
        return str(code), text.removeprefix(f"{code} ")
    first, _, rest = text.partition(" ")
    return first, rest
