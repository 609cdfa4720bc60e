"""What Kafka's events make of a journal that forgot: pure, so each rule is a table of events."""

from decimal import Decimal
from itertools import permutations

from msgspec.structs import replace

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, EventType, OrderStatus, OrderType, Side, SignalClass
from alpha_panda.contracts.events import Envelope, OrderUpdate, RejectedSignal, ValidatedSignal
from alpha_panda.contracts.stored import JournalEntry, Outcome
from alpha_panda.domain.ids import broker_tag
from alpha_panda.domain.order_events import order_event, order_update
from alpha_panda.order_tracker.rebuild import Rebuild
from alpha_panda.runtime.records import event_of
from unit.engine.desk import Desk

NOW, SEND_BY = 1_000, 6_000


def rebuilt(*events: Envelope) -> list[JournalEntry]:
    rebuild = Rebuild()
    for event in events:
        rebuild.add(event)
    return rebuild.entries(NOW, SEND_BY) + rebuild.refusals(NOW)


def about(entry: JournalEntry, **changes: object) -> Envelope:
    return order_event(replace(entry, **changes), "paper", "engine/paper")


async def test_a_validated_id_without_an_event_is_unknown_from_now_on(desk: Desk) -> None:
    """[F_REBUILD, F_RBS]"""
    signal = desk.signal()
    (entry,) = rebuilt(event_of(await desk.validated(signal)))
    assert (entry.state, entry.send_by, entry.updated_at) == (EntryState.UNKNOWN, SEND_BY, NOW)
    assert (entry.signal, entry.tag) == (signal, broker_tag(signal.signal_id))
    assert entry.signal_class is SignalClass.INCREASING
    assert entry.created_at == desk.clock.now()  # when it was decided: a DAY order does not begin a new life


async def test_an_event_settles_with_all_that_it_tells(desk: Desk) -> None:
    validated = await desk.validated(desk.signal())
    await desk.engine().handle([validated])
    (told,) = desk.events()
    (entry,) = rebuilt(event_of(validated), told)
    kept = await desk.entry(desk.signal())
    assert order_update(entry) == told.data
    for name in ("state", "revision", "filled_quantity", "average_price", "amount", "fees", "quote_ts"):
        assert getattr(entry, name) == getattr(kept, name), name


async def test_an_order_is_as_old_as_its_event_says_so_that_it_is_told_the_same_again(desk: Desk) -> None:
    validated = event_of(await desk.validated(desk.signal()))
    begun = replace(await desk.place(desk.signal()), created_at=validated.ts + 7)
    (entry,) = rebuilt(validated, about(begun))
    assert entry.created_at == begun.created_at
    assert order_update(entry) == order_update(begun)
    (older,) = rebuilt(validated, about(begun, created_at=0))  # of a release that did not tell it
    assert older.created_at == validated.ts


async def test_the_event_that_tells_most_counts_in_whatever_order(desk: Desk) -> None:
    validated = event_of(await desk.validated(desk.limit()))
    entry = await desk.place(desk.limit())
    events = [
        validated,
        about(entry),
        about(entry, state=EntryState.PARTIALLY_FILLED, filled_quantity=Decimal(4), revision=2),
        about(entry, state=EntryState.CANCELLED, filled_quantity=Decimal(7), revision=3),
    ]
    for order in permutations(events):
        (found,) = rebuilt(*order)
        assert (found.state, found.filled_quantity, found.revision) == (EntryState.CANCELLED, 7, 3)


async def test_a_correction_counts_most(desk: Desk) -> None:
    signal = desk.signal()
    validated = event_of(await desk.validated(signal))
    entry = await desk.place(signal)
    lost = about(entry, state=EntryState.LOST, filled_quantity=Decimal(0), revision=1)
    late = about(entry, state=EntryState.PLACED, filled_quantity=Decimal(0), revision=2, late=True)
    for order in ((lost, late), (late, lost)):
        (found,) = rebuilt(validated, *order)
        assert (found.state, found.late, found.revision) == (EntryState.PLACED, True, 2)


async def test_lost_comes_back_with_its_code(desk: Desk) -> None:
    signal = desk.signal()
    validated = event_of(await desk.validated(signal))
    entry = await desk.place(signal)
    (found,) = rebuilt(validated, about(entry, state=EntryState.LOST, filled_quantity=Decimal(0)))
    assert (found.state, found.code) == (EntryState.LOST, Code.ORDER_LOST)


