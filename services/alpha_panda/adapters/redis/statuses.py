"""What the services report of themselves, in Redis: `ports.StatusStore`.

One key a replica that expires by itself, and a sorted set of those keys by the time of their expiry: so `all` never
searches the keys of the whole database, and needs the right to read alone.
"""

from typing import Final

import msgspec

from alpha_panda.adapters.redis.database import Argument, RedisDatabase
from alpha_panda.adapters.redis.scripts import script
from alpha_panda.contracts.stored import ServiceStatus

MICROSECONDS: Final = 1_000_000

_PUT: Final = script("statuses/put")
_ALL: Final = script("statuses/all", writes=False)

_decoder: Final = msgspec.json.Decoder(ServiceStatus)


class RedisStatusStore:
    """`ports.StatusStore`. Statuses come in the order of service, resource and instance."""

    def __init__(self, database: RedisDatabase) -> None:
        self.database = database

    async def put(self, status: ServiceStatus, ttl: float) -> None:
        """See the port."""
        keys = self.database.keys
        key = keys.status(status.service, status.resource, status.instance)
        arguments: list[Argument] = [msgspec.json.encode(status), round(ttl * MICROSECONDS)]
        await self.database.run(_PUT, [key, keys.status_index()], arguments)

    async def all(self) -> list[ServiceStatus]:
        """See the port."""
        values = await self.database.run(_ALL, [self.database.keys.status_index()])
        found = [_decoder.decode(value) for value in values]
        return sorted(found, key=lambda item: (item.service, item.resource, item.instance))
