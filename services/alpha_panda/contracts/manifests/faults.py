"""Puts pydantic's errors into the words of somebody who writes YAML."""

import difflib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from alpha_panda.contracts.resources.fields import PATTERN_WORDS
from alpha_panda.contracts.resources.rules import FAULT_TYPE, Finding, Location

MAX_SHOWN: Final = 60
"""Most characters of a wrong value that a message repeats."""
MAX_LISTED: Final = 20
"""Most names that a message lists."""
MAX_COMPARED: Final = 2_000
"""Above this many names none is suggested: comparing takes milliseconds for each thousand."""
_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")

Words = tuple[str, str]
"""What is wrong, what is allowed."""


def path_of(location: Location) -> str:
    """Return a place as a user writes it: `spec.instruments[0].tickSize`."""
    text = ""
    for step in location:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN_KEY.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f'["{step}"]'
    return text


def shown(value: object) -> str:
    """Return a value as YAML would have it, cut short."""
    if value is None:
        return "an empty value"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."


def listed(names: Sequence[str]) -> str:
    """Return the names, the first of them where there are too many; "none" for none."""
    more = f" … and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return ", ".join(names[:MAX_LISTED]) + more if names else "none"


def suggestion(name: object, names: Sequence[str]) -> str:
    """Return `; did you mean X?` when one of the names is near, "" otherwise."""
    if not isinstance(name, str) or len(names) > MAX_COMPARED:
        return ""
    by_lower = {known.lower().replace("_", ""): known for known in names}
    near = difflib.get_close_matches(name.lower().replace("_", ""), by_lower, n=1, cutoff=0.6)
    return f"; did you mean {by_lower[near[0]]}?" if near else ""


def findings_of(error: ValidationError, model: type[BaseModel]) -> Iterator[Finding]:
    """Yield each of the errors of validating `model`, in plain words."""
    for line in error.errors(include_url=False):
        if _follows_from_another(line):
            continue
        problem, allowed = _words(line, model)
        yield Finding(_place(line["loc"]), problem, allowed)


def _follows_from_another(line: ErrorDetails) -> bool:
    """Whether a list is only too short because pydantic left its wrong elements out."""
    return line["type"] == "too_short" and len(line["input"]) >= line["ctx"]["min_length"]


def _place(location: Location) -> Location:
    """Return where an error is without pydantic's mark for `this key of a mapping`."""
    return location[:-1] if location and location[-1] == "[key]" else location


def _words(line: ErrorDetails, model: type[BaseModel]) -> Words:
    context: Mapping[str, Any] = line.get("ctx") or {}
    kind, value = line["type"], line["input"]
    if kind == FAULT_TYPE:
        return context["problem"], context["allowed"]
    if kind == "extra_forbidden":
        return _unknown_field(line["loc"], model)
    if value is None and kind != "missing":
        return "is empty", _TYPES.get(kind, "a value, or leave the field out")
    if kind in _TYPES:
        return f"{shown(value)} does not fit", _TYPES[kind]
    words = _WORDS.get(kind)
    return words(value, context) if words else (_own_words(line), "")


def _unknown_field(location: Location, model: type[BaseModel]) -> Words:
    names = fields_at(model, location[:-1])
    return f"unknown field{suggestion(location[-1], names)}", listed(names)


def _own_words(line: ErrorDetails) -> str:
    """Return the message of a validator that is not ours (a strategy's parameters), or of a rare error."""
    message = line["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return f"{shown(line['input'])}: {message}" if message.startswith("Input ") else message


_TYPES: Final[dict[str, str]] = {
    "string_type": "text; what looks like a number, true or false needs quotes",
    "int_type": "a whole number, without quotes",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number, without quotes",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "decimal_type": "a number, in quotes or not",
    "decimal_parsing": "a number, in quotes or not",
    "bool_type": "true or false, without quotes",
    "bool_parsing": "true or false",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "invalid_key": "text as a key",
}
"""What a value should have been, by the type of the error."""


def _number(limit: object) -> str:
    return str(int(limit)) if isinstance(limit, float) and limit.is_integer() else str(limit)


def _limit(sign: str, key: str) -> Callable[[object, Mapping[str, Any]], Words]:
    return lambda value, context: (f"{shown(value)} is out of range", f"{sign} {_number(context[key])}")


def _length(value: object, context: Mapping[str, Any], key: str, sign: str) -> Words:
    unit = "characters" if isinstance(value, str) else "entries"
    count = len(value) if isinstance(value, str | list | tuple | dict) else context.get("actual_length")
    return f"has {count} {unit}", f"{sign} {context[key]}"


def _pattern(value: object, context: Mapping[str, Any]) -> Words:
    pattern = str(context["pattern"])
    return f"{shown(value)} is not well formed", PATTERN_WORDS.get(pattern, f"text that matches {pattern}")


def _choice(value: object, context: Mapping[str, Any]) -> Words:
    names = re.findall(r"'([^']*)'", str(context["expected"]))
    return f"{shown(value)} is unknown{suggestion(value, names)}", listed(names)


_WORDS: Final[dict[str, Callable[[Any, Mapping[str, Any]], Words]]] = {
    "missing": lambda _value, _context: ("is missing", "the field is required"),
    "greater_than": _limit("above", "gt"),
    "greater_than_equal": _limit("at least", "ge"),
    "less_than": _limit("below", "lt"),
    "less_than_equal": _limit("at most", "le"),
    "too_long": lambda value, context: _length(value, context, "max_length", "at most"),
    "too_short": lambda value, context: _length(value, context, "min_length", "at least"),
    "string_too_long": lambda value, context: _length(value, context, "max_length", "at most"),
    "string_too_short": lambda value, context: _length(value, context, "min_length", "at least"),
    "string_pattern_mismatch": _pattern,
    "enum": _choice,
    "literal_error": _choice,
}


def fields_at(model: type[BaseModel], location: Location) -> list[str]:
    """Return the names of the fields that a manifest may give at a place of a model."""
    here: type[BaseModel] | None = model
    for step in location:
        if isinstance(step, int) or here is None:
            continue
        field = next((item for name, item in here.model_fields.items() if step in (name, item.alias)), None)
        here = _model_in(field.annotation) if field else None
    return [item.alias or name for name, item in here.model_fields.items()] if here else []


def _model_in(annotation: object) -> type[BaseModel] | None:
    """Return the model inside `X | None`, `tuple[X, ...]` and the like."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)
