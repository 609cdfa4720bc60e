"""What seeing costs on the tick path: the whole embedded pipeline with telemetry on against off, over the same ticks.

Four sides: nothing; metrics; metrics and traces of each order; the same and a hundredth of the tick batches. Spans go by
OTLP to a collector in another process, so that packing and sending count as ours, and taking them does not.

Busy: some hundred ticks a batch, as a feed at work has. Sparse: one or two a batch, where what is done once a batch
weighs most. The sides take turns in one process and are timed in its CPU seconds, the sending thread's too. What a trace
costs is due to orders, not ticks: it is told for one order, and what a tick costs is taken where nothing is ordered.
The aim is judged by the dearest side. A scrape is timed by itself: one comes every 15 s or so, whatever the ticks.
"""

import asyncio
import gc
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from bench.data import INSTRUMENTS, strategy, symbol, write_manifest, write_ticks

from alpha_panda.adapters.memory.loop import IdleAwareEventLoop
from alpha_panda.cli.loading import load
from alpha_panda.compose.embedded import EmbeddedRun, RunOptions
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.runtime.logging import configure_logging
from alpha_panda.runtime.metrics.metrics import Metrics
from alpha_panda.runtime.settings import Settings
from alpha_panda.runtime.tracing.export import Collector, otlp_processor
from alpha_panda.runtime.tracing.otel import OtelTracing
from alpha_panda.runtime.tracing.tracing import NO_TRACING, Tracing
from alpha_panda.runtime.tracing_settings import traces_url

AIM: Final = 0.10
"""Most CPU that telemetry may add to a tick, as a share of what the tick costs without."""

BUSY: Final = 2_000
SPARSE: Final = 100
SPARSE_SHARE: Final = 8
"""A sparse tick costs several times as much: so many times fewer are run."""

ORDERING: Final = "40"
"""Threshold in bps at which the strategies order now and then."""
NEVER: Final = "9000"

RUNS_A_ROUND: Final = 3
SCRAPES: Final = 20


@dataclass(frozen=True, slots=True)
class Side:
    """What is on. `share` of the tick batches is traced; None: nothing is."""

    metrics: bool = False
    share: float | None = None


SIDES: Final = {
    "off": Side(),
    "metrics": Side(metrics=True),
    "traces": Side(metrics=True, share=0.0),
    "sampled": Side(metrics=True, share=0.01),
}


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one run: `tick` in CPU seconds; spans as they fared."""

    tick: float
    ticks: int
    orders: int
    exported: int = 0
    lost: int = 0


def compare(ticks: int, rounds: int) -> dict[str, Any]:
    """Return the cost of both densities without orders, and of one order, each in a process of its own."""
    with _collector() as endpoint:
        busy = _child(ticks, BUSY, rounds, NEVER, endpoint)
        sparse = _child(ticks // SPARSE_SHARE, SPARSE, rounds, NEVER, endpoint)
        ordering = _child(ticks, BUSY, rounds, ORDERING, endpoint)
    dearest = max(added for side in (busy, sparse) for added in side["added"].values())
    return {"aim": AIM, "met": dearest <= AIM, "busy": busy, "sparse": sparse, "ordering": ordering}


class _Taker(BaseHTTPRequestHandler):
    """A collector that takes all and looks at nothing."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def _collector() -> Iterator[str]:
    """Give the address of a collector in this process, which does nothing else meanwhile."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Taker) as server:
        taking = threading.Thread(target=server.serve_forever, daemon=True)
        taking.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            taking.join()


def _child(ticks: int, per_second: int, rounds: int, threshold: str, endpoint: str) -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        manifest = Path(folder) / "bench.yaml"
        strategies = [
            strategy(f"momentum-{index}", [symbol(index)], threshold) for index in range(INSTRUMENTS)
        ]
        write_manifest(manifest, INSTRUMENTS, strategies, "{replay: {path: ticks.parquet, speed: 0}}")
        write_ticks(Path(folder) / "ticks.parquet", ticks, per_second)
        done = subprocess.run(  # noqa: S603 - our own interpreter and file
            [sys.executable, "-m", "bench.telemetry", str(manifest), str(rounds), endpoint],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def measure(manifest: Path, rounds: int, endpoint: str) -> dict[str, Any]:
    """Return the CPU of a tick on all sides: the least of all rounds, which nothing else on the machine has lengthened."""
    settings = Settings(log_level="ERROR")
    configure_logging(settings)
    resources = load([manifest])
    for side in SIDES.values():
        _run(resources, settings, side, endpoint)  # imports what is imported on first use
    found: dict[str, list[Cost]] = {name: [] for name in SIDES}
    names = list(SIDES)
    for number in range(rounds * RUNS_A_ROUND):
        turn = number % len(names)
        for name in (*names[turn:], *names[:turn]):
            found[name].append(_run(resources, settings, SIDES[name], endpoint))
    least = {name: min(costs, key=lambda cost: cost.tick) for name, costs in found.items()}
    without, metrics, traces = least["off"], least["metrics"], least["traces"]
    return {
        "us_a_tick": {name: cost.tick * 1e6 for name, cost in least.items()},
        "added": {name: cost.tick / without.tick - 1 for name, cost in least.items() if name != "off"},
        "trace_us_an_order": (traces.tick - metrics.tick) * traces.ticks / traces.orders * 1e6
        if traces.orders
        else None,
        "orders": traces.orders,
        "spans": traces.exported,
        "spans_lost": sum(cost.lost for costs in found.values() for cost in costs),
        "scrape_ms": _scrape_ms(resources, settings),
    }


def _run(resources: ResourceSet, settings: Settings, side: Side, endpoint: str) -> Cost:
    """Run all ticks through the whole pipeline, until the last span has left."""
    metrics = Metrics(on=side.metrics)
    gc.collect()  # or the whole heap is searched in whichever run comes by, for longer than telemetry takes
    begun = time.process_time()
    if side.share is None:
        ticks, orders = _pipeline(resources, settings, metrics, NO_TRACING)
        return Cost((time.process_time() - begun) / ticks, ticks, orders)
    processor = otlp_processor(Collector(traces_url(endpoint)))
    tracing = OtelTracing(processor, tick_share=side.share)
    ticks, orders = _pipeline(resources, settings, metrics, tracing)
    tracing.close()
    spent = time.process_time() - begun
    return Cost(spent / ticks, ticks, orders, processor.exported, processor.lost)


def _pipeline(
    resources: ResourceSet, settings: Settings, metrics: Metrics, tracing: Tracing
) -> tuple[int, int]:
    """Run all ticks; return how many, and how many orders they led to."""

    async def run() -> tuple[int, int]:
        pipeline = EmbeddedRun(resources, settings, RunOptions(seed=1), metrics=metrics, tracing=tracing)
        done = await pipeline.run()
        return done.ticks, done.orders.filled

    with asyncio.Runner(loop_factory=IdleAwareEventLoop) as runner:
        return runner.run(run())


def _scrape_ms(resources: ResourceSet, settings: Settings) -> float:
    """Return how long an exposition of such a run holds up its event loop, in ms."""
    metrics = Metrics()
    _pipeline(resources, settings, metrics, NO_TRACING)
    begun = time.process_time()
    for _ in range(SCRAPES):
        metrics.exposition()
    return (time.process_time() - begun) / SCRAPES * 1e3


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])))
