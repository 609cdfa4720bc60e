"""The Redis price cache under its port's contract suite, on a real server; and what is Redis' own."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from alpha_panda.adapters.ids import RandomIds
from alpha_panda.adapters.redis.connection import RedisAddress, make_database
from alpha_panda.adapters.redis.prices import LONGEST_WAIT, PAGE, RedisPriceCache
from alpha_panda.contracts.enums import FeedMode
from alpha_panda.contracts.keys import KeyMap
from alpha_panda.contracts.stored import PriceReading, Quote
from alpha_panda.errors import DependencyUnavailableError, UndecodableRecordError
from alpha_panda.testing.servers.redis import RedisServer
from contracts.harness import Stores
from contracts.prices_contract import PriceCacheContract, price_range
from contracts.redis_stores import PREFIX, redis_stores

TOKEN, OTHER = 738561, 408065
HOUR = 3600.0
CONNECT = "+client|setname"
QUOTE = Quote(2500.05, 1_700_000_000_000_000_001, "demo", FeedMode.LIVE, 3, 12, bid=2500.0, ask=2500.1)


@pytest.fixture
async def stores(redis_server: RedisServer) -> AsyncIterator[Stores]:
    async with redis_stores(redis_server) as stores:
        yield stores


@asynccontextmanager
async def cache_on(server: RedisServer, user: str = "", **options: Any) -> AsyncIterator[RedisPriceCache]:
    password = (lambda: "secret") if user else None
    address = RedisAddress(server.url, username=user, password=password)
    database = make_database(address, RandomIds(), KeyMap())
    try:
        yield RedisPriceCache(database, **options)
    finally:
        await database.close()


def raw(server: RedisServer, *command: str) -> Any:
    with server.client(decode_responses=True) as client:
        return client.execute_command(*command)


class TestRedis(PriceCacheContract):
    pass


class TestKeys:
    async def test_a_quote_is_a_json_object_under_the_key_that_others_know(
        self, redis_server: RedisServer
    ) -> None:
        redis_server.clear()
        async with cache_on(redis_server) as cache:
            await cache.write("demo", 3, {TOKEN: QUOTE}, {1: 70, 3: 80}, 4)
        stored = json.loads(raw(redis_server, "GET", f"demo:instrument:price:{TOKEN}"))
        assert stored == {
            "last_price": 2500.05,
            "ts": 1_700_000_000_000_000_001,
            "feed": "demo",
            "mode": "live",
            "feed_epoch": 3,
            "seq": 12,
            "bid": 2500.0,
            "ask": 2500.1,
        }
        beats = json.loads(raw(redis_server, "GET", "demo:heartbeat"))
        assert beats == {"feed_epoch": 3, "partitions": 4, "heartbeats": {"1": 70, "3": 80}}

    async def test_the_prefix_goes_before_all(self, stores: Stores, redis_server: RedisServer) -> None:
        await stores.prices.write("demo", 3, {TOKEN: QUOTE}, {1: 70}, 4)
        await stores.prices.watch("demo", "tracker", [TOKEN])
        await stores.prices.publish_ranges("demo", [price_range(1)])
        found = raw(redis_server, "KEYS", "*")
        assert len(found) == 5
        assert all(key.startswith(PREFIX) for key in found)

    @pytest.mark.parametrize("value", ["", "garbage", "[]", '{"last_price": 1}', "\xff"])
    async def test_what_is_not_ours_is_an_error_and_no_price(
        self, redis_server: RedisServer, value: str
    ) -> None:
        redis_server.clear()
        with redis_server.client() as client:
            client.set(f"demo:instrument:price:{TOKEN}", value.encode("latin-1"))
        async with cache_on(redis_server) as cache:
            with pytest.raises(UndecodableRecordError, match=f"demo:instrument:price:{TOKEN}"):
                await cache.read("demo", TOKEN)
            await cache.write("demo", 3, {TOKEN: QUOTE}, {}, 4)  # a cacher overwrites it
            assert (await cache.read("demo", TOKEN)).quote == QUOTE

    async def test_fields_of_a_newer_release_are_ignored(self, redis_server: RedisServer) -> None:
        redis_server.clear()
        stored = '{"volume":1,"feed_epoch":3,"seq":12,"mode":"live","feed":"demo","ts":5,"last_price":1.5,"more":{}}'
        raw(redis_server, "SET", f"demo:instrument:price:{TOKEN}", stored)
        async with cache_on(redis_server) as cache:
            theirs = Quote(1.5, 5, "demo", FeedMode.LIVE, 3, 12)
            assert await cache.read("demo", TOKEN) == PriceReading(theirs, None)
            await cache.write("demo", 3, {TOKEN: QUOTE}, {}, 4)  # not newer: the stamp is found in any order
            assert (await cache.read("demo", TOKEN)).quote == theirs


class TestRights:
    """What a role's user needs, and no more."""

    async def test_an_engine_reads_prices_with_one_command(self, own_redis_server: RedisServer) -> None:
        own_redis_server.add_user("engine", f"on >secret %R~demo:* {CONNECT} +mget")
        async with cache_on(own_redis_server) as cacher, cache_on(own_redis_server, "engine") as engine:
            await cacher.write("demo", 3, {TOKEN: QUOTE}, {3: 80}, 4)
            assert await engine.read("demo", TOKEN) == PriceReading(QUOTE, 80)
            assert await engine.read_many("demo", [TOKEN]) == {TOKEN: QUOTE}
            with pytest.raises(DependencyUnavailableError, match="permission"):
                await engine.write("demo", 4, {}, {}, 4)
            with pytest.raises(DependencyUnavailableError, match="permission"):
                await engine.read("other", TOKEN)

    async def test_a_cacher_writes_its_own_feed_alone(self, own_redis_server: RedisServer) -> None:
        rights = "+evalsha +script|load +get +set +mget +mset +hvals +xadd +expire +time"
        own_redis_server.add_user("cacher", f"on >secret ~demo:* {CONNECT} {rights}")
        async with cache_on(own_redis_server, "cacher") as cacher:
            await cacher.write("demo", 3, {TOKEN: QUOTE}, {3: 80}, 4)
            await cacher.publish_ranges("demo", [price_range(1)])
            with pytest.raises(DependencyUnavailableError, match="permission"):
                await cacher.write("other", 3, {TOKEN: QUOTE}, {3: 80}, 4)

    async def test_a_tracker_watches_and_reads_ranges(self, own_redis_server: RedisServer) -> None:
        rights = "+mget +hset +hdel +evalsha_ro +script|load +get +xrange +xread"
        own_redis_server.add_user("tracker", f"on >secret %R~demo:* ~demo:watched {CONNECT} {rights}")
        async with cache_on(own_redis_server) as cacher, cache_on(own_redis_server, "tracker") as tracker:
            await tracker.watch("demo", "tracker", [TOKEN])
            waiting = asyncio.ensure_future(tracker.ranges("demo", {TOKEN: 0}, 5.0))
            await asyncio.sleep(0.05)  # so that it waits; it finds the range in any case
            await cacher.publish_ranges("demo", [price_range(1)])
            assert [item.first_seq for item in await waiting] == [1]


