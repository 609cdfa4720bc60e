"""What the broker's book lacks, and what it shows of others, through the whole pipeline on virtual time."""

from decimal import Decimal

import pytest

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, EventType, OrderType, Side, TradingState
from alpha_panda.contracts.scopes import account_scope
from alpha_panda.contracts.stored import Outcome
from alpha_panda.domain.ids import broker_tag
from alpha_panda.testing.broker import faults
from alpha_panda.testing.broker.api import PlaceRequest
from alpha_panda.testing.broker.faults import PlaceFault, Wire
from integration.kit import RELIANCE, manifests

from .live_kit import D, Live, S, kinds, live

TOKEN, UNHEARD_OF = 738561, 4242
TRACKER = "order-tracker/paper"
NEXT_DAY = 16 * 3600


def by_hand(pipeline: Live, quantity: str, *, token: int = TOKEN, **changes: object) -> str:
    """Trade at the broker as a person would, without a tag; return the broker's id."""
    order = {"side": Side.BUY, "order_type": OrderType.MARKET, **changes}
    request = PlaceRequest(tag="", instrument_token=token, quantity=Decimal(quantity), **order)  # type: ignore[arg-type]
    pipeline.core.place(request, pipeline.clock.now())
    pipeline.core.calls.pop()  # not one of ours
    return list(pipeline.core.orders)[-1]


async def refused(pipeline: Live) -> bool:
    """Whether another order gets no further than risk."""
    signal = await pipeline.buy("1")
    await pipeline.advance(2)
    return kinds(pipeline, signal)[-1] is EventType.REJECTED_SIGNAL


# ------------------------------------------------------------------------------------------------ missing


async def test_an_order_accepted_and_never_seen_again_halts_the_account_once() -> None:
    async with live() as pipeline:
        pipeline.core.plan(PlaceFault(copies=0))
        signal = await pipeline.buy()
        await pipeline.advance(S + D - 1)
        assert await pipeline.latch_ids() == []
        await pipeline.advance(5)
        entry = await pipeline.entry(signal)
        assert (entry.state, entry.code) == (EntryState.PLACED, Code.ORDER_MISSING)
        assert [latch.latch_id for latch in await pipeline.latches()] == [f"missing-{broker_tag(signal)}"]
        assert pipeline.last(signal) == ("PLACED", Code.ORDER_MISSING, 0)
        assert await refused(pipeline)
        told = pipeline.told(signal)
        await pipeline.kill(TRACKER)
        await pipeline.stores().control.clear_latch(account_scope("paper"), f"missing-{entry.tag}")
        await pipeline.advance(2 * (S + D))
        assert await pipeline.latches() == []
        assert pipeline.told(signal) == told
        await pipeline.check(signal)


async def test_a_missing_order_ends_by_a_persons_word_and_its_late_match_is_corrected() -> None:
    async with live() as pipeline:
        pipeline.core.plan(faults.rest())
        signal = await pipeline.buy()
        now = pipeline.clock.now()
        pipeline.core.plan_during(faults.book_truncated(admitted=False), now, now + 3600 * 10**9)
        pipeline.core.plan(faults.cancel_error(), times=1000)  # the halt's: it goes on working
        await pipeline.advance(S + D + 5)
        entry = await pipeline.entry(signal)
        assert entry.code is Code.ORDER_MISSING
        word = Outcome(state=EntryState.FAILED, code=Code.ORDER_LOST, message="by hand (ann): not there")
        assert await pipeline.stores().journal.fill(signal, entry.revision, word) is not None
        await pipeline.advance(3)
        assert pipeline.last(signal) == ("FAILED", Code.ORDER_LOST, 0)
        pipeline.core.behave()
        pipeline.core.fill("B0", Decimal(10), Decimal(100), pipeline.clock.now())
        await pipeline.advance(3)
        assert pipeline.last(signal) == ("FILLED", None, 10)
        assert "late" in await pipeline.latch_ids()
        await pipeline.check(signal)


async def test_a_strategys_cancel_does_not_end_a_missing_order() -> None:
    """The broker that has lost it from its book may not know what has filled; the request is told so."""
    async with live() as pipeline:
        pipeline.core.plan(faults.rest())
        signal = await pipeline.buy()
        now = pipeline.clock.now()
        pipeline.core.plan_during(faults.book_truncated(admitted=False), now, now + 3600 * 10**9)
        await pipeline.advance(S + D + 5)
        request = await pipeline.cancel(signal)
        await pipeline.advance(2)
        (reply,) = pipeline.told(request)
        assert reply.code is Code.CANCEL_UNCONFIRMED
        assert (await pipeline.entry(signal)).code is Code.ORDER_MISSING
        pipeline.core.behave()
        await pipeline.advance(3)
        assert pipeline.last(signal)[0] == "CANCELLED"
        await pipeline.check(signal)


