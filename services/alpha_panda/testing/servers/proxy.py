"""A TCP proxy on the loopback that loses, holds, cuts or delays what passes through it, on command.

async with FaultyProxy("127.0.0.1", server.port) as proxy:
    client = connect("127.0.0.1", proxy.port)
    proxy.drop_reply()          # the next request is carried out, its reply never arrives
"""

import asyncio
import socket
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Final, Self

_CHUNK: Final = 1 << 16
_LINGER_NONE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER of 0 s: closing resets the connection."""

Matches = Callable[[bytes], bool]
"""Whether bytes that a client sends, or a server answers, are those that a fault waits for."""


class _Kind(Enum):
    DROP_REPLY = "drop reply"
    RESET_REPLY = "reset instead of the reply"
    CUT_REQUEST = "cut request"


@dataclass(slots=True)
class _Fault:
    kind: _Kind
    request: Matches
    reply: Matches
    size: int = 0


@dataclass(slots=True, eq=False)
class _Link:
    """One connection through the proxy: the client's two streams, the server's, and the fault that it has met."""

    client: tuple[StreamReader, StreamWriter]
    server: tuple[StreamReader, StreamWriter]
    fault: _Fault | None = None


def anything(_data: bytes) -> bool:
    """Match all."""
    return True


class FaultyProxy:
    """Forwards connections to `host:port` from a free port of its own. Faults planned with `plan` are met in order.

    A request is what a client writes at once: keep requests of a test below 64 KiB.
    """

    def __init__(self, host: str, port: int) -> None:
        self.port = 0
        self.delay = 0.0
        """Seconds by which each reply is late."""
        self._target = (host, port)
        self._refusals = 0
        self._faults: list[_Fault] = []
        self._links: set[_Link] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        self.release()
        self.reset()
        await asyncio.gather(*self._serving)
        if self._server is not None:
            await self._server.wait_closed()

    @property
    def connections(self) -> int:
        """How many connections pass through now."""
        return len(self._links)

    # ---------------------------------------------------------------------------------------------- faults

    def refuse(self, count: int = 1) -> None:
        """Close the next `count` connections as soon as they are made."""
        self._refusals += count

    def drop_reply(self, request: Matches = anything, reply: Matches = anything) -> None:
        """Let the next matching request through, swallow its (matching) reply, keep the connection open and mute."""
        self._faults.append(_Fault(_Kind.DROP_REPLY, request, reply))

    def reset_reply(self, request: Matches = anything, reply: Matches = anything) -> None:
        """Let the next matching request through and reset the connection instead of its reply."""
        self._faults.append(_Fault(_Kind.RESET_REPLY, request, reply))

    def cut_request(self, size: int, request: Matches = anything) -> None:
        """Forward only the first `size` bytes of the next matching request, then reset the connection."""
        self._faults.append(_Fault(_Kind.CUT_REQUEST, request, anything, size))

    def hang(self) -> None:
        """Hold all replies back until `release`; requests still pass."""
        self._flowing.clear()

    def release(self) -> None:
        """Let held replies go."""
        self._flowing.set()

    def reset(self) -> None:
        """Reset all connections."""
        for link in list(self._links):
            _reset(link.client[1])
            _reset(link.server[1])

    # ----------------------------------------------------------------------------------------------- work

    def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        if self._refusals:
            self._refusals -= 1
            _reset(writer)
            return
        try:
            server = await asyncio.open_connection(*self._target)
        except OSError:
            _reset(writer)
            return
        link = _Link((reader, writer), server)
        self._links.add(link)
        tasks = [asyncio.create_task(self._requests(link)), asyncio.create_task(self._replies(link))]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._links.discard(link)
        for _, end in (link.client, link.server):
            end.close()

    async def _requests(self, link: _Link) -> None:
        with suppress(OSError):
            while data := await link.client[0].read(_CHUNK):
                if link.fault is None:
                    link.fault = self._met(data)
                if link.fault is not None and link.fault.kind is _Kind.CUT_REQUEST:
                    link.server[1].write(data[: link.fault.size])
                    await link.server[1].drain()
                    _reset(link.client[1])
                    return
                link.server[1].write(data)
                await link.server[1].drain()

    async def _replies(self, link: _Link) -> None:
        with suppress(OSError):
            while data := await link.server[0].read(_CHUNK):
                if self.delay:
                    await asyncio.sleep(self.delay)
                await self._flowing.wait()
                if link.fault is not None and not link.fault.reply(data):
                    self._faults.insert(0, link.fault)
                    link.fault = None
                if link.fault is None:
                    link.client[1].write(data)
                    await link.client[1].drain()
                elif link.fault.kind is _Kind.RESET_REPLY:
                    _reset(link.client[1])
                    return

    def _met(self, request: bytes) -> _Fault | None:
        if self._faults and self._faults[0].request(request):
            return self._faults.pop(0)
        return None


def _reset(writer: StreamWriter) -> None:
    """Close with a reset, as a machine that has died and come back would."""
    connection: socket.socket | None = writer.get_extra_info("socket")
    if connection is not None:
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NONE)
    writer.transport.abort()
