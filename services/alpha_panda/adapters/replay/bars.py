"""How long a bar is: bars become known at their end."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from alpha_panda.adapters.replay.columns import Kind, Layout
from alpha_panda.adapters.replay.options import ReplayOptions
from alpha_panda.adapters.replay.timestamps import SECOND
from alpha_panda.errors import SourceError


class BarClock:
    """Tells when the rows of one file are known. Rows come in time order, in parts of any size.

    Without `bar_seconds` a bar is as long as the commonest distance of two following bars of one instrument, if at
    least half of the distances agree; `inherited` (ns) is the length for a first part that has no such two bars.
    Every instrument must then show bars of that length, or the file is refused: too short a length would let a
    strategy see a bar before its end.
    """

    def __init__(
        self, layout: Layout, options: ReplayOptions, symbols: Mapping[int, str], inherited: int
    ) -> None:
        label = options.bar_label or ("end" if layout.stamped_at_end else "start")
        self._layout = layout
        self._symbols = symbols
        self._inherited = inherited
        self._measured = layout.kind is Kind.BARS and label != "end" and options.bar_seconds is None
        self._shift: int | None = None if self._measured else 0
        if layout.kind is Kind.BARS and label != "end" and options.bar_seconds is not None:
            self._shift = round(options.bar_seconds * SECOND)
        self._last: dict[int, int] = {}
        self._proven: set[int] = set()

    def shift(self, ts: Sequence[int], tokens: Sequence[int]) -> int:
        """Return the nanoseconds from the stamps of the next rows to the moment when each row is known.

        0 unless the rows are bars stamped at their start.

        Raises:
            SourceError: the length can't be told, or is not that of all instruments.

        """
        if self._measured and not self._proven.issuperset(tokens):
            gaps = self._gaps(ts, tokens)
            if self._shift is None:
                self._shift = self._commonest(gaps)
            self._prove(gaps, self._shift)
        return self._shift or 0

    def _gaps(self, ts: Sequence[int], tokens: Sequence[int]) -> dict[int, list[int]]:
        """Return the distances of following bars by token; those of proven tokens are not needed."""
        gaps: dict[int, list[int]] = {}
        for stamp, token in zip(ts, tokens, strict=True):
            if token in self._proven:
                continue
            gap = stamp - self._last.get(token, stamp)
            self._last[token] = stamp
            if gap > 0:
                gaps.setdefault(token, []).append(gap)
        return gaps

    def _commonest(self, gaps: Mapping[int, list[int]]) -> int:
        counts = Counter(gap for found in gaps.values() for gap in found)
        (gap, count), *_ = counts.most_common(1) or [(self._inherited, 1)]
        if not gap or count * 2 < counts.total():
            raise SourceError(
                f"{self._layout.file}: can't tell how long a bar is; set barSeconds, or barLabel: end if "
                f"{self._layout.header[self._layout.timestamp]!r} is the time at which a bar ends"
            )
        return gap

    def _prove(self, gaps: Mapping[int, list[int]], length: int) -> None:
        """Note whose bars are `length` apart at least once, or always by multiples that no longer bar would show."""
        for token, found in gaps.items():
            if length not in found and math.gcd(*found) != length:
                others = ", ".join(self._name(other) for other in gaps if length in gaps[other])
                shown = f"those of {others}" if others else "the others"
                raise SourceError(
                    f"{self._layout.file}: the bars of {self._name(token)} are {min(found) / SECOND:g} s apart, "
                    f"{shown} {length / SECOND:g} s; set barSeconds if all are alike (bars may be missing), or "
                    "make a file for each length, each in a feed of its own"
                )
            self._proven.add(token)

    def _name(self, token: int) -> str:
        return self._symbols.get(token, str(token))
