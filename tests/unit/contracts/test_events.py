"""Properties of the payloads that others rely on."""

import pytest

from alpha_panda.contracts.enums import EntryState, OrderStatus, Side, StatusRank, TradingState
from alpha_panda.contracts.events import PAYLOADS, Tick, TickBatch, order_key
from unit.contracts.test_codec import CANCEL, SIGNAL, UPDATE


def test_an_order_and_its_cancel_travel_under_one_key() -> None:
    assert SIGNAL.key == CANCEL.key == order_key("m", 738561) == "m:738561"


@pytest.mark.parametrize("value", [SIGNAL, CANCEL, UPDATE])
def test_events_are_immutable(value: object) -> None:
    with pytest.raises(AttributeError):
        value.signal_id = "other"  # type: ignore[attr-defined]


def test_payloads_say_by_default_what_is_common() -> None:
    assert (UPDATE.external, UPDATE.fees, UPDATE.revision) == (False, 0, 0)
    assert (SIGNAL.closing, SIGNAL.trigger_price, SIGNAL.reason) == (False, None, "")


def test_every_payload_is_a_frozen_struct_without_shared_defaults() -> None:
    for payload in PAYLOADS.values():
        assert payload.__struct_config__.frozen  # type: ignore[attr-defined]


def test_ticks_are_arrays_that_the_garbage_collector_leaves_alone() -> None:
    for struct in (Tick, TickBatch):
        assert struct.__struct_config__.array_like
        assert not struct.__struct_config__.gc


def test_sides_have_signs() -> None:
    assert [(side, side.sign, side.opposite) for side in Side] == [
        (Side.BUY, 1, Side.SELL),
        (Side.SELL, -1, Side.BUY),
    ]


def test_the_strictest_state_binds_and_none_is_halted() -> None:
    active, reducing, halted = TradingState
    assert TradingState.strictest(active, reducing) is reducing
    assert TradingState.strictest(reducing, halted, active) is halted
    assert TradingState.strictest() is halted


def test_stages_of_an_order() -> None:
    assert [status.rank for status in OrderStatus] == [1, 2, 3, 3, 3, 3]
    assert [status for status in OrderStatus if status.terminal] == list(OrderStatus)[2:]
    assert StatusRank.PLACED < StatusRank.PARTIAL < StatusRank.TERMINAL


@pytest.mark.parametrize("state", list(EntryState))
def test_an_entry_is_in_doubt_or_rests_or_has_ended(state: EntryState) -> None:
    assert [state.in_doubt, state.resting, state.terminal].count(True) == 1
    if state.in_doubt:
        with pytest.raises(ValueError, match=state.value):
            state.order_status  # noqa: B018 - it is the property that raises
    else:
        assert state.order_status.terminal is state.terminal
