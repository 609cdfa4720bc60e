"""A trader that needs no broker: it matches at once, and leaves what rests to the order-tracker."""

from collections.abc import Callable
from datetime import UTC

import msgspec

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, Side
from alpha_panda.contracts.instruments import InstrumentMaster
from alpha_panda.contracts.stored import BookReading, JournalEntry, Outcome, PriceReading
from alpha_panda.domain import matching
from alpha_panda.domain.calendars import local_date
from alpha_panda.domain.matching import PaperTerms
from alpha_panda.errors import UnknownInstrumentError
from alpha_panda.ports import Clock

PAPER_USER = "paper"
"""The broker user of every paper account."""


def utc_day(ts_ns: int) -> str:
    """Return the ISO date in UTC: the trading day where nothing else is known."""
    return local_date(ts_ns, UTC).isoformat()


class PaperTrader:
    """The paper side of one account (port `Trader`).

    `trading_day` tells the day of a moment (`SessionRules.trading_day`). An accepted order's broker id is its tag.
    """

    def __init__(
        self,
        clock: Clock,
        instruments: InstrumentMaster,
        terms: PaperTerms,
        trading_day: Callable[[int], str] = utc_day,
    ) -> None:
        self._clock = clock
        self._instruments = instruments
        self._terms = terms
        self._trading_day = trading_day

    async def place(self, entry: JournalEntry, price: PriceReading, deadline: int) -> Outcome:
        """Match the order against the quote that was read for it; see `domain.matching` for the rules.

        FAILED, with nothing traded, for a deadline that has passed or an unknown instrument. Without a quote (there is
        none, or the engine found it too old to trade on) a LIMIT or STOP_LIMIT rests, others fail.
        """
        if self._clock.monotonic() >= deadline:
            return _failed(Code.SEND_DEADLINE_PASSED, "the permission to send had run out")
        try:
            instrument = self._instruments.token(entry.signal.instrument_token)
        except UnknownInstrumentError as error:
            return _failed(Code.INSTRUMENT_UNKNOWN, str(error))
        last, opposite = _prices(entry.signal.side, price)
        outcome = matching.match_new(entry.signal, instrument, last, self._terms, opposite)
        if outcome.state is EntryState.FAILED:
            return outcome
        return msgspec.structs.replace(outcome, broker_order_id=entry.tag)

    async def cancel(self, entry: JournalEntry) -> Outcome:
        """Return CANCELLED with what was filled; an order that doesn't rest stays what it is."""
        if not entry.state.resting:
            return matching.outcome_of(entry)
        return matching.cancel(entry, Code.CANCELLED_BY_STRATEGY, "cancelled as asked")

    async def order_book(self) -> BookReading:
        """Return a complete reading without rows: an order in doubt was never taken by anybody."""
        now = self._clock.now()
        return BookReading(complete=True, begun_at=now, user=PAPER_USER, trading_day=self._trading_day(now))


def _prices(side: Side, price: PriceReading) -> tuple[float | None, float | None]:
    """Return the last price, and the best of the other side if the quote has it."""
    if price.quote is None:
        return None, None
    return price.quote.last_price, price.quote.ask if side is Side.BUY else price.quote.bid


def _failed(code: Code, message: str) -> Outcome:
    return Outcome(state=EntryState.FAILED, code=code, message=message)
