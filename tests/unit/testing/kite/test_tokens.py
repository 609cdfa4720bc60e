"""Log-in, the token's life, and who may call."""

from datetime import UTC, datetime
from hashlib import sha256

import pytest

from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.testing.kite.config import API_KEY, API_SECRET, KiteConfig
from alpha_panda.testing.kite.request import Request
from alpha_panda.testing.kite.tokens import BAD_CHECKSUM, NOT_LOGGED_IN, USED, expiry

from .desk_kit import Kite

DEAD = (403, "TokenException", NOT_LOGGED_IN.message)


def form(request_token: str, secret: str = API_SECRET) -> dict[str, str]:
    checksum = sha256((API_KEY + request_token + secret).encode()).hexdigest()
    return {"api_key": API_KEY, "request_token": request_token, "checksum": checksum}


def log_in(kite: Kite) -> str:
    return kite.core.tokens.request_token(kite.core.config, kite.now)


def test_a_request_token_is_exchanged_once() -> None:
    kite = Kite()
    request = log_in(kite)
    session = kite.call("POST", "/session/token", form(request))
    assert (session["user_id"], session["api_key"], session["refresh_token"]) == ("AB1234", API_KEY, "")
    assert session["login_time"] == "2026-01-02 14:15:00"
    kite.token = session["access_token"]
    assert kite.call("GET", "/user/profile")["user_id"] == "AB1234"
    assert kite.failure("POST", "/session/token", form(request)) == (403, "TokenException", USED.message)


def test_a_wrong_checksum_does_not_use_up_the_request_token() -> None:
    kite = Kite()
    request = log_in(kite)
    wrong = kite.failure("POST", "/session/token", form(request, "wrong"))
    assert wrong == (403, "TokenException", BAD_CHECKSUM.message)
    kite.call("POST", "/session/token", form(request))
    assert kite.failure("POST", "/session/token", {})[:2] == (403, "TokenException")


def test_a_request_token_lives_for_minutes() -> None:
    kite = Kite(request_token_seconds=300)
    request = log_in(kite)
    kite.wait(300)
    assert kite.failure("POST", "/session/token", form(request))[2] == USED.message


def test_tokens_can_stand_in_an_address() -> None:
    kite = Kite()
    assert (kite.token + log_in(kite)).isalnum()


def test_a_second_log_in_ends_the_first_session() -> None:
    kite = Kite()
    new = kite.core.new_session(kite.now)
    assert kite.failure("GET", "/orders") == DEAD
    kite.token = new
    assert kite.call("GET", "/orders") == []
    kite.core.configure(one_token=False)
    kite.core.new_session(kite.now)
    assert kite.call("GET", "/orders") == []


@pytest.mark.parametrize(
    ("logged_in", "dies"),
    [
        ("2026-01-02T08:45", "2026-01-03T00:30"),  # in the afternoon: at 06:00 in India, the next morning
        ("2026-01-02T00:29", "2026-01-02T00:30"),
        ("2026-01-02T00:30", "2026-01-03T00:30"),
    ],
)
def test_a_token_dies_at_six_in_india(logged_in: str, dies: str) -> None:
    config = KiteConfig(token_life_seconds=None)
    assert expiry(config, instant(logged_in)) == instant(dies)
    kite = Kite(config)
    six = instant("2026-01-03T00:30")
    assert kite.core.tokens.valid(kite.token, six - 1)
    assert not kite.core.tokens.valid(kite.token, six)


def instant(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * SECOND_NS


def test_a_token_may_live_shorter_and_be_killed() -> None:
    kite = Kite(token_life_seconds=2)
    kite.wait(1.9)
    assert kite.call("GET", "/orders") == []
    kite.wait(0.1)
    assert kite.failure("GET", "/orders") == DEAD
    kite.token = kite.core.new_session(kite.now)
    kite.core.expire_token()
    assert kite.failure("GET", "/orders") == DEAD


def test_a_log_out_ends_the_session() -> None:
    kite = Kite()
    assert kite.call("DELETE", "/session/token", query={"access_token": [kite.token]}) is True
    assert kite.failure("GET", "/user/profile") == DEAD
    assert kite.failure("POST", "/session/refresh_token")[0] == 405


@pytest.mark.parametrize(
    "header", ["", "token", "token k:t", "token k:TOKEN", f"Bearer {API_KEY}:TOKEN", f"token {API_KEY}"]
)
def test_a_call_without_the_right_header_is_refused_before_anything_happens(header: str) -> None:
    kite = Kite()
    request = Request(
        method="POST", path="/orders/regular", authorization=header.replace("TOKEN", kite.token)
    )
    assert kite.api.handle(request, kite.now).status == 403
    assert kite.core.calls == []
