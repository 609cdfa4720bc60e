"""How a runner is wired from manifests."""

from collections.abc import Callable

import pytest

from alpha_panda.contracts.topics import dlq
from alpha_panda.errors import StrategyLoadError
from alpha_panda.strategy.service import SERVICE, cell_specs, strategy_class
from unit.strategy.kit import SECOND, A, C, Probe, World, strategy

MakeWorld = Callable[..., World]


def test_it_is_a_service_of_strategies() -> None:
    assert (SERVICE.name, SERVICE.kind) == ("strategy", "Strategy")


async def test_a_cell_an_account_with_what_the_manifest_says(make_world: MakeWorld) -> None:
    world = make_world(
        strategy(
            tokens=[C, A], accounts=["paper", "other"], uid="u", signalTtlSeconds=0.29, maxTickAgeSeconds=7
        )
    )
    specs = cell_specs(world.resources.strategies["probe"], world.resources, world.settings)
    assert [spec.account for spec in specs] == ["paper", "other"]
    one = specs[0]
    assert [item.token for item in one.instruments] == [C, A]
    assert (one.signal_ttl, one.max_tick_age) == (290_000_000, 7 * SECOND)
    assert (one.strategy_id, one.strategy_uid, one.strategy_class) == ("probe", "u", Probe)
    assert one.topics.signals_raw == "paper.signals.raw"


async def test_times_that_the_manifest_does_not_name_are_the_platforms(make_world: MakeWorld) -> None:
    world = make_world(strategy())
    settings = world.settings.model_copy(update={"signal_ttl_seconds": 3.5, "tick_max_age_seconds": 1.5})
    (spec,) = cell_specs(world.resources.strategies["probe"], world.resources, settings)
    assert (spec.signal_ttl, spec.max_tick_age) == (3_500_000_000, 1_500_000_000)


async def test_without_a_uid_the_name_stands_for_it(world: World) -> None:
    (spec,) = cell_specs(world.resources.strategies["probe"], world.resources, world.settings)
    assert spec.strategy_uid == "probe"


async def test_a_class_that_is_not_there_is_told(make_world: MakeWorld) -> None:
    world = make_world()
    resource = world.resources.strategies["probe"]
    broken = resource.model_copy(
        update={"spec": resource.spec.model_copy(update={"class_": "no.such:Thing"})}
    )
    with pytest.raises(StrategyLoadError):
        strategy_class(broken, world.resources)


async def test_it_makes_sure_of_its_topics_and_needs_no_dead_letters(make_world: MakeWorld) -> None:
    world = make_world(strategy("one"), strategy("two", accounts=["other"]))
    await world.start()
    for topic in ("demo.market.ticks", "paper.signals.raw", "other.orders.filled"):
        assert await world.bus.offsets(topic)
    assert len(await world.bus.offsets("demo.market.ticks")) == 2
    assert dlq("demo.market.ticks") not in world.bus._topics.counts()


async def test_a_group_is_the_strategys_or_that_of_the_feed_it_is_hosted_on(make_world: MakeWorld) -> None:
    for world, group in (
        (make_world(strategy("one")), "one.strategy"),
        (make_world(strategy("one"), strategy("two")), "demo.strategy"),
    ):
        await world.start()
        await world.stop()
        assert world.bus._topics.get("demo.market.ticks").logs[0].committed.keys() == {group}
