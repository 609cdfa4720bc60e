"""Units of time: every time and span on the wire and in the rules is an int of nanoseconds."""

from typing import Final

SECOND_NS: Final = 1_000_000_000
MS_NS: Final = 1_000_000


def nanoseconds(seconds: float) -> int:
    """Return the nearest whole number of nanoseconds: truncating would lose one of many a decimal fraction."""
    return round(seconds * SECOND_NS)
