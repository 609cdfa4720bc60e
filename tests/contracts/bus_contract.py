"""What every EventBus adapter promises, as tests: subclass `BusContract`, give it a fixture `bus`."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import ClassVar

import pytest

from alpha_panda.adapters.ids import RandomIds
from alpha_panda.contracts.topics import TopicSpec, key_partition
from alpha_panda.errors import (
    DependencyUnavailableError,
    MisuseError,
    OffsetOutOfRangeError,
    RebalancedError,
    RecordError,
    TopicMismatchError,
)
from alpha_panda.ports import (
    Consumer,
    EventBus,
    Outgoing,
    Record,
    RecordPosition,
    Subscription,
    TopicPartition,
)

PARTITIONS = 4


class BusContract:
    """Holds for a bus that may keep topics of earlier runs: every test uses a topic and groups of its own.

    An adapter overrides `delete_topic` by what its broker's administrator would do, and `patience` and `quiet` where
    its clock is a real one.
    """

    patience: ClassVar[float] = 20.0
    """Seconds in which a broker delivers what it has."""
    quiet: ClassVar[float] = 2.0
    """Seconds without a record after which we believe that none comes."""

    @pytest.fixture
    def topic(self) -> str:
        return f"contract-{RandomIds().new_id()}"

    @pytest.fixture
    async def spread(self, bus: EventBus, topic: str) -> list[TopicPartition]:
        """Four partitions of the topic."""
        await bus.ensure_topics([TopicSpec(topic, PARTITIONS)])
        return [TopicPartition(topic, partition) for partition in range(PARTITIONS)]

    @pytest.fixture
    async def single(self, bus: EventBus, topic: str) -> TopicPartition:
        """The only partition of the topic."""
        await bus.ensure_topics([TopicSpec(topic, 1)])
        return TopicPartition(topic, 0)

    async def delete_topic(self, bus: EventBus, topic: str) -> None:
        raise NotImplementedError

    # ------------------------------------------------------------------------------------------- helpers

    async def send(
        self, bus: EventBus, partition: TopicPartition, values: Sequence[bytes]
    ) -> list[RecordPosition]:
        records = [Outgoing(partition.topic, value, partition=partition.partition) for value in values]
        async with bus.producer("contract") as producer:
            return await producer.send(records)

    async def read(self, consumer: Consumer, count: int) -> list[Record]:
        """Fetch until `count` records have come; fewer come only if the bus stays silent for `patience`."""
        records: list[Record] = []
        while len(records) < count:
            batch = await consumer.fetch(count - len(records), timeout=self.patience)
            if not batch:
                break
            records.extend(batch)
        return records

    async def settle(self, members: Sequence[Consumer]) -> None:
        """Let a group's members take part in its protocol until all have partitions."""
        for _ in range(100):
            if all(member.assignment() for member in members) and _disjoint(members):
                assert all(member.joined() for member in members)
                return
            for member in members:
                await member.fetch(1, timeout=self.quiet / 10)
        pytest.fail("the group did not settle")

    # --------------------------------------------------------------------------------------------- topics

    async def test_ensuring_the_same_topics_again_changes_nothing(self, bus: EventBus, topic: str) -> None:
        await bus.ensure_topics([TopicSpec(topic, 2)])
        before = await bus.topic_id(topic)
        await bus.ensure_topics([TopicSpec(topic, 2)])
        assert await bus.topic_id(topic) == before
        assert sorted(tp.partition for tp in await bus.offsets(topic)) == [0, 1]

    async def test_another_partition_count_is_refused_and_names_both(self, bus: EventBus, topic: str) -> None:
        await bus.ensure_topics([TopicSpec(topic, 3)])
        with pytest.raises(TopicMismatchError, match=rf"{topic} .*\b3\b.*\b5\b"):
            await bus.ensure_topics([TopicSpec(topic, 5)])
        assert len(await bus.offsets(topic)) == 3

    async def test_a_topic_created_anew_has_another_identity(
        self, bus: EventBus, single: TopicPartition
    ) -> None:
        before = await bus.topic_id(single.topic)
        await self.send(bus, single, [b"a"])
        await self.delete_topic(bus, single.topic)
        await bus.ensure_topics([TopicSpec(single.topic, 1)])
        assert await bus.topic_id(single.topic) != before
        assert await bus.offsets(single.topic) == {single: (0, 0)}

    async def test_offsets_tell_the_oldest_and_the_next(self, bus: EventBus, single: TopicPartition) -> None:
        assert await bus.offsets(single.topic) == {single: (0, 0)}
        await self.send(bus, single, [b"a", b"b", b"c"])
        assert await bus.offsets(single.topic) == {single: (0, 3)}
        await bus.delete_records(single, 2)
        assert await bus.offsets(single.topic) == {single: (2, 3)}

    async def test_topics_are_listed_by_name(self, bus: EventBus, topic: str) -> None:
        assert topic not in await bus.topics()
        await bus.ensure_topics([TopicSpec(topic, 1), TopicSpec(f"{topic}.other", 1)])
        assert {topic, f"{topic}.other"} <= await bus.topics()

    async def test_two_services_may_ensure_the_same_topics_at_once(self, bus: EventBus, topic: str) -> None:
        specs = [TopicSpec(f"{topic}.{n}", 2) for n in range(3)]
        await asyncio.gather(*(bus.ensure_topics(specs) for _ in range(3)))
        assert {spec.name for spec in specs} <= await bus.topics()

    async def test_ensured_topics_can_be_used_at_once(self, bus: EventBus, topic: str) -> None:
        async with bus.producer("contract") as producer:
            await bus.ensure_topics([TopicSpec(topic, 8)])
            landed = await producer.send([Outgoing(topic, b"x", partition=n) for n in range(8)])
        assert [place.offset for place in landed] == [0] * 8

    @pytest.mark.parametrize("before", [-1, 3, 99], ids=["all", "the end", "beyond the end"])
    async def test_all_records_can_be_deleted(
        self, bus: EventBus, single: TopicPartition, before: int
    ) -> None:
        await self.send(bus, single, [b"a", b"b", b"c"])
        await bus.delete_records(single, before)
        assert await bus.offsets(single.topic) == {single: (3, 3)}
        await self.send(bus, single, [b"d"])
        async with bus.consumer(Subscription(single.topic, partitions=(single,))) as consumer:
            assert [record.value for record in await self.read(consumer, 1)] == [b"d"]

    async def test_questions_about_an_unknown_topic_fail(self, bus: EventBus, topic: str) -> None:
        with pytest.raises(DependencyUnavailableError, match=topic):
            await bus.topic_id(topic)
        with pytest.raises(DependencyUnavailableError, match=topic):
            await bus.offsets(topic)
        with pytest.raises(DependencyUnavailableError, match=topic):
            await bus.delete_records(TopicPartition(topic, 0), -1)

    # ------------------------------------------------------------------------------------------ producing

    async def test_a_record_comes_out_as_it_went_in(self, bus: EventBus, single: TopicPartition) -> None:
        headers = (("traceparent", b"00-1"), ("a", b""))
        async with bus.producer("contract") as producer:
            await producer.send([Outgoing(single.topic, b"\x00value", key="k", headers=headers)])
        async with bus.consumer(Subscription(single.topic, partitions=(single,))) as consumer:
            (record,) = await self.read(consumer, 1)
        assert (record.topic, record.partition, record.offset) == (single.topic, 0, 0)
        assert (record.key, record.value, record.headers) == ("k", b"\x00value", headers)
        assert record.timestamp > 0
        assert record.decoded is None

    async def test_send_tells_where_each_record_landed(
        self, bus: EventBus, spread: list[TopicPartition]
    ) -> None:
        topic = spread[0].topic
        async with bus.producer("contract") as producer:
            landed = await producer.send(
                [Outgoing(topic, b"x", partition=partition) for partition in (2, 0, 2)]
            )
        assert landed == [
            RecordPosition(topic, 2, 0),
            RecordPosition(topic, 0, 0),
            RecordPosition(topic, 2, 1),
        ]

    async def test_the_key_chooses_the_partition(self, bus: EventBus, spread: list[TopicPartition]) -> None:
        keys = [f"momentum:{token}" for token in range(20)]
        async with bus.producer("contract") as producer:
            landed = await producer.send([Outgoing(spread[0].topic, b"x", key=key) for key in keys])
        assert [place.partition for place in landed] == [key_partition(key, PARTITIONS) for key in keys]
        assert len({place.partition for place in landed}) > 1

    async def test_a_named_partition_wins_over_the_key(
        self, bus: EventBus, spread: list[TopicPartition]
    ) -> None:
        other = (key_partition("k", PARTITIONS) + 1) % PARTITIONS
        async with bus.producer("contract") as producer:
            (place,) = await producer.send([Outgoing(spread[0].topic, b"x", key="k", partition=other)])
        assert place.partition == other

    async def test_records_of_a_partition_come_in_the_order_of_the_sends(
        self, bus: EventBus, single: TopicPartition
    ) -> None:
        sent = [b"%d" % n for n in range(50)]
        async with bus.producer("contract") as producer:
            for first in range(0, 50, 7):
                await producer.send([Outgoing(single.topic, value) for value in sent[first : first + 7]])
        async with bus.consumer(Subscription(single.topic, partitions=(single,))) as consumer:
            records = await self.read(consumer, 50)
        assert [record.value for record in records] == sent
        assert [record.offset for record in records] == list(range(50))

    async def test_sends_that_overlap_keep_the_order_of_the_calls(
        self, bus: EventBus, spread: list[TopicPartition]
    ) -> None:
        topic, sent = spread[0].topic, [b"%d" % n for n in range(60)]
        async with bus.producer("contract") as producer:
            sends = [
                producer.send([Outgoing(topic, value, partition=0), Outgoing(topic, value, partition=1)])
                for value in sent
            ]
            landed = await asyncio.gather(*sends)
        assert [[place.offset for place in places] for places in landed] == [[n, n] for n in range(60)]
        for tp in spread[:2]:
            async with bus.consumer(Subscription(topic, partitions=(tp,))) as consumer:
                assert [record.value for record in await self.read(consumer, 60)] == sent

    async def test_a_partition_that_does_not_exist_is_a_mistake(
        self, bus: EventBus, spread: list[TopicPartition]
    ) -> None:
        topic = spread[0].topic
        async with bus.producer("contract") as producer:
            with pytest.raises(MisuseError, match=topic):
                await producer.send([Outgoing(topic, b"x", partition=0), Outgoing(topic, b"x", partition=4)])
        with pytest.raises(MisuseError, match=topic):
            async with bus.consumer(Subscription(topic, partitions=(TopicPartition(topic, 4),))):
                pass
        assert set((await bus.offsets(topic)).values()) == {(0, 0)}

    async def test_a_compacted_topic_takes_no_record_without_a_key(self, bus: EventBus, topic: str) -> None:
        await bus.ensure_topics([TopicSpec(topic, 1, compacted=True)])
        async with bus.producer("contract") as producer:
            with pytest.raises(RecordError, match=topic):
                await producer.send([Outgoing(topic, b"x")])
            (place,) = await producer.send([Outgoing(topic, b"x", key="k")])
        assert place.offset == 0

    async def test_a_closed_producer_sends_nothing(self, bus: EventBus, single: TopicPartition) -> None:
        async with bus.producer("contract") as producer:
            pass
        with pytest.raises(MisuseError, match="closed"):
            await producer.send([Outgoing(single.topic, b"x")])

    async def test_sending_to_an_unknown_topic_fails(self, bus: EventBus, topic: str) -> None:
        async with bus.producer("contract") as producer:
            with pytest.raises(DependencyUnavailableError, match=topic):
                await producer.send([Outgoing(topic, b"x")])

    async def test_sending_nothing_is_allowed(self, bus: EventBus) -> None:
        async with bus.producer("contract") as producer:
            assert await producer.send([]) == []

    # ------------------------------------------------------------------------------------------- fetching

    async def test_fetch_gives_up_after_its_timeout(self, bus: EventBus, single: TopicPartition) -> None:
        async with bus.consumer(Subscription(single.topic, partitions=(single,))) as consumer:
            assert await consumer.fetch(1, timeout=self.quiet / 10) == []

    async def test_fetch_waits_for_a_record_and_returns_with_it(
        self, bus: EventBus, single: TopicPartition
    ) -> None:
        async with bus.consumer(Subscription(single.topic, partitions=(single,))) as consumer:
            waiting = asyncio.create_task(consumer.fetch(10))
            await self.send(bus, single, [b"a"])
            assert [record.value for record in await waiting] == [b"a"]

    async def test_a_fetch_that_is_cancelled_loses_nothing(
        self, bus: EventBus, single: TopicPartition
    ) -> None:
        async with bus.consumer(Subscription(single.topic, partitions=(single,))) as consumer:
            for _ in range(5):
                waiting = asyncio.create_task(consumer.fetch(10))
                await asyncio.sleep(0)
                waiting.cancel()
                await asyncio.wait([waiting])
            await self.send(bus, single, [b"a", b"b"])
            assert [record.value for record in await self.read(consumer, 2)] == [b"a", b"b"]

    async def test_two_tasks_may_not_fetch_from_one_consumer(
        self, bus: EventBus, single: TopicPartition
    ) -> None:
        async with bus.consumer(Subscription(single.topic, partitions=(single,))) as consumer:
            waiting = asyncio.create_task(consumer.fetch(10))
            await asyncio.sleep(0)
            with pytest.raises(MisuseError, match="two tasks"):
                await consumer.fetch(1, timeout=0)
            waiting.cancel()
            await asyncio.wait([waiting])

    async def test_fetch_returns_no_more_than_asked_for(self, bus: EventBus, single: TopicPartition) -> None:
        await self.send(bus, single, [b"a", b"b", b"c"])
        async with bus.consumer(Subscription(single.topic, partitions=(single,))) as consumer:
            first = await self.read(consumer, 2)
            assert [record.value for record in first] == [b"a", b"b"]
            assert consumer.position(single) == 2
            assert [record.value for record in await consumer.fetch(2, timeout=self.patience)] == [b"c"]

    async def test_a_reader_by_itself_reads_exactly_its_partitions(
        self, bus: EventBus, spread: list[TopicPartition]
    ) -> None:
        for tp in spread:
            await self.send(bus, tp, [b"%d" % tp.partition])
        async with bus.consumer(Subscription(spread[0].topic, partitions=(spread[1], spread[3]))) as consumer:
            assert consumer.assignment() == {spread[1], spread[3]}
            assert sorted(record.value for record in await self.read(consumer, 2)) == [b"1", b"3"]
            assert await consumer.fetch(1, timeout=self.quiet) == []

    async def test_readers_by_themselves_do_not_share(self, bus: EventBus, single: TopicPartition) -> None:
        await self.send(bus, single, [b"a"])
        alone = Subscription(single.topic, partitions=(single,))
        async with bus.consumer(alone) as one, bus.consumer(alone) as other:
            assert [record.value for record in await self.read(one, 1)] == [b"a"]
            assert [record.value for record in await self.read(other, 1)] == [b"a"]

    async def test_seek_moves_the_reader(self, bus: EventBus, single: TopicPartition) -> None:
        await self.send(bus, single, [b"a", b"b", b"c"])
        async with bus.consumer(Subscription(single.topic, partitions=(single,))) as consumer:
            await self.read(consumer, 3)
            await consumer.seek(single, 1)
            assert consumer.position(single) == 1
            assert [record.value for record in await self.read(consumer, 2)] == [b"b", b"c"]
            await consumer.seek(single, 2)
            assert [record.value for record in await self.read(consumer, 1)] == [b"c"]

    async def test_lag_counts_what_was_not_fetched(self, bus: EventBus, single: TopicPartition) -> None:
        await self.send(bus, single, [b"a", b"b", b"c"])
        async with bus.consumer(Subscription(single.topic, partitions=(single,))) as consumer:
            await self.read(consumer, 1)
            assert await consumer.lag() == 2
            await self.read(consumer, 2)
            assert await consumer.lag() == 0

    @pytest.mark.parametrize("offset", [0, 9], ids=["dropped", "not written yet"])
    async def test_a_position_that_is_not_there_is_an_error_until_the_next_seek(
        self, bus: EventBus, single: TopicPartition, offset: int
    ) -> None:
        await self.send(bus, single, [b"a", b"b", b"c"])
        await bus.delete_records(single, 1)
        async with bus.consumer(Subscription(single.topic, partitions=(single,))) as consumer:
            with pytest.raises(OffsetOutOfRangeError):
                await self._seek_and_fetch(consumer, single, offset)
            await consumer.seek(single, 1)
            assert [record.value for record in await self.read(consumer, 2)] == [b"b", b"c"]

    async def _seek_and_fetch(self, consumer: Consumer, partition: TopicPartition, offset: int) -> None:
        await consumer.seek(partition, offset)
        await consumer.fetch(1, timeout=self.patience)

    async def test_a_stored_offset_that_is_gone_is_an_error_not_a_jump(
        self, bus: EventBus, single: TopicPartition
    ) -> None:
        await self.send(bus, single, [b"a", b"b", b"c"])
        subscription = Subscription(single.topic, (single.topic,))
        async with bus.consumer(subscription) as consumer:
            await self.read(consumer, 1)
            await consumer.commit({single: 1})
        await bus.delete_records(single, 2)
        async with bus.consumer(subscription) as consumer:
            with pytest.raises(OffsetOutOfRangeError):
                await self.read(consumer, 1)
            assert consumer.position(single) == 1
            await consumer.seek(single, 2)
            assert [record.value for record in await self.read(consumer, 1)] == [b"c"]

    # --------------------------------------------------------------------------------- where reading begins

    async def test_without_a_stored_offset_reading_begins_where_the_subscription_says(
        self, bus: EventBus, single: TopicPartition
    ) -> None:
        await self.send(bus, single, [b"old"])
        async with AsyncExitStack() as stack:
            early = await stack.enter_async_context(
                bus.consumer(Subscription(f"{single.topic}.early", (single.topic,)))
            )
            late = await stack.enter_async_context(
                bus.consumer(Subscription(f"{single.topic}.late", (single.topic,), from_latest=True))
            )
            await self.settle([early])
            await self.settle([late])
            assert await late.fetch(1, timeout=self.quiet) == []
            await self.send(bus, single, [b"new"])
            assert [record.value for record in await self.read(late, 1)] == [b"new"]
            await early.seek(single, 0)  # `settle` may have fetched
            assert [record.value for record in await self.read(early, 2)] == [b"old", b"new"]

    async def test_a_stored_offset_wins_over_from_latest(self, bus: EventBus, single: TopicPartition) -> None:
        await self.send(bus, single, [b"a", b"b", b"c"])
        subscription = Subscription(single.topic, (single.topic,), from_latest=True)
        async with bus.consumer(Subscription(single.topic, (single.topic,))) as consumer:
            await self.read(consumer, 1)
            await consumer.commit({single: 1})
        async with bus.consumer(subscription) as consumer:
            assert [record.value for record in await self.read(consumer, 2)] == [b"b", b"c"]

    # --------------------------------------------------------------------------------------------- groups

    async def test_what_was_not_committed_comes_again_after_a_kill(
        self, bus: EventBus, single: TopicPartition
    ) -> None:
        await self.send(bus, single, [b"a", b"b", b"c"])
        async with bus.consumer(Subscription(single.topic, (single.topic,))) as consumer:
            assert await consumer.committed(single) is None
            await self.read(consumer, 2)
            await consumer.commit({single: 1})
            await self.read(consumer, 1)
        async with bus.consumer(Subscription(single.topic, (single.topic,))) as consumer:
            assert [record.value for record in await self.read(consumer, 2)] == [b"b", b"c"]
            assert await consumer.committed(single) == 1

    async def test_groups_do_not_disturb_each_other(self, bus: EventBus, single: TopicPartition) -> None:
        await self.send(bus, single, [b"a", b"b"])
        for group in (f"{single.topic}.one", f"{single.topic}.other"):
            async with bus.consumer(Subscription(group, (single.topic,))) as consumer:
                assert [record.value for record in await self.read(consumer, 2)] == [b"a", b"b"]
                await consumer.commit({single: 2})

    async def test_a_member_for_whom_no_partition_is_left_has_joined_all_the_same(
        self, bus: EventBus, single: TopicPartition
    ) -> None:
        subscription = Subscription(f"g-{single.topic}", topics=(single.topic,))
        async with bus.consumer(subscription) as one, bus.consumer(subscription) as other:
            for _ in range(100):
                held = [member.assignment() for member in (one, other)]
                if one.joined() and other.joined() and sorted(map(len, held)) == [0, 1]:
                    return
                await asyncio.gather(*(member.fetch(1, timeout=self.quiet / 10) for member in (one, other)))
            pytest.fail(f"they did not both join: {held}, {one.joined()}, {other.joined()}")

    async def test_members_share_the_partitions(self, bus: EventBus, spread: list[TopicPartition]) -> None:
        subscription = Subscription(spread[0].topic, (spread[0].topic,))
        async with bus.consumer(subscription) as one, bus.consumer(subscription) as other:
            await self.settle([one, other])
            assert one.assignment() | other.assignment() == set(spread)
            assert len(one.assignment()) == len(other.assignment()) == PARTITIONS // 2
            for tp in spread:
                await self.send(bus, tp, [b"%d" % tp.partition])
            for member in (one, other):
                mine = {record.partition for record in await self.read(member, PARTITIONS // 2)}
                assert mine == {tp.partition for tp in member.assignment()}

    async def test_a_leaver_s_partitions_go_to_the_others_from_the_committed_offset(
        self, bus: EventBus, spread: list[TopicPartition]
    ) -> None:
        subscription = Subscription(spread[0].topic, (spread[0].topic,))
        async with bus.consumer(subscription) as stays:
            async with bus.consumer(subscription) as leaves:
                await self.settle([stays, leaves])
                lost = min(leaves.assignment(), key=str)
                await self.send(bus, lost, [b"a", b"b"])
                await self.read(leaves, 2)
                await leaves.commit({lost: 1})
            assert [record.value for record in await self.read(stays, 1)] == [b"b"]
            assert lost in stays.assignment()

    async def test_a_commit_for_a_partition_that_moved_away_is_refused_as_a_whole(
        self, bus: EventBus, spread: list[TopicPartition]
    ) -> None:
        subscription = Subscription(spread[0].topic, (spread[0].topic,))
        for tp in spread:
            await self.send(bus, tp, [b"x"])
        async with bus.consumer(subscription) as old:
            assert len(await self.read(old, PARTITIONS)) == PARTITIONS
            async with bus.consumer(subscription) as new:
                await self.settle([old, new])
                with pytest.raises(RebalancedError):
                    await old.commit(dict.fromkeys(spread, 1))
                assert [await old.committed(tp) for tp in spread] == [None] * PARTITIONS

    async def test_a_rebalance_while_a_batch_is_handled_gives_its_records_to_their_new_reader(
        self, bus: EventBus, spread: list[TopicPartition]
    ) -> None:
        subscription = Subscription(spread[0].topic, (spread[0].topic,))
        for tp in spread:
            await self.send(bus, tp, [b"%d" % tp.partition])
        async with bus.consumer(subscription) as old:
            batch = await self.read(old, PARTITIONS)
            async with bus.consumer(subscription) as new:
                again: list[Record] = []
                while len(again) < PARTITIONS // 2:
                    again += await new.fetch(PARTITIONS, timeout=self.quiet / 10)
                    await old.fetch(1, timeout=self.quiet / 10)
                assert {record.partition for record in again} == {tp.partition for tp in new.assignment()}
                for record in batch:
                    tp = TopicPartition(record.topic, record.partition)
                    if tp in new.assignment():
                        with pytest.raises(RebalancedError):
                            await old.commit({tp: record.offset + 1})
                    else:
                        await old.commit({tp: record.offset + 1})
                for tp in spread:
                    assert await old.committed(tp) == (None if tp in new.assignment() else 1)

    async def test_a_partition_that_stays_goes_on_where_it_was(
        self, bus: EventBus, spread: list[TopicPartition]
    ) -> None:
        subscription = Subscription(spread[0].topic, (spread[0].topic,))
        for tp in spread:
            await self.send(bus, tp, [b"a", b"b"])
        async with bus.consumer(subscription) as old:
            await self.read(old, 2 * PARTITIONS)
            async with bus.consumer(subscription) as new:
                await self.settle([old, new])
                stayed = sorted(old.assignment())
                assert [old.position(tp) for tp in stayed] == [2] * len(stayed)
                for tp in stayed:
                    await self.send(bus, tp, [b"c"])
                assert {record.value for record in await self.read(old, len(stayed))} == {b"c"}
                await old.commit(dict.fromkeys(stayed, 3))

    async def test_what_was_not_read_can_not_be_committed(
        self, bus: EventBus, single: TopicPartition
    ) -> None:
        await self.send(bus, single, [b"a", b"b"])
        async with bus.consumer(Subscription(single.topic, (single.topic,))) as consumer:
            await self.read(consumer, 1)
            with pytest.raises(RebalancedError):
                await consumer.commit({single: 2})
            assert await consumer.committed(single) is None

    async def test_a_reader_by_itself_commits_for_its_group(
        self, bus: EventBus, single: TopicPartition
    ) -> None:
        await self.send(bus, single, [b"a", b"b"])
        alone = Subscription(single.topic, partitions=(single,))
        async with bus.consumer(alone) as consumer:
            await self.read(consumer, 1)
            await consumer.commit({single: 1})
            assert await consumer.committed(single) == 1
        async with bus.consumer(alone) as consumer:
            assert consumer.position(single) == 1
            assert [record.value for record in await self.read(consumer, 1)] == [b"b"]

    async def test_a_subscription_names_topics_or_partitions(
        self, bus: EventBus, single: TopicPartition
    ) -> None:
        for wrong in (Subscription("g"), Subscription("g", (single.topic,), (single,))):
            with pytest.raises(MisuseError):
                async with bus.consumer(wrong):
                    pass


def _disjoint(members: Sequence[Consumer]) -> bool:
    return sum(len(member.assignment()) for member in members) == len(
        {tp for member in members for tp in member.assignment()}
    )
