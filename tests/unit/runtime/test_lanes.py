"""The promises of lanes under any schedule: keys in order, no more at once, nothing committed over what is undone."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Self

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_panda.errors import FencedError
from alpha_panda.ports import Record, TopicPartition
from alpha_panda.runtime.lanes import Lanes
from alpha_panda.runtime.tasks import Crew, Runner, intake

PLACE = TopicPartition("t", 0)


def record(offset: int, key: str | None, partition: int = 0) -> Record:
    return Record("t", partition, offset, key, b"", (), 0)


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@dataclass
class Bench:
    """Lanes under a runner of their own; each record is in hand until the test ends it."""

    width: int = 2
    max_records: int = 100
    begun: list[Record] = field(default_factory=list)
    ends: dict[Record, "asyncio.Future[None]"] = field(default_factory=dict)
    committed: dict[TopicPartition, int] = field(default_factory=dict)
    lanes: Lanes = field(init=False)
    runner: Runner = field(init=False)

    async def __aenter__(self) -> Self:
        self.crew = Crew(5)
        self.runner = Runner("r", self._run, gated=True)
        self.lanes = Lanes(self.runner, self._handle, lambda: self.width, self.max_records)
        self.serving = asyncio.create_task(self.crew.serve([self.runner]))
        await settle()
        return self

    async def __aexit__(self, *error: object) -> None:
        self.serving.cancel()
        await asyncio.gather(self.serving, return_exceptions=True)

    async def _run(self) -> None:
        try:
            while True:
                await self.lanes.progress()
                self.committed.update(self.lanes.take_done())
        finally:
            await self.lanes.close()

    async def _handle(self, record: Record) -> None:
        self.begun.append(record)
        self.ends[record] = asyncio.get_running_loop().create_future()
        try:
            await self.ends[record]
        finally:
            del self.ends[record]

    async def put(self, *records: Record) -> None:
        self.lanes.put(records)
        await settle()

    async def end(self, record: Record, error: BaseException | None = None) -> None:
        if error is None:
            self.ends[record].set_result(None)
        else:
            self.ends[record].set_exception(error)
        await settle()


@settings(max_examples=150, deadline=None)
@given(
    keys=st.lists(
        st.tuples(st.sampled_from(["a", "b", "c", None]), st.integers(0, 1), st.booleans()), max_size=14
    ),
    width=st.integers(1, 3),
    data=st.data(),
)
def test_under_any_schedule(
    keys: list[tuple[str | None, int, bool]], width: int, data: st.DataObject
) -> None:
    async def play() -> None:
        offsets: defaultdict[int, int] = defaultdict(int)
        done: set[Record] = set()
        taken: list[Record] = []
        async with Bench(width) as bench:

            async def end_one() -> None:
                if bench.ends:
                    chosen = data.draw(st.sampled_from(list(bench.ends)))
                    done.add(chosen)
                    await bench.end(chosen)

            def check() -> None:
                assert len(bench.ends) <= width
                assert len({item.key for item in bench.ends}) == len(bench.ends)
                free = {item.key for item in taken if item not in done} - {item.key for item in bench.ends}
                assert len(bench.ends) == width or not free, "a record waits beside a free worker"
                for place, offset in bench.committed.items():
                    before = [r for r in taken if r.partition == place.partition and r.offset < offset]
                    assert all(item in done for item in before)

            for key, partition, ends in keys:
                item = record(offsets[partition], key, partition)
                offsets[partition] += 1
                taken.append(item)
                await bench.put(item)
                check()
                if ends:
                    await end_one()
                    check()
            while bench.ends:
                await end_one()
                check()
            assert done == set(taken)
            for key in ("a", "b", "c", None):
                assert [r for r in bench.begun if r.key == key] == [r for r in taken if r.key == key]
            assert {place.partition: offset for place, offset in bench.committed.items()} == dict(offsets)

    asyncio.run(play())


async def test_room_counts_what_is_done_behind_a_record_that_is_not() -> None:
    async with Bench(max_records=3) as bench:
        first, second, third = (record(n, str(n)) for n in range(3))
        await bench.put(first, second, third)
        room = asyncio.create_task(bench.lanes.room())
        await bench.end(second)
        assert not room.done()
        await bench.end(first)
        assert await room == 2
        assert bench.committed == {PLACE: 2}


async def test_an_older_record_that_came_again_neither_loses_nor_repeats_what_is_undone() -> None:
    """The partition went away while 5 was in hand, and came back further on, at 20."""
    async with Bench() as bench:
        old, new, newer = record(5, "a"), record(20, "a"), record(21, "b")
        await bench.put(old)
        await bench.put(new, newer)
        await bench.end(newer)
        assert bench.committed == {}
        await bench.end(old)
        assert bench.committed == {PLACE: 6}
        await bench.end(new)
        assert bench.committed == {PLACE: 22}


async def test_the_first_error_lets_what_is_in_hand_end_and_interrupts_what_only_waits() -> None:
    async with Bench(width=3) as bench:
        waiting = asyncio.Event()

        async def feed() -> None:
            waiting.set()
            await intake(asyncio.Event().wait())

        bench.lanes.feed_by(feed)
        held, failing, later = record(0, "a"), record(1, "b"), record(2, "b")
        await bench.put(held, failing, later)
        await bench.end(failing, FencedError("stale"))
        await bench.put(record(3, "c"))
        assert not bench.serving.done()
        await bench.end(held)
        with pytest.raises(FencedError):
            await bench.serving
        assert bench.begun == [held, failing]


async def test_when_only_one_may_work_the_others_step_back_and_come_again() -> None:
    async with Bench(width=2) as bench:
        items = [record(n, key) for n, key in enumerate("abcdab")]
        await bench.put(*items)
        assert len(bench.ends) == 2
        bench.width = 1
        await bench.end(items[0])
        assert list(bench.ends) == [items[1]]
        await bench.end(items[1])
        assert len(bench.ends) == 1
        bench.width = 2
        await bench.end(next(iter(bench.ends)))
        assert len(bench.ends) == 2
        while bench.ends:
            await bench.end(next(iter(bench.ends)))
        assert bench.committed == {PLACE: 6}
