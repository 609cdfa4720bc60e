"""Types of manifest fields: names, exact decimals, days, times of day, each with its bounds.

Stricter than pydantic by itself, and like the API server: a number in quotes is no number, `true` is no integer.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, time
from decimal import Decimal
from typing import Annotated, ClassVar, Final

from pydantic import (
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    PlainSerializer,
    Strict,
    WithJsonSchema,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from alpha_panda.contracts.resources.rules import fault

MAX_NAME: Final = 40
"""Names go into topics, keys and the names of pods; with their suffixes they must fit 63 characters."""

NAME_PATTERN: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
SYMBOL_PATTERN: Final = r"^[A-Z][A-Z0-9_]{0,15}:[A-Za-z0-9][A-Za-z0-9 ._&+/^-]{0,46}$"
ENTRY_POINT_PATTERN: Final = r"^[A-Za-z_][A-Za-z0-9_.-]*$"
CLASS_PATTERN: Final = r"^[A-Za-z_][A-Za-z0-9_]*$"
CLASS_PATH_PATTERN: Final = r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*:[A-Za-z_][A-Za-z0-9_]*$"
CODE_FILE_PATTERN: Final = r"^([A-Za-z0-9_][A-Za-z0-9_.-]*/)*[A-Za-z0-9_][A-Za-z0-9_.-]*\.py$"
INSTRUMENT_KIND_PATTERN: Final = r"^[A-Z][A-Z0-9_]*$"
OBJECT_PATTERN: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
IMAGE_PATTERN: Final = (
    r"^([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?/)?[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*"
    r"(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[a-f0-9]{64})?$"
)
RESOURCE_NAME_PATTERN: Final = r"^([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
RESOURCE_AMOUNT_PATTERN: Final = r"^[0-9]{1,15}(\.[0-9]{1,9})?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei)?$"
BROKER_USER_PATTERN: Final = r"^[A-Z0-9]{2,16}$"
ALGO_PATTERN: Final = r"^[A-Za-z0-9_-]+$"
ADDRESS_PATTERN: Final = r"^[0-9A-Fa-f.:]+$"
CLOCK_PATTERN: Final = r"^([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9])?$"
DATE_PATTERN: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"

PATTERN_WORDS: Final[dict[str, str]] = {
    NAME_PATTERN: "one DNS label: lower-case letters, digits and '-', beginning and ending with a letter or digit",
    SYMBOL_PATTERN: 'EXCHANGE:NAME, for example "NSE:RELIANCE"',
    ENTRY_POINT_PATTERN: "the name of an entry point: letters, digits, '_', '-' and '.'",
    CLASS_PATTERN: "the name of a Python class",
    CLASS_PATH_PATTERN: '"package.module:Class"',
    CODE_FILE_PATTERN: "a .py file in the manifest's folder or below it, relative and without '..'",
    INSTRUMENT_KIND_PATTERN: "upper-case letters, digits and '_', for example EQ, FUT, CE, PE",
    BROKER_USER_PATTERN: "the user's id at the broker, for example AB1234",
    ALGO_PATTERN: "letters, digits, '_' and '-'",
    ADDRESS_PATTERN: 'an IP address as "203.0.113.7"',
    CLOCK_PATTERN: 'a time of day as "09:15" or "09:15:00"',
    OBJECT_PATTERN: "the name of an object: lower-case letters, digits, '-' and '.'",
    IMAGE_PATTERN: "an image as REGISTRY/NAME:TAG or REGISTRY/NAME@sha256:DIGEST",
}
"""What each pattern means, for messages."""


Integer = Annotated[int, Strict()]
Number = Annotated[float, Strict(), Field(allow_inf_nan=False)]
Flag = Annotated[bool, Strict()]
Name = Annotated[str, Field(pattern=NAME_PATTERN, min_length=1, max_length=MAX_NAME)]
Symbol = Annotated[str, Field(pattern=SYMBOL_PATTERN, max_length=63)]
Seconds = Annotated[Number, Field(gt=0, le=86_400)]
Seed = Annotated[Integer, Field(ge=0, le=2**53 - 1)]
ObjectName = Annotated[str, Field(pattern=OBJECT_PATTERN, min_length=1, max_length=253)]
"""Name of a Kubernetes object of another kind: a ConfigMap, a PersistentVolumeClaim."""
ImageName = Annotated[str, Field(pattern=IMAGE_PATTERN, max_length=512)]
LatchId = Annotated[str, Field(min_length=1, max_length=253)]
Replicas = Annotated[Integer, Field(ge=1, le=16)]


@dataclass(frozen=True, slots=True)
class Exact:
    """Marks a Decimal that manifests write as text or number, from `minimum` (or above it) to `maximum`.

    Sixteen digits or more must be text: YAML and JSON numbers are float64 and would be rounded silently.
    """

    maximum: Decimal
    minimum: Decimal = Decimal(0)
    above: bool = True
    decimals: int = 10

    INTEGER_DIGITS: ClassVar[int] = 15
    FLOAT_DIGITS: ClassVar[int] = 15

    @property
    def pattern(self) -> str:
        """Regular expression of the text form (ASCII digits only; `Decimal` alone would take more)."""
        return rf"^[0-9]{{1,{self.INTEGER_DIGITS}}}(\.[0-9]{{1,{self.decimals}}})?$"

    @property
    def bounded_pattern(self) -> str:
        """What of `pattern` is within the limits, for schemas, which compare no text with a number.

        Only the longest texts with leading zeros are judged otherwise than by `parse`.
        """
        return f"^({'|'.join(self._alternatives())})$"

    def _alternatives(self) -> Iterator[str]:
        digits = len(f"{self.maximum - 1:f}") if self.maximum > 1 else 0
        zeros, more = self.INTEGER_DIGITS - 1, self.decimals - 1
        if digits:
            yield rf"0{{0,{zeros}}}[1-9][0-9]{{0,{digits - 1}}}(\.[0-9]{{1,{self.decimals}}})?"
        if self.maximum == Decimal(10) ** digits:
            yield rf"0{{0,{zeros}}}1{'0' * digits}(\.0{{1,{self.decimals}}})?"
        if self.above:
            yield rf"0{{1,{zeros + 1}}}\.0{{0,{more}}}[1-9][0-9]{{0,{more}}}"
        else:
            yield rf"0{{1,{zeros + 1}}}(\.[0-9]{{1,{self.decimals}}})?"

    @property
    def words(self) -> str:
        """What is allowed, for messages."""
        low = f"above {self.minimum:f}" if self.above else f"from {self.minimum:f}"
        return (
            f'a number {low} up to {self.maximum:f}, as "12.5" or 12.5, with at most {self.decimals} decimals'
        )

    def parse(self, raw: object) -> Decimal:
        """Return the number, or raise an error that says what is allowed."""
        text = _decimal_text(raw)
        if text is None or not re.fullmatch(self.pattern, text, re.ASCII):
            raise fault(f"{_shown(raw)} is not such a number", self.words)
        if isinstance(raw, float) and len(text.replace(".", "").strip("0")) > self.FLOAT_DIGITS:
            raise fault(
                f"{text} has more digits than a YAML number keeps", f'the same number in quotes: "{text}"'
            )
        value = Decimal(text)
        if not self.minimum <= value <= self.maximum or (self.above and value == self.minimum):
            raise fault(f"{text} is out of range", self.words)
        return value

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            self.parse,
            serialization=core_schema.plain_serializer_function_ser_schema(_plain, when_used="json"),
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        low = {"exclusiveMinimum" if self.above else "minimum": float(self.minimum)}
        length = self.INTEGER_DIGITS + 1 + self.decimals
        number = {"type": "number", **low, "maximum": float(self.maximum)}
        return {"anyOf": [{"type": "string", "pattern": self.bounded_pattern, "maxLength": length}, number]}


def _decimal_text(raw: object) -> str | None:
    if isinstance(raw, str):
        return raw
    if isinstance(raw, bool) or not isinstance(raw, int | float | Decimal):
        return None
    # repr gives the shortest text of a float that reads back the same: 0.05 stays 0.05.
    exact = raw if isinstance(raw, Decimal) else Decimal(repr(raw))
    return f"{exact:f}" if exact.is_finite() else None


def _plain(value: Decimal) -> str:
    return f"{value:f}"


def _shown(raw: object) -> str:
    text = repr(raw)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004 - a message's width


Money = Annotated[Decimal, Exact(maximum=Decimal(10**15) - 1, above=False)]
"""An amount in the account's currency, zero allowed."""
PositiveMoney = Annotated[Decimal, Exact(maximum=Decimal(10**15) - 1)]
Quantity = Annotated[Decimal, Exact(maximum=Decimal(10**12))]
Price = Annotated[Decimal, Exact(maximum=Decimal(10**12))]
BasisPoints = Annotated[Decimal, Exact(maximum=Decimal(10_000), above=False)]
"""Hundredths of a percent."""
Ratio = Annotated[Decimal, Exact(maximum=Decimal(1), above=False)]
MarginRatio = Annotated[Decimal, Exact(maximum=Decimal(10), above=False)]


