"""Every way in which a broker may treat an order, through the whole pipeline on virtual time."""

from dataclasses import dataclass
from decimal import Decimal

import pytest

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, EventType, Side
from alpha_panda.testing.broker import faults
from alpha_panda.testing.broker.faults import PlaceFault, Wire
from integration.kit import RELIANCE

from .live_kit import TEN, D, S, live

LOST = ("LOST", Code.ORDER_LOST, 0)
FILLED = ("FILLED", None, 10)
REFUSED = "FAILED"


@dataclass(frozen=True)
class Case:
    """A fault, the state right after S, the order's last word after all is over, the latches, what traded."""

    fault: PlaceFault
    after_s: EntryState
    last: tuple[str, Code | None, int]
    traded: int = 10
    latches: tuple[str, ...] = ()


CASES = {
    "well": Case(PlaceFault(), EntryState.FILLED, FILLED),
    "slow within S": Case(faults.slow(S - 1), EntryState.FILLED, FILLED),
    "slow beyond S": Case(faults.slow(S + 1), EntryState.FILLED, FILLED),
    "hangs, taken": Case(faults.hang(), EntryState.FILLED, FILLED),
    "hangs, not taken": Case(faults.hang(accepts=False), EntryState.UNKNOWN, LOST, 0),
    "reply dropped, taken": Case(faults.drop_reply(), EntryState.FILLED, FILLED),
    "reply dropped, not taken": Case(faults.drop_reply(accepts=False), EntryState.UNKNOWN, LOST, 0),
    "reply cut": Case(faults.cut_reply(), EntryState.FILLED, FILLED),
    "twice": Case(faults.accept_twice(), EntryState.FILLED, FILLED, 20, ("stray",)),
    "twice, second late": Case(faults.accept_twice(20), EntryState.FILLED, FILLED, 20, ("stray",)),
    "twice, no reply": Case(PlaceFault(copies=2, wire=Wire.RESET), EntryState.FILLED, FILLED, 20, ("stray",)),
    "three times, hangs": Case(
        PlaceFault(copies=3, repeat_after=7, wire=Wire.HANG), EntryState.FILLED, FILLED, 30, ("stray",) * 2
    ),
    "late, within D": Case(faults.accept_late(S + D - 5), EntryState.UNKNOWN, FILLED),
    "late, after LOST": Case(
        faults.accept_late(S + D + 10), EntryState.UNKNOWN, FILLED, 10, ("contradiction", "late")
    ),
    "no connection": Case(
        faults.refuse_connection(), EntryState.FAILED, (REFUSED, Code.BROKER_UNREACHABLE, 0), 0
    ),
    "refused": Case(faults.reject(), EntryState.FAILED, (REFUSED, Code.BROKER_REJECTED, 0), 0),
    "429": Case(faults.too_many_requests(), EntryState.FAILED, (REFUSED, Code.RATE_LIMIT, 0), 0),
    "429 of a proxy, not taken": Case(faults.strange_too_many_requests(), EntryState.UNKNOWN, LOST, 0),
    "429 of a proxy, taken": Case(faults.strange_too_many_requests(accepts=True), EntryState.FILLED, FILLED),
    "500, not taken": Case(faults.server_error(accepts=False), EntryState.UNKNOWN, LOST, 0),
    "500, taken": Case(faults.server_error(accepts=True), EntryState.FILLED, FILLED),
    "garbage, not taken": Case(faults.garbage(accepts=False), EntryState.UNKNOWN, LOST, 0),
    "garbage, taken": Case(faults.garbage(accepts=True), EntryState.FILLED, FILLED),
    "400 time-out, not taken": Case(faults.timeout_400(accepts=False), EntryState.UNKNOWN, LOST, 0),
    "400 time-out, taken": Case(faults.timeout_400(accepts=True), EntryState.FILLED, FILLED),
    "half": Case(faults.partial("0.5"), EntryState.PARTIALLY_FILLED, ("PARTIALLY_FILLED", None, 5), 5),
    "half, then the rest": Case(faults.partial("0.5", rest_after=20), EntryState.PARTIALLY_FILLED, FILLED),
    "rests": Case(faults.rest(), EntryState.PLACED, ("PLACED", None, 0), 0),
    "rests, then fills": Case(faults.rest_then_fill(20), EntryState.PLACED, FILLED),
    "rests, no reply": Case(PlaceFault(parts=(), wire=Wire.RESET), EntryState.PLACED, ("PLACED", None, 0), 0),
    "refused later": Case(faults.refuse_later(20), EntryState.PLACED, (REFUSED, Code.BROKER_REJECTED, 0), 0),
    "refused later, no reply": Case(
        PlaceFault(parts=(), refused_after=0, wire=Wire.RESET),
        EntryState.FAILED,
        (REFUSED, Code.BROKER_REJECTED, 0),
        0,
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_an_order_comes_to_its_outcome_by_one_call(name: str) -> None:
    case = CASES[name]
    async with live() as pipeline:
        pipeline.core.plan(case.fault)
        signal = await pipeline.buy()
        await pipeline.advance(S + 2)
        assert await pipeline.state(signal) is case.after_s
        await pipeline.advance(2 * (S + D))
        await pipeline.check(signal)
        assert pipeline.last(signal) == case.last
        assert sum(trade.quantity for trade in pipeline.core.executed()) == case.traded
        assert await pipeline.latch_ids() == list(case.latches)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.latches])
