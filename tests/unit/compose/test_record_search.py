"""Pieces of topics: found by time, and never more than was allowed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_panda.adapters.ids import SeededIds
from alpha_panda.adapters.memory.bus import MemoryBus
from alpha_panda.compose.record_search import Budget, RecordSearch
from alpha_panda.contracts.topics import TopicSpec
from alpha_panda.ports import Outgoing, Record, TopicPartition
from alpha_panda.runtime.settings import load_settings
from unit.cli.installed import SECOND, START, SteppedClock

PLACE = TopicPartition("t", 0)
SETTINGS = load_settings(fetch_max_records=100)


async def filled(count: int, *, step: int = SECOND) -> MemoryBus:
    """A topic with a record each `step` ns."""
    clock = SteppedClock()
    bus = MemoryBus(clock, ids=SeededIds(1))
    await bus.ensure_topics([TopicSpec("t", 1), TopicSpec("empty", 1)])
    async with bus.producer("test") as producer:
        for n in range(count):
            await producer.send([Outgoing("t", str(n).encode(), partition=0)])
            clock.time += step
    return bus


async def test_it_begins_at_the_time_and_not_long_before() -> None:
    search = RecordSearch(await filled(3_000), SETTINGS)
    starts = await search.from_time(await search.ranges("t"), START + 2_900 * SECOND)
    assert 2_300 <= starts[PLACE] <= 2_900


@settings(max_examples=20, deadline=None)
@given(st.integers(-10, 1_900), st.sampled_from([0, 1, SECOND]))
async def test_no_record_of_the_time_or_later_is_missed(second: int, step: int) -> None:
    search = RecordSearch(await filled(1_800, step=step), SETTINGS)
    wanted = START + second * (step or 1)
    start = (await search.from_time(await search.ranges("t"), wanted))[PLACE]
    if start:
        before = await search.one(PLACE, start - 1)
        assert before is not None
        assert before.timestamp < wanted


async def test_an_empty_topic_has_no_beginning() -> None:
    search = RecordSearch(await filled(1), SETTINGS)
    assert await search.from_time(await search.ranges("empty"), START) == {}


async def test_one_record_by_its_offset_or_none() -> None:
    bus = await filled(5)
    await bus.delete_records(PLACE, 2)
    search = RecordSearch(bus, SETTINGS)
    found = await search.one(PLACE, 3)
    assert found is not None
    assert found.value == b"3"
    assert [await search.one(PLACE, offset) for offset in (1, 5)] == [None, None]
    assert await search.one(TopicPartition("t", 7), 0) is None


@pytest.mark.parametrize(
    ("allowed", "seconds", "whole", "read"),
    [(10_000, 60.0, True, 1_000), (250, 60.0, False, 300), (10_000, 0.0, False, 0)],
)
async def test_it_reads_no_more_than_the_budget_but_for_a_fetch(
    allowed: int, seconds: float, whole: bool, read: int
) -> None:
    search, budget = RecordSearch(await filled(1_000), SETTINGS), Budget(allowed, seconds)
    seen: list[Record] = []

    def take(record: Record) -> bool:
        seen.append(record)
        return True

    assert await search.read({PLACE: (0, 1_000)}, budget, take) is whole
    assert len(seen) == budget.read == read
    assert budget.spent is not whole


async def test_it_ends_when_enough_was_seen_and_reads_only_what_is_asked() -> None:
    search, budget = RecordSearch(await filled(1_000), SETTINGS), Budget(10_000, 60.0)
    seen: list[bytes] = []

    def take(record: Record) -> bool:
        seen.append(record.value)
        return len(seen) < 3

    assert await search.read({PLACE: (5, 8)}, budget, lambda record: take(record) or True)
    assert seen == [b"5", b"6", b"7"]
    seen.clear()
    assert await search.read({PLACE: (0, 1_000)}, budget, take)
    assert len(seen) == 3
    assert budget.words() == "6 records (6 of t)"
