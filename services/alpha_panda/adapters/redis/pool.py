"""Connections to one Redis, without any of the client's own retries.

The client's pool would hide what the order protocol must know: whether a request was written. Here a connection is
taken first (nothing written yet), then used once; one that has an unanswered request is closed, so that a late
reply is never read as another's.
"""

import asyncio
from contextlib import suppress
from typing import Any, Final

from redis.asyncio.connection import AbstractConnection, Connection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from alpha_panda.errors import DependencyUnavailableError, SettingsError

REDIS: Final = "redis"
"""Name of the dependency in errors."""

_PROTOCOL: Final = 2
"""RESP2: replies are lists, and nothing arrives that was not asked for."""

_OWN_OPTIONS: Final = (
    "retry",
    "retry_on_timeout",
    "retry_on_error",
    "health_check_interval",
    "socket_timeout",
    "socket_connect_timeout",
    "protocol",
    "driver_info",
    "decode_responses",
    "max_connections",
    "timeout",
)
"""What no URL may set: each would change when a request is sent or given up."""


class RedisPool:
    """Up to `max_connections` connections to `url` (redis://, rediss:// or unix://).

    `options` are those of redis-py's connections: `username`, `password`, `ssl_ca_certs`, `client_name`, … They win
    over the URL's. `timeout` (s): how long taking a connection may last, connecting included.
    """

    def __init__(self, url: str, *, timeout: float, max_connections: int, **options: Any) -> None:  # noqa: ANN401 - redis-py's own
        self._kind, self._options = _connection_options(url, options, timeout)
        self._timeout = timeout
        self._free = asyncio.Semaphore(max_connections)
        self._idle: list[AbstractConnection] = []
        self._closed = False

    async def take(self) -> AbstractConnection:
        """Return a connection that is ready for a request.

        Raises:
            DependencyUnavailableError: none could be had in time; nothing was sent.

        """
        try:
            async with asyncio.timeout(self._timeout):
                await self._free.acquire()
        except TimeoutError as error:
            raise DependencyUnavailableError(REDIS, "all connections are busy") from error
        try:
            return await self._ready()
        except BaseException:
            self._free.release()
            raise

    async def give_back(self, connection: AbstractConnection, *, usable: bool) -> None:
        """End the use of a connection; one that is not `usable` (a reply is missing) is closed."""
        try:
            if usable and not self._closed:
                self._idle.append(connection)
            else:
                await _close(connection)
        finally:
            self._free.release()

    async def close(self) -> None:
        """Close all connections; those in use when they are given back."""
        self._closed = True
        while self._idle:
            await _close(self._idle.pop())

    async def _ready(self) -> AbstractConnection:
        if self._closed:
            raise DependencyUnavailableError(REDIS, "the pool is closed")
        while self._idle:
            connection = self._idle.pop()
            if await _is_clean(connection):
                return connection
            await _close(connection)
        return await self._connected()

    async def _connected(self) -> AbstractConnection:
        connection = self._kind(**self._options)
        try:
            async with asyncio.timeout(self._timeout):
                await connection.connect()  # type: ignore[no-untyped-call]
                await _greet(connection)
        except (RedisError, OSError, TimeoutError) as error:
            await _close(connection)
            raise DependencyUnavailableError(REDIS, f"no connection: {error}") from error
        except BaseException:
            await _close(connection)
            raise
        return connection


def _connection_options(
    url: str, options: dict[str, Any], timeout: float
) -> tuple[type[AbstractConnection], dict[str, Any]]:
    """Return the connection class and its arguments; SettingsError when the URL is none of Redis."""
    try:
        parsed: dict[str, Any] = {**parse_url(url)}
    except ValueError as error:
        raise SettingsError(f"Redis URL: {error}") from error
    if wrong := sorted(set(parsed).intersection(_OWN_OPTIONS)):
        raise SettingsError(f"Redis URL: {', '.join(wrong)} can't be set there")
    kind = parsed.pop("connection_class", Connection)
    given = {name: value for name, value in options.items() if value is not None}
    fixed = {
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": None,
        "socket_connect_timeout": timeout,
        "protocol": _PROTOCOL,
        "driver_info": None,
    }
    return kind, parsed | given | fixed


async def _greet(connection: AbstractConnection) -> None:
    """Exchange one harmless request: a server that has too many clients says so now, not in reply to a script."""
    await connection.send_command("HELLO", _PROTOCOL, check_health=False)
    await connection.read_response()


async def _is_clean(connection: AbstractConnection) -> bool:
    """Whether an idle connection is still open, as far as this end knows, and has nothing unread."""
    writer = connection._writer  # noqa: SLF001 - the client tells no other way that the peer has reset it
    if writer is None or writer.is_closing():
        return False
    try:
        return not await connection.can_read()
    except (RedisError, OSError):
        return False


async def _close(connection: AbstractConnection) -> None:
    """Close at once: what is still on its way is of no use to anybody."""
    with suppress(RedisError, OSError):
        await connection.disconnect(nowait=True)
