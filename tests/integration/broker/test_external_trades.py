"""What others trade on a live account is taken from those who held it: once, whatever dies, however it is told."""

from decimal import Decimal

import pytest

from alpha_panda.adapters.memory.database import EMPTY_IMAGE
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EventType, OrderType, Side, Validity
from alpha_panda.contracts.events import OrderUpdate
from alpha_panda.testing.broker.account import RMS
from alpha_panda.testing.taps import Harm

from .account_kit import RISK, TOKEN, TRACKER, Account, account

EACH = 30


async def held(pipeline: Account, alpha: str = "6", beta: str = "4") -> None:
    """Two strategies hold something."""
    await pipeline.until_reconciled()
    for strategy, quantity in (("alpha", alpha), ("beta", beta)):
        if Decimal(quantity):
            await pipeline.buy(quantity, strategy)
    await pipeline.advance(2)


def positions(pipeline: Account) -> tuple[Decimal, Decimal, Decimal]:
    return pipeline.own("alpha"), pipeline.own("beta"), pipeline.own("external")


async def strategys_word(pipeline: Account, name: str) -> Decimal:
    """What the runner of the strategy itself believes to hold."""
    fills = [
        event.data
        for event in {e.id: e for e in pipeline.events()}.values()
        if isinstance(event.data, OrderUpdate) and event.data.strategy_id == name
    ]
    last: dict[str, OrderUpdate] = {}
    for update in fills:
        known = last.get(update.signal_id)
        if known is None or update.filled_quantity >= known.filled_quantity:
            last[update.signal_id] = update
    return sum((u.side.sign * u.filled_quantity for u in last.values()), Decimal(0))


async def test_the_broker_squares_off_and_nobody_holds_anything_any_more() -> None:
    async with account() as pipeline:
        await held(pipeline)
        pipeline.core.square_off(pipeline.clock.now(), {TOKEN: Decimal("101.05")})
        await pipeline.advance(1)
        assert positions(pipeline) == (0, 0, 0)
        shares = {share.strategy_id: share for share in pipeline.shares()}
        assert {name: (share.side, share.filled_quantity, share.code) for name, share in shares.items()} == {
            "alpha": (Side.SELL, 6, Code.SQUARE_OFF),
            "beta": (Side.SELL, 4, Code.SQUARE_OFF),
        }
        assert all(share.external and share.share_of == "external:H0" for share in shares.values())
        assert await strategys_word(pipeline, "alpha") == 0
        snapshot = pipeline.snapshot()
        assert snapshot.strategies["alpha"].realized_pnl == Decimal("6.30")
        assert snapshot.strategies["beta"].realized_pnl == Decimal("4.20")
        signal = await pipeline.sell("6")
        assert pipeline.refusal(signal) in (None, Code.SHORT_NOT_ALLOWED)
        await pipeline.advance(EACH)
        assert pipeline.dead_letters() == []


async def test_a_part_is_shared_pro_rata_and_the_rest_of_the_trade_opens_nothing_of_theirs() -> None:
    async with account() as pipeline:
        await held(pipeline)
        pipeline.by_hand(Side.SELL, "5")
        await pipeline.advance(1)
        assert positions(pipeline) == (3, 2, 0)
        pipeline.by_hand(Side.SELL, "8")
        await pipeline.advance(1)
        assert positions(pipeline) == (0, 0, -3)
        assert {share.code for share in pipeline.shares()} == {Code.EXTERNAL_TRADE}
        await pipeline.buy("10")
        await pipeline.advance(EACH)
        assert positions(pipeline) == (10, 0, -3)  # what others were short of before is none of alpha's
        pipeline.check()


async def test_what_others_bought_themselves_is_what_they_sell_first() -> None:
    async with account() as pipeline:
        await held(pipeline)
        pipeline.by_hand(Side.BUY, "7")
        await pipeline.advance(1)
        assert positions(pipeline) == (6, 4, 7)
        pipeline.by_hand(Side.SELL, "9")
        await pipeline.advance(1)
        assert positions(pipeline) == (5, 3, 0)
        pipeline.check()


async def test_parts_of_one_order_are_shared_as_they_trade() -> None:
    async with account() as pipeline:
        await held(pipeline)
        order = pipeline.by_hand(Side.SELL, "10", "99", placed_by=RMS, parts=("3", "7"))
        await pipeline.advance(1)
        assert sum(positions(pipeline)) == 7
        pipeline.core.fill(order, Decimal(2), Decimal("99.5"), pipeline.clock.now())
        await pipeline.advance(1)
        assert sum(positions(pipeline)) == 5
        await pipeline.kill(TRACKER)
        await pipeline.kill(RISK)
        pipeline.core.fill(order, Decimal(5), Decimal("98.05"), pipeline.clock.now())
        await pipeline.advance(10)
        assert positions(pipeline) == (0, 0, 0)
        pipeline.check()


