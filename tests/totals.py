"""Counts of what the tests have exercised, over all workers, shown at the end of the run.

def test_kill(tally):
    ...
    tally("crash points")            # only a test that passes counts
"""

from collections.abc import Callable

import pytest

PREFIX = "total:"
Tally = Callable[..., None]

_totals: dict[str, float] = {}
_lines: dict[str, str] = {}


@pytest.fixture
def tally(record_property: Callable[[str, object], None]) -> Tally:
    """`tally(what, n=1)` adds to a total; `tally(what, text)` shows a line of its own, of a measurement say."""

    def add(what: str, amount: float | str = 1) -> None:
        record_property(f"{PREFIX}{what}", amount)

    return add


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Add what a passed test has counted; with xdist this runs where all reports come together."""
    if report.when != "call" or not report.passed:
        return
    for name, amount in report.user_properties:
        if not name.startswith(PREFIX):
            continue
        what = name.removeprefix(PREFIX)
        if isinstance(amount, str):
            _lines[what] = amount
        elif isinstance(amount, int | float):
            _totals[what] = _totals.get(what, 0) + amount


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the totals and the lines."""
    if not _totals and not _lines:
        return
    terminalreporter.section("exercised")
    for what, total in sorted(_totals.items()):
        terminalreporter.write_line(f"{what}: {total:,.0f}")
    for what, text in sorted(_lines.items()):
        terminalreporter.write_line(f"{what}: {text}")
