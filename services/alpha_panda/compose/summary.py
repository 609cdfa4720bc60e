"""What a run came to, as the object that `--output json` prints."""

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec.structs import replace

from alpha_panda.contracts.events import PortfolioSnapshot

from .recorder import Counts, Recorder


class SignalCounts(msgspec.Struct, frozen=True):
    """Distinct signals and cancel requests."""

    raw: int
    validated: int
    rejected: int


class OrderCounts(msgspec.Struct, frozen=True):
    """Distinct orders; `submitted` came to rest, `filled` had any fill."""

    submitted: int
    filled: int
    failed: int
    cancelled: int


class PositionSummary(msgspec.Struct, frozen=True):
    """A position that is not flat."""

    quantity: str
    average_price: str


class AccountSummary(msgspec.Struct, frozen=True):
    """An account's book; `realized_pnl` before fees, `cash` after them."""

    cash: str
    equity: str
    realized_pnl: str
    unrealized_pnl: str
    fees: str
    positions: dict[str, PositionSummary]


class RunSummary(msgspec.Struct, frozen=True, omit_defaults=True):
    """The summary of a run. `failures`: one line for each strategy that crashed and stayed stopped."""

    ticks: int
    signals: SignalCounts
    orders: OrderCounts
    dlq: int
    duration_seconds: float
    accounts: dict[str, AccountSummary]
    failures: tuple[str, ...] = ()

    def as_json(self) -> str:
        """Return the object as one line of JSON: always the same keys, so without `failures`."""
        return msgspec.json.encode(replace(self, failures=())).decode()


def summarize(recorder: Recorder, duration_seconds: float, failures: Iterable[str] = ()) -> RunSummary:
    """Return the summary of what the recorder saw."""
    counts = recorder.counts
    return RunSummary(
        ticks=counts.ticks,
        signals=SignalCounts(len(counts.raw), len(counts.validated), len(counts.rejected)),
        orders=_orders(counts),
        dlq=counts.dlq,
        duration_seconds=round(duration_seconds, 3),
        accounts={name: _account(book) for name, book in sorted(recorder.portfolios.items())},
        failures=tuple(failures),
    )


def _orders(counts: Counts) -> OrderCounts:
    return OrderCounts(len(counts.submitted), len(counts.filled), len(counts.failed), len(counts.cancelled))


def _account(book: PortfolioSnapshot) -> AccountSummary:
    held: dict[str, Any] = {symbol: view for symbol, view in sorted(book.positions.items()) if view.quantity}
    return AccountSummary(
        cash=f"{book.cash:f}",
        equity=f"{book.equity:f}",
        realized_pnl=f"{book.realized_pnl:f}",
        unrealized_pnl=f"{book.unrealized_pnl:f}",
        fees=f"{book.fees:f}",
        positions={
            symbol: PositionSummary(f"{view.quantity:f}", f"{view.average_price:f}")
            for symbol, view in held.items()
        },
    )
