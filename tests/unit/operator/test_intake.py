"""What is seen comes into the cache in any order and wakes whom it concerns; a watch that lags is noticed."""

from typing import Any

import pytest

from alpha_panda_operator.cache import Cache, newer
from alpha_panda_operator.intake import Intake, Lag, serves
from alpha_panda_operator.names import Key
from alpha_panda_operator.queue import KeyedQueue
from unit.operator.kit import (
    NAMESPACE,
    FakeClock,
    account,
    child,
    config,
    deleted,
    feed,
    strategy,
    with_metadata,
)

FEED, PAPER, MOMO = (
    Key(kind, NAMESPACE, name)
    for kind, name in (("MarketFeed", "demo"), ("BrokerAccount", "paper"), ("Strategy", "momo"))
)


def intake(**fields: Any) -> tuple[Intake, FakeClock]:
    clock = FakeClock()
    made = Intake(config(**fields), Cache(), clock, KeyedQueue(clock), KeyedQueue(clock), Lag(clock))
    return made, clock


async def woken(queue: KeyedQueue[Key], clock: FakeClock) -> set[Key]:
    await clock.pass_(1)
    found = set()
    while queue.depth:
        key = await queue.get()
        queue.done(key)
        found.add(key)
    return found


async def test_a_change_wakes_the_resource_and_those_that_depend_on_it() -> None:
    made, clock = intake()
    for resource in (feed(), account(), strategy(), strategy("other", accounts=["x"], marketFeed="y")):
        made.resource_event("ADDED", resource)
    await woken(made.work, clock)
    made.resource_event("MODIFIED", with_metadata(feed(), generation=2))
    assert await woken(made.work, clock) == {FEED, PAPER, MOMO}
    made.resource_event("MODIFIED", with_metadata(strategy(), generation=2))
    assert await woken(made.work, clock) == {FEED, PAPER, MOMO}
    assert await woken(made.urgent, clock) >= {PAPER, MOMO}


@pytest.mark.parametrize(
    "more",
    [
        {"generation": 2},
        {"uid": "another"},
        {"annotations": {"alphapanda.io/paused": "true"}},
        {"labels": {"alphapanda.io/installation": "alpha-panda"}},
        {"deletionTimestamp": "2026-01-05T08:00:00Z"},
    ],
)
async def test_a_status_alone_wakes_nobody_else_and_all_else_does(more: dict[str, Any]) -> None:
    made, clock = intake()
    for resource in (feed(), account(), strategy()):
        made.resource_event("ADDED", resource)
    await woken(made.work, clock)
    await woken(made.urgent, clock)
    made.resource_event("MODIFIED", {**with_metadata(account()), "status": {"signalsToday": 1}})
    assert await woken(made.work, clock) == {PAPER}
    assert await woken(made.urgent, clock) == set()
    made.resource_event("MODIFIED", with_metadata(account(), **more))
    assert await woken(made.work, clock) == {FEED, PAPER, MOMO}
    assert PAPER in await woken(made.urgent, clock)


async def test_a_listing_may_come_in_parts() -> None:
    made, _ = intake()
    gone = with_metadata(strategy("gone"))
    made.resource_event("ADDED", gone)
    present = made.resources_shown("Strategy", [with_metadata(strategy("a"))])
    present |= made.resources_shown("Strategy", [with_metadata(strategy("b"))])
    assert set(made.cache.resources) == {Key("Strategy", NAMESPACE, name) for name in ("gone", "a", "b")}
    made.resources_absent("Strategy", present, "9999999")
    assert set(made.cache.resources) == {Key("Strategy", NAMESPACE, name) for name in ("a", "b")}


async def test_an_older_version_changes_nothing_and_the_same_one_wakes_nobody() -> None:
    made, clock = intake()
    old = feed()
    new = with_metadata(feed(staleAfterSeconds=9))
    made.resource_event(None, new)
    await woken(made.work, clock)
    made.resource_event("MODIFIED", old)
    made.resource_event("MODIFIED", new)
    assert await woken(made.work, clock) == set()
    assert made.cache.resources[FEED].spec["staleAfterSeconds"] == 9


async def test_what_a_listing_does_not_show_is_gone_unless_it_came_later() -> None:
    made, clock = intake()
    first, later = feed(), with_metadata(feed("later"))
    made.resource_event("ADDED", first)
    made.resource_event("ADDED", account())
    made.resource_event("ADDED", later)
    version = str(int(later["metadata"]["resourceVersion"]) - 1)
    made.resources_listed("MarketFeed", [], version)
    assert FEED not in made.cache.resources
    assert Key("MarketFeed", NAMESPACE, "later") in made.cache.resources
    assert [item.key for item in made.vanished] == [FEED]
    assert PAPER in await woken(made.work, clock)