class TestRanges:
    async def test_the_oldest_of_a_token_are_dropped_beyond_the_bound(
        self, redis_server: RedisServer
    ) -> None:
        redis_server.clear()
        async with cache_on(redis_server, kept_ranges=200) as cache:
            for first in range(0, 1000, 100):
                await cache.publish_ranges("demo", [price_range(first + step) for step in range(100)])
            await cache.publish_ranges("demo", [price_range(9, token=2)])
            found = [item.first_seq for item in await cache.ranges("demo", {TOKEN: 0}, 0)]
            assert found == list(range(found[0], 1000))
            assert 200 <= len(found) <= 300  # Redis drops whole nodes of 100
            assert len(await cache.ranges("demo", {2: 0}, 0)) == 1

    async def test_those_of_a_token_that_gets_none_any_more_go(self, redis_server: RedisServer) -> None:
        redis_server.clear()
        async with cache_on(redis_server) as cache:
            await cache.publish_ranges("demo", [price_range(1)])
        assert 86_000 < raw(redis_server, "TTL", f"demo:ranges:{TOKEN}") <= 86_400
        assert raw(redis_server, "TTL", "demo:ranges-cursor") == -1  # a cursor must never come again

    async def test_a_reader_far_behind_catches_up_in_pages(self, redis_server: RedisServer) -> None:
        redis_server.clear()
        async with cache_on(redis_server) as cache:
            count = PAGE + 500
            await cache.publish_ranges("demo", [price_range(first) for first in range(count)])
            first = await cache.ranges("demo", {TOKEN: 0}, 0)
            second = await cache.ranges("demo", {TOKEN: first[-1].cursor}, 0)
            assert [item.first_seq for item in first + second] == list(range(count))
            assert len(first) == PAGE

    async def test_nothing_published_is_no_request(self, own_redis_server: RedisServer) -> None:
        async with cache_on(own_redis_server) as cache:
            own_redis_server.kill()
            await cache.publish_ranges("demo", [])
            assert await cache.read_many("demo", []) == {}

    async def test_cursors_grow_when_the_clock_steps_back(self, stores: Stores) -> None:
        await stores.prices.publish_ranges("demo", [price_range(1)])
        await stores.harness.advance(-HOUR)
        await stores.prices.publish_ranges("demo", [price_range(3)])
        first, second = await stores.prices.ranges("demo", {TOKEN: 0}, 0)
        assert first.cursor < second.cursor
        assert [item.first_seq for item in await stores.prices.ranges("demo", {TOKEN: first.cursor}, 0)] == [
            3
        ]

    async def test_a_cursor_of_a_lost_store_hides_nothing_though_the_clock_stepped_back(
        self, stores: Stores, redis_server: RedisServer
    ) -> None:
        await stores.prices.publish_ranges("demo", [price_range(1)])
        (lost,) = await stores.prices.ranges("demo", {TOKEN: 0}, 0)
        redis_server.clear()
        await stores.harness.advance(-HOUR)
        assert await stores.prices.ranges("demo", {TOKEN: lost.cursor}, 0) == []
        await stores.prices.publish_ranges("demo", [price_range(3)])
        assert [item.first_seq for item in await stores.prices.ranges("demo", {TOKEN: lost.cursor}, 0)] == [3]

    async def test_a_reader_waits_longer_than_one_request_does(self, redis_server: RedisServer) -> None:
        redis_server.clear()
        async with cache_on(redis_server, longest_wait=0.02) as cache:
            waiting = asyncio.ensure_future(cache.ranges("demo", {TOKEN: 0}, None))
            done, _ = await asyncio.wait([waiting], timeout=0.2)
            assert not done
            await cache.publish_ranges("demo", [price_range(1)])
            assert [item.first_seq for item in await asyncio.wait_for(waiting, 10)] == [1]

    async def test_a_reader_asks_once_and_waits(self, redis_server: RedisServer) -> None:
        redis_server.clear()
        raw(redis_server, "CONFIG", "RESETSTAT")
        async with cache_on(redis_server) as cache:
            assert await cache.ranges("demo", {TOKEN: 0}, 0.3) == []
        with redis_server.client() as client:
            assert client.info("commandstats")["cmdstat_xread"]["calls"] == 1

    async def test_a_reader_of_no_token_waits_for_its_timeout(self, redis_server: RedisServer) -> None:
        async with cache_on(redis_server) as cache:
            assert await cache.ranges("demo", {}, 0.05) == []

    @pytest.mark.parametrize("how", ["kill", "pause"])
    async def test_a_reader_that_waits_notices_that_redis_is_gone(
        self, own_redis_server: RedisServer, how: str
    ) -> None:
        async with cache_on(own_redis_server, longest_wait=0.3, late=0.5) as cache:
            waiting = asyncio.ensure_future(cache.ranges("demo", {TOKEN: 0}, None))
            await asyncio.wait([waiting], timeout=0.1)
            getattr(own_redis_server, how)()
            with pytest.raises(DependencyUnavailableError):
                await asyncio.wait_for(waiting, 10)

    async def test_waiting_holds_none_of_the_connections_that_others_need(
        self, redis_server: RedisServer
    ) -> None:
        redis_server.clear()
        waits = make_database(RedisAddress(redis_server.url), RandomIds(), KeyMap())
        narrow = make_database(
            RedisAddress(redis_server.url, max_connections=1, connect_timeout=1.0), RandomIds(), KeyMap()
        )
        cache = RedisPriceCache(narrow, waiting=waits)
        try:
            readers = [asyncio.ensure_future(cache.ranges("demo", {TOKEN: 0}, None)) for _ in range(3)]
            await asyncio.wait(readers, timeout=0.1)
            await cache.publish_ranges("demo", [price_range(1)])
            for reader in readers:
                assert len(await asyncio.wait_for(reader, 10)) == 1
        finally:
            await narrow.close()
            await waits.close()

    async def test_a_cancelled_reader_leaves_its_connection_to_nobody(
        self, redis_server: RedisServer
    ) -> None:
        """A late reply to its request must not be read as another's."""
        redis_server.clear()
        async with cache_on(redis_server) as cache:
            for _ in range(5):
                waiting = asyncio.ensure_future(cache.ranges("demo", {TOKEN: 0}, None))
                await asyncio.wait([waiting], timeout=0.02)
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
                await cache.publish_ranges("demo", [price_range(1)])
                assert await cache.read("demo", TOKEN) == PriceReading(None, None)
                redis_server.clear()


