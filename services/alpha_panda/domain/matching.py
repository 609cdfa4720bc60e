"""Paper matching: what a venue would do with an order, given the prices seen. Pure, and the same for the same seed.

The model knows last prices, perhaps the best bid and ask at submission, and no book. What is against the trader: fills
are rounded to the tick grid and slipped against him, a range fills a limit at its worst price, and what is not known
(which came first, what came before) counts against him. What is for him, and a real venue would not grant: the market
has any quantity at that price, a touch of the limit is a fill (nobody is before him in the queue), and there is no
latency, so an order trades on the prices that its strategy saw. Paper results flatter; slippage is the means against it.

* MARKET fills at the ask (BUY) or the bid (SELL) of the quote it arrives on, at the last price if there is none; that
  is worsened by slippage, on the tick grid rounded against the trader.
* LIMIT, when it arrives, trades if that same price is within its limit. At rest it fills when a last price touches it
  (touch = fill), at the worst price of what was seen, with slippage, but never worse than its limit. So an order that
  rests gets its limit when the price comes to it, and the better price only if the whole range has gapped through
  the limit.
* STOP is reached by the range's extreme (BUY: at or above the trigger, SELL: at or below), then trades as MARKET
  from the worse of trigger and last price (bid or ask, if it is reached as it arrives).
* STOP_LIMIT, once reached, is a LIMIT. In the range that reached it only the last price counts: what came before
  the trigger is not known.
* IOC takes what it gets at submission and ends CANCELLED with that, with code NO_FILL if that was nothing.
* With `partial_fill_ratio`, that share of orders (chosen by hash of seed and signal id) fills in parts of whole
  lots: a quarter to three quarters of what is open each time. The rest of a MARKET order, or of a STOP that was
  reached, takes the last price of the ranges that follow.

Money stays exact. Quantity, amount, average price and fees of an outcome are cumulative, and the amount *is* the
truth: the sum of the parts' price times quantity, by which a book moves cash. The average price is for display: the
exact quotient where that ends within 28 digits, else rounded to 10 places (or the tick size's, if those are more),
which can't carry it past a limit on the tick grid. Fees are the commission on the amount, half-up to 4 places.
"""

import hashlib
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal
from typing import Final

import msgspec

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, OrderType, Side, Validity
from alpha_panda.contracts.events import ZERO, Signal
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.contracts.stored import JournalEntry, Outcome, PriceRange
from alpha_panda.domain.exact import amount_of, bounded, wide

FEE_STEP: Final = Decimal("0.0001")
"""Fees are multiples of this."""

AVERAGE_PLACES: Final = 10
"""Decimal places of an average price whose exact value does not end."""

_BPS: Final = Decimal(10_000)
_DIGITS: Final = 28  # Decimal's default precision, which readers of the event may compute with
_HASH_BITS: Final = 64
_STOPS: Final = (OrderType.STOP, OrderType.STOP_LIMIT)
_LIMITS: Final = (OrderType.LIMIT, OrderType.STOP_LIMIT)


@dataclass(frozen=True, slots=True)
class PaperTerms:
    """Terms of a paper venue: slippage and commission in basis points, the share (0 to 1) of orders in parts."""

    slippage_bps: Decimal = ZERO
    commission_bps: Decimal = ZERO
    partial_fill_ratio: Decimal = ZERO
    seed: int = 0


@dataclass(frozen=True, slots=True)
class _Seen:
    """Prices seen, as one side of the market judges them: `best` is the lowest for BUY, the highest for SELL."""

    best: Decimal
    worst: Decimal
    last: Decimal

    @classmethod
    def once(cls, price: Decimal) -> "_Seen":
        return cls(price, price, price)


def match_new(
    signal: Signal,
    instrument: Instrument,
    last_price: float | Decimal | None,
    terms: PaperTerms,
    opposite: float | None = None,
) -> Outcome:
    """Return what becomes of an order that arrives now: FILLED, PARTIALLY_FILLED, PLACED or CANCELLED.

    `opposite` is the best price of the other side (the ask for BUY, the bid for SELL), if the quote has one.

    FAILED (SCHEMA_INVALID, PRICE_MISSING) for an order without the prices its type needs, or a last price that
    is none: a venue would refuse both. Without any last price (None: there is none that may be traded on) nothing
    trades: a LIMIT or STOP_LIMIT rests and waits for prices to come, any other order fails with PRICE_MISSING.
    """
    last = None if last_price is None else _exact(last_price)
    refusal = _refusal(signal, last)
    if refusal is not None:
        return refusal
    outcome = Outcome(state=EntryState.PLACED)
    if last is not None:
        other = None if opposite is None else _exact(opposite)
        at = other if other is not None and _usable(other) else None
        outcome = _advance(signal, outcome, _Seen.once(last), instrument, terms, at)
    if signal.validity is not Validity.IOC or outcome.state is EntryState.FILLED:
        return outcome
    if outcome.filled_quantity:
        return _ended(outcome, None, "IOC: the rest found nothing to trade with")
    return _ended(outcome, Code.NO_FILL, "IOC: nothing to trade with")


