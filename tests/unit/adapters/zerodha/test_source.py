import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from alpha_panda.adapters.clock import RealClock
from alpha_panda.adapters.zerodha import source as module
from alpha_panda.adapters.zerodha.pending import LEAST
from alpha_panda.adapters.zerodha.source import FeedOptions, ZerodhaSource
from alpha_panda.contracts.enums import FeedMode
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.errors import SourceError
from alpha_panda.ports import SourceBatch, Troubled
from unit.adapters.zerodha.frame_kit import frame, full, quote
from unit.adapters.zerodha.socket_kit import (
    HEARTBEAT,
    PATIENCE,
    Connection,
    Login,
    Peer,
    chance,
    quick,
    serving,
)


def token(number: int) -> int:
    return number * 256 + 1


def instruments(count: int) -> list[Instrument]:
    return [Instrument(token(number), f"NSE:S{number}", Decimal("0.05")) for number in range(1, count + 1)]


class Case:
    """A source against one peer."""

    def __init__(self, peer: Peer, folder: Path) -> None:
        self.peer = peer
        self.clock = RealClock()
        self.login = Login(folder, self.clock)
        self.login.write("first")
        self.source: ZerodhaSource

    def made(self, per_socket: int = 3000, max_sockets: int = 3, **options: Any) -> ZerodhaSource:
        feed = FeedOptions(quick(self.peer.url, **options), max_sockets, per_socket, batch_max_ticks=LEAST)
        self.source = ZerodhaSource(feed, self.clock, self.login.file, chance=chance())
        return self.source

    @asynccontextmanager
    async def reading(
        self, listed: Sequence[Instrument], **options: Any
    ) -> AsyncIterator[AsyncIterator[SourceBatch]]:
        batches = self.made(**options).batches(listed)
        try:
            yield batches
        finally:
            await cast("Any", batches).aclose()

    def price(self, number: int, price: int = 10_000, volume: int = 0) -> bytes:
        """Return a packet of this second."""
        return full(token(number), price, volume, self.clock.now() // SECOND_NS)


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with serving() as peer:
        yield peer


@pytest.fixture
def case(peer: Peer, tmp_path: Path) -> Case:
    return Case(peer, tmp_path)


async def next_of(batches: AsyncIterator[SourceBatch]) -> SourceBatch:
    async with asyncio.timeout(PATIENCE):
        return await anext(batches)


async def rows_of(batches: AsyncIterator[SourceBatch]) -> SourceBatch:
    """Return the next batch with rows."""
    batch = await next_of(batches)
    while not batch.tokens:
        batch = await next_of(batches)
    return batch


async def begun(case: Case, batches: AsyncIterator[SourceBatch], sockets: int = 1) -> list[Connection]:
    """Let the source connect; a heartbeat of each connection has been read then."""
    reading = asyncio.create_task(next_of(batches))
    connections = [await case.peer.connection(number) for number in range(1, sockets + 1)]
    for connection in connections:
        await connection.until(2)
        await connection.frame(HEARTBEAT)
    await reading
    return connections


async def test_its_prices_are_live_and_never_end(case: Case) -> None:
    source = case.made()
    assert source.mode is FeedMode.LIVE
    assert not source.exhausted
    assert isinstance(source, Troubled)


class TestBatches:
    async def test_a_frame_becomes_a_batch_of_now(self, case: Case) -> None:
        async with case.reading(instruments(2)) as batches:
            (connection,) = await begun(case, batches)
            before = case.clock.now()
            await connection.frame(frame(case.price(1, 10_005), case.price(2, 20_010)))
            batch = await rows_of(batches)
            assert (batch.tokens, batch.prices) == ([token(1), token(2)], [100.05, 200.1])
            assert before <= batch.ts[0] == batch.ts[1] <= case.clock.now()
            assert batch.proven == batch.ts[0]

    async def test_a_heartbeat_is_an_empty_batch_that_proves_life(self, case: Case) -> None:
        async with case.reading(instruments(1)) as batches:
            (connection,) = await begun(case, batches)
            before = case.clock.now()
            await connection.frame(HEARTBEAT)
            batch = await next_of(batches)
            while (batch.proven or 0) < before:
                batch = await next_of(batches)
            assert not batch.tokens

    async def test_a_heartbeat_that_comes_while_a_batch_is_published_counts_too(self, case: Case) -> None:
        async with case.reading(instruments(1)) as batches:
            (connection,) = await begun(case, batches)
            await connection.frame(frame(case.price(1)))
            await rows_of(batches)
            published_at = case.clock.now()
            await connection.frame(HEARTBEAT)
            await asyncio.sleep(0.1)  # the reader is busy meanwhile
            assert ((await next_of(batches)).proven or 0) >= published_at

    async def test_nothing_is_proven_before_the_broker_has_spoken(self, case: Case) -> None:
        async with case.reading(instruments(1)) as batches:
            reading = asyncio.create_task(next_of(batches))
            await (await case.peer.connection()).until(2)
            done, _ = await asyncio.wait({reading}, timeout=0.2)
            assert not done
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    async def test_one_connection_that_was_never_heard_proves_nothing_of_later_than_the_begin(
        self, case: Case
    ) -> None:
        case.peer.refuse = [403]
        async with case.reading(instruments(2), per_socket=1) as batches:
            reading = asyncio.create_task(next_of(batches))
            connection = await case.peer.connection()
            connected_at = case.clock.now()
            await connection.frame(HEARTBEAT)
            proven = (await reading).proven
            assert proven is not None
            assert connected_at - 5 * SECOND_NS < proven < connected_at

    async def test_packets_that_cannot_be_read_are_counted(self, case: Case) -> None:
        async with case.reading(instruments(1)) as batches:
            (connection,) = await begun(case, batches)
            await connection.frame(frame(bytes(12), case.price(1), case.price(7)))
            assert (await rows_of(batches)).bad_rows == 2

    async def test_frames_that_wait_go_together_in_order(self, case: Case) -> None:
        async with case.reading(instruments(2)) as batches:
            (connection,) = await begun(case, batches)
            for number in range(20):
                await connection.frame(frame(case.price(1, 10_000 + number)))
            prices: list[float] = []
            while len(prices) < 20:
                prices += (await rows_of(batches)).prices
            assert prices == [100 + number / 100 for number in range(20)]


class TestConnections:
    async def test_instruments_are_spread_evenly_over_as_few_as_hold_them(self, case: Case) -> None:
        async with case.reading(instruments(7), per_socket=3) as batches:
            connections = await begun(case, batches, 3)
            subscribed = sorted(
                [message["v"] for message in one.messages if message["a"] == "subscribe"]
                for one in connections
            )
            assert subscribed == [
                [[token(1), token(2), token(3)]],
                [[token(4), token(5), token(6)]],
                [[token(7)]],
            ]

    @pytest.mark.parametrize(
        ("count", "options"), [(10, {"per_socket": 3}), (4, {"per_socket": 3, "max_sockets": 1})]
    )
    async def test_more_than_they_hold_is_refused(
        self, case: Case, count: int, options: dict[str, int]
    ) -> None:
        with pytest.raises(SourceError, match="name fewer instruments"):
            await anext(case.made(**options).batches(instruments(count)))

    async def test_9000_are_taken_on_three(self, case: Case) -> None:
        assert [len(group) for group in case.made()._groups(range(9000))] == [3000] * 3
        assert [len(group) for group in case.made(per_socket=5)._groups(range(7))] == [4, 3]
        with pytest.raises(SourceError):
            case.made()._groups(range(9001))

    async def test_no_instrument_is_refused(self, case: Case) -> None:
        with pytest.raises(SourceError, match="at least one"):
            await anext(case.made().batches([]))

    async def test_a_mute_connection_proves_nothing_by_the_others(
        self, case: Case, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "ALIVE_NS", SECOND_NS // 5)
        async with case.reading(instruments(2), per_socket=1, silent_seconds=30) as batches:
            first, second = await begun(case, batches, 2)
            await second.frame(HEARTBEAT)
            mute_since = case.clock.now() + SECOND_NS // 5
            await asyncio.sleep(0.4)
            await first.frame(frame(case.price(1 if first.messages[0]["v"] == [token(1)] else 2)))
            batch = await rows_of(batches)
            assert batch.proven is not None
            assert batch.proven < mute_since < batch.ts[-1]
            await second.frame(HEARTBEAT)
            batch = await next_of(batches)
            while (batch.proven or 0) < mute_since:
                batch = await next_of(batches)

    async def test_after_a_reconnect_a_snapshot_without_a_time_is_held_back_again(self, case: Case) -> None:
        async with case.reading(instruments(1), mode="quote") as batches:
            (connection,) = await begun(case, batches)
            await connection.frame(frame(quote(token(1), 100), quote(token(1), 101)))
            assert (await rows_of(batches)).prices == [1.01]
            connection.abort()
            reading = asyncio.create_task(rows_of(batches))
            again = await case.peer.connection(2)
            await again.until(2)
            await again.frame(frame(quote(token(1), 101)))
            await again.frame(frame(quote(token(1), 102)))
            assert (await reading).prices == [1.02]

    async def test_its_end_ends_its_connections_and_tasks(self, case: Case) -> None:
        before = asyncio.all_tasks()
        async with case.reading(instruments(2), per_socket=1) as batches:
            connections = await begun(case, batches, 2)
        async with asyncio.timeout(PATIENCE):
            for connection in connections:
                await connection.ended.wait()
        served = {task for task in asyncio.all_tasks() - before if "web_protocol" not in repr(task)}
        assert not served

    async def test_who_waits_for_a_batch_may_be_cancelled(self, case: Case) -> None:
        batches = case.made().batches(instruments(1))
        (connection,) = await begun(case, batches)
        reading = asyncio.create_task(next_of(batches))
        await asyncio.sleep(0)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        async with asyncio.timeout(PATIENCE):
            await connection.ended.wait()

    async def test_a_mistake_in_a_connection_ends_the_source(
        self, case: Case, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with case.reading(instruments(1)) as batches:
            (connection,) = await begun(case, batches)
            monkeypatch.setattr(module, "parse", lambda _: 1 / 0)
            await connection.frame(frame(case.price(1)))
            with pytest.raises(ZeroDivisionError):
                await rows_of(batches)


class TestSlowReader:
    async def test_only_the_newest_of_each_token_waits_and_the_others_are_counted(self, case: Case) -> None:
        async with case.reading(instruments(2)) as batches:
            (connection,) = await begun(case, batches)
            await connection.frame(frame(case.price(1)))
            await rows_of(batches)
            sent = LEAST + 500
            for number in range(1, sent + 1):
                await connection.frame(frame(case.price(1, 10_000 + number, volume=number)))
            await connection.frame(frame(case.price(2)))
            dropped, seen, volume = 0, 0, 0.0
            prices: list[float] = []
            await asyncio.sleep(0.5)  # nobody reads meanwhile
            while token(2) not in (batch := await next_of(batches)).tokens:
                dropped, seen = dropped + batch.conflated, seen + len(batch.tokens)
                prices += batch.prices
                volume += sum(batch.volumes or ())
            dropped, seen = dropped + batch.conflated, seen + len(batch.tokens)
            volume += sum(batch.volumes or ())
            assert dropped > 0
            assert seen + dropped == sent + 1
            assert (*prices, *batch.prices)[-2] == (10_000 + sent) / 100
            assert volume == sent  # what was dropped is in the next one's volume


class TestTrouble:
    async def test_without_a_session_it_says_so_and_goes_on_by_itself_after_a_login(self, case: Case) -> None:
        case.login.write("old", seconds=-1)
        async with case.reading(instruments(1)) as batches:
            reading = asyncio.create_task(next_of(batches))
            async with asyncio.timeout(PATIENCE):
                while "log in" not in case.source.problem():  # noqa: ASYNC110 - nothing else tells of it
                    await asyncio.sleep(0)
            case.login.write("new")
            await (await case.peer.connection()).frame(HEARTBEAT)
            await reading
            assert case.source.problem() == ""

    async def test_what_kite_says_is_wrong_is_told_once(self, case: Case) -> None:
        with capture_logs() as logs:
            async with case.reading(instruments(1)) as batches:
                (connection,) = await begun(case, batches)
                for _ in range(2):
                    await connection.text({"type": "error", "data": "too many tokens"})
                for text in (
                    "no json",
                    '{"type":"order","data":{}}',
                    '{"type":"message","data":"hello"}',
                    "[1]",
                ):
                    await connection.text(text)
                await connection.frame(frame(case.price(1)))
                await rows_of(batches)
                assert case.source.problem() == "too many tokens"
                connection.abort()
                reading = asyncio.create_task(next_of(batches))
                await (await case.peer.connection(2)).frame(HEARTBEAT)
                await reading
                assert case.source.problem() == ""
        assert [one["message"] for one in logs if one["event"] == "kite_says_error"] == ["too many tokens"]
