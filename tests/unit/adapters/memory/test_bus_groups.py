from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.adapters.memory.groups import range_assignment
from alpha_panda.ports import TopicPartition

NAMES = ["a", "b", "c"]


def partitions(topic: str, *numbers: int) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for number in numbers]


def test_the_first_members_get_the_longer_runs() -> None:
    shares = range_assignment([["a"], ["a"], ["a"]], {"a": 8})
    assert shares == [partitions("a", 0, 1, 2), partitions("a", 3, 4, 5), partitions("a", 6, 7)]


def test_members_hold_the_same_partitions_of_topics_of_equal_count() -> None:
    shares = range_assignment([["a", "b"], ["b", "a"]], {"a": 4, "b": 4})
    assert shares == [
        partitions("a", 0, 1) + partitions("b", 0, 1),
        partitions("a", 2, 3) + partitions("b", 2, 3),
    ]


def test_only_those_who_want_a_topic_get_its_partitions() -> None:
    shares = range_assignment([["a"], ["a", "b"], ["missing"]], {"a": 2, "b": 2})
    assert shares == [partitions("a", 0), partitions("a", 1) + partitions("b", 0, 1), []]


def test_nobody_gets_nothing() -> None:
    assert range_assignment([], {"a": 2}) == []
    assert range_assignment([["a"], ["a"]], {"a": 1}) == [partitions("a", 0), []]


@given(
    topics=st.lists(st.lists(st.sampled_from(NAMES), max_size=3), max_size=6),
    counts=st.dictionaries(st.sampled_from(NAMES), st.integers(1, 12)),
)
def test_every_wanted_partition_has_exactly_one_taker_and_shares_are_even(
    topics: list[list[str]], counts: dict[str, int]
) -> None:
    shares = range_assignment(topics, counts)
    given_out = [tp for share in shares for tp in share]
    wanted = {topic for member in topics for topic in member if topic in counts}
    assert len(given_out) == len(set(given_out)) == sum(counts[topic] for topic in wanted)
    for topic in wanted:
        sizes = [
            sum(tp.topic == topic for tp in share)
            for share, member in zip(shares, topics, strict=True)
            if topic in member
        ]
        assert max(sizes) - min(sizes) <= 1
    for share, member in zip(shares, topics, strict=True):
        assert all(tp.topic in member for tp in share)
