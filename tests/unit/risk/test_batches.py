"""Decisions of one fetch: one step in the store, each on what the ones before it have reserved, told after it."""

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.contracts.enums import Verdict
from alpha_panda.contracts.stored import Decision
from alpha_panda.errors import FencedError
from alpha_panda.testing.taps import Harm
from unit.risk.world import RiskWorld, filled, signal


@pytest.fixture
def recorded(clock: VirtualClock) -> Iterator[tuple[RiskWorld, list[list[str]]]]:
    """A world, and the ids of each step that stored decisions."""
    world = RiskWorld(clock)
    steps: list[list[str]] = []
    record = world.decisions.record

    async def noted(epoch: str, *decisions: Decision) -> list[Decision]:
        steps.append([decision.signal_id for decision in decisions])
        return await record(epoch, *decisions)

    world.decisions.record = noted  # type: ignore[method-assign]
    yield world, steps
    world.decisions.record = record  # type: ignore[method-assign]


async def test_signals_that_wait_together_are_stored_in_one_step_and_told_in_their_order(
    recorded: tuple[RiskWorld, list[list[str]]],
) -> None:
    world, steps = recorded
    await world.open()
    names = [f"s{number}" for number in range(5)]
    await world.put(*(world.raw(signal(name)) for name in names))
    async with world.running():
        assert steps == [names]
        assert [name for name, _ in world.told()] == names


async def test_each_is_decided_on_what_those_before_it_reserve(clock: VirtualClock) -> None:
    """Cash for two of three orders: the third of one batch is refused as it would be alone."""
    world = await RiskWorld(clock).open()
    await world.put(*(world.raw(signal(name, quantity=400_000)) for name in ("s1", "s2", "s3")))
    async with world.running():
        verdicts = [(await world.stored(name)).verdict for name in ("s1", "s2", "s3")]
        alone = await world.signal("s4", quantity=400_000)
        last = (await world.stored(alone.signal_id)).verdict
    assert verdicts.count(Verdict.VALIDATED) < 3
    assert verdicts[-1] is last is Verdict.REJECTED


async def test_no_more_than_the_setting_wait_for_one_step(clock: VirtualClock) -> None:
    world = RiskWorld(clock, decision_batch_max=2)
    steps: list[int] = []
    record = world.decisions.record

    async def noted(epoch: str, *decisions: Decision) -> list[Decision]:
        steps.append(len(decisions))
        return await record(epoch, *decisions)

    world.decisions.record = noted  # type: ignore[method-assign]
    await world.open()
    await world.put(*(world.raw(signal(f"s{number}")) for number in range(5)))
    async with world.running():
        assert steps == [2, 2, 1]


async def test_a_fill_between_two_signals_parts_the_steps(
    recorded: tuple[RiskWorld, list[list[str]]],
) -> None:
    """A decision is stored on the book that it was made on."""
    world, steps = recorded
    await world.open()
    first = signal("s1")
    await world.put(world.raw(first), world.order(filled(first, 100)), world.raw(signal("s2")))
    async with world.running():
        assert sorted(name for step in steps for name in step) == ["s1", "s2"]
        assert world.books()[-1].positions["NSE:RELIANCE"].quantity == 10


async def test_the_same_id_twice_in_one_fetch_is_one_decision_told_twice(
    recorded: tuple[RiskWorld, list[list[str]]],
) -> None:
    world, steps = recorded
    await world.open()
    await world.put(world.raw(signal("s1")), world.raw(signal("s1")))
    async with world.running():
        assert steps == [["s1"]]
        assert [name for name, _ in world.told()] == ["s1", "s1"]


async def test_when_the_step_is_not_applied_nothing_is_told_and_a_new_start_decides_all(
    clock: VirtualClock,
) -> None:
    world = await RiskWorld(clock).open()
    world.plan("decisions.record", Harm.REFUSE)
    names = ("s1", "s2", "s3")
    await world.put(*(world.raw(signal(name)) for name in names))
    async with world.running():
        await world.settle()
    assert world.told() == []
    async with world.running():
        assert [name for name, _ in world.told()] == list(names)


async def test_another_word_in_the_store_ends_the_service_before_anything_is_told(
    clock: VirtualClock,
) -> None:
    world = RiskWorld(clock)

    async def another(_epoch: str, *decisions: Decision) -> list[Decision]:
        return [replace(decision, message="somebody else's") for decision in decisions]

    world.decisions.record = another  # type: ignore[method-assign]
    await world.open()
    await world.put(world.raw(signal("s1")))
    with pytest.raises(FencedError, match="decided by somebody else"):
        async with world.running() as task:
            await task
    assert world.told() == []