async def test_a_deletion_event_of_an_older_namesake_is_ignored() -> None:
    made, _ = intake()
    old = feed()
    made.resource_event("ADDED", with_metadata(feed(), uid="new"))
    made.resource_event("DELETED", old)
    assert FEED in made.cache.resources


async def test_items_of_listings_need_not_say_their_kind() -> None:
    made, _ = intake()
    item = feed()
    del item["kind"], item["apiVersion"]
    made.resources_listed("MarketFeed", [item], "1")
    assert made.cache.resources[FEED].model is not None


async def test_the_last_strategy_of_a_deleted_account_wakes_its_trading_state() -> None:
    made, clock = intake()
    for resource in (deleted(account()), strategy()):
        made.resource_event("ADDED", resource)
    await woken(made.urgent, clock)
    made.resource_event("DELETED", strategy())
    assert PAPER in await woken(made.urgent, clock)


@pytest.mark.parametrize(
    ("installation", "namespaces", "label", "ours"),
    [
        ("alpha-panda", [], None, True),
        ("alpha-panda", [], "alpha-panda", True),
        ("alpha-panda", [], "blue", False),
        ("blue", [], None, False),
        ("blue", [], "blue", True),
        ("blue", ["desk"], None, True),
        ("blue", ["desk"], "alpha-panda", False),
    ],
)
def test_two_installations_do_not_serve_the_same_resource(
    installation: str, namespaces: list[str], label: str | None, ours: bool
) -> None:
    labels = {} if label is None else {"alphapanda.io/installation": label}
    assert serves(config(installation=installation, watchNamespaces=namespaces), labels) is ours


async def test_a_resource_that_is_handed_to_another_installation_is_let_go() -> None:
    made, _ = intake()
    made.resource_event("ADDED", feed())
    made.resource_event("MODIFIED", with_metadata(feed(), labels={"alphapanda.io/installation": "blue"}))
    assert made.cache.resources == {}


async def test_a_watch_that_does_not_show_what_a_listing_has_lags_until_it_does() -> None:
    made, clock = intake()
    seen = feed()
    made.resource_event("ADDED", seen)
    made.resources_listed("MarketFeed", [seen], seen["metadata"]["resourceVersion"])
    assert made.lag.seconds == 0
    unseen = with_metadata(feed())
    made.resources_listed("MarketFeed", [unseen], "9999999")
    await clock.pass_(31)
    made.resources_listed("MarketFeed", [unseen], "9999999")
    assert made.lag.seconds == 31
    made.resource_event("MODIFIED", seen)
    assert made.lag.seconds == 31
    made.resource_event("MODIFIED", unseen)
    assert made.lag.seconds == 0


async def test_what_a_watch_never_showed_and_is_gone_is_no_lag() -> None:
    made, clock = intake()
    made.resources_listed("MarketFeed", [feed()], "5")
    await clock.pass_(5)
    made.resources_listed("MarketFeed", [], "9999999")
    assert made.lag.seconds == 0


async def test_children_and_pods_wake_their_owner_and_repeats_do_not() -> None:
    made, clock = intake()
    made.resource_event("ADDED", feed())
    await woken(made.work, clock)
    deployment = child(FEED, "Deployment", "demo-market-feed", "market-feed", spec={"replicas": 1})
    pod = child(FEED, "Pod", "demo-market-feed-x", "market-feed", status={})
    for kind, item in (("Deployment", deployment), ("Pod", pod)):
        made.child_event(kind, "ADDED", item)
        assert await woken(made.work, clock) == {FEED}
        made.child_event(kind, "MODIFIED", with_metadata(item))
        assert await woken(made.work, clock) == set()
    made.child_event("Deployment", "MODIFIED", with_metadata({**deployment, "spec": {"replicas": 0}}))
    assert await woken(made.work, clock) == {FEED}
    for kind, item in (("Deployment", deployment), ("Pod", pod)):
        made.child_event(kind, "DELETED", item)
        assert await woken(made.work, clock) == {FEED}
    assert made.cache.children == made.cache.pods == {}


