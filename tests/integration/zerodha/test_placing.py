"""Every way in which Kite may treat an order, through the whole pipeline and Zerodha's adapter on virtual time.

What must hold of each: one POST for each signal whatever comes of it, the account's book is what Kite really did, and
who was refused for sure is told so at once.
"""

from dataclasses import dataclass

import pytest

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, EventType, Side
from alpha_panda.testing.kite import faults
from alpha_panda.testing.kite.config import Delays
from alpha_panda.testing.kite.faults import KiteFault, KitePlaceFault, PlaceFault, Wire
from integration.broker.live_kit import D, S
from integration.kit import RELIANCE

from .kite_kit import live

LOST = ("LOST", Code.ORDER_LOST, 0)
FILLED = ("FILLED", None, 10)
UNSEEN = EntryState.UNKNOWN


@dataclass(frozen=True)
class Case:
    """A fault, the state right after S, the order's last word after all is over, what traded, the latches."""

    fault: KiteFault
    after_s: EntryState
    last: tuple[str, Code | None, int]
    traded: int = 10
    latches: tuple[str, ...] = ()


def taken(fault: KiteFault) -> Case:
    return Case(fault, EntryState.FILLED, FILLED)


def lost(fault: KiteFault) -> Case:
    return Case(fault, UNSEEN, LOST, 0)


def refused(fault: KiteFault, code: Code) -> Case:
    return Case(fault, EntryState.FAILED, ("FAILED", code, 0), 0)


SHARED = {
    "well": taken(PlaceFault()),
    "slow within S": taken(faults.slow(S - 1)),
    "slow beyond S": taken(faults.slow(S + 1)),
    "hangs, taken": taken(faults.hang()),
    "hangs, not taken": lost(faults.hang(accepts=False)),
    "reply dropped, taken": taken(faults.drop_reply()),
    "reply dropped, not taken": lost(faults.drop_reply(accepts=False)),
    "reply cut": taken(faults.cut_reply()),
    "twice": Case(faults.accept_twice(), EntryState.FILLED, FILLED, 20, ("stray",)),
    "twice, second late": Case(faults.accept_twice(20), EntryState.FILLED, FILLED, 20, ("stray",)),
    "twice, no reply": Case(PlaceFault(copies=2, wire=Wire.RESET), EntryState.FILLED, FILLED, 20, ("stray",)),
    "three times, hangs": Case(
        PlaceFault(copies=3, repeat_after=7, wire=Wire.HANG), EntryState.FILLED, FILLED, 30, ("stray",) * 2
    ),
    "late, within D": Case(faults.accept_late(S + D - 5), UNSEEN, FILLED),
    "late, after LOST": Case(faults.accept_late(S + D + 10), UNSEEN, FILLED, 10, ("contradiction", "late")),
    "no connection": refused(faults.refuse_connection(), Code.BROKER_UNREACHABLE),
    "refused": refused(faults.reject(), Code.INSUFFICIENT_FUNDS),
    "429": refused(faults.too_many_requests(), Code.RATE_LIMIT),
    "429 of a proxy, not taken": lost(faults.strange_too_many_requests()),
    "429 of a proxy, taken": taken(faults.strange_too_many_requests(accepts=True)),
    "500, not taken": lost(faults.server_error(accepts=False)),
    "500, taken": taken(faults.server_error(accepts=True)),
    "garbage, not taken": lost(faults.garbage(accepts=False)),
    "garbage, taken": taken(faults.garbage(accepts=True)),
    "400 time-out, not taken": lost(faults.timeout_400(accepts=False)),
    "400 time-out, taken": taken(faults.timeout_400(accepts=True)),
    "half": Case(faults.partial("0.5"), EntryState.PARTIALLY_FILLED, ("PARTIALLY_FILLED", None, 5), 5),
    "half, then the rest": Case(faults.partial("0.5", rest_after=20), EntryState.PARTIALLY_FILLED, FILLED),
    "rests": Case(faults.rest(), EntryState.PLACED, ("PLACED", None, 0), 0),
    "rests, then fills": Case(faults.rest_then_fill(20), EntryState.PLACED, FILLED),
    "rests, no reply": Case(PlaceFault(parts=(), wire=Wire.RESET), EntryState.PLACED, ("PLACED", None, 0), 0),
    "refused later": Case(faults.refuse_later(20), EntryState.PLACED, ("FAILED", Code.BROKER_REJECTED, 0), 0),
    "refused later, no reply": Case(
        PlaceFault(parts=(), refused_after=0, wire=Wire.RESET),
        EntryState.FAILED,
        ("FAILED", Code.BROKER_REJECTED, 0),
        0,
    ),
}
"""As at the other broker: tests/integration/broker/test_placing.py."""

