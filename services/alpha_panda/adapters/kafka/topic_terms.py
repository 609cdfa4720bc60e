"""What topics must be so that no order is forgotten: copies and settings of new ones, and what is wrong with others.

Pure: `admin` asks the cluster.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from alpha_panda.adapters.kafka.connection import HOUR_MS, KafkaConnection, unavailable
from alpha_panda.contracts.topics import DLQ_SUFFIX, TopicSpec

REPLICAS: Final = 3
IN_SYNC: Final = 2
"""Of a topic with three copies: one may be lost without a halt, and what was acknowledged is on two."""

FACTOR_VARIABLE: Final = "ALPHAPANDA_KAFKA_REPLICATION_FACTOR"
REBUILD_MS: Final = 7 * 24 * HOUR_MS
"""A journal that was lost is rebuilt from so much of signals and orders."""

UNBOUNDED: Final = -1

CLEANUP: Final = "cleanup.policy"
RETENTION: Final = "retention.ms"
RETENTION_BYTES: Final = "retention.bytes"
MIN_IN_SYNC: Final = "min.insync.replicas"
CHECKED: Final = (CLEANUP, RETENTION, RETENTION_BYTES, MIN_IN_SYNC)
"""Settings of a topic that are looked at."""

OWN_TOPICS_FACTOR: Final = "offsets.topic.replication.factor"
"""A broker's setting: copies of Kafka's own topics. A cluster that is meant to have one broker has 1 here, else no group
could work; the default is 3."""


@dataclass(frozen=True, slots=True)
class TopicState:
    """A topic as it is: the least copies that one of its partitions has, and its settings, None if they may not be read."""

    replicas: int
    settings: Mapping[str, str] | None


@dataclass(frozen=True, slots=True)
class TopicProblem:
    """One thing that is wrong with a topic, in plain words, and what to do about it.

    `serious`: orders, decisions or halts can be lost by it; else it is a risk that somebody may have chosen, or could
    not be looked at.
    """

    topic: str
    problem: str
    remedy: str
    serious: bool = True

    def __str__(self) -> str:
        return f"topic {self.topic} {self.problem}; {self.remedy}"


def replicas_for(connection: KafkaConnection, brokers: int, *, meant_to_be_alone: bool) -> int:
    """Return how many copies new topics get: never fewer than wanted because a broker happens to be down.

    Args:
        connection: with the wanted count; None: 3, or 1 on a cluster of one broker.
        brokers: that are alive; metadata tell of no others.
        meant_to_be_alone: whether the one broker's own settings say that there is no other.

    Raises:
        DependencyUnavailableError: there are not enough brokers.

    """
    wanted = connection.replication_factor
    if wanted is None:
        wanted = 1 if brokers == 1 and meant_to_be_alone else REPLICAS
    if brokers < wanted:
        raise unavailable(
            f"new topics get {wanted} copies for ever, and only {brokers} of the brokers can be seen now: start the "
            f"others, or set {FACTOR_VARIABLE}={brokers} if there are no more"
        )
    return wanted


def in_sync_for(connection: KafkaConnection, replicas: int) -> int:
    """Return how many copies must have a record before it is acknowledged."""
    return connection.min_insync_replicas or (IN_SYNC if replicas >= REPLICAS else 1)


def problems_of(
    specs: Iterable[TopicSpec], states: Mapping[str, TopicState], connection: KafkaConnection, brokers: int
) -> list[TopicProblem]:
    """Return what is wrong with topics that exist. Ticks are left out: nothing of value rests on them."""
    problems: list[TopicProblem] = []
    for spec in specs:
        state = states.get(spec.name)
        if state is not None and not spec.short_lived:
            problems += _copies(spec.name, state, connection, brokers)
            problems += _settings(spec, state, connection)
    return problems


def _copies(name: str, state: TopicState, connection: KafkaConnection, brokers: int) -> list[TopicProblem]:
    wanted = connection.replication_factor or (1 if brokers == 1 else REPLICAS)
    if state.replicas < wanted:
        remedy = f"add copies with kafka-reassign-partitions, or set {FACTOR_VARIABLE}={state.replicas}"
        problem = f"has {_copied(state.replicas)}, and {wanted} are wanted: what was acknowledged can be lost"
        return [TopicProblem(name, problem, remedy, serious=_matters(name))]
    if state.replicas == 1 and connection.replication_factor is None:
        problem = "has 1 copy, on the one broker: one disk failure loses what the journal is rebuilt from"
        remedy = f"use three brokers for real money; {FACTOR_VARIABLE}=1 says that it is meant so"
        return [TopicProblem(name, problem, remedy, serious=False)]
    return []


def _settings(spec: TopicSpec, state: TopicState, connection: KafkaConnection) -> list[TopicProblem]:
    name, settings = spec.name, state.settings
    if settings is None:
        problem = f"could not be checked: {', '.join(CHECKED)}"
        return [TopicProblem(name, problem, "allow the user to DescribeConfigs of the topics", serious=False)]
    problems = [_cleanup(spec, settings), _in_sync(name, state.replicas, settings, connection)]
    if not spec.compacted:
        problems += [_retention(name, settings), _bounded(name, settings)]
    return [problem for problem in problems if problem is not None]


def _cleanup(spec: TopicSpec, settings: Mapping[str, str]) -> TopicProblem | None:
    found, wanted = settings.get(CLEANUP, ""), "compact" if spec.compacted else "delete"
    if found == wanted:
        return None
    harm = (
        "latches are forgotten after a time" if spec.compacted else "only the last record of each key stays"
    )
    return TopicProblem(
        spec.name, f"has {CLEANUP} {found}: {harm}", f"set {CLEANUP}={wanted}", serious=_matters(spec.name)
    )


def _in_sync(
    name: str, replicas: int, settings: Mapping[str, str], connection: KafkaConnection
) -> TopicProblem | None:
    found, wanted = int(settings.get(MIN_IN_SYNC, "1")), in_sync_for(connection, replicas)
    if found < wanted:
        harm = "what was acknowledged can be lost with one broker"
    elif found > replicas:
        harm, wanted = f"with {_copied(replicas)} nothing can be written", min(wanted, replicas)
    else:
        return None
    return TopicProblem(
        name, f"has {MIN_IN_SYNC} {found}: {harm}", f"set {MIN_IN_SYNC}={wanted}", serious=_matters(name)
    )


def _retention(name: str, settings: Mapping[str, str]) -> TopicProblem | None:
    found = int(settings.get(RETENTION, UNBOUNDED))
    if found == UNBOUNDED or found >= REBUILD_MS:
        return None
    problem = f"has {RETENTION} {found}: a lost journal is rebuilt from seven days, {REBUILD_MS} ms"
    return TopicProblem(name, problem, f"set {RETENTION} to at least that", serious=_matters(name))


def _bounded(name: str, settings: Mapping[str, str]) -> TopicProblem | None:
    found = int(settings.get(RETENTION_BYTES, UNBOUNDED))
    if found == UNBOUNDED:
        return None
    problem = f"has {RETENTION_BYTES} {found}: a busy week may not fit, and a lost journal is rebuilt from seven days"
    return TopicProblem(name, problem, f"set {RETENTION_BYTES}={UNBOUNDED}", serious=False)


def _matters(name: str) -> bool:
    """Whether orders rest on the topic: a dead letter queue is for people."""
    return not name.endswith(DLQ_SUFFIX)


def _copied(count: int) -> str:
    return "1 copy" if count == 1 else f"{count} copies"
