"""The Redis of control keys and statuses, seen from the operator: one connection pool, a set of stores a namespace."""

import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from alpha_panda.adapters.redis.connection import RedisAddress, make_pool
from alpha_panda.adapters.redis.control import RedisControlStore
from alpha_panda.adapters.redis.database import RedisDatabase
from alpha_panda.adapters.redis.pool import RedisPool
from alpha_panda.adapters.redis.statuses import RedisStatusStore
from alpha_panda.contracts.keys import KeyMap
from alpha_panda.ports import ControlStore, StatusStore
from alpha_panda.runtime.secret_files import secret_reader
from alpha_panda.runtime.settings import Settings, env_name
from alpha_panda_operator.config import OperatorConfig


class _RandomIds:
    """`ports.IdSource`: the client only names its requests by them."""

    def new_id(self) -> str:
        """See the port."""
        return secrets.token_hex(16)

    def child(self, name: str) -> "_RandomIds":  # noqa: ARG002 - random ones have no series
        """See the port."""
        return self


@dataclass(frozen=True, slots=True)
class Store:
    """One namespace's."""

    control: ControlStore
    statuses: StatusStore
    database: RedisDatabase

    async def owner(self, installation: str) -> str:
        """Claim the namespace's prefix for an installation unless another has it; return whose it is."""
        key = self.database.keys.owner()
        await self.database.command("SET", key, installation, "NX", writes=True)
        found = await self.database.command("GET", key)
        return str(found.decode()) if isinstance(found, bytes) else installation

    async def disown(self, installation: str) -> None:
        """Give the prefix back, if it is ours: nothing of this installation is left in the namespace."""
        key = self.database.keys.owner()
        found = await self.database.command("GET", key)
        if found == installation.encode():
            await self.database.command("DEL", key, writes=True)


class Stores:
    """Makes each namespace's stores; all share the connections."""

    def __init__(self, config: OperatorConfig, journal: RedisPool, prices: RedisPool, timeout: float) -> None:
        self._config = config
        self._journal = journal
        self._prices = prices
        self._timeout = timeout
        self._made: dict[str, Store] = {}

    def of(self, namespace: str) -> Store:
        """Return a namespace's stores."""
        if namespace not in self._made:
            keys = KeyMap(self._config.prefix(namespace), self._config.installation)
            journal, prices = (
                RedisDatabase(pool, _RandomIds(), keys, timeout=self._timeout)
                for pool in (self._journal, self._prices)
            )
            self._made[namespace] = Store(RedisControlStore(journal), RedisStatusStore(prices), journal)
        return self._made[namespace]


@asynccontextmanager
async def open_stores(config: OperatorConfig, settings: Settings) -> AsyncIterator[Stores]:
    """Give the stores of the settings' Redis; nothing is connected before it is needed."""
    journal = make_pool(
        _address(settings, "journal_redis" if settings.journal_redis_url.get_secret_value() else "redis")
    )
    prices = make_pool(_address(settings, "redis"))
    try:
        yield Stores(config, journal, prices, settings.redis_timeout_seconds)
    finally:
        await journal.close()
        await prices.close()


def _address(settings: Settings, name: str) -> RedisAddress:
    """Return how one Redis is reached; `name` is what its fields begin with."""

    def file(text: str) -> Path | None:
        return Path(text) if text else None

    return RedisAddress(
        url=getattr(settings, f"{name}_url").get_secret_value(),
        username=getattr(settings, f"{name}_username"),
        password=secret_reader(getattr(settings, f"{name}_password"), env_name(f"{name}_password")),
        ca_file=file(settings.redis_tls_ca_file),
        cert_file=file(settings.redis_tls_cert_file),
        key_file=file(settings.redis_tls_key_file),
        connect_timeout=settings.redis_timeout_seconds,
        call_timeout=settings.redis_timeout_seconds,
        user_timeout=settings.redis_timeout_seconds,
        max_connections=settings.redis_max_connections,
        client_name="alpha-panda-operator",
    )
