"""Whether a world has come to rest, and what its stores and topics hold then."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any, Final

import msgspec

from alpha_panda.adapters.memory.decisions import DecisionsState
from alpha_panda.contracts.enums import EntryState
from alpha_panda.contracts.events import Signal, ValidatedSignal
from alpha_panda.contracts.stored import RiskSnapshot
from alpha_panda.contracts.topics import DLQ_SUFFIX
from alpha_panda.domain.ledger_state import LedgerState
from alpha_panda.errors import RecordError
from alpha_panda.runtime.dead_letter import original
from alpha_panda.runtime.records import event_of
from alpha_panda.testing.broker.core import DAY
from alpha_panda.testing.simulation.network import Step, executed
from alpha_panda.testing.simulation.world import LIVE, PAPER, World
from alpha_panda.testing.virtual_time import START

ACCOUNTS: Final = (LIVE, PAPER)


def read(step: Step) -> Any:  # noqa: ANN401 - any port's reading
    """Ask a store directly; its error is raised."""
    result, error = executed(step)
    if error is not None:
        raise error
    return result


def settled(world: World) -> list[str]:
    """Return what has not come to rest yet."""
    found = [f"{pod.name} is not ready" for pod in world.pods.values() if not pod.ready]
    for account in ACCOUNTS:
        found += _unsettled_orders(world, account)
        found += _unread_by_risk(world, account)
        found += _unread_by_engines(world, account)
    return [*found, *_unbooked(world)]


def _unbooked(world: World) -> list[str]:
    """Return what the broker has executed, a moment ago perhaps, and risk's book does not show."""
    snapshot, at_broker = snapshot_of(world, LIVE), world.core.positions(START + world.loop.now_ns)
    booked = {} if snapshot is None else holding(snapshot)
    if booked == at_broker or of_yesterday(world, LIVE):
        return []
    return [f"live: risk's book is {booked}, the broker executed {at_broker}"]


def holding(snapshot: RiskSnapshot) -> dict[int, Decimal]:
    """Return what risk's book holds, by token."""
    positions = msgspec.msgpack.decode(snapshot.state, type=LedgerState).book.positions
    return {token: held.quantity for token, held in positions.items() if held.quantity}


def of_yesterday(world: World, account: str) -> list[str]:
    """Return the orders whose day is over at the broker and whose end is not known: in doubt, or at rest.

    Today's book can't tell of them: a person must.
    """
    if account != LIVE or world.core.trading_day == DAY:
        return []
    journal = world.journals[account]
    doubtful = [entry for entry in read(journal.in_doubt) if entry.state is EntryState.UNKNOWN]
    return [entry.signal_id for entry in (*doubtful, *read(journal.resting))]


def snapshot_of(world: World, account: str) -> RiskSnapshot | None:
    """Return what risk has stored of an account."""
    return world.database.section(world.database.keys.decisions(account), DecisionsState).snapshot


async def replay_letters(world: World) -> int:
    """Send every dead letter to its topic again; return how many there were."""
    letters = [record for record in world.records if record.topic.endswith(DLQ_SUFFIX)]
    for letter in letters:
        async with world.bus.producer("replay") as producer:
            await producer.send([original(letter)])
    world.counts["dead letters replayed"] += len(letters)
    return len(letters)


def _unsettled_orders(world: World, account: str) -> Iterator[str]:
    journal = world.journals[account]
    if read(journal.epoch) is None:
        yield f"{account}: no journal epoch"
    if not of_yesterday(world, account):
        yield from (f"{account}: {entry.signal_id} is {entry.state}" for entry in read(journal.in_doubt))
    for entry in read(journal.unacknowledged):
        if not entry.state.in_doubt:
            yield f"{account}: {entry.signal_id} ({entry.state}) is not acknowledged"


def _unread_by_risk(world: World, account: str) -> Iterator[str]:
    topics, snapshot = world.topics(account), snapshot_of(world, account)
    stored = {} if snapshot is None else snapshot.offsets
    for topic in (topics.signals_raw, *topics.orders):
        for partition, (_, end) in read(lambda topic=topic: world.bus.offsets(topic)).items():  # type: ignore[misc]
            if stored.get(str(partition), 0) < end:
                yield f"risk has not read {partition}"


def _unread_by_engines(world: World, account: str) -> Iterator[str]:
    """Yield what no engine has begun: by the journal, for a commit that failed is made good with the next record only."""
    topic, journal = world.topics(account).signals_validated, world.journals[account]
    for record in world.records:
        if record.topic != topic:
            continue
        try:
            data = event_of(record).data
        except RecordError:
            continue
        if isinstance(data, ValidatedSignal) and isinstance(data.original_signal, Signal):
            signal_id = data.original_signal.signal_id
            if not read(lambda signal_id=signal_id: journal.known(signal_id)):  # type: ignore[misc]
                yield f"{account}: no engine has begun {signal_id}"
