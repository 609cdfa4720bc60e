"""Which column of a file means what: mapped by the user, or found by its usual names."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from alpha_panda.errors import SourceError


class Role(StrEnum):
    """What a column can mean; the keys of the `columns` mapping. Manifests write them in camel case: see `word`."""

    TIMESTAMP = "timestamp"
    TIME = "time"
    SYMBOL = "symbol"
    TOKEN = "token"  # noqa: S105 - an instrument's number
    LAST_PRICE = "last_price"
    BID = "bid"
    ASK = "ask"
    OPEN = "open"
    HIGH = "high"
    LOW = "low"
    CLOSE = "close"
    VOLUME = "volume"

    @property
    def word(self) -> str:
        """The key in a manifest."""
        return "lastPrice" if self is Role.LAST_PRICE else self.value


class Kind(StrEnum):
    """What a row is."""

    TICKS = "ticks"
    QUOTES = "quotes"
    BARS = "bars"


_BARS = (Role.OPEN, Role.HIGH, Role.LOW, Role.CLOSE)
_NUMBERS: dict[Kind, tuple[Role, ...]] = {
    Kind.TICKS: (Role.LAST_PRICE, Role.BID, Role.ASK, Role.VOLUME),
    Kind.QUOTES: (Role.BID, Role.ASK, Role.VOLUME),
    Kind.BARS: (*_BARS, Role.VOLUME),
}

# Names are compared without case and without anything but letters and digits: "Date Time" is "datetime".
_BAR_END = re.compile(r"barend.*|(candle|bar)?(close|end)(time(stamp)?|ts)|end")
_NAMES: dict[Role, re.Pattern[str]] = {
    Role.TIMESTAMP: re.compile(
        r"timestamp.*|datetime.*|epoch.*|unix.*|ts(utc|ns|us|ms|s)?|date|time|timeutc|index"
        r"|(trade|quote|exchange|lasttrade|event|transact)(time(stamp)?|ts)"
        r"|(bar|candle)?(open|start|begin)(time(stamp)?|ts)|barstart.*|begin|start|" + _BAR_END.pattern
    ),
    Role.TIME: re.compile(r"time"),
    Role.SYMBOL: re.compile(r"(trading)?symbol|ticker|instrument|scrip|sym|code"),
    Role.TOKEN: re.compile(r"(instrument)?(token|id)|securityid"),
    Role.LAST_PRICE: re.compile(r"price|ltp|last|(last|trade)(traded)?price|px|lastpx"),
    Role.BID: re.compile(r"(best)?bid(price|px)?"),
    Role.ASK: re.compile(r"(best)?(ask|offer)(price|px)?"),
    Role.OPEN: re.compile(r"o|open(price)?"),
    Role.HIGH: re.compile(r"h|high(price)?"),
    Role.LOW: re.compile(r"l|low(price)?"),
    Role.CLOSE: re.compile(r"c|close(price)?"),
    Role.VOLUME: re.compile(
        r"v|vol|volume|qty|quantity|size|(last|trade)(traded)?(qty|quantity|size|volume)|lastqty"
    ),
}


_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)?")


@dataclass(frozen=True, slots=True)
class Layout:
    """Where in a row of one file what is found. `numbers` are (role, index) of the kind's numeric columns."""

    file: str
    header: tuple[str, ...]
    kind: Kind
    timestamp: int
    time: int | None
    symbol: int | None
    token: int | None
    numbers: tuple[tuple[Role, int], ...]
    stamped_at_end: bool

    @property
    def indices(self) -> tuple[int, ...]:
        """The columns that are read, in the file's order."""
        named = (self.timestamp, self.time, self.symbol, self.token)
        return tuple(
            sorted({index for index in named if index is not None} | {index for _, index in self.numbers})
        )


def find_columns(file: str, header: Sequence[str], mapping: Mapping[str, str]) -> Layout:
    """Return the layout of a file with this header.

    Raises:
        SourceError: a mapped column is missing, a role has several candidates, or no price or time is found.

    """
    names = tuple(name.strip() for name in header)
    unknown = [role for role in mapping if role not in set(Role)]
    if unknown:
        raise SourceError(
            f"{file}: columns.{unknown[0]} is not a column's meaning; allowed: {', '.join(role.word for role in Role)}"
        )
    mapped = {Role(role): _mapped(file, names, Role(role), column) for role, column in mapping.items()}
    return _Finder(file, names, mapped).layout()


