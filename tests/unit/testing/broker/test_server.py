"""The broker's server, commanded from the same process, over its control port, and as a process of its own."""

import asyncio
import contextlib
import json
import signal
import sys
from decimal import Decimal
from pathlib import Path

import aiohttp
import pytest

from alpha_panda.adapters.clock import RealClock
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, OrderStatus
from alpha_panda.errors import DependencyUnavailableError
from alpha_panda.testing.broker import faults
from alpha_panda.testing.broker.control import BrokerControl
from alpha_panda.testing.broker.faults import Wire
from alpha_panda.testing.broker.http_trader import HttpTrader
from alpha_panda.testing.broker.server import BrokerServer

from .orders import NO_PRICE, SECOND, TOKEN, entry


def soon(seconds: float = 10) -> int:
    return RealClock().monotonic() + round(seconds * SECOND)


async def test_the_fixture_is_a_broker_that_behaves(broker_server: BrokerServer) -> None:
    async with HttpTrader(broker_server.url, RealClock()) as trader:
        outcome = await trader.place(entry(), NO_PRICE, soon())
        assert outcome.state is EntryState.PLACED
        (row,) = (await trader.order_book()).rows
        assert (row.tag, row.status) == (entry().tag, OrderStatus.FILLED)


async def test_commands_come_over_a_port_of_their_own(broker_server: BrokerServer) -> None:
    async with (
        BrokerControl(broker_server.control_url) as control,
        HttpTrader(broker_server.url, RealClock()) as trader,
    ):
        await control.set_price(TOKEN, Decimal(90))
        await control.plan(faults.drop_reply())
        outcome = await trader.place(entry(), NO_PRICE, soon())
        assert outcome.state is EntryState.UNKNOWN
        truth = await control.truth()
        (trade,) = truth.executed
        assert (trade.tag, trade.quantity, trade.price) == (entry().tag, 10, 90)
        assert [(call.kind, call.reached) for call in truth.calls] == [("place", True)]
        assert [row.status for row in truth.orders] == [OrderStatus.FILLED]

        await control.plan_for(faults.book_error(), 60)
        assert not (await trader.order_book()).complete
        await control.behave()
        assert (await trader.order_book()).complete
        await control.change_day("2026-01-03")
        reading = await trader.order_book()
        assert (reading.trading_day, reading.rows) == ("2026-01-03", ())


async def test_a_broker_takes_no_connections_for_a_while(broker_server: BrokerServer) -> None:
    async with (
        BrokerControl(broker_server.control_url) as control,
        HttpTrader(broker_server.url, RealClock()) as trader,
    ):
        await control.refuse_connections(60)
        outcome = await trader.place(entry(), NO_PRICE, soon())
        assert outcome.code is Code.BROKER_UNREACHABLE
        await control.refuse_connections(0)
        async with asyncio.timeout(10):
            while not (await trader.order_book()).complete:  # noqa: ASYNC110 - a port opens
                await asyncio.sleep(0.01)
        assert [call.kind for call in (await control.truth()).calls] == ["book"]


@pytest.mark.parametrize(
    ("wire", "begins"), [(Wire.RESET, b""), (Wire.REFUSED, b""), (Wire.CUT, b"HTTP/1.1 200")]
)
async def test_a_connection_ends_as_it_was_told_to(
    broker_server: BrokerServer, wire: Wire, begins: bytes
) -> None:
    broker_server.core.plan(faults.book_unanswered(wire))
    host, port = broker_server.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET /orders HTTP/1.1\r\nHost: x\r\n\r\n")
    if begins:
        answer = await reader.read()
        head, _, body = answer.partition(b"\r\n\r\n")
        promised = int(head.lower().split(b"content-length: ")[1].split()[0])
        assert (head.startswith(begins), 0 < len(body) < promised) == (True, True)
    else:
        with pytest.raises(ConnectionResetError):
            await reader.read()
    writer.close()
    with contextlib.suppress(ConnectionResetError):
        await writer.wait_closed()


@pytest.mark.parametrize("body", [b"", b"nonsense", b'{"tag":"x"}'])
async def test_what_is_no_order_is_refused(broker_server: BrokerServer, body: bytes) -> None:
    url = f"{broker_server.url}/orders"
    async with aiohttp.ClientSession() as session, session.post(url, data=body) as response:
        assert response.status == 400
    assert broker_server.core.calls == []


async def test_a_command_that_is_none_is_an_error(broker_server: BrokerServer) -> None:
    async with BrokerControl(broker_server.control_url) as control:
        with pytest.raises(DependencyUnavailableError):
            await control._command("dance", {})


async def test_a_server_ends_though_calls_hang_on_it() -> None:
    async with asyncio.timeout(10):
        async with BrokerServer() as server, HttpTrader(server.url, RealClock()) as trader:
            server.core.plan(faults.hang())
            call = asyncio.create_task(trader.place(entry(), NO_PRICE, soon(60)))
            while not server.core.calls:  # noqa: ASYNC110 - it comes over a socket
                await asyncio.sleep(0.01)
            await server.__aexit__()
            assert (await call).state is EntryState.UNKNOWN


async def test_a_broker_is_a_process_if_one_likes() -> None:
    services = Path(__file__).parents[4] / "services"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "alpha_panda.testing.broker", "--user", "ZZ1", "--page-rows", "1"),
        stdout=asyncio.subprocess.PIPE,
        cwd=services,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(30):
            addresses = json.loads(await process.stdout.readline())
        async with (
            BrokerControl(addresses["control_url"]) as control,
            HttpTrader(addresses["url"], RealClock(), user="ZZ1") as trader,
        ):
            await control.plan(faults.accept_twice())
            await trader.place(entry(), NO_PRICE, soon())
            reading = await trader.order_book()
            assert (reading.complete, len(reading.rows)) == (True, 2)
            truth = await control.truth()
            assert (truth.user, [call.subject for call in truth.calls]) == ("ZZ1", [entry().tag, "1", "2"])
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
