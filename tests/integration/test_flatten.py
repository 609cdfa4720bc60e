"""A deleted strategy whose positions are to be closed: what risk, order-tracker and engine make of it together."""

from copy import deepcopy
from decimal import Decimal
from typing import Any

import pytest

from alpha_panda.contracts.enums import EntryState, EventType, OrderType, Side, SignalClass, TradingState
from alpha_panda.contracts.events import RejectedSignal, ValidatedSignal
from alpha_panda.contracts.scopes import account_scope, strategy_scope
from alpha_panda.contracts.status_details import (
    FLAT,
    StrategyFigures,
    StrategyOrders,
    cancelled_out,
    flattened,
    risk_strategies,
    tracker_strategies,
)
from alpha_panda.contracts.stored import Outcome, ServiceStatus, TeardownRequest
from alpha_panda.domain.ids import closing_signal_id
from alpha_panda.testing.pipeline import Pipeline
from alpha_panda.testing.taps import Harm
from integration.kit import RELIANCE, TCS, account, feed, manifests, strategy

UID = "uid-alpha"
SCOPE = strategy_scope("alpha")
TOKEN = 738561


def with_uid(uid: str = UID, **parts: Any) -> list[dict[str, Any]]:
    documents = deepcopy(manifests(**parts))
    documents[2]["metadata"]["uid"] = uid
    return documents


async def priced(pipeline: Pipeline) -> None:
    await pipeline.ticks([(RELIANCE, 2500.0), (TCS, 3900.0)])


async def trade(pipeline: Pipeline, symbol: str, side: Side, quantity: str, **fields: Any) -> str:
    return await pipeline.signal("alpha", symbol, side, quantity, strategy_uid=UID, **fields)


async def delete(pipeline: Pipeline, policy: str = "Flatten", uid: str = UID) -> None:
    """Do what the operator does: the trading state first, then the request."""
    state = TradingState.REDUCING if policy == "Flatten" else TradingState.HALTED
    await pipeline.set_state(SCOPE, state)
    request = TeardownRequest(scope=SCOPE, uid=uid, policy=policy, requested_at=pipeline.clock.now())
    await pipeline.stores().control.request_teardown(request)


async def turns(pipeline: Pipeline, count: int = 8) -> None:
    """Let seconds pass under living prices."""
    for _ in range(count):
        await priced(pipeline)
        await pipeline.advance(1)


def status(pipeline: Pipeline, member: str) -> ServiceStatus:
    return pipeline.run.supervisor.services[member].get_status()


def figures(pipeline: Pipeline) -> StrategyFigures:
    return risk_strategies(status(pipeline, "risk/paper").details)["alpha"]


def orders(pipeline: Pipeline) -> StrategyOrders:
    return tracker_strategies(status(pipeline, "order-tracker/paper").details).get("alpha", StrategyOrders())


def held(pipeline: Pipeline) -> dict[str, Decimal]:
    book = pipeline.snapshot().strategies.get("alpha")
    return (
        {}
        if book is None
        else {name: item.quantity for name, item in book.positions.items() if item.quantity}
    )


def closings(pipeline: Pipeline) -> list[ValidatedSignal]:
    found = {event.id: event.data for event in pipeline.events(EventType.VALIDATED_SIGNAL)}
    return [
        data
        for data in found.values()
        if isinstance(data, ValidatedSignal) and getattr(data.original_signal, "closing", False)
    ]


async def test_positions_of_both_signs_are_closed_and_reported_flat() -> None:
    async with Pipeline(with_uid()) as pipeline:
        await priced(pipeline)
        await trade(pipeline, RELIANCE, Side.BUY, "3")
        await trade(pipeline, TCS, Side.SELL, "10")
        assert held(pipeline) == {RELIANCE: 3, TCS: -10}
        begun = pipeline.clock.now()
        await delete(pipeline)
        await turns(pipeline)
        assert held(pipeline) == {}
        assert figures(pipeline) == StrategyFigures(
            uid=UID,
            signals_today=4,
            orders_today=4,
            day_pnl=figures(pipeline).day_pnl,
            flat=True,
            teardown=FLAT,
        )
        assert flattened(status(pipeline, "risk/paper"), "alpha", UID, begun)
        assert not flattened(status(pipeline, "risk/paper"), "alpha", "another", begun)
        made = closings(pipeline)
        assert {data.signal_class for data in made} == {SignalClass.REDUCING}
        assert {(data.original_signal.symbol, data.original_signal.side) for data in made} == {  # type: ignore[union-attr]
            (RELIANCE, Side.SELL),
            (TCS, Side.BUY),
        }
        assert {data.original_signal.signal_id for data in made} >= {
            closing_signal_id("paper", UID, TOKEN, 0)
        }
        assert all(count == 1 for count in pipeline.broker().calls.values())


