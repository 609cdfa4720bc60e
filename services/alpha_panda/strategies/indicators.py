"""Rolling figures of one price series: constant cost per value, sound over millions of values, restorable.

Each `add` returns NaN until there are enough values. NaN compares false with everything, so a comparison with it
is "no" by itself and the strategies need no warm-up branch.
"""

import math
from collections import deque
from typing import Final, Protocol

NAN: Final = math.nan

MAX_WINDOW: Final = 10_000
"""Longest window of the shipped strategies: bounds memory, and the error analysis of RollingScore."""

_SHORTEST_RENEWAL: Final = 64
_CANCELLATION: Final = 1e-6
_SAME: Final = 1e-9


class Indicator(Protocol):
    """What a strategy remembers of one instrument."""

    def dump(self) -> list[float]:
        """Return the whole state; `load` of it continues identically."""

    def load(self, state: list[float]) -> None:
        """Take over a dumped state of an indicator with the same parameters."""


class Lookback:
    """The last `length` prices; `prices[0]` is the price `length` values ago, once there are as many."""

    __slots__ = ("prices",)

    def __init__(self, length: int) -> None:
        self.prices: deque[float] = deque([NAN] * length, length)

    def dump(self) -> list[float]:
        """Return the prices, oldest first."""
        return list(self.prices)

    def load(self, state: list[float]) -> None:
        """Take over the prices."""
        self.prices.extend(state)


class RollingMean:
    """Mean of the last `window` values.

    The running sum is renewed from the window (`math.fsum`, exact to the last bit) once per window, so that
    rounding errors do not pile up and a wild value leaves no trace.
    """

    __slots__ = ("_left", "_renewal", "_sum", "_values", "_window")

    def __init__(self, window: int) -> None:
        self._window = window
        self._renewal = max(window, _SHORTEST_RENEWAL)
        self._left = window
        self._values: deque[float] = deque([NAN] * window, window)
        self._sum = NAN

    def add(self, value: float) -> float:
        """Take a value in and return the mean."""
        values = self._values
        self._sum += value - values[0]
        values.append(value)
        self._left -= 1
        if self._left == 0:
            self._sum = math.fsum(values)
            self._left = self._renewal
        return self._sum / self._window

    @property
    def mean(self) -> float:
        """The mean as it is."""
        return self._sum / self._window

    def dump(self) -> list[float]:
        """Return countdown, sum and values."""
        return [self._left, self._sum, *self._values]

    def load(self, state: list[float]) -> None:
        """Take over a dumped state."""
        self._left, self._sum = int(state[0]), state[1]
        self._values.extend(state[2:])


class RollingScore:
    """z-score of the newest value in the last `window` values: (value - mean) / standard deviation.

    The deviation is the population's, of the window with the newest value in it. Without any spread the score is
    NaN.

    Sums of (value - shift) and of its square are kept, with `shift` a recent value: the squares' digits are then
    not eaten up by the level of the price (Chan, Golub, LeVeque: "Algorithms for computing the sample variance",
    The American Statistician 37, 1983). They are renewed from the window once per window; and at once when the
    variance has become less than 1e-6 of the largest sum of squares since, because only then can rounding
    (at most 10,000 steps of 1.1e-16 of that sum) touch more than a millionth of it.
    """

    __slots__ = ("_left", "_peak", "_renewal", "_shift", "_squares", "_sum", "_values", "_window")

    def __init__(self, window: int) -> None:
        self._window = window
        self._renewal = max(window, _SHORTEST_RENEWAL)
        self._left = window
        self._values: deque[float] = deque([NAN] * window, window)
        self._shift = 0.0
        self._sum = self._squares = self._peak = NAN

    def add(self, value: float) -> float:
        """Take a value in and return its score."""
        values = self._values
        new = value - self._shift
        old = values[0] - self._shift
        values.append(value)
        self._sum = total = self._sum + (new - old)
        self._squares = squares = self._squares + (new * new - old * old)
        if squares > self._peak:  # noqa: PLR1730 - max() costs twice as much, on every tick
            self._peak = squares
        spread = squares - total * total / self._window
        self._left -= 1
        if self._left == 0 or spread < self._peak * _CANCELLATION:
            spread = self._renew()
            new, total = 0.0, self._sum
        if spread > 0.0:
            return (new - total / self._window) / math.sqrt(spread / self._window)
        return NAN

    def moments(self) -> tuple[float, float]:
        """Return mean and standard deviation of the window: for people, slow and of few digits less."""
        mean = self._shift + self._sum / self._window
        spread = self._squares - self._sum * self._sum / self._window
        return mean, math.sqrt(max(spread, 0.0) / self._window)

    def _renew(self) -> float:
        """Sum up the window anew around its newest value; return the sum of squared deviations from its mean."""
        self._left = self._renewal
        self._shift = shift = self._values[-1]
        self._sum = math.fsum(value - shift for value in self._values)
        self._squares = self._peak = math.fsum((value - shift) ** 2 for value in self._values)
        return self._squares - self._sum * self._sum / self._window

    def dump(self) -> list[float]:
        """Return countdown, sums and values."""
        return [self._left, self._shift, self._sum, self._squares, self._peak, *self._values]

    def load(self, state: list[float]) -> None:
        """Take over a dumped state."""
        self._left = int(state[0])
        self._shift, self._sum, self._squares, self._peak = state[1:5]
        self._values.extend(state[5:])


