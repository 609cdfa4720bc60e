"""What the engine finds by itself just before BEGIN: price, mode, collar, session; each by its manifest."""

from dataclasses import replace
from decimal import Decimal
from typing import Any, cast

import pytest

from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import (
    EntryState,
    EventType,
    FeedMode,
    OrderType,
    Side,
    SignalClass,
    TradingState,
)
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.stored import Quote
from alpha_panda.domain.order_events import order_topic
from alpha_panda.engine.presend import PreSend
from unit.engine.desk import FEED, SECOND, TOKEN, Desk, documents

XBOM = {"calendar": "XBOM"}  # START is a Friday, 14:15 in Mumbai; the session ends at 15:30
SATURDAY = 24 * 3600


async def refused(desk: Desk, signal: Any, signal_class: SignalClass = SignalClass.INCREASING) -> Code | None:
    """Return the code under which the engine refused the signal; None if it was sent."""
    entry = await desk.place(signal, signal_class)
    sent = [placed.signal_id for placed in desk.broker.placed]
    assert (signal.signal_id in sent) == (entry.code is None or entry.state is not EntryState.FAILED)
    assert len(desk.events()) == 1
    assert desk.records[-1].topic == order_topic(desk.topics, desk.events()[0].type)
    return entry.code


async def test_price_missing(desk: Desk) -> None:
    signal = desk.signal(instrument_token=2953217, symbol="NSE:TCS")
    assert await refused(desk, signal) is Code.PRICE_MISSING


async def test_price_stale(desk: Desk) -> None:
    await desk.quote(2500.0, age=5.001)
    assert await refused(desk, desk.signal()) is Code.PRICE_STALE


async def test_price_just_fresh(desk: Desk) -> None:
    await desk.quote(2500.0, age=5)
    assert await refused(desk, desk.signal()) is None


async def test_mute_feed(desk: Desk) -> None:
    """The heartbeat proves nothing any more, whatever the quote's own limit."""
    desk.clock._now += 6 * SECOND
    assert await refused(desk, desk.signal()) is Code.PRICE_STALE


async def test_price_from_the_future(desk: Desk) -> None:
    await desk.quote(2500.0, age=-0.3)
    assert await refused(desk, desk.signal()) is Code.CLOCK_SKEW


@pytest.mark.parametrize("price", [float("nan"), float("inf"), 0.0, -1.0, 0.01])
async def test_price_that_is_none(desk: Desk, price: float) -> None:
    await desk.quote(price)
    assert await refused(desk, desk.signal()) is Code.PRICE_MISSING


async def test_unknown_instrument(desk: Desk) -> None:
    await desk.quote(1.0, token=1)
    assert await refused(desk, desk.signal(instrument_token=1)) is Code.INSTRUMENT_UNKNOWN


COLLAR = documents(account={"risk": {"priceCollarBps": "100"}})


@pytest.mark.parametrize(("limit", "code"), [("2475", None), ("2474.95", Code.PRICE_COLLAR)])
async def test_price_collar(clock: VirtualClock, limit: str, code: Code | None) -> None:
    async with Desk(clock, manifests=COLLAR) as desk:
        assert await refused(desk, desk.limit(price=limit)) is code


async def test_price_collar_looks_at_the_trigger_too(clock: VirtualClock) -> None:
    async with Desk(clock, manifests=COLLAR) as desk:
        stop = desk.signal(order_type=OrderType.STOP, trigger_price=Decimal(2600))
        assert await refused(desk, stop) is Code.PRICE_COLLAR


async def test_price_collar_never_traps_a_position(clock: VirtualClock) -> None:
    async with Desk(clock, manifests=COLLAR) as desk:
        stop = desk.signal(side=Side.SELL, order_type=OrderType.STOP, trigger_price=Decimal(2000))
        assert await refused(desk, stop, SignalClass.REDUCING) is None


async def test_closed_session(clock: VirtualClock) -> None:
    async with Desk(clock, manifests=documents(feed=XBOM)) as desk:
        desk.clock._now += SATURDAY * SECOND
        await desk.quote(2500.0)
        signal = desk.signal()
        assert await refused(desk, signal) is Code.SESSION_CLOSED


async def test_closed_session_binds_reducing_orders_too(clock: VirtualClock) -> None:
    async with Desk(clock, manifests=documents(feed=XBOM)) as desk:
        desk.clock._now += SATURDAY * SECOND
        await desk.quote(2500.0)
        assert await refused(desk, desk.signal(), SignalClass.REDUCING) is Code.SESSION_CLOSED


