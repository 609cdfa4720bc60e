"""How many orders were validated lately, and how often like signals came: rebuilt from the decisions at a start."""

from collections import deque

from alpha_panda.contracts.enums import Side, SignalClass, Verdict
from alpha_panda.contracts.events import Signal
from alpha_panda.contracts.stored import Decision
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.domain.risk.facts import OrderCounts, runaway_key

MINUTE_NS = 60 * SECOND_NS


class _Window:
    """Times in order; each is dropped once, so that a loop's thousands of them cost nothing at each look."""

    def __init__(self) -> None:
        self._times: deque[int] = deque()

    def add(self, ts: int, length: int) -> None:
        self._times.append(ts)
        self.count(ts, length)

    def count(self, now: int, length: int) -> int:
        """Return how many lie in (now - length, now]; earlier ones are forgotten."""
        times = self._times
        while times and times[0] <= now - length:
            times.popleft()
        return len(times)


class _Scope:
    """The orders of the last second and minute, and the day's count."""

    def __init__(self) -> None:
        self._second = _Window()
        self._minute = _Window()
        self._day = ""
        self._today = 0

    def add(self, ts: int, day: str) -> None:
        if day != self._day:
            self._day, self._today = day, 0
        self._today += 1
        self._second.add(ts, SECOND_NS)
        self._minute.add(ts, MINUTE_NS)

    def counts(self, now: int, day: str) -> OrderCounts:
        return OrderCounts(
            last_second=self._second.count(now, SECOND_NS),
            last_minute=self._minute.count(now, MINUTE_NS),
            today=self._today if day == self._day else 0,
        )


class Pace:
    """Counts by scope (the account's is ""); only increasing orders count, reducing ones have reserved rate."""

    def __init__(self) -> None:
        self._scopes: dict[str, _Scope] = {}
        self._alike: dict[tuple[str, int, Side], _Window] = {}

    def note(self, decision: Decision, day: str, keep_ns: int) -> None:
        """Take note of a decision; like signals, refused ones too, are remembered for `keep_ns`."""
        signal = decision.signal
        if not isinstance(signal, Signal):
            return
        self._alike.setdefault(runaway_key(signal), _Window()).add(decision.decided_at, keep_ns)
        if decision.verdict is Verdict.VALIDATED and decision.signal_class is SignalClass.INCREASING:
            for scope in ("", signal.strategy_id):
                self._scopes.setdefault(scope, _Scope()).add(decision.decided_at, day)

    def counts(self, scope: str, now: int, day: str) -> OrderCounts:
        """Return how many orders of the scope (a strategy's name, "" for the account) were validated lately."""
        found = self._scopes.get(scope)
        return OrderCounts() if found is None else found.counts(now, day)

    def repeats(self, signal: Signal, now: int, within_ns: int) -> int:
        """Return how many signals like this one came within the last `within_ns`."""
        found = self._alike.get(runaway_key(signal))
        return 0 if found is None else found.count(now, within_ns)


class DayCounts:
    """How many signals were decided on, and how many orders validated, on one trading day; of all classes."""

    def __init__(self) -> None:
        self._day = ""
        self._counts: dict[str, list[int]] = {}

    def note(self, decision: Decision, day: str) -> None:
        """Count a stored decision of the day; one of an earlier day changes nothing."""
        if day < self._day:
            return
        if day != self._day:
            self._day, self._counts = day, {}
        ordered = decision.verdict is Verdict.VALIDATED and isinstance(decision.signal, Signal)
        for scope in ("", decision.signal.strategy_id):
            counts = self._counts.setdefault(scope, [0, 0])
            counts[0] += 1
            counts[1] += ordered

    def of(self, scope: str, day: str) -> tuple[int, int]:
        """Return the day's signals and orders of a scope (a strategy's name, "" for the account)."""
        signals, orders = self._counts.get(scope, (0, 0)) if day == self._day else (0, 0)
        return signals, orders
