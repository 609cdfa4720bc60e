"""The proxy loses, holds, cuts and delays exactly what it was told to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from alpha_panda.testing.servers.proxy import FaultyProxy

MUTE = 0.05
"""Seconds in which an echo on the loopback would have come many times over."""


class Echo:
    """Answers each request with itself, and remembers what came."""

    def __init__(self) -> None:
        self.heard = b""
        self.more = asyncio.Condition()
        self.tasks: list[asyncio.Task[None]] = []

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.tasks.append(asyncio.create_task(self.serve(reader, writer)))

    async def hears(self, all_of_it: bytes) -> None:
        """Return when all that came is `all_of_it`."""
        async with asyncio.timeout(10), self.more:
            await self.more.wait_for(lambda: self.heard == all_of_it)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(1000):
                async with self.more:
                    self.heard += data
                    self.more.notify_all()
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, request: bytes) -> bytes:
        """Return the reply; b"" when the connection ends, in order or not."""
        try:
            self._writer.write(request)
            await self._writer.drain()
            return await self._reader.read(1000)
        except ConnectionError:
            return b""


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def proxy(echo: Echo) -> AsyncIterator[FaultyProxy]:
    server = await asyncio.start_server(echo.accept, "127.0.0.1", 0)
    async with FaultyProxy("127.0.0.1", server.sockets[0].getsockname()[1]) as proxy:
        yield proxy
    server.close()
    await asyncio.gather(*echo.tasks)
    await server.wait_closed()


@asynccontextmanager
async def connected(proxy: FaultyProxy) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    yield Client(reader, writer)
    writer.close()


async def test_without_faults_it_only_forwards(proxy: FaultyProxy) -> None:
    async with connected(proxy) as client:
        assert await client.ask(b"one") == b"one"
        assert await client.ask(b"two") == b"two"
        assert proxy.connections == 1


async def test_dropped_reply_leaves_the_connection_mute(proxy: FaultyProxy, echo: Echo) -> None:
    proxy.drop_reply()
    async with connected(proxy) as client, connected(proxy) as other:
        asked = asyncio.create_task(client.ask(b"one"))
        await echo.hears(b"one")
        await asyncio.wait([asked], timeout=MUTE)
        assert not asked.done()
        assert await other.ask(b"two") == b"two"
        asked.cancel()


async def test_fault_waits_for_its_request_and_its_reply(proxy: FaultyProxy) -> None:
    proxy.reset_reply(lambda request: b"x" in request, lambda reply: reply != b"x1")
    async with connected(proxy) as client:
        assert await client.ask(b"one") == b"one"
        assert await client.ask(b"x1") == b"x1"
        assert await client.ask(b"x2") == b""
    async with connected(proxy) as client:
        assert await client.ask(b"x3") == b"x3"  # met once


async def test_reset_reply_comes_after_the_request(proxy: FaultyProxy, echo: Echo) -> None:
    proxy.reset_reply()
    async with connected(proxy) as client:
        assert await client.ask(b"one") == b""
    assert echo.heard == b"one"


async def test_cut_request(proxy: FaultyProxy, echo: Echo) -> None:
    proxy.cut_request(2)
    async with connected(proxy) as client:
        assert await client.ask(b"one") == b""
    async with connected(proxy) as client:
        assert await client.ask(b"two") == b"two"
    assert echo.heard == b"ontwo"


async def test_refused_connections(proxy: FaultyProxy, echo: Echo) -> None:
    proxy.refuse(2)
    for _ in range(2):
        async with connected(proxy) as client:
            assert await client.ask(b"one") == b""
    async with connected(proxy) as client:
        assert await client.ask(b"two") == b"two"
    assert echo.heard == b"two"


async def test_held_replies_come_when_released(proxy: FaultyProxy, echo: Echo) -> None:
    proxy.hang()
    async with connected(proxy) as client:
        asked = asyncio.create_task(client.ask(b"one"))
        await echo.hears(b"one")
        await asyncio.wait([asked], timeout=MUTE)
        assert not asked.done()
        proxy.release()
        assert await asked == b"one"


async def test_delay_is_waited(proxy: FaultyProxy) -> None:
    proxy.delay = MUTE
    async with connected(proxy) as client:
        before = asyncio.get_running_loop().time()
        assert await client.ask(b"one") == b"one"
        assert asyncio.get_running_loop().time() - before >= MUTE


async def test_reset_ends_all_connections(proxy: FaultyProxy) -> None:
    async with connected(proxy) as client:
        await client.ask(b"one")
        proxy.reset()
        assert await client.ask(b"two") == b""


async def test_nobody_behind_it(unused_tcp_port: int) -> None:
    async with FaultyProxy("127.0.0.1", unused_tcp_port) as proxy, connected(proxy) as client:
        assert await client.ask(b"one") == b""
