"""The same seed is the same run, to the last call: here, and in another process with other hashes of strings."""

import os
import subprocess
import sys

import pytest

from alpha_panda.testing.simulation.profiles import MIXED, PROFILES
from alpha_panda.testing.simulation.run import simulate

SEEDS = (3, 7, 21)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_seed_runs_the_same_way_twice(seed: int) -> None:
    first, again = simulate(seed), simulate(seed)
    assert first.trace == again.trace
    assert (first.trace_hash, first.steps, first.counts) == (again.trace_hash, again.steps, again.counts)


def test_seeds_differ() -> None:
    assert len({simulate(seed).trace_hash for seed in range(5)}) == 5


def _elsewhere(seed: int, *options: str, hash_seed: str) -> str:
    command = [sys.executable, "-m", "alpha_panda.testing.simulation", str(seed), *options]
    path = os.pathsep.join(item for item in sys.path if item)
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": path}
    done = subprocess.run(  # noqa: S603 - our own module
        command, env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("hash_seed", ["1", "4242"])
def test_another_process_with_other_string_hashes_has_the_same_trace(hash_seed: str) -> None:
    seed = SEEDS[-1]
    assert simulate(seed, PROFILES["returns"]).trace_hash in _elsewhere(
        seed, "--profile", "returns", hash_seed=hash_seed
    )


def test_the_command_prints_the_line_that_repeats_it_and_the_trace() -> None:
    report = simulate(SEEDS[0], MIXED)
    printed = _elsewhere(SEEDS[0], "--trace", hash_seed="0")
    assert (
        f"python -m alpha_panda.testing.simulation {SEEDS[0]} --profile mixed  # SIM SEED={SEEDS[0]}"
        in printed
    )
    assert len(printed.splitlines()) >= len(report.trace)
    assert "journal.write_epoch" in printed
