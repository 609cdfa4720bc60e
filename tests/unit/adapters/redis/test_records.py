"""What is stored comes back as it was, and what scripts compare compares as it should."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.adapters.redis.records import (
    comparable,
    decision_of,
    entry_of,
    packed_decision,
    packed_entry,
    packed_outcome,
)
from alpha_panda.adapters.redis.units import span_us
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, SignalClass, Verdict
from alpha_panda.contracts.stored import JournalEntry, Outcome
from alpha_panda.errors import MisuseError
from contracts.samples import cancel_request, decision, signal

QUANTITIES = st.decimals(
    min_value=0, max_value=Decimal("1e24"), allow_nan=False, allow_infinity=False, places=None
)
SMALL = QUANTITIES.filter(lambda value: -30 <= int(value.as_tuple().exponent) < 30)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
TIMES = st.integers(0, 2**63 - 1)

ENTRIES = st.builds(
    JournalEntry,
    signal=st.builds(signal, TEXTS, strategy=TEXTS, reason=TEXTS, quantity=SMALL, expires_at=TIMES),
    state=st.sampled_from(EntryState),
    signal_class=st.sampled_from(SignalClass),
    tag=TEXTS,
    revision=TIMES,
    send_by=TIMES,
    updated_at=TIMES,
    created_at=TIMES,
    correlation_id=TEXTS,
    causation_id=TEXTS,
    attempt=TEXTS,
    broker_order_id=TEXTS,
    filled_quantity=SMALL,
    average_price=SMALL,
    amount=st.none() | SMALL,
    fees=SMALL,
    triggered=st.booleans(),
    late=st.booleans(),
    quote_price=st.none() | SMALL,
    quote_ts=st.none() | TIMES,
    code=st.none() | st.sampled_from(Code),
    message=TEXTS,
)


@given(ENTRIES)
def test_entry_comes_back_as_it_was(entry: JournalEntry) -> None:
    assert entry_of(packed_entry(entry)) == entry


@pytest.mark.parametrize("of", [signal(), cancel_request()])
def test_decision_comes_back_as_it_was(of: Any) -> None:
    stored = decision(
        of, verdict=Verdict.REJECTED, code=Code.DAILY_LOSS, message="\n\0 é", reference_price=Decimal("0.10")
    )
    assert decision_of(packed_decision(stored)) == stored


@given(ENTRIES)
def test_scripts_see_nothing_but_text(entry: JournalEntry) -> None:
    outcome = Outcome(state=entry.state, filled_quantity=entry.filled_quantity, amount=entry.amount)
    for packed in (packed_entry(entry), packed_outcome(outcome), packed_decision(decision(signal()))):
        assert all(isinstance(value, str) for value in msgspec.msgpack.decode(packed).values())


@given(SMALL, SMALL)
def test_quantities_compare_as_text_as_they_do_as_numbers(first: Decimal, second: Decimal) -> None:
    assert (comparable(first) < comparable(second)) == (first < second)
    assert (comparable(first) == comparable(second)) == (first == second)


@pytest.mark.parametrize("same", ["10", "10.0", "1E1", "10.000000000000000000000000000000", "0010"])
def test_equal_quantities_are_one_text(same: str) -> None:
    assert comparable(Decimal(same)) == comparable(Decimal(10))


def test_zero_has_one_text() -> None:
    assert {comparable(Decimal(zero)) for zero in ("0", "-0", "0.000", "0E+20", "0E+99", "0E-30")} == {
        "0" * 60
    }


@pytest.mark.parametrize("strange", ["-1", "NaN", "Infinity", "1E-31", "1E30", "1E31", "-0.5"])
def test_quantity_that_cannot_be_compared_is_refused(strange: str) -> None:
    with pytest.raises(MisuseError):
        comparable(Decimal(strange))


@given(st.integers(0, 2**62), st.integers(0, 2**52))
def test_clock_of_whole_microseconds_reaches_a_span_when_it_reaches_the_nanoseconds(
    ns: int, now_us: int
) -> None:
    assert (now_us >= span_us(ns)) == (now_us * 1_000 >= ns)
