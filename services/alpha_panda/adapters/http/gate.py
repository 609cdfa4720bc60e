"""Lets one request out, once, and only before its deadline; knows whether any byte may have left.

aiohttp repeats GET, PUT and DELETE by itself when a connection dies under them, and on Python 3.11 writes a body one
turn of the event loop after its headers: so the gate stands inside the request, where its bytes are written.
"""

import socket
import struct
from asyncio import Transport  # noqa: TC003 - one style of imports
from typing import Final

from aiohttp import ClientHandlerType, ClientRequest, ClientResponse
from aiohttp.abc import AbstractStreamWriter
from aiohttp.connector import Connection

from alpha_panda.errors import AlphaPandaError
from alpha_panda.ports import Clock

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER on, 0 s: closing throws away what the kernel has not sent yet."""


class GateClosedError(AlphaPandaError):
    """The request may not be sent any more; never leaves this package."""


class Gate:
    """One request's permission to be sent; `deadline` is on `Clock.monotonic`. It is the request's middleware."""

    def __init__(self, clock: Clock, deadline: int) -> None:
        self.opened = False
        self._clock = clock
        self._deadline = deadline
        self._used = False
        self._transport: Transport | None = None

    @property
    def late(self) -> bool:
        """Whether the permission has run out."""
        return self._clock.monotonic() >= self._deadline

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        """Lead the request to this gate, before it has a connection; a repeated one gets none."""
        if self._used or not isinstance(request, GatedRequest):
            raise GateClosedError("a request is sent once")
        self._used = True
        request.gate = self
        return await handler(request)

    def open(self, connection: Connection) -> None:
        """Let the first byte out, or raise GateClosedError."""
        if self.opened or self.late:
            raise GateClosedError("the permission to send is used or has run out")
        self._transport = connection.transport
        self.opened = True

    def abandon(self) -> None:
        """Throw away what has not left yet: an order that nobody waits for any more should not go on arriving."""
        transport = self._transport
        if transport is None:
            return
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        transport.abort()


class GatedRequest(ClientRequest):
    """A request that asks its gate just before its first byte, and again before its body."""

    gate: Gate

    async def send(self, conn: Connection) -> ClientResponse:
        """Write the headers, if the gate lets them out."""
        self.gate.open(conn)
        return await super().send(conn)

    async def write_bytes(
        self, writer: AbstractStreamWriter, conn: Connection, content_length: int | None = None
    ) -> None:
        """Write the body (with the headers, which are kept for it), unless the permission ran out meanwhile."""
        if self.gate.late:
            protocol = conn.protocol
            if protocol is not None:
                protocol.set_exception(GateClosedError("the permission to send ran out"))
            self.gate.abandon()
            return
        await super().write_bytes(writer, conn, content_length)
