"""Prometheus finds what the operator makes: labels, port and policy of a trading pod are those that the chart names."""

from typing import Any

import pytest

from alpha_panda.runtime.settings import env_name
from alpha_panda_operator.builders.deployment import METRICS_PORT, deployment
from alpha_panda_operator.builders.network_policy import network_policy
from alpha_panda_operator.builders.workload import Workload
from alpha_panda_operator.names import ROLES
from unit.chart.helm import OWN, operator_config, rendered
from unit.operator.builders.test_deployment import workload

ON = (*OWN, "monitoring.podMonitor.enabled=true")
PROMETHEUS = "networkPolicy.metrics[0].namespaceSelector.matchLabels.name=monitoring"


def monitor(*settings: str) -> dict[str, Any]:
    found = (each for each in rendered(*ON, *settings) if each["kind"] == "PodMonitor")
    return dict(next(each["spec"] for each in found if each["metadata"]["name"].endswith("-trading")))


def made(role: str, *settings: str) -> Workload:
    return workload(role, operator_config(*ON, *settings))


@pytest.mark.parametrize("role", ROLES)
def test_every_trading_pod_is_selected_and_has_the_port(role: str) -> None:
    template = deployment(made(role))["spec"]["template"]
    labels, selector = template["metadata"]["labels"], monitor()["selector"]
    assert selector["matchLabels"].items() <= labels.items()
    assert all(
        each["operator"] == "Exists" and each["key"] in labels for each in selector["matchExpressions"]
    )
    (endpoint,) = monitor()["podMetricsEndpoints"]
    (container,) = template["spec"]["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports[endpoint["port"]] == METRICS_PORT
    variables = {each["name"]: each.get("value") for each in container["env"]}
    assert variables[env_name("metrics_port")] == str(METRICS_PORT)
    assert endpoint["path"] == "/metrics"


def test_the_operators_own_pods_are_not_scraped_twice() -> None:
    operator = next(
        each["spec"]["template"]["metadata"]["labels"]
        for each in rendered(*ON)
        if each["kind"] == "Deployment"
    )
    wanted = {each["key"] for each in monitor()["selector"]["matchExpressions"]}
    assert not wanted <= operator.keys()


def test_pods_are_looked_for_where_the_operator_makes_them() -> None:
    assert monitor()["namespaceSelector"] == {"any": True}
    narrowed = monitor("watchNamespaces[0]=desk", "watchNamespaces[1]=other")
    assert narrowed["namespaceSelector"] == {"matchNames": ["desk", "other"]}


@pytest.mark.parametrize("role", ROLES)
def test_nobody_may_scrape_who_is_not_named(role: str) -> None:
    policy = network_policy(made(role))
    assert policy is not None
    assert [port["port"] for rule in policy["spec"]["ingress"] for port in rule["ports"]] == ["health"]


def test_who_is_named_may_and_nobody_else() -> None:
    policy = network_policy(made("risk", PROMETHEUS))
    assert policy is not None
    health, metrics = policy["spec"]["ingress"]
    assert "from" not in health
    assert metrics == {
        "ports": [{"protocol": "TCP", "port": "metrics"}],
        "from": [{"namespaceSelector": {"matchLabels": {"name": "monitoring"}}}],
    }
