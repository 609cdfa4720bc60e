"""The dashboards: what is drawn can be there, and each panel says what it shows."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from alpha_panda.runtime.metrics.catalogue import CATALOGUE
from unit.monitoring.expressions import (
    BOARDS,
    Target,
    boards,
    faults,
    grouped,
    known,
    metrics,
    panels,
    targets,
    variables,
)
from unit.project.repository import ROOT

NAMES = ["feed", "operator", "orders-and-latency", "overview", "risk-and-pnl"]


def test_these_are_all() -> None:
    assert sorted(boards()) == NAMES


def test_they_are_what_is_said_of_them(tmp_path: Path) -> None:
    subprocess.run(  # noqa: S603 - the project's own
        [sys.executable, "-m", "tools.dashboards", str(tmp_path)], cwd=ROOT, check=True, timeout=60
    )
    made = {file.name: file.read_text(encoding="utf-8") for file in tmp_path.iterdir()}
    shipped = {file.name: file.read_text(encoding="utf-8") for file in BOARDS}
    assert shipped == made, "run `python -m tools.dashboards charts/alpha-panda/dashboards`"


@pytest.mark.parametrize("target", targets(), ids=lambda target: f"{target.board}: {target.panel}")
def test_every_metric_and_label_that_is_drawn_exists(target: Target) -> None:
    assert faults(target.expression) == []


@pytest.mark.parametrize("target", targets(), ids=lambda target: f"{target.board}: {target.panel}")
def test_a_legend_names_labels_that_the_series_keep(target: Target) -> None:
    shown = set(re.findall(r"\{\{(\w+)\}\}", target.legend))
    assert shown <= grouped(target.expression)


@pytest.mark.parametrize("target", targets(), ids=lambda target: f"{target.board}: {target.panel}")
def test_every_variable_is_one_of_its_dashboard(target: Target) -> None:
    asked = set(re.findall(r"\$(\w+)", target.expression)) - {"__rate_interval", "__range"}
    assert asked <= variables(boards()[target.board]).keys()


@pytest.mark.parametrize("name", NAMES)
def test_variables_ask_for_labels_that_there_are(name: str) -> None:
    board = boards()[name]
    assert board["templating"]["list"][0] | {"label": ""} == {
        "name": "datasource",
        "label": "",
        "type": "datasource",
        "query": "prometheus",
        "current": {},
        "hide": 0,
    }
    for variable, query in variables(board).items():
        asked = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
        assert asked is not None, query
        assert faults(asked[1]) == []
        (metric,) = metrics(asked[1])
        assert asked[2] in known()[metric]
        assert asked[2] == variable


@pytest.mark.parametrize("name", NAMES)
def test_every_variable_is_used(name: str) -> None:
    text = " ".join(target.expression for target in targets() if target.board == name)
    assert [each for each in variables(boards()[name]) if f"${each}" not in text] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_panel_says_what_it_shows_and_in_which_unit(name: str) -> None:
    for panel in panels(boards()[name]):
        assert len(panel["description"]) > 15, panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert all(target["datasource"] == panel["datasource"] for target in panel["targets"])


@pytest.mark.parametrize("name", NAMES)
def test_durations_are_in_seconds_and_shares_in_per_cent(name: str) -> None:
    for panel in panels(boards()[name]):
        unit = panel["fieldConfig"]["defaults"]["unit"]
        for target in panel["targets"]:
            counted = (
                re.search(r"count|changes|_bucket\{[^}]*\}\[", target["expr"])
                and "quantile" not in target["expr"]
            )
            if re.search(r"_seconds(_bucket)?\{", target["expr"]) and not counted:
                assert unit == "s", panel["title"]
            if "_ratio{" in target["expr"]:
                assert unit == "percentunit", panel["title"]


@pytest.mark.parametrize("name", [each for each in NAMES if each != "operator"])
def test_latencies_show_their_traces(name: str) -> None:
    for panel in panels(boards()[name]):
        if any("_bucket{" in target["expr"] for target in panel["targets"]):
            shown = [target["exemplar"] for target in panel["targets"]]
            assert shown.count(True) == 1, panel["title"]
            assert all(target["range"] for target in panel["targets"])


@pytest.mark.parametrize("name", NAMES)
def test_no_panel_covers_another(name: str) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in boards()[name]["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert taken.setdefault((x, y), panel["title"]) == panel["title"]


@pytest.mark.parametrize("name", NAMES)
def test_ids_are_its_own(name: str) -> None:
    board = boards()[name]
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    assert board["uid"] == f"alpha-panda-{name}"
    assert "id" not in board  # Grafana gives it


def test_every_metric_of_the_services_is_drawn_somewhere() -> None:
    drawn = {name for target in targets() for name in metrics(target.expression)}
    plain = {re.sub(r"_(bucket|count|sum)$", "", name) for name in drawn if name in known()}
    assert [spec.name for spec in CATALOGUE if spec.name not in drawn | plain] == []


def test_a_metric_or_label_that_there_is_not_is_found() -> None:
    assert faults("sum(alphapanda_ticks)") == ["unknown: alphapanda_ticks"]
    assert faults("vector(1)") == ["unknown: no metric at all"]
    assert faults('alphapanda_latches{feed="x"}') == ["alphapanda_latches has no label feed"]
    assert faults("sum by (feed) (alphapanda_latches)") == ["nothing has the label feed"]
    assert faults('sum by (le) (alphapanda_tick_to_cache_seconds_bucket{feed=~"x"})') == []
    assert faults('alphapanda_operator_reconciles_total{account="x"}') != []
    assert faults("alphapanda_tick_to_cache_seconds") != []
