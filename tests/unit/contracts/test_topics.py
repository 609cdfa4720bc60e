"""Names of topics and the functions that spread records over partitions; both are for ever."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.contracts.topics import (
    TopicMap,
    TopicSpec,
    dlq,
    key_partition,
    market_ticks,
    tick_partition,
)


def test_an_accounts_topics_have_the_designs_names() -> None:
    topics = TopicMap("paper")
    assert (topics.signals_raw, topics.signals_validated, topics.signals_rejected) == (
        "paper.signals.raw",
        "paper.signals.validated",
        "paper.signals.rejected",
    )
    assert topics.orders == (
        "paper.orders.submitted",
        "paper.orders.filled",
        "paper.orders.failed",
        "paper.orders.cancelled",
        "paper.orders.updated",
    )
    assert (topics.portfolio, topics.control) == ("paper.portfolio", "paper.control")


def test_a_prefix_goes_before_all() -> None:
    names = [spec.name for spec in TopicMap("paper", "trading.").specs(4)]
    assert names == [f"trading.{spec.name}" for spec in TopicMap("paper").specs(4)]
    assert market_ticks("demo", "trading.") == "trading.demo.market.ticks"
    assert dlq(market_ticks("demo")) == "demo.market.ticks.dlq"


def test_what_is_decided_in_one_order_has_one_partition() -> None:
    specs = {spec.name: spec for spec in TopicMap("a").specs(4)}
    assert specs.pop("a.signals.raw") == TopicSpec("a.signals.raw", 1)
    assert specs.pop("a.portfolio") == TopicSpec("a.portfolio", 1, compacted=True)
    assert specs.pop("a.control") == TopicSpec("a.control", 1, compacted=True)
    assert {(spec.partitions, spec.compacted) for spec in specs.values()} == {(4, False)}
    assert set(specs) == {"a.signals.validated", "a.signals.rejected", *TopicMap("a").orders}


def test_two_accounts_share_no_topic() -> None:
    names = [spec.name for account in ("a", "b") for spec in TopicMap(account).specs(1)]
    assert len(names) == len(set(names))


@given(st.integers(0, 2**64), st.integers(1, 1024))
def test_a_token_has_one_partition_within_range(token: int, partitions: int) -> None:
    found = tick_partition(token, partitions)
    assert 0 <= found < partitions
    assert tick_partition(token, partitions) == found


@pytest.mark.parametrize("step", [1, 256, 512])
@pytest.mark.parametrize("partitions", [3, 4, 16])
def test_tokens_spread_evenly_though_their_low_bits_are_alike(step: int, partitions: int) -> None:
    """Kite's tokens of one segment differ in the upper bits only."""
    counts = Counter(tick_partition(1 + n * step, partitions) for n in range(16_000))
    assert max(counts.values()) < 1.2 * 16_000 / partitions
    assert min(counts.values()) > 0.8 * 16_000 / partitions


@pytest.mark.parametrize(
    ("token", "partitions", "found"), [(738561, 4, 3), (2953217, 4, 1), (1, 16, 9), (0, 7, 0)]
)
def test_the_partition_of_a_token_never_changes(token: int, partitions: int, found: int) -> None:
    """Worked out apart: floor(partitions * frac(token / golden ratio)); a change would mix old and new records."""
    assert tick_partition(token, partitions) == found


@pytest.mark.parametrize(
    ("key", "value"),
    [("", 0xCBF29CE484222325), ("a", 0xAF63DC4C8601EC8C), ("foobar", 0x85944171F73967E8)],
)
def test_keys_are_spread_by_fnv_1a(key: str, value: int) -> None:
    """The published test vectors of FNV-1a, 64 bits."""
    assert key_partition(key, 2**64) == value
    assert key_partition(key, 12) == value % 12


@given(st.text(max_size=40), st.integers(1, 1024))
def test_a_key_has_one_partition_within_range(key: str, partitions: int) -> None:
    assert 0 <= key_partition(key, partitions) < partitions
