"""What the memory bus adds to the contract: order across partitions, shared records, observers, faults, misuse."""

import asyncio

import pytest

from alpha_panda.adapters.ids import SeededIds
from alpha_panda.adapters.memory.bus import MemoryBus
from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.contracts.topics import TopicSpec
from alpha_panda.errors import DependencyUnavailableError, MisuseError, RebalancedError, RecordError
from alpha_panda.ports import Outgoing, Record, Subscription, TopicPartition
from alpha_panda.testing.virtual_time import START, run_virtual

TICKS, ORDERS = "demo.market.ticks", "paper.orders.filled"
T0, T1 = TopicPartition(TICKS, 0), TopicPartition(TICKS, 1)
O0 = TopicPartition(ORDERS, 0)


@pytest.fixture
async def bus(clock: VirtualClock) -> MemoryBus:
    bus = MemoryBus(clock)
    await bus.ensure_topics([TopicSpec(TICKS, 2), TopicSpec(ORDERS, 1)])
    return bus


async def send(bus: MemoryBus, *where: tuple[TopicPartition, bytes]) -> None:
    async with bus.producer("test") as producer:
        for tp, value in where:
            await producer.send([Outgoing(tp.topic, value, partition=tp.partition)])


def values(records: list[Record]) -> list[bytes]:
    return [record.value for record in records]


async def test_a_fetch_returns_records_in_the_order_of_their_arrival_on_the_bus(bus: MemoryBus) -> None:
    await send(bus, (T1, b"a"), (O0, b"b"), (T0, b"c"), (T1, b"d"), (O0, b"e"))
    async with bus.consumer(Subscription("g", (TICKS, ORDERS))) as consumer:
        assert values(await consumer.fetch(3)) == [b"a", b"b", b"c"]
        await send(bus, (T0, b"f"))
        assert values(await consumer.fetch(9)) == [b"d", b"e", b"f"]
        await consumer.seek(T1, 0)
        await consumer.seek(O0, 1)
        assert values(await consumer.fetch(9)) == [b"a", b"d", b"e"]


async def test_readers_share_the_record_and_its_decoded_value(bus: MemoryBus) -> None:
    await send(bus, (T0, b"a"))
    alone = Subscription("g", partitions=(T0,))
    async with bus.consumer(alone) as one, bus.consumer(alone) as other:
        (first,), (second,) = await one.fetch(1), await other.fetch(1)
    first.decoded = "decoded once"
    assert second.decoded == "decoded once"


async def test_a_record_carries_the_clock_s_time(bus: MemoryBus, clock: VirtualClock) -> None:
    await clock.advance(5)
    await send(bus, (T0, b"a"))
    async with bus.consumer(Subscription("g", partitions=(T0,))) as consumer:
        assert (await consumer.fetch(1))[0].timestamp == START + 5_000_000_000


async def test_records_without_a_key_go_round(bus: MemoryBus) -> None:
    async with bus.producer("test") as producer:
        landed = await producer.send([Outgoing(TICKS, b"x") for _ in range(5)])
    assert [place.partition for place in landed] == [0, 1, 0, 1, 0]


async def test_a_waiting_reader_wakes_once_for_a_burst(bus: MemoryBus) -> None:
    fetched: list[int] = []

    async def read() -> None:
        async with bus.consumer(Subscription("g", (TICKS,))) as consumer:
            while sum(fetched) < 100:
                fetched.append(len(await consumer.fetch(1000)))

    reader = asyncio.create_task(read())
    await asyncio.sleep(0)
    async with bus.producer("test") as producer:
        await producer.send([Outgoing(TICKS, b"x") for _ in range(60)])
        await producer.send([Outgoing(TICKS, b"x") for _ in range(40)])
    await reader
    assert fetched == [100]


async def test_a_timeout_is_virtual_time_and_leaves_no_timer_behind(
    bus: MemoryBus, clock: VirtualClock
) -> None:
    async with bus.consumer(Subscription("g", (TICKS,))) as consumer:
        assert await consumer.fetch(1, timeout=7) == []
        assert clock.now() == START + 7_000_000_000
        reader = asyncio.create_task(consumer.fetch(1, timeout=60))
        await asyncio.sleep(0)
        await send(bus, (T0, b"a"))
        assert values(await reader) == [b"a"]
        await clock.sleep(1)
        assert clock.now() == START + 8_000_000_000
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert await consumer.fetch(1, timeout=0) == []


async def test_a_cancelled_fetch_loses_nothing(bus: MemoryBus) -> None:
    async with bus.consumer(Subscription("g", (TICKS,))) as consumer:
        reader = asyncio.create_task(consumer.fetch(1))
        await asyncio.sleep(0)
        await send(bus, (T0, b"a"))  # the reader is released, and cancelled before it runs
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        assert values(await consumer.fetch(1)) == [b"a"]


# ----------------------------------------------------------------------------------------------------- groups


