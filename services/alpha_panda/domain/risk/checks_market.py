"""Does the moment allow the order: its age, the price's, the session, what the venue takes, the price collar."""

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.stored import Quote
from alpha_panda.domain.risk import pricing
from alpha_panda.domain.risk.case import Case, ScopeCase
from alpha_panda.domain.risk.checks_instrument import order_prices
from alpha_panda.domain.risk.outcome import PASSED, Outcome, passed, refused


def order_type(case: Case) -> Outcome:
    """Check that the venue takes this type."""
    if case.signal.order_type in case.facts.venue.order_types:
        return PASSED
    return refused(Code.ORDER_TYPE_NOT_ALLOWED, f"the venue does not take {case.signal.order_type} orders")


def validity(case: Case) -> Outcome:
    """Check that the venue takes this validity."""
    if case.signal.validity in case.facts.venue.validities:
        return PASSED
    return refused(Code.VALIDITY_NOT_ALLOWED, f"the venue does not take {case.signal.validity} orders")


def signal_age(case: Case) -> Outcome:
    """Check that the signal has not expired, is not older than the scopes allow, nor comes from the future."""
    facts, age = case.facts, case.facts.now - case.facts.signal_ts
    if -age > facts.price_rules.clock_skew:
        return refused(
            Code.CLOCK_SKEW, f"the signal is {-age} ns in the future", -age, facts.price_rules.clock_skew
        )
    if facts.now >= case.signal.expires_at:
        return refused(
            Code.SIGNAL_EXPIRED,
            f"expired {facts.now - case.signal.expires_at} ns ago",
            facts.now,
            case.signal.expires_at,
        )
    limit = pricing.least((facts.strategy.limits.signal_max_age, facts.account.limits.signal_max_age))
    if limit is not None and age > limit:
        return refused(Code.SIGNAL_EXPIRED, f"the signal is {age} ns old; at most {limit}", age, limit)
    return passed(age, "" if limit is None else limit)


def price_present(case: Case) -> Outcome | None:
    """Check that the cache holds a price that is a number, above zero on the tick grid."""
    return pricing.presence(case.facts.price.quote, case.instrument) if _needs_price(case) else None


def price_mode(case: Case) -> Outcome | None:
    """Check that a live account gets live prices only."""
    return pricing.mode(_quote(case), case.facts.price_rules) if _needs_price(case) else None


def price_fresh(case: Case) -> Outcome | None:
    """Check that the feed was alive lately, and the quote is not older than the instrument's limit."""
    if not _needs_price(case):
        return None
    facts = case.facts
    return pricing.freshness(facts.price, _quote(case), case.instrument, facts.price_rules, facts.now)


def session(case: Case) -> Outcome:
    """Check that the venue is open, as far as the calendar knows; after a cut-off only reductions pass."""
    status = case.facts.session
    if status.code is None or (case.reducing and status.reducing_allowed):
        return PASSED
    return refused(status.code, status.message)


def price_collar(case: Case, scope: ScopeCase) -> Outcome | None:
    """Check that no price of the order is further from the last price than the collar allows; MARKET has none."""
    prices = [price for _, price in order_prices(case)]
    return pricing.collar(prices, case.last_price, scope.limits.price_collar_bps)


def _needs_price(case: Case) -> bool:
    return pricing.needs_price(case.signal, reducing=case.reducing)


def _quote(case: Case) -> Quote:
    quote = case.facts.price.quote
    if quote is None:
        raise ValueError("no price")
    return quote
