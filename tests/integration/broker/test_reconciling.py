"""A live account is compared with its broker before its first order, and ever after; through the whole pipeline."""

from decimal import Decimal

import pytest

from alpha_panda.adapters.memory.database import EMPTY_IMAGE
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import OrderType, Side, Validity
from alpha_panda.contracts.keys import broker_user_lease
from alpha_panda.contracts.stored import AdoptionRequest
from alpha_panda.domain.ledger_state import decoded_ledger
from alpha_panda.testing.broker.account import BrokerAccount
from alpha_panda.testing.taps import Harm
from integration.kit import RELIANCE, TCS

from .account_kit import RISK, TCS_TOKEN, TOKEN, TRACKER, Account, account

CONFIRM, EACH = 3, 30
HOUR = 3600
NS = 10**9


def holding(core: BrokerAccount | None = None) -> BrokerAccount:
    """A broker that holds something from before."""
    core = BrokerAccount(cash=Decimal(500_000)) if core is None else core
    core.hold(TOKEN, RELIANCE, Decimal(10), Decimal("2400.35"))
    core.hold(TCS_TOKEN, TCS, Decimal(-5), Decimal("3900.10"))
    return core


async def adopt(pipeline: Account, *, times: int = 1) -> AdoptionRequest:
    """Say by hand that the one difference is to be booked."""
    facts = await pipeline.facts()
    assert facts is not None
    (difference,) = facts.differences
    request = AdoptionRequest(
        difference_id=difference.difference_id,
        by="ann",
        reason="seen at the broker",
        asked_at=pipeline.clock.now(),
    )
    asked = [await pipeline.stores().journal.ask_adoption(request) for _ in range(times)]
    assert asked == [True] + [False] * (times - 1)
    return request


# ------------------------------------------------------------------------------------------- before the first order


async def test_nothing_is_ordered_before_orders_positions_and_money_were_compared() -> None:
    core = BrokerAccount()
    core.broken_portfolios = 1_000
    async with account(core) as pipeline:
        await pipeline.advance(10)
        early = await pipeline.buy("10")
        assert pipeline.refusal(early) is Code.NOT_RECONCILED
        core.broken_portfolios = 0
        await pipeline.until_reconciled()
        late = await pipeline.buy("10")
        assert pipeline.refusal(late) is None
        await pipeline.advance(EACH)
        pipeline.check()


async def test_what_the_account_held_before_opens_its_book_with_the_brokers_money() -> None:
    async with account(holding()) as pipeline:
        early = await pipeline.buy("10")
        assert pipeline.refusal(early) is Code.NOT_RECONCILED  # one sight of it is not enough
        facts = await pipeline.until_reconciled()
        assert (facts.opening_cash - facts.cash, len(facts.opening)) == (Decimal("4503.00"), 2)  # type: ignore[operator]
        await pipeline.advance(1)
        pipeline.check()
        assert (pipeline.held(), pipeline.own("external"), pipeline.own("alpha")) == (10, 10, 0)
        opened = [item for told in pipeline.told() for item in told.opened]
        assert [(item.symbol, item.theirs) for item in opened] == [(RELIANCE, 10), (TCS, -5)]
        assert pipeline.refusal(await pipeline.buy("10")) is None
        await pipeline.advance(EACH)
        pipeline.check()
        assert {entry.code for entry in await pipeline.external()} == {Code.ADOPTED}


async def test_what_was_made_before_the_opening_is_no_days_profit() -> None:
    core = BrokerAccount(cash=Decimal(500_000))
    core.hold(TOKEN, RELIANCE, Decimal(1000), Decimal(300))  # 200,000 under water at 100
    core.set_price(TOKEN, Decimal(100), 0)
    async with account(core, settings={"portfolio_interval_seconds": 1}) as pipeline:
        await pipeline.price()
        await pipeline.until_reconciled()
        await pipeline.advance(3)
        snapshot = pipeline.snapshot()
        assert snapshot.unrealized_pnl == -200_000
        await pipeline.price(99)
        await pipeline.advance(3)
        state = await pipeline.stores().decisions.snapshot()
        assert state is not None
        day = decoded_ledger(state.state).days[""]
        assert day.last - day.start == -1_000


