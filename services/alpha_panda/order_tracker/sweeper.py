"""Cancels what may not rest under the present trading state, again and again while the state lasts.

Halted cancels all that rests, Reducing what would increase a position. A control key that merely expired halts
new orders but cancels nothing: a dead operator must not take protective stops away.
"""

from collections.abc import Iterable

from alpha_panda.contracts.enums import SignalClass, TradingState
from alpha_panda.contracts.scopes import scopes_of
from alpha_panda.contracts.stored import ControlReading, JournalEntry
from alpha_panda.ports import ControlStore


async def to_cancel(
    account: str, resting: Iterable[JournalEntry], control: ControlStore
) -> list[tuple[JournalEntry, str]]:
    """Return the resting orders that the state forbids, each with the reason."""
    found = []
    readings: dict[str, tuple[ControlReading, ...]] = {}
    for entry in resting:
        strategy = entry.signal.strategy_id
        if strategy not in readings:
            readings[strategy] = await control.read(scopes_of(account, strategy))
        reason = forbidden(entry, readings[strategy])
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
