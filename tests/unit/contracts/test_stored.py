"""What the stored values answer by themselves."""

from decimal import Decimal

import pytest
from msgspec.structs import replace

from alpha_panda.contracts.enums import EntryState, SignalClass, TradingState
from alpha_panda.contracts.stored import ControlReading, JournalEntry, Latch, OrderFold, order_id_of
from unit.contracts.test_codec import SIGNAL, UPDATE

ACTIVE, REDUCING, HALTED = TradingState


def latch(state: TradingState) -> Latch:
    return Latch(latch_id="l", scope="platform", state=state, reason="", set_by="", set_at=0)


def reading(spec: TradingState | None, *latches: TradingState, expired: bool = False) -> ControlReading:
    found = tuple(latch(state) for state in latches)
    return ControlReading(scope="platform", spec=spec, expired=expired, latches=found)


@pytest.mark.parametrize(
    ("given", "binds", "deliberate"),
    [
        (reading(ACTIVE), ACTIVE, ACTIVE),
        (reading(REDUCING), REDUCING, REDUCING),
        (reading(HALTED), HALTED, HALTED),
        (reading(None), HALTED, ACTIVE),
        (reading(ACTIVE, expired=True), HALTED, ACTIVE),
        (reading(HALTED, expired=True), HALTED, ACTIVE),
        (reading(ACTIVE, REDUCING), REDUCING, REDUCING),
        (reading(REDUCING, ACTIVE), REDUCING, REDUCING),
        (reading(ACTIVE, REDUCING, HALTED), HALTED, HALTED),
        (reading(None, REDUCING), HALTED, REDUCING),
        (reading(ACTIVE, HALTED, expired=True), HALTED, HALTED),
    ],
)
def test_new_orders_fail_closed_resting_ones_obey_what_was_meant(
    given: ControlReading, binds: TradingState, deliberate: TradingState
) -> None:
    """A key that is missing or ran out stops new orders, but takes no protective stop away."""
    assert (given.state, given.deliberate_state) == (binds, deliberate)


def test_an_entry_knows_what_may_still_fill() -> None:
    entry = JournalEntry(
        signal=SIGNAL,
        state=EntryState.PARTIALLY_FILLED,
        signal_class=SignalClass.INCREASING,
        tag="ap",
        revision=0,
        send_by=0,
        updated_at=0,
        correlation_id="",
        causation_id="",
        filled_quantity=Decimal(4),
    )
    assert (entry.signal_id, entry.open_quantity) == ("s1", 6)


@pytest.mark.parametrize(("rank", "terminal"), [(0, False), (1, False), (2, False), (3, True)])
def test_a_fold_is_terminal_by_its_rank(rank: int, terminal: bool) -> None:
    assert OrderFold(rank=rank).terminal is terminal


def test_an_order_is_folded_under_its_signal_or_its_brokers_id() -> None:
    assert order_id_of(UPDATE) == "s1"
    assert order_id_of(replace(UPDATE, signal_id="", broker_order_id="b1")) == "external:b1"
