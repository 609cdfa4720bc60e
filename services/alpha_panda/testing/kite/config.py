"""Everything about the local Kite that can be set. The defaults suit tests: no delays, no limits, always open."""

from decimal import Decimal
from typing import Final, Literal

import msgspec

USER: Final = "AB1234"
API_KEY: Final = "kitelocalkey"
API_SECRET: Final = "kitelocalsecret"  # noqa: S105 - of a broker that doesn't exist


class Delays(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds that an order stays in each status on its way."""

    received: float = 0
    validation: float = 0
    open_pending: float = 0
    modify_validation: float = 0
    modify_pending: float = 0
    modified: float = 0
    cancel_pending: float = 0


UNHURRIED: Final = Delays(
    received=0.005,
    validation=0.01,
    open_pending=0.02,
    modify_validation=0.01,
    modify_pending=0.02,
    modified=0.005,
    cancel_pending=0.03,
)
"""Delays of the order of real ones. Guess: nothing is published."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Kite's own limits. Calls are counted by calendar second and minute, and per India's day.

    `order_calls_per_second` counts placing, modifying and cancelling together (guess: whether the latter two count is
    not settled); the minute's and the day's count placed orders alone, refused ones included.
    """

    order_calls_per_second: int = 10
    orders_per_minute: int = 400
    orders_per_day: int = 5000
    quotes_per_second: int = 1
    candles_per_second: int = 3
    others_per_second: int = 10
    modifications: int = 25
    sockets: int = 3
    tokens_per_socket: int = 3000


class KiteConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One client of the local Kite, and how it behaves.

    Attributes:
        user_id, api_key, api_secret, app_id: who.
        delays: seconds per status.
        limits: None: none of those on calls; sockets and tokens per socket are limited all the same.
        sessions: (begin, end) in UTC ns when the exchanges are open; None: always. Outside, only `amo` is taken.
        square_off_seconds: before a session's end, when the broker closes MIS positions; None: never by itself.
        token_life_seconds: of an access token; None: as in truth, until the next `token_dies_at`.
        token_dies_at: India's time of day.
        request_token_seconds: within which a log-in must be exchanged.
        one_token: a new access token ends the one before (fact of 2019; what a second app does is not settled).
        allowed_ips: from which orders may come; None: from anywhere.
        redirect_url: where the log-in page leads; empty: it shows the request token to copy.
        postback_url: where changes of orders are posted; empty: nowhere.
        check_funds: whether orders that cost more than there is are refused.
        margin_refusal: whether want of funds comes as a REJECTED row or as answer 400; both are seen.
        opening_cash: at the day's begin, in rupees, for equity; `commodity_cash` for MCX.
        auto_protection: percent of market protection -1. Guess, from a published sample.
        protected_type: how the book lists a protected market order: LIMIT is reported, MARKET is in old samples.
        hide_tag: the book shows our tag in `tags` only, `tag` is null: seen with the system's tags.
        liquidity: units that trade at one price; None: no end. Less makes partial fills.
        ttl_minute_seconds: length of a minute of validity TTL.
        average_places: decimal places of average prices in the book. Guess; trades are exact.
        slow_portfolio_seconds: positions and trades lag behind the book by so much.
        id_digits: 19 (since 2025) or 15 (before) digits of an order id.

    """

    user_id: str = USER
    api_key: str = API_KEY
    api_secret: str = API_SECRET
    app_id: int = 1234
    delays: Delays = Delays()
    limits: Limits | None = None
    sessions: tuple[tuple[int, int], ...] | None = None
    square_off_seconds: float | None = None
    token_life_seconds: float | None = 86_400
    token_dies_at: str = "06:00"  # noqa: S105 - a time of day
    request_token_seconds: float = 300
    one_token: bool = True
    allowed_ips: tuple[str, ...] | None = None
    redirect_url: str = ""
    postback_url: str = ""
    check_funds: bool = True
    margin_refusal: Literal["row", "answer"] = "row"
    opening_cash: Decimal = Decimal(1_000_000)
    commodity_cash: Decimal = Decimal(500_000)
    auto_protection: Decimal = Decimal(2)
    protected_type: Literal["LIMIT", "MARKET"] = "LIMIT"
    hide_tag: bool = False
    liquidity: int | None = None
    ttl_minute_seconds: float = 60
    average_places: int = 4
    id_digits: Literal[15, 19] = 19

    def is_open(self, now: int) -> bool:
        """Whether the exchanges are open at `now` (UTC ns)."""
        return self.sessions is None or any(begin <= now < end for begin, end in self.sessions)

    def next_open(self, now: int) -> int | None:
        """Return when the exchanges open next: `now` if they are open, None if no session follows."""
        if self.is_open(now):
            return now
        return min((begin for begin, _ in self.sessions or () if begin > now), default=None)
