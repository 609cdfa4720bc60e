"""Kill, refuse and mute every service at every effect it has: one broker call a signal at most, one end, true books.

The scenario is run once unharmed and every effect is noted; then once for each effect and each harm.
"""

from collections.abc import Iterable
from typing import Any

import pytest

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EventType, OrderType, Side
from alpha_panda.testing.pipeline import Pipeline, outcome_of
from alpha_panda.testing.taps import Call, Harm
from integration.invariants import faults, raw_signals, stored_faults
from integration.kit import LOGS, RELIANCE, TCS, Document, account, manifests, strategy

LABEL = "at-most-once"
SCRIPT = {
    "2": ["BUY", "2"],
    "3": ["SELL", "1"],
    "4": ["BUY", "1", {"order_type": "LIMIT", "limit_price": "2490"}],
    "5": ["BUY", "50"],  # more than maxOrderQuantity
}
READS = ("get", "read", "epoch", "known", "run_id", "resting", "in_doubt", "unacknowledged", "watched", "ranges")
"""Operations without an effect: harm before the next effect is the same as harm there."""


def world() -> list[Document]:
    script = {key: [side, quantity, *_typed(rest)] for key, (side, quantity, *rest) in SCRIPT.items()}
    trading = strategy(
        **{"class": "integration.kit:Recorder", "parameters": {"label": LABEL, "script": script}}
    )
    costs = {"slippageBps": "5", "commissionBps": "3"}
    return manifests(account=account(paper=costs, risk={"maxOrderQuantity": "10"}), strategy=trading)


def _typed(rest: Iterable[Any]) -> list[Any]:
    return list(rest)


async def play(pipeline: Pipeline) -> None:
    """Five orders of every kind, then enough time for everything that was hurt to heal."""
    for second, price in enumerate((2500.0, 2501.0, 2502.0, 2500.0, 2500.0), start=1):
        await pipeline.tick(RELIANCE, price, at=second * 2)
    await pipeline.advance(4)
    await pipeline.tick(RELIANCE, 2489.0)  # fills what rests
    for _ in range(3):
        await pipeline.advance(10)
        await pipeline.tick(RELIANCE, 2489.5)


async def run(harms: Iterable[tuple[Call, Harm]] = ()) -> tuple[list[str], list[Call]]:
    LOGS.pop(LABEL, None)
    async with Pipeline(world()) as pipeline:
        calls: list[Call] = []
        await play(pipeline)
        calls += pipeline.taps.calls
        found = await stored_faults(pipeline)
    return found + faults(pipeline), calls


async def run_harmed(call: Call, harm: Harm) -> list[str]:
    LOGS.pop(LABEL, None)
    pipeline = Pipeline(world())
    pipeline.taps.plan(call.member, call.operation, harm, nth=call.nth)
    async with pipeline:
        await play(pipeline)
        found = await stored_faults(pipeline)
        missing = len(SCRIPT) - len(raw_signals(pipeline, "paper"))
    found += faults(pipeline)
    if missing > 0 and not call.member.startswith("market-feed"):
        found.append(f"{missing} signals were never produced")
    return [f"{harm.value}, {call}: {fault}" for fault in found]


def effects(calls: Iterable[Call], member: str) -> list[Call]:
    return [
        call
        for call in calls
        if call.member.startswith(member) and call.operation.partition(".")[2] not in (*READS, "fetch", "seek", "lag")
    ]


def sampled(calls: list[Call], each: int = 14) -> list[Call]:
    """All effects of an operation if they are few, else the first ones and an even choice of the others."""
    by_operation: dict[tuple[str, str], list[Call]] = {}
    for call in calls:
        by_operation.setdefault((call.member, call.operation), []).append(call)
    chosen = []
    for group in by_operation.values():
        step = max(1, -(-(len(group) - each // 2) // (each // 2)))
        chosen += group if len(group) <= each else [*group[: each // 2], *group[each // 2 :: step]]
    return chosen


async def test_without_harm_all_holds() -> None:
    found, calls = await run()
    assert found == []
    assert {call.operation for call in effects(calls, "")} >= {
        "journal.begin",
        "journal.settle",
        "journal.fill",
        "journal.acknowledge",
        "decisions.record",
        "decisions.save",
        "checkpoints.save",
        "trader.place",
        "producer.send",
        "consumer.commit",
        "prices.write",
    }


MEMBERS = ("engine", "risk", "strategy", "order-tracker", "feed-cacher", "market-feed")


@pytest.mark.parametrize("harm", list(Harm))
@pytest.mark.parametrize("member", MEMBERS)
async def test_harm_at_any_effect_sends_nothing_twice_and_loses_nothing(member: str, harm: Harm) -> None:
    _, calls = await run()
    points = sampled(effects(calls, member))
    assert points
    found = [fault for call in points for fault in await run_harmed(call, harm)]
    assert found == []