async def test_topics_that_appear_later_are_assigned_then(bus: MemoryBus) -> None:
    late = TopicPartition("late", 0)
    async with bus.consumer(Subscription("g", (ORDERS, "late"))) as consumer:
        assert consumer.assignment() == {O0}
        reader = asyncio.create_task(consumer.fetch(1))
        await bus.ensure_topics([TopicSpec("late", 1)])
        assert consumer.assignment() == {O0, late}
        await send(bus, (late, b"a"))
        assert values(await reader) == [b"a"]


async def test_a_waiting_member_gets_what_a_leaver_left(bus: MemoryBus) -> None:
    async with bus.consumer(Subscription("g", (TICKS,))) as stays:
        async with bus.consumer(Subscription("g", (TICKS,))) as leaves:
            reader = asyncio.create_task(stays.fetch(1))
            await send(bus, (T1, b"a"))
            assert values(await leaves.fetch(1)) == [b"a"]
            assert not reader.done()
        assert values(await reader) == [b"a"]


async def test_a_partition_that_stays_keeps_its_position(bus: MemoryBus) -> None:
    await send(bus, (T0, b"a"), (T1, b"b"))
    async with bus.consumer(Subscription("g", (TICKS,))) as old:
        await old.fetch(2)
        async with bus.consumer(Subscription("g", (TICKS,))) as new:
            assert old.assignment() == {T0}
            assert new.assignment() == {T1}
            assert old.position(T0) == 1
            assert values(await new.fetch(2)) == [b"b"]
            await old.commit({T0: 1})


async def test_what_was_fetched_before_a_partition_went_and_came_back_cannot_be_committed(
    bus: MemoryBus,
) -> None:
    await send(bus, (T1, b"a"), (T1, b"b"), (T1, b"c"))
    async with bus.consumer(Subscription("g", (TICKS,))) as old:
        await old.fetch(1)
        async with bus.consumer(Subscription("g", (TICKS,))) as new:
            await new.fetch(2)
            await new.commit({T1: 2})
        assert old.position(T1) == 2
        with pytest.raises(RebalancedError):
            await old.commit({T1: 1})  # would undo the other's commit
        with pytest.raises(RebalancedError):
            await old.commit({T1: 3})  # would skip what was never delivered
        assert await old.committed(T1) == 2


async def test_each_change_of_members_is_a_generation(bus: MemoryBus) -> None:
    assert bus.generation("g") == 0
    async with bus.consumer(Subscription("g", (TICKS,))):
        assert bus.generation("g") == 1
        async with bus.consumer(Subscription("g", (TICKS,))):
            assert bus.generation("g") == 2
        await bus.ensure_topics([TopicSpec("unrelated", 1)])
        assert bus.generation("g") == 3
    assert bus.generation("g") == 4


async def test_a_deleted_topic_leaves_its_group_and_comes_back_empty(bus: MemoryBus) -> None:
    await send(bus, (O0, b"old"))
    async with bus.consumer(Subscription("g", (TICKS, ORDERS))) as consumer:
        await consumer.fetch(1)
        await consumer.commit({O0: 1})
        bus.delete_topic(ORDERS)
        assert consumer.assignment() == {T0, T1}
        await bus.ensure_topics([TopicSpec(ORDERS, 1)])
        assert await consumer.committed(O0) is None
        await send(bus, (O0, b"new"))
        assert values(await consumer.fetch(9)) == [b"new"]


async def test_a_reader_by_itself_is_told_that_its_topic_is_gone(bus: MemoryBus) -> None:
    async with bus.consumer(Subscription("g", partitions=(O0,))) as consumer:
        reader = asyncio.create_task(consumer.fetch(1))
        await asyncio.sleep(0)
        bus.delete_topic(ORDERS)
        with pytest.raises(DependencyUnavailableError, match="deleted"):
            await reader


async def test_a_position_beyond_the_end_is_fine_once_the_end_gets_there(bus: MemoryBus) -> None:
    async with bus.consumer(Subscription("g", partitions=(T0,))) as consumer:
        await consumer.seek(T0, 1)
        await send(bus, (T0, b"a"))
        assert await consumer.fetch(1, timeout=1) == []
        await send(bus, (T0, b"b"))
        assert values(await consumer.fetch(2)) == [b"b"]


async def test_topic_identities_come_from_the_id_source(clock: VirtualClock) -> None:
    bus = MemoryBus(clock, ids=SeededIds(7))
    await bus.ensure_topics([TopicSpec(TICKS, 1)])
    assert await bus.topic_id(TICKS) == SeededIds(7).new_id()


# --------------------------------------------------------------------------------------- observers and faults


async def test_an_observer_sees_every_record_as_it_is_appended(bus: MemoryBus) -> None:
    seen: list[str] = []
    stop = bus.observe(lambda record: seen.append(record.id))
    await send(bus, (T1, b"a"), (O0, b"b"), (T1, b"c"))
    stop()
    await send(bus, (T1, b"d"))
    assert seen == [f"{TICKS}/1/0", f"{ORDERS}/0/0", f"{TICKS}/1/1"]


