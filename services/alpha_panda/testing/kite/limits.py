"""Kite's limits on calls, by the server's calendar seconds and minutes and by India's day."""

from collections import Counter
from typing import Final

from alpha_panda.contracts.units import SECOND_NS

from .config import Limits
from .faults import TOO_MANY
from .wire import Refusal, day_of

EXCEEDED: Final = Refusal(429, "NetworkException", TOO_MANY)
"""Guess: the error type; the text and the status are reported."""
DAY_EXCEEDED: Final = Refusal(429, "NetworkException", "Maximum allowed order requests exceeded")
"""Guess: status and error type."""


class CallCounter:
    """Counts calls in the present second, minute and day."""

    def __init__(self) -> None:
        self._counts: dict[str, tuple[object, Counter[str]]] = {}

    def count(self, kind: str, limits: Limits, now: int, *, places: bool = False) -> Refusal | None:
        """Count a call of a kind (`order`, `quote`, `candles`, `other`); return the refusal if it is one too many.

        `places`: it is a new order, which counts in the minute and the day too, refused or not.
        """
        second = self._bump("second", now // SECOND_NS, kind)
        minute = self._bump("minute", now // SECOND_NS // 60, kind) if places else 0
        day = self._bump("day", day_of(now), kind) if places else 0
        if day > limits.orders_per_day:
            return DAY_EXCEEDED
        most = {
            "order": limits.order_calls_per_second,
            "quote": limits.quotes_per_second,
            "candles": limits.candles_per_second,
        }.get(kind, limits.others_per_second)
        return EXCEEDED if second > most or minute > limits.orders_per_minute else None

    def _bump(self, window: str, period: object, kind: str) -> int:
        known, counts = self._counts.get(window, (None, Counter()))
        if known != period:
            counts = Counter()
        counts[kind] += 1
        self._counts[window] = (period, counts)
        return counts[kind]
