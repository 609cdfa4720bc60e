"""Late matches, more fills, orders that nobody knows: booked or corrected, and the account latched."""

from decimal import Decimal
from typing import Any, cast

import pytest
from msgspec.structs import replace

from alpha_panda.adapters.memory.database import EMPTY_IMAGE
from alpha_panda.contracts.enums import EntryState, EventType, OrderStatus, TradingState
from alpha_panda.contracts.events import ControlChanged
from alpha_panda.contracts.scopes import account_scope
from alpha_panda.contracts.stored import BrokerRow, JournalEntry, Outcome
from alpha_panda.domain.ids import broker_tag
from alpha_panda.errors import FencedError
from alpha_panda.order_tracker.strays import Strays, contradicts, is_foreign
from alpha_panda.runtime.records import event_of
from unit.engine.desk import ACCOUNT, Calls, Desk, Through
from unit.order_tracker.test_resolver import book, row

REFUSED = Outcome(state=EntryState.FAILED, message="no")


def strays(desk: Desk) -> Strays:
    return Strays(desk.topics, desk.journal, desk.clock, lambda: desk.resources.feeds["demo"].instruments)


async def settle(desk: Desk, *rows: BrokerRow) -> list[JournalEntry]:
    return await strays(desk).settle(desk.lease, book(desk.clock.now(), rows), desk.producer)


async def latches(desk: Desk) -> list[str]:
    (reading,) = await desk.control.read([account_scope(ACCOUNT)])
    return [latch.latch_id for latch in reading.latches]


async def ended(desk: Desk, state: EntryState) -> JournalEntry:
    """Return an order of which the journal says that it is FAILED or LOST."""
    signal = desk.signal()
    if state is EntryState.FAILED:
        desk.broker.answers.append(REFUSED)
        return await desk.place(signal)
    desk.broker.answers.append(Outcome(state=EntryState.UNKNOWN))
    entry = await desk.place(signal)
    desk.clock._now = entry.send_by
    lost = await desk.journal.resolve(desk.lease, signal.signal_id, Outcome(state=EntryState.LOST))
    assert lost is not None
    return lost


@pytest.mark.parametrize("state", [EntryState.LOST, EntryState.FAILED])
async def test_a_late_match_corrects_the_entry_and_latches(desk: Desk, state: EntryState) -> None:
    """[G_LATE]"""
    entry = await ended(desk, state)
    (corrected,) = await settle(desk, row(entry))
    assert (corrected.state, corrected.filled_quantity, corrected.late) == (EntryState.FILLED, 10, True)
    assert await latches(desk) == [f"late-{entry.tag}"]
    assert (await desk.control.read([account_scope(ACCOUNT)]))[0].state is TradingState.HALTED
    assert await desk.open_ids() == [entry.signal_id]


async def test_a_late_match_is_corrected_once(desk: Desk) -> None:
    entry = await ended(desk, EntryState.LOST)
    await settle(desk, row(entry))
    assert await settle(desk, row(entry)) == []


async def test_a_correction_is_told_as_one(desk: Desk) -> None:
    entry = await ended(desk, EntryState.LOST)
    await settle(desk, row(entry))
    tracker = await desk.tracker()
    await tracker.look_after()
    await tracker.look_after()
    kind, update = desk.updates()[-1]
    assert (kind, update.correction, update.status) == (EventType.ORDER_UPDATED, True, OrderStatus.FILLED)
    assert update.external is False


async def test_a_row_the_broker_refused_corrects_nothing(desk: Desk) -> None:
    entry = await ended(desk, EntryState.FAILED)
    nothing = Decimal(0)
    assert await settle(desk, row(entry, status=OrderStatus.FAILED, filled_quantity=nothing)) == []
    assert await latches(desk) == []


async def test_more_fills_than_an_order_ended_with_are_corrected(desk: Desk) -> None:
    desk.broker.answers.append(Outcome(state=EntryState.CANCELLED, broker_order_id="b1"))
    entry = await desk.place(desk.signal())
    more = row(entry, status=OrderStatus.CANCELLED, filled_quantity=Decimal(4))
    (corrected,) = await settle(desk, more)
    assert (corrected.state, corrected.filled_quantity, corrected.late) == (EntryState.CANCELLED, 4, True)
    assert len(await latches(desk)) == 1


