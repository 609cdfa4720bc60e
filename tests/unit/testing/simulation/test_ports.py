import asyncio
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

import pytest

from alpha_panda.adapters.ids import SeededIds
from alpha_panda.contracts.topics import TopicSpec
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.errors import RebalancedError
from alpha_panda.ports import Outgoing, Subscription, TopicPartition
from alpha_panda.testing.simulation.clock import SkewedClock
from alpha_panda.testing.simulation.loop import Process, SimulatedLoop, abandon
from alpha_panda.testing.simulation.network import Network, Server
from alpha_panda.testing.simulation.ports import SESSION_TIMEOUT, RemoteBus, RemoteConsumer, SharedBus

TOPIC, GROUP = "t", "g"
SESSION = SESSION_TIMEOUT / SECOND_NS


class Bench:
    def __init__(self) -> None:
        self.loop = SimulatedLoop(Random(7))
        self.network = Network(self.loop, Random(7))
        self.bus = SharedBus(SkewedClock(self.loop), ids=SeededIds(1), retain_records=None, max_backlog=None)

    def member(self, name: str) -> tuple[Process, RemoteBus, RemoteConsumer]:
        process = Process(name)
        remote = RemoteBus(self.network, process, self.bus)
        consumer = RemoteConsumer(self.network, process, self.bus, Subscription(GROUP, topics=(TOPIC,)))
        remote.members.append(consumer)
        consumer.open()
        return process, remote, consumer

    async def produce(self, *values: bytes) -> None:
        async with self.bus.producer("test") as producer:
            await producer.send([Outgoing(TOPIC, value, partition=0) for value in values])


def run(main: Callable[[Bench], Coroutine[Any, Any, Any]]) -> Any:
    async def prepared(bench: Bench) -> None:
        await bench.bus.ensure_topics([TopicSpec(TOPIC, 2)])
        await main(bench)

    bench = Bench()
    try:
        bench.loop.run_until_complete(prepared(bench))
    finally:
        abandon(bench.loop)


def test_a_member_that_is_silent_for_a_session_loses_its_partitions_and_joins_anew() -> None:
    async def main(bench: Bench) -> None:
        _, first_bus, first = bench.member("a")
        _, _, second = bench.member("b")
        assert len(first.assignment()) == len(second.assignment()) == 1
        first_bus.silence()
        await asyncio.sleep(SESSION - 0.1)
        assert len(second.assignment()) == 1
        await asyncio.sleep(0.2)
        assert (len(first.assignment()), len(second.assignment())) == (0, 2)
        first_bus.voice()
        await asyncio.sleep(1)
        assert len(first.assignment()) == len(second.assignment()) == 1

    run(main)


def test_a_member_that_is_heard_in_time_keeps_them() -> None:
    async def main(bench: Bench) -> None:
        _, bus, consumer = bench.member("a")
        bus.silence()
        await asyncio.sleep(SESSION / 2)
        bus.voice()
        await asyncio.sleep(SESSION)
        assert len(consumer.assignment()) == 2
        assert bench.network.counts["session timed out"] == 0

    run(main)


def test_nobody_hears_a_dead_member_again() -> None:
    async def main(bench: Bench) -> None:
        process, bus, _ = bench.member("a")
        _, _, second = bench.member("b")
        bench.loop.kill(process)
        bus.silence()
        bus.voice()  # the end of a split, say
        await asyncio.sleep(SESSION + 0.1)
        assert len(second.assignment()) == 2

    run(main)


def test_who_was_expelled_can_not_commit_what_it_had_in_hand() -> None:
    async def main(bench: Bench) -> None:
        _, bus, first = bench.member("a")
        await bench.produce(b"1", b"2")
        partition = TopicPartition(TOPIC, 0)
        assert [record.value for record in await first.fetch(10)] == [b"1", b"2"]
        bus.silence()
        await asyncio.sleep(SESSION + 0.1)
        with pytest.raises(RebalancedError):
            await first.commit({partition: 2})
        bus.voice()
        await asyncio.sleep(1)
        assert [record.value for record in await first.fetch(10)] == [b"1", b"2"]  # once more

    run(main)


def test_a_rebalance_delivers_again_what_was_not_committed() -> None:
    async def main(bench: Bench) -> None:
        _, _, consumer = bench.member("a")
        await bench.produce(b"1")
        assert len(await consumer.fetch(10)) == 1
        consumer.rebalance()
        assert [record.value for record in await consumer.fetch(10)] == [b"1"]
        await consumer.commit({TopicPartition(TOPIC, 0): 1})
        consumer.rebalance()
        assert await consumer.fetch(10, timeout=1) == []

    run(main)


def test_behind_a_split_records_arrive_when_it_is_over() -> None:
    async def main(bench: Bench) -> None:
        _, _, consumer = bench.member("a")
        bench.network.split["a", Server.BUS] = 3 * SECOND_NS
        await bench.produce(b"1")
        assert len(await consumer.fetch(10)) == 1
        assert bench.loop.now_ns >= 3 * SECOND_NS

    run(main)


def test_a_consumer_that_closes_leaves_at_once_and_only_once() -> None:
    async def main(bench: Bench) -> None:
        _, _, first = bench.member("a")
        _, _, second = bench.member("b")
        first.close()
        first.close()
        assert len(second.assignment()) == 2

    run(main)
