"""One request, once, before its deadline, or not at all; and what is known afterwards."""

import asyncio
import contextlib
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from alpha_panda.adapters.clock import RealClock
from alpha_panda.adapters.http.client import OneShotClient
from alpha_panda.adapters.http.exchange import Answer, NotSent, Unanswered
from alpha_panda.contracts.codes import Code
from alpha_panda.errors import MisuseError

from .peer import Behave, Peer, answer, answers, closes, cuts, echoes, hangs, resets, says_nonsense

SECOND = 1_000_000_000
SECRET = "s3cret-access-token"  # noqa: S105 - it is none


class Steps(RealClock):
    """A clock whose monotonic time is `times` in turn; the last one stays."""

    def __init__(self, *times: int) -> None:
        self._times = list(times)

    def monotonic(self) -> int:
        return self._times.pop(0) if len(self._times) > 1 else self._times[0]


def soon(seconds: float = 20) -> int:
    return RealClock().monotonic() + round(seconds * SECOND)


@asynccontextmanager
async def between(behave: Behave, **options: Any) -> AsyncIterator[tuple[OneShotClient, Peer]]:
    async with Peer(behave) as peer:
        clock = options.pop("clock", RealClock())
        async with OneShotClient(clock, peer.url, send_within=5, **options) as client:
            yield client, peer


async def test_an_answer_in_full_is_an_answer() -> None:
    async with between(answers(answer(b'{"a":1}', "418 Teapot"))) as (client, peer):
        assert await client.send("POST", "/orders", soon(), body=b"xyz") == Answer(418, b'{"a":1}')
    head, _, body = peer.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /orders HTTP/1.1\r\n")
    assert body == b"xyz"
    assert b"\r\nAccept-Encoding: identity\r\n" in head + b"\r\n"


async def test_a_query_goes_along() -> None:
    async with between(answers(answer())) as (client, peer):
        await client.send("GET", "/orders", soon(), query="page=2")
    assert peer.requests[0].startswith(b"GET /orders?page=2 ")


# ----------------------------------------------------------------------------------------- the deadline


async def test_after_the_deadline_nobody_is_even_called() -> None:
    async with between(hangs, clock=Steps(10)) as (client, peer):
        assert await client.send("POST", "/", 10, body=b"x") == NotSent(
            Code.SEND_DEADLINE_PASSED, "the permission to send had run out"
        )
        assert peer.connections == 0


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_a_deadline_that_passes_while_connecting_sends_nothing(method: str) -> None:
    """Looked at before, for the time-out, and last just before the first byte."""
    async with between(hangs, clock=Steps(0, 0, 20 * SECOND)) as (client, peer):
        found = await client.send(method, "/", 20 * SECOND, body=b"x")
        assert isinstance(found, NotSent)
        assert found.code is Code.SEND_DEADLINE_PASSED
        await asyncio.sleep(0.05)  # anything sent would have come
        assert peer.connections == 1
        assert peer.bytes_in == 0


async def test_a_deadline_that_passes_between_headers_and_body_sends_neither() -> None:
    seen = asyncio.Event()
    got = b""

    async def read_all(_: Peer, reader: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        nonlocal got
        with contextlib.suppress(ConnectionError):  # piece by piece: what came before a reset counts
            while chunk := await reader.read(65_536):
                got += chunk
        seen.set()

    async with between(read_all, clock=Steps(0, 0, 0, 20 * SECOND)) as (client, _):
        found = await client.send("POST", "/", 20 * SECOND, body=b"x")
        assert isinstance(found, Unanswered)  # the gate was open: better in doubt than wrong
        await seen.wait()
        assert got == b""


async def test_silence_ends_with_the_deadline() -> None:
    async with between(hangs) as (client, peer):
        clock, begun = RealClock(), RealClock().monotonic()
        found = await client.send("POST", "/", soon(0.3), body=b"x")
        assert found == Unanswered("no answer in time")
        assert 0.25 < (clock.monotonic() - begun) / SECOND < 5
        assert len(peer.requests) == 1


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="how others treat a full backlog differs")
async def test_a_connection_that_never_comes_about_sends_nothing() -> None:
    with socket.socket() as listener, contextlib.ExitStack() as fillers:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with OneShotClient(RealClock(), url, send_within=5) as client:
            found = await client.send("POST", "/", soon(0.3), body=b"x")
    assert isinstance(found, NotSent)
    assert found.code is Code.SEND_DEADLINE_PASSED


