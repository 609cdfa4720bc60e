import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.cli.durations import parse_duration
from alpha_panda.errors import UserInputError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("30", 30), ("1.5m", 90), ("2h", 7200), ("500ms", 0.5), (" 5s ", 5), ("0.25", 0.25)],
)
def test_durations_as_people_type_them(text: str, seconds: float) -> None:
    assert parse_duration(text, "--duration") == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "-5s", "0", "0s", "5 s", "1d", "five", "1e3", "nan", "inf", "5s5s"]
)
def test_anything_else_is_refused_with_the_option_and_a_remedy(text: str) -> None:
    with pytest.raises(UserInputError) as caught:
        parse_duration(text, "--duration")
    assert str(caught.value).startswith(f"--duration {text!r} is not a duration")
    assert "30s" in str(caught.value)


@given(st.integers(1, 10**6), st.sampled_from(["ms", "s", "m", "h"]))
def test_units_are_multiples_of_seconds(number: int, unit: str) -> None:
    factor = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[unit]
    assert parse_duration(f"{number}{unit}", "x") == pytest.approx(number * factor)
