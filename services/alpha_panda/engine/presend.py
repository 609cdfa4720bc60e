"""What the engine checks again just before it sends: all that may have changed since risk decided.

State, rate, doubt and expiry are checked inside BEGIN, in one step with the write; this is the rest. A fault here
is stored as FAILED before it is told.
"""

from decimal import Decimal

from alpha_panda.contracts.enums import Side
from alpha_panda.contracts.events import Signal, ValidatedSignal
from alpha_panda.contracts.stored import PriceReading, Quote
from alpha_panda.domain.risk.outcome import Outcome
from alpha_panda.domain.risk.presend import SendFacts, send_fault, tradable_price
from alpha_panda.runtime.context import ServiceContext
from alpha_panda.runtime.venues import price_rules, rules_of


class PreSend:
    """The account's rules for sending."""

    def __init__(self, context: ServiceContext) -> None:
        account = context.resources.accounts[context.resource]
        feed = context.resources.feeds[account.spec.market_feed]
        self._instruments = feed.instruments
        self._rules = rules_of(feed, account)
        self._price_rules = price_rules(feed, account, context.settings)
        self._collar = account.spec.risk.price_collar_bps

    def fault(
        self, signal: Signal, decision: ValidatedSignal, reading: PriceReading, now: int
    ) -> Outcome | None:
        """Return why the order may not be sent now, or None."""
        return send_fault(self._facts(signal, decision, reading, now))

    def tradable(
        self, signal: Signal, decision: ValidatedSignal, reading: PriceReading, now: int
    ) -> PriceReading:
        """Return the reading to send the order on: without the quote, if that is none to trade on."""
        return tradable_price(self._facts(signal, decision, reading, now))

    def _facts(self, signal: Signal, decision: ValidatedSignal, reading: PriceReading, now: int) -> SendFacts:
        return SendFacts(
            signal=signal,
            signal_class=decision.signal_class,
            now=now,
            instrument=self._instruments.by_token.get(signal.instrument_token),
            price=reading,
            price_rules=self._price_rules,
            session=self._rules.status(now),
            price_collar_bps=self._collar,
        )

    def price(self, signal: Signal, quote: Quote) -> Decimal | None:
        """Return the price that the order meets, on the tick grid: the other side's, else the last one."""
        instrument = self._instruments.by_token.get(signal.instrument_token)
        other_side = quote.ask if signal.side is Side.BUY else quote.bid
        met = quote.last_price if other_side is None else other_side
        return None if instrument is None else instrument.quantize(met)
