import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.adapters.ids import SeededIds
from alpha_panda.adapters.memory.bus import MemoryBus
from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.adapters.memory.database import MemoryDatabase
from alpha_panda.adapters.memory.prices import MemoryPriceCache
from alpha_panda.adapters.memory.statuses import MemoryStatusStore
from alpha_panda.contracts.codec import encode_ticks
from alpha_panda.contracts.enums import FeedMode
from alpha_panda.contracts.events import Tick, TickBatch
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.stored import PriceRange, Quote
from alpha_panda.contracts.topics import dlq, tick_partition
from alpha_panda.feed_cacher.service import SERVICE, build
from alpha_panda.ports import Outgoing, Subscription, TopicPartition
from alpha_panda.runtime.context import Ports, ServiceContext
from alpha_panda.runtime.service import StreamService
from alpha_panda.runtime.settings import Settings
from alpha_panda.testing.virtual_time import run_virtual

TOPIC = "demo.market.ticks"
A, B = 101, 102
OF_A = tick_partition(A, 2)
NEIGHBOUR = next(token for token in range(1, 100) if tick_partition(token, 2) != OF_A)
MODE = FeedMode.SIMULATED


class CountingPrices(MemoryPriceCache):
    writes = 0

    async def write(self, *args: Any) -> frozenset[int]:
        self.writes += 1
        return await super().write(*args)


class Cache:
    """A cacher on the memory bus and price cache; ticks by hand."""

    def __init__(self, clock: VirtualClock, replicas: int = 1) -> None:
        self.clock = clock
        self.bus = MemoryBus(clock, ids=SeededIds(1))
        self.database = MemoryDatabase(clock, SeededIds(2))
        self.prices = CountingPrices(self.database)
        self.services = [build(self.context(f"pod-{number}")) for number in range(replicas)]

    @property
    def service(self) -> StreamService:
        return self.services[0]

    def context(self, instance: str) -> ServiceContext:
        absent = cast("Any", None)
        ports = Ports(
            clock=self.clock,
            ids=SeededIds(3),
            bus=self.bus,
            prices=self.prices,
            journal=absent,
            decisions=absent,
            checkpoints=absent,
            control=absent,
            lease=absent,
            statuses=MemoryStatusStore(self.database),
            traders=absent,
            source=absent,
        )
        instruments = [
            {"symbol": f"X:{token}", "token": token, "tickSize": "0.05", "referencePrice": "1"}
            for token in (A, B)
        ]
        manifest = {
            "apiVersion": "alphapanda.io/v1alpha1",
            "kind": "MarketFeed",
            "metadata": {"name": "demo"},
            "spec": {"source": {"simulated": {"seed": 1}}, "instruments": instruments, "partitions": 2},
        }
        return ServiceContext(Settings(), ports, ResourceSet.from_documents([manifest]), "demo", instance)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Cache"]:
        tasks = [asyncio.create_task(service.run()) for service in self.services]
        try:
            await self.clock.advance(0)
            yield self
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def send(self, *batches: TickBatch, partition: int = OF_A) -> None:
        async with self.bus.producer("test") as producer:
            await producer.send([Outgoing(TOPIC, encode_ticks(b), partition=partition) for b in batches])
        await self.clock.advance(0)

    async def quote(self, token: int) -> Quote | None:
        return (await self.prices.read("demo", token)).quote

    async def heartbeat(self) -> int | None:
        return (await self.prices.read("demo", A)).heartbeat_ts

    async def ranges(self, token: int) -> list[PriceRange]:
        return await self.prices.ranges("demo", {token: 0}, 0.0)


def batch(*ticks: Tick, epoch: int = 1, ts: int | None = None) -> TickBatch:
    return TickBatch("demo", MODE, epoch, (ticks[-1].ts if ticks else 0) if ts is None else ts, list(ticks))


