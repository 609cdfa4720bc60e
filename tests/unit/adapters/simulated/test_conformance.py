from decimal import Decimal

import pytest

from alpha_panda.adapters.clock import RealClock
from alpha_panda.adapters.simulated import SimulatedOptions, SimulatedSource
from alpha_panda.contracts.enums import FeedMode
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.testing.conformance.source import MarketSourceConformance, SourceCase


class TestSimulated(MarketSourceConformance):
    @pytest.fixture
    def case(self) -> SourceCase:
        listed = [
            Instrument(token, f"NSE:S{token}", Decimal("0.05"), reference_price=Decimal(100))
            for token in (1, 2, 3)
        ]
        options = SimulatedOptions(ticks_per_second=2000)
        return SourceCase(
            make=lambda: SimulatedSource(options, RealClock()), instruments=listed, mode=FeedMode.SIMULATED
        )
