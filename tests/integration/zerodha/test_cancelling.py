"""Cancelling at Kite, which answers 200 to what it will do, not to what is done. On virtual time."""

from dataclasses import replace
from decimal import Decimal

import pytest

from alpha_panda.adapters.zerodha.pace import PaceLimits
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, OrderType, TradingState
from alpha_panda.contracts.scopes import account_scope
from alpha_panda.testing.kite import faults
from alpha_panda.testing.kite.config import Delays, Limits
from alpha_panda.testing.kite.faults import CancelFault, Wire
from alpha_panda.testing.kite.traders import terms_of
from integration.broker.live_kit import S

from .kite_kit import KiteLive, live

UNDONE = {
    "500": faults.cancel_error(),
    "reset": faults.cancel_unanswered(effective=False),
    "hangs": faults.cancel_unanswered(effective=False, wire=Wire.HANG),
    "no connection": faults.cancel_unanswered(effective=False, wire=Wire.REFUSED),
    "garbage": CancelFault(effective=False, body=faults.GARBAGE),
    "being processed": faults.cancel_in_process(),
    "said to be done": CancelFault(effective=False),
}


async def resting(pipeline: KiteLive) -> str:
    pipeline.kite.plan(faults.partial("0.5"))
    signal = await pipeline.buy()
    await pipeline.advance(2)
    assert await pipeline.state(signal) is EntryState.PARTIALLY_FILLED
    return signal


async def test_a_cancelled_order_says_who_cancelled_it() -> None:
    async with live() as pipeline:
        signal = await resting(pipeline)
        await pipeline.cancel(signal)
        await pipeline.advance(3)
        assert pipeline.last(signal) == ("CANCELLED", Code.CANCELLED_BY_STRATEGY, 5)
        assert pipeline.calls("cancel") == 1
        await pipeline.check(signal)


@pytest.mark.parametrize("seconds", [0.05, 0.5, 4])
async def test_a_cancel_that_takes_its_time_is_waited_for_or_found_in_the_book(seconds: float) -> None:
    """Whoever sees it first tells it: the engine that asked, or the order-tracker."""
    async with live() as pipeline:
        signal = await resting(pipeline)
        pipeline.kite.configure(delays=Delays(cancel_pending=seconds))
        request = await pipeline.cancel(signal)
        await pipeline.advance(8)
        assert pipeline.last(signal)[::2] == ("CANCELLED", 5)
        unconfirmed = [update.code for update in pipeline.told(request)]
        assert unconfirmed == ([Code.CANCEL_UNCONFIRMED] if seconds > 1 else [])
        assert pipeline.calls("cancel") == 1
        await pipeline.check(signal)


async def test_a_cancel_that_loses_the_race_finds_the_order_filled() -> None:
    async with live() as pipeline:
        signal = await resting(pipeline)
        pipeline.kite.plan(faults.cancel_loses_race())
        await pipeline.cancel(signal)
        await pipeline.advance(3)
        assert pipeline.last(signal) == ("FILLED", None, 10)
        assert await pipeline.latches() == []
        await pipeline.check(signal)


@pytest.mark.parametrize("name", UNDONE)
async def test_a_cancel_that_was_not_done_says_so_and_may_be_asked_for_again(name: str) -> None:
    async with live() as pipeline:
        signal = await resting(pipeline)
        before = pipeline.told(signal)
        pipeline.kite.plan(UNDONE[name])
        request = await pipeline.cancel(signal)
        await pipeline.advance(2 * S + 3)
        assert [update.code for update in pipeline.told(request)] == [Code.CANCEL_UNCONFIRMED]
        assert pipeline.told(signal) == before
        assert pipeline.calls("cancel") == 1
        await pipeline.cancel(signal)
        await pipeline.advance(2)
        assert pipeline.last(signal) == ("CANCELLED", Code.CANCELLED_BY_STRATEGY, 5)
        await pipeline.check(signal)


@pytest.mark.parametrize("wire", [Wire.RESET, Wire.CUT, Wire.HANG])
async def test_a_cancel_whose_reply_was_lost_is_looked_up(wire: Wire) -> None:
    async with live() as pipeline:
        signal = await resting(pipeline)
        pipeline.kite.plan(faults.cancel_unanswered(effective=True, wire=wire))
        await pipeline.cancel(signal)
        await pipeline.advance(2 * S)
        assert pipeline.last(signal)[::2] == ("CANCELLED", 5)
        assert pipeline.calls("cancel") == 1
        assert await pipeline.latches() == []
        await pipeline.check(signal)