async def test_after_a_fault_without_a_latch_trading_goes_on(name: str) -> None:
    case = CASES[name]
    async with live() as pipeline:
        pipeline.core.plan(case.fault)
        first = await pipeline.buy()
        await pipeline.advance(2 * (S + D))
        second = await pipeline.buy("3")
        await pipeline.advance(2)
        await pipeline.check(first, second)
        assert pipeline.last(second) == ("FILLED", None, 3)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.latches])
async def test_a_latched_account_sends_nothing_more(name: str) -> None:
    case = CASES[name]
    async with live() as pipeline:
        pipeline.core.plan(case.fault)
        first = await pipeline.buy()
        await pipeline.advance(2 * (S + D))
        second = await pipeline.buy("3")
        await pipeline.advance(2)
        await pipeline.check(first)
        assert [event.type for event in pipeline.about(second)] == [EventType.REJECTED_SIGNAL]


async def test_a_key_in_doubt_takes_no_order_that_increases_until_it_is_resolved() -> None:
    async with live() as pipeline:
        pipeline.core.plan(faults.hang(accepts=False))
        first = await pipeline.buy()
        await pipeline.advance(S + 1)
        second = await pipeline.buy("1")
        event = pipeline.about(second)[-1]
        assert (event.type, getattr(event.data, "code", None)) == (EventType.REJECTED_SIGNAL, Code.IN_DOUBT)
        await pipeline.advance(D + 5)
        third = await pipeline.buy("1")
        await pipeline.advance(2)
        await pipeline.check(first, third)
        assert [pipeline.last(item)[0] for item in (first, third)] == ["LOST", "FILLED"]


async def test_a_late_match_is_told_as_a_correction_after_the_word_lost() -> None:
    async with live() as pipeline:
        pipeline.core.plan(faults.accept_late(S + D + 10))
        signal = await pipeline.buy()
        await pipeline.advance(S + D + 4)
        assert pipeline.last(signal) == LOST
        assert pipeline.held() == 0
        await pipeline.advance(10)
        lost, late = pipeline.told(signal)
        assert (lost.correction, late.correction, late.filled_quantity) == (False, True, 10)
        assert pipeline.held() == 10


async def test_a_second_order_is_booked_to_nobody_under_its_own_id() -> None:
    async with live() as pipeline:
        pipeline.core.plan(faults.accept_twice())
        signal = await pipeline.buy()
        await pipeline.advance(3)
        strategies = pipeline.snapshot().strategies
        held = {name: view.positions[RELIANCE].quantity for name, view in strategies.items()}
        assert held == {"alpha": 10, "external": 10}
        (stray,) = (entry for entry in pipeline.told("external:B0-1"))
        assert (stray.external, stray.correction, stray.filled_quantity) == (True, True, 10)
        await pipeline.check(signal)


async def test_a_second_order_that_rests_is_cancelled_by_the_halt() -> None:
    """The latch halts the account, and halted means that nothing may rest: neither of the two."""
    async with live() as pipeline:
        pipeline.core.plan(PlaceFault(copies=2, parts=()))
        signal = await pipeline.buy()
        await pipeline.advance(5)
        assert [order.row.status.value for order in pipeline.core.orders.values()] == ["CANCELLED"] * 2
        assert pipeline.last(signal)[:2] == ("CANCELLED", Code.CANCELLED_BY_STATE)
        assert pipeline.told("external:B0-1")[-1].status.value == "CANCELLED"
        await pipeline.check(signal)


async def test_the_second_of_two_orders_goes_on_filling_into_the_book() -> None:
    async with live() as pipeline:
        pipeline.core.plan(PlaceFault(copies=2, parts=(faults.Part(0, Decimal("0.5")),)))
        pipeline.core.plan(faults.cancel_error(), times=1000)
        signal = await pipeline.buy()
        await pipeline.advance(3)
        assert pipeline.held() == 10
        pipeline.core.fill("B0-1", TEN, Decimal(101), pipeline.clock.now())
        await pipeline.advance(2)
        assert pipeline.held() == 15
        await pipeline.check(signal)


@pytest.mark.parametrize("fault", [faults.hang(), faults.drop_reply(), faults.slow(3)], ids=str)
async def test_an_engine_killed_while_the_broker_is_silent_sends_no_second_order(fault: PlaceFault) -> None:
    async with live() as pipeline:
        pipeline.core.plan(fault)
        await pipeline.price()
        signal = await pipeline.signal("alpha", RELIANCE, Side.BUY, "10")
        for replica in (0, 1):
            await pipeline.kill(f"engine/paper-{replica}")
        await pipeline.advance(S + D)
        await pipeline.check(signal)
        assert pipeline.last(signal) == FILLED
        assert await pipeline.latches() == []


async def test_an_order_tracker_that_dies_begins_its_count_anew() -> None:
    async with live() as pipeline:
        pipeline.core.plan(faults.hang(accepts=False))
        signal = await pipeline.buy()
        await pipeline.advance(S + D + 1.5)  # two reads count
        await pipeline.kill("order-tracker/paper")
        await pipeline.advance(1)
        assert await pipeline.state(signal) is EntryState.UNKNOWN
        await pipeline.advance(S + D)
        assert pipeline.last(signal) == LOST
        await pipeline.check(signal)