async def test_an_order_with_our_tag_and_no_entry_is_booked_and_latches(desk: Desk) -> None:
    """[F_ORPHAN]"""
    signal = desk.signal()
    stray = BrokerRow(
        broker_order_id="b9",
        tag=broker_tag(signal.signal_id),
        instrument_token=signal.instrument_token,
        side="SELL",
        quantity=Decimal(3),
        status=OrderStatus.FILLED,
        filled_quantity=Decimal(3),
        average_price=Decimal(2500),
        fees=Decimal(1),
    )
    (booked,) = await settle(desk, stray)
    assert (booked.signal_id, booked.state, booked.late) == ("external:b9", EntryState.FILLED, True)
    assert (booked.signal.symbol, booked.signal.side, booked.average_price) == ("NSE:RELIANCE", "SELL", 2500)
    assert await latches(desk) == ["stray-b9"]
    assert await settle(desk, stray) == []
    await (await desk.tracker())._announcer.tell(desk.producer, booked)
    ((kind, update),) = desk.updates()
    assert (kind, update.external, update.correction) == (EventType.ORDER_UPDATED, True, True)
    assert (update.strategy_id, update.filled_quantity) == ("external", 3)


async def test_the_signal_of_a_stray_is_never_sent_again(desk: Desk) -> None:
    signal = desk.signal()
    tag = {"tag": broker_tag(signal.signal_id)}
    entry = await desk.place(desk.signal(2))
    await settle(desk, row(entry, **tag))
    await desk.control.clear_latch(account_scope(ACCOUNT), "stray-b1")
    await desk.engine().handle([await desk.validated(signal)])
    assert desk.broker.calls[signal.signal_id] == 0


@pytest.mark.parametrize(
    "tag", ["", "manual", "apSHOUTING90123456789", "ap0123456789abcdefgh", "apaaaaaaaaaaaaaaaaaaa"]
)
async def test_a_trade_without_a_tag_of_our_form_is_booked_as_external(desk: Desk, tag: str) -> None:
    """A person's own, or the broker squaring off: legal, so nothing is latched, but the account holds it."""
    entry = await desk.place(desk.signal())
    (booked,) = await settle(desk, row(entry, tag=tag))
    assert (booked.signal_id, booked.tag) == ("external:b1", "external:b1")
    assert (booked.signal.strategy_id, booked.state, booked.late) == ("external", EntryState.FILLED, True)
    assert (booked.filled_quantity, booked.average_price, booked.fees) == (10, Decimal("2500.5"), 7)
    assert await settle(desk, row(entry, tag=tag)) == []
    assert await latches(desk) == []
    assert await desk.entry(entry.signal) == entry


def part(entry: JournalEntry, filled: int, status: OrderStatus = OrderStatus.PARTIALLY_FILLED) -> BrokerRow:
    return row(entry, tag="", filled_quantity=Decimal(filled), status=status)


async def test_somebody_elses_fills_are_followed(desk: Desk) -> None:
    entry = await desk.place(desk.signal())
    readings = (
        part(entry, 0, OrderStatus.PLACED),  # only rests: none of our business
        part(entry, 3),
        part(entry, 3),
        part(entry, 2),  # a read that lags
        part(entry, 7),
        part(entry, 7, OrderStatus.CANCELLED),
    )
    changes = [await settle(desk, seen) for seen in readings]
    states = [[(one.state.value, one.filled_quantity) for one in changed] for changed in changes]
    assert states == [[], [("PARTIALLY_FILLED", 3)], [], [], [("PARTIALLY_FILLED", 7)], [("CANCELLED", 7)]]
    assert await latches(desk) == []


async def test_more_than_somebody_elses_order_ended_with_is_corrected_and_latches(desk: Desk) -> None:
    entry = await desk.place(desk.signal())
    await settle(desk, part(entry, 3, OrderStatus.CANCELLED))
    (corrected,) = await settle(desk, part(entry, 5, OrderStatus.CANCELLED))
    assert corrected.filled_quantity == 5
    assert await latches(desk) == ["late-external:b1"]


