"""Pushed changes of orders and the order book are one: whatever is late, twice, out of order or lost."""

from decimal import Decimal

from msgspec.structs import replace

from alpha_panda.contracts.enums import EntryState, OrderStatus, OrderType, Side, Validity
from alpha_panda.testing.taps import Harm

from .account_kit import TOKEN, TRACKER, Account, account

EACH = 30


async def resting(pipeline: Account, quantity: str = "10") -> tuple[str, str]:
    """Let an order rest; return its signal's id and the broker's."""
    await pipeline.until_reconciled()
    pipeline.core.set_price(TOKEN, Decimal(110), pipeline.clock.now())
    await pipeline.price(110)
    signal = await pipeline.signal(
        "alpha",
        "NSE:RELIANCE",
        Side.BUY,
        quantity,
        order_type=OrderType.LIMIT,
        validity=Validity.DAY,
        limit="100",
    )
    await pipeline.idle()
    return signal, next(reversed(pipeline.core.orders))


async def state(pipeline: Account, signal: str) -> tuple[EntryState, Decimal]:
    entry = await pipeline.stores().journal.get(signal)
    assert entry is not None
    return entry.state, entry.filled_quantity


def books_read(pipeline: Account) -> int:
    return sum(call.kind == "book" for call in pipeline.core.calls)


async def test_a_push_is_booked_before_anybody_polls() -> None:
    async with account() as pipeline:
        signal, order = await resting(pipeline)
        pipeline.core.fill(order, Decimal(4), Decimal(100), pipeline.clock.now())
        await pipeline.idle()
        assert await state(pipeline, signal) == (EntryState.PARTIALLY_FILLED, 4)
        assert pipeline.held() == 4
        pipeline.core.fill(order, Decimal(6), Decimal("99.95"), pipeline.clock.now())
        await pipeline.idle()
        assert await state(pipeline, signal) == (EntryState.FILLED, 10)
        await pipeline.advance(EACH)
        pipeline.check()


async def test_pushes_that_come_twice_late_and_out_of_order_change_nothing() -> None:
    async with account() as pipeline:
        signal, order = await resting(pipeline)
        for quantity in (4, 6):
            pipeline.core.fill(order, Decimal(quantity), Decimal(100), pipeline.clock.now())
        versions = [row for _, row in pipeline.core.orders[order].versions]
        for row in (*reversed(versions), *versions, versions[1]):
            pipeline.core.push(row)
        await pipeline.advance(2)
        assert await state(pipeline, signal) == (EntryState.FILLED, 10)
        late = replace(versions[1], status=OrderStatus.CANCELLED)
        pipeline.core.push(late)
        await pipeline.advance(EACH)
        assert await state(pipeline, signal) == (EntryState.FILLED, 10)
        pipeline.check()


async def test_a_push_of_an_order_in_doubt_resolves_it() -> None:
    async with account() as pipeline:
        await pipeline.until_reconciled()
        await pipeline.price()
        pipeline.taps.plan("engine/paper-0", "journal.settle", Harm.KILL_BEFORE)
        pipeline.taps.plan("engine/paper-1", "journal.settle", Harm.KILL_BEFORE)
        signal = await pipeline.signal("alpha", "NSE:RELIANCE", Side.BUY, "10")
        await pipeline.idle()
        assert await state(pipeline, signal) == (EntryState.FILLED, 10)
        await pipeline.advance(EACH)
        pipeline.check()


async def test_what_no_push_tells_the_book_does() -> None:
    async with account() as pipeline:
        pipeline.core.pushing = False
        signal, order = await resting(pipeline)
        pipeline.core.fill(order, Decimal(10), Decimal(100), pipeline.clock.now())
        await pipeline.idle()
        assert (await state(pipeline, signal))[0] is EntryState.PLACED
        await pipeline.advance(1)  # something rests: the book is read each turn
        assert await state(pipeline, signal) == (EntryState.FILLED, 10)
        pipeline.by_hand(Side.SELL, "3")
        await pipeline.advance(6)  # nothing rests any more: less often
        assert pipeline.held() == 7
        await pipeline.advance(EACH)
        pipeline.check()


async def test_an_idle_account_costs_few_calls_and_pushes_cost_no_more_than_readings_in_a_row() -> None:
    async with account() as pipeline:
        await pipeline.until_reconciled()
        before = books_read(pipeline)
        await pipeline.advance(60)
        idle = books_read(pipeline) - before
        assert idle <= 60 / 5 + 2 * 3 + 2
        before = books_read(pipeline)
        for _ in range(100):
            pipeline.core.push(None)
        await pipeline.idle()
        assert books_read(pipeline) - before <= 3


async def test_a_push_beside_a_journal_without_an_epoch_books_nothing() -> None:
    async with account() as pipeline:
        await pipeline.until_reconciled()
        await pipeline.buy("10")
        pipeline.stores().database.restart()
        pipeline.by_hand(Side.SELL, "3")
        await pipeline.idle()
        assert await pipeline.stores().journal.find_tag("external:H0") is None
        await pipeline.advance(90)
        assert pipeline.held() == 7


async def test_an_order_tracker_that_dies_at_a_push_loses_nothing() -> None:
    for operation in ("journal.fill", "producer.send", "journal.find_tags"):
        for harm in (Harm.KILL_BEFORE, Harm.KILL_AFTER, Harm.LOSE_REPLY, Harm.REFUSE):
            async with account() as pipeline:
                signal, order = await resting(pipeline)
                pipeline.taps.plan(TRACKER, operation, harm)
                pipeline.core.fill(order, Decimal(10), Decimal(100), pipeline.clock.now())
                await pipeline.advance(15)
                assert not pipeline.taps.pending
                assert await state(pipeline, signal) == (EntryState.FILLED, 10)
                await pipeline.advance(EACH)
                pipeline.check()
