"""Every example runs from the command line as its README says, and says what it did."""

import fcntl
import json
import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from integration.command import ROOT, alpha_panda, command, environment

WITH_A_BROKER = "05-zerodha-dry-run"
"""Needs a local Kite and a log-in: tests/integration/zerodha/test_dry_run.py runs it."""
EXAMPLES = sorted(
    path.name for path in (ROOT / "examples").iterdir() if path.is_dir() and path.name != WITH_A_BROKER
)
OPTIONS = {
    "01-paper-momentum": ("--duration", "8s"),
    "02-replay-real-prices": (),
    "03-two-accounts-three-strategies": ("--max-ticks", "3000", "--duration", "15s"),
    "04-own-strategy": ("--max-ticks", "2400", "--duration", "15s"),
}
COUNTS = {
    "signals": {"raw", "validated", "rejected"},
    "orders": {"submitted", "filled", "failed", "cancelled"},
}
MONEY = ("cash", "equity", "realized_pnl", "unrealized_pnl", "fees")
KEYS = {"ticks", "signals", "orders", "dlq", "duration_seconds", "accounts"}


Summaries = Callable[[str], dict[str, Any]]


def run_example(example: str) -> str:
    done = alpha_panda("run", f"examples/{example}", "--output", "json", *OPTIONS[example], timeout=110)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def summary_of(tmp_path_factory: pytest.TempPathFactory) -> Summaries:
    """Run each example once in a run of the tests: workers of xdist share what it printed."""
    base = tmp_path_factory.getbasetemp()
    folder = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    @cache
    def summary(example: str) -> dict[str, Any]:
        with (folder / f"example-{example}.json").open("a+", encoding="utf-8") as printed:
            fcntl.flock(printed, fcntl.LOCK_EX)
            printed.seek(0)
            text = printed.read()
            if not text:
                text = run_example(example)
                printed.write(text)
        told: dict[str, Any] = json.loads(text)  # one object, and nothing else
        return told

    return summary


def test_every_example_is_run() -> None:
    assert OPTIONS.keys() == set(EXAMPLES)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_trades(summary_of: Summaries, example: str) -> None:
    summary = summary_of(example)
    assert summary["orders"]["filled"] > 0
    assert summary["dlq"] == 0
    assert summary["signals"]["raw"] >= summary["signals"]["validated"] > 0
    assert (ROOT / "examples" / example / "README.md").is_file()


@pytest.mark.parametrize("example", EXAMPLES)
@pytest.mark.parametrize("key", sorted(KEYS))
def test_the_summary_has_the_documented_shape(summary_of: Summaries, example: str, key: str) -> None:
    summary = summary_of(example)
    assert summary.keys() == KEYS
    value = summary[key]
    if key in COUNTS:
        assert value.keys() == COUNTS[key]
        assert all(isinstance(count, int) and count >= 0 for count in value.values())
    elif key == "accounts":
        assert value
        for account in value.values():
            _check_account(account)
    elif key == "duration_seconds":
        assert value > 0
    else:
        assert isinstance(value, int)


def _check_account(account: dict[str, Any]) -> None:
    assert account.keys() == {*MONEY, "positions"}
    for name in MONEY:
        assert isinstance(account[name], str)
        assert Decimal(account[name]).is_finite()
    for symbol, position in account["positions"].items():
        assert re.fullmatch(r"[A-Z]+:\S+", symbol)
        assert position.keys() == {"quantity", "average_price"}
        assert Decimal(position["quantity"]) != 0
        assert Decimal(position["average_price"]) > 0


def test_the_replay_sees_every_row(summary_of: Summaries) -> None:
    assert summary_of("02-replay-real-prices")["ticks"] == 500_000


@pytest.mark.parametrize("output", ["json", "plain"])
def test_ctrl_c_drains_and_prints_the_summary(tmp_path: Path, output: str) -> None:
    events = tmp_path / "events.jsonl"
    options = ("--events", str(events), *(("--output", "json") if output == "json" else ()))
    with subprocess.Popen(  # noqa: S603 - our own command
        command("run", "examples/01-paper-momentum", *options),
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        begun = time.monotonic()
        while not (events.exists() and events.stat().st_size) and time.monotonic() < begun + 60:
            time.sleep(0.1)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=30)
    assert child.returncode == 0, err
    assert "Traceback" not in err
    if output == "json":
        assert json.loads(out)["ticks"] > 0
    else:
        assert "ticks" in out
        assert "orders" in out
        assert "paper" in out


def test_make_demo_runs_the_first_example() -> None:
    """`make demo` with a shorter time: its command line, as the Makefile has it."""
    makefile = Path(ROOT / "Makefile").read_text()
    found = re.search(r"^demo:.*\n\t\$\(BIN\)/alpha-panda (?P<rest>.*)$", makefile, re.MULTILINE)
    assert found is not None
    words = shlex.split(found["rest"].replace("$(DURATION)", "6s"))
    assert words[:2] == ["run", "examples/01-paper-momentum"]
    done = alpha_panda(*words)
    assert done.returncode == 0, done.stderr
    filled = re.search(r"orders\s+([\d,]+) filled", done.stdout)
    assert filled is not None, done.stdout
    assert int(filled[1].replace(",", "")) > 0
