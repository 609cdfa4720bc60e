"""The local Kite on real sockets: what a caller sees of every misbehaviour, the log-in page, postbacks."""

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from alpha_panda.adapters.clock import RealClock
from alpha_panda.contracts.enums import Side
from alpha_panda.testing.kite import faults
from alpha_panda.testing.kite.config import Delays, KiteConfig
from alpha_panda.testing.kite.faults import PlaceFault
from alpha_panda.testing.kite.instruments import RELIANCE
from alpha_panda.testing.kite.request import Request
from alpha_panda.testing.kite.server import KiteServer
from alpha_panda.testing.kite.tokens import checksum

from .desk_kit import market, order


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def headers(kite: KiteServer, **more: str) -> dict[str, str]:
    return {"Authorization": f"token {kite.api_key}:{kite.new_session()}", **more}


async def test_an_order_goes_in_and_stands_in_the_book(kite: KiteServer, http: aiohttp.ClientSession) -> None:
    known = headers(kite)
    form = order(tradingsymbol="M&M", price=2990)
    async with http.post(f"{kite.url}/orders/regular", data=form, headers=known) as response:
        assert (response.status, response.content_type) == (200, "application/json")
        placed = (await response.json())["data"]["order_id"]
    async with http.get(f"{kite.url}/orders", headers=known) as response:
        (row,) = (await response.json())["data"]
    assert (row["order_id"], row["tradingsymbol"], row["status"]) == (placed, "M&M", "OPEN")
    async with http.delete(f"{kite.url}/orders/regular/{placed}", headers=known) as response:
        assert response.status == 200
    assert [request.path for request in kite.requests_seen] == [
        "/orders/regular",
        "/orders",
        f"/orders/regular/{placed}",
    ]
    assert kite.requests_seen[0].form["tag"] == "ap1"


async def test_answers_are_packed_for_those_who_can_read_that(kite: KiteServer) -> None:
    address = f"{kite.url}/instruments"
    async with aiohttp.ClientSession(auto_decompress=False) as http:
        async with http.get(address, headers=headers(kite, **{"Accept-Encoding": "gzip"})) as response:
            assert response.headers["Content-Encoding"] == "gzip"
            packed = gzip.decompress(await response.read())
        async with http.get(address, headers=headers(kite, **{"Accept-Encoding": "identity"})) as response:
            assert "Content-Encoding" not in response.headers
            assert await response.read() == packed == kite.core.dump.csv()


