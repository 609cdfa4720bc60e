"""One live account at the local Kite through Zerodha's adapter: as `integration.broker.live_kit`, with Kite behind it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from alpha_panda.testing.kite.core import KiteCore
from alpha_panda.testing.kite.live import KitePipeline
from integration.broker.live_kit import D, Live, S
from integration.kit import manifests

PRICE = 1400.0
"""RELIANCE at the local Kite, and what the feed says."""


class KiteLive(Live, KitePipeline):
    """The words of `Live`, about Kite."""

    @property
    def core(self) -> KiteCore:  # type: ignore[override]  # it takes the same commands and tells the same truth
        return self.kite

    async def price(self, price: float = PRICE) -> None:
        await super().price(price)

    def only_order(self) -> str:
        (order_id,) = self.kite.orders
        return order_id

    def calls(self, kind: str) -> int:
        return sum(call.kind == kind for call in self.kite.calls)


@asynccontextmanager
async def live(
    prepare: Callable[[KiteLive], None] = lambda _: None, **options: Any
) -> AsyncIterator[KiteLive]:
    """Give a running pipeline; `prepare` is called before it starts."""
    settings = {"send_within_seconds": S, "lost_after_seconds": D, **options.pop("settings", {})}
    pipeline = KiteLive(manifests(), settings=settings, **{"orders_only": True, **options})
    prepare(pipeline)
    async with pipeline:
        yield pipeline
