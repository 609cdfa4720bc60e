"""Latches as events: one function for whoever sets them."""

from itertools import permutations

import pytest
from msgspec.structs import replace

from alpha_panda.contracts.codec import decode_event, encode_event
from alpha_panda.contracts.enums import EventType, TradingState
from alpha_panda.contracts.events import ControlChanged, Envelope
from alpha_panda.contracts.stored import Latch
from alpha_panda.domain.control_events import CLEARED, SET, Standing, cleared_event, latch_event, latch_key

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
        set_at=LATCH.set_at,
    )
    assert told.id != latch_event(LATCH, "paper").id
    assert decode_event(encode_event(told)) == told


# ------------------------------------------------------------------------------------------------ what stands

LATER = replace(LATCH, set_at=LATCH.set_at + 10)
BEGUN, BEGUN_LATER = latch_event(LATCH, "paper"), latch_event(LATER, "paper")


def ended(latch: Latch, after: int = 5) -> Envelope:
    return cleared_event(latch, "paper", reason="", by="ann", now=latch.set_at + after)


def standing(*events: Envelope) -> tuple[Latch, ...]:
    found = Standing()
    for event in events:
        found.take(event)
    return found.latches


def test_a_latch_stands_from_its_beginning_to_its_end() -> None:
    assert standing() == ()
    assert standing(BEGUN) == standing(BEGUN, BEGUN) == (LATCH,)
    assert standing(BEGUN, ended(LATCH)) == ()


@pytest.mark.parametrize("events", [*permutations([BEGUN, ended(LATCH, 99), BEGUN_LATER])])
def test_an_end_that_comes_late_does_not_end_what_was_set_since(events: tuple[Envelope, ...]) -> None:
    """In whatever order: two have cleared the first one, and one was slow; several topics are read in turn."""
    assert standing(*events) == (LATER,)


@pytest.mark.parametrize("events", [*permutations([BEGUN, BEGUN_LATER, ended(LATER)])])
def test_a_beginning_told_once_more_does_not_bring_back_what_has_ended(events: tuple[Envelope, ...]) -> None:
    assert standing(*events) == ()


def test_an_end_that_does_not_say_of_which_ends_all_before_it() -> None:
    """As they were written before there was `set_at`."""
    old = ended(LATCH)
    assert isinstance(old.data, ControlChanged)
    old = replace(old, data=replace(old.data, set_at=0))
    assert standing(BEGUN, old) == ()
    assert standing(BEGUN, old, BEGUN_LATER) == (LATER,)


def test_what_nobody_knows_ends_nothing() -> None:
    assert isinstance(BEGUN.data, ControlChanged)
    assert standing(BEGUN, replace(BEGUN, data=replace(BEGUN.data, action="paused"))) == (LATCH,)


def test_latches_are_told_apart_by_scope_and_id() -> None:
    others = [replace(LATCH, scope="strategy/s"), replace(LATCH, latch_id="other")]
    events = [latch_event(latch, "paper") for latch in (LATCH, *others)]
    assert standing(*events, ended(LATCH)) == tuple(others)
