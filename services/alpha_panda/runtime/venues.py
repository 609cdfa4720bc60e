"""From manifests to the values that rules take: session rules, price rules, paper terms."""

from decimal import Decimal

from alpha_panda.contracts.resources import BrokerAccount, MarketFeed
from alpha_panda.contracts.units import MS_NS, nanoseconds
from alpha_panda.domain.matching import PaperTerms
from alpha_panda.domain.risk.facts import PriceRules
from alpha_panda.domain.sessions import SessionRules, session_rules
from alpha_panda.runtime.settings import Settings


def rules_of(feed: MarketFeed, account: BrokerAccount | None = None) -> SessionRules:
    """Return the feed's session rules, with the account's product cut-off if one is given."""
    spec = feed.spec
    cut_off = None if account is None else account.spec.product_cut_off
    return session_rules(spec.calendar, spec.extra_holidays, spec.extra_sessions, spec.sessions, cut_off)


def broker_of(account: BrokerAccount) -> str:
    """Return whom an account trades with, for logs."""
    if account.spec.paper is not None:
        return "paper"
    return "live" if account.live else "dry-run"


def paper_terms(account: BrokerAccount) -> PaperTerms:
    """Return the terms of a paper account."""
    paper = account.spec.paper
    if paper is None:
        return PaperTerms()
    return PaperTerms(
        slippage_bps=Decimal(paper.slippage_bps),
        commission_bps=Decimal(paper.commission_bps),
        partial_fill_ratio=Decimal(paper.partial_fill_ratio),
        seed=paper.seed,
    )


def price_rules(feed: MarketFeed, account: BrokerAccount, settings: Settings) -> PriceRules:
    """Return what makes a price usable for the account."""
    return PriceRules(
        heartbeat_max_age=feed.stale_after_ns,
        quote_max_age=feed.stale_after_ns,
        clock_skew=settings.clock_skew_max_ms * MS_NS,
        account_quote_max_age=ns_of(account.spec.risk.quote_max_age_seconds),
        account_is_live=account.spec.paper is None,
    )


def ns_of(seconds: float | None) -> int | None:
    """Return seconds as nanoseconds; None stays None."""
    return None if seconds is None else nanoseconds(seconds)


def product_of(account: BrokerAccount) -> str:
    """Return the product that all orders of the account have; "" where its broker knows none."""
    return "" if account.spec.zerodha is None else account.spec.zerodha.product.value


def broker_user_of(account: BrokerAccount) -> str:
    """Return the broker's login that the account trades with; "" where there is none."""
    return "" if account.spec.zerodha is None else account.spec.zerodha.user_id
