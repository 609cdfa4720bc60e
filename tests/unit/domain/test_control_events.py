"""Latches as events: one function for whoever sets them."""

from msgspec.structs import replace

from alpha_panda.contracts.codec import decode_event, encode_event
from alpha_panda.contracts.enums import EventType, TradingState
from alpha_panda.contracts.events import ControlChanged
from alpha_panda.contracts.stored import Latch
from alpha_panda.domain.control_events import CLEARED, SET, cleared_event, latch_event, latch_key

LATCH = Latch(
    latch_id="daily-loss-2026-01-05",
    scope="account/paper",
    state=TradingState.REDUCING,
    reason="lost too much",
    set_by="risk",
    set_at=1_767_600_000_000_000_000,
)


def test_it_says_all_that_the_latch_does() -> None:
    event = latch_event(LATCH, "paper")
    assert (event.type, event.account, event.source) == (EventType.CONTROL_CHANGED, "paper", "risk/paper")
    assert (event.ts, event.key) == (LATCH.set_at, LATCH.scope)
    assert event.data == ControlChanged(
        scope=LATCH.scope,
        latch_id=LATCH.latch_id,
        state=LATCH.state,
        action=SET,
        reason=LATCH.reason,
        set_by=LATCH.set_by,
    )
    assert decode_event(encode_event(event)) == event


def test_the_same_latch_is_told_in_the_same_bytes() -> None:
    assert encode_event(latch_event(LATCH, "paper")) == encode_event(latch_event(replace(LATCH), "paper"))


def test_another_scope_id_or_time_is_another_event() -> None:
    others = (
        replace(LATCH, scope="strategy/momentum"),
        replace(LATCH, latch_id="drawdown-2026-01-05"),
        replace(LATCH, set_at=LATCH.set_at + 1),
    )
    ids = {latch_event(latch, "paper").id for latch in (LATCH, *others)}
    assert len(ids) == 4


def test_the_key_is_the_latch_whenever_it_was_set() -> None:
    assert latch_key(LATCH) == "account/paper/daily-loss-2026-01-05"
    assert latch_key(replace(LATCH, set_at=0)) == latch_key(LATCH)


def test_a_clearing_says_who_and_why_and_is_the_last_word_on_its_key() -> None:
    told = cleared_event(LATCH, "paper", reason="limit raised", by="ann", now=LATCH.set_at + 5)
    assert (told.type, told.account, told.source) == (EventType.CONTROL_CHANGED, "paper", "ann/paper")
    assert (told.ts, told.causation_id) == (LATCH.set_at + 5, latch_event(LATCH, "paper").id)
    assert told.data == ControlChanged(
        scope=LATCH.scope,
        latch_id=LATCH.latch_id,
        state=LATCH.state,
        action=CLEARED,
        reason="limit raised",
        set_by="ann",
    )
    assert told.id != latch_event(LATCH, "paper").id
    assert decode_event(encode_event(told)) == told