def match_resting(
    entry: JournalEntry, instrument: Instrument, price_range: PriceRange, terms: PaperTerms
) -> Outcome | None:
    """Return what a range of prices does to a resting order; None if it changes nothing.

    PLACED with `triggered` is a change: a STOP_LIMIT was reached. A range no newer than the quote that the order
    was sent on is ignored: the order did not rest yet.
    """
    prices = _exact(price_range.low), _exact(price_range.high), _exact(price_range.last)
    known = entry.quote_ts is not None and price_range.ts <= entry.quote_ts
    if not entry.state.resting or known or not all(map(_usable, prices)):
        return None
    low, high, last = prices
    seen = _Seen(low, high, last) if entry.signal.side is Side.BUY else _Seen(high, low, last)
    before = outcome_of(entry)
    after = _advance(entry.signal, before, seen, instrument, terms)
    return None if after == before else after


def expire(entry: JournalEntry) -> Outcome:
    """Return the end of a DAY order whose session is over: CANCELLED with what was filled."""
    return cancel(entry, Code.SESSION_ENDED, "the session of this DAY order has ended")


def cancel(entry: JournalEntry, code: Code, message: str) -> Outcome:
    """Return the end of a resting order that is cancelled for the reason given, with what was filled."""
    return _ended(outcome_of(entry), code, message)


def outcome_of(entry: JournalEntry) -> Outcome:
    """Return what the entry has come to so far."""
    return Outcome(
        state=entry.state,
        filled_quantity=entry.filled_quantity,
        average_price=entry.average_price,
        amount=entry.amount,
        fees=entry.fees,
        broker_order_id=entry.broker_order_id,
        triggered=entry.triggered,
        code=entry.code,
        message=entry.message,
    )


def _exact(price: float | Decimal) -> Decimal:
    return price if isinstance(price, Decimal) else Decimal(repr(price))


def _usable(number: Decimal) -> bool:
    """Whether a price or a quantity is positive and of a size that can be reckoned with."""
    return bounded(number) and number > 0


def _ended(outcome: Outcome, code: Code | None, message: str) -> Outcome:
    return msgspec.structs.replace(outcome, state=EntryState.CANCELLED, code=code, message=message)


def _refusal(signal: Signal, last: Decimal | None) -> Outcome | None:
    """Return why the venue can't take the order, if so. Risk has checked all this: a second line."""
    needed = [signal.quantity]
    if signal.order_type in _LIMITS:
        needed.append(signal.limit_price or ZERO)
    if signal.order_type in _STOPS:
        needed.append(signal.trigger_price or ZERO)
    if not all(map(_usable, needed)):
        message = f"a {signal.order_type} order needs a positive quantity and the prices of its type"
        return Outcome(state=EntryState.FAILED, code=Code.SCHEMA_INVALID, message=message)
    if last is None and signal.order_type in _LIMITS:
        return None
    if last is None or not _usable(last):
        message = f"no price of {signal.symbol}" if last is None else f"last price {last} is not a price"
        return Outcome(state=EntryState.FAILED, code=Code.PRICE_MISSING, message=message)
    return None


def _advance(  # noqa: PLR0913, PLR0917 - all that an order meets
    signal: Signal,
    before: Outcome,
    seen: _Seen,
    instrument: Instrument,
    terms: PaperTerms,
    at: Decimal | None = None,
) -> Outcome:
    """Return the order after the prices seen: triggered, filled, in part or not at all.

    Triggers look at the prices seen; what trades, trades at `at` if that is given.
    """
    if signal.order_type in _STOPS and not before.triggered:
        trigger = signal.trigger_price or ZERO
        if not _at_least_as_bad(signal.side, seen.worst, trigger):
            return before
        before = msgspec.structs.replace(before, triggered=True)
        is_stop = signal.order_type is OrderType.STOP
        base = seen.last if at is None else at
        seen = _Seen.once(_worse(signal.side, trigger, base) if is_stop else base)
    elif at is not None:
        seen = _Seen.once(at)
    price = _price(signal, seen, instrument, terms)
    return before if price is None else _fill(signal, before, price, instrument, terms)