async def test_trades_by_hand_of_this_day_and_what_was_held_before_are_each_booked_once() -> None:
    core = holding()
    core.trade(TOKEN, Side.SELL, Decimal(4), Decimal("2500.05"), 0)
    async with account(core) as pipeline:
        await pipeline.until_reconciled()
        await pipeline.advance(1)
        pipeline.check()
        assert pipeline.own("external") == 6
        codes = sorted(str(entry.code) for entry in await pipeline.external())
        assert codes == ["ADOPTED", "ADOPTED", "EXTERNAL_TRADE"]


@pytest.mark.parametrize("harm", [Harm.KILL_BEFORE, Harm.KILL_AFTER, Harm.LOSE_REPLY])
@pytest.mark.parametrize(
    ("operation", "nth"),
    [("journal.put_facts", 2), ("journal.put_facts", 3), ("journal.orphan", 1), ("journal.orphan", 2)],
)
async def test_whoever_dies_while_opening_the_book_it_is_opened_once(
    operation: str, nth: int, harm: Harm
) -> None:
    async with account(holding()) as pipeline:
        pipeline.taps.plan(TRACKER, operation, harm, nth=nth)
        await pipeline.until_reconciled()
        await pipeline.advance(EACH)
        assert not pipeline.taps.pending
        pipeline.check()
        assert len(await pipeline.external()) == 2
        assert pipeline.refusal(await pipeline.buy("10")) is None
        await pipeline.advance(EACH)
        pipeline.check()


async def test_risk_that_dies_takes_the_opening_over() -> None:
    async with account(holding()) as pipeline:
        await pipeline.until_reconciled()
        await pipeline.kill(RISK)
        await pipeline.advance(2)
        pipeline.check()
        assert pipeline.refusal(await pipeline.buy("10")) is None
        await pipeline.kill(RISK)
        await pipeline.advance(EACH)
        pipeline.check()


# ----------------------------------------------------------------------------------------------------- differences


async def test_a_position_that_lags_its_trades_for_a_moment_is_no_difference() -> None:
    async with account() as pipeline:
        await pipeline.until_reconciled()
        await pipeline.buy("10")
        pipeline.core.lag(TOKEN, Decimal(4))
        await pipeline.advance(1)
        while not (facts := await pipeline.facts()) or facts.compared_at < pipeline.clock.now() - 2 * NS:
            await pipeline.advance(1)
        pipeline.core.catch_up()
        await pipeline.advance(2 * EACH)
        assert not [told for told in pipeline.told() if told.differences]
        assert pipeline.refusal(await pipeline.buy("1")) is None


async def test_a_book_that_has_not_folded_all_is_compared_with_nothing() -> None:
    async with account() as pipeline:
        await pipeline.until_reconciled()
        await pipeline.buy("10")
        await pipeline.kill(RISK, restart=False)
        pipeline.by_hand(Side.SELL, "5")
        await pipeline.advance(4 * EACH)
        facts = await pipeline.facts()
        assert facts is not None
        assert facts.differences == ()
        await pipeline.revive(RISK)
        await pipeline.advance(2 * EACH)
        assert not [told for told in pipeline.told() if told.differences]
        pipeline.check()


