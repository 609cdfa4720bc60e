"""Cancels what may not rest under the present trading state, again and again while the state lasts.

Halted cancels all that rests, Reducing what would increase a position; of a strategy whose positions risk is to close
(Flatten) all but risk's own closing orders, under either. A control key that merely expired halts
new orders but cancels nothing: a dead operator must not take protective stops away.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import structlog

from alpha_panda.contracts.enums import SignalClass, TradingState
from alpha_panda.contracts.scopes import scopes_of
from alpha_panda.contracts.stored import ControlReading, JournalEntry
from alpha_panda.ports import Clock, ControlStore

from .duties import raise_worst
from .strays import is_foreign

log = structlog.get_logger()

Forbidden = tuple[JournalEntry, str]
"""A resting order, and why it may not rest."""


@dataclass(frozen=True, slots=True)
class SweepTerms:
    """How many cancellations are under way at once, and how long (ns) a turn begins new ones."""

    at_once: int
    within: int


class Sweeper:
    """Asks for cancellations, a bounded number at once and for a bounded time, whatever the broker does.

    A turn ends at the latest one time-out of the trader's after `within`; what was not asked for then comes first in
    the next turn, and what was asked for least recently before what was asked for just now.
    """

    def __init__(
        self, clock: Clock, terms: SweepTerms, cancel: Callable[[JournalEntry, str], Awaitable[None]]
    ) -> None:
        self._clock = clock
        self._terms = terms
        self._cancel = cancel
        self._turn = 0
        self._asked: dict[str, int] = {}

    async def sweep(self, found: Sequence[Forbidden]) -> None:
        """Cancel what was found; one failure keeps no other from its turn, and is raised at the end."""
        self._turn += 1
        self._asked = {
            entry.signal_id: turn for entry, _ in found if (turn := self._asked.get(entry.signal_id))
        }
        waiting = deque(sorted(found, key=lambda item: self._asked.get(item[0].signal_id, 0)))
        errors: list[Exception] = []
        end = self._clock.monotonic() + self._terms.within
        lanes = min(self._terms.at_once, len(waiting))
        await asyncio.gather(*(self._lane(waiting, end, errors) for _ in range(lanes)))
        if waiting:
            log.warning("sweep_unfinished", left=len(waiting), of=len(found))
        raise_worst(errors)

    async def _lane(self, waiting: deque[Forbidden], end: int, errors: list[Exception]) -> None:
        while waiting and self._clock.monotonic() < end:
            entry, reason = waiting.popleft()
            self._asked[entry.signal_id] = self._turn
            try:
                await self._cancel(entry, reason)
            except Exception as error:  # noqa: BLE001 - raised when all have had their turn
                errors.append(error)


async def to_cancel(
    account: str,
    resting: Iterable[JournalEntry],
    control: ControlStore,
    flattened: Collection[str] = frozenset(),
) -> list[tuple[JournalEntry, str]]:
    """Return the resting orders that the state forbids, each with the reason; `flattened`: strategies, by name.

    Not those of somebody else: a person who closes a position by hand has often halted the account before.
    """
    found = []
    readings: dict[str, tuple[ControlReading, ...]] = {}
    for entry in resting:
        if is_foreign(entry):
            continue
        strategy = entry.signal.strategy_id
        if strategy not in readings:
            readings[strategy] = await control.read(scopes_of(account, strategy))
        reason = forbidden(entry, readings[strategy]) or (
            in_the_way(entry, readings[strategy]) if strategy in flattened else None
        )
        if reason is not None:
            found.append((entry, reason))
    return found


def forbidden(entry: JournalEntry, readings: Iterable[ControlReading]) -> str | None:
    """Return why the order may not rest, or None."""
    for reading in readings:
        state = reading.deliberate_state
        if state is TradingState.HALTED or (
            state is TradingState.REDUCING and entry.signal_class is SignalClass.INCREASING
        ):
            return f"{reading.scope} is {state}"
    return None


def in_the_way(entry: JournalEntry, readings: Iterable[ControlReading]) -> str | None:
    """Return why the order of a strategy that is being flattened may not rest, or None.

    It holds back a part of the position that risk is to close. Not while all scopes are Active: then nobody closes yet.
    """
    if entry.signal.closing or all(item.deliberate_state is TradingState.ACTIVE for item in readings):
        return None
    return f"strategy {entry.signal.strategy_id} is being flattened"
