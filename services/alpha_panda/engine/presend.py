"""What the engine checks again just before it sends: all that may have changed since risk decided.

State, rate, doubt and expiry are checked inside BEGIN, in one step with the write; this is the rest. A fault here
is stored as FAILED before it is told.
"""

from dataclasses import dataclass, replace
from decimal import Decimal

from alpha_panda.contracts.enums import Side
from alpha_panda.contracts.events import Signal, ValidatedSignal
from alpha_panda.contracts.instruments import InstrumentMaster
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.stored import PriceReading, Quote
from alpha_panda.domain.risk.facts import PriceRules
from alpha_panda.domain.risk.outcome import Outcome
from alpha_panda.domain.risk.presend import SendFacts, send_fault, tradable_price
from alpha_panda.domain.sessions import SessionRules
from alpha_panda.runtime.context import ServiceContext
from alpha_panda.runtime.manifests import Derived
from alpha_panda.runtime.settings import Settings
from alpha_panda.runtime.venues import price_rules, rules_of


@dataclass(frozen=True, slots=True)
class _Terms:
    """What the present manifests say."""

    instruments: InstrumentMaster
    rules: SessionRules
    price_rules: PriceRules
    collar_bps: Decimal | None


def _terms(resources: ResourceSet, name: str, settings: Settings) -> _Terms:
    account = resources.accounts[name]
    feed = resources.feeds[account.spec.market_feed]
    return _Terms(
        feed.instruments,
        rules_of(feed, account),
        price_rules(feed, account, settings),
        account.spec.risk.price_collar_bps,
    )


class PreSend:
    """The account's rules for sending, as its manifests have them now."""

    def __init__(self, context: ServiceContext) -> None:
        self._terms = Derived(
            context.manifests, lambda resources: _terms(resources, context.resource, context.settings)
        )

    def fault(
        self,
        signal: Signal,
        decision: ValidatedSignal,
        reading: PriceReading,
        now: int,
        *,
        token_valid: bool = True,
    ) -> Outcome | None:
        """Return why the order may not be sent now, or None."""
        facts = self._facts(signal, decision, reading, now)
        return send_fault(replace(facts, token_valid=token_valid))

    def tradable(
        self, signal: Signal, decision: ValidatedSignal, reading: PriceReading, now: int
    ) -> PriceReading:
        """Return the reading to send the order on: without the quote, if that is none to trade on."""
        return tradable_price(self._facts(signal, decision, reading, now))

    def _facts(self, signal: Signal, decision: ValidatedSignal, reading: PriceReading, now: int) -> SendFacts:
        terms = self._terms()
        return SendFacts(
            signal=signal,
            signal_class=decision.signal_class,
            now=now,
            instrument=terms.instruments.by_token.get(signal.instrument_token),
            price=reading,
            price_rules=terms.price_rules,
            session=terms.rules.status(now),
            price_collar_bps=terms.collar_bps,
        )

    def price(self, signal: Signal, quote: Quote) -> Decimal | None:
        """Return the price that the order meets, on the tick grid: the other side's, else the last one."""
        instrument = self._terms().instruments.by_token.get(signal.instrument_token)
        other_side = quote.ask if signal.side is Side.BUY else quote.bid
        met = quote.last_price if other_side is None else other_side
        return None if instrument is None else instrument.quantize(met)
