"""A tick reaches the strategies that want it and no other; one that breaks hurts itself alone."""

from typing import Any

import pytest

from alpha_panda.contracts.enums import EventType, Side
from alpha_panda.contracts.events import order_key
from alpha_panda.contracts.topics import key_partition, tick_partition
from alpha_panda.testing.pipeline import Pipeline, outcome_of
from integration.kit import LOGS, RELIANCE, TCS, Document, account, feed, manifests, strategy

MANY = 100


def recorder(name: str, label: str, **changes: Any) -> Document:
    parameters = {"label": label, **changes.pop("parameters", {})}
    return strategy(name, **{"class": "integration.kit:Recorder", "parameters": parameters, **changes})


def wide_feed(partitions: int = 16) -> Document:
    instruments = [
        {"symbol": f"NSE:I{n}", "token": 1000 + 256 * n, "tickSize": "0.05", "referencePrice": "100"}
        for n in range(MANY)
    ]
    return feed(instruments=instruments, partitions=partitions)


@pytest.mark.usefixtures("quiet")
async def test_a_hundred_strategies_get_their_own_ticks_only() -> None:
    wanted = {n: sorted({f"NSE:I{n}", f"NSE:I{(n * 7) % MANY}"}) for n in range(MANY)}
    strategies = [recorder(f"s{n}", f"route-{n}", instruments=symbols) for n, symbols in wanted.items()]
    async with Pipeline([wide_feed(), account(), *strategies]) as pipeline:
        for turn in range(3):
            await pipeline.ticks([(f"NSE:I{n}", 100.0 + turn) for n in range(MANY)], at=turn + 1)
        for n, symbols in wanted.items():
            tokens = sorted(1000 + 256 * int(symbol.removeprefix("NSE:I")) for symbol in symbols)
            got = LOGS.pop(f"route-{n}").ticks
            assert sorted(got) == [(token, 100.0 + turn, turn + 1) for token in tokens for turn in range(3)]


async def test_a_runner_takes_only_the_partitions_that_it_needs() -> None:
    async with Pipeline(
        [wide_feed(), account(), recorder("one", "parts", instruments=["NSE:I3", "NSE:I4"])]
    ) as p:
        (reading,) = [item for item in p.subscriptions() if item.member == "strategy/one"]
        tokens = (1000 + 256 * 3, 1000 + 256 * 4)
        ticks = {f"demo.market.ticks/{tick_partition(token, 16)}" for token in tokens}
        orders = {key_partition(order_key("one", token), 4) for token in tokens}
        assert {item for item in reading.partitions if "ticks" in item} == ticks
        assert {int(item.rpartition("/")[2]) for item in reading.partitions if "ticks" not in item} == orders


async def test_orders_reach_their_own_strategy_only() -> None:
    world = [feed(), account(), recorder("a", "own-a"), recorder("b", "own-b")]
    async with Pipeline(world) as pipeline:
        await pipeline.tick(RELIANCE, 2500.0, at=1)
        signal = await pipeline.signal("a", RELIANCE, Side.BUY, "2")
        assert [order.signal_id for order in LOGS.pop("own-a").orders] == [signal]
        assert LOGS.pop("own-b").orders == []


@pytest.mark.parametrize("where", ["on_tick", "on_order", "snapshot"])
async def test_a_broken_strategy_hurts_no_other(where: str) -> None:
    script = {"2": ["BUY", "1"], "4": ["SELL", "1"]}
    sound = {"script": script}
    broken = {"script": script, "breaks": where}
    label = f"broken-{where}"
    world = [
        feed(),
        account(),
        recorder("bad", f"{label}-bad", parameters=broken),
        recorder("good", f"{label}-good", parameters=sound),
    ]
    async with Pipeline(world) as pipeline:
        for second in range(1, 7):
            await pipeline.tick(RELIANCE, 2500.0 + second, at=second)
        await pipeline.advance(6)
        good, bad = LOGS.pop(f"{label}-good"), LOGS.pop(f"{label}-bad")
        assert [seq for _, _, seq in good.ticks] == [1, 2, 3, 4, 5, 6]
        assert good.positions == ["1", "0"]
        assert len(bad.ticks) == 2
        assert pipeline.run.supervisor.restarts("strategy/bad,good") == 0
        status = pipeline.run.supervisor.services["strategy/bad,good"].get_status()
        assert status.details["failed"] == 1
        assert f"broken in {where}" in str(status.details["message"])
        signals = [event.data.strategy_id for event in pipeline.events(EventType.TRADING_SIGNAL)]  # type: ignore[union-attr]
        assert signals.count("good") == 2
        # What had not been stored when it broke is never produced.
        assert signals.count("bad") == (1 if where == "on_order" else 0)


async def test_accounts_have_books_of_their_own() -> None:
    world = [
        feed(),
        account(),
        account("second", risk={"maxOrderQuantity": "1"}),
        recorder("twin", "twin", accounts=["paper", "second"], parameters={"script": {"1": ["BUY", "2"]}}),
    ]
    async with Pipeline(world) as pipeline:
        await pipeline.tick(RELIANCE, 2500.0, at=1)
        LOGS.pop("twin")
        assert pipeline.snapshot("paper").positions[RELIANCE].quantity == 2
        assert pipeline.snapshot("second").positions == {}
        raws = pipeline.events(EventType.TRADING_SIGNAL)
        outcomes = {event.account: outcome_of(pipeline.about(event.correlation_id))[0] for event in raws}
        assert outcomes == {"paper": EventType.ORDER_FILLED, "second": EventType.REJECTED_SIGNAL}
        assert len({event.correlation_id for event in raws}) == 2


async def test_a_signal_names_the_tick_that_caused_it() -> None:
    async with Pipeline(
        manifests(
            strategy=recorder(
                "a", "cause", parameters={"script": {"2": ["BUY", "1"]}}, instruments=[RELIANCE, TCS]
            )
        )
    ) as pipeline:
        await pipeline.tick(TCS, 3900.0, at=1)
        await pipeline.tick(RELIANCE, 2500.0, at=2)
        LOGS.pop("cause")
        (raw,) = pipeline.events(EventType.TRADING_SIGNAL)
        record = [item for item in pipeline.records if item.topic == "demo.market.ticks"][-1]
        assert raw.causation_id == f"{record.id}#738561:1"
        validated, filled = pipeline.about(raw.correlation_id)
        assert validated.causation_id == raw.id
        assert filled.causation_id == validated.id
        assert {event.correlation_id for event in (raw, validated, filled)} == {raw.correlation_id}
