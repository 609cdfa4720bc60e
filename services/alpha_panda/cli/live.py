"""The live view of `run` on a terminal: feeds, signals, orders, books, last events. Reads, never waits for it."""

import asyncio
import io
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Final, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from alpha_panda.compose.embedded import EmbeddedRun
from alpha_panda.compose.summary import summarize
from alpha_panda.contracts.enums import EventType
from alpha_panda.contracts.events import (
    CancelRequest,
    ControlChanged,
    Envelope,
    OrderUpdate,
    PortfolioSnapshot,
    Reconciled,
    RejectedSignal,
    Signal,
    ValidatedSignal,
)
from alpha_panda.contracts.units import SECOND_NS

from .report import books, counts_lines, money

FRAMES_PER_SECOND: Final = 4
EVENT_LINES: Final = 10
POSITION_LINES: Final = 8

_WORDS: Final = {
    EventType.TRADING_SIGNAL: "signal",
    EventType.CANCEL_REQUEST: "cancel",
    EventType.VALIDATED_SIGNAL: "validated",
    EventType.REJECTED_SIGNAL: "rejected",
    EventType.ORDER_PLACED: "placed",
    EventType.ORDER_FILLED: "filled",
    EventType.ORDER_FAILED: "failed",
    EventType.ORDER_CANCELLED: "cancelled",
    EventType.ORDER_UPDATED: "updated",
    EventType.PORTFOLIO_SNAPSHOT: "book",
    EventType.CONTROL_CHANGED: "control",
    EventType.RECONCILED: "broker",
}
_STYLES: Final = {
    EventType.ORDER_FILLED: "green",
    EventType.ORDER_FAILED: "red",
    EventType.REJECTED_SIGNAL: "yellow",
    EventType.CONTROL_CHANGED: "bold red",
}


class LiveView:
    """Draws while its context is open; log lines go above it."""

    def __init__(self, console: Console) -> None:
        self._live = Live(console=console, refresh_per_second=FRAMES_PER_SECOND, transient=True)
        self.log_stream = _AboveTheView(console)
        self._rate = _Rate()

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    async def follow(self, run: EmbeddedRun) -> None:
        """Redraw until cancelled; on wall time, whatever clock the run has."""
        while True:
            self._live.update(self.render(run))
            await asyncio.sleep(1 / FRAMES_PER_SECOND)

    def render(self, run: EmbeddedRun) -> RenderableType:
        """Return the view as of now."""
        summary = summarize(run.recorder, 0.0, run.failures)
        parts = (self._feeds(run), counts_lines(summary), books(summary, POSITION_LINES))
        return Group(*parts, events_table(run.recorder.recent))

    def _feeds(self, run: EmbeddedRun) -> RenderableType:
        rate = self._rate.of(run.recorder.counts.ticks)
        table = Table.grid(padding=(0, 3))
        for name, ts in sorted(run.recorder.last_tick_ts.items()):
            age = (run.clock.now() - ts) / SECOND_NS
            table.add_row(Text(f"feed {name}", style="bold"), f"{_moment(ts)}", f"{age:.1f} s old")
        table.add_row(Text("ticks", style="bold"), f"{run.recorder.counts.ticks:,}", f"{rate:,.0f} a second")
        return table


class _Rate:
    """Ticks a second between two frames."""

    def __init__(self) -> None:
        self._seen = 0
        self._at = time.monotonic()
        self._rate = 0.0

    def of(self, ticks: int) -> float:
        now = time.monotonic()
        if now - self._at >= 1 / FRAMES_PER_SECOND:
            self._rate = (ticks - self._seen) / (now - self._at)
            self._seen, self._at = ticks, now
        return self._rate


class _AboveTheView(io.StringIO):
    """A stream whose lines the console prints above the live view."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def write(self, text: str) -> int:
        if text.strip():
            self._console.print(Text.from_ansi(text.rstrip("\n")))
        return len(text)

    def isatty(self) -> bool:
        return self._console.is_terminal


def events_table(events: Iterable[Envelope]) -> Table:
    """Return the last events, the newest first: what a low terminal cuts off is the oldest."""
    table = Table.grid(padding=(0, 1))
    for width in (None, 10, 9, None):
        table.add_column(overflow="fold", no_wrap=width is None and not table.columns, max_width=width)
    for event in list(events)[: -EVENT_LINES - 1 : -1]:
        words = (_moment(event.ts)[11:], event.account, _WORDS[event.type], gist(event))
        table.add_row(*map(Text, words), style=_STYLES.get(event.type, ""))
    return table


def gist(event: Envelope) -> str:
    """Return an event in a few words."""
    data = event.data
    if isinstance(data, Signal):
        return _order_words(data)
    if isinstance(data, CancelRequest):
        return f"{data.strategy_id}: cancel {data.order_signal_id}"
    if isinstance(data, ValidatedSignal | RejectedSignal):
        what = data.original_signal
        words = _order_words(what) if isinstance(what, Signal) else f"{what.strategy_id}: cancel"
        return words if isinstance(data, ValidatedSignal) else f"{words}: {data.code} {data.message}"
    if isinstance(data, OrderUpdate):
        at = "" if data.price is None else f" @ {data.price}"
        why = f" {data.code} {data.message}" if data.code else ""
        return (
            f"{data.strategy_id}: {data.side} {data.filled_quantity}/{data.quantity} {data.symbol}{at}{why}"
        )
    if isinstance(data, PortfolioSnapshot):
        return f"equity {money(data.equity)}, cash {money(data.cash)}"
    return _reconciled(data) if isinstance(data, Reconciled) else _control(data)


def _control(data: ControlChanged) -> str:
    return f"{data.scope}: {data.action} {data.state} {data.reason}"


def _reconciled(data: Reconciled) -> str:
    """Return how the account's book and its broker stand to each other."""
    words = [
        f"{item.symbol} ours {item.ours:f} broker {item.theirs:f}" for item in data.differences or data.opened
    ]
    if data.opened:
        return f"opened with {', '.join(words)}"
    if words:
        return f"differs from the broker: {', '.join(words)}"
    return "agrees with the broker" if data.reconciled else f"not compared with the broker: {data.reason}"


def _order_words(signal: Signal) -> str:
    words = f"{signal.strategy_id}: {signal.side} {signal.quantity} {signal.symbol} {signal.order_type}"
    return f"{words} {signal.reason}".rstrip()


def _moment(ts: int) -> str:
    seconds, ns = divmod(ts, SECOND_NS)
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds)) + f".{ns // 1_000_000:03d}"
