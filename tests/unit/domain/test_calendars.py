"""Calendars by name: what the installed exchange_calendars says, copied into plain values."""

import importlib.metadata
import subprocess
import sys
from datetime import UTC, date, datetime, time, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.domain.calendars import ALWAYS_OPEN, load_calendar, local_date, merge, span_of, to_ns
from alpha_panda.errors import UserInputError

HOUR = 3_600_000_000_000
KOLKATA = timezone(timedelta(hours=5, minutes=30))
PANDAS = tuple(int(part) for part in importlib.metadata.version("pandas").split(".")[:2])


def ns(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 1_000_000_000


def test_a_24_7_run_never_imports_the_calendar_library() -> None:
    code = (
        "import sys; from alpha_panda.domain.sessions import SessionState, session_rules;"
        "assert session_rules('24/7').status(0).state is SessionState.OPEN;"
        "print([name for name in ('pandas', 'numpy', 'exchange_calendars') if name in sys.modules])"
    )
    # The same search path, so that the package is found wherever the tests were started.
    done = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", f"import sys; sys.path[:] = {sys.path!r}; {code}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_24_7_has_a_session_of_24_hours_each_utc_day() -> None:
    calendar = load_calendar(ALWAYS_OPEN)

    assert calendar.endless
    assert calendar.tz is UTC
    assert calendar.spans(date(2024, 12, 25)) == ((ns("2024-12-25T00:00Z"), ns("2024-12-26T00:00Z")),)


def test_a_calendar_is_made_once_per_name() -> None:
    assert load_calendar("XBOM") is load_calendar("XBOM")


@pytest.mark.parametrize(
    ("day", "reason"),
    [
        ("2025-10-02", "Gandhi Jayanti"),
        ("2025-10-21", "Diwali Laxmi Pujan"),
        ("2025-10-22", "Diwali Balipratipada"),
        ("2026-01-26", "Republic Day"),
        ("2026-11-10", "Diwali Balipratipada"),
        ("2026-01-24", "a Saturday"),
        ("2026-11-08", "a Sunday: Diwali Laxmi Pujan"),
    ],
)
def test_the_holidays_of_nse(day: str, reason: str) -> None:
    assert load_calendar("XBOM").spans(date.fromisoformat(day)) == (), reason


def test_the_hours_of_nse_and_where_its_data_end() -> None:
    calendar = load_calendar("XBOM")

    assert calendar.spans(date(2026, 1, 27)) == (
        (ns("2026-01-27T09:15+05:30"), ns("2026-01-27T15:30+05:30")),
    )
    assert calendar.last == date(2026, 12, 31)
    assert calendar.covers(calendar.first)
    assert calendar.covers(calendar.last)
    assert not calendar.covers(calendar.last + timedelta(days=1))
    assert not calendar.covers(calendar.first - timedelta(days=1))


@pytest.mark.xfail(
    PANDAS >= (3, 1), reason="exchange_calendars 4.13 ignores special weekmasks with pandas 3.1", strict=True
)
def test_the_budget_saturday_of_nse_is_a_session() -> None:
    assert load_calendar("XBOM").spans(date(2025, 2, 1))


def test_an_alias_is_the_same_exchange_under_its_own_name() -> None:
    alias = load_calendar("NYSE")

    assert alias.name == "NYSE"
    assert alias.spans(date(2026, 1, 2)) == load_calendar("XNYS").spans(date(2026, 1, 2)) != ()


def test_the_utc_hours_of_new_york_move_with_summer_time() -> None:
    calendar = load_calendar("XNYS")

    assert calendar.spans(date(2026, 3, 6)) == ((ns("2026-03-06T14:30Z"), ns("2026-03-06T21:00Z")),)
    assert calendar.spans(date(2026, 3, 9)) == ((ns("2026-03-09T13:30Z"), ns("2026-03-09T20:00Z")),)
    assert calendar.spans(date(2025, 10, 31)) == ((ns("2025-10-31T13:30Z"), ns("2025-10-31T20:00Z")),)
    assert calendar.spans(date(2025, 11, 3)) == ((ns("2025-11-03T14:30Z"), ns("2025-11-03T21:00Z")),)


def test_the_day_after_thanksgiving_is_a_half_day() -> None:
    calendar = load_calendar("XNYS")

    assert date(2025, 11, 28) in calendar.early_closes
    assert calendar.spans(date(2025, 11, 28)) == ((ns("2025-11-28T14:30Z"), ns("2025-11-28T18:00Z")),)


def test_hong_kong_breaks_for_lunch_except_on_half_days() -> None:
    calendar = load_calendar("XHKG")

    assert calendar.spans(date(2026, 1, 5)) == (
        (ns("2026-01-05T09:30+08:00"), ns("2026-01-05T12:00+08:00")),
        (ns("2026-01-05T13:00+08:00"), ns("2026-01-05T16:00+08:00")),
    )
    assert calendar.spans(date(2025, 12, 24)) == (
        (ns("2025-12-24T09:30+08:00"), ns("2025-12-24T12:00+08:00")),
    )


def test_a_futures_session_opens_on_the_evening_before_its_date() -> None:
    # The library leaves out the daily pause of an hour.
    (span,) = load_calendar("CMES").spans(date(2026, 1, 5))

    assert span[0] == ns("2026-01-04T17:00-06:00")
    assert span[1] == ns("2026-01-05T17:00-06:00")


@pytest.mark.parametrize("name", ["XBOM", "XNYS", "XHKG", "CMES"])
def test_sessions_are_in_order_and_never_overlap(name: str) -> None:
    calendar = load_calendar(name)
    assert calendar.days is not None
    spans = [span for day in calendar.days for span in calendar.spans(day)]

    assert len(spans) > 7000
    assert all(opens < closes for opens, closes in spans)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))
    assert list(calendar.days) == sorted(calendar.days)