async def test_a_listing_heals_what_watches_of_children_have_missed() -> None:
    made, clock = intake()
    made.resource_event("ADDED", feed())
    deployment = child(FEED, "Deployment", "demo-market-feed", "market-feed", spec={})
    pod = child(FEED, "Pod", "p", "market-feed", status={})
    made.child_event("Deployment", "ADDED", deployment)
    made.child_event("Pod", "ADDED", pod)
    await woken(made.work, clock)
    made.children_listed("Deployment", [], "1")
    assert await woken(made.work, clock) == set()
    made.children_listed("Deployment", [], "9999999")
    made.children_listed("Pod", [], "9999999")
    assert await woken(made.work, clock) == {FEED}
    assert made.cache.children == made.cache.pods == {}


def test_versions_are_compared_as_numbers() -> None:
    assert newer("10", "9")
    assert not newer("9", "10")
    assert not newer("9", "9")
    assert newer("x", "y")


async def test_what_has_not_changed_of_a_resource_is_not_checked_again() -> None:
    made, _ = intake()
    made.resource_event("ADDED", feed())
    model = made.cache.resources[FEED].model
    made.resource_event("MODIFIED", {**with_metadata(feed()), "status": {"x": 1}})
    assert made.cache.resources[FEED].status == {"x": 1}
    assert made.cache.resources[FEED].model is model
    made.resource_event("MODIFIED", with_metadata(feed(staleAfterSeconds=9), generation=2))
    assert made.cache.resources[FEED].model is not model


def test_an_installation_may_be_told_to_serve_what_has_no_label() -> None:
    told = config(installation="blue", serveUnlabelled=True)
    assert serves(told, {}) is True
    assert serves(told, {"alphapanda.io/installation": "alpha-panda"}) is False


async def test_what_is_gone_does_not_come_back_by_a_watch_or_a_page_that_is_behind() -> None:
    made, clock = intake()
    deployment = child(FEED, "Deployment", "demo-market-feed", "market-feed", spec={})
    pod = child(FEED, "Pod", "p", "market-feed", status={})
    for resource in (feed(), account()):
        made.resource_event("ADDED", resource)
    for kind, item in (("Deployment", deployment), ("Pod", pod)):
        made.child_event(kind, "ADDED", item)
        made.child_event(kind, "DELETED", item)
        made.children_shown(kind, [item])
    assert made.cache.children == made.cache.pods == {}
    made.resources_listed("BrokerAccount", [], "9999999")
    await woken(made.urgent, clock)
    made.resource_event("MODIFIED", with_metadata(account()))
    assert PAPER not in made.cache.resources
    assert await woken(made.urgent, clock) == set()
    made.resource_event("ADDED", with_metadata(account(), uid="new"))
    assert PAPER in made.cache.resources


@pytest.mark.parametrize(("kind", "name"), [("Deployment", "demo-market-feed"), ("Pod", "p")])
async def test_who_loses_the_label_that_is_watched_by_is_seen_again_when_it_has_it_back(
    kind: str, name: str
) -> None:
    """A watch by labels tells of the loss as of a deletion; the object lives on under the same id."""
    made, _ = intake()
    item = child(FEED, kind, name, "market-feed", spec={}, status={})
    made.child_event(kind, "ADDED", item)
    made.child_event(kind, "DELETED", with_metadata(item))
    assert made.cache.children == made.cache.pods == {}
    made.child_event(kind, "MODIFIED", with_metadata(item))
    assert [key.name for key in (*made.cache.children, *made.cache.pods)] == [name]


async def test_a_deleted_older_namesake_does_not_take_the_new_child_along() -> None:
    made, _ = intake()
    old = child(FEED, "Deployment", "demo-market-feed", "market-feed", spec={})
    new = with_metadata(old, uid="new")
    made.child_event("Deployment", "ADDED", new)
    made.child_event("Deployment", "DELETED", old)
    (fact,) = made.cache.children.values()
    assert fact.uid == "new"


async def test_an_older_page_does_not_take_a_pod_back() -> None:
    made, _ = intake()
    old = child(FEED, "Pod", "p", "market-feed", status={})
    new = with_metadata(old, deletionTimestamp="2026-01-05T08:00:00Z")
    made.child_event("Pod", "MODIFIED", new)
    made.children_shown("Pod", [old])
    (fact,) = made.cache.pods.values()
    assert fact.ending


async def test_only_so_many_that_are_gone_are_remembered_and_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("alpha_panda_operator.intake.MOST_REMEMBERED", 5)
    made, clock = intake()
    for number in range(5):
        made.resource_event("DELETED", with_metadata(feed(), uid=f"u{number}"))
    await clock.pass_(601)
    made.resource_event("DELETED", with_metadata(feed(), uid="last"))
    assert set(made._gone) == {"last"}
