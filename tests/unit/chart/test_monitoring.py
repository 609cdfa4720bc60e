"""Alerts and dashboards as the chart makes them: those of the files, with what Helm alone knows put in."""

import json
import re

import pytest
import yaml

from unit.chart.helm import CHART, DEVELOPMENT, OWN, Object, of_kind, one, refusal, rendered
from unit.monitoring.expressions import BOARDS, RULES, alerts, faults

ON = "monitoring.prometheusRule.enabled=true"
SHOWN = "monitoring.dashboards.enabled=true"


def made(*settings: str) -> dict[str, Object]:
    """Return the alerts of the chart's rule by name."""
    rule = one(rendered(*OWN, ON, *settings), "PrometheusRule")
    return {each["alert"]: each for group in rule["spec"]["groups"] for each in group["rules"]}


def test_without_a_switch_there_is_neither() -> None:
    objects = rendered(*OWN)
    assert of_kind(objects, "PrometheusRule") == []
    assert dashboards(objects) == {}


def test_all_alerts_of_the_files_are_in_the_rule_and_ask_what_they_asked() -> None:
    assert made().keys() == alerts().keys()
    for name, alert in made().items():
        file = alerts()[name]
        assert faults(alert["expr"]) == []
        assert alert.get("for") == file.get("for")
        assert alert["labels"]["severity"] == file["labels"]["severity"]
        if "installation" not in file["labels"]:
            assert alert == file


def test_groups_have_names_of_their_own() -> None:
    rule = one(rendered(*OWN, ON, "monitoring.prometheusRule.extraRules[0].alert=Mine"), "PrometheusRule")
    names = [group["name"] for group in rule["spec"]["groups"]]
    assert len(names) == len(set(names))


def test_alerts_of_the_operator_look_at_its_own_pods() -> None:
    file = (CHART / "rules" / "operator.yaml").read_text(encoding="utf-8")
    of_operator = re.findall(r"- alert: (\w+)", file)
    assert len(of_operator) == 5
    for name in of_operator:
        alert = made()[name]
        selectors = re.findall(r"alphapanda_operator_\w+\{([^}]*)\}", alert["expr"])
        assert selectors
        assert all('namespace="desk",pod=~"trading-operator-.*"' in each for each in selectors), name
        assert alert["labels"]["installation"] == "desk-trading"
        assert "installation alpha-panda" not in alert["annotations"]["summary"]
    assert (
        "installation desk-trading leads" in made()["AlphaPandaOperatorLeaderless"]["annotations"]["summary"]
    )
    assert ".*-operator-" not in str(made())


def test_half_of_a_trading_states_life_is_that_of_the_values() -> None:
    assert made()["AlphaPandaControlNotRenewed"]["expr"].rstrip().endswith("> 60 / 2")
    assert made("control.ttlSeconds=90")["AlphaPandaControlNotRenewed"]["expr"].rstrip().endswith("> 90 / 2")


@pytest.mark.parametrize("url", ["https://wiki.example.com/runbooks", "https://wiki.example.com/runbooks/"])
def test_runbooks_are_where_the_values_say(url: str) -> None:
    for name, alert in made(f"monitoring.prometheusRule.runbookUrl={url}").items():
        assert alert["annotations"]["runbook_url"] == f"https://wiki.example.com/runbooks/{name}.md"
    assert "runbookUrl" in refusal(*OWN, "monitoring.prometheusRule.runbookUrl=")


def test_rules_of_yours_are_added() -> None:
    mine = made("monitoring.prometheusRule.extraRules[0].alert=Mine")
    assert mine.keys() == alerts().keys() | {"Mine"}


def test_labels_find_the_rule() -> None:
    rule = one(rendered(*OWN, ON, "monitoring.prometheusRule.labels.release=prom"), "PrometheusRule")
    assert rule["metadata"]["labels"]["release"] == "prom"


# ----------------------------------------------------------------------------------------------- dashboards


def dashboards(objects: list[Object]) -> dict[str, Object]:
    """Return the ConfigMaps that hold a dashboard, by name."""
    maps = of_kind(objects, "ConfigMap")
    return {
        each["metadata"]["name"]: each for each in maps if any(key.endswith(".json") for key in each["data"])
    }


def test_every_dashboard_is_a_config_map_that_grafanas_sidecar_finds() -> None:
    found = dashboards(rendered(*OWN, SHOWN))
    assert found.keys() == {f"trading-dashboard-{file.stem}" for file in BOARDS}
    for file in BOARDS:
        each = found[f"trading-dashboard-{file.stem}"]
        assert each["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert each["metadata"]["namespace"] == "desk"
        assert each["data"].keys() == {f"alpha-panda-{file.stem}.json"}
        (text,) = each["data"].values()
        assert json.loads(text) == json.loads(file.read_text(encoding="utf-8"))


def test_dashboards_are_marked_as_the_values_say() -> None:
    settings = ("labels.mine=yes", "annotations.grafana_folder=Trading")
    found = dashboards(rendered(*OWN, SHOWN, *(f"monitoring.dashboards.{each}" for each in settings)))
    assert len(found) == len(BOARDS)
    for each in found.values():
        assert each["metadata"]["labels"]["mine"] == "yes"
        assert each["metadata"]["annotations"]["grafana_folder"] == "Trading"


def test_no_line_ends_in_blanks() -> None:
    for each in dashboards(rendered(*DEVELOPMENT, SHOWN)).values():
        (text,) = each["data"].values()
        assert [line for line in text.splitlines() if line != line.rstrip()] == []


def test_a_file_of_rules_is_one_that_prometheus_reads_by_itself() -> None:
    for file in RULES:
        assert yaml.safe_load(file.read_text(encoding="utf-8")).keys() == {"groups"}
        assert "{{-" not in file.read_text(encoding="utf-8")
