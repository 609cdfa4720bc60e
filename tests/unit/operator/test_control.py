"""Trading states in Redis: what is asked, what a deletion makes of it, and what is told when it can't be written."""

from typing import Any

import pytest

from alpha_panda.contracts.enums import TradingState
from alpha_panda_operator.cache import Cache
from alpha_panda_operator.control import ControlDesk, platform_state, state_of
from alpha_panda_operator.metrics import Metrics
from alpha_panda_operator.names import Key
from unit.operator.kit import (
    NAMESPACE,
    FakeClock,
    account,
    cache_of,
    deleted,
    feed,
    strategy,
    view,
    with_metadata,
)
from unit.operator.stores import FakeControl

ACTIVE, REDUCING, HALTED = TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED


def made(in_use: bool = False) -> tuple[ControlDesk, FakeControl, FakeClock]:
    store, clock = FakeControl(), FakeClock()
    desk = ControlDesk(
        store=lambda _: store,  # type: ignore[arg-type,return-value]
        clock=clock,
        metrics=Metrics(),
        ttl=60,
        in_use=lambda _: in_use,
    )
    return desk, store, clock


def momo(cache: Cache) -> Any:
    return view(cache, "Strategy", "momo")


@pytest.mark.parametrize(
    ("resource", "in_use", "state"),
    [
        (strategy(), False, ACTIVE),
        (strategy(tradingState="Reducing"), False, REDUCING),
        (strategy(tradingState="nonsense"), False, HALTED),
        (strategy(tradingState=7), False, HALTED),
        (strategy(instruments=7, tradingState="Active"), False, ACTIVE),
        (deleted(strategy()), False, HALTED),
        (deleted(strategy(deletionPolicy="Retain")), False, HALTED),
        (deleted(strategy(deletionPolicy="Flatten")), False, REDUCING),
        (deleted(strategy(deletionPolicy="Flatten", tradingState="Halted")), False, REDUCING),
        (account(), False, ACTIVE),
        (deleted(account()), True, REDUCING),
        (deleted(account(tradingState="Halted")), True, HALTED),
        (deleted(account()), False, HALTED),
    ],
)
def test_the_state_that_a_resource_shall_have(
    resource: dict[str, Any], in_use: bool, state: TradingState
) -> None:
    cache = cache_of(resource)
    (item,) = cache.resources.values()
    assert state_of(item, in_use=in_use) is state


@pytest.mark.parametrize(
    ("config_map", "state"),
    [
        (None, HALTED),
        ({}, HALTED),
        ({"data": {}}, HALTED),
        ({"data": {"tradingState": "active"}}, HALTED),
        ({"data": {"tradingState": 1}}, HALTED),
        ({"data": {"tradingState": "Active\n"}}, ACTIVE),
        ({"data": {"tradingState": "Reducing"}}, REDUCING),
    ],
)
def test_a_platform_that_can_not_be_read_is_halted(config_map: Any, state: TradingState) -> None:
    assert platform_state(config_map) is state


async def test_all_is_renewed_with_the_time_to_live_and_the_platform_too() -> None:
    desk, store, clock = made()
    desk.platform = ACTIVE
    cache = cache_of(feed(), account(), *(strategy(f"s{number}") for number in range(40)))
    await clock.pass_(3)
    await desk.renew(cache.resources.values(), [NAMESPACE])
    assert (
        store.specs["platform"] == store.specs["account/paper"] == store.specs["strategy/s39"] == (ACTIVE, 60)
    )
    assert len(store.specs) == 42
    assert desk.renewed_at == 3


async def test_a_store_that_is_down_is_told_of_and_another_try_mends_it() -> None:
    desk, store, _ = made()
    item = momo(cache_of(strategy()))
    assert desk.problem(item.key) is None
    store.down = True
    await desk.publish(item)
    assert "no answer" in str(desk.problem(item.key))
    store.down = False
    await desk.publish(item)
    assert desk.problem(item.key) == ""


