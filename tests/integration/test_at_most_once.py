"""Kill, refuse and mute every service at every effect it has: one broker call a signal at most, one end, true books.

The scenario is run once unharmed and every effect is noted; then once for each effect and each harm.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from alpha_panda.adapters.memory.database import EMPTY_IMAGE
from alpha_panda.adapters.memory.leases import LeaseState
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EventType, Side, TradingState
from alpha_panda.contracts.keys import risk_lease, strategy_lease
from alpha_panda.contracts.scopes import PLATFORM
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
READS = (
    "get",
    "read",
    "epoch",
    "known",
    "run_id",
    "resting",
    "in_doubt",
    "unacknowledged",
    "open_page",
    "get_many",
    "find_tags",
    "watched",
    "ranges",
)
"""Operations without an effect: harm before the next effect is the same as harm there."""


def world() -> list[Document]:
    recorder: dict[str, Any] = {
        "class": "integration.kit:Recorder",
        "parameters": {"label": LABEL, "script": SCRIPT},
    }
    trading = strategy(**recorder)
    costs = {"slippageBps": "5", "commissionBps": "3"}
    return manifests(account=account(paper=costs, risk={"maxOrderQuantity": "10"}), strategy=trading)


async def play(pipeline: Pipeline) -> None:
    """Five orders of every kind, then enough time for everything that was hurt to heal."""
    for second, price in enumerate((2500.0, 2501.0, 2502.0, 2500.0, 2500.0), start=1):
        await pipeline.tick(RELIANCE, price, at=second * 2)
    await pipeline.advance(4)
    await pipeline.tick(RELIANCE, 2489.0)  # fills what rests
    for _ in range(3):
        await pipeline.advance(10)
        await pipeline.tick(RELIANCE, 2489.5)
    await pipeline.advance(2)  # who fell last is up again


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
        assert pipeline.taps.pending == 0, f"{harm.value}, {call}: never struck"
        missing = len(SCRIPT) - len(raw_signals(pipeline, "paper"))
    found += faults(pipeline)
    if missing > 0 and not call.member.startswith("market-feed"):
        found.append(f"{missing} signals were never produced")
    return [f"{harm.value}, {call}: {fault}" for fault in found]


def effects(calls: Iterable[Call], member: str) -> list[Call]:
    return [
        call
        for call in calls
        if call.member.startswith(member)
        and call.operation.partition(".")[2] not in (*READS, "fetch", "seek", "lag")
    ]


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


pytestmark = pytest.mark.usefixtures("quiet")

MEMBERS = ("engine", "risk", "strategy", "order-tracker", "feed-cacher", "market-feed")


@pytest.mark.parametrize("harm", list(Harm))
@pytest.mark.parametrize("member", MEMBERS)
async def test_harm_at_any_effect_sends_nothing_twice_and_loses_nothing(member: str, harm: Harm) -> None:
    _, calls = await run()
    points = effects(calls, member)
    assert points
    found = [fault for call in points for fault in await run_harmed(call, harm)]
    assert found == []


async def test_a_harm_that_never_struck_is_no_proof() -> None:
    with pytest.raises(AssertionError, match="never struck"):
        await run_harmed(Call("engine/paper-0", "trader.place", 1000), Harm.REFUSE)


# ----------------------------------------------------------------------------- the same records again


async def priced(pipeline: Pipeline) -> None:
    await pipeline.ticks([(RELIANCE, 2500.0), (TCS, 3900.0)], at=1)


async def test_a_signal_that_comes_again_is_told_again_and_sent_once() -> None:
    async with Pipeline(manifests()) as pipeline:
        await priced(pipeline)
        signal = await pipeline.signal("alpha", RELIANCE, Side.BUY, "1")
        (raw,) = [record for record in pipeline.records if record.topic == pipeline.topics().signals_raw]
        for _ in range(3):
            await pipeline.produce(raw.topic, raw.value, key=raw.key)
        assert pipeline.broker().calls == {signal: 1}
        told = [event.id for event in pipeline.events(EventType.VALIDATED_SIGNAL)]
        assert len(told) == 4
        assert len(set(told)) == 1
    assert faults(pipeline) == []


async def test_redelivered_records_do_nothing_twice() -> None:
    async with Pipeline(manifests()) as pipeline:
        await priced(pipeline)
        pipeline.run.bus.faults.redeliver(20)
        signals = [await pipeline.signal("alpha", RELIANCE, Side.BUY, "1") for _ in range(5)]
        await pipeline.advance(5)
        assert not pipeline.run.bus.faults.pending
        assert len(pipeline.broker().placed) == 5
        assert pipeline.broker().calls == dict.fromkeys(signals, 1)
        assert await stored_faults(pipeline) == []
    assert faults(pipeline) == []


async def test_two_engines_given_the_same_records_send_once() -> None:
    """Kafka may hand a partition over while its records are in hand: both engines then work on them."""
    async with Pipeline(manifests()) as pipeline:
        await priced(pipeline)
        signals = [
            await pipeline.signal("alpha", symbol, Side.BUY, "5") for symbol in (RELIANCE, TCS, RELIANCE)
        ]
        validated = [r for r in pipeline.records if r.topic == pipeline.topics().signals_validated]
        for partition in range(pipeline.settings.order_partitions):  # every engine sees every record
            for record in validated:
                await pipeline.produce(record.topic, record.value, key=record.key, partition=partition)
        assert pipeline.broker().calls == dict.fromkeys(signals, 1)
        statuses = {status.instance: status.processed for status in pipeline.run.supervisor.statuses()}
        assert min(statuses["engine-paper-0"], statuses["engine-paper-1"]) >= len(signals)
    assert faults(pipeline) == []


async def test_an_engine_killed_over_and_over_sends_each_signal_once() -> None:
    async with Pipeline(manifests()) as pipeline:
        await priced(pipeline)
        signals = []
        for n in range(12):
            signals.append(await pipeline.signal("alpha", (RELIANCE, TCS)[n % 2], Side.BUY, "5"))
            await pipeline.kill(f"engine/paper-{n % 2}")
            await pipeline.idle()
        assert pipeline.broker().calls == dict.fromkeys(signals, 1)
    assert faults(pipeline) == []


# ----------------------------------------------------------------------------------------------- zombies


def expire(pipeline: Pipeline, lease: str) -> None:
    """Let a lease run out though its holder runs on and does not know it, as after a long pause."""
    database = pipeline.stores().database
    database.section(database.keys.lease(lease), LeaseState).expires_at = 0


async def test_a_risk_that_was_replaced_decides_nothing_more() -> None:
    async with Pipeline(manifests()) as pipeline:
        await priced(pipeline)
        expire(pipeline, risk_lease("paper"))
        newer = pipeline.build("risk/paper", instance="newer")
        task = asyncio.create_task(newer.run())
        await pipeline.idle()  # claimed: risk/paper is a zombie now, and does not know it
        epoch_before = pipeline.run.supervisor.restarts("risk/paper")
        signal = await pipeline.signal("alpha", RELIANCE, Side.BUY, "1")
        await pipeline.advance(1)
        decision = await pipeline.stores().decisions.get(signal)
        assert decision is not None
        told = [event.data.risk_epoch for event in pipeline.events(EventType.VALIDATED_SIGNAL)]  # type: ignore[union-attr]
        assert set(told) == {decision.risk_epoch}
        assert pipeline.run.supervisor.restarts("risk/paper") == epoch_before + 1
        assert pipeline.broker().calls == {signal: 1}
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await pipeline.kill("risk/paper")
        await pipeline.idle()
    assert faults(pipeline) == []


async def test_a_strategy_that_was_replaced_sends_nothing_more() -> None:
    LOGS.pop(LABEL, None)
    async with Pipeline(world()) as pipeline:
        expire(pipeline, strategy_lease("alpha"))
        newer = pipeline.build("strategy/alpha", instance="newer")
        task = asyncio.create_task(newer.run())
        await pipeline.idle()
        for second, price in enumerate((2500.0, 2501.0, 2502.0), start=1):
            await pipeline.tick(RELIANCE, price, at=second * 2)
        await pipeline.advance(2)
        assert len(raw_signals(pipeline, "paper")) == 2  # BUY 2 and SELL 1, once each
        assert pipeline.run.supervisor.restarts("strategy/alpha") >= 1
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert faults(pipeline) == []


# ------------------------------------------------------------------------------ the store comes back


@pytest.mark.parametrize("lost", ["nothing", "the tail", "everything"])
async def test_a_store_that_comes_back_lets_nothing_be_sent_twice(lost: str) -> None:
    async with Pipeline(manifests()) as pipeline:
        await priced(pipeline)
        first = await pipeline.signal("alpha", RELIANCE, Side.BUY, "1", ttl=600)
        database = pipeline.stores().database
        image = {"nothing": None, "the tail": database.checkpoint_image(), "everything": EMPTY_IMAGE}[lost]
        second = await pipeline.signal("alpha", RELIANCE, Side.BUY, "1", ttl=600)
        await pipeline.set_state(PLATFORM, TradingState.HALTED)
        refused = await pipeline.signal("alpha", RELIANCE, Side.BUY, "9", ttl=600)
        await pipeline.set_state(PLATFORM, TradingState.ACTIVE)  # from now on it would pass
        database.restart(image)
        for second_of in range(15):
            await pipeline.advance(1)
            await pipeline.ticks([(RELIANCE, 2500.0), (TCS, 3900.0)])
            if second_of == 12:
                raws = [r for r in pipeline.records if r.topic == pipeline.topics().signals_raw]
                for record in raws:
                    await pipeline.produce(record.topic, record.value, key=record.key)
        assert pipeline.broker().calls == {first: 1, second: 1}
        assert [event.type for event in pipeline.about(refused)] == [EventType.REJECTED_SIGNAL]
        again = await pipeline.signal("alpha", RELIANCE, Side.BUY, "2")
        assert outcome_of(pipeline.about(again)) == (EventType.ORDER_FILLED, None)
        assert await stored_faults(pipeline) == []
    # Quantities survive in the topics: the book is folded anew from them.
    assert pipeline.snapshot().positions[RELIANCE].quantity == 4


async def test_what_was_validated_under_an_old_epoch_is_lost_not_sent() -> None:
    async with Pipeline(manifests()) as pipeline:
        await priced(pipeline)
        for replica in (0, 1):
            await pipeline.kill(f"engine/paper-{replica}", restart=False)
        signal = await pipeline.signal("alpha", RELIANCE, Side.BUY, "1", ttl=600)
        pipeline.stores().database.restart()
        for replica in (0, 1):
            await pipeline.revive(f"engine/paper-{replica}")
        for _ in range(30):
            await pipeline.advance(1)
            await pipeline.ticks([(RELIANCE, 2500.0), (TCS, 3900.0)])
        assert pipeline.broker().placed == []
        assert outcome_of(pipeline.about(signal)) == (EventType.ORDER_FAILED, Code.ORDER_LOST)
        assert await stored_faults(pipeline) == []
