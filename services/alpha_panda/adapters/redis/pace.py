"""How many calls an account makes to its broker, counted in Redis: over all processes, in one script."""

from collections.abc import Sequence
from typing import Final

from alpha_panda.adapters.redis.database import RedisDatabase
from alpha_panda.adapters.redis.scripts import script
from alpha_panda.contracts.stored import PaceWindow
from alpha_panda.errors import DependencyUnavailableError, UnknownOutcomeError

_TAKE: Final = script("pace/take")
_US: Final = 1_000_000


class RedisOrderPace:
    """`ports.OrderPace`. A count whose reply was lost is a place that nobody uses, and no reason to end."""

    def __init__(self, database: RedisDatabase) -> None:
        self._database = database

    async def take(self, account: str, windows: Sequence[PaceWindow]) -> float:
        """See the port."""
        keys = [self._database.keys.pace(account, window.name) for window in windows]
        args = [part for window in windows for part in _arguments(window)]
        try:
            return int(await self._database.run(_TAKE, keys, args)) / _US
        except UnknownOutcomeError as error:
            raise DependencyUnavailableError("redis", f"perhaps not counted: {error}") from error


def _arguments(window: PaceWindow) -> tuple[int, int, int, int]:
    return window.seconds * _US, window.limit, window.offset * _US, int(window.rolling)