async def test_a_cancelled_reader_holds_no_connection(redis_server: RedisServer) -> None:
    """Else an order-tracker whose watched tokens change often would run out of them."""
    redis_server.clear()
    async with cache_on(redis_server) as cache:
        for _ in range(3):
            waiting = asyncio.ensure_future(cache.ranges("demo", {TOKEN: 0}, None))
            await blocked(redis_server, 1)
            waiting.cancel()
            await blocked(redis_server, 0)


def info(server: RedisServer) -> str:
    with server.client(decode_responses=True) as client:
        return "".join(f"{name}:{value}\r\n" for name, value in client.info("clients").items())


async def blocked(server: RedisServer, readers: int) -> None:
    """Return when so many readers wait; well before such a wait would end by itself."""
    async with asyncio.timeout(LONGEST_WAIT / 2):
        while f"blocked_clients:{readers}\r\n" not in info(server):  # noqa: ASYNC110 - another process's state
            await asyncio.sleep(0.01)  # the server tells nobody when a client has gone


async def test_cachers_that_write_at_once_leave_the_newest(redis_server: RedisServer) -> None:
    redis_server.clear()
    async with cache_on(redis_server) as one, cache_on(redis_server) as two:
        quotes = [Quote(float(seq), seq, "demo", FeedMode.REPLAY, 1, seq) for seq in range(1, 101)]
        tasks = [
            cache.write("demo", 1, {TOKEN: quote, OTHER: quote}, {quote.seq % 4: quote.ts}, 4)
            for quote in reversed(quotes)
            for cache in (one, two)
        ]
        await asyncio.gather(*tasks)
        assert await one.read_many("demo", [TOKEN, OTHER]) == {TOKEN: quotes[-1], OTHER: quotes[-1]}
        assert raw(redis_server, "GET", "demo:heartbeat").count(":9") == 3  # 97, 98, 99; partition 0 has 100
