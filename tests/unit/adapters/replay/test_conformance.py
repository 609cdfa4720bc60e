from pathlib import Path

import pytest

from alpha_panda.adapters.clock import RealClock
from alpha_panda.adapters.replay import ReplayOptions, ReplaySource
from alpha_panda.contracts.enums import FeedMode
from alpha_panda.testing.conformance.source import MarketSourceConformance, SourceCase
from unit.adapters.source_kit import instruments, write


class TestReplay(MarketSourceConformance):
    @pytest.fixture
    def case(self, tmp_path: Path) -> SourceCase:
        rows = [
            f"2024-01-01T10:00:0{second}Z,{symbol},{100 + second}"
            for second in range(10)
            for symbol in ("NSE:A", "NSE:B")
        ]
        file = write(tmp_path, "\n".join(("timestamp,symbol,price", *rows, "")))
        options = ReplayOptions(path=file.name, base=tmp_path, speed=100)
        return SourceCase(
            make=lambda: ReplaySource(options, RealClock()),
            instruments=instruments("NSE:A", "NSE:B"),
            mode=FeedMode.REPLAY,
            endless=False,
        )
