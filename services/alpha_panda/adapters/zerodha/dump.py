"""Kite's daily list of all instruments: one CSV file, read as far as somebody asks. Pure but for reading the file.

The list is long (tens of thousands of rows) and a feed has few instruments, so a file is walked, never held. Rows that
make no sense are left out and counted; a file with too many of them, or far fewer rows than the one before, is none.
"""

import csv
import difflib
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Final

from alpha_panda.contracts.instruments import Instrument
from alpha_panda.errors import DependencyUnavailableError

from .wire import IN_LOTS, LOTS_NOT_KNOWN

SERVICE: Final = "zerodha instruments"
"""Name of the dependency in errors."""

COLUMNS: Final = (
    *("instrument_token", "exchange_token", "tradingsymbol", "name", "last_price", "expiry", "strike"),
    *("tick_size", "lot_size", "instrument_type", "segment", "exchange"),
)
INDICES: Final = "INDICES"
INDEX: Final = "INDEX"
"""Kind of an instrument that has a price and can't be traded; the list calls it EQ, of segment INDICES."""

INDEX_TICK: Final = Decimal("0.05")
"""Of an index whose row has none: some have 0, and prices are put on the grid of their tick size."""

LOTS_UNTOLD: Final = IN_LOTS | LOTS_NOT_KNOWN
"""Exchanges where the list's lot size is 1, of a lot, or may be that: what a lot is, and so what it costs (a thousand
dollars, a hundred barrels), stands nowhere in the list."""

MOST_BAD: Final = 0.05
"""Share of senseless rows beyond which the whole list is not believed."""
LEAST_OF_BEFORE: Final = 0.5
"""Share of the rows of the list before, below which a list is not believed: most likely it was cut short."""
NEAREST: Final = 3
"""How many alternatives are named."""


class Trouble(StrEnum):
    """Why a symbol can't be used."""

    UNKNOWN = "unknown"
    EXPIRED = "expired"
    AMBIGUOUS = "ambiguous"
    UNUSABLE = "unusable"


@dataclass(frozen=True, slots=True)
class Fault:
    """One symbol that can't be used, in words for whoever wrote it; `near`: what may be meant instead."""

    symbol: str
    trouble: Trouble
    problem: str
    near: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.problem + (f"; nearest: {', '.join(self.near)}" if self.near else "")


@dataclass(frozen=True, slots=True)
class Found:
    """What a list says of the symbols that were asked for: each is in one of the two."""

    instruments: dict[str, Instrument] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Audit:
    """What a look through the whole list shows."""

    rows: int
    bad: int
    exchanges: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Row:
    """A row that makes sense, with the numbers as they are written."""

    token: int
    symbol: str
    name: str
    expiry: date | None
    strike: str
    tick_size: str
    lot_size: str
    kind: str

    @property
    def exchange(self) -> str:
        """The part of the symbol before the colon."""
        return self.symbol.partition(":")[0]

    def instrument(self, lot_size: Decimal | None = None) -> Instrument:
        """Return it as services know it; `lot_size` instead of the list's."""
        return Instrument(
            token=self.token,
            symbol=self.symbol,
            tick_size=Decimal(self.tick_size) or INDEX_TICK,
            lot_size=lot_size or Decimal(self.lot_size) or Decimal(1),
            kind=self.kind,
            expiry=self.expiry,
        )

    def shown(self) -> str:
        """Return the symbol with its expiry, for a person who chooses."""
        return f"{self.symbol} ({self.expiry})" if self.expiry else self.symbol


