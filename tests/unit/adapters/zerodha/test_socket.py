import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from alpha_panda.adapters.clock import RealClock
from alpha_panda.adapters.zerodha.socket import Ears, End, KiteSocket
from unit.adapters.zerodha.socket_kit import HEARTBEAT, PATIENCE, Login, Peer, chance, quick, serving

TOKENS = (408065, 256265, 5633)


class Listener:
    """Notes what arrives."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []
        self.texts: list[str] = []
        self.opened = 0
        self._arrived = asyncio.Event()

    def frame(self, data: bytes) -> None:
        self.frames.append(data)
        self._arrived.set()

    def text(self, text: str) -> None:
        self.texts.append(text)
        self._arrived.set()

    def open(self) -> None:
        self.opened += 1
        self._arrived.set()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not holds():
                self._arrived.clear()
                await self._arrived.wait()


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    async with serving() as peer:
        yield peer


class Case:
    """One socket against one peer."""

    def __init__(self, peer: Peer, folder: Path) -> None:
        self.peer = peer
        self.clock = RealClock()
        self.login = Login(folder, self.clock)
        self.listener = Listener()
        self.in_session = True
        self.socket: KiteSocket

    def made(self, tokens: tuple[int, ...] = TOKENS, **options: Any) -> KiteSocket:
        ears = Ears(self.listener.frame, self.listener.text, self.listener.open)
        return KiteSocket(
            "test",
            quick(self.peer.url, **options),
            clock=self.clock,
            session=self.login.file,
            ears=ears,
            chance=chance(),
            tokens=tokens,
            in_session=lambda _: self.in_session,
        )

    async def said(self, socket: KiteSocket, words: str) -> None:
        """Wait until the socket says this of itself; nothing else tells of it."""
        async with asyncio.timeout(PATIENCE):
            while words not in socket.problem:  # noqa: ASYNC110 - as above
                await asyncio.sleep(0)

    @asynccontextmanager
    async def running(self, tokens: tuple[int, ...] = TOKENS, **options: Any) -> AsyncIterator[KiteSocket]:
        self.socket = self.made(tokens, **options)
        task = asyncio.create_task(self.socket.run())
        try:
            yield self.socket
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def case(peer: Peer, tmp_path: Path) -> Case:
    made = Case(peer, tmp_path)
    made.login.write("first")
    return made


class TestConnection:
    async def test_key_and_token_are_in_the_address_and_the_version_is_told(self, case: Case) -> None:
        async with case.running():
            connection = await case.peer.connection()
        assert connection.query == {"api_key": "key", "access_token": "first"}
        assert connection.headers["X-Kite-Version"] == "3"
        assert "Sec-WebSocket-Extensions" not in connection.headers

    async def test_a_token_with_signs_in_it_arrives_whole(self, case: Case) -> None:
        case.login.write("a+b/c=&d")
        async with case.running():
            assert (await case.peer.connection()).named == "a+b/c=&d"

    async def test_instruments_are_subscribed_as_numbers_in_chunks_each_with_the_mode(
        self, case: Case
    ) -> None:
        async with case.running(chunk=2, mode="ltp"):
            messages = await (await case.peer.connection()).until(4)
        assert messages == [
            {"a": "subscribe", "v": [408065, 256265]},
            {"a": "mode", "v": ["ltp", [408065, 256265]]},
            {"a": "subscribe", "v": [5633]},
            {"a": "mode", "v": ["ltp", [5633]]},
        ]

    async def test_without_instruments_it_subscribes_to_nothing(self, case: Case) -> None:
        async with case.running(tokens=()):
            connection = await case.peer.connection()
            await connection.text({"type": "message", "data": "hello"})
            await case.listener.until(lambda: bool(case.listener.texts))
            assert connection.messages == []

    async def test_frames_and_texts_are_told_in_order_and_pings_are_answered(self, case: Case) -> None:
        async with case.running(tokens=()):
            connection = await case.peer.connection()
            await connection.frame(HEARTBEAT)
            await connection.socket.ping(b"you?")
            await connection.text("{}")
            await connection.frame(b"12345")
            await case.listener.until(lambda: len(case.listener.frames) == 2)
            await connection.until(1)
            assert case.listener.frames == [HEARTBEAT, b"12345"]
            assert case.listener.texts == ["{}"]
            assert connection.pongs == 1

    async def test_a_frame_of_3000_full_packets_passes(self, case: Case) -> None:
        async with case.running():
            await (await case.peer.connection()).frame(bytes(558_002))
            await case.listener.until(lambda: bool(case.listener.frames))
        assert len(case.listener.frames[0]) == 558_002

    async def test_while_it_is_connected_there_is_no_problem(self, case: Case) -> None:
        async with case.running() as socket:
            assert socket.problem
            await case.listener.until(lambda: case.listener.opened == 1)
            assert socket.problem == ""
            assert socket.heard_at > 0

    async def test_its_end_closes_the_connection_politely(self, case: Case) -> None:
        async with case.running():
            connection = await case.peer.connection()
            await case.listener.until(lambda: case.listener.opened == 1)
        async with asyncio.timeout(PATIENCE):
            await connection.ended.wait()
        assert connection.closed_politely

    async def test_what_a_listener_raises_is_not_swallowed(
        self, case: Case, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(_: bytes) -> None:
            raise LookupError("a mistake")

        monkeypatch.setattr(case.listener, "frame", fail)
        task = asyncio.create_task(case.made().run())
        await (await case.peer.connection()).frame(HEARTBEAT)
        with pytest.raises(LookupError):
            async with asyncio.timeout(PATIENCE):
                await task


class TestReconnecting:
    @pytest.mark.parametrize("how", ["abort", "close", "close_1011"])
    async def test_however_it_ends_it_connects_again_and_subscribes_anew(self, case: Case, how: str) -> None:
        async with case.running():
            for number in (1, 2, 3):
                connection = await case.peer.connection(number)
                assert len(await connection.until(2)) == 2
                if how == "abort":
                    connection.abort()
                else:
                    await connection.socket.close(code=1000 if how == "close" else 1011)
            await case.listener.until(lambda: case.listener.opened == 4)

    async def test_any_other_refusal_is_tried_again(self, case: Case) -> None:
        case.peer.refuse = [500, 502, 404, 429]
        async with case.running():
            await case.peer.connection()
        assert len(case.peer.handshakes) == 5

    async def test_a_server_that_is_not_there_is_tried_again(self, case: Case) -> None:
        wrong, case.peer.url = case.peer.url, "ws://127.0.0.1:9"
        async with case.running() as socket:
            await case.said(socket, "ClientConnectorError")
        case.peer.url = wrong

    async def test_a_handshake_that_is_never_answered_is_given_up(self, case: Case) -> None:
        async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with_connection.set()
            await reader.read()
            writer.close()

        with_connection = asyncio.Event()
        server = await asyncio.start_server(mute, "127.0.0.1", 0)
        case.peer.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server, case.running(connect_seconds=0.05):
            for _ in range(2):
                async with asyncio.timeout(PATIENCE):
                    await with_connection.wait()
                with_connection.clear()

    def test_pauses_double_up_to_a_limit_and_are_jittered(self, case: Case) -> None:
        socket = case.made(reconnect_initial_seconds=1, reconnect_max_seconds=60, throttled_seconds=30)
        for tries, whole in ((1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (1000, 60)):
            pauses = {socket._pause(End.LOST, tries) for _ in range(50)}
            assert len(pauses) > 40
            assert whole / 2 <= min(pauses) <= max(pauses) <= whole

    def test_after_a_429_it_waits_much_longer(self, case: Case) -> None:
        socket = case.made(reconnect_initial_seconds=1, reconnect_max_seconds=60, throttled_seconds=30)
        assert 30.5 <= socket._pause(End.THROTTLED, 1) <= 31

    def test_a_new_token_is_not_waited_with(self, case: Case) -> None:
        assert case.made()._pause(End.RENEWED, 5) == 0


class TestSilence:
    async def test_a_connection_that_says_nothing_is_given_up(self, case: Case) -> None:
        async with case.running(silent_seconds=0.1):
            first = await case.peer.connection(1)
            await case.peer.connection(2)
            async with asyncio.timeout(PATIENCE):
                await first.ended.wait()
        assert not first.closed_politely

    @pytest.mark.parametrize("what", ["heartbeat", "text", "ping", "pong"])
    async def test_any_frame_keeps_it(self, case: Case, what: str) -> None:
        async with case.running(silent_seconds=0.3):
            connection = await case.peer.connection()
            begun = case.clock.monotonic()
            while case.clock.monotonic() - begun < 800_000_000:
                if what == "heartbeat":
                    await connection.frame(HEARTBEAT)
                elif what == "text":
                    await connection.text("{}")
                else:
                    await (connection.socket.ping() if what == "ping" else connection.socket.pong())
                await asyncio.sleep(0.03)
            assert len(case.peer.connections) == 1

    async def test_outside_sessions_it_may_be_quiet(self, case: Case) -> None:
        case.in_session = False
        async with case.running(silent_seconds=0.05, closed_silent_seconds=30):
            await case.peer.connection()
            await asyncio.sleep(0.3)
            assert len(case.peer.connections) == 1
            case.in_session = True  # from the opening on silence counts
            await case.peer.connection(2)

    def test_silence_from_before_the_opening_does_not_count(self, case: Case) -> None:
        socket = case.made(silent_seconds=5, closed_silent_seconds=60)
        heard, second = socket._heard, 1_000_000_000
        assert not socket._is_silent(heard + 50 * second, heard + 46 * second)
        assert socket._is_silent(heard + 50 * second, heard + 44 * second)
        assert not socket._is_silent(heard + 50 * second, None)
        assert socket._is_silent(heard + 61 * second, None)

    async def test_outside_sessions_a_dead_one_is_found_too(self, case: Case) -> None:
        case.in_session = False
        async with case.running(silent_seconds=0.01, closed_silent_seconds=0.1):
            await case.peer.connection(2)

    @pytest.mark.parametrize(("in_session", "level"), [(True, "warning"), (False, "info")])
    async def test_a_loss_is_a_warning_in_a_session_only(
        self, case: Case, in_session: bool, level: str
    ) -> None:
        case.in_session = in_session
        with capture_logs() as logs:
            async with case.running():
                (await case.peer.connection()).abort()
                await case.peer.connection(2)
        assert [one["log_level"] for one in logs if one["event"] == "kite_socket_not_connected"] == [level]


class TestToken:
    async def test_without_a_session_it_waits_and_says_why(self, case: Case) -> None:
        case.login.write("gone", seconds=-1)
        async with case.running() as socket:
            await case.said(socket, "expired")
            assert not case.peer.handshakes
            case.login.write("fresh")
            assert (await case.peer.connection()).named == "fresh"

    async def test_a_new_token_is_picked_up_at_once_and_the_old_connection_closed(self, case: Case) -> None:
        async with case.running():
            first = await case.peer.connection(1)
            case.login.write("second")
            second = await case.peer.connection(2)
            assert second.named == "second"
            async with asyncio.timeout(PATIENCE):
                await first.ended.wait()
            assert first.closed_politely

    async def test_whoever_logs_in_during_a_pause_does_not_wait_for_its_end(self, case: Case) -> None:
        case.peer.refuse = [429]
        async with case.running(throttled_seconds=600):
            await case.peer.handshake(1)
            case.login.write("second")
            assert (await case.peer.connection()).named == "second"

    async def test_without_a_new_log_in_a_pause_is_kept(self, case: Case) -> None:
        case.peer.refuse = [429]
        async with case.running(throttled_seconds=0.3):
            await case.peer.handshake(1)
            begun = case.clock.monotonic()
            await case.peer.connection()
            assert case.clock.monotonic() - begun > 250_000_000

    async def test_a_new_log_in_is_no_loss(self, case: Case) -> None:
        with capture_logs() as logs:
            async with case.running():
                await case.peer.connection(1)
                case.login.write("second")
                await case.peer.connection(2)
        assert not [one for one in logs if one["log_level"] == "warning"]

    async def test_a_token_that_expires_leaves_the_connection_be(self, case: Case) -> None:
        case.login.write("short", seconds=0.1)
        async with case.running():
            await case.peer.connection()
            await asyncio.sleep(0.7)
            assert case.login.file.current() is None
            assert case.peer.living == 1

    async def test_a_refused_token_is_not_tried_again_until_there_is_another(self, case: Case) -> None:
        case.peer.refuse = [403]
        async with case.running() as socket:
            await case.peer.handshake(1)
            await asyncio.sleep(0.2)
            assert len(case.peer.handshakes) == 1
            assert "403" in socket.problem
            case.login.write("second")
            assert (await case.peer.connection()).named == "second"

    async def test_much_later_a_refused_token_is_tried_once_more(self, case: Case) -> None:
        case.peer.refuse = [403, 403]
        async with case.running(refused_seconds=0.05):
            await case.peer.connection()
        assert [one["access_token"] for one in case.peer.handshakes] == ["first"] * 3

    async def test_a_refusal_does_not_mark_the_session_dead_for_orders(self, case: Case) -> None:
        case.peer.refuse = [403]
        async with case.running():
            await case.peer.handshake(1)
            await asyncio.sleep(0.05)
        assert case.login.file.current() is not None

    async def test_no_log_holds_the_token(self, case: Case) -> None:
        case.peer.refuse = [403, 429, 500]
        with capture_logs() as logs:
            async with case.running(refused_seconds=0.01) as socket:
                (await case.peer.connection()).abort()
                await case.peer.connection(2)
                assert "first" not in socket.problem
        assert logs
        assert "first" not in str(logs)
