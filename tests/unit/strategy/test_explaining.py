"""A strategy's own words go with its signal: bounded, and never in its way."""

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.contracts.events import MAX_STATE_BYTES, MAX_STATE_ENTRIES, MAX_STATE_TEXT
from alpha_panda.strategy.explaining import explained, text_of, within_bounds

texts = st.text(max_size=300)


class Says:
    def __init__(self, what: Any) -> None:
        self._what = what

    def explain(self, token: int) -> Mapping[str, object]:
        if isinstance(self._what, BaseException):
            raise self._what
        told: Mapping[str, object] = self._what
        return told


def said(what: Any) -> dict[str, str]:
    return explained(Says(what), 1)  # type: ignore[arg-type]


def test_values_are_told_as_people_read_them() -> None:
    told = {"mean": 2500.1000000000004, "held": Decimal("1E+2"), "on": True, "n": 3, "none": math.nan}
    assert said(told) == {"mean": "2500.1", "held": "100", "on": "True", "n": "3", "none": "nan"}


@pytest.mark.parametrize("error", [ValueError("no good"), SystemExit(3), RecursionError("deep")])
def test_what_it_raises_is_told_in_its_place(error: BaseException) -> None:
    assert said(error) == {"explain": f"raised {type(error).__name__}: {error}"}


@pytest.mark.parametrize("nonsense", [None, 7, ["a"]])
def test_what_is_no_mapping_is_told_as_an_error(nonsense: object) -> None:
    assert said(nonsense)["explain"].startswith("raised AttributeError")


def test_a_value_that_can_t_be_shown_is_told_as_an_error() -> None:
    class Broken:
        def __str__(self) -> str:
            raise ValueError("unspeakable")

    assert said({"a": Broken()}) == {"explain": "raised ValueError: unspeakable"}


@given(st.dictionaries(texts, texts, max_size=60))
def test_it_never_grows_beyond_its_bounds(told: dict[str, str]) -> None:
    kept = said(told)
    assert len(kept) <= MAX_STATE_ENTRIES
    assert all(len(text) <= MAX_STATE_TEXT for pair in kept.items() for text in pair)
    assert len(msgspec.json.encode(kept)) <= MAX_STATE_BYTES
    assert all(text.isprintable() for pair in kept.items() for text in pair)


def test_what_fits_is_kept_in_full_and_in_order() -> None:
    told = {f"name {n}": "v" * 80 for n in range(MAX_STATE_ENTRIES)}
    assert within_bounds(told) == told
    assert list(within_bounds(told | {"one more": ""})) == list(told)


def test_a_long_text_is_cut_visibly() -> None:
    assert text_of("x" * 101) == "x" * 99 + "…"
    assert text_of("x" * 100) == "x" * 100
    assert text_of("a\nb\x00") == "a b "


def test_all_together_stay_below_their_bytes() -> None:
    told = {f"{n:02}" + "n" * 98: "v" * 100 for n in range(MAX_STATE_ENTRIES)}
    kept = said(told)
    assert 0 < len(kept) < MAX_STATE_ENTRIES
    assert len(msgspec.json.encode(kept)) <= MAX_STATE_BYTES
