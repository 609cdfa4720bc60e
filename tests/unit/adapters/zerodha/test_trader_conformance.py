"""Zerodha's trader keeps what every trader promises."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from alpha_panda.adapters.clock import RealClock
from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.testing.conformance.trader import (
    PortfolioReaderConformance,
    TokenHolderConformance,
    TraderConformance,
)
from alpha_panda.testing.kite.core import KiteCore
from alpha_panda.testing.kite.server import KiteServer

from .benches import KiteBench


class TestInProcess(TraderConformance, TokenHolderConformance, PortfolioReaderConformance):
    @pytest.fixture
    def bench(self, tmp_path: Path, clock: VirtualClock) -> KiteBench:
        return KiteBench(tmp_path, KiteCore(), clock)


class TestOverHttp(TraderConformance, TokenHolderConformance, PortfolioReaderConformance):
    @pytest.fixture
    async def bench(self, tmp_path: Path) -> AsyncIterator[KiteBench]:
        async with KiteServer() as server:
            bench = KiteBench(tmp_path, server.core, RealClock(), url=server.url, refuse=server.refuse)
            async with bench.client:
                yield bench
