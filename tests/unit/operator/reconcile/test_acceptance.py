"""What is accepted, and what a person is told who wrote something that is not."""

from pathlib import Path
from typing import Any

import pytest

from alpha_panda.contracts.manifests import load_manifests
from alpha_panda_operator.builders.config_map import manifests_file
from alpha_panda_operator.cache import Content, Place
from alpha_panda_operator.reconcile.acceptance import Verdict, World, judge
from alpha_panda_operator.reconcile.desired import manifests, supporting, workloads_of
from unit.operator.kit import NAMESPACE, account, cache_of, config, deleted, feed, folder_with, strategy, view

TYPES = frozenset({"momentum", "rsi"})


def verdict(kind: str, name: str, *resources: dict[str, Any], **world: Any) -> Verdict:
    code = world.pop("code", {})
    cache = cache_of(*resources)
    cache.code = code
    return judge(view(cache, kind, name), World(cache, types=TYPES, **world))


def of_strategy(**spec: Any) -> Verdict:
    return verdict("Strategy", "momo", feed(), account(), strategy(**spec))


def test_what_is_right_is_accepted() -> None:
    for kind, name in (("MarketFeed", "demo"), ("BrokerAccount", "paper"), ("Strategy", "momo")):
        assert verdict(kind, name, feed(), account(), strategy()).accepted


@pytest.mark.parametrize(
    ("spec", "reason", "words"),
    [
        (
            {"marketFeed": "nowhere"},
            "MissingFeed",
            "there is no MarketFeed 'nowhere' in namespace desk; apply it",
        ),
        ({"accounts": ["paper", "other"]}, "MissingAccount", "there is no BrokerAccount 'other'"),
        ({"instruments": ["NSE:TCS", "NSE:X"]}, "UnknownInstrument", "does not carry NSE:X;"),
        ({"type": "momentm"}, "UnknownType", "no strategy type 'momentm'; it has momentum, rsi"),
        ({"code": {"file": "a.py"}}, "MissingConfigMap", "kubectl create configmap NAME --from-file=a.py"),
        ({"instruments": []}, "Invalid", "spec.instruments"),
        ({"nonsense": 1}, "Invalid", "spec.nonsense"),
        ({"type": None}, "Invalid", "no strategy class is given"),
    ],
)
def test_what_is_wrong_with_a_strategy_has_a_reason_and_a_remedy(
    spec: dict[str, Any], reason: str, words: str
) -> None:
    found = of_strategy(**spec)
    assert (found.reason, words in found.message) == (reason, True), found


def test_a_type_of_the_users_own_image_is_not_judged_here() -> None:
    assert of_strategy(type="mine", image="registry/mine:1").accepted


@pytest.mark.parametrize(
    ("account_spec", "reason", "words"),
    [
        ({"marketFeed": "second"}, "FeedMismatch", "trades on feed 'second', the strategy sees 'demo'"),
        ({"acceptStrategies": ["other"]}, "NotAcceptedByAccount", "spec.acceptStrategies"),
        ({"paper": {}}, "MissingAccount", "BrokerAccount 'paper' is not accepted (Invalid: spec.paper.cash"),
        ({"marketFeed": "third"}, "FeedMismatch", "third"),
    ],
)
def test_a_strategy_and_its_account_must_fit(account_spec: dict[str, Any], reason: str, words: str) -> None:
    found = verdict("Strategy", "momo", feed(), feed("second"), account(**account_spec), strategy())
    assert (found.reason, words in found.message) == (reason, True), found


def test_who_needs_what_is_not_accepted_is_not_accepted_either() -> None:
    broken = feed(calendar="XXXX")
    assert verdict("MarketFeed", "demo", broken).reason == "Invalid"
    assert "'XXXX' is not a calendar" in verdict("MarketFeed", "demo", broken).message
    assert verdict("BrokerAccount", "paper", broken, account()).reason == "MissingFeed"
    assert verdict("Strategy", "momo", broken, account(), strategy()).reason == "MissingFeed"


def test_one_broken_resource_hurts_no_other() -> None:
    everything = (feed(), account(), strategy("broken", instruments=7), strategy())
    assert verdict("Strategy", "broken", *everything).reason == "Invalid"
    for kind, name in (("MarketFeed", "demo"), ("BrokerAccount", "paper"), ("Strategy", "momo")):
        assert verdict(kind, name, *everything).accepted