async def test_a_halt_cancels_again_and_again_until_it_is_done() -> None:
    async with live() as pipeline:
        signal = await resting(pipeline)
        pipeline.kite.plan(faults.cancel_error(), times=4)
        await pipeline.set_state(account_scope("paper"), TradingState.HALTED)
        await pipeline.advance(15)
        assert pipeline.calls("cancel") == 5
        assert pipeline.last(signal) == ("CANCELLED", Code.CANCELLED_BY_STATE, 5)
        await pipeline.check(signal)


def _limited(pipeline: KiteLive) -> None:
    pipeline.traders._terms = lambda core: replace(terms_of(core), limits=PaceLimits())
    pipeline.kite.configure(limits=Limits(), delays=Delays(cancel_pending=0.2))


async def test_a_halt_cancels_as_fast_as_kite_takes_it() -> None:
    """Looking whether each is done must not take the time of those that are not asked for yet."""
    async with live(_limited) as pipeline:
        for _ in range(40):
            await pipeline.price()
            await pipeline.buy("1", order_type=OrderType.LIMIT, limit="1300")
            await pipeline.advance(0.5)
        assert len(await pipeline.stores().journal.resting()) == 40
        await pipeline.set_state(account_scope("paper"), TradingState.HALTED)
        await pipeline.advance(8)  # 40 at 8 a second, and a book
        assert not await pipeline.stores().journal.resting()
        assert pipeline.calls("cancel") == 40
        assert not [order for order in pipeline.kite.orders.values() if order.open]


async def test_a_cancelled_order_ends_with_the_money_of_its_trades() -> None:
    """Its history says 200 shares at some average; what they cost stands among the trades, which come later."""
    async with live() as pipeline:
        signal = await resting(pipeline)
        pipeline.kite.configure(average_places=0)
        pipeline.kite.plan(faults.call_fails(f"/orders/{pipeline.only_order()}/trades"), times=2)
        await pipeline.cancel(signal)
        await pipeline.advance(4)
        assert pipeline.last(signal)[::2] == ("CANCELLED", 5)
        await pipeline.check(signal)


@pytest.mark.parametrize("quantity", [6, 20])
@pytest.mark.parametrize("end", ["fills", "is cancelled"])
async def test_an_order_whose_quantity_a_person_changes_stays_the_strategys_own(
    quantity: int, end: str
) -> None:
    async with live() as pipeline:
        signal = await resting(pipeline)
        order = pipeline.kite.orders[pipeline.only_order()]
        changed = replace(order.terms, quantity=quantity)
        pipeline.kite.desk.modify(order, changed, pipeline.clock.now())
        await pipeline.advance(3)
        if end == "fills":
            pipeline.kite.fill(order.order_id, quantity, Decimal(1400), pipeline.clock.now())
            await pipeline.advance(3)
        else:
            await pipeline.cancel(signal)
        filled = quantity if end == "fills" else 5
        assert pipeline.last(signal)[::2] == ("FILLED" if end == "fills" else "CANCELLED", filled)
        assert await pipeline.latches() == []
        await pipeline.check(signal)


@pytest.mark.parametrize("service", ["engine", "order-tracker"])
async def test_who_dies_while_cancelling_leaves_nothing_undone(service: str) -> None:
    async with live() as pipeline:
        signal = await resting(pipeline)
        pipeline.kite.plan(faults.cancel_unanswered(effective=True, wire=Wire.HANG))
        await pipeline.cancel(signal)
        names = (
            ["order-tracker/paper"] if service == "order-tracker" else ["engine/paper-0", "engine/paper-1"]
        )
        for name in names:
            await pipeline.kill(name)
        await pipeline.advance(3 * S)
        assert pipeline.last(signal)[::2] == ("CANCELLED", 5)
        await pipeline.check(signal)


async def test_an_order_in_doubt_can_not_be_cancelled() -> None:
    async with live() as pipeline:
        pipeline.kite.plan(faults.drop_reply(accepts=False))
        signal = await pipeline.buy()
        await pipeline.advance(2)
        request = await pipeline.cancel(signal)
        assert [update.code for update in pipeline.told(request)] == [Code.IN_DOUBT]
        assert pipeline.calls("cancel") == 0