class WilderRsi:
    """Relative Strength Index with Wilder's smoothing: 100 * gain / (gain + loss), the average gain and loss.

    The first averages are plain means of the first `period` changes; then average += (change - average) / period.
    The same as 100 - 100 / (1 + gain/loss), and defined without losses too (100). With neither gain nor loss it is
    NaN. Source: J. Welles Wilder, New Concepts in Technical Trading Systems (1978), section VI.
    """

    __slots__ = ("_gain", "_last", "_left", "_loss", "_period")

    def __init__(self, period: int) -> None:
        self._period = period
        self._left = period + 1
        self._last = self._gain = self._loss = 0.0

    def add(self, price: float) -> float:
        """Take a price in and return the index."""
        change = price - self._last
        self._last = price
        if self._left:
            self._warm_up(change)
            if self._left:
                return NAN
        else:
            period = self._period
            gain = change if change > 0.0 else 0.0  # noqa: FURB136 - as in RollingScore.add
            self._gain += (gain - self._gain) / period
            self._loss += (gain - change - self._loss) / period
        both = self._gain + self._loss
        return 100.0 * self._gain / both if both > 0.0 else NAN

    def _warm_up(self, change: float) -> None:
        """Add one of the first `period` changes to the first averages; the first price has no change."""
        if self._left <= self._period:
            self._gain += max(change, 0.0) / self._period
            self._loss += max(-change, 0.0) / self._period
        self._left -= 1

    def dump(self) -> list[float]:
        """Return countdown, last price and both averages."""
        return [self._left, self._last, self._gain, self._loss]

    def load(self, state: list[float]) -> None:
        """Take over a dumped state."""
        self._left = int(state[0])
        self._last, self._gain, self._loss = state[1:]


class Crossover:
    """Which of two rolling means is above, once they have crossed: +1 the fast one, -1 the slow one, 0 not yet.

    Means that differ by less than a billionth are the same: that is rounding, not a price step.
    """

    __slots__ = ("_crossed", "_fast", "_side", "_slow")

    def __init__(self, fast: int, slow: int) -> None:
        self._fast = RollingMean(fast)
        self._slow = RollingMean(slow)
        self._side = 0
        self._crossed = 0

    def add(self, price: float) -> int:
        """Take a price in and return the side since the last crossing."""
        slow = self._slow.add(price)
        lead = self._fast.add(price) - slow
        margin = slow * _SAME
        if lead > margin:
            if self._side != 1:
                self._move_to(1)
        elif lead < -margin and self._side != -1:
            self._move_to(-1)
        return self._crossed

    def means(self) -> tuple[float, float]:
        """Return the fast and the slow mean as they are."""
        return self._fast.mean, self._slow.mean

    def _move_to(self, side: int) -> None:
        if self._side:
            self._crossed = side
        self._side = side

    def dump(self) -> list[float]:
        """Return sides and both means' states."""
        fast = self._fast.dump()
        return [self._side, self._crossed, len(fast), *fast, *self._slow.dump()]

    def load(self, state: list[float]) -> None:
        """Take over a dumped state."""
        self._side, self._crossed, split = int(state[0]), int(state[1]), 3 + int(state[2])
        self._fast.load(state[3:split])
        self._slow.load(state[split:])
