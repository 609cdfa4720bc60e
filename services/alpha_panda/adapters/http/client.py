"""An HTTP client for orders: one request, one connection, one deadline. No retry, no redirect, no proxy.

client = OneShotClient(clock, "https://api.broker.example", headers=token_header, send_within=5)
exchange = await client.send("POST", "/orders", deadline, body=b"...")
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Self

import aiohttp

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.errors import MisuseError
from alpha_panda.ports import Clock

from .exchange import Answer, Exchange, NotSent, Unanswered
from .gate import Gate, GateClosedError, GatedRequest

LONGEST_BODY: Final = 4 * 1024 * 1024
"""Bytes of an answer that are read: a day's order book of thousands of rows is far below."""

_CHUNK: Final = 64 * 1024


def _no_headers() -> Mapping[str, str]:
    return {}


class OneShotClient:
    """Sends requests to one broker. Use as an async context manager, or close it.

    Messages in what it returns never hold headers, addresses' queries or bodies: they go into events and logs.

    Args:
        clock: whose monotonic time the deadlines are of.
        base_url: scheme, host and port; paths are appended.
        headers: asked for each request, so that a renewed access token is used at once. An OSError or ValueError of it
            means that nothing is sent.
        send_within: S in seconds, for TCP_USER_TIMEOUT where the system has it (Linux): bytes that the other side
            has not acknowledged by then are given up by the kernel too.
        keep_alive: seconds that a connection which has just answered may serve once more; 0: a fresh one each time.
        longest_body: bytes of an answer that are read; a longer one counts as none.
        tls: instead of the system's certificates; verification can't be turned off by it.

    """

    def __init__(  # noqa: PLR0913 - all but the first two by keyword
        self,
        clock: Clock,
        base_url: str,
        *,
        send_within: float,
        headers: Callable[[], Mapping[str, str]] = _no_headers,
        keep_alive: float = 0,
        longest_body: int = LONGEST_BODY,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        if tls is not None and (tls.verify_mode is not ssl.CERT_REQUIRED or not tls.check_hostname):
            raise MisuseError("orders go only to a server whose certificate and name are checked")
        self._clock = clock
        self._base_url = base_url.rstrip("/")
        self._headers = headers
        self._send_within = send_within
        self._keep_alive = keep_alive
        self._longest_body = longest_body
        self._tls: ssl.SSLContext | bool = True if tls is None else tls
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close connections that are kept."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def send(  # noqa: PLR0913 - what a request is
        self,
        method: str,
        path: str,
        deadline: int,
        *,
        body: bytes | None = None,
        query: str = "",
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> Exchange:
        """Send the request once, before `deadline` (monotonic ns), and wait for the answer until then.

        `headers` are this request's own, beside those of all. Nothing is written once the deadline has passed, and
        never a second time. Doesn't raise for anything that the network or the other side does.
        """
        gate = Gate(self._clock, deadline)
        exchange: Exchange | None = None
        try:
            if gate.late:
                return _too_late()
            sent = _sendable({**self._headers(), **headers})
            async with asyncio.timeout((deadline - self._clock.monotonic()) / SECOND_NS):
                target = path + (f"?{query}" if query else "")
                exchange = await self._exchange(gate, method, target, sent, body)
        except (aiohttp.ClientError, OSError, ValueError, GateClosedError) as error:
            return _failure(gate, error)
        finally:
            if not isinstance(exchange, Answer):
                gate.abandon()
        return exchange

    async def _exchange(
        self, gate: Gate, method: str, path: str, headers: Mapping[str, str], body: bytes | None
    ) -> Exchange:
        request = self._opened().request(
            method,
            self._base_url + path,
            data=body,
            headers=headers,
            allow_redirects=False,
            middlewares=(gate,),
        )
        async with request as response:
            read = await self._read(response)
            if read is None:
                return Unanswered(f"an answer of more than {self._longest_body} bytes")
            return Answer(response.status, read)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes | None:
        """Return the body; None once it is too long."""
        read = bytearray()
        async for chunk in response.content.iter_chunked(_CHUNK):
            read += chunk
            if len(read) > self._longest_body:
                return None
        return bytes(read)

    def _opened(self) -> aiohttp.ClientSession:
        """Return the session; made on the running loop, at the first request."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=self._connector(),
                request_class=GatedRequest,
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None, connect=None),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept-Encoding": "identity"},
                auto_decompress=False,
                trust_env=False,
            )
        return self._session

    def _connector(self) -> aiohttp.TCPConnector:
        lifetime: dict[str, Any] = (
            {"keepalive_timeout": self._keep_alive} if self._keep_alive else {"force_close": True}
        )
        return aiohttp.TCPConnector(ssl=self._tls, socket_factory=self._socket, limit=0, **lifetime)

    def _socket(self, address: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, *_ = address
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        give_up = getattr(socket, "TCP_USER_TIMEOUT", None)
        if give_up is not None:
            made.setsockopt(socket.IPPROTO_TCP, give_up, max(1, round(self._send_within * 1000)))
        return made


def _sendable(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Return the headers, or raise ValueError: a token read with its line's end would leave the order in doubt."""
    if any(character in value for value in headers.values() for character in "\r\n\0"):
        raise ValueError("a header with the end of a line in it")
    return headers


def _too_late() -> NotSent:
    return NotSent(Code.SEND_DEADLINE_PASSED, "the permission to send had run out")


def _failure(gate: Gate, error: Exception) -> Exchange:
    """Return what is known after an error, by whether a byte may have left. Only the error's kind is told."""
    kind = type(error).__name__
    if gate.opened:
        return Unanswered("no answer in time" if gate.late else f"no full answer: {kind}")
    return _too_late() if gate.late else NotSent(Code.BROKER_UNREACHABLE, f"no connection: {kind}")