OWN = {
    "400 time-out, in the book later": Case(faults.timed_out_yet_placed(S + 8), UNSEEN, FILLED),
    "slow book": Case(faults.slow_book(S + 10), EntryState.PLACED, FILLED),
    "502 html, not taken": lost(faults.bad_gateway(accepts=False)),
    "502 html, taken": taken(faults.bad_gateway(accepts=True)),
    "504 empty, not taken": lost(faults.gateway_timeout(accepts=False)),
    "504 empty, taken": taken(faults.gateway_timeout(accepts=True)),
    "503 oms, not taken": lost(faults.oms_down(accepts=False)),
    "503 oms, taken": taken(faults.oms_down(accepts=True)),
    "504 time-out, not taken": lost(faults.oms_timeout(accepts=False)),
    "504 time-out, taken": taken(faults.oms_timeout(accepts=True)),
    "500 OrderException, not taken": lost(faults.order_exception(accepts=False)),
    "500 OrderException, taken": taken(faults.order_exception(accepts=True)),
    "400 OrderException": refused(faults.order_exception(accepts=False, status=400), Code.BROKER_REJECTED),
    "500 that says success, not taken": lost(faults.success_with_500(accepts=False)),
    "500 that says success, taken": taken(faults.success_with_500(accepts=True)),
    "no content type, taken": taken(faults.no_content_type(accepts=True)),
    "no error type, not taken": lost(faults.error_without_type(accepts=False)),
    "no error type, taken": taken(faults.error_without_type(accepts=True)),
    "success without data, not taken": lost(faults.success_without_data(accepts=False)),
    "success without data, taken": taken(faults.success_without_data(accepts=True)),
    "wrong address": refused(faults.ip_refused(), Code.EGRESS_IP_REFUSED),
    "refused by RMS in the book": Case(
        faults.margin_row(), EntryState.FAILED, ("FAILED", Code.BROKER_REJECTED, 0), 0
    ),
    "stuck on its way, then open": Case(faults.stuck("OPEN PENDING", 20), EntryState.PLACED, FILLED),
    "stuck for good": Case(faults.stuck("PUT ORDER REQ RECEIVED"), EntryState.PLACED, ("PLACED", None, 0), 0),
    "stuck, no reply": Case(
        KitePlaceFault(stuck_in="VALIDATION PENDING", stuck_for=20, wire=Wire.HANG), EntryState.PLACED, FILLED
    ),
}
"""What only Kite does."""

CASES = SHARED | OWN


@pytest.mark.parametrize("name", CASES)
async def test_an_order_comes_to_its_outcome_by_one_call(name: str) -> None:
    case = CASES[name]
    async with live() as pipeline:
        pipeline.kite.plan(case.fault)
        signal = await pipeline.buy()
        await pipeline.advance(S + 2)
        assert await pipeline.state(signal) is case.after_s
        await pipeline.advance(2 * (S + D))
        await pipeline.check(signal)
        assert pipeline.last(signal) == case.last
        assert sum(trade.quantity for trade in pipeline.kite.executed()) == case.traded
        assert await pipeline.latch_ids() == list(case.latches)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.latches])
async def test_after_a_fault_without_a_latch_trading_goes_on(name: str) -> None:
    case = CASES[name]
    async with live() as pipeline:
        pipeline.kite.plan(case.fault)
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
        pipeline.kite.plan(case.fault)
        first = await pipeline.buy()
        await pipeline.advance(2 * (S + D))
        second = await pipeline.buy("3")
        await pipeline.advance(2)
        await pipeline.check(first)
        assert [event.type for event in pipeline.about(second)] == [EventType.REJECTED_SIGNAL]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("replicas", [(0,), (0, 1)], ids=["one", "both"])
async def test_an_engine_killed_within_any_fault_sends_no_second_order(
    name: str, replicas: tuple[int, ...]
) -> None:
    """Killed as soon as Kite has the call: the reply, whatever it is, is heard by nobody."""
    case = CASES[name]
    async with live() as pipeline:
        pipeline.kite.plan(case.fault)
        await pipeline.price()
        signal = await pipeline.signal("alpha", RELIANCE, Side.BUY, "10")
        for replica in replicas:
            await pipeline.kill(f"engine/paper-{replica}")
        await pipeline.advance(3 * (S + D))
        await pipeline.check(signal)
        assert sum(trade.quantity for trade in pipeline.kite.executed()) == case.traded


