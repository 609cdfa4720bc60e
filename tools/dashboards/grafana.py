"""Panels, rows and variables as data, and the JSON that Grafana reads (schema 39, Grafana from 10.2)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Final

Json = dict[str, Any]

SCHEMA: Final = 39
COLUMNS: Final = 24
HEIGHT: Final = 7
SMALL: Final = 4
SOURCE: Final[Json] = {"type": "prometheus", "uid": "${datasource}"}

GREEN, YELLOW, RED, BLUE, GREY = "green", "yellow", "red", "blue", "text"
Steps = tuple[tuple[float, str], ...]
"""Where a colour begins; below the first it is green."""
Words = Mapping[int, tuple[str, str]]
"""What a value is shown as, and its colour."""

STATES: Final = {0: ("Active", GREEN), 1: ("Reducing", YELLOW), 2: ("Halted", RED)}
YES_NO: Final = {0: ("no", RED), 1: ("yes", GREEN)}
OPEN_CLOSED: Final = {0: ("closed", GREY), 1: ("open", GREEN)}
BREAKER: Final = {0: ("closed", GREEN), 1: ("half-open", YELLOW), 2: ("open", RED)}


@dataclass(frozen=True, slots=True)
class Query:
    """An expression and what its series are called."""

    expr: str
    legend: str = ""
    exemplar: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. `unit`: Grafana's id of it. `steps`: from which values on another colour; `words`: texts of values."""

    title: str
    text: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: str = "timeseries"
    width: int = 8
    steps: Steps = ()
    words: Words | None = None
    bars: bool = False
    lowest: float | None = 0


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a heading."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice at the top: the values of a label of a metric."""

    name: str
    query: str


@dataclass(frozen=True, slots=True)
class Dashboard:
    """One dashboard; `name` is that of its file."""

    name: str
    title: str
    text: str
    variables: tuple[Variable, ...]
    rows: tuple[Row, ...]
    refresh: str = "30s"


def stat(  # noqa: PLR0913 - what a panel of its kind may say
    title: str,
    text: str,
    query: Query,
    *,
    unit: str = "short",
    width: int = 4,
    steps: Steps = (),
    words: Words | None = None,
) -> Panel:
    """Return a panel with a number, or one for each series."""
    return Panel(title, text, (query,), kind="stat", unit=unit, width=width, steps=steps, words=words)


def quantiles(metric: str, selector: str, by: str) -> tuple[Query, ...]:
    """Return median, 95th and 99th percentile of a histogram by some labels; one of them with exemplars."""
    rate = f"sum by ({by}, le) (rate({metric}_bucket{{{selector}}}[$__rate_interval]))"
    name = " ".join(f"{{{{{label.strip()}}}}}" for label in by.split(",") if label.strip() != "namespace")
    return tuple(
        Query(f"histogram_quantile({share}, {rate})", f"{name} {words}", exemplar=words == "p95")
        for share, words in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99"))
    )


def latency(  # noqa: PLR0913 - as above
    title: str, text: str, metric: str, selector: str, by: str, *, width: int = 8, steps: Steps = ()
) -> Panel:
    """Return a panel of quantiles in seconds."""
    return Panel(title, text, quantiles(metric, selector, by), unit="s", width=width, steps=steps)


def heatmap(title: str, text: str, metric: str, selector: str, width: int = 12) -> Panel:
    """Return a panel of a histogram's buckets over time."""
    query = Query(
        f"sum by (le) (increase({metric}_bucket{{{selector}}}[$__rate_interval]))", "{{le}}", exemplar=True
    )
    return Panel(title, text, (query,), unit="s", kind="heatmap", width=width)


# ------------------------------------------------------------------------------------------------------ JSON


def rendered(dashboard: Dashboard) -> Json:
    """Return a dashboard as Grafana reads it."""
    return {
        "uid": f"alpha-panda-{dashboard.name}",
        "title": f"Alpha Panda / {dashboard.title}",
        "description": dashboard.text,
        "tags": ["alpha-panda"],
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": dashboard.refresh,
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": [_datasource(), *map(_variable, dashboard.variables)]},
        "links": [_others()],
        "annotations": {"list": []},
        "panels": _laid_out(dashboard.rows),
    }


def _datasource() -> Json:
    return {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "current": {},
        "hide": 0,
    }


