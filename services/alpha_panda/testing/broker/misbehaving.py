"""What the brokers for tests share as HTTP servers: a port for calls, one for commands, and ways to let a caller down.

Commands have a port of their own, so that they arrive while the broker takes no connections.
"""

import asyncio
import contextlib
import socket
import struct
from typing import Final, Protocol

from aiohttp import web

from .faults import Wire

HOST: Final = "127.0.0.1"
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_SHUTDOWN_SECONDS: Final = 0.1
"""What hangs on command doesn't end by itself."""


class Told(Protocol):
    """What a reply says of how it goes out."""

    @property
    def wire(self) -> Wire:
        """What becomes of the connection."""

    @property
    def delay(self) -> float:
        """Seconds before anything of it goes out."""

    @property
    def status(self) -> int:
        """HTTP's."""

    @property
    def body(self) -> bytes:
        """The answer."""


class MisbehavingServer:
    """Serves the application of `_app` on one port and that of `_control_app` on another; 0: free ones."""

    def __init__(self, port: int, control_port: int) -> None:
        self._port = port
        self._control_port = control_port
        self._ended = asyncio.Event()
        self._calls = web.AppRunner(self._app(), shutdown_timeout=_SHUTDOWN_SECONDS, access_log=None)
        self._control = web.AppRunner(self._control_app(), access_log=None)
        self._site: web.TCPSite | None = None
        self._listening: asyncio.Task[None] | None = None

    def _app(self) -> web.Application:
        raise NotImplementedError

    def _control_app(self) -> web.Application:
        raise NotImplementedError

    @property
    def url(self) -> str:
        """Where calls go."""
        return f"http://{HOST}:{self._port}"

    @property
    def control_url(self) -> str:
        """Where commands go."""
        return f"http://{HOST}:{self._control_port}"

    async def _open(self) -> None:
        """Take calls and commands."""
        await self._calls.setup()
        await self.listen()
        await self._control.setup()
        await web.TCPSite(self._control, HOST, self._control_port).start()
        self._control_port = self._control.addresses[0][1]

    async def _close(self) -> None:
        """End what hangs, and both ports."""
        self._ended.set()
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)
        await self._calls.cleanup()
        await self._control.cleanup()

    async def listen(self) -> None:
        """Take connections (again, on the same port)."""
        if self._site is None:
            self._site = web.TCPSite(self._calls, HOST, self._port, reuse_address=True)
            await self._site.start()
            self._port = self._calls.addresses[0][1]

    async def refuse(self) -> None:
        """Take no new connections, until `listen`."""
        site, self._site = self._site, None
        if site is not None:
            await site.stop()

    async def refuse_for(self, seconds: float) -> None:
        """Take no new connections for so long."""
        await self.refuse()
        if self._listening is not None:
            self._listening.cancel()
        self._listening = asyncio.create_task(self._listen_after(seconds))

    async def _listen_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self.listen()

    async def _hold(self, reply: Told) -> None:
        """Let the caller wait as the reply says."""
        if reply.wire is Wire.HANG:
            await self._ended.wait()
        elif reply.delay:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), reply.delay)

    @staticmethod
    async def _break_off(request: web.Request, reply: Told) -> web.StreamResponse:
        """End the connection before the answer is whole. A refused one is too late here: it is a reset one."""
        response = web.StreamResponse(status=reply.status)
        response.content_length = len(reply.body)
        if reply.wire is Wire.CUT:
            await response.prepare(request)
            await response.write(reply.body[: len(reply.body) // 2])
        transport = request.transport
        if transport is not None:
            if reply.wire is not Wire.CUT:
                sock = transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            transport.close()
        return response
