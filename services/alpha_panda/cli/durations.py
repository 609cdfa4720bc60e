"""Durations as people type them."""

import re
from typing import Final

from alpha_panda.errors import UserInputError

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_FORM: Final = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>ms|s|m|h)?")


def parse_duration(text: str, option: str) -> float:
    """Return seconds of `30s`, `1.5m`, `2h`, `500ms` or plain seconds; UserInputError naming the option."""
    found = _FORM.fullmatch(text.strip())
    seconds = float(found["number"]) * _UNITS[found["unit"] or "s"] if found else 0.0
    if seconds <= 0:
        raise UserInputError(
            f"{option} {text!r} is not a duration; allowed: a number above 0 and ms, s, m or h: 30s"
        )
    return seconds
