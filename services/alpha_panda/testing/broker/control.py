"""Commands to a broker in another process."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self

import aiohttp
import msgspec

from alpha_panda.contracts.stored import BrokerRow
from alpha_panda.errors import DependencyUnavailableError

from .core import CallKind
from .faults import Misbehaviour
from .orders import Execution
from .server import Day, Plan, Price, Silence


class SeenCall(msgspec.Struct, frozen=True):
    """One call, see `core.Call`."""

    kind: CallKind
    subject: str
    ts: int
    reached: bool


@dataclass(frozen=True)
class Truth:
    """What the broker knows: trades, orders as they are, calls."""

    user: str
    trading_day: str
    executed: tuple[Execution, ...]
    orders: tuple[BrokerRow, ...]
    calls: tuple[SeenCall, ...]


class BrokerControl:
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
        if self._session is not None:
            await self._session.close()

    async def plan(self, fault: Misbehaviour, times: int = 1) -> None:
        """Misbehave so at the next calls."""
        await self._command("plan", Plan(fault, times))

    async def plan_for(self, fault: Misbehaviour, seconds: float) -> None:
        """Misbehave so for some seconds."""
        await self._command("plan", Plan(fault, seconds=seconds))

    async def behave(self) -> None:
        """Forget what is planned."""
        await self._command("behave", {})

    async def set_price(self, token: int, price: Decimal) -> None:
        """Move the market."""
        await self._command("price", Price(token, price))

    async def change_day(self, trading_day: str) -> None:
        """End the day, begin another."""
        await self._command("day", Day(trading_day))

    async def refuse_connections(self, seconds: float) -> None:
        """Take no connections for some seconds."""
        await self._command("refuse", Silence(seconds))

    async def truth(self) -> Truth:
        """Return what the broker knows."""
        return msgspec.json.decode(await self._call("GET", "truth", None), type=Truth)

    async def _command(self, name: str, command: Any) -> None:  # noqa: ANN401 - anything that is JSON
        await self._call("POST", name, msgspec.json.encode(command))

    async def _call(self, method: str, name: str, body: bytes | None) -> bytes:
        session = self._session
        if session is None:
            raise DependencyUnavailableError("broker control", "not open")
        async with session.request(method, f"{self._url}/_control/{name}", data=body) as response:
            answer = await response.read()
            if response.status != 200:  # noqa: PLR2004 - OK
                raise DependencyUnavailableError("broker control", f"{name} answered {response.status}")
            return answer
