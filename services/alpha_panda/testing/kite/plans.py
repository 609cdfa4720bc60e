"""What is planned to go wrong at the coming calls."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from .faults import BookFault, CallFault, CancelFault, KiteFault, PlaceFault

F = TypeVar("F", PlaceFault, CancelFault, BookFault, CallFault)


@dataclass(frozen=True, slots=True)
class _Window:
    begin: int
    end: int
    fault: KiteFault


class Plans:
    """Faults for the next calls of their kind, in order; and faults for all calls within a time."""

    def __init__(self) -> None:
        self._next: list[KiteFault] = []
        self._windows: list[_Window] = []

    def plan(self, fault: KiteFault, times: int = 1) -> None:
        """Misbehave so at each of the next `times` calls of the fault's kind, after those planned before."""
        self._next.extend([fault] * times)

    def plan_during(self, fault: KiteFault, begin: int, end: int) -> None:
        """Misbehave so at every call that comes at `begin` ≤ now < `end` (UTC ns) and has no fault planned."""
        self._windows.append(_Window(begin, end, fault))

    def forget(self) -> None:
        """Behave."""
        self._next.clear()
        self._windows.clear()

    def take(self, well: F, now: int, fits: Callable[[F], bool] = lambda _: True) -> F:
        """Return the fault of a call, `well` if there is none."""
        kind = type(well)
        for index, fault in enumerate(self._next):
            if isinstance(fault, kind) and fits(fault):
                del self._next[index]
                return fault
        for window in self._windows:
            fault = window.fault
            if window.begin <= now < window.end and isinstance(fault, kind) and fits(fault):
                return fault
        return well
