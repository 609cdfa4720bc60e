"""The WebSocket as any client sees it: subscriptions, modes, heartbeats, pushes, and all that may go wrong."""

import asyncio
import json
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
import pytest

from alpha_panda.contracts.enums import Side
from alpha_panda.testing.kite import sockets
from alpha_panda.testing.kite.config import KiteConfig, Limits
from alpha_panda.testing.kite.core import KiteCore
from alpha_panda.testing.kite.instruments import INFY, NIFTY_50, RELIANCE, instruments
from alpha_panda.testing.kite.server import KiteServer
from alpha_panda.testing.kite.sockets import SocketAction, SocketFault, text_message
from alpha_panda.testing.kite.ticks import HEARTBEAT, STRANGE
from alpha_panda.testing.kite.wire import moment


class Client:
    """A socket; binary frames come as lists of (token, length), text as JSON."""

    def __init__(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        self.ws = ws

    async def ask(self, action: str, value: object) -> None:
        await self.ws.send_str(json.dumps({"a": action, "v": value}))

    async def next(self) -> Any:
        async with asyncio.timeout(10):
            message = await self.ws.receive()
        if message.type is aiohttp.WSMsgType.BINARY:
            return message.data if len(message.data) < 4 else packets(message.data)
        if message.type is aiohttp.WSMsgType.TEXT:
            return json.loads(message.data)
        return message.type

    async def nothing(self, seconds: float) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.ws.receive()


def packets(body: bytes) -> list[tuple[int, int]]:
    (count,), at, found = struct.unpack_from(">H", body), 2, []
    for _ in range(count):
        length, token = struct.unpack_from(">HI", body, at)
        found.append((token, length))
        at += 2 + length
    return found


@asynccontextmanager
async def connected(kite: KiteServer, token: str | None = None) -> AsyncIterator[Client]:
    query = {"api_key": kite.api_key, "access_token": token or kite.new_session()}
    async with aiohttp.ClientSession() as session, session.ws_connect(kite.ws_url, params=query) as ws:
        yield Client(ws)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let hearts beat ten times a second."""
    monkeypatch.setattr(sockets, "HEARTBEAT_SECONDS", 0.1)


async def test_subscriptions_begin_with_a_snapshot_in_quote_mode_and_then_tell_changes(
    kite: KiteServer,
) -> None:
    async with connected(kite) as client:
        await client.ask("subscribe", [RELIANCE, NIFTY_50])
        assert await client.next() == [(RELIANCE, 44), (NIFTY_50, 28)]
        kite.core.set_price(INFY, Decimal(1510), kite.now())
        kite.core.set_price(NIFTY_50, Decimal(24_100), kite.now())
        assert await client.next() == [(NIFTY_50, 28)]
        await client.ask("mode", ["full", [RELIANCE]])
        assert await client.next() == [(RELIANCE, 184)]
        await client.ask("subscribe", [RELIANCE])
        assert await client.next() == [(RELIANCE, 184)]
        await client.ask("mode", ["ltp", [INFY]])  # a mode alone subscribes
        assert await client.next() == [(INFY, 8)]
        await client.ask("unsubscribe", [RELIANCE, INFY])
        async with asyncio.timeout(10):
            while kite.hub.tokens != [NIFTY_50]:  # noqa: ASYNC110 - nothing answers an unsubscription
                await asyncio.sleep(0.001)
        kite.core.set_price(RELIANCE, Decimal(1410), kite.now())
        assert await client.next() == HEARTBEAT


@pytest.mark.parametrize(
    "text",
    ["no json", "{}", '{"a":"subscribe"}', '{"a":"subscribe","v":["738561"]}', '{"a":"subscribe","v":[true, 1.5]}',
     '{"a":"mode","v":["deep",[738561]]}', '{"a":"mode","v":["full"]}', '{"a":"other","v":[738561]}',
     '{"a":"subscribe","v":[4711]}'],
)  # fmt: skip
async def test_what_cannot_be_understood_is_passed_over(kite: KiteServer, text: str) -> None:
    async with connected(kite) as client:
        await client.ws.send_str(text)
        assert await client.next() == HEARTBEAT
        await client.ask("subscribe", [RELIANCE])
        found = await client.next()
        assert found in (HEARTBEAT, [(RELIANCE, 44)])


async def test_excess_tokens_get_an_error_and_the_others_go_on() -> None:
    async with (
        KiteServer(config=KiteConfig(limits=Limits(tokens_per_socket=2))) as kite,
        connected(kite) as client,
    ):
        await client.ask("subscribe", [RELIANCE, INFY, NIFTY_50])
        error = await client.next()
        assert (error["type"], "2 instruments" in error["data"]) == ("error", True)
        assert await client.next() == [(RELIANCE, 44), (INFY, 44)]
        await client.ask("mode", ["full", [RELIANCE]])
        assert await client.next() == [(RELIANCE, 184)]


async def test_many_changes_come_in_several_frames_and_only_the_newest_state() -> None:
    core = KiteCore(dump=instruments(moment(0).date(), 1200))
    async with KiteServer(core) as kite, connected(kite) as client:
        tokens = [item.token for item in core.dump]
        await client.ask("subscribe", tokens)
        frames = [await client.next() for _ in range(3)]
        assert [len(frame) for frame in frames] == [500, 500, 200]
        assert [token for frame in frames for token, _ in frame] == tokens
        for price in range(1401, 1450):
            core.set_price(RELIANCE, Decimal(price), kite.now())
        assert await client.next() == [(RELIANCE, 44)]
        assert await client.next() == HEARTBEAT


async def test_prices_move_by_themselves_if_they_are_told_to() -> None:
    async with KiteServer(ticks_per_second=500) as kite, connected(kite) as client:
        await client.ask("subscribe", [RELIANCE, INFY])
        await client.next()
        seen = {token for _ in range(5) for token, _ in await client.next()}
        assert seen == {RELIANCE, INFY}
        kite.core.configure(sessions=[])
        async with asyncio.timeout(10):
            while await client.next() != HEARTBEAT:
                pass
        before = kite.core.market.price(RELIANCE)
        assert await client.next() == HEARTBEAT  # closed
        assert kite.core.market.price(RELIANCE) == before


async def test_changes_of_orders_come_unasked(kite: KiteServer) -> None:
    async with connected(kite) as client:
        await arrived(kite)
        placed = kite.core.trade_elsewhere(RELIANCE, Side.SELL, 3, kite.now())
        pushed = await client.next()
        assert pushed["type"] == "order"
        row = pushed["data"]
        assert (row["order_id"], row["status"], row["filled_quantity"]) == (placed.order_id, "COMPLETE", 3)
        assert (row["checksum"], row["user_id"]) == ("", kite.user_id)


async def arrived(kite: KiteServer, count: int = 1) -> None:
    async with asyncio.timeout(10):
        while len(kite.hub.sockets) < count:  # noqa: ASYNC110 - the server's side of an upgrade
            await asyncio.sleep(0.001)


async def refused(kite: KiteServer, token: str | None = None) -> int:
    with pytest.raises(aiohttp.WSServerHandshakeError) as info:
        async with connected(kite, token):
            pass
    return info.value.status


async def test_the_upgrade_is_refused_to_strangers_and_to_the_fourth(kite: KiteServer) -> None:
    token = kite.new_session()
    assert await refused(kite, "wrong") == 403
    async with connected(kite, token), connected(kite, token), connected(kite, token):
        assert await refused(kite, token) == 429
    kite.core.expire_token()
    assert await refused(kite, token) == 403
    await kite.hub.apply(SocketFault(action="refuse", code=503, times=2))
    assert [await refused(kite), await refused(kite)] == [503, 503]
    async with connected(kite):
        assert kite.hub.upgrades_seen == 9


async def test_an_expired_token_closes_no_open_socket(kite: KiteServer) -> None:
    async with connected(kite) as client:
        kite.core.expire_token()
        await client.ask("subscribe", [RELIANCE])
        assert await client.next() == [(RELIANCE, 44)]


async def test_a_silent_socket_says_nothing_at_all_for_a_while(kite: KiteServer) -> None:
    async with connected(kite) as client:
        await client.ask("subscribe", [RELIANCE])
        await client.next()
        await kite.hub.apply(SocketFault(action="silent", seconds=0.5))
        kite.core.set_price(RELIANCE, Decimal(1410), kite.now())
        await client.nothing(0.4)
        assert await client.next() == [(RELIANCE, 44)]


async def test_a_starved_socket_only_beats(kite: KiteServer) -> None:
    async with connected(kite) as client:
        await client.ask("subscribe", [RELIANCE])
        await client.next()
        await kite.hub.apply(SocketFault(action="starve", seconds=0.25))
        kite.core.set_price(RELIANCE, Decimal(1410), kite.now())
        assert [await client.next() for _ in range(2)] == [HEARTBEAT, HEARTBEAT]
        async with asyncio.timeout(10):
            while await client.next() == HEARTBEAT:
                pass


@pytest.mark.parametrize(
    ("action", "code", "ends"),
    [
        ("abort", 0, aiohttp.WSMsgType.CLOSED),
        ("close", 1001, aiohttp.WSMsgType.CLOSE),
        ("close", 1011, aiohttp.WSMsgType.CLOSE),
    ],
)
async def test_a_socket_may_end_with_or_without_a_word(
    kite: KiteServer, action: SocketAction, code: int, ends: aiohttp.WSMsgType
) -> None:
    async with connected(kite) as client:
        await arrived(kite)
        await kite.hub.apply(SocketFault(action=action, code=code))
        async with asyncio.timeout(10):
            while (got := await client.next()) == HEARTBEAT:
                pass
        assert got in (ends, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)
        assert client.ws.close_code == (code or 1006)
    async with connected(kite) as client:
        assert await client.next() == HEARTBEAT


async def test_strange_frames_and_texts_come_as_they_are(kite: KiteServer) -> None:
    async with connected(kite) as client:
        await arrived(kite)
        await kite.hub.apply(SocketFault(action="strange"))
        await kite.hub.apply(SocketFault(action="truncated"))
        await kite.hub.apply(SocketFault(action="text", text=text_message("message", "hello")))
        received = [await client.ws.receive() for _ in range(3)]
        assert [message.data for message in received[:2]] == [STRANGE, STRANGE[:-4]]
        assert json.loads(received[2].data) == {"type": "message", "data": "hello"}
        await kite.hub.apply(SocketFault(action="ping"))
        assert await client.next() == HEARTBEAT


async def test_pushes_may_be_lost_doubled_or_out_of_order(kite: KiteServer) -> None:
    async with connected(kite) as client:
        await arrived(kite)
        await kite.hub.apply(SocketFault(action="lose"))
        ids = [kite.core.trade_elsewhere(RELIANCE, Side.BUY, 1, kite.now()).order_id]
        await kite.hub.apply(SocketFault(action="duplicate"))
        ids.append(kite.core.trade_elsewhere(RELIANCE, Side.BUY, 1, kite.now()).order_id)
        await kite.hub.apply(SocketFault(action="reorder"))
        ids += [kite.core.trade_elsewhere(RELIANCE, Side.BUY, 1, kite.now()).order_id for _ in range(2)]
        came = [(await client.next())["data"]["order_id"] for _ in range(4)]
        assert came == [ids[1], ids[1], ids[3], ids[2]]