async def test_a_cancel_refused_while_in_doubt_does_not_make_an_order_rest(desk: Desk) -> None:
    """What the engine says of a cancel is about the request, not the order."""

    desk.broker.answers.append(Outcome(state=EntryState.UNKNOWN))
    order = desk.limit()
    validated = await desk.validated(order)
    await desk.engine().handle([validated])
    request = await desk.validated(desk.cancel_request(order))
    await desk.engine().handle([request])
    (entry,) = rebuilt(event_of(validated), event_of(request), *desk.events())
    assert entry.state is EntryState.UNKNOWN


async def test_a_rejection_settles_but_an_order_event_counts_more(desk: Desk) -> None:
    signal = desk.signal()
    validated = event_of(await desk.validated(signal))
    rejected = desk.event(
        EventType.REJECTED_SIGNAL,
        signal,
        RejectedSignal(original_signal=signal, code=Code.RATE_LIMIT, message="too many", decided_at=1),
    )
    (entry,) = rebuilt(validated, rejected)
    assert (entry.state, entry.code, entry.message) == (EntryState.FAILED, Code.RATE_LIMIT, "too many")
    filled = about(await desk.place(signal))
    for order in ((rejected, filled), (filled, rejected)):
        (entry,) = rebuilt(validated, *order)
        assert entry.state is EntryState.FILLED


async def test_an_order_event_alone_makes_no_entry(desk: Desk) -> None:
    """Without its decision the signal is not known; what the broker has is found by its tag."""
    assert rebuilt(about(await desk.place(desk.signal()))) == []


async def test_what_was_rejected_is_failed(desk: Desk) -> None:
    signal = desk.signal()
    rejected = RejectedSignal(original_signal=signal, code=Code.RATE_LIMIT, message="many", decided_at=7)
    rebuild = Rebuild()
    rebuild.add(desk.event(EventType.REJECTED_SIGNAL, signal, rejected))
    (entry,) = rebuild.refusals(NOW)
    assert (entry.state, entry.code, entry.message) == (EntryState.FAILED, Code.RATE_LIMIT, "many")
    assert (entry.signal_class, entry.created_at) == (SignalClass.INCREASING, 7)
    assert rebuild.refused == [signal.signal_id]
    assert rebuild.told([entry]) == {signal.signal_id}


async def test_a_rejected_cancel_is_no_order(desk: Desk) -> None:
    request = desk.cancel_request(desk.signal())
    rejected = RejectedSignal(original_signal=request, code=Code.UNKNOWN_ORDER, message="", decided_at=7)
    assert rebuilt(desk.event(EventType.REJECTED_SIGNAL, request, rejected)) == []


async def test_orders_that_are_not_ours_say_nothing_of_ours(desk: Desk) -> None:
    signal = desk.signal()
    validated = event_of(await desk.validated(signal))
    told = about(await desk.place(signal))
    assert isinstance(told.data, OrderUpdate)
    foreign = Envelope(
        **{name: getattr(told, name) for name in told.__struct_fields__ if name != "data"},
        data=replace(told.data, external=True),
    )
    (entry,) = rebuilt(validated, foreign)
    assert entry.state is EntryState.UNKNOWN


async def test_a_stop_that_filled_in_part_was_reached(desk: Desk) -> None:
    """Events don't tell a trigger; forgotten, the rest of the order would wait for it again."""
    stop = desk.signal(side=Side.SELL, order_type=OrderType.STOP, trigger_price=Decimal(2400))
    validated = event_of(await desk.validated(stop))
    entry = await desk.place(stop)
    part = about(entry, state=EntryState.PARTIALLY_FILLED, filled_quantity=Decimal(4))
    assert [found.triggered for found in rebuilt(validated, part)] == [True]
    assert [found.triggered for found in rebuilt(validated, about(entry))] == [False]


async def test_entries_come_in_the_order_of_validation(desk: Desk) -> None:
    signals = [desk.signal(n) for n in (3, 1, 2)]
    events = [event_of(await desk.validated(signal)) for signal in signals]
    assert [entry.signal for entry in rebuilt(*events)] == signals
    assert all(isinstance(event.data, ValidatedSignal) for event in events)


def test_every_status_is_a_state() -> None:
    assert {EntryState(status.value) for status in OrderStatus} == {s for s in EntryState if not s.in_doubt}
