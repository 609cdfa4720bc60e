"""Prices: one `Quote` an instrument, in units of the wire, and a seeded walk that moves them."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from alpha_panda.contracts.units import SECOND_NS

from .instruments import InstrumentDump, KiteInstrument

_STEPS = (-3, -2, -1, -1, 1, 1, 2, 3)
_LOTS = 20


@dataclass(slots=True)
class Quote:
    """What is known of one instrument's trading today. Prices in units of the wire (see `instruments.DIVISORS`).

    Times are seconds since 1970. `tick` is the smallest step; `traded` the sum of price * quantity; `floor` and
    `ceiling` are the day's range, which the walk doesn't leave: beyond it no order would be taken.
    """

    instrument: KiteInstrument
    last: int
    tick: int
    open: int
    high: int
    low: int
    close: int
    floor: int
    ceiling: int
    quantity: int = 0
    volume: int = 0
    traded: int = 0
    interest: int = 0
    interest_high: int = 0
    interest_low: int = 0
    traded_at: int = 0
    ts: int = 0

    @property
    def price(self) -> Decimal:
        """The last price in rupees."""
        return self.decimal(self.last)

    @property
    def average(self) -> int:
        """Average price of the day's volume, in units."""
        return self.traded // self.volume if self.volume else 0

    def decimal(self, units: int) -> Decimal:
        """Return a price in rupees."""
        return Decimal(units) / self.instrument.divisor

    def trade(self, units: int, quantity: int, seconds: int) -> None:
        """Move the last price."""
        self.last = units
        self.high = max(self.high, units)
        self.low = min(self.low, units)
        self.quantity = quantity
        self.volume += quantity
        self.traded += units * quantity
        self.traded_at = self.ts = seconds


def _begin(item: KiteInstrument) -> Quote:
    units = int(item.price * item.divisor)
    low, high = item.limits
    interest = 0 if item.expiry is None else 1_000_000
    return Quote(
        instrument=item,
        last=units,
        tick=max(1, int(item.tick_size * item.divisor)),
        open=units,
        high=units,
        low=units,
        close=units,
        floor=int(low * item.divisor),
        ceiling=int(high * item.divisor),
        interest=interest,
        interest_high=interest,
        interest_low=interest,
    )


class Market:
    """All quotes. `walk` moves some at random; the same seed and calls always move the same way."""

    def __init__(self, dump: InstrumentDump, seed: int = 0) -> None:
        self.dump = dump
        self.quotes = {item.token: _begin(item) for item in dump}
        self._random = random.Random(seed)  # noqa: S311 - prices of a made-up market
        self._tokens = tuple(self.quotes)

    def begin(self, now: int) -> None:
        """Say that all last prices are of `now`."""
        for quote in self.quotes.values():
            quote.traded_at = quote.ts = now // SECOND_NS

    def price(self, token: int) -> Decimal:
        """Return the last price in rupees."""
        return self.quotes[token].price

    def set_price(self, token: int, price: Decimal, now: int, quantity: int = 1) -> None:
        """Move an instrument to this price in rupees."""
        quote = self.quotes[token]
        quote.trade(int(price * quote.instrument.divisor), quantity, now // SECOND_NS)

    def walk(self, count: int, now: int, tokens: Sequence[int] | None = None) -> list[int]:
        """Let `count` of the tokens (None: of all) trade a few steps away from their last price; return which."""
        chosen = self._tokens if tokens is None else tokens
        seconds, draw, total = now // SECOND_NS, self._random.random, len(chosen)
        moved = []
        for _ in range(count if total else 0):
            token = chosen[int(draw() * total)]
            quote = self.quotes[token]
            units = quote.last + _STEPS[int(draw() * len(_STEPS))] * quote.tick
            quote.trade(min(max(units, quote.floor), quote.ceiling), 1 + int(draw() * _LOTS), seconds)
            moved.append(token)
        return moved

    def new_day(self) -> None:
        """Begin a day at yesterday's last prices."""
        for quote in self.quotes.values():
            quote.open = quote.high = quote.low = quote.close = quote.last
            quote.quantity = quote.volume = quote.traded = 0