class InstrumentDump:
    """The list of one day, in a file. Reading walks through all of it: some tenths of a second, and no memory."""

    def __init__(self, path: Path, day: date) -> None:
        self.path = path
        self.day = day

    def __repr__(self) -> str:
        return f"InstrumentDump({self.path.name})"

    def audit(self, before: int = 0) -> Audit:
        """Look through the list; `before`: how many rows the one before had.

        Raises:
            DependencyUnavailableError: it is none: another header, too many senseless rows, cut short.

        """
        total = bad = 0
        symbols: Counter[str] = Counter()
        tokens: Counter[int] = Counter()
        for row in self._rows():
            total += 1
            if row is None:
                bad += 1
            else:
                symbols[row.symbol] += 1
                tokens[row.token] += 1
        bad += sum(count - 1 for counted in (symbols, tokens) for count in counted.values() if count > 1)
        if total - bad < max(1.0, before * LEAST_OF_BEFORE):
            raise DependencyUnavailableError(
                SERVICE, f"a list of {total - bad} instruments; the one before had {before}"
            )
        if bad > total * MOST_BAD:
            raise DependencyUnavailableError(SERVICE, f"{bad} of {total} rows make no sense")
        exchanges = Counter(symbol.partition(":")[0] for symbol in symbols)
        return Audit(total, bad, exchanges)

    def find(
        self, symbols: Collection[str], today: date, lot_sizes: Mapping[str, Decimal] | None = None
    ) -> Found:
        """Return the instruments of the symbols (`EXCHANGE:SYMBOL`), and a fault for each that can't be used.

        `today` (in India) tells what has expired: a contract trades on its last day still. `lot_sizes`: what the
        manifest says of some, instead of the list; where the list can't know it, it must.
        """
        own = lot_sizes or {}
        wanted = frozenset(symbols)
        rows: dict[str, list[Row]] = {}
        for row in self._rows():
            if row is not None and row.symbol in wanted:
                rows.setdefault(row.symbol, []).append(row)
        twice = self._tokens_of_others(rows)
        found = Found()
        for symbol in dict.fromkeys(symbols):
            outcome = _judged(symbol, rows.get(symbol, []), today, own.get(symbol), twice)
            if isinstance(outcome, Fault):
                found.faults[symbol] = outcome
            else:
                found.instruments[symbol] = outcome
        self._name_alternatives(found, rows, today)
        return found

    def _tokens_of_others(self, rows: Mapping[str, Sequence[Row]]) -> dict[int, str]:
        """Return those tokens of the rows that another symbol has too, with it."""
        owners = {row.token: row.symbol for listed in rows.values() for row in listed}
        return {
            row.token: row.symbol
            for row in self._rows()
            if row is not None and owners.get(row.token, row.symbol) != row.symbol
        }

    def _name_alternatives(self, found: Found, rows: Mapping[str, Sequence[Row]], today: date) -> None:
        lost = [
            fault for fault in found.faults.values() if fault.trouble in {Trouble.UNKNOWN, Trouble.EXPIRED}
        ]
        if not lost:
            return
        live = [
            row for row in self._rows() if row is not None and (row.expiry is None or row.expiry >= today)
        ]
        by_exchange: dict[str, list[Row]] = {}
        for row in live:
            by_exchange.setdefault(row.exchange, []).append(row)
        for fault in lost:
            exchange = fault.symbol.partition(":")[0]
            expired = next(iter(rows.get(fault.symbol, ())), None)
            near = _nearest(fault.symbol, expired, by_exchange.get(exchange, live))
            found.faults[fault.symbol] = Fault(fault.symbol, fault.trouble, fault.problem, near)

    def _rows(self) -> Iterator[Row | None]:
        """Yield each row of the file; None for one that makes no sense."""
        try:
            with self.path.open(encoding="utf-8", errors="replace", newline="") as file:
                reader = csv.reader(file)
                header = next(reader, [])
                missing = [name for name in COLUMNS if name not in header]
                if missing:
                    raise DependencyUnavailableError(
                        SERVICE, f"no list of instruments: it has no column {', '.join(missing[:3])}"
                    )
                places = [header.index(name) for name in COLUMNS]
                for cells in reader:
                    yield _row(cells, places, len(header))
        except (OSError, csv.Error) as error:
            raise DependencyUnavailableError(SERVICE, f"{self.path.name}: {error}") from error


