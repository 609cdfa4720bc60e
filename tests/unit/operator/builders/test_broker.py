"""What pods get of a log-in at a broker: each role what it needs, and all others nothing."""

from typing import Any

import pytest

from alpha_panda_operator.builders.broker import ROLES as BROKER_ROLES
from alpha_panda_operator.builders.broker import Login, login_of
from alpha_panda_operator.builders.deployment import deployment
from alpha_panda_operator.builders.network_policy import network_policy
from alpha_panda_operator.builders.workload import Workload, start_hash
from alpha_panda_operator.cache import Cache
from alpha_panda_operator.config import OperatorConfig
from alpha_panda_operator.names import ROLES
from alpha_panda_operator.reconcile.acceptance import World
from alpha_panda_operator.reconcile.desired import closure, workloads_of
from unit.operator.kit import account, cache_of, config, feed, kite, kite_feed, strategy, view

NAMES = {"MarketFeed": "nse", "BrokerAccount": "kite", "Strategy": "momo"}
OF_KITE = strategy(marketFeed="nse", accounts=["kite"])


def world(*, feed_spec: dict[str, Any] | None = None, **zerodha: Any) -> Cache:
    return cache_of(kite_feed(**(feed_spec or {})), kite(**zerodha), OF_KITE)


def workload(role: str, cache: Cache | None = None, settings: OperatorConfig | None = None) -> Workload:
    cache = cache or world()
    kind = ROLES[role].kind
    found = workloads_of(view(cache, kind, NAMES[kind]), World(cache), settings or config())
    return next(item for item in found if item.role.name == role)


def pod(role: str, cache: Cache | None = None) -> dict[str, Any]:
    found: dict[str, Any] = deployment(workload(role, cache))["spec"]["template"]["spec"]
    return found


def secrets(role: str, cache: Cache | None = None) -> dict[str, Any]:
    return {item["name"]: item["secret"] for item in pod(role, cache)["volumes"] if "secret" in item}


def paths(role: str, cache: Cache | None = None) -> dict[str, str]:
    (only,) = pod(role, cache)["containers"]
    return {item["name"]: item["mountPath"] for item in only["volumeMounts"]}


def environment(role: str, cache: Cache | None = None) -> dict[str, str]:
    (only,) = pod(role, cache)["containers"]
    return {item["name"]: item.get("value", "") for item in only["env"]}


@pytest.mark.parametrize("role", [role for role in ROLES if role not in BROKER_ROLES])
def test_roles_that_speak_to_no_broker_get_nothing_of_it(role: str) -> None:
    assert secrets(role) == {}
    assert not any("accounts" in path for path in paths(role).values())
    assert "ALPHAPANDA_BROKER_DIRECTORY" not in environment(role)


@pytest.mark.parametrize("role", BROKER_ROLES)
def test_secrets_are_directories_and_optional_so_that_a_pod_can_wait_for_a_log_in(role: str) -> None:
    found = secrets(role)
    assert {name: item["secretName"] for name, item in found.items()} == {
        "broker-keys": "kite-zerodha-keys",
        "broker-session": "kite-zerodha-session",
    }
    assert all(item["optional"] and item["defaultMode"] == 0o440 for item in found.values())
    assert paths(role)["broker-keys"] == "/etc/alpha-panda/accounts/kite/keys"
    assert paths(role)["broker-session"] == "/etc/alpha-panda/accounts/kite/session"
    assert environment(role)["ALPHAPANDA_BROKER_DIRECTORY"] == "/etc/alpha-panda/accounts"
    (only,) = pod(role)["containers"]
    own = [item for item in only["volumeMounts"] if item["name"].startswith("broker-")]
    assert all(item["readOnly"] and "subPath" not in item for item in own)


@pytest.mark.parametrize("postbacks", [False, True])
@pytest.mark.parametrize("role", BROKER_ROLES)
def test_the_secret_of_the_app_is_for_who_checks_postbacks_alone(role: str, postbacks: bool) -> None:
    keys = [item["key"] for item in secrets(role, world(postbacks=postbacks))["broker-keys"]["items"]]
    assert keys == (["api_key", "api_secret"] if postbacks and role == "order-tracker" else ["api_key"])


def test_own_names_of_secrets_are_used() -> None:
    found = secrets("market-feed", world(keysSecret="app", sessionSecret="day"))
    assert {item["secretName"] for item in found.values()} == {"app", "day"}


