"""The desk's latches and books, through the running service."""

import asyncio
from collections.abc import Iterable
from decimal import Decimal

import pytest
from structlog.testing import capture_logs

from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.contracts.enums import OrderStatus, TradingState
from alpha_panda.contracts.events import ControlChanged, PortfolioSnapshot
from alpha_panda.contracts.scopes import account_scope, scopes_of, strategy_scope
from alpha_panda.contracts.stored import Latch
from alpha_panda.errors import DependencyUnavailableError
from alpha_panda.testing.taps import Harm
from unit.risk.world import (
    ACCOUNT,
    BUY,
    RELIANCE,
    SELL,
    TCS,
    Document,
    RiskWorld,
    documents,
    filled,
    signal,
    update,
)

SCOPE, ALPHA = account_scope(ACCOUNT), strategy_scope("alpha")
DAY = "2026-01-02"
DAY_SECONDS = 86_400


async def limited(
    clock: VirtualClock, risk: Document | None = None, strategy: Document | None = None
) -> RiskWorld:
    return await RiskWorld(clock, documents(risk=risk, strategy_risk=strategy)).open()


class TestContradictions:
    @pytest.mark.parametrize("status", [OrderStatus.LOST, OrderStatus.FAILED, OrderStatus.CANCELLED])
    @pytest.mark.parametrize("late", [True, False])
    async def test_latch_two_ends_of_one_order_halt_the_account_whichever_is_told_first(
        self, clock: VirtualClock, status: OrderStatus, *, late: bool
    ) -> None:
        world = await limited(clock)
        async with world.running():
            made = await world.signal("s1")
            events = [world.order(filled(made)), world.order(update(made, status))]
            for record in reversed(events) if late else events:
                await world.put(record)
            (latch,) = (await world.latches()).values()
            assert latch.latch_id == f"contradiction-{filled(made).order_id}"
            assert (latch.state, latch.set_by) == (TradingState.HALTED, "risk")
            assert world.controls() == [(SCOPE, latch.latch_id, "Halted")]
            assert world.books()[-1].positions["NSE:RELIANCE"].quantity == 10

    async def test_latch_a_fill_of_what_risk_rejected_halts_the_account(self, clock: VirtualClock) -> None:
        world = await limited(clock)
        async with world.running():
            made = await world.signal("s1", quantity="0.5")
            with capture_logs() as logs:
                await world.fill(made)
            assert len(await world.latches()) == 1
            assert "order_contradiction" in [
                entry["event"] for entry in logs if entry["log_level"] == "error"
            ]

    async def test_nothing_contradicts_in_an_ordinary_life(self, clock: VirtualClock) -> None:
        world = await limited(clock)
        async with world.running():
            made = await world.signal("s1")
            await world.put(world.order(update(made, OrderStatus.PLACED)))
            await world.fill(made, 100, 4)
            await world.put(world.order(update(made, OrderStatus.CANCELLED, filled_quantity=4, price=100)))
            assert await world.latches() == {}

    @pytest.mark.parametrize("operation", ["control.set_latch", "producer.send", "decisions.save"])
    @pytest.mark.parametrize("harm", [Harm.KILL_BEFORE, Harm.KILL_AFTER])
    async def test_the_latch_is_set_and_told_before_the_fold_is_stored(
        self, clock: VirtualClock, operation: str, harm: Harm
    ) -> None:
        world = await limited(clock)
        async with world.running():
            made = await world.signal("s1", quantity="0.5")
            world.plan(operation, harm)
            await world.fill(made)
            if (await world.claimed()).folds:
                assert await world.latches()
                assert world.controls()
            await world.restart()
            (latch_id,) = await world.latches()
            assert world.controls() == [(SCOPE, latch_id, "Halted")]
            assert list((await world.claimed()).folds) == ["s1"]


def causes(latches: Iterable[str]) -> list[str]:
    """What latches' ids begin with: code and day. What follows is the time, so that none is used twice."""
    return [latch_id.rpartition("-")[0] for latch_id in latches]