def quote(tick: Tick, epoch: int = 1) -> Quote:
    return Quote(tick.last_price, tick.ts, "demo", MODE, epoch, tick.seq)


@pytest.fixture
def cache(clock: VirtualClock) -> Cache:
    return Cache(clock)


def test_it_is_a_service_of_feeds() -> None:
    assert (SERVICE.name, SERVICE.kind) == ("feed-cacher", "MarketFeed")


class TestQuotes:
    async def test_the_newest_tick_of_each_token_is_kept_with_feed_mode_and_epoch(self, cache: Cache) -> None:
        async with cache.running():
            await cache.send(batch(Tick(A, 1.0, 10, 1), Tick(B, 2.0, 11, 1), Tick(A, 3.0, 12, 2)))
            assert await cache.quote(A) == Quote(3.0, 12, "demo", MODE, 1, 2)
            await cache.send(batch(Tick(A, 4.0, 13, 3, bid=3.5, ask=4.5)))
            assert await cache.quote(A) == Quote(4.0, 13, "demo", MODE, 1, 3, bid=3.5, ask=4.5)
            assert await cache.quote(B) == Quote(2.0, 11, "demo", MODE, 1, 1)

    async def test_what_waited_is_one_write(self, cache: Cache) -> None:
        await cache.bus.ensure_topics(build(cache.context("x"))._topics())
        await cache.send(*(batch(Tick(A, float(n), n, n)) for n in range(1, 20)))
        async with cache.running():
            assert cache.prices.writes == 1
            assert await cache.quote(A) == quote(Tick(A, 19.0, 19, 19))

    async def test_redelivery_changes_nothing(self, cache: Cache) -> None:
        first, second = batch(Tick(A, 1.0, 10, 1)), batch(Tick(A, 2.0, 11, 2))
        async with cache.running():
            await cache.send(first, second)
            await cache.send(first)
            assert await cache.quote(A) == quote(Tick(A, 2.0, 11, 2))
            assert await cache.heartbeat() == 11

    async def test_an_older_record_behind_a_newer_one_in_one_fetch_changes_nothing(
        self, cache: Cache
    ) -> None:
        first, second = batch(Tick(A, 1.0, 10, 1)), batch(Tick(A, 2.0, 11, 2))
        async with cache.running():
            await cache.send(first, second, first)
            assert await cache.quote(A) == quote(Tick(A, 2.0, 11, 2))

    async def test_a_new_epoch_replaces_and_an_older_one_is_dropped_with_a_warning(
        self, cache: Cache
    ) -> None:
        async with cache.running():
            await cache.send(batch(Tick(A, 1.0, 10, 7)), batch(Tick(A, 2.0, 11, 1), epoch=2))
            with structlog.testing.capture_logs() as logs:
                await cache.send(batch(Tick(A, 3.0, 12, 8)))
            assert await cache.quote(A) == quote(Tick(A, 2.0, 11, 1), epoch=2)
            assert await cache.heartbeat() == 11
            warned = [line for line in logs if line["event"] == "ticks_of_an_older_feed_epoch_dropped"]
            assert [(line["log_level"], line["feed_epoch"], line["ticks"]) for line in warned] == [
                ("warning", 1, 1)
            ]
            assert cache.service.get_status().state == "running"
            assert cache.service.get_status().processed == 2

    async def test_what_is_no_record_goes_to_the_dead_letters_and_the_rest_on(self, cache: Cache) -> None:
        async with cache.running():
            async with cache.bus.producer("test") as producer:
                await producer.send([Outgoing(TOPIC, b"\xc1", partition=0)])
            await cache.send(batch(Tick(A, 1.0, 10, 1)))
            assert await cache.quote(A) is not None
            letters = Subscription("test", partitions=(TopicPartition(dlq(TOPIC), 0),))
            async with cache.bus.consumer(letters) as consumer:
                assert [record.value for record in await consumer.fetch(10, 0.0)] == [b"\xc1"]

    async def test_while_the_cache_is_down_nothing_is_set_aside(self, cache: Cache) -> None:
        async with cache.running():
            for _ in range(12):
                cache.database.faults.refuse("write")
            await cache.send(batch(Tick(A, 1.0, 10, 1)))
            await cache.clock.advance(120)
            assert await cache.quote(A) == quote(Tick(A, 1.0, 10, 1))
            assert cache.service.get_status().dead_lettered == 0

    @pytest.mark.parametrize("operation", ["write", "publish_ranges"])
    async def test_a_lost_reply_is_made_up_for_by_writing_again(self, cache: Cache, operation: str) -> None:
        """A price that is written twice does no harm: nobody exits, and nothing is set aside."""
        async with cache.running():
            await cache.prices.watch("demo", "tracker", [A])
            cache.database.faults.lose_reply(operation)
            await cache.send(batch(Tick(A, 1.0, 10, 1)))
            await cache.clock.advance(30)
            status = cache.service.get_status()
            assert (status.state, status.processed, status.dead_lettered) == ("running", 1, 0)
            assert await cache.quote(A) == quote(Tick(A, 1.0, 10, 1))
            assert {(found.first_seq, found.low) for found in await cache.ranges(A)} == {(1, 1.0)}

    async def test_a_token_that_begins_to_be_watched_during_a_write_misses_no_price(
        self, cache: Cache
    ) -> None:
        """Whoever watches and then reads has either the quote or its range."""
        async with cache.running():
            write = cache.prices.write

            async def watched_meanwhile(*args: Any) -> frozenset[int]:
                await cache.prices.watch("demo", "tracker", [A])
                assert await cache.quote(A) is None
                return await write(*args)

            cache.prices.write = watched_meanwhile  # type: ignore[method-assign]
            await cache.send(batch(Tick(A, 1.0, 10, 1)))
            assert [found.low for found in await cache.ranges(A)] == [1.0]

    async def test_several_cachers_share_the_partitions(self, clock: VirtualClock) -> None:
        cache = Cache(clock, replicas=2)
        async with cache.running():
            await cache.send(batch(Tick(A, 1.0, 10, 1)), partition=0)
            await cache.send(batch(Tick(B, 2.0, 11, 1)), partition=1)
            assert [service.get_status().processed for service in cache.services] == [1, 1]

    @given(data=st.data())
    def test_the_cache_never_goes_back(self, data: st.DataObject) -> None:
        sent = [batch(Tick(A, float(n), n, n), epoch=1 + n // 4) for n in range(1, 9)]
        chunks = data.draw(st.lists(st.lists(st.sampled_from(sent), min_size=1, max_size=5), max_size=6))

        async def main(clock: VirtualClock) -> Sequence[tuple[int, int]]:
            seen = [(0, 0)]
            async with Cache(clock).running() as cache:
                for chunk in chunks:
                    await cache.send(*chunk)
                    found = await cache.quote(A)
                    assert found is not None
                    seen.append((found.feed_epoch, found.seq))
            return seen

        seen = run_virtual(main)
        newest = [
            max([(0, 0), *((b.feed_epoch, b.ticks[0].seq) for c in chunks[:n] for b in c)])
            for n in range(len(seen))
        ]
        assert seen == newest


class TestHeartbeat:
    async def test_it_is_the_newest_batch_of_the_tokens_own_partition(self, cache: Cache) -> None:
        async with cache.running():
            await cache.send(batch(Tick(A, 1.0, 10, 1), ts=20), partition=OF_A)
            await cache.send(batch(ts=15), partition=OF_A)
            assert await cache.heartbeat() == 20
            await cache.send(batch(ts=30), partition=OF_A)
            assert await cache.heartbeat() == 30
            assert await cache.quote(A) == quote(Tick(A, 1.0, 10, 1))

    async def test_another_partitions_batches_say_nothing_of_it(self, cache: Cache) -> None:
        async with cache.running():
            await cache.send(batch(Tick(A, 1.0, 10, 1), ts=20), partition=OF_A)
            await cache.send(batch(ts=90), partition=1 - OF_A)
            assert await cache.heartbeat() == 20

    async def test_what_was_fetched_together_is_told_apart(self, cache: Cache) -> None:
        """One fetch holds records of several partitions, newer ones of this one before older ones of that one."""
        await cache.bus.ensure_topics(build(cache.context("x"))._topics())
        await cache.send(batch(ts=50), batch(ts=20), partition=1 - OF_A)
        await cache.send(batch(ts=30), batch(ts=10), partition=OF_A)
        async with cache.running():
            assert cache.prices.writes == 1
            assert await cache.heartbeat() == 30
            assert (await cache.prices.read("demo", NEIGHBOUR)).heartbeat_ts == 50


class TestRanges:
    async def test_low_high_and_last_of_a_watched_token_a_batch(self, cache: Cache) -> None:
        async with cache.running():
            await cache.prices.watch("demo", "tracker", [A])
            await cache.send(
                batch(Tick(A, 5.0, 10, 1), Tick(B, 9.0, 10, 1), Tick(A, 3.0, 11, 2), Tick(A, 4.0, 12, 3)),
                batch(Tick(A, 6.0, 13, 4)),
            )
            first, second = await cache.ranges(A)
            assert first == PriceRange(first.cursor, A, 3.0, 5.0, 4.0, 12, 1, 3, MODE, 10)
            assert second == PriceRange(second.cursor, A, 6.0, 6.0, 6.0, 13, 4, 4, MODE, 13)
            assert second.cursor > first.cursor
            assert await cache.ranges(B) == []

    async def test_a_bars_low_and_high_count_not_only_its_close(self, cache: Cache) -> None:
        async with cache.running():
            await cache.prices.watch("demo", "tracker", [A])
            bar = Tick(A, 5.0, 10, 1, open=4.0, high=9.0, low=2.0)
            await cache.send(batch(bar, Tick(A, 6.0, 11, 2)))
            (found,) = await cache.ranges(A)
            assert (found.low, found.high, found.last, found.first_ts, found.ts) == (2.0, 9.0, 6.0, 10, 11)
            assert not found.bars

    async def test_a_range_of_bars_alone_says_so(self, cache: Cache) -> None:
        async with cache.running():
            await cache.prices.watch("demo", "tracker", [A])
            await cache.send(
                batch(Tick(A, 5.0, 10, 1, open=4.0, high=9.0, low=2.0)), batch(Tick(A, 6.0, 11, 2))
            )
            assert [found.bars for found in await cache.ranges(A)] == [True, False]

    async def test_none_for_tokens_that_nobody_watches(self, cache: Cache) -> None:
        async with cache.running():
            await cache.send(batch(Tick(A, 5.0, 10, 1)))
            await cache.prices.watch("demo", "tracker", [B])
            await cache.send(batch(Tick(A, 6.0, 11, 2)), batch(ts=12))
            assert await cache.ranges(A) == await cache.ranges(B) == []

    async def test_none_of_an_older_epoch(self, cache: Cache) -> None:
        async with cache.running():
            await cache.prices.watch("demo", "tracker", [A])
            await cache.send(batch(Tick(A, 5.0, 10, 1), epoch=2))
            await cache.send(batch(Tick(A, 1.0, 11, 9), epoch=1))
            assert [found.low for found in await cache.ranges(A)] == [5.0]

    async def test_a_failed_publication_is_made_up_for(self, cache: Cache) -> None:
        async with cache.running():
            await cache.prices.watch("demo", "tracker", [A])
            cache.database.faults.refuse("publish_ranges")
            await cache.send(batch(Tick(A, 5.0, 10, 1)))
            await cache.clock.advance(30)
            assert [found.low for found in await cache.ranges(A)] == [5.0]
