"""How to reach one Redis: address, login, TLS and sockets as plain values, made into a pool and a database.

Prices and the order journal may lie in two: each gets a `RedisAddress` of its own.

Nothing here reconnects by itself: a connection is made when a call needs one, and a call that can't get one fails at
once with `DependencyUnavailableError`. When to try again is the caller's part: the services' retries back off with a
cap and jitter, and their circuit breaker lets one call through at a time until the store is back.
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit, urlunsplit

from redis.credentials import CredentialProvider

from alpha_panda.adapters.redis.database import RedisDatabase
from alpha_panda.adapters.redis.pool import RedisPool
from alpha_panda.contracts.keys import KeyMap
from alpha_panda.errors import DependencyUnavailableError, SettingsError
from alpha_panda.ports import IdSource

TLS_SCHEME: Final = "rediss"
SCHEMES: Final = ("redis", TLS_SCHEME, "unix")

KEEPALIVE_IDLE: Final = 5
"""Seconds of silence after which the kernel asks whether the other end is still there."""

KEEPALIVE_INTERVAL: Final = 2
"""Seconds between two such questions."""

KEEPALIVE_PROBES: Final = 3
"""Unanswered questions after which a connection is dead: that is 11 s after its last sign of life."""


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """One Redis and how to talk to it.

    Attributes:
        url: redis://host:port/db, rediss:// for TLS, or unix:///path. A user and password in it count unless given.
        username: of the ACL; empty: the URL's, or `default`.
        password: asked at each new connection; None: the URL's, or none.
        ca_file: PEM of who signed the server's certificate; None: the system's authorities.
        cert_file, key_file: PEM of our own, where the server asks for one.
        connect_timeout: seconds that getting a connection may take, name lookup, TLS and login included.
        call_timeout: seconds from the sending of a request to its reply.
        user_timeout: seconds after which unacknowledged data end a connection (`TCP_USER_TIMEOUT`, Linux).
        max_connections: calls under way at a time; further ones wait up to `connect_timeout`.
        client_name: what `CLIENT LIST` shows.

    """

    url: str = field(repr=False)  # may hold a password
    username: str = ""
    password: Callable[[], str] | None = field(default=None, repr=False)
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    connect_timeout: float = 2.0
    call_timeout: float = 5.0
    user_timeout: float = 5.0
    max_connections: int = 32
    client_name: str = "alpha-panda"

    def __post_init__(self) -> None:
        """Refuse what can't work; no message shows the URL, which may hold a password."""
        scheme = urlsplit(self.url).scheme
        if scheme not in SCHEMES:
            allowed = ", ".join(f"{name}://" for name in SCHEMES)
            raise SettingsError(f"Redis URL: it begins with {scheme or 'nothing'}://; allowed: {allowed}")
        if scheme != TLS_SCHEME and any((self.ca_file, self.cert_file, self.key_file)):
            raise SettingsError(
                f"Redis URL: certificates are given, but {scheme}:// uses none; write rediss://"
            )
        if (self.cert_file is None) is not (self.key_file is None):
            raise SettingsError(
                "Redis TLS: a certificate needs its key, and a key its certificate: give both"
            )
        for file in (self.ca_file, self.cert_file, self.key_file):
            if file is not None and not file.is_file():
                raise SettingsError(f"Redis TLS: there is no file {file}")


def make_pool(address: RedisAddress) -> RedisPool:
    """Return the connections to a Redis, none of them made yet. Use and close them within one event loop."""
    return RedisPool(
        _url(address),
        timeout=address.connect_timeout,
        max_connections=address.max_connections,
        client_name=_plain(address.client_name),
        **_login(address),
        **_tls(address),
        **_sockets(address),
    )


def make_database(address: RedisAddress, ids: IdSource, keys: KeyMap) -> RedisDatabase:
    """Return a Redis as the stores use it."""
    return RedisDatabase(make_pool(address), ids, keys, timeout=address.call_timeout)


class _Login(CredentialProvider):
    """Says who we are at each new connection."""

    def __init__(self, username: str, password: Callable[[], str]) -> None:
        self._username = username
        self._password = password

    def get_credentials(self) -> tuple[str, str]:
        try:
            return self._username, self._password()
        except OSError as error:
            raise DependencyUnavailableError("redis", f"the password can't be read: {error}") from error

    async def get_credentials_async(self) -> tuple[str, str]:
        return self.get_credentials()  # a mounted file: nothing to wait for


def _url(address: RedisAddress) -> str:
    """Return the URL; without its login where a provider gives the password: the client refuses both."""
    parts = urlsplit(address.url)
    if address.password is None or parts.scheme == "unix":
        return address.url
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _login(address: RedisAddress) -> dict[str, Any]:
    user = address.username or unquote(urlsplit(address.url).username or "") or "default"
    if address.password is not None:
        return {"credential_provider": _Login(user, address.password)}
    return {"username": address.username} if address.username else {}


def _tls(address: RedisAddress) -> dict[str, Any]:
    files = {
        "ssl_ca_certs": address.ca_file,
        "ssl_certfile": address.cert_file,
        "ssl_keyfile": address.key_file,
    }
    return {name: str(file) for name, file in files.items() if file is not None}


def _sockets(address: RedisAddress) -> dict[str, Any]:
    if urlsplit(address.url).scheme == "unix":
        return {}
    wanted = {
        "TCP_KEEPIDLE": KEEPALIVE_IDLE,
        "TCP_KEEPINTVL": KEEPALIVE_INTERVAL,
        "TCP_KEEPCNT": KEEPALIVE_PROBES,
        "TCP_USER_TIMEOUT": round(address.user_timeout * 1000),
    }
    here = {getattr(socket, name): value for name, value in wanted.items() if hasattr(socket, name)}
    return {"socket_keepalive": True, "socket_keepalive_options": here}


def _plain(name: str) -> str:
    """Return a name that Redis takes: printable, without spaces."""
    return "".join(char if "!" <= char <= "~" else "-" for char in name)
