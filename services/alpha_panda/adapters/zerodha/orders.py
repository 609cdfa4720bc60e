"""An order as Kite takes it, or why it is not sent at all. Pure.

All that can be known beforehand is refused here, with our own code: what Kite refuses still counts toward its limits.
"""

import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final
from urllib.parse import quote, urlencode

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, OrderType, Validity
from alpha_panda.contracts.instruments import Instrument, InstrumentMaster
from alpha_panda.contracts.stored import JournalEntry, Outcome

from .pace import PaceLimits
from .wire import LOTS_NOT_KNOWN, ORDER_TYPES, VALIDITIES, sound, units_of

REGULAR: Final = "regular"
"""The one variety that is placed."""

EXCHANGES: Final = frozenset({"NSE", "BSE", "NFO", "BFO", "CDS", "BCD", "MCX", "NCO"})
NO_IOC: Final = frozenset({"MCX"})
"""Exchanges that take no IOC orders by API, since 2026-04-01."""

PROTECTED: Final = frozenset({OrderType.MARKET, OrderType.STOP})
"""Orders that Kite refuses without a market protection, since 2026-04-01."""

TAG: Final = re.compile(r"[A-Za-z0-9]{1,20}")
MOST_QUANTITY: Final = Decimal(10) ** 9


@dataclass(frozen=True, slots=True, kw_only=True)
class ZerodhaTerms:
    """How an account trades.

    Attributes:
        user_id: whose account it is: books and sessions of others are refused.
        product: MIS, CNC or NRML: of all orders.
        live: False: all is done but the call, see `Code.DRY_RUN`.
        market_protection: percent from the last price, -1: the broker chooses; of MARKET and STOP orders.
        algo_id: the exchange's id of the algorithm; "": none is sent.
        ttl_minutes: DAY orders are sent with validity TTL and end after so many minutes; None: at the session's end.
        limits: how many calls in a second, a minute and a day.

    """

    user_id: str
    product: str
    live: bool
    market_protection: Decimal = Decimal(-1)
    algo_id: str = ""
    ttl_minutes: int | None = None
    limits: PaceLimits = field(default_factory=PaceLimits)


@dataclass(frozen=True, slots=True)
class Request:
    """One call. `form` travels in the body, or in the query of what has none."""

    method: str
    path: str
    form: tuple[tuple[str, str], ...] = ()

    @property
    def encoded(self) -> str:
        """The form, url-encoded: an `&` within a symbol ends nothing."""
        return urlencode(self.form)

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.encoded}".rstrip()


def place_request(entry: JournalEntry, terms: ZerodhaTerms, master: InstrumentMaster) -> Request | Outcome:
    """Return the call that places the order, or FAILED where it would be refused, or not be the order that is meant."""
    instrument = master.by_token.get(entry.signal.instrument_token)
    if instrument is None or instrument.symbol != entry.signal.symbol:
        return failed(
            Code.INSTRUMENT_UNKNOWN, f"{entry.signal.symbol} has another token today, or is not listed"
        )
    refusal = _refusal(entry, instrument)
    return refusal or Request("POST", f"/orders/{REGULAR}", _form(entry, terms, instrument))


def cancel_request(order_id: str, variety: str) -> Request:
    """Return the call that cancels an order."""
    return Request("DELETE", f"/orders/{quote(variety, safe='')}/{quote(order_id, safe='')}")


def failed(code: Code, message: str) -> Outcome:
    """Return a refusal of our own: nothing was sent."""
    return Outcome(state=EntryState.FAILED, code=code, message=message)


def _form(entry: JournalEntry, terms: ZerodhaTerms, instrument: Instrument) -> tuple[tuple[str, str], ...]:
    signal = entry.signal
    exchange, _, symbol = instrument.symbol.partition(":")
    fields = [
        ("exchange", exchange),
        ("tradingsymbol", symbol),
        ("transaction_type", signal.side.value),
        ("order_type", ORDER_TYPES[signal.order_type]),
        ("quantity", plain(signal.quantity / units_of(instrument, exchange))),
        ("product", terms.product),
        *_validity(signal.validity, terms),
        ("tag", entry.tag),
    ]
    if signal.limit_price is not None:
        fields.append(("price", plain(signal.limit_price)))
    if signal.trigger_price is not None:
        fields.append(("trigger_price", plain(signal.trigger_price)))
    if signal.order_type in PROTECTED:
        fields.append(("market_protection", plain(terms.market_protection)))
    if terms.algo_id:
        fields.append(("algo_id", terms.algo_id))
    return tuple(fields)


def _validity(validity: Validity, terms: ZerodhaTerms) -> list[tuple[str, str]]:
    if validity is Validity.DAY and terms.ttl_minutes is not None:
        return [("validity", "TTL"), ("validity_ttl", str(terms.ttl_minutes))]
    return [("validity", VALIDITIES[validity])]


def _refusal(entry: JournalEntry, instrument: Instrument) -> Outcome | None:
    signal = entry.signal
    if TAG.fullmatch(entry.tag) is None:
        return failed(Code.INTERNAL_ERROR, "an order without a tag can't be found again")
    if instrument.exchange not in EXCHANGES:
        return failed(Code.INSTRUMENT_UNKNOWN, f"Kite has no exchange {instrument.exchange}")
    if signal.validity is Validity.IOC and instrument.exchange in NO_IOC:
        return failed(Code.VALIDITY_NOT_ALLOWED, f"{instrument.exchange} takes no IOC orders by API")
    return _quantity_refusal(signal.quantity, instrument) or _price_refusal(entry, instrument)


def _quantity_refusal(quantity: Decimal, instrument: Instrument) -> Outcome | None:
    if instrument.exchange in LOTS_NOT_KNOWN and instrument.lot_size != 1:
        problem = f"on {instrument.exchange} only a lot size of 1 is sure to mean what Kite means"
        return failed(Code.LOT_SIZE, problem)
    if not sound(quantity) or instrument.lot_size <= 0 or not 0 < quantity < MOST_QUANTITY:
        return failed(Code.LOT_SIZE, f"{quantity} of lots of {instrument.lot_size} can't be ordered")
    if not instrument.on_lot_grid(quantity) or quantity / units_of(instrument, instrument.exchange) % 1:
        return failed(Code.LOT_SIZE, f"{quantity} is no whole number of lots of {instrument.lot_size}")
    return None


def _price_refusal(entry: JournalEntry, instrument: Instrument) -> Outcome | None:
    """Refuse prices that the order type lacks or has too much, and what is not on the tick grid."""
    signal = entry.signal
    limited = signal.order_type in (OrderType.LIMIT, OrderType.STOP_LIMIT)
    triggered = signal.order_type in (OrderType.STOP, OrderType.STOP_LIMIT)
    prices = (signal.limit_price, signal.trigger_price)
    if tuple(price is not None for price in prices) != (limited, triggered):
        return failed(Code.SCHEMA_INVALID, f"the prices don't fit a {signal.order_type.value} order")
    for price in prices:
        if price is not None and not _is_price(price, instrument):
            return failed(Code.TICK_SIZE, f"{price} is no multiple of the tick size {instrument.tick_size}")
    return None


def _is_price(price: Decimal, instrument: Instrument) -> bool:
    return sound(price) and price > 0 and instrument.tick_size > 0 and instrument.on_tick_grid(price)


def plain(number: Decimal) -> str:
    """Return a number without exponent and without zeros that say nothing: 100, 1500.5, -1."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