def _date(raw: object) -> date:
    if type(raw) is date:
        return raw
    if isinstance(raw, str) and re.fullmatch(DATE_PATTERN, raw, re.ASCII):
        try:
            return date.fromisoformat(raw)
        except ValueError:
            raise fault(f"{raw!r} is not a day of the calendar", 'a date as "2026-01-26"') from None
    raise fault(f"{_shown(raw)} is not a date", 'a date as "2026-01-26"')


def clock_time(raw: object) -> time:
    """Return the time of day that a manifest says; ValueError when it says none."""
    if isinstance(raw, time) and raw.tzinfo is None:
        return raw
    if isinstance(raw, str) and re.fullmatch(CLOCK_PATTERN, raw, re.ASCII):
        return time.fromisoformat(raw)
    raise fault(f"{_shown(raw)} is not a time of day", 'a time as "09:15" or "09:15:00", in quotes')


def _text_schema(**more: object) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", **more})


Day = Annotated[
    date,
    BeforeValidator(_date),
    PlainSerializer(date.isoformat, when_used="json"),
    _text_schema(format="date", pattern=DATE_PATTERN, maxLength=10),
]
"""A calendar day, "2026-01-26"."""
ClockTime = Annotated[
    time,
    BeforeValidator(clock_time),
    PlainSerializer(time.isoformat, when_used="json"),
    _text_schema(pattern=CLOCK_PATTERN, maxLength=8),
]
"""A time of day in the calendar's time zone, "09:15" or "09:15:00"."""


def _resource_name(raw: object) -> object:
    if isinstance(raw, str) and not re.fullmatch(RESOURCE_NAME_PATTERN, raw, re.ASCII):
        raise fault(f"{_shown(raw)} is not a resource of a container", "cpu, memory, nvidia.com/gpu …")
    return raw


def _resource_amount(raw: object) -> str:
    text = _decimal_text(raw)
    if text is None or not re.fullmatch(RESOURCE_AMOUNT_PATTERN, text, re.ASCII):
        raise fault(f"{_shown(raw)} is not an amount", 'a Kubernetes quantity such as "500m", 2 or "1Gi"')
    return text


ResourceName = Annotated[str, Field(min_length=1, max_length=317), BeforeValidator(_resource_name)]
ResourceAmount = Annotated[
    str,
    BeforeValidator(_resource_amount),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": RESOURCE_AMOUNT_PATTERN, "maxLength": 32},
                {"type": "number", "minimum": 0.0, "maximum": 1e15},
            ]
        }
    ),
]
"""A quantity as Kubernetes writes them, "500m" or "1Gi"."""
