from decimal import Decimal, Inexact

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.domain.exact import (
    amount_of,
    bounded,
    bounded_amount,
    exact,
    share,
    tidy,
    wide,
)

numbers = st.decimals(allow_nan=False, allow_infinity=False, places=12, min_value=-(10**15), max_value=10**15)


def test_the_default_context_would_round_where_exact_does_not() -> None:
    large, small = Decimal(10) ** 20, Decimal(10) ** -20
    assert large + small == large
    with exact():
        assert large + small - large == small


def test_exact_raises_rather_than_rounds() -> None:
    with exact(), pytest.raises(Inexact):
        _ = Decimal(1) / Decimal(3)


def test_wide_rounds_a_quotient() -> None:
    with wide():
        assert len((Decimal(1) / Decimal(3)).as_tuple().digits) == 200


@pytest.mark.parametrize(
    ("given_text", "expected"),
    [
        ("1000.00", "1000"),
        ("1E+3", "1000"),
        ("-0.0", "0"),
        ("0E-10", "0"),
        ("12.50", "12.5"),
        ("-7.10", "-7.1"),
    ],
)
def test_tidy_has_one_spelling_for_a_value(given_text: str, expected: str) -> None:
    assert str(tidy(Decimal(given_text))) == expected


@given(numbers)
def test_tidy_keeps_the_value(number: Decimal) -> None:
    assert tidy(number) == number


@pytest.mark.parametrize("text", ["NaN", "sNaN", "Infinity", "-Infinity", "1E+31", "1E-41", "1E+999999"])
def test_what_could_not_be_added_exactly_is_not_bounded(text: str) -> None:
    assert not bounded(Decimal(text))


@pytest.mark.parametrize("text", ["0", "9.99E+30", "1E-40", "-12.5"])
def test_ordinary_numbers_are_bounded(text: str) -> None:
    assert bounded(Decimal(text))


def test_the_extremes_multiply_and_add_exactly() -> None:
    longest = Decimal("9" * 31 + "." + "9" * 40)
    with exact():
        product = longest * longest
        assert product * 1000 - product * 999 == product


def test_share_by_hand() -> None:
    assert share(Decimal(100), Decimal(1), Decimal(3)) == Decimal("33.3333333333")
    assert share(Decimal(-100), Decimal(2), Decimal(3)) == Decimal("-66.6666666667")
    assert share(Decimal("1E-15"), Decimal(3), Decimal(3)) == Decimal("1E-15")


def test_an_amount_may_be_a_product_of_two_bounded_numbers_and_no_more() -> None:
    large, fine = Decimal("9" * 31), Decimal("1E-40")
    with exact():
        assert bounded_amount(large * large)
        assert bounded_amount(fine * fine)
        assert not bounded(large * large)
        assert not bounded(fine * fine)
        assert not bounded_amount(large * large * 10)
        assert not bounded_amount(fine * fine / 10)
    assert not bounded_amount(Decimal("NaN"))
    assert not bounded_amount(Decimal("-Infinity"))


@pytest.mark.parametrize(
    ("quantity", "price", "amount", "expected"),
    [
        ("3", "100.67", "302", "302"),  # told: the average is only shown
        ("3", "100.67", None, "302.01"),
        ("3", None, "302", "302"),
        ("0", "5", "7", "0"),  # nothing traded is worth nothing
        ("0", None, None, "0"),
        ("3.000000000001", "100.000000000000000000000001", None, "300.000000000100000000000003000000000001"),
    ],
)
def test_the_traded_amount_is_what_was_told_or_price_times_quantity(
    quantity: str, price: str | None, amount: str | None, expected: str
) -> None:
    told = None if amount is None else Decimal(amount)
    asked = None if price is None else Decimal(price)
    assert amount_of(Decimal(quantity), asked, told) == Decimal(expected)
