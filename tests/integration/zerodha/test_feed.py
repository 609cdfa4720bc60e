"""The feed's adapter against the local Kite: every way in which its socket misbehaves."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from alpha_panda.adapters.clock import RealClock
from alpha_panda.adapters.zerodha.instruments import DumpFiles, dump_fetch
from alpha_panda.adapters.zerodha.session import Session, SessionFile, write_session
from alpha_panda.adapters.zerodha.socket import SocketOptions
from alpha_panda.adapters.zerodha.source import FeedOptions, ZerodhaSource
from alpha_panda.contracts.enums import FeedMode
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.testing.conformance.source import MarketSourceConformance, SourceCase
from alpha_panda.testing.kite.core import KiteCore
from alpha_panda.testing.kite.instruments import instruments
from alpha_panda.testing.kite.server import KiteServer
from alpha_panda.testing.kite.sockets import SocketFault
from alpha_panda.testing.kite.wire import day_of

PATIENCE = 15.0
COUNT = 40


class Case:
    """A source of some of the local Kite's instruments."""

    def __init__(self, kite: KiteServer, folder: Path) -> None:
        self.kite = kite
        self.folder = folder
        self.clock = RealClock()
        self.session = SessionFile(folder, self.clock, kite.user_id)
        self.login()
        today = date.fromisoformat(day_of(self.clock.now()))
        live = [item for item in kite.core.dump if item.expiry is None or item.expiry >= today]
        self.instruments = [
            Instrument(item.token, item.key, item.tick_size or Decimal("0.05")) for item in live
        ][:COUNT]

    def login(self) -> str:
        now, word = self.clock.now(), self.kite.new_session()
        write_session(
            self.folder,
            Session(
                user_id=self.kite.user_id,
                api_key=self.kite.api_key,
                access_token=word,
                login_at=now,
                expires_at=now + 3600 * SECOND_NS,
            ),
        )
        return word

    def source(self, **feed: Any) -> ZerodhaSource:
        socket = SocketOptions(
            self.kite.ws_url,
            silent_seconds=2.5,
            reconnect_initial_seconds=0.05,
            reconnect_max_seconds=0.2,
            throttled_seconds=0.2,
            refused_seconds=60,
            look_seconds=0.05,
        )
        options = FeedOptions(**{"socket": socket, "per_socket": 20, **feed})
        return ZerodhaSource(options, self.clock, self.session, chance=random.Random(1))

    @asynccontextmanager
    async def reading(self, **feed: Any) -> AsyncIterator["Reading"]:
        reading = Reading(self.source(**feed))
        task = asyncio.create_task(reading.read(self.instruments))
        try:
            yield reading
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


class Reading:
    """Reads a source on and on."""

    def __init__(self, source: ZerodhaSource) -> None:
        self.source = source
        self.last: dict[int, float] = {}
        self.seen: Counter[int] = Counter()
        self.bad = 0
        self._read = asyncio.Event()

    async def read(self, instruments: Sequence[Instrument]) -> None:
        async for batch in self.source.batches(instruments):
            self.bad += batch.bad_rows
            self.last |= dict(zip(batch.tokens, batch.prices, strict=True))
            self.seen.update(batch.tokens)
            self._read.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not holds():
                self._read.clear()
                await self._read.wait()

    async def until_all(self, tokens: set[int]) -> None:
        """Wait until each of the tokens has got a price anew."""
        before = dict(self.seen)
        await self.until(lambda: all(self.seen[token] > before.get(token, 0) for token in tokens))

    async def until_problem(self, words: str) -> None:
        """Wait until the source says this of itself."""
        async with asyncio.timeout(PATIENCE):
            while words not in self.source.problem():  # noqa: ASYNC110 - nothing else tells of it
                await asyncio.sleep(0.01)


@pytest.fixture
async def kite() -> AsyncIterator[KiteServer]:
    today = date.fromisoformat(day_of(RealClock().now()))
    core = KiteCore(dump=instruments(today, COUNT + 20))
    async with KiteServer(core, ticks_per_second=2000) as server:
        yield server


