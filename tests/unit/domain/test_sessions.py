"""Session rules on real days of real exchanges."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_panda.contracts.codes import Code
from alpha_panda.domain.calendars import ExtraSession, Hours, TradingCalendar, span_of
from alpha_panda.domain.sessions import SessionRules, SessionState, SessionStatus, session_rules
from alpha_panda.errors import UserInputError

DAY = 86_400_000_000_000
IST = "+05:30"


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1_000_000_000


def at(rules: SessionRules, text: str) -> SessionState:
    return rules.status(ns(text)).state


@pytest.fixture(scope="session")
def nse() -> SessionRules:
    return session_rules("XBOM")


@pytest.fixture(scope="session")
def nyse() -> SessionRules:
    return session_rules("XNYS")


# ------------------------------------------------------------------------------------------ plain sessions


def test_a_session_is_open_from_its_first_nanosecond_to_its_last(nse: SessionRules) -> None:
    opens, closes = ns("2026-01-27T09:15+05:30"), ns("2026-01-27T15:30+05:30")

    assert [nse.status(ts).state for ts in (opens - 1, opens, closes - 1, closes)] == [
        SessionState.CLOSED,
        SessionState.OPEN,
        SessionState.OPEN,
        SessionState.CLOSED,
    ]
    assert nse.status(opens) == SessionStatus(SessionState.OPEN, "", closes, reducing_allowed=True)


@pytest.mark.parametrize(
    ("when", "next_open"),
    [
        ("2026-01-24T12:00+05:30", "2026-01-27T09:15:00+05:30"),  # Saturday; Monday is Republic Day
        ("2026-01-26T10:00+05:30", "2026-01-27T09:15:00+05:30"),  # Republic Day
        ("2025-10-21T10:00+05:30", "2025-10-23T09:15:00+05:30"),  # Diwali, two days
        ("2026-01-27T09:00+05:30", "2026-01-27T09:15:00+05:30"),
        ("2026-01-27T15:30+05:30", "2026-01-28T09:15:00+05:30"),
    ],
)
def test_a_closed_venue_says_when_it_opens_next(nse: SessionRules, when: str, next_open: str) -> None:
    status = nse.status(ns(when))

    assert (status.state, status.code) == (SessionState.CLOSED, Code.SESSION_CLOSED)
    assert status.session_end_ns is None
    assert not status.reducing_allowed
    assert status.message == f"closed; calendar XBOM opens next at {next_open}"
    assert nse.next_open(ns(when)) == ns(next_open)


def test_next_open_is_the_moment_itself_at_an_opening_and_the_next_one_within_a_session(
    nse: SessionRules,
) -> None:
    opens = ns("2026-01-27T09:15+05:30")

    assert nse.next_open(opens) == opens
    assert nse.next_open(opens + 1) == ns("2026-01-28T09:15+05:30")


def test_the_code_is_none_when_open(nse: SessionRules) -> None:
    assert nse.status(ns("2026-01-27T10:00+05:30")).code is None


def test_a_day_order_ends_with_the_session_it_was_entered_in(nse: SessionRules) -> None:
    entered, close = ns("2026-01-27T10:00+05:30"), ns("2026-01-27T15:30+05:30")

    assert nse.session_end(entered) == close
    assert not nse.day_order_over(entered, close - 1)
    assert nse.day_order_over(entered, close)
    assert nse.day_order_over(entered, ns("2026-01-28T10:00+05:30"))


def test_a_day_order_that_no_session_holds_is_over(nse: SessionRules) -> None:
    after_close = ns("2026-01-27T15:30+05:30")

    assert nse.session_end(after_close) is None
    assert nse.day_order_over(after_close, after_close)


def test_the_trading_day_is_the_local_date(nse: SessionRules) -> None:
    assert nse.trading_day(ns("2026-01-27T10:00+05:30")) == "2026-01-27"
    assert nse.trading_day(ns("2026-01-26T18:29:59Z")) == "2026-01-26"  # a moment before midnight in Kolkata
    assert nse.trading_day(ns("2026-01-26T18:30:00Z")) == "2026-01-27"


# -------------------------------------------------------------------------------------------- exceptions


def test_an_extra_holiday_beats_the_calendar() -> None:
    rules = session_rules("XBOM", extra_holidays=[date(2026, 1, 28)])

    assert at(rules, "2026-01-28T10:00+05:30") is SessionState.CLOSED
    assert at(rules, "2026-01-27T10:00+05:30") is SessionState.OPEN
    assert rules.next_open(ns("2026-01-27T15:30+05:30")) == ns("2026-01-29T09:15+05:30")


def test_muhurat_trading_on_a_sunday() -> None:
    rules = session_rules("XBOM", extra_sessions=[ExtraSession(date(2026, 11, 8), time(18, 0), time(19, 0))])
    opens, closes = ns("2026-11-08T18:00+05:30"), ns("2026-11-08T19:00+05:30")

    assert [rules.status(ts).state for ts in (opens - 1, opens, closes - 1, closes)] == [
        SessionState.CLOSED,
        SessionState.OPEN,
        SessionState.OPEN,
        SessionState.CLOSED,
    ]
    assert rules.session_end(opens) == closes
    assert rules.trading_day(opens) == "2026-11-08"
    assert rules.next_open(ns("2026-11-06T16:00+05:30")) == opens


def test_an_extra_session_adds_to_a_day_and_a_holiday_with_one_replaces_its_hours() -> None:
    evening = ExtraSession(date(2026, 1, 28), time(18, 0), time(19, 0))
    added = session_rules("XBOM", extra_sessions=[evening])
    replaced = session_rules("XBOM", extra_holidays=[evening.date], extra_sessions=[evening])

    assert at(added, "2026-01-28T10:00+05:30") is SessionState.OPEN
    assert added.session_end(ns("2026-01-28T10:00+05:30")) == ns("2026-01-28T19:00+05:30")
    assert at(added, "2026-01-28T17:00+05:30") is SessionState.CLOSED
    assert at(replaced, "2026-01-28T10:00+05:30") is SessionState.CLOSED
    assert at(replaced, "2026-01-28T18:30+05:30") is SessionState.OPEN


def test_two_extra_sessions_on_one_day_are_one_session_with_a_break() -> None:
    saturday = date(2026, 2, 7)
    rules = session_rules(
        "XBOM",
        extra_sessions=[
            ExtraSession(saturday, time(11, 30), time(12, 30)),
            ExtraSession(saturday, time(9, 15), time(10)),
        ],
    )

    states = [at(rules, f"2026-02-07T{hour}+05:30") for hour in ("09:30", "10:30", "11:45", "12:30")]
    assert states == [SessionState.OPEN, SessionState.CLOSED, SessionState.OPEN, SessionState.CLOSED]


def test_sessions_replace_the_hours_of_session_days_only() -> None:
    rules = session_rules("XBOM", sessions=[Hours(time(9, 0), time(12, 0)), Hours(time(17, 0), time(23, 30))])

    states = [
        at(rules, f"2026-01-27T{hour}+05:30")
        for hour in ("09:00", "12:00", "16:59", "17:00", "23:29", "23:30")
    ]
    assert states == [
        SessionState.OPEN,
        SessionState.CLOSED,
        SessionState.CLOSED,
        SessionState.OPEN,
        SessionState.OPEN,
        SessionState.CLOSED,
    ]
    assert at(rules, "2026-01-26T10:00+05:30") is SessionState.CLOSED  # Republic Day
    assert rules.session_end(ns("2026-01-27T09:00+05:30")) == ns("2026-01-27T23:30+05:30")


def test_replaced_hours_still_close_early_on_a_half_day() -> None:
    rules = session_rules("XNYS", sessions=[Hours(time(4, 0), time(20, 0))])  # extended hours

    assert at(rules, "2025-11-26T19:59-05:00") is SessionState.OPEN
    assert at(rules, "2025-11-28T04:00-05:00") is SessionState.OPEN
    assert at(rules, "2025-11-28T12:59-05:00") is SessionState.OPEN
    assert at(rules, "2025-11-28T13:00-05:00") is SessionState.CLOSED  # the day after Thanksgiving


def test_replaced_hours_still_open_late_where_the_calendar_does() -> None:
    days = [date(2026, 1, 5), date(2026, 1, 6)]
    calendar = TradingCalendar(
        name="LATE",
        tz=UTC,
        first=days[0],
        last=days[1],
        days={day: (span_of(day, time(11, 0), time(16, 0), UTC),) for day in days},
        late_opens=frozenset(days[:1]),
    )
    rules = SessionRules(
        calendar, sessions=(Hours(time(8, 0), time(10, 0)), Hours(time(10, 30), time(18, 0)))
    )

    assert rules.day_spans(days[0]) == ((ns("2026-01-05T11:00Z"), ns("2026-01-05T18:00Z")),)
    assert rules.day_spans(days[1])[0] == (ns("2026-01-06T08:00Z"), ns("2026-01-06T10:00Z"))


def test_hours_from_the_evening_before_belong_to_the_next_session_day() -> None:
    rules = session_rules("XNYS", sessions=[Hours(time(18, 0), time(17, 0))])

    assert rules.trading_day(ns("2026-01-04T18:00-05:00")) == "2026-01-05"  # Sunday evening is Monday's
    assert at(rules, "2026-01-04T17:59-05:00") is SessionState.CLOSED
    assert at(rules, "2026-01-05T16:59-05:00") is SessionState.OPEN
    assert at(rules, "2026-01-05T17:00-05:00") is SessionState.CLOSED


@pytest.mark.parametrize(
    "hours",
    [
        [Hours(time(9, 0), time(12, 0)), Hours(time(11, 0), time(15, 0))],
        [
            Hours(time(18, 0), time(17, 0)),
            Hours(time(17, 30), time(20, 0)),
        ],  # into the next day's evening before
    ],
)
def test_sessions_that_overlap_are_refused(hours: list[Hours]) -> None:
    with pytest.raises(UserInputError, match=r"sessions: .* overlap"):
        session_rules("24/7", sessions=hours)


def test_an_extra_session_that_reaches_into_another_day_is_refused() -> None:
    overnight = ExtraSession(date(2026, 1, 29), time(15, 0), time(10, 0))  # from the 28th, 15:00

    with pytest.raises(UserInputError, match=r"extraSessions: the session of 2026-01-29 overlaps"):
        session_rules("XBOM", extra_sessions=[overnight])


def test_an_unknown_calendar_is_refused() -> None:
    with pytest.raises(UserInputError, match="XBOM"):
        session_rules("XBOMB")


# --------------------------------------------------------------------------------------- product cut-off


def test_after_the_product_cut_off_no_position_grows_and_day_orders_go_on() -> None:
    rules = session_rules("XBOM", product_cut_off=time(15, 20))
    cut_off, close = ns("2026-01-27T15:20+05:30"), ns("2026-01-27T15:30+05:30")

    assert rules.status(cut_off - 1).state is SessionState.OPEN
    status = rules.status(cut_off)
    assert (status.state, status.code) == (SessionState.CLOSED, Code.SESSION_CLOSED)
    assert status.reducing_allowed
    assert status.session_end_ns == close
    assert "cut-off at 15:20" in status.message
    assert rules.session_end(cut_off) == close
    assert not rules.status(close).reducing_allowed


def test_the_cut_off_of_a_futures_session_is_on_its_own_date() -> None:
    rules = session_rules("CMES", product_cut_off=time(15, 0))

    assert at(rules, "2026-01-04T18:00-06:00") is SessionState.OPEN  # Sunday evening, after 15:00
    assert at(rules, "2026-01-05T14:59-06:00") is SessionState.OPEN
    assert at(rules, "2026-01-05T15:00-06:00") is SessionState.CLOSED
    assert at(rules, "2026-01-05T17:00-06:00") is SessionState.OPEN  # Tuesday's session


# --------------------------------------------------------------------- daylight saving, half days, breaks


@pytest.mark.parametrize(
    ("opens", "closes"),
    [
        ("2026-03-06T14:30+00:00", "2026-03-06T21:00+00:00"),  # Friday before summer time begins
        ("2026-03-09T13:30+00:00", "2026-03-09T20:00+00:00"),  # Monday after
        ("2025-10-31T13:30+00:00", "2025-10-31T20:00+00:00"),  # Friday before it ends
        ("2025-11-03T14:30+00:00", "2025-11-03T21:00+00:00"),  # Monday after
        ("2025-11-28T14:30+00:00", "2025-11-28T18:00+00:00"),  # half day
    ],
)
def test_new_york_follows_summer_time_and_half_days(nyse: SessionRules, opens: str, closes: str) -> None:
    start, end = ns(opens), ns(closes)

    assert [nyse.status(ts).state is SessionState.OPEN for ts in (start - 1, start, end - 1, end)] == [
        False,
        True,
        True,
        False,
    ]
    assert nyse.next_open(ns(f"{opens[:10]}T00:00+00:00")) == start
    assert nyse.session_end(start) == end


def test_replaced_hours_follow_summer_time() -> None:
    rules = session_rules("XNYS", sessions=[Hours(time(8, 0), time(9, 0))])

    assert rules.next_open(ns("2026-03-06T00:00Z")) == ns("2026-03-06T13:00Z")
    assert rules.next_open(ns("2026-03-09T00:00Z")) == ns("2026-03-09T12:00Z")


def test_a_lunch_break_takes_no_orders_and_ends_none() -> None:
    rules = session_rules("XHKG")
    noon, one, close = (ns(f"2026-01-05T{hour}:00+08:00") for hour in ("12", "13", "16"))

    assert rules.status(noon - 1).state is SessionState.OPEN
    status = rules.status(noon)
    assert status == SessionStatus(
        SessionState.CLOSED, "break; calendar XHKG opens next at 2026-01-05T13:00:00+08:00", close
    )
    assert rules.next_open(noon) == one
    assert rules.status(one).state is SessionState.OPEN
    assert rules.session_end(noon - 1) == close
    assert not rules.day_order_over(noon - 1, one - 1)


# ------------------------------------------------------------------------------- where the data end


def test_beyond_the_data_everything_is_expired(nse: SessionRules) -> None:
    end = ns("2027-01-01T00:00+05:30")

    assert nse.status(end - 1).state is SessionState.CLOSED
    assert nse.status(end - 1).message == "closed; calendar XBOM has no later session"
    status = nse.status(end)
    assert (status.state, status.code) == (SessionState.EXPIRED, Code.CALENDAR_EXPIRED)
    assert "2026-12-31" in status.message
    assert nse.status(ns("2027-06-01T10:00+05:30")).state is SessionState.EXPIRED
    assert nse.next_open(end) is None
    assert nse.session_end(end) is None
    assert nse.trading_day(end) == "2027-01-01"


def test_before_the_data_everything_is_expired(nse: SessionRules) -> None:
    assert at(nse, "1996-12-31T10:00+05:30") is SessionState.EXPIRED
    assert nse.next_open(ns("1996-12-01T10:00+05:30")) == ns("1997-01-01T09:15+05:30")


def test_an_extra_session_does_not_prolong_the_data() -> None:
    rules = session_rules("XBOM", extra_sessions=[ExtraSession(date(2027, 1, 4), time(9, 15), time(15, 30))])

    assert at(rules, "2027-01-04T10:00+05:30") is SessionState.EXPIRED
    assert rules.day_spans(date(2027, 1, 4)) == ()
    assert rules.next_open(ns("2027-01-01T10:00+05:30")) is None


def test_the_end_of_the_data_is_warned_of_thirty_days_ahead(nse: SessionRules) -> None:
    assert nse.days_left(ns("2026-12-01T10:00+05:30")) == 30
    assert nse.expiry_warning(ns("2026-11-30T23:59+05:30")) is None
    warning = nse.expiry_warning(ns("2026-12-01T00:00+05:30"))
    assert warning is not None
    assert "30 days left" in warning
    assert nse.days_left(ns("2027-01-02T10:00+05:30")) == -2
    assert nse.expiry_warning(ns("2027-01-02T10:00+05:30")) is not None


# -------------------------------------------------------------------------------------------------- 24/7


def test_24_7_is_open_always_and_its_days_end_at_utc_midnight() -> None:
    rules = session_rules("24/7")
    midnight = ns("2026-01-25T00:00Z")  # Saturday to Sunday

    assert rules.status(midnight - 1).state is SessionState.OPEN
    assert rules.status(midnight).state is SessionState.OPEN
    assert rules.session_end(midnight - 1) == midnight
    assert rules.session_end(midnight) == midnight + DAY
    assert rules.trading_day(midnight - 1) == "2026-01-24"
    assert rules.trading_day(midnight) == "2026-01-25"
    assert rules.next_open(midnight) == midnight
    assert rules.next_open(midnight + 1) == midnight + DAY
    assert rules.days_left(midnight) is None
    assert rules.expiry_warning(midnight) is None


def test_24_7_takes_holidays_hours_and_a_cut_off() -> None:
    rules = session_rules(
        "24/7",
        extra_holidays=[date(2026, 1, 2)],
        sessions=[Hours(time(6, 0), time(22, 0))],
        product_cut_off=time(21, 0),
    )

    assert at(rules, "2026-01-01T05:59Z") is SessionState.CLOSED
    assert at(rules, "2026-01-01T06:00Z") is SessionState.OPEN
    assert rules.status(ns("2026-01-01T21:30Z")).reducing_allowed
    assert at(rules, "2026-01-02T12:00Z") is SessionState.CLOSED
    assert rules.next_open(ns("2026-01-01T22:00Z")) == ns("2026-01-03T06:00Z")


# ------------------------------------------------------------------------------------------- the memory


def test_a_repeated_question_within_a_session_looks_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = session_rules("XBOM", product_cut_off=time(15, 20))
    first = rules.status(ns("2026-01-27T10:00+05:30"))

    def fail(_: object, __: object) -> None:
        raise AssertionError("looked up again")

    monkeypatch.setattr(SessionRules, "day_spans", fail)
    assert rules.status(ns("2026-01-27T10:01+05:30")) == first
    assert rules.session_end(ns("2026-01-27T15:29+05:30")) == first.session_end_ns
    assert rules.trading_day(ns("2026-01-27T09:15+05:30")) == "2026-01-27"
    with pytest.raises(AssertionError, match="looked up again"):
        rules.status(ns("2026-01-28T10:01+05:30"))


def test_rules_with_the_same_words_are_equal_whatever_they_were_asked(nse: SessionRules) -> None:
    fresh = session_rules("XBOM")
    fresh.status(ns("2020-01-01T00:00Z"))

    assert fresh == nse


moments = st.integers(ns("2025-10-01T00:00Z"), ns("2027-02-01T00:00Z"))
RULES = {
    "XBOM": {"product_cut_off": time(15, 20)},
    "XHKG": {},
    "CMES": {"extra_holidays": [date(2026, 1, 6)]},
    "XNYS": {"sessions": [Hours(time(18, 0), time(9, 0)), Hours(time(10, 0), time(17, 0))]},
    "24/7": {"extra_holidays": [date(2026, 1, 6)]},
}


@pytest.mark.parametrize("name", RULES)
@given(moments=st.lists(moments, min_size=1, max_size=20))
@settings(max_examples=40, deadline=None)
def test_what_was_asked_before_never_changes_an_answer(name: str, moments: list[int]) -> None:
    rules = session_rules(name, **RULES[name])  # type: ignore[arg-type]
    for ts in moments:
        fresh = session_rules(name, **RULES[name])  # type: ignore[arg-type]
        assert rules.status(ts) == fresh.status(ts)
        assert rules.trading_day(ts) == fresh.trading_day(ts)
        assert rules.session_end(ts) == fresh.session_end(ts)


@pytest.mark.parametrize("name", RULES)
@given(ts=moments)
@settings(max_examples=100, deadline=None)
def test_the_answers_agree_with_one_another_and_with_the_days_spans(name: str, ts: int) -> None:
    rules = session_rules(name, **RULES[name])  # type: ignore[arg-type]
    status, end, upcoming = rules.status(ts), rules.session_end(ts), rules.next_open(ts)
    today = date.fromisoformat(rules.trading_day(ts))
    spans = [span for step in (-1, 0, 1) for span in rules.day_spans(today + timedelta(days=step))]
    trading = any(opens <= ts < closes for opens, closes in spans)

    assert status.reducing_allowed == trading
    assert status.session_end_ns == end
    if trading:
        assert end is not None
        assert end > ts
        assert any(closes == end for _, closes in rules.day_spans(today))
    if upcoming is not None:
        assert upcoming >= ts
        assert rules.status(upcoming).state is SessionState.OPEN


@pytest.mark.parametrize("name", RULES)
@given(one=moments, other=moments)
@settings(max_examples=100, deadline=None)
def test_the_trading_day_never_goes_back(name: str, one: int, other: int) -> None:
    rules = session_rules(name, **RULES[name])  # type: ignore[arg-type]

    assert rules.trading_day(min(one, other)) <= rules.trading_day(max(one, other))