async def test_what_has_not_left_at_the_deadline_never_leaves() -> None:
    """The other side reads nothing until the deadline: of a long body only what its system took may arrive."""
    size, got, ended = 1024 * 1024, 0, asyncio.Event()

    async def reads_late(_: Peer, reader: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        nonlocal got
        await over.wait()
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(1 << 20):
                got += len(chunk)
        ended.set()

    over = asyncio.Event()
    async with between(reads_late) as (client, peer):
        peer.shrink()
        found = await client.send("POST", "/", soon(0.5), body=bytes(size))
        over.set()
        await ended.wait()
    assert isinstance(found, Unanswered)
    assert got < size / 2


async def test_a_cancelled_call_leaves_no_connection_behind() -> None:
    gone = asyncio.Event()

    async def waits_for_the_end(peer: Peer, reader: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await peer.request(reader)
        with contextlib.suppress(ConnectionError):
            await reader.read()
        gone.set()

    async with between(waits_for_the_end) as (client, peer):
        call = asyncio.create_task(client.send("POST", "/", soon(), body=b"x"))
        await peer.seen.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await gone.wait()


# --------------------------------------------------------------------------------------------- once


@pytest.mark.parametrize("keep_alive", [0, 30])
@pytest.mark.parametrize("behave", [closes, resets, cuts, says_nonsense])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "GET"])
async def test_what_gets_no_answer_is_in_doubt_and_not_repeated(
    method: str, behave: Behave, keep_alive: float
) -> None:
    async with between(behave, keep_alive=keep_alive) as (client, peer):
        found = await client.send(method, "/", soon(), body=b"x")
        assert isinstance(found, Unanswered)
        assert len(peer.requests) == 1
        assert peer.connections == 1


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "GET"])
async def test_a_proven_connection_that_dies_under_a_request_is_no_reason_to_repeat_it(method: str) -> None:
    """aiohttp by itself would send GET, PUT and DELETE again."""

    async def dies(peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await peer.request(reader)
        writer.write(answer())
        await writer.drain()
        await peer.request(reader)

    async with between(dies, keep_alive=30) as (client, peer):
        assert isinstance(await client.send(method, "/", soon(), body=b"1"), Answer)
        assert isinstance(await client.send(method, "/", soon(), body=b"2"), Unanswered)
        assert peer.connections == 1  # it was the proven one
        assert len(peer.requests) == 2


@pytest.mark.parametrize(("keep_alive", "connections"), [(0, 2), (30, 1)])
async def test_a_connection_is_used_once_unless_asked_otherwise(keep_alive: float, connections: int) -> None:
    async with between(answers(answer(), answer()), keep_alive=keep_alive) as (client, peer):
        for _ in range(2):
            assert isinstance(await client.send("POST", "/", soon(), body=b"x"), Answer)
        assert peer.connections == connections


@pytest.mark.parametrize(
    "status", ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"]
)
async def test_a_redirect_is_an_answer(status: str) -> None:
    async with between(answers(answer(), answer())) as (target, elsewhere):
        del target
        reply = answer(b"", status, f"Location: {elsewhere.url}/orders\r\n")
        async with between(answers(reply, answer())) as (client, peer):
            found = await client.send("POST", "/orders", soon(), body=b"x")
        assert found == Answer(int(status[:3]), b"")
        assert (len(peer.requests), len(elsewhere.requests)) == (1, 0)


# ---------------------------------------------------------------------------------------- never sent


async def test_nobody_listening_is_a_definite_refusal() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        async with OneShotClient(RealClock(), url, send_within=5) as client:
            found = await client.send("POST", "/", soon(), body=b"x")
    assert isinstance(found, NotSent)
    assert found.code is Code.BROKER_UNREACHABLE


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
async def test_a_proxy_of_the_environment_is_not_asked(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    async with between(answers(answer())) as (client, peer):
        assert isinstance(await client.send("POST", "/", soon(), body=b"x"), Answer)
        assert len(peer.requests) == 1


async def test_cookies_are_not_kept() -> None:
    async with between(answers(answer(extra="Set-Cookie: a=b\r\n"), answer())) as (client, peer):
        for _ in range(2):
            await client.send("POST", "/", soon(), body=b"x")
    assert b"ookie" not in peer.requests[1]


async def test_an_answer_too_long_to_read_is_none() -> None:
    async with between(answers(answer(b"x" * 101), answer(b"x" * 100)), longest_body=100) as (client, _):
        assert await client.send("GET", "/", soon()) == Unanswered("an answer of more than 100 bytes")
        assert isinstance(await client.send("GET", "/", soon()), Answer)


# ---------------------------------------------------------------------------------------------- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of `localhost`, signed by itself, with its key in the same file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl to make a certificate with")
    folder = tmp_path_factory.mktemp("tls")
    key, cert = folder / "key.pem", folder / "cert.pem"
    wanted = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    subprocess.run(  # noqa: S603 - our own words
        [openssl, *wanted.split(), "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", cert],
        check=True,
        capture_output=True,
        timeout=30,
    )
    both = folder / "both.pem"
    both.write_bytes(key.read_bytes() + cert.read_bytes())
    return both


@pytest.fixture
def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


async def test_orders_go_to_a_server_that_proves_its_name(
    server_tls: ssl.SSLContext, certificate: Path
) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate))
    async with Peer(answers(answer()), server_tls) as peer:
        async with OneShotClient(RealClock(), peer.url, send_within=5, tls=trusting) as client:
            assert isinstance(await client.send("POST", "/", soon(), body=b"x"), Answer)
        wrong_name = peer.url.replace("localhost", "127.0.0.1")
        async with OneShotClient(RealClock(), wrong_name, send_within=5, tls=trusting) as client:
            assert isinstance(await client.send("POST", "/", soon(), body=b"x"), NotSent)
        assert len(peer.requests) == 1


