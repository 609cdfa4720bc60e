"""What is checked again just before an order is sent: what may have changed since the gate let it pass."""

from dataclasses import dataclass
from decimal import Decimal

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import SignalClass
from alpha_panda.contracts.events import Signal
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.contracts.stored import PriceReading
from alpha_panda.domain.risk import pricing
from alpha_panda.domain.risk.facts import PriceRules
from alpha_panda.domain.risk.outcome import Outcome, refused
from alpha_panda.domain.sessions import SessionStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class SendFacts:
    """The facts at the moment of sending; `now` in UTC ns."""

    signal: Signal
    signal_class: SignalClass
    now: int
    instrument: Instrument | None
    price: PriceReading
    price_rules: PriceRules
    session: SessionStatus
    price_collar_bps: Decimal | None


def send_fault(facts: SendFacts) -> Outcome | None:
    """Return the first reason not to send, or None."""
    instrument = facts.instrument
    if instrument is None:
        return refused(Code.INSTRUMENT_UNKNOWN, f"token {facts.signal.instrument_token} is not in the feed")
    reducing = facts.signal_class is SignalClass.REDUCING
    if facts.session.code is not None and not (reducing and facts.session.reducing_allowed):
        return refused(facts.session.code, facts.session.message)
    if not pricing.needs_price(facts.signal, reducing=reducing):
        return None
    present = pricing.presence(facts.price.quote, instrument)
    quote = facts.price.quote
    if present.code is not None or quote is None:
        return present
    signal = facts.signal
    prices = [price for price in (signal.limit_price, signal.trigger_price) if price is not None]
    collar_bps = None if reducing else facts.price_collar_bps
    checks = (
        pricing.mode(quote, facts.price_rules),
        pricing.freshness(facts.price, quote, instrument, facts.price_rules, facts.now),
        pricing.collar(prices, instrument.quantize(quote.last_price), collar_bps),
    )
    return next((outcome for outcome in checks if outcome is not None and outcome.code is not None), None)
