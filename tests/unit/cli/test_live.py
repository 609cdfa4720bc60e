"""The live view on a recorder with content."""

import asyncio
import io
from types import SimpleNamespace
from typing import cast

import pytest
import structlog
from rich.console import Console

from alpha_panda.cli.live import EVENT_LINES, LiveView, events_table
from alpha_panda.compose.embedded import EmbeddedRun
from alpha_panda.compose.recorder import Recorder
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EventType, OrderStatus, TradingState
from alpha_panda.contracts.events import ControlChanged, Envelope, Reconciled
from alpha_panda.runtime.logging import configure_logging
from alpha_panda.runtime.settings import Settings
from unit.compose.kit import (
    TS,
    cancel,
    event,
    order,
    record,
    recorded,
    rejected,
    signal,
    snapshot,
    ticks,
    validated,
)

E = EventType
FAILED = {"code": Code.PRICE_STALE, "message": "the quote is 7 s old"}
EVENTS = [
    event(E.PORTFOLIO_SNAPSHOT, snapshot(), "b"),
    event(E.TRADING_SIGNAL, signal(reason="up 4 bps"), "s1"),
    event(E.VALIDATED_SIGNAL, validated(signal()), "v"),
    event(E.REJECTED_SIGNAL, rejected(signal("s2")), "r"),
    event(E.CANCEL_REQUEST, cancel(), "c1"),
    event(E.ORDER_PLACED, order(status=OrderStatus.PLACED, filled="0"), "p"),
    event(E.ORDER_FILLED, order(), "f"),
    event(E.ORDER_FAILED, order("s3", OrderStatus.FAILED, "0", **FAILED), "x"),
    event(
        E.CONTROL_CHANGED,
        ControlChanged(
            scope="account:paper", latch_id="l", state=TradingState.HALTED, action="set", reason="loss"
        ),
        "k",
    ),
    event(E.RECONCILED, Reconciled(user="u", trading_day="d", reconciled=True), "a"),
]


def run_with(*told: Envelope) -> EmbeddedRun:
    """As much of a run as the view reads: it is 1.5 s later than its last tick."""
    recorder = Recorder()
    recorder(ticks(*[2500.0] * 1234))
    for item in told:
        recorder(recorded(item))
    clock = SimpleNamespace(now=lambda: TS + 1_500_000_000)
    return cast("EmbeddedRun", SimpleNamespace(recorder=recorder, clock=clock, failures=[]))


def shown(run: EmbeddedRun, width: int) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width)
    console.print(LiveView(console).render(run))
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_everything_is_there_and_nothing_is_cut_off(width: int) -> None:
    text = shown(run_with(*EVENTS), width)
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    words = " ".join(text.split())
    for part in ("feed demo", "2024-01-01 03:45:00.123", "1.5 s old", "1,234"):
        assert part in words
    assert "signals 2 raw, 1 validated, 1 rejected" in words
    assert "orders 1 filled, 1 rested, 0 cancelled, 1 failed" in words
    for amount in ("1,940,981.58", "1,999,135.84", "-22,171.90", "30,095.25", "12,673.21"):
        assert amount in words
    for position in ("NSE:TCS -12,345 3,962.8785714286", "NSE:RELIANCE 7 2,509.85"):
        assert position in words


@pytest.mark.parametrize("width", [80, 120])
def test_events_are_lines_with_time_account_kind_and_gist(width: int) -> None:
    words = " ".join(shown(run_with(*EVENTS), width).split())
    for line in (
        "03:45:00.123 paper book equity 1,999,135.84, cash 1,940,981.58",
        "03:45:00.123 paper validated momentum-shared: BUY 10 NSE:RELIANCE MARKET",
        "03:45:00.123 paper cancel momentum-shared: cancel s1",
        "03:45:00.123 paper placed momentum-shared: BUY 0/10 NSE:RELIANCE",
        "03:45:00.123 paper filled momentum-shared: BUY 10/10 NSE:RELIANCE @ 2509.85",
        "03:45:00.123 paper control account:paper: set Halted loss",
    ):
        assert line in words


def test_a_line_too_long_folds() -> None:
    text = shown(run_with(EVENTS[3]), 80)
    for word in ("MAX_ORDER_QUANTITY", "10", "is", "more", "than", "5"):
        assert word in text.replace("\n", " ").split()


def test_the_newest_event_comes_first_and_there_are_few() -> None:
    told = [event(E.TRADING_SIGNAL, signal(reason=f"reason-{n}"), f"s{n}") for n in range(30)]
    out = io.StringIO()
    Console(file=out, width=120).print(events_table(told))
    lines = out.getvalue().splitlines()
    assert len(lines) == EVENT_LINES
    assert "reason-29" in lines[0]
    assert "reason-20" in lines[-1]


def test_every_type_of_event_has_a_word() -> None:
    for told in EVENTS:
        assert events_table([told]).row_count == 1


def test_nothing_recorded_yet() -> None:
    recorder = Recorder()
    clock = SimpleNamespace(now=lambda: TS)
    run = cast("EmbeddedRun", SimpleNamespace(recorder=recorder, clock=clock, failures=[]))
    assert "no account" in shown(run, 80)


def test_dead_letters_show() -> None:
    run = run_with()
    run.recorder(record("paper.signals.raw.dlq", b"x"))
    assert "1 records in dead letter queues" in shown(run, 80)


def test_a_strategy_that_crashed_shows() -> None:
    run = run_with()
    run.failures.append("strategy a on account paper raised ValueError: no")
    assert "stopped: strategy a on account paper raised ValueError: no" in shown(run, 80)


async def test_it_redraws_until_cancelled_and_log_lines_go_above_it() -> None:
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=True, _environ={"TERM": "xterm"})
    with LiveView(console) as view:
        configure_logging(Settings(log_format="console"), view.log_stream)
        following = asyncio.create_task(view.follow(run_with(*EVENTS)))
        await asyncio.sleep(0)
        structlog.get_logger().warning("feed is late", feed="demo")
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    structlog.reset_defaults()
    text = out.getvalue()
    assert 0 <= text.find("feed is late") < text.rindex("12,673.21")


def test_the_log_stream_is_a_terminal_where_the_console_is() -> None:
    plain, terminal = Console(file=io.StringIO()), Console(file=io.StringIO(), force_terminal=True)
    assert not LiveView(plain).log_stream.isatty()
    assert LiveView(terminal).log_stream.isatty()
