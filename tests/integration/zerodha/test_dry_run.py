"""The example against a local Kite: from its manifests to the order that would have been sent, and what stops it before."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import yaml

from alpha_panda.adapters.zerodha.session import Session, write_session
from alpha_panda.cli.loading import load
from alpha_panda.compose.embedded import EmbeddedRun, RunOptions
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.errors import ManifestError, UserInputError
from alpha_panda.runtime.settings import Settings
from alpha_panda.testing.kite.server import KiteServer
from integration.command import ROOT

EXAMPLE = ROOT / "examples" / "05-zerodha-dry-run"
SECONDS = 60


@pytest.fixture
async def kite() -> AsyncIterator[KiteServer]:
    async with KiteServer(ticks_per_second=300) as server:
        yield server


@pytest.fixture
def settings(kite: KiteServer, tmp_path: Path) -> Settings:
    return Settings(
        zerodha_api_url=kite.url,
        zerodha_ws_url=kite.ws_url,
        zerodha_login_url=kite.login_url,
        broker_directory=str(tmp_path / "accounts"),
        zerodha_instruments_directory=str(tmp_path / "lists"),
        instruments_poll_seconds=0.05,
        log_level="ERROR",
    )


def log_in(kite: KiteServer, tmp_path: Path, user: str = "AB1234") -> str:
    token, now = kite.new_session(), kite.now()
    session = Session(
        user_id=user,
        api_key=kite.api_key,
        access_token=token,
        login_at=now,
        expires_at=now + 3_600 * SECOND_NS,
    )
    write_session(tmp_path / "accounts" / "kite", session)
    return token


def manifests(tmp_path: Path, **instead: str) -> ResourceSet:
    """Return the example's resources, with texts exchanged."""
    folder = tmp_path / "manifests"
    folder.mkdir()
    for file in EXAMPLE.glob("*.yaml"):
        text = file.read_text(encoding="utf-8")
        for old, new in instead.items():
            text = text.replace(old, new)
        (folder / file.name).write_text(text, encoding="utf-8")
    return load([folder])


def found(folder: Path, pattern: str) -> list[Path]:
    return list(folder.rglob(pattern))


async def ended(run: EmbeddedRun, events: BytesIO, wanted: str) -> list[dict[str, Any]]:
    """Run until an event of the type is written, and return all events."""
    running = asyncio.create_task(run.run())
    try:
        async with asyncio.timeout(SECONDS):
            async for _ in run.clock.every(0.05):
                run.recorder.flush()
                if wanted.encode() in events.getvalue():
                    break
                assert not running.done(), running.result()
        run.request_stop()
        await asyncio.wait_for(running, SECONDS)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    return [json.loads(line) for line in events.getvalue().splitlines()]


async def test_all_is_done_but_the_call(kite: KiteServer, settings: Settings, tmp_path: Path) -> None:
    token = log_in(kite, tmp_path)
    events = BytesIO()
    resources = manifests(
        tmp_path,
        **{"    lookback: 10": "    lookback: 3", "    quantity: 1": "    quantity: 1\n    thresholdBps: 1"},
    )
    found = await ended(EmbeddedRun(resources, settings, RunOptions(), events), events, "ORDER_FAILED")
    failed = [event["data"] for event in found if event["type"] == "ORDER_FAILED"]
    assert {item["code"] for item in failed} == {"DRY_RUN"}
    message = failed[0]["message"]
    assert message.startswith("POST /orders/regular exchange=NSE&tradingsymbol=")
    assert f"tag={failed[0]['order_id']}" in message
    assert "product=MIS" in message
    assert token not in events.getvalue().decode()
    assert not [
        call for call in kite.requests_seen if call.path.startswith("/orders/") and call.method != "GET"
    ]


async def test_nothing_starts_without_a_log_in(settings: Settings, tmp_path: Path) -> None:
    run = EmbeddedRun(manifests(tmp_path), settings, RunOptions())
    with pytest.raises(UserInputError, match="log in first: alpha-panda login kite"):
        await asyncio.wait_for(run.run(), SECONDS)


async def test_nothing_starts_without_a_log_in_of_today_though_a_list_is_kept(
    kite: KiteServer, settings: Settings, tmp_path: Path
) -> None:
    log_in(kite, tmp_path)
    resources = manifests(tmp_path)
    await asyncio.wait_for(EmbeddedRun(resources, settings, RunOptions(duration=0.1)).run(), SECONDS)
    assert found(tmp_path / "lists", "*.csv")
    for file in found(tmp_path, "session.json"):
        file.unlink()
    run = EmbeddedRun(resources, settings, RunOptions(duration=0.1))
    with pytest.raises(
        UserInputError, match=r"BrokerAccount/kite: no session.*log in first: alpha-panda login kite"
    ):
        await asyncio.wait_for(run.run(), SECONDS)


async def test_a_symbol_that_is_not_listed_is_named_with_its_field(
    kite: KiteServer, settings: Settings, tmp_path: Path
) -> None:
    log_in(kite, tmp_path)
    run = EmbeddedRun(manifests(tmp_path, **{"NSE:INFY": "NSE:INFYY"}), settings, RunOptions())
    with pytest.raises(ManifestError) as raised:
        await asyncio.wait_for(run.run(), SECONDS)
    (fault,) = raised.value.faults
    assert fault.file.endswith("feed.yaml")
    assert (fault.field, fault.resource) == ("spec.instruments[1].symbol", "MarketFeed/nse")
    assert "NSE:INFY" in fault.allowed


async def test_another_user_s_session_opens_nothing(
    kite: KiteServer, settings: Settings, tmp_path: Path
) -> None:
    log_in(kite, tmp_path, user="ZZ0000")
    run = EmbeddedRun(manifests(tmp_path), settings, RunOptions())
    with pytest.raises(UserInputError, match="of user ZZ0000"):
        await asyncio.wait_for(run.run(), SECONDS)


async def test_what_was_built_of_a_token_is_built_anew_when_it_changes(
    kite: KiteServer, settings: Settings, tmp_path: Path
) -> None:
    log_in(kite, tmp_path)
    run = EmbeddedRun(manifests(tmp_path), settings, RunOptions())
    running = asyncio.create_task(run.run())
    try:
        async with asyncio.timeout(SECONDS):
            await run.supervisor.wait_ready()
            before = dict(run.supervisor.services)
            assert run.ports.instruments is not None
            now = await run.ports.instruments.read("nse")
            assert now is not None
            changed = tuple(
                replace(item, tick_size=item.tick_size * 2) if item.symbol == "NSE:SBIN" else item
                for item in now.instruments
            )
            run.listed.take(type(now)(feed="nse", day=now.day, version="other", instruments=changed))
            for name in ("market-feed/nse", "strategy/one-share"):
                async for _ in run.clock.every(0.05):
                    if run.supervisor.services[name] is not before[name]:
                        break
        assert run.supervisor.services["risk/kite"] is before["risk/kite"], "it follows the manifests"
        assert not running.done()
    finally:
        run.request_stop()
        await asyncio.wait_for(running, SECONDS)


def test_the_example_says_what_its_page_says() -> None:
    (account,) = yaml.safe_load_all((EXAMPLE / "account.yaml").read_text(encoding="utf-8"))
    assert account["spec"]["zerodha"]["dryRun"] is True
    assert "live" not in account["spec"]["zerodha"]
