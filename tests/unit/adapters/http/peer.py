"""The other side of a connection, byte by byte."""

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from typing import Self

Behave = Callable[["Peer", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Peer:
    """Serves each connection by `behave`; notes what came: `requests` in full, `bytes_in` any."""

    def __init__(self, behave: Behave, tls: ssl.SSLContext | None = None) -> None:
        self.requests: list[bytes] = []
        self.connections = 0
        self.bytes_in = 0
        self.seen = asyncio.Event()
        self._behave = behave
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await asyncio.sleep(0)
        running = {task for task in self._tasks if not task.done()}
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=5)

    @property
    def url(self) -> str:
        return f"http{'s' if self._tls else ''}://localhost:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        # asyncio.streams can't tell a cancelled handler from a failed one: it must end by itself
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await self._behave(self, reader, writer)
        writer.close()
        with contextlib.suppress(ConnectionError, ssl.SSLError):
            await writer.wait_closed()

    def shrink(self) -> None:
        """Let the system take only little for connections to come."""
        assert self._server is not None
        for sock in self._server.sockets:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

    async def request(self, reader: asyncio.StreamReader) -> bytes:
        """Read one request."""
        head = await reader.readuntil(b"\r\n\r\n")
        self.bytes_in += len(head)
        length = next(
            (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
        )
        body = await reader.readexactly(length)
        self.bytes_in += length
        self.requests.append(head + body)
        self.seen.set()
        return head + body


def answer(body: bytes = b"{}", status: str = "200 OK", extra: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode() + body


def answers(*replies: bytes) -> Behave:
    """Answer a request with each, on one connection as on many, then end the connection."""
    left = list(replies)

    async def behave(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while left:
            await peer.request(reader)
            writer.write(left.pop(0))
            await writer.drain()

    return behave


async def hangs(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await peer.request(reader)
    await asyncio.Event().wait()


async def closes(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await peer.request(reader)


async def resets(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await peer.request(reader)
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def cuts(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await peer.request(reader)
    writer.write(answer(b'{"order_id":"B0"}')[:-5])
    await writer.drain()


async def says_nonsense(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await peer.request(reader)
    writer.write(b"\x16\x03\x01 what?\r\n\r\n")
    await writer.drain()


async def echoes(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    request = await peer.request(reader)
    writer.write(b"\x16 " + request.replace(b"\r\n", b" ") + b"\r\n\r\n")
    await writer.drain()