async def test_what_rests_is_cancelled_first_reducing_orders_too() -> None:
    async with Pipeline(with_uid()) as pipeline:
        await priced(pipeline)
        await trade(pipeline, RELIANCE, Side.BUY, "3")
        stop = await trade(
            pipeline, RELIANCE, Side.SELL, "2", order_type=OrderType.STOP, trigger="2000", ttl=500
        )
        grow = await trade(
            pipeline, RELIANCE, Side.BUY, "1", order_type=OrderType.LIMIT, limit="2000", ttl=500
        )
        await delete(pipeline)
        await turns(pipeline)
        for signal in (stop, grow):
            entry = await pipeline.stores().journal.get(signal)
            assert entry is not None
            assert entry.state is EntryState.CANCELLED
        (closing,) = closings(pipeline)
        assert closing.original_signal.quantity == 3  # type: ignore[union-attr] # the whole: nothing holds any back
        assert figures(pipeline).flat
        assert held(pipeline) == {}


async def test_nothing_is_closed_before_the_state_is_reducing_nor_when_it_is_halted() -> None:
    async with Pipeline(with_uid()) as pipeline:
        await priced(pipeline)
        await trade(pipeline, RELIANCE, Side.BUY, "3")
        await delete(pipeline)
        await pipeline.set_state(SCOPE, TradingState.ACTIVE)
        await turns(pipeline, 3)
        assert figures(pipeline).teardown == "waits: the strategy's trading state is not Reducing yet"
        await pipeline.set_state(account_scope("paper"), TradingState.HALTED)
        await turns(pipeline, 3)
        assert figures(pipeline).teardown == "waits: account/paper is Halted, which closes nothing"
        assert (closings(pipeline), figures(pipeline).flat, held(pipeline)) == ([], False, {RELIANCE: 3})
        await pipeline.set_state(account_scope("paper"), TradingState.ACTIVE)
        await pipeline.set_state(SCOPE, TradingState.REDUCING)
        await turns(pipeline)
        assert (figures(pipeline).flat, held(pipeline)) == (True, {})


async def test_a_price_that_is_too_old_is_waited_for_and_said() -> None:
    async with Pipeline(with_uid()) as pipeline:
        await priced(pipeline)
        await trade(pipeline, RELIANCE, Side.BUY, "3")
        await pipeline.advance(60)
        await delete(pipeline)
        await pipeline.advance(3)
        told = figures(pipeline)
        assert (told.flat, closings(pipeline)) == (False, [])
        assert told.teardown.startswith(f"waits: {RELIANCE} can't be closed: ")
        await turns(pipeline)
        assert figures(pipeline).flat


async def test_an_order_in_doubt_is_waited_for() -> None:
    async with Pipeline(with_uid()) as pipeline:
        await priced(pipeline)
        await trade(pipeline, RELIANCE, Side.BUY, "3")
        await delete(pipeline)
        pipeline.broker().answers.append(Outcome(state=EntryState.UNKNOWN))
        await turns(pipeline, 12)
        assert figures(pipeline).flat
        assert held(pipeline) == {}
        assert all(count == 1 for count in pipeline.broker().calls.values())
        lost = closing_signal_id("paper", UID, TOKEN, 0)
        assert closing_signal_id("paper", UID, TOKEN, 1) in pipeline.broker().calls
        entry = await pipeline.stores().journal.get(lost)
        assert entry is not None
        assert entry.state is EntryState.LOST


@pytest.mark.parametrize("when", range(6))
async def test_a_killed_risk_goes_on_with_the_same_ids(when: int) -> None:
    """[G_FLATTEN] One step never gets two ids, and no id two calls, wherever risk dies."""
    async with Pipeline(with_uid()) as pipeline:
        await priced(pipeline)
        await trade(pipeline, RELIANCE, Side.BUY, "3")
        await delete(pipeline)
        for second in range(12):
            await priced(pipeline)
            await pipeline.advance(0.2 * when if second == 1 else 1)
            if second in (1, 3):
                await pipeline.kill("risk/paper")
        await turns(pipeline)
        assert (figures(pipeline).flat, held(pipeline)) == (True, {})
        assert len(closings(pipeline)) == 1
        assert all(count == 1 for count in pipeline.broker().calls.values())


@pytest.mark.parametrize("harm", [Harm.KILL_BEFORE, Harm.KILL_AFTER, Harm.LOSE_REPLY, Harm.REFUSE])
@pytest.mark.parametrize("operation", ["decisions.record", "producer.send", "decisions.save"])
async def test_a_closing_order_is_made_once_whenever_risk_dies(operation: str, harm: Harm) -> None:
    async with Pipeline(with_uid()) as pipeline:
        await priced(pipeline)
        await trade(pipeline, RELIANCE, Side.BUY, "3")
        await delete(pipeline)
        # The book is published after a closing order's decision: with the first two calls one of them is met.
        pipeline.taps.plan("risk/paper", operation, harm, times=1 if operation == "decisions.record" else 2)
        await turns(pipeline, 20)
        assert pipeline.taps.pending == 0
        assert (figures(pipeline).flat, held(pipeline)) == (True, {})
        assert len(closings(pipeline)) == 1
        assert all(count == 1 for count in pipeline.broker().calls.values())


