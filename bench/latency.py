"""Tick → order visible on Kafka, over separate processes, against a bare chain that does the same durable writes.

Ours: market-feed, feed-cacher, strategy, risk, engine, order-tracker and `control`, a process each, 2,000 ticks a
second of 100 instruments, a signal every 50 ticks, filled on paper. The bare chain: see `bench.chain`; as many ticks,
signals, hops and durable writes before the order is visible (strategy 1, risk 1, engine 2), a process each.

Measured from the tick's own time to the arrival of its order's event at a consumer in this process: one machine, one
clock. Both feeds send what they have each `BATCH_MS` (a setting of ours; 50 by default, which would add 25 ms
at the median to both sides and hide more of the difference). Both sides run all the time, but only one has ticks: the other's feed is
frozen. The sides take turns; after each change of turns some seconds are not counted.
"""

import asyncio
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import chain as joined
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from typing import Any, Final

import aiokafka
import msgspec
from bench.chain import HOPS, TOPICS, Message
from bench.processes import Process, ending, environment, start_services, until
from bench.world import ACCOUNT, PARTITIONS, Servers, write_world

from alpha_panda.adapters.clock import RealClock
from alpha_panda.compose.transports import connected
from alpha_panda.contracts.codec import decode_event
from alpha_panda.contracts.events import OrderUpdate, Signal
from alpha_panda.contracts.topics import TopicMap, TopicSpec
from alpha_panda.runtime.settings import load_settings

AIM: Final = 1.5
RATE: Final = 2_000
EVERY: Final = 50
INSTRUMENTS: Final = 100
BATCH_MS: Final = 20
SETTLE_SECONDS: Final = 3.0
START_SECONDS: Final = 120.0
PREFIX: Final = "latency."


@dataclass(slots=True)
class Latencies:
    """Milliseconds of each counted turn, one list a turn."""

    turns: list[list[float]] = field(default_factory=list)

    def quantile(self, percent: int) -> float:
        """Return a percentile over all turns."""
        return quantiles(joined.from_iterable(self.turns), n=100, method="inclusive")[percent - 1]


@dataclass(frozen=True, slots=True)
class LatencyResult:
    """Both sides' latencies; the ratio is the median of the turns' ratios of medians."""

    ours: Latencies
    bare: Latencies
    cpu: dict[str, float] = field(default_factory=dict)
    """Cores used by each process in its side's turns."""

    @property
    def ratio(self) -> float:
        """Our p50 by the bare chain's."""
        pairs = zip(self.ours.turns, self.bare.turns, strict=True)
        return median(median(ours) / median(bare) for ours, bare in pairs)

    def as_json(self) -> dict[str, Any]:
        """Return the figures."""
        return {
            "aim": AIM,
            "ratio": self.ratio,
            "met": self.ratio <= AIM,
            "ours_p50_ms": self.ours.quantile(50),
            "ours_p99_ms": self.ours.quantile(99),
            "bare_p50_ms": self.bare.quantile(50),
            "bare_p99_ms": self.bare.quantile(99),
            "ours_orders": sum(map(len, self.ours.turns)),
            "bare_orders": sum(map(len, self.bare.turns)),
            "batch_ms": BATCH_MS,
            "cores": self.cpu,
        }


