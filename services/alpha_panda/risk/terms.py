"""What the present manifests say of the account: its limits and venue, its feed's instruments and hours, its strategies."""

from collections.abc import Mapping
from dataclasses import dataclass

from alpha_panda.contracts.instruments import InstrumentMaster
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.resources import BrokerAccount, Strategy
from alpha_panda.domain.risk.facts import PriceRules, VenueRules
from alpha_panda.domain.risk.limits import AccountLimits, StrategyLimits
from alpha_panda.domain.sessions import SessionRules
from alpha_panda.runtime.context import ServiceContext
from alpha_panda.runtime.manifests import Derived
from alpha_panda.runtime.settings import Settings
from alpha_panda.runtime.venues import price_rules, rules_of

from .limits import account_limits, strategy_limits, venue_rules


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountTerms:
    """As of one set of manifests. `strategies` and `limits` by name: those that trade on the account now."""

    account: BrokerAccount
    feed: str
    instruments: InstrumentMaster
    rules: SessionRules
    strategies: Mapping[str, Strategy]
    limits: Mapping[str, StrategyLimits]
    account_limits: AccountLimits
    venue: VenueRules
    price_rules: PriceRules


def terms_of(resources: ResourceSet, name: str, settings: Settings) -> AccountTerms:
    """Return the terms of the account of this name."""
    account = resources.accounts[name]
    feed = resources.feeds[account.spec.market_feed]
    strategies = {item.metadata.name: item for item in resources.strategies_of(name)}
    return AccountTerms(
        account=account,
        feed=account.spec.market_feed,
        instruments=feed.instruments,
        rules=rules_of(feed, account),
        strategies=strategies,
        limits={key: strategy_limits(item) for key, item in strategies.items()},
        account_limits=account_limits(account),
        venue=venue_rules(account),
        price_rules=price_rules(feed, account, settings),
    )


def present_terms(context: ServiceContext) -> Derived[AccountTerms]:
    """Return the terms of the context's account, which follow its manifests."""
    return Derived(
        context.manifests, lambda resources: terms_of(resources, context.resource, context.settings)
    )
