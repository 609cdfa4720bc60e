"""The alerts: what they ask for can be there, what they say is for a trader, and each has a page and a test."""

import re
from itertools import pairwise
from typing import Any

import pytest
import yaml
from typer import Context
from typer.main import get_command

from alpha_panda.cli.app import app
from alpha_panda.contracts.codes import Code
from unit.monitoring.expressions import RULES, RUNBOOKS, alerts, faults
from unit.project.repository import ROOT, read

TESTS = ROOT / "tests" / "e2e" / "monitoring" / "rules"
EVERY = pytest.mark.parametrize("name", sorted(alerts()))
SECTIONS = ["What it means", "What trading does meanwhile", "What to type", "When to escalate"]
ASKED_FOR = [
    *(
        "FeedSilent",
        "OrderUnresolved",
        "OrdersFailing",
        "DeadLetters",
        "ConsumerLag",
        "BreakerOpen",
        "LatchSet",
        "BookDiffers",
    ),
    *("TokenExpires", "LossLimitNear", "JournalNotDurable", "ReconcileErrors", "ControlNotRenewed"),
    *("OperatorLeaderless", "ClockOffset", "ServiceNotReady"),
]


def test_nothing_that_money_needs_is_missing() -> None:
    assert [name for name in ASKED_FOR if f"AlphaPanda{name}" not in alerts()] == []


def test_no_name_is_given_twice() -> None:
    named = re.findall(r"- alert: (\w+)", " ".join(file.read_text(encoding="utf-8") for file in RULES))
    assert sorted(named) == sorted(alerts())


@EVERY
def test_every_metric_and_label_that_it_asks_for_exists(name: str) -> None:
    assert faults(alerts()[name]["expr"]) == []


@EVERY
def test_it_says_how_bad_it_is_and_what_it_is(name: str) -> None:
    alert = alerts()[name]
    said = alert["annotations"]
    assert alert["labels"]["severity"] in {"critical", "warning"}
    assert said.keys() == {"summary", "description", "runbook_url"}
    assert 20 < len(said["summary"]) < 200
    assert len(said["description"]) > 60


@EVERY
def test_its_page_is_there_and_says_all_that_is_needed(name: str) -> None:
    assert alerts()[name]["annotations"]["runbook_url"] == f"docs/runbooks/{name}.md"
    page = read(f"docs/runbooks/{name}.md")
    assert page.startswith(f"# {name}\n\n{alerts()[name]['labels']['severity'].capitalize()}. ")
    assert re.findall(r"^## (.+)$", page, re.MULTILINE) == SECTIONS
    assert "```sh\n" in page.partition("## What to type")[2].partition("## When")[0]
    assert all(len(part.strip()) > 30 for part in re.split(r"^##? .+$", page, flags=re.MULTILINE)[1:])


def test_no_page_is_without_its_alert() -> None:
    assert {page.stem for page in RUNBOOKS.glob("*.md")} == set(alerts())


@EVERY
def test_a_test_sees_it_fire_and_clear(name: str) -> None:
    moments = asked(name)
    fires = [found for found in moments if found]
    assert fires, "it never fires"
    assert not moments[0], "it begins without a quiet moment"
    assert any(before and not after for before, after in pairwise(moments)), "it never clears"


def asked(name: str) -> list[list[Any]]:
    """Return what the test expects to fire at each of its moments."""
    test = yaml.safe_load((TESTS / f"{name}.yaml").read_text(encoding="utf-8"))
    questions = [each for one in test["tests"] for each in one["promql_expr_test"]]
    assert {each["expr"] for each in questions} == {f'ALERTS{{alertname="{name}",alertstate="firing"}}'}
    return [each["exp_samples"] for each in questions]


def test_no_test_is_without_its_alert() -> None:
    assert {file.stem for file in TESTS.iterdir()} == set(alerts())


def test_commands_of_the_pages_exist() -> None:
    known = {*get_command(app).list_commands(Context(get_command(app))), "logs"}  # type: ignore[attr-defined]
    typed = {
        (page.name, word)
        for page in RUNBOOKS.glob("*.md")
        for word in re.findall(r"(?<!/)\balpha-panda (?!-|deploy)([a-z]+)", page.read_text(encoding="utf-8"))
    }
    assert len(typed) > 20
    assert sorted((page, word) for page, word in typed if word not in known) == []


def test_codes_of_the_pages_exist() -> None:
    words = {"UNKNOWN", "FAILED", "PLACED", "FILLED", "ORDER_FAILED", "ACCOUNT", "NAMESPACE"}
    for page in RUNBOOKS.glob("*.md"):
        told = set(re.findall(r"\b[A-Z]+_[A-Z_]+\b", page.read_text(encoding="utf-8"))) - words
        assert told <= set(Code.__members__), page.name
