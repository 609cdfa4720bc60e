"""Every way in which Kite's order book and trades may mislead, through the whole pipeline on virtual time."""

import pytest

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, Side
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.testing.kite import faults
from alpha_panda.testing.kite.faults import BookFault, CallFault, KiteFault, Wire
from integration.broker.live_kit import D, S

from .kite_kit import KiteLive, live

OVER = S + D + 20

UNREADABLE: dict[str, KiteFault] = {
    "500": faults.book_error(),
    "502 html": BookFault(status=502, body=faults.BAD_GATEWAY),
    "garbage": faults.book_garbage(),
    "silence": faults.book_unanswered(),
    "reset": faults.book_unanswered(Wire.RESET),
    "no connection": faults.book_unanswered(Wire.REFUSED),
    "cut": faults.book_cut(),
    "another user": faults.book_of_user("XY9876"),
    "slower than its time-out": BookFault(delay=S + 1),
    "429": BookFault(
        status=429, body='{"status":"error","message":"Too many requests","error_type":"NetworkException"}'
    ),
    "trades 500": faults.call_fails("/trades"),
    "trades of nothing": CallFault(path="/trades", body=faults.GARBAGE),
    "trades cut": CallFault(path="/trades", wire=Wire.CUT),
    "trades silent": faults.call_hangs("/trades"),
}
"""Readings that must never count as one."""

EMPTY_BOOK = frozenset({"another user"})
"""What can't be told from a complete reading while the book has no rows at all: rows tell whose they are."""


def misread(pipeline: KiteLive, fault: KiteFault, seconds: float) -> None:
    now = pipeline.clock.now()
    pipeline.kite.plan_during(fault, now, now + round(seconds * SECOND_NS))


@pytest.mark.parametrize("name", UNREADABLE)
async def test_an_order_is_never_lost_by_a_book_that_can_not_be_read(name: str) -> None:
    """Its row may be known from half a reading; then it is what it is."""
    async with live() as pipeline:
        pipeline.kite.plan(faults.drop_reply())
        misread(pipeline, UNREADABLE[name], OVER)
        signal = await pipeline.buy()
        await pipeline.advance(OVER - 1)
        assert await pipeline.state(signal) in (EntryState.UNKNOWN, EntryState.PLACED, EntryState.FILLED)
        await pipeline.advance(S + 3)
        assert pipeline.last(signal) == ("FILLED", None, 10)
        assert await pipeline.latches() == []
        await pipeline.check(signal)


@pytest.mark.parametrize("name", sorted(UNREADABLE.keys() - EMPTY_BOOK))
async def test_an_order_that_was_not_taken_is_lost_once_the_book_is_readable(name: str) -> None:
    async with live() as pipeline:
        pipeline.kite.plan(faults.drop_reply(accepts=False))
        misread(pipeline, UNREADABLE[name], OVER)
        signal = await pipeline.buy()
        await pipeline.advance(OVER - 1)
        assert await pipeline.state(signal) is EntryState.UNKNOWN
        await pipeline.advance(S + 10)
        assert pipeline.last(signal) == ("LOST", Code.ORDER_LOST, 0)
        await pipeline.check(signal)


async def test_a_book_that_lags_less_than_d_only_delays() -> None:
    async with live() as pipeline:
        pipeline.kite.plan(faults.drop_reply())
        misread(pipeline, faults.book_lag(10), OVER)
        signal = await pipeline.buy()
        await pipeline.advance(9)
        assert await pipeline.state(signal) is EntryState.UNKNOWN
        await pipeline.advance(3)
        assert pipeline.last(signal) == ("FILLED", None, 10)
        assert await pipeline.latches() == []
        await pipeline.check(signal)


CONCEALING = [faults.book_lag(60), faults.book_truncated(), faults.book_of_day("2026-01-01")]


@pytest.mark.parametrize("fault", CONCEALING, ids=str)
async def test_the_first_order_of_a_day_that_is_concealed_longer_than_d_costs_a_halt_and_no_money(
    fault: BookFault,
) -> None:
    async with live() as pipeline:
        pipeline.kite.plan(faults.drop_reply())
        misread(pipeline, fault, OVER)
        signal = await pipeline.buy()
        await pipeline.advance(S + D + 4)
        assert pipeline.last(signal) == ("LOST", Code.ORDER_LOST, 0)
        await pipeline.advance(60)
        assert pipeline.last(signal) == ("FILLED", None, 10)
        assert await pipeline.latch_ids() == ["contradiction", "late"]
        await pipeline.check(signal)


@pytest.mark.parametrize("fault", CONCEALING, ids=str)
async def test_a_book_that_has_lost_what_it_once_showed_loses_no_order(fault: BookFault) -> None:
    """Kite's answer is a bare list: that it is too short shows only by what it had before."""
    async with live() as pipeline:
        first = await pipeline.buy("1")
        await pipeline.advance(3)
        pipeline.kite.plan(faults.drop_reply())
        misread(pipeline, fault, OVER)
        signal = await pipeline.buy()
        await pipeline.advance(OVER - 1)
        assert await pipeline.state(signal) is EntryState.UNKNOWN
        await pipeline.advance(60)
        assert pipeline.last(signal) == ("FILLED", None, 10)
        assert await pipeline.latches() == []
        await pipeline.check(first, signal)


async def test_a_book_that_goes_back_in_time_takes_nothing_back() -> None:
    async with live() as pipeline:
        pipeline.kite.plan(faults.partial("0.5", rest_after=5))
        signal = await pipeline.buy()
        await pipeline.advance(8)
        assert await pipeline.state(signal) is EntryState.FILLED
        misread(pipeline, faults.book_lag(6), OVER)
        before = pipeline.told(signal)
        await pipeline.advance(OVER)
        assert pipeline.told(signal) == before
        await pipeline.check(signal)


async def test_an_order_of_yesterday_is_not_lost_by_todays_book() -> None:
    async with live() as pipeline:
        pipeline.kite.configure(token_life_seconds=86_400 * 3)
        pipeline.traders.log_in("paper")
        pipeline.kite.plan(faults.drop_reply())
        misread(pipeline, faults.book_error(), 20 * 3600)
        signal = await pipeline.buy()
        await pipeline.advance(60)
        await pipeline.clock.advance(16 * 3600)
        pipeline.kite.change_day("2026-01-03", pipeline.clock.now())
        pipeline.kite.behave()
        await pipeline.price()
        await pipeline.advance(S + D + 10)
        assert await pipeline.state(signal) is EntryState.UNKNOWN
        assert pipeline.told(signal) == []


async def test_what_rests_when_the_session_ends_is_told_as_cancelled() -> None:
    async with live() as pipeline:
        pipeline.kite.plan(faults.partial("0.5"))
        signal = await pipeline.buy()
        await pipeline.advance(2)
        pipeline.kite.end_session(pipeline.clock.now())
        await pipeline.advance(2)
        assert pipeline.last(signal) == ("CANCELLED", None, 5)
        assert await pipeline.latches() == []
        await pipeline.check(signal)


async def test_a_trade_by_hand_is_booked_to_nobody() -> None:
    async with live() as pipeline:
        signal = await pipeline.buy("2")
        order = pipeline.kite.trade_elsewhere(738561, Side.BUY, 5, pipeline.clock.now())
        await pipeline.advance(3)
        (external,) = pipeline.told(f"external:{order.order_id}")
        assert (external.external, external.filled_quantity) == (True, 5)
        assert pipeline.held() == 7
        await pipeline.check(signal)