class TestLossLatches:
    async def test_daily_loss_of_the_account_is_latched_once_with_its_reason(
        self, clock: VirtualClock
    ) -> None:
        """Bought 10 at 100: at 90 the loss is 100."""
        world = await limited(clock, {"maxDailyLoss": "100"})
        async with world.running():
            await world.fill(await world.signal("s1"))
            await world.price({RELIANCE: 90.05})
            await world.pass_seconds(2)
            assert await world.latches() == {}
            await world.price({RELIANCE: 90.0})
            await world.pass_seconds(5)
            assert causes(await world.latches()) == [f"daily-loss-{DAY}"]
            (latch,) = (await world.latches()).values()
            assert latch.reason == "the day's loss 100 reached maxDailyLoss 100"
            assert latch.state is TradingState.REDUCING
            (event,) = world.events(world.topics.control)
            assert event.data == ControlChanged(
                scope=SCOPE,
                latch_id=latch.latch_id,
                state=latch.state,
                action="set",
                reason=latch.reason,
                set_by="risk",
            )
            assert event.ts == latch.set_at
            (record,) = [record for record in world.records if record.topic == world.topics.control]
            assert record.key == f"{SCOPE}/{latch.latch_id}"

    async def test_drawdown_is_the_fall_from_the_days_peak(self, clock: VirtualClock) -> None:
        world = await limited(clock, {"maxDrawdown": "100"})
        async with world.running():
            await world.fill(await world.signal("s1"))
            await world.price({RELIANCE: 115.0})
            await world.pass_seconds(1)
            await world.price({RELIANCE: 105.0})
            await world.pass_seconds(1)
            assert causes(await world.latches()) == [f"drawdown-{DAY}"]

    async def test_the_latch_of_a_strategy_is_of_all_its_accounts(self, clock: VirtualClock) -> None:
        """As `StrategyRisk` says: its scope names no account."""
        world = await limited(clock, strategy={"maxDailyLoss": "100"})
        async with world.running():
            await world.fill(await world.signal("s1"))
            await world.price({RELIANCE: 90.0})
            await world.pass_seconds(1)
            (reading,) = await world.ports.control.read(scopes_of("another-account", "alpha")[2:])
            assert causes([latch.latch_id for latch in reading.latches]) == [f"daily-loss-{DAY}"]

    async def test_a_strategys_limits_bind_its_own_book_alone(self, clock: VirtualClock) -> None:
        world = await limited(clock, strategy={"maxDailyLoss": "100"})
        async with world.running():
            await world.fill(await world.signal("s1"))
            await world.fill(await world.signal("s2", token=TCS, strategy="beta"))
            await world.price({RELIANCE: 90.0})
            await world.pass_seconds(1)
            assert causes(await world.latches(ALPHA)) == [f"daily-loss-{DAY}"]
            assert await world.latches(strategy_scope("beta")) == await world.latches() == {}
            await world.signal("s3")
            await world.signal("s4", token=TCS, strategy="beta")
            assert world.codes() == {"s3": "DAILY_LOSS"}

    async def test_it_stays_when_the_manifest_says_active_again(self, clock: VirtualClock) -> None:
        world = await limited(clock, {"maxDailyLoss": "100"})
        async with world.running():
            await self.lose(world)
            await world.ports.control.put_spec(SCOPE, TradingState.ACTIVE, 1e6)
            await world.restart()
            await world.pass_seconds(2)
            assert causes(await world.latches()) == [f"daily-loss-{DAY}"]
            assert world.books()[-1].trading_state is TradingState.REDUCING
            assert len({event.id for event in world.events(world.topics.control)}) == 1

    async def test_a_loss_that_stands_is_latched_again_under_an_id_that_was_never_used(
        self, clock: VirtualClock
    ) -> None:
        """A manifest in git that names the first id must not clear the second."""
        world = await limited(clock, {"maxDailyLoss": "100"})
        async with world.running():
            await self.lose(world)
            (first,) = await world.latches()
            assert await world.ports.control.clear_latch(SCOPE, first)
            await world.pass_seconds(2)
            (second,) = await world.latches()
            assert causes([first]) == causes([second])
            assert first != second
            await world.restart()
            await world.pass_seconds(2)
            assert list(await world.latches()) == [second]

    async def test_it_clears_only_by_its_id_and_never_by_itself(self, clock: VirtualClock) -> None:
        world = await limited(clock, {"maxDailyLoss": "100"})
        async with world.running():
            await self.lose(world)
            await world.pass_seconds(2)
            await world.clock.advance(DAY_SECONDS)
            await world.price({RELIANCE: 100.0})
            await world.pass_seconds(2)
            (latch_id,) = await world.latches()
            assert not await world.ports.control.clear_latch(SCOPE, "daily-loss")
            assert not await world.ports.control.clear_latch(SCOPE, f"daily-loss-{DAY}")
            assert causes(await world.latches()) == [f"daily-loss-{DAY}"]
            assert await world.ports.control.clear_latch(SCOPE, latch_id)
            await world.pass_seconds(2)
            assert await world.latches() == {}

    async def test_yesterdays_loss_refuses_nothing_of_a_flat_account_today(self, clock: VirtualClock) -> None:
        world = await limited(clock, {"maxDailyLoss": "100"})
        async with world.running():
            await self.lose(world)
            await world.fill(await world.signal("close", SELL), 90)
            await world.signal("today")
            await world.clock.advance(DAY_SECONDS)
            (latch_id,) = await world.latches()
            assert await world.ports.control.clear_latch(SCOPE, latch_id)
            await world.price({RELIANCE: 90.0})
            await world.signal("tomorrow")
            assert world.codes() == {"today": "DAILY_LOSS"}

    async def test_the_next_signal_of_the_same_batch_knows_the_loss(self, clock: VirtualClock) -> None:
        world = await limited(clock, {"maxDailyLoss": "100"})
        async with world.running():
            first = await world.signal("s1")
            await world.price({RELIANCE: 80.0})
            await world.put(world.order(filled(first)), world.raw(signal("s2")))
            assert world.codes() == {"s2": "DAILY_LOSS"}

    @pytest.mark.parametrize("operation", ["control.set_latch", "producer.send", "decisions.save"])
    @pytest.mark.parametrize("harm", [Harm.KILL_BEFORE, Harm.KILL_AFTER])
    async def test_who_dies_while_latching_latches_after_the_restart(
        self, clock: VirtualClock, operation: str, harm: Harm
    ) -> None:
        world = await limited(clock, {"maxDailyLoss": "100"})
        async with world.running():
            made = await world.signal("s1")
            await world.price({RELIANCE: 80.0})
            world.plan(operation, harm)
            await world.fill(made)
            await world.restart()
            assert causes(await world.latches()) == [f"daily-loss-{DAY}"]
            (latch_id,) = await world.latches()
            assert world.controls() == [(SCOPE, latch_id, "Reducing")]

    async def lose(self, world: RiskWorld) -> None:
        await world.fill(await world.signal("s1"))
        await world.price({RELIANCE: 90.0})
        await world.pass_seconds(2)
        assert causes(await world.latches()) == [f"daily-loss-{DAY}"]