async def sent(kite: KiteServer, patience: float = 5) -> bytes | None:
    """Return every byte that comes back for an order, None if the connection is reset."""
    host, port = kite.url.removeprefix("http://").split(":")
    body = "&".join(f"{name}={value}" for name, value in order().items()).encode()
    head = (
        f"POST /orders/regular HTTP/1.1\r\nHost: {host}\r\nAuthorization: token {kite.api_key}:{kite.new_session()}\r\n"
        f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(head.encode() + body)
        async with asyncio.timeout(patience):
            return await reader.read()
    except ConnectionResetError:
        return None
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest.mark.parametrize("fault", [faults.drop_reply(), faults.refuse_connection()])
async def test_a_lost_reply_is_a_reset_connection(kite: KiteServer, fault: PlaceFault) -> None:
    kite.core.plan(fault)
    assert await sent(kite) is None
    assert len(kite.core.orders) == fault.copies


async def test_an_answer_may_be_cut_or_never_come_or_come_late(kite: KiteServer) -> None:
    kite.core.plan(faults.cut_reply())
    cut = await sent(kite)
    assert cut is not None
    head, _, body = cut.partition(b"\r\n\r\n")
    told = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    assert 0 < len(body) < told
    kite.core.plan(faults.hang())
    with pytest.raises(TimeoutError):
        await sent(kite, patience=0.1)
    kite.core.plan(faults.slow(0.1))
    before = RealClock().monotonic()
    assert b"success" in (await sent(kite) or b"")
    assert RealClock().monotonic() - before >= 100_000_000


async def test_an_answer_may_lack_its_type(kite: KiteServer) -> None:
    kite.core.plan(faults.no_content_type(accepts=True))
    answer = await sent(kite)
    assert answer is not None
    assert answer.startswith(b"HTTP/1.1 200")
    assert b"content-type" not in answer.lower()
    assert answer.endswith(b"}")
    assert b"Content-Type: application/json" in (await sent(kite) or b"")


async def test_no_connections_are_taken_for_a_while(kite: KiteServer) -> None:
    assert await sent(kite)
    await kite.refuse_for(0.1)
    with pytest.raises(ConnectionRefusedError):
        await sent(kite)
    async with asyncio.timeout(10):
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                assert await sent(kite)
                break
            await asyncio.sleep(0.01)


async def test_what_is_due_happens_without_a_call() -> None:
    told = asyncio.Event()
    async with KiteServer(config=KiteConfig(delays=Delays(open_pending=0.05))) as kite:
        kite.core.listeners.append(lambda _: told.set())
        assert await sent(kite)
        (placed,) = kite.core.orders.values()
        assert placed.status == "OPEN PENDING"
        kite.core.set_price(RELIANCE, Decimal(1380), kite.now())
        async with asyncio.timeout(10):
            await told.wait()
        assert (placed.status, placed.filled) == ("COMPLETE", 10)


async def test_the_log_in_page_shows_the_token_or_leads_on(
    kite: KiteServer, http: aiohttp.ClientSession
) -> None:
    query = {"v": "3", "api_key": kite.api_key, "redirect_params": "some=X%26more%3DY"}
    async with http.get(kite.login_url, params=query) as response:
        token = (await response.text()).split("<code>")[1].split("</code>")[0]
    assert token.isalnum()
    kite.core.configure(redirect_url="http://127.0.0.1:1/done?mine=1")
    async with http.get(kite.login_url, params=query, allow_redirects=False) as response:
        target = URL(response.headers["Location"])
    assert (response.status, target.path, target.query["mine"], target.query["status"]) == (
        302,
        "/done",
        "1",
        "success",
    )
    form = {
        "api_key": kite.api_key,
        "request_token": target.query["request_token"],
        "checksum": checksum(kite.api_key, target.query["request_token"], kite.api_secret),
    }
    async with http.post(f"{kite.url}/session/token", data=form) as response:
        assert (await response.json())["data"]["user_id"] == kite.user_id
    async with http.get(kite.login_url, params={"api_key": "other"}) as response:
        assert response.status == 400


async def test_changes_of_the_apps_own_orders_are_posted_and_signed(kite: KiteServer) -> None:
    posted: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def take(request: web.Request) -> web.Response:
        await posted.put(await request.json())
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", take)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        kite.core.configure(postback_url=f"http://127.0.0.1:{port}/hook")
        kite.core.square_off(kite.now())
        kite.core.trade_elsewhere(RELIANCE, Side.BUY, 1, kite.now())
        kite.postbacks.lose = 1
        place(kite)
        kite.postbacks.duplicate = 1
        wanted = place(kite)
        async with asyncio.timeout(10):
            bodies = [await posted.get(), await posted.get()]
        assert bodies[0] == bodies[1]
        body = bodies[0]
        assert (body["order_id"], body["status"]) == (wanted, "COMPLETE")
        assert body["checksum"] == checksum(wanted, body["order_timestamp"], kite.api_secret)
        assert posted.empty()
    finally:
        await runner.cleanup()


async def test_a_postback_that_nobody_takes_is_lost(kite: KiteServer) -> None:
    kite.core.configure(postback_url="http://127.0.0.1:1/hook")
    place(kite)
    await asyncio.gather(*kite.postbacks.under_way)
    assert kite.postbacks.failed == 1


def place(kite: KiteServer) -> str:
    """Have an order traded, without a call over the wire."""
    authorization = f"token {kite.api_key}:{kite.new_session()}"
    call = Request(method="POST", path="/orders/regular", form=order(**market()), authorization=authorization)
    assert kite.api.handle(call, kite.now()).status == 200
    return list(kite.core.orders)[-1]