async def test_latches_that_a_manifest_names_are_asked_for_once_and_forgotten_when_it_names_them_no_more() -> (
    None
):
    desk, store, _ = made()
    named, emptied = strategy(clearLatch=["a", "b"]), strategy()
    for resource in (named, named, emptied, emptied, named):
        await desk.publish(momo(cache_of(resource)))
    assert [ids for _, ids in store.clears] == [("a", "b"), (), ("a", "b")]
    assert {scope for scope, _ in store.clears} == {"strategy/momo"}


async def test_a_restart_forgets_what_is_named_no_more() -> None:
    desk, store, _ = made()
    await desk.publish(momo(cache_of(strategy())))
    assert store.clears == [("strategy/momo", ())]


async def test_a_deletion_is_asked_of_risk_once_and_known_since_it_was_written() -> None:
    desk, store, clock = made()
    await desk.publish(momo(cache_of(strategy())))
    item = momo(cache_of(deleted(strategy(deletionPolicy="Flatten"))))
    assert desk.tightened_at(item) is None
    store.down = True
    await clock.pass_(5)
    await desk.publish(item)
    assert desk.tightened_at(item) is None
    store.down = False
    await clock.pass_(5)
    for _ in range(3):
        await desk.publish(item)
    (request,) = store.teardowns
    assert (request.scope, request.uid, request.policy) == ("strategy/momo", "uid-momo", "Flatten")
    assert desk.tightened_at(item) == clock.now()
    await desk.drop(item)
    assert "strategy/momo" not in store.specs
    assert store.withdrawn == [("strategy/momo", "uid-momo")]
    assert desk.problem(item.key) is None


async def test_another_resource_of_the_name_starts_anew() -> None:
    desk, _, _ = made()
    old = momo(cache_of(deleted(strategy())))
    await desk.publish(old)
    assert desk.tightened_at(old) is not None
    assert desk.tightened_at(momo(cache_of(with_metadata(deleted(strategy()), uid="another")))) is None


async def test_nothing_is_written_where_another_installation_is() -> None:
    desk, store, _ = made()
    desk.forbidden = lambda namespace: namespace == NAMESPACE
    cache = cache_of(account(), strategy())
    for item in cache.resources.values():
        await desk.publish(item)
        await desk.drop(item)
    assert store.writes == 0
    assert store.clears == []


async def test_feeds_have_no_trading_state() -> None:
    desk, store, _ = made()
    await desk.publish(view(cache_of(feed()), "MarketFeed", "demo"))
    assert store.writes == 0


async def test_what_can_not_be_read_is_not_known() -> None:
    desk, store, _ = made()
    cache = cache_of(account())
    await desk.read(NAMESPACE, cache.resources.values())
    assert set(desk.readings[NAMESPACE]) == {"platform", "account/paper"}
    store.down = True
    await desk.read(NAMESPACE, cache.resources.values())
    assert NAMESPACE not in desk.readings


async def test_a_broken_resource_keeps_no_other_from_being_renewed() -> None:
    desk, store, _ = made()
    cache = cache_of(account(), strategy("a"), strategy("b"))
    usual = desk.in_use

    def breaks(item: Any) -> bool:
        if item.key == Key("Strategy", NAMESPACE, "a"):
            raise ZeroDivisionError
        return usual(item)

    desk.in_use = breaks
    await desk.renew(cache.resources.values(), [NAMESPACE])
    assert set(store.specs) == {"platform", "account/paper", "strategy/b"}


async def test_what_an_older_namesake_asked_for_counts_for_nothing() -> None:
    desk, store, _ = made()
    await desk.publish(momo(cache_of(deleted(strategy(clearLatch=["a"])))))
    await desk.publish(momo(cache_of(with_metadata(deleted(strategy(clearLatch=["a"])), uid="another"))))
    assert [request.uid for request in store.teardowns] == ["uid-momo", "another"]
    assert len(store.clears) == 2
