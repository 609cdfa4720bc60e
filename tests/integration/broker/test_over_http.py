"""The live path on real time and real sockets: all services against the broker's server, S and D made short."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import pytest

from alpha_panda.adapters.clock import RealClock
from alpha_panda.adapters.paper.trader import utc_day
from alpha_panda.cli.loading import parameters_model
from alpha_panda.compose.embedded import EmbeddedRun, Member, RunOptions
from alpha_panda.contracts.codec import encode_event
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, EventType, FeedMode, OrderType, Side, Validity
from alpha_panda.contracts.events import VERSION, Envelope, Signal
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.scopes import account_scope
from alpha_panda.contracts.stored import JournalEntry
from alpha_panda.contracts.topics import TopicMap
from alpha_panda.domain.ids import broker_tag, event_id, signal_id
from alpha_panda.ports import Outgoing, SourceBatch
from alpha_panda.runtime.context import Ports
from alpha_panda.runtime.settings import load_settings
from alpha_panda.testing.broker import faults
from alpha_panda.testing.broker.core import BrokerCore
from alpha_panda.testing.broker.faults import PlaceFault, Wire
from alpha_panda.testing.broker.http_trader import HttpTraders
from alpha_panda.testing.broker.live import fund, make_live
from alpha_panda.testing.broker.server import BrokerServer
from alpha_panda.testing.pipeline import LINEAGE, ScriptedSource
from integration.kit import RELIANCE, manifests

S, D = 1.0, 0.6
TOKEN = 738561
SETTINGS = {
    "send_within_seconds": S,
    "lost_after_seconds": D,
    "tracker_interval_seconds": 0.1,
    "heartbeat_seconds": 0.2,
    "drain_quiet_seconds": 0.05,
}


class Running:
    """All services of one live account on the wall clock, and the broker that they send to."""

    def __init__(self, run: EmbeddedRun, server: BrokerServer, source: ScriptedSource) -> None:
        self.run, self.server, self.source = run, server, source
        self.core = server.core
        self.journal = run.ports.journal("paper")
        self._count = 0

    async def buy(self, quantity: str = "10") -> str:
        self._count += 1
        new_id, now = signal_id(LINEAGE, "paper", self._count), self.run.clock.now()
        self.source.queue.put_nowait(SourceBatch([TOKEN], [100.0], [now]))
        signal = Signal(
            signal_id=new_id,
            strategy_id="alpha",
            strategy_uid="alpha",
            instrument_token=TOKEN,
            symbol=RELIANCE,
            side=Side.BUY,
            order_type=OrderType.MARKET,
            quantity=Decimal(quantity),
            validity=Validity.DAY,
            expires_at=now + 10_000_000_000,
        )
        event = Envelope(
            id=event_id(new_id, EventType.TRADING_SIGNAL, 0),
            type=EventType.TRADING_SIGNAL,
            version=VERSION,
            ts=now,
            source="strategy/alpha",
            account="paper",
            key=signal.key,
            correlation_id=new_id,
            causation_id="test",
            data=signal,
        )
        await self.until(self._priced)
        async with self.run.bus.producer("test") as producer:
            await producer.send([Outgoing(TopicMap("paper").signals_raw, encode_event(event), signal.key)])
        return new_id

    async def _priced(self) -> bool:
        return (await self.run.ports.prices.read("demo", TOKEN)).quote is not None

    async def ends_as(self, signal: str, state: EntryState) -> JournalEntry:
        async def ended() -> bool:
            entry = await self.journal.get(signal)
            return entry is not None and entry.state is state and not await self.journal.unacknowledged()

        await self.until(ended)
        entry = await self.journal.get(signal)
        assert entry is not None
        return entry

    async def latches(self) -> list[str]:
        (reading,) = await self.run.ports.control.read([account_scope("paper")])
        return sorted(latch.latch_id.split("-")[0] for latch in reading.latches)

    async def until(self, true: Callable[[], Any]) -> None:
        """Look again until it is true; a test's own time-out is the bound."""
        async with asyncio.timeout(20):
            while not await true():  # noqa: ASYNC110 - other tasks, and other sockets, make it true
                await asyncio.sleep(0.02)

    def calls(self, signal: str) -> int:
        return self.core.placed()[broker_tag(signal)]


@asynccontextmanager
async def running() -> AsyncIterator[Running]:
    clock = RealClock()
    resources = ResourceSet.from_documents(manifests(), parameters_model=parameters_model)
    make_live(resources)
    source = ScriptedSource(FeedMode.LIVE)
    async with BrokerServer(BrokerCore(trading_day=utc_day(clock.now()))) as server:
        traders = HttpTraders({"paper": server.url}, clock, send_within=S, timeout=S)

        def wire(_: Member, ports: Ports) -> Ports:
            return replace(ports, traders=traders, source=lambda _: source)

        run = EmbeddedRun(resources, load_settings(**SETTINGS), RunOptions(seed=1), clock=clock, wire=wire)
        await fund(run.ports.decisions("paper"))
        task = asyncio.create_task(run.run())
        try:
            async with asyncio.timeout(20):
                await run.supervisor.wait_ready()
            yield Running(run, server, source)
        finally:
            run.request_stop()
            await asyncio.wait_for(task, 20)
            await traders.aclose()


