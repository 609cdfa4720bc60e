"""Whoever watches a run over a bus elsewhere sees every record from its beginning to its end, and none before."""

from pathlib import Path

import pytest

from alpha_panda.adapters.clock import RealClock
from alpha_panda.adapters.ids import SeededIds
from alpha_panda.adapters.memory.bus import MemoryBus
from alpha_panda.cli.loading import load
from alpha_panda.compose.tail import Tail, topics_of
from alpha_panda.contracts.topics import TopicSpec
from alpha_panda.ports import Outgoing, Record
from alpha_panda.runtime.settings import load_settings

TOPICS = [TopicSpec("a", 2), TopicSpec("b", 1)]
DEMO = Path(__file__).parents[3] / "examples" / "01-paper-momentum"
SETTINGS = load_settings(poll_seconds=0.01, drain_quiet_seconds=0.01)


@pytest.fixture
def bus() -> MemoryBus:
    return MemoryBus(RealClock(), ids=SeededIds(1))


async def send(bus: MemoryBus, *values: str) -> None:
    async with bus.producer("test") as producer:
        await producer.send([Outgoing(value[0], value.encode(), partition=int(value[1])) for value in values])


async def test_it_sees_what_comes_while_it_follows_to_the_last_record(bus: MemoryBus) -> None:
    seen: list[Record] = []
    await bus.ensure_topics(TOPICS)
    await send(bus, "a0-before", "b0-before")
    async with Tail(bus, seen.append, SETTINGS).following(TOPICS):
        await send(bus, "a0-x", "a1-y", "b0-z")
    await send(bus, "a0-after")
    assert sorted(record.value.decode() for record in seen) == ["a0-x", "a1-y", "b0-z"]


async def test_it_makes_the_topics_that_are_not_there_yet(bus: MemoryBus) -> None:
    async with Tail(bus, lambda _: None, SETTINGS).following(TOPICS):
        assert len(await bus.offsets("a")) == 2


def test_a_run_is_watched_on_all_its_topics_and_dead_letters() -> None:
    names = {spec.name for spec in topics_of(load([DEMO]), load_settings(topic_prefix="x."))}
    assert {"x.demo.market.ticks", "x.paper.signals.raw", "x.paper.orders.filled"} <= names
    assert {"x.demo.market.ticks.dlq", "x.paper.signals.validated.dlq"} <= names
    assert "x.paper.portfolio.dlq" not in names
