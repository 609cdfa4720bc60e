"""Both ways to the broker conclude alike: in the process on virtual time, over HTTP on real sockets."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from alpha_panda.adapters.clock import RealClock
from alpha_panda.adapters.memory.clock import VirtualClock
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState
from alpha_panda.contracts.stored import JournalEntry, Outcome
from alpha_panda.ports import Clock, Trader
from alpha_panda.testing.broker import faults
from alpha_panda.testing.broker.core import BrokerCore
from alpha_panda.testing.broker.faults import BookFault, CancelFault, PlaceFault, Wire
from alpha_panda.testing.broker.http_trader import HttpTrader, HttpTraders
from alpha_panda.testing.broker.server import BrokerServer
from alpha_panda.testing.broker.trader import CoreTrader, CoreTraders
from alpha_panda.testing.virtual_time import START

from .orders import NO_PRICE, SECOND, entry

TIMEOUT = 0.4


@dataclass
class Way:
    trader: Trader
    core: BrokerCore
    clock: Clock

    async def place(self, order: JournalEntry, seconds: float = TIMEOUT) -> Outcome:
        return await self.trader.place(order, NO_PRICE, self.clock.monotonic() + round(seconds * SECOND))


@asynccontextmanager
async def in_process() -> AsyncIterator[Way]:
    core, clock = BrokerCore(), VirtualClock(START)
    yield Way(CoreTrader(core, clock, timeout=TIMEOUT), core, clock)
    clock._attached().idle_hook = None  # type: ignore[attr-defined]


@asynccontextmanager
async def over_http() -> AsyncIterator[Way]:
    clock = RealClock()
    async with BrokerServer() as server, HttpTrader(server.url, clock, timeout=TIMEOUT) as trader:
        yield Way(trader, server.core, clock)


WAYS = pytest.mark.parametrize("way", [in_process, over_http])
F, U, P = EntryState.FAILED, EntryState.UNKNOWN, EntryState.PLACED


@WAYS
@pytest.mark.parametrize(
    ("fault", "state", "code"),
    [
        (PlaceFault(), P, None),
        (faults.slow(TIMEOUT / 8), P, None),
        (faults.slow(TIMEOUT * 2), U, None),
        (faults.hang(), U, None),
        (faults.hang(accepts=False), U, None),
        (faults.drop_reply(), U, None),
        (faults.cut_reply(), U, None),
        (faults.accept_twice(), P, None),
        (faults.reject(), F, Code.BROKER_REJECTED),
        (faults.too_many_requests(), F, Code.RATE_LIMIT),
        (faults.strange_too_many_requests(), U, None),
        (faults.server_error(accepts=True), U, None),
        (faults.garbage(accepts=True), U, None),
        (faults.timeout_400(accepts=True), U, None),
    ],
    ids=str,
)
async def test_an_order(
    way: Callable[[], Any], fault: PlaceFault, state: EntryState, code: Code | None
) -> None:
    async with way() as world:
        world.core.plan(fault)
        outcome = await world.place(entry())
        assert (outcome.state, outcome.code) == (state, code)
        assert outcome.broker_order_id == ("B0" if state is P else "")
        assert world.core.placed() == {entry().tag: 1}
        (call,) = world.core.calls
        assert call.fault == fault


@WAYS
async def test_an_order_arrives_as_it_was_meant(way: Callable[[], Any]) -> None:
    async with way() as world:
        await world.place(entry())
        (order,) = world.core.orders.values()
        sent, signal = order.request, entry().signal
        fields = (
            "instrument_token",
            "side",
            "order_type",
            "quantity",
            "validity",
            "limit_price",
            "trigger_price",
        )
        assert [getattr(sent, name) for name in fields] == [getattr(signal, name) for name in fields]
        assert sent.tag == entry().tag


@WAYS
async def test_after_its_deadline_an_order_is_not_sent(way: Callable[[], Any]) -> None:
    async with way() as world:
        outcome = await world.place(entry(), seconds=0)
        assert (outcome.state, outcome.code) == (F, Code.SEND_DEADLINE_PASSED)
        assert world.core.calls == []


async def test_without_a_connection_an_order_was_refused() -> None:
    async with in_process() as world:
        world.core.plan(faults.refuse_connection())
        outcome = await world.place(entry())
        assert (outcome.state, outcome.code) == (F, Code.BROKER_UNREACHABLE)
    async with BrokerServer() as server, HttpTrader(server.url, RealClock()) as trader:
        await server.refuse()
        away = Way(trader, server.core, RealClock())
        assert (await away.place(entry())).code is Code.BROKER_UNREACHABLE
        assert server.core.calls == []
        await server.listen()
        assert (await away.place(entry())).state is P


@WAYS
@pytest.mark.parametrize(
    ("fault", "state"),
    [
        (CancelFault(), EntryState.CANCELLED),
        (faults.cancel_loses_race(), EntryState.FILLED),
        (faults.cancel_error(), P),
        (faults.cancel_unanswered(effective=True), P),
        (faults.cancel_unanswered(effective=False, wire=Wire.HANG), P),
        (CancelFault(wire=Wire.CUT), P),
    ],
    ids=str,
)
async def test_a_cancel(way: Callable[[], Any], fault: CancelFault, state: EntryState) -> None:
    async with way() as world:
        world.core.plan(faults.rest())
        placed = await world.place(entry())
        rests = entry(state=P, broker_order_id=placed.broker_order_id)
        world.core.plan(fault)
        assert (await world.trader.cancel(rests)).state is state
        assert [call.kind for call in world.core.calls] == ["place", "cancel"]


@WAYS
async def test_what_does_not_rest_is_not_cancelled(way: Callable[[], Any]) -> None:
    async with way() as world:
        done = entry(state=EntryState.FILLED, broker_order_id="B0")
        assert (await world.trader.cancel(done)).state is EntryState.FILLED
        assert world.core.calls == []


@WAYS
@pytest.mark.parametrize(
    ("fault", "complete", "rows"),
    [
        (BookFault(), True, 1),
        (faults.book_truncated(), False, 0),
        (faults.book_truncated(admitted=False), True, 0),
        (faults.book_lag(60), True, 0),
        (faults.book_of_user("XY"), False, 0),
        (faults.book_error(), False, 0),
        (faults.book_garbage(), False, 0),
        (faults.book_cut(), False, 0),
        (faults.book_unanswered(), False, 0),
        (faults.book_unanswered(Wire.RESET), False, 0),
    ],
    ids=str,
)
async def test_a_book(way: Callable[[], Any], fault: BookFault, complete: bool, rows: int) -> None:
    async with way() as world:
        await world.place(entry())
        world.core.plan(fault)
        reading = await world.trader.order_book()
        assert (reading.complete, len(reading.rows)) == (complete, rows)
        assert [call.kind for call in world.core.calls] == ["place", "book"]  # aiohttp would repeat a GET


async def test_what_is_cut_off_on_virtual_time_waits_as_long_as_it_would(clock: VirtualClock) -> None:
    core = BrokerCore()
    trader = CoreTrader(core, clock, timeout=3)
    core.plan(faults.hang())
    core.plan(faults.slow(2))
    for seconds in (5, 2):
        begun = clock.monotonic()
        await trader.place(entry(), NO_PRICE, begun + 5 * SECOND)
        assert clock.monotonic() - begun == seconds * SECOND
    core.plan(faults.book_unanswered())
    begun = clock.monotonic()
    await trader.order_book()
    assert clock.monotonic() - begun == 3 * SECOND


async def test_an_access_token_is_sent_and_a_wrong_one_is_a_definite_refusal() -> None:
    token = "right"  # noqa: S105 - of a broker that is none
    async with BrokerServer(access_token="right") as server:  # noqa: S106 - as above
        async with HttpTrader(server.url, RealClock(), access_token=lambda: token) as trader:
            way = Way(trader, server.core, RealClock())
            assert (await way.place(entry())).state is P
            token = "wrong"  # noqa: S105 - as above
            outcome = await way.place(entry(2))
            assert (outcome.state, outcome.code) == (F, Code.ACCESS_TOKEN_EXPIRED)
            assert not (await trader.order_book()).complete
        assert len(server.core.calls) == 1


async def test_factories_know_their_accounts(clock: VirtualClock) -> None:
    cores = {"a": BrokerCore(), "b": BrokerCore()}
    for trader in (CoreTraders(cores, clock).trader("b"), CoreTraders(cores, clock).trader("b")):
        await trader.order_book()
    assert [len(core.calls) for core in cores.values()] == [0, 2]
    async with BrokerServer() as server:
        traders = HttpTraders({"a": server.url}, RealClock())
        assert (await traders.trader("a").order_book()).complete
        await traders.aclose()