@dataclass(frozen=True)
class Case:
    fault: PlaceFault
    state: EntryState
    code: Code | None = None
    traded: int = 10
    latches: tuple[str, ...] = ()


CASES = {
    "well": Case(PlaceFault(), EntryState.FILLED),
    "slow within S": Case(faults.slow(S / 3), EntryState.FILLED),
    "slow beyond S": Case(faults.slow(2 * S), EntryState.FILLED),
    "hangs": Case(faults.hang(), EntryState.FILLED),
    "hangs, not taken": Case(faults.hang(accepts=False), EntryState.LOST, Code.ORDER_LOST, 0),
    "reply dropped": Case(faults.drop_reply(), EntryState.FILLED),
    "reply dropped, not taken": Case(faults.drop_reply(accepts=False), EntryState.LOST, Code.ORDER_LOST, 0),
    "reply cut": Case(faults.cut_reply(), EntryState.FILLED),
    "twice": Case(faults.accept_twice(), EntryState.FILLED, None, 20, ("stray",)),
    "twice, no reply": Case(PlaceFault(copies=2, wire=Wire.RESET), EntryState.FILLED, None, 20, ("stray",)),
    "late, within D": Case(faults.accept_late(S), EntryState.FILLED),
    "late, after LOST": Case(
        faults.accept_late(3 * (S + D)), EntryState.FILLED, None, 10, ("contradiction", "late")
    ),
    "refused": Case(faults.reject(), EntryState.FAILED, Code.BROKER_REJECTED, 0),
    "429": Case(faults.too_many_requests(), EntryState.FAILED, Code.RATE_LIMIT, 0),
    "500, taken": Case(faults.server_error(accepts=True), EntryState.FILLED),
    "500, not taken": Case(faults.server_error(accepts=False), EntryState.LOST, Code.ORDER_LOST, 0),
    "garbage, taken": Case(faults.garbage(accepts=True), EntryState.FILLED),
    "400 time-out, taken": Case(faults.timeout_400(accepts=True), EntryState.FILLED),
    "refused later": Case(faults.refuse_later(0.3), EntryState.FAILED, Code.BROKER_REJECTED, 0),
}


@pytest.mark.parametrize("name", CASES)
async def test_an_order_comes_to_its_outcome_by_one_request(name: str) -> None:
    case = CASES[name]
    async with running() as world:
        world.core.plan(case.fault)
        signal = await world.buy()
        entry = await world.ends_as(signal, case.state)
        assert entry.code is case.code
        assert world.calls(signal) == 1

        async def latched() -> bool:
            return await world.latches() == list(case.latches)

        await world.until(latched)
        executed = world.core.executed(world.run.clock.now())
        assert sum(trade.quantity for trade in executed) == case.traded


async def test_a_broker_that_takes_no_connections_refuses_at_once() -> None:
    async with running() as world:
        await world.server.refuse()
        signal = await world.buy()
        entry = await world.ends_as(signal, EntryState.FAILED)
        assert entry.code is Code.BROKER_UNREACHABLE
        assert world.calls(signal) == 0
        await world.server.listen()
        again = await world.buy()
        await world.ends_as(again, EntryState.FILLED)


async def test_a_book_that_lags_only_delays() -> None:
    async with running() as world:
        world.core.plan(faults.drop_reply())
        world.core.plan(faults.book_lag(0.8), times=1000)
        signal = await world.buy()
        await world.ends_as(signal, EntryState.FILLED)
        assert await world.latches() == []
        assert world.calls(signal) == 1


@pytest.mark.parametrize(
    "fault",
    [
        faults.book_error(),
        faults.book_garbage(),
        faults.book_truncated(),
        faults.book_cut(),
        faults.book_of_user("XY9876"),
        faults.book_of_day("2001-01-01"),
        faults.book_unanswered(Wire.RESET),
    ],
    ids=str,
)
async def test_no_order_is_lost_by_a_book_that_can_not_be_read(fault: faults.BookFault) -> None:
    async with running() as world:
        world.core.plan(faults.drop_reply())
        clock = world.run.clock
        begin = clock.now()
        world.core.plan_during(fault, begin, begin + round((S + D + 1.5) * 1e9))
        signal = await world.buy()
        await world.ends_as(signal, EntryState.FILLED)
        assert clock.now() >= begin + round((S + D + 1.5) * 1e9)
        assert await world.latches() == []
        assert world.calls(signal) == 1
