"""Trading states in Redis: `spec` hashes with the time they expire, hashes of latches that don't."""

from collections.abc import Sequence
from typing import Final

from alpha_panda.adapters.redis.database import RedisDatabase
from alpha_panda.adapters.redis.records import latch_body, latches_of
from alpha_panda.adapters.redis.scripts import script
from alpha_panda.adapters.redis.units import span_us
from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.stored import ControlReading, Latch
from alpha_panda.contracts.units import nanoseconds

_PUT_SPEC: Final = script("control/put_spec")
_SET_LATCH: Final = script("control/set_latch", uses=("common", "latches"))
_READ: Final = script("control/read", writes=False)


class RedisControlStore:
    """`ports.ControlStore`. The key of an expired spec stays, so that `expired` differs from never written."""

    def __init__(self, database: RedisDatabase) -> None:
        self._database = database
        self._keys = database.keys

    async def put_spec(self, scope: str, state: TradingState, ttl: float) -> None:
        """See the port."""
        await self._database.run(
            _PUT_SPEC, [self._keys.control_spec(scope)], [state.value, span_us(nanoseconds(ttl))]
        )

    async def drop_spec(self, scope: str) -> None:
        """See the port."""
        await self._database.command("DEL", self._keys.control_spec(scope), writes=True)

    async def set_latch(self, latch: Latch) -> None:
        """See the port."""
        await self._database.run(
            _SET_LATCH,
            [self._keys.control_latches(latch.scope)],
            [latch.latch_id, latch.state.value, latch_body(latch)],
        )

    async def clear_latch(self, scope: str, latch_id: str) -> bool:
        """See the port."""
        cleared = await self._database.command(
            "HDEL", self._keys.control_latches(scope), latch_id, writes=True
        )
        return bool(cleared)

    async def read(self, scopes: Sequence[str]) -> tuple[ControlReading, ...]:
        """See the port."""
        keys = [
            key
            for scope in scopes
            for key in (self._keys.control_spec(scope), self._keys.control_latches(scope))
        ]
        replies = await self._database.run(_READ, keys)
        return tuple(
            ControlReading(
                scope=scope,
                spec=TradingState(spec.decode()) if spec is not None else None,
                expired=bool(expired),
                latches=latches_of(latches),
            )
            for scope, (spec, expired, latches) in zip(scopes, replies, strict=True)
        )