@pytest.mark.parametrize("status", [OrderStatus.FAILED, OrderStatus.LOST, OrderStatus.CANCELLED])
async def test_somebody_elses_order_that_traded_nothing_is_not_booked(
    desk: Desk, status: OrderStatus
) -> None:
    entry = await desk.place(desk.signal())
    assert await settle(desk, part(entry, 0, status)) == []


async def test_many_trades_of_one_foreign_tag_are_many_entries(desk: Desk) -> None:
    entry = await desk.place(desk.signal())
    rows = [row(entry, tag="manual", broker_order_id=f"m{n}") for n in range(3)]
    assert [one.signal_id for one in await settle(desk, *rows)] == [f"external:m{n}" for n in range(3)]
    assert await settle(desk, *rows) == []


async def test_instruments_that_nobody_knows_have_names_of_their_own(desk: Desk) -> None:
    entry = await desk.place(desk.signal())
    rows = [row(entry, tag="", broker_order_id=f"m{n}", instrument_token=n) for n in (1, 2)]
    assert [one.signal.symbol for one in await settle(desk, *rows)] == ["UNKNOWN:1", "UNKNOWN:2"]


async def test_a_stale_lease_books_no_trade_of_somebody_elses(desk: Desk) -> None:
    """[G_LEASE]"""
    entry = await desk.place(desk.signal())
    await desk.take_over()
    desk.lease -= 1
    with pytest.raises(FencedError):
        await settle(desk, row(entry, tag=""))
    assert await desk.journal.get("external:b1") is None


async def test_whose_order_it_is(desk: Desk) -> None:
    entry = await desk.place(desk.signal())
    assert not is_foreign(entry)
    stray, foreign = await settle(
        desk, row(entry, tag=broker_tag("x"), broker_order_id="b2"), row(entry, tag="", broker_order_id="b3")
    )
    assert (is_foreign(stray), is_foreign(foreign)) == (False, True)


async def test_a_stray_that_the_broker_refused_traded_nothing(desk: Desk) -> None:
    entry = await desk.place(desk.signal())
    other = row(entry, tag=broker_tag("x"), status=OrderStatus.FAILED, filled_quantity=Decimal(0))
    assert await settle(desk, other) == []
    assert await latches(desk) == []


async def test_a_second_order_of_one_tag_is_booked_beside_the_first(desk: Desk) -> None:
    """A proxy repeated the request by itself."""
    desk.broker.answers.append(
        Outcome(
            state=EntryState.FILLED,
            filled_quantity=Decimal(10),
            average_price=Decimal(2500),
            broker_order_id="b1",
        )
    )
    entry = await desk.place(desk.signal())
    (second,) = await settle(desk, row(entry), row(entry, broker_order_id="b2"))
    assert second.signal_id == "external:b2"
    assert await latches(desk) == ["stray-b2"]
    assert await desk.entry(entry.signal) == entry


@pytest.mark.parametrize("other", [{"quantity": Decimal(11)}, {"side": "SELL"}, {"instrument_token": 1}])
async def test_our_tag_on_another_order_is_a_stray(desk: Desk, other: dict[str, Any]) -> None:
    entry = await ended(desk, EntryState.LOST)
    (booked,) = await settle(desk, row(entry, **other))
    assert booked.signal_id == "external:b1"
    assert (await desk.entry(entry.signal)).state is EntryState.LOST


@pytest.mark.parametrize("quantity", [6, 20])
async def test_an_order_whose_quantity_a_person_changed_is_the_same_by_the_brokers_id(
    desk: Desk, quantity: int
) -> None:
    entry = await desk.place(desk.limit())
    changed = {"broker_order_id": entry.broker_order_id, "quantity": Decimal(quantity)}
    (part,) = await settle(
        desk, row(entry, status=OrderStatus.PARTIALLY_FILLED, filled_quantity=Decimal(4), **changed)
    )
    assert (part.signal_id, part.state, part.filled_quantity) == (
        entry.signal_id,
        EntryState.PARTIALLY_FILLED,
        4,
    )
    (full,) = await settle(desk, row(entry, filled_quantity=Decimal(quantity), **changed))
    assert (full.signal_id, full.state, full.filled_quantity) == (
        entry.signal_id,
        EntryState.FILLED,
        quantity,
    )
    assert await latches(desk) == []


