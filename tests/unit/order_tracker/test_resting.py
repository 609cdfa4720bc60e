"""Resting paper orders: filled from ranges, once, inside their session, over restarts."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any
from unittest.mock import AsyncMock

import pytest
from msgspec.structs import replace

from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, EventType, OrderType, Side, SignalClass, Validity
from alpha_panda.contracts.events import Signal
from alpha_panda.contracts.stored import Outcome
from alpha_panda.errors import DependencyUnavailableError
from alpha_panda.order_tracker.service import OrderTracker
from alpha_panda.runtime.records import event_of
from alpha_panda.runtime.tasks import Crew, Runner
from unit.engine.desk import FEED, OTHER_TOKEN, SECOND, TOKEN, Desk, Harm, documents

XBOM = {"calendar": "XBOM"}  # START is a Friday, 14:15 in Mumbai; the session ends at 15:30
TO_THE_CLOSE = 75 * 60


@asynccontextmanager
async def following(desk: Desk, harm: Harm | None = None) -> AsyncIterator[OrderTracker]:
    """Run a tracker that has looked once and follows ranges."""
    tracker = await desk.tracker(harm)
    await tracker.look_after()
    task = asyncio.create_task(tracker.resting.follow(desk.producer))
    try:
        await desk.clock.advance(0)
        yield tracker
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def after(desk: Desk, seconds: float = 1) -> None:
    """Let time pass; what is due is done."""
    await desk.clock.advance(seconds)


async def priced(desk: Desk, low: float, high: float, last: float, **changes: Any) -> None:
    await after(desk)
    await desk.range(low, high, last, **changes)
    await after(desk, 0)


async def state(desk: Desk, signal: Signal) -> EntryState:
    return (await desk.entry(signal)).state


# ------------------------------------------------------------------------------------------------ filling


async def test_a_limit_fills_from_the_low_of_a_range(desk: Desk) -> None:
    """The last price never showed it: no price between two reads is missed."""
    signal = desk.limit(price="2400")
    await desk.place(signal)
    async with following(desk):
        await priced(desk, 2400.05, 2500.0, 2450.0)
        assert await state(desk, signal) is EntryState.PLACED
        await priced(desk, 2400.0, 2500.0, 2450.0)
    entry = await desk.entry(signal)
    assert (entry.state, entry.average_price, entry.filled_quantity) == (EntryState.FILLED, 2400, 10)
    assert desk.told() == [EventType.ORDER_PLACED, EventType.ORDER_FILLED]
    assert await desk.open_ids() == []


async def test_a_stop_fills_from_the_low_of_a_range(desk: Desk) -> None:
    stop = desk.signal(side=Side.SELL, order_type=OrderType.STOP, trigger_price=Decimal(2400))
    await desk.place(stop, SignalClass.REDUCING)
    async with following(desk):
        await priced(desk, 2399.0, 2500.0, 2450.0)
    entry = await desk.entry(stop)
    assert (entry.state, entry.average_price) == (EntryState.FILLED, 2400)


async def test_only_orders_of_the_token_fill(desk: Desk) -> None:
    signal = desk.limit()
    await desk.place(signal)
    await desk.quote(3900.0, token=OTHER_TOKEN)
    other = desk.limit(2, price="3800", instrument_token=OTHER_TOKEN, symbol="NSE:TCS")
    await desk.place(other)
    async with following(desk):
        await priced(desk, 1.0, 1.0, 1.0, token=OTHER_TOKEN)
        assert await state(desk, other) is EntryState.FILLED
        assert await state(desk, signal) is EntryState.PLACED


async def test_a_range_from_before_the_order_does_not_count(desk: Desk) -> None:
    await desk.prices.watch(FEED, "somebody", [TOKEN])
    await desk.range(2300.0, 2500.0, 2500.0)
    await after(desk)
    await desk.quote(2500.0)
    signal = desk.limit()
    await desk.place(signal)
    async with following(desk):
        await after(desk)
        assert await state(desk, signal) is EntryState.PLACED


@pytest.mark.parametrize(("last", "end"), [(2450.0, EntryState.PLACED), (2400.0, EntryState.FILLED)])
async def test_a_range_begun_before_the_order_counts_its_last_price_only(
    desk: Desk, last: float, end: EntryState
) -> None:
    began = desk.clock.now() - SECOND
    signal = desk.limit()
    await desk.place(signal)
    async with following(desk):
        await priced(desk, 2300.0, 2500.0, last, since=began)
        assert await state(desk, signal) is end


async def test_the_quote_at_hand_counts_when_a_token_comes_to_be_watched(desk: Desk) -> None:
    """Between the engine's look and the watch the price came to the limit; no range will tell."""
    signal = desk.limit()
    await desk.place(signal)
    await after(desk)
    await desk.quote(2399.0)
    async with following(desk):
        assert await state(desk, signal) is EntryState.FILLED


