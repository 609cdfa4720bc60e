"""Cost of a tick in the strategy runner, by the number of strategies that don't want it.

10,000 instruments; one strategy wants the ticks that come, the others want other instruments.
"""

import asyncio
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.data import START_NS, strategy, symbol, token, write_manifest

from alpha_panda.adapters.clock import RealClock
from alpha_panda.cli.loading import load
from alpha_panda.compose.ports import memory_ports
from alpha_panda.contracts.codec import encode_ticks
from alpha_panda.contracts.enums import FeedMode
from alpha_panda.contracts.events import Tick, TickBatch
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.topics import market_ticks, tick_partition
from alpha_panda.ports import Outgoing
from alpha_panda.runtime.context import ServiceContext
from alpha_panda.runtime.logging import configure_logging
from alpha_panda.runtime.settings import Settings
from alpha_panda.strategy.service import build

INSTRUMENTS = 10_000
EACH = 10
BATCHES = 2_000
TICKS = 100
ROUNDS = 5
PARTITIONS = 4


def cost_by_strategies(counts: tuple[int, ...] = (1, 10, 100, 1_000)) -> dict[int, float]:
    """Return nanoseconds a tick by the number of strategies; the rounds take turns, the median counts."""
    sets = {count: _resources(count) for count in counts}
    rounds = [{count: asyncio.run(_measure(sets[count])) for count in counts} for _ in range(ROUNDS)]
    return {count: statistics.median(result[count] for result in rounds) for count in counts}


def _resources(count: int) -> ResourceSet:
    names = [[symbol(EACH * index + offset) for offset in range(EACH)] for index in range(count)]
    strategies = [strategy(f"s{index}", symbols, "9000") for index, symbols in enumerate(names)]
    with TemporaryDirectory() as folder:
        manifest = Path(folder) / "bench.yaml"
        source = "{replay: {path: none.parquet, speed: 0}}"
        write_manifest(manifest, INSTRUMENTS, strategies, source)
        return load([manifest])


async def _measure(resources: ResourceSet) -> float:
    settings = Settings(log_level="ERROR")
    configure_logging(settings)
    _, ports = memory_ports(resources, settings, RealClock())
    service = build(ServiceContext(settings, ports, resources, ",".join(resources.strategies), "bench"))
    running = asyncio.create_task(service.run())
    await service.ready.wait()
    async with ports.bus.producer("bench") as producer:
        records = _records()
        await asyncio.sleep(0.01)  # the consumer opens
        begun = time.process_time()
        for record in records:
            await producer.send([record])
        while service.get_status().processed < BATCHES * TICKS:
            if running.done():
                await running
            await asyncio.sleep(0)
        seconds = time.process_time() - begun
    await service.stop()
    await running
    return seconds / (BATCHES * TICKS) * 1e9


def _records() -> list[Outgoing]:
    """Return batches of ticks of the first strategy's instruments that share a partition."""
    home = tick_partition(token(0), PARTITIONS)
    wanted = [token(i) for i in range(EACH) if tick_partition(token(i), PARTITIONS) == home]
    records = []
    for number in range(BATCHES):
        ticks = [
            Tick(wanted[i % len(wanted)], 1000.0, START_NS + number * TICKS + i, number * TICKS + i + 1)
            for i in range(TICKS)
        ]
        batch = TickBatch("bench", FeedMode.REPLAY, 1, ticks[-1].ts, ticks)
        records.append(Outgoing(market_ticks("bench"), encode_ticks(batch), partition=home))
    return records