async def test_an_order_at_rest_while_the_day_changed_unseen_waits_for_a_person() -> None:
    async with live() as pipeline:
        pipeline.core.plan(faults.partial("0.5"))
        resting, filled = await pipeline.buy(), await pipeline.buy("3")
        await pipeline.advance(3)
        await pipeline.kill(TRACKER, restart=False)
        pipeline.core.fill("B0", Decimal(2), Decimal(100), pipeline.clock.now())  # nobody will ever read it
        await pipeline.clock.advance(NEXT_DAY)
        pipeline.core.change_day("2026-01-03", pipeline.clock.now())
        await pipeline.revive(TRACKER)
        await pipeline.advance(5)
        entry = await pipeline.entry(resting)
        assert (entry.state, entry.code) == (EntryState.PARTIALLY_FILLED, Code.ORDER_MISSING)
        assert [latch.latch_id for latch in await pipeline.latches()] == [f"missing-{broker_tag(resting)}"]
        assert pipeline.last(filled) == ("FILLED", None, 3)
        assert await refused(pipeline)


async def test_a_day_that_changes_under_a_tracker_that_reads_halts_nothing() -> None:
    async with live() as pipeline:
        pipeline.core.plan(faults.partial("0.5"))
        signal = await pipeline.buy()
        await pipeline.advance(3)
        pipeline.core.end_session(pipeline.clock.now())
        await pipeline.advance(3)
        await pipeline.clock.advance(NEXT_DAY)
        pipeline.core.change_day("2026-01-03", pipeline.clock.now())
        await pipeline.advance(S + D + 5)
        assert pipeline.last(signal) == ("CANCELLED", None, 5)
        assert await pipeline.latches() == []
        await pipeline.check(signal)


# ------------------------------------------------------------------------------------------------ others'


async def test_trades_by_hand_are_booked_and_trading_goes_on() -> None:
    async with live() as pipeline:
        await pipeline.price()
        order = by_hand(pipeline, "7")
        sold = by_hand(pipeline, "2", side=Side.SELL)
        unknown = by_hand(pipeline, "5", token=UNHEARD_OF)
        await pipeline.advance(3)
        views = pipeline.snapshot().strategies["external"].positions
        assert views[RELIANCE].quantity == 5
        assert views[f"UNKNOWN:{UNHEARD_OF}"].quantity == 5
        for one in (order, sold, unknown):
            (update,) = pipeline.told(f"external:{one}")
            assert (update.external, update.strategy_id, update.status.value) == (True, "external", "FILLED")
        assert await pipeline.latches() == []
        signal = await pipeline.buy("3")
        await pipeline.advance(2)
        assert pipeline.last(signal) == ("FILLED", None, 3)
        await pipeline.check(signal)


async def test_a_trade_by_hand_that_fills_in_parts_is_followed_also_over_a_restart() -> None:
    async with live() as pipeline:
        await pipeline.price()
        pipeline.core.plan(faults.rest())
        order = by_hand(pipeline, "10")
        await pipeline.advance(2)
        assert pipeline.told(f"external:{order}") == []
        for part in (3, 4):
            pipeline.core.fill(order, Decimal(part), Decimal(101), pipeline.clock.now())
            await pipeline.advance(2)
            await pipeline.kill(TRACKER)
        assert pipeline.held() == 7
        pipeline.core.cancel(order, pipeline.clock.now())
        await pipeline.advance(3)
        assert [update.filled_quantity for update in pipeline.told(f"external:{order}")] == [3, 7, 7]
        assert await pipeline.latches() == []
        await pipeline.check()


async def test_what_was_traded_before_the_account_was_ever_connected_is_the_days_too() -> None:
    pipeline = Live(manifests(), settings={"send_within_seconds": S, "lost_after_seconds": D})
    by_hand(pipeline, "4")
    async with pipeline:
        await pipeline.price()
        await pipeline.advance(3)
        assert pipeline.held() == 4
        assert await pipeline.latches() == []
        await pipeline.check()


async def test_a_halt_cancels_ours_and_not_a_persons() -> None:
    async with live() as pipeline:
        pipeline.core.plan(faults.partial("0.5"), times=2)
        signal = await pipeline.buy()
        order = by_hand(pipeline, "10")
        await pipeline.advance(3)
        await pipeline.set_state(account_scope("paper"), TradingState.HALTED)
        await pipeline.advance(3)
        assert pipeline.last(signal)[0] == "CANCELLED"
        assert pipeline.core.orders[order].open
        assert pipeline.held() == 10
        await pipeline.check(signal)


# ------------------------------------------------------------------------------------- a broker that hangs


@pytest.mark.parametrize("wire", [Wire.HANG, Wire.RESET])
async def test_cancels_that_hang_hold_up_nothing(wire: Wire) -> None:
    """Twenty orders rest, no cancel is answered: doubt is resolved as soon as ever, and each order is asked for."""
    async with live() as pipeline:
        pipeline.core.plan(faults.rest(), times=20)
        signals = [await pipeline.buy("1") for _ in range(20)]
        await pipeline.advance(2)
        pipeline.core.plan(faults.cancel_unanswered(effective=False, wire=wire), times=10_000)
        pipeline.core.plan(faults.drop_reply())
        doubtful = await pipeline.buy("1")
        await pipeline.set_state(account_scope("paper"), TradingState.HALTED)
        await pipeline.advance(3)
        assert pipeline.last(doubtful) == ("FILLED", None, 1)
        await pipeline.advance(17)
        asked = {call.subject for call in pipeline.core.calls if call.kind == "cancel"}
        assert len(asked) == 20
        pipeline.core.behave()
        await pipeline.advance(S + 12)
        assert {pipeline.last(one)[0] for one in signals} == {"CANCELLED"}
        await pipeline.check(*signals, doubtful)
