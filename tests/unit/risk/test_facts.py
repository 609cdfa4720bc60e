"""What the gate is told about a signal, through the running service."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.adapters.memory.prices import MemoryPriceCache
from alpha_panda.contracts.enums import EntryState, SignalClass, TradingState
from alpha_panda.contracts.scopes import PLATFORM, account_scope, strategy_scope
from alpha_panda.errors import UndecodableRecordError
from alpha_panda.risk.reserve import Reserve
from alpha_panda.testing.taps import Harm
from unit.risk.world import ACCOUNT, BUY, RELIANCE, SELL, TCS, RiskWorld, documents, signal


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> set[int]:
    """Tokens whose price is no price of ours: who asks for one among others is told so, and nothing of the others."""
    bad: set[int] = set()
    for name in ("read_many", "readings"):
        ask = getattr(MemoryPriceCache, name)

        async def asked(
            self: MemoryPriceCache, feed: str, tokens: Sequence[int], ask: Any = ask
        ) -> Mapping[int, Any]:
            if bad & set(tokens):
                raise UndecodableRecordError("redis: what price holds is not ours")
            found: Mapping[int, Any] = await ask(self, feed, tokens)
            return found

        monkeypatch.setattr(MemoryPriceCache, name, asked)
    return bad


SCOPES = (PLATFORM, account_scope(ACCOUNT), strategy_scope("alpha"))


class TestPrices:
    async def test_a_cache_that_does_not_answer_is_as_good_as_no_price(self, clock: VirtualClock) -> None:
        world = await RiskWorld(clock).open()
        async with world.running():
            world.plan("prices.readings", Harm.REFUSE)
            await world.signal("s1")
            await world.signal("s2")
            assert world.codes() == {"s1": "PRICE_MISSING"}

    @pytest.mark.parametrize("bad", [{RELIANCE}, {RELIANCE, TCS}])
    async def test_a_price_that_can_not_be_read_is_as_good_as_none_and_takes_no_other_along(
        self, clock: VirtualClock, unreadable: set[int], bad: set[int]
    ) -> None:
        world = await RiskWorld(clock).open()
        async with world.running() as task:
            unreadable |= bad
            pairs = [("s1", RELIANCE), ("s2", TCS), ("s3", RELIANCE)]
            await world.put(*(world.raw(signal(name, token=token)) for name, token in pairs))
            missing = {name: "PRICE_MISSING" for name, token in pairs if token in bad}
            assert world.codes() == missing
            assert world.letters(world.topics.signals_raw) == []
            assert not task.done()

    async def test_what_is_held_keeps_its_last_value_while_its_price_can_not_be_read(
        self, clock: VirtualClock, unreadable: set[int]
    ) -> None:
        """10 of each at 100; the one is 110 now, of the other nobody knows: 1,000,100, and not less."""
        world = await RiskWorld(clock).open()
        async with world.running() as task:
            await world.fill(await world.signal("s1"))
            await world.fill(await world.signal("s2", token=TCS))
            await world.pass_seconds(1)
            unreadable |= {RELIANCE}
            await world.price({RELIANCE: 1.0, TCS: 110.0})
            await world.pass_seconds(2)
            assert world.services["risk"].get_status().details["equity"] == "1000100"
            assert not task.done()

    async def test_no_price_no_order(self, clock: VirtualClock) -> None:
        world = await RiskWorld(clock).open(prices=False)
        async with world.running():
            await world.signal("s1")
            assert world.codes() == {"s1": "PRICE_MISSING"}

    async def test_an_old_price_no_order(self, clock: VirtualClock) -> None:
        world = await RiskWorld(clock, documents(risk={"quoteMaxAgeSeconds": 5})).open()
        async with world.running():
            await world.pass_seconds(5)
            await world.signal("in time")
            await world.pass_seconds(1)
            await world.signal("late")
            assert world.codes() == {"late": "PRICE_STALE"}

    @pytest.mark.parametrize("price", [float("nan"), float("inf")])
    async def test_a_price_that_is_no_number_neither_kills_nor_values(
        self, clock: VirtualClock, price: float
    ) -> None:
        world = await RiskWorld(clock, documents(risk={"maxGrossExposure": "100000"})).open()
        async with world.running() as task:
            await world.fill(await world.signal("s1"))
            await world.price({RELIANCE: price})
            await world.signal("s2", token=TCS)
            await world.signal("s3")
            await world.pass_seconds(2)
            assert not task.done()
            assert world.codes() == {"s3": "PRICE_MISSING"}
            assert world.books()[-1].equity == 1_000_000

    async def test_what_is_held_is_valued_at_last_prices(self, clock: VirtualClock) -> None:
        """10 at 100, now at 150: with 5 more of the other at 100 the exposure would be 2,000."""
        world = await RiskWorld(clock, documents(risk={"maxGrossExposure": "1999"})).open()
        async with world.running():
            await world.fill(await world.signal("s1"))
            await world.price({RELIANCE: 150.0})
            await world.signal("s2", BUY, 5, token=TCS)
            await world.signal("s3", BUY, 4, token=TCS)
            assert world.codes() == {"s2": "MAX_GROSS_EXPOSURE"}

    async def test_a_short_is_backed_at_its_price_of_now(self, clock: VirtualClock) -> None:
        """3,000 and 1,000 from the sale; 10 short at 150 take 2 x 1,500: 1,000 are free."""
        world = await RiskWorld(clock, documents(paper={"cash": "3000"})).open()
        async with world.running():
            await world.fill(await world.signal("s1", SELL, 10))
            await world.price({RELIANCE: 150.0})
            await world.signal("s2", BUY, 11, token=TCS)
            await world.signal("s3", BUY, 10, token=TCS)
            assert world.codes() == {"s2": "INSUFFICIENT_FUNDS"}

    async def test_another_strategys_long_backs_no_short(self, clock: VirtualClock) -> None:
        """Else the long could be sold, which no limit stops, and the short were left bare."""
        world = await RiskWorld(clock, documents(paper={"cash": "3000"})).open()
        async with world.running():
            await world.fill(await world.signal("s1", BUY, 10))
            await world.fill(await world.signal("s2", SELL, 10, strategy="beta"))
            await world.signal("s3", SELL, 11, strategy="beta")
            await world.signal("s4", SELL, 10, strategy="beta")
            assert world.codes() == {"s3": "INSUFFICIENT_FUNDS"}

    async def test_a_position_in_what_left_the_manifest_is_valued_and_harms_nothing(
        self, clock: VirtualClock
    ) -> None:
        manifests = documents(instruments=["NSE:TCS"], risk={"maxGrossExposure": "1000000"})
        world = await RiskWorld(clock, manifests).open()
        async with world.running() as task:
            await world.fill(signal("s0", token=RELIANCE))
            await world.price({RELIANCE: 110.03})
            await world.signal("s1", token=TCS)
            await world.pass_seconds(2)
            await world.restart()
            assert task.done()
            assert world.told() == [("s1", "VALIDATED_SIGNAL")]
            assert world.letters(world.topics.signals_raw) == []
            assert str(world.books()[-1].equity) == "1000100.3"


class TestDoubt:
    @pytest.mark.parametrize("state", [EntryState.UNKNOWN, EntryState.SENDING])
    async def test_an_increasing_order_waits_for_what_is_in_doubt_on_its_key(
        self, clock: VirtualClock, state: EntryState
    ) -> None:
        world = await RiskWorld(clock).open()
        async with world.running():
            await world.doubt(signal("d"), state=state)
            await world.signal("same key")
            await world.signal("other instrument", token=TCS)
            await world.signal("other strategy", strategy="beta")
            assert world.codes() == {"same key": "IN_DOUBT"}

    async def test_a_reducing_one_does_not(self, clock: VirtualClock) -> None:
        world = await RiskWorld(clock).open()
        async with world.running():
            await world.fill(await world.signal("s1"))
            await world.doubt(signal("d"))
            await world.signal("s2", SELL)
            assert (await world.stored("s2")).signal_class is SignalClass.REDUCING
            assert world.codes() == {}

    async def test_what_is_settled_is_in_doubt_no_more(self, clock: VirtualClock) -> None:
        world = await RiskWorld(clock).open()
        async with world.running():
            await world.doubt(signal("d"), state=EntryState.FAILED)
            await world.signal("s1")
            assert world.codes() == {}


class TestStates:
    @pytest.mark.parametrize("scope", SCOPES)
    async def test_each_scope_halts(self, clock: VirtualClock, scope: str) -> None:
        world = await RiskWorld(clock).open()
        async with world.running():
            await world.ports.control.put_spec(scope, TradingState.HALTED, 1e6)
            await world.signal("s1")
            assert world.codes() == {"s1": "TRADING_HALTED"}

    @pytest.mark.parametrize("scope", SCOPES)
    async def test_a_missing_key_halts(self, clock: VirtualClock, scope: str) -> None:
        world = await RiskWorld(clock).open()
        async with world.running():
            await world.ports.control.drop_spec(scope)
            await world.signal("s1")
            assert world.codes() == {"s1": "TRADING_HALTED"}

    async def test_a_control_store_that_does_not_answer_decides_nothing(self, clock: VirtualClock) -> None:
        world = await RiskWorld(clock).open()
        async with world.running():
            world.plan("control.read", Harm.REFUSE)
            await world.signal("s1")
            assert await world.end() is not None
            assert world.told() == []
            await world.start()
            assert world.told() == [("s1", "VALIDATED_SIGNAL")]


class TestAllowed:
    async def test_a_strategy_that_no_manifest_names_is_refused(self, clock: VirtualClock) -> None:
        world = await RiskWorld(clock).open()
        async with world.running():
            await world.ports.control.put_spec(strategy_scope("gamma"), TradingState.ACTIVE, 1e6)
            await world.signal("s1", strategy="gamma")
            assert world.codes() == {"s1": "STRATEGY_NOT_ACCEPTED"}

    async def test_a_strategy_that_the_account_does_not_accept_is_refused(self, clock: VirtualClock) -> None:
        world = await RiskWorld(clock, documents(acceptStrategies=["beta"])).open()
        async with world.running():
            await world.signal("s1")
            await world.signal("s2", strategy="beta")
            assert world.codes() == {"s1": "STRATEGY_NOT_ACCEPTED"}

    async def test_an_unknown_token_is_refused(self, clock: VirtualClock) -> None:
        world = await RiskWorld(clock).open()
        async with world.running():
            await world.signal("s1", instrument_token=5)
            assert world.codes() == {"s1": "INSTRUMENT_UNKNOWN"}


class TestPace:
    async def test_reducing_orders_take_nothing_from_the_rate(self, clock: VirtualClock) -> None:
        world = await RiskWorld(clock, documents(risk={"maxOrdersPerMinute": 2})).open()
        async with world.running():
            await world.fill(await world.signal("s1"))
            for n in range(3):
                await world.fill(await world.signal(f"r{n}", SELL, 2))
            await world.signal("s2", token=TCS)
            await world.signal("s3", token=TCS)
            assert world.codes() == {"s3": "RATE_LIMIT"}

    async def test_it_is_remembered_over_a_restart_and_ends_with_the_day(self, clock: VirtualClock) -> None:
        world = await RiskWorld(clock, documents(risk={"maxOrdersPerDay": 1})).open()
        async with world.running():
            await world.signal("s1")
            await world.restart()
            await world.signal("s2")
            await world.clock.advance(86_400)
            await world.price({RELIANCE: 100.0})
            await world.signal("s3")
            assert world.codes() == {"s2": "RATE_LIMIT"}

    async def test_a_loop_latches_its_strategy_and_counts_refused_signals(self, clock: VirtualClock) -> None:
        risk = {"runaway": {"signals": 3, "seconds": 10}, "maxOrderQuantity": "1"}
        world = await RiskWorld(clock, documents(risk=risk)).open()
        async with world.running():
            for n in range(4):
                await world.signal(f"s{n}")
            assert [code for _, code in sorted(world.codes().items())] == ["MAX_ORDER_QUANTITY"] * 4
            (latch,) = (await world.latches(strategy_scope("alpha"))).values()
            assert latch.latch_id.startswith("runaway-loop-2026-01-02-")
            assert latch.state is TradingState.HALTED
            assert latch.reason == "3 like signals within 10.0 s"
            assert await world.latches(strategy_scope("beta")) == await world.latches() == {}
            assert world.controls() == [("strategy/alpha", latch.latch_id, "Halted")]

    async def test_a_slow_repetition_is_no_loop(self, clock: VirtualClock) -> None:
        world = await RiskWorld(clock, documents(risk={"runaway": {"signals": 3, "seconds": 10}})).open()
        async with world.running():
            for n in range(4):
                await world.signal(f"s{n}")
                await world.pass_seconds(5)
            assert world.codes() == {}

    async def test_a_loop_that_restarts_risk_is_still_one(self, clock: VirtualClock) -> None:
        world = await RiskWorld(clock, documents(risk={"runaway": {"signals": 3, "seconds": 10}})).open()
        async with world.running():
            for n in range(3):
                await world.signal(f"s{n}")
                await world.restart()
            assert world.codes() == {"s2": "RUNAWAY_LOOP"}

    @pytest.mark.parametrize("harm", [Harm.KILL_BEFORE, Harm.KILL_AFTER])
    @pytest.mark.parametrize("operation", ["control.set_latch", "decisions.record"])
    async def test_who_dies_while_latching_a_loop_latches_and_refuses_after_the_restart(
        self, clock: VirtualClock, operation: str, harm: Harm
    ) -> None:
        world = await RiskWorld(clock, documents(risk={"runaway": {"signals": 2, "seconds": 10}})).open()
        async with world.running():
            await world.signal("s1")
            world.plan(operation, harm)
            await world.signal("s2")
            await world.restart()
            assert world.codes() == {"s2": "RUNAWAY_LOOP"}
            assert len(await world.latches(strategy_scope("alpha"))) == 1


async def test_of_a_paper_account_nothing_is_kept_for_a_brokers_cash(
    clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nobody reads what was kept nobody forgets it: a process lives for days."""
    noted: list[object] = []
    monkeypatch.setattr(Reserve, "note", lambda _, decision: noted.append(decision))
    world = await RiskWorld(clock).open()
    async with world.running():
        await world.signal("s1")
        assert world.codes() == {}
        assert [decision for decision, _ in world.told()]
    assert noted == []