@pytest.mark.parametrize("other", [{"side": "SELL"}, {"instrument_token": 1}])
async def test_an_order_of_another_side_or_instrument_is_a_stray_whatever_its_id(
    desk: Desk, other: dict[str, Any]
) -> None:
    entry = await desk.place(desk.limit())
    (booked,) = await settle(desk, row(entry, broker_order_id=entry.broker_order_id, **other))
    assert booked.signal_id == f"external:{entry.broker_order_id}"
    assert await latches(desk) == [f"stray-{entry.broker_order_id}"]


async def test_a_resting_order_follows_its_row(desk: Desk) -> None:
    entry = await desk.place(desk.limit())
    same = {"broker_order_id": entry.tag}
    resting = row(entry, status=OrderStatus.PLACED, filled_quantity=Decimal(0), **same)
    assert await settle(desk, resting) == []
    (part,) = await settle(
        desk, row(entry, status=OrderStatus.PARTIALLY_FILLED, filled_quantity=Decimal(4), **same)
    )
    assert (part.state, part.filled_quantity, part.late) == (EntryState.PARTIALLY_FILLED, 4, False)
    assert await settle(desk, resting) == []  # a read that lags
    (full,) = await settle(desk, row(entry, **same))
    assert full.state is EntryState.FILLED
    assert await latches(desk) == []


async def test_an_order_in_doubt_is_left_to_the_resolver(desk: Desk) -> None:
    desk.broker.answers.append(Outcome(state=EntryState.UNKNOWN))
    entry = await desk.place(desk.signal())
    assert await settle(desk, row(entry)) == []
    assert (await desk.entry(entry.signal)).state is EntryState.UNKNOWN


async def test_the_latch_is_in_kafka_before_it_is_in_the_store(desk: Desk) -> None:
    entry = await ended(desk, EntryState.LOST)
    calls = Calls()
    tapped = Strays(
        desk.topics,
        cast("Any", Through("journal", desk.journal, calls)),
        desk.clock,
        lambda: desk.resources.feeds["demo"].instruments,
    )
    producer: Any = Through("producer", desk.producer, calls)
    await tapped.settle(desk.lease, book(0, [row(entry)]), producer)
    assert calls.names == ["journal.find_tags", "journal.get_many", "producer.send", "journal.correct"]
    change = event_of(desk.records[-1]).data
    assert isinstance(change, ControlChanged)
    assert (change.latch_id, change.action, change.set_by) == (f"late-{entry.tag}", "set", "order-tracker")


async def test_a_stale_lease_corrects_nothing(desk: Desk) -> None:
    """[G_LEASE]"""
    entry = await ended(desk, EntryState.LOST)
    await desk.take_over()
    desk.lease -= 1
    with pytest.raises(FencedError):
        await settle(desk, row(entry))
    assert await latches(desk) == []


async def test_what_contradicts_what(desk: Desk) -> None:
    entry = await desk.place(desk.signal())  # FILLED, all of it
    assert not contradicts(entry, Outcome(state=EntryState.PLACED))
    lost = replace(entry, state=EntryState.LOST, filled_quantity=Decimal(0))
    assert contradicts(lost, Outcome(state=EntryState.PLACED))
    assert not contradicts(lost, Outcome(state=EntryState.FAILED))
    assert contradicts(lost, Outcome(state=EntryState.FAILED, filled_quantity=Decimal(1)))
    resting = replace(entry, state=EntryState.PLACED, filled_quantity=Decimal(0))
    assert not contradicts(resting, Outcome(state=EntryState.FILLED, filled_quantity=Decimal(10)))


# ------------------------------------------------------------------------------------------ round trips


def noted(desk: Desk) -> tuple[Strays, Calls]:
    calls = Calls()
    journal: Any = Through("journal", desk.journal, calls)
    instruments = desk.resources.feeds["demo"].instruments
    return Strays(desk.topics, journal, desk.clock, lambda: instruments), calls


