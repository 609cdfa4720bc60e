"""A group's stored offsets, against a coordinator that answers as told."""

from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import RequestTimedOutError

from alpha_panda.adapters.kafka.connection import KafkaConnection
from alpha_panda.adapters.kafka.offsets import SIDE, Epoch, GroupOffsets
from alpha_panda.errors import DependencyUnavailableError, RebalancedError
from alpha_panda.ports import TopicPartition

A, B = TopicPartition("t", 0), TopicPartition("t", 1)
LOADING, NOT_COORDINATOR, ILLEGAL_GENERATION, UNKNOWN_MEMBER, REBALANCING = 14, 16, 22, 25, 27


class Client:
    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.sent: list[Any] = []
        self.lookups = 0

    async def coordinator_lookup(self, *_: Any) -> int:
        self.lookups += 1
        return self.lookups

    async def send(self, node: int, request: Any, *, group: int) -> Any:
        assert group == SIDE
        self.sent.append((node, request))
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.fixture
def offsets(client: Client) -> GroupOffsets:
    connection = KafkaConnection(
        bootstrap_servers="a:1", request_timeout=0.5, reconnect_initial=0.001, reconnect_max=0.001
    )
    return GroupOffsets(client, "g", connection)


def stored(*rows: tuple[int, int], error: int = 0) -> Any:
    return SimpleNamespace(topics=[("t", [(number, at, "", 0) for number, at in rows])], error_code=error)


def committed(error: int) -> Any:
    return SimpleNamespace(topics=[("t", [(0, error)])])


async def test_only_what_is_stored_is_returned(client: Client, offsets: GroupOffsets) -> None:
    client.answers = [stored((0, 5), (1, -1))]
    assert await offsets.fetch([A, B]) == {A: 5}
    assert await offsets.fetch([]) == {}


async def test_a_coordinator_that_still_loads_has_not_forgotten_the_offsets(
    client: Client, offsets: GroupOffsets
) -> None:
    client.answers = [SimpleNamespace(topics=[], error_code=LOADING), stored((0, 5))]
    assert await offsets.fetch([A]) == {A: 5}
    assert client.lookups == 1


@pytest.mark.parametrize("error", [NOT_COORDINATOR, None], ids=["moved", "silent"])
async def test_another_coordinator_is_looked_up(
    client: Client, offsets: GroupOffsets, error: int | None
) -> None:
    client.answers = [RequestTimedOutError() if error is None else stored(error=error), stored((0, 5))]
    assert await offsets.fetch([A]) == {A: 5}
    assert [node for node, _ in client.sent] == [1, 2]


@pytest.mark.parametrize("error", [ILLEGAL_GENERATION, UNKNOWN_MEMBER, REBALANCING])
async def test_a_commit_of_an_older_generation_is_refused(
    client: Client, offsets: GroupOffsets, error: int
) -> None:
    client.answers = [committed(error)]
    with pytest.raises(RebalancedError, match="group g"):
        await offsets.commit({A: 1}, Epoch(3, "me"))


async def test_a_commit_names_member_and_generation(client: Client, offsets: GroupOffsets) -> None:
    client.answers = [committed(0)]
    await offsets.commit({A: 1}, Epoch(3, "me"))
    request = client.sent[0][1].prepare({8: (2, 9)})
    assert request.to_object() == {
        "consumer_group": "g",
        "consumer_group_generation_id": 3,
        "consumer_id": "me",
        "retention_time": -1,
        "topics": [{"topic": "t", "partitions": [{"partition": 0, "offset": 1, "metadata": ""}]}],
    }


async def test_a_coordinator_that_never_answers_is_given_up(client: Client, offsets: GroupOffsets) -> None:
    client.answers = [RequestTimedOutError() for _ in range(10_000)]
    with pytest.raises(DependencyUnavailableError, match="commit"):
        await offsets.commit({A: 1}, Epoch())


def test_only_the_next_generation_of_the_same_member_continues() -> None:
    assert Epoch(4, "me").continues(Epoch(3, "me"))
    for other in (Epoch(5, "me"), Epoch(3, "me"), Epoch(4, "you")):
        assert not other.continues(Epoch(3, "me"))
