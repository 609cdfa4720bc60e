"""What was found of an order, and which records speak of which order."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from alpha_panda.contracts.enums import FeedMode
from alpha_panda.contracts.events import (
    CancelRequest,
    Envelope,
    OrderUpdate,
    PortfolioSnapshot,
    RejectedSignal,
    Signal,
    Tick,
    ValidatedSignal,
)
from alpha_panda.contracts.stored import Decision, JournalEntry

SHORTEST_PREFIX: Final = 8
"""Characters of an id that a person must type at least: fewer are not unambiguous for long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TickSeen:
    """The causing tick, with what its batch says of it. `record`: `topic/partition/offset`."""

    record: str
    feed: str
    mode: FeedMode
    tick: Tick


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All that was found of one order; `signal_id` is its signal's.

    Attributes:
        events: the order's own, cancel requests on it and what was decided on them among these; in any order, repeats
            allowed.
        tick: what caused the signal.
        cause: the event that caused it, where it was no tick.
        before: the account's last snapshot from before its first fill was told.
        after: those from after its last fill was told, in any order.
        entry: what the journal has.
        journal_read: whether the journal was asked, has answered, and has an epoch (it knows what was sent): without, that
            nothing is told proves nothing.
        decision: what risk has stored.
        notes: what could not be looked at, and what was set aside.

    """

    signal_id: str
    account: str = ""
    events: Sequence[Envelope] = ()
    tick: TickSeen | None = None
    cause: Envelope | None = None
    before: Envelope | None = None
    after: Sequence[Envelope] = ()
    entry: JournalEntry | None = None
    journal_read: bool = False
    decision: Decision | None = None
    notes: Sequence[str] = field(default_factory=tuple)

    def distinct(self) -> list[Envelope]:
        """Return the events, each once, in order of time."""
        return sorted({event.id: event for event in self.events}.values(), key=lambda event: event.ts)

    @property
    def signal(self) -> Signal | None:
        """The signal, from wherever it is told."""
        for event in self.events:
            found = signal_of(event)
            if isinstance(found, Signal) and found.signal_id == self.signal_id:
                return found
        if self.entry is not None:
            return self.entry.signal
        decided = None if self.decision is None else self.decision.signal
        return decided if isinstance(decided, Signal) else None


def signal_of(event: Envelope) -> Signal | CancelRequest | None:
    """Return the signal or cancel request that an event is, or decides on."""
    data = event.data
    if isinstance(data, Signal | CancelRequest):
        return data
    return data.original_signal if isinstance(data, ValidatedSignal | RejectedSignal) else None


def order_of(event: Envelope) -> str:
    """Return the signal id of the order that an event is about, a cancel request's target; "" if it is of none."""
    original = signal_of(event)
    if isinstance(original, CancelRequest):
        return original.order_signal_id
    if original is not None:
        return original.signal_id
    return event.data.signal_id if isinstance(event.data, OrderUpdate) else ""


def ids_of(event: Envelope) -> tuple[str, ...]:
    """Return the ids by which a person may ask for the order of an event."""
    data, original = event.data, signal_of(event)
    if original is not None:
        own = (original.signal_id,)
        return (*own, original.order_signal_id) if isinstance(original, CancelRequest) else own
    if isinstance(data, OrderUpdate):
        return (data.signal_id, event.correlation_id, data.order_id, data.broker_order_id)
    return ()


def orders_named(event: Envelope, wanted: str) -> dict[str, bool]:
    """Return the orders that `wanted`, an id or the beginning of one, means in this event; true: by the whole id."""
    matching = [name for name in (*ids_of(event), event.id) if _names(name, wanted)]
    order = order_of(event)
    return {order: wanted in matching} if matching and order else {}


def _names(name: str, wanted: str) -> bool:
    return name == wanted or (len(wanted) >= SHORTEST_PREFIX and name.startswith(wanted))


def is_book(event: Envelope, account: str) -> bool:
    """Whether an event is a snapshot of the account's book."""
    return event.account == account and isinstance(event.data, PortfolioSnapshot)
