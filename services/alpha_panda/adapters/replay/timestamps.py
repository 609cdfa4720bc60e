"""Time stamps of files → UTC nanoseconds, exactly: integers never pass through a float.

Every reader has `one` for a single value, which says what is wrong with it, and `many` for a column, which is
fast and only says that something is wrong. Both raise ValueError.
"""

import re
from collections.abc import Callable, Hashable, Sequence
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, Protocol, TypeVar

StampUnit = Literal["auto", "s", "ms", "us", "ns"]

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
DAY = 24 * 60 * MINUTE
UNIT_NS: dict[str, int] = {"s": SECOND, "ms": 1_000_000, "us": 1_000, "ns": 1}
_MEMO_LIMIT = 65_536
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_COMPACT_DATES = range(1900_01_01, 2100_12_31 + 1)
_MAX_MAGNITUDE = 10**20
_LIMITS = (("s", 10**11), ("ms", 10**14), ("us", 10**17))

_ZONE = r"[Zz]|UTC|GMT|[+-]\d\d(?::?\d\d)?"
_TIME = (
    r"(?:(?:T|\s+)(?P<hour>\d\d):?(?P<minute>\d\d)(?::?(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?"
    r"\s*(?P<zone>" + _ZONE + ")?)?"
)
_REST = re.compile(r"(?P<second>[0-5]\d)(?:\.(?P<fraction>\d{1,9}))?(?P<zone>" + _ZONE + ")?", re.ASCII)
_YEAR_FIRST = re.compile(
    r"(?P<year>\d{4})(?P<sep>[-/.]?)(?P<month>\d\d)(?P=sep)(?P<day>\d\d)" + _TIME, re.ASCII
)
_DAY_FIRST = re.compile(r"(?P<day>\d{1,2})-(?P<month>\d\d|[A-Za-z]{3})-(?P<year>\d{4})" + _TIME, re.ASCII)
_SLASHES = re.compile(r"\d{1,2}/\d{1,2}/\d{2,4}\b.*", re.ASCII)
_EPOCH = re.compile(r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?", re.ASCII)
_MINUTE_PREFIX = re.compile(r"(\d{4})([-/.])(\d\d)\2(\d\d)[T ](\d\d):(\d\d):", re.ASCII)
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()  # noqa: SIM905 - reads better than a list

_K = TypeVar("_K", bound=Hashable)


class StampReader(Protocol):
    """Reads the time stamps of one file."""

    def one(self, value: Any) -> int:  # noqa: ANN401 - whatever the file's column holds
        """Return the stamp; ValueError says what is wrong with it."""

    def many(self, values: Sequence[Any]) -> list[int]:
        """Return the stamps of a column; ValueError or TypeError if any can't be read."""


class _Memo(dict[_K, int]):
    """Remembers what a function returned; forgets all when it grows large."""

    def __init__(self, function: Callable[[_K], int]) -> None:
        self._function = function

    def __missing__(self, key: _K) -> int:
        value = self._function(key)
        if len(self) >= _MEMO_LIMIT:
            self.clear()
        self[key] = value
        return value


def _wall_ns(moment: datetime) -> int:
    """Return nanoseconds from 1970 to a wall time, as if it were UTC."""
    day = (moment.toordinal() - _EPOCH_DAY) * DAY
    return day + ((moment.hour * 60 + moment.minute) * 60 + moment.second) * SECOND


def local_to_utc(moment: datetime, zone: tzinfo) -> int:
    """Return the UTC nanoseconds of a naive wall time in `zone`; of an hour that comes twice, the first."""
    offset = moment.replace(tzinfo=zone).utcoffset() or timedelta(0)
    return _wall_ns(moment) - round(offset.total_seconds()) * SECOND


class WallStamps:
    """Integers that count nanoseconds of wall time in a zone (Parquet's timestamps without a zone)."""

    def __init__(self, zone: tzinfo) -> None:
        self._offsets: _Memo[int] = _Memo(lambda minute: _shift(minute, zone))

    def one(self, value: int | None) -> int:
        """Return UTC nanoseconds."""
        if value is None:
            raise ValueError("is empty")
        return value + self._offsets[value // MINUTE]

    def many(self, values: Sequence[int]) -> list[int]:
        """Return UTC nanoseconds of all."""
        offsets = self._offsets
        return [value + offsets[value // MINUTE] for value in values]


def _shift(minute: int, zone: tzinfo) -> int:
    moment = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None) + timedelta(minutes=minute)
    return local_to_utc(moment, zone) - minute * MINUTE


class EpochStamps:
    """Numbers since 1970 in one unit; `auto` tells it by the size of the file's first stamp.

    Below 1e11: seconds, below 1e14: ms, below 1e17: µs, else ns: right for 1973 to 5138. A later stamp of
    another size is wrong. An 8-digit integer under `auto` is a date: yyyymmdd.
    """

    def __init__(self, unit: StampUnit, zone: tzinfo) -> None:
        self._auto = unit == "auto"
        self._unit: str | None = None if self._auto else unit
        self._zone = zone

    def one(self, value: float | Decimal | None) -> int:
        """Return UTC nanoseconds; digits below the nanosecond are cut off."""
        if value is None:
            raise ValueError("is empty")
        if not -_MAX_MAGNITUDE < value < _MAX_MAGNITUDE:  # also true of nan
            raise ValueError("is not a time")
        if self._auto and value == value // 1 and int(value) in _COMPACT_DATES:
            year, rest = divmod(int(value), 10_000)
            return local_to_utc(_moment(year, rest // 100, rest % 100), self._zone)
        factor = UNIT_NS[self._unit_of(value)]
        if isinstance(value, int):
            return value * factor
        return int(Decimal(repr(value) if isinstance(value, float) else value) * factor)

    def many(self, values: Sequence[int]) -> list[int]:
        """Return UTC nanoseconds of all; integers are the fast case."""
        if not isinstance(values[0], int) or (self._auto and values[0] in _COMPACT_DATES):
            return [self.one(value) for value in values]
        for value in (values[0], min(values), max(values)):
            factor = UNIT_NS[self._unit_of(value)]
        return [value * factor for value in values] if factor != 1 else list(values)

    def _unit_of(self, value: float | Decimal) -> str:
        if not self._auto:
            return self._unit or "ns"
        unit = next((unit for unit, limit in _LIMITS if -limit < value < limit), "ns")
        if self._unit is None:
            self._unit = unit
        elif self._unit != unit:
            raise ValueError(
                f"looks like {unit}, the file's first stamp like {self._unit}; set timestampUnit"
            )
        return self._unit


class TextStamps:
    """Text: ISO 8601 and its relatives, day-first dates with dashes, or epoch numbers."""

    def __init__(self, unit: StampUnit, zone: tzinfo) -> None:
        self._zone = zone
        self._epochs = EpochStamps(unit, zone)
        self._stamps: _Memo[str] = _Memo(self._parse)
        self._wall_minutes: _Memo[str] = _Memo(lambda text: local_to_utc(_minute(text), zone))
        self._utc_minutes: _Memo[str] = _Memo(lambda text: local_to_utc(_minute(text), UTC))
        self._wall_rests: _Memo[str] = _Memo(lambda text: _rest(text, zoned=False))
        self._utc_rests: _Memo[str] = _Memo(lambda text: _rest(text, zoned=True))

    def one(self, value: str | None) -> int:
        """Return UTC nanoseconds."""
        if not value or not value.strip():
            raise ValueError("is empty")
        return self._parse(str(value))

    def many(self, values: Sequence[str]) -> list[int]:
        """Return UTC nanoseconds of all."""
        if values[0].isdigit():
            return self._epochs.many(_integers(values))
        if _MINUTE_PREFIX.fullmatch(values[0][:17]) is None:
            return list(map(self._stamps.__getitem__, values))
        try:
            return self._alike(values)
        except ValueError:
            return self._by_minute(values)

    def _parse(self, value: str) -> int:
        text = value.strip()
        if _EPOCH.fullmatch(text):
            return self._epochs.one(_epoch_number(text))
        match = _YEAR_FIRST.fullmatch(text) or _DAY_FIRST.fullmatch(text)
        if match is None:
            raise ValueError(_complaint(text))
        part = match.groupdict()
        moment = _moment(
            int(part["year"]),
            _month(part["month"]),
            int(part["day"]),
            int(part["hour"] or 0),
            int(part["minute"] or 0),
            int(part["second"] or 0),
        )
        zone = (
            self._zone if part["zone"] is None else timezone(timedelta(minutes=_offset_minutes(part["zone"])))
        )
        return local_to_utc(moment, zone) + int((part["fraction"] or "").ljust(9, "0"))

    def _alike(self, values: Sequence[str]) -> list[int]:
        """Read stamps of one shape, `yyyy-mm-dd hh:mm:ss[.fraction][zone]`, all as long as the first."""
        match = _YEAR_FIRST.fullmatch(values[0])
        if match is None or not match["sep"] or match["second"] is None:
            raise ValueError
        end = match.end("fraction") if match["fraction"] else match.end("second")
        if (
            set(map(len, values)) != {len(values[0])}
            or len({text[19:20] + text[end:] for text in values}) != 1
        ):
            raise ValueError
        seconds = [text[17:19] + text[20:end] for text in values]
        if max(seconds) >= "60" or not (joined := "".join(seconds)).isdigit() or not joined.isascii():
            raise ValueError
        scale = 10 ** (11 - len(seconds[0]))
        if match["zone"] is None:
            minutes, shift = self._wall_minutes, 0
        else:
            minutes, shift = self._utc_minutes, _offset_minutes(match["zone"]) * MINUTE
        return [
            minutes[text[:17]] + int(second) * scale - shift
            for text, second in zip(values, seconds, strict=True)
        ]

    def _by_minute(self, values: Sequence[str]) -> list[int]:
        """Read stamps `yyyy-mm-dd hh:mm:` + the rest, whose length may differ; all or none with a zone."""
        match = _REST.fullmatch(values[0][17:])
        if match is not None and match["zone"]:
            minutes, rests = self._utc_minutes, self._utc_rests
        else:
            minutes, rests = self._wall_minutes, self._wall_rests
        return [minutes[text[:17]] + rests[text[17:]] for text in values]


def _rest(text: str, *, zoned: bool) -> int:
    """Return the nanoseconds of `seconds[.fraction][zone]`."""
    match = _REST.fullmatch(text)
    if match is None or (match["zone"] is not None) is not zoned:
        raise ValueError
    shift = _offset_minutes(match["zone"]) * MINUTE if zoned else 0
    return int(match["second"]) * SECOND + int((match["fraction"] or "").ljust(9, "0")) - shift


def _integers(values: Sequence[str]) -> list[int]:
    if "_" in "".join(values):
        raise ValueError
    return list(map(int, values))


def _epoch_number(text: str) -> int | Decimal:
    try:
        return int(text)
    except ValueError:
        try:
            return Decimal(text)
        except InvalidOperation:
            raise ValueError("is not a time") from None


def _minute(text: str) -> datetime:
    match = _MINUTE_PREFIX.fullmatch(text)
    if match is None:
        raise ValueError
    return datetime(*map(int, match.group(1, 3, 4, 5, 6)))  # type: ignore[arg-type]  # noqa: DTZ001 - wall time


def _moment(year: int, month: int, day: int, *time: int) -> datetime:
    try:
        return datetime(year, month, day, *time)  # type: ignore[arg-type]  # noqa: DTZ001 - wall; zone comes next
    except ValueError as error:
        raise ValueError(f"is not a time: {error}") from None


def _month(text: str) -> int:
    if text.isdigit():
        return int(text)
    try:
        return _MONTHS.index(text.lower()) + 1
    except ValueError:
        raise ValueError(f"is not a time: {text!r} is no month") from None


def _offset_minutes(zone: str) -> int:
    if zone in ("Z", "z", "UTC", "GMT"):
        return 0
    hours, minutes = int(zone[1:3]), int(zone[3:].lstrip(":") or 0)
    if hours > 23 or minutes > 59:  # noqa: PLR2004 - a day has 24 hours
        raise ValueError(f"is not a time: no such offset {zone}")
    return (hours * 60 + minutes) * (-1 if zone[0] == "-" else 1)


def _complaint(text: str) -> str:
    if _SLASHES.fullmatch(text):
        return "may be day or month first; write yyyy-mm-dd or dd-mm-yyyy"
    return "is not a time this release can read"
