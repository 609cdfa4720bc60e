"""What can't be processed is set aside with all that a replay needs, and the service goes on."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from alpha_panda.contracts.codec import encode_event
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EventType, OrderType, Side
from alpha_panda.contracts.events import Envelope, OrderUpdate, Signal
from alpha_panda.runtime.dead_letter import original
from alpha_panda.testing.pipeline import Pipeline, outcome_of
from alpha_panda.testing.taps import Harm
from integration.kit import RELIANCE, TCS, manifests

POISON = b"\x00 not a record"
CONSUMED = (
    "demo.market.ticks",
    "paper.signals.raw",
    "paper.signals.validated",
    "paper.signals.rejected",
    "paper.orders.submitted",
    "paper.orders.filled",
    "paper.orders.failed",
    "paper.orders.cancelled",
    "paper.orders.updated",
)


async def priced(pipeline: Pipeline) -> None:
    await pipeline.ticks([(RELIANCE, 2500.0), (TCS, 3900.0)], at=1)


def headers(pipeline: Pipeline, topic: str) -> list[dict[str, str]]:
    letters = pipeline.dead_letters(topic)
    return [{name: value.decode() for name, value in letter.headers} for letter in letters]


async def all_partitions(pipeline: Pipeline, topic: str, value: bytes) -> int:
    """Every reader reads some partition; strategies not all."""
    count = len(await pipeline.run.bus.offsets(topic))
    for partition in range(count):
        await pipeline.produce(topic, value, key="k", partition=partition)
    return count


@pytest.mark.parametrize("topic", CONSUMED)
async def test_poison_goes_to_the_dead_letters_and_the_service_goes_on(topic: str) -> None:
    async with Pipeline(manifests()) as pipeline:
        await priced(pipeline)
        partitions = await all_partitions(pipeline, topic, POISON)
        found = headers(pipeline, topic)
        assert 1 <= len(found) <= partitions
        first = found[0]
        assert first["dlq.topic"] == topic
        assert first["dlq.code"] == Code.UNDECODABLE
        assert first["dlq.attempts"] == "1"
        assert {"dlq.partition", "dlq.offset", "dlq.timestamp", "dlq.message", "dlq.service"} <= first.keys()
        letter = pipeline.dead_letters(topic)[0]
        assert (letter.value, letter.key) == (POISON, "k")
        await pipeline.tick(RELIANCE, 2510.0, at=2)
        signal = await pipeline.signal("alpha", RELIANCE, Side.BUY, "1")
        # What can't be read of an order leaves the book in doubt: the account goes on, halted.
        halted = (EventType.REJECTED_SIGNAL, Code.TRADING_HALTED)
        expected = halted if ".orders." in topic else (EventType.ORDER_FILLED, None)
        assert outcome_of(pipeline.about(signal)) == expected
        assert all(pipeline.run.supervisor.restarts(member.name) == 0 for member in pipeline.run.members)


@pytest.mark.parametrize("topic", ["paper.signals.raw", "paper.signals.validated", "paper.orders.filled"])
async def test_a_large_record_is_set_aside_whole(topic: str) -> None:
    """So large that our own producers would hardly send it: somebody else's did."""
    async with Pipeline(manifests()) as pipeline:
        await priced(pipeline)
        large = POISON * (900_000 // len(POISON))
        await pipeline.produce(topic, large, key="k", partition=0)
        assert pipeline.dead_letters(topic)[0].value == large
        assert all(pipeline.run.supervisor.restarts(member.name) == 0 for member in pipeline.run.members)


async def some_signal(pipeline: Pipeline) -> Envelope:
    await priced(pipeline)
    await pipeline.signal("alpha", RELIANCE, Side.BUY, "1")
    return pipeline.events(EventType.TRADING_SIGNAL)[0]


async def test_a_record_of_a_newer_release_is_set_aside() -> None:
    async with Pipeline(manifests()) as pipeline:
        event = await some_signal(pipeline)
        newer = msgspec.structs.replace(event, version=event.version + 1)
        await pipeline.produce(pipeline.topics().signals_raw, encode_event(newer), key=event.key)
        assert [item["dlq.code"] for item in headers(pipeline, "paper.signals.raw")] == [Code.UNKNOWN_VERSION]
        assert len(pipeline.broker().placed) == 1


async def test_a_known_id_with_another_payload_is_set_aside() -> None:
    async with Pipeline(manifests()) as pipeline:
        event = await some_signal(pipeline)
        assert isinstance(event.data, Signal)
        forged = msgspec.structs.replace(event.data, quantity=Decimal(100))
        await pipeline.send("paper", forged)
        assert [item["dlq.code"] for item in headers(pipeline, "paper.signals.raw")] == [
            Code.PAYLOAD_MISMATCH
        ]
        assert pipeline.broker().calls == {forged.signal_id: 1}
        assert pipeline.snapshot().positions[RELIANCE].quantity == 1


async def test_a_forged_decision_is_refused_by_the_journal() -> None:
    """Nobody but risk validates: a record on `signals.validated` without a stored decision sends nothing."""
    async with Pipeline(manifests()) as pipeline:
        await some_signal(pipeline)
        (genuine,) = pipeline.events(EventType.VALIDATED_SIGNAL)
        data = genuine.data
        signal = msgspec.structs.replace(data.original_signal, signal_id="forged", quantity=Decimal(9))  # type: ignore[union-attr]
        forged = msgspec.structs.replace(
            genuine, id="f", data=msgspec.structs.replace(data, original_signal=signal)
        )
        await pipeline.produce(pipeline.topics().signals_validated, encode_event(forged), key=genuine.key)
        failed = [event.data for event in pipeline.events(EventType.ORDER_FAILED)]
        assert [item.code for item in failed if isinstance(item, OrderUpdate)] == [Code.PAYLOAD_MISMATCH]
        assert len(pipeline.broker().placed) == 1


async def test_a_dead_letter_can_be_replayed() -> None:
    async with Pipeline(manifests()) as pipeline:
        await priced(pipeline)
        for replica in (0, 1):
            pipeline.taps.plan(f"engine/paper-{replica}", "prices.read", Harm.REFUSE, times=50)
        signal = await pipeline.signal("alpha", RELIANCE, Side.BUY, "1")
        await pipeline.advance(8)
        assert outcome_of(pipeline.about(signal))[1] is Code.BREAKER_OPEN
        pipeline.taps.clear()
        await pipeline.advance(10)
        await pipeline.tick(RELIANCE, 2500.0)
        (letter,) = pipeline.dead_letters("paper.signals.validated")
        await pipeline.produce_all([original(letter)])  # answered by the journal: it has ended
        assert pipeline.broker().placed == []
        raw = next(record for record in pipeline.records if record.topic == "paper.signals.raw")
        await pipeline.produce(raw.topic, raw.value, key=raw.key)  # through risk again: the same decision
        assert pipeline.broker().placed == []
        assert [event.type for event in pipeline.about(signal)] == [
            EventType.VALIDATED_SIGNAL,
            EventType.ORDER_FAILED,
        ]


async def test_the_breaker_opens_tells_and_closes() -> None:
    async with Pipeline(manifests()) as pipeline:
        await priced(pipeline)
        await pipeline.kill("engine/paper-1", restart=False)
        engine = "engine/paper-0"
        pipeline.taps.plan(engine, "prices.read", Harm.REFUSE, times=1000)
        first = await pipeline.signal("alpha", RELIANCE, Side.BUY, "1")
        second = await pipeline.signal("alpha", TCS, Side.BUY, "5")
        await pipeline.advance(8)
        for signal in (first, second):
            assert outcome_of(pipeline.about(signal)) == (EventType.ORDER_FAILED, Code.BREAKER_OPEN)
        codes = [item["dlq.code"] for item in headers(pipeline, "paper.signals.validated")]
        assert codes == [Code.BREAKER_OPEN] * 2
        services = pipeline.run.supervisor.services
        assert services[engine].get_status().details["breaker.store"] == "open"
        asked = sum(call.operation == "prices.read" for call in pipeline.taps.calls if call.member == engine)
        third = await pipeline.signal("alpha", TCS, Side.BUY, "5", ttl=100)
        await pipeline.advance(0.5)
        again = sum(call.operation == "prices.read" for call in pipeline.taps.calls if call.member == engine)
        assert again == asked  # an open breaker asks nothing
        await pipeline.ticks([(RELIANCE, 2500.0), (TCS, 3900.0)])
        assert outcome_of(pipeline.about(third))[1] in (Code.BREAKER_OPEN, Code.PRICE_STALE)
        pipeline.taps.clear()
        await pipeline.advance(10)
        await pipeline.ticks([(RELIANCE, 2500.0), (TCS, 3900.0)])
        probe = await pipeline.signal("alpha", RELIANCE, Side.BUY, "1")
        assert outcome_of(pipeline.about(probe)) == (EventType.ORDER_FILLED, None)
        assert services[engine].get_status().details["breaker.store"] == "closed"
        assert pipeline.broker().calls == {probe: 1}


async def test_a_cacher_without_its_cache_waits_and_loses_nothing() -> None:
    async with Pipeline(manifests()) as pipeline:
        await priced(pipeline)
        pipeline.taps.plan("feed-cacher/demo", "prices.write", Harm.REFUSE, times=7)
        await pipeline.tick(RELIANCE, 2600.0, at=2)
        await pipeline.advance(60)
        assert pipeline.dead_letters() == []
        quotes = await pipeline.stores().prices.read_many("demo", [738561])
        assert quotes[738561].last_price == 2600.0


async def test_an_open_breaker_refuses_orders_but_never_a_cancel() -> None:
    """A cancel is never gated, and needs no price: it must not wait for a price cache that is down."""
    async with Pipeline(manifests()) as pipeline:
        await priced(pipeline)
        buy: dict[str, Any] = {"order_type": OrderType.LIMIT, "limit": "2400", "ttl": 60.0}
        resting = await pipeline.signal("alpha", RELIANCE, Side.BUY, "1", **buy)
        for replica in (0, 1):
            pipeline.taps.plan(f"engine/paper-{replica}", "prices.read", Harm.REFUSE, times=1000)
        for _ in range(3):
            refused = await pipeline.signal("alpha", RELIANCE, Side.BUY, "1", **buy)
            await pipeline.advance(2)
            await priced_again(pipeline)
        assert outcome_of(pipeline.about(refused)) == (EventType.ORDER_FAILED, Code.BREAKER_OPEN)
        await pipeline.cancel(resting)
        assert outcome_of(pipeline.about(resting)) == (EventType.ORDER_CANCELLED, Code.CANCELLED_BY_STRATEGY)
        late = await pipeline.signal("alpha", RELIANCE, Side.BUY, "1", **buy)
        assert outcome_of(pipeline.about(late)) == (EventType.ORDER_FAILED, Code.BREAKER_OPEN)


async def priced_again(pipeline: Pipeline) -> None:
    await pipeline.ticks([(RELIANCE, 2500.0), (TCS, 3900.0)])
