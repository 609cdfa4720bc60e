"""For the topmost conftest: `from alpha_panda.testing.simulation.pytest_plugin import pytest_terminal_summary`.

Tests that simulate tell what they ran by `tell` on their `record_property`; the summary adds it up, over the workers
of xdist too. Imports nothing of the simulation, so that a run without one pays nothing.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Final

PREFIX: Final = "simulation: "

Record = Callable[[str, object], None]


def tell(record_property: Record, counts: Mapping[str, int]) -> None:
    """Let the summary count these."""
    for name, count in counts.items():
        if count:
            record_property(PREFIX + name, count)


def pytest_terminal_summary(terminalreporter: Any) -> None:  # noqa: ANN401 - pytest has no public type for it
    """Print what was simulated, if anything was."""
    totals: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name.startswith(PREFIX) and getattr(report, "when", "") == "call":
                    totals[name.removeprefix(PREFIX)] += value
    if totals:
        terminalreporter.section("simulated")
        for name, count in sorted(totals.items(), key=lambda item: (-item[1], item[0])):
            terminalreporter.write_line(f"{count:>9,}  {name}")
