"""Commands to a local Kite in another process."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self

import aiohttp
import msgspec

from alpha_panda.errors import DependencyUnavailableError
from alpha_panda.testing.broker.orders import Execution

from .commands import Command


class SeenCall(msgspec.Struct, frozen=True):
    """One call, see `core.Call`."""

    kind: str
    subject: str
    ts: int
    reached: bool


@dataclass(frozen=True)
class Truth:
    """What the broker knows: trades of all days, today's orders as the book shows them, calls.

    `positions`: net units by token of today's trades; `sockets`: how many are connected; `resting`: orders that may
    still fill; `funds`: rupees available for new orders in equity.
    """

    user: str
    trading_day: str
    executed: tuple[Execution, ...]
    orders: tuple[dict[str, Any], ...]
    calls: tuple[SeenCall, ...]
    positions: dict[int, Decimal]
    sockets: int
    resting: int
    funds: Decimal


class KiteControl:
    """Commands to the server at `control_url`. Use as an async context manager.

    Every method raises DependencyUnavailableError if the server does not do as told.
    """

    def __init__(self, control_url: str) -> None:
        self._url = control_url
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(self, *_: object) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def do(self, command: Command) -> str:
        """Have it done; return the token or order id that came of it, empty if none did."""
        return msgspec.json.decode(await self._call("POST", "do", msgspec.json.encode(command)), type=str)

    async def truth(self) -> Truth:
        """Return what the broker knows."""
        return msgspec.json.decode(await self._call("GET", "truth", None), type=Truth)

    async def _call(self, method: str, name: str, body: bytes | None) -> bytes:
        session = self._session
        if session is None:
            raise DependencyUnavailableError("kite control", "not open")
        async with session.request(method, f"{self._url}/_control/{name}", data=body) as response:
            answer = await response.read()
            if response.status != 200:  # noqa: PLR2004 - OK
                raise DependencyUnavailableError(
                    "kite control", f"{name}: {response.status} {answer[:200]!r}"
                )
            return answer
