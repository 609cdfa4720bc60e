"""Kafka whose topics are checked when a service makes sure of them: whether they keep what orders rest on."""

from collections.abc import Iterable, Sequence

import structlog

from alpha_panda.adapters.kafka.bus import KafkaBus
from alpha_panda.adapters.kafka.connection import KafkaConnection
from alpha_panda.adapters.kafka.topic_terms import TopicProblem
from alpha_panda.contracts.topics import TopicSpec

from .safety import refuse_losses

log = structlog.get_logger()


class CheckedBus(KafkaBus):
    """Warns once of each problem of a topic. With `refuse` (real money) a serious one is an error."""

    def __init__(self, connection: KafkaConnection, *, refuse: bool) -> None:
        super().__init__(connection)
        self._refuse = refuse
        self._told: set[tuple[str, str]] = set()

    async def ensure_topics(self, topics: Iterable[TopicSpec]) -> None:
        """See `KafkaBus`.

        Raises:
            SettingsError: topics may lose what orders rest on, and that is refused.

        """
        specs = list(topics)
        await super().ensure_topics(specs)
        problems = await self.topic_problems(specs)
        self._tell(problems)
        if self._refuse:
            serious = [str(problem) for problem in problems if problem.serious]
            refuse_losses("Kafka may lose what orders rest on", serious)

    def _tell(self, problems: Sequence[TopicProblem]) -> None:
        """Warn of what is new: a serious problem once for each topic, another once for all that have it."""
        fresh: dict[tuple[str, str], list[str]] = {}
        for found in problems:
            key = (found.problem, found.topic if found.serious else "")
            if key not in self._told:
                fresh.setdefault((found.problem, found.remedy), []).append(found.topic)
        for (problem, remedy), names in fresh.items():
            log.warning("a topic is not safe for orders", topics=names, problem=problem, remedy=remedy)
        self._told |= {(found.problem, found.topic if found.serious else "") for found in problems}
