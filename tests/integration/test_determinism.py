"""The same replay with the same seed writes the same bytes, whatever the process' hash seed."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from integration.command import ROOT, alpha_panda
from integration.kit import RELIANCE, TCS, account, feed, strategy

ROWS = 3_000


def write_prices(path: Path) -> None:
    chance = random.Random(11)
    prices = {RELIANCE: 50_000, TCS: 78_000}  # in ticks of 0.05
    lines = ["timestamp,symbol,last_price,volume"]
    for row in range(ROWS):
        symbol = chance.choice((RELIANCE, TCS))
        prices[symbol] += chance.choice((-9, -4, -1, 1, 4, 10))
        seconds, ms = divmod(row * 250, 1000)
        minutes, seconds = divmod(seconds, 60)
        lines.append(
            f"2026-01-02T05:{minutes:02}:{seconds:02}.{ms:03}Z,{symbol},{prices[symbol] * 0.05:.2f},{row % 7 + 1}"
        )
    path.write_text("\n".join(lines) + "\n")


def write_manifests(folder: Path) -> Path:
    """Three strategies, two accounts, partial fills, orders that rest."""
    write_prices(folder / "prices.csv")
    resting = """
from alpha_panda.sdk import OrderType, Strategy

class Resting(Strategy):
    def on_start(self):
        self.n = 0
    def on_tick(self, tick):
        self.n += 1
        if self.n % 60 == 0:
            self.last = self.buy(tick.token, 10, order_type=OrderType.LIMIT,
                                 limit_price=self.instrument(tick.token).quantize(tick.last_price - 1))
        if self.n % 150 == 0:
            self.cancel(self.last)
        if self.n % 70 == 0 and self.position(tick.token) > 0:
            self.sell(tick.token, 5)
    def snapshot(self):
        return self.n
    def restore(self, state):
        self.n = state
"""
    (folder / "resting.py").write_text(resting)
    both = {"instruments": [RELIANCE, TCS], "accounts": ["paper", "second"]}
    momentum = {"type": "momentum", "parameters": {"lookback": 20, "thresholdBps": "3", "quantity": "10"}}
    crossover = {"type": "ma_crossover", "parameters": {"fast": 5, "slow": 20, "quantity": "5"}}
    documents = [
        feed(source={"replay": {"path": "prices.csv"}}, staleAfterSeconds=60),
        account(
            paper={"partialFillRatio": "0.5", "commissionBps": "3", "slippageBps": "2", "cash": "9000000"}
        ),
        account("second", paper={"cash": "9000000"}, risk={"maxOrderQuantity": "9"}),
        _strategy("m", {**both, **momentum}),
        _strategy("x", {**both, **crossover}),
        _strategy("r", {**both, "code": {"file": "resting.py"}}),
    ]
    path = folder / "manifest.yaml"
    path.write_text(yaml.safe_dump_all(documents))
    return path


def _strategy(name: str, spec: dict[str, Any]) -> dict[str, Any]:
    made = strategy(name, **spec)
    del made["spec"]["class"]
    return made


def run(
    manifest: Path, events: Path, *, seed: int, hash_seed: int, max_ticks: int = 100_000
) -> dict[str, Any]:
    arguments = ("run", manifest, "--output", "json", "--seed", str(seed), "--events", events)
    done = alpha_panda(*arguments, "--max-ticks", str(max_ticks), PYTHONHASHSEED=str(hash_seed))
    assert done.returncode == 0, done.stderr
    summary: dict[str, Any] = json.loads(done.stdout)
    del summary["duration_seconds"]
    return summary


def ids(events: Path, event_type: str) -> list[str]:
    return [
        event["id"]
        for event in map(json.loads, events.read_text().splitlines())
        if event["type"] == event_type
    ]


def test_three_strategies_on_two_accounts_repeat_to_the_byte(tmp_path: Path) -> None:
    manifest = write_manifests(tmp_path)
    files = [tmp_path / f"{n}.jsonl" for n in range(3)]
    first = run(manifest, files[0], seed=7, hash_seed=1)
    second = run(manifest, files[1], seed=7, hash_seed=4242)
    other = run(manifest, files[2], seed=8, hash_seed=1)
    assert first["ticks"] == ROWS
    assert first["orders"]["filled"] > 20
    assert first["orders"]["submitted"] > 5
    assert first["orders"]["cancelled"] > 0
    assert first["signals"]["rejected"] > 0
    assert first["dlq"] == 0
    assert files[0].read_bytes() == files[1].read_bytes()
    assert first == second
    assert set(ids(files[0], "TRADING_SIGNAL")).isdisjoint(ids(files[2], "TRADING_SIGNAL"))
    assert other["ticks"] == ROWS


@pytest.mark.parametrize("example", ["02-replay-real-prices"])
def test_an_example_repeats_to_the_byte(example: str, tmp_path: Path) -> None:
    files = [tmp_path / f"{n}.jsonl" for n in range(2)]
    summaries = [
        run(ROOT / "examples" / example, file, seed=3, hash_seed=n, max_ticks=30_000)
        for n, file in enumerate(files)
    ]
    assert summaries[0] == summaries[1]
    assert summaries[0]["orders"]["filled"] > 0
    assert files[0].read_bytes() == files[1].read_bytes()


def test_every_event_says_where_it_is(tmp_path: Path) -> None:
    manifest, events = write_manifests(tmp_path), tmp_path / "events.jsonl"
    run(manifest, events, seed=7, hash_seed=1)
    envelope = {
        "id",
        "type",
        "version",
        "ts",
        "source",
        "account",
        "key",
        "correlation_id",
        "causation_id",
        "data",
    }
    next_offset: dict[tuple[str, int], int] = {}
    for line in events.read_text().splitlines():
        event = json.loads(line)
        assert event.keys() == {*envelope, "topic", "partition", "offset"}
        place = (event["topic"], event["partition"])
        assert event["offset"] == next_offset.get(place, 0)
        next_offset[place] = event["offset"] + 1
        if event["type"] == "MARKET_TICKS":
            assert event["id"] == f"{event['topic']}/{event['partition']}/{event['offset']}"
            assert all(isinstance(tick, dict) for tick in event["data"]["ticks"])
