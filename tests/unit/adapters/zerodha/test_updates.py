import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from alpha_panda.adapters.clock import RealClock
from alpha_panda.adapters.zerodha.updates import MOST, OrderPushes, order_updates
from alpha_panda.contracts.enums import OrderStatus
from alpha_panda.contracts.instruments import Instrument, InstrumentMaster
from alpha_panda.contracts.stored import BrokerRow
from unit.adapters.zerodha.socket_kit import HEARTBEAT, PATIENCE, USER, Login, Peer, chance, quick, serving

RELIANCE = Instrument(738561, "NSE:RELIANCE", Decimal("0.05"))
MASTER = InstrumentMaster.of([RELIANCE])


def order(number: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "order_id": str(number),
        "status": "REJECTED",
        "exchange": "NSE",
        "tradingsymbol": "RELIANCE",
        "instrument_token": 738561,
        "transaction_type": "BUY",
        "quantity": 1,
        "filled_quantity": 0,
        "average_price": 0,
        "user_id": USER,
        "placed_by": USER,
        "order_timestamp": "2026-11-20 10:00:00",
        "tag": "apabc",
        "checksum": "",
        **changes,
    }


def text(number: int = 1, **changes: Any) -> str:
    return json.dumps({"type": "order", "data": order(number, **changes)})


@pytest.fixture
def pushes() -> OrderPushes:
    return OrderPushes(USER, lambda: MASTER)


async def next_of(stream: AsyncIterator[BrokerRow | None]) -> BrokerRow | None:
    async with asyncio.timeout(PATIENCE):
        return await anext(stream)


async def waiting(pushes: OrderPushes) -> list[str | None]:
    """Return the ids of what waits; None is None."""
    found: list[str | None] = []
    stream = pushes.stream()
    pushes._put(
        BrokerRow(
            broker_order_id="end",
            tag="",
            instrument_token=0,
            side="",
            quantity=Decimal(0),
            status=OrderStatus.FAILED,
        )
    )
    while (row := await next_of(stream)) is None or row.broker_order_id != "end":
        found.append(row.broker_order_id if row else None)
    return found


class TestPushes:
    async def test_a_pushed_order_is_a_row(self, pushes: OrderPushes) -> None:
        pushes.take_text(text(7, status_message="no funds"))
        row = await next_of(pushes.stream())
        assert row is not None
        assert (row.broker_order_id, row.tag, row.status) == ("7", "apabc", OrderStatus.FAILED)
        assert (row.symbol, row.instrument_token, row.message) == ("NSE:RELIANCE", 738561, "no funds")

    async def test_what_has_filled_says_read_the_book(self, pushes: OrderPushes) -> None:
        pushes.take_text(text(7, status="UPDATE", quantity=2, filled_quantity=1, average_price=10.5))
        assert await waiting(pushes) == [None]

    async def test_an_order_that_cannot_be_read_says_read_the_book(self, pushes: OrderPushes) -> None:
        pushes.take_text(json.dumps({"type": "order", "data": {"order_id": 5}}))
        assert await waiting(pushes) == [None]

    @pytest.mark.parametrize(
        "other", ["", "no json", "[]", '{"type":"error","data":"x"}', '{"type":"instruments_meta"}']
    )
    async def test_whatever_is_no_order_is_ignored(self, pushes: OrderPushes, other: str) -> None:
        pushes.take_text(other)
        assert await waiting(pushes) == []

    @pytest.mark.parametrize("whose", [{"user_id": "ZZ9"}, {"user_id": None, "account_id": "ZZ9"}])
    async def test_an_order_of_another_user_is_refused_and_told(
        self, pushes: OrderPushes, whose: dict[str, str | None]
    ) -> None:
        with capture_logs() as logs:
            pushes.take_text(text(7, **whose))
        assert await waiting(pushes) == []
        assert [one["event"] for one in logs] == ["order_push_of_another_user"]

    async def test_an_order_that_a_dealer_placed_is_ours(self, pushes: OrderPushes) -> None:
        pushes.take_text(text(7, placed_by="DEALER1"))
        assert await waiting(pushes) == ["7"]

    async def test_they_come_in_the_order_of_arrival_repeats_too(self, pushes: OrderPushes) -> None:
        for number in (1, 2, 1):
            pushes.take_text(text(number))
        assert await waiting(pushes) == ["1", "2", "1"]

    async def test_one_reading_of_the_book_is_asked_for_once(self, pushes: OrderPushes) -> None:
        for _ in range(3):
            pushes.missed()
        pushes.take_text(text(1))
        pushes.missed()
        assert await waiting(pushes) == [None, "1", None]

    async def test_too_many_are_forgotten_for_one_reading_of_the_book(self, pushes: OrderPushes) -> None:
        for number in range(MOST + 1):
            pushes.take_text(text(number))
        assert await waiting(pushes) == [None]


