"""Is a price good enough to trade on? Asked by the gate, and by the engine again just before it sends."""

import math
from collections.abc import Iterable
from decimal import Decimal
from typing import Final

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import FeedMode, OrderType
from alpha_panda.contracts.events import Signal
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.contracts.stored import PriceReading, Quote
from alpha_panda.domain.risk.facts import PriceRules
from alpha_panda.domain.risk.outcome import Outcome, passed, refused

_BASIS_POINTS: Final = Decimal(10_000)


def needs_price(signal: Signal, *, reducing: bool) -> bool:
    """Whether the order depends on the last price: a reducing LIMIT does not, its price is in it."""
    return not reducing or signal.order_type is not OrderType.LIMIT


def presence(quote: Quote | None, instrument: Instrument) -> Outcome:
    """Check that there is a price that is a number, above zero on the tick grid."""
    if quote is None:
        return refused(Code.PRICE_MISSING, f"no price of {instrument.symbol}")
    if not math.isfinite(quote.last_price) or instrument.quantize(quote.last_price) <= 0:
        return refused(Code.PRICE_MISSING, f"{quote.last_price} is not a price", quote.last_price)
    return passed(instrument.quantize(quote.last_price))


def mode(quote: Quote, rules: PriceRules) -> Outcome | None:
    """Check that a live account gets live prices only; None for any other account."""
    if not rules.account_is_live:
        return None
    if quote.mode is FeedMode.LIVE:
        return passed(quote.mode)
    message = f"the price is {quote.mode}; a live account needs a live one"
    return refused(Code.PRICE_MODE, message, quote.mode, FeedMode.LIVE)


def freshness(
    price: PriceReading, quote: Quote, instrument: Instrument, rules: PriceRules, now: int
) -> Outcome:
    """Check that the feed was alive lately, and the quote is not older than the instrument's limit."""
    own_limit = instrument.stale_after_ns
    oldest = least((rules.quote_max_age if own_limit is None else own_limit, rules.account_quote_max_age))
    if price.heartbeat_ts is None:
        return refused(Code.PRICE_STALE, f"feed {quote.feed} has no heartbeat")
    return (
        _too_old("the feed's heartbeat", price.heartbeat_ts, rules.heartbeat_max_age, rules, now)
        or _too_old("the price", quote.ts, oldest, rules, now)
        or passed(now - quote.ts, oldest)
    )


def collar(prices: Iterable[Decimal], last: Decimal, collar_bps: Decimal | None) -> Outcome | None:
    """Check that no price of the order is further from the last price than the collar; MARKET has none."""
    away = max((abs(price - last) for price in prices), default=None)
    if collar_bps is None or away is None:
        return None
    limit = f"{collar_bps} bps of {last}"
    if away * _BASIS_POINTS <= collar_bps * last:
        return passed(away, limit)
    return refused(Code.PRICE_COLLAR, f"{away} away from the last price {last}", away, limit)


def least(limits: Iterable[int | None]) -> int | None:
    """Return the smallest of the limits that are set."""
    return min((limit for limit in limits if limit is not None), default=None)


def _too_old(what: str, ts: int, limit: int | None, rules: PriceRules, now: int) -> Outcome | None:
    """Return the refusal of a time that is too old or lies in the future; None if it is neither."""
    age = now - ts
    if -age > rules.clock_skew:
        return refused(Code.CLOCK_SKEW, f"{what} is {-age} ns in the future", -age, rules.clock_skew)
    if limit is not None and age > limit:
        return refused(Code.PRICE_STALE, f"{what} is {age} ns old; at most {limit}", age, limit)
    return None
