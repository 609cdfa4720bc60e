"""Rows of a source to numbered ticks, one lane a partition. The hottest code on the write side."""

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any

from alpha_panda.contracts.events import Tick
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.contracts.topics import tick_partition
from alpha_panda.ports import SourceBatch


class Sequencer:
    """Numbers each token's ticks within one feed epoch and sorts them into the partitions' lanes."""

    def __init__(self, instruments: Iterable[Instrument], partitions: int) -> None:
        self._partitions = partitions
        self._lane_of = {item.token: tick_partition(item.token, partitions) for item in instruments}
        self._sequences = dict.fromkeys(self._lane_of, 0)

    def lanes(self, batch: SourceBatch) -> list[list[Tick]]:
        """Return the batch's ticks by partition, in order. KeyError: a token that the feed doesn't have."""
        lanes: list[list[Tick]] = [[] for _ in range(self._partitions)]
        append = [lane.append for lane in lanes]
        sequences, lane_of = self._sequences, self._lane_of
        volumes = _column(batch.volumes, 0.0)
        if _trades_only(batch):
            for token, price, ts, volume in zip(batch.tokens, batch.prices, batch.ts, volumes, strict=False):
                seq = sequences[token] = sequences[token] + 1
                append[lane_of[token]](Tick(token, price, ts, seq, volume))
            return lanes
        optional = (batch.bids, batch.asks, batch.opens, batch.highs, batch.lows, batch.source_ts)
        rows = zip(
            batch.tokens, batch.prices, batch.ts, volumes, *(_column(c, None) for c in optional), strict=False
        )
        for token, price, ts, volume, *rest in rows:
            seq = sequences[token] = sequences[token] + 1
            append[lane_of[token]](Tick(token, price, ts, seq, volume, *rest))
        return lanes


def _trades_only(batch: SourceBatch) -> bool:
    """Whether the batch has no quote, bar or source time: the common case, and worth a shorter loop."""
    rest = (batch.bids, batch.asks, batch.opens, batch.highs, batch.lows, batch.source_ts)
    return all(column is None for column in rest)


def _column(column: Sequence[Any] | None, default: float | None) -> Iterable[Any]:
    return repeat(default) if column is None else column
