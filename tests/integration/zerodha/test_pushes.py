"""Order pushes against the local Kite: over the socket and by postbacks, as one stream."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest

from alpha_panda.adapters.clock import RealClock
from alpha_panda.adapters.zerodha.postbacks import PostbackServer
from alpha_panda.adapters.zerodha.session import Session, SessionFile, write_session
from alpha_panda.adapters.zerodha.socket import SocketOptions
from alpha_panda.adapters.zerodha.updates import OrderPushes, order_updates
from alpha_panda.contracts.enums import OrderStatus
from alpha_panda.contracts.instruments import Instrument, InstrumentMaster
from alpha_panda.contracts.stored import BrokerRow
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.testing.kite.config import KiteConfig
from alpha_panda.testing.kite.server import KiteServer
from alpha_panda.testing.kite.sockets import SocketFault

PATIENCE = 15.0
RELIANCE = Instrument(738561, "NSE:RELIANCE", Decimal("0.05"))


class Case:
    def __init__(self, kite: KiteServer, folder: Path, pushes: OrderPushes) -> None:
        self.kite = kite
        self.pushes = pushes
        self.clock = RealClock()
        self.session = SessionFile(folder, self.clock, kite.user_id)
        now, self.word = self.clock.now(), kite.new_session()
        write_session(
            folder,
            Session(
                user_id=kite.user_id,
                api_key=kite.api_key,
                access_token=self.word,
                login_at=now,
                expires_at=now + 3600 * SECOND_NS,
            ),
        )

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncIterator[BrokerRow | None]]:
        options = SocketOptions(self.kite.ws_url, reconnect_initial_seconds=0.05, look_seconds=0.05)
        stream = order_updates(
            self.pushes,
            options,
            clock=self.clock,
            session=self.session,
            chance=random.Random(1),
            in_session=lambda _: True,
        )
        try:
            yield stream
        finally:
            await cast("Any", stream).aclose()

    async def call(self, method: str, path: str, **form: str) -> str:
        headers = {"X-Kite-Version": "3", "Authorization": f"token {self.kite.api_key}:{self.word}"}
        async with (
            aiohttp.ClientSession(headers=headers) as client,
            client.request(method, self.kite.url + path, data=form) as answer,
        ):
            return str((await answer.json())["data"]["order_id"])

    async def resting(self) -> str:
        """Place a limit order far away."""
        low, _ = self.kite.core.dump.by_key[RELIANCE.symbol].limits
        return await self.call(
            "POST",
            "/orders/regular",
            exchange="NSE",
            tradingsymbol="RELIANCE",
            transaction_type="BUY",
            order_type="LIMIT",
            quantity="1",
            product="MIS",
            validity="DAY",
            price=str(low),
            tag="apaaaaaaaaaaaaaaaaaa",
        )

    async def cancel(self, order: str) -> None:
        await self.call("DELETE", f"/orders/regular/{order}")


def pushes() -> OrderPushes:
    return OrderPushes("AB1234", lambda: InstrumentMaster.of([RELIANCE]))


@pytest.fixture
async def case(tmp_path: Path) -> AsyncIterator[Case]:
    async with KiteServer() as kite:
        yield Case(kite, tmp_path, pushes())


async def row_of(stream: AsyncIterator[BrokerRow | None]) -> BrokerRow:
    """Return the next row."""
    async with asyncio.timeout(PATIENCE):
        while (row := await anext(stream)) is None:
            pass
        return row


async def connected(case: Case, stream: AsyncIterator[BrokerRow | None], upgrades: int = 1) -> None:
    """Wait for a connection that the broker knows of."""
    assert await anext(stream) is None
    async with asyncio.timeout(PATIENCE):
        while case.kite.hub.upgrades_seen < upgrades or not case.kite.hub.sockets:  # noqa: ASYNC110 - of a server
            await asyncio.sleep(0.01)


async def test_a_cancelled_order_is_told_with_its_tag(case: Case) -> None:
    async with case.reading() as stream:
        await connected(case, stream)
        order = await case.resting()
        await case.cancel(order)
        row = await row_of(stream)
    assert (row.broker_order_id, row.tag, row.symbol) == (order, "apaaaaaaaaaaaaaaaaaa", RELIANCE.symbol)
    assert (row.status, row.filled_quantity) == (OrderStatus.CANCELLED, 0)


async def test_what_was_missed_while_there_was_no_connection_is_a_none(case: Case) -> None:
    async with case.reading() as stream:
        await connected(case, stream)
        order = await case.resting()
        await case.kite.hub.apply(SocketFault(action="abort"))
        await case.cancel(order)
        async with asyncio.timeout(PATIENCE):
            assert await anext(stream) is None


async def test_duplicates_come_twice_and_lost_ones_never(case: Case) -> None:
    async with case.reading() as stream:
        await connected(case, stream)
        await case.kite.hub.apply(SocketFault(action="lose"))
        await case.cancel(await case.resting())
        await case.kite.hub.apply(SocketFault(action="duplicate"))
        order = await case.resting()
        await case.cancel(order)
        assert [(await row_of(stream)).broker_order_id for _ in range(2)] == [order, order]


async def test_postbacks_of_the_broker_are_genuine(tmp_path: Path) -> None:
    taken = pushes()
    async with PostbackServer(
        0, lambda: KiteConfig().api_secret, taken.take_order, host="127.0.0.1"
    ) as server:
        config = KiteConfig(postback_url=f"http://127.0.0.1:{server.port}/")
        async with KiteServer(config=config) as kite:
            case = Case(kite, tmp_path, taken)
            order = await case.resting()
            await case.cancel(order)
            row = await row_of(taken.stream())
    assert (row.broker_order_id, row.status) == (order, OrderStatus.CANCELLED)
