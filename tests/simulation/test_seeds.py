"""Thousands of runs of the whole platform, each with other faults: nothing that is promised breaks.

`SIM_SEEDS` says how many, `SIM_FIRST_SEED` where to begin. A failing seed prints the line that repeats it.
"""

import os
from collections import Counter

import pytest

from alpha_panda.testing.simulation.profiles import (
    BROKER,
    CALM,
    CRASHES,
    FLATTEN,
    HALTS,
    MIXED,
    RETURNS,
    ZOMBIES,
    Profile,
)
from alpha_panda.testing.simulation.run import simulate
from totals import Tally

SEEDS = int(os.environ.get("SIM_SEEDS", "2000"))
FIRST = int(os.environ.get("SIM_FIRST_SEED", "0"))
CHUNK = 20
TURNS = (MIXED, CRASHES, RETURNS, ZOMBIES, MIXED, BROKER, HALTS, MIXED, RETURNS, CRASHES)
"""The profile of a seed, by its last digit."""
FLATTENED = 7
"""Of 25 seeds this one deletes strategies."""


SHOWN = {
    "seeds": ("seeds",),
    "seconds": ("virtual seconds",),
    "broker calls": ("broker calls",),
    "kills": ("kills",),
    "pauses": ("pauses",),
    "replacements beside a sleeper": ("replaced while stopped",),
    "network splits and outages": ("splits", "outage"),
    "calls refused, lost or late": (
        "call refused",
        "call request lost",
        "call reply lost",
        "call applied after the caller gave up",
    ),
    "returns of the store": (
        "store returned with all",
        "store returned with an older image",
        "store returned with nothing",
    ),
    "sessions that ran out, and rebalances": ("session timed out", "rebalance"),
    "misdeeds of the broker": ("broker", "book", "stale book", "new day"),
    "records echoed, changed, forged or poisoned": ("echo", "tamper", "forge", "poison"),
    "halts": ("latches set by a person", "state"),
    "strategies deleted, and flat in the end": ("flattened",),
    "dead letters replayed": ("dead letters replayed",),
    "restarts of processes that ended by themselves": ("processes ended by themselves",),
}


def profile_of(seed: int) -> Profile:
    return FLATTEN if seed % 25 == FLATTENED else TURNS[seed % len(TURNS)]


@pytest.mark.parametrize("first", range(FIRST, FIRST + SEEDS, CHUNK))
def test_all_that_is_promised_holds(first: int, tally: Tally) -> None:
    counts: Counter[str] = Counter()
    faults: list[str] = []
    for seed in range(first, min(first + CHUNK, FIRST + SEEDS)):
        report = simulate(seed, profile_of(seed))
        counts["seeds"] += 1
        counts["virtual seconds"] += round(report.virtual_seconds)
        counts.update(report.counts)
        if report.violations:
            faults += [report.line, *(f"  {text}" for text in report.violations[:5])]
    for name, parts in SHOWN.items():
        tally(f"simulated {name}", sum(counts[part] for part in parts))
    assert not faults, "\n" + "\n".join(faults)


@pytest.mark.parametrize("seed", range(3))
def test_without_faults_nothing_fails_and_everything_trades(seed: int) -> None:
    report = simulate(seed, CALM)
    assert report.violations == []
    assert report.counts["broker calls"] > 0
    assert report.counts["processes ended by themselves"] == 0
    assert not [name for name in report.counts if name.startswith(("kill", "pause", "call "))]


def test_deleted_strategies_end_flat_mostly_and_else_risk_says_why() -> None:
    counts: Counter[str] = Counter()
    for seed in range(18):  # as many as it takes for "mostly" not to be luck
        report = simulate(seed, FLATTEN)
        assert report.violations == [], report.line
        counts.update(report.counts)
    assert counts["flattened"] > counts["not flattened"]


def test_every_kind_of_fault_happens() -> None:
    """A fault that the plan draws and nobody does would be tested by nothing."""
    counts: Counter[str] = Counter()
    for seed in range(100, 140):
        counts.update(simulate(seed, profile_of(seed)).counts)
    for name in (
        "kills",
        "pauses",
        "replaced while stopped",
        "splits",
        "outage",
        "rebalance",
        "session timed out",
        "store returned with all",
        "store returned with an older image",
        "store returned with nothing",
        "call refused",
        "call request lost",
        "call reply lost",
        "call applied after the caller gave up",
        "slow call",
        "broker",
        "book",
        "stale book",
        "echo",
        "tamper",
        "poison",
        "forge",
        "latches set by a person",
        "latches cleared by a person",
        "state",
        "dead letters replayed",
        "processes ended by themselves",
    ):
        assert counts[name] > 0, name
