"""What a live source adds: how far it is proven alive, what it had to drop, and what is wrong with it."""

from unittest.mock import patch

from alpha_panda.runtime.metrics.catalogue import FEED_AGE, FEED_SOURCE_ALIVE, TICKS_DROPPED
from unit.market_feed.test_metrics import OWN, read
from unit.market_feed.test_service import PARTITIONS, SECOND, Feed, feed, live

__all__ = ["feed", "live"]


async def test_records_say_until_when_all_of_the_source_is_proven_not_what_their_ticks_say(
    live: Feed,
) -> None:
    now = live.clock.now()
    async with live.running() as (service, _):
        await live.yields((101, 1.0, now), (102, 2.0, now), proven=now - 7 * SECOND)
        found = read(service)
    told = [batch for batch in await live.batches() if batch.ticks]
    assert {batch.ts for batch in told} == {now - 7 * SECOND}
    assert {tick.ts for batch in told for tick in batch.ticks} == {now}
    assert found.value(FEED_SOURCE_ALIVE, feed="demo") == 0


async def test_an_old_price_does_not_make_the_feed_look_dead(live: Feed) -> None:
    now = live.clock.now()
    async with live.running() as (service, _):
        await live.yields(
            (101, 1.0, now - 3600 * SECOND), (102, 2.0, now), (103, 2.0, now - SECOND), proven=now
        )
        found = read(service)
    assert found.value(FEED_SOURCE_ALIVE, feed="demo") == 1
    assert found.value(FEED_AGE, feed="demo") == 0


async def test_heartbeats_are_of_the_moment_that_is_proven(live: Feed) -> None:
    proven = live.clock.now() - 2 * SECOND
    async with live.running():
        await live.yields(proven=proven)
        await live.clock.advance(1)
    assert sorted(await live.beats()) == [(number, proven) for number in range(PARTITIONS)]


async def test_what_is_not_proven_anew_is_not_told_anew(live: Feed) -> None:
    proven = live.clock.now() - 2 * SECOND
    async with live.running():
        for _ in range(5):
            await live.yields(proven=proven)
            await live.clock.advance(1)
    assert len(await live.beats()) == PARTITIONS


async def test_what_the_source_dropped_for_newer_rows_is_counted(live: Feed) -> None:
    now = live.clock.now()
    async with live.running() as (service, _):
        await live.yields((101, 1.0, now), conflated=5)
        await live.yields(conflated=2)
        assert service.get_status().details["conflated"] == 7
        assert read(service).value(TICKS_DROPPED, reason="conflated", **OWN) == 7


async def test_the_status_says_what_is_wrong_with_a_source_that_can_tell(live: Feed) -> None:
    async with live.running() as (service, _):
        assert service.get_status().details["problem"] == ""
        with patch.object(live.source, "problem", lambda: "log in again", create=True):
            assert service.get_status().details["problem"] == "log in again"