async def test_a_difference_stops_what_grows_on_its_instrument_and_what_would_open_its_opposite() -> None:
    async with account() as pipeline:
        await pipeline.until_reconciled()
        await pipeline.buy("10")
        await pipeline.buy("10", symbol=TCS)
        pipeline.core.lag(TOKEN, Decimal(4))
        await pipeline.advance(EACH + 2 * CONFIRM)
        facts = await pipeline.facts()
        assert facts is not None
        assert [(item.ours, item.theirs) for item in facts.differences] == [(10, 4)]
        (told,) = [told for told in pipeline.told() if told.differences]
        assert [(item.symbol, item.ours, item.theirs) for item in told.differences] == [(RELIANCE, 10, 4)]
        assert pipeline.refusal(await pipeline.buy("1")) is Code.NOT_RECONCILED
        assert pipeline.refusal(await pipeline.sell("5")) is Code.NOT_RECONCILED  # the broker has 4
        assert pipeline.refusal(await pipeline.buy("5", symbol=TCS)) is None
        assert pipeline.refusal(await pipeline.sell("3")) is None
        pipeline.core.catch_up()
        await pipeline.advance(EACH + 2 * CONFIRM)
        assert pipeline.told()[-1].differences == []
        assert pipeline.refusal(await pipeline.buy("1")) is None
        await pipeline.advance(EACH)
        pipeline.check()


async def test_nothing_grows_on_a_comparison_that_is_too_old_but_what_shrinks_goes_on() -> None:
    async with account() as pipeline:
        await pipeline.until_reconciled()
        await pipeline.buy("10")
        pipeline.core.broken_portfolios = 1_000_000
        await pipeline.advance(310)
        assert pipeline.refusal(await pipeline.buy("1")) is Code.NOT_RECONCILED
        assert pipeline.refusal(await pipeline.sell("4")) is None
        pipeline.core.broken_portfolios = 0
        await pipeline.advance(EACH)
        assert pipeline.refusal(await pipeline.buy("1")) is None


# -------------------------------------------------------------------------------------------------------- adopting


async def difference(pipeline: Account) -> None:
    """What the broker holds changes, and no order of its book says why."""
    await pipeline.until_reconciled()
    await pipeline.buy("10")
    pipeline.core.hold(TOKEN, RELIANCE, Decimal(7), Decimal(90))
    await pipeline.advance(EACH + 2 * CONFIRM)


async def test_a_difference_that_a_person_adopts_is_booked_once_at_the_brokers_average() -> None:
    async with account() as pipeline:
        await difference(pipeline)
        await adopt(pipeline, times=3)
        await pipeline.advance(EACH)
        (entry,) = await pipeline.external()
        assert (entry.code, entry.filled_quantity, entry.message) == (
            Code.ADOPTED,
            7,
            "by hand (ann): seen at the broker",
        )
        assert (pipeline.held(), pipeline.own("alpha"), pipeline.own("external")) == (17, 10, 7)
        facts = await pipeline.facts()
        assert facts is not None
        assert facts.differences == ()
        assert pipeline.refusal(await pipeline.buy("1")) is None


@pytest.mark.parametrize("harm", [Harm.KILL_BEFORE, Harm.KILL_AFTER, Harm.LOSE_REPLY])
@pytest.mark.parametrize("operation", ["journal.orphan", "producer.send", "journal.put_facts"])
async def test_whoever_dies_while_adopting_it_is_booked_once(operation: str, harm: Harm) -> None:
    async with account() as pipeline:
        await difference(pipeline)
        await adopt(pipeline)
        pipeline.taps.plan(TRACKER, operation, harm)
        await pipeline.advance(2 * EACH)
        assert not pipeline.taps.pending
        assert len(await pipeline.external()) == 1
        assert pipeline.held() == 17
        assert pipeline.refusal(await pipeline.buy("1")) is None


async def test_a_difference_that_is_gone_is_not_booked_whatever_was_asked() -> None:
    async with account() as pipeline:
        await difference(pipeline)
        await pipeline.kill(TRACKER, restart=False)
        await adopt(pipeline)
        pipeline.core.hold(TOKEN, RELIANCE, Decimal(0), Decimal(90))
        await pipeline.revive(TRACKER)
        await pipeline.advance(2 * EACH)
        assert await pipeline.external() == []
        pipeline.check()


