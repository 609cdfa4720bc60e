import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast
from unittest.mock import patch

import pytest

from alpha_panda.adapters.ids import SeededIds
from alpha_panda.adapters.memory.bus import MemoryBus
from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.adapters.memory.database import MemoryDatabase
from alpha_panda.adapters.memory.leases import MemoryLease
from alpha_panda.adapters.memory.statuses import MemoryStatusStore
from alpha_panda.contracts.codec import decode_ticks
from alpha_panda.contracts.enums import FeedMode
from alpha_panda.contracts.events import TickBatch
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.status_details import FeedFigures
from alpha_panda.contracts.topics import tick_partition
from alpha_panda.errors import FencedError, SourceError
from alpha_panda.market_feed.service import SERVICE, MarketFeedService, build
from alpha_panda.ports import Record, SourceBatch, Subscription, TopicPartition
from alpha_panda.runtime.context import Ports, ServiceContext
from alpha_panda.runtime.service import StreamService
from alpha_panda.runtime.settings import Settings
from alpha_panda.testing.virtual_time import START

TOPIC = "demo.market.ticks"
PARTITIONS = 3
TOKENS = (101, 102, 103)
SECOND = 1_000_000_000


class PassingClock(VirtualClock):
    """Virtual time that says it is real: what a feed on a wall clock sees."""

    @property
    def virtual(self) -> bool:
        return False


class Source:
    """Yields what a test puts in; None ends it, an exception breaks it."""

    mode = FeedMode.REPLAY

    def __init__(self) -> None:
        self.queue: asyncio.Queue[SourceBatch | Exception | None] = asyncio.Queue()
        self.exhausted = False
        self.asked: Sequence[Instrument] = ()

    async def batches(self, instruments: Sequence[Instrument]) -> AsyncIterator[SourceBatch]:
        self.asked = instruments
        while (batch := await self.queue.get()) is not None:
            if isinstance(batch, Exception):
                raise batch
            yield batch
        self.exhausted = True


class Feed:
    def __init__(self, clock: VirtualClock) -> None:
        self.clock = clock
        self.bus = MemoryBus(clock, ids=SeededIds(1))
        self.database = MemoryDatabase(clock, SeededIds(2))
        self.source = Source()
        self.settings = Settings()

    def context(self, instance: str = "pod-1") -> ServiceContext:
        absent = cast("Any", None)
        ports = Ports(
            clock=self.clock,
            ids=SeededIds(3),
            bus=self.bus,
            prices=absent,
            journal=absent,
            decisions=absent,
            checkpoints=absent,
            control=absent,
            lease=MemoryLease(self.database),
            statuses=MemoryStatusStore(self.database),
            traders=absent,
            source=lambda _: self.source,
        )
        instruments = [
            {"symbol": f"X:{token}", "token": token, "tickSize": "0.05", "referencePrice": "1"}
            for token in TOKENS
        ]
        spec = {"source": {"simulated": {"seed": 1}}, "instruments": instruments, "partitions": PARTITIONS}
        manifest = {
            "apiVersion": "alphapanda.io/v1alpha1",
            "kind": "MarketFeed",
            "metadata": {"name": "demo"},
            "spec": spec,
        }
        return ServiceContext(self.settings, ports, ResourceSet.from_documents([manifest]), "demo", instance)

    @asynccontextmanager
    async def running(
        self, instance: str = "pod-1"
    ) -> AsyncIterator[tuple[StreamService, "asyncio.Task[None]"]]:
        service = build(self.context(instance))
        task = asyncio.create_task(service.run())
        try:
            await self.clock.advance(0)
            yield service, task
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def yields(self, *rows: tuple[int, float, int], **columns: Any) -> None:
        tokens, prices, ts = zip(*rows, strict=True) if rows else ((), (), ())
        await self.put(SourceBatch(tokens, prices, ts, **columns))

    async def put(self, item: SourceBatch | Exception | None) -> None:
        self.source.queue.put_nowait(item)
        await self.clock.advance(0)

    async def records(self) -> list[Record]:
        everything = tuple(TopicPartition(TOPIC, number) for number in range(PARTITIONS))
        async with self.bus.consumer(Subscription("test", partitions=everything)) as consumer:
            return await consumer.fetch(1000, timeout=0.0)

    async def batches(self) -> list[TickBatch]:
        return [decode_ticks(record.value) for record in await self.records()]

    async def beats(self) -> list[tuple[int, int]]:
        """Return (partition, time) of the heartbeats."""
        found = [(record.partition, decode_ticks(record.value)) for record in await self.records()]
        return [(partition, batch.ts) for partition, batch in found if not batch.ticks]