def _row(cells: Sequence[str], places: Sequence[int], width: int) -> Row | None:
    if len(cells) != width:
        return None
    token, _, symbol, name, _, expiry, strike, tick, lot, kind, segment, exchange = (
        cells[place] for place in places
    )
    index = segment == INDICES
    if not (symbol and exchange and token.isdecimal() and int(token) and _is_number(strike or "0")):
        return None
    if index and not (tick and _is_number(tick)):
        tick = "0"
    if index and not (lot and _is_number(lot)):
        lot = "1"
    if not _is_size(tick, index) or not _is_size(lot, index):
        return None
    try:
        day = date.fromisoformat(expiry) if expiry else None
    except ValueError:
        return None
    return Row(
        int(token), f"{exchange}:{symbol}", name, day, strike or "0", tick, lot, INDEX if index else kind
    )


def _is_size(text: str, index: bool) -> bool:
    return _is_number(text) and (index or Decimal(text) > 0)


_NUMBER: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,12})?")


def _is_number(text: str) -> bool:
    return _NUMBER.fullmatch(text) is not None


def _judged(
    symbol: str, rows: Sequence[Row], today: date, lot_size: Decimal | None, twice: Mapping[int, str]
) -> Instrument | Fault:
    if not rows:
        return Fault(symbol, Trouble.UNKNOWN, f"{symbol} is not in today's list of instruments")
    if len(rows) > 1:
        return Fault(
            symbol,
            Trouble.AMBIGUOUS,
            f"{symbol} is in the list {len(rows)} times: which is meant is not known",
        )
    row = rows[0]
    if row.token in twice:
        return Fault(
            symbol,
            Trouble.AMBIGUOUS,
            f"{symbol} and {twice[row.token]} have the same token {row.token} in the list",
        )
    if row.expiry is not None and row.expiry < today:
        return Fault(symbol, Trouble.EXPIRED, f"{symbol} expired on {row.expiry}")
    if row.exchange in LOTS_UNTOLD and row.kind != INDEX and lot_size is None:
        return Fault(
            symbol,
            Trouble.UNUSABLE,
            f"the list doesn't say how much a lot of {symbol} is, and so not what it costs: give lotSize",
        )
    return row.instrument(lot_size)


_CONTRACTS: Final = ("FUT", "CE", "PE")


def _nearest(symbol: str, expired: Row | None, live: Sequence[Row]) -> tuple[str, ...]:
    """Return what may be meant instead: the next contracts of the same thing, else the symbols most like it."""
    written = symbol.partition(":")[2]
    kind = expired.kind if expired is not None else next((k for k in _CONTRACTS if written.endswith(k)), "")
    contracts = [row for row in live if row.expiry and row.name and row.kind == kind]
    # A contract's symbol begins with what it is of: NIFTY24JANFUT, BANKNIFTY24D1848000CE.
    meant = {row.name for row in contracts if written.startswith(row.name)}
    name = expired.name if expired is not None else max(meant, key=len, default="")
    contracts = [row for row in contracts if row.name == name]
    if contracts:
        contracts.sort(key=lambda row: (_away(row, expired, written), row.expiry, row.symbol))
        return tuple(row.shown() for row in contracts[:NEAREST])
    by_symbol = {row.symbol: row for row in live}
    close = difflib.get_close_matches(symbol, list(by_symbol), n=NEAREST, cutoff=0.6)
    return tuple(by_symbol[other].shown() for other in close)


def _away(row: Row, expired: Row | None, written: str) -> Decimal:
    """Return how far an option's strike is from the one meant: by the expired row, else by the symbol as written.

    There the strike stands before the last two letters, behind a date of varying length: the longest that fits is it.
    """
    if expired is not None:
        return abs(Decimal(row.strike) - Decimal(expired.strike))
    strike = f"{Decimal(row.strike).normalize():f}"
    return Decimal(-len(strike) if written[:-2].endswith(strike) else 0)
