"""Where a member begins to read, and what it keeps over a rebalance."""

import asyncio
from typing import Any

import pytest
from aiokafka.errors import IllegalStateError

from alpha_panda.adapters.kafka.connection import KafkaConnection
from alpha_panda.adapters.kafka.membership import Membership
from alpha_panda.adapters.kafka.offsets import Epoch
from alpha_panda.errors import DependencyUnavailableError
from alpha_panda.ports import Subscription, TopicPartition

CONNECTION = KafkaConnection(bootstrap_servers="a:1", reconnect_initial=0.001, reconnect_max=0.001)
A, B = TopicPartition("t", 0), TopicPartition("t", 1)


class Inner:
    """An aiokafka consumer as the membership sees it."""

    def __init__(self) -> None:
        self.seeks: dict[Any, int] = {}
        self.assigned: list[Any] = []
        self.revoked = False

    @property
    def _coordinator(self) -> "Inner":
        return self

    generation = 1
    member_id = "me"

    def seek(self, partition: Any, offset: int) -> None:
        if self.revoked:
            raise IllegalStateError(partition)
        self.seeks[partition] = offset

    def assign(self, partitions: Any) -> None:
        self.assigned = list(partitions)

    async def beginning_offsets(self, partitions: Any) -> dict[Any, int]:
        return dict.fromkeys(partitions, 3)

    async def end_offsets(self, partitions: Any) -> dict[Any, int]:
        return dict.fromkeys(partitions, 99)


class Offsets:
    def __init__(self, stored: dict[TopicPartition, int]) -> None:
        self.stored = stored
        self.failures = 0

    async def fetch(self, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        if self.failures:
            self.failures -= 1
            raise DependencyUnavailableError("kafka", "not now")
        return {tp: self.stored[tp] for tp in partitions if tp in self.stored}


class World:
    def __init__(self, subscription: Subscription, stored: dict[TopicPartition, int]) -> None:
        self.inner = Inner()
        self.offsets = Offsets(stored)
        self.membership = Membership(self.inner, subscription, self.offsets, CONNECTION)  # type: ignore[arg-type]

    async def join(self, *partitions: TopicPartition, generation: int, member: str = "me") -> None:
        self.inner.generation, self.inner.member_id = generation, member
        await self.membership.on_partitions_revoked([])
        await self.membership.on_partitions_assigned(partitions)
        await asyncio.wait_for(self.membership.ready.wait(), 5)


@pytest.fixture
def world() -> World:
    return World(Subscription("g", ("t",)), {A: 7})


async def test_a_stored_offset_is_where_reading_begins_else_the_named_end(world: World) -> None:
    await world.join(A, B, generation=1)
    assert {tp: cursor.position for tp, cursor in world.membership.cursors.items()} == {A: 7, B: 3}
    assert world.inner.seeks == {A: 7, B: 3}
    late = World(Subscription("g", ("t",), from_latest=True), {A: 7})
    await late.join(A, B, generation=1)
    assert late.inner.seeks == {A: 7, B: 99}


async def test_partitions_that_stay_keep_their_place(world: World) -> None:
    await world.join(A, generation=4)
    world.membership.cursors[A].position = 20
    await world.join(A, B, generation=5)
    assert world.membership.cursors[A].position == 20
    assert world.membership.cursors[A].origin == 7
    assert world.inner.seeks[A] == 20


@pytest.mark.parametrize(
    ("generation", "member"), [(6, "me"), (5, "again"), (4, "me")], ids=["missed one", "thrown out", "same"]
)
async def test_partitions_that_somebody_else_may_have_had_begin_at_the_stored_offset(
    world: World, generation: int, member: str
) -> None:
    await world.join(A, generation=4)
    world.membership.cursors[A].position = 20
    await world.join(A, generation=generation, member=member)
    assert (world.membership.cursors[A].origin, world.membership.cursors[A].position) == (7, 7)


async def test_during_a_rebalance_nothing_is_read_and_what_was_read_can_be_committed(world: World) -> None:
    await world.join(A, generation=1)
    before = world.membership.cursors[A]
    await world.membership.on_partitions_revoked([A])
    assert world.membership.cursors == {}
    assert not world.membership.ready.is_set()
    assert world.membership.cursor(A) is before
    assert world.membership.epoch == Epoch(1, "me")  # the generation in which it was read
    await world.membership.on_partitions_assigned([B])
    await asyncio.wait_for(world.membership.ready.wait(), 5)
    assert world.membership.cursor(A) is None


async def test_reading_begins_only_once_it_is_known_where(world: World) -> None:
    world.offsets.failures = 3
    await world.join(A, generation=1)
    assert world.offsets.failures == 0
    assert world.inner.seeks == {A: 7}


async def test_an_assignment_that_is_revoked_meanwhile_is_forgotten(world: World) -> None:
    world.inner.revoked = True
    await world.membership.on_partitions_assigned([A])
    await asyncio.sleep(0.01)
    assert world.membership.cursors == {}
    assert not world.membership.ready.is_set()


async def test_a_member_without_partitions_is_ready_too(world: World) -> None:
    await world.join(generation=1)
    assert world.membership.cursors == {}


async def test_a_reader_by_itself_reads_what_it_names(world: World) -> None:
    await world.membership.assign([B, A])
    assert world.inner.assigned == [B, A]
    assert world.inner.seeks == {A: 7, B: 3}
    assert world.membership.epoch == Epoch()


async def test_without_a_group_nothing_is_asked_of_it() -> None:
    world = World(Subscription("", partitions=(A,)), {A: 7})
    await world.membership.assign([A])
    assert world.inner.seeks == {A: 3}
