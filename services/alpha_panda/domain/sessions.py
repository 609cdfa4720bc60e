"""Session rules of an account or a feed: when its venue trades, which day it is there, when a DAY order ends.

A calendar (`calendars.load_calendar`) with what the manifest adds, in this order of precedence:

1. `extra_sessions` are added to whatever the day has.
2. `extra_holidays` take the calendar's session of that day away. Both together replace a day's hours.
3. `sessions` replace the usual hours on each session day of the calendar. A day on which the exchange opens late
   or closes early keeps that bound: an override never opens what the calendar knows to be closed.
4. After `product_cut_off` no position grows: CLOSED, with `reducing_allowed`. What rests goes on to the session's
   end.

All spans of one date are one session: a DAY order of the morning lives on through a break and an extra session.

All outside the calendar's data is EXPIRED, extra sessions there included: fail closed. Nothing here reads a
clock; times are UTC ns.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from enum import StrEnum
from itertools import pairwise
from typing import Final, NamedTuple, Protocol

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.domain.calendars import (
    MIDNIGHT,
    ONE_DAY,
    Hours,
    Span,
    TradingCalendar,
    load_calendar,
    local_date,
    merge,
    span_of,
    to_ns,
)
from alpha_panda.errors import UserInputError

WARN_DAYS_AHEAD: Final = 30
"""How long before the end of a calendar's data `expiry_warning` begins to warn (DESIGN, "Numbers")."""


class SessionState(StrEnum):
    """Whether the venue takes orders at a moment; EXPIRED: the calendar's data don't reach it."""

    OPEN = "OPEN"
    CLOSED = "CLOSED"
    EXPIRED = "EXPIRED"


_CODES: Final = {SessionState.CLOSED: Code.SESSION_CLOSED, SessionState.EXPIRED: Code.CALENDAR_EXPIRED}


@dataclass(frozen=True, slots=True)
class SessionStatus:
    """What the rules say of a moment.

    `session_end_ns` is set inside a session, its breaks and cut-off included. `reducing_allowed`: orders that only
    shrink a position may be sent, whether OPEN or after the product's cut-off.
    """

    state: SessionState
    message: str
    session_end_ns: int | None
    reducing_allowed: bool = False

    @property
    def code(self) -> Code | None:
        """The code that refuses an order which may grow a position; None when the venue is open."""
        return _CODES.get(self.state)


class HoursLike(Protocol):
    """Anything with an opening and a closing time: `calendars.Hours`, or a manifest's model."""

    @property
    def open(self) -> time:
        """Local opening time."""

    @property
    def close(self) -> time:
        """Local closing time; 00:00 is the end of the day."""


class ExtraSessionLike(HoursLike, Protocol):
    """Hours of one date: `calendars.ExtraSession`, or a manifest's model."""

    @property
    def date(self) -> date:
        """The session's date in the exchange's zone."""


class _Stretch(NamedTuple):
    """A stretch of time [start, end) that lies wholly inside one session (with its breaks) or wholly outside all."""

    start: int
    end: int
    day: date | None = None
    spans: tuple[Span, ...] = ()
    cut_off: int | None = None


class _Memo:
    """The stretch that was asked for last: most questions are about now."""

    __slots__ = ("stretch",)

    def __init__(self) -> None:
        self.stretch = _Stretch(0, 0)


