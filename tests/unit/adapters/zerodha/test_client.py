"""What leaves for Kite, byte by byte, and that it leaves once."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from alpha_panda.adapters.clock import RealClock
from alpha_panda.adapters.http.exchange import Answer, NotSent, Unanswered
from alpha_panda.adapters.zerodha.client import KiteClient
from alpha_panda.adapters.zerodha.orders import Request
from alpha_panda.adapters.zerodha.session import SessionFile
from alpha_panda.contracts.codes import Code

from .rest_kit import SECOND, write_files

ORDER = Request("POST", "/orders/regular", (("tradingsymbol", "M&M"), ("tag", "x")))
BAD_TOKEN = b'{"status":"error","message":"Incorrect `access_token`.","error_type":"TokenException"}'
BAD_PLAN = b'{"status":"error","message":"Insufficient permission","error_type":"PermissionException"}'


class Peer:
    """Notes what comes and answers as told."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, dict[str, str], bytes]] = []
        self.connections: set[object] = set()
        self.answer = (200, b'{"status":"success","data":{"order_id":"1"}}')
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append((request.method, request.raw_path, dict(request.headers), await request.read()))
        self.connections.add(request.transport)
        status, body = self.answer
        if status == 0:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=status or 200, body=body, content_type="application/json")


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    peer = Peer()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", peer.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    peer.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield peer
    await runner.cleanup()


@pytest.fixture
def session(tmp_path: Path) -> SessionFile:
    clock = RealClock()
    write_files(tmp_path, login_at=clock.now(), expires_at=clock.now() + 3600 * SECOND)
    return SessionFile(tmp_path, clock)


@pytest.fixture
async def client(peer: Peer, session: SessionFile) -> AsyncIterator[KiteClient]:
    async with KiteClient(RealClock(), peer.url, session, send_within=1, request_seconds=1) as client:
        yield client


async def test_an_order_is_a_form_with_the_days_token(peer: Peer, client: KiteClient) -> None:
    assert isinstance(await client.write(ORDER, client.deadline()), Answer)
    ((method, path, headers, body),) = peer.seen
    assert (method, path, body) == ("POST", "/orders/regular", b"tradingsymbol=M%26M&tag=x")
    assert headers["Authorization"] == "token key:tokenone"
    assert headers["X-Kite-Version"] == "3"
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"


async def test_a_cancellation_has_no_body(peer: Peer, client: KiteClient) -> None:
    await client.write(Request("DELETE", "/orders/regular/1"), client.deadline())
    ((method, path, headers, body),) = peer.seen
    assert (method, path, body) == ("DELETE", "/orders/regular/1", b"")
    assert headers["Authorization"] == "token key:tokenone"


async def test_each_order_has_a_connection_of_its_own_and_readings_share_theirs(
    peer: Peer, client: KiteClient
) -> None:
    for _ in range(3):
        await client.write(ORDER, client.deadline())
    assert len(peer.connections) == 3
    for _ in range(3):
        await client.read("/orders", client.deadline())
    assert len(peer.connections) == 4


async def test_without_a_session_nothing_leaves(peer: Peer, client: KiteClient, session: SessionFile) -> None:
    session.current()
    session.mark_dead("tokenone")
    for exchange in (
        await client.write(ORDER, client.deadline()),
        await client.read("/orders", client.deadline()),
    ):
        assert isinstance(exchange, NotSent)
        assert exchange.code is Code.ACCESS_TOKEN_EXPIRED
    assert peer.seen == []


@pytest.mark.parametrize(
    ("answer", "dead"),
    [
        ((403, BAD_TOKEN), True),
        ((403, BAD_PLAN), False),
        ((403, b"Forbidden"), False),
        ((400, BAD_TOKEN), False),
        ((500, BAD_TOKEN), False),
        ((200, b"{}"), False),
    ],
)
async def test_only_kites_own_word_ends_a_token(
    peer: Peer, client: KiteClient, session: SessionFile, answer: tuple[int, bytes], dead: bool
) -> None:
    peer.answer = answer
    await client.read("/orders", client.deadline())
    assert (session.current() is None) is dead


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
async def test_a_connection_that_dies_under_a_call_is_not_tried_again(
    peer: Peer, client: KiteClient, method: str
) -> None:
    """aiohttp repeats GET and DELETE by itself when a connection that was kept turns out to be dead."""
    await client.read("/orders", client.deadline())
    peer.seen.clear()
    peer.answer = (0, b"")
    request = Request(method, "/x", ORDER.form if method == "POST" else ())
    exchange = (
        await client.read("/x", client.deadline())
        if method == "GET"
        else await client.write(request, client.deadline())
    )
    assert isinstance(exchange, Unanswered)
    assert len(peer.seen) == 1


async def test_a_token_that_is_renewed_is_used_at_once(
    peer: Peer, client: KiteClient, tmp_path: Path
) -> None:
    await client.read("/a", client.deadline())
    now = RealClock().now()
    write_files(tmp_path, access_token="tokentwo", login_at=now, expires_at=now + SECOND * 60)  # noqa: S106 - of a test
    async with asyncio.timeout(5):
        while peer.seen[-1][2]["Authorization"] != "token key:tokentwo":
            await asyncio.sleep(0.05)
            await client.read("/a", client.deadline())


async def test_no_message_tells_the_token(peer: Peer, client: KiteClient) -> None:
    peer.answer = (0, b"")
    told = [
        str(await client.write(ORDER, client.deadline())),
        str(await client.write(ORDER, RealClock().monotonic())),
    ]
    assert not any("tokenone" in text for text in told)