async def test_a_freeze_quantity_is_closed_in_several_orders() -> None:
    instruments = [
        {
            "symbol": RELIANCE,
            "token": TOKEN,
            "tickSize": "0.05",
            "referencePrice": "2500",
            "freezeQuantity": "4",
        },
        {"symbol": TCS, "token": 2953217, "tickSize": "0.05", "referencePrice": "3900"},
    ]
    async with Pipeline(with_uid(feed=feed(instruments=instruments))) as pipeline:
        await priced(pipeline)
        for quantity in ("4", "4", "2"):
            await trade(pipeline, RELIANCE, Side.BUY, quantity)
        await delete(pipeline)
        await turns(pipeline, 12)
        assert [str(item.original_signal.quantity) for item in closings(pipeline)] == ["4", "4", "2"]  # type: ignore[union-attr]
        assert (figures(pipeline).flat, held(pipeline)) == (True, {})


async def test_a_venue_without_market_orders_is_closed_by_limit_orders() -> None:
    documents = with_uid(account=account(orderTypes=["LIMIT"]))
    async with Pipeline(documents) as pipeline:
        await priced(pipeline)
        await trade(pipeline, RELIANCE, Side.BUY, "3", order_type=OrderType.LIMIT, limit="2500")
        assert held(pipeline) == {RELIANCE: 3}
        await delete(pipeline)
        await turns(pipeline)
        (closing,) = closings(pipeline)
        assert closing.original_signal.order_type is OrderType.LIMIT  # type: ignore[union-attr]
        assert (figures(pipeline).flat, held(pipeline)) == (True, {})


async def test_another_resource_of_the_name_is_not_meant() -> None:
    async with Pipeline(with_uid("uid-new")) as pipeline:
        await priced(pipeline)
        await trade(pipeline, RELIANCE, Side.BUY, "3")
        await delete(pipeline)
        await turns(pipeline)
        assert (held(pipeline), closings(pipeline)) == ({RELIANCE: 3}, [])
        assert (figures(pipeline).uid, figures(pipeline).teardown) == ("uid-new", "")


async def test_a_strategy_that_holds_nothing_is_flat_at_once_and_one_of_others_is_left_alone() -> None:
    documents = [*with_uid(), strategy("beta", instruments=[RELIANCE])]
    async with Pipeline(documents) as pipeline:
        await priced(pipeline)
        await pipeline.signal("beta", RELIANCE, Side.BUY, "2")
        await delete(pipeline)
        await turns(pipeline, 3)
        assert figures(pipeline).flat
        assert closings(pipeline) == []
        assert pipeline.snapshot().strategies["beta"].positions[RELIANCE].quantity == 2


async def test_a_request_that_is_withdrawn_ends_it() -> None:
    async with Pipeline(with_uid()) as pipeline:
        await priced(pipeline)
        await trade(pipeline, RELIANCE, Side.BUY, "3")
        await pipeline.set_state(account_scope("paper"), TradingState.HALTED)
        await delete(pipeline)
        await turns(pipeline, 3)
        await pipeline.stores().control.withdraw_teardown(SCOPE, UID)
        await pipeline.set_state(account_scope("paper"), TradingState.ACTIVE)
        await turns(pipeline, 3)
        assert (held(pipeline), figures(pipeline).teardown) == ({RELIANCE: 3}, "")


async def test_cancel_orders_cancels_all_that_rests_and_the_tracker_says_when_it_is_done() -> None:
    async with Pipeline(with_uid()) as pipeline:
        await priced(pipeline)
        await trade(pipeline, RELIANCE, Side.BUY, "3")
        for _ in range(3):
            await trade(pipeline, RELIANCE, Side.BUY, "1", order_type=OrderType.LIMIT, limit="2000", ttl=500)
        await pipeline.advance(6)
        assert orders(pipeline).resting == 3
        begun = pipeline.clock.now()
        assert not cancelled_out(status(pipeline, "order-tracker/paper"), "alpha", begun)
        await delete(pipeline, "CancelOrders")
        await turns(pipeline, 4)
        assert orders(pipeline) == StrategyOrders(uid=UID)
        assert cancelled_out(status(pipeline, "order-tracker/paper"), "alpha", begun)
        assert held(pipeline) == {RELIANCE: 3}
        assert closings(pipeline) == []


async def test_a_strategys_own_signal_can_not_pose_as_a_closing_one() -> None:
    async with Pipeline(with_uid()) as pipeline:
        await priced(pipeline)
        await trade(pipeline, RELIANCE, Side.BUY, "3")
        posing = await trade(pipeline, RELIANCE, Side.SELL, "1", closing=True)
        assert held(pipeline) == {RELIANCE: 3}
        assert len(pipeline.dead_letters()) == 1
        assert posing not in pipeline.broker().calls


async def test_new_signals_are_rejected_while_it_lasts() -> None:
    async with Pipeline(with_uid()) as pipeline:
        await priced(pipeline)
        await delete(pipeline)
        late = await trade(pipeline, RELIANCE, Side.BUY, "1")
        (event,) = pipeline.about(late)
        assert isinstance(event.data, RejectedSignal)
        await turns(pipeline, 3)
        assert figures(pipeline).flat