async def test_a_server_that_nobody_vouches_for_gets_nothing(server_tls: ssl.SSLContext) -> None:
    async with (
        Peer(answers(answer()), server_tls) as peer,
        OneShotClient(RealClock(), peer.url, send_within=5) as client,
    ):
        found = await client.send("POST", "/", soon(), body=b"x")
        assert isinstance(found, NotSent)
        assert found.code is Code.BROKER_UNREACHABLE
        assert peer.bytes_in == 0


async def test_a_server_that_speaks_no_tls_gets_no_request() -> None:
    async def speaks(_: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer())

    async with Peer(speaks) as peer:
        url = peer.url.replace("http:", "https:")
        async with OneShotClient(RealClock(), url, send_within=5) as client:
            assert isinstance(await client.send("POST", "/", soon(), body=b"x"), NotSent)


def test_verification_can_not_be_turned_off() -> None:
    context = ssl.create_default_context()
    context.check_hostname = False
    with pytest.raises(MisuseError):
        OneShotClient(RealClock(), "https://localhost", send_within=5, tls=context)
    context.verify_mode = ssl.CERT_NONE
    with pytest.raises(MisuseError):
        OneShotClient(RealClock(), "https://localhost", send_within=5, tls=context)


# ------------------------------------------------------------------------------- secrets and sockets


def bearer() -> dict[str, str]:
    return {"Authorization": f"token {SECRET}"}


@pytest.mark.parametrize("behave", [closes, resets, cuts, says_nonsense, echoes, hangs])
async def test_no_message_tells_a_secret(behave: Behave, caplog: pytest.LogCaptureFixture) -> None:
    async with between(behave, headers=bearer) as (client, peer):
        found = await client.send("POST", "/", soon(0.3), body=b"x")
        assert SECRET.encode() in peer.requests[0]
    assert SECRET not in repr(found) + caplog.text


@pytest.mark.parametrize("end", ["\r", "\n", "\0"])
async def test_a_secret_that_can_not_be_sent_is_not_told_either(end: str) -> None:
    broken = {"Authorization": f"token {SECRET}{end}"}
    async with between(hangs, headers=lambda: broken) as (client, peer):
        found = await client.send("POST", "/", soon(), body=b"x")
        assert isinstance(found, NotSent)
        assert SECRET not in repr(found)
        assert peer.bytes_in == 0


async def test_a_renewed_secret_is_used_at_once() -> None:
    tokens = iter(["one", "two"])
    async with between(answers(answer(), answer()), headers=lambda: {"X-T": next(tokens)}) as (client, peer):
        for _ in range(2):
            await client.send("POST", "/", soon(), body=b"x")
    assert [b"X-T: one" in peer.requests[0], b"X-T: two" in peer.requests[1]] == [True, True]


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux has it")
def test_the_kernel_gives_up_after_s_too() -> None:
    client = OneShotClient(RealClock(), "http://localhost", send_within=2.5)
    with client._socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 1))) as made:
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 2500
        assert made.getblocking() is False


async def test_the_kernels_limit_is_on_the_sockets_that_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[socket.socket] = []
    original = OneShotClient._socket

    def noted(self: OneShotClient, address: tuple[Any, ...]) -> socket.socket:
        made.append(original(self, address))
        return made[-1]

    monkeypatch.setattr(OneShotClient, "_socket", noted)
    async with between(answers(answer())) as (client, _):
        assert isinstance(await client.send("POST", "/", soon(), body=b"x"), Answer)
    assert made


async def test_a_system_without_that_limit_does_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(socket, "TCP_USER_TIMEOUT", raising=False)
    async with between(answers(answer())) as (client, _):
        assert isinstance(await client.send("POST", "/", soon(), body=b"x"), Answer)