class Arrivals:
    """Takes note of each order's arrival while it is asked to."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.counting: list[float] | None = None

    def note(self, tick_ts: int) -> None:
        """An order of a tick of that time is here, now."""
        self.first.set()
        if self.counting is not None:
            self.counting.append((time.time_ns() - tick_ts) / 1e6)


async def compare(servers: Servers, *, turns: int, seconds: float) -> LatencyResult:
    """Return the latencies of both sides, `seconds` a turn."""
    result = LatencyResult(Latencies(), Latencies())
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        await _make_topics(servers)
        arrivals = {"ours": Arrivals(), "bare": Arrivals()}
        for side, listen in (("ours", _listen_ours), ("bare", _listen_bare)):
            listening = asyncio.create_task(listen(servers, arrivals[side]))
            stack.push_async_callback(_cancelled, listening)
        bare = await _started(stack, _start_bare(servers, folder), arrivals["bare"])
        ours = await _started(stack, _start_ours(servers, folder), arrivals["ours"])
        sides = {"ours": ours, "bare": bare}
        feeds = {side: processes[-1] for side, processes in sides.items()}
        for _ in range(turns):
            for side, latencies in (("ours", result.ours), ("bare", result.bare)):
                feeds[side].resume()
                await asyncio.sleep(SETTLE_SECONDS)
                used = {process.name: process.cpu_seconds() for process in sides[side]}
                turn: list[float] = []
                arrivals[side].counting = turn
                await asyncio.sleep(seconds)
                arrivals[side].counting = None
                feeds[side].pause()
                for process in sides[side]:
                    share = (process.cpu_seconds() - used[process.name]) / seconds / turns
                    result.cpu[process.name] = result.cpu.get(process.name, 0.0) + share
                for process in (*ours, *bare):
                    process.check()
                if not turn:
                    raise RuntimeError(f"{side}: no order in {seconds:g} s")
                latencies.turns.append(turn)
    return result


async def _started(stack: AsyncExitStack, processes: list[Process], arrivals: Arrivals) -> list[Process]:
    """Wait for the first order, then freeze the feed, which is the last process."""
    await stack.enter_async_context(ending(processes))
    await until(asyncio.ensure_future(_set(arrivals.first)), processes, START_SECONDS)
    processes[-1].pause()
    return processes


async def _set(event: asyncio.Event) -> None:
    await event.wait()


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def _make_topics(servers: Servers) -> None:
    settings = load_settings(
        kafka_bootstrap_servers=servers.kafka, redis_url=servers.redis, topic_prefix=PREFIX
    )
    spread = TopicMap(ACCOUNT, PREFIX).specs(settings.order_partitions)
    chain = [TopicSpec(name, 1 if key == "raw" else PARTITIONS) for key, name in TOPICS.items()]
    async with connected(settings, RealClock()) as ports:
        await ports.bus.ensure_topics([*spread, *chain])


def _start_ours(servers: Servers, folder: Path) -> list[Process]:
    manifests = write_world(
        folder, instruments=INSTRUMENTS, strategies=["steady"], every=EVERY, ticks_per_second=RATE
    )
    patient = {"lease_ttl_seconds": 600, "feed_batch_max_delay_ms": BATCH_MS}  # a frozen feed keeps its lease
    return start_services(folder, manifests, environment(servers, PREFIX, **patient), ["steady"])


def _start_bare(servers: Servers, folder: Path) -> list[Process]:
    options = {
        "kafka": servers.kafka,
        "redis": servers.redis,
        "rate": RATE,
        "batch-ms": BATCH_MS,
        "every": EVERY,
        "instruments": INSTRUMENTS,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    return [
        Process(f"bare {role}", ("bench.chain", role, *words), {}, folder / f"bare-{role}.log")
        for role in (*HOPS, "ticks")
    ]


async def _listen_ours(servers: Servers, arrivals: Arrivals) -> None:
    """Join signals (whose reason is the tick's time) with the orders that they caused."""
    topics = TopicMap(ACCOUNT, PREFIX)
    ticks: dict[str, int] = {}
    early: set[str] = set()
    async for value in _values(servers, topics.signals_raw, topics.orders_filled):
        data = decode_event(value).data
        if isinstance(data, Signal):
            if data.signal_id not in early:
                ticks[data.signal_id] = int(data.reason)
        elif isinstance(data, OrderUpdate):
            ts = ticks.pop(data.signal_id, None)
            if ts is None:
                early.add(data.signal_id)  # its signal was fetched later: not counted
            else:
                arrivals.note(ts)


async def _listen_bare(servers: Servers, arrivals: Arrivals) -> None:
    decode = msgspec.json.Decoder(Message).decode
    async for value in _values(servers, TOPICS["orders"]):
        arrivals.note(decode(value).tick_ts)


async def _values(servers: Servers, *topics: str) -> Any:  # noqa: ANN401 - an async iterator of bytes
    consumer = aiokafka.AIOKafkaConsumer(
        *topics, bootstrap_servers=servers.kafka, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        async for record in consumer:
            yield record.value
    finally:
        await consumer.stop()
