"""Bars made of ticks, by event time alone: the same ticks always give the same bars."""

from collections.abc import Sequence
from typing import Final

import msgspec

from alpha_panda.contracts.events import Tick

_SECOND: Final = 1_000_000_000
_NO_BARS: Final[tuple["Bar", ...]] = ()
_NOT_YET: Final = -(2**62)
"""End of the last closed bar when none was closed."""


class Bar(msgspec.Struct, frozen=True, gc=False):
    """Prices of one instrument in (start, end], UTC ns. `volume` is the sum of the ticks' volumes."""

    token: int
    start: int
    end: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    ticks: int


class _OpenBar(msgspec.Struct, array_like=True, gc=False):
    """A bar in the making. `ticks == 0`: none is open, `end` is that of the last closed one."""

    token: int
    end: int = _NOT_YET
    open: float = 0.0
    high: float = 0.0
    low: float = 0.0
    close: float = 0.0
    volume: float = 0.0
    ticks: int = 0


class _Saved(msgspec.Struct):
    seconds: int
    bars: list[_OpenBar]


class BarBuilder:
    """Makes bars of `seconds`, for each token by itself; boundaries are multiples of `seconds` since 1970 UTC.

    A tick at a boundary belongs to the bar that ends there and closes it at once; a tick beyond the end closes
    the old bar and opens a new one. A period without ticks makes no bar. A tick that comes when its bar is
    already closed (several at the boundary, or time going back) counts in the bar after that one, so that no
    volume is lost and no bar appears twice. A tick that is a bar itself contributes its open, high and low.
    """

    __slots__ = ("_open", "_period", "_seconds")

    def __init__(self, seconds: int) -> None:
        if isinstance(seconds, bool) or not isinstance(seconds, int) or seconds <= 0:
            raise ValueError(f"a bar's length must be a whole number of seconds above zero, not {seconds!r}")
        self._seconds = seconds
        self._period = seconds * _SECOND
        self._open: dict[int, _OpenBar] = {}

    def add(self, tick: Tick) -> Sequence[Bar]:
        """Take a tick in; return the bars that it closes, in order: none, one or two."""
        bar = self._open.get(tick.token)
        if bar is None:
            bar = self._open[tick.token] = _OpenBar(tick.token)
        ts = tick.ts
        if ts < bar.end and bar.ticks:
            _extend(bar, tick)
            return _NO_BARS
        closed = []
        if ts > bar.end and bar.ticks:
            closed.append(self._close(bar))
        if bar.ticks:
            _extend(bar, tick)
        else:
            self._begin(bar, tick)
        if ts == bar.end:
            closed.append(self._close(bar))
        return closed

    def _begin(self, bar: _OpenBar, tick: Tick) -> None:
        """Open the bar of the tick's time, or the one after the last closed bar if that is later."""
        end = -(-tick.ts // self._period) * self._period
        bar.end = end if end > bar.end else bar.end + self._period
        price = tick.last_price
        bar.open = price if tick.open is None else tick.open
        bar.high, bar.low, bar.volume = -float("inf"), float("inf"), 0.0
        _extend(bar, tick)
        bar.high, bar.low = max(bar.high, bar.open), min(bar.low, bar.open)

    def _close(self, bar: _OpenBar) -> Bar:
        done = Bar(
            token=bar.token,
            start=bar.end - self._period,
            end=bar.end,
            open=bar.open,
            high=bar.high,
            low=bar.low,
            close=bar.close,
            volume=bar.volume,
            ticks=bar.ticks,
        )
        bar.ticks = 0
        return done

    def snapshot(self) -> object:
        """Return the open bars as what MessagePack can hold."""
        return msgspec.to_builtins(_Saved(self._seconds, list(self._open.values())))

    def restore(self, state: object) -> None:
        """Take over what `snapshot` returned; bars of another length are dropped."""
        saved = msgspec.convert(state, _Saved)
        if saved.seconds == self._seconds:
            self._open = {bar.token: bar for bar in saved.bars}


def _extend(bar: _OpenBar, tick: Tick) -> None:
    """Fold a tick into an open bar."""
    price = tick.last_price
    high = price if tick.high is None else tick.high
    low = price if tick.low is None else tick.low
    if high > bar.high:  # noqa: PLR1730 - max() costs twice as much, on every tick
        bar.high = high
    if low < bar.low:  # noqa: PLR1730 - as above
        bar.low = low
    bar.close = price
    bar.volume += tick.volume
    bar.ticks += 1
