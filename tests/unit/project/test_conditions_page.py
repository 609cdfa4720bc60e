"""The page about conditions names what the operator says, and nothing else."""

import re

import pytest

from alpha_panda_operator.conditions import OF_KIND
from unit.project.repository import PLATFORM, ROOT, read

PAGE = read("docs/kubernetes/conditions.md")
SAID_BY = [*sorted((ROOT / "operator").rglob("*.py")), PLATFORM / "contracts" / "status_details.py"]
SOURCES = "\n".join(file.read_text(encoding="utf-8") for file in SAID_BY)
WORD = r"`([A-Z][A-Za-z]+)`"


def told() -> list[str]:
    """Return the words in the columns of conditions and reasons."""
    rows = [line for line in PAGE.splitlines() if line.startswith("| ")]
    return sorted({word for row in rows for word in re.findall(WORD, "|".join(row.split("|")[1:3]))})


@pytest.mark.parametrize("word", told())
def test_every_condition_and_reason_of_the_page_is_one_that_the_operator_writes(word: str) -> None:
    assert f'"{word}"' in SOURCES


def test_every_condition_has_its_row() -> None:
    conditions = {type_ for types in OF_KIND.values() for type_ in types}
    assert conditions - set(told()) == set()


def test_every_reason_of_a_verdict_or_a_finding_is_on_the_page() -> None:
    verdicts = re.findall(r'Verdict\(\s*"(\w+)"', SOURCES)
    findings = re.findall(r'Finding(?:\.of)?\(\s*"\w+",\s*\w+,\s*"(\w+)"', SOURCES)
    assert len(verdicts) > 8
    assert len(findings) > 15
    assert sorted({*verdicts, *findings} - set(told()) - {"Pending"}) == []