def test_users_config_maps_must_be_there_with_the_file() -> None:
    own = strategy(code={"file": "a.py", "configMap": "mine"})
    place = Place(NAMESPACE, "mine")
    there = verdict(
        "Strategy", "momo", feed(), account(), own, code={place: Content("h", frozenset({"a.py"}), "1")}
    )
    assert there.accepted
    gone = verdict("Strategy", "momo", feed(), account(), own, code={place: Content("")})
    assert (gone.reason, "there is no ConfigMap 'mine'" in gone.message) == ("MissingConfigMap", True)
    other = verdict(
        "Strategy", "momo", feed(), account(), own, code={place: Content("h", frozenset({"b.py"}), "1")}
    )
    assert (other.reason, "has no key 'a.py'" in other.message) == ("MissingConfigMap", True)
    replay = feed(source={"replay": {"path": "x.csv", "configMap": "ticks"}})
    assert (
        verdict("MarketFeed", "demo", replay, code={Place(NAMESPACE, "ticks"): Content("")}).reason
        == "MissingConfigMap"
    )


def test_a_namespace_of_another_installation_is_a_conflict() -> None:
    found = verdict("MarketFeed", "demo", feed(), owners={NAMESPACE: "blue"})
    assert (found.reason, "installation blue" in found.message) == ("NameConflict", True)


# ------------------------------------------------------------------------------------------------------ closures


def world(*resources: dict[str, Any]) -> World:
    return World(cache_of(*resources), types=TYPES)


def names(kind: str, name: str, here: World) -> list[str]:
    return [
        f"{item['kind']}/{item['metadata']['name']}" for item in manifests(view(here.cache, kind, name), here)
    ]


def test_a_closure_has_what_its_pods_need_and_loads_by_itself(tmp_path: Path) -> None:
    here = world(
        feed(),
        feed("other"),
        account(),
        account("second"),
        account("third"),
        strategy("a"),
        strategy("b", accounts=["paper", "second"]),
        strategy("c", accounts=["third"]),
        strategy("wrong", instruments=["NSE:NOWHERE"]),
    )
    expected = {
        ("MarketFeed", "demo"): ["MarketFeed/demo"],
        ("BrokerAccount", "paper"): [
            "MarketFeed/demo", "BrokerAccount/paper", "BrokerAccount/second", "Strategy/a", "Strategy/b",
        ],
        ("BrokerAccount", "second"): [
            "MarketFeed/demo", "BrokerAccount/paper", "BrokerAccount/second", "Strategy/b",
        ],
        ("Strategy", "b"): ["MarketFeed/demo", "BrokerAccount/paper", "BrokerAccount/second", "Strategy/b"],
    }  # fmt: skip
    for number, ((kind, name), wanted) in enumerate(expected.items()):
        assert names(kind, name, here) == wanted
        folder = tmp_path / str(number)
        folder.mkdir()
        loaded = load_manifests(
            [folder_with(folder, manifests_file(manifests(view(here.cache, kind, name), here)))]
        )
        assert [item.ref for item in loaded] == wanted


def test_a_strategy_that_is_taken_down_stays_in_its_accounts_manifests_and_says_by_which_policy() -> None:
    here = world(feed(), account(), deleted(strategy(deletionPolicy="Flatten")))
    (found,) = [
        item
        for item in manifests(view(here.cache, "BrokerAccount", "paper"), here)
        if item["kind"] == "Strategy"
    ]
    assert found["metadata"]["annotations"] == {"alphapanda.io/teardown": "Flatten"}


def test_everything_that_shall_exist_has_the_owner_and_our_labels() -> None:
    here = world(feed(), account(), strategy())
    settings = config(networkPolicy={"enabled": True})
    for kind, name, kinds in (
        ("MarketFeed", "demo", ["ServiceAccount"] * 2 + ["ConfigMap"] + ["NetworkPolicy"] * 2),
        (
            "BrokerAccount",
            "paper",
            ["ServiceAccount"] * 3 + ["ConfigMap"] + ["NetworkPolicy"] * 3 + ["PodDisruptionBudget"],
        ),
        ("Strategy", "momo", ["ServiceAccount", "ConfigMap", "NetworkPolicy"]),
    ):
        item = view(here.cache, kind, name)
        made = list(supporting(item, here, settings, workloads_of(item, here, settings)))
        assert [one.kind.kind for one in made] == kinds
        for one in made:
            metadata = one.manifest["metadata"]
            assert metadata["ownerReferences"][0]["uid"] == item.uid
            assert metadata["labels"]["app.kubernetes.io/managed-by"] == "alpha-panda-operator"
            assert len(metadata["name"]) <= 63


def test_changed_code_is_another_start() -> None:
    here = world(feed(), account(), strategy(code={"file": "a.py", "configMap": "mine"}))
    item, hashes = view(here.cache, "Strategy", "momo"), set()
    for content in ("one", "two", "two"):
        here.cache.code[Place(NAMESPACE, "mine")] = Content(content, frozenset({"a.py"}), "1")
        (made,) = workloads_of(item, here, config())
        hashes.add(made.start_hash)
    assert len(hashes) == 2
