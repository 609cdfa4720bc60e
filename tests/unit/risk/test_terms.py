"""Limits, venue and strategies are those of the present manifests, whenever they changed; the books stay."""

from typing import Any

from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.contracts.enums import EventType
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.status_details import BookFigures, manifests_problem, risk_strategies
from alpha_panda.risk import service as risk_service
from alpha_panda.runtime.context import ServiceContext
from alpha_panda.runtime.service import StreamService
from unit.risk.world import ACCOUNT, RELIANCE, TCS, RiskWorld, documents

VALIDATED = EventType.VALIDATED_SIGNAL.value


class Changing:
    """Manifests that a test changes."""

    def __init__(self) -> None:
        self.problem: str | None = None
        self.resources = ResourceSet.from_documents(documents())

    def apply(self, **parts: Any) -> None:
        self.resources = ResourceSet.from_documents(documents(**parts))


class LiveWorld(RiskWorld):
    """Risk over manifests that change."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock)
        self.manifests = Changing()

    def build(self, member: str = "risk") -> StreamService:
        ports = self.taps.wrap(member, self.ports)
        return risk_service.build(ServiceContext(self.settings, ports, self.manifests, ACCOUNT, member))

    async def outcome(self, signal_id: str, quantity: int = 10, **changes: Any) -> str:
        await self.signal(signal_id, quantity=quantity, **changes)
        return self.codes().get(signal_id) or dict(self.told())[signal_id]

    def details(self) -> Any:
        return self.services["risk"].get_status().details


async def test_limits_bind_from_the_next_signal_on(clock: VirtualClock) -> None:
    world = LiveWorld(clock)
    await world.open()
    async with world.running():
        assert await world.outcome("a1") == VALIDATED
        world.manifests.apply(risk={"maxOrderQuantity": "5"})
        assert await world.outcome("a2") == "MAX_ORDER_QUANTITY"
        world.manifests.apply(strategy_risk={"maxOrderQuantity": "3"})
        assert await world.outcome("a3", 4) == "MAX_ORDER_QUANTITY"
        world.manifests.apply()
        assert await world.outcome("a4") == VALIDATED


async def test_the_venues_rules_and_who_is_accepted_do_too(clock: VirtualClock) -> None:
    world = LiveWorld(clock)
    await world.open()
    async with world.running():
        world.manifests.apply(orderTypes=["LIMIT"])
        assert await world.outcome("a1") == "ORDER_TYPE_NOT_ALLOWED"
        world.manifests.apply(validities=["IOC"])
        assert await world.outcome("a2") == "VALIDITY_NOT_ALLOWED"
        world.manifests.apply(acceptStrategies=["beta"])
        assert await world.outcome("a3") == "STRATEGY_NOT_ACCEPTED"
        assert await world.outcome("b1", strategy="beta") == VALIDATED


async def test_a_strategy_that_comes_trades_and_one_that_goes_keeps_its_book(clock: VirtualClock) -> None:
    world = LiveWorld(clock)
    await world.open()
    async with world.running():
        world.manifests.apply(strategies=["alpha", "beta", "gamma"])
        await world.ports.control.put_spec(
            "strategy/gamma", (await world.ports.control.read(["platform"]))[0].state, 1e6
        )
        bought = await world.signal("g1", strategy="gamma")
        await world.fill(bought)
        assert risk_strategies(world.details())["gamma"].position == "NSE:RELIANCE 10"
        world.manifests.apply(strategies=["alpha", "beta"])
        assert await world.outcome("g2", strategy="gamma") == "STRATEGY_NOT_ACCEPTED"
        assert risk_strategies(world.details())["gamma"].position == "NSE:RELIANCE 10"
        assert BookFigures.of(world.details()).positions == 1


async def test_an_instrument_that_the_feed_now_lists_can_be_traded(clock: VirtualClock) -> None:
    world = LiveWorld(clock)
    world.manifests.apply(instruments=["NSE:RELIANCE"])
    await world.open()
    async with world.running():
        assert await world.outcome("a1", token=TCS) == "INSTRUMENT_UNKNOWN"
        world.manifests.apply()
        assert await world.outcome("a2", token=TCS) == VALIDATED
        assert await world.outcome("a3", token=RELIANCE) == VALIDATED


async def test_a_loss_limit_that_is_set_now_latches_at_the_next_mark(clock: VirtualClock) -> None:
    world = LiveWorld(clock)
    await world.open()
    async with world.running():
        await world.fill(await world.signal("a1"))
        await world.price({RELIANCE: 90.0, TCS: 100.0})
        await world.pass_seconds(2)
        assert await world.latches() == {}
        world.manifests.apply(risk={"maxDailyLoss": "50"})
        await world.pass_seconds(2)
        assert [name.rpartition("-")[0][:10] for name in await world.latches()] == ["daily-loss"]


async def test_what_is_wrong_with_the_manifests_is_told(clock: VirtualClock) -> None:
    world = LiveWorld(clock)
    await world.open()
    async with world.running():
        assert manifests_problem(world.details()) is None
        world.manifests.problem = "a.yaml:1: bad"
        assert manifests_problem(world.details()) == "a.yaml:1: bad"


async def test_the_days_figures_are_told(clock: VirtualClock) -> None:
    world = LiveWorld(clock)
    await world.open()
    async with world.running():
        await world.fill(await world.signal("a1"))
        await world.outcome("b1", quantity=10**9, strategy="beta")
        await world.price({RELIANCE: 90.0, TCS: 100.0})
        await world.pass_seconds(2)
        told = BookFigures.of(world.details())
        assert (told.signals_today, told.orders_today, told.positions) == (2, 1, 1)
        assert (told.day_pnl, told.equity, told.cash) == ("-100", "999900", "999000")
        alpha, beta = (risk_strategies(world.details())[name] for name in ("alpha", "beta"))
        assert (alpha.signals_today, alpha.orders_today, alpha.day_pnl) == (1, 1, "-100")
        assert (beta.signals_today, beta.orders_today, beta.positions) == (1, 0, 0)
        await world.restart()
        again = BookFigures.of(world.details())
        assert (again.signals_today, again.orders_today) == (2, 1)
        await world.clock.advance(24 * 3600)
        await world.pass_seconds(2)
        assert BookFigures.of(world.details()).signals_today == 0