@pytest.fixture
def feed(clock: VirtualClock) -> Feed:
    return Feed(clock)


@pytest.fixture
def live(clock: VirtualClock) -> Feed:
    return Feed(PassingClock(clock.now()))


def test_it_is_a_service_of_feeds() -> None:
    assert (SERVICE.name, SERVICE.kind) == ("market-feed", "MarketFeed")


class TestTicks:
    async def test_a_batch_is_one_record_a_partition_that_has_ticks(self, feed: Feed) -> None:
        async with feed.running():
            await feed.yields((101, 1.0, START), (103, 2.0, START + 1), (101, 3.0, START + 2))
        told = [(record.partition, decode_ticks(record.value)) for record in await feed.records()]
        found = [(partition, batch) for partition, batch in told if batch.ticks]
        assert sorted(partition for partition, _ in found) == sorted(
            {tick_partition(t, PARTITIONS) for t in (101, 103)}
        )
        for partition, batch in found:
            assert {tick_partition(tick.token, PARTITIONS) for tick in batch.ticks} == {partition}
            assert (batch.feed, batch.mode, batch.feed_epoch, batch.ts) == (
                "demo",
                FeedMode.REPLAY,
                1,
                START + 2,
            )
        ticks = [(tick.token, tick.last_price, tick.seq) for _, batch in found for tick in batch.ticks]
        assert sorted(ticks) == [(101, 1.0, 1), (101, 3.0, 2), (103, 2.0, 1)]

    async def test_the_source_is_asked_for_the_feeds_instruments(self, feed: Feed) -> None:
        async with feed.running():
            assert [item.token for item in feed.source.asked] == list(TOKENS)

    async def test_every_record_bears_the_epoch_of_the_lease_and_a_new_life_a_new_one(
        self, feed: Feed
    ) -> None:
        async with feed.running():
            await feed.yields((101, 1.0, START))
        await feed.clock.advance(30)  # the killed one's lease runs out
        async with feed.running():
            await feed.yields((101, 2.0, START))
        first, second = [batch for batch in await feed.batches() if batch.ticks]
        assert second.feed_epoch > first.feed_epoch == 1
        assert [batch.ticks[0].seq for batch in (first, second)] == [1, 1]  # sequences are an epoch's own

    async def test_nothing_is_published_without_the_lease(self, feed: Feed) -> None:
        async with feed.running(), feed.running("pod-2") as (second, _):
            assert second.get_status().state == "waiting-for-lease"
            await feed.yields((101, 1.0, START))
            assert {batch.feed_epoch for batch in await feed.batches()} == {1}

    async def test_a_pump_without_an_epoch_refuses(self, feed: Feed) -> None:
        with pytest.raises(FencedError, match="no lease"):
            await MarketFeedService(feed.context()).pump(cast("Any", None))

    async def test_status_counts_ticks_and_bad_rows(self, feed: Feed) -> None:
        async with feed.running() as (service, _):
            await feed.yields((101, 1.0, START), (101, 2.0, START), bad_rows=2)
            await feed.yields(bad_rows=3)
            status = service.get_status()
        assert (status.processed, status.last_event_ts) == (2, START)
        assert (
            status.details
            | {
                "ticks": 2,
                "last_tick_ts": status.last_event_ts,
                "source_alive": True,
                "session_open": True,
                "bad_rows": 5,
                "feed_epoch": 1,
                "mode": "replay",
            }
            == status.details
        )

    async def test_a_stop_lets_what_was_taken_be_published_and_does_not_wait_for_a_quiet_source(
        self, feed: Feed
    ) -> None:
        for taken in (True, False):
            async with feed.running(f"pod-{taken}") as (service, task):
                if taken:
                    feed.source.queue.put_nowait(SourceBatch((101,), (1.0,), (START,)))
                    await asyncio.sleep(0)
                await service.stop()
                await task
                assert service.get_status().state == "stopped"
        assert [batch.ticks[0].last_price for batch in await feed.batches() if batch.ticks] == [1.0]

    async def test_a_source_that_ends_leaves_the_service_standing(self, feed: Feed) -> None:
        async with feed.running() as (service, task):
            await feed.yields((101, 1.0, START))
            assert service.get_status().details["exhausted"] is False
            await feed.put(None)
            assert service.get_status().details["exhausted"] is True
            assert not task.done()
            await service.stop()
            await task

    async def test_a_source_that_breaks_ends_the_service(self, feed: Feed) -> None:
        async with feed.running() as (_, task):
            await feed.put(SourceError("gone"))
            with pytest.raises(SourceError):
                await task


