"""Zerodha's adapter on real time and real sockets: all services against the local Kite's server, S and D made short."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import pytest

from alpha_panda.adapters.clock import RealClock
from alpha_panda.cli.loading import parameters_model
from alpha_panda.compose.embedded import EmbeddedRun, Member, RunOptions
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, FeedMode
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.ports import Trader
from alpha_panda.runtime.context import Ports
from alpha_panda.runtime.settings import load_settings
from alpha_panda.testing.broker.live import fund, make_live
from alpha_panda.testing.kite import faults
from alpha_panda.testing.kite.faults import KiteFault, PlaceFault, Wire
from alpha_panda.testing.kite.live import OrdersOnly
from alpha_panda.testing.kite.server import KiteServer
from alpha_panda.testing.kite.traders import KiteTraders
from alpha_panda.testing.pipeline import ScriptedSource
from integration.broker.test_over_http import SETTINGS, D, Running, S
from integration.kit import manifests


class Orders:
    """Traders that are no more than that."""

    def __init__(self, traders: KiteTraders) -> None:
        self._traders = traders

    def trader(self, account: str) -> Trader:
        return OrdersOnly(self._traders.trader(account))


@asynccontextmanager
async def running() -> AsyncIterator[tuple[Running, KiteServer, KiteTraders]]:
    clock = RealClock()
    resources = ResourceSet.from_documents(manifests(), parameters_model=parameters_model)
    make_live(resources)
    source = ScriptedSource(FeedMode.LIVE)
    async with KiteServer() as server:
        traders = KiteTraders({"paper": server.core}, clock, timeout=S, urls={"paper": server.url})

        def wire(_: Member, ports: Ports) -> Ports:
            return replace(ports, traders=Orders(traders), source=lambda _: source)

        run = EmbeddedRun(resources, load_settings(**SETTINGS), RunOptions(seed=1), clock=clock, wire=wire)
        await fund(run.ports.decisions("paper"))
        task = asyncio.create_task(run.run())
        try:
            async with asyncio.timeout(20):
                await run.supervisor.wait_ready()
            yield Running(run, server, source), server, traders  # type: ignore[arg-type]  # the same words
        finally:
            run.request_stop()
            await asyncio.wait_for(task, 20)
            await traders.aclose()


@dataclass(frozen=True)
class Case:
    fault: KiteFault
    state: EntryState
    code: Code | None = None
    traded: int = 10
    latches: tuple[str, ...] = ()


FILLED, LOST, FAILED = EntryState.FILLED, EntryState.LOST, EntryState.FAILED

CASES = {
    "well": Case(PlaceFault(), FILLED),
    "slow within S": Case(faults.slow(S / 3), FILLED),
    "slow beyond S": Case(faults.slow(2 * S), FILLED),
    "hangs": Case(faults.hang(), FILLED),
    "hangs, not taken": Case(faults.hang(accepts=False), LOST, Code.ORDER_LOST, 0),
    "reply dropped": Case(faults.drop_reply(), FILLED),
    "reply dropped, not taken": Case(faults.drop_reply(accepts=False), LOST, Code.ORDER_LOST, 0),
    "reply cut": Case(faults.cut_reply(), FILLED),
    "twice": Case(faults.accept_twice(), FILLED, None, 20, ("stray",)),
    "twice, no reply": Case(PlaceFault(copies=2, wire=Wire.RESET), FILLED, None, 20, ("stray",)),
    "late, within D": Case(faults.accept_late(S), FILLED),
    "late, after LOST": Case(faults.accept_late(3 * (S + D)), FILLED, None, 10, ("contradiction", "late")),
    "refused": Case(faults.reject(), FAILED, Code.INSUFFICIENT_FUNDS, 0),
    "429": Case(faults.too_many_requests(), FAILED, Code.RATE_LIMIT, 0),
    "wrong address": Case(faults.ip_refused(), FAILED, Code.EGRESS_IP_REFUSED, 0),
    "502 html, taken": Case(faults.bad_gateway(accepts=True), FILLED),
    "502 html, not taken": Case(faults.bad_gateway(accepts=False), LOST, Code.ORDER_LOST, 0),
    "no content type, taken": Case(faults.no_content_type(accepts=True), FILLED),
    "garbage, taken": Case(faults.garbage(accepts=True), FILLED),
    "400 time-out, taken later": Case(faults.timed_out_yet_placed(S / 2), FILLED),
    "refused later": Case(faults.refuse_later(0.3), FAILED, Code.BROKER_REJECTED, 0),
}


@pytest.mark.parametrize("name", CASES)
async def test_an_order_comes_to_its_outcome_by_one_request(name: str) -> None:
    case = CASES[name]
    async with running() as (world, server, _):
        server.core.plan(case.fault)
        signal = await world.buy()
        entry = await world.ends_as(signal, case.state)
        assert entry.code is case.code
        posts = [seen for seen in server.requests_seen if seen.method == "POST"]
        assert [seen.form["tag"] for seen in posts] == [entry.tag]

        async def latched() -> bool:
            return await world.latches() == list(case.latches)

        await world.until(latched)
        executed = server.core.executed(server.now())
        assert sum(trade.quantity for trade in executed) == case.traded


async def test_a_kite_that_takes_no_connections_refuses_at_once() -> None:
    async with running() as (world, server, _):
        await server.refuse()
        signal = await world.buy()
        entry = await world.ends_as(signal, FAILED)
        assert entry.code is Code.BROKER_UNREACHABLE
        assert world.calls(signal) == 0
        await server.listen()
        await world.ends_as(await world.buy(), FILLED)


async def test_a_token_that_dies_under_us_fails_orders_until_the_next_login() -> None:
    async with running() as (world, server, traders):
        server.core.expire_token()
        entry = await world.ends_as(await world.buy(), FAILED)
        assert entry.code is Code.ACCESS_TOKEN_EXPIRED
        traders.log_in("paper")

        async def valid() -> bool:
            return not traders.zerodha("paper").token_problem()

        await world.until(valid)
        await asyncio.sleep(0.6)  # each process looks at its file at most every half second
        await world.ends_as(await world.buy(), FILLED)
