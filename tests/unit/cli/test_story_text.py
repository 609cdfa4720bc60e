"""Numbers, spans and messages as a trader reads them."""

from decimal import Decimal

import pytest

from alpha_panda.cli.story_text import money, number, plus, readable, span

MS = 1_000_000


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("0", "0"),
        ("1500", "1,500"),
        ("2503.5", "2,503.50"),
        ("0.7512", "0.7512"),
        ("-2504.6012", "-2,504.6012"),
        ("1E+3", "1,000"),
        ("1E-9", "0.000000001"),
    ],
)
def test_numbers_have_thousands_apart_and_all_their_digits(value: str, text: str) -> None:
    assert number(Decimal(value)) == text


def test_a_float_is_told_as_it_was_typed() -> None:
    assert number(2502.95) == "2,502.95"
    assert money(2503.0) == "2,503.00"


def test_a_change_has_its_sign() -> None:
    assert (plus(Decimal(1), "1"), plus(Decimal(-1), "-1"), plus(Decimal(0), "0")) == ("+1", "-1", "0")


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0.00 ms"),
        (290_000, "0.29 ms"),
        (-3 * MS, "-3.00 ms"),
        (25_600_000, "25.6 ms"),
        (1_500 * MS, "1.5 s"),
        (59_900 * MS, "59.9 s"),
        (125_000 * MS, "2 min 5 s"),
        (-125_000 * MS, "-2 min 5 s"),
        (7_500_000 * MS, "2 h 5 min"),
    ],
)
def test_spans_are_in_the_unit_that_suits_them(ns: int, text: str) -> None:
    assert span(ns) == text


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("the quote is 6100000000 ns old; at most 5000000000", "the quote is 6.1 s old; at most 5 s"),
        ("expired 1500000 ns ago", "expired 1.50 ms ago"),
        ("at most 1000 are allowed", "at most 1000 are allowed"),
    ],
)
def test_spans_in_messages_are_told_as_such(message: str, text: str) -> None:
    assert readable(message) == text