@dataclass(frozen=True, slots=True)
class SessionRules:
    """Answers for one calendar with its exceptions; make it with `session_rules`."""

    calendar: TradingCalendar
    extra_holidays: frozenset[date] = frozenset()
    extra_sessions: Mapping[date, tuple[Span, ...]] = field(default_factory=dict)
    sessions: tuple[Hours, ...] = ()
    product_cut_off: time | None = None
    _memo: _Memo = field(default_factory=_Memo, init=False, repr=False, compare=False)

    def status(self, ts_ns: int) -> SessionStatus:
        """Say whether an order may be sent at `ts_ns`. O(1) as long as the session stays the same."""
        stretch = self._stretch(ts_ns)
        if stretch is None:
            return SessionStatus(SessionState.EXPIRED, self._expired_message(), None)
        if stretch.day is None:
            return SessionStatus(SessionState.CLOSED, self._closed_message("closed", ts_ns), None)
        if not any(opens <= ts_ns < closes for opens, closes in stretch.spans):
            return SessionStatus(SessionState.CLOSED, self._closed_message("break", ts_ns), stretch.end)
        if stretch.cut_off is not None and ts_ns >= stretch.cut_off:
            message = f"after the product's cut-off at {self.product_cut_off}: no position grows"
            return SessionStatus(SessionState.CLOSED, message, stretch.end, reducing_allowed=True)
        return SessionStatus(SessionState.OPEN, "", stretch.end, reducing_allowed=True)

    def trading_day(self, ts_ns: int) -> str:
        """Return the ISO date of the session at `ts_ns`; outside sessions the exchange's local date.

        A futures session that opens on Sunday evening is Monday's. For 24/7 it is the UTC date.
        """
        stretch = self._stretch(ts_ns)
        day = stretch.day if stretch else None
        return (day or local_date(ts_ns, self.calendar.tz)).isoformat()

    def next_open(self, ts_ns: int) -> int | None:
        """Return the first opening at or after `ts_ns` (after a break too); None if the data hold none.

        24/7 opens anew at each UTC midnight.
        """
        day = max(local_date(ts_ns, self.calendar.tz), self.calendar.first)
        while day <= self.calendar.last:
            for opens, _ in self.day_spans(day):
                if opens >= ts_ns:
                    return opens
            day += ONE_DAY
        return None

    def session_end(self, ts_ns: int) -> int | None:
        """Return when a DAY order ends that was entered at `ts_ns`: the close of that session's last span.

        A break doesn't end it. None outside sessions, where no such order can exist: treat it as ended. For 24/7
        it is the end of the UTC day.
        """
        stretch = self._stretch(ts_ns)
        return stretch.end if stretch and stretch.day else None

    def day_order_over(self, entered_ns: int, now_ns: int) -> bool:
        """Whether a DAY order that was entered at `entered_ns` has ended by `now_ns`."""
        end = self.session_end(entered_ns)
        return end is None or now_ns >= end

    def days_left(self, ts_ns: int) -> int | None:
        """Return how many days the calendar's data go on after the day of `ts_ns`; below 0 expired; None endless."""
        if self.calendar.endless:
            return None
        return (self.calendar.last - local_date(ts_ns, self.calendar.tz)).days

    def expiry_warning(self, ts_ns: int, days_ahead: int = WARN_DAYS_AHEAD) -> str | None:
        """Return what to tell a person when the calendar's data end within `days_ahead`; None before that."""
        left = self.days_left(ts_ns)
        if left is None or left > days_ahead:
            return None
        return f"{self._expired_message()} ({left} days left); upgrade exchange_calendars, or no order passes"

    def day_spans(self, day: date) -> tuple[Span, ...]:
        """Return the trading spans of the session of that date after all exceptions; empty: no session."""
        if not self.calendar.covers(day):
            return ()
        regular = () if day in self.extra_holidays else self._regular(day)
        extra = self.extra_sessions.get(day, ())
        return merge(regular + extra) if extra else regular

    def _regular(self, day: date) -> tuple[Span, ...]:
        usual = self.calendar.spans(day)
        if not usual or not self.sessions:
            return usual
        spans = [span_of(day, hours.open, hours.close, self.calendar.tz) for hours in self.sessions]
        if day in self.calendar.late_opens:
            spans = [(max(opens, usual[0][0]), closes) for opens, closes in spans]
        if day in self.calendar.early_closes:
            spans = [(opens, min(closes, usual[-1][1])) for opens, closes in spans]
        return merge(span for span in spans if span[0] < span[1])

    def _stretch(self, ts_ns: int) -> _Stretch | None:
        """Return the stretch around `ts_ns`, from memory if it is the last one; None outside the data."""
        memo = self._memo
        if not memo.stretch.start <= ts_ns < memo.stretch.end:
            found = self._find(ts_ns)
            if found is None:
                return None
            memo.stretch = found
        return memo.stretch

    def _find(self, ts_ns: int) -> _Stretch | None:
        today = local_date(ts_ns, self.calendar.tz)
        if not self.calendar.covers(today):
            return None
        # A session may open on the evening before its date and end at the midnight after it: look at three days.
        ended = to_ns(today, MIDNIGHT, self.calendar.tz)
        for day in (today - ONE_DAY, today, today + ONE_DAY):
            spans = self.day_spans(day)
            if not spans:
                continue
            start, end = spans[0][0], spans[-1][1]
            if start <= ts_ns < end:
                return _Stretch(start, end, day, spans, self._cut_off_ns(day))
            if end <= ts_ns:
                ended = max(ended, end)
        data_end = to_ns(self.calendar.last + ONE_DAY, MIDNIGHT, self.calendar.tz)
        upcoming = self.next_open(ts_ns)
        return _Stretch(ended, data_end if upcoming is None else min(upcoming, data_end))

    def _cut_off_ns(self, day: date) -> int | None:
        return None if self.product_cut_off is None else to_ns(day, self.product_cut_off, self.calendar.tz)

    def _closed_message(self, why: str, ts_ns: int) -> str:
        upcoming = self.next_open(ts_ns)
        if upcoming is None:
            return f"{why}; calendar {self.calendar.name} has no later session"
        opens = datetime.fromtimestamp(upcoming // SECOND_NS, self.calendar.tz)
        return f"{why}; calendar {self.calendar.name} opens next at {opens.isoformat()}"

    def _expired_message(self) -> str:
        return (
            f"the data of calendar {self.calendar.name} go from {self.calendar.first} to {self.calendar.last}"
        )


def session_rules(
    calendar: str,
    extra_holidays: Iterable[date] = (),
    extra_sessions: Iterable[ExtraSessionLike] = (),
    sessions: Iterable[HoursLike] = (),
    product_cut_off: time | None = None,
) -> SessionRules:
    """Make the rules of a calendar by name, with a manifest's exceptions.

    Raises:
        UserInputError: unknown calendar, `sessions` that overlap, or an extra session that overlaps a
            neighbouring day's.

    """
    loaded = load_calendar(calendar)
    hours = tuple(Hours(item.open, item.close) for item in sessions)
    _check_hours(hours)
    extra: dict[date, tuple[Span, ...]] = {}
    for item in extra_sessions:
        extra[item.date] = (*extra.get(item.date, ()), span_of(item.date, item.open, item.close, loaded.tz))
    rules = SessionRules(loaded, frozenset(extra_holidays), extra, hours, product_cut_off)
    for day in sorted(extra):
        _check_neighbours(rules, day)
    return rules


def _check_hours(hours: tuple[Hours, ...]) -> None:
    """Refuse hours that overlap one another or those of the next day; any two days in a row show it."""
    monday = date(2024, 1, 1)
    spans = [span_of(day, item.open, item.close, UTC) for day in (monday, monday + ONE_DAY) for item in hours]
    if _overlap(spans):
        texts = ", ".join(f"{item.open:%H:%M} to {item.close:%H:%M}" for item in hours)
        raise UserInputError(f"sessions: the hours {texts} overlap; give each part of the day once")


def _check_neighbours(rules: SessionRules, day: date) -> None:
    days = [rules.day_spans(near) for near in (day - ONE_DAY, day, day + ONE_DAY)]
    if _overlap([(spans[0][0], spans[-1][1]) for spans in days if spans]):
        raise UserInputError(
            f"extraSessions: the session of {day} overlaps that of a neighbouring day; "
            "change its hours, or name the other day in extraHolidays"
        )


def _overlap(spans: list[Span]) -> bool:
    return any(later[0] < earlier[1] for earlier, later in pairwise(sorted(spans)))
