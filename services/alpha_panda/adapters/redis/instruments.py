"""What feeds' symbols stand for today, in Redis: `ports.InstrumentStore`.

One hash a feed: its version, which is asked for often, and the list, which is read when the version is another one.
Who only reads needs HGET alone.
"""

from typing import Final

import msgspec

from alpha_panda.adapters.redis.database import RedisDatabase
from alpha_panda.adapters.redis.scripts import script
from alpha_panda.contracts.stored import InstrumentList

_PUT: Final = script("instruments/put")

_VERSION: Final = "version"
_LIST: Final = "list"

_decoder: Final = msgspec.json.Decoder(InstrumentList)


class RedisInstrumentStore:
    """`ports.InstrumentStore`."""

    def __init__(self, database: RedisDatabase) -> None:
        self.database = database

    async def put(self, listed: InstrumentList) -> None:
        """See the port."""
        key = self.database.keys.instruments(listed.feed)
        await self.database.run(_PUT, [key], [listed.version, msgspec.json.encode(listed)])

    async def version(self, feed: str) -> str | None:
        """See the port."""
        found = await self.database.command("HGET", self.database.keys.instruments(feed), _VERSION)
        return None if found is None else bytes(found).decode()

    async def read(self, feed: str) -> InstrumentList | None:
        """See the port."""
        found = await self.database.command("HGET", self.database.keys.instruments(feed), _LIST)
        return None if found is None else _decoder.decode(found)
