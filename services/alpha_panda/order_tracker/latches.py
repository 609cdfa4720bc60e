"""Latches of the order-tracker: kept in the control store and in `{account}.control`, and put back from there."""

from collections.abc import AsyncIterator

from alpha_panda.contracts.codec import encode_event
from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.events import ControlChanged, Envelope
from alpha_panda.contracts.scopes import account_scope
from alpha_panda.contracts.stored import Latch
from alpha_panda.contracts.topics import TopicMap
from alpha_panda.domain.control_events import SET, latch_event, latch_key
from alpha_panda.ports import ControlStore, Outgoing, Producer

SOURCE = "order-tracker"


def halt(account: str, latch_id: str, reason: str, now: int) -> Latch:
    """Return a latch that halts the account."""
    return Latch(
        latch_id=latch_id,
        scope=account_scope(account),
        state=TradingState.HALTED,
        reason=reason,
        set_by=SOURCE,
        set_at=now,
    )


def return_latch(account: str, run_id: str, now: int, *, live: bool) -> Latch | None:
    """Return the latch of an account whose store came back as another run: a live one waits for a person."""
    if not live:
        return None
    reason = "the journal's store came back; compare the broker's book before trading goes on"
    return halt(account, f"store-returned-{run_id}", reason, now)


async def announce(producer: Producer, topics: TopicMap, latch: Latch) -> None:
    """Write the latch to `{account}.control`, so that it survives the store.

    Done before the script that sets it: a process that dies between the two leaves too many latches, not too few.
    """
    event = encode_event(latch_event(latch, topics.account))
    await producer.send([Outgoing(topics.control, event, key=latch_key(latch))])


async def put_back(events: AsyncIterator[Envelope], control: ControlStore) -> list[Latch]:
    """Set every latch again that `{account}.control` holds and that nobody has cleared; return them."""
    latches: dict[tuple[str, str], Latch | None] = {}
    async for event in events:
        change = event.data
        if isinstance(change, ControlChanged):
            latches[change.scope, change.latch_id] = (
                _latch(change, event.ts) if change.action == SET else None
            )
    found = [latch for latch in latches.values() if latch is not None]
    for latch in found:
        await control.set_latch(latch)
    return found


def _latch(change: ControlChanged, ts: int) -> Latch:
    return Latch(
        latch_id=change.latch_id,
        scope=change.scope,
        state=change.state,
        reason=change.reason,
        set_by=change.set_by,
        set_at=ts,
    )
