"""Cuts columns of rows into batches; shared by the market sources."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence

from alpha_panda.ports import SourceBatch

DEFAULT_MAX_TICKS = 500
DEFAULT_MAX_DELAY_NS = 50_000_000


def batch_end(ts: Sequence[int], begin: int, max_ticks: int, max_delay_ns: int) -> int:
    """Return where the batch that begins at row `begin` ends (exclusive).

    It holds at most `max_ticks` rows, and its last row is at most `max_delay_ns` after its first.
    """
    limit = min(begin + max_ticks, len(ts))
    if ts[limit - 1] - ts[begin] <= max_delay_ns:
        return limit
    return bisect_right(ts, ts[begin] + max_delay_ns, begin, limit)


def spans(ts: Sequence[int], max_ticks: int, max_delay_ns: int) -> Iterator[tuple[int, int]]:
    """Yield (begin, end) of each batch of the rows, which are in time order."""
    begin = 0
    while begin < len(ts):
        end = batch_end(ts, begin, max_ticks, max_delay_ns)
        yield begin, end
        begin = end


def cut(rows: SourceBatch, begin: int, end: int) -> SourceBatch:
    """Return rows `begin` to `end` (exclusive) of all columns; the counts are left behind."""
    return SourceBatch(
        tokens=rows.tokens[begin:end],
        prices=rows.prices[begin:end],
        ts=rows.ts[begin:end],
        volumes=rows.volumes and rows.volumes[begin:end],
        bids=rows.bids and rows.bids[begin:end],
        asks=rows.asks and rows.asks[begin:end],
        opens=rows.opens and rows.opens[begin:end],
        highs=rows.highs and rows.highs[begin:end],
        lows=rows.lows and rows.lows[begin:end],
        proven=rows.proven,
    )
