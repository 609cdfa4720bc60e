"""Live accounts at the local Kite: a pipeline whose orders go through Zerodha's own adapter, on virtual time.

async with KitePipeline(MANIFESTS) as pipeline:
    pipeline.kite.plan(faults.timed_out_yet_placed())
    signal_id = await pipeline.signal(...)
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any

from alpha_panda.contracts.stored import BookReading, JournalEntry, Outcome, PriceReading
from alpha_panda.ports import Trader
from alpha_panda.testing.broker.core import DAY
from alpha_panda.testing.broker.live import LivePipeline, with_broker
from alpha_panda.testing.broker.trader import TIMEOUT

from .core import KiteCore
from .traders import KiteTraders


class OrdersOnly:
    """The port `Trader` alone of a trader that can more: its account is not compared with the broker's portfolio."""

    def __init__(self, trader: Trader) -> None:
        self.trader = trader

    async def place(self, entry: JournalEntry, price: PriceReading, deadline: int) -> Outcome:
        """See the port."""
        return await self.trader.place(entry, price, deadline)

    async def cancel(self, entry: JournalEntry) -> Outcome:
        """See the port."""
        return await self.trader.cancel(entry)

    async def order_book(self) -> BookReading:
        """See the port."""
        return await self.trader.order_book()


class _OrdersOnly:
    def __init__(self, traders: KiteTraders) -> None:
        self._traders = traders

    def trader(self, account: str) -> Trader:
        return OrdersOnly(self._traders.trader(account))


class KitePipeline(LivePipeline):
    """A `LivePipeline` whose accounts each have a `KiteCore`. The feed says prices; Kite has its own, see `set_price`.

    `orders_only`: nothing but the order protocol is at work: the broker's portfolio, pushes and token stay unseen.
    """

    def __init__(
        self,
        manifests: str | Iterable[Mapping[str, Any]],
        *,
        orders_only: bool = False,
        **options: Any,  # noqa: ANN401 - Pipeline's own
    ) -> None:
        super().__init__(manifests, **options)
        if not orders_only:
            with_broker(self.resources)
        self.kites = {name: KiteCore(trading_day=DAY) for name in self.resources.accounts}
        timeout = min(TIMEOUT, self.settings.send_within_seconds)
        listed = {
            name: {item.symbol for item in feed.instruments} for name, feed in self.resources.feeds.items()
        }
        symbols = {
            name: listed[account.spec.market_feed] for name, account in self.resources.accounts.items()
        }
        self.traders = KiteTraders(self.kites, self.clock, timeout=timeout, symbols=symbols)
        traders = _OrdersOnly(self.traders) if orders_only else self.traders
        self.run.ports = replace(self.run.ports, traders=traders)

    @property
    def kite(self) -> KiteCore:
        """The Kite of the first account."""
        return next(iter(self.kites.values()))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await super().__aexit__(kind, error, trace)
        finally:
            await self.traders.aclose()
