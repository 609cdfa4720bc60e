"""Whatever forbids an order leaves the one event that DESIGN names, with its code, and nothing at the broker."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from alpha_panda.adapters.memory.prices import FeedPrices
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import (
    EntryState,
    EventType,
    OrderType,
    Side,
    TradingState,
    Validity,
    Verdict,
)
from alpha_panda.contracts.scopes import PLATFORM, account_scope, strategy_scope
from alpha_panda.contracts.stored import BookReading, Outcome
from alpha_panda.testing.pipeline import Pipeline, outcome_of
from alpha_panda.testing.virtual_time import START
from integration.kit import RELIANCE, TCS, Document, account, feed, manifests, strategy

Arrange = Callable[[Pipeline], Awaitable[None]]

SECOND, MINUTE, DAY = 1_000_000_000, 60 * 1_000_000_000, 86_400 * 1_000_000_000
SCOPES = (PLATFORM, account_scope("paper"), strategy_scope("alpha"))
REJECTED = [EventType.REJECTED_SIGNAL]
FAILED = [EventType.VALIDATED_SIGNAL, EventType.ORDER_FAILED]


async def priced(pipeline: Pipeline) -> None:
    await pipeline.ticks([(RELIANCE, 2500.0), (TCS, 3900.0)], at=1)


@dataclass(frozen=True)
class Case:
    """A world, what happens in it first, and a signal that must be refused."""

    code: Code
    world: Callable[[], list[Document]] = manifests
    arrange: Arrange = priced
    signal: dict[str, Any] = field(default_factory=dict)
    quantity: str = "1"
    side: Side = Side.BUY
    symbol: str = RELIANCE
    strategy: str = "alpha"
    start: int = START
    message: str = ""


def instrument(**changes: Any) -> Callable[[], list[Document]]:
    def world() -> list[Document]:
        one = {"symbol": RELIANCE, "token": 738561, "tickSize": "0.05", "referencePrice": "2500", **changes}
        return manifests(feed=feed(instruments=[one]), strategy=strategy())

    return world


def risk(**limits: Any) -> Callable[[], list[Document]]:
    return lambda: manifests(account=account(risk=limits))


def spec(**changes: Any) -> Callable[[], list[Document]]:
    return lambda: manifests(account=account(**changes))


def calendar(**changes: Any) -> Callable[[], list[Document]]:
    return lambda: manifests(feed=feed(calendar="XBOM", **changes))


async def priced_alone(pipeline: Pipeline) -> None:
    await pipeline.tick(RELIANCE, 2500.0, at=1)


async def unpriced(pipeline: Pipeline) -> None:
    await pipeline.tick(TCS, 3900.0, at=1)


async def stale_quote(pipeline: Pipeline) -> None:
    await pipeline.tick(RELIANCE, 2500.0, at=1)
    await pipeline.tick(TCS, 3900.0, at=6.1)


async def stale_heartbeat(pipeline: Pipeline) -> None:
    await pipeline.tick(RELIANCE, 2500.0, at=1)
    await pipeline.advance(5.1)


async def one_bought(pipeline: Pipeline) -> None:
    await priced_alone(pipeline)
    await pipeline.signal("alpha", RELIANCE, Side.BUY, "3")


async def one_resting(pipeline: Pipeline) -> None:
    await priced_alone(pipeline)
    await pipeline.signal("alpha", RELIANCE, Side.BUY, "3", order_type=OrderType.LIMIT, limit="2400")


def state(scope: str, trading: TradingState) -> Arrange:
    async def arrange(pipeline: Pipeline) -> None:
        await priced_alone(pipeline)
        await pipeline.set_state(scope, trading)

    return arrange


def no_key(scope: str) -> Arrange:
    async def arrange(pipeline: Pipeline) -> None:
        pipeline.stop_renewing(scope)
        await pipeline.stores().control.drop_spec(scope)
        await priced_alone(pipeline)

    return arrange


def expired_key(scope: str) -> Arrange:
    async def arrange(pipeline: Pipeline) -> None:
        pipeline.stop_renewing(scope)
        await pipeline.tick(RELIANCE, 2500.0, at=61)

    return arrange


LIMIT = {"order_type": OrderType.LIMIT}

BY_RISK: dict[str, Case] = {
    **{
        f"halted {s}": Case(Code.TRADING_HALTED, arrange=state(s, TradingState.HALTED), message=s)
        for s in SCOPES
    },
    **{
        f"missing {s}": Case(Code.TRADING_HALTED, arrange=no_key(s), message="no control key") for s in SCOPES
    },
    **{f"expired {s}": Case(Code.TRADING_HALTED, arrange=expired_key(s), message="expired") for s in SCOPES},
    **{f"reducing {s}": Case(Code.TRADING_REDUCING, arrange=state(s, TradingState.REDUCING)) for s in SCOPES},
    "price missing": Case(Code.PRICE_MISSING, arrange=unpriced),
    "quote stale": Case(Code.PRICE_STALE, arrange=stale_quote, message="the price is"),
    "heartbeat stale": Case(
        Code.PRICE_STALE, instrument(staleAfterSeconds=60), stale_heartbeat, message="heartbeat"
    ),
    "session over": Case(Code.SESSION_CLOSED, calendar(), start=START + 76 * MINUTE),
    "weekend": Case(Code.SESSION_CLOSED, calendar(), start=START + DAY),
    "exchange holiday": Case(Code.SESSION_CLOSED, calendar(), start=START + 24 * DAY),
    "extra holiday": Case(Code.SESSION_CLOSED, calendar(extraHolidays=["2026-01-02"])),
    "after the product's cut-off": Case(
        Code.SESSION_CLOSED,
        lambda: manifests(feed=feed(calendar="XBOM"), account=account(productCutOff="14:00")),
    ),
    "calendar at its end": Case(Code.CALENDAR_EXPIRED, calendar(), start=START + 367 * DAY),
    "order quantity": Case(Code.MAX_ORDER_QUANTITY, risk(maxOrderQuantity="5"), quantity="6"),
    "order value": Case(Code.MAX_ORDER_VALUE, risk(maxOrderValue="5000"), quantity="3"),
    "position": Case(Code.MAX_POSITION, risk(maxPosition="3"), one_bought),
    "position with open orders": Case(Code.MAX_POSITION, risk(maxPosition="3"), one_resting),
    "open orders": Case(Code.MAX_OPEN_ORDERS, risk(maxOpenOrders=1), one_resting),
    "open order value": Case(Code.MAX_OPEN_ORDER_VALUE, risk(maxOpenOrderValue="9000"), one_resting),
    "gross exposure": Case(Code.MAX_GROSS_EXPOSURE, risk(maxGrossExposure="9000"), one_bought),
    "net exposure": Case(Code.MAX_NET_EXPOSURE, risk(maxNetExposure="9000"), one_bought),
    "rate": Case(Code.RATE_LIMIT, risk(maxOrdersPerSecond=1), one_bought),
    "rate a minute": Case(Code.RATE_LIMIT, risk(maxOrdersPerMinute=1), one_bought),
    "rate a day": Case(Code.RATE_LIMIT, risk(maxOrdersPerDay=1), one_bought),
    "loop": Case(Code.RUNAWAY_LOOP, risk(runaway={"signals": 2, "seconds": 5}), one_bought),
    "funds": Case(Code.INSUFFICIENT_FUNDS, spec(paper={"cash": "2499"})),
    "funds with costs": Case(Code.INSUFFICIENT_FUNDS, spec(paper={"cash": "2500", "commissionBps": "1"})),
    "margin of a short": Case(Code.INSUFFICIENT_FUNDS, spec(paper={"cash": "2499"}), side=Side.SELL),
    "short": Case(Code.SHORT_NOT_ALLOWED, risk(allowShort=False), side=Side.SELL),
    "order type": Case(Code.ORDER_TYPE_NOT_ALLOWED, spec(orderTypes=["LIMIT"])),
    "validity": Case(Code.VALIDITY_NOT_ALLOWED, spec(validities=["DAY"]), signal={"validity": Validity.IOC}),
    "collar": Case(Code.PRICE_COLLAR, risk(priceCollarBps="100"), signal={**LIMIT, "limit": "2474.95"}),
    "tick size": Case(Code.TICK_SIZE, signal={**LIMIT, "limit": "2499.99"}),
    "lot size": Case(Code.LOT_SIZE, symbol=TCS, quantity="7"),
    "freeze quantity": Case(Code.FREEZE_QUANTITY, instrument(freezeQuantity="5"), priced_alone, quantity="6"),
    "band": Case(
        Code.PRICE_BAND,
        instrument(priceBand={"low": "2400", "high": "2600"}),
        priced_alone,
        signal={**LIMIT, "limit": "2399"},
    ),
    "expired contract": Case(
        Code.INSTRUMENT_EXPIRED, instrument(kind="FUT", expiry="2026-01-01"), priced_alone
    ),
    "unknown token": Case(Code.INSTRUMENT_UNKNOWN, signal={"instrument_token": 999}),
    "token of another symbol": Case(Code.INSTRUMENT_UNKNOWN, signal={"instrument_token": 2953217}),
    "not the strategy's instrument": Case(
        Code.INSTRUMENT_NOT_ALLOWED, lambda: manifests(strategy=strategy()), symbol=TCS, quantity="5"
    ),
    "strategy not accepted": Case(Code.STRATEGY_NOT_ACCEPTED, spec(acceptStrategies=["other"])),
    "strategy that nobody knows": Case(Code.STRATEGY_NOT_ACCEPTED, strategy="ghost"),
    "expired signal": Case(Code.SIGNAL_EXPIRED, signal={"ttl": 0}),
    "no quantity": Case(Code.SCHEMA_INVALID, quantity="0"),
    "negative quantity": Case(Code.SCHEMA_INVALID, quantity="-1"),
    "quantity that is no number": Case(Code.SCHEMA_INVALID, quantity="NaN"),
    "quantity without end": Case(Code.SCHEMA_INVALID, quantity="Infinity"),
    "quantity out of this world": Case(Code.SCHEMA_INVALID, quantity="1E+999999"),
    "limit order without a limit": Case(Code.SCHEMA_INVALID, signal=LIMIT),
    "market order with a limit": Case(Code.SCHEMA_INVALID, signal={"limit": "2500"}),
}


async def send(pipeline: Pipeline, case: Case) -> str:
    return await pipeline.signal(case.strategy, case.symbol, case.side, case.quantity, **case.signal)


@pytest.mark.parametrize("name", BY_RISK)
async def test_what_risk_finds_leaves_one_rejection_and_no_order(name: str) -> None:
    case = BY_RISK[name]
    async with Pipeline(case.world(), start=case.start) as pipeline:
        await case.arrange(pipeline)
        before = dict(pipeline.broker().calls)
        signal = await send(pipeline, case)
        await pipeline.advance(3)
        events = pipeline.about(signal)
        assert [event.type for event in events] == REJECTED
        assert outcome_of(events) == (EventType.REJECTED_SIGNAL, case.code)
        assert case.message in events[0].data.message  # type: ignore[union-attr]
        assert any(check.code is case.code for check in events[0].data.checks)  # type: ignore[union-attr]
        assert pipeline.broker().calls == before
        assert await pipeline.stores().journal.get(signal) is None
    assert pipeline.dead_letters() == []


async def test_the_same_signal_without_a_fault_is_an_order() -> None:
    """The control group: what every case above changes is what refuses it."""
    async with Pipeline(manifests()) as pipeline:
        await priced(pipeline)
        signal = await pipeline.signal("alpha", RELIANCE, Side.BUY, "1")
        assert outcome_of(pipeline.about(signal)) == (EventType.ORDER_FILLED, None)
        assert pipeline.broker().calls == {signal: 1}


# ---------------------------------------------------------------------------- between risk and engine


async def forget_prices(pipeline: Pipeline) -> None:
    database = pipeline.stores().database
    database.section(database.keys.heartbeat("demo"), FeedPrices).quotes.clear()


async def price_moves(pipeline: Pipeline) -> None:
    await pipeline.tick(RELIANCE, 2600.0)


def later(seconds: float) -> Arrange:
    async def arrange(pipeline: Pipeline) -> None:
        await pipeline.advance(seconds)
        await priced_now(pipeline)

    return arrange


async def priced_now(pipeline: Pipeline) -> None:
    await pipeline.ticks([(RELIANCE, 2500.0), (TCS, 3900.0)])


async def quote_ages(pipeline: Pipeline) -> None:
    await pipeline.advance(5.1)
    await pipeline.tick(TCS, 3900.0)


async def heartbeat_ages(pipeline: Pipeline) -> None:
    await pipeline.advance(5.1)


def turns(scope: str, trading: TradingState) -> Arrange:
    async def arrange(pipeline: Pipeline) -> None:
        await pipeline.set_state(scope, trading)

    return arrange


def key_expires(scope: str) -> Arrange:
    async def arrange(pipeline: Pipeline) -> None:
        pipeline.stop_renewing(scope)
        await pipeline.advance(61)
        await priced_now(pipeline)

    return arrange


LONG = {"ttl": 600}

BY_ENGINE: dict[str, Case] = {
    **{f"halted {s}": Case(Code.TRADING_HALTED, arrange=turns(s, TradingState.HALTED)) for s in SCOPES},
    **{f"expired {s}": Case(Code.TRADING_HALTED, arrange=key_expires(s), signal=LONG) for s in SCOPES},
    **{f"reducing {s}": Case(Code.TRADING_REDUCING, arrange=turns(s, TradingState.REDUCING)) for s in SCOPES},
    "price missing": Case(Code.PRICE_MISSING, arrange=forget_prices),
    "quote stale": Case(Code.PRICE_STALE, arrange=quote_ages),
    "heartbeat stale": Case(Code.PRICE_STALE, arrange=heartbeat_ages),
    "signal expired": Case(Code.SIGNAL_EXPIRED, arrange=later(10)),
    "session over": Case(
        Code.SESSION_CLOSED, calendar(), later(20), start=START + 74 * MINUTE + 50 * SECOND, signal=LONG
    ),
    "collar": Case(
        Code.PRICE_COLLAR, risk(priceCollarBps="100"), price_moves, signal={**LIMIT, "limit": "2500"}
    ),
}


async def stop_engines(pipeline: Pipeline) -> None:
    for replica in (0, 1):
        await pipeline.kill(f"engine/paper-{replica}", restart=False)


async def start_engines(pipeline: Pipeline) -> None:
    for replica in (0, 1):
        await pipeline.revive(f"engine/paper-{replica}")


@pytest.mark.parametrize("name", BY_ENGINE)
async def test_what_appears_between_risk_and_engine_leaves_one_failure_and_no_order(name: str) -> None:
    case = BY_ENGINE[name]
    async with Pipeline(case.world(), start=case.start) as pipeline:
        await priced(pipeline)
        await stop_engines(pipeline)
        signal = await send(pipeline, case)
        assert [event.type for event in pipeline.about(signal)] == [EventType.VALIDATED_SIGNAL]
        await case.arrange(pipeline)
        await start_engines(pipeline)
        await pipeline.advance(3)
        events = pipeline.about(signal)
        assert [event.type for event in events] == FAILED
        assert outcome_of(events) == (EventType.ORDER_FAILED, case.code)
        assert pipeline.broker().placed == []
        entry = await pipeline.stores().journal.get(signal)
        assert entry is not None
        assert (entry.state, entry.code) == (EntryState.FAILED, case.code)
        assert await pipeline.stores().journal.unacknowledged() == []
        assert pipeline.snapshot().open_orders == 0  # risk's reservation is gone


async def test_a_burst_after_an_outage_is_held_to_the_rate() -> None:
    async with Pipeline(manifests(account=account(risk={"maxOrdersPerSecond": 2}))) as pipeline:
        await priced(pipeline)
        await stop_engines(pipeline)
        signals = []
        for _ in range(4):
            signals.append(await pipeline.signal("alpha", RELIANCE, Side.BUY, "1"))
            await pipeline.advance(1)
        await priced_now(pipeline)
        await start_engines(pipeline)
        outcomes = [outcome_of(pipeline.about(signal)) for signal in signals]
        assert (
            outcomes == [(EventType.ORDER_FILLED, None)] * 2 + [(EventType.ORDER_FAILED, Code.RATE_LIMIT)] * 2
        )
        assert len(pipeline.broker().placed) == 2


async def test_a_key_in_doubt_takes_no_second_order_and_others_go_on() -> None:
    async with Pipeline(manifests()) as pipeline:
        await priced(pipeline)
        await stop_engines(pipeline)
        first = await pipeline.signal("alpha", RELIANCE, Side.BUY, "1")
        second = await pipeline.signal("alpha", RELIANCE, Side.BUY, "1")
        other = await pipeline.signal("alpha", TCS, Side.BUY, "5")
        broker = pipeline.broker()
        broker.answers.append(Outcome(state=EntryState.UNKNOWN))
        broker.answers.append(Outcome(state=EntryState.UNKNOWN))
        await start_engines(pipeline)
        third = await pipeline.signal("alpha", RELIANCE, Side.BUY, "1")
        assert outcome_of(pipeline.about(second)) == (EventType.ORDER_FAILED, Code.IN_DOUBT)
        assert outcome_of(pipeline.about(third)) == (EventType.REJECTED_SIGNAL, Code.IN_DOUBT)
        assert broker.calls == {first: 1, other: 1}
        await pipeline.advance(10)  # the paper book never heard of them
        assert outcome_of(pipeline.about(first)) == (EventType.ORDER_FAILED, Code.ORDER_LOST)
        assert outcome_of(pipeline.about(other)) == (EventType.ORDER_FAILED, Code.ORDER_LOST)
        await priced_now(pipeline)
        again = await pipeline.signal("alpha", RELIANCE, Side.BUY, "1")
        assert outcome_of(pipeline.about(again)) == (EventType.ORDER_FILLED, None)


async def test_an_incomplete_book_never_declares_an_order_lost() -> None:
    async with Pipeline(manifests()) as pipeline:
        await priced(pipeline)
        broker = pipeline.broker()
        broker.answers.append(Outcome(state=EntryState.UNKNOWN))
        broker.books.extend(
            BookReading(complete=False, begun_at=START + DAY, user="paper", trading_day="2026-01-02")
            for _ in range(60)
        )
        signal = await pipeline.signal("alpha", RELIANCE, Side.BUY, "1")
        await pipeline.advance(50)
        assert [event.type for event in pipeline.about(signal)] == [EventType.VALIDATED_SIGNAL]
        await pipeline.advance(20)
        assert outcome_of(pipeline.about(signal)) == (EventType.ORDER_FAILED, Code.ORDER_LOST)


async def test_a_cancel_of_nothing_is_rejected() -> None:
    async with Pipeline(manifests()) as pipeline:
        await priced(pipeline)
        order = await pipeline.signal("alpha", RELIANCE, Side.BUY, "1")
        request = await pipeline.cancel(order)
        assert (
            pipeline.about(request) == []
            or outcome_of(pipeline.about(request))[0] is EventType.VALIDATED_SIGNAL
        )
        updates = pipeline.events(EventType.ORDER_UPDATED)
        assert [update.data.code for update in updates] == [Code.ORDER_NOT_OPEN]  # type: ignore[union-attr]
        assert pipeline.broker().cancelled == []
        assert pipeline.snapshot().positions[RELIANCE].quantity == Decimal(1)


async def test_an_order_that_closes_passes_where_a_new_one_does_not() -> None:
    """Reducing, rates and size limits never trap a position."""
    limits = {"maxOrderQuantity": "5", "maxOrdersPerDay": 1, "maxOrdersPerSecond": 1}
    async with Pipeline(manifests(account=account(risk=limits))) as pipeline:
        await priced(pipeline)
        await pipeline.signal("alpha", RELIANCE, Side.BUY, "5")
        await pipeline.set_state(PLATFORM, TradingState.REDUCING)
        sold = await pipeline.signal("alpha", RELIANCE, Side.SELL, "5")
        assert outcome_of(pipeline.about(sold)) == (EventType.ORDER_FILLED, None)
        too_much = await pipeline.signal("alpha", RELIANCE, Side.SELL, "1")
        assert outcome_of(pipeline.about(too_much))[0] is EventType.REJECTED_SIGNAL
        decision = await pipeline.stores().decisions.get(too_much)
        assert decision is not None
        assert decision.verdict is Verdict.REJECTED


async def test_a_loop_latches_its_strategy_alone() -> None:
    world = [*risk(runaway={"signals": 3, "seconds": 5})(), strategy("beta")]
    async with Pipeline(world) as pipeline:
        await priced(pipeline)
        for _ in range(3):
            await pipeline.signal("alpha", RELIANCE, Side.BUY, "1")
        (reading,) = await pipeline.stores().control.read((strategy_scope("alpha"),))
        (latch,) = reading.latches
        assert latch.latch_id.startswith("runaway-loop-2026-01-02-")
        assert reading.state is TradingState.HALTED
        other = await pipeline.signal("beta", RELIANCE, Side.BUY, "1")
        assert outcome_of(pipeline.about(other)) == (EventType.ORDER_FILLED, None)
        assert [event.key for event in pipeline.events(EventType.CONTROL_CHANGED)] == ["strategy/alpha"]