def _mapped(file: str, names: Sequence[str], role: Role, column: str) -> int:
    found = [index for index, name in enumerate(names) if name == column]
    found = found or [
        index for index, name in enumerate(names) if name.casefold() == column.strip().casefold()
    ]
    if len(found) == 1:
        return found[0]
    problem = "is there more than once" if found else "does not exist"
    raise SourceError(f"{file}: column {column!r}, mapped to {role.word}, {problem}; {_columns(names)}")


def _columns(names: Sequence[str]) -> str:
    return "the file's columns are: " + ", ".join(repr(name) for name in names)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.casefold())


@dataclass(frozen=True, slots=True)
class _Finder:
    file: str
    names: tuple[str, ...]
    mapped: Mapping[Role, int]

    def layout(self) -> Layout:
        if any(_NUMBER.fullmatch(name) for name in self.names):
            raise SourceError(
                f"{self.file}: the first line looks like data; it must name the columns ({_columns(self.names)})"
            )
        kind = self._kind()
        roles = _NUMBERS[kind]
        numbers = tuple((role, index) for role in roles if (index := self._find(role)) is not None)
        if kind is Kind.TICKS and Role.LAST_PRICE not in dict(numbers):
            numbers = ((Role.LAST_PRICE, self._must(Role.CLOSE)), *numbers)
        timestamp, time = self._timestamp()
        token = self._find(Role.TOKEN)
        return Layout(
            file=self.file,
            header=self.names,
            kind=kind,
            timestamp=timestamp,
            time=time,
            symbol=self._find(Role.SYMBOL) if token is None else None,
            token=token,
            numbers=numbers,
            stamped_at_end=_BAR_END.fullmatch(_plain(self.names[timestamp])) is not None,
        )

    def _kind(self) -> Kind:
        """Return what a row is: mapped columns decide, else what is complete, richest first."""
        mapped, named = self.mapped, self._named
        candidates = (
            (Kind.TICKS, Role.LAST_PRICE in mapped),
            (
                Kind.BARS,
                any(role in mapped for role in _BARS) and all(self._must(role) >= 0 for role in _BARS),
            ),
            (Kind.QUOTES, Role.BID in mapped and Role.ASK in mapped),
            (Kind.BARS, all(named(role) for role in _BARS)),
            (Kind.TICKS, named(Role.LAST_PRICE)),
            (Kind.QUOTES, all(role in mapped or named(role) for role in (Role.BID, Role.ASK))),
            (Kind.TICKS, named(Role.CLOSE)),
        )
        for kind, found in candidates:
            if found:
                return kind
        raise SourceError(
            f"{self.file}: found neither a price, nor bid and ask, nor open, high, low and close; {_columns(self.names)}. "
            f"Name them in `columns`, such as columns: {{lastPrice: {self.names[-1]!r}}}"
        )

    def _timestamp(self) -> tuple[int, int | None]:
        """Return the column of the time stamp; of a date and a time column, both."""
        if Role.TIMESTAMP in self.mapped:
            return self.mapped[Role.TIMESTAMP], self.mapped.get(Role.TIME)
        plain = [_plain(name) for name in self.names]
        if plain.count("date") == 1 and (Role.TIME in self.mapped or plain.count("time") == 1):
            return plain.index("date"), self.mapped[Role.TIME] if Role.TIME in self.mapped else plain.index(
                "time"
            )
        return self._must(Role.TIMESTAMP), None

    def _must(self, role: Role) -> int:
        index = self._find(role)
        if index is None:
            raise SourceError(
                f"{self.file}: found no column for {role.word}; {_columns(self.names)}. "
                f"Name it in `columns`, such as columns: {{{role.word}: {self.names[0]!r}}}"
            )
        return index

    def _find(self, role: Role) -> int | None:
        if role in self.mapped:
            return self.mapped[role]
        found = self._named(role)
        if len(found) > 1:
            candidates = ", ".join(repr(self.names[index]) for index in found)
            raise SourceError(
                f"{self.file}: {candidates} could all be {role.word}; say which in `columns`, such as "
                f"columns: {{{role.word}: {self.names[found[0]]!r}}}"
            )
        return found[0] if found else None

    def _named(self, role: Role) -> list[int]:
        taken = set(self.mapped.values())
        return [
            index
            for index, name in enumerate(self.names)
            if index not in taken and _NAMES[role].fullmatch(_plain(name))
        ]
