from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.adapters.replay.timestamps import EpochStamps, TextStamps, WallStamps

NS = 1_000_000_000
T = 1_704_164_645 * NS  # 2024-01-02T03:04:05Z
DAY = 1_704_153_600 * NS  # 2024-01-02T00:00:00Z
IST = ZoneInfo("Asia/Kolkata")
HALF_PAST_FIVE = 19_800 * NS

UTC_TABLE = {
    "2024-01-02T03:04:05Z": T,
    "2024-01-02T03:04:05z": T,
    "2024-01-02 03:04:05 UTC": T,
    "2024-01-02 03:04:05": T,
    "2024-01-02T03:04:05": T,
    "2024/01/02 03:04:05": T,
    "2024.01.02 03:04:05": T,
    "20240102 03:04:05": T,
    "20240102T030405Z": T,
    "2024-01-02T08:34:05+05:30": T,
    "2024-01-02T08:34:05+0530": T,
    "2024-01-01T22:04:05-05": T,
    "2024-01-02 03:04:05.5": T + 500_000_000,
    "2024-01-02 03:04:05,083": T + 83_000_000,
    "2024-01-02 03:04:05.123456": T + 123_456_000,
    "2024-01-02T03:04:05.123456789Z": T + 123_456_789,
    "2024-01-02T08:34:05.000000001+05:30": T + 1,
    "2024-01-02 03:04": T - 5 * NS,
    "2024-01-02": DAY,
    "2024/01/02": DAY,
    "20240102": DAY,
    "02-01-2024": DAY,
    "2-01-2024 03:04:05": T,
    "02-01-2024 03:04:05.25": T + 250_000_000,
    "02-Jan-2024": DAY,
    "02-JAN-2024 03:04:05": T,
    " 2024-01-02T03:04:05Z ": T,
    "1704164645": T,
    "1704164645000": T,
    "1704164645000000": T,
    "1704164645000000001": T + 1,
    "1704164645.083": T + 83_000_000,
    "1704164645.123456789": T + 123_456_789,
    "1.704164645e9": T,
    "1704164645083.25": T + 83_250_000,
    "1969-12-31T23:59:59.999999999Z": -1,
    "2000-02-29 00:00:00": 951_782_400 * NS,
}


@pytest.mark.parametrize(("text", "expected"), UTC_TABLE.items())
def test_stamps_are_read_exactly_alone_and_as_a_column(text: str, expected: int) -> None:
    assert TextStamps("auto", UTC).one(text) == expected
    assert TextStamps("auto", UTC).many([text, text]) == [expected, expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-01-02 08:34:05", T),
        ("2024-01-02T08:34:05.083", T + 83_000_000),
        ("2024-01-02", DAY - HALF_PAST_FIVE),
        ("20240102", DAY - HALF_PAST_FIVE),
        ("2024-01-02T03:04:05Z", T),
        ("1704164645", T),
    ],
)
def test_the_time_zone_counts_for_stamps_without_an_offset_only(text: str, expected: int) -> None:
    assert TextStamps("auto", IST).one(text) == expected
    assert TextStamps("auto", IST).many([text]) == [expected]


def test_daylight_saving_is_that_of_the_day() -> None:
    stamps = TextStamps("auto", ZoneInfo("America/New_York"))
    winter, summer = stamps.many(["2024-01-02 09:30:00", "2024-07-02 09:30:00"])
    assert winter == round(datetime(2024, 1, 2, 14, 30, tzinfo=UTC).timestamp()) * NS
    assert summer == round(datetime(2024, 7, 2, 13, 30, tzinfo=UTC).timestamp()) * NS


