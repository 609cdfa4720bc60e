"""The promises of a group, under any interleaving of sends, fetches, commits, kills and joins."""

import os
import subprocess
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from alpha_panda.adapters.memory.bus import MemoryBus
from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.adapters.memory.consumer import MemoryConsumer
from alpha_panda.contracts.topics import TopicSpec
from alpha_panda.errors import RebalancedError
from alpha_panda.ports import Outgoing, Record, Subscription, TopicPartition
from alpha_panda.testing.virtual_time import run_virtual

PARTITIONS = 3
GROUP = Subscription("g", ("t",))

Step = tuple[str, int, int]
sends = st.tuples(st.just("send"), st.integers(0, PARTITIONS - 1), st.integers(1, 6))
others = st.tuples(
    st.sampled_from(["fetch", "fetch", "commit", "commit", "kill", "join", "repeat"]),
    st.integers(0, 3),
    st.integers(1, 8),
)
programs = st.lists(sends | others, min_size=15, max_size=60)


@dataclass
class Member:
    consumer: MemoryConsumer
    life: AsyncExitStack
    done: dict[TopicPartition, int] = field(default_factory=dict)  # next offset after what it was given


@dataclass
class World:
    """A group, what it was given, and what it must not be given."""

    bus: MemoryBus
    members: list[Member] = field(default_factory=list)
    delivered: set[str] = field(default_factory=set)
    committed: dict[TopicPartition, int] = field(default_factory=dict)
    trace: list[str] = field(default_factory=list)

    async def join(self) -> None:
        life = AsyncExitStack()
        self.members.append(Member(await life.enter_async_context(self.bus.consumer(GROUP)), life))

    async def make_known(self) -> None:
        """Commit the beginning, so that the group's records are kept even while it has no member."""
        for partition in range(PARTITIONS):
            await self.members[0].consumer.commit({TopicPartition("t", partition): 0})

    async def kill(self, which: int) -> None:
        if self.members:
            await self.members.pop(which % len(self.members)).life.aclose()

    async def send(self, partition: int, count: int) -> None:
        async with self.bus.producer("p") as producer:
            await producer.send([Outgoing("t", b"x", partition=partition)] * count)

    async def fetch(self, which: int, count: int) -> int:
        if not self.members:
            return 0
        member = self.members[which % len(self.members)]
        repeats = {record.id for record in member.consumer._again}
        records = await member.consumer.fetch(count, timeout=0)
        for record in records:
            self.trace.append(f"{which} {record.id}")
            self.delivered.add(record.id)
            if record.id not in repeats:
                self.check_order(member, record)
        return len(records)

    def check_order(self, member: Member, record: Record) -> None:
        tp = TopicPartition(record.topic, record.partition)
        committed = self.committed.get(tp, 0)
        assert record.offset >= committed, "a committed record came again"
        assert record.offset in (member.done.get(tp), committed), "a record was skipped"
        member.done[tp] = record.offset + 1

    async def commit(self, which: int) -> None:
        if not self.members:
            return
        member = self.members[which % len(self.members)]
        for tp, offset in member.done.items():
            try:
                await member.consumer.commit({tp: offset})
            except RebalancedError:
                continue
            assert tp in member.consumer.assignment()
            self.committed[tp] = max(offset, self.committed.get(tp, 0))
            assert await member.consumer.committed(tp) == self.committed[tp], "a commit went backwards"

    async def step(self, what: str, a: int, b: int) -> None:
        match what:
            case "send":
                await self.send(a, b)
            case "fetch":
                await self.fetch(a, b)
            case "commit":
                await self.commit(a)
            case "kill":
                await self.kill(a)
            case "join" if len(self.members) < 4:
                await self.join()
            case "repeat":
                self.bus.faults.redeliver()
            case _:
                pass

    async def drain(self) -> None:
        """Kill all; a new member must be given whatever was not committed."""
        while self.members:
            await self.kill(0)
        await self.join()
        while await self.fetch(0, 100):
            pass
        await self.kill(0)


def play(program: list[Step], retain: int | None) -> World:
    async def main(clock: VirtualClock) -> World:
        world = World(MemoryBus(clock, retain_records=retain, max_backlog=None))
        await world.bus.ensure_topics([TopicSpec("t", PARTITIONS)])
        await world.join()
        await world.make_known()
        for step in program:
            await world.step(*step)
        await world.drain()
        return world

    return run_virtual(main)


@settings(max_examples=150, deadline=None)
@given(program=programs, retain=st.sampled_from([None, 0, 1, 4]))
def test_each_record_comes_at_least_once_in_order_and_never_after_its_commit(
    program: list[Step], retain: int | None
) -> None:
    world = play(program, retain)
    sent = [0] * PARTITIONS
    for what, partition, count in program:
        if what == "send":
            sent[partition] += count
    assert world.delivered == {f"t/{p}/{offset}" for p in range(PARTITIONS) for offset in range(sent[p])}


@settings(max_examples=50, deadline=None)
@given(program=programs)
def test_the_same_program_gives_the_same_trace(program: list[Step]) -> None:
    assert play(program, 4).trace == play(program, 4).trace


PIPELINE = """
import asyncio
from alpha_panda.adapters.memory.bus import MemoryBus
from alpha_panda.contracts.topics import TopicSpec
from alpha_panda.ports import Outgoing, Subscription
from alpha_panda.testing.virtual_time import run_virtual

async def main(clock):
    bus = MemoryBus(clock, retain_records=20, max_backlog=5)
    names = [f"topic-{n}" for n in range(5)]
    await bus.ensure_topics([TopicSpec(name, 3) for name in names])
    bus.observe(lambda record: print("sent", record.id, record.timestamp))

    async def service(name, reads, writes):
        async with bus.consumer(Subscription("g", reads)) as consumer, bus.producer(name) as producer:
            while True:
                for record in await consumer.fetch(4, timeout=3):
                    print(name, record.id)
                    if writes:
                        await producer.send([Outgoing(writes, record.value, key=record.id)])
                await clock.sleep(0.5)

    tasks = [asyncio.create_task(service(f"service-{n}", tuple(names[:2 + n]), names[4 - n])) for n in range(2)]
    async with bus.producer("source") as source:
        for n in range(40):
            await source.send([Outgoing(name, b"x", key=f"{name}:{n}") for name in names[:2]])
            await clock.advance(1)
    for task in tasks:
        task.cancel()

run_virtual(main)
"""


def test_a_trace_does_not_depend_on_the_hash_seed() -> None:
    traces = [
        subprocess.run(  # noqa: S603 - our own interpreter and program
            [sys.executable, "-c", PIPELINE],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=True,
            timeout=60,
        ).stdout
        for seed in ("1", "2")
    ]
    assert traces[0] == traces[1]
    assert traces[0].count(b"\n") > 200
