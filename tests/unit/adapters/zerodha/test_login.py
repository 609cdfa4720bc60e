"""The daily log-in against the local Kite: from the address to a session in its file, and what is said when it fails."""

from collections.abc import AsyncIterator
from datetime import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest

from alpha_panda.adapters.clock import RealClock
from alpha_panda.adapters.zerodha.client import KiteClient
from alpha_panda.adapters.zerodha.login import checksum, exchange, login_url, request_token_of
from alpha_panda.adapters.zerodha.session import Session, SessionFile, token_dies_at, write_session
from alpha_panda.errors import DependencyUnavailableError, UserInputError
from alpha_panda.testing.kite import faults
from alpha_panda.testing.kite.server import KiteServer
from alpha_panda.testing.kite.traders import write_keys

SIX = time(6)


@pytest.fixture
async def kite() -> AsyncIterator[KiteServer]:
    async with KiteServer() as server:
        yield server


async def log_in(kite: KiteServer, request_token: str, *, secret: str = "", url: str = "") -> Session:
    return await exchange(
        RealClock(),
        url=url or kite.url,
        api_key=kite.api_key,
        api_secret=secret or kite.api_secret,
        request_token=request_token,
        dies_at=SIX,
        request_seconds=0.5,
    )


async def test_from_the_address_to_a_book_that_is_ours(kite: KiteServer, tmp_path: Path) -> None:
    """As a person does it: opens the address, pastes where it led to."""
    kite.core.configure(redirect_url="https://example.test/back?x=1")
    clock = RealClock()
    async with (
        aiohttp.ClientSession() as browser,
        browser.get(login_url(kite.login_url, kite.api_key), allow_redirects=False) as answer,
    ):
        led_to = answer.headers["Location"]
    before = clock.now()
    session = await log_in(kite, request_token_of(led_to))
    assert session.user_id == kite.user_id
    assert before <= session.login_at <= clock.now()
    assert session.expires_at == token_dies_at(session.login_at, SIX)
    write_keys(tmp_path, kite.core.config)
    write_session(tmp_path, session)
    file = SessionFile(tmp_path, clock, kite.user_id)
    assert file.problem() == ""
    async with KiteClient(clock, kite.url, file, send_within=1, request_seconds=1) as client:
        assert getattr(await client.read("/orders", client.deadline()), "status", None) == 200
    (called,) = [seen for seen in kite.requests_seen if seen.path == "/orders"]
    assert called.authorization == f"token {session.api_key}:{session.access_token}"


async def test_a_request_token_is_good_once(kite: KiteServer) -> None:
    token = kite.request_token()
    await log_in(kite, token)
    with pytest.raises(UserInputError, match="good once"):
        await log_in(kite, token)


@pytest.mark.parametrize(("token", "secret"), [("nonsense", ""), ("", "wrongsecret")])
async def test_a_refusal_says_what_to_do_and_no_secret(kite: KiteServer, token: str, secret: str) -> None:
    with pytest.raises(UserInputError) as caught:
        await log_in(kite, token or kite.request_token(), secret=secret)
    text = str(caught.value)
    assert "log in anew" in text
    assert kite.api_secret not in text
    assert "wrongsecret" not in text


async def test_a_broker_that_can_not_be_reached_leaves_the_token_good(kite: KiteServer) -> None:
    token = kite.request_token()
    await kite.refuse()
    with pytest.raises(DependencyUnavailableError, match="still good"):
        await log_in(kite, token)
    await kite.listen()
    assert (await log_in(kite, token)).access_token


@pytest.mark.parametrize(
    "fault",
    [
        faults.call_fails("/session", 502),
        faults.call_hangs("/session"),
        faults.CallFault(path="/session", body=faults.GARBAGE),
        faults.CallFault(path="/session", body='{"status":"success","data":{"user_id":"AB1234"}}'),
        faults.CallFault(path="/session", wire=faults.Wire.CUT),
    ],
    ids=str,
)
async def test_an_answer_that_is_none_may_have_used_the_token_up(
    kite: KiteServer, fault: faults.CallFault
) -> None:
    kite.core.plan(fault)
    with pytest.raises(DependencyUnavailableError, match="log in anew"):
        await log_in(kite, kite.request_token())


@pytest.mark.parametrize(
    "pasted",
    [
        "abc123XYZ",
        "  abc123XYZ\n",
        "https://example.test/?action=login&type=login&status=success&request_token=abc123XYZ",
        "https://example.test/x?request_token=abc123XYZ&status=success#top",
        "?status=success&request_token=abc123XYZ",
        "request_token=abc123XYZ&status=success",
        "http://127.0.0.1:8000/?request_token=abc123XYZ",
    ],
)
def test_a_person_may_paste_the_address_or_the_token(pasted: str) -> None:
    assert request_token_of(pasted) == "abc123XYZ"


@pytest.mark.parametrize(
    "pasted",
    [
        "",
        "https://example.test/",
        "https://example.test/?status=success",
        "https://example.test/?request_token=",
        "https://example.test/?request_token=a%20b",
        "https://example.test/?status=cancelled&request_token=abc",
        "two words",
    ],
)
def test_what_holds_no_token_is_said(pasted: str) -> None:
    with pytest.raises(UserInputError, match=r"paste the (whole )?address"):
        request_token_of(pasted)


def test_the_address_names_the_app() -> None:
    query = parse_qs(urlsplit(login_url("https://kite.example/connect/login", "k&y")).query)
    assert query == {"v": ["3"], "api_key": ["k&y"]}


def test_the_checksum_is_kites() -> None:
    """SHA-256 over "abc", of FIPS 180-2."""
    assert checksum("a", "b", "c") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
