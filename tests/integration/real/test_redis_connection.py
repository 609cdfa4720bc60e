"""Reaching a real Redis: logins that change, TLS, names, and servers that are silent or gone."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from alpha_panda.adapters.ids import RandomIds
from alpha_panda.adapters.redis.connection import RedisAddress, make_database
from alpha_panda.adapters.redis.database import RedisDatabase
from alpha_panda.contracts.keys import KeyMap
from alpha_panda.errors import DependencyUnavailableError
from alpha_panda.testing.servers.redis import RedisServer, TlsFiles


@asynccontextmanager
async def reached(url: str, **options: Any) -> AsyncIterator[RedisDatabase]:
    database = make_database(RedisAddress(url, **options), RandomIds(), KeyMap())
    try:
        yield database
    finally:
        await database.close()


async def test_it_is_reached_under_the_clients_name(redis_server: RedisServer) -> None:
    async with reached(redis_server.url, client_name="engine paper") as database:
        assert await database.command("CLIENT", "GETNAME") == b"engine-paper"


async def test_it_comes_back_by_itself_after_a_restart(own_redis_server: RedisServer) -> None:
    async with reached(own_redis_server.url) as database:
        await database.command("SET", "a", "1", writes=True)
        own_redis_server.kill()
        for _ in range(3):
            with pytest.raises(DependencyUnavailableError):
                await database.command("GET", "a")
        own_redis_server.start()
        assert await database.command("GET", "a") == b"1"


async def test_a_rotated_password_is_taken_at_the_next_connection(
    own_redis_server: RedisServer, tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.write_text("old\n")
    own_redis_server.add_user("ann", "on >old ~* +@all")
    url = f"redis://ann:forgotten@127.0.0.1:{own_redis_server.port}"
    async with reached(url, password=lambda: file.read_text().rstrip()) as database:
        await database.command("PING")
        own_redis_server.add_user(
            "ann", "on >new ~* +@all"
        )  # ends its connections: their user is another now
        with own_redis_server.client() as client:
            client.execute_command("CLIENT", "KILL", "USER", "ann")
        with pytest.raises(DependencyUnavailableError):
            await database.command("PING")
        file.write_text("new\n")
        assert await database.command("ACL", "WHOAMI") == b"ann"


async def test_a_password_that_cannot_be_read_is_said(redis_server: RedisServer, tmp_path: Path) -> None:
    async with reached(redis_server.url, password=(tmp_path / "absent").read_text) as database:
        with pytest.raises(DependencyUnavailableError, match="absent"):
            await database.command("PING")


async def test_tls_trusts_the_given_authority_and_no_other(tls_files: TlsFiles) -> None:
    with RedisServer(tls=tls_files) as server:
        async with reached(server.url, ca_file=tls_files.authority) as database:
            assert await database.command("PING") == b"PONG"
        async with reached(server.url) as database:
            with pytest.raises(DependencyUnavailableError, match="certificate"):
                await database.command("PING")


async def test_calls_beyond_the_bound_wait_their_turn(redis_server: RedisServer) -> None:
    async with reached(redis_server.url, max_connections=2) as database:
        replies = await asyncio.gather(*(database.command("CLIENT", "ID") for _ in range(20)))
    assert len(set(replies)) <= 2


async def test_a_server_that_takes_connections_and_says_nothing_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        async with reached(url, connect_timeout=0.2, call_timeout=0.2) as database:
            begun = time.monotonic()
            with pytest.raises(DependencyUnavailableError):
                await database.command("PING")
            assert time.monotonic() - begun < 2