async def test_all_rows_are_asked_for_at_once(desk: Desk) -> None:
    rested = [await desk.place(desk.limit(n)) for n in (1, 2, 3)]
    nothing: dict[str, Any] = {"status": OrderStatus.PLACED, "filled_quantity": Decimal(0)}
    rows = [row(entry, broker_order_id=entry.broker_order_id, **nothing) for entry in rested]
    rows += [row(entry, tag="", broker_order_id=f"x{n}") for n, entry in enumerate(rested)]
    judge, calls = noted(desk)
    await judge.settle(desk.lease, book(0, rows), desk.producer)
    assert calls.names == ["journal.find_tags", "journal.get_many"] + ["journal.orphan"] * 3


async def test_a_row_that_is_over_is_not_asked_for_until_it_changes(desk: Desk) -> None:
    entry = await desk.place(desk.signal())
    filled = row(entry, broker_order_id=entry.broker_order_id)
    judge, calls = noted(desk)
    asked: list[tuple[str, ...]] = []
    find_tags = desk.journal.find_tags

    async def asking(*tags: str) -> dict[str, JournalEntry]:
        asked.append(tags)
        return await find_tags(*tags)

    desk.journal.find_tags = asking  # type: ignore[method-assign]
    for _ in range(3):
        await judge.settle(desk.lease, book(0, [filled]), desk.producer)
    assert calls.count("journal.find_tags") == 3
    assert asked == [(filled.tag,), (), ()]
    more = replace(filled, filled_quantity=filled.filled_quantity + 1, quantity=filled.quantity)
    (corrected,) = await judge.settle(desk.lease, book(0, [more]), desk.producer)
    assert (corrected.late, corrected.filled_quantity) == (True, filled.filled_quantity + 1)


@pytest.mark.parametrize("how", ["forget", "lease", "gone for a while"])
async def test_what_is_remembered_is_forgotten(desk: Desk, how: str) -> None:
    """A store that has lost its tail may not know the order any more; each of its runs has leases of its own."""
    entry = await desk.place(desk.signal())
    filled = row(entry, broker_order_id=entry.broker_order_id)
    judge, _ = noted(desk)
    await judge.settle(desk.lease, book(0, [filled]), desk.producer)
    assert judge._settled == {entry.broker_order_id: filled}
    if how == "gone for a while":
        await judge.settle(desk.lease, book(0, []), desk.producer)
    desk.database.restart(EMPTY_IMAGE)
    await desk.take_over()
    judge._under = desk.lease + (how == "lease")
    if how == "forget":
        judge.forget()
    (booked,) = await judge.settle(desk.lease, book(0, [filled]), desk.producer)
    assert booked.signal_id == f"external:{filled.broker_order_id}"


async def test_a_row_of_an_order_in_doubt_is_looked_at_again(desk: Desk) -> None:
    """Its engine may yet say that the broker refused it."""
    desk.broker.answers.append(Outcome(state=EntryState.UNKNOWN))
    entry = await desk.place(desk.signal())
    taken = row(entry)
    judge, _ = noted(desk)
    assert await judge.settle(desk.lease, book(0, [taken]), desk.producer) == []
    await desk.journal.resolve(desk.lease, entry.signal_id, REFUSED)
    (corrected,) = await judge.settle(desk.lease, book(0, [taken]), desk.producer)
    assert (corrected.state, corrected.late) == (EntryState.FILLED, True)


async def test_two_orders_of_one_tag_in_one_reading_are_two(desk: Desk) -> None:
    """The first takes the entry; the second is judged by what it is then."""
    entry = await ended(desk, EntryState.LOST)
    rows = [row(entry, broker_order_id="b1"), row(entry, broker_order_id="b2")]
    corrected, booked = await settle(desk, *rows)
    assert (corrected.signal_id, corrected.broker_order_id) == (entry.signal_id, "b1")
    assert booked.signal_id == "external:b2"
    assert sorted(await latches(desk)) == [f"late-{entry.tag}", "stray-b2"]
