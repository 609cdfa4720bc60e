"""What Redis answers, or doesn't, is told as the ports say."""

import asyncio
from typing import Final

import pytest

from alpha_panda.adapters.ids import RandomIds
from alpha_panda.adapters.redis.database import RedisDatabase
from alpha_panda.adapters.redis.pool import RedisPool
from alpha_panda.adapters.redis.scripts import Script
from alpha_panda.errors import (
    DependencyUnavailableError,
    FencedError,
    MisuseError,
    SettingsError,
    UnknownOutcomeError,
)
from unit.adapters.redis.canned import TIMEOUT, Canned, answering

WRITE: Final = Script("write", "#!lua\nreturn 1", writes=True)
READ: Final = Script("read", "#!lua flags=no-writes\nreturn 1", writes=False)

REFUSALS = [
    b"-LOADING Redis is loading the dataset in memory\r\n",
    b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
    b"-READONLY You can't write against a read only replica.\r\n",
    b"-MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist\r\n",
    b"-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n",
    b"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.\r\n",
    b"-NOREPLICAS Not enough good replicas to write.\r\n",
    b"-NOPERM this user has no permissions to run the 'evalsha' command\r\n",
    b"-NOAUTH Authentication required.\r\n",
]
HALF_WAY = [
    b"-ERR user_script:3: attempt to index a nil value script: abc, on @user_script:3.\r\n",
    b"-OOM command not allowed script: abc, on @user_script:9.\r\n",
    b"-WRONGTYPE Operation against a key holding the wrong kind of value script: abc, on @user_script:9.\r\n",
    b"-ERR something new\r\n",
]


@pytest.mark.parametrize("reply", REFUSALS, ids=lambda reply: reply.split()[0].decode())
@pytest.mark.parametrize("script", [WRITE, READ], ids=["write", "read"])
async def test_what_redis_refused_to_begin_was_not_done(reply: bytes, script: Script) -> None:
    canned = Canned(reply)
    async with answering(canned) as database:
        with pytest.raises(DependencyUnavailableError, match=reply.split()[0].decode().lstrip("-")):
            await database.run(script, ["key"])
        assert len(canned.requests) == 1


@pytest.mark.parametrize("reply", HALF_WAY, ids=lambda reply: reply.split()[0].decode())
async def test_an_error_within_a_script_leaves_open_what_it_wrote(reply: bytes) -> None:
    canned = Canned(reply)
    async with answering(canned) as database:
        with pytest.raises(UnknownOutcomeError):
            await database.run(WRITE, ["key"])
        with pytest.raises(DependencyUnavailableError):
            await database.run(READ, ["key"])
        assert len(canned.requests) == 2


async def test_refusals_of_the_scripts_own() -> None:
    async with answering(
        Canned(b"-FENCED epoch 7 is stale\r\n", b"-MISUSE SENDING is no outcome\r\n")
    ) as database:
        with pytest.raises(FencedError, match=r"^epoch 7 is stale$"):
            await database.run(WRITE, ["key"])
        with pytest.raises(MisuseError, match=r"^SENDING is no outcome$"):
            await database.run(WRITE, ["key"])


async def test_lost_reply_of_a_write_is_unknown_and_of_a_read_a_failure() -> None:
    canned = Canned(None)
    async with answering(canned) as database:
        with pytest.raises(UnknownOutcomeError):
            await database.run(WRITE, ["key"])
        with pytest.raises(DependencyUnavailableError):
            await database.run(READ, ["key"])
        with pytest.raises(UnknownOutcomeError):
            await database.command("SET", "key", "value", writes=True)
        with pytest.raises(DependencyUnavailableError):
            await database.command("GET", "key")
        assert len(canned.requests) == 4  # nothing is ever sent again


async def test_garbage_is_a_lost_reply() -> None:
    async with answering(Canned(b"?what\r\n")) as database:
        with pytest.raises(UnknownOutcomeError):
            await database.run(WRITE, ["key"])


async def test_script_that_redis_does_not_know_is_loaded_and_run_again() -> None:
    canned = Canned(b"-NOSCRIPT No matching script.\r\n", b"$3\r\nsha\r\n", b":1\r\n")
    async with answering(canned) as database:
        assert await database.run(WRITE, ["key"], ["argument"]) == 1
    first, load, again = canned.requests
    assert first == again
    assert WRITE.sha.encode() in first
    assert WRITE.text.encode() in load


