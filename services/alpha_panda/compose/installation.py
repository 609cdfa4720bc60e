"""What an installation has, as Kafka shows it: its accounts and its dead letter queues; and waits that end.

Operators' commands have no manifests: a topic's name tells whose it is.
"""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Final, TypeVar

from alpha_panda.contracts.topics import DLQ_SUFFIX
from alpha_panda.errors import DependencyUnavailableError
from alpha_panda.runtime.control_topics import account_names, owner_of

__all__ = ["BUS", "STORE", "account_names", "bounded", "dead_letter_queues", "owner_of"]

T = TypeVar("T")

BUS: Final = "kafka"
STORE: Final = "redis"
"""What the messages of the commands call the two."""


def dead_letter_queues(topics: Iterable[str], prefix: str) -> list[str]:
    """Return the installation's dead letter topics, in order."""
    queues = (topic for topic in topics if topic.endswith(DLQ_SUFFIX))
    return sorted(queue for queue in queues if owner_of(queue.removesuffix(DLQ_SUFFIX), prefix))


async def bounded(dependency: str, seconds: float, action: Awaitable[T]) -> T:
    """Await a step of a command, on the wall clock; DependencyUnavailableError when it takes too long."""
    try:
        async with asyncio.timeout(seconds):
            return await action
    except TimeoutError as error:
        raise DependencyUnavailableError(dependency, f"no answer within {seconds:g} s") from error