async def test_an_instrument_that_the_feed_no_longer_has_harms_nobody(desk: Desk) -> None:
    signal = desk.limit()
    entry = await desk.place(signal)
    ghost = replace(entry, signal=replace(signal, signal_id="ghost", instrument_token=5), tag="x")
    desk.journal._state().put(ghost)
    await after(desk)
    await desk.quote(1.0, token=5)
    async with following(desk):
        await priced(desk, 2400.0, 2400.0, 2400.0)
        assert await state(desk, signal) is EntryState.FILLED


# --------------------------------------------------------------------------------------------- the watched set


async def test_the_watched_set_follows_what_rests(desk: Desk) -> None:
    async with following(desk) as tracker:
        assert await desk.prices.watched(FEED) == frozenset()
        await desk.place(desk.limit())
        placed = desk.records[-1]
        assert placed.topic == desk.topics.orders_submitted
        await tracker.handle_rested([placed])
        assert await desk.prices.watched(FEED) == {TOKEN}
        await priced(desk, 2400.0, 2400.0, 2400.0)
        assert await desk.prices.watched(FEED) == frozenset()
        assert tracker.service.processed == 1  # type: ignore[attr-defined]


async def test_what_a_partial_fill_leaves_is_watched_at_once(clock: VirtualClock) -> None:
    """It is told as ORDER_FILLED, not as ORDER_PLACED: waiting for the next look would miss prices."""
    async with Desk(clock, manifests=documents(paper={"partialFillRatio": "1"})) as desk:
        await desk.quote(2300.0)
        await desk.place(desk.limit())
        assert desk.told() == [EventType.ORDER_FILLED]
        async with following(desk) as tracker:
            await tracker.handle_rested([desk.records[-1]])
            assert await desk.prices.watched(FEED) == {TOKEN}


async def test_an_order_that_filled_whole_is_no_reason_to_look(desk: Desk) -> None:
    await desk.place(desk.limit())
    tracker = await desk.tracker()
    resting = desk.records[-1]
    await desk.quote(2300.0)
    await desk.place(desk.limit(2))
    filled = desk.records[-1]
    assert [event_of(record).type for record in (resting, filled)] == [
        EventType.ORDER_PLACED,
        EventType.ORDER_FILLED,
    ]
    await tracker.handle_rested([filled])
    assert await desk.prices.watched(FEED) == frozenset()
    await tracker.handle_rested([filled, resting])
    assert await desk.prices.watched(FEED) == {TOKEN}


async def test_an_order_whose_placing_was_never_told_is_watched_too(desk: Desk) -> None:
    async with following(desk) as tracker:
        await desk.place(desk.limit())
        await tracker.look_after()
        assert await desk.prices.watched(FEED) == {TOKEN}


