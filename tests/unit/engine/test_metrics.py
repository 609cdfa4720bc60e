"""What an engine counts and times, through the engine itself."""

from typing import Any

import pytest
from msgspec.structs import replace

from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState
from alpha_panda.contracts.stored import Outcome
from alpha_panda.contracts.units import MS_NS, SECOND_NS
from alpha_panda.engine.metrics import OUTCOMES, EngineMetrics
from alpha_panda.runtime.metrics.catalogue import BROKER_CALL, DECISION_TO_CALL, ORDERS, TICK_TO_ORDER
from alpha_panda.runtime.metrics.metrics import Metrics
from unit.engine.desk import ACCOUNT, Desk
from unit.runtime.metrics.scraped import Scraped


def scraped(desk: Desk) -> Scraped:
    return Scraped.of(desk.metrics)


async def test_a_filled_order_is_counted_and_timed_over_each_hop(desk: Desk, clock: VirtualClock) -> None:
    signal = replace(desk.signal(), tick_ts=clock.now() - 250 * MS_NS)
    record = await desk.validated(signal)
    await clock.advance(0.5)
    await desk.engine().handle([record])
    found = scraped(desk)
    assert found.value(ORDERS, account=ACCOUNT, outcome="FILLED", reason="") == 1
    assert found.total(ORDERS) == 1
    assert found.count(BROKER_CALL, account=ACCOUNT, outcome="FILLED") == 1
    assert found.value(f"{DECISION_TO_CALL.name}_sum", account=ACCOUNT) == pytest.approx(0.5)
    assert found.value(f"{TICK_TO_ORDER.name}_sum", account=ACCOUNT) == pytest.approx(0.75)


async def test_the_call_alone_is_timed_by_what_it_led_to(desk: Desk, clock: VirtualClock) -> None:
    place = desk.broker.place

    async def slow(*arguments: Any) -> Outcome:
        await clock.advance(0.3)
        return await place(*arguments)

    desk.broker.answers.append(Outcome(state=EntryState.UNKNOWN))
    desk.broker.place = slow  # type: ignore[method-assign, assignment]
    await desk.place(desk.signal())
    found = scraped(desk)
    assert found.value(f"{BROKER_CALL.name}_sum", account=ACCOUNT, outcome="UNKNOWN") == pytest.approx(0.3)
    assert found.total(BROKER_CALL) == 1
    assert found.value(ORDERS, account=ACCOUNT, outcome="UNKNOWN", reason="") == 1


async def test_a_refusal_before_the_call_is_a_failed_order_with_its_reason_and_no_call(desk: Desk) -> None:
    await desk.quote(2500.0, age=1000)
    await desk.place(desk.signal())
    found = scraped(desk)
    assert found.value(ORDERS, account=ACCOUNT, outcome="FAILED", reason="PRICE_STALE") == 1
    assert found.total(BROKER_CALL) == found.total(DECISION_TO_CALL) == found.total(TICK_TO_ORDER) == 0


async def test_the_same_record_again_counts_nothing(desk: Desk) -> None:
    record = await desk.validated(desk.signal())
    await desk.engine().handle([record])
    before = scraped(desk).samples
    await desk.engine().handle([record])
    assert scraped(desk).samples == before


async def test_an_order_that_no_tick_caused_has_no_way_from_a_tick(desk: Desk) -> None:
    await desk.place(desk.signal())
    assert scraped(desk).total(TICK_TO_ORDER) == 0
    assert scraped(desk).total(DECISION_TO_CALL) == 1


def test_every_failure_begins_at_0_so_that_the_first_is_an_increase() -> None:
    metrics = Metrics()
    EngineMetrics(metrics, ACCOUNT)
    found = Scraped.of(metrics)
    for code in Code:
        assert found.value(ORDERS, account=ACCOUNT, outcome="FAILED", reason=code.value) == 0
    for state in OUTCOMES:
        assert found.value(ORDERS, account=ACCOUNT, outcome=state.value, reason="") == 0


@pytest.mark.parametrize("state", EntryState)
def test_no_state_that_a_broker_may_answer_fails_the_settling(state: EntryState) -> None:
    metrics = Metrics()
    EngineMetrics(metrics, ACCOUNT).called(state, SECOND_NS)
    assert Scraped.of(metrics).total(BROKER_CALL) == (state in OUTCOMES)
