"""Live accounts for tests: paper manifests whose orders go to a broker that the test holds in its hand.

async with LivePipeline(MANIFESTS) as pipeline:
    pipeline.core.plan(faults.drop_reply())
    signal_id = await pipeline.signal(...)

The manifest model has no live broker yet, so an account is written as a paper one and made live here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, Self

import msgspec

from alpha_panda.contracts.enums import FeedMode, Product
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.resources.zerodha import ZerodhaBroker
from alpha_panda.contracts.stored import BrokerFacts, RiskSnapshot
from alpha_panda.domain.book import Book
from alpha_panda.domain.ledger_state import LedgerState
from alpha_panda.domain.risk.losses import DayPnl
from alpha_panda.errors import MisuseError
from alpha_panda.ports import DecisionStore, TraderFactory
from alpha_panda.risk.ledger import ACCOUNT
from alpha_panda.testing.pipeline import Pipeline

from .account import AccountTrader, BrokerAccount
from .core import USER, BrokerCore
from .trader import TIMEOUT, CoreTraders

CASH = Decimal(1_000_000)

LONGEST_WAIT = 60
"""Virtual seconds within which an account must be compared with a broker that is well."""


def make_live(resources: ResourceSet, *accounts: str) -> None:
    """Take the paper broker out of the accounts (all, if none is named), in place: before anything is built."""
    for name in accounts or tuple(resources.accounts):
        account = resources.accounts[name]
        spec = account.spec.model_copy(update={"paper": None})
        resources.accounts[name] = account.model_copy(update={"spec": spec})


async def fund(decisions: DecisionStore, cash: Decimal = CASH) -> None:
    """Give risk's book its opening cash: of a live account no manifest says it. Before risk's first start."""
    claim = await decisions.claim("test-funds")
    state = LedgerState(Book.opened(cash), {ACCOUNT: DayPnl(last=cash)})
    await decisions.save(claim.epoch, RiskSnapshot(offsets={}, state=msgspec.msgpack.encode(state)), {})


def with_broker(resources: ResourceSet, product: Product = Product.MIS) -> None:
    """Let the accounts be at a broker that keeps positions, as `testing.broker.account` does; in place."""
    for name, account in resources.accounts.items():
        zerodha = ZerodhaBroker(live=True, user_id=USER, product=product)
        spec = account.spec.model_copy(update={"zerodha": zerodha})
        resources.accounts[name] = account.model_copy(update={"spec": spec})


class AccountPipeline(Pipeline):
    """A pipeline of one live account at a `BrokerAccount`: positions, money, pushes and a login, on virtual time.

    Args as `Pipeline`, and `core`: the broker, before the account is first seen.
    """

    def __init__(
        self,
        manifests: str | Iterable[Mapping[str, Any]],
        core: BrokerAccount | None = None,
        **options: Any,  # noqa: ANN401 - Pipeline's own
    ) -> None:
        super().__init__(manifests, **options)
        self.core = BrokerAccount() if core is None else core
        make_live(self.resources)
        with_broker(self.resources, Product(self.core.product))
        timeout = min(TIMEOUT, self.settings.send_within_seconds)
        cores = dict.fromkeys(self.resources.accounts, self.core)
        traders = CoreTraders(cores, self.clock, timeout=timeout, kind=AccountTrader)
        self.run.ports = replace(self.run.ports, traders=traders)
        for source in self._sources.values():
            source.mode = FeedMode.LIVE

    async def facts(self) -> BrokerFacts | None:
        """Return what the order-tracker has told of the first account."""
        return await self.stores().journal.facts()

    async def until_reconciled(self) -> BrokerFacts:
        """Let time pass until the account was compared with its broker."""
        for _ in range(LONGEST_WAIT):
            facts = await self.facts()
            if facts is not None and facts.reconciled:
                return facts
            await self.advance(1)
        raise MisuseError(f"not reconciled: {await self.facts()}")


class LivePipeline(Pipeline):
    """A pipeline whose accounts are live: by default each has a `BrokerCore`, on the pipeline's virtual time.

    Args as `Pipeline`, and:
        traders: instead of the cores.
        cash: opening cash of each account.

    """

    def __init__(
        self,
        manifests: str | Iterable[Mapping[str, Any]],
        *,
        traders: TraderFactory | None = None,
        cash: Decimal = CASH,
        **options: Any,  # noqa: ANN401 - Pipeline's own
    ) -> None:
        super().__init__(manifests, **options)
        make_live(self.resources)
        self.cash = cash
        self.cores = {name: BrokerCore() for name in self.resources.accounts}
        timeout = min(TIMEOUT, self.settings.send_within_seconds)
        own = CoreTraders(self.cores, self.clock, timeout=timeout)
        self.run.ports = replace(self.run.ports, traders=own if traders is None else traders)
        for source in self._sources.values():
            source.mode = FeedMode.LIVE

    @property
    def core(self) -> BrokerCore:
        """The broker of the first account."""
        return next(iter(self.cores.values()))

    async def __aenter__(self) -> Self:
        for name in self.resources.accounts:
            await fund(self.stores(name).decisions, self.cash)
        return await super().__aenter__()
