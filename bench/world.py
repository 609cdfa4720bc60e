"""The manifests of the benchmarks over real servers, and services of theirs in this process."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final, cast

import yaml
from bench.span import Span, WatchedBus

from alpha_panda.cli.loading import load
from alpha_panda.compose.process import service_ports
from alpha_panda.contracts.codec import encode_ticks
from alpha_panda.contracts.enums import FeedMode
from alpha_panda.contracts.events import Tick, TickBatch
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.topics import market_ticks, tick_partition
from alpha_panda.ports import EventBus, Outgoing, TopicPartition
from alpha_panda.runtime.context import Ports, ServiceContext
from alpha_panda.runtime.control_writer import ControlWriter
from alpha_panda.runtime.logging import configure_logging
from alpha_panda.runtime.registry import find_services
from alpha_panda.runtime.service import StreamService
from alpha_panda.runtime.settings import Settings, load_settings

FEED: Final = "bench"
ACCOUNT: Final = "main"
PARTITIONS: Final = 4
FIRST_TOKEN: Final = 1000
PRODUCED_AT_ONCE: Final = 500
PATIENCE: Final = 120.0
"""Seconds that any one round may take on a loaded machine."""

STRATEGY: Final = '''"""Sends a signal every so many ticks; it buys and sells in turn."""

from pydantic import Field

from alpha_panda.sdk import Strategy, StrategyParameters, Tick


class Parameters(StrategyParameters):
    every: int = Field(default=100, description="Ticks from one signal to the next.")


class Steady(Strategy):
    Parameters = Parameters
    parameters: Parameters

    def on_start(self) -> None:
        self.seen = 0

    def on_tick(self, tick: Tick) -> None:
        self.seen += 1
        if self.seen % self.parameters.every == 0:
            side = self.buy if self.seen // self.parameters.every % 2 else self.sell
            side(tick.token, 1, reason=str(tick.ts))

    def snapshot(self) -> object:
        return self.seen

    def restore(self, state: object) -> None:
        assert isinstance(state, int)
        self.seen = state
'''


@dataclass(frozen=True, slots=True)
class Servers:
    """Where Kafka and Redis are."""

    kafka: str
    redis: str


def symbol_of(token: int) -> str:
    """Return the symbol of an instrument."""
    return f"BENCH:I{token}"


def write_world(  # noqa: PLR0913 - all but one by keyword, with defaults
    folder: Path,
    *,
    instruments: int,
    strategies: Sequence[str] = (),
    every: int = 100,
    ticks_per_second: float = 10.0,
    stale_after: int = 3600,
) -> Path:
    """Write one feed, one paper account without a limit on the rate, and strategies on all instruments."""
    (folder / "steady.py").write_text(STRATEGY, encoding="utf-8")
    symbols = [symbol_of(FIRST_TOKEN + index) for index in range(instruments)]
    feed = {
        "source": {"simulated": {"seed": 1, "ticksPerSecond": ticks_per_second}},
        "partitions": PARTITIONS,
        "staleAfterSeconds": stale_after,
        "instruments": [
            {"symbol": symbol, "token": FIRST_TOKEN + index, "tickSize": "0.05", "referencePrice": "100"}
            for index, symbol in enumerate(symbols)
        ],
    }
    account = {
        "marketFeed": FEED,
        "paper": {"cash": "1000000000"},
        "risk": {"maxOrdersPerSecond": 100_000},
    }
    wanted = {
        name: {
            "code": {"file": "steady.py"},
            "marketFeed": FEED,
            "instruments": symbols,
            "accounts": [ACCOUNT],
            "parameters": {"every": every},
        }
        for name in strategies
    }
    documents = [
        _resource("MarketFeed", FEED, feed),
        _resource("BrokerAccount", ACCOUNT, account),
        *(_resource("Strategy", name, spec) for name, spec in wanted.items()),
    ]
    path = folder / "bench.yaml"
    path.write_text(yaml.safe_dump_all(documents), encoding="utf-8")
    return path


def _resource(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "alphapanda.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


class World:
    """Ports over the servers, and services over them in this process, watched by a span."""

    def __init__(self, servers: Servers, settings: Settings, resources: ResourceSet, ports: Ports) -> None:
        self.servers = servers
        self.settings = settings
        self.resources = resources
        self.ports = ports

    @asynccontextmanager
    async def running(
        self, *services: tuple[str, str], watching: tuple[str, Span] | None = None
    ) -> AsyncIterator[list[StreamService]]:
        """Run services (name, resource) side by side until the context ends; RuntimeError if one ends before.

        `watching`: a topic and the span that the reading of it begins and ends.
        """
        ports = self.ports
        if watching is not None:
            bus = cast("EventBus", WatchedBus(ports.bus, *watching))
            ports = Ports(**{name: getattr(ports, name) for name in ports.__slots__} | {"bus": bus})
        built = [
            find_services()[name].build(
                ServiceContext(self.settings, ports, self.resources, resource, f"{name}-1")
            )
            for name, resource in services
        ]
        tasks = [asyncio.create_task(service.run()) for service in built]
        try:
            for service, task in zip(built, tasks, strict=True):
                ready = asyncio.create_task(service.ready.wait())
                await asyncio.wait({ready, task}, return_when=asyncio.FIRST_COMPLETED)
                if task.done():
                    ready.cancel()
                    await task
                    raise RuntimeError(f"{service.name} ended before the benchmark")
            yield built
        finally:
            await asyncio.gather(*(service.stop() for service in built))
            await asyncio.gather(*tasks)

    async def keep_trading(self) -> None:
        """Write the control keys once, for longer than any benchmark lasts."""
        await ControlWriter(self.ports.control, self.ports.clock, self.resources, 3600.0, 60.0).write()


@asynccontextmanager
async def opened_world(
    servers: Servers, prefix: str, *, instruments: int, strategies: Sequence[str] = (), every: int = 100
) -> AsyncIterator[World]:
    """Give a world of its own topics and keys. Signals and ticks don't grow too old in it: a backlog is no outage."""
    settings = load_settings(
        kafka_bootstrap_servers=servers.kafka,
        redis_url=servers.redis,
        topic_prefix=f"{prefix}.",
        signal_ttl_seconds=3600,
        tick_max_age_seconds=3600,
        log_level="ERROR",
    )
    configure_logging(settings)
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # a broker that has just started makes it talk
    with TemporaryDirectory() as folder:
        path = write_world(Path(folder), instruments=instruments, strategies=strategies, every=every)
        resources = load([path])
        async with service_ports(resources, settings) as ports:
            yield World(servers, settings, resources, ports)


