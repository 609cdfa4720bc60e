"""promtool reads the rules, as files and as the chart makes them, and sees each alert fire and clear."""

import re
import subprocess
from pathlib import Path

import pytest
import yaml

from harness.build import find_program
from unit.chart.helm import OWN, one, rendered
from unit.monitoring.expressions import RULES, alerts

TESTS = Path(__file__).parent / "rules"
SECONDS = 60


def promtool(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(  # noqa: S603 - built by the harness
        [find_program("promtool"), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


@pytest.mark.parametrize("file", RULES, ids=lambda file: file.stem)
def test_a_file_of_rules_is_well_formed(file: Path) -> None:
    done = promtool("check", "rules", "--lint-fatal", file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "SUCCESS" in done.stdout


def test_the_charts_rule_is_well_formed(tmp_path: Path) -> None:
    rule = one(rendered(*OWN, "monitoring.prometheusRule.enabled=true"), "PrometheusRule")
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump(rule["spec"]), encoding="utf-8")
    done = promtool("check", "rules", "--lint-fatal", tmp_path / "rules.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(alerts())} rules found" in done.stdout


@pytest.mark.parametrize("name", sorted(alerts()))
def test_an_alert_fires_and_clears(name: str) -> None:
    done = promtool("test", "rules", TESTS / f"{name}.yaml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", sorted(alerts()))
def test_what_a_person_reads_has_no_gap(name: str, tmp_path: Path) -> None:
    """The texts are asked for by expecting others: promtool then shows what it got."""
    said = texts(name, tmp_path)
    assert said
    for text in said:
        assert "summary" in text
        assert not re.search(r"<no value>|<error|%!|\{\{|NaN", text), text
        assert "  " not in text.replace("\\n", " "), text


def texts(name: str, folder: Path) -> list[str]:
    """Return the alert's labels and annotations at each moment at which its test sees it fire."""
    test = yaml.safe_load((TESTS / f"{name}.yaml").read_text(encoding="utf-8"))
    test["rule_files"] = [str((TESTS / file).resolve()) for file in test["rule_files"]]
    for one_test in test["tests"]:
        asked = [each for each in one_test.pop("promql_expr_test") if each["exp_samples"]]
        one_test["alert_rule_test"] = [
            {"eval_time": each["eval_time"], "alertname": name, "exp_alerts": []} for each in asked
        ]
    (folder / "test.yaml").write_text(yaml.safe_dump(test), encoding="utf-8")
    done = promtool("test", "rules", folder / "test.yaml")
    assert done.returncode != 0
    return re.findall(r"Annotations:\s*(\{.*\})", done.stdout + done.stderr)
