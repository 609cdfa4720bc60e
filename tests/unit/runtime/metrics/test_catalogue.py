"""The catalogue keeps its own rules: names with units, bounded labels, never an id."""

import re
from itertools import pairwise

import pytest

from alpha_panda.runtime.metrics.catalogue import (
    CATALOGUE,
    EVERY,
    LABELS,
    LATENCY,
    PREFIX,
    Kind,
    Spec,
)
from alpha_panda.runtime.registry import find_services

NAME = re.compile(r"alphapanda_[a-z]+(_[a-z]+)*")
UNITS = (
    "seconds",
    "ratio",
    "amount",
    "records",
    "total",
    "orders",
    "entries",
    "positions",
    "latches",
    "differences",
)
WORDS = {
    *("alphapanda_feed_session_open", "alphapanda_feed_source_alive", "alphapanda_journal_durable"),
    *("alphapanda_trading_state", "alphapanda_breaker_state", "alphapanda_service_ready"),
    *("alphapanda_build_info", "alphapanda_reconciled"),
}
"""What is no quantity: yes or no, or a state."""

FORBIDDEN = re.compile(r"(^|_)(id|uid|token|symbol|instrument|offset|partition|trace|tag|instance)($|_)")

each = pytest.mark.parametrize("spec", CATALOGUE, ids=lambda spec: spec.name)


@each
def test_a_name_says_what_and_in_which_unit(spec: Spec) -> None:
    assert NAME.fullmatch(spec.name)
    assert spec.name.startswith(PREFIX)
    assert spec.name.endswith(UNITS) or spec.name in WORDS


@each
def test_only_what_grows_is_called_total_and_only_durations_are_spread(spec: Spec) -> None:
    assert (spec.kind is Kind.COUNTER) == spec.name.endswith("_total")
    assert spec.kind is not Kind.HISTOGRAM or spec.name.endswith("_seconds")


@each
def test_labels_are_of_the_bounded_few(spec: Spec) -> None:
    assert set(spec.labels) <= LABELS
    assert len(set(spec.labels)) == len(spec.labels)


def test_no_label_is_an_id_of_anything() -> None:
    assert [label for label in LABELS if FORBIDDEN.search(label)] == []


def test_every_label_is_used() -> None:
    assert {label for spec in CATALOGUE for label in spec.labels} == LABELS


def test_names_are_unique() -> None:
    names = [spec.name for spec in CATALOGUE]
    assert len(set(names)) == len(names)


@each
def test_the_writers_are_services(spec: Spec) -> None:
    assert spec.writers
    assert set(spec.writers) <= {*find_services(), EVERY}
    assert EVERY not in spec.writers or spec.writers == (EVERY,)


@each
def test_the_text_is_a_sentence(spec: Spec) -> None:
    assert spec.help[0].isupper() or spec.help[0].isdigit()
    assert spec.help.endswith(".")


def test_the_buckets_go_from_a_tenth_of_a_millisecond_to_ten_seconds_in_steps_of_at_most_two_and_a_half() -> (
    None
):
    assert (LATENCY[0], LATENCY[-1]) == (0.0001, 10.0)
    ratios = [after / before for before, after in pairwise(LATENCY)]
    assert all(1 < ratio <= 2.5 + 1e-9 for ratio in ratios)
