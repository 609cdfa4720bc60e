"""Traders by the manifests' words."""

from typing import TYPE_CHECKING

from alpha_panda.adapters.paper.trader import PaperTrader
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.stored import BookReading, JournalEntry, Outcome, PriceReading
from alpha_panda.errors import MisuseError
from alpha_panda.ports import Clock, Trader
from alpha_panda.runtime.manifests import Derived, Manifests
from alpha_panda.runtime.venues import paper_terms, rules_of

if TYPE_CHECKING:
    from .zerodha import Kites


def has_live_accounts(resources: ResourceSet) -> bool:
    """Whether an account of the manifests trades real money."""
    return any(account.live for account in resources.accounts.values())


class ManifestTraders:
    """Makes the trader that an account's manifest asks for (port `TraderFactory`)."""

    def __init__(self, manifests: Manifests, clock: Clock, kites: "Kites | None" = None) -> None:
        self._manifests = manifests
        self._clock = clock
        self._kites = kites

    def trader(self, account: str) -> Trader:
        """Return the account's trader."""
        if self._manifests.resources.accounts[account].spec.zerodha is not None:
            if self._kites is None:
                raise MisuseError(f"BrokerAccount/{account} is one of Zerodha, and nobody has wired that")
            return self._kites.trader(self._manifests, account)
        return _PresentTrader(Derived(self._manifests, lambda resources: self._paper(resources, account)))

    def _paper(self, resources: ResourceSet, account: str) -> Trader:
        resource = resources.accounts[account]
        feed = resources.feeds[resource.spec.market_feed]
        rules = rules_of(feed, resource)
        return PaperTrader(self._clock, feed.instruments, paper_terms(resource), rules.trading_day)


class _PresentTrader:
    """The trader by the present manifests: the feed may list other instruments than a moment ago."""

    def __init__(self, present: Derived[Trader]) -> None:
        self._present = present

    async def place(self, entry: JournalEntry, price: PriceReading, deadline: int) -> Outcome:
        """See the port."""
        return await self._present().place(entry, price, deadline)

    async def cancel(self, entry: JournalEntry) -> Outcome:
        """See the port."""
        return await self._present().cancel(entry)

    async def order_book(self) -> BookReading:
        """See the port."""
        return await self._present().order_book()
