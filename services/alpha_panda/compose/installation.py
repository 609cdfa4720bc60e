"""What an installation has, as Kafka shows it: its accounts and its dead letter queues; and waits that end.

Operators' commands have no manifests: a topic's name tells whose it is.
"""

import asyncio
from collections.abc import Awaitable, Iterable
from typing import Final, TypeVar

from alpha_panda.contracts.topics import DLQ_SUFFIX, TopicMap, market_ticks
from alpha_panda.errors import DependencyUnavailableError

T = TypeVar("T")

BUS: Final = "kafka"
STORE: Final = "redis"
"""What the messages of the commands call the two."""

_NAME: Final = "name"
_TAILS: Final = frozenset(
    topic.removeprefix(f"{_NAME}.")
    for topic in (*(spec.name for spec in TopicMap(_NAME).specs(1)), market_ticks(_NAME))
)
_CONTROL: Final = TopicMap(_NAME).control.removeprefix(f"{_NAME}.")


def owner_of(topic: str, prefix: str) -> tuple[str, str] | None:
    """Return the name and the tail of a topic of this installation (`paper`, `signals.raw`); None of any other.

    Names have no dots, so that of `a.` and `a.b.` each knows its own.
    """
    if not topic.startswith(prefix):
        return None
    name, _, tail = topic.removeprefix(prefix).partition(".")
    return (name, tail) if name and tail in _TAILS else None


def account_names(topics: Iterable[str], prefix: str) -> list[str]:
    """Return the accounts that have a control topic, in order."""
    owners = (owner_of(topic, prefix) for topic in topics)
    return sorted(name for name, tail in filter(None, owners) if tail == _CONTROL)


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
