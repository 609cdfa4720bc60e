"""The consumer's own rules, without a broker."""

import asyncio
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import CorruptRecordException, OffsetOutOfRangeError

from alpha_panda import errors
from alpha_panda.adapters.kafka.connection import KafkaConnection
from alpha_panda.adapters.kafka.consumer import KafkaConsumer
from alpha_panda.adapters.kafka.membership import Cursor
from alpha_panda.adapters.kafka.offsets import Epoch
from alpha_panda.ports import Subscription, TopicPartition

A, B = TopicPartition("t", 0), TopicPartition("t", 1)
PATIENCE = 0.05


def raw(offset: int, key: bytes | None = None, value: bytes | None = b"v") -> Any:
    return SimpleNamespace(offset=offset, key=key, value=value, headers=(), timestamp=5)


class Inner:
    def __init__(self) -> None:
        self.answers: list[dict[TopicPartition, list[Any]] | Exception] = []
        self.polled = 0
        self._subscription = SimpleNamespace(_fetch_count=3, _last_fetch_ended=None)
        self._fetcher = SimpleNamespace(_fetch_task=asyncio.get_running_loop().create_future())

    async def getmany(self, **_: Any) -> dict[TopicPartition, list[Any]]:
        await asyncio.sleep(0.001)
        answer = self.answers.pop(0) if self.answers else {}
        if isinstance(answer, Exception):
            raise answer
        return answer

    def last_poll_timestamp(self, _: Any) -> int:
        return self.polled


class Offsets:
    def __init__(self) -> None:
        self.commits: list[tuple[dict[TopicPartition, int], Epoch]] = []

    async def commit(self, offsets: Mapping[TopicPartition, int], epoch: Epoch) -> None:
        self.commits.append((dict(offsets), epoch))


class Membership:
    def __init__(self) -> None:
        self.cursors = {A: Cursor(0)}
        self.epoch = Epoch(3, "me")
        self.ready = asyncio.Event()
        self.ready.set()
        self.unready_since = 0.0

    def cursor(self, tp: TopicPartition) -> Cursor | None:
        return self.cursors.get(tp)


class World:
    def __init__(self, subscription: Subscription) -> None:
        self.inner, self.offsets, self.membership = Inner(), Offsets(), Membership()
        connection = KafkaConnection(
            bootstrap_servers="a:1", request_timeout=PATIENCE, rebalance_timeout=PATIENCE
        )
        self.consumer = KafkaConsumer(self.inner, subscription, self.membership, self.offsets, connection)  # type: ignore[arg-type]


@pytest.fixture
async def world() -> World:
    return World(Subscription("g", ("t",)))


async def test_a_commit_names_the_generation_in_which_the_records_were_fetched(world: World) -> None:
    world.inner.answers = [{A: [raw(0)]}]
    await world.consumer.fetch(1)
    await world.consumer.commit({A: 1})
    assert world.offsets.commits == [({A: 1}, Epoch(3, "me"))]


async def test_a_reader_by_itself_commits_without_a_generation() -> None:
    world = World(Subscription("g", partitions=(A,)))
    await world.consumer.commit({A: 0})
    assert world.offsets.commits == [({A: 0}, Epoch(-1, ""))]


async def test_without_a_group_there_is_nowhere_to_commit_to() -> None:
    with pytest.raises(errors.MisuseError, match="without a group"):
        await World(Subscription("", partitions=(A,))).consumer.commit({A: 0})


async def test_records_of_a_partition_that_is_not_ours_are_dropped(world: World) -> None:
    world.inner.answers = [{B: [raw(7)]}, {B: [raw(8)], A: [raw(0), raw(1)]}]
    records = await world.consumer.fetch(10)
    assert [(record.partition, record.offset) for record in records] == [(0, 0), (0, 1)]
    assert world.consumer.position(A) == 2


async def test_keys_that_are_no_text_and_tombstones_do_not_stop_the_reader(world: World) -> None:
    world.inner.answers = [{A: [raw(0, b"\xffk"), raw(1, b"k", None), raw(2)]}]
    records = await world.consumer.fetch(10)
    assert [(record.key, record.value) for record in records] == [("\\xffk", b"v"), ("k", b""), (None, b"v")]
    assert records[0].timestamp == 5_000_000


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OffsetOutOfRangeError({A: 9}), errors.OffsetOutOfRangeError),
        (CorruptRecordException(), errors.DependencyUnavailableError),
        (OSError("no route"), errors.DependencyUnavailableError),
    ],
)
async def test_a_failed_fetch_ends_the_fetch_for_the_idle_check_too(
    world: World, error: Exception, raised: type[Exception]
) -> None:
    """Else a member that is stuck afterwards would never seem idle and would keep its partitions."""
    world.inner.answers = [error]
    with pytest.raises(raised):
        await world.consumer.fetch(1)
    assert world.inner._subscription._fetch_count == 0
    assert world.inner._subscription._last_fetch_ended is not None


async def test_a_gap_names_partition_and_offset(world: World) -> None:
    world.inner.answers = [OffsetOutOfRangeError({A: 9})]
    with pytest.raises(errors.OffsetOutOfRangeError, match="t/0: offset 9"):
        await world.consumer.fetch(1)


async def test_leaders_that_do_not_answer_are_noticed(world: World) -> None:
    with pytest.raises(errors.DependencyUnavailableError, match=r"no answer for .* from the leaders of t/0"):
        await asyncio.wait_for(world.consumer.fetch(1), 10)


async def test_a_quiet_topic_is_no_failure(world: World) -> None:
    for polled in range(1, 6):
        world.inner.polled = polled  # the broker answers: nothing new
        assert await world.consumer.fetch(1, timeout=PATIENCE / 2) == []


async def test_a_group_that_never_forms_is_noticed(world: World) -> None:
    world.membership.ready.clear()
    with pytest.raises(errors.DependencyUnavailableError, match="no partitions assigned"):
        await asyncio.wait_for(world.consumer.fetch(1), 10)


async def test_a_failed_background_task_is_noticed(world: World) -> None:
    world.inner._fetcher._fetch_task.set_result(None)
    with pytest.raises(errors.DependencyUnavailableError, match="opened anew"):
        await asyncio.wait_for(world.consumer.fetch(1), 10)


async def test_a_fetch_of_no_records_is_a_mistake(world: World) -> None:
    with pytest.raises(errors.MisuseError):
        await world.consumer.fetch(0)
