"""The database under the memory stores: images, restarts, faults, waiting, and steps that nothing interrupts."""

import asyncio
from collections import deque
from collections.abc import Coroutine
from typing import Any

import pytest

from alpha_panda.adapters.memory.control import MemoryControlStore
from alpha_panda.adapters.memory.database import (
    EMPTY_IMAGE,
    REVISIONS_PER_RUN,
    MemoryDatabase,
    Section,
    reading,
    script,
)
from alpha_panda.contracts.enums import TradingState
from alpha_panda.contracts.keys import KeyMap
from alpha_panda.contracts.units import nanoseconds
from alpha_panda.errors import DependencyUnavailableError, FencedError, UnknownOutcomeError
from contracts.memory_stores import CountedIds, ManualClock


class Tally(Section):
    def __init__(self) -> None:
        self.names: dict[str, dict[str, None]] = {}
        self.times: deque[int] = deque(maxlen=3)
        self.total = 0


class TallyStore:
    def __init__(self, database: MemoryDatabase) -> None:
        self.database = database

    @script
    def add(self, name: str, number: int = 1) -> int:
        tally = self._tally()
        tally.names.setdefault(name, {})[str(number)] = None
        tally.times.append(number)
        tally.total += number
        return tally.total

    @script
    def refuse(self) -> None:
        raise FencedError("stale")

    @reading
    def total(self) -> int:
        return self._tally().total

    def _tally(self) -> Tally:
        return self.database.section("tally", Tally)


@pytest.fixture
def database() -> MemoryDatabase:
    return MemoryDatabase(ManualClock(), CountedIds())


@pytest.fixture
def tally(database: MemoryDatabase) -> TallyStore:
    return TallyStore(database)


def finished(operation: Coroutine[Any, Any, Any]) -> Any:
    """Run an operation that must not suspend."""
    try:
        operation.send(None)
    except StopIteration as end:
        return end.value
    operation.close()
    raise AssertionError("the operation suspended")


def test_operation_never_suspends_unless_the_database_yields(tally: TallyStore) -> None:
    assert finished(tally.add("a", 3)) == 3
    tally.database.yields = True
    with pytest.raises(AssertionError, match="suspended"):
        finished(tally.add("a", 4))
    assert tally._tally().total == 7


async def test_image_shares_nothing_with_what_comes_after(
    database: MemoryDatabase, tally: TallyStore
) -> None:
    await tally.add("a", 1)
    image = database.checkpoint_image()
    await tally.add("a", 2)
    await tally.add("b", 3)
    database.restart(image)
    found = tally._tally()
    assert (found.names, list(found.times), found.times.maxlen, found.total) == (
        {"a": {"1": None}},
        [1],
        3,
        1,
    )


async def test_image_survives_the_restart_that_used_it(database: MemoryDatabase, tally: TallyStore) -> None:
    await tally.add("a", 1)
    image = database.checkpoint_image()
    for _ in range(2):
        database.restart(image)
        await tally.add("a", 5)
        assert await tally.total() == 6


async def test_restart_keeps_all_or_nothing_and_renews_the_run_id(
    database: MemoryDatabase, tally: TallyStore
) -> None:
    await tally.add("a", 1)
    runs = [database.run_id]
    database.restart()
    assert await tally.total() == 1
    runs.append(database.run_id)
    database.restart(EMPTY_IMAGE)
    assert await tally.total() == 0
    runs.append(database.run_id)
    assert len(set(runs)) == 3


def test_counts_and_revisions_go_on_over_a_loss(database: MemoryDatabase) -> None:
    assert [database.count("a"), database.count("a"), database.count("b")] == [1, 2, 1]
    assert database.revision_floor == 0
    database.restart(EMPTY_IMAGE)
    assert database.count("a") == 3
    assert database.revision_floor == REVISIONS_PER_RUN


async def test_refused_operation_was_not_applied(database: MemoryDatabase, tally: TallyStore) -> None:
    database.faults.refuse()
    with pytest.raises(DependencyUnavailableError):
        await tally.add("a", 1)
    assert await tally.total() == 0
    assert await tally.add("a", 1) == 1


async def test_unanswered_write_was_applied(database: MemoryDatabase, tally: TallyStore) -> None:
    database.faults.lose_reply()
    with pytest.raises(UnknownOutcomeError):
        await tally.add("a", 1)
    assert await tally.total() == 1


async def test_unanswered_reading_is_known_to_have_changed_nothing(
    database: MemoryDatabase, tally: TallyStore
) -> None:
    database.faults.lose_reply()
    with pytest.raises(DependencyUnavailableError):
        await tally.total()


async def test_unanswered_refusal_is_as_unknown_as_a_success(
    database: MemoryDatabase, tally: TallyStore
) -> None:
    database.faults.lose_reply()
    with pytest.raises(UnknownOutcomeError):
        await tally.refuse()


async def test_fault_can_wait_for_one_operation(database: MemoryDatabase, tally: TallyStore) -> None:
    database.faults.refuse("total")
    database.faults.lose_reply("add")
    with pytest.raises(UnknownOutcomeError):
        await tally.add("a")
    assert await tally.add("a") == 2
    with pytest.raises(DependencyUnavailableError):
        await tally.total()
    assert not database.faults


async def test_faults_come_in_order(database: MemoryDatabase, tally: TallyStore) -> None:
    database.faults.refuse()
    database.faults.lose_reply()
    with pytest.raises(DependencyUnavailableError):
        await tally.add("a")
    with pytest.raises(UnknownOutcomeError):
        await tally.add("a")
    assert await tally.total() == 1


async def test_installations_with_other_prefixes_share_nothing() -> None:
    clock, ids = ManualClock(), CountedIds()
    database = MemoryDatabase(clock, ids, KeyMap("blue."))
    await MemoryControlStore(database).put_spec("platform", TradingState.ACTIVE, 1)
    assert "blue.control:platform:spec" in database._sections


async def test_waiters_are_woken_once_and_forgotten(database: MemoryDatabase) -> None:
    async def wait() -> None:
        with database.waiter("prices") as woken:
            await woken

    tasks = [asyncio.ensure_future(wait()) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    database.notify("other")
    assert not any(task.done() for task in tasks)
    database.notify("prices")
    database.notify("prices")
    await asyncio.gather(tasks[0], tasks[2])
    await asyncio.gather(tasks[1], return_exceptions=True)
    assert not database._waiters["prices"]


@pytest.mark.parametrize(("seconds", "expected"), [(1, 1_000_000_000), (0.1, 100_000_000), (1e-9, 1), (0, 0)])
def test_seconds_become_whole_nanoseconds(seconds: float, expected: int) -> None:
    assert nanoseconds(seconds) == expected
