"""What panels make of several series: sums that count nothing twice, and what is shown where there is nothing."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.monitoring.test_rules import promtool
from unit.monitoring.expressions import targets

Series = dict[str, str]
Shown = dict[str, float]

DESK = 'namespace="desk"'
PAPER = f'{DESK},account="paper"'
LETTERS = f'{DESK},service="risk",topic="desk.paper.orders.filled"'
LAG = "alphapanda_consumer_lag_records"
TICKS = f'{DESK},topic="desk.nse.market.ticks"'

CASES: dict[tuple[str, str], tuple[Series, Shown]] = {
    ("orders-and-latency", "Failures by reason"): (
        {
            f'alphapanda_orders_total{{{PAPER},outcome="FAILED",reason="PRICE_STALE"}}': "0+1x40",
            f'alphapanda_orders_total{{{PAPER},outcome="FAILED",reason="IN_DOUBT"}}': "0x40",
            f'alphapanda_orders_total{{{DESK},account="calm",outcome="FAILED",reason="IN_DOUBT"}}': "0x40",
        },
        {f'{{{PAPER},reason="PRICE_STALE"}}': 20, f'{{{DESK},account="calm"}}': 0},
    ),
    ("orders-and-latency", "Dead letters"): (
        {
            f'alphapanda_dlq_records_total{{{LETTERS},reason="SCHEMA_INVALID"}}': "0+1x40",
            f'alphapanda_dlq_records_total{{{LETTERS},reason="INTERNAL_ERROR"}}': "0x40",
            'alphapanda_dlq_records_total{namespace="calm",service="risk",reason="INTERNAL_ERROR"}': "0x40",
        },
        {f'{{{LETTERS},reason="SCHEMA_INVALID"}}': 20, '{namespace="calm"}': 0},
    ),
    ("overview", "Largest use of a loss limit"): (
        {
            f'alphapanda_limit_use_ratio{{{PAPER},limit="maxDailyLoss"}}': "0.25x40",
            f'alphapanda_limit_use_ratio{{{PAPER},limit="maxOpenOrders"}}': "1x40",
            f'alphapanda_strategy_limit_use_ratio{{{PAPER},strategy="rsi",limit="maxDrawdown"}}': "0.75x40",
            f'alphapanda_strategy_limit_use_ratio{{{PAPER},strategy="calm",limit="maxDailyLoss"}}': "0x40",
        },
        {f"{{{PAPER}}}": 0.75},
    ),
    ("overview", "Alerts that fire"): (
        {'ALERTS{alertname="AlphaPandaLatchSet",alertstate="firing",severity="critical"}': "1x40"},
        {'{severity="critical"}': 1},
    ),
    ("overview", "Services not ready"): (
        {f'alphapanda_service_ready{{{DESK},service="risk"}}': "1x40"},
        {"{}": 0},
    ),
    ("feed", "Behind in ticks"): (
        {
            f'{LAG}{{{TICKS},service="feed-cacher",pod="a"}}': "3x40",
            f'{LAG}{{{TICKS},service="feed-cacher",pod="b"}}': "4x40",
            f'{LAG}{{{TICKS},service="strategy",pod="c"}}': "5x40",
            f'{LAG}{{{TICKS},service="strategy",pod="d"}}': "6x40",
        },
        {f'{{{TICKS},service="feed-cacher"}}': 7, f'{{{TICKS},service="strategy"}}': 6},
    ),
}


@pytest.mark.parametrize("place", sorted(CASES), ids=lambda place: f"{place[0]}: {place[1]}")
def test_a_panel_shows(place: tuple[str, str], tmp_path: Path) -> None:
    series, shown = CASES[place]
    asked = [target.asked for target in targets() if (target.board, target.panel) == place]
    assert asked
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump(question(" or ".join(f"({each})" for each in asked), series, shown)))
    done = promtool("test", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr


def question(expression: str, series: Series, shown: Shown) -> dict[str, Any]:
    samples = [{"labels": labels, "value": value} for labels, value in shown.items()]
    asked = {"expr": expression, "eval_time": "8m", "exp_samples": samples}
    given = [{"series": name, "values": values} for name, values in series.items()]
    return {
        "evaluation_interval": "15s",
        "tests": [{"interval": "15s", "input_series": given, "promql_expr_test": [asked]}],
    }


def test_what_nothing_fires_shows_as_0(tmp_path: Path) -> None:
    (asked,) = (target.asked for target in targets() if target.panel == "Alerts that fire")
    (tmp_path / "test.yaml").write_text(yaml.safe_dump(question(asked, {}, {"{}": 0})))
    done = promtool("test", "rules", tmp_path / "test.yaml")
    assert done.returncode == 0, done.stdout + done.stderr