class TestDays:
    async def test_a_peak_between_two_events_survives_a_restart(self, clock: VirtualClock) -> None:
        """The peak of 120 was only ever seen by a mark; without it the fall to 105 would be none."""
        world = await limited(clock, {"maxDrawdown": "100"})
        async with world.running():
            await world.fill(await world.signal("s1"))
            await world.price({RELIANCE: 120.0})
            await world.pass_seconds(1)
            await world.kill()
            await world.price({RELIANCE: 105.0})
            await world.start()
            await world.pass_seconds(1)
            assert causes(await world.latches()) == [f"drawdown-{DAY}"]

    async def test_a_silent_price_cache_is_neither_a_loss_nor_a_peak(self, clock: VirtualClock) -> None:
        """Valued at its cost of 100 while the cache is silent, the position would fall from 120 by 200."""
        world = await limited(clock, {"maxDrawdown": "100"})
        async with world.running():
            await world.fill(await world.signal("s1"))
            await world.price({RELIANCE: 120.0})
            await world.pass_seconds(1)
            world.taps.plan("risk", "prices.read_many", Harm.REFUSE, times=3)
            await world.pass_seconds(3)
            assert await world.latches() == {}

    async def test_a_silent_price_cache_hides_no_loss(self, clock: VirtualClock) -> None:
        world = await limited(clock, {"maxDailyLoss": "100"})
        async with world.running():
            await world.fill(await world.signal("s1"))
            await world.price({RELIANCE: 91.0})
            await world.pass_seconds(1)
            world.taps.plan("risk", "prices.read_many", Harm.REFUSE, times=1000)
            await world.fill(await world.signal("s2", BUY, 1), 110)
            assert causes(await world.latches()) == [f"daily-loss-{DAY}"]

    async def test_the_last_known_prices_survive_a_restart(self, clock: VirtualClock) -> None:
        world = await limited(clock, {"maxDrawdown": "100"})
        async with world.running():
            await world.fill(await world.signal("s1"))
            await world.price({RELIANCE: 120.0})
            await world.pass_seconds(1)
            await world.kill()
            world.taps.plan("risk", "prices.read_many", Harm.REFUSE, times=1000)
            await world.start()
            await world.pass_seconds(2)
            assert world.books()[-1].equity == 1_000_200
            assert await world.latches() == {}

    async def test_a_torn_batch_is_never_saved_by_a_mark(self, clock: VirtualClock) -> None:
        """The latch fails while a mark waits its turn: what was folded must not be stored without the latch."""
        world = await limited(clock)
        async with world.running():
            await world.fill(await world.signal("s0"))
            made = await world.signal("s1", quantity="0.5")
            gate, control = asyncio.Event(), world.ports.control
            working = control.set_latch

            async def broken(latch: Latch) -> None:
                await gate.wait()
                raise DependencyUnavailableError("store", f"{latch.latch_id} not set")

            control.set_latch = broken  # type: ignore[method-assign]
            await world.fill(made)
            await world.pass_seconds(2)
            gate.set()
            assert isinstance(await world.end(), DependencyUnavailableError)
            assert "s1" not in (await world.claimed()).folds
            control.set_latch = working  # type: ignore[method-assign]
            await world.start()
            assert len(await world.latches()) == 1


