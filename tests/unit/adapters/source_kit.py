"""What the tests of the market sources share."""

from collections.abc import AsyncIterator, Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from alpha_panda.adapters.replay import ReplayOptions, ReplaySource
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.ports import SourceBatch

NS = 1_000_000_000
MS = 1_000_000


class FakeClock:
    """A clock that jumps wherever somebody waits for, and remembers the waits."""

    def __init__(self, *, virtual: bool = True, start: int = 0) -> None:
        self.virtual = virtual
        self.time = start
        self.waits: list[int] = []
        self.on_wait: Callable[[], None] | None = None

    def now(self) -> int:
        return self.time

    def monotonic(self) -> int:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += round(seconds * NS)

    def every(self, seconds: float) -> AsyncIterator[int]:
        raise NotImplementedError

    async def pace_until(self, ts: int) -> None:
        self.waits.append(ts)
        self.time = max(self.time, ts)
        if self.on_wait:
            self.on_wait()


def instruments(*symbols: str) -> list[Instrument]:
    """Tokens 1, 2, 3 …"""
    return [
        Instrument(token, symbol, Decimal("0.05")) for token, symbol in enumerate(symbols or ("NSE:A",), 1)
    ]


def replay(file: Path, clock: FakeClock | None = None, **options: Any) -> ReplaySource:
    return ReplaySource(ReplayOptions(path=file.name, base=file.parent, **options), clock or FakeClock())


async def read(source: ReplaySource, listed: Sequence[Instrument] | None = None) -> list[SourceBatch]:
    return [batch async for batch in source.batches(listed or instruments())]


def joined(batches: Sequence[SourceBatch], column: str) -> list[Any]:
    return [cell for batch in batches for cell in getattr(batch, column) or ()]


def write(folder: Path, text: str, name: str = "prices.csv") -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8", newline="")
    return file
