"""A real Prometheus scrapes the operator on a real API server: every panel of its dashboard has data."""

import re
import time
from pathlib import Path

import pytest
import yaml

from alpha_panda.testing.servers.ports import LOOPBACK
from cluster.operator_fixtures import crds, desk, home, operator, redis_server
from cluster.operator_process import SECONDS, Desk
from harness.prometheus import Prometheus
from unit.monitoring.expressions import RULES, boards, targets, variables
from unit.project.repository import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
__all__ = ["crds", "desk", "home", "operator", "redis_server"]

EXAMPLE = ROOT / "examples" / "01-paper-momentum" / "manifest.yaml"


def test_every_panel_has_data_and_every_rule_can_be_evaluated(desk: Desk, tmp_path: Path) -> None:
    labels = {"namespace": "home", "pod": "alpha-panda-operator-1"}
    with Prometheus(tmp_path, {f"{LOOPBACK}:{desk.operator.port}": labels}, RULES) as prometheus:
        desk.apply(*yaml.safe_load_all(EXAMPLE.read_text(encoding="utf-8")))
        missing = [target for target in targets() if target.board == "operator"]
        assert len(missing) > 15
        deadline = time.monotonic() + 2 * SECONDS
        while missing and time.monotonic() < deadline:
            missing = [target for target in missing if not prometheus.query(target.asked)]
            if missing:
                time.sleep(1)  # for the next scrape
        assert [f"{target.panel}: {target.asked}" for target in missing] == []

        for query in variables(boards()["operator"]).values():
            selector = re.sub(r"label_values\((.+), \w+\)", r"\1", query)
            assert prometheus.label_values("namespace", selector) == ["home"]

        rules = prometheus.rules()
        assert {name: rule.get("lastError") for name, rule in rules.items() if rule["health"] != "ok"} == {}
        assert rules["AlphaPandaOperatorLeaderless"]["state"] == "inactive"
        # No pod runs here, so nobody tells the figures of what the operator knows.
        missed = {each["labels"]["service"] for each in rules["AlphaPandaFiguresMissing"]["alerts"]}
        assert missed == {"market-feed", "feed-cacher", "risk", "engine", "order-tracker", "strategy"}
