"""What a strategy runner counts and times, through the runner."""

from collections.abc import AsyncIterator
from decimal import Decimal

import pytest

from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.contracts.enums import EventType, OrderType, Side, Validity
from alpha_panda.contracts.events import VERSION, Envelope, Signal
from alpha_panda.contracts.stored import PendingEvent
from alpha_panda.runtime.metrics.catalogue import SIGNALS, TICK_TO_SIGNAL, TICKS_DROPPED, TICKS_RECEIVED
from alpha_panda.runtime.metrics.metrics import Metrics
from alpha_panda.strategy.metrics import CellMetrics
from unit.runtime.metrics.scraped import Scraped
from unit.strategy.kit import SECOND, A, B, World

OWN = {"service": "strategy", "feed": "demo"}
PROBE = {"account": "paper", "strategy": "probe"}


@pytest.fixture
async def world(clock: VirtualClock) -> AsyncIterator[World]:
    made = World(clock)
    await made.start()
    yield made
    await made.kill()


def read(world: World) -> Scraped:
    return Scraped.of(world.service.metrics)


async def test_signals_are_counted_by_what_became_of_them(world: World) -> None:
    assert read(world).value(SIGNALS, state="sent", **PROBE) == 0
    await world.tick(A, 100.5, 100.0, 100.75)
    await world.tick(A, 100.5, ts=world.clock.now() - 3600 * SECOND)
    found = read(world)
    states = ("sent", "cancel", "suppressed")
    assert [found.value(SIGNALS, state=state, **PROBE) for state in states] == [1, 1, 1]


async def test_the_way_from_the_tick_to_the_signal_is_timed(world: World) -> None:
    await world.tick(A, 100.5, ts=world.clock.now() - 2 * SECOND)
    found = read(world)
    assert found.count(TICK_TO_SIGNAL, strategy="probe") == 1
    assert found.value(f"{TICK_TO_SIGNAL.name}_sum", strategy="probe") == pytest.approx(2)


async def test_what_is_withheld_or_cancelled_has_no_way_to_be_timed(world: World) -> None:
    await world.tick(A, 100.5, ts=world.clock.now() - 3600 * SECOND)
    await world.tick(A, 100.75)
    assert read(world).count(TICK_TO_SIGNAL, strategy="probe") == 0


async def test_ticks_in_repeats_and_those_of_a_replaced_feed(world: World) -> None:
    world.epoch = 2
    await world.tick(A, 1.0, 2.0, 3.0)
    await world.tick(B, 1.0)  # nobody's, in the same partition: neither wanted nor a repeat
    await world.tick(A, 2.0, 3.0, seq=2)
    world.epoch = 1
    await world.tick(A, 7.0, 8.0)
    found = read(world)
    assert found.value(TICKS_RECEIVED, **OWN) == 8
    assert found.value(TICKS_DROPPED, reason="duplicate", **OWN) == 2
    assert found.value(TICKS_DROPPED, reason="old_epoch", **OWN) == 2
    assert world.probe().prices == [1.0, 2.0, 3.0]


def test_a_signal_that_no_tick_caused_is_counted_and_not_timed() -> None:
    signal = Signal(
        signal_id="x",
        strategy_id="probe",
        strategy_uid="probe",
        instrument_token=A,
        symbol="X:A",
        side=Side.BUY,
        order_type=OrderType.MARKET,
        quantity=Decimal(1),
        validity=Validity.DAY,
        expires_at=SECOND,
    )
    event = Envelope(
        id="x",
        type=EventType.TRADING_SIGNAL,
        version=VERSION,
        ts=1,
        source="strategy/probe",
        account="paper",
        key=signal.key,
        correlation_id="x",
        causation_id="order",
        data=signal,
    )
    metrics = Metrics()
    CellMetrics(metrics, "probe", "paper").produced(
        [PendingEvent("paper.signals.raw", event)], SECOND, lambda _: None
    )
    found = Scraped.of(metrics)
    assert found.value(SIGNALS, state="sent", **PROBE) == 1
    assert found.count(TICK_TO_SIGNAL, strategy="probe") == 0
