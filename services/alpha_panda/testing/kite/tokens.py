"""Log-in: request tokens, one access token, its death at 06:00 India's time."""

from dataclasses import dataclass, field
from datetime import datetime, time, timedelta
from hashlib import sha256
from itertools import count

from alpha_panda.contracts.units import SECOND_NS, nanoseconds

from .config import KiteConfig
from .wire import IST, Refusal, moment

NOT_LOGGED_IN = Refusal(403, "TokenException", "Incorrect `api_key` or `access_token`.")
BAD_CHECKSUM = Refusal(403, "TokenException", "Invalid `checksum`.")
USED = Refusal(403, "TokenException", "Token is invalid or has expired.")
"""Guess: the text for a used request token isn't settled."""


@dataclass(slots=True)
class Tokens:
    """The tokens of one api key. All are letters and digits: clients put them into addresses unescaped."""

    expires: dict[str, int] = field(default_factory=dict)
    """Living access tokens, with the UTC ns of their end."""
    _requests: dict[str, int] = field(default_factory=dict)
    _serial: "count[int]" = field(default_factory=lambda: count(1))

    def request_token(self, config: KiteConfig, now: int) -> str:
        """Log in, as with the browser; return what the redirect carries."""
        token = self._made_up(config, "request")
        self._requests[token] = now + nanoseconds(config.request_token_seconds)
        return token

    def exchange(self, form: dict[str, str], config: KiteConfig, now: int) -> str | Refusal:
        """Return an access token for a request token, which is used up by it."""
        request = form.get("request_token", "")
        if form.get("api_key") != config.api_key:
            return NOT_LOGGED_IN
        if form.get("checksum") != checksum(config.api_key, request, config.api_secret):
            return BAD_CHECKSUM
        if self._requests.pop(request, 0) <= now:
            return USED
        return self.begin(config, now)

    def begin(self, config: KiteConfig, now: int) -> str:
        """Return a new access token; with `one_token` those before it are dead."""
        if config.one_token:
            self.expires.clear()
        token = self._made_up(config, "access")
        self.expires[token] = expiry(config, now)
        return token

    def end(self, token: str | None = None) -> None:
        """Kill a token; None: all."""
        if token is None:
            self.expires.clear()
        else:
            self.expires.pop(token, None)

    def valid(self, token: str, now: int) -> bool:
        """Whether the access token lives."""
        return self.expires.get(token, 0) > now

    def authorised(self, header: str, config: KiteConfig, now: int) -> bool:
        """Whether `token api_key:access_token` is right."""
        scheme, _, rest = header.partition(" ")
        key, _, token = rest.partition(":")
        return scheme == "token" and key == config.api_key and self.valid(token, now)

    def _made_up(self, config: KiteConfig, kind: str) -> str:
        return sha256(f"{config.api_key}.{config.user_id}.{kind}.{next(self._serial)}".encode()).hexdigest()[
            :32
        ]


def checksum(*parts: str) -> str:
    """Return SHA-256 over the parts put together, in hex: of log-ins and of postbacks."""
    return sha256("".join(parts).encode()).hexdigest()


def expiry(config: KiteConfig, now: int) -> int:
    """Return when a token that is made now dies, in UTC ns."""
    if config.token_life_seconds is not None:
        return now + nanoseconds(config.token_life_seconds)
    here = moment(now)
    end = datetime.combine(here.date(), time.fromisoformat(config.token_dies_at), IST)
    if end <= here:
        end += timedelta(days=1)
    return int(end.timestamp()) * SECOND_NS