class TickBacklog:
    """Ticks that wait in the feed's topic: each call of `produce` adds as many, newer than all before."""

    def __init__(self, world: World, records: int, ticks: int) -> None:
        self._world = world
        self._count, self._ticks = records, ticks
        self._sequence = 0
        self.topic = market_ticks(FEED, world.settings.topic_prefix)
        tokens = [item.token for item in world.resources.feeds[FEED].instruments]
        self._lanes = [
            [token for token in tokens if tick_partition(token, PARTITIONS) == partition]
            for partition in range(PARTITIONS)
        ]

    async def starts(self) -> dict[TopicPartition, int]:
        """Return where each partition ends now."""
        return {
            partition: end
            for partition, (_, end) in (await self._world.ports.bus.offsets(self.topic)).items()
        }

    async def produce(self) -> int:
        """Add the records; return how many ticks they hold."""
        async with self._world.ports.bus.producer("bench") as producer:
            for first in range(0, self._count, PRODUCED_AT_ONCE):
                numbers = range(first, min(first + PRODUCED_AT_ONCE, self._count))
                await producer.send([self._record(number) for number in numbers])
        return self._count * self._ticks

    def _record(self, number: int) -> Outgoing:
        partition = number % PARTITIONS
        lane, now = self._lanes[partition], self._world.ports.clock.now()
        ticks = []
        for index in range(self._ticks):
            self._sequence += 1
            token = lane[(number // PARTITIONS * self._ticks + index) % len(lane)]
            ticks.append(Tick(token, 100.0 + self._sequence % 7, now, self._sequence))
        batch = TickBatch(FEED, FeedMode.SIMULATED, 1, now, ticks)
        return Outgoing(self.topic, encode_ticks(batch), partition=partition)
