"""Traders by the manifests' words."""

from alpha_panda.adapters.paper.trader import PaperTrader
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.ports import Clock, Trader
from alpha_panda.runtime.venues import paper_terms, rules_of


def has_live_accounts(resources: ResourceSet) -> bool:
    """Whether an account of the manifests trades real money."""
    return any(account.spec.paper is None for account in resources.accounts.values())


class ManifestTraders:
    """Makes the trader that an account's manifest asks for (port `TraderFactory`)."""

    def __init__(self, resources: ResourceSet, clock: Clock) -> None:
        self._resources = resources
        self._clock = clock

    def trader(self, account: str) -> Trader:
        """Return the account's trader; only `paper` exists in this release (the manifest model allows no other)."""
        resource = self._resources.accounts[account]
        feed = self._resources.feeds[resource.spec.market_feed]
        rules = rules_of(feed, resource)
        return PaperTrader(self._clock, feed.instruments, paper_terms(resource), rules.trading_day)
