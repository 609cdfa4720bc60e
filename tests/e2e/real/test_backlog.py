"""A hundred thousand signals that waited out an outage: all expire, none trades late, nothing swells."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from alpha_panda.contracts.codec import encode_event, payload_hash
from alpha_panda.contracts.enums import Side, SignalClass, Verdict
from alpha_panda.contracts.events import Signal
from alpha_panda.contracts.stored import Decision
from alpha_panda.domain.ids import broker_tag
from alpha_panda.ports import Outgoing, Subscription
from alpha_panda.testing.processes import manifests
from alpha_panda.testing.processes.platform import Platform
from alpha_panda.testing.processes.signals import make_signal, raw_event, validated_event
from alpha_panda.testing.servers.kafka import KafkaServer
from alpha_panda.testing.servers.redis import RedisServer
from totals import Tally

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="function"), pytest.mark.timeout(240)]

RAW = 100_000
VALIDATED = 10_000
"""Fewer: an engine stores each refusal by itself, synced to disk, and that is what it waits for."""

BATCH = 5_000
DRAIN_SECONDS = 150.0
MEGABYTE = 1 << 20


class End(msgspec.Struct):
    """The little of a terminal event that is counted."""

    correlation_id: str
    data: "EndData"


class EndData(msgspec.Struct):
    code: str = ""


@pytest_asyncio.fixture
async def platform(worker_kafka: KafkaServer, tmp_path: Path) -> AsyncIterator[Platform]:
    with RedisServer() as redis:
        async with Platform(tmp_path, worker_kafka.bootstrap_servers, redis.url, record=False) as made:
            await made.start("control", "market-feed", "feed-cacher", "order-tracker")
            await made.until(made.journal.epoch, "the journal has an epoch")
            await made.priced()
            yield made


def stale(platform: Platform, count: int) -> list[Signal]:
    """Signals that have expired a minute ago, all different."""
    return [make_signal(Side.BUY, "1", ttl=-60) for _ in range(count)]


async def produce(platform: Platform, records: Sequence[Outgoing]) -> None:
    for first in range(0, len(records), BATCH):
        await platform.send(*records[first : first + BATCH])


async def ends_on(platform: Platform, topic: str, count: int) -> dict[str, str]:
    """Read the topic until it has told of `count` signals; return the codes by signal."""
    found: dict[str, str] = {}
    decoder = msgspec.json.Decoder(End)
    bus = platform.ports.bus
    partitions = tuple(await bus.offsets(topic))
    deadline = time.monotonic() + DRAIN_SECONDS
    async with bus.consumer(Subscription("backlog-test", partitions=partitions)) as consumer:
        while len(found) < count:
            if time.monotonic() > deadline:
                raise AssertionError(f"{len(found)} of {count} ended\n{platform.explain()}")
            for record in await consumer.fetch(5_000, 0.5):
                end = decoder.decode(record.value)
                found[end.correlation_id] = end.data.code
    return found


async def drained(
    platform: Platform, service: str, topic: str, count: int
) -> tuple[dict[str, str], float, int]:
    """Start the service on its backlog; return the ends, the seconds that it took and its greatest memory."""
    began = time.monotonic()
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            if platform.children[service].running:
                most = max(most, platform.memory(service))
            await asyncio.sleep(0.2)

    await platform.start(service, wait=False)
    watching = asyncio.create_task(watch())
    try:
        found = await ends_on(platform, topic, count)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    return found, time.monotonic() - began, most


async def test_stale_raw_signals_expire_at_risk(platform: Platform, tally: Tally) -> None:
    signals = stale(platform, RAW)
    await produce(
        platform,
        [
            Outgoing(platform.topics.signals_raw, encode_event(raw_event(signal)), key=signal.key)
            for signal in signals
        ],
    )
    ids = {signal.signal_id for signal in signals}
    found, seconds, most = await drained(platform, "risk", platform.topics.signals_rejected, RAW)
    assert set(found) == ids
    assert set(found.values()) == {"SIGNAL_EXPIRED"}
    assert platform.children["risk"].exits == []
    await platform.start("engine")
    fresh = make_signal(Side.BUY, "1")
    await platform.produce(fresh)
    core = platform.broker.core
    await platform.until(lambda: core.placed()[broker_tag(fresh.signal_id)] == 1, "a fresh signal trades")
    assert set(core.placed()) == {broker_tag(fresh.signal_id)}
    assert most < 1_000 * MEGABYTE
    tally(
        "backlog of raw signals",
        f"{RAW:,} expired in {seconds:.1f} s, {RAW / seconds:,.0f}/s, risk took {most / MEGABYTE:.0f} MB",
    )


async def test_stale_validated_signals_expire_at_the_engine(platform: Platform, tally: Tally) -> None:
    signals = stale(platform, VALIDATED)
    epoch = await platform.journal.epoch() or ""
    await decide(platform, signals, epoch)
    await produce(platform, [validated(platform, signal, epoch) for signal in signals])
    ids = {signal.signal_id for signal in signals}
    found, seconds, most = await drained(platform, "engine", platform.topics.orders_failed, VALIDATED)
    assert set(found) == ids
    assert set(found.values()) == {"SIGNAL_EXPIRED"}
    assert not platform.broker.core.placed()
    await platform.until(lambda: nothing_open(platform), "nothing is left to be told")
    assert most < 300 * MEGABYTE
    tally(
        "backlog of validated signals",
        f"{VALIDATED:,} expired in {seconds:.1f} s, {VALIDATED / seconds:,.0f}/s, the engine took {most / MEGABYTE:.0f} MB",
    )


async def nothing_open(platform: Platform) -> bool:
    return not await platform.journal.unacknowledged()


async def decide(platform: Platform, signals: Sequence[Signal], epoch: str) -> None:
    """Store the decisions that risk had made before the outage."""
    store = platform.ports.decisions(manifests.ACCOUNT)
    claim = await store.claim("backlog-test")
    decisions = [
        Decision(
            signal=signal,
            verdict=Verdict.VALIDATED,
            signal_class=SignalClass.INCREASING,
            payload_hash=payload_hash(signal),
            risk_epoch=claim.epoch,
            journal_epoch=epoch,
            decided_at=time.time_ns(),
            correlation_id=signal.signal_id,
            causation_id="test",
        )
        for signal in signals
    ]
    for first in range(0, len(decisions), 500):
        await store.record(claim.epoch, *decisions[first : first + 500])


def validated(platform: Platform, signal: Signal, epoch: str) -> Outgoing:
    event = validated_event(signal, source="risk/main", risk_epoch="before", journal_epoch=epoch)
    return Outgoing(platform.topics.signals_validated, encode_event(event), key=signal.key)
