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
    Envelope,
    OrderUpdate,
    PortfolioSnapshot,
    RejectedSignal,
    Signal,
    ValidatedSignal,
)

from .report import accounts_table

FRAMES_PER_SECOND: Final = 4
EVENT_LINES: Final = 10
NS_PER_SECOND: Final = 1_000_000_000

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
        summary = summarize(run.recorder, 0.0)
        counts = Text.assemble(
            ("signals ", "bold"),
            f"{summary.signals.raw:,} raw  {summary.signals.validated:,} validated  ",
            f"{summary.signals.rejected:,} rejected   ",
            ("orders ", "bold"),
            f"{summary.orders.filled:,} filled  {summary.orders.submitted:,} rested  ",
            f"{summary.orders.cancelled:,} cancelled  {summary.orders.failed:,} failed",
            (f"   dead letters {summary.dlq:,}", "red") if summary.dlq else "",
        )
        return Group(self._feeds(run), counts, accounts_table(summary), *_events(run.recorder.recent))

    def _feeds(self, run: EmbeddedRun) -> RenderableType:
        rate = self._rate.of(run.recorder.counts.ticks)
        table = Table.grid(padding=(0, 3))
        for name, ts in sorted(run.recorder.last_tick_ts.items()):
            age = (run.clock.now() - ts) / NS_PER_SECOND
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


def _events(events: Iterable[Envelope]) -> list[RenderableType]:
    return [event_text(event) for event in list(events)[-EVENT_LINES:]]


def event_text(event: Envelope) -> Text:
    """Return one line on an event."""
    line = f"{_moment(event.ts)}  {event.account:<10} {event.type:<18} {_gist(event)}"
    return Text(line, style=_STYLES.get(event.type, ""), no_wrap=True, overflow="ellipsis")


def _gist(event: Envelope) -> str:
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
        return f"equity {data.equity}, cash {data.cash}"
    return f"{data.scope}: {data.action} {data.state} {data.reason}"


def _order_words(signal: Signal) -> str:
    return f"{signal.strategy_id}: {signal.side} {signal.quantity} {signal.symbol} {signal.order_type} {signal.reason}"


def _moment(ts: int) -> str:
    seconds, ns = divmod(ts, NS_PER_SECOND)
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds)) + f".{ns // 1_000_000:03d}"
