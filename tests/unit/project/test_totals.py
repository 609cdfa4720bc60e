"""What the tests have exercised is summed over workers, and only what passed."""

import subprocess
import sys
from pathlib import Path

from unit.project.repository import ROOT

SUITE = """
import pytest

@pytest.mark.parametrize("n", range(3))
def test_passes(tally, n):
    tally("crash points")
    tally("seeds", 100)

def test_measures(tally):
    tally("backlog", "100 in 2 s")

def test_fails(tally):
    tally("crash points")
    assert False
"""


def test_totals_are_those_of_what_passed_over_all_workers(tmp_path: Path) -> None:
    (tmp_path / "test_suite.py").write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "totals", "-p", "no:cacheprovider"]
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [*command, "-c", "/dev/null", "--rootdir", str(tmp_path), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={"PYTHONPATH": str(ROOT / "tests"), "PATH": "/usr/bin:/bin"},
        cwd=tmp_path,
    )
    assert "crash points: 3\n" in done.stdout, done.stdout + done.stderr
    assert "seeds: 300\n" in done.stdout
    assert "backlog: 100 in 2 s\n" in done.stdout
