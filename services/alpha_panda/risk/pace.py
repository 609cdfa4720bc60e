"""How many orders were validated lately, and how often like signals came: rebuilt from the decisions at a start."""

from collections import deque
from itertools import takewhile

from alpha_panda.contracts.enums import Side, SignalClass, Verdict
from alpha_panda.contracts.events import Signal
from alpha_panda.contracts.stored import Decision
from alpha_panda.domain.risk.facts import OrderCounts, runaway_key

SECOND_NS = 1_000_000_000
MINUTE_NS = 60 * SECOND_NS


class _Scope:
    """Times of the last minute's orders, and the day's count."""

    def __init__(self) -> None:
        self.recent: deque[int] = deque()
        self.day = ""
        self.today = 0

    def add(self, ts: int, day: str) -> None:
        if day != self.day:
            self.day, self.today = day, 0
        self.today += 1
        self.recent.append(ts)
        _forget(self.recent, ts - MINUTE_NS)

    def counts(self, now: int, day: str) -> OrderCounts:
        _forget(self.recent, now - MINUTE_NS)
        second = takewhile(lambda ts: ts > now - SECOND_NS, reversed(self.recent))
        return OrderCounts(
            last_second=sum(1 for _ in second),
            last_minute=len(self.recent),
            today=self.today if day == self.day else 0,
        )


class Pace:
    """Counts by scope (the account's is ""); only increasing orders count, reducing ones have reserved rate."""

    def __init__(self) -> None:
        self._scopes: dict[str, _Scope] = {}
        self._alike: dict[tuple[str, int, Side], deque[int]] = {}

    def note(self, decision: Decision, day: str, keep_ns: int) -> None:
        """Take note of a decision; like signals are remembered for `keep_ns`."""
        signal = decision.signal
        if not isinstance(signal, Signal):
            return
        times = self._alike.setdefault(runaway_key(signal), deque())
        times.append(decision.decided_at)
        _forget(times, decision.decided_at - keep_ns)
        if decision.verdict is Verdict.VALIDATED and decision.signal_class is SignalClass.INCREASING:
            for scope in ("", signal.strategy_id):
                self._scopes.setdefault(scope, _Scope()).add(decision.decided_at, day)

    def counts(self, scope: str, now: int, day: str) -> OrderCounts:
        """Return how many orders of the scope (a strategy's name, "" for the account) were validated lately."""
        found = self._scopes.get(scope)
        return OrderCounts() if found is None else found.counts(now, day)

    def repeats(self, signal: Signal, now: int, within_ns: int) -> int:
        """Return how many signals like this one came within the last `within_ns`."""
        times = self._alike.get(runaway_key(signal))
        if times is None:
            return 0
        _forget(times, now - within_ns)
        return len(times)


def _forget(times: deque[int], until: int) -> None:
    """Drop times up to `until`; they are in order, so that a loop's thousands of them cost nothing each time."""
    while times and times[0] <= until:
        times.popleft()
