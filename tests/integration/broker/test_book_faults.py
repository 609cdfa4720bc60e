"""Every way in which the broker's order book may mislead, through the whole pipeline on virtual time."""

import pytest

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.testing.broker import faults
from alpha_panda.testing.broker.core import BrokerCore
from alpha_panda.testing.broker.faults import BookFault, Wire

from .live_kit import D, Live, S, live

OVER = S + D + 20

UNREADABLE = {
    "500": faults.book_error(),
    "garbage": faults.book_garbage(),
    "silence": faults.book_unanswered(),
    "reset": faults.book_unanswered(Wire.RESET),
    "no connection": faults.book_unanswered(Wire.REFUSED),
    "cut": faults.book_cut(),
    "truncated": faults.book_truncated(),
    "another day": faults.book_of_day("2026-01-01"),
    "another user": faults.book_of_user("XY9876"),
    "slower than its time-out": BookFault(delay=S + 1),
}
"""Readings that must never count as one."""


def misread(pipeline: Live, fault: BookFault, seconds: float) -> None:
    now = pipeline.clock.now()
    pipeline.core.plan_during(fault, now, now + round(seconds * SECOND_NS))


@pytest.mark.parametrize("name", UNREADABLE)
async def test_an_order_is_never_lost_by_a_book_that_can_not_be_read(name: str) -> None:
    async with live() as pipeline:
        pipeline.core.plan(faults.drop_reply())
        misread(pipeline, UNREADABLE[name], OVER)
        signal = await pipeline.buy()
        await pipeline.advance(OVER - 1)
        assert await pipeline.state(signal) is EntryState.UNKNOWN
        assert pipeline.told(signal) == []
        await pipeline.advance(S + 3)
        assert pipeline.last(signal) == ("FILLED", None, 10)
        assert await pipeline.latches() == []
        await pipeline.check(signal)


@pytest.mark.parametrize("name", UNREADABLE)
async def test_an_order_that_was_not_taken_is_lost_once_the_book_is_readable(name: str) -> None:
    async with live() as pipeline:
        pipeline.core.plan(faults.drop_reply(accepts=False))
        misread(pipeline, UNREADABLE[name], OVER)
        signal = await pipeline.buy()
        await pipeline.advance(OVER + S + 6)
        assert pipeline.last(signal) == ("LOST", Code.ORDER_LOST, 0)
        await pipeline.check(signal)


async def test_a_book_that_lags_less_than_d_only_delays() -> None:
    async with live() as pipeline:
        pipeline.core.plan(faults.drop_reply())
        misread(pipeline, faults.book_lag(10), OVER)
        signal = await pipeline.buy()
        await pipeline.advance(9)
        assert await pipeline.state(signal) is EntryState.UNKNOWN
        await pipeline.advance(3)
        assert pipeline.last(signal) == ("FILLED", None, 10)
        assert await pipeline.latches() == []
        await pipeline.check(signal)


@pytest.mark.parametrize("fault", [faults.book_lag(60), faults.book_truncated(admitted=False)], ids=str)
async def test_a_book_that_conceals_longer_than_d_costs_a_halt_and_no_money(fault: BookFault) -> None:
    """What can't be told from an order that is not there is LOST; its late match is booked and latches."""
    async with live() as pipeline:
        pipeline.core.plan(faults.drop_reply())
        misread(pipeline, fault, OVER)
        signal = await pipeline.buy()
        await pipeline.advance(S + D + 4)
        assert pipeline.last(signal) == ("LOST", Code.ORDER_LOST, 0)
        await pipeline.advance(60)
        assert pipeline.last(signal) == ("FILLED", None, 10)
        assert await pipeline.latch_ids() == ["contradiction", "late"]
        await pipeline.check(signal)


async def test_a_book_that_goes_back_in_time_takes_nothing_back() -> None:
    async with live() as pipeline:
        pipeline.core.plan(faults.partial("0.5", rest_after=5))
        signal = await pipeline.buy()
        await pipeline.advance(8)
        assert await pipeline.state(signal) is EntryState.FILLED
        misread(pipeline, faults.book_lag(6), OVER)
        before = pipeline.told(signal)
        await pipeline.advance(OVER)
        assert pipeline.told(signal) == before
        await pipeline.check(signal)


async def test_the_pages_of_a_long_book_are_one_reading() -> None:
    async with live() as pipeline:
        core = small_pages(pipeline)
        signals = []
        for _ in range(5):
            core.plan(faults.drop_reply())
            signals.append(await pipeline.buy("1"))
            await pipeline.advance(2)
        assert {pipeline.last(signal)[0] for signal in signals} == {"FILLED"}
        assert {call.subject for call in core.calls if call.kind == "book"} == {"1", "2", "3"}
        await pipeline.check(*signals)


async def test_a_missing_page_makes_the_reading_incomplete() -> None:
    async with live() as pipeline:
        core = small_pages(pipeline)
        first = [await pipeline.buy("1") for _ in range(3)]
        core.plan(faults.drop_reply(accepts=False))
        lost = await pipeline.buy("1")
        await pipeline.advance(S + D - 1)
        for _ in range(10):  # each turn reads page 1 and, in vain, page 2
            core.plan(BookFault())
            core.plan(faults.book_error())
        await pipeline.advance(10)
        assert await pipeline.state(lost) is EntryState.UNKNOWN
        await pipeline.advance(4)
        assert pipeline.last(lost)[0] == "LOST"
        assert [pipeline.last(item)[0] for item in first] == ["FILLED"] * 3
        await pipeline.check(*first, lost)


def small_pages(pipeline: Live) -> BrokerCore:
    """Make the broker's pages short: two rows each."""
    core = pipeline.core
    core._page_rows = 2
    return core


async def test_an_order_of_yesterday_is_not_lost_by_todays_book() -> None:
    """The book begins empty each day; only a person, or yesterday's book, can tell what became of it."""
    async with live() as pipeline:
        pipeline.core.plan(faults.drop_reply())
        misread(pipeline, faults.book_error(), 20 * 3600)
        signal = await pipeline.buy()
        await pipeline.advance(60)
        next_day = 16 * 3600  # from 08:45 UTC
        await pipeline.clock.advance(next_day)
        pipeline.core.change_day("2026-01-03", pipeline.clock.now())
        pipeline.core.behave()
        await pipeline.price()
        await pipeline.advance(S + D + 10)
        assert await pipeline.state(signal) is EntryState.UNKNOWN
        assert pipeline.told(signal) == []


async def test_an_order_of_today_is_lost_by_todays_book() -> None:
    async with live() as pipeline:
        await pipeline.clock.advance(16 * 3600)
        pipeline.core.change_day("2026-01-03", pipeline.clock.now())
        await pipeline.price()
        pipeline.core.plan(faults.drop_reply(accepts=False))
        signal = await pipeline.buy()
        await pipeline.advance(S + D + 5)
        assert pipeline.last(signal) == ("LOST", Code.ORDER_LOST, 0)


async def test_what_rests_when_the_session_ends_is_told_as_cancelled() -> None:
    async with live() as pipeline:
        pipeline.core.plan(faults.partial("0.5"))
        signal = await pipeline.buy()
        await pipeline.advance(2)
        pipeline.core.end_session(pipeline.clock.now())
        await pipeline.advance(2)
        assert pipeline.last(signal) == ("CANCELLED", None, 5)
        assert await pipeline.latches() == []
        await pipeline.check(signal)
