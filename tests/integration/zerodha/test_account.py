"""A whole account at the local Kite through Zerodha's adapter: positions, holdings, money, pushes and log-ins.

On virtual time; what the order protocol alone does to it stands in the files beside this one.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal

import pytest

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EventType, OrderType, Product, Side
from alpha_panda.contracts.events import OrderUpdate, RejectedSignal
from alpha_panda.contracts.stored import BrokerFacts
from alpha_panda.testing.broker.live import with_broker
from alpha_panda.testing.kite.instruments import RELIANCE as TOKEN
from alpha_panda.testing.kite.traders import terms_of
from integration.kit import RELIANCE

from .kite_kit import KiteLive, live

HOUR = 3600
EACH = 30


@asynccontextmanager
async def account(product: Product = Product.MIS, *, holds: int = 0) -> AsyncIterator[KiteLive]:
    """Give an account of which everything is at work; `holds`: shares from before."""

    def prepare(pipeline: KiteLive) -> None:
        with_broker(pipeline.resources, product)
        pipeline.traders._terms = lambda core: replace(terms_of(core), product=product.value)
        if holds:
            pipeline.kite.desk.portfolio.hold(pipeline.kite.dump.by_token[TOKEN], holds, Decimal(1000))

    async with live(prepare, orders_only=False) as pipeline:
        await pipeline.price()
        await reconciled(pipeline)
        yield pipeline


async def facts_of(pipeline: KiteLive) -> BrokerFacts:
    facts = await pipeline.stores().journal.facts()
    assert facts is not None
    return facts


async def reconciled(pipeline: KiteLive) -> BrokerFacts:
    """Let time pass until the account was compared with Kite; the price stays fresh."""
    for _ in range(2 * EACH):
        if (facts := await pipeline.stores().journal.facts()) is not None and facts.reconciled:
            return facts
        await pipeline.price()
        await pipeline.advance(1)
    raise AssertionError(await pipeline.stores().journal.facts())


async def agree(pipeline: KiteLive, held: int) -> None:
    """Book, strategies' books and Kite say the same after the next comparison, and nobody is halted."""
    await pipeline.advance(EACH + 5)
    facts = await facts_of(pipeline)
    assert (facts.reconciled, facts.differences, facts.unjudged) == (True, (), ())
    assert pipeline.held() == held
    parts = [book.positions.get(RELIANCE) for book in pipeline.snapshot().strategies.values()]
    assert sum(part.quantity for part in parts if part is not None) == held
    assert await pipeline.latches() == []
    assert pipeline.dead_letters() == []


def own(pipeline: KiteLive) -> Decimal:
    """What the strategy's own book holds."""
    return pipeline.snapshot().strategies["alpha"].positions[RELIANCE].quantity


async def test_what_others_close_is_taken_from_the_strategy_and_the_book_is_kites() -> None:
    async with account() as pipeline:
        await pipeline.buy("10")
        await pipeline.advance(2)
        pipeline.kite.trade_elsewhere(TOKEN, Side.SELL, 4, pipeline.clock.now())
        await pipeline.advance(2)
        assert (pipeline.held(), own(pipeline)) == (6, 6)
        pipeline.kite.square_off(pipeline.clock.now())
        await pipeline.advance(2)
        assert (pipeline.held(), own(pipeline)) == (0, 0)
        shares = {
            (data.quantity, data.code)
            for event in pipeline.events(EventType.ORDER_UPDATED)
            if isinstance(data := event.data, OrderUpdate) and data.share_of
        }
        assert shares == {(4, Code.EXTERNAL_TRADE), (6, Code.SQUARE_OFF)}
        await agree(pipeline, 0)


async def test_an_order_that_a_person_changes_by_hand_makes_no_difference() -> None:
    async with account() as pipeline:
        signal = await pipeline.buy("10", order_type=OrderType.LIMIT, limit="1300")
        await pipeline.advance(2)
        order = pipeline.kite.orders[pipeline.only_order()]
        pipeline.kite.fill(order.order_id, 4, Decimal(1300), pipeline.clock.now())
        await pipeline.advance(2)
        pipeline.kite.desk.modify(order, replace(order.terms, quantity=12), pipeline.clock.now())
        await pipeline.advance(2)
        pipeline.kite.fill(order.order_id, 8, Decimal("1299.95"), pipeline.clock.now())
        await agree(pipeline, 12)
        assert pipeline.last(signal)[::2] == ("FILLED", 12)
        assert own(pipeline) == 12


async def test_shares_go_through_nights_and_log_ins_and_are_sold_from_the_holdings() -> None:
    """Bought on Friday they are a position, on Monday a holding; what was sold today is both: they are one quantity."""
    async with account(Product.CNC, holds=7) as pipeline:
        assert (pipeline.held(), (await facts_of(pipeline)).cash) == (7, 1_000_000)
        await pipeline.buy("10")
        await agree(pipeline, 17)
        await pipeline.clock.advance(66 * HOUR)
        assert (await facts_of(pipeline)).token_problem
        await pipeline.price()
        refused = await pipeline.signal("alpha", RELIANCE, Side.SELL, "6")
        await pipeline.advance(1)
        told = pipeline.about(refused)[-1].data
        assert isinstance(told, RejectedSignal)
        pipeline.kite.change_day("2026-01-05", pipeline.clock.now())
        pipeline.traders.log_in("paper")
        await pipeline.price()
        assert (await reconciled(pipeline)).trading_day == "2026-01-05"
        await agree(pipeline, 17)
        await pipeline.price()
        sold = await pipeline.signal("alpha", RELIANCE, Side.SELL, "6")
        await pipeline.advance(2)
        assert pipeline.last(sold) == ("FILLED", None, 6)
        await agree(pipeline, 11)
        assert own(pipeline) == 4
        assert pipeline.snapshot().cash == (await facts_of(pipeline)).cash


@pytest.mark.parametrize("member", ["order-tracker/paper", "risk/paper", "engine/paper-0"])
async def test_whoever_dies_amid_trades_by_hand_and_of_our_own_the_book_is_kites(member: str) -> None:
    async with account() as pipeline:
        await pipeline.buy("10")
        pipeline.kite.trade_elsewhere(TOKEN, Side.SELL, 3, pipeline.clock.now())
        await pipeline.kill(member)
        pipeline.kite.trade_elsewhere(TOKEN, Side.BUY, 2, pipeline.clock.now())
        await pipeline.advance(5)
        await reconciled(pipeline)
        held = pipeline.kite.positions(pipeline.clock.now()).get(TOKEN, Decimal(0))
        assert held == 9
        await agree(pipeline, 9)
