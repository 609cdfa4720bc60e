"""Explicit-state model checking: breadth-first search with parent links, so every counterexample is a shortest one.

A model is a set of initial facts, a rule that tells each state's steps, and properties of states and of steps.
States are hashable values (NamedTuples of tuples): equal states are the same state.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

S = TypeVar("S", bound="Hashable")
CLOCK_EVERY: Final = 1024
"""How many states are explored between two looks at the clock."""


@dataclass(frozen=True, slots=True)
class Broken:
    """The end of a step that violates a property: there is no state after it."""

    property: str


class Model(Protocol[S]):
    """What can be explored."""

    def initial(self) -> S:
        """Return the only initial state."""

    def steps(self, state: S) -> Iterable[tuple[str, S | Broken]]:
        """Return every step that may happen next: its name, and the state after it or the property it breaks."""

    def violated(self, state: S) -> str | None:
        """Return the property that the state itself violates, if any."""

    def settled(self, state: S) -> bool:
        """Whether nothing is under way: here the properties of "in the end" are checked too."""


class Status(Enum):
    """How a search ended. NOT_EXHAUSTED is no verdict: a limit was reached before a counterexample."""

    HOLDS = "holds"
    VIOLATED = "violated"
    NOT_EXHAUSTED = "not exhausted"


@dataclass(frozen=True, slots=True)
class Limits:
    """What one search may use. `memory_mb` binds the Spin models; Python's is bounded by `states`."""

    seconds: float = 60.0
    states: int = 2_000_000
    memory_mb: int = 2_000


@dataclass(frozen=True, slots=True)
class Result:
    """The end of a search. `trace`: the names of the steps from the initial state to the violation."""

    status: Status
    states: int
    seconds: float
    settled: int = 0
    property: str = ""
    trace: tuple[str, ...] = ()

    def story(self) -> str:
        """Return the counterexample, one numbered step a line, and the property that it breaks."""
        lines = [f"{number:4d}  {step}" for number, step in enumerate(self.trace, 1)]
        return "\n".join([*lines, f"   => {self.property}"])


class Search(Generic[S]):
    """One breadth-first search of one model."""

    def __init__(self, model: Model[S], limits: Limits) -> None:
        self._model = model
        self._limits = limits
        self._began = time.monotonic()
        start = model.initial()
        self._parent: dict[S, tuple[S, str] | None] = {start: None}
        self._queue = deque([start])
        self._settled = 0

    def run(self) -> Result:
        """Explore until a violation, the last state or a limit."""
        explored = 0
        while self._queue:
            state = self._queue.popleft()
            violation = self._look_at(state)
            if violation is not None:
                return violation
            explored += 1
            if len(self._parent) > self._limits.states or (explored % CLOCK_EVERY == 0 and self._late()):
                return self._result(Status.NOT_EXHAUSTED)
        return self._result(Status.HOLDS)

    def _look_at(self, state: S) -> Result | None:
        self._settled += self._model.settled(state)
        violated = self._model.violated(state)
        if violated is not None:
            return self._result(Status.VIOLATED, violated, self._trace(state))
        for name, after in self._model.steps(state):
            if isinstance(after, Broken):
                return self._result(Status.VIOLATED, after.property, (*self._trace(state), name))
            if after not in self._parent:
                self._parent[after] = (state, name)
                self._queue.append(after)
        return None

    def _late(self) -> bool:
        return time.monotonic() - self._began > self._limits.seconds

    def _trace(self, state: S) -> tuple[str, ...]:
        names: list[str] = []
        while (link := self._parent[state]) is not None:
            state, name = link
            names.append(name)
        return tuple(reversed(names))

    def _result(self, status: Status, broken: str = "", trace: tuple[str, ...] = ()) -> Result:
        return Result(
            status=status,
            states=len(self._parent),
            seconds=time.monotonic() - self._began,
            settled=self._settled,
            property=broken,
            trace=trace,
        )


def explore(model: Model[S], limits: Limits | None = None) -> Result:
    """Explore `model`; see `Result`."""
    return Search(model, limits or Limits()).run()
