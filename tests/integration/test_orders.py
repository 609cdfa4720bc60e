"""Orders that rest: filled, cut in parts, cancelled, expired; and what the trading states do to them."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from alpha_panda.compose.embedded import RunOptions, run_embedded
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EventType, OrderStatus, OrderType, Side, TradingState, Validity
from alpha_panda.contracts.events import OrderUpdate
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.scopes import PLATFORM, account_scope, strategy_scope
from alpha_panda.runtime.settings import Settings
from alpha_panda.testing.pipeline import Pipeline, outcome_of
from alpha_panda.testing.virtual_time import START
from integration.invariants import faults, stored_faults
from integration.kit import LOGS, RELIANCE, TCS, Document, account, feed, manifests, strategy

MINUTE = 60 * 1_000_000_000


def last(pipeline: Pipeline, signal: str) -> OrderUpdate:
    data = pipeline.about(signal)[-1].data
    assert isinstance(data, OrderUpdate)
    return data


async def priced(pipeline: Pipeline, price: float = 2500.0) -> None:
    await pipeline.ticks([(RELIANCE, price), (TCS, 3900.0)], at=1)


@pytest.mark.parametrize(
    ("side", "order_type", "prices", "path", "fill"),
    [
        (Side.BUY, OrderType.LIMIT, {"limit": "2490"}, [2495.0, 2489.0], "2490"),
        (Side.SELL, OrderType.LIMIT, {"limit": "2510"}, [2505.0, 2511.0], "2510"),
        (Side.BUY, OrderType.STOP, {"trigger": "2510"}, [2509.95, 2510.0], "2510"),
        (Side.SELL, OrderType.STOP, {"trigger": "2490"}, [2490.05, 2485.0], "2485"),
        (Side.BUY, OrderType.STOP_LIMIT, {"trigger": "2510", "limit": "2512"}, [2515.0, 2511.0], "2511"),
    ],
)
async def test_an_order_rests_until_its_price_comes(
    side: Side, order_type: OrderType, prices: dict[str, Any], path: list[float], fill: str
) -> None:
    async with Pipeline(manifests()) as pipeline:
        await priced(pipeline)
        signal = await pipeline.signal("alpha", RELIANCE, side, "2", order_type=order_type, **prices)
        assert last(pipeline, signal).status is OrderStatus.PLACED
        assert pipeline.snapshot().positions == {}
        for second, price in enumerate(path, start=2):
            assert last(pipeline, signal).status is OrderStatus.PLACED
            await pipeline.tick(RELIANCE, price, at=second)
        filled = last(pipeline, signal)
        assert (filled.status, filled.filled_quantity) == (OrderStatus.FILLED, 2)
        if order_type is not OrderType.LIMIT:
            assert filled.price == Decimal(fill)
        assert pipeline.snapshot().positions[RELIANCE].quantity == side.sign * 2
        assert pipeline.broker().calls == {signal: 1}
        assert await stored_faults(pipeline) == []


async def test_an_ioc_order_takes_what_it_gets_or_ends() -> None:
    async with Pipeline(manifests()) as pipeline:
        await priced(pipeline)
        options = {"order_type": OrderType.LIMIT, "validity": Validity.IOC}
        far = await pipeline.signal("alpha", RELIANCE, Side.BUY, "2", limit="2499", **options)  # type: ignore[arg-type]
        near = await pipeline.signal("alpha", RELIANCE, Side.BUY, "2", limit="2501", **options)  # type: ignore[arg-type]
        assert outcome_of(pipeline.about(far)) == (EventType.ORDER_CANCELLED, Code.NO_FILL)
        assert outcome_of(pipeline.about(near)) == (EventType.ORDER_FILLED, None)
    assert faults(pipeline) == []


async def test_orders_in_parts_add_up() -> None:
    terms = {"partialFillRatio": "1", "commissionBps": "3", "slippageBps": "2"}
    async with Pipeline(manifests(account=account(paper=terms))) as pipeline:
        await priced(pipeline)
        signal = await pipeline.signal("alpha", TCS, Side.BUY, "100")
        assert last(pipeline, signal).status is OrderStatus.PARTIALLY_FILLED
        second = 2
        while not last(pipeline, signal).status.terminal:
            assert second < 40
            await pipeline.tick(TCS, 3900.0 + second, at=second)
            second += 1
        parts = [event.data.filled_quantity for event in pipeline.about(signal)[1:]]  # type: ignore[union-attr]
        assert parts == sorted(set(parts))
        assert parts[-1] == 100
        assert all(part % 5 == 0 for part in parts)  # whole lots
    assert faults(pipeline) == []


def closing_soon() -> list[Document]:
    return manifests(feed=feed(calendar="XBOM", staleAfterSeconds=60))


async def test_a_day_order_ends_with_its_session() -> None:
    async with Pipeline(closing_soon(), start=START + 74 * MINUTE) as pipeline:
        await priced(pipeline)
        signal = await pipeline.signal(
            "alpha", RELIANCE, Side.BUY, "2", order_type=OrderType.LIMIT, limit="2490"
        )
        await pipeline.advance(50)
        assert last(pipeline, signal).status is OrderStatus.PLACED
        await pipeline.advance(15)
        assert outcome_of(pipeline.about(signal)) == (EventType.ORDER_CANCELLED, Code.SESSION_ENDED)
        await pipeline.tick(RELIANCE, 2480.0)
        assert pipeline.snapshot().positions == {}
        assert await stored_faults(pipeline) == []
    assert faults(pipeline) == []


async def resting(pipeline: Pipeline, side: Side = Side.BUY) -> str:
    limit = "2400" if side is Side.BUY else "2600"
    return await pipeline.signal("alpha", RELIANCE, side, "2", order_type=OrderType.LIMIT, limit=limit)


async def test_a_strategy_cancels_its_order_even_when_halted() -> None:
    async with Pipeline(manifests()) as pipeline:
        await priced(pipeline)
        signal = await resting(pipeline)
        pipeline.stop_renewing(PLATFORM)
        await pipeline.stores().control.drop_spec(PLATFORM)  # Halted, but nobody said so: it rests on
        await pipeline.advance(3)
        assert last(pipeline, signal).status is OrderStatus.PLACED
        await pipeline.cancel(signal)
        assert outcome_of(pipeline.about(signal)) == (EventType.ORDER_CANCELLED, Code.CANCELLED_BY_STRATEGY)
    assert faults(pipeline) == []


@pytest.mark.parametrize("scope", [PLATFORM, account_scope("paper"), strategy_scope("alpha")])
async def test_halted_cancels_all_that_rests(scope: str) -> None:
    async with Pipeline(manifests()) as pipeline:
        await priced(pipeline)
        await pipeline.signal("alpha", RELIANCE, Side.BUY, "2")
        signals = [await resting(pipeline), await resting(pipeline, Side.SELL)]
        await pipeline.set_state(scope, TradingState.HALTED)
        await pipeline.advance(2)
        for signal in signals:
            assert outcome_of(pipeline.about(signal)) == (EventType.ORDER_CANCELLED, Code.CANCELLED_BY_STATE)
            assert scope in last(pipeline, signal).message
        assert pipeline.snapshot().positions[RELIANCE].quantity == 2
    assert faults(pipeline) == []


async def test_reducing_cancels_what_increases_and_keeps_what_closes() -> None:
    async with Pipeline(manifests()) as pipeline:
        await priced(pipeline)
        await pipeline.signal("alpha", RELIANCE, Side.BUY, "2")
        more, close = await resting(pipeline), await resting(pipeline, Side.SELL)
        await pipeline.set_state(account_scope("paper"), TradingState.REDUCING)
        await pipeline.advance(2)
        assert outcome_of(pipeline.about(more)) == (EventType.ORDER_CANCELLED, Code.CANCELLED_BY_STATE)
        assert last(pipeline, close).status is OrderStatus.PLACED
        await pipeline.tick(RELIANCE, 2600.0)
        assert last(pipeline, close).status is OrderStatus.FILLED
        assert {p.quantity for p in pipeline.snapshot().positions.values()} <= {0}
    assert faults(pipeline) == []


async def test_an_expired_key_halts_but_cancels_nothing() -> None:
    async with Pipeline(manifests()) as pipeline:
        await priced(pipeline)
        signal = await resting(pipeline)
        pipeline.stop_renewing(account_scope("paper"))
        await pipeline.advance(70)
        await pipeline.tick(RELIANCE, 2500.0)
        refused = await pipeline.signal("alpha", RELIANCE, Side.BUY, "1")
        assert outcome_of(pipeline.about(refused)) == (EventType.REJECTED_SIGNAL, Code.TRADING_HALTED)
        assert last(pipeline, signal).status is OrderStatus.PLACED
        await pipeline.tick(RELIANCE, 2400.0)
        assert last(pipeline, signal).status is OrderStatus.FILLED
    assert faults(pipeline) == []


@pytest.mark.parametrize(
    ("limit", "code", "latched"),
    [("maxDailyLoss", Code.DAILY_LOSS, "account/paper"), ("maxDrawdown", Code.DRAWDOWN, "account/paper")],
)
async def test_a_loss_latches_and_re_applying_active_releases_nothing(
    limit: str, code: Code, latched: str
) -> None:
    async with Pipeline(manifests(account=account(risk={limit: "1000"}))) as pipeline:
        await priced(pipeline)
        await pipeline.signal("alpha", RELIANCE, Side.BUY, "100")
        rests = await resting(pipeline)
        await pipeline.tick(RELIANCE, 2490.05, at=2)
        await pipeline.advance(2)
        control = pipeline.stores().control
        assert (await control.read((latched,)))[0].latches == ()  # 995 lost
        await pipeline.tick(RELIANCE, 2490.0)
        await pipeline.advance(2)
        (latch,) = (await control.read((latched,)))[0].latches
        assert latch.latch_id.startswith(f"{code.value.lower().replace('_', '-')}-2026-01-02-")
        assert outcome_of(pipeline.about(rests)) == (EventType.ORDER_CANCELLED, Code.CANCELLED_BY_STATE)
        for scope in (PLATFORM, latched, strategy_scope("alpha")):
            await pipeline.set_state(scope, TradingState.ACTIVE)
        await pipeline.kill("risk/paper")
        await pipeline.advance(1)
        await pipeline.tick(RELIANCE, 2600.0)  # even when the loss is made good
        await pipeline.advance(2)
        more = await pipeline.signal("alpha", RELIANCE, Side.BUY, "1")
        assert outcome_of(pipeline.about(more))[1] in (code, Code.TRADING_REDUCING)
        close = await pipeline.signal("alpha", RELIANCE, Side.SELL, "100")
        assert outcome_of(pipeline.about(close)) == (EventType.ORDER_FILLED, None)  # never trapped
        assert await control.clear_latch(latched, latch.latch_id)
        again = await pipeline.signal("alpha", RELIANCE, Side.BUY, "1")
        assert outcome_of(pipeline.about(again))[0] is EventType.ORDER_FILLED or limit == "maxDrawdown"
    assert faults(pipeline) == []


async def test_positions_come_from_fills_not_from_what_was_sent() -> None:
    script = {
        "1": ["BUY", "4"],
        "2": ["SELL", "1"],
        "3": ["BUY", "3", {"order_type": "LIMIT", "limit_price": "2000"}],
    }
    recorder: dict[str, Any] = {
        "class": "integration.kit:Recorder",
        "parameters": {"label": "fills", "script": script},
    }
    world = manifests(
        account=account(risk={"maxOrderQuantity": "3"}),
        strategy=strategy(**recorder),
    )
    async with Pipeline(world) as pipeline:
        for second in (1, 2, 3):
            await pipeline.tick(RELIANCE, 2500.0, at=second)
        log = LOGS.pop("fills")
        assert [code for _, code in log.rejected] == [Code.MAX_ORDER_QUANTITY]
        assert [order.status for order in log.orders] == [OrderStatus.FILLED, OrderStatus.PLACED]
        assert log.positions == ["-1", "-1"]
        assert pipeline.snapshot().positions[RELIANCE].quantity == -1


async def test_a_restarted_tracker_fills_what_it_missed() -> None:
    async with Pipeline(manifests()) as pipeline:
        await priced(pipeline)
        signal = await resting(pipeline)
        await pipeline.advance(2)
        await pipeline.kill("order-tracker/paper", restart=False)
        await pipeline.tick(RELIANCE, 2399.0)  # through the limit, and back
        await pipeline.tick(RELIANCE, 2500.0)
        assert last(pipeline, signal).status is OrderStatus.PLACED
        await pipeline.revive("order-tracker/paper")
        await pipeline.advance(12)
        assert last(pipeline, signal).status is OrderStatus.FILLED
    assert faults(pipeline) == []


async def test_a_reducing_limit_on_an_old_price_rests_until_prices_come() -> None:
    """The cache holds 2500 from before the silence: a SELL at 2400 must not trade at that."""
    async with Pipeline(manifests()) as pipeline:
        await pipeline.tick(RELIANCE, 2500.0, at=1)
        await pipeline.signal("alpha", RELIANCE, Side.BUY, "5")
        await pipeline.advance(60)
        sell = await pipeline.signal(
            "alpha", RELIANCE, Side.SELL, "5", order_type=OrderType.LIMIT, limit="2400"
        )
        assert outcome_of(pipeline.about(sell)) == (EventType.ORDER_PLACED, None)
        await pipeline.advance(3)
        assert outcome_of(pipeline.about(sell)) == (EventType.ORDER_PLACED, None)
        await pipeline.tick(RELIANCE, 2390.0)
        await pipeline.advance(1)
        assert outcome_of(pipeline.about(sell)) == (EventType.ORDER_PLACED, None)
        await pipeline.tick(RELIANCE, 2410.0)
        await pipeline.advance(1)
        assert outcome_of(pipeline.about(sell)) == (EventType.ORDER_FILLED, None)
        entry = await pipeline.stores().journal.get(sell)
        assert entry is not None
        assert entry.average_price == 2410
    assert faults(pipeline) == []


def test_a_day_limit_fills_from_the_low_of_the_next_daily_bar(tmp_path: Path) -> None:
    """Without a calendar a session is a UTC day, and a daily bar ends at the very end of it."""
    rows = [
        "2024-01-01,100,101,99.5,100",
        "2024-01-02,100,102,90,101",
        "2024-01-03,101,101,80,81",
        "2024-01-04,81,82,80,81",
    ]
    header = "date,open,high,low,close"
    (tmp_path / "days.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    instrument = {"symbol": RELIANCE, "token": 738561, "tickSize": "0.05"}
    script = {
        "1": ["BUY", "2", {"order_type": "LIMIT", "limit_price": "99"}],
        "2": ["BUY", "3", {"order_type": "LIMIT", "limit_price": "70"}],
    }
    resources = ResourceSet.from_documents(
        [
            feed(source={"replay": {"path": "days.csv"}}, instruments=[instrument]),
            account(),
            strategy(
                **{"class": "integration.kit:Recorder"}, parameters={"label": "daily bars", "script": script}
            ),
        ],
        directory=tmp_path,
    )
    run_embedded(resources, Settings(log_level="ERROR"), RunOptions(seed=1))
    told = [
        (str(order.quantity), order.status, order.price, order.code) for order in LOGS["daily bars"].orders
    ]
    assert sorted(told, key=lambda order: order[0]) == [
        ("2", OrderStatus.PLACED, None, None),
        ("2", OrderStatus.FILLED, Decimal(99), None),
        ("3", OrderStatus.PLACED, None, None),
        ("3", OrderStatus.CANCELLED, None, Code.SESSION_ENDED),
    ]