async def test_script_that_redis_forgets_at_once_was_not_run() -> None:
    canned = Canned(
        b"-NOSCRIPT No matching script.\r\n", b"$3\r\nsha\r\n", b"-NOSCRIPT No matching script.\r\n"
    )
    async with answering(canned) as database:
        with pytest.raises(DependencyUnavailableError):
            await database.run(WRITE, ["key"])
        assert len(canned.requests) == 3


async def test_scripts_that_only_read_are_sent_as_such() -> None:
    canned = Canned(b":1\r\n")
    async with answering(canned) as database:
        await database.run(WRITE, ["key"])
        await database.run(READ, ["key"])
    assert [b"EVALSHA_RO" in request for request in canned.requests] == [False, True]


async def test_the_offset_of_the_clock_goes_first() -> None:
    canned = Canned(b":1\r\n")
    async with answering(canned) as database:
        shifted = RedisDatabase(database.pool, RandomIds(), timeout=TIMEOUT, time_offset=lambda: 5_000_000)
        await shifted.run(WRITE, ["key"], ["argument"])
    assert b"$1\r\n1\r\n$3\r\nkey\r\n$4\r\n5000\r\n$8\r\nargument\r\n" in canned.requests[0]


async def test_pipeline_returns_the_replies_in_order_and_raises_the_first_error() -> None:
    async with answering(Canned(b":1\r\n:2\r\n", b":1\r\n-OOM no\r\n")) as database:
        assert await database.pipeline([("GET", "a"), ("GET", "b")]) == [1, 2]
        with pytest.raises(DependencyUnavailableError, match="OOM"):
            await database.pipeline([("GET", "a"), ("GET", "b")])
        assert await database.pipeline([("GET", "a"), ("GET", "b")]) == [
            1,
            2,
        ]  # the same connection is in step


async def test_time_is_in_nanoseconds() -> None:
    async with answering(Canned(b"*2\r\n$2\r\n12\r\n$6\r\n345678\r\n")) as database:
        assert await database.time() == 12_345_678_000


# ---------------------------------------------------------------------------------------------- connections


async def test_nobody_listens() -> None:
    pool = RedisPool("redis://127.0.0.1:1", timeout=TIMEOUT, max_connections=1)
    database = RedisDatabase(pool, RandomIds(), timeout=TIMEOUT)
    for _ in range(3):  # each failure gives its place in the pool back
        with pytest.raises(DependencyUnavailableError):
            await database.run(WRITE, ["key"])


@pytest.mark.parametrize(
    "greeting", [b"-ERR max number of clients reached\r\n", b"-NOAUTH HELLO must be called\r\n", None]
)
async def test_server_that_takes_no_more_clients_has_done_nothing(greeting: bytes | None) -> None:
    canned = Canned(b":1\r\n", greeting=greeting)
    async with answering(canned) as database:
        for _ in range(6):
            with pytest.raises(DependencyUnavailableError):
                await database.run(WRITE, ["key"])
    assert canned.requests == []


async def test_waiting_for_a_connection_ends() -> None:
    canned = Canned(b":1\r\n")
    async with answering(canned, max_connections=1) as database:
        hurried = RedisPool(f"redis://127.0.0.1:{canned.port}", timeout=0.05, max_connections=1)
        taken = await hurried.take()
        with pytest.raises(DependencyUnavailableError, match="busy"):
            await RedisDatabase(hurried, RandomIds(), timeout=TIMEOUT).run(WRITE, ["key"])
        await hurried.give_back(taken, usable=True)
        assert await RedisDatabase(hurried, RandomIds(), timeout=TIMEOUT).run(WRITE, ["key"]) == 1
        await hurried.close()
        del database


async def test_no_more_connections_than_allowed() -> None:
    open_now = most = 0

    class Counting(Canned):
        async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal open_now, most
            open_now += 1
            most = max(most, open_now)
            await super().serve(reader, writer)
            open_now -= 1

    async with answering(Counting(b":1\r\n"), max_connections=3) as database:
        await asyncio.gather(*(database.run(WRITE, ["key"], timeout=TIMEOUT) for _ in range(50)))
    assert most == 3


async def test_closed_pool_gives_nothing() -> None:
    async with answering(Canned(b":1\r\n")) as database:
        await database.close()
        with pytest.raises(DependencyUnavailableError, match="closed"):
            await database.run(WRITE, ["key"])


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost",
        "redis://localhost?retry_on_timeout=yes",
        "redis://localhost?health_check_interval=1",
    ],
)
async def test_urls_that_would_change_the_protocol_are_refused(url: str) -> None:
    with pytest.raises(SettingsError):
        RedisPool(url, timeout=1, max_connections=1)