HARMS = (Harm.KILL_BEFORE, Harm.KILL_AFTER, Harm.LOSE_REPLY, Harm.REFUSE)


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("operation", ["decisions.record", "producer.send", "decisions.save"])
async def test_risk_that_dies_while_sharing_shares_once(operation: str, nth: int, harm: Harm) -> None:
    async with account() as pipeline:
        await held(pipeline)
        pipeline.taps.plan(RISK, operation, harm, nth=nth)
        pipeline.by_hand(Side.SELL, "5")
        await pipeline.advance(15)
        if nth == 1:
            assert not pipeline.taps.pending
        pipeline.taps.clear()
        assert positions(pipeline) == (3, 2, 0)
        assert await strategys_word(pipeline, "alpha") == 3
        assert len(pipeline.shares()) == 2
        pipeline.by_hand(Side.SELL, "5")
        await pipeline.advance(5)
        assert positions(pipeline) == (0, 0, 0)
        pipeline.check()


@pytest.mark.parametrize("harm", HARMS)
@pytest.mark.parametrize(
    "operation", ["journal.orphan", "journal.acknowledge_all", "producer.send", "journal.fill"]
)
async def test_an_order_tracker_that_dies_while_booking_books_once(operation: str, harm: Harm) -> None:
    async with account() as pipeline:
        await held(pipeline)
        pipeline.taps.plan(TRACKER, operation, harm)
        order = pipeline.by_hand(Side.SELL, "5", parts=("2", "3"))
        await pipeline.advance(15)
        pipeline.core.fill(order, Decimal(3), Decimal(100), pipeline.clock.now())
        await pipeline.advance(15)
        assert not pipeline.taps.pending
        assert positions(pipeline) == (3, 2, 0)
        assert await strategys_word(pipeline, "beta") == 2
        await pipeline.advance(EACH)
        pipeline.check()


async def test_a_strategy_that_starts_with_nothing_stored_takes_its_shares_from_risks_book() -> None:
    async with account() as pipeline:
        await held(pipeline)
        pipeline.by_hand(Side.SELL, "5")
        await pipeline.advance(1)
        folds = await pipeline.stores().decisions.folds()
        own = {
            signal_id: signal.side.sign * fold.filled_quantity
            for signal_id, (signal, fold) in folds.items()
            if signal.strategy_id == "alpha"
        }
        assert sum(own.values()) == 3


@pytest.mark.parametrize("sold", ["5", "7"])
async def test_a_store_that_has_forgotten_the_shares_shares_nothing_a_second_time(sold: str) -> None:
    async with account() as pipeline:
        await held(pipeline)
        pipeline.by_hand(Side.SELL, sold)
        await pipeline.advance(2)
        before, shares = positions(pipeline), pipeline.shares()
        await pipeline.buy("20", "beta")  # told before the shares, or after, when all is read again
        await pipeline.advance(2)
        pipeline.stores().database.restart(EMPTY_IMAGE)
        await pipeline.advance(90)
        assert pipeline.shares() == shares
        assert positions(pipeline) == (before[0], before[1] + 20, 0)


async def test_an_external_trade_that_is_told_before_the_fill_that_it_closes_is_shared_all_the_same() -> None:
    """Both are found in one reading: whoever held what was sold must be known when it is shared out."""
    async with account() as pipeline:
        await pipeline.until_reconciled()
        await pipeline.price()
        pipeline.core.pushing = False
        pipeline.core.set_price(TOKEN, Decimal(110), pipeline.clock.now())
        signal = await pipeline.signal(
            "alpha",
            "NSE:RELIANCE",
            Side.BUY,
            "10",
            order_type=OrderType.LIMIT,
            validity=Validity.DAY,
            limit="100",
        )
        await pipeline.advance(2)
        pipeline.core.set_price(TOKEN, Decimal(100), pipeline.clock.now())
        pipeline.by_hand(Side.SELL, "10")
        await pipeline.advance(3)
        assert pipeline.about(signal)[-1].type is EventType.ORDER_FILLED
        assert positions(pipeline) == (0, 0, 0)
        pipeline.check()


async def test_a_trade_of_another_product_is_another_position() -> None:
    async with account() as pipeline:
        await held(pipeline)
        pipeline.by_hand(Side.SELL, "5", product="CNC")
        await pipeline.advance(2 * EACH)
        assert positions(pipeline) == (6, 4, 0)
        facts = await pipeline.facts()
        assert facts is not None
        assert facts.differences == ()