class Case:
    def __init__(self, peer: Peer, folder: Path) -> None:
        self.peer = peer
        self.clock = RealClock()
        self.login = Login(folder, self.clock)
        self.login.write("first")
        self.pushes = OrderPushes(USER, lambda: MASTER)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncIterator[BrokerRow | None]]:
        stream = order_updates(
            self.pushes,
            quick(self.peer.url),
            clock=self.clock,
            session=self.login.file,
            chance=chance(),
            in_session=lambda _: True,
        )
        try:
            yield stream
        finally:
            await cast("Any", stream).aclose()


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with serving() as peer:
        yield peer


@pytest.fixture
def case(peer: Peer, tmp_path: Path) -> Case:
    return Case(peer, tmp_path)


class TestStream:
    async def test_the_book_is_read_first_even_without_a_session(self, case: Case) -> None:
        case.login.write("old", seconds=-1)
        async with case.reading() as stream:
            assert await next_of(stream) is None

    async def test_pushes_of_the_socket_come_through(self, case: Case) -> None:
        async with case.reading() as stream:
            assert await next_of(stream) is None
            connection = await case.peer.connection()
            await connection.frame(HEARTBEAT)
            await connection.text(text(7))
            row = await next_of(stream)
            if row is None:  # of the connection, if it came after the first
                row = await next_of(stream)
            assert row is not None
            assert row.broker_order_id == "7"
            assert connection.messages == []

    async def test_after_each_connection_the_book_is_read(self, case: Case) -> None:
        async with case.reading() as stream:
            assert await next_of(stream) is None
            for number in (1, 2, 3):
                connection = await case.peer.connection(number)
                await connection.text(text(number))
                seen = [await next_of(stream)]
                while seen[-1] is None:
                    seen.append(await next_of(stream))
                assert seen[-1].broker_order_id == str(number)
                assert number == 1 or seen[0] is None
                connection.abort()

    async def test_postbacks_are_in_the_same_stream(self, case: Case) -> None:
        async with case.reading() as stream:
            assert await next_of(stream) is None
            case.pushes.take_order(json.dumps(order(9)).encode())
            rows = [await next_of(stream)]
            if rows == [None]:
                rows.append(await next_of(stream))
            assert rows[-1] is not None
            assert rows[-1].broker_order_id == "9"

    async def test_its_end_closes_the_connection(self, case: Case) -> None:
        async with case.reading() as stream:
            await next_of(stream)
            connection = await case.peer.connection()
        async with asyncio.timeout(PATIENCE):
            await connection.ended.wait()

    async def test_who_waits_may_be_cancelled(self, case: Case) -> None:
        async with case.reading() as stream:
            connection = None
            for _ in range(3):  # None at the begin, and perhaps another of the connection
                reading = asyncio.create_task(next_of(stream))
                connection = connection or await case.peer.connection()
                done, _ = await asyncio.wait({reading}, timeout=0.1)
                if not done:
                    break
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
            assert reading.cancelled()
            assert connection is not None
            async with asyncio.timeout(1):
                await connection.ended.wait()