async def test_a_trade_that_shows_up_after_it_was_adopted_is_one_more_difference() -> None:
    async with account() as pipeline:
        await difference(pipeline)
        await adopt(pipeline)
        await pipeline.advance(EACH)
        pipeline.core.hold(TOKEN, RELIANCE, Decimal(0), Decimal(90))  # it was a trade of today after all ...
        pipeline.by_hand(Side.BUY, "7", "90")  # ... which its book shows only now
        await pipeline.advance(EACH + 3 * CONFIRM)
        facts = await pipeline.facts()
        assert facts is not None
        assert [(item.ours, item.theirs) for item in facts.differences] == [(24, 17)]
        assert pipeline.refusal(await pipeline.buy("1")) is Code.NOT_RECONCILED
        await adopt(pipeline)
        await pipeline.advance(EACH)
        assert pipeline.held() == 17
        assert pipeline.own("alpha") == 10  # what others had bought is what others lose first
        assert pipeline.refusal(await pipeline.buy("1")) is None


async def test_what_is_adopted_of_a_position_that_is_gone_is_taken_from_who_held_it() -> None:
    async with account() as pipeline:
        await pipeline.until_reconciled()
        await pipeline.buy("10")
        await pipeline.buy("5", "beta")
        pipeline.core.hold(TOKEN, RELIANCE, Decimal(-12), Decimal(100))
        await pipeline.advance(EACH + 2 * CONFIRM)
        await adopt(pipeline)
        await pipeline.advance(EACH)
        assert (pipeline.held(), pipeline.own("alpha"), pipeline.own("beta")) == (3, 2, 1)
        assert pipeline.refusal(await pipeline.sell("2")) is None
        await pipeline.advance(2)
        assert (pipeline.held(), pipeline.own("alpha")) == (1, 0)


# -------------------------------------------------------------------------------------- day, store, login and user


async def test_a_new_trading_day_is_compared_anew() -> None:
    async with account() as pipeline:
        await pipeline.until_reconciled()
        await pipeline.buy("10")
        await pipeline.advance(EACH)
        pipeline.core.change_day("2026-01-05", pipeline.clock.now())
        pipeline.core.broken_portfolios = 1_000_000
        await pipeline.clock.advance(66 * HOUR)  # Monday, 08:15 in Mumbai
        facts = await pipeline.facts()
        assert facts is not None
        assert not facts.reconciled
        pipeline.core.broken_portfolios = 0
        facts = await pipeline.until_reconciled()
        assert facts.trading_day == "2026-01-05"
        pipeline.check()


async def test_an_order_tracker_that_starts_compares_before_anything_grows() -> None:
    async with account() as pipeline:
        await pipeline.until_reconciled()
        await pipeline.buy("10")
        pipeline.core.broken_portfolios = 1_000
        await pipeline.kill(TRACKER)
        await pipeline.advance(2)
        assert pipeline.refusal(await pipeline.buy("1")) is Code.NOT_RECONCILED
        pipeline.core.broken_portfolios = 0
        await pipeline.until_reconciled()
        assert pipeline.refusal(await pipeline.buy("1")) is None
        await pipeline.advance(EACH)
        pipeline.check()


async def test_without_a_token_nothing_is_ordered_and_a_new_one_is_found_by_itself() -> None:
    core = BrokerAccount()
    async with account(core) as pipeline:
        core.token_until = pipeline.clock.now() + 60 * NS
        await pipeline.until_reconciled()
        assert pipeline.refusal(await pipeline.buy("10")) is None
        await pipeline.advance(70)
        core.token_problem = "the session has expired"  # noqa: S105 - words
        gone = await pipeline.buy("1")
        assert pipeline.refusal(gone) is Code.ACCESS_TOKEN_EXPIRED
        facts = await pipeline.facts()
        assert facts is not None
        assert (facts.token_valid_until, facts.token_problem) == (core.token_until, "the session has expired")
        await pipeline.advance(400)
        core.token_until, core.token_problem = pipeline.clock.now() + HOUR * NS, ""
        await pipeline.advance(2)
        await pipeline.until_reconciled()
        facts = await pipeline.facts()
        assert facts is not None
        assert (facts.token_valid_until, facts.token_problem) == (core.token_until, "")
        assert pipeline.refusal(await pipeline.buy("1")) is None
        await pipeline.advance(EACH)
        pipeline.check()


