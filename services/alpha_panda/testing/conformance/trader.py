"""What every Trader promises, whatever broker is behind it.

class TestMine(TraderConformance):
    @pytest.fixture
    async def bench(self):
        yield MyBench(...)          # a `TraderBench` over a broker of the test's own, never over a real one

Put `TokenHolderConformance` and `PortfolioReaderConformance` beside it where the trader has a token and a portfolio.
A promise about something that a venue can't have (a lost reply within one process) is skipped: `trouble` says False.
Each bench serves one test; orders of different numbers are different orders.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import Counter
from decimal import Decimal
from enum import Enum
from typing import Any, Final

import msgspec
import pytest

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, OrderType, Side, SignalClass, Validity
from alpha_panda.contracts.events import ZERO, Signal
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.contracts.stored import BookReading, BrokerRow, JournalEntry, Outcome, PriceReading
from alpha_panda.contracts.units import nanoseconds
from alpha_panda.domain.ids import broker_tag
from alpha_panda.ports import Clock, PortfolioReader, TokenHolder, Trader

TAKEN: Final = (EntryState.FILLED, EntryState.PARTIALLY_FILLED, EntryState.PLACED)
PATIENCE: Final = 1.0
"""Seconds within which an order is to be sent."""
LOOKS: Final = 50
"""So often a test looks into the book until it shows what it must."""
LOOK_SECONDS: Final = 0.1
AT_ONCE: Final = 5
UNLISTED: Final = 7
"""A token that no feed lists."""


class Trouble(Enum):
    """What the next order, or the next reading of the book, is to meet."""

    REPLY_LOST = "the order is taken, its reply never comes"
    NOT_TAKEN = "neither the order nor a reply arrives"
    NO_CONNECTION = "no connection"
    REFUSED = "the broker refuses the order in its own words"
    SERVER_ERROR = "an error of the broker's, which says nothing of the order; it is taken"
    GARBAGE = "an answer that is none; the order is taken"
    TIMEOUT_IN_WORDS = "a refusal that speaks of a time-out; the order is taken"
    BOOK_ERROR = "the book answers with an error"
    BOOK_GARBAGE = "the book answers with nothing that can be read"
    BOOK_OF_ANOTHER = "the book of another user"


class TraderBench(ABC):
    """A trader, and a hand on the broker behind it."""

    trader: Trader
    clock: Clock
    instrument: Instrument
    """One that the trader's feed lists and the broker trades."""
    price: Decimal
    """Its last price, on its tick grid."""
    user: str
    """Whom the book must be of."""
    has_book: bool = True
    """Whether orders that were placed stand in the book: a venue within the process has none."""

    @abstractmethod
    def reading(self) -> PriceReading:
        """Return the price that an engine would have read for an order now."""

    @abstractmethod
    def sent(self) -> Counter[str]:
        """Return how often each tag has come to the broker as an order."""

    @abstractmethod
    async def trouble(self, trouble: Trouble) -> bool:
        """Let the next call of the kind meet it; False where this venue can't."""

    async def end_token(self) -> bool:
        """Let the access token die at the broker; False where there is none."""
        return False

    async def new_token(self) -> None:
        """Give the trader another one, after `end_token`."""
        raise NotImplementedError

    # ------------------------------------------------------------------------------------------- orders

    def entry(self, number: int = 1, **changes: Any) -> JournalEntry:  # noqa: ANN401 - fields of a signal
        """Return an order that trades at once, as BEGIN hands it out; `changes` are fields of its signal."""
        now = self.clock.now()
        fields: dict[str, Any] = {
            "signal_id": f"conformance-{number}",
            "strategy_id": "alpha",
            "strategy_uid": "alpha",
            "instrument_token": self.instrument.token,
            "symbol": self.instrument.symbol,
            "side": Side.BUY,
            "order_type": OrderType.MARKET,
            "quantity": self.instrument.lot_size * 2,
            "validity": Validity.DAY,
            "expires_at": now + nanoseconds(60),
        }
        signal = Signal(**(fields | changes))
        return JournalEntry(
            signal=signal,
            state=EntryState.SENDING,
            signal_class=SignalClass.INCREASING,
            tag=broker_tag(signal.signal_id),
            revision=0,
            send_by=now + nanoseconds(PATIENCE),
            updated_at=now,
            correlation_id="conformance",
            causation_id="conformance",
        )

    def resting(self, number: int = 1, **changes: Any) -> JournalEntry:  # noqa: ANN401 - as above
        """Return an order that rests: it buys well below the market."""
        far = self.instrument.quantize(self.price * Decimal("0.95"))
        return self.entry(number, order_type=OrderType.LIMIT, limit_price=far, **changes)

    async def place(self, entry: JournalEntry, seconds: float = PATIENCE) -> Outcome:
        """Send the order as the engine does."""
        deadline = self.clock.monotonic() + nanoseconds(seconds)
        return await self.trader.place(entry, self.reading(), deadline)

    async def row(self, entry: JournalEntry, state: EntryState | None = None) -> BrokerRow:
        """Return the order's row as soon as the book has it (in this state)."""
        for _ in range(LOOKS):
            rows = [row for row in (await self.trader.order_book()).rows if row.tag == entry.tag]
            if rows and (state is None or rows[0].status.value == state.value):
                assert len(rows) == 1, rows
                return rows[0]
            await self.clock.sleep(LOOK_SECONDS)
        raise AssertionError(f"the book doesn't show {entry.tag} as {state}")


