"""Rules over several fields, checked beside the fields' own so that one validation reports all that is wrong.

A pydantic "after" validator runs only when every field is good. The rules here look at the raw input instead,
whatever its shape, and their findings join the fields' errors.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError
from pydantic.alias_generators import to_camel
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, core_schema

T = TypeVar("T")
Location = tuple[str | int, ...]
FAULT_TYPE = "manifest_fault"
"""Error type of our own findings; `ctx` holds `problem` and `allowed`."""


class Finding(NamedTuple):
    """One broken rule: where (relative to what was checked), what is wrong, what is allowed."""

    location: Location
    problem: str
    allowed: str = ""

    def error(self) -> PydanticCustomError:
        """Return the error that carries the finding through pydantic."""
        context = {"problem": self.problem, "allowed": self.allowed}
        template = "{problem}; allowed: {allowed}" if self.allowed else "{problem}"
        return PydanticCustomError(FAULT_TYPE, template, context)


def fault(problem: str, allowed: str = "") -> PydanticCustomError:
    """Return an error for the very field that is being validated."""
    return Finding((), problem, allowed).error()


def peek(raw: object, name: str) -> Any:  # noqa: ANN401 - raw input has any shape
    """Return a field of a mapping or model by its Python or manifest name; None when there is none."""
    for key in (name, to_camel(name), f"{name}_"):
        if isinstance(raw, Mapping) and key in raw:
            return raw[key]
        if isinstance(raw, BaseModel) and key in type(raw).model_fields:
            return getattr(raw, key)
    return None


def items(raw: object) -> list[Any]:
    """Return the elements of a list or tuple; nothing of anything else."""
    return list(raw) if isinstance(raw, list | tuple) else []


def together(handler: Callable[[Any], T], raw: object, findings: Iterable[Finding]) -> T:
    """Validate `raw` and raise what validation and rules found, in one error."""
    lines = [InitErrorDetails(type=item.error(), loc=item.location, input=raw) for item in findings]
    try:
        result = handler(raw)
    except ValidationError as error:
        lines = [*_lines(error), *lines]
    if lines:
        raise ValidationError.from_exception_data("manifest", lines)
    return result


def _lines(error: ValidationError) -> Iterator[InitErrorDetails]:
    for line in error.errors(include_url=False):
        kept = PydanticCustomError(line["type"], line["msg"].replace("{", "{{"), line.get("ctx"))
        yield InitErrorDetails(type=kept, loc=line["loc"], input=line["input"])


def exactly_one(raw: object, what: str, names: tuple[str, ...]) -> Iterator[Finding]:
    """Yield a finding unless exactly one of the fields `names` is set; an empty field counts as not set."""
    if not isinstance(raw, Mapping | BaseModel):
        return
    given = [name for name in names if peek(raw, name) is not None]
    allowed = f"exactly one of {', '.join(names)}" if len(names) > 1 else names[0]
    if not given:
        yield Finding((), f"no {what} is given", allowed)
    elif len(given) > 1:
        yield Finding((), f"more than one {what} is given: {', '.join(given)}", allowed)


def at_most_one(raw: object, what: str, names: tuple[str, ...]) -> Iterator[Finding]:
    """Yield a finding when more than one of the fields `names` is set."""
    given = [name for name in names if peek(raw, name) is not None]
    if len(given) > 1:
        listed = ", ".join(to_camel(name) for name in given)
        allowed = f"at most one of {', '.join(to_camel(name) for name in names)}"
        yield Finding((), f"more than one {what} is given: {listed}", allowed)


@dataclass(frozen=True, slots=True)
class unique:  # noqa: N801 - reads as the function that it is to whoever writes a field
    """Finds elements of a list (or a `field` of them) that repeat an earlier one."""

    what: str
    field: str | None = None

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        def check(raw: object, inner: Callable[[Any], Any]) -> Any:  # noqa: ANN401 - raw input has any shape
            return together(inner, raw, _repeats(raw, self.what, self.field))

        return core_schema.no_info_wrap_validator_function(check, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return handler(schema) if self.field else {**handler(schema), "uniqueItems": True}


def _repeats(raw: object, what: str, field: str | None) -> Iterator[Finding]:
    first: dict[object, int] = {}
    for index, item in enumerate(items(raw)):
        value = peek(item, field) if field else item
        if not isinstance(value, str | int | date):
            continue
        if value in first:
            location: Location = (index, to_camel(field)) if field else (index,)
            yield Finding(
                location, f"{what} {value!r} is already that of [{first[value]}]", f"each {what} once"
            )
        first.setdefault(value, index)
