"""What stays in `open` is told again, and nothing else, in its present revision (DESIGN section 4)."""

from decimal import Decimal
from typing import Any, cast

import pytest

from alpha_panda.contracts.enums import EntryState, EventType, Side, SignalClass
from alpha_panda.contracts.events import Signal
from alpha_panda.contracts.stored import Outcome
from alpha_panda.errors import DependencyUnavailableError
from alpha_panda.order_tracker.announcer import Announcer
from unit.engine.desk import ACCOUNT, Calls, Desk, Through

FILL = Outcome(state=EntryState.FILLED, filled_quantity=Decimal(10), average_price=Decimal(2400))


async def untold(desk: Desk, signal: Signal) -> None:
    """Place an order whose engine dies before it tells."""
    calls = Calls()
    calls.plan("refuse", "producer.send")
    with pytest.raises(DependencyUnavailableError):
        await desk.engine(calls).handle([await desk.validated(signal)])


def announcer(desk: Desk) -> Announcer:
    return Announcer(ACCOUNT, desk.topics, desk.journal)


async def test_an_entry_is_left_to_its_owner_for_one_round(desk: Desk) -> None:
    await untold(desk, desk.signal())
    teller = announcer(desk)
    assert await teller.repeat(desk.producer) == 0
    assert desk.told() == []
    assert await teller.repeat(desk.producer) == 1
    assert desk.told() == [EventType.ORDER_FILLED]
    assert await desk.open_ids() == []


async def test_what_the_owner_told_in_that_round_is_not_told_again(desk: Desk) -> None:
    signal = desk.signal()
    await untold(desk, signal)
    teller = announcer(desk)
    await teller.repeat(desk.producer)
    await announcer(desk).tell(desk.producer, await desk.entry(signal))  # the owner, at last
    assert await teller.repeat(desk.producer) == 0
    assert desk.told() == [EventType.ORDER_FILLED]


async def test_a_new_revision_has_an_owner_of_its_own(desk: Desk) -> None:
    signal = desk.limit()
    await untold(desk, signal)
    teller = announcer(desk)
    await teller.repeat(desk.producer)
    entry = await desk.entry(signal)
    await desk.journal.fill(signal.signal_id, entry.revision, FILL)
    assert await teller.repeat(desk.producer) == 0
    assert await teller.repeat(desk.producer) == 1
    assert desk.told() == [EventType.ORDER_FILLED]  # only what it is now


async def test_what_is_acknowledged_is_never_repeated(desk: Desk) -> None:
    await desk.place(desk.signal())
    teller = announcer(desk)
    assert [await teller.repeat(desk.producer) for _ in range(3)] == [0, 0, 0]
    assert len(desk.events()) == 1


async def test_an_entry_in_doubt_is_not_told(desk: Desk) -> None:
    desk.broker.answers.append(Outcome(state=EntryState.UNKNOWN))
    await desk.place(desk.signal())
    teller = announcer(desk)
    assert [await teller.repeat(desk.producer) for _ in range(3)] == [0, 0, 0]


async def test_a_refusal_whose_engine_died_is_told(desk: Desk) -> None:
    await untold(desk, desk.signal(expires_at=1))
    teller = announcer(desk)
    await teller.repeat(desk.producer)
    assert await teller.repeat(desk.producer) == 1
    assert desk.told() == [EventType.ORDER_FAILED]


async def test_what_kafka_does_not_take_stays_open_and_is_repeated(desk: Desk) -> None:
    signal = desk.signal()
    await untold(desk, signal)
    calls = Calls()
    calls.plan("lose reply", "producer.send")
    producer: Any = Through("producer", desk.producer, calls)
    teller = announcer(desk)
    await teller.repeat(producer)
    with pytest.raises(DependencyUnavailableError):
        await teller.repeat(producer)
    assert await desk.open_ids() == [signal.signal_id]
    assert await teller.repeat(producer) == 1
    first, again = desk.events()
    assert first == again  # the same event, to the byte
    assert await desk.open_ids() == []


async def test_an_entry_that_moves_while_it_is_told_stays_open(desk: Desk) -> None:
    """[F_OPENCAS]"""
    signal = desk.limit()
    await untold(desk, signal)
    old = await desk.entry(signal)
    await desk.journal.fill(signal.signal_id, old.revision, FILL)
    await announcer(desk).tell(desk.producer, old)
    assert await desk.open_ids() == [signal.signal_id]


async def test_engine_and_tracker_tell_the_same_event_but_for_their_name(desk: Desk) -> None:
    signal = desk.signal()
    entry = await desk.place(signal)
    await announcer(desk).tell(desk.producer, entry)
    by_engine, by_tracker = desk.events()
    assert (by_engine.id, by_engine.data, by_engine.key) == (by_tracker.id, by_tracker.data, by_tracker.key)
    assert (by_engine.source, by_tracker.source) == ("engine/paper", "order-tracker/paper")


# --------------------------------------------------------------------------------------------- much at once


async def doubtful(desk: Desk, n: int) -> None:
    desk.broker.answers.append(Outcome(state=EntryState.UNKNOWN))
    await desk.place(desk.signal(n), SignalClass.REDUCING)


async def test_many_are_one_batch_and_one_script(desk: Desk) -> None:
    for n in range(1, 6):
        await untold(desk, desk.signal(n))
    calls = Calls()
    journal: Any = Through("journal", desk.journal, calls)
    producer: Any = Through("producer", desk.producer, calls)
    teller = Announcer(ACCOUNT, desk.topics, journal)
    await teller.repeat(producer)
    assert await teller.repeat(producer) == 5
    assert calls.names == ["journal.open_page"] * 2 + ["producer.send", "journal.acknowledge_all"]
    assert await desk.open_ids() == []


async def test_a_turn_reads_a_part_and_the_next_goes_on_from_there(desk: Desk) -> None:
    for n in range(1, 8):
        await untold(desk, desk.signal(n))
    teller = Announcer(ACCOUNT, desk.topics, desk.journal, page=2, pages=2)
    assert [await teller.repeat(desk.producer) for _ in range(4)] == [0, 0, 4, 3]
    assert len(desk.told()) == 7
    assert await desk.open_ids() == []


async def test_orders_in_doubt_keep_none_behind_them_from_being_told(desk: Desk) -> None:
    """They stay in `open`, before the others."""
    for n in range(1, 5):
        await doubtful(desk, n)
    await untold(desk, desk.signal(5, side=Side.SELL))
    teller = Announcer(ACCOUNT, desk.topics, desk.journal, page=2, pages=1)
    assert sum([await teller.repeat(desk.producer) for _ in range(6)]) == 1


async def test_nothing_to_tell_asks_nobody(desk: Desk) -> None:
    calls = Calls()
    await announcer(desk).tell(cast("Any", Through("producer", desk.producer, calls)))
    assert calls.names == []