def _variable(variable: Variable) -> Json:
    return {
        "name": variable.name,
        "label": variable.name.capitalize(),
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": variable.query, "refId": variable.name},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        # Not a list of all names: a label that is not there at all, as `namespace` outside a cluster, is meant too.
        "allValue": ".*",
        "current": {"text": "All", "value": "$__all"},
        "hide": 0,
    }


def _others() -> Json:
    return {
        "title": "Alpha Panda",
        "type": "dashboards",
        "tags": ["alpha-panda"],
        "asDropdown": True,
        "includeVars": True,
        "keepTime": True,
    }


def _laid_out(rows: Sequence[Row]) -> list[Json]:
    panels: list[Json] = []
    ids, y = count(1), 0
    for row in rows:
        place = {"x": 0, "y": y, "w": COLUMNS, "h": 1}
        panels.append({"id": next(ids), "type": "row", "title": row.title, "gridPos": place, "panels": []})
        x, y, tallest = 0, y + 1, 0
        for panel in row.panels:
            height = SMALL if panel.kind == "stat" else HEIGHT
            if x + panel.width > COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            place = {"x": x, "y": y, "w": panel.width, "h": height}
            panels.append({"id": next(ids), **_panel(panel), "gridPos": place})
            x, tallest = x + panel.width, max(tallest, height)
        y += tallest
    return panels


def _panel(panel: Panel) -> Json:
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.text,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _OPTIONS[panel.kind],
        "targets": [_target(panel, query, chr(ord("A") + n)) for n, query in enumerate(panel.queries)],
    }


def _target(panel: Panel, query: Query, ref: str) -> Json:
    instant = panel.kind in {"stat", "bargauge", "table"}
    shape = {"table": "table", "heatmap": "heatmap"}.get(panel.kind, "time_series")
    return {
        "refId": ref,
        "datasource": SOURCE,
        "expr": query.expr,
        "legendFormat": query.legend,
        "exemplar": query.exemplar,
        "instant": instant,
        "range": not instant,
        "format": shape,
    }


def _defaults(panel: Panel) -> Json:
    steps: list[Json] = [{"color": GREEN, "value": None}]
    steps += [{"color": colour, "value": value} for value, colour in panel.steps]
    found: Json = {
        "unit": panel.unit,
        "color": {"mode": "palette-classic" if panel.kind == "timeseries" else "thresholds"},
        "thresholds": {"mode": "absolute", "steps": steps},
        "mappings": _mappings(panel.words),
    }
    if panel.lowest is not None and panel.kind in {"timeseries", "bargauge"}:
        found["min"] = panel.lowest
    if panel.kind == "timeseries":
        found["custom"] = {
            "drawStyle": "bars" if panel.bars else "line",
            "fillOpacity": 40 if panel.bars else 10,
            "lineWidth": 1,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if panel.bars else "none"},
            "thresholdsStyle": {"mode": "line" if panel.steps else "off"},
        }
    return found


def _mappings(words: Words | None) -> list[Json]:
    if not words:
        return []
    options = {
        str(value): {"text": text, "color": colour, "index": n}
        for n, (value, (text, colour)) in enumerate(words.items())
    }
    return [{"type": "value", "options": options}]


_LEGEND: Final[Json] = {"displayMode": "list", "placement": "bottom", "showLegend": True}
_LAST: Final[Json] = {"calcs": ["lastNotNull"], "fields": "", "values": False}
_OPTIONS: Final[Mapping[str, Json]] = {
    "timeseries": {"legend": _LEGEND, "tooltip": {"mode": "multi", "sort": "desc"}},
    "stat": {
        "colorMode": "background",
        "graphMode": "none",
        "justifyMode": "auto",
        "textMode": "auto",
        "reduceOptions": _LAST,
    },
    "bargauge": {"displayMode": "basic", "orientation": "horizontal", "reduceOptions": _LAST},
    "state-timeline": {
        "legend": _LEGEND,
        "mergeValues": True,
        "showValue": "auto",
        "tooltip": {"mode": "single"},
    },
    "heatmap": {
        "calculate": False,
        "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64},
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "filterValues": {"le": 1e-9},
        "tooltip": {"mode": "single", "yHistogram": False},
        "yAxis": {"unit": "s"},
    },
}
