"""On a real clock the book is stored when it has changed, at intervals: what a kill takes is found again in the topics."""

import pytest

from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.testing.taps import Harm
from unit.risk.world import SELL, D, RiskWorld, documents, filled, signal

VALIDATED = "VALIDATED_SIGNAL"


@pytest.fixture(autouse=True)
def real_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock still stands until it is moved, but services take it for a real one."""
    monkeypatch.setattr(VirtualClock, "virtual", property(lambda _: False))


def saves(world: RiskWorld) -> int:
    return [call.operation for call in world.taps.calls].count("decisions.save")


def reads(world: RiskWorld) -> int:
    return [call.operation for call in world.taps.calls].count("prices.read_many")


async def test_a_burst_is_stored_at_its_first_fill_and_by_the_next_mark(clock: VirtualClock) -> None:
    world = await RiskWorld(clock).open()
    async with world.running():
        before = saves(world)
        for name in ("s1", "s2", "s3"):
            await world.fill(await world.signal(name))
        assert saves(world) == before + 1
        await world.pass_seconds(1)
        assert saves(world) == before + 2


async def test_a_signal_alone_is_not_stored_with_its_place_until_the_mark(clock: VirtualClock) -> None:
    world = await RiskWorld(clock).open()
    async with world.running():
        before = saves(world)
        await world.signal("s1")
        assert (saves(world), world.told()) == (before, [("s1", VALIDATED)])
        await world.pass_seconds(1)
        assert saves(world) == before + 1
        await world.pass_seconds(3)
        assert saves(world) == before + 1  # nothing new, nothing held


async def test_after_the_interval_the_next_fill_is_stored_at_once(clock: VirtualClock) -> None:
    world = await RiskWorld(clock, portfolio_interval_seconds=3600).open()
    async with world.running():
        await world.fill(await world.signal("s1"))
        before = saves(world)
        await world.pass_seconds(1)
        await world.fill(await world.signal("s2"))
        assert saves(world) == before + 1


async def test_a_kill_before_the_book_is_stored_loses_and_doubles_no_fill(clock: VirtualClock) -> None:
    world = await RiskWorld(clock).open()
    async with world.running():
        for name in ("s1", "s2", "s3"):
            await world.fill(await world.signal(name), fees=D(1))
        decided = [await world.stored(name) for name in ("s1", "s2", "s3")]
        await world.restart()
        assert [await world.stored(name) for name in ("s1", "s2", "s3")] == decided
        assert {kind for _, kind in world.told()} == {VALIDATED}
        await world.pass_seconds(1)
        assert world.books()[-1].positions["NSE:RELIANCE"].quantity == 30
        assert world.books()[-1].fees == 3
        assert world.services["risk"].get_status().details["open_orders"] == 0


async def test_a_decision_told_again_after_a_kill_is_the_very_same(clock: VirtualClock) -> None:
    world = await RiskWorld(clock).open()
    async with world.running():
        await world.signal("s1")
        await world.restart()
        first, again = world.values(world.topics.signals_validated)
        assert first == again


async def test_between_two_stores_a_loss_latches_before_the_next_decision(clock: VirtualClock) -> None:
    world = await RiskWorld(clock, documents(risk={"maxDailyLoss": "100"})).open()
    async with world.running():
        await world.fill(await world.signal("s1"))
        await world.fill(await world.signal("s2", SELL), 90)
        assert not await world.latches()
        await world.signal("s3")
        assert world.codes() == {"s3": "DAILY_LOSS"}
        assert await world.latches()


async def test_a_loss_that_leaves_nothing_held_latches_with_the_next_mark(clock: VirtualClock) -> None:
    world = await RiskWorld(clock, documents(risk={"maxDailyLoss": "100"})).open()
    async with world.running():
        await world.fill(await world.signal("s1"))
        await world.fill(await world.signal("s2", SELL), 90)
        await world.pass_seconds(1)
        assert await world.latches()


async def test_a_mark_that_could_not_store_tries_again_with_the_next(clock: VirtualClock) -> None:
    world = await RiskWorld(clock).open()
    async with world.running():
        for name in ("s1", "s2"):
            await world.fill(await world.signal(name))
        world.plan("decisions.save", Harm.REFUSE)
        await world.pass_seconds(2)
        assert world.books()[-1].positions["NSE:RELIANCE"].quantity == 20
        await world.restart()
        assert world.books()[-1].positions["NSE:RELIANCE"].quantity == 20


async def test_fills_that_wait_with_signals_are_booked_first_and_priced_with_what_those_need(
    clock: VirtualClock,
) -> None:
    """10 are held, 10 more were filled, and 20 may be sold: one decision, one look at the prices."""
    world = await RiskWorld(clock).open()
    held, more = signal("s1"), signal("s2")
    async with world.running():
        await world.fill(held)
        await world.pass_seconds(1)
        before = reads(world)
        await world.put(world.raw(signal("s3", SELL, 20)), world.order(filled(more)))
        assert (await world.stored("s3")).signal_class.value == "reducing"
        assert reads(world) == before + 1
