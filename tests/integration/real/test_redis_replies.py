"""A reply that is lost, late, cut or cancelled on its way from a real Redis: what is told, what was done."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import pytest

from alpha_panda.adapters.ids import RandomIds
from alpha_panda.adapters.redis.database import RedisDatabase
from alpha_panda.adapters.redis.pool import RedisPool
from alpha_panda.adapters.redis.scripts import Script
from alpha_panda.errors import DependencyUnavailableError, UnknownOutcomeError
from alpha_panda.testing.servers.proxy import FaultyProxy
from alpha_panda.testing.servers.redis import RedisServer
from contracts.redis_stores import is_answer, is_operation

COUNT: Final = Script("count", "#!lua\nreturn redis.call('INCR', KEYS[1])", writes=True)
LOOK: Final = Script("look", "#!lua flags=no-writes\nreturn redis.call('GET', KEYS[1])", writes=False)
HALF: Final = Script(
    "half", "#!lua\nredis.call('INCR', KEYS[1])\nredis.call('HGET', KEYS[1], 'x')", writes=True
)
LONG: Final = "#!lua\nlocal n = 0\nwhile true do n = n + 1 end"
PATIENCE: Final = 10.0
ATTEMPTS: Final = 50
SHORT: Final = 0.2
"""Seconds after which a missing reply is given up."""


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer(config={"busy-reply-threshold": "50"}) as server:
        yield server


@dataclass
class Bench:
    server: RedisServer
    proxy: FaultyProxy
    database: RedisDatabase

    async def count(self) -> int:
        return int(await self.database.run(COUNT, ["n"]))

    def counted(self) -> int:
        """How often the script was carried out, as the server says."""
        with self.server.client() as client:
            return int(client.get("n") or 0)

    @contextmanager
    def configured(self, name: str, value: str) -> Iterator[None]:
        with self.server.client() as client:
            before = client.config_get(name)[name]
            client.config_set(name, value)
            yield
            client.config_set(name, before)


@pytest.fixture
async def bench(server: RedisServer) -> AsyncIterator[Bench]:
    if not server.running:
        server.start()
    server.clear()
    async with FaultyProxy("127.0.0.1", server.port) as proxy:
        pool = RedisPool(f"redis://127.0.0.1:{proxy.port}", timeout=5, max_connections=2)
        database = RedisDatabase(pool, RandomIds(), timeout=SHORT)
        yield Bench(server, proxy, database)
        await database.close()


async def test_reply_that_never_comes(bench: Bench) -> None:
    bench.proxy.drop_reply(is_operation, is_answer)
    with pytest.raises(UnknownOutcomeError):
        await bench.count()
    assert bench.counted() == 1
    assert await bench.count() == 2


async def test_reply_of_a_read_that_never_comes(bench: Bench) -> None:
    bench.proxy.drop_reply(is_operation, is_answer)
    with pytest.raises(DependencyUnavailableError):
        await bench.database.run(LOOK, ["n"])
    assert await bench.database.run(LOOK, ["n"]) is None


async def test_connection_reset_after_the_request(bench: Bench) -> None:
    await bench.count()
    bench.proxy.reset_reply(is_operation, is_answer)
    with pytest.raises(UnknownOutcomeError):
        await bench.count()
    assert bench.counted() == 2


@pytest.mark.parametrize("size", [0, 1, 40])
async def test_request_cut_on_its_way_is_unknown_though_nothing_was_done(bench: Bench, size: int) -> None:
    await bench.count()
    bench.proxy.cut_request(size, is_operation)
    with pytest.raises(UnknownOutcomeError):
        await bench.count()
    assert bench.counted() == 1


async def test_late_reply_is_never_read_as_anothers(bench: Bench) -> None:
    await bench.count()
    bench.proxy.hang()
    with pytest.raises(UnknownOutcomeError):
        await bench.count()
    bench.proxy.release()
    assert await bench.database.command("ECHO", "mine") == b"mine"
    assert await bench.count() == 3


async def test_reply_of_a_cancelled_call_is_never_read_as_anothers(bench: Bench) -> None:
    await bench.count()
    bench.proxy.hang()
    call = asyncio.create_task(bench.count())
    await _until(lambda: bench.counted() == 2)  # the request has arrived
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    bench.proxy.release()
    assert await bench.database.command("ECHO", "mine") == b"mine"
    assert bench.counted() == 2


async def test_slow_reply_within_the_time_is_fine(bench: Bench) -> None:
    bench.proxy.delay = SHORT / 10
    assert await bench.count() == 1


async def test_refused_connection(bench: Bench) -> None:
    bench.proxy.refuse()
    with pytest.raises(DependencyUnavailableError):
        await bench.count()
    assert bench.counted() == 0
    assert await bench.count() == 1


async def test_server_that_is_gone(bench: Bench) -> None:
    await bench.count()
    bench.server.kill()
    await _noticed(bench)
    with pytest.raises(DependencyUnavailableError):
        await bench.count()
    bench.server.start()
    assert await bench.count() == 2  # a fresh connection; the script is loaded anew


async def test_idle_connections_outlive_no_restart(bench: Bench) -> None:
    await bench.count()
    bench.server.restart()
    await _noticed(bench)
    assert await bench.count() == 2


async def test_frozen_server_does_what_it_was_sent_when_it_thaws(bench: Bench) -> None:
    await bench.count()
    bench.server.pause()
    with pytest.raises(UnknownOutcomeError):
        await bench.count()
    bench.server.resume()
    assert await bench.count() == 3


async def test_script_that_fails_in_the_middle_is_unknown(bench: Bench) -> None:
    with pytest.raises(UnknownOutcomeError, match="WRONGTYPE"):
        await bench.database.run(HALF, ["n"])
    assert bench.counted() == 1


async def test_full_memory_refuses_writes_before_they_begin_and_no_reads(bench: Bench) -> None:
    await bench.count()
    with bench.configured("maxmemory", "1mb"), pytest.raises(DependencyUnavailableError, match="OOM"):
        await bench.count()
    with bench.configured("maxmemory", "1mb"):
        assert await bench.database.run(LOOK, ["n"]) == b"1"
    assert bench.counted() == 1


async def test_replica_refuses_writes_before_they_begin(bench: Bench) -> None:
    await bench.count()
    with bench.server.client() as client:
        client.replicaof("127.0.0.1", "1")
        with pytest.raises(DependencyUnavailableError, match=r"READONLY|MASTERDOWN"):
            await bench.count()
        client.replicaof("NO", "ONE")
    assert bench.counted() == 1


async def test_server_that_is_busy_with_another_script(bench: Bench) -> None:
    await bench.count()
    with bench.server.client() as client:
        other = asyncio.create_task(asyncio.to_thread(_run_for_ever, bench.server))
        for _ in range(ATTEMPTS):  # until the other script runs longer than busy-reply-threshold
            try:
                await bench.count()
            except DependencyUnavailableError as error:
                assert "BUSY" in str(error)  # noqa: PT017 - the loop ends with the first one
                break
            except UnknownOutcomeError:
                continue  # it waited for the threshold
        else:
            pytest.fail("the other script never made the server busy")
        client.script_kill()
        assert await other


def _run_for_ever(server: RedisServer) -> bool:
    with server.client() as client:
        try:
            client.eval(LONG, 0)
        except Exception as error:  # noqa: BLE001 - any error: it was killed
            return "killed" in str(error).lower()
    return False


async def _noticed(bench: Bench) -> None:
    """Wait until this end of the idle connections knows that the other one has gone."""
    (connection,) = bench.database.pool._idle
    reader = connection._reader
    assert reader is not None
    await _until(lambda: reader.at_eof() or reader.exception() is not None)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - the server and the stream tell nobody
            await asyncio.sleep(0)