def test_postbacks_have_a_port_that_the_policy_opens() -> None:
    cache = world(postbacks=True)
    (only,) = pod("order-tracker", cache)["containers"]
    assert {"name": "postbacks", "containerPort": 8600, "protocol": "TCP"} in only["ports"]
    assert environment("order-tracker", cache)["ALPHAPANDA_POSTBACK_PORT"] == "8600"
    made = network_policy(workload("order-tracker", cache))
    assert made is not None
    assert {"ports": [{"protocol": "TCP", "port": "postbacks"}]} in made["spec"]["ingress"]
    silent = network_policy(workload("order-tracker"))
    assert silent is not None
    assert len(silent["spec"]["ingress"]) == 1


def test_a_feed_keeps_its_lists_beside_its_read_only_root() -> None:
    assert (
        paths("market-feed")["instruments"]
        == environment("market-feed")["ALPHAPANDA_ZERODHA_INSTRUMENTS_DIRECTORY"]
    )
    assert "instruments" not in paths("engine")


def egress(role: str, cache: Cache | None = None, **peers: Any) -> list[dict[str, Any]]:
    made = network_policy(workload(role, cache, config(networkPolicy=peers)))
    assert made is not None
    return [rule for rule in made["spec"]["egress"] if any(port["port"] == 443 for port in rule["ports"])]


@pytest.mark.parametrize("role", BROKER_ROLES)
def test_pods_of_a_broker_reach_public_https_and_no_private_network(role: str) -> None:
    (rule,) = egress(role)
    blocks = {item["ipBlock"]["cidr"]: item["ipBlock"]["except"] for item in rule["to"]}
    assert {"10.0.0.0/8", "169.254.0.0/16", "192.168.0.0/16"} < set(blocks["0.0.0.0/0"])
    assert rule["ports"] == [{"protocol": "TCP", "port": 443}]


@pytest.mark.parametrize("role", BROKER_ROLES)
def test_an_installation_can_say_better(role: str) -> None:
    own = {"to": [{"ipBlock": {"cidr": "203.0.113.9/32"}}], "ports": [{"protocol": "TCP", "port": 443}]}
    assert egress(role, broker=[own]) == [own]


@pytest.mark.parametrize("role", ROLES)
def test_pods_of_paper_reach_no_broker_whatever_the_installation_says(role: str) -> None:
    cache = cache_of(feed("nse"), account("kite", marketFeed="nse"), OF_KITE)
    assert egress(role, cache, broker=[{"ports": [{"protocol": "TCP", "port": 443}]}]) == []
    assert secrets(role, cache) == {}


def test_a_paper_account_on_live_prices_has_no_log_in_of_its_own() -> None:
    cache = cache_of(kite_feed(), kite(), account(marketFeed="nse"))
    (engine,) = (
        item
        for item in workloads_of(view(cache, "BrokerAccount", "paper"), World(cache), config())
        if item.role.name == "engine"
    )
    assert engine.login is None


def test_a_feed_s_pods_read_the_account_by_whose_log_in_it_comes_and_that_one_s_feed() -> None:
    cache = cache_of(kite_feed("mcx"), kite_feed(), kite())
    found = closure(view(cache, "MarketFeed", "mcx"), World(cache))
    assert [str(item.key.name) for item in found] == ["mcx", "nse", "kite"]
    assert [item.key.name for item in closure(view(cache, "MarketFeed", "nse"), World(cache))] == [
        "nse",
        "kite",
    ]
    assert len(closure(view(cache_of(kite_feed()), "MarketFeed", "nse"), World(cache_of(kite_feed())))) == 1


def test_a_log_in_of_others_starts_a_feed_anew_and_limits_of_its_account_don_t() -> None:
    def hash_of(cache: Cache) -> str:
        return workload("market-feed", cache).start_hash

    assert hash_of(world()) == hash_of(world(product="CNC"))
    assert hash_of(world()) != hash_of(world(sessionSecret="other"))
    assert hash_of(world()) != hash_of(world(userId="XY9876"))


def test_who_has_no_log_in_starts_as_before_this_release() -> None:
    cache = cache_of(feed("demo"))
    item = view(cache, "MarketFeed", "demo")
    assert start_hash(item) == start_hash(item, "", None)
    own = view(world(), "BrokerAccount", "kite")
    login = login_of(own)
    assert isinstance(login, Login)
    assert start_hash(own, "", login) == start_hash(own), "its spec says it already"


def test_an_account_that_is_not_valid_has_no_log_in() -> None:
    assert login_of(view(cache_of(kite(userId="nobody")), "BrokerAccount", "kite")) is None
    assert login_of(None) is None
