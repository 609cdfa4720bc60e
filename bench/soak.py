"""Memory of every process over time: `python -m bench.soak --minutes 10` (`make soak`).

Everything over a real Kafka and a real Redis as separate processes: 2,000 ticks a second of 100 instruments, five paper
orders a second. Resident memory of each process is sampled each 5 s. A service GROWS if the median of its last samples
is above the median of the first third's (without the first half minute) by more than both 4 MiB and 5 %.

Risk keeps every decision, and Redis every decision and journal entry, for as long as topics keep their records (DESIGN,
section 4): they grow with the orders, not with time, so for them what the orders between may keep is allowed on top.
Kafka's memory is shown, and judged by nothing: its heap has a fixed size that it fills as it likes.
"""

import argparse
import asyncio
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Final

from bench.processes import Process, ending, environment, start_services, until
from bench.world import ACCOUNT, Servers, write_world
from rich.console import Console
from rich.table import Table

from alpha_panda.adapters.clock import RealClock
from alpha_panda.compose.transports import connected
from alpha_panda.contracts.topics import TopicMap
from alpha_panda.errors import AlphaPandaError
from alpha_panda.ports import EventBus
from alpha_panda.runtime.settings import load_settings
from alpha_panda.testing.servers.kafka import KafkaServer
from alpha_panda.testing.servers.redis import RedisServer

RATE: Final = 2_000
ORDERS_PER_SECOND: Final = 5
INSTRUMENTS: Final = 100
SAMPLE_SECONDS: Final = 5.0
WARM_SECONDS: Final = 30.0
START_SECONDS: Final = 120.0
MIB: Final = 2**20

SLACK_BYTES: Final = 4 * MIB
SLACK_SHARE: Final = 0.05
LAST: Final = 6
"""Samples at the end whose median counts."""

KEPT_PER_ORDER: Final = {"risk": 8 * 1024, "redis": 8 * 1024}
"""Bytes that an order may keep: the decision with the outcome of each check; in Redis that, its fold and its entry."""

UNJUDGED: Final = frozenset({"kafka"})
PREFIX: Final = "soak."


@dataclass(slots=True)
class Samples:
    """Resident bytes of one process, in order, each with how many orders there had been."""

    name: str
    pid: int
    bytes_at: list[int] = field(default_factory=list)
    orders_at: list[int] = field(default_factory=list)

    def take(self, orders: int) -> None:
        """Add a sample (Linux)."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        self.bytes_at.append(pages * 4096)
        self.orders_at.append(orders)

    def judged(self) -> "Judged":
        """Compare the end with the first third."""
        warm = min(round(WARM_SECONDS / SAMPLE_SECONDS), len(self.bytes_at) // 6)
        third = slice(warm, max(len(self.bytes_at) // 3, warm + 1))
        orders = round(median(self.orders_at[-LAST:]) - median(self.orders_at[third]))
        return Judged(self.name, median(self.bytes_at[third]), median(self.bytes_at[-LAST:]), orders)


@dataclass(frozen=True, slots=True)
class Judged:
    """A process's memory early and at the end, in bytes, and the orders in between."""

    name: str
    early: float
    late: float
    orders: int

    @property
    def allowed(self) -> float:
        """Growth that is none: noise, and what the orders keep."""
        return max(SLACK_BYTES, SLACK_SHARE * self.early) + KEPT_PER_ORDER.get(self.name, 0) * self.orders

    @property
    def growing(self) -> bool:
        """Whether it grows."""
        return self.name not in UNJUDGED and self.late - self.early > self.allowed

    @property
    def verdict(self) -> str:
        """One word."""
        if self.name in UNJUDGED:
            return "not judged"
        return "GROWING" if self.growing else "FLAT"


async def soak(servers: Servers, watched: dict[str, int], minutes: float) -> list[Judged]:
    """Run everything for so long; return what became of the memory of all processes, `watched` (name → pid) included."""
    settings = load_settings(
        kafka_bootstrap_servers=servers.kafka, redis_url=servers.redis, topic_prefix=PREFIX
    )
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        manifests = write_world(
            folder,
            instruments=INSTRUMENTS,
            strategies=["steady"],
            every=RATE // ORDERS_PER_SECOND,
            ticks_per_second=RATE,
            stale_after=30,
        )
        processes = start_services(folder, manifests, environment(servers, PREFIX), ["steady"])
        await stack.enter_async_context(ending(processes))
        bus = (await stack.enter_async_context(connected(settings, RealClock()))).bus
        await until(asyncio.ensure_future(_first_order(bus)), processes, START_SECONDS)
        return await _watch(bus, processes, watched, minutes)


async def _watch(
    bus: EventBus, processes: list[Process], watched: dict[str, int], minutes: float
) -> list[Judged]:
    pids = {process.name: process.pid for process in processes} | watched
    samples = [Samples(name, pid) for name, pid in pids.items()]
    begun = time.monotonic()
    before = await _orders(bus)
    count = 0
    while time.monotonic() - begun < minutes * 60:
        await asyncio.sleep(SAMPLE_SECONDS)
        for process in processes:
            process.check()
        count = await _orders(bus) - before
        for sample in samples:
            sample.take(count)
    if not count:
        raise RuntimeError("no order was filled: the soak would have watched idle services")
    print(f"{count:,} orders, {RATE * minutes * 60:,.0f} ticks, {len(samples[0].bytes_at)} samples")
    return [sample.judged() for sample in samples]


async def _orders(bus: EventBus) -> int:
    topic = TopicMap(ACCOUNT, PREFIX).orders_filled
    return sum(end for _, end in (await bus.offsets(topic)).values())


async def _first_order(bus: EventBus) -> None:
    while True:
        try:
            if await _orders(bus):
                return
        except AlphaPandaError:
            pass  # its topic is not there yet
        await asyncio.sleep(0.5)


def main() -> int:
    """Run, print, and return 1 if anything grows."""
    parser = argparse.ArgumentParser(prog="bench.soak", description="Watch the memory of all processes.")
    parser.add_argument("--minutes", type=float, default=10.0)
    minutes = parser.parse_args().minutes
    with KafkaServer() as kafka, RedisServer() as redis:
        servers = Servers(kafka.bootstrap_servers, redis.url)
        judged = asyncio.run(soak(servers, {"kafka": kafka.pid, "redis": redis.pid}, minutes))
    table = Table(title=f"resident memory over {minutes:g} minutes (MiB)")
    for title in ("process", "first third", "end", "growth", "a kept order may", "allowed", ""):
        table.add_column(title, justify="left" if title == "process" else "right")
    for item in judged:
        kept = KEPT_PER_ORDER.get(item.name)
        table.add_row(
            item.name,
            f"{item.early / MIB:.1f}",
            f"{item.late / MIB:.1f}",
            f"{(item.late - item.early) / MIB:+.1f}",
            f"{kept / 1024:.0f} KiB x {item.orders:,}" if kept else "",
            f"{item.allowed / MIB:.1f}",
            item.verdict,
        )
    Console(width=110).print(table)
    return int(any(item.growing for item in judged))


if __name__ == "__main__":
    sys.exit(main())
