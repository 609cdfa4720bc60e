"""A WebSocket server that does what a test tells it, and the files of a session for it."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import WSMsgType, web

from alpha_panda.adapters.clock import RealClock
from alpha_panda.adapters.zerodha.session import Session, SessionFile, write_session
from alpha_panda.adapters.zerodha.socket import SocketOptions
from alpha_panda.contracts.units import SECOND_NS

USER = "AB1234"
HEARTBEAT = b"\x00"
PATIENCE = 10.0


class Connection:
    """One client as the server sees it."""

    def __init__(self, socket: web.WebSocketResponse, request: web.Request) -> None:
        self.socket = socket
        self.query = dict(request.query)
        self.headers = request.headers
        self._transport = request.transport
        self.messages: list[Any] = []
        self.pongs = 0
        self.ended = asyncio.Event()
        self.closed_politely = False
        self._heard = asyncio.Event()

    @property
    def named(self) -> str:
        """The access token that it came with."""
        return self.query["access_token"]

    def heard(self, message: Any) -> None:
        self.messages.append(message)
        self._heard.set()

    async def until(self, count: int) -> list[Any]:
        """Wait for so many messages of the client."""
        async with asyncio.timeout(PATIENCE):
            while len(self.messages) < count:
                self._heard.clear()
                await self._heard.wait()
        return self.messages

    async def frame(self, data: bytes) -> None:
        await self.socket.send_bytes(data)

    async def text(self, value: Any) -> None:
        await self.socket.send_str(value if isinstance(value, str) else json.dumps(value))

    def abort(self) -> None:
        """Reset the connection without a word."""
        assert self._transport is not None
        self._transport.abort()


class Peer:
    """The server. `refuse`: statuses that the next handshakes are answered with."""

    def __init__(self) -> None:
        self.url = ""
        self.refuse: list[int] = []
        self.handshakes: list[dict[str, str]] = []
        self.connections: list[Connection] = []
        self._arrived = asyncio.Event()

    @property
    def living(self) -> int:
        return sum(not one.ended.is_set() for one in self.connections)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.handshakes.append(dict(request.query))
        self._arrived.set()
        if self.refuse:
            return web.Response(status=self.refuse.pop(0))
        socket = web.WebSocketResponse(autoping=False)
        await socket.prepare(request)
        connection = Connection(socket, request)
        self.connections.append(connection)
        self._arrived.set()
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT:
                    connection.heard(json.loads(message.data))
                elif message.type is WSMsgType.PONG:
                    connection.pongs += 1
                    connection.heard("pong")
            connection.closed_politely = socket.close_code is not None and socket.close_code != 1006
        finally:
            connection.ended.set()
        return socket

    async def connection(self, number: int = 1) -> Connection:
        """Wait for the connection of that number, from 1 on."""
        await self._until(lambda: len(self.connections) >= number)
        return self.connections[number - 1]

    async def handshake(self, number: int = 1) -> dict[str, str]:
        """Wait for the handshake of that number, refused ones too."""
        await self._until(lambda: len(self.handshakes) >= number)
        return self.handshakes[number - 1]

    async def _until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not holds():
                self._arrived.clear()
                await self._arrived.wait()


@asynccontextmanager
async def serving() -> AsyncIterator[Peer]:
    peer = Peer()
    app = web.Application()
    app.router.add_get("/{path:.*}", peer.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        peer.url = f"ws://127.0.0.1:{runner.addresses[0][1]}"
        yield peer
    finally:
        for connection in peer.connections:
            if not connection.ended.is_set():
                connection.abort()
        await runner.cleanup()


class Login:
    """The files of an account."""

    def __init__(self, folder: Path, clock: RealClock) -> None:
        self._folder = folder
        self._clock = clock
        self.file = SessionFile(folder, clock, USER)

    def write(self, word: str, seconds: float = 3600) -> None:
        """Log in: another access token, for so long."""
        now = self._clock.now()
        write_session(
            self._folder,
            Session(
                user_id=USER,
                api_key="key",
                access_token=word,
                login_at=now,
                expires_at=now + round(seconds * SECOND_NS),
            ),
        )


def quick(url: str, **changes: Any) -> SocketOptions:
    """Options for tests: nothing takes long."""
    given: dict[str, Any] = {
        "silent_seconds": 5.0,
        "reconnect_initial_seconds": 0.01,
        "reconnect_max_seconds": 0.05,
        "throttled_seconds": 0.05,
        "look_seconds": 0.02,
    }
    return SocketOptions(url=url, **{**given, **changes})


def chance() -> random.Random:
    return random.Random(1)
