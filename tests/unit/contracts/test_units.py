"""Seconds to nanoseconds."""

from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.contracts.units import MS_NS, SECOND_NS, nanoseconds


def test_the_units_fit_each_other() -> None:
    assert SECOND_NS == 1000 * MS_NS == nanoseconds(1) == 10**9


def test_a_decimal_fraction_loses_nothing() -> None:
    assert int(1.001 * SECOND_NS) == 1_000_999_999  # what truncating would give
    assert nanoseconds(1.001) == 1_001_000_000


@given(st.integers(0, 10**9))
def test_whole_milliseconds_come_out_whole(milliseconds: int) -> None:
    assert nanoseconds(milliseconds / 1000) == milliseconds * MS_NS
