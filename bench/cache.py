"""Tick → price cache: the feed-cacher against a bare loop over the same backlog of ticks.

Ours: the service as it runs in a pod, in this process: group, retries, breaker, status, fenced script that keeps
older quotes from replacing newer ones, heartbeats by partition, watched tokens.

The bare loop: getmany, decode, the newest tick of each token, one MSET of the quotes (the same JSON) a fetch, one SET
of a heartbeat, commit. It checks nothing: no epoch, no sequence, no error handling.

Both are timed from their first records to the commit that covers the last, in turns.
"""

import asyncio
from typing import Final

import msgspec
from bench.bare import MAX_RECORDS, reading, storing
from bench.span import Comparison, Cost, Span
from bench.world import FEED, PATIENCE, Servers, TickBacklog, World, opened_world

from alpha_panda.contracts.events import Tick, TickBatch
from alpha_panda.contracts.stored import Quote
from alpha_panda.ports import TopicPartition

AIM: Final = 0.60
INSTRUMENTS: Final = 500
TICKS: Final = 100

_decode: Final = msgspec.msgpack.Decoder(TickBatch).decode
_encode: Final = msgspec.json.Encoder().encode


async def compare(servers: Servers, *, records: int, rounds: int) -> Comparison:
    """Return the costs of a tick on both sides; the rounds take turns."""
    ours, bare = [], []
    async with opened_world(servers, "cache", instruments=INSTRUMENTS) as world:
        backlog = TickBacklog(world, records, TICKS)
        async with world.running(("feed-cacher", FEED)):
            pass  # makes the topic
        for _ in range(rounds + 1):
            starts = await backlog.starts()
            ticks = await backlog.produce()
            ours.append(await _ours(world, backlog.topic, records, ticks))
            bare.append(await _bare(servers, starts, records, ticks))
    return Comparison("tick → Redis cache", "ticks", AIM, ours[1:], bare[1:])  # the first round warms up


async def _ours(world: World, topic: str, records: int, ticks: int) -> Cost:
    span = Span(records, ticks)
    async with asyncio.timeout(PATIENCE), world.running(("feed-cacher", FEED), watching=(topic, span)):
        await span.ended.wait()
    return span.cost


async def _bare(servers: Servers, starts: dict[TopicPartition, int], records: int, ticks: int) -> Cost:
    span = Span(records, ticks)
    async with (
        asyncio.timeout(PATIENCE),
        reading(servers, "bare.cache", starts) as consumer,
        storing(servers) as store,
    ):
        while span.seen < records:
            fetched = await consumer.getmany(timeout_ms=1000, max_records=MAX_RECORDS)
            if not fetched:
                continue
            span.begin()
            newest: dict[int, Tick] = {}
            for batch in fetched.values():
                for record in batch:
                    ticks_of = _decode(record.value)
                    for tick in ticks_of.ticks:
                        newest[tick.token] = tick
                span.seen += len(batch)
            await store.mset(
                {f"bare:price:{token}": _quote(ticks_of, tick) for token, tick in newest.items()}
            )
            await store.set("bare:heartbeat", ticks_of.ts)
            await consumer.commit()
        span.end()
    return span.cost


def _quote(batch: TickBatch, tick: Tick) -> bytes:
    return _encode(
        Quote(
            tick.last_price, tick.ts, batch.feed, batch.mode, batch.feed_epoch, tick.seq, tick.bid, tick.ask
        )
    )
