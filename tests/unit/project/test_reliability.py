"""The table of reliability names tests: each of them is there."""

import re

from unit.project.repository import ROOT, read

PAGE = "docs/reliability.md"


def defined() -> set[str]:
    found: set[str] = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        found.update(re.findall(r"def (test_\w+)\(", path.read_text(encoding="utf-8")))
    return found


def test_every_test_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", read(PAGE)))
    assert len(named) > 30
    assert named - defined() == set()


def test_every_line_of_a_fault_names_a_test() -> None:
    rows = [line for line in read(PAGE).splitlines() if line.startswith("| ")]
    others = ("proved by", "`tests/", "| level |")
    faults = [row for row in rows if row.count(" | ") == 2 and not any(word in row for word in others)]
    assert len(faults) > 25
    assert [row for row in faults if "`test_" not in row] == []
