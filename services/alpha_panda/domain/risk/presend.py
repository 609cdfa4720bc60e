"""What is checked again just before an order is sent: what may have changed since the gate let it pass."""

from dataclasses import dataclass
from decimal import Decimal

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import SignalClass
from alpha_panda.contracts.events import Signal
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.contracts.stored import PriceReading, Quote
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
    token_valid: bool = True


def send_fault(facts: SendFacts) -> Outcome | None:
    """Return the first reason not to send, or None."""
    instrument = facts.instrument
    if instrument is None:
        return refused(Code.INSTRUMENT_UNKNOWN, f"token {facts.signal.instrument_token} is not in the feed")
    if not facts.token_valid:
        return refused(Code.ACCESS_TOKEN_EXPIRED, "the broker's access token is no longer valid")
    reducing = facts.signal_class is SignalClass.REDUCING
    if facts.session.code is not None and not (reducing and facts.session.reducing_allowed):
        return refused(facts.session.code, facts.session.message)
    if not pricing.needs_price(facts.signal, reducing=reducing):
        return None
    fault = _price_fault(facts, instrument)
    quote = facts.price.quote
    if fault is not None or quote is None or reducing:
        return fault
    return _collar_fault(facts, instrument, quote)


def tradable_price(facts: SendFacts) -> PriceReading:
    """Return the reading, without its quote if that is none to trade on: missing, of another mode, or too old.

    A reducing LIMIT is sent without a fresh price; a venue that matches against the quote must not use a stale one.
    """
    instrument = facts.instrument
    if instrument is not None and _price_fault(facts, instrument) is None:
        return facts.price
    return PriceReading(quote=None, heartbeat_ts=facts.price.heartbeat_ts)


def _price_fault(facts: SendFacts, instrument: Instrument) -> Outcome | None:
    """Return the first reason not to trade on the quote, or None."""
    quote = facts.price.quote
    present = pricing.presence(quote, instrument)
    if present.code is not None or quote is None:
        return present
    return _first_fault(
        pricing.mode(quote, facts.price_rules),
        pricing.freshness(facts.price, quote, instrument, facts.price_rules, facts.now),
    )


def _collar_fault(facts: SendFacts, instrument: Instrument, quote: Quote) -> Outcome | None:
    signal = facts.signal
    prices = [price for price in (signal.limit_price, signal.trigger_price) if price is not None]
    return _first_fault(pricing.collar(prices, instrument.quantize(quote.last_price), facts.price_collar_bps))


def _first_fault(*outcomes: Outcome | None) -> Outcome | None:
    return next((outcome for outcome in outcomes if outcome is not None and outcome.code is not None), None)
