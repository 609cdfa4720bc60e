"""What the live tests share: one live account, one order, and what must hold of it in the end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, EventType, Side, TradingState
from alpha_panda.contracts.events import OrderUpdate
from alpha_panda.contracts.scopes import account_scope
from alpha_panda.contracts.stored import JournalEntry, Latch
from alpha_panda.domain.ids import broker_tag
from alpha_panda.testing.broker.live import LivePipeline
from integration.kit import RELIANCE, manifests

S, D = 5, 30
TEN = Decimal(10)


class Live(LivePipeline):
    """A live account with a price, and short words for what tests say."""

    async def price(self, price: float = 100.0) -> None:
        await self.tick(RELIANCE, price)

    async def buy(self, quantity: str = "10", **extra: Any) -> str:
        await self.price()
        return await self.signal("alpha", RELIANCE, Side.BUY, quantity, **extra)

    async def entry(self, signal_id: str) -> JournalEntry:
        entry = await self.stores().journal.get(signal_id)
        assert entry is not None
        return entry

    async def state(self, signal_id: str) -> EntryState:
        return (await self.entry(signal_id)).state

    def told(self, signal_id: str) -> list[OrderUpdate]:
        """Every order event about the signal, once each, in order."""
        return [event.data for event in self.about(signal_id) if isinstance(event.data, OrderUpdate)]

    def last(self, signal_id: str) -> tuple[str, Code | None, Decimal]:
        update = self.told(signal_id)[-1]
        return update.status.value, update.code, update.filled_quantity

    async def latches(self) -> list[Latch]:
        (reading,) = await self.stores().control.read([account_scope("paper")])
        assert bool(reading.latches) == (reading.state is TradingState.HALTED)
        return list(reading.latches)

    async def latch_ids(self) -> list[str]:
        """Kinds of the latches: the part of their ids that names no order."""
        return sorted(latch.latch_id.split("-")[0] for latch in await self.latches())

    def held(self) -> Decimal:
        """What the account's book says."""
        view = self.snapshot().positions.get(RELIANCE)
        return Decimal(0) if view is None else view.quantity

    async def check(self, *signals: str) -> None:
        """One call each, and the account's book is what the broker really did."""
        tags = [broker_tag(signal_id) for signal_id in signals]
        assert self.core.placed() == dict.fromkeys(tags, 1)
        executed = self.core.positions(self.clock.now())
        assert self.held() == executed.get(738561, Decimal(0))
        spent = sum((t.side.sign * t.quantity * t.price for t in self.core.executed()), Decimal(0))
        assert self.snapshot().cash == self.cash - spent
        assert [e for e in await self.stores().journal.unacknowledged() if not e.state.in_doubt] == []
        assert self.dead_letters() == []


@asynccontextmanager
async def live(**options: Any) -> AsyncIterator[Live]:
    settings = {"send_within_seconds": S, "lost_after_seconds": D, **options.pop("settings", {})}
    async with Live(manifests(), settings=settings, **options) as pipeline:
        yield pipeline


def kinds(pipeline: Live, signal_id: str) -> list[EventType]:
    raw = (EventType.VALIDATED_SIGNAL,)
    return [event.type for event in pipeline.about(signal_id) if event.type not in raw]
