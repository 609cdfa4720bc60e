"""Replay of ticks through the whole embedded pipeline, against a bare loop over the same file.

The bare loop does the strategy's arithmetic and nothing else: no feed, records, cache, risk, book or journal.
Each side runs in a process of its own; both are timed in CPU seconds of the work, without imports and reading of
the manifest.
"""

import json
import resource
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq
from bench.data import INSTRUMENTS, strategy, symbol, write_manifest, write_ticks

from alpha_panda.cli.loading import load
from alpha_panda.compose.embedded import RunOptions, run_embedded
from alpha_panda.runtime.logging import configure_logging
from alpha_panda.runtime.settings import Settings

ROUNDS = 3
DENSE = 10_000  # ticks a second of market time: a batch holds 500
LOOKBACK = 20
RISE, FALL = 1.004, 0.996  # the strategies' 40 basis points


def compare(ticks: int) -> dict[str, float]:
    """Return both throughputs (median of the rounds, taken in turn), their ratio and the pipeline's memory."""
    with TemporaryDirectory() as folder:
        manifest = Path(folder) / "bench.yaml"
        strategies = [strategy(f"momentum-{index}", [symbol(index)]) for index in range(INSTRUMENTS)]
        write_manifest(manifest, INSTRUMENTS, strategies, "{replay: {path: ticks.parquet, speed: 0}}")
        write_ticks(Path(folder) / "ticks.parquet", ticks)
        runs = [(_child("pipeline", manifest), _child("bare", manifest)) for _ in range(ROUNDS)]
        write_ticks(Path(folder) / "ticks.parquet", ticks // 4)
        quarter = _child("pipeline", manifest)
        write_ticks(Path(folder) / "ticks.parquet", ticks, DENSE)
        dense = _child("pipeline", manifest)
    pipeline = sorted(run[0]["ticks_per_second"] for run in runs)[ROUNDS // 2]
    if not runs[0][0]["orders_filled"]:
        raise RuntimeError("the benchmark's strategies traded nothing: it would measure an idle pipeline")
    bare = sorted(run[1]["ticks_per_second"] for run in runs)[ROUNDS // 2]
    return {
        "ticks": ticks,
        "pipeline_ticks_per_second": pipeline,
        "bare_ticks_per_second": bare,
        "share_of_bare": pipeline / bare,
        "pipeline_ticks_per_second_when_dense": dense["ticks_per_second"],
        "orders_filled": runs[0][0]["orders_filled"],
        "peak_mib": runs[0][0]["peak_mib"],
        "peak_mib_at_a_quarter_of_the_ticks": quarter["peak_mib"],
    }


def _child(side: str, manifest: Path) -> dict[str, float]:
    done = subprocess.run(  # noqa: S603 - our own interpreter and file
        [sys.executable, "-m", "bench.replay", side, str(manifest)],
        check=True,
        capture_output=True,
        text=True,
    )
    result: dict[str, float] = json.loads(done.stdout)
    return result


def pipeline(manifest: Path) -> dict[str, float]:
    """Run the whole pipeline over the manifest."""
    settings = Settings(log_level="ERROR")
    configure_logging(settings)
    resources = load([manifest])
    run_embedded(
        resources, settings, RunOptions(seed=1, max_ticks=1)
    )  # imports what is imported on first use
    begun = time.process_time()
    summary = run_embedded(resources, settings, RunOptions(seed=1))
    seconds = time.process_time() - begun
    return {
        "ticks_per_second": summary.ticks / seconds,
        "orders_filled": summary.orders.filled,
        "peak_mib": peak_mib(),
    }


def peak_mib() -> float:
    """Return the process's own peak of resident memory.

    Not `ru_maxrss`: on Linux that survives exec, so a child would report its parent's peak.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS counts bytes


def bare(manifest: Path) -> dict[str, float]:
    """Do the strategies' arithmetic on the same file in one loop."""
    table = pq.read_table(manifest.parent / "ticks.parquet")
    symbols, prices = table["symbol"].to_pylist(), table["last_price"].to_pylist()
    windows: dict[str, deque[float]] = {symbol(index): deque(maxlen=LOOKBACK) for index in range(INSTRUMENTS)}
    signals = 0
    begun = time.process_time()
    for name, price in zip(symbols, prices, strict=True):
        window = windows[name]
        if len(window) == LOOKBACK and not window[0] * FALL < price < window[0] * RISE:
            signals += 1
        window.append(price)
    return {"ticks_per_second": len(prices) / (time.process_time() - begun), "signals": signals}


if __name__ == "__main__":
    chosen = {"pipeline": pipeline, "bare": bare}[sys.argv[1]]
    print(json.dumps(chosen(Path(sys.argv[2]))))
