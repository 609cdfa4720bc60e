from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.adapters.kafka.connection import KafkaConnection
from alpha_panda.adapters.kafka.topic_terms import (
    REBUILD_MS,
    TopicProblem,
    TopicState,
    in_sync_for,
    problems_of,
    replicas_for,
)
from alpha_panda.contracts.topics import TopicSpec
from alpha_panda.errors import DependencyUnavailableError

EVENTS = TopicSpec("paper.signals.raw", 1)
LATCHES = TopicSpec("paper.control", 1, compacted=True)
LETTERS = TopicSpec("paper.signals.raw.dlq", 1)
TICKS = TopicSpec("demo.market.ticks", 4, short_lived=True)
GOOD = {
    "cleanup.policy": "delete",
    "retention.ms": str(REBUILD_MS),
    "retention.bytes": "-1",
    "min.insync.replicas": "2",
}


def connection(factor: int | None = None, in_sync: int | None = None) -> KafkaConnection:
    return KafkaConnection(bootstrap_servers="a:1", replication_factor=factor, min_insync_replicas=in_sync)


def looked_at(
    spec: TopicSpec,
    changes: Mapping[str, str] | None = None,
    *,
    replicas: int = 3,
    brokers: int = 3,
    factor: int | None = None,
) -> list[TopicProblem]:
    policy = {"cleanup.policy": "compact"} if spec.compacted else {}
    state = TopicState(replicas, {**GOOD, **policy, **(changes or {})})
    return problems_of([spec], {spec.name: state}, connection(factor), brokers)


class TestReplicas:
    @pytest.mark.parametrize(
        ("factor", "brokers", "alone", "expected"),
        [
            (None, 3, False, 3),
            (None, 9, False, 3),
            (None, 1, True, 1),
            (1, 1, False, 1),
            (1, 3, False, 1),
            (2, 2, False, 2),
            (5, 5, False, 5),
        ],
    )
    def test_new_topics_get_what_is_wanted(
        self, factor: int | None, brokers: int, alone: bool, expected: int
    ) -> None:
        assert replicas_for(connection(factor), brokers, meant_to_be_alone=alone) == expected

    @pytest.mark.parametrize(
        ("factor", "brokers", "alone"),
        [(None, 2, False), (None, 2, True), (None, 1, False), (3, 1, True), (3, 2, False)],
    )
    def test_with_fewer_brokers_none_is_made_and_both_remedies_are_named(
        self, factor: int | None, brokers: int, alone: bool
    ) -> None:
        message = (
            f"only {brokers} of .* start the others, or set ALPHAPANDA_KAFKA_REPLICATION_FACTOR={brokers} "
        )
        with pytest.raises(DependencyUnavailableError, match=message):
            replicas_for(connection(factor), brokers, meant_to_be_alone=alone)

    @given(factor=st.none() | st.integers(1, 9), brokers=st.integers(1, 9), alone=st.booleans())
    def test_never_fewer_because_a_broker_is_down(
        self, factor: int | None, brokers: int, alone: bool
    ) -> None:
        try:
            found = replicas_for(connection(factor), brokers, meant_to_be_alone=alone)
        except DependencyUnavailableError:
            assert brokers < (factor or 3)
        else:
            assert found == (factor or 3) or (found, brokers, alone) == (1, 1, True)

    @pytest.mark.parametrize(
        ("replicas", "in_sync", "expected"), [(1, None, 1), (2, None, 1), (3, None, 2), (3, 3, 3)]
    )
    def test_of_three_copies_two_must_have_a_record(
        self, replicas: int, in_sync: int | None, expected: int
    ) -> None:
        assert in_sync_for(connection(in_sync=in_sync), replicas) == expected


class TestProblems:
    @pytest.mark.parametrize("spec", [EVENTS, LATCHES, LETTERS, TICKS])
    def test_a_topic_as_it_must_be_has_none(self, spec: TopicSpec) -> None:
        assert looked_at(spec) == []

    def test_a_topic_that_does_not_exist_has_none(self) -> None:
        assert problems_of([EVENTS], {}, connection(), 3) == []

    @pytest.mark.parametrize("policy", ["delete", "compact,delete", ""])
    def test_latches_that_are_deleted_some_day_are_serious(self, policy: str) -> None:
        (found,) = looked_at(LATCHES, {"cleanup.policy": policy})
        assert found.serious
        assert "latches are forgotten" in str(found)
        assert found.remedy == "set cleanup.policy=compact"

    @pytest.mark.parametrize("policy", ["compact", "compact,delete"])
    def test_events_that_are_compacted_are_serious(self, policy: str) -> None:
        (found,) = looked_at(EVENTS, {"cleanup.policy": policy})
        assert found.serious
        assert found.remedy == "set cleanup.policy=delete"

    @pytest.mark.parametrize(
        ("retention", "well"), [(-1, True), (REBUILD_MS, True), (REBUILD_MS - 1, False), (0, False)]
    )
    def test_a_week_must_be_kept(self, retention: int, well: bool) -> None:
        found = looked_at(EVENTS, {"retention.ms": str(retention)})
        assert [problem.serious for problem in found] == [] if well else [True]
        assert (
            looked_at(LATCHES, {"retention.ms": str(retention)}) == []
        )  # compacted: nothing is deleted by age

    def test_a_size_that_may_be_too_small_is_told_and_not_refused(self) -> None:
        (found,) = looked_at(EVENTS, {"retention.bytes": "1000"})
        assert not found.serious
        assert "retention.bytes 1000" in found.problem

    @pytest.mark.parametrize(
        ("replicas", "in_sync", "expected"),
        [
            (3, "1", "acknowledged can be lost with one broker"),
            (3, "4", "nothing can be written"),
            (3, "2", ""),
            (3, "3", ""),
        ],
    )
    def test_what_is_acknowledged_is_on_two_brokers(self, replicas: int, in_sync: str, expected: str) -> None:
        found = looked_at(EVENTS, {"min.insync.replicas": in_sync}, replicas=replicas)
        assert len(found) == bool(expected)
        assert expected in "".join(map(str, found))

    def test_fewer_copies_than_wanted_are_serious_whatever_is_alive_now(self) -> None:
        for brokers in (2, 3):
            (found,) = looked_at(EVENTS, {"min.insync.replicas": "1"}, replicas=2, brokers=brokers)
            assert found.serious
            assert "2 copies, and 3 are wanted" in found.problem
        assert looked_at(EVENTS, {"min.insync.replicas": "1"}, replicas=2, factor=2) == []

    def test_one_broker_is_told_unless_it_was_chosen(self) -> None:
        alone = {"min.insync.replicas": "1"}
        (found,) = looked_at(EVENTS, alone, replicas=1, brokers=1)
        assert not found.serious
        assert "one disk failure loses what the journal is rebuilt from" in str(found)
        assert looked_at(EVENTS, alone, replicas=1, brokers=1, factor=1) == []

    def test_three_copies_stay_good_while_two_brokers_are_down(self) -> None:
        assert looked_at(EVENTS, brokers=1) == []

    def test_what_may_not_be_read_is_told_as_such(self) -> None:
        (found,) = problems_of([EVENTS], {EVENTS.name: TopicState(3, None)}, connection(), 3)
        assert not found.serious
        assert "could not be checked: cleanup.policy" in str(found)

    def test_dead_letters_are_told_and_ticks_left_alone(self) -> None:
        bad = {"cleanup.policy": "compact", "retention.ms": "1", "min.insync.replicas": "1"}
        assert [problem.serious for problem in looked_at(LETTERS, bad)] == [False] * 3
        assert looked_at(TICKS, bad, replicas=1) == []
