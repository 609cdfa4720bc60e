"""What risk counts and times, and the figures of the book, through the service."""

import pytest

from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.runtime.metrics.catalogue import (
    DAY_PNL,
    DEAD_LETTERS,
    DECISIONS,
    ERRORS,
    EXPOSURE_GROSS,
    EXPOSURE_NET,
    LIMIT_USE,
    POSITIONS,
    SERVICE_READY,
    SIGNAL_TO_DECISION,
    STRATEGY_DAY_PNL,
    STRATEGY_LIMIT_USE,
)
from unit.risk.world import ACCOUNT, RELIANCE, SELL, TCS, RiskWorld, documents
from unit.risk.world import signal as made
from unit.runtime.metrics.scraped import Scraped

PAPER = {"account": ACCOUNT}


def read(world: RiskWorld) -> Scraped:
    return Scraped.of(world.services["risk"].metrics)


async def test_decisions_are_counted_by_code_and_a_known_signal_not_again(clock: VirtualClock) -> None:
    world = await RiskWorld(clock, documents(risk={"maxOrderQuantity": "50"})).open()
    async with world.running():
        assert read(world).value(DECISIONS, code="VALIDATED", **PAPER) == 0
        first = await world.signal("a")
        await world.signal("b", quantity=51)
        await world.put(world.raw(first))
        found = read(world)
    assert found.value(DECISIONS, code="VALIDATED", **PAPER) == 1
    assert found.value(DECISIONS, code="MAX_ORDER_QUANTITY", **PAPER) == 1
    assert found.total(DECISIONS) == 2
    assert found.count(SIGNAL_TO_DECISION, **PAPER) == 2


async def test_the_way_from_the_signal_to_its_decision_is_timed(clock: VirtualClock) -> None:
    world = await RiskWorld(clock).open()
    waiting = world.raw(made("a"))
    await clock.advance(3)
    async with world.running():
        await world.put(waiting)
        found = read(world)
    assert found.value(f"{SIGNAL_TO_DECISION.name}_sum", **PAPER) == pytest.approx(3)


async def test_the_book_is_told_at_its_marks(clock: VirtualClock) -> None:
    limits = {"maxDailyLoss": "1000", "maxGrossExposure": "10000", "maxOrdersPerMinute": 10}
    manifests = documents(risk=limits, strategy_risk={"maxDailyLoss": "400"})
    world = await RiskWorld(clock, manifests).open()
    async with world.running():
        await world.fill(await world.signal("a", quantity=20))
        await world.fill(await world.signal("b", SELL, 10, token=TCS, strategy="beta"))
        await world.price({RELIANCE: 85.0, TCS: 90.0})
        await world.pass_seconds(2)
        found = read(world)
    assert found.value(POSITIONS, **PAPER) == 2
    assert found.value(EXPOSURE_GROSS, **PAPER) == 1700 + 900
    assert found.value(EXPOSURE_NET, **PAPER) == 1700 - 900
    assert found.value(DAY_PNL, **PAPER) == -300 + 100
    assert found.value(STRATEGY_DAY_PNL, strategy="alpha", **PAPER) == -300
    assert found.value(STRATEGY_DAY_PNL, strategy="beta", **PAPER) == 100
    assert found.value(LIMIT_USE, limit="maxDailyLoss", **PAPER) == pytest.approx(0.2)
    assert found.value(LIMIT_USE, limit="maxGrossExposure", **PAPER) == pytest.approx(0.26)
    assert found.value(LIMIT_USE, limit="maxOrdersPerMinute", **PAPER) == pytest.approx(0.2)
    assert found.value(STRATEGY_LIMIT_USE, strategy="alpha", limit="maxDailyLoss", **PAPER) == 0.75
    assert found.value(STRATEGY_LIMIT_USE, strategy="beta", limit="maxDailyLoss", **PAPER) == 0


async def test_one_who_waits_for_the_lease_tells_nothing_of_a_book_that_it_has_not_loaded(
    clock: VirtualClock,
) -> None:
    world = await RiskWorld(clock).open()
    async with world.running():
        await world.start("second")
        assert read(world).value(POSITIONS, **PAPER) == 0
        told = Scraped.of(world.services["second"].metrics).told()
    assert SERVICE_READY.name in told
    assert not told & {POSITIONS.name, DAY_PNL.name, EXPOSURE_GROSS.name}


async def test_a_record_that_is_no_signal_is_an_error_and_a_letter(clock: VirtualClock) -> None:
    world = await RiskWorld(clock).open()
    async with world.running():
        topic = world.topics.signals_raw
        assert read(world).value(DEAD_LETTERS, service="risk", topic=topic, reason="UNDECODABLE") == 0
        await world.put(world.raw(made("x", closing=True)))
        found = read(world)
    assert found.value(DEAD_LETTERS, service="risk", topic=topic, reason="UNDECODABLE") == 1
    assert found.value(ERRORS, service="risk", reason="UNDECODABLE") == 1
