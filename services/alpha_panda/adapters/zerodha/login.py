"""The daily log-in: where a person goes, what comes back, and the exchange of it for an access token.

The request token is good for one exchange and some minutes. A new session kills the one before: log in once a day, in
one place.
"""

import hashlib
from datetime import time
from typing import Final
from urllib.parse import parse_qs, urlencode, urlsplit

import msgspec

from alpha_panda.adapters.http.client import OneShotClient
from alpha_panda.adapters.http.exchange import Answer, Exchange, NotSent
from alpha_panda.contracts.units import nanoseconds
from alpha_panda.errors import AlphaPandaError, DependencyUnavailableError, UserInputError
from alpha_panda.ports import Clock

from .answers import OK, data_of, problem_of
from .client import FORM, KITE_VERSION
from .session import Session, token_dies_at

SESSION_TOKEN: Final = "/session/token"  # noqa: S105 - a path
KITE: Final = "Kite"
SERVER_ERRORS: Final = 500


class Granted(msgspec.Struct, frozen=True):
    """What the exchange grants."""

    user_id: str
    api_key: str
    access_token: str

    def __repr__(self) -> str:
        return f"Granted(user_id={self.user_id!r})"

    __str__ = __repr__


def login_url(base: str, api_key: str) -> str:
    """Return where a person logs in."""
    return f"{base}?{urlencode({'v': '3', 'api_key': api_key})}"


def request_token_of(pasted: str) -> str:
    """Return the request token of what a person pastes: the address that the log-in led to, its query, or the token.

    Raises:
        UserInputError: there is none in it.

    """
    text = pasted.strip()
    if text.isalnum():
        return text
    query = parse_qs(urlsplit(text).query or text.partition("?")[2] or text)
    if query.get("status", ["success"])[0] != "success":
        raise UserInputError(
            "the log-in did not succeed: log in again, and paste the address that it leads to"
        )
    token = query.get("request_token", [""])[0].strip()
    if not token.isalnum():
        raise UserInputError(
            "no request_token found: paste the whole address that the log-in led to, or the token alone"
        )
    return token


def checksum(*parts: str) -> str:
    """Return the SHA-256 of the parts joined, in lower-case hex: Kite's proof that the caller knows the api_secret."""
    return hashlib.sha256("".join(parts).encode()).hexdigest()


async def exchange(  # noqa: PLR0913 - all by keyword but the first
    clock: Clock,
    *,
    url: str,
    api_key: str,
    api_secret: str,
    request_token: str,
    dies_at: time,
    request_seconds: float,
) -> Session:
    """Exchange the request token for a session, by one call.

    Raises:
        UserInputError: Kite refuses it; the message says why and what to do.
        DependencyUnavailableError: Kite can't be reached, or doesn't answer. The request token may be used up.

    """
    login_at = clock.now()
    form = {
        "api_key": api_key,
        "request_token": request_token,
        "checksum": checksum(api_key, request_token, api_secret),
    }
    deadline = clock.monotonic() + nanoseconds(request_seconds)
    async with OneShotClient(clock, url, send_within=request_seconds) as client:
        answer = await client.send(
            "POST", SESSION_TOKEN, deadline, body=urlencode(form).encode(), headers={**KITE_VERSION, **FORM}
        )
    granted = data_of(answer, Granted)
    if granted is not None and granted.access_token:
        expires_at = token_dies_at(login_at, dies_at)
        return Session(
            user_id=granted.user_id,
            api_key=granted.api_key,
            access_token=granted.access_token,
            login_at=login_at,
            expires_at=expires_at,
        )
    raise _refusal(answer)


def _refusal(answer: Exchange) -> AlphaPandaError:
    """Return what to tell a person; what the broker itself can't do may be tried again."""
    problem = problem_of(answer)
    if isinstance(answer, NotSent):
        return DependencyUnavailableError(KITE, f"{problem}; the request token is still good, try again")
    if not isinstance(answer, Answer) or answer.status >= SERVER_ERRORS or answer.status == OK:
        return DependencyUnavailableError(KITE, f"{problem}; the request token may be used up, log in anew")
    return UserInputError(
        f"Kite refuses the log-in ({problem}). A request token is good once and for some minutes: log in anew. "
        "If it is refused again, compare api_key and api_secret with the app's page at developers.kite.trade"
    )
