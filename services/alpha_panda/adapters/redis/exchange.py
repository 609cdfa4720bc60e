"""Requests that are made at the same moment leave together: one write over one connection, one fsync for all of them.

An engine has many orders under way, and each of them asks Redis four times. Together they cost a fraction, in this
process and in Redis, of what they cost one by one; alone, a request leaves as soon as the loop comes round.

Whoever made a request learns what became of it, by itself. A connection is taken before anything is written, and one
that has an unanswered request is closed, so that a late reply is never read as another's.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, cast

import hiredis
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import AuthenticationError, BusyLoadingError, RedisError, ResponseError

from alpha_panda.adapters.redis.pool import REDIS, RedisPool
from alpha_panda.errors import AlphaPandaError, DependencyUnavailableError, UnknownOutcomeError

Argument = str | bytes | int
Reply = Any
"""Bytes, int, None, or a list of replies."""

_pack = cast(
    "Callable[[tuple[Argument, ...]], bytes]", hiredis.pack_command
)  # its stub knows tuples of one only

MOST_AT_ONCE: Final = 64
"""Calls that share a connection at most: what one waits for is the replies to all before it."""


class _Call:
    """The requests of one caller, and the place for their replies."""

    __slots__ = ("_writes", "count", "data", "done", "name")

    def __init__(self, requests: Sequence[Sequence[Argument]], *, writes: bool) -> None:
        self._writes = writes
        self.name = str(requests[0][0])
        self.count = len(requests)
        self.data = b"".join(_pack(tuple(request)) for request in requests)
        self.done: asyncio.Future[list[Reply]] = asyncio.get_running_loop().create_future()

    def answer(self, replies: list[Reply]) -> None:
        if not self.done.done():
            self.done.set_result(replies)

    def fail(self, error: AlphaPandaError) -> None:
        if not self.done.done():
            self.done.set_exception(error)

    def lose(self, reason: BaseException) -> None:
        """Say that the requests were written, perhaps in part, and that the replies did not come."""
        text = str(reason) or type(reason).__name__
        error: AlphaPandaError
        if self._writes:
            error = UnknownOutcomeError(f"redis: the reply to {self.name} was lost ({text})")
        else:
            error = DependencyUnavailableError(REDIS, f"no reply to {self.name} ({text})")
        error.__cause__ = reason
        self.fail(error)


class Exchanges:
    """Sends calls over a pool's connections. `timeout` (s): from the writing of a request to its reply."""

    def __init__(self, pool: RedisPool, timeout: float) -> None:
        self._pool = pool
        self._timeout = timeout
        self._waiting: list[_Call] = []
        self._under_way: set[asyncio.Task[None]] = set()

    async def ask(
        self, requests: Sequence[Sequence[Argument]], *, writes: bool, limit: float | None = None
    ) -> list[Reply]:
        """Return the replies to some requests, in order; error replies are among them, unraised.

        `limit` (s) instead of the usual time: such a call may take long, so it shares its connection with no other.
        A caller that is cancelled does not know whether its requests were written; where it only reads, over a
        connection of its own, that connection is closed: nobody waits for the reply.

        Raises:
            DependencyUnavailableError: no connection, nothing was written; or no reply to what only reads.
            UnknownOutcomeError: no reply to what `writes`.

        """
        call = _Call(requests, writes=writes)
        if limit is not None:
            return await self._alone(call, limit, writes=writes)
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
        self._waiting.append(call)
        return await call.done

    async def _alone(self, call: _Call, limit: float, *, writes: bool) -> list[Reply]:
        task = self._begin([call], limit)
        try:
            return await call.done
        finally:
            if call.done.cancelled() and not writes:
                task.cancel()

    async def close(self) -> None:
        """Give up what is under way; its callers are told."""
        tasks = tuple(self._under_way)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        for first in range(0, len(waiting), MOST_AT_ONCE):
            self._begin(waiting[first : first + MOST_AT_ONCE], self._timeout)

    def _begin(self, calls: list[_Call], limit: float) -> "asyncio.Task[None]":
        task = asyncio.create_task(self._exchange(calls, limit))
        self._under_way.add(task)
        task.add_done_callback(partial(self._ended, calls))
        return task

    def _ended(self, calls: list[_Call], task: "asyncio.Task[None]") -> None:
        self._under_way.discard(task)
        for call in calls:  # that of a task which was cancelled before it began: nothing was written
            call.fail(DependencyUnavailableError(REDIS, "the connections were closed"))

    async def _exchange(self, calls: list[_Call], limit: float) -> None:
        try:
            connection = await self._pool.take()
        except BaseException as error:
            for call in calls:
                call.fail(DependencyUnavailableError(REDIS, _reason(error)))
            if not isinstance(error, AlphaPandaError):
                raise
            return
        answered = False
        try:
            async with asyncio.timeout(limit):
                await _talk(connection, calls)
            answered = True
        except BaseException as error:
            for call in calls:
                call.lose(error)
            if not isinstance(error, RedisError | OSError | TimeoutError):
                raise
        finally:
            await self._pool.give_back(connection, usable=answered)


async def _talk(connection: AbstractConnection, calls: list[_Call]) -> None:
    """Write what is still wanted and hand out the replies as they come."""
    wanted = [call for call in calls if not call.done.done()]
    if not wanted:
        return
    await connection.send_packed_command(b"".join(call.data for call in wanted), check_health=False)
    for call in wanted:
        call.answer([await _reply(connection.read_response) for _ in range(call.count)])


async def _reply(read: Callable[[], Any]) -> Reply:
    """Return the next reply. Error replies are returned, some of which the client holds for lost connections."""
    try:
        return await read()
    except (ResponseError, BusyLoadingError, AuthenticationError) as error:
        return error


def _reason(error: BaseException) -> str:
    """Return what the pool said, without the name that the new error puts before it."""
    return (str(error) or type(error).__name__).removeprefix(f"{REDIS}: ")
