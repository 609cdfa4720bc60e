"""Entries to events: one for each state, the same revision always to the byte."""

from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from alpha_panda.contracts.codec import decode_event, encode_event
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import (
    EntryState,
    EventType,
    OrderStatus,
    OrderType,
    Side,
    SignalClass,
    Validity,
)
from alpha_panda.contracts.events import OrderUpdate, Signal
from alpha_panda.contracts.stored import JournalEntry
from alpha_panda.contracts.topics import TopicMap
from alpha_panda.domain.order_events import order_event, order_topic, order_update

SIGNAL = Signal(
    signal_id="s1",
    strategy_id="m",
    strategy_uid="u",
    instrument_token=7,
    symbol="X:A",
    side=Side.BUY,
    order_type=OrderType.STOP_LIMIT,
    quantity=Decimal(10),
    validity=Validity.DAY,
    expires_at=99,
    limit_price=Decimal("100.5"),
    trigger_price=Decimal(100),
)


def entry(state: EntryState = EntryState.FILLED, **changes: Any) -> JournalEntry:
    made = JournalEntry(
        signal=SIGNAL,
        state=state,
        signal_class=SignalClass.REDUCING,
        tag="aptag",
        revision=3,
        send_by=50,
        updated_at=40,
        created_at=30,
        correlation_id="corr",
        causation_id="cause",
        attempt="a1",
        broker_order_id="b1",
        filled_quantity=Decimal(10),
        average_price=Decimal("100.25"),
        fees=Decimal("0.5"),
        quote_price=Decimal(100),
        quote_ts=29,
        code=Code.NO_FILL,
        message="why",
    )
    return replace(made, **changes)


TYPES = {
    EntryState.PLACED: (EventType.ORDER_PLACED, "a.orders.submitted"),
    EntryState.PARTIALLY_FILLED: (EventType.ORDER_FILLED, "a.orders.filled"),
    EntryState.FILLED: (EventType.ORDER_FILLED, "a.orders.filled"),
    EntryState.CANCELLED: (EventType.ORDER_CANCELLED, "a.orders.cancelled"),
    EntryState.FAILED: (EventType.ORDER_FAILED, "a.orders.failed"),
    EntryState.LOST: (EventType.ORDER_FAILED, "a.orders.failed"),
}


@pytest.mark.parametrize("state", list(TYPES))
def test_each_state_has_its_event_and_topic(state: EntryState) -> None:
    event = order_event(entry(state), "a", "engine/a")
    assert (event.type, order_topic(TopicMap("a"), event.type)) == TYPES[state]
    assert isinstance(event.data, OrderUpdate)
    assert (event.data.status, event.data.rank) == (OrderStatus(state.value), OrderStatus(state.value).rank)


@pytest.mark.parametrize("state", [EntryState.SENDING, EntryState.UNKNOWN])
def test_of_an_entry_in_doubt_there_is_nothing_to_tell(state: EntryState) -> None:
    with pytest.raises(ValueError, match="nothing to tell yet"):
        order_event(entry(state), "a", "")
    assert {*TYPES, EntryState.SENDING, EntryState.UNKNOWN} == set(EntryState)


def test_the_envelope_follows_from_the_entry() -> None:
    event = order_event(entry(), "a", "engine/a")
    assert (event.ts, event.source, event.account, event.key) == (40, "engine/a", "a", "m:7")
    assert (event.correlation_id, event.causation_id, event.version) == ("corr", "cause", 1)


def test_the_payload_says_all_that_the_entry_knows() -> None:
    assert order_update(entry()) == OrderUpdate(
        signal_id="s1",
        order_id="aptag",
        strategy_id="m",
        instrument_token=7,
        symbol="X:A",
        side=Side.BUY,
        order_type=OrderType.STOP_LIMIT,
        quantity=Decimal(10),
        validity=Validity.DAY,
        status=OrderStatus.FILLED,
        rank=3,
        limit_price=Decimal("100.5"),
        trigger_price=Decimal(100),
        price=Decimal("100.25"),
        filled_quantity=Decimal(10),
        fees=Decimal("0.5"),
        signal_class=SignalClass.REDUCING,
        revision=3,
        broker_order_id="b1",
        quote_price=Decimal(100),
        quote_ts=29,
        code=Code.NO_FILL,
        message="why",
        begun_at=30,
    )


def test_what_filled_nothing_has_no_price() -> None:
    assert order_update(entry(EntryState.PLACED, filled_quantity=Decimal(0))).price is None


def test_the_same_revision_is_the_same_event_to_the_byte() -> None:
    """Whoever tells it again, later, or after a restart from what is stored."""
    made = encode_event(order_event(entry(), "a", "engine/a"))
    assert encode_event(order_event(entry(), "a", "engine/a")) == made
    assert encode_event(decode_event(made)) == made


def test_another_revision_or_type_is_another_event() -> None:
    ids = {
        order_event(entry(state, revision=revision), "a", "").id
        for state in (EntryState.PLACED, EntryState.CANCELLED)
        for revision in (1, 2)
    }
    assert len(ids) == 4


@pytest.mark.parametrize("state", list(TYPES))
def test_a_correction_is_an_event_of_its_own(state: EntryState) -> None:
    """Only the order-tracker makes entries late; all their later events are corrections too."""
    event = order_event(entry(state, late=True), "a", "order-tracker/a")
    assert event.type is EventType.ORDER_UPDATED
    assert isinstance(event.data, OrderUpdate)
    assert event.data.correction
    assert order_topic(TopicMap("a"), event.type) == "a.orders.updated"


@pytest.mark.parametrize(("signal_id", "external"), [("external:b1", True), ("s1", False)])
def test_an_order_nobody_signalled_is_external(signal_id: str, external: bool) -> None:
    assert order_update(entry(signal=replace(SIGNAL, signal_id=signal_id))).external is external


def test_only_order_events_have_an_order_topic() -> None:
    with pytest.raises(KeyError):
        order_topic(TopicMap("a"), EventType.TRADING_SIGNAL)
