"""Trading calendars by name, as plain values: which days have a session, and its hours in UTC ns.

`24/7` is built in and costs nothing. Every other name is a code or alias of `exchange_calendars`, imported on
first use only: it pulls pandas in, which takes longer than the rest of a start. What is read from it is copied
into tuples once per name, so nothing here depends on pandas afterwards, nor on today's date (the library's own
default range does).
"""

import difflib
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import cache
from types import MappingProxyType
from typing import Any, Final, NoReturn

from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.errors import UserInputError

ALWAYS_OPEN: Final = "24/7"
"""Name of the calendar without holidays or closing hours; its days are UTC days."""

MIDNIGHT: Final = time(0)
ONE_DAY: Final = timedelta(days=1)

_FIRST: Final = date(1990, 1, 1)
_HORIZON: Final = date(2050, 12, 31)  # where rules without an end of their own are cut
_NO_TIME: Final = -(2**63)  # pandas' NaT as an integer: the day has no break
_EXCERPT: Final = 80  # characters of a library's message; some list thousands of dates
_COMMON_NAMES: Final[Mapping[str, str]] = MappingProxyType(
    {"NSE": "XBOM"}
)  # NSE keeps BSE's holidays and hours

Span = tuple[int, int]
"""Opening (included) and closing (excluded) of continuous trading, UTC ns."""


@dataclass(frozen=True, slots=True)
class Hours:
    """Daily trading hours in the exchange's zone.

    A `close` of 00:00 is the end of the day. Otherwise an `open` not before `close` is on the evening before, as
    futures sessions are dated (open 17:00, close 16:00).
    """

    open: time
    close: time


@dataclass(frozen=True, slots=True)
class ExtraSession:
    """Trading on one day besides what the calendar says, such as Muhurat trading; hours as in `Hours`."""

    date: date
    open: time
    close: time


@dataclass(frozen=True, slots=True)
class TradingCalendar:
    """The sessions of one exchange from `first` to `last` (dates in `tz`, both included).

    `days` maps a session's date to its spans, two of them when there is a lunch break; None: every day, all day.
    `late_opens` and `early_closes` are the days with other hours than usual.
    """

    name: str
    tz: tzinfo
    first: date
    last: date
    days: Mapping[date, tuple[Span, ...]] | None = field(repr=False)
    late_opens: frozenset[date] = field(default=frozenset(), repr=False)
    early_closes: frozenset[date] = field(default=frozenset(), repr=False)

    @property
    def endless(self) -> bool:
        """Whether the calendar needs no data, so that these never run out."""
        return self.days is None

    def covers(self, day: date) -> bool:
        """Whether the calendar knows anything about the day."""
        return self.first <= day <= self.last

    def spans(self, day: date) -> tuple[Span, ...]:
        """Return the trading spans of the session of that date; empty on a holiday."""
        if self.days is None:
            return (span_of(day, MIDNIGHT, MIDNIGHT, self.tz),)
        return self.days.get(day, ())


def to_ns(day: date, at: time, tz: tzinfo) -> int:
    """Return a local wall time as UTC ns (whole seconds: calendars know nothing finer)."""
    return int(datetime.combine(day, at, tz).timestamp()) * SECOND_NS


def local_date(ts_ns: int, tz: tzinfo) -> date:
    """Return the local date of a moment."""
    return datetime.fromtimestamp(ts_ns // SECOND_NS, tz).date()


def span_of(day: date, opens: time, closes: time, tz: tzinfo) -> Span:
    """Return the span of a session of that date; see `Hours` for hours that touch another day."""
    if closes == MIDNIGHT:
        return to_ns(day, opens, tz), to_ns(day + ONE_DAY, closes, tz)
    return to_ns(day - ONE_DAY if opens >= closes else day, opens, tz), to_ns(day, closes, tz)


def merge(spans: Iterable[Span]) -> tuple[Span, ...]:
    """Return the spans in order, with those that overlap or touch made one."""
    merged: list[Span] = []
    for opens, closes in sorted(spans):
        if merged and opens <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(closes, merged[-1][1]))
        else:
            merged.append((opens, closes))
    return tuple(merged)


def load_calendar(name: str) -> TradingCalendar:
    """Return the calendar of that name: `24/7`, or a code or alias of exchange_calendars.

    Raises:
        UserInputError: no such calendar (the message names the nearest), or the installed library can't make it.

    """
    return _every_day() if name == ALWAYS_OPEN else _from_library(name)


@cache
def _every_day() -> TradingCalendar:
    # One day short of what `date` can hold on either side: a session may touch the next or previous day.
    return TradingCalendar(ALWAYS_OPEN, UTC, date.min + ONE_DAY, date.max - ONE_DAY, None)


@cache
def _from_library(name: str) -> TradingCalendar:
    with warnings.catch_warnings():
        # The library's own use of pandas; nothing that a user of this project could act on.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        import exchange_calendars  # noqa: PLC0415 - pulls pandas: not before a manifest asks for it

        names = exchange_calendars.get_calendar_names()
        if name not in names:
            _refuse(name, names)
        try:
            return _copy(name, *_build(exchange_calendars, name))
        except Exception as error:
            # Whatever the library raises: with some releases of pandas it can't make each calendar it lists.
            raise UserInputError(
                f"calendar {name!r}: the installed exchange_calendars {exchange_calendars.__version__} can't make it "
                f"({type(error).__name__}: {str(error)[:_EXCERPT]}); use another calendar or another release of the library"
            ) from error


def _refuse(name: str, names: list[str]) -> NoReturn:
    near = difflib.get_close_matches(name.upper(), names, n=3, cutoff=0.5)
    common = _COMMON_NAMES.get(name.upper())
    near = ([common] if common else []) + [other for other in near if other != common]
    hint = f"did you mean {', '.join(near)}? " if near else ""
    raise UserInputError(
        f"calendar {name!r} is unknown; {hint}Allowed: {ALWAYS_OPEN}, or an exchange_calendars code such as XBOM or XNYS"
    )


def _build(library: Any, name: str) -> tuple[Any, date, date]:  # noqa: ANN401 - the library ships no types
    """Return the calendar over all the time that its data reach, whatever day it is today, and that range."""
    default = library.get_calendar(name)
    lowest, highest = default.bound_min(), default.bound_max()
    first = _FIRST if lowest is None else max(_FIRST, lowest.date())
    last = _HORIZON if highest is None else min(_HORIZON, highest.date())
    return library.get_calendar(name, start=first.isoformat(), end=last.isoformat()), first, last


def _copy(name: str, source: Any, first: date, last: date) -> TradingCalendar:  # noqa: ANN401 - as above
    rows = zip(
        source.sessions.date.tolist(),
        source.opens_nanos.tolist(),
        source.break_starts_nanos.tolist(),
        source.break_ends_nanos.tolist(),
        source.closes_nanos.tolist(),
        strict=True,
    )
    return TradingCalendar(
        name=name,
        tz=source.tz,
        first=first,
        last=last,
        days=MappingProxyType({day: _spans(*times) for day, *times in rows}),
        late_opens=frozenset(source.late_opens.date.tolist()),
        early_closes=frozenset(source.early_closes.date.tolist()),
    )


def _spans(opens: int, break_start: int, break_end: int, closes: int) -> tuple[Span, ...]:
    if break_start == _NO_TIME:
        return ((opens, closes),)
    return (opens, break_start), (break_end, closes)
