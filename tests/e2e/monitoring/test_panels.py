"""A real Prometheus scrapes a real run over Kafka and Redis: what is drawn has data, what is alerted on can be asked."""

import os
import re
import sys
import time
from collections.abc import Iterator

import pytest

from alpha_panda.testing.servers.kafka import KafkaServer
from alpha_panda.testing.servers.ports import LOOPBACK, free_ports
from alpha_panda.testing.servers.process import ServerProcess
from alpha_panda.testing.servers.redis import RedisServer
from harness.prometheus import Prometheus
from unit.monitoring.expressions import RULES, Target, boards, metrics, targets, variables
from unit.project.repository import ROOT

EXAMPLE = ROOT / "examples" / "03-two-accounts-three-strategies"
SECONDS = 120.0
"""How long everything may take that is there after twenty seconds on an idle machine."""
STOP_SECONDS = 30.0

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400), pytest.mark.xdist_group("monitoring")]

ABSENT = {
    "alphapanda_token_remaining_seconds": "paper accounts need no access token",
    "alphapanda_reconciled": "a paper account's broker keeps no positions",
    "alphapanda_reconciliation_differences": "likewise",
    "alphapanda_breaker_state": "told once a dependency has failed, and none has",
    "alphapanda_retries_total": "likewise",
    "alphapanda_spans_total": "there is no collector of traces",
}
"""What can have no series in such a run, and why."""
OPERATOR = "operator"
"""The dashboard that tests/cluster looks at: this run has no operator."""


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    folder = tmp_path_factory.mktemp("monitoring")
    (port,) = free_ports(1)
    with KafkaServer() as kafka, RedisServer() as redis:
        addresses = ("--kafka", kafka.bootstrap_servers, "--redis", redis.url)
        command = [sys.executable, "-m", "alpha_panda.cli", "run", str(EXAMPLE), "--output", "json"]
        without = [f"--unset={name}" for name in os.environ if name.startswith("ALPHAPANDA_")]
        run = ServerProcess(
            ["env", *without, *command, *addresses, "--metrics-port", str(port)], folder / "run.log"
        )
        labels = {"namespace": "desk", "pod": "run-1"}
        try:
            with Prometheus(folder, {f"{LOOPBACK}:{port}": labels}, RULES) as server:
                wait_for_orders(server, run)
                yield server
                assert run.running, run.tail()
        finally:
            run.terminate(STOP_SECONDS)


def wait_for_orders(server: Prometheus, run: ServerProcess) -> None:
    deadline = time.monotonic() + SECONDS
    while not server.query('sum(alphapanda_orders_total{outcome="FILLED"}) > 3'):
        assert run.running, run.tail()
        assert time.monotonic() < deadline, run.tail()
        time.sleep(0.5)  # for the next scrape


def drawn() -> list[Target]:
    """Return the queries that must have data in this run."""
    return [
        target
        for target in targets()
        if target.board != OPERATOR and not metrics(target.expression) & ABSENT.keys()
    ]


def test_every_panel_has_data(prometheus: Prometheus) -> None:
    missing = drawn()
    assert len(missing) > 60
    deadline = time.monotonic() + SECONDS
    while missing and time.monotonic() < deadline:
        missing = [target for target in missing if not prometheus.query(target.asked)]
        if missing:
            time.sleep(1)  # for the next scrape
    assert [f"{target.board}: {target.panel}: {target.asked}" for target in missing] == []


def test_what_may_be_absent_is_understood_too(prometheus: Prometheus) -> None:
    rest = [target for target in targets() if target not in drawn()]
    assert {target.board for target in rest} > {OPERATOR}
    for target in rest:
        prometheus.query(target.asked)


def test_what_is_said_to_be_absent_is_drawn_and_is_absent_for_its_reason(prometheus: Prometheus) -> None:
    named = {name for target in targets() for name in metrics(target.expression)}
    assert ABSENT.keys() <= named
    assert prometheus.query("alphapanda_token_remaining_seconds") == []


@pytest.mark.parametrize("name", sorted(boards().keys() - {OPERATOR}))
def test_every_variable_has_something_to_choose(prometheus: Prometheus, name: str) -> None:
    for query in variables(boards()[name]).values():
        asked = re.fullmatch(r"label_values\((.+), (\w+)\)", query)
        assert asked is not None
        selector = re.sub(r"\$\w+", ".*", asked[1])
        assert prometheus.label_values(asked[2], selector), query


def test_every_rule_can_be_evaluated_and_a_run_that_is_well_alerts_on_nothing_but_its_missing_operator(
    prometheus: Prometheus,
) -> None:
    deadline = time.monotonic() + SECONDS
    while any(rule["health"] == "unknown" for rule in prometheus.rules().values()):
        assert time.monotonic() < deadline
        time.sleep(0.5)  # for the next evaluation
    rules = prometheus.rules()
    assert {name: rule.get("lastError") for name, rule in rules.items() if rule["health"] != "ok"} == {}
    assert rules["AlphaPandaOperatorLeaderless"]["state"] in {"pending", "firing"}
    firing = [  # what is pending comes and goes on a busy machine
        alert["annotations"]["summary"]
        for name, rule in rules.items()
        for alert in rule["alerts"]
        if name != "AlphaPandaOperatorLeaderless"
        and (rule["labels"]["severity"], alert["state"]) == ("critical", "firing")
    ]
    assert firing == []


def test_a_series_that_is_not_there_is_seen_to_be_missing(prometheus: Prometheus) -> None:
    assert prometheus.query("alphapanda_no_such_thing") == []
    with pytest.raises(ValueError, match="parse error"):
        prometheus.query("sum(")