class TestCalendar:
    async def test_its_end_is_told_at_the_start_and_then_once_a_trading_day(self) -> None:
        """The data end with 2026: 30 days left on the 1st of December."""
        manifests = documents()
        manifests[0]["spec"]["calendar"] = "XBOM"
        clock = VirtualClock(1_796_112_000 * 1_000_000_000)  # 2026-12-01T08:00Z
        world = await RiskWorld(clock, manifests).open()
        with capture_logs() as logs:
            async with world.running():
                await world.pass_seconds(5)
                for _ in range(2):
                    await clock.advance(DAY_SECONDS)
        told = [entry["message"] for entry in logs if entry["event"] == "calendar_ends"]
        assert [f"({left} days left)" in line for left, line in zip((30, 29, 28), told, strict=True)] == [
            True
        ] * 3

    async def test_one_that_goes_on_is_not_spoken_of(self, clock: VirtualClock) -> None:
        world = await limited(clock)
        with capture_logs() as logs:
            async with world.running():
                await world.pass_seconds(2)
        assert [entry for entry in logs if entry["event"] == "calendar_ends"] == []


class TestBooks:
    async def test_the_first_one_holds_the_opening_cash(self, clock: VirtualClock) -> None:
        world = await limited(clock)
        async with world.running():
            (book,) = world.books()
            assert (book.reason, book.opening_cash, book.cash, book.equity) == ("start", *(1_000_000,) * 3)
            assert (book.positions, book.open_orders, book.trading_state) == ({}, 0, TradingState.ACTIVE)

    async def test_it_comes_before_anything_is_decided(self, clock: VirtualClock) -> None:
        world = await limited(clock)
        await world.put(world.raw(signal("s1")))
        async with world.running():
            mine = [r.topic for r in world.records if r.topic != world.topics.signals_raw]
            assert mine == [world.topics.portfolio, world.topics.signals_validated]

    async def test_after_changes_and_at_the_stop_by_hand(self, clock: VirtualClock) -> None:
        """10 at 100 with a fee of 3, then 4 of them sold at 110 with 1; the price is 105."""
        world = await limited(clock)
        async with world.running():
            await world.fill(await world.signal("s1"), fees=Decimal(3))
            await world.fill(await world.signal("s2", SELL, 4), 110, fees=Decimal(1))
            await world.price({RELIANCE: 105.0})
            await world.services["risk"].stop()
            assert [book.reason for book in world.books()] == ["start", "change", "change", "stop"]
            book = world.books()[-1]
            assert book.cash == 1_000_000 - 1000 - 3 + 440 - 1
            assert book.equity == book.cash + 6 * 105
            assert (book.realized_pnl, book.unrealized_pnl, book.fees) == (40, 30, 4)
            assert (book.gross_exposure, book.net_exposure) == (630, 630)
            assert book.positions["NSE:RELIANCE"].last_price == 105
            assert book.strategies["alpha"].positions["NSE:RELIANCE"].quantity == 6

    async def test_repeats_of_nothing_new_publish_the_same_book(self, clock: VirtualClock) -> None:
        world = await limited(clock)
        async with world.running():
            made = await world.signal("s1")
            await world.put(world.order(update(made, OrderStatus.PLACED)))
            assert len(world.books()) == 1

    async def test_it_moves_with_the_prices_between_fills(self, clock: VirtualClock) -> None:
        """10 at 100, then 103: the equity is 30 more; of one that stands still nothing is told."""
        world = await RiskWorld(clock, portfolio_replay_seconds=1).open()
        async with world.running():
            await world.fill(await world.signal("s1"))
            await world.pass_seconds(3)
            assert [book.reason for book in world.books()] == ["start", "change"]
            await world.price({RELIANCE: 103.0})
            await world.pass_seconds(3)
            assert [(book.reason, book.equity) for book in world.books()[2:]] == [("prices", 1_000_030)]
            assert world.services["risk"].get_status().details["equity"] == "1000030"

    async def test_a_replay_tells_moving_prices_once_in_a_while_and_the_status_at_once(
        self, clock: VirtualClock
    ) -> None:
        world = await RiskWorld(clock, portfolio_replay_seconds=20).open()
        async with world.running():
            await world.fill(await world.signal("s1"))
            for second in range(60):
                await world.price({RELIANCE: 101.0 + second % 7})
                await world.pass_seconds(1)
            assert [book.reason for book in world.books()] == ["start", "change", *["prices"] * 3]
            assert world.services["risk"].get_status().details["equity"] == "1000040"

    async def test_on_a_real_clock_every_mark_that_finds_it_moved_tells_it(
        self, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(VirtualClock, "virtual", property(lambda _: False))
        world = await limited(clock)
        async with world.running():
            await world.fill(await world.signal("s1"))
            for price in (101.0, 102.0, 102.0, 103.0):
                await world.price({RELIANCE: price})
                await world.pass_seconds(1)
            assert [book.equity - 1_000_000 for book in world.books()[2:]] == [10, 20, 30]

    async def test_on_a_real_clock_a_burst_of_fills_is_told_at_once_and_then_as_one(
        self, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(VirtualClock, "virtual", property(lambda _: False))
        world = await limited(clock)
        async with world.running():
            for name in ("s1", "s2", "s3"):
                await world.fill(await world.signal(name))
            assert [book.reason for book in world.books()] == ["start", "change"]
            await world.pass_seconds(2)
            assert [book.reason for book in world.books()] == ["start", "change", "change"]
            assert world.books()[-1].positions["NSE:RELIANCE"].quantity == 30

    async def test_a_burst_that_ends_flat_is_told_too(
        self, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(VirtualClock, "virtual", property(lambda _: False))
        world = await limited(clock)
        async with world.running():
            await world.fill(await world.signal("s1", BUY, 10))
            await world.fill(await world.signal("s2", SELL, 10))
            await world.pass_seconds(2)
            assert world.books()[-1].positions["NSE:RELIANCE"].quantity == 0

    async def test_two_strategies_against_each_other_balance(self, clock: VirtualClock) -> None:
        world = await limited(clock)
        async with world.running():
            await world.fill(await world.signal("s1", BUY, 10), 100)
            await world.fill(await world.signal("s2", SELL, 15, strategy="beta"), 104)
            await world.fill(await world.signal("s3", BUY, 3, token=TCS), 33)
            await world.price({RELIANCE: 97.5, TCS: 30.05})
            await world.services["risk"].stop()
            for book in world.books():
                assert balanced(book), book
            assert world.books()[-1].positions["NSE:RELIANCE"].quantity == -5

    async def test_the_open_orders_are_counted(self, clock: VirtualClock) -> None:
        world = await limited(clock)
        async with world.running():
            first = await world.signal("s1")
            await world.signal("s2")
            await world.fill(first)
            assert world.books()[-1].open_orders == 1
            details = world.services["risk"].get_status().details
            assert (details["validated"], details["rejected"], details["open_orders"]) == (2, 0, 1)
            assert details["equity"] == "1000000"

    async def test_a_restart_tells_the_same_book(self, clock: VirtualClock) -> None:
        world = await limited(clock)
        async with world.running():
            await world.fill(await world.signal("s1"))
            await world.restart()
            before, after = world.books()[-2:]
            assert after.reason == "start"
            assert (after.cash, after.equity, after.positions) == (
                before.cash,
                before.equity,
                before.positions,
            )

    async def test_what_never_had_a_price_is_valued_at_cost_and_named(self, clock: VirtualClock) -> None:
        world = await RiskWorld(clock).open(prices=False)
        async with world.running():
            await world.fill(signal("s1"))
            assert world.books()[-1].equity == 1_000_000
            assert world.books()[-1].reason == "change; no price, valued at average: NSE:RELIANCE"


def balanced(book: PortfolioSnapshot) -> bool:
    held = sum(
        (view.quantity * (view.average_price if view.last_price is None else view.last_price))
        for view in book.positions.values()
    )
    pnl = book.realized_pnl + book.unrealized_pnl - book.fees
    return book.equity == book.cash + held == book.opening_cash + pnl
