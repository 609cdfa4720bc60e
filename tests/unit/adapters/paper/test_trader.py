"""The paper trader: the port's promises, with matching left to `domain.matching`."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from alpha_panda.adapters.paper.trader import PAPER_USER, PaperTrader
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, FeedMode, OrderType, Side, SignalClass, Validity
from alpha_panda.contracts.events import Signal
from alpha_panda.contracts.instruments import Instrument, InstrumentMaster
from alpha_panda.contracts.stored import JournalEntry, PriceReading, Quote
from alpha_panda.domain.matching import PaperTerms
from alpha_panda.domain.sessions import session_rules
from alpha_panda.ports import Trader

D = Decimal
RELIANCE = Instrument(token=738561, symbol="NSE:RELIANCE", tick_size=D("0.05"))
NOW = 1_769_470_200_000_000_000  # 2026-01-26T23:30Z, the 27th in Kolkata


class FixedClock:
    """A clock that stands still where it is put."""

    virtual = True

    def __init__(self, monotonic: int = 1000) -> None:
        self._monotonic = monotonic

    def now(self) -> int:
        return NOW

    def monotonic(self) -> int:
        return self._monotonic

    async def sleep(self, seconds: float) -> None:
        raise NotImplementedError

    async def every(self, seconds: float) -> AsyncIterator[int]:
        raise NotImplementedError
        yield 0

    async def pace_until(self, ts: int) -> None:
        raise NotImplementedError


def trader(monotonic: int = 1000, terms: PaperTerms | None = None) -> Trader:
    return PaperTrader(FixedClock(monotonic), InstrumentMaster.of([RELIANCE]), terms or PaperTerms())


def entry(
    state: EntryState = EntryState.SENDING, token: int = RELIANCE.token, **fields: object
) -> JournalEntry:
    signal = Signal(
        signal_id="s-1",
        strategy_id="momentum",
        strategy_uid="uid",
        instrument_token=token,
        symbol=RELIANCE.symbol,
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        quantity=D(10),
        validity=Validity.DAY,
        expires_at=0,
        limit_price=D(2500),
    )
    made = JournalEntry(
        signal=signal,
        state=state,
        signal_class=SignalClass.INCREASING,
        tag="ap0123456789",
        revision=1,
        send_by=0,
        updated_at=0,
        correlation_id="c",
        causation_id="c",
    )
    return msgspec.structs.replace(made, **fields)


def reading(price: float = 2500.0) -> PriceReading:
    return PriceReading(Quote(price, NOW, "demo", FeedMode.SIMULATED, 1, 1), NOW)


async def test_a_marketable_order_is_filled_under_its_tag() -> None:
    terms = PaperTerms(slippage_bps=D(5), commission_bps=D(3))
    outcome = await trader(terms=terms).place(entry(), reading(2490.0), deadline=1001)

    assert outcome.state is EntryState.FILLED
    assert outcome.filled_quantity == 10
    assert outcome.average_price == D("2491.25")  # 2490 x 1.0005 = 2491.245
    assert outcome.fees == D("7.4738")  # 24912.5 x 0.0003 = 7.47375
    assert outcome.broker_order_id == "ap0123456789"


@pytest.mark.parametrize(("side", "price"), [(Side.BUY, "2500.1"), (Side.SELL, "2499.9")])
async def test_a_market_order_pays_the_spread(side: Side, price: str) -> None:
    quote = Quote(2500.0, NOW, "demo", FeedMode.SIMULATED, 1, 1, bid=2499.9, ask=2500.1)
    made = of_type(OrderType.MARKET, side=side)
    outcome = await trader().place(made, PriceReading(quote, NOW), deadline=1001)

    assert outcome.average_price == D(price)


async def test_an_order_away_from_the_market_rests() -> None:
    outcome = await trader().place(entry(), reading(2500.05), deadline=1001)

    assert (outcome.state, outcome.filled_quantity) == (EntryState.PLACED, D(0))
    assert outcome.broker_order_id == "ap0123456789"


@pytest.mark.parametrize("monotonic", [1000, 1001])
async def test_nothing_is_sent_once_the_deadline_has_come(monotonic: int) -> None:
    outcome = await trader(monotonic).place(entry(), reading(), deadline=1000)

    assert (outcome.state, outcome.code) == (EntryState.FAILED, Code.SEND_DEADLINE_PASSED)
    assert outcome.filled_quantity == 0
    assert outcome.broker_order_id == ""


def of_type(order_type: OrderType, validity: Validity = Validity.DAY, **changes: object) -> JournalEntry:
    made = entry()
    signal = msgspec.structs.replace(made.signal, order_type=order_type, validity=validity, **changes)
    return msgspec.structs.replace(made, signal=signal)


@pytest.mark.parametrize("order_type", [OrderType.LIMIT, OrderType.STOP_LIMIT])
async def test_without_a_quote_an_order_with_a_limit_rests(order_type: OrderType) -> None:
    resting = of_type(order_type, trigger_price=D(2490))
    outcome = await trader().place(resting, PriceReading(None, NOW), deadline=1001)

    assert (outcome.state, outcome.filled_quantity, outcome.triggered) == (EntryState.PLACED, D(0), False)
    assert outcome.broker_order_id == "ap0123456789"


async def test_without_a_quote_an_ioc_order_finds_nothing() -> None:
    made = of_type(OrderType.LIMIT, Validity.IOC)
    outcome = await trader().place(made, PriceReading(None, NOW), deadline=1001)

    assert (outcome.state, outcome.code) == (EntryState.CANCELLED, Code.NO_FILL)


@pytest.mark.parametrize("order_type", [OrderType.MARKET, OrderType.STOP])
async def test_without_a_quote_an_order_that_needs_one_fails(order_type: OrderType) -> None:
    made = of_type(order_type, trigger_price=D(2490))
    outcome = await trader().place(made, PriceReading(None, NOW), deadline=1001)

    assert (outcome.state, outcome.code) == (EntryState.FAILED, Code.PRICE_MISSING)


async def test_a_price_that_is_none_fails_the_order_without_a_broker_id() -> None:
    outcome = await trader().place(entry(), reading(float("nan")), deadline=1001)

    assert (outcome.state, outcome.code) == (EntryState.FAILED, Code.PRICE_MISSING)
    assert outcome.broker_order_id == ""


async def test_an_unknown_instrument_fails_the_order() -> None:
    outcome = await trader().place(entry(token=1), reading(), deadline=1001)

    assert (outcome.state, outcome.code) == (EntryState.FAILED, Code.INSTRUMENT_UNKNOWN)


@pytest.mark.parametrize("state", [EntryState.PLACED, EntryState.PARTIALLY_FILLED])
async def test_a_cancel_keeps_what_was_filled(state: EntryState) -> None:
    filled: dict[str, Any] = {
        "filled_quantity": D(4),
        "average_price": D(2500),
        "fees": D(3),
        "broker_order_id": "ap0123456789",
    }
    outcome = await trader().cancel(entry(state, **filled))

    assert (outcome.state, outcome.code) == (EntryState.CANCELLED, Code.CANCELLED_BY_STRATEGY)
    assert {name: getattr(outcome, name) for name in filled} == filled


@pytest.mark.parametrize("state", [state for state in EntryState if not state.resting])
async def test_an_order_that_does_not_rest_is_not_cancelled(state: EntryState) -> None:
    outcome = await trader().cancel(
        entry(state, filled_quantity=D(10), code=Code.BROKER_REJECTED, message="why")
    )

    assert (outcome.state, outcome.filled_quantity) == (state, D(10))
    assert (outcome.code, outcome.message) == (Code.BROKER_REJECTED, "why")


async def test_the_book_is_complete_and_empty() -> None:
    book = await trader().order_book()

    assert (book.complete, book.rows, book.user, book.begun_at) == (True, (), PAPER_USER, NOW)
    assert book.trading_day == "2026-01-26"


async def test_the_books_day_is_the_venues() -> None:
    rules = session_rules("XBOM")
    paper = PaperTrader(FixedClock(), InstrumentMaster.of([RELIANCE]), PaperTerms(), rules.trading_day)

    assert (await paper.order_book()).trading_day == "2026-01-27"
