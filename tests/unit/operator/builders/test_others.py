"""ConfigMaps that services load back; who may talk to whom; budgets; service accounts."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.contracts.manifests import load_manifests
from alpha_panda.contracts.manifests.documents import read_documents
from alpha_panda_operator.builders.config_map import config_map, manifests_file
from alpha_panda_operator.builders.network_policy import network_policy
from alpha_panda_operator.builders.pdb import pdb
from alpha_panda_operator.builders.service_account import service_account
from alpha_panda_operator.builders.workload import Workload, workloads
from alpha_panda_operator.config import OperatorConfig
from alpha_panda_operator.names import ROLES
from unit.operator.kit import account, cache_of, config, feed, folder_with, strategy, view

PEERS = {
    "enabled": True,
    "kafka": [{"to": [{"podSelector": {"matchLabels": {"app": "kafka"}}}], "ports": [{"port": 9092}]}],
    "redis": [{"ports": [{"port": 6379}]}],
    "otlp": [{"ports": [{"port": 4317}]}],
    "broker": [{"ports": [{"port": 443}]}],
}


def workload(role: str, settings: OperatorConfig | None = None, **spec: Any) -> Workload:
    kind = ROLES[role].kind
    made = {"MarketFeed": feed, "BrokerAccount": account, "Strategy": strategy}[kind](**spec)
    found = workloads(view(cache_of(made), kind, made["metadata"]["name"]), settings or config())
    return next(item for item in found if item.role.name == role)


def test_manifests_are_loaded_back_as_they_were_written(tmp_path: Path) -> None:
    cache = cache_of(
        feed(extraHolidays=["2026-01-26"], sessions=[{"open": "09:15", "close": "15:30"}], calendar="24/7"),
        account(productCutOff="15:10"),
        strategy(
            parameters={
                "note": "1e6",
                "day": "2026-01-05",
                "time": "15:30",
                "on": "yes",
                "pi": 3.25,
                "uni": "₹ \u2028 \x85 \U0001f43c",
            }
        ),
    )
    views = [
        view(cache, kind, name)
        for kind, name in (("MarketFeed", "demo"), ("BrokerAccount", "paper"), ("Strategy", "momo"))
    ]
    made = config_map(views[2], [item.manifest() for item in views], "alpha-panda")
    assert made["metadata"]["name"] == "momo-strategy"
    loaded = load_manifests([folder_with(tmp_path, made["data"]["manifests.yaml"])])
    assert loaded.strategies["momo"].spec.parameters == views[2].spec["parameters"]
    assert loaded.strategies["momo"].metadata.uid == "uid-momo"
    assert loaded.feeds["demo"] == views[0].model
    assert loaded.accounts["paper"] == views[1].model


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**53), 2**53)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=10,
    )
)
def test_any_value_that_json_has_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, value: object
) -> None:
    folder = folder_with(tmp_path_factory.mktemp("m"), manifests_file([{"kind": "X", "value": value}]))
    reading = read_documents([folder])
    assert [item.data["value"] for item in reading.documents] == [value]
    assert reading.faults == []


@pytest.mark.parametrize("role", ROLES)
def test_pods_talk_to_kafka_redis_dns_and_telemetry_alone(role: str) -> None:
    made = network_policy(workload(role, config(networkPolicy=PEERS)))
    assert made is not None
    ports = {port["port"] for rule in made["spec"]["egress"] for port in rule["ports"]}
    assert ports == {9092, 6379, 4317, 53}
    assert made["spec"]["ingress"] == [{"ports": [{"protocol": "TCP", "port": "health"}]}]
    assert made["spec"]["policyTypes"] == ["Ingress", "Egress"]
    assert made["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == role


def test_who_may_ask_the_probes_can_be_said_and_policies_switched_off() -> None:
    peers = {**PEERS, "probes": [{"namespaceSelector": {}}]}
    made = network_policy(workload("risk", config(networkPolicy=peers)))
    assert made is not None
    assert made["spec"]["ingress"][0]["from"] == [{"namespaceSelector": {}}]
    assert network_policy(workload("risk", config(networkPolicy={"enabled": False}))) is None


def test_the_figures_of_an_account_are_for_those_alone_who_are_named() -> None:
    peers = {**PEERS, "metrics": [{"podSelector": {}}]}
    made = network_policy(workload("risk", config(networkPolicy=peers)))
    assert made is not None
    assert made["spec"]["ingress"][1:] == [
        {"ports": [{"protocol": "TCP", "port": "metrics"}], "from": [{"podSelector": {}}]}
    ]


def test_a_budget_is_for_several_pods_only() -> None:
    made = pdb(workload("engine"))
    assert made is not None
    assert made["spec"]["maxUnavailable"] == 1
    assert pdb(workload("engine", engine={"replicas": 1})) is None
    assert pdb(workload("feed-cacher")) is None
    assert pdb(workload("feed-cacher", feedCacher={"replicas": 2})) is not None
    assert all(pdb(workload(role)) is None for role, item in ROLES.items() if item.singleton)


@pytest.mark.parametrize("role", ROLES)
def test_a_service_account_has_no_token_and_an_owner(role: str) -> None:
    made = service_account(workload(role))
    assert made["automountServiceAccountToken"] is False
    (owner,) = made["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["controller"], owner["uid"]) == (
        workload(role).key.kind,
        True,
        workload(role).view.uid,
    )
    assert made["metadata"]["labels"]["alphapanda.io/installation"] == "alpha-panda"