async def test_who_follows_is_woken_although_the_last_quote_could_not_be_read(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The set is as it should be, so no later look would wake it: what rests would never fill."""
    async with following(desk) as tracker:
        signal = desk.limit()
        await desk.place(signal)
        with monkeypatch.context() as broken:
            broken.setattr(
                desk.prices, "read", AsyncMock(side_effect=DependencyUnavailableError("cache", "gone"))
            )
            with pytest.raises(DependencyUnavailableError):
                await tracker.resting.refresh(desk.producer)
        await priced(desk, 2400.0, 2400.0, 2400.0)
        assert await state(desk, signal) is EntryState.FILLED


async def test_an_older_look_does_not_undo_a_newer_one(desk: Desk) -> None:
    """A second look begins, and sees more, while the first one writes what it has seen."""
    second: list[asyncio.Task[None]] = []

    async def slow(name: str, call: Any) -> Any:
        if name == "prices.watch" and not second:
            await desk.place(desk.limit(2, price="3800", instrument_token=OTHER_TOKEN, symbol="NSE:TCS"))
            second.append(asyncio.create_task(tracker.resting.refresh(desk.producer)))
            for _ in range(20):
                await asyncio.sleep(0)
        return await call()

    await desk.quote(3900.0, token=OTHER_TOKEN)
    tracker = await desk.tracker(slow)
    await desk.place(desk.limit())
    await tracker.resting.refresh(desk.producer)
    await asyncio.gather(*second)
    assert await desk.prices.watched(FEED) == {TOKEN, OTHER_TOKEN}


# ------------------------------------------------------------------------------------------- once, by anybody


async def test_two_trackers_fill_once(desk: Desk) -> None:
    """A tracker that lost its lease and doesn't know it yet: the fill is a compare-and-set on the revision."""
    signal = desk.limit()
    await desk.place(signal)
    async with following(desk), following(desk):
        await priced(desk, 2400.0, 2400.0, 2400.0)
    assert (await desk.entry(signal)).filled_quantity == 10
    assert len({event.id for event in desk.events()}) == 2


async def test_an_order_cancelled_meanwhile_does_not_fill(desk: Desk) -> None:
    signal = desk.limit()
    stale = await desk.place(signal)
    tracker = await desk.tracker()
    await desk.engine().handle([await desk.validated(desk.cancel_request(signal))])
    fill = Outcome(state=EntryState.FILLED, filled_quantity=Decimal(10), average_price=Decimal(2400))
    assert not await tracker.resting.apply(desk.producer, stale, fill)
    assert await state(desk, signal) is EntryState.CANCELLED
    assert desk.told() == [EventType.ORDER_PLACED, EventType.ORDER_CANCELLED]


# ---------------------------------------------------------------------------------------------------- sessions


async def test_a_closed_session_fills_nothing(clock: VirtualClock) -> None:
    async with Desk(clock, manifests=documents(feed=XBOM)) as desk:
        signal = desk.limit(validity=Validity.DAY)
        await desk.place(signal)
        async with following(desk):
            await after(desk, TO_THE_CLOSE + 60)
            await desk.range(2400.0, 2400.0, 2400.0)
            await after(desk, 0)
            assert await state(desk, signal) is EntryState.PLACED


async def test_a_break_fills_nothing_and_ends_nothing(clock: VirtualClock) -> None:
    hours = [{"open": "09:15", "close": "14:30"}, {"open": "14:45", "close": "15:30"}]
    async with Desk(clock, manifests=documents(feed={**XBOM, "sessions": hours})) as desk:
        signal = desk.limit()
        await desk.place(signal)
        async with following(desk) as tracker:
            await after(desk, 20 * 60)  # 14:35
            await desk.range(2400.0, 2400.0, 2400.0)
            await after(desk, 0)
            await tracker.look_after()
            assert await state(desk, signal) is EntryState.PLACED
            await after(desk, 15 * 60)
            await desk.range(2400.0, 2400.0, 2400.0)
            await after(desk, 0)
            assert await state(desk, signal) is EntryState.FILLED


async def test_after_the_products_cut_off_what_rests_goes_on_filling(clock: VirtualClock) -> None:
    manifests = documents(feed=XBOM, account={"productCutOff": "14:30"})
    async with Desk(clock, manifests=manifests) as desk:
        signal = desk.limit()
        await desk.place(signal)
        async with following(desk) as tracker:
            await after(desk, 30 * 60)
            await desk.range(2400.0, 2400.0, 2400.0)
            await after(desk, 0)
            await tracker.look_after()
            assert await state(desk, signal) is EntryState.FILLED


async def test_a_day_order_ends_with_its_session(clock: VirtualClock) -> None:
    async with Desk(clock, manifests=documents(feed=XBOM)) as desk:
        signal = desk.limit()
        await desk.place(signal)
        tracker = await desk.tracker()
        await after(desk, TO_THE_CLOSE - 1)
        await tracker.look_after()
        assert await state(desk, signal) is EntryState.PLACED
        await after(desk, 1)
        await tracker.look_after()
        assert await state(desk, signal) is EntryState.PLACED  # at the very end the last bar may still come
        await after(desk, 1)
        await tracker.look_after()
        entry = await desk.entry(signal)
        assert (entry.state, entry.code) == (EntryState.CANCELLED, Code.SESSION_ENDED)
        assert desk.told() == [EventType.ORDER_PLACED, EventType.ORDER_CANCELLED]


async def test_a_day_order_of_yesterday_does_not_fill_today(clock: VirtualClock) -> None:
    """The tracker was away over the night, and a price comes before its first look."""
    async with Desk(clock) as desk:
        signal = desk.limit()
        await desk.place(signal)
        tracker = await desk.tracker()
        await after(desk, 24 * 3600)
        await desk.quote(2300.0)
        await tracker.handle_rested([desk.records[-1]])
        assert await state(desk, signal) is EntryState.PLACED
        await tracker.look_after()
        assert await state(desk, signal) is EntryState.CANCELLED


@pytest.mark.parametrize(("bars", "end"), [(True, EntryState.FILLED), (False, EntryState.PLACED)])
async def test_a_bar_that_ends_with_the_session_is_of_the_session_and_a_tick_is_not(
    clock: VirtualClock, bars: bool, end: EntryState
) -> None:
    async with Desk(clock, manifests=documents(feed=XBOM)) as desk:
        signal = desk.limit()
        await desk.place(signal)
        async with following(desk) as tracker:
            await after(desk, TO_THE_CLOSE)
            await tracker.look_after()
            await desk.range(2400.0, 2500.0, 2450.0, bars=bars)
            await after(desk, 0)
            assert await state(desk, signal) is end


async def test_a_bar_of_the_next_session_does_not_fill_a_day_order(clock: VirtualClock) -> None:
    """Without a calendar each UTC day is a session: the bar of tomorrow's first minute."""
    async with Desk(clock) as desk:
        signal = desk.limit()
        await desk.place(signal)
        midnight = (desk.clock.now() // (86_400 * SECOND) + 1) * 86_400
        async with following(desk):
            await after(desk, midnight + 60 - desk.clock.now() / SECOND)
            await desk.range(2400.0, 2500.0, 2450.0, bars=True)
            await after(desk, 0)
            assert await state(desk, signal) is EntryState.PLACED


# -------------------------------------------------------------------------------------- what is read and matched


def counting(desk: Desk) -> tuple[Counter[str], list[int], Harm]:
    """Count the calls of the ports, and note how many ranges each read brought."""
    calls: Counter[str] = Counter()
    read: list[int] = []

    async def through(name: str, call: Any) -> Any:
        calls[name] += 1
        found = await call()
        if name == "prices.ranges":
            read.append(len(found))
        return found

    return calls, read, through


async def test_a_token_that_is_watched_again_is_read_on_from_where_it_was_left(desk: Desk) -> None:
    _, read, harm = counting(desk)
    async with following(desk, harm) as tracker:
        for number in range(1, 6):
            signal = desk.limit(number)
            await desk.place(signal)
            await tracker.resting.refresh(desk.producer)
            await priced(desk, 2450.0, 2500.0, 2480.0)
            await desk.engine().handle([await desk.validated(desk.cancel_request(signal, 90 + number))])
            await tracker.resting.refresh(desk.producer)
            await after(desk, 0)
    assert sum(read) == 5


async def test_what_a_token_did_while_only_others_watched_is_not_missed(desk: Desk) -> None:
    await desk.prices.watch(FEED, "somebody", [TOKEN])
    async with following(desk) as tracker:
        await desk.place(desk.limit(1))
        await tracker.resting.refresh(desk.producer)
        await priced(desk, 2400.0, 2400.0, 2400.0)
        await desk.quote(2500.0)
        late = desk.limit(2)
        await desk.place(late)
        await priced(desk, 2400.0, 2500.0, 2450.0)  # before this tracker looks
        assert await state(desk, late) is EntryState.PLACED
        await tracker.resting.refresh(desk.producer)
        await after(desk, 0)
        assert await state(desk, late) is EntryState.FILLED


async def test_a_batch_of_ranges_costs_one_look_at_what_rests(desk: Desk) -> None:
    await desk.prices.watch(FEED, "somebody", [TOKEN])
    signal = desk.limit()
    await desk.place(signal)
    for _ in range(50):
        await after(desk)
        await desk.range(2450.0, 2500.0, 2480.0)
    calls, read, harm = counting(desk)
    async with following(desk, harm):
        await after(desk, 0)
        assert read == [50]
        assert calls["journal.resting"] < 10
        await priced(desk, 2400.0, 2500.0, 2450.0)
    assert await state(desk, signal) is EntryState.FILLED


# ---------------------------------------------------------------------------------------------------- restarts


async def test_a_restarted_tracker_takes_up_what_rests(desk: Desk) -> None:
    """Ranges of the time between are read, too."""
    signal = desk.limit()
    await desk.place(signal)
    async with following(desk):
        pass
    await priced(desk, 2400.0, 2500.0, 2450.0)
    assert await state(desk, signal) is EntryState.PLACED
    assert await desk.prices.watched(FEED) == {TOKEN}
    async with following(desk):
        assert (await desk.entry(signal)).average_price == 2400
        assert await desk.prices.watched(FEED) == frozenset()


async def test_a_range_read_again_after_a_restart_fills_no_second_part(clock: VirtualClock) -> None:
    manifests = documents(paper={"partialFillRatio": "1"})
    async with Desk(clock, manifests=manifests) as desk:
        signal = desk.limit()
        await desk.place(signal)
        async with following(desk):
            await priced(desk, 2400.0, 2400.0, 2400.0)
        part = await desk.entry(signal)
        assert 0 < part.filled_quantity < 10
        await after(desk)
        async with following(desk):
            assert await desk.entry(signal) == part
            await priced(desk, 2400.0, 2400.0, 2400.0)
            assert (await desk.entry(signal)).filled_quantity > part.filled_quantity


async def test_a_stop_limit_never_fills_at_prices_from_before_its_trigger(desk: Desk) -> None:
    """Read again after a restart, the range that was too low to trigger it would satisfy its limit."""
    terms: dict[str, Any] = {
        "order_type": OrderType.STOP_LIMIT,
        "trigger_price": Decimal(2600),
        "limit_price": Decimal(2610),
    }
    signal = desk.signal(**terms)
    await desk.place(signal)
    async with following(desk):
        await priced(desk, 2550.0, 2560.0, 2555.0)
        await priced(desk, 2600.0, 2620.0, 2620.0)
    assert (await desk.entry(signal)).triggered
    await after(desk)
    async with following(desk):
        assert await state(desk, signal) is EntryState.PLACED
        await priced(desk, 2605.0, 2620.0, 2620.0)
        assert (await desk.entry(signal)).average_price == 2610


async def test_ranges_that_follow_at_once_still_count_for_an_order_in_parts(clock: VirtualClock) -> None:
    """The write of the first part is later than the ranges that wait behind it: they are not old."""
    manifests = documents(paper={"partialFillRatio": "1"})
    async with Desk(clock, manifests=manifests) as desk:
        signal = desk.limit()
        await desk.place(signal)
        tracker = await desk.tracker()
        await tracker.look_after()
        for _ in range(6):
            await after(desk)
            await desk.range(2400.0, 2400.0, 2400.0)
        await after(desk)
        task = asyncio.create_task(tracker.resting.follow(desk.producer))
        await after(desk, 0)
        task.cancel()
        assert await state(desk, signal) is EntryState.FILLED


# --------------------------------------------------------------------------------------------- being stopped


@pytest.mark.parametrize("watching", [True, False])
async def test_a_stop_interrupts_the_following_where_it_waits(desk: Desk, *, watching: bool) -> None:
    """However long there was nothing to match, it was waiting, not stuck."""
    if watching:
        await desk.place(desk.limit())
    tracker = await desk.tracker()
    await tracker.look_after()
    crew = Crew(5)
    runner = Runner("resting", lambda: tracker.resting.follow(desk.producer), gated=False)
    serving = asyncio.create_task(crew.serve([runner]))
    await after(desk, 0)
    assert runner.busy_seconds() == 0
    crew.request_stop()
    assert await serving


async def test_a_stop_lets_a_match_come_to_its_end(desk: Desk) -> None:
    signal = desk.limit()
    await desk.place(signal)
    filling, go_on = asyncio.Event(), asyncio.Event()

    async def slow_fill(name: str, call: Any) -> Any:
        if name == "journal.fill":
            filling.set()
            await go_on.wait()
        return await call()

    tracker = await desk.tracker(slow_fill)
    await tracker.look_after()
    crew = Crew(5)
    runner = Runner("resting", lambda: tracker.resting.follow(desk.producer), gated=False)
    serving = asyncio.create_task(crew.serve([runner]))
    await after(desk)
    await desk.range(2390.0, 2500.0, 2450.0)
    await filling.wait()
    crew.request_stop()
    await asyncio.sleep(0)
    go_on.set()
    assert await serving
    assert desk.told() == [EventType.ORDER_PLACED, EventType.ORDER_FILLED]
    assert await desk.open_ids() == []
