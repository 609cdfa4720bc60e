"""What seeing costs on the tick path: the whole embedded pipeline with telemetry on against off, over the same ticks.

Busy: some hundred ticks a batch, as a feed at work has. Sparse: one or two a batch, where what is done once a batch
weighs most. The two sides take turns in one process and are timed in its CPU seconds. A scrape is timed by itself: one
comes every 15 s or so, whatever the ticks.
"""

import asyncio
import json
import subprocess
import sys
import time
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

AIM: Final = 0.10
"""Most CPU that telemetry may add to a tick, as a share of what the tick costs without."""

BUSY: Final = 2_000
SPARSE: Final = 100
SPARSE_SHARE: Final = 8
"""A sparse tick costs several times as much: so many times fewer are run."""

RUNS_A_ROUND: Final = 3
SCRAPES: Final = 20


def compare(ticks: int, rounds: int) -> dict[str, Any]:
    """Return the cost of both densities, each in a process of its own."""
    busy = _child(ticks, BUSY, rounds)
    sparse = _child(ticks // SPARSE_SHARE, SPARSE, rounds)
    return {"aim": AIM, "met": busy["added"] <= AIM, "busy": busy, "sparse": sparse}


def _child(ticks: int, per_second: int, rounds: int) -> dict[str, float]:
    with TemporaryDirectory() as folder:
        manifest = Path(folder) / "bench.yaml"
        strategies = [strategy(f"momentum-{index}", [symbol(index)]) for index in range(INSTRUMENTS)]
        write_manifest(manifest, INSTRUMENTS, strategies, "{replay: {path: ticks.parquet, speed: 0}}")
        write_ticks(Path(folder) / "ticks.parquet", ticks, per_second)
        done = subprocess.run(  # noqa: S603 - our own interpreter and file
            [sys.executable, "-m", "bench.telemetry", str(manifest), str(rounds)],
            check=True,
            capture_output=True,
            text=True,
        )
    result: dict[str, float] = json.loads(done.stdout)
    return result


def measure(manifest: Path, rounds: int) -> dict[str, float]:
    """Return the CPU of a tick on both sides: the least of all rounds, which nothing else on the machine has lengthened."""
    settings = Settings(log_level="ERROR")
    configure_logging(settings)
    resources = load([manifest])
    _run(resources, settings, Metrics())  # imports what is imported on first use
    found: dict[bool, list[float]] = {False: [], True: []}
    for number in range(rounds * RUNS_A_ROUND):
        for on in (False, True) if number % 2 else (True, False):
            found[on].append(_run(resources, settings, Metrics(on=on)))
    without, with_all = min(found[False]), min(found[True])
    return {
        "off_us_a_tick": without * 1e6,
        "on_us_a_tick": with_all * 1e6,
        "added": with_all / without - 1,
        "scrape_ms": _scrape_ms(resources, settings),
    }


def _run(resources: ResourceSet, settings: Settings, metrics: Metrics) -> float:
    """Return the CPU seconds of one tick through the whole pipeline."""

    async def run() -> int:
        return (await EmbeddedRun(resources, settings, RunOptions(seed=1), metrics=metrics).run()).ticks

    begun = time.process_time()
    with asyncio.Runner(loop_factory=IdleAwareEventLoop) as runner:
        ticks = runner.run(run())
    return (time.process_time() - begun) / ticks


def _scrape_ms(resources: ResourceSet, settings: Settings) -> float:
    """Return how long an exposition of such a run holds up its event loop, in ms."""
    metrics = Metrics()
    _run(resources, settings, metrics)
    begun = time.process_time()
    for _ in range(SCRAPES):
        metrics.exposition()
    return (time.process_time() - begun) / SCRAPES * 1e3


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), int(sys.argv[2]))))
