import hashlib
import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.adapters.zerodha.postbacks import LONGEST, PostbackServer, checksum, is_genuine
from alpha_panda.errors import DependencyUnavailableError

WORD = "hush"
TIME = "2026-11-20 10:00:00"


def postback(word: str = WORD, **changes: Any) -> bytes:
    signed = {"order_id": "7", "order_timestamp": TIME, "status": "COMPLETE"}
    proof = hashlib.sha256(f"7{TIME}{word}".encode()).hexdigest()
    return json.dumps({**signed, "checksum": proof, **changes}).encode()


class TestChecksum:
    def test_one_made_with_the_secret_is_genuine(self) -> None:
        assert is_genuine(postback(), WORD)
        assert is_genuine(postback(checksum=checksum("7", TIME, WORD).upper()), WORD)

    @pytest.mark.parametrize(
        "changes",
        [
            {"order_id": "8"},
            {"order_id": 7},
            {"order_timestamp": "2026-11-20 10:00:01"},
            {"checksum": ""},
            {"checksum": None},
            {"checksum": "é" * 64},
            {"order_id": ""},
        ],
    )
    def test_anything_else_about_it_is_not(self, changes: dict[str, Any]) -> None:
        assert not is_genuine(postback(**changes), WORD)

    def test_another_secret_is_not(self) -> None:
        assert not is_genuine(postback("other"), WORD)

    def test_without_a_secret_nothing_is(self) -> None:
        assert not is_genuine(postback(""), "")

    @given(st.binary(max_size=200))
    def test_no_bytes_make_it_raise(self, body: bytes) -> None:
        assert not is_genuine(body, WORD)


class TestServer:
    @pytest.fixture
    async def taken(self) -> list[bytes]:
        return []

    @pytest.fixture
    async def server(self, taken: list[bytes]) -> AsyncIterator[PostbackServer]:
        async with PostbackServer(0, lambda: WORD, taken.append, host="127.0.0.1") as server:
            yield server

    async def post(self, server: PostbackServer, body: bytes, path: str = "/kite/postback") -> int:
        async with (
            aiohttp.ClientSession() as client,
            client.post(f"http://127.0.0.1:{server.port}{path}", data=body) as answer,
        ):
            await answer.read()
            return answer.status

    async def test_a_genuine_one_is_delivered_whole(self, server: PostbackServer, taken: list[bytes]) -> None:
        assert await self.post(server, postback()) == 200
        assert await self.post(server, postback(), "/") == 200
        assert taken == [postback(), postback()]

    async def test_a_forged_one_is_not(self, server: PostbackServer, taken: list[bytes]) -> None:
        assert await self.post(server, postback("other")) == 403
        assert await self.post(server, b"") == 403
        assert taken == []

    async def test_one_that_is_too_long_is_not(self, server: PostbackServer, taken: list[bytes]) -> None:
        assert await self.post(server, postback(status="x" * LONGEST)) == 413
        assert taken == []

    async def test_only_posts_are_answered(self, server: PostbackServer) -> None:
        async with (
            aiohttp.ClientSession() as client,
            client.get(f"http://127.0.0.1:{server.port}/") as answer,
        ):
            assert answer.status == 405


async def test_a_port_that_is_taken_is_a_fault_of_a_dependency_and_ends_no_process() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(DependencyUnavailableError, match=f"can't listen at port {port}"):
            async with PostbackServer(port, lambda: WORD, lambda _: None, host="127.0.0.1"):
                pass