class TestStatus:
    """`alpha-panda status` and the operator read what was written last: a change is written at once."""

    async def written(self, live: Feed) -> bool | None:
        (status,) = await MemoryStatusStore(live.database).all()
        return FeedFigures.of(status.details).source_alive

    async def test_silence_is_written_within_a_heartbeat_of_the_limit_and_so_is_its_end(
        self, live: Feed
    ) -> None:
        live.settings = Settings(status_interval_seconds=3000, status_ttl_seconds=9000)
        async with live.running():
            await live.yields((101, 1.0, live.clock.now()))
            await live.clock.advance(1)
            assert await self.written(live) is True
            limit = live.context().resources.feeds["demo"].stale_after_ns // SECOND
            for _ in range(limit - 1):
                await live.clock.advance(1)
            assert await self.written(live) is True
            await live.clock.advance(1)
            assert await self.written(live) is False
            await live.yields()
            await live.clock.advance(1)
            assert await self.written(live) is True

    async def test_what_has_not_changed_is_not_written_again(self, live: Feed) -> None:
        async with live.running() as (service, _):
            await live.yields((101, 1.0, live.clock.now()))
            await live.clock.advance(1)
            assert await self.written(live) is True
            with patch.object(service, "tell_status") as telling:
                for _ in range(3):
                    await live.yields()
                    await live.clock.advance(1)
            assert telling.await_count == 0


class TestHeartbeat:
    """While its source is proven alive the feed tells so to every partition, once a second."""

    async def test_to_every_partition_after_each_proof(self, live: Feed) -> None:
        async with live.running():
            await live.yields((101, 1.0, START + 5))
            await live.clock.advance(1)
            assert sorted(await live.beats()) == [(number, START + 5) for number in range(PARTITIONS)]
            assert {batch.feed_epoch for batch in await live.batches()} == {1}

    async def test_an_empty_batch_is_a_proof_too(self, live: Feed) -> None:
        async with live.running():
            await live.clock.advance(0.4)
            await live.yields()
            now = live.clock.now()
            await live.clock.advance(1)
            assert sorted(await live.beats()) == [(number, now) for number in range(PARTITIONS)]

    async def test_never_without_a_proof(self, live: Feed) -> None:
        async with live.running():
            await live.clock.advance(10)
            assert await live.beats() == []

    async def test_one_proof_is_told_once(self, live: Feed) -> None:
        async with live.running():
            await live.yields((101, 1.0, START))
            for _ in range(5):
                await live.clock.advance(1)
            assert len(await live.beats()) == PARTITIONS

    async def test_a_source_that_has_ended_is_not_alive(self, live: Feed) -> None:
        async with live.running():
            await live.yields((101, 1.0, START))
            await live.clock.advance(1)
            await live.put(None)
            for _ in range(5):
                await live.clock.advance(1)
            assert len(await live.beats()) == PARTITIONS

    async def test_one_that_was_not_acknowledged_is_sent_at_the_next_turn(self, live: Feed) -> None:
        async with live.running() as (service, _):
            await live.yields((101, 1.0, START))
            live.bus.faults.fail_sends()
            await live.clock.advance(1)
            assert await live.beats() == []
            await live.clock.advance(1)
            assert len(await live.beats()) == PARTITIONS
            assert service.get_status().errors == 1

    async def test_on_a_virtual_clock_a_row_is_the_proof_to_the_partitions_without_one(
        self, feed: Feed
    ) -> None:
        """Each partition's readers know the feed alive by its own records alone; partitions of no token have none."""
        quiet = {tick_partition(token, PARTITIONS) for token in TOKENS} - {tick_partition(101, PARTITIONS)}
        assert quiet
        async with feed.running():
            await feed.yields((101, 1.0, START))
            assert sorted(await feed.beats()) == sorted((number, START) for number in quiet)
            for _ in range(3):
                await feed.clock.advance(1)  # time alone proves nothing
            assert len(await feed.beats()) == len(quiet)

    async def test_rows_in_quick_succession_are_told_to_the_others_once_a_period(self, feed: Feed) -> None:
        quiet = {tick_partition(token, PARTITIONS) for token in TOKENS} - {tick_partition(101, PARTITIONS)}
        async with feed.running():
            for row in range(25):
                await feed.yields((101, 1.0, START + row * SECOND // 10))
        assert {ts for _, ts in await feed.beats()} == {START, START + SECOND, START + 2 * SECOND}
        assert len(await feed.beats()) == 3 * len(quiet)

    async def test_a_partition_that_has_ticks_of_its_own_needs_no_other_proof(self, feed: Feed) -> None:
        async with feed.running():
            await feed.yields(*((token, 1.0, START) for token in TOKENS))
            await feed.yields(*((token, 1.0, START + SECOND) for token in TOKENS))
        assert await feed.beats() == []