@pytest.mark.parametrize(
    ("name", "near"), [("xbom", "XBOM"), ("XNYZ", "XNYS"), ("NSE", "did you mean XBOM"), ("24x7", "24/7")]
)
def test_an_unknown_name_is_refused_with_the_nearest_ones(name: str, near: str) -> None:
    with pytest.raises(UserInputError, match=near) as refused:
        load_calendar(name)

    assert repr(name) in str(refused.value)


def test_a_name_like_no_other_is_refused_with_what_is_allowed() -> None:
    with pytest.raises(UserInputError, match="24/7, or an exchange_calendars code") as refused:
        load_calendar("!!")

    assert "did you mean" not in str(refused.value)


def test_a_calendar_that_the_library_fails_to_make_is_a_short_user_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import exchange_calendars  # noqa: PLC0415 - the import itself is slow: only here

    def fail(*_: object, **__: object) -> None:
        raise ValueError("Special dates are not sessions: " + "2006-11-26, " * 1000)

    monkeypatch.setattr(exchange_calendars, "get_calendar", fail)
    with pytest.raises(UserInputError, match=r"'XTKS'.*can't make it.*ValueError") as refused:
        load_calendar("XTKS")

    assert len(str(refused.value)) < 400


# ------------------------------------------------------------------------------------------------- times


@pytest.mark.parametrize(
    ("opens", "closes", "span"),
    [
        (time(9, 15), time(15, 30), ("2026-01-27T09:15+05:30", "2026-01-27T15:30+05:30")),
        (time(9, 0), time(0), ("2026-01-27T09:00+05:30", "2026-01-28T00:00+05:30")),  # to the end of the day
        (time(0), time(0), ("2026-01-27T00:00+05:30", "2026-01-28T00:00+05:30")),  # all day
        (
            time(17, 0),
            time(16, 0),
            ("2026-01-26T17:00+05:30", "2026-01-27T16:00+05:30"),
        ),  # from the evening before
        (time(17, 0), time(17, 0), ("2026-01-26T17:00+05:30", "2026-01-27T17:00+05:30")),
    ],
)
def test_hours_may_touch_the_evening_before_or_midnight(
    opens: time, closes: time, span: tuple[str, str]
) -> None:
    assert span_of(date(2026, 1, 27), opens, closes, KOLKATA) == (ns(span[0]), ns(span[1]))


def test_the_local_date_turns_at_local_midnight() -> None:
    midnight = to_ns(date(2026, 1, 27), time(0), KOLKATA)

    assert midnight == ns("2026-01-26T18:30Z")
    assert local_date(midnight, KOLKATA) == date(2026, 1, 27)
    assert local_date(midnight - 1, KOLKATA) == date(2026, 1, 26)


def test_a_day_of_summer_time_has_23_hours() -> None:
    opens, closes = span_of(date(2026, 3, 8), time(0), time(0), ZoneInfo("America/New_York"))

    assert closes - opens == 23 * HOUR


def test_spans_that_overlap_or_touch_become_one() -> None:
    assert merge([(5, 9), (0, 2), (2, 3), (8, 12), (20, 21)]) == ((0, 3), (5, 12), (20, 21))
    assert merge([]) == ()
    assert merge([(0, 10), (2, 3)]) == ((0, 10),)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 10)).map(lambda item: (item[0], sum(item)))))
def test_merged_spans_cover_the_same_moments_apart_from_one_another(spans: list[tuple[int, int]]) -> None:
    merged = merge(spans)

    assert all(before[1] < after[0] for before, after in pairwise(merged))
    for moment in range(62):
        inside = any(opens <= moment < closes for opens, closes in spans)
        assert inside == any(opens <= moment < closes for opens, closes in merged)
