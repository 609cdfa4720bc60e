"""Cancelling at a broker that misbehaves, through the whole pipeline on virtual time."""

from decimal import Decimal

import pytest

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, EventType, TradingState
from alpha_panda.contracts.events import OrderUpdate
from alpha_panda.contracts.scopes import account_scope
from alpha_panda.testing.broker import faults
from alpha_panda.testing.broker.faults import CancelFault, Wire

from .live_kit import Live, S, live

UNDONE = {
    "500": faults.cancel_error(),
    "reset": faults.cancel_unanswered(effective=False),
    "hangs": faults.cancel_unanswered(effective=False, wire=Wire.HANG),
    "no connection": faults.cancel_unanswered(effective=False, wire=Wire.REFUSED),
    "garbage": CancelFault(effective=False, body=faults.GARBAGE),
}


async def resting(pipeline: Live) -> str:
    pipeline.core.plan(faults.partial("0.5"))
    signal = await pipeline.buy()
    await pipeline.advance(2)
    assert await pipeline.state(signal) is EntryState.PARTIALLY_FILLED
    return signal


def cancels(pipeline: Live) -> int:
    return sum(call.kind == "cancel" for call in pipeline.core.calls)


def reply_to(pipeline: Live, request: str) -> OrderUpdate:
    (update,) = pipeline.told(request)
    return update


async def test_a_cancelled_order_says_who_cancelled_it() -> None:
    async with live() as pipeline:
        signal = await resting(pipeline)
        await pipeline.cancel(signal)
        await pipeline.advance(3)
        assert pipeline.last(signal) == ("CANCELLED", Code.CANCELLED_BY_STRATEGY, 5)
        assert cancels(pipeline) == 1
        await pipeline.check(signal)


async def test_a_cancel_that_loses_the_race_finds_the_order_filled() -> None:
    async with live() as pipeline:
        signal = await resting(pipeline)
        pipeline.core.plan(faults.cancel_loses_race())
        await pipeline.cancel(signal)
        await pipeline.advance(3)
        assert pipeline.last(signal) == ("FILLED", None, 10)
        assert await pipeline.latches() == []
        await pipeline.check(signal)


@pytest.mark.parametrize("name", UNDONE)
async def test_a_cancel_that_was_not_confirmed_says_so_and_the_order_rests_on(name: str) -> None:
    async with live() as pipeline:
        signal = await resting(pipeline)
        before = pipeline.told(signal)
        pipeline.core.plan(UNDONE[name])
        request = await pipeline.cancel(signal)
        await pipeline.advance(S + 3)
        assert reply_to(pipeline, request).code is Code.CANCEL_UNCONFIRMED
        assert pipeline.told(signal) == before
        assert await pipeline.state(signal) is EntryState.PARTIALLY_FILLED
        assert cancels(pipeline) == 1
        again = await pipeline.cancel(signal)  # it may be asked for again
        await pipeline.advance(2)
        assert pipeline.told(again) == []
        assert pipeline.last(signal) == ("CANCELLED", Code.CANCELLED_BY_STRATEGY, 5)
        await pipeline.check(signal)


async def test_a_cancel_whose_reply_was_lost_is_found_in_the_book() -> None:
    async with live() as pipeline:
        signal = await resting(pipeline)
        pipeline.core.plan(faults.cancel_unanswered(effective=True))
        request = await pipeline.cancel(signal)
        await pipeline.advance(3)
        assert reply_to(pipeline, request).code is Code.CANCEL_UNCONFIRMED
        assert pipeline.last(signal) == ("CANCELLED", None, 5)
        assert await pipeline.latches() == []
        await pipeline.check(signal)


async def test_a_halt_cancels_again_and_again_until_it_is_done() -> None:
    async with live() as pipeline:
        signal = await resting(pipeline)
        pipeline.core.plan(faults.cancel_error(), times=4)
        await pipeline.set_state(account_scope("paper"), TradingState.HALTED)
        await pipeline.advance(10)
        assert cancels(pipeline) == 5
        assert pipeline.last(signal) == ("CANCELLED", Code.CANCELLED_BY_STATE, 5)
        await pipeline.check(signal)


async def test_a_fill_after_the_word_cancelled_is_booked_and_latches() -> None:
    """A broker that says CANCELLED and fills on: its book is the truth, and the account waits for a person."""
    async with live() as pipeline:
        signal = await resting(pipeline)
        order = pipeline.core.orders["B0"]
        row = order.row
        await pipeline.cancel(signal)
        await pipeline.advance(2)
        order.versions.append((pipeline.clock.now(), row))  # undone
        pipeline.core.fill("B0", Decimal(2), Decimal(100), pipeline.clock.now())
        await pipeline.advance(2)
        assert pipeline.told(signal)[-1].correction
        assert pipeline.held() == 7
        assert await pipeline.latch_ids() == ["late"]
        await pipeline.check(signal)


async def test_an_order_in_doubt_can_not_be_cancelled() -> None:
    async with live() as pipeline:
        pipeline.core.plan(faults.drop_reply(accepts=False))
        signal = await pipeline.buy()
        await pipeline.advance(2)
        request = await pipeline.cancel(signal)
        update = reply_to(pipeline, request)
        assert (update.code, cancels(pipeline)) == (Code.IN_DOUBT, 0)
        assert pipeline.events(EventType.ORDER_CANCELLED) == []
