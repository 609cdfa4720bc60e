"""How long a bar is: bars become known at their end."""

from collections import Counter
from collections.abc import Sequence

from alpha_panda.adapters.replay.columns import Kind, Layout
from alpha_panda.adapters.replay.options import ReplayOptions
from alpha_panda.adapters.replay.timestamps import SECOND
from alpha_panda.errors import SourceError


def bar_shift(layout: Layout, options: ReplayOptions, ts: Sequence[int], tokens: Sequence[int]) -> int:
    """Return the nanoseconds from a row's time stamp to the moment when the row is known.

    0 unless the rows are bars stamped at their start. Without `bar_seconds` a bar is as long as the commonest
    distance of two following bars of one instrument, if at least half of the distances agree.

    Raises:
        SourceError: the length can't be told.

    """
    label = options.bar_label or ("end" if layout.stamped_at_end else "start")
    if layout.kind is not Kind.BARS or label == "end":
        return 0
    if options.bar_seconds is not None:
        return round(options.bar_seconds * SECOND)
    gaps = Counter(_gaps(ts, tokens))
    (gap, count), *_ = gaps.most_common(1) or [(0, 0)]
    if not gap or count * 2 < gaps.total():
        raise SourceError(
            f"{layout.file}: can't tell how long a bar is; set barSeconds, or barLabel: end if "
            f"{layout.header[layout.timestamp]!r} is the time at which a bar ends"
        )
    return gap


def _gaps(ts: Sequence[int], tokens: Sequence[int]) -> list[int]:
    last: dict[int, int] = {}
    gaps = []
    for stamp, token in zip(ts, tokens, strict=True):
        gap = stamp - last.get(token, stamp)
        last[token] = stamp
        if gap > 0:
            gaps.append(gap)
    return gaps