async def test_a_send_can_fail_before_or_after_its_records_were_written(bus: MemoryBus) -> None:
    bus.faults.fail_sends(2)
    for _ in range(2):
        with pytest.raises(DependencyUnavailableError, match="not written"):
            await send(bus, (T0, b"a"))
    assert (await bus.offsets(TICKS))[T0] == (0, 0)
    bus.faults.fail_sends(written=True)
    with pytest.raises(DependencyUnavailableError):
        await send(bus, (T0, b"b"))
    await send(bus, (T0, b"c"))
    assert (await bus.offsets(TICKS))[T0] == (0, 2)
    assert not bus.faults.pending


async def test_a_fault_waits_for_its_topic(bus: MemoryBus) -> None:
    bus.faults.fail_sends(topic=ORDERS)
    await send(bus, (T0, b"a"))
    with pytest.raises(DependencyUnavailableError):
        await send(bus, (O0, b"b"))


async def test_a_delivery_can_be_repeated(bus: MemoryBus) -> None:
    bus.faults.redeliver()
    await send(bus, (T0, b"a"), (T0, b"b"))
    async with bus.consumer(Subscription("g", (TICKS,))) as consumer:
        assert values(await consumer.fetch(9)) == [b"a", b"b"]
        await consumer.commit({T0: 2})
        await send(bus, (T0, b"c"))
        assert values(await consumer.fetch(1)) == [b"a"]
        assert values(await consumer.fetch(9)) == [b"b"]
        assert values(await consumer.fetch(9)) == [b"c"]


async def test_a_repeated_delivery_goes_away_with_its_partition(bus: MemoryBus) -> None:
    bus.faults.redeliver()
    await send(bus, (T0, b"a"), (T1, b"b"))
    async with bus.consumer(Subscription("g", (TICKS,))) as old:
        await old.fetch(9)
        async with bus.consumer(Subscription("g", (TICKS,))):
            assert values(await old.fetch(9)) == [b"a"]


# ----------------------------------------------------------------------------------------------------- misuse


async def test_a_subscription_is_either_shared_or_alone(bus: MemoryBus) -> None:
    for subscription in (Subscription("g"), Subscription("g", (TICKS,), (T0,))):
        with pytest.raises(MisuseError, match="topics"):
            await bus.consumer(subscription).__aenter__()


async def test_partitions_must_exist(bus: MemoryBus) -> None:
    async with bus.producer("test") as producer:
        with pytest.raises(MisuseError, match="2 partitions"):
            await producer.send([Outgoing(TICKS, b"ok"), Outgoing(TICKS, b"x", partition=2)])
    assert await bus.offsets(TICKS) == {T0: (0, 0), T1: (0, 0)}  # nothing of that send was written
    with pytest.raises(DependencyUnavailableError, match="nowhere"):
        await bus.consumer(Subscription("g", partitions=(TopicPartition("nowhere", 0),))).__aenter__()
    with pytest.raises(DependencyUnavailableError, match="nowhere"):
        await bus.topic_id("nowhere")


async def test_two_tasks_cannot_fetch_from_one_consumer(bus: MemoryBus) -> None:
    async with bus.consumer(Subscription("g", (TICKS,))) as consumer:
        reader = asyncio.create_task(consumer.fetch(1))
        await asyncio.sleep(0)
        with pytest.raises(MisuseError, match="two tasks"):
            await consumer.fetch(1)
        await send(bus, (T0, b"a"))
        assert values(await reader) == [b"a"]


async def test_what_was_closed_says_so(bus: MemoryBus) -> None:
    async with bus.consumer(Subscription("g", (TICKS,))) as consumer, bus.producer("test") as producer:
        reader = asyncio.create_task(consumer.fetch(1))
        await asyncio.sleep(0)
    with pytest.raises(MisuseError, match="closed"):
        await reader
    with pytest.raises(MisuseError, match="closed"):
        await consumer.commit({})
    with pytest.raises(MisuseError, match="closed"):
        await producer.send([])


async def test_foreign_partitions_and_empty_fetches_are_refused(bus: MemoryBus) -> None:
    async with bus.consumer(Subscription("g", partitions=(T0,))) as consumer:
        with pytest.raises(MisuseError, match=f"{TICKS}/1"):
            consumer.position(T1)
        with pytest.raises(MisuseError, match="0 records"):
            await consumer.fetch(0)


async def test_a_compacted_topic_takes_no_record_without_a_key(bus: MemoryBus) -> None:
    await bus.ensure_topics([TopicSpec("paper.portfolio", 1, compacted=True)])
    async with bus.producer("test") as producer:
        with pytest.raises(RecordError, match="key"):
            await producer.send([Outgoing("paper.portfolio", b"x")])


def test_a_fetch_with_a_timeout_on_the_wrong_loop_says_what_is_wrong() -> None:
    async def main() -> None:
        bus = MemoryBus(VirtualClock(START))
        await bus.ensure_topics([TopicSpec(TICKS, 1)])
        async with bus.consumer(Subscription("g", (TICKS,))) as consumer:
            await consumer.fetch(1, timeout=1)

    with pytest.raises(MisuseError, match="IdleAwareEventLoop"), asyncio.Runner() as runner:
        runner.run(main())


def test_run_virtual_returns_the_program_s_result() -> None:
    async def main(clock: VirtualClock) -> int:
        await clock.sleep(1)
        return clock.now()

    assert run_virtual(main, start=5) == 1_000_000_005
