"""Calls to Kite: each sent once, with the day's access token, and without one not at all."""

from collections.abc import Mapping
from typing import Final, Self

from alpha_panda.adapters.http.client import OneShotClient
from alpha_panda.adapters.http.exchange import Answer, Exchange, NotSent
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.units import nanoseconds
from alpha_panda.ports import Clock

from .orders import Request
from .restraint import Restraint
from .session import Session, SessionFile
from .wire import Envelope, parsed

KITE_VERSION: Final = {"X-Kite-Version": "3"}
FORM: Final = {"Content-Type": "application/x-www-form-urlencoded"}

FORBIDDEN: Final = 403
TOKEN_EXCEPTION: Final = "TokenException"  # noqa: S105 - the name of an error

LONGEST_BOOK: Final = 32 * 1024 * 1024
"""Bytes: a day of 5,000 orders is about five million."""

_KEEP_READING: Final = 5.0
"""Seconds that a connection which has served a reading may serve the next one. Orders have one of their own each."""


class KiteClient:
    """One account's calls. Use as an async context manager, or close it.

    Args:
        clock: whose monotonic time the deadlines are of.
        url: of the API.
        session: whose token is sent; it is told of a token that the broker refuses.
        send_within: S in seconds, see `OneShotClient`.
        request_seconds: what a reading or a cancellation may take.

    """

    def __init__(
        self, clock: Clock, url: str, session: SessionFile, *, send_within: float, request_seconds: float
    ) -> None:
        self._clock = clock
        self._session = session
        self._request_ns = nanoseconds(request_seconds)
        self._restraints = {method: Restraint(clock) for method in ("GET", "POST", "DELETE")}
        self._orders = OneShotClient(clock, url, send_within=send_within)
        self._readings = OneShotClient(
            clock, url, send_within=request_seconds, keep_alive=_KEEP_READING, longest_body=LONGEST_BOOK
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._orders.aclose()
        await self._readings.aclose()

    def deadline(self) -> int:
        """Return by when (monotonic ns) a reading or a cancellation that begins now must be answered."""
        return self._clock.monotonic() + self._request_ns

    async def write(self, request: Request, deadline: int) -> Exchange:
        """Send an order or a cancellation, over a connection of its own."""
        return await self._authorized(request, deadline)

    async def read(self, path: str, deadline: int) -> Exchange:
        """Ask for something that changes nothing."""
        return await self._authorized(Request("GET", path), deadline)

    async def _authorized(self, request: Request, deadline: int) -> Exchange:
        session = self._session.current()
        if session is None:
            return NotSent(Code.ACCESS_TOKEN_EXPIRED, self._session.problem())
        restraint = self._restraints[request.method]
        if (held := restraint.held()) is not None:
            return held
        exchange = await self._call(request, deadline, authorized(session))
        restraint.heed(exchange)
        if refuses_token(exchange):
            self._session.mark_dead(session.access_token)
        return exchange

    async def _call(self, request: Request, deadline: int, headers: Mapping[str, str]) -> Exchange:
        if request.method == "GET":
            return await self._readings.send("GET", request.path, deadline, headers=headers)
        body = request.encoded.encode() if request.form else None
        own = headers if body is None else {**headers, **FORM}
        return await self._orders.send(request.method, request.path, deadline, body=body, headers=own)


def authorized(session: Session) -> Mapping[str, str]:
    """Return the headers of a call under the session."""
    return {**KITE_VERSION, "Authorization": f"token {session.api_key}:{session.access_token}"}


def refuses_token(exchange: Exchange) -> bool:
    """Whether the broker says that the token is none. Other refusals have the same status: plan, address."""
    if not isinstance(exchange, Answer) or exchange.status != FORBIDDEN:
        return False
    envelope = parsed(exchange.body, Envelope)
    return envelope is not None and envelope.error_type == TOKEN_EXCEPTION
