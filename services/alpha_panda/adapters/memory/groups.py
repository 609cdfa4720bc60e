"""Consumer groups: who reads which partition."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from alpha_panda.ports import TopicPartition


class Member(Protocol):
    """A consumer as its group sees it."""

    @property
    def topics(self) -> tuple[str, ...]:
        """What it has subscribed to."""

    def assign(self, partitions: Sequence[TopicPartition]) -> None:
        """Read exactly these from now on."""


PartitionCounts = Callable[[], Mapping[str, int]]
"""Asks the bus for the number of partitions of each topic that exists."""


def range_assignment(
    topics: Sequence[Sequence[str]], counts: Mapping[str, int]
) -> list[list[TopicPartition]]:
    """Return the partitions of each member, given the topics that each has subscribed to.

    Kafka's RangeAssignor: each topic is cut into runs as equal as possible, the first members get the longer
    ones; so members hold the same partitions of topics with equal counts. Topics that don't exist are left out.
    """
    shares: list[list[TopicPartition]] = [[] for _ in topics]
    for topic in sorted({topic for wanted in topics for topic in wanted if topic in counts}):
        takers = [share for share, wanted in zip(shares, topics, strict=True) if topic in wanted]
        each, longer = divmod(counts[topic], len(takers))
        first = 0
        for rank, share in enumerate(takers):
            after = first + each + (rank < longer)
            share.extend(TopicPartition(topic, partition) for partition in range(first, after))
            first = after
    return shares


class Group:
    """The coordinator of one group. Every change of its members or topics begins a new generation.

    Partitions that stay with their member keep their position (as Kafka's cooperative protocol does); what moves
    starts at the committed offset.
    """

    def __init__(self, name: str, counts: PartitionCounts) -> None:
        self.name = name
        self.generation = 0
        self._counts = counts
        self._members: list[Member] = []

    def join(self, member: Member) -> None:
        """Add a member and rebalance."""
        self._members.append(member)
        self.rebalance()

    def leave(self, member: Member) -> None:
        """Remove a member and rebalance."""
        self._members.remove(member)
        self.rebalance()

    def subscribes(self, topic: str) -> bool:
        """Whether a member wants the topic."""
        return any(topic in member.topics for member in self._members)

    def rebalance(self) -> None:
        """Begin a new generation: give every partition to exactly one member that wants it."""
        self.generation += 1
        shares = range_assignment([member.topics for member in self._members], self._counts())
        for member, share in zip(self._members, shares, strict=True):
            member.assign(share)
