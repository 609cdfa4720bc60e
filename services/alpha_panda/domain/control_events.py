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
    """Return CONTROL_CHANGED: of the same latch always the same, so that telling it twice is harmless."""
    new_id = event_id(f"{latch.scope}/{latch.latch_id}/{latch.set_at}", EventType.CONTROL_CHANGED, 0)
    return Envelope(
        id=new_id,
        type=EventType.CONTROL_CHANGED,
        version=VERSION,
        ts=latch.set_at,
        source=f"{latch.set_by}/{account}",
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
    )
    return replace(
        told,
        id=new_id,
        ts=now,
        source=f"{by}/{account}",
        correlation_id=told.correlation_id,
        causation_id=told.id,
        data=data,
    )


def latch_key(latch: Latch) -> str:
    """Return the record's key: the compacted topic keeps the last word on each latch."""
    return f"{latch.scope}/{latch.latch_id}"
