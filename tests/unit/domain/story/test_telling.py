"""The story of an order, from whatever is left of its events."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from alpha_panda.contracts.codes import DESCRIPTIONS, REMEDIES, Code
from alpha_panda.contracts.enums import EntryState, EventType, OrderStatus, Verdict
from alpha_panda.contracts.events import OrderUpdate
from alpha_panda.domain.ids import broker_tag
from alpha_panda.domain.story.evidence import Evidence, orders_named
from alpha_panda.domain.story.model import Ending, Story
from alpha_panda.domain.story.steps import BEGIN, REFUSED, SILENT
from alpha_panda.domain.story.telling import tell
from contracts.samples import decision, entry
from unit.story_kit import (
    AFTER,
    ANSWERED_AT,
    BEFORE,
    BEGUN_AT,
    CAUSE,
    DECIDED_AT,
    MS,
    SIGNAL_AT,
    T0,
    A,
    book,
    cancel,
    evidence,
    filled,
    raw,
    rejected,
    signal,
    told,
    validated,
)

D = Decimal


def story(found: Evidence) -> Story:
    made = tell(found)
    assert made is not None
    return made


# ------------------------------------------------------------------------------------------------- the whole


def test_a_filled_order_is_told_from_its_tick_to_the_book() -> None:
    made = story(filled())
    assert made.ending is Ending.FILLED
    assert (made.order.signal_id, made.order.order_id, made.order.account) == (A, broker_tag(A), "paper")
    assert made.tick is not None
    assert (made.tick.price, made.tick.bid, made.tick.feed, made.tick.mode) == (
        2503.0,
        2502.95,
        "demo",
        "simulated",
    )
    assert (made.tick.record, made.tick.age) == (CAUSE, SIGNAL_AT - T0)
    assert made.signal is not None
    assert (made.signal.reason, made.signal.state) == ("it rose", {"return": "12 bps"})
    assert made.decision is not None
    assert (made.decision.passed, len(made.decision.checks)) == (True, 3)
    assert made.price is not None
    assert (made.price.price, made.price.age) == (D("2503.00"), 4 * MS)
    assert [(step.what, step.by, step.after) for step in made.steps] == [
        (BEGIN, "journal", None),
        ("FILLED 10 at 2504.25, fees 7.5128", "engine/paper", 40 * MS),
    ]
    assert made.fill is not None
    assert (made.fill.quantity, made.fill.amount, made.fill.slippage) == (D(10), D("25042.50"), D("1.25"))
    assert (made.why, made.missing, made.notes) == (None, (), ())


def test_each_hop_is_the_time_between_its_neighbours() -> None:
    hops = {hop.name: hop.span for hop in story(filled()).hops}
    assert hops == {
        "tick → signal": 3 * MS,
        "signal → decision": 4 * MS,
        "decision → order": 2 * MS,
        "order → answer": 40 * MS,
        "tick → answer": 49 * MS,
    }


def test_a_hop_whose_end_is_not_known_is_left_out_and_its_neighbours_are_joined() -> None:
    older = told(begun_at=0)  # of a release that did not tell it
    hops = {hop.name: hop.span for hop in story(evidence(raw(), validated(), older)).hops}
    assert hops["decision → answer"] == ANSWERED_AT - DECIDED_AT
    assert "decision → order" not in hops


@given(st.permutations(range(6)))
def test_the_order_of_the_events_and_repeats_don_t_matter(order: list[int]) -> None:
    events = [
        raw(),
        validated(),
        told(OrderStatus.PLACED, "0"),
        told(revision=2, ts=ANSWERED_AT + MS),
        raw(),
        validated(),
    ]
    assert story(evidence(*(events[n] for n in order))) == story(evidence(*events))


# ---------------------------------------------------------------------------------------------- how it ended


def test_a_rejected_one_says_why_and_what_to_do() -> None:
    made = story(evidence(raw(), rejected()))
    assert made.ending is Ending.REJECTED
    assert made.why is not None
    assert (made.why.code, made.why.meaning, made.why.remedy) == (
        Code.MAX_ORDER_QUANTITY,
        DESCRIPTIONS[Code.MAX_ORDER_QUANTITY],
        REMEDIES[Code.MAX_ORDER_QUANTITY],
    )
    assert (made.steps, made.fill, made.book, made.price) == ((), None, None, None)


@pytest.mark.parametrize(
    ("code", "sent"),
    [
        (Code.PRICE_STALE, False),
        (Code.SESSION_CLOSED, False),
        (Code.TRADING_HALTED, False),
        (Code.BROKER_REJECTED, True),
        (Code.BROKER_UNREACHABLE, True),
    ],
)
def test_a_failed_one_says_whether_the_broker_was_called(code: Code, sent: bool) -> None:
    failed = told(OrderStatus.FAILED, "0", code=code, message="no")
    made = story(evidence(raw(), validated(), failed))
    assert made.ending is Ending.FAILED
    assert made.why is not None
    assert (made.why.code, made.why.message, made.why.remedy) == (code, "no", REMEDIES[code])
    assert made.steps[0].what == (BEGIN if sent else REFUSED)


def test_what_the_engine_never_told_was_in_doubt() -> None:
    found = told(source="order-tracker/paper", revision=2)
    assert [step.what for step in story(evidence(raw(), validated(), found)).steps][:2] == [BEGIN, SILENT]
    assert SILENT not in [step.what for step in story(filled()).steps]


def test_an_order_in_doubt_is_told_from_the_journal_alone() -> None:
    doubtful = entry(
        signal(), EntryState.UNKNOWN, created_at=BEGUN_AT, updated_at=ANSWERED_AT, message="time-out"
    )
    made = story(evidence(raw(), validated(), entry=doubtful))
    assert made.ending is Ending.IN_DOUBT
    assert made.why is not None
    assert (made.why.code, made.why.message) == (Code.IN_DOUBT, "time-out")
    assert "orders resolve" in made.why.remedy
    assert "this order" in made.why.meaning
    assert [step.what for step in made.steps] == [BEGIN, "UNKNOWN: in doubt"]


def test_the_journal_is_newer_than_the_events() -> None:
    placed = told(OrderStatus.PLACED, "0")
    assert story(evidence(raw(), validated(), placed)).ending is Ending.RESTING
    gone = entry(signal(), EntryState.CANCELLED, code=Code.SESSION_ENDED)
    made = story(evidence(raw(), validated(), placed, entry=gone))
    assert made.ending is Ending.CANCELLED
    assert made.why is not None
    assert made.why.code is Code.SESSION_ENDED


def test_a_correction_has_the_last_word() -> None:
    lost = told(OrderStatus.LOST, "0", code=Code.ORDER_LOST)
    late = told(revision=2, ts=ANSWERED_AT + 60_000 * MS, correction=True)
    made = story(evidence(raw(), validated(), lost, late))
    assert made.ending is Ending.FILLED
    assert made.steps[-1].what.startswith("correction: FILLED")


@pytest.mark.parametrize(
    ("events", "ending", "missing"),
    [
        ((raw(),), Ending.UNDECIDED, "risk's decision"),
        ((raw(), validated()), Ending.VALIDATED, "no engine has begun it"),
    ],
)
def test_one_that_got_stuck_says_where(events: Any, ending: Ending, missing: str) -> None:
    made = story(evidence(*events, journal_read=True))
    assert made.ending is ending
    assert any(missing in text and "alpha-panda status" in text for text in made.missing)


def test_a_partial_fill_that_was_cancelled_tells_both() -> None:
    part = told(OrderStatus.PARTIALLY_FILLED, "4")
    ended = told(OrderStatus.CANCELLED, "4", revision=2, ts=ANSWERED_AT + MS, code=Code.CANCELLED_BY_STATE)
    made = story(evidence(raw(), validated(), part, ended))
    assert (made.ending, made.fill and made.fill.quantity) == (Ending.CANCELLED, D(4))
    assert made.why is not None
    assert made.why.code is Code.CANCELLED_BY_STATE
    assert made.hops[-1].name == "answer → end"


# -------------------------------------------------------------------------------------------------- cancelling


def test_what_was_asked_about_it_is_among_its_steps() -> None:
    placed = told(OrderStatus.PLACED, "0")
    asked = cancel()
    update = told(
        OrderStatus.FAILED, "0", signal_id=asked.correlation_id, ts=asked.ts + 2 * MS, code=Code.IN_DOUBT
    )
    refusal = replace(update, type=EventType.ORDER_UPDATED)
    may = validated(asked.data, ts=asked.ts + MS)  # type: ignore[arg-type]
    steps = story(evidence(raw(), validated(), placed, asked, may, refusal)).steps
    assert [step.what for step in steps[2:]] == [
        "the strategy asks to cancel it: it fell",
        "the cancellation may go to the broker",
        "not cancelled",
    ]
    assert steps[-1].code is Code.IN_DOUBT


# ------------------------------------------------------------------------------------------- what is missing


def test_a_tick_that_is_gone_is_named_with_what_the_signal_says_of_it() -> None:
    made = story(evidence(raw(), validated(), told(), tick=None))
    assert made.tick is not None
    assert (made.tick.record, made.tick.ts, made.tick.price, made.tick.age) == (CAUSE, T0, None, 3 * MS)
    assert f"the tick {CAUSE}: not kept any more" in made.missing


def test_a_signal_that_an_event_caused_names_the_event() -> None:
    caused = replace(raw(signal(tick_ts=0)), causation_id="e-1")
    made = story(evidence(caused, validated(), tick=None))
    assert made.tick is None
    assert made.signal is not None
    assert made.signal.cause == "event e-1"


def test_a_suppressed_signal_has_its_tick_though_it_was_never_sent() -> None:
    said = replace(rejected(), source="strategy/alpha", causation_id=CAUSE)
    made = story(evidence(said))
    assert made.tick is not None
    assert made.tick.price == 2503.0


def test_without_any_event_the_stores_are_enough() -> None:
    kept = entry(
        signal(), EntryState.FILLED, created_at=BEGUN_AT, quote_price=D(2503), quote_ts=BEGUN_AT - MS
    )
    ruled = decision(signal(), decided_at=DECIDED_AT)
    made = story(Evidence(signal_id=A, account="paper", entry=kept, decision=ruled))
    assert (made.ending, made.order.account) == (Ending.FILLED, "paper")
    assert made.price is not None
    assert made.price.age == MS


def test_a_stored_rejection_is_enough() -> None:
    ruled = decision(signal(), verdict=Verdict.REJECTED, code=Code.SESSION_CLOSED, message="closed")
    assert story(Evidence(signal_id=A, decision=ruled)).ending is Ending.REJECTED


def test_an_order_of_somebody_else_is_told_without_a_signal() -> None:
    theirs = told(external=True, source="order-tracker/paper")
    made = story(evidence(theirs, tick=None))
    assert made.signal is None
    assert [step.what for step in made.steps] == ["FILLED 10 at 2504.25, fees 7.5128"]
    assert made.missing[0].startswith("the signal")


def test_nothing_makes_no_story() -> None:
    assert tell(Evidence(signal_id=A)) is None


# ------------------------------------------------------------------------------------------------------- book


def test_the_book_after_is_the_first_that_knows_of_the_fill() -> None:
    made = story(filled()).book
    assert made is not None
    assert made.before is not None
    assert made.after is not None
    assert (made.position_change, made.cash_change, made.alone) == (D(10), D("-25050.0128"), True)
    assert (made.before.ts, made.before.position) == (BEFORE.ts, 0)
    assert (made.after.ts, made.after.position) == (AFTER.ts, 10)


def test_where_others_traded_in_between_it_says_so() -> None:
    both = book(ANSWERED_AT + 5 * MS, "949900", "20")
    made = story(evidence(raw(), validated(), told(), after=[both])).book
    assert made is not None
    assert not made.alone
    assert made.cash_change == D("-25050.0128")


def test_without_snapshots_its_own_effect_is_still_exact() -> None:
    made = story(evidence(raw(), validated(), told(), before=None, after=[]))
    assert made.book is not None
    assert (made.book.before, made.book.after, made.book.cash_change) == (None, None, D("-25050.0128"))
    assert any("snapshots" in text for text in made.missing)


def test_one_that_can_t_be_folded_is_passed_over_as_risk_does() -> None:
    broken = told(revision=2, ts=ANSWERED_AT + MS)
    assert isinstance(broken.data, OrderUpdate)
    broken = replace(broken, data=replace(broken.data, filled_quantity=D("NaN")))
    made = story(evidence(raw(), validated(), told(), broken)).fill
    assert made is not None
    assert made.quantity == 10


def test_a_correction_has_it_though_the_store_counts_from_less() -> None:
    lost = told(OrderStatus.LOST, "0", revision=5)
    late = told(revision=2, ts=ANSWERED_AT + MS, correction=True)
    assert story(evidence(raw(), validated(), lost, late)).ending is Ending.FILLED


def test_a_few_characters_name_nothing() -> None:
    assert orders_named(raw(), A[:7]) == {}
    assert orders_named(raw(), A[:8]) == {A: False}
    assert orders_named(raw(), A) == {A: True}


def test_without_the_journal_s_word_nobody_says_that_it_was_not_sent() -> None:
    """An order in doubt has no event: that none is there proves nothing."""
    passed = (raw(), validated())
    asked = story(evidence(*passed, journal_read=True))
    assert asked.ending is Ending.VALIDATED
    assert "no engine has begun it" in asked.missing[0]
    unasked = story(evidence(*passed))
    assert unasked.ending is Ending.UNTOLD
    assert "not sent" not in unasked.ending.value.lower()
    assert "whether it was sent, was not read" in unasked.missing[0]


@pytest.mark.parametrize(
    ("journal_read", "said"), [(True, "`alpha-panda status` says why"), (False, "none here")]
)
def test_an_undecided_one_sends_to_the_status_only_where_something_runs(
    *, journal_read: bool, said: str
) -> None:
    (missing,) = story(evidence(raw(), journal_read=journal_read)).missing
    assert said in missing
