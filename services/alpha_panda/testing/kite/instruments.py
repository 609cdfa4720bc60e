"""Instruments of all segments: some that exist, with their real tokens and made-up prices, and as many made up.

token = exchange token * 256 + segment; a price on the wire is an int: the price times the segment's divisor.
"""

import csv
import io
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

HEADER: Final = (
    "instrument_token", "exchange_token", "tradingsymbol", "name", "last_price", "expiry", "strike", "tick_size",
    "lot_size", "instrument_type", "segment", "exchange",
)  # fmt: skip

NSE, NFO, CDS, BSE, BFO, BCD, MCX, INDICES, NCO = 1, 2, 3, 4, 5, 6, 7, 9, 12

DIVISORS: Final = {
    NSE: 100,
    NFO: 100,
    CDS: 10_000_000,
    BSE: 100,
    BFO: 100,
    BCD: 10_000,
    MCX: 100,
    INDICES: 100,
    NCO: 10_000,
}
"""Units of a price on the wire. NCO's is known from the Python client 5.2.2 alone, the other clients use 100."""

RELIANCE: Final = 738561
INFY: Final = 408065
SBIN: Final = 779521
IOC: Final = 415745
MAHINDRA: Final = 519937
"""NSE:M&M."""
NIFTY_50: Final = 256265
NIFTY_BANK: Final = 260105
SENSEX: Final = 265


@dataclass(frozen=True, slots=True)
class KiteInstrument:
    """One row of the dump, and what the dump doesn't tell: `multiplier`, `freeze_quantity`, the band of prices.

    `price` is where trading begins; `band` the percent around it where orders are taken.
    """

    token: int
    tradingsymbol: str
    exchange: str
    segment: str
    price: Decimal
    name: str = ""
    instrument_type: str = "EQ"
    tick_size: Decimal = Decimal("0.05")
    lot_size: int = 1
    expiry: date | None = None
    strike: Decimal = Decimal(0)
    multiplier: int = 1
    freeze_quantity: int = 100_000
    band: Decimal = Decimal(20)

    @property
    def key(self) -> str:
        """`NSE:RELIANCE`."""
        return f"{self.exchange}:{self.tradingsymbol}"

    @property
    def tradable(self) -> bool:
        """Whether it takes orders: indices don't."""
        return self.token & 0xFF != INDICES

    @property
    def divisor(self) -> int:
        """Units of its prices on the wire."""
        return DIVISORS.get(self.token & 0xFF, 100)

    @property
    def limits(self) -> tuple[Decimal, Decimal]:
        """The lowest and the highest price of an order."""
        width = self.price * self.band / 100
        return self.on_grid(self.price - width), self.on_grid(self.price + width)

    @property
    def isin(self) -> str:
        """Made up from the token."""
        return f"INE{self.token % 10**9:09d}"

    def on_grid(self, price: Decimal) -> Decimal:
        """Return the price on the tick grid, rounded down."""
        return price // self.tick_size * self.tick_size if self.tick_size else price