def sound(outcome: Outcome, entry: JournalEntry) -> None:
    """Check what holds of every outcome."""
    assert outcome.state is not EntryState.SENDING
    assert outcome.state is not EntryState.LOST  # the order-tracker's word alone
    assert ZERO <= outcome.filled_quantity <= entry.signal.quantity
    assert (outcome.filled_quantity > 0) == (outcome.average_price > 0)
    if outcome.state in TAKEN:
        assert outcome.broker_order_id
    if outcome.state is EntryState.FAILED:
        assert outcome.code is not None
        assert outcome.filled_quantity == 0
    if outcome.state is EntryState.FILLED:
        assert outcome.filled_quantity == entry.signal.quantity


class TraderConformance:
    """Subclass it with a fixture `bench`."""

    async def test_an_order_that_trades_is_taken_and_its_fills_are_known(self, bench: TraderBench) -> None:
        entry = bench.entry()
        outcome = await bench.place(entry)
        sound(outcome, entry)
        assert outcome.state in TAKEN
        assert bench.sent() == {entry.tag: 1}
        if not bench.has_book:
            assert outcome.state is EntryState.FILLED
            return
        row = await bench.row(entry, EntryState.FILLED)
        assert (row.broker_order_id, row.side) == (outcome.broker_order_id, "BUY")
        assert (row.instrument_token, row.quantity) == (bench.instrument.token, entry.signal.quantity)
        assert row.filled_quantity == entry.signal.quantity
        amount = row.amount if row.amount is not None else row.average_price * row.filled_quantity
        assert amount > 0
        assert amount % bench.instrument.tick_size == 0  # a sum of trades, each on the tick grid

    async def test_an_order_that_can_not_trade_rests(self, bench: TraderBench) -> None:
        entry = bench.resting()
        outcome = await bench.place(entry)
        sound(outcome, entry)
        assert outcome.state is EntryState.PLACED
        if bench.has_book:
            row = await bench.row(entry)
            assert (row.filled_quantity, row.broker_order_id) == (ZERO, outcome.broker_order_id)

    async def test_an_ioc_order_never_rests(self, bench: TraderBench) -> None:
        entry = bench.resting(validity=Validity.IOC)
        outcome = await bench.place(entry)
        sound(outcome, entry)
        if outcome.state is EntryState.PLACED:
            await bench.row(entry, EntryState.CANCELLED)
        else:
            assert outcome.state in (EntryState.CANCELLED, EntryState.FAILED)

    @pytest.mark.parametrize("seconds", [0, -1])
    async def test_after_its_deadline_nothing_is_sent(self, bench: TraderBench, seconds: float) -> None:
        entry = bench.entry()
        outcome = await bench.place(entry, seconds)
        sound(outcome, entry)
        assert (outcome.state, outcome.code) == (EntryState.FAILED, Code.SEND_DEADLINE_PASSED)
        assert not bench.sent()

    async def test_what_is_not_listed_is_refused_before_it_is_sent(self, bench: TraderBench) -> None:
        entry = bench.entry(instrument_token=UNLISTED, symbol="NSE:NONE")
        outcome = await bench.place(entry)
        assert (outcome.state, outcome.code) == (EntryState.FAILED, Code.INSTRUMENT_UNKNOWN)
        assert not bench.sent()

    async def test_many_orders_at_once_are_each_sent_once(self, bench: TraderBench) -> None:
        entries = [bench.entry(number) for number in range(AT_ONCE)]
        outcomes = await asyncio.gather(*(bench.place(entry) for entry in entries))
        assert bench.sent() == Counter(entry.tag for entry in entries)
        for entry, outcome in zip(entries, outcomes, strict=True):
            sound(outcome, entry)
        assert len({outcome.broker_order_id for outcome in outcomes}) == AT_ONCE

    # ------------------------------------------------------------------------------------------- trouble

    @pytest.mark.parametrize(
        "trouble",
        [Trouble.REPLY_LOST, Trouble.SERVER_ERROR, Trouble.GARBAGE, Trouble.TIMEOUT_IN_WORDS],
        ids=lambda trouble: trouble.name,
    )
    async def test_an_order_that_may_have_been_taken_is_unknown_and_found_in_the_book(
        self, bench: TraderBench, trouble: Trouble
    ) -> None:
        await self._meet(bench, trouble)
        entry = bench.resting()
        outcome = await bench.place(entry)
        assert (outcome.state, outcome.broker_order_id) == (EntryState.UNKNOWN, "")
        assert bench.sent() == {entry.tag: 1}
        assert (await bench.row(entry)).broker_order_id
        assert bench.sent() == {entry.tag: 1}

    async def test_an_order_that_did_not_arrive_is_unknown_too(self, bench: TraderBench) -> None:
        await self._meet(bench, Trouble.NOT_TAKEN)
        entry = bench.resting()
        assert (await bench.place(entry)).state is EntryState.UNKNOWN
        reading = await bench.trader.order_book()
        assert reading.complete
        assert entry.tag not in {row.tag for row in reading.rows}

    async def test_without_a_connection_the_order_has_failed(self, bench: TraderBench) -> None:
        await self._meet(bench, Trouble.NO_CONNECTION)
        outcome = await bench.place(bench.entry())
        assert (outcome.state, outcome.code) == (EntryState.FAILED, Code.BROKER_UNREACHABLE)

    async def test_a_refusal_in_the_brokers_own_words_is_definite(self, bench: TraderBench) -> None:
        await self._meet(bench, Trouble.REFUSED)
        entry = bench.entry()
        outcome = await bench.place(entry)
        sound(outcome, entry)
        assert outcome.state is EntryState.FAILED
        assert outcome.message
        assert bench.sent() == {entry.tag: 1}

    async def test_who_gives_up_waiting_sends_no_second_order(self, bench: TraderBench) -> None:
        await self._meet(bench, Trouble.REPLY_LOST)
        entry = bench.resting()
        task = asyncio.create_task(bench.place(entry))
        for _ in range(LOOKS):
            if bench.sent():
                break
            await bench.clock.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert bench.sent() == {entry.tag: 1}

    # ------------------------------------------------------------------------------------------- cancelling

    async def test_a_resting_order_is_cancelled(self, bench: TraderBench) -> None:
        entry = await self._rests(bench)
        outcome = await bench.trader.cancel(entry)
        sound(outcome, entry)
        assert outcome.state in (EntryState.CANCELLED, EntryState.PLACED)
        if bench.has_book:
            await bench.row(entry, EntryState.CANCELLED)

    @pytest.mark.parametrize(
        "state", [EntryState.FILLED, EntryState.CANCELLED, EntryState.FAILED, EntryState.UNKNOWN]
    )
    async def test_what_does_not_rest_is_not_cancelled(self, bench: TraderBench, state: EntryState) -> None:
        entry = msgspec.structs.replace(bench.resting(), state=state, broker_order_id="1")
        outcome = await bench.trader.cancel(entry)
        assert (outcome.state, outcome.filled_quantity) == (state, ZERO)

    async def test_a_cancel_of_an_order_that_nobody_knows_changes_nothing(self, bench: TraderBench) -> None:
        if not bench.has_book:
            pytest.skip("every order is known here")
        entry = msgspec.structs.replace(bench.resting(), state=EntryState.PLACED, broker_order_id="404")
        assert (await bench.trader.cancel(entry)).state is EntryState.PLACED

    # ------------------------------------------------------------------------------------------------ book

    async def test_the_book_of_a_quiet_day_is_complete_and_empty(self, bench: TraderBench) -> None:
        before = bench.clock.now()
        reading = await bench.trader.order_book()
        assert reading.complete
        assert reading.rows == ()
        assert before <= reading.begun_at <= bench.clock.now()
        assert reading.user == bench.user
        assert reading.trading_day

    async def test_every_order_stands_in_the_book_under_its_tag_and_side(self, bench: TraderBench) -> None:
        if not bench.has_book:
            pytest.skip("no book beside our own")
        entries = [bench.resting(number) for number in range(3)]
        for entry in entries:
            await bench.place(entry)
        reading = await self._complete(bench, 3)
        assert {row.tag for row in reading.rows} == {entry.tag for entry in entries}
        assert len({row.broker_order_id for row in reading.rows}) == len(entries)

    @pytest.mark.parametrize(
        "trouble",
        [Trouble.BOOK_ERROR, Trouble.BOOK_GARBAGE, Trouble.BOOK_OF_ANOTHER],
        ids=lambda item: item.name,
    )
    async def test_a_book_that_can_not_be_trusted_is_incomplete(
        self, bench: TraderBench, trouble: Trouble
    ) -> None:
        await bench.place(bench.resting())
        await self._meet(bench, trouble)
        assert not (await bench.trader.order_book()).complete
        assert (await self._complete(bench, 1)).complete

    async def _rests(self, bench: TraderBench) -> JournalEntry:
        entry = bench.resting()
        outcome = await bench.place(entry)
        assert outcome.state is EntryState.PLACED
        return msgspec.structs.replace(
            entry, state=EntryState.PLACED, broker_order_id=outcome.broker_order_id, revision=1
        )

    async def _complete(self, bench: TraderBench, rows: int) -> BookReading:
        for _ in range(LOOKS):
            reading = await bench.trader.order_book()
            if reading.complete and len(reading.rows) == rows:
                return reading
            await bench.clock.sleep(LOOK_SECONDS)
        raise AssertionError(f"no complete book of {rows}")

    async def _meet(self, bench: TraderBench, trouble: Trouble) -> None:
        if not await bench.trouble(trouble):
            pytest.skip(f"this venue can't: {trouble.value}")


