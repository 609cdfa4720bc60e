"""What one Redis holds, in memory: sections by key name, a run id, restarts and faults.

All memory stores of one installation share one `MemoryDatabase`, so that a script of one port can read what
another wrote. A step of a store is a plain function (`script`, `reading`): with no `await` inside, it is atomic.
"""

import asyncio
import functools
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar

from alpha_panda.contracts.keys import KeyMap
from alpha_panda.errors import AlphaPandaError, DependencyUnavailableError, UnknownOutcomeError
from alpha_panda.ports import Clock, IdSource

REVISIONS_PER_RUN: Final = 1_000_000

_T = TypeVar("_T")
_P = ParamSpec("_P")


# -------------------------------------------------------------------------------------------------- faults


class Fault(Enum):
    """What can happen to one operation on its way to the store and back."""

    REFUSE = "refuse"
    LOSE_REPLY = "lose reply"


class StoreFaults:
    """The faults that the next operations meet, in order; for tests."""

    def __init__(self) -> None:
        self._planned: list[tuple[str, Fault]] = []

    def __bool__(self) -> bool:
        return bool(self._planned)

    def refuse(self, operation: str = "") -> None:
        """Let the next operation (of this name, if given) fail before it is applied."""
        self._planned.append((operation, Fault.REFUSE))

    def lose_reply(self, operation: str = "") -> None:
        """Let the next operation (of this name, if given) be applied, and its reply get lost."""
        self._planned.append((operation, Fault.LOSE_REPLY))

    def take(self, operation: str) -> Fault | None:
        """Return the fault that this operation meets, once."""
        for index, (name, fault) in enumerate(self._planned):
            if name in ("", operation):
                del self._planned[index]
                return fault
        return None


# ------------------------------------------------------------------------------------------------ sections


class Section:
    """Base of the objects that `MemoryDatabase` keeps; their attributes are values, dicts and deques of values."""


def _copied(value: Any) -> Any:  # noqa: ANN401 - a section holds values of any type
    """Return a copy that shares nothing changeable with `value` (values themselves are immutable)."""
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, deque):
        return deque(value, value.maxlen)
    if isinstance(value, Section):
        twin = object.__new__(type(value))
        twin.__dict__.update({name: _copied(item) for name, item in vars(value).items()})
        return twin
    return value


@dataclass(frozen=True, slots=True)
class Image:
    """All sections as they were at one moment: what a restart may fall back to."""

    sections: dict[str, Any] = field(default_factory=dict, repr=False)


EMPTY_IMAGE: Final = Image()


class MemoryDatabase:
    """The state that the memory stores share, and the clock that their scripts compare times with.

    `yields`: give other tasks a turn after each step, as a network would.
    """

    def __init__(
        self, clock: Clock, ids: IdSource, keys: KeyMap | None = None, *, yields: bool = False
    ) -> None:
        self.clock = clock
        self.ids = ids
        self.keys = keys or KeyMap()
        self.yields = yields
        self.faults = StoreFaults()
        self.run_id = ids.new_id()
        self._restarts = 0
        self._sections: dict[str, Any] = {}
        self._counters: dict[str, int] = {}
        self._waiters: dict[str, dict[asyncio.Future[None], None]] = {}

    def now(self) -> int:
        """Return the store's time (UTC ns)."""
        return self.clock.now()

    def section(self, name: str, factory: Callable[[], _T]) -> _T:
        """Return what is stored under a key; hold it no longer than one step (a restart replaces it)."""
        found: _T | None = self._sections.get(name)
        if found is None:
            found = self._sections[name] = factory()
        return found

    def count(self, name: str) -> int:
        """Return 1, 2, … for `name`: greater than ever before, also over restarts that lose what is stored.

        (A Redis adapter takes such numbers from the clock: a count that is stored would be handed out again.)
        """
        value = self._counters[name] = self._counters.get(name, 0) + 1
        return value

    @property
    def revision_floor(self) -> int:
        """The lowest revision that this run hands out: above any of the runs before.

        An event's id holds its entry's revision, so a lost revision must never come again with another content.
        """
        return self._restarts * REVISIONS_PER_RUN

    # ------------------------------------------------------------------------------------------- restarts

    def checkpoint_image(self) -> Image:
        """Return the present state, for a later `restart`."""
        return Image(_copied(self._sections))

    def restart(self, image: Image | None = None) -> None:
        """Come back under a new run id: with all (None), as an older image, or with nothing (EMPTY_IMAGE)."""
        if image is not None:
            self._sections = _copied(image.sections)
        self._restarts += 1
        self.run_id = self.ids.new_id()

    # ------------------------------------------------------------------------------------------ waiting

    @contextmanager
    def waiter(self, name: str) -> Iterator["asyncio.Future[None]"]:
        """Give a future that the next `notify(name)` resolves; enter this before looking at the state."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiters.setdefault(name, {})
        waiting[future] = None
        try:
            yield future
        finally:
            del waiting[future]

    def notify(self, name: str) -> None:
        """Wake all who wait for `name`."""
        for future in self._waiters.get(name, ()):
            if not future.done():
                future.set_result(None)


# ------------------------------------------------------------------------------------------------- scripts


class HasDatabase(Protocol):
    """A store."""

    database: MemoryDatabase


_S = TypeVar("_S", bound=HasDatabase)
_Step = Callable[Concatenate[_S, _P], _T]
_Operation = Callable[Concatenate[_S, _P], Coroutine[Any, Any, _T]]


def script(step: _Step[_S, _P, _T]) -> _Operation[_S, _P, _T]:
    """Make an operation of a port from a step that writes: a lost reply leaves its outcome unknown."""
    return _operation(step, writes=True)


def reading(step: _Step[_S, _P, _T]) -> _Operation[_S, _P, _T]:
    """Make an operation of a port from a step that only reads: a lost reply is a failure that changed nothing."""
    return _operation(step, writes=False)


def _operation(step: _Step[_S, _P, _T], *, writes: bool) -> _Operation[_S, _P, _T]:
    name = step.__name__

    @functools.wraps(step)
    async def operation(store: _S, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        database = store.database
        fault = database.faults.take(name) if database.faults else None
        if fault is None:
            result = step(store, *args, **kwargs)
            if database.yields:
                await asyncio.sleep(0)
            return result
        if fault is Fault.LOSE_REPLY and writes:
            _apply_unanswered(lambda: step(store, *args, **kwargs))
            raise UnknownOutcomeError(f"the reply to {name} was lost")
        raise DependencyUnavailableError("store", f"{name} was not applied")

    return operation


def _apply_unanswered(step: Callable[[], object]) -> None:
    """Apply a step whose answer nobody gets, a refusal neither."""
    try:
        step()
    except AlphaPandaError:
        return