@pytest.fixture
def case(kite: KiteServer, tmp_path: Path) -> Case:
    return Case(kite, tmp_path)


class TestConformance(MarketSourceConformance):
    @pytest.fixture
    def case(self, kite: KiteServer, tmp_path: Path) -> SourceCase:
        made = Case(kite, tmp_path)
        return SourceCase(
            make=made.source, instruments=made.instruments, mode=FeedMode.LIVE, patience=PATIENCE
        )


async def test_all_segments_prices_are_what_the_broker_has(case: Case) -> None:
    tokens = {item.token for item in case.instruments}
    async with case.reading() as reading:
        await reading.until_all(tokens)
        case.kite.ticks_per_second = 0
        await asyncio.sleep(0.2)
        for token in tokens:
            case.kite.core.market.quotes[token].last += 5
        case.kite.hub.changed(sorted(tokens))
        await reading.until_all(tokens)
        expected = {
            token: quote.last / quote.instrument.divisor
            for token, quote in case.kite.core.market.quotes.items()
            if token in tokens
        }
    assert reading.last == expected
    assert len({token & 255 for token in tokens}) > 3


@pytest.mark.parametrize(
    "fault",
    [
        SocketFault(action="abort"),
        SocketFault(action="close", code=1000),
        SocketFault(action="close", code=1011),
        SocketFault(action="silent", seconds=60),
        SocketFault(action="ping"),
        SocketFault(action="text", text="{nonsense"),
        SocketFault(action="text", text='{"type":"instruments_meta","data":{"count":1}}'),
    ],
    ids=lambda fault: f"{fault.action}-{fault.code or fault.text[:12]}",
)
async def test_prices_of_all_come_again_after(case: Case, fault: SocketFault) -> None:
    tokens = {item.token for item in case.instruments}
    async with case.reading() as reading:
        await reading.until_all(tokens)
        await case.kite.hub.apply(fault)
        await reading.until_all(tokens)
        if fault.action not in {"ping", "text"}:
            await reading.until(lambda: case.kite.hub.upgrades_seen >= 4)
        await reading.until_all(tokens)
        assert reading.source.problem() == ""


@pytest.mark.parametrize("action", ["strange", "truncated"])
async def test_a_frame_that_makes_no_sense_is_counted_and_the_rest_goes_on(case: Case, action: Any) -> None:
    tokens = {item.token for item in case.instruments}
    async with case.reading() as reading:
        await reading.until_all(tokens)
        await case.kite.hub.apply(SocketFault(action=action))
        await reading.until(lambda: reading.bad == 2)  # one of each connection
        assert case.kite.hub.upgrades_seen == 2


async def test_a_new_login_is_used_by_all_connections_without_a_restart(case: Case) -> None:
    tokens = {item.token for item in case.instruments}
    async with case.reading() as reading:
        await reading.until_all(tokens)
        case.kite.new_session()  # somebody logs in elsewhere: our token is dead, the sockets stay
        await case.kite.hub.apply(SocketFault(action="abort"))
        await reading.until_problem("403")
        case.login()
        await reading.until_all(tokens)
        assert reading.source.problem() == ""


async def test_a_connection_too_many_is_refused_and_gets_through_once_another_ends(case: Case) -> None:
    tokens = {item.token for item in case.instruments}
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(case.reading())
        await first.until_all(tokens)
        async with case.reading() as second:
            await second.until_problem("429")
            await first.until_all(tokens)
            await stack.aclose()
            await second.until_all(tokens)


async def test_the_days_list_of_the_broker_names_what_is_subscribed(case: Case) -> None:
    files = DumpFiles(case.folder / "lists", dump_fetch(case.kite.url, case.session, seconds=10), case.clock)
    dump = await files.dump()
    found = dump.find(["NSE:RELIANCE", "NSE:M&M", "NSE:NIFTY 50"], files.today())
    assert not found.faults
    case.instruments = list(found.instruments.values())
    async with case.reading() as reading:
        await reading.until_all({item.token for item in case.instruments})