async def test_expired_calendar(clock: VirtualClock) -> None:
    async with Desk(clock, manifests=documents(feed=XBOM)) as desk:
        desk.clock._now += 10 * 366 * SATURDAY * SECOND
        await desk.quote(2500.0)
        assert await refused(desk, desk.signal()) is Code.CALENDAR_EXPIRED


@pytest.mark.parametrize(
    ("signal_class", "code"), [(SignalClass.INCREASING, Code.SESSION_CLOSED), (SignalClass.REDUCING, None)]
)
async def test_after_the_cut_off_only_reducing_orders_pass(
    clock: VirtualClock, signal_class: SignalClass, code: Code | None
) -> None:
    manifests = documents(feed=XBOM, account={"productCutOff": "14:00"})
    async with Desk(clock, manifests=manifests) as desk:
        assert await refused(desk, desk.signal(), signal_class) is code


async def test_a_reducing_limit_needs_no_fresh_price(desk: Desk) -> None:
    """Its price is in it; only the venue may still want one."""
    await desk.quote(2500.0, age=60)
    limit = desk.limit(side=Side.SELL, price="2600")
    assert await refused(desk, limit, SignalClass.REDUCING) is None


@pytest.mark.parametrize("heard", ["old quote", "mute feed", "no quote"])
async def test_a_reducing_limit_rests_without_a_price_to_trade_on(clock: VirtualClock, heard: str) -> None:
    """The cache says 2600, an hour ago: a SELL at 2500 must not fill at that."""
    async with Desk(clock, ready=False) as desk:
        await desk.open_epoch()
        if heard != "no quote":
            await desk.quote(2600.0)
            clock._now += 3600 * SECOND
        if heard == "old quote":
            await desk.quote(2600.0, age=3600)
        await desk.state(TradingState.ACTIVE)
        sell = desk.limit(side=Side.SELL, price="2500")
        entry = await desk.place(sell, SignalClass.REDUCING)
        assert (entry.state, entry.filled_quantity) == (EntryState.PLACED, 0)
        assert (entry.quote_price, entry.quote_ts) == (None, None)
        assert desk.told() == [EventType.ORDER_PLACED]


async def test_a_reducing_limit_is_matched_at_once_with_a_fresh_price(desk: Desk) -> None:
    sell = desk.limit(side=Side.SELL, price="2400")
    entry = await desk.place(sell, SignalClass.REDUCING)
    assert (entry.state, entry.quote_price) == (EntryState.FILLED, 2500)


async def test_a_reducing_market_order_does(desk: Desk) -> None:
    await desk.quote(2500.0, age=60)
    assert await refused(desk, desk.signal(), SignalClass.REDUCING) is Code.PRICE_STALE


async def test_a_live_account_refuses_what_is_not_live(desk: Desk) -> None:
    context, _ = desk._context(None)
    presend = PreSend(context)
    signal = desk.signal()
    await desk.validated(signal)
    now = desk.clock.now()
    reading = await desk.prices.read(FEED, TOKEN)
    decision: Any = type("Decision", (), {"signal_class": SignalClass.INCREASING})
    assert presend.fault(signal, decision, reading, now) is None
    terms = presend._terms()
    live = replace(terms, price_rules=replace(terms.price_rules, account_is_live=True))
    presend._terms = cast("Any", lambda: live)
    fault = presend.fault(signal, decision, reading, now)
    assert fault is not None
    assert fault.code is Code.PRICE_MODE


async def test_the_price_is_told_on_the_tick_grid(desk: Desk) -> None:
    context, _ = desk._context(None)
    presend = PreSend(context)
    quote = Quote(2500.03, 0, FEED, FeedMode.LIVE, 1, 1)
    assert presend.price(desk.signal(), quote) == Decimal("2500.05")
    assert presend.price(desk.signal(instrument_token=1), quote) is None


async def test_the_rules_are_those_of_the_present_manifests(desk: Desk) -> None:
    """The price collar, the feed's instruments and the account's rate follow what is applied."""
    engine = desk.engine()
    manifests = Changing(desk.resources)
    engine._manifests = manifests
    engine._presend = PreSend(replace(desk._context(None)[0], manifests=manifests))
    far = desk.limit(1, price="2450")
    await engine.handle([await desk.validated(far)])
    assert (await desk.entry(far)).state is EntryState.PLACED
    manifests.resources = ResourceSet.from_documents(COLLAR)
    later = desk.limit(2, price="2000")
    await engine.handle([await desk.validated(later)])
    entry = await desk.entry(later)
    assert (entry.state, entry.code) == (EntryState.FAILED, Code.PRICE_COLLAR)


class Changing:
    """Manifests that a test changes."""

    problem = None

    def __init__(self, resources: ResourceSet) -> None:
        self.resources = resources
