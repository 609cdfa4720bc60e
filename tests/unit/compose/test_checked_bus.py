"""What a service's start does about topics that may lose orders; that they are found is shown on a real Kafka."""

from collections.abc import Iterable

import pytest
import structlog

from alpha_panda.adapters.kafka.bus import KafkaBus
from alpha_panda.adapters.kafka.connection import KafkaConnection
from alpha_panda.adapters.kafka.topic_terms import TopicProblem
from alpha_panda.compose.checked_bus import CheckedBus
from alpha_panda.contracts.topics import TopicSpec
from alpha_panda.errors import SettingsError

SPECS = (TopicSpec("a", 1), TopicSpec("b", 1))
LOSES = [TopicProblem(name, "forgets", "set x") for name in "ab"]
RISKY = [TopicProblem(name, "has one copy", "use three", serious=False) for name in "ab"]


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[TopicProblem]:
    """What the cluster is found to have."""
    problems: list[TopicProblem] = []
    ensured: list[str] = []

    async def ensure(_: KafkaBus, topics: Iterable[TopicSpec]) -> None:
        ensured.extend(spec.name for spec in topics)

    async def look(_: KafkaBus, topics: Iterable[TopicSpec]) -> list[TopicProblem]:
        names = {spec.name for spec in topics}
        assert names <= set(ensured)  # only what exists can be looked at
        return [problem for problem in problems if problem.topic in names]

    monkeypatch.setattr(KafkaBus, "ensure_topics", ensure)
    monkeypatch.setattr(KafkaBus, "topic_problems", look)
    return problems


def bus(*, refuse: bool) -> CheckedBus:
    return CheckedBus(KafkaConnection(bootstrap_servers="a:1"), refuse=refuse)


async def test_on_paper_a_problem_is_one_warning(found: list[TopicProblem]) -> None:
    found += LOSES
    checked = bus(refuse=False)
    with structlog.testing.capture_logs() as logs:
        await checked.ensure_topics(iter(SPECS))
        await checked.ensure_topics(SPECS)
    assert [(line["log_level"], line["topics"]) for line in logs] == [("warning", ["a", "b"])]
    assert (logs[0]["problem"], logs[0]["remedy"]) == ("forgets", "set x")


async def test_each_topic_with_a_serious_problem_is_named_and_of_others_one_line_is_enough(
    found: list[TopicProblem],
) -> None:
    found += LOSES + RISKY
    checked = bus(refuse=False)
    with structlog.testing.capture_logs() as logs:
        for spec in SPECS:
            await checked.ensure_topics([spec])
    assert [(line["problem"], line["topics"]) for line in logs] == [
        ("forgets", ["a"]),
        ("has one copy", ["a"]),
        ("forgets", ["b"]),
    ]


async def test_real_money_refuses_what_is_serious_and_names_the_way_out(found: list[TopicProblem]) -> None:
    found += LOSES
    with pytest.raises(
        SettingsError, match=r"topic a forgets; set x; .*ALPHAPANDA_JOURNAL_REQUIRE_DURABLE=false"
    ):
        await bus(refuse=True).ensure_topics(SPECS)


async def test_real_money_is_warned_of_a_risk(found: list[TopicProblem]) -> None:
    found += RISKY
    with structlog.testing.capture_logs() as logs:
        await bus(refuse=True).ensure_topics(SPECS)
    assert len(logs) == 1


async def test_topics_that_are_well_are_nothing_to_talk_of(found: list[TopicProblem]) -> None:
    with structlog.testing.capture_logs() as logs:
        await bus(refuse=True).ensure_topics(SPECS)
    assert logs == []
