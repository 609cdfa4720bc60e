"""The paper venue keeps what every trader promises."""

from collections import Counter
from decimal import Decimal

import pytest

from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.adapters.paper.trader import PAPER_USER, PaperTrader
from alpha_panda.contracts.enums import FeedMode
from alpha_panda.contracts.instruments import Instrument, InstrumentMaster
from alpha_panda.contracts.stored import JournalEntry, Outcome, PriceReading, Quote
from alpha_panda.domain.matching import PaperTerms
from alpha_panda.testing.conformance.trader import TraderBench, TraderConformance, Trouble
from alpha_panda.testing.pytest_plugin import clock, pytest_asyncio_loop_factories

__all__ = ["clock", "pytest_asyncio_loop_factories"]


class CountingPaper(PaperTrader):
    """Counts the orders that it has matched."""

    def __init__(self, clock: VirtualClock, instrument: Instrument) -> None:
        super().__init__(clock, InstrumentMaster.of([instrument]), PaperTerms())
        self.matched: Counter[str] = Counter()

    async def place(self, entry: JournalEntry, price: PriceReading, deadline: int) -> Outcome:
        outcome = await super().place(entry, price, deadline)
        if outcome.broker_order_id:
            self.matched[entry.tag] += 1
        return outcome


class PaperBench(TraderBench):
    has_book = False
    user = PAPER_USER

    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.instrument = Instrument(738561, "NSE:RELIANCE", Decimal("0.05"))
        self.price = Decimal(1400)
        self.trader: CountingPaper = CountingPaper(clock, self.instrument)

    def reading(self) -> PriceReading:
        now = self.clock.now()
        return PriceReading(Quote(float(self.price), now, "demo", FeedMode.SIMULATED, 1, 1), now)

    def sent(self) -> Counter[str]:
        return self.trader.matched

    async def trouble(self, trouble: Trouble) -> bool:
        return False


class TestPaper(TraderConformance):
    @pytest.fixture
    def bench(self, clock: VirtualClock) -> PaperBench:
        return PaperBench(clock)
