"""Instruments and the master that maps symbols to tokens."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import ROUND_HALF_EVEN, Decimal

from alpha_panda.errors import UnknownInstrumentError


@dataclass(frozen=True, slots=True)
class Instrument:
    """One tradable thing. `tick_size` is the smallest price step, `lot_size` the smallest quantity step.

    `freeze_quantity` is the most the exchange takes in one order; `price_band` the lowest and highest price it
    takes today; `stale_after_ns` how old a quote may be (None: the feed's limit).
    """

    token: int
    symbol: str
    tick_size: Decimal
    lot_size: Decimal = Decimal(1)
    kind: str = "EQ"
    freeze_quantity: Decimal | None = None
    expiry: date | None = None
    price_band: tuple[Decimal, Decimal] | None = None
    reference_price: Decimal | None = None
    stale_after_ns: int | None = None

    @property
    def exchange(self) -> str:
        """The part of the symbol before the colon."""
        return self.symbol.partition(":")[0]

    def quantize(self, price: float | Decimal) -> Decimal:
        """Return the price as a Decimal on the instrument's tick grid (nearest, ties to even)."""
        exact = price if isinstance(price, Decimal) else Decimal(repr(price))
        return (exact / self.tick_size).to_integral_value(ROUND_HALF_EVEN) * self.tick_size

    def on_tick_grid(self, price: Decimal) -> bool:
        """Whether the price is a multiple of the tick size."""
        return price % self.tick_size == 0

    def on_lot_grid(self, quantity: Decimal) -> bool:
        """Whether the quantity is a multiple of the lot size."""
        return quantity % self.lot_size == 0


@dataclass(frozen=True, slots=True)
class InstrumentMaster:
    """The instruments of one feed, by token and by symbol."""

    by_token: Mapping[int, Instrument]
    by_symbol: Mapping[str, Instrument] = field(repr=False)

    @classmethod
    def of(cls, instruments: Iterable[Instrument]) -> "InstrumentMaster":
        """Index the instruments; tokens and symbols must be unique (the manifest models check that)."""
        items = tuple(instruments)
        return cls({item.token: item for item in items}, {item.symbol: item for item in items})

    def __iter__(self) -> Iterator[Instrument]:
        return iter(self.by_token.values())

    def __len__(self) -> int:
        return len(self.by_token)

    def symbol(self, symbol: str) -> Instrument:
        """Return the instrument of a symbol, or raise UnknownInstrumentError."""
        try:
            return self.by_symbol[symbol]
        except KeyError:
            raise UnknownInstrumentError(f"symbol {symbol!r} is not in the instrument master") from None

    def token(self, token: int) -> Instrument:
        """Return the instrument of a token, or raise UnknownInstrumentError."""
        try:
            return self.by_token[token]
        except KeyError:
            raise UnknownInstrumentError(f"token {token} is not in the instrument master") from None