@pytest.mark.parametrize("name", CASES)
async def test_an_order_tracker_killed_after_any_fault_finds_the_same(name: str) -> None:
    case = CASES[name]
    async with live() as pipeline:
        pipeline.kite.plan(case.fault)
        signal = await pipeline.buy()
        for seconds in (1, S, D):
            await pipeline.advance(seconds)
            await pipeline.kill("order-tracker/paper")
        await pipeline.advance(3 * (S + D))
        await pipeline.check(signal)
        assert sum(trade.quantity for trade in pipeline.kite.executed()) == case.traded
        assert await pipeline.state(signal) not in (EntryState.SENDING, EntryState.UNKNOWN)


@pytest.mark.parametrize(
    "fault", [faults.drop_reply(), faults.hang(), faults.timed_out_yet_placed(3)], ids=str
)
async def test_through_all_of_kites_statuses_an_order_is_one_order(fault: KiteFault) -> None:
    delays = Delays(received=1, validation=2, open_pending=3, cancel_pending=1)
    async with live() as pipeline:
        pipeline.kite.configure(delays=delays)
        pipeline.kite.plan(fault)
        signal = await pipeline.buy()
        await pipeline.advance(3 * (S + D))
        await pipeline.check(signal)
        assert pipeline.last(signal) == FILLED


async def test_our_tag_is_found_among_the_systems_own() -> None:
    async with live() as pipeline:
        pipeline.kite.configure(hide_tag=True)
        pipeline.kite.plan(faults.drop_reply())
        signal = await pipeline.buy()
        await pipeline.advance(S + D)
        await pipeline.check(signal)
        assert pipeline.last(signal) == FILLED
        assert await pipeline.latches() == []


@pytest.mark.parametrize("places", [0, 2, 4])
async def test_money_is_exact_however_kite_rounds_its_averages(places: int) -> None:
    """Parts at several prices: their average has no end, the trades have."""
    async with live() as pipeline:
        pipeline.kite.configure(average_places=places, liquidity=3)
        signal = await pipeline.buy("7")
        for step in range(1, 5):
            await pipeline.advance(2)
            now = pipeline.clock.now()
            pipeline.kite.set_price(738561, pipeline.kite.market.price(738561) + step * 5, now)
        for order in pipeline.kite.orders.values():
            pipeline.kite.fill(order.order_id, 7, pipeline.kite.market.price(738561), pipeline.clock.now())
        await pipeline.advance(3)
        await pipeline.check(signal)
        assert pipeline.last(signal) == ("FILLED", None, 7)


async def test_an_order_that_is_complete_waits_for_its_trades() -> None:
    async with live() as pipeline:
        pipeline.kite.plan(faults.slow_trades(3), times=40)
        signal = await pipeline.buy()
        await pipeline.advance(2)
        assert pipeline.last(signal)[0] == "PLACED"
        await pipeline.advance(5)
        assert pipeline.last(signal) == FILLED
        await pipeline.check(signal)


# ------------------------------------------------------------------------------------------------------ the token


async def test_without_a_token_orders_fail_and_with_a_new_one_all_goes_on() -> None:
    async with live() as pipeline:
        pipeline.kite.expire_token()
        first = await pipeline.buy()
        await pipeline.advance(2)
        assert pipeline.last(first) == ("FAILED", Code.ACCESS_TOKEN_EXPIRED, 0)
        second = await pipeline.buy("2")
        await pipeline.advance(2)
        assert pipeline.last(second) == ("FAILED", Code.ACCESS_TOKEN_EXPIRED, 0)
        pipeline.traders.log_in("paper")
        await pipeline.advance(2)
        third = await pipeline.buy("3")
        await pipeline.advance(2)
        assert pipeline.last(third) == ("FILLED", None, 3)
        assert pipeline.held() == 3
        assert pipeline.calls("place") == 1


async def test_an_order_in_doubt_when_the_token_dies_is_not_lost_but_found_after_the_next_login() -> None:
    async with live() as pipeline:
        pipeline.kite.plan(faults.drop_reply())
        pipeline.kite.plan(faults.book_error())
        signal = await pipeline.buy()
        pipeline.kite.expire_token()
        await pipeline.advance(3 * (S + D))
        assert await pipeline.state(signal) is EntryState.UNKNOWN
        pipeline.traders.log_in("paper")
        await pipeline.advance(5)
        assert pipeline.last(signal) == FILLED
        await pipeline.check(signal)


async def test_a_login_elsewhere_is_a_dead_token() -> None:
    async with live() as pipeline:
        pipeline.kite.new_session(pipeline.clock.now())
        signal = await pipeline.buy()
        await pipeline.advance(2)
        assert pipeline.last(signal) == ("FAILED", Code.ACCESS_TOKEN_EXPIRED, 0)
        assert pipeline.calls("place") == 0
