"""What the tests of an account at a broker share: one account, one or two strategies, and what must hold in the end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EventType, Side
from alpha_panda.contracts.events import OrderUpdate, Reconciled, RejectedSignal
from alpha_panda.contracts.stored import JournalEntry
from alpha_panda.testing.broker.account import BrokerAccount
from alpha_panda.testing.broker.live import AccountPipeline
from integration.kit import RELIANCE, TCS, manifests, strategy

TOKEN, TCS_TOKEN = 738561, 2953217
TRACKER, RISK = "order-tracker/paper", "risk/paper"
ZERO = Decimal(0)


class Account(AccountPipeline):
    """Short words for what tests say."""

    async def price(self, price: float = 100.0) -> None:
        await self.ticks([(RELIANCE, price), (TCS, price)])

    async def order(
        self, side: Side, quantity: str, strategy: str = "alpha", symbol: str = RELIANCE, **extra: Any
    ) -> str:
        await self.price()
        signal = await self.signal(strategy, symbol, side, quantity, **extra)
        await self.advance(1)
        return signal

    async def buy(self, quantity: str, strategy: str = "alpha", **extra: Any) -> str:
        return await self.order(Side.BUY, quantity, strategy, **extra)

    async def sell(self, quantity: str, strategy: str = "alpha", **extra: Any) -> str:
        return await self.order(Side.SELL, quantity, strategy, **extra)

    def by_hand(self, side: Side, quantity: str, price: str = "100", **extra: Any) -> str:
        now = self.clock.now()
        return self.core.trade(TOKEN, side, Decimal(quantity), Decimal(price), now, **extra)

    def refusal(self, signal_id: str) -> Code | None:
        """Why risk or the engine refused the order, or None."""
        data = self.about(signal_id)[-1].data
        if isinstance(data, RejectedSignal):
            return data.code
        return data.code if isinstance(data, OrderUpdate) and data.code else None

    def held(self, symbol: str = RELIANCE) -> Decimal:
        view = self.snapshot().positions.get(symbol)
        return ZERO if view is None else view.quantity

    def own(self, strategy: str, symbol: str = RELIANCE) -> Decimal:
        """What the strategy's own book holds."""
        book = self.snapshot().strategies.get(strategy)
        view = None if book is None else book.positions.get(symbol)
        return ZERO if view is None else view.quantity

    def told(self) -> list[Reconciled]:
        """Every RECONCILED so far."""
        return [e.data for e in self.events(EventType.RECONCILED) if isinstance(e.data, Reconciled)]

    def shares(self) -> list[OrderUpdate]:
        """Every strategy's share that was told, once each."""
        found = {
            e.id: e.data for e in self.events(EventType.ORDER_UPDATED) if isinstance(e.data, OrderUpdate)
        }
        return [data for data in found.values() if data.share_of]

    async def external(self) -> list[JournalEntry]:
        """Every entry of nobody's that was told."""
        ids = {
            e.data.signal_id: None
            for e in self.events(EventType.ORDER_UPDATED)
            if isinstance(e.data, OrderUpdate) and e.data.external and not e.data.share_of
        }
        found = await self.stores().journal.get_many(*ids)
        return [found[signal_id] for signal_id in ids]

    def check(self) -> None:
        """The book is the broker's, to the last digit: quantities and money; and strategies' books add up to it."""
        snapshot, now = self.snapshot(), self.clock.now()
        ours = {v.instrument_token: v.quantity for v in snapshot.positions.values() if v.quantity}
        assert ours == self.core.net(now)
        for view in snapshot.positions.values():
            parts = [book.positions.get(view.symbol) for book in snapshot.strategies.values()]
            assert sum((part.quantity for part in parts if part is not None), ZERO) == view.quantity
        reading = self.core.portfolio(now)
        assert snapshot.cash == reading.cash
        assert self.dead_letters() == []


def beside(name: str) -> dict[str, Any]:
    return strategy(name, instruments=[RELIANCE, TCS])


@asynccontextmanager
async def account(core: BrokerAccount | None = None, **options: Any) -> AsyncIterator[Account]:
    documents = [*manifests(), beside("beta")]
    for document in documents:
        if document["kind"] == "Strategy":
            document["spec"]["instruments"] = [RELIANCE, TCS]
    settings = {"send_within_seconds": 5, "lost_after_seconds": 30, **options.pop("settings", {})}
    async with Account(documents, core, settings=settings, **options) as pipeline:
        yield pipeline
