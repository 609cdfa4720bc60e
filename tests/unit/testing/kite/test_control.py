"""Commands from another process, and the local Kite as a program."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable
from decimal import Decimal

import aiohttp
import pytest

from alpha_panda.cli.app import main
from alpha_panda.contracts.enums import Side
from alpha_panda.errors import DependencyUnavailableError
from alpha_panda.runtime.settings import load_settings
from alpha_panda.testing.kite import faults, program
from alpha_panda.testing.kite.commands import (
    Behave,
    Configure,
    Day,
    Elsewhere,
    EndSession,
    Expire,
    Fill,
    Login,
    Plan,
    Price,
    Reject,
    Silence,
    Sockets,
    SquareOff,
    Walk,
)
from alpha_panda.testing.kite.config import UNHURRIED, KiteConfig, Limits
from alpha_panda.testing.kite.control import KiteControl
from alpha_panda.testing.kite.instruments import RELIANCE
from alpha_panda.testing.kite.program import Addresses, KiteOptions, addresses
from alpha_panda.testing.kite.server import KiteServer
from alpha_panda.testing.kite.sockets import SocketFault


async def test_the_market_orders_and_the_day_obey(kite: KiteServer) -> None:
    async with KiteControl(kite.control_url) as control:
        await control.do(Price(token=RELIANCE, price=Decimal("1410.5")))
        bought = await control.do(Elsewhere(token=RELIANCE, side=Side.BUY, quantity=3))
        rests = await control.do(Elsewhere(token=RELIANCE, side=Side.BUY, quantity=5, price=Decimal(1400)))
        refused = await control.do(Elsewhere(token=RELIANCE, side=Side.BUY, quantity=5, price=Decimal(1400)))
        await control.do(Fill(order_id=rests, quantity=2, price=Decimal("1399.95")))
        await control.do(Reject(order_id=refused, message="no"))
        truth = await control.truth()
        assert [(trade.order_id, trade.quantity, trade.price) for trade in truth.executed] == [
            (bought, 3, Decimal("1410.5")),
            (rests, 2, Decimal("1399.95")),
        ]
        assert {row["order_id"]: row["status"] for row in truth.orders} == {
            bought: "COMPLETE", rests: "OPEN", refused: "REJECTED",
        }  # fmt: skip
        assert (truth.positions, truth.resting, truth.sockets, truth.user) == (
            {RELIANCE: 5},
            1,
            0,
            kite.user_id,
        )
        assert truth.funds < 1_000_000
        await control.do(SquareOff())
        assert (await control.truth()).positions == {}
        await control.do(EndSession())
        await control.do(Day(trading_day="2031-01-02"))
        truth = await control.truth()
        assert (truth.trading_day, truth.orders, len(truth.executed)) == ("2031-01-02", (), 3)


async def test_faults_tokens_and_settings_obey(kite: KiteServer) -> None:
    async with KiteControl(kite.control_url) as control, aiohttp.ClientSession() as http:
        token = await control.do(Login())
        known = {"Authorization": f"token {kite.api_key}:{token}"}

        async def status() -> int:
            async with http.get(f"{kite.url}/orders", headers=known) as response:
                return response.status

        await control.do(Plan(fault=faults.book_error(), times=2))
        assert [await status() for _ in range(3)] == [500, 500, 200]
        await control.do(Plan(fault=faults.book_error(), seconds=60))
        assert [await status() for _ in range(2)] == [500, 500]
        await control.do(Behave())
        assert await status() == 200
        assert (await control.do(Login(exchanged=False))).isalnum()
        await control.do(Configure(changes={"limits": {"others_per_second": 0}}))
        assert await status() == 429
        await control.do(Expire())
        assert await status() == 403
        await control.do(Walk(ticks_per_second=5))
        assert kite.ticks_per_second == 5
        await control.do(Sockets(fault=SocketFault(action="refuse", code=429)))
        await control.do(Silence(seconds=60))
        with pytest.raises(aiohttp.ClientConnectionError):
            async with aiohttp.ClientSession() as fresh, fresh.get(kite.url):
                pass
        await control.do(Silence(seconds=0))
        assert [call.kind for call in (await control.truth()).calls] == ["book"] * 6


async def test_what_cannot_be_done_is_said(kite: KiteServer) -> None:
    async with KiteControl(kite.control_url) as control:
        for command in (Price(token=1, price=Decimal(1)), Configure(changes={"margin_refusal": "never"})):
            with pytest.raises(DependencyUnavailableError, match="400"):
                await control.do(command)
    with pytest.raises(DependencyUnavailableError, match="not open"):
        await control.truth()


async def test_it_runs_as_a_process_until_a_signal() -> None:
    words = (sys.executable, "-m", "alpha_panda.testing.kite", "--instruments", "30", "--limits", "--delays")
    process = await asyncio.create_subprocess_exec(*words, stdout=PIPE)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            said = json.loads(await process.stdout.readline())
        async with KiteControl(said["control_url"]) as control:
            token = await control.do(Login())
            assert (await control.truth()).user == "AB1234"
        known = {"Authorization": f"token kitelocalkey:{token}"}
        async with (
            aiohttp.ClientSession() as http,
            http.get(f"{said['url']}/instruments", headers=known) as response,
        ):
            assert (await response.text()).count("\n") == 31
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def test_the_command_tells_how_to_point_alpha_panda_at_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    served: list[KiteOptions] = []

    async def serve(options: KiteOptions, ready: Callable[[Addresses], None]) -> None:
        served.append(options)
        async with KiteServer(config=options.config) as server:
            ready(addresses(server))

    monkeypatch.setattr(program, "serve", serve)
    assert main(["dev", "kite", "--port", "0", "--user", "XY1234", "--seed", "3", "--token-life", "60"]) == 0
    said = capsys.readouterr().out
    for line in said.splitlines():
        if "export" in line:
            monkeypatch.setenv(*line.split()[1].split("=", 1))
    settings = load_settings()
    assert settings.zerodha_api_url.startswith("http://127.0.0.1:")
    assert settings.zerodha_ws_url == settings.zerodha_api_url.replace("http", "ws")
    assert settings.zerodha_login_url == f"{settings.zerodha_api_url}/connect/login"
    assert "kitelocalsecret" in said
    assert "XY1234" in said
    (options,) = served
    assert (options.seed, options.instruments, options.ticks_per_second) == (3, 100, 100)
    config = options.config
    assert (config.token_life_seconds, config.limits, config.delays) == (60, Limits(), UNHURRIED)
    assert KiteOptions(limits=False, delays=False).config == KiteConfig(token_life_seconds=None)


def test_the_command_refuses_what_makes_no_sense(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dev", "kite", "--instruments", "0"]) == 2
    assert "--instruments" in capsys.readouterr().err
