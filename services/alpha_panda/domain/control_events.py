"""Latches to events on `{account}.control`: whoever sets or clears one makes them by the same pure functions."""

from typing import Final

from msgspec.structs import replace

from alpha_panda.contracts.enums import EventType
from alpha_panda.contracts.events import VERSION, ControlChanged, Envelope
from alpha_panda.contracts.stored import Latch
from alpha_panda.domain.ids import event_id

SET: Final = "set"
"""`ControlChanged.action` of a latch that was set."""

CLEARED: Final = "cleared"
"""`ControlChanged.action` of a latch that a person has cleared: it is not set again after a loss of the store."""


def latch_event(latch: Latch, account: str) -> Envelope:
    """Return CONTROL_CHANGED: of the same latch always the same, so that telling it twice is harmless.

    `account`: whose topic it is for; empty: the installation's.
    """
    new_id = event_id(f"{latch.scope}/{latch.latch_id}/{latch.set_at}", EventType.CONTROL_CHANGED, 0)
    return Envelope(
        id=new_id,
        type=EventType.CONTROL_CHANGED,
        version=VERSION,
        ts=latch.set_at,
        source=_source(latch.set_by, account),
        account=account,
        key=latch.scope,
        correlation_id=new_id,
        causation_id="",
        data=ControlChanged(
            scope=latch.scope,
            latch_id=latch.latch_id,
            state=latch.state,
            action=SET,
            reason=latch.reason,
            set_by=latch.set_by,
        ),
    )


def cleared_event(latch: Latch, account: str, *, reason: str, by: str, now: int) -> Envelope:
    """Return CONTROL_CHANGED of the latch's end: the same key as its beginning, so that it is the last word."""
    told = latch_event(latch, account)
    new_id = event_id(
        f"{latch.scope}/{latch.latch_id}/{latch.set_at}/{CLEARED}", EventType.CONTROL_CHANGED, 0
    )
    data = ControlChanged(
        scope=latch.scope,
        latch_id=latch.latch_id,
        state=latch.state,
        action=CLEARED,
        reason=reason,
        set_by=by,
        set_at=latch.set_at,
    )
    return replace(
        told,
        id=new_id,
        ts=now,
        source=_source(by, account),
        correlation_id=told.correlation_id,
        causation_id=told.id,
        data=data,
    )


class Standing:
    """The latches that the events of control topics leave standing, in whatever order topics are read.

    An end is the end of what had been set by then: it can't take along a latch of the same id that was set later, and
    a beginning that is told once more, by one who was slow, does not bring back what has ended.
    """

    def __init__(self) -> None:
        self._set: dict[tuple[str, str], Latch] = {}
        self._ended: dict[tuple[str, str], int] = {}

    def take(self, event: Envelope) -> None:
        """Take in one event; what is no CONTROL_CHANGED says nothing."""
        change = event.data
        if not isinstance(change, ControlChanged):
            return
        key = (change.scope, change.latch_id)
        if change.action == CLEARED:
            # Events of a time before `set_at` was told end what was set before them.
            self._ended[key] = max(self._ended.get(key, 0), change.set_at or event.ts)
        elif change.action == SET and (key not in self._set or self._set[key].set_at < event.ts):
            self._set[key] = _latch(change, event.ts)

    @property
    def latches(self) -> tuple[Latch, ...]:
        """What stands, in the order of the first word on each."""
        return tuple(latch for key, latch in self._set.items() if latch.set_at > self._ended.get(key, 0))


def _latch(change: ControlChanged, ts: int) -> Latch:
    return Latch(
        latch_id=change.latch_id,
        scope=change.scope,
        state=change.state,
        reason=change.reason,
        set_by=change.set_by,
        set_at=ts,
    )


def _source(by: str, account: str) -> str:
    return f"{by}/{account}" if account else by


def latch_key(latch: Latch) -> str:
    """Return the record's key: the compacted topic keeps the last word on each latch."""
    return f"{latch.scope}/{latch.latch_id}"
