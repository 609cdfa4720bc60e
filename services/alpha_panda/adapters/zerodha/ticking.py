"""Rows of Kite's frames to a feed's ticks: what a price's time is, and what has been traded since the one before.

A price's time is when it came, for the exchange's own is in whole seconds. One that the exchange gave much earlier keeps
the exchange's: after a subscription Kite sends what it knows last, which may be yesterday's close, and must not look
fresh. Where a packet has no time of the exchange, such a snapshot can't be told from news; it counts only once it
changes.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.ports import SourceBatch

from .frames import Columns

LATE_NS: Final = 3 * SECOND_NS
"""How much earlier than its arrival the exchange's time of a fresh price is at most.

Up to a second for being cut to whole seconds, up to another for Kite's own conflation, and the way here.
"""

FUTURE_NS: Final = 2 * SECOND_NS
"""How far ahead of ours the exchange's clock may be for its time to be believed; ours counts in any case."""

_UNKNOWN: Final = -1

Held = tuple[int, float, int]
"""Kind, price and volume of a price of unknown age."""


class Ticking:
    """Makes batches of rows; remembers of each token its volume, its last time, and what is held back.

    Args:
        tokens: the feed's; rows of others are left out and counted as bad.

    """

    def __init__(self, tokens: Iterable[int]) -> None:
        self._volumes = dict.fromkeys(tokens, _UNKNOWN)
        self._times = dict.fromkeys(self._volumes, 0)
        self._held: dict[int, Held | None] = {}

    def reconnected(self, tokens: Iterable[int]) -> None:
        """Take what comes next of these tokens without the exchange's time for a snapshot of unknown age."""
        for token in tokens:
            self._held.pop(token, None)

    def batch(self, chunks: Sequence[tuple[Columns, list[int]]]) -> SourceBatch:
        """Return the rows as a batch, in order; each token's times never go back."""
        tokens: list[int] = []
        prices: list[float] = []
        times: list[int] = []
        volumes: list[float] = []
        bids: list[float | None] = []
        asks: list[float | None] = []
        source: list[int | None] = []
        strays = 0
        known_volumes, known_times = self._volumes, self._times
        for columns, received in chunks:
            for row, at in zip(columns.rows(), received, strict=True):
                kind, token, price, volume, bid, ask, stamp = row
                before = known_volumes.get(token)
                if before is None:
                    strays += 1
                    continue
                if not price or not (stamp or self._is_news(token, (kind, price, volume))):
                    continue  # a contract that has never traded has price 0, which is none
                stamped = stamp * SECOND_NS
                ts = stamped if stamp and at - stamped > LATE_NS else at
                if ts < known_times[token]:  # noqa: PLR1730 - max() costs twice as much, on every tick
                    ts = known_times[token]
                known_times[token] = ts
                if volume != before:
                    known_volumes[token] = volume
                tokens.append(token)
                prices.append(price)
                times.append(ts)
                volumes.append(volume - before if _UNKNOWN < before < volume else 0)
                bids.append(bid)
                asks.append(ask)
                source.append(stamped if stamp and stamped - at <= FUTURE_NS else None)
        return SourceBatch(tokens, prices, times, volumes, bids, asks, source_ts=source, bad_rows=strays)

    def _is_news(self, token: int, row: Held) -> bool:
        """Whether a price without the exchange's time has changed since the connection's first of its kind."""
        if token not in self._held:
            self._held[token] = row
            return False
        held = self._held[token]
        if held is None:
            return True
        if row[0] != held[0]:
            self._held[token] = row  # the same snapshot in another mode
            return False
        if row == held:
            return False
        self._held[token] = None
        return True