def test_an_hour_that_comes_twice_is_the_first() -> None:
    stamp = TextStamps("auto", ZoneInfo("America/New_York")).one("2024-11-03 01:30:00")
    assert stamp == round(datetime(2024, 11, 3, 5, 30, tzinfo=UTC).timestamp()) * NS


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("yesterday", "is not a time"),
        ("2024-13-02", "is not a time: month must be in 1..12"),
        ("2023-02-29 00:00:00", "is not a time: day is out of range"),
        ("2024-01-02 24:00:00", "is not a time: hour"),
        ("2024-01-02 03:04:60", "is not a time: second"),
        ("2024-01-02 03:04:05.1234567891", "is not a time"),
        ("2024-01-02 03:04:05+24:00", "no such offset"),
        ("02-Foo-2024", "is no month"),
        ("02/01/2024", "day or month first"),
        ("1/2/24 10:00", "day or month first"),
        ("2024-01/02", "is not a time"),
        ("1_704_164_645", "is not a time"),
        ("nan", "is not a time"),
        ("1e400", "is not a time"),
        ("２０２４-01-02", "is not a time"),  # noqa: RUF001 - full-width digits on purpose
    ],
)
def test_what_is_no_time_is_refused_with_the_reason(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        TextStamps("auto", UTC).one(text)
    with pytest.raises((ValueError, IndexError)):
        TextStamps("auto", UTC).many([text])


@pytest.mark.parametrize(
    "bad",
    [
        "2024-01-02 03:04:61",
        "2024-01-02 03:04:0x",
        "2024-01-02 03:04:²5",
        "2024-01-02 03:04:0５",  # noqa: RUF001 - a full-width digit on purpose
        "2024-01-02 25:04:05",
    ],
)
def test_a_bad_stamp_among_good_ones_of_its_shape_is_found(bad: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - `many` only says that something is wrong
        TextStamps("auto", UTC).many(["2024-01-02 03:04:05", bad, "2024-01-02 03:04:06"])


def test_a_bad_number_among_good_epochs_is_found() -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - as above
        TextStamps("auto", UTC).many(["1704164645", "1_704_164_646"])


def test_a_column_may_mix_lengths() -> None:
    texts = ["2024-01-02 03:04:05", "2024-01-02 03:04:05.5", "2024-01-02 03:04:05.083"]
    assert TextStamps("auto", UTC).many(texts) == [T, T + 500_000_000, T + 83_000_000]


def test_a_column_of_one_shape_with_several_offsets_is_read_stamp_by_stamp() -> None:
    texts = ["2024-01-02T03:04:05+00:00", "2024-01-02T08:34:06+05:30"]
    assert TextStamps("auto", UTC).many(texts) == [T, T + NS]


moments = st.datetimes(datetime(1950, 1, 1), datetime(2200, 1, 1))  # noqa: DTZ001 - the zone is drawn apart


@given(
    st.lists(st.tuples(moments, st.integers(0, 999)), min_size=1, max_size=20),
    st.integers(-14 * 60, 14 * 60),
    st.sampled_from([0, 3, 6, 9]),
    st.booleans(),
)
def test_any_column_of_iso_stamps_comes_out_exactly(
    drawn: list[tuple[datetime, int]], offset: int, digits: int, naive: bool
) -> None:
    zone = timezone(timedelta(minutes=offset))
    sign, ahead = ("-" if offset < 0 else "+"), abs(offset)
    suffix = "" if naive else f"{sign}{ahead // 60:02d}:{ahead % 60:02d}"
    texts, expected = [], []
    for moment, nanos in drawn:
        fraction = f"{moment.microsecond:06d}{nanos:03d}"[:digits]
        texts.append(f"{moment:%Y-%m-%d %H:%M:%S}" + (f".{fraction}" if digits else "") + suffix)
        since = moment.replace(microsecond=0, tzinfo=zone) - datetime(1970, 1, 1, tzinfo=UTC)
        expected.append(
            (since.days * 86_400 + since.seconds) * NS + int(fraction.ljust(9, "0") if digits else 0)
        )
    stamps = TextStamps("auto", zone)
    assert stamps.many(texts) == expected
    assert [stamps.one(text) for text in texts] == expected


@given(st.lists(st.integers(10**17, 2**63 - 1), min_size=1))
def test_nanoseconds_never_pass_through_a_float(values: list[int]) -> None:
    assert TextStamps("auto", UTC).many([str(value) for value in values]) == values


@pytest.mark.parametrize(
    ("unit", "value", "expected"),
    [("s", 12, 12 * NS), ("ms", 12, 12_000_000), ("us", 12, 12_000), ("ns", 12, 12)],
)
def test_a_unit_that_is_given_counts(unit: Any, value: int, expected: int) -> None:
    assert EpochStamps(unit, UTC).one(value) == expected
    assert EpochStamps(unit, UTC).many([value]) == [expected]
    assert EpochStamps(unit, UTC).one(20_240_102) == 20_240_102 * expected // 12  # no date


def test_a_stamp_of_another_size_than_the_first_is_refused() -> None:
    stamps = EpochStamps("auto", UTC)
    assert stamps.many([1_704_164_645_000]) == [T]
    with pytest.raises(ValueError, match="looks like s, the file's first stamp like ms"):
        stamps.one(1_704_164_645)
    with pytest.raises(ValueError, match="looks like us"):
        stamps.many([1_704_164_645_000, 1_704_164_645_000_000])


def test_floats_are_read_by_their_shortest_decimal() -> None:
    assert EpochStamps("auto", UTC).many([1_704_164_645.083]) == [T + 83_000_000]  # type: ignore[list-item]
    assert EpochStamps("auto", UTC).one(Decimal("1704164645.083000001")) == T + 83_000_001


def test_no_number_is_no_epoch() -> None:
    with pytest.raises(ValueError, match="is empty"):
        EpochStamps("auto", UTC).one(None)
    with pytest.raises(ValueError, match="is not a time"):
        EpochStamps("auto", UTC).one(float("nan"))


def test_wall_time_counts_in_its_zone() -> None:
    assert WallStamps(IST).many([T + HALF_PAST_FIVE, T + HALF_PAST_FIVE + 1]) == [T, T + 1]
    assert WallStamps(IST).one(T + HALF_PAST_FIVE) == T
    with pytest.raises(ValueError, match="is empty"):
        WallStamps(IST).one(None)
