"""Fenced leases in Redis.

Time only decides when somebody else may take a lease over. Until then its epoch stays valid, however late its
holder renews: what fences is a greater epoch (or a release), never a clock.
"""

from typing import Final

from alpha_panda.adapters.redis.database import RedisDatabase
from alpha_panda.adapters.redis.scripts import script
from alpha_panda.adapters.redis.units import span_us
from alpha_panda.contracts.units import nanoseconds

_ACQUIRE: Final = script("lease/acquire")
_RENEW: Final = script("lease/renew", uses=("common", "fencing"))
_RELEASE: Final = script("lease/release")


class RedisLease:
    """`ports.Lease`. An owner that acquires its own lease gets a new epoch, which fences its former self.

    Epochs are the store's time in microseconds, or one more than the last: greater than ever before, also after the
    store has lost what it had.
    """

    def __init__(self, database: RedisDatabase) -> None:
        self._database = database

    async def acquire(self, name: str, owner: str, ttl: float) -> int | None:
        """See the port."""
        reply = await self._database.run(_ACQUIRE, self._key(name), [owner, span_us(nanoseconds(ttl))])
        return None if reply is None else int(reply)

    async def renew(self, name: str, owner: str, epoch: int, ttl: float) -> None:
        """See the port."""
        await self._database.run(_RENEW, self._key(name), [owner, epoch, span_us(nanoseconds(ttl))])

    async def release(self, name: str, owner: str, epoch: int) -> None:
        """See the port."""
        await self._database.run(_RELEASE, self._key(name), [owner, epoch])

    def _key(self, name: str) -> list[str]:
        return [self._database.keys.lease(name)]