class TokenHolderConformance:
    """Of a trader with an access token. Subclass it with a fixture `bench`."""

    async def test_a_valid_token_expires_in_the_future(self, bench: TraderBench) -> None:
        assert isinstance(bench.trader, TokenHolder)
        expires_at = bench.trader.token_expires_at()
        assert expires_at is not None
        assert expires_at > bench.clock.now()

    async def test_with_a_dead_token_orders_fail_for_that_reason_and_the_holder_learns_it(
        self, bench: TraderBench
    ) -> None:
        assert await bench.end_token()
        outcomes = [await bench.place(bench.entry(number)) for number in (1, 2)]
        assert {outcome.state for outcome in outcomes} == {EntryState.FAILED}
        assert {outcome.code for outcome in outcomes} == {Code.ACCESS_TOKEN_EXPIRED}
        assert isinstance(bench.trader, TokenHolder)
        expires_at = bench.trader.token_expires_at()
        assert expires_at is not None
        assert expires_at <= bench.clock.now()
        assert not (await bench.trader.order_book()).complete

    async def test_a_new_token_is_used_without_a_restart(self, bench: TraderBench) -> None:
        assert await bench.end_token()
        await bench.place(bench.entry(1))
        await bench.new_token()
        await bench.clock.sleep(PATIENCE)
        outcome = await bench.place(bench.entry(2))
        assert outcome.state in TAKEN
        assert (await bench.trader.order_book()).complete


class PortfolioReaderConformance:
    """Of a trader whose broker keeps positions and money. Subclass it with a fixture `bench`."""

    async def test_what_traded_is_held(self, bench: TraderBench) -> None:
        assert isinstance(bench.trader, PortfolioReader)
        before = await bench.trader.portfolio()
        assert before.complete
        assert (before.positions, before.user) == ((), bench.user)
        assert before.cash is not None
        entry = bench.entry()
        await bench.place(entry)
        await bench.row(entry, EntryState.FILLED)
        after = await bench.trader.portfolio()
        (position,) = after.positions
        assert (position.instrument_token, position.quantity) == (
            bench.instrument.token,
            entry.signal.quantity,
        )
        assert position.symbol == bench.instrument.symbol
        assert after.cash is not None
        assert after.cash < before.cash

    async def test_without_a_token_it_is_incomplete_and_no_error(self, bench: TraderBench) -> None:
        if not await bench.end_token():
            pytest.skip("no token here")
        assert isinstance(bench.trader, PortfolioReader)
        reading = await bench.trader.portfolio()
        assert not reading.complete
        assert (reading.positions, reading.cash) == ((), None)