class InstrumentDump:
    """All instruments, by token and by `EXCHANGE:SYMBOL`."""

    def __init__(self, instruments: Iterable[KiteInstrument]) -> None:
        self.by_token = {item.token: item for item in instruments}
        self.by_key = {item.key: item for item in self.by_token.values()}

    def __iter__(self) -> Iterator[KiteInstrument]:
        return iter(self.by_token.values())

    def __len__(self) -> int:
        return len(self.by_token)

    def find(self, name: str) -> KiteInstrument | None:
        """Return the instrument of a symbol with its exchange, or of a token in digits."""
        return self.by_token.get(int(name)) if name.isdigit() else self.by_key.get(name)

    def csv(self, exchange: str | None = None) -> bytes:
        """Return the dump as Kite writes it: of one exchange, or of all."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows(_cells(item) for item in self if exchange in (None, item.exchange))
        return text.getvalue().encode()


def _cells(item: KiteInstrument) -> tuple[object, ...]:
    """Return one row. `last_price` is no live price; mostly it is 0."""
    expiry = "" if item.expiry is None else item.expiry.isoformat()
    return (
        item.token, item.token >> 8, item.tradingsymbol, item.name, 0, expiry, item.strike, item.tick_size,
        item.lot_size, item.instrument_type, item.segment, item.exchange,
    )  # fmt: skip


def _stock(token: int, symbol: str, name: str, price: int, tick: str = "0.05") -> KiteInstrument:
    return KiteInstrument(token, symbol, "NSE", "NSE", Decimal(price), name, tick_size=Decimal(tick))


def _index(token: int, symbol: str, exchange: str, price: int) -> KiteInstrument:
    return KiteInstrument(
        token, symbol, exchange, "INDICES", Decimal(price), symbol, tick_size=Decimal(0), lot_size=0
    )


def known(today: date) -> tuple[KiteInstrument, ...]:
    """Return some of every segment; what expires does so on the last day of this month or the next ones."""
    near, far = _month_end(today), _month_end(_month_end(today) + timedelta(days=1))
    month, cents = near.strftime("%y%b").upper(), Decimal("0.0025")
    past = today - timedelta(days=1)
    future = KiteInstrument(
        (53001 << 8) + NFO, f"NIFTY{month}FUT", "NFO", "NFO-FUT", Decimal(24_100), "NIFTY", "FUT", Decimal("0.1"),
        75, near, freeze_quantity=1800,
    )  # fmt: skip
    call = replace(
        future, token=(53101 << 8) + NFO, tradingsymbol=f"NIFTY{month}24000CE", segment="NFO-OPT",
        instrument_type="CE", strike=Decimal(24_000), price=Decimal(320), tick_size=Decimal("0.05"),
    )  # fmt: skip
    later = far.strftime("%y%b").upper()
    return (
        _stock(RELIANCE, "RELIANCE", "RELIANCE INDUSTRIES", 1400),
        _stock(INFY, "INFY", "INFOSYS", 1500),
        _stock(SBIN, "SBIN", "STATE BANK OF INDIA", 800),
        _stock(IOC, "IOC", "INDIAN OIL CORP", 140, "0.01"),
        _stock(MAHINDRA, "M&M", "MAHINDRA, & MAHINDRA", 3000),
        _stock((14898 << 8) + NSE, "CENTRALBK-BE", "CENTRAL BANK OF INDIA", 50, "0.01"),
        _index(NIFTY_50, "NIFTY 50", "NSE", 24_000),
        _index(NIFTY_BANK, "NIFTY BANK", "NSE", 52_000),
        _index(SENSEX, "SENSEX", "BSE", 79_000),
        KiteInstrument((500112 << 8) + BSE, "SBIN", "BSE", "BSE", Decimal(800), "STATE BANK OF INDIA"),
        future,
        replace(future, token=(53002 << 8) + NFO, tradingsymbol=f"NIFTY{later}FUT", expiry=far),
        replace(future, token=(53000 << 8) + NFO, tradingsymbol=f"NIFTY{past:%y%b}OLDFUT".upper(), expiry=past),
        call,
        replace(call, token=(53102 << 8) + NFO, tradingsymbol=f"NIFTY{month}24000PE", instrument_type="PE", price=Decimal(210)),
        KiteInstrument(
            (1612 << 8) + CDS, f"USDINR{month}FUT", "CDS", "CDS-FUT", Decimal("86.5025"), "USDINR", "FUT", cents,
            1, near, multiplier=1000,
        ),
        KiteInstrument(
            (1712 << 8) + BCD, f"USDINR{month}FUT", "BCD", "BCD-FUT", Decimal("86.4975"), "USDINR", "FUT", cents,
            1, near, multiplier=1000,
        ),
        KiteInstrument(
            (850001 << 8) + BFO, f"SENSEX{month}FUT", "BFO", "BFO-FUT", Decimal(79_300), "SENSEX", "FUT",
            Decimal("0.05"), 20, near,
        ),
        KiteInstrument(
            (430100 << 8) + MCX, f"GOLDM{month}FUT", "MCX", "MCX-FUT", Decimal(125_000), "GOLDM", "FUT", Decimal(1),
            1, near, multiplier=10,
        ),
        KiteInstrument(
            (430200 << 8) + MCX, f"CRUDEOIL{month}FUT", "MCX", "MCX-FUT", Decimal(5_400), "CRUDEOIL", "FUT",
            Decimal(1), 1, near, multiplier=100,
        ),
        KiteInstrument(
            (7001 << 8) + NCO, f"GUARSEED{month}FUT", "NCO", "NCO-FUT", Decimal(5_300), "GUARSEED", "FUT",
            Decimal(1), 1, near, multiplier=50,
        ),
    )  # fmt: skip


def instruments(today: date, count: int = 0, seed: int = 0) -> InstrumentDump:
    """Return those of `known`, and made-up stocks (`NSE:STOCK00001` …) until there are `count`."""
    made: Sequence[KiteInstrument] = known(today)
    draw = random.Random(seed)  # noqa: S311 - prices of a made-up market
    stocks = (_made_up(number, draw) for number in range(1, max(0, count - len(made)) + 1))
    return InstrumentDump((*made, *stocks))


def _made_up(number: int, draw: random.Random) -> KiteInstrument:
    tick = Decimal("0.05")
    price = Decimal(draw.randrange(400, 100_000)) * tick
    return KiteInstrument(
        ((200_000 + number) << 8) + NSE,
        f"STOCK{number:05d}",
        "NSE",
        "NSE",
        price,
        f"MADE UP {number}",
        tick_size=tick,
    )


def _month_end(day: date) -> date:
    return (day.replace(day=1) + timedelta(days=32)).replace(day=1) - timedelta(days=1)
