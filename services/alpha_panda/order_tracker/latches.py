"""Latches of the order-tracker: kept in the control store and in `{account}.control`, and put back from there.

Put back are also those of strategies that other accounts' topics keep, and the platform's: an account that is younger
than a latch has never been told of it.
"""

from collections.abc import AsyncIterator

from alpha_panda.contracts.codec import encode_event
from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.events import Envelope
from alpha_panda.contracts.scopes import account_scope
from alpha_panda.contracts.stored import Latch
from alpha_panda.contracts.topics import TopicMap
from alpha_panda.domain.control_events import Standing, latch_event, latch_key
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


async def put_back(account: str, events: AsyncIterator[Envelope], control: ControlStore) -> list[Latch]:
    """Set every latch again that control topics hold, that nobody has cleared, and that binds the account; return them."""
    standing = Standing()
    async for event in events:
        standing.take(event)
    found = [latch for latch in standing.latches if _binds(latch, account)]
    for latch in found:
        await control.set_latch(latch)
    return found


def may_bind(key: str | None, account: str) -> bool:
    """Whether a control record that can't be read may have been of a latch that binds the account, by the record's key."""
    others = (key or "").startswith(account_scope(""))
    return not others or (key or "").startswith(f"{account_scope(account)}/")


def _binds(latch: Latch, account: str) -> bool:
    return latch.scope == account_scope(account) or not latch.scope.startswith(account_scope(""))