def _price(signal: Signal, seen: _Seen, instrument: Instrument, terms: PaperTerms) -> Decimal | None:
    """Return the price at which the order trades, None if it doesn't."""
    if signal.order_type not in _LIMITS:
        return _slipped(signal.side, seen.last, instrument, terms)
    limit = signal.limit_price or ZERO
    if not _at_least_as_bad(signal.side, limit, seen.best):
        return None
    return _better(signal.side, limit, _slipped(signal.side, seen.worst, instrument, terms))


def _at_least_as_bad(side: Side, price: Decimal, other: Decimal) -> bool:
    """Whether trading at `price` is no better for the side than at `other`."""
    return price >= other if side is Side.BUY else price <= other


def _worse(side: Side, one: Decimal, other: Decimal) -> Decimal:
    return max(one, other) if side is Side.BUY else min(one, other)


def _better(side: Side, one: Decimal, other: Decimal) -> Decimal:
    return min(one, other) if side is Side.BUY else max(one, other)


def _slipped(side: Side, price: Decimal, instrument: Instrument, terms: PaperTerms) -> Decimal:
    """Return the price worsened by slippage, on the tick grid: up for BUY, down for SELL but at least one tick."""
    with wide():
        steps, rest = divmod(price * (1 + side.sign * terms.slippage_bps / _BPS), instrument.tick_size)
        if rest and side is Side.BUY:
            steps += 1
        return max(steps, Decimal(1)) * instrument.tick_size


def _fill(
    signal: Signal, before: Outcome, price: Decimal, instrument: Instrument, terms: PaperTerms
) -> Outcome:
    """Return the order after a trade at `price` of all that is open, or of a part of it."""
    quantity = _part(signal, before.filled_quantity, instrument, terms)
    filled = before.filled_quantity + quantity
    with wide():
        so_far = amount_of(before.filled_quantity, before.average_price, before.amount)
        amount = so_far + price * quantity
        fees = (amount * terms.commission_bps / _BPS).quantize(FEE_STEP, ROUND_HALF_UP)
    return msgspec.structs.replace(
        before,
        state=EntryState.FILLED if filled == signal.quantity else EntryState.PARTIALLY_FILLED,
        filled_quantity=filled,
        average_price=_average(amount, filled, price, instrument),
        amount=amount,
        fees=max(before.fees, fees),
    )


def _average(amount: Decimal, filled: Decimal, price: Decimal, instrument: Instrument) -> Decimal:
    """Return the average price; see the module for its precision."""
    with wide():
        if price * filled == amount:
            return price
        average = amount / filled
        if average * filled == amount and len(average.as_tuple().digits) <= _DIGITS:
            return average
        places = max(AVERAGE_PLACES, -_exponent(instrument.tick_size))
        return average.quantize(Decimal(1).scaleb(-places), ROUND_HALF_EVEN)


def _exponent(number: Decimal) -> int:
    exponent = number.as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0  # a word for NaN and infinity, which no tick size is


def _part(signal: Signal, filled: Decimal, instrument: Instrument, terms: PaperTerms) -> Decimal:
    """Return how much trades now: all that is open, or whole lots of it if this order fills in parts."""
    left = signal.quantity - filled
    lots = int(left // instrument.lot_size)
    if lots <= 1 or not _in_parts(signal, terms):
        return left
    share = _hash(terms.seed, signal.signal_id, f"part after {filled.normalize():f}")
    quarters = lots * (1 + share % 3)  # 1, 2 or 3 quarters of the lots, rounded up; never all
    return min(-(-quarters // 4), lots - 1) * instrument.lot_size


def _in_parts(signal: Signal, terms: PaperTerms) -> bool:
    """Whether the order belongs to the share that fills in parts."""
    if not terms.partial_fill_ratio:
        return False
    return _hash(terms.seed, signal.signal_id, "in parts") < int(terms.partial_fill_ratio * 2**_HASH_BITS)


def _hash(seed: int, signal_id: str, step: str) -> int:
    """Return 64 bits that depend on nothing but the arguments."""
    digest = hashlib.sha256(f"{seed}:{signal_id}:{step}".encode()).digest()
    return int.from_bytes(digest[: _HASH_BITS // 8], "big")
