"""Kite's shapes on the wire: envelopes, times, numbers, and what a caller experiences.

Times in JSON are India's, without a mark of their zone. Numbers are int or float for the same field.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Final

import msgspec

from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.testing.broker.faults import Wire

IST: Final = timezone(timedelta(hours=5, minutes=30))
JSON: Final = "application/json"
CSV: Final = "text/csv"
HTML: Final = "text/html"
TEXT: Final = "text/plain"

_ENCODER: Final = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True, slots=True)
class Reply:
    """What the caller on the wire experiences, `delay` seconds after its request arrived.

    `content_type` None: the header is missing. `location`: of a redirect.
    """

    status: int
    body: bytes
    content_type: str | None = JSON
    wire: Wire = Wire.ANSWER
    delay: float = 0
    location: str = ""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why not, in Kite's words."""

    status: int
    error_type: str
    message: str


def encoded(value: Any) -> bytes:  # noqa: ANN401 - JSON
    """Return the value as JSON; a Decimal becomes a number."""
    return _ENCODER.encode(value)


def success(data: Any) -> Reply:  # noqa: ANN401 - JSON
    """Return the data in Kite's envelope."""
    return Reply(200, encoded({"status": "success", "data": data}))


def error_body(error_type: str, message: str) -> str:
    """Return Kite's envelope of an error."""
    envelope = {"status": "error", "message": message, "data": None, "error_type": error_type}
    return encoded(envelope).decode()


def refused(refusal: Refusal) -> Reply:
    """Return the answer that says why not."""
    return Reply(refusal.status, error_body(refusal.error_type, refusal.message).encode())


def bad_input(message: str) -> Refusal:
    """Return a refusal of what was sent: 400 InputException."""
    return Refusal(400, "InputException", message)


def moment(ts: int) -> datetime:
    """Return UTC ns as India's time."""
    return datetime.fromtimestamp(ts // SECOND_NS, UTC).astimezone(IST)


def stamp(ts: int | None) -> str | None:
    """Return UTC ns as `2026-01-02 14:15:00`, India's time; None stays None."""
    return None if ts is None else moment(ts).strftime("%Y-%m-%d %H:%M:%S")


def day_of(ts: int) -> str:
    """Return India's date at UTC ns, in ISO form."""
    return moment(ts).date().isoformat()


def number(value: Decimal) -> int | Decimal:
    """Return a number as Kite writes it: whole ones without a point, others without trailing zeros."""
    whole = value.to_integral_value()
    return int(whole) if whole == value else value.normalize()


def rounded(value: Decimal, places: int) -> Decimal:
    """Return the value with so many decimal places, halves away from zero."""
    return value.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP)