async def test_the_engine_asks_for_the_token_once_more_before_it_sends() -> None:
    core = BrokerAccount()
    async with account(core) as pipeline:
        core.token_until = pipeline.clock.now() + HOUR * NS
        await pipeline.until_reconciled()
        await pipeline.kill(TRACKER, restart=False)  # risk hears no more of the token
        core.token_until = pipeline.clock.now()
        signal = await pipeline.buy("10")
        assert pipeline.refusal(signal) is Code.ACCESS_TOKEN_EXPIRED
        assert core.placed() == {}


async def test_a_second_account_of_the_same_user_does_not_trade() -> None:
    async with account() as pipeline:
        await pipeline.until_reconciled()
        lease = pipeline.run.ports.lease
        name = broker_user_lease(pipeline.core.user)
        assert await lease.acquire(name, "another", 10) is None
        await pipeline.kill(TRACKER, restart=False)
        await pipeline.advance(15)
        epoch = await lease.acquire(name, "another", 3600)
        assert epoch is not None
        await pipeline.revive(TRACKER)
        await pipeline.advance(5)
        facts = await pipeline.facts()
        assert facts is not None
        assert "another account" in facts.problem
        assert pipeline.refusal(await pipeline.buy("10")) is Code.NOT_RECONCILED
        await lease.release(name, "another", epoch)
        await pipeline.until_reconciled()
        assert pipeline.refusal(await pipeline.buy("10")) is None


async def test_after_the_store_came_back_empty_nothing_is_opened_a_second_time() -> None:
    async with account(holding()) as pipeline:
        await pipeline.until_reconciled()
        await pipeline.buy("10")
        await pipeline.advance(EACH)
        before = pipeline.snapshot()
        pipeline.stores().database.restart(EMPTY_IMAGE)
        await pipeline.advance(60)
        facts = await pipeline.until_reconciled()
        assert facts.opening == ()
        assert facts.differences == ()
        await pipeline.advance(2)
        assert {v.symbol: v.quantity for v in pipeline.snapshot().positions.values()} == {
            v.symbol: v.quantity for v in before.positions.values()
        }
        assert pipeline.snapshot().cash == pipeline.core.portfolio(pipeline.clock.now()).cash


# ----------------------------------------------------------------------------------------------------------- money


async def test_an_order_must_be_covered_by_the_brokers_cash_too() -> None:
    core = BrokerAccount(cash=Decimal(1_000))
    async with account(core) as pipeline:
        await pipeline.until_reconciled()
        assert pipeline.refusal(await pipeline.buy("9")) is None
        assert (
            pipeline.refusal(await pipeline.buy("2")) is Code.INSUFFICIENT_FUNDS
        )  # 100 are left, 200 wanted
        await pipeline.sell("9")
        core._cash -= Decimal(600)  # paid out: our book knows nothing of it
        await pipeline.advance(2 * EACH)
        assert pipeline.refusal(await pipeline.buy("5")) is Code.INSUFFICIENT_FUNDS
        assert pipeline.refusal(await pipeline.buy("3")) is None


async def test_what_rests_at_the_broker_is_not_counted_against_its_cash_twice_for_long() -> None:
    core = BrokerAccount(cash=Decimal(1_000))
    async with account(core) as pipeline:
        await pipeline.until_reconciled()
        core.set_price(TOKEN, Decimal(100), pipeline.clock.now())
        resting = await pipeline.buy("4", order_type=OrderType.LIMIT, limit="90", validity=Validity.DAY)
        assert pipeline.refusal(resting) is None
        await pipeline.advance(2 * EACH)
        facts = await pipeline.facts()
        assert facts is not None
        assert facts.cash == 640
        assert pipeline.refusal(await pipeline.buy("6")) is None
