"""Trading states in Redis: what is asked, what a deletion makes of it, and what is told when it can't be written."""

import asyncio
from typing import Any

import pytest

from alpha_panda.contracts.enums import TradingState
from alpha_panda.errors import FencedError
from alpha_panda_operator.cache import Cache
from alpha_panda_operator.control import ControlDesk, platform_state, state_of
from alpha_panda_operator.metrics import Metrics
from alpha_panda_operator.names import Key
from unit.operator.kit import (
    NAMESPACE,
    START,
    FakeClock,
    account,
    cache_of,
    deleted,
    feed,
    settle,
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
    cache = cache_of(feed(), account(), *(strategy(f"s{number}") for number in range(40)))
    await clock.pass_(3)
    await desk.publish_platform(ACTIVE, [NAMESPACE])
    await desk.renew(cache.resources.values())
    assert (
        store.specs["platform"] == store.specs["account/paper"] == store.specs["strategy/s39"] == (ACTIVE, 60)
    )
    assert len(store.specs) == 42
    assert desk.renewed_at == 3


async def test_what_could_not_be_written_is_not_renewed_and_ages_from_the_beginning() -> None:
    desk, store, clock = made()
    cache = cache_of(feed(), account(), strategy())
    began = desk.renewed_at
    await clock.pass_(3)
    store.down = True
    await desk.renew(cache.resources.values())
    assert desk.renewed_at == began == 0
    store.down = False
    await desk.renew(cache.resources.values())
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


async def test_latches_that_a_manifest_names_are_asked_for_again_and_again_and_forgotten_when_it_names_them_no_more() -> (
    None
):
    """A store that came back may have forgotten what it was asked; to one that has not a repetition is nothing."""
    desk, store, _ = made()
    named, emptied = strategy(clearLatch=["a", "b"]), strategy()
    for resource in (named, named, emptied, emptied, named):
        await desk.publish(momo(cache_of(resource)))
    assert [ids for _, ids in store.clears] == [("a", "b"), ("a", "b"), (), ("a", "b")]
    assert {scope for scope, _ in store.clears} == {"strategy/momo"}


async def test_a_restart_forgets_what_is_named_no_more() -> None:
    desk, store, _ = made()
    await desk.publish(momo(cache_of(strategy())))
    assert store.clears == [("strategy/momo", ())]


async def test_a_deletion_is_asked_of_risk_at_each_renewal_and_known_since_it_was_first_written() -> None:
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
    written = clock.now()
    for _ in range(3):
        await desk.publish(item)
        await clock.pass_(1)
    asked = {(request.scope, request.uid, request.policy) for request in store.teardowns}
    assert asked == {("strategy/momo", "uid-momo", "Flatten")}
    assert len(store.teardowns) == 3
    assert desk.tightened_at(item) == written
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
    await desk.publish_platform(ACTIVE, [NAMESPACE])
    await desk.renew(cache.resources.values())
    assert set(store.specs) == {"platform", "account/paper", "strategy/b"}


async def test_what_an_older_namesake_asked_for_counts_for_nothing() -> None:
    desk, store, _ = made()
    await desk.publish(momo(cache_of(deleted(strategy(clearLatch=["a"])))))
    await desk.publish(momo(cache_of(with_metadata(deleted(strategy(clearLatch=["a"])), uid="another"))))
    assert [request.uid for request in store.teardowns] == ["uid-momo", "another"]
    assert len(store.clears) == 2


class Slow(FakeControl):
    """Takes each spec in only when a test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[asyncio.Future[None]] = []

    async def put_spec(self, scope: str, state: Any, ttl: float) -> None:
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append(gate)
        await gate
        await super().put_spec(scope, state, ttl)

    async def let(self, number: int) -> None:
        await settle()
        self.waiting[number].set_result(None)
        await settle()


def slow(cache: Cache) -> tuple[ControlDesk, Slow]:
    desk, _, _ = made()
    store = Slow()
    desk.store = lambda _: store  # type: ignore[assignment,return-value]
    desk.latest = lambda item: cache.resources.get(item.key)
    return desk, store


async def test_a_halt_that_comes_while_all_are_renewed_is_not_written_over() -> None:
    cache = cache_of(account(), *(strategy(f"s{number:02}") for number in range(30)))
    desk, store = slow(cache)
    renewing = asyncio.create_task(desk.renew(list(cache.resources.values())))
    await settle()
    assert len(store.waiting) == 16  # the others wait for their turn
    cache.put(with_metadata(strategy("s29", tradingState="Halted"), generation=2))
    urgent = asyncio.create_task(desk.publish(view(cache, "Strategy", "s29")))
    await store.let(16)
    await urgent
    assert store.specs["strategy/s29"][0] is HALTED
    while not renewing.done():
        for gate in store.waiting:
            if not gate.done():
                gate.set_result(None)
        await settle()
    assert store.specs["strategy/s29"][0] is HALTED
    assert len(store.specs) == 31


async def test_a_halt_waits_for_the_write_of_its_scope_that_is_under_way_and_has_the_last_word() -> None:
    cache = cache_of(strategy())
    desk, store = slow(cache)
    old = asyncio.create_task(desk.publish(momo(cache)))
    await settle()
    cache.put(with_metadata(strategy(tradingState="Halted"), generation=2))
    new = asyncio.create_task(desk.publish(momo(cache)))
    await settle()
    assert len(store.waiting) == 1
    await store.let(0)
    assert store.specs["strategy/momo"][0] is ACTIVE
    await store.let(1)
    await asyncio.gather(old, new)
    assert store.specs["strategy/momo"][0] is HALTED


async def test_what_is_gone_by_its_turn_is_not_written() -> None:
    cache = cache_of(strategy())
    desk, store = slow(cache)
    item = momo(cache)
    cache.drop(item.key)
    await desk.publish(item)
    assert store.waiting == []


async def test_who_thaws_after_another_leads_writes_nothing() -> None:
    desk, store, _ = made()

    def no() -> None:
        raise FencedError("somebody else leads")

    desk.may_write = no
    item = momo(cache_of(strategy()))
    for write in (desk.publish(item), desk.publish_platform(ACTIVE, [NAMESPACE]), desk.drop(item)):
        with pytest.raises(FencedError):
            await write
    assert store.writes == 0
    with pytest.raises(FencedError):
        await desk.renew([item])


async def test_a_late_farewell_does_not_take_the_state_of_a_new_namesake() -> None:
    desk, store, _ = made()
    old = momo(cache_of(deleted(strategy())))
    await desk.publish(momo(cache_of(with_metadata(strategy(), uid="another"))))
    await desk.drop(old)
    assert store.specs["strategy/momo"][0] is ACTIVE


def entry(time: str, **more: Any) -> dict[str, Any]:
    return {"manager": "kubectl", "time": time, "fieldsV1": {"f:spec": {}}, **more}


@pytest.mark.parametrize(
    ("entries", "after"),
    [
        ([], 3600),
        ([entry("2026-01-05T08:00:10Z")], 11),
        ([entry("2026-01-05T08:00:10Z"), entry("2026-01-05T08:00:20Z", manager="argocd")], 21),
        ([entry("2026-01-05T08:00:10Z"), entry("2026-01-05T08:30:00Z", subresource="status")], 11),
        ([entry("2026-01-05T08:00:10Z"), entry("2026-01-05T08:30:00Z", fieldsV1={"f:metadata": {}})], 11),
        ([entry("2026-01-05T09:30:00Z")], 3600),
        ([entry("never")], 3600),
    ],
)
async def test_a_latch_that_was_set_after_the_manifest_was_written_is_not_asked_for(
    entries: list[Any], after: float
) -> None:
    """A restarted operator, and a Redis without a memory: the old manifest must release nothing that came later."""
    desk, store, clock = made()
    await clock.pass_(3600)
    resource = with_metadata(strategy(clearLatch=["daily-loss-2026-01-05"]), managedFields=entries)
    await desk.publish(momo(cache_of(resource)))
    assert store.asked_at == [round((START + after) * 1e9)]
