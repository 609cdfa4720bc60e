"""Memory is flat in the number of ticks."""

import json
import subprocess
import sys

import pytest

from integration.command import ROOT, environment

CHILD = """
import json, logging, sys
from pathlib import Path
from alpha_panda.cli.loading import parameters_model
from alpha_panda.compose.embedded import RunOptions, run_embedded
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.runtime.settings import Settings
from integration.kit import RELIANCE, TCS, account, feed, strategy
import structlog
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
momentum = strategy("m", type="momentum", instruments=[RELIANCE, TCS],
                    parameters={"lookback": 50, "thresholdBps": "40", "quantity": "5"})
del momentum["spec"]["class"]
source = {"simulated": {"seed": 3, "ticksPerSecond": 200, "volatility": 0.3, "speed": 0}}
world = ResourceSet.from_documents([feed(source=source), account(), momentum], parameters_model=parameters_model)
summary = run_embedded(world, Settings(), RunOptions(seed=1, max_ticks=int(sys.argv[1])))
status = Path("/proc/self/status").read_text().splitlines()  # ru_maxrss would survive exec: the parent's peak
kib = next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
print(json.dumps({"ticks": summary.ticks, "kib": kib}))
"""
FEW, MANY = 100_000, 400_000  # the bus keeps its last records: what it holds is full after the few
MARGIN = 1.12


def peak(ticks: int) -> int:
    done = subprocess.run(  # noqa: S603 - our own command
        [sys.executable, "-c", CHILD, str(ticks)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["ticks"] == ticks
    kib: int = told["kib"]
    return kib


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_four_times_the_ticks_take_no_more_memory() -> None:
    few, many = peak(FEW), peak(MANY)
    assert many < few * MARGIN, f"{FEW} ticks: {few} KiB, {MANY} ticks: {many} KiB"
