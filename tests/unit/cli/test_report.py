"""The summary for people: whole numbers at 80 columns."""

import io

import pytest
from rich.console import Console

from alpha_panda.cli.report import books, money, plain, print_summary
from alpha_panda.compose.recorder import Recorder
from alpha_panda.compose.summary import RunSummary, summarize
from alpha_panda.contracts.enums import EventType
from unit.compose.kit import D, event, recorded, snapshot, ticks

AMOUNTS = ("1,940,981.58", "1,999,135.84", "-22,171.90", "30,095.25", "12,673.21")


def summary(*names: str, **fields: object) -> RunSummary:
    recorder = Recorder()
    recorder(ticks(*[1.0] * 1500))
    for name in names:
        recorder(recorded(event(EventType.PORTFOLIO_SNAPSHOT, snapshot(**fields), account=name)))
    return summarize(recorder, 2.0)


def printed(what: RunSummary, width: int = 80) -> str:
    out = io.StringIO()
    print_summary(what, Console(file=out, width=width))
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 100, 120])
def test_amounts_and_positions_are_whole_numbers(width: int) -> None:
    text = printed(summary("paper", "a-second-account"), width)
    assert "…" not in text
    for amount in (*AMOUNTS, "-12,345", "3,962.8785714286", "2,509.85", "NSE:RELIANCE"):
        assert text.count(amount) == 2
    assert max(map(len, text.splitlines())) <= width


def test_positions_have_a_table_of_their_own() -> None:
    lines = [line.split() for line in printed(summary("paper")).splitlines()]
    assert ["account", "cash", "equity", "realized", "unrealized", "fees"] in lines
    assert ["paper", *AMOUNTS] in lines
    assert ["account", "position", "quantity", "average", "price"] in lines
    assert ["paper", "NSE:TCS", "-12,345", "3,962.8785714286"] in lines


def test_a_long_account_name_gives_way_before_a_number_does() -> None:
    text = printed(summary("n" * 40))
    assert "…" not in text
    for amount in AMOUNTS:
        assert amount in text
    assert text.count("n") >= 80  # in both tables, in as many lines as it takes


def test_amounts_too_wide_for_any_terminal_fold_and_lose_no_digit() -> None:
    huge = D("123456789012345678901234567890.12")
    text = printed(summary("paper", cash=huge, equity=huge))
    assert "…" not in text


def test_it_begins_with_time_and_counts() -> None:
    lines = printed(summary("paper")).splitlines()
    assert lines[0] == "Ran 2.0 s: 1,500 ticks (750 a second)"
    assert lines[1] == "signals  0 raw, 0 validated, 0 rejected"
    assert lines[2] == "orders   0 filled, 0 rested, 0 cancelled, 0 failed"


def test_dead_letters_are_told_only_if_there_are_any() -> None:
    assert "dead letter" not in printed(summary("paper"))
    recorder = Recorder()
    recorder.counts.dlq = 3
    assert "3 records in dead letter queues" in printed(summarize(recorder, 1.0))


def test_a_strategy_that_crashed_is_a_red_line_of_its_own_and_no_key_of_the_json() -> None:
    told = summarize(Recorder(), 1.0, ["strategy a on account paper raised ValueError: no"])
    out = io.StringIO()
    print_summary(told, Console(file=out, width=80, force_terminal=True, color_system="standard"))
    (line,) = [line for line in out.getvalue().splitlines() if "stopped:" in line]
    assert line.startswith("\x1b[1;31mstopped: strategy a on account paper raised ValueError: no")
    assert told.as_json() == summarize(Recorder(), 1.0).as_json()
    assert "stopped" not in printed(summarize(Recorder(), 1.0))


def test_no_positions_and_no_accounts_are_said() -> None:
    assert "no positions" in printed(summary("paper", positions={}))
    assert "no account" in printed(summary())
    assert printed(summarize(Recorder(), 0.0)).startswith("Ran 0.0 s: 0 ticks (0 a second)")


def test_positions_beyond_the_given_number_are_counted() -> None:
    out = io.StringIO()
    Console(file=out, width=80).print(books(summary("a", "b"), 3))
    assert out.getvalue().count("NSE:") == 3
    assert "and 1 more positions" in out.getvalue()


def test_numbers_for_people() -> None:
    assert money("1234567.005") == "1,234,567.00"  # half-even
    assert money("-0.5") == "-0.50"
    assert plain("1234.5678901") == "1,234.5678901"
    assert plain(D("1E+3")) == "1,000"
