"""Dashboards and alerts as they are shipped, and which metrics and labels their expressions name."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml
from prometheus_client import Histogram

from alpha_panda.runtime.metrics.catalogue import CATALOGUE, Kind
from alpha_panda_operator.metrics import Metrics
from unit.project.repository import ROOT

RULES = sorted((ROOT / "charts" / "alpha-panda" / "rules").glob("*.yaml"))
BOARDS = sorted((ROOT / "charts" / "alpha-panda" / "dashboards").glob("*.json"))
RUNBOOKS = ROOT / "docs" / "runbooks"

TARGET = frozenset({"namespace", "pod"})
"""Labels that a scrape in a cluster gives to everything."""
PROMETHEUS = {"ALERTS": frozenset({"alertname", "alertstate", "severity"})}
"""Series that Prometheus makes itself."""

Object = dict[str, Any]

METRIC = re.compile(r"\b(alphapanda_\w+|ALERTS)\b")
SELECTOR = re.compile(r"\b(alphapanda_\w+|ALERTS)\{([^}]*)\}")
MATCHER = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"[^"]*"')
GROUPING = re.compile(r"\b(?:by|on)\s*\(([^)]*)\)")


@cache
def known() -> dict[str, frozenset[str]]:
    """Return the labels of every series of services and operator, by its name."""
    found: dict[str, frozenset[str]] = dict(PROMETHEUS)
    for spec in CATALOGUE:
        for name, more in _series(spec.name, spec.kind):
            found[name] = frozenset(spec.labels) | more | TARGET
    for collector, names in Metrics().registry._collector_to_names.items():
        le = {"le"} if isinstance(collector, Histogram) else set()
        labels = frozenset(getattr(collector, "_labelnames", ()))
        for name in names:
            found[name] = labels | (le if name.endswith("_bucket") else set()) | TARGET
    return found


def _series(name: str, kind: Kind) -> Iterator[tuple[str, frozenset[str]]]:
    if kind is not Kind.HISTOGRAM:
        yield name, frozenset()
        return
    yield f"{name}_bucket", frozenset({"le"})
    yield f"{name}_count", frozenset()
    yield f"{name}_sum", frozenset()


def metrics(expression: str) -> set[str]:
    """Return the names of all series that an expression names."""
    return set(METRIC.findall(expression))


def faults(expression: str) -> list[str]:
    """Return what an expression names that there is not."""
    named = metrics(expression)
    unknown = sorted(named - known().keys())
    if unknown or not named:
        return [f"unknown: {', '.join(unknown) or 'no metric at all'}"]
    found = [
        f"{name} has no label {label}"
        for name, selector in SELECTOR.findall(expression)
        for label in MATCHER.findall(selector)
        if label not in known()[name]
    ]
    any_label = frozenset[str]().union(*(known()[name] for name in named))
    return found + [f"nothing has the label {label}" for label in grouped(expression) - any_label]


def grouped(expression: str) -> set[str]:
    """Return the labels that an expression groups or matches by."""
    return {
        label.strip()
        for labels in GROUPING.findall(expression)
        for label in labels.split(",")
        if label.strip()
    }


def alerts() -> dict[str, Object]:
    """Return all alerts by name."""
    return {
        rule["alert"]: rule
        for file in RULES
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]
        for rule in group["rules"]
    }


@dataclass(frozen=True, slots=True)
class Target:
    """One query of a panel."""

    board: str
    panel: str
    expression: str
    legend: str

    @property
    def asked(self) -> str:
        """The expression as Grafana sends it when everything is chosen and the last minutes are shown."""
        found = self.expression.replace("$__rate_interval", "30s").replace("$__range", "5m")
        return re.sub(r"\$(?:namespace|feed|account|strategy)\b", ".*", found)


def boards() -> dict[str, Object]:
    """Return all dashboards by the names of their files."""
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in BOARDS}


def panels(board: Object) -> list[Object]:
    """Return the panels of a dashboard, without the rows' headings."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def targets() -> list[Target]:
    """Return the queries of all panels."""
    return [
        Target(name, panel["title"], target["expr"], target["legendFormat"])
        for name, board in boards().items()
        for panel in panels(board)
        for target in panel["targets"]
    ]


def variables(board: Object) -> dict[str, str]:
    """Return the queries of a dashboard's variables, by name."""
    return {
        each["name"]: each["query"]["query"]
        for each in board["templating"]["list"]
        if each["type"] == "query"
    }
