"""What the market-feed tells of its feed, through the service: counts of batches, and ages as of each scrape."""

import pytest

from alpha_panda.market_feed.metrics import age
from alpha_panda.runtime.metrics.catalogue import (
    FEED_AGE,
    FEED_HEARTBEAT_AGE,
    FEED_SESSION_OPEN,
    FEED_SOURCE_ALIVE,
    FEED_STALE_AFTER,
    TICKS_DROPPED,
    TICKS_PUBLISHED,
    TICKS_RECEIVED,
)
from alpha_panda.runtime.service import StreamService
from unit.market_feed.test_service import SECOND, Feed, feed, live
from unit.runtime.metrics.scraped import Scraped

__all__ = ["feed", "live"]
OWN = {"service": "market-feed", "feed": "demo"}


def read(service: StreamService) -> Scraped:
    return Scraped.of(service.metrics)


async def test_rows_in_and_ticks_out_are_counted(feed: Feed) -> None:
    now = feed.clock.now()
    async with feed.running() as (service, _):
        await feed.yields((101, 1.0, now), (102, 2.0, now), bad_rows=3)
        await feed.yields((101, 1.0, now + 1))
        found = read(service)
    assert found.value(TICKS_RECEIVED, **OWN) == found.value(TICKS_PUBLISHED, **OWN) == 3
    assert found.value(TICKS_DROPPED, reason="bad_row", **OWN) == 3


async def test_a_source_that_falls_silent_ages_though_nothing_is_wrong_with_the_service(live: Feed) -> None:
    async with live.running() as (service, _):
        await live.yields((101, 1.0, live.clock.now()))
        found = read(service)
        assert found.value(FEED_AGE, feed="demo") == 0
        assert found.value(FEED_SOURCE_ALIVE, feed="demo") == 1
        for _ in range(60):
            await live.clock.advance(1)
        found = read(service)
    assert found.value(FEED_AGE, feed="demo") == 60
    assert found.value(FEED_HEARTBEAT_AGE, feed="demo") == pytest.approx(60)
    assert found.value(FEED_SOURCE_ALIVE, feed="demo") == 0
    assert found.value(FEED_SESSION_OPEN, feed="demo") == 1


async def test_proofs_that_kafka_does_not_take_let_the_heartbeat_age_beyond_the_limit(live: Feed) -> None:
    async with live.running() as (service, _):
        await live.yields()
        await live.clock.advance(1)
        live.bus.faults.fail_sends(1000)
        for _ in range(30):
            await live.yields()
            await live.clock.advance(1)
        found = read(service)
    limit = found.number(FEED_STALE_AFTER, feed="demo")
    assert limit == live.context().resources.feeds["demo"].stale_after_ns / SECOND
    assert found.value(FEED_SOURCE_ALIVE, feed="demo") == 1
    assert found.number(FEED_HEARTBEAT_AGE, feed="demo") > limit


async def test_proofs_of_life_without_ticks_keep_the_heartbeat_young_and_the_tick_old(live: Feed) -> None:
    async with live.running() as (service, _):
        await live.yields((101, 1.0, live.clock.now()))
        for _ in range(20):
            await live.yields()
            await live.clock.advance(1)
        found = read(service)
    assert found.value(FEED_AGE, feed="demo") == 20
    assert found.number(FEED_HEARTBEAT_AGE, feed="demo") <= 2
    assert found.value(FEED_SOURCE_ALIVE, feed="demo") == 1


async def test_a_source_that_never_says_anything_ages_from_the_beginning(live: Feed) -> None:
    async with live.running() as (service, _):
        await live.clock.advance(30)
        found = read(service)
    assert found.value(FEED_AGE, feed="demo") == found.value(FEED_HEARTBEAT_AGE, feed="demo") == 30
    assert found.value(FEED_SOURCE_ALIVE, feed="demo") == 0


async def test_a_replica_that_waits_for_its_lease_tells_no_age(live: Feed) -> None:
    async with live.running("first") as (first, _), live.running("second") as (second, _):
        assert read(first).value(FEED_AGE, feed="demo") == 0
        assert read(second).value(FEED_AGE, feed="demo") is None


def test_ages() -> None:
    assert age(5 * SECOND, 2 * SECOND, 0) == 3
    assert age(5 * SECOND, None, SECOND) == 4
    assert age(5 * SECOND, 6 * SECOND, 0) == 0  # the source's clock is ahead
