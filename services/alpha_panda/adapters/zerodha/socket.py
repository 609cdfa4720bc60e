"""One connection to Kite's WebSocket, kept up for as long as its task runs.

It connects again without end: at once upon a new access token, with growing, jittered pauses after a loss, slowly after
a 429 (too many connections of this app), and only with another token, or much later, after a 403. A connection that
says nothing is given up: Kite sends a frame at least each second or two. Outside sessions it may be quiet for longer.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal
from urllib.parse import urlencode

import aiohttp
import msgspec
import structlog

from alpha_panda.contracts.units import SECOND_NS, nanoseconds
from alpha_panda.ports import Clock

from .session import Session, SessionFile

Mode = Literal["ltp", "quote", "full"]

LARGEST_FRAME: Final = 8 * 1024 * 1024
"""Bytes of one frame: 3,000 full packets are 558,002."""

STABLE_SECONDS: Final = 10.0
"""A connection that lived so long was a good one: after it the pauses begin small again."""

CLOSING_SECONDS: Final = 1.0
"""How long the other side gets to answer a close: it counts our connections until it knows of it."""

_FORBIDDEN: Final = 403
_TOO_MANY: Final = 429

log = structlog.get_logger()


class End(StrEnum):
    """Why a connection ended, or was not made."""

    LOST = "lost"
    SILENT = "silent"
    REFUSED = "refused"
    THROTTLED = "throttled"
    RENEWED = "renewed"


@dataclass(frozen=True, slots=True)
class SocketOptions:
    """How to connect.

    Attributes:
        url: of the WebSocket, `wss://…`; key and token are added to it.
        mode: what is asked for of each instrument.
        silent_seconds: without any frame, in a session, after which a connection is given up.
        closed_silent_seconds: the same outside sessions.
        connect_seconds: for a handshake.
        reconnect_initial_seconds, reconnect_max_seconds: the pauses double from the first to the second.
        throttled_seconds: least pause after a 429.
        refused_seconds: after which a token that was answered with 403 is tried once more.
        look_seconds: how often a token's change and silence are looked for.
        chunk: tokens in one message.

    """

    url: str
    mode: Mode = "full"
    silent_seconds: float = 5.0
    closed_silent_seconds: float = 60.0
    connect_seconds: float = 10.0
    reconnect_initial_seconds: float = 1.0
    reconnect_max_seconds: float = 60.0
    throttled_seconds: float = 30.0
    refused_seconds: float = 300.0
    look_seconds: float = 0.5
    chunk: int = 500


@dataclass(frozen=True, slots=True)
class Ears:
    """Who is told what arrives; called in the order of arrival, and must not wait.

    `opened`: a connection stands; what was sent before it may have been missed.
    """

    frame: Callable[[bytes], None]
    text: Callable[[str], None]
    opened: Callable[[], None]


def always(_: int) -> bool:
    """Say that a session is on."""
    return True


class KiteSocket:
    """One of an app's connections, with its instruments (none: for order updates alone).

    Args:
        name: for the log.
        options: how to connect.
        clock: real time.
        session: the access token; a new one is used within a second.
        ears: who is told.
        tokens: what is subscribed to, on each connection anew.
        in_session: whether prices may be expected at a time (UTC ns).
        chance: jitters the pauses.

    """

    def __init__(  # noqa: PLR0913 - what a connection consists of; all but the first two by keyword
        self,
        name: str,
        options: SocketOptions,
        *,
        clock: Clock,
        session: SessionFile,
        ears: Ears,
        chance: random.Random,
        tokens: Sequence[int] = (),
        in_session: Callable[[int], bool] = always,
    ) -> None:
        self.name = name
        self._options = options
        self._clock = clock
        self._session = session
        self._ears = ears
        self._chance = chance
        self._tokens = tuple(tokens)
        self._in_session = in_session
        self._refused: Session | None = None
        self._refused_until = 0
        self._heard = 0
        self._problem = "not connected yet"
        self.heard_at = 0

    @property
    def problem(self) -> str:
        """What keeps it from hearing anything, in words without secrets; "" while it is connected."""
        return self._problem

    async def run(self) -> None:
        """Keep a connection up until cancelled; raises only what `Ears` raise."""
        tries = 0
        while True:
            session = await self._valid_session()
            begun = self._clock.monotonic()
            end = await self._connection(session)
            lived = self._clock.monotonic() - begun
            tries = 1 if lived >= nanoseconds(STABLE_SECONDS) else tries + 1
            await self._rest(self._pause(end, tries), session)

    # -------------------------------------------------------------------------------------------- between connections

    async def _valid_session(self) -> Session:
        """Wait for a token that may be accepted."""
        while True:
            session = self._session.current()
            if session is None:
                self._problem = self._session.problem() or "no valid session"
            elif session != self._refused or self._clock.monotonic() >= self._refused_until:
                return session
            await self._clock.sleep(self._options.look_seconds)

    def _pause(self, end: End, tries: int) -> float:
        options = self._options
        if end in {End.RENEWED, End.REFUSED}:  # a token that was refused is waited for elsewhere
            return 0
        grown = options.reconnect_initial_seconds * 2.0 ** min(tries - 1, 30)
        pause = min(grown, options.reconnect_max_seconds) * self._chance.uniform(0.5, 1)
        return pause if end is not End.THROTTLED else options.throttled_seconds + pause

    async def _rest(self, seconds: float, session: Session) -> None:
        """Wait so long, or until there is another log-in: whoever has just logged in shall not wait for a minute."""
        until = self._clock.monotonic() + nanoseconds(seconds)
        while (left := until - self._clock.monotonic()) > 0:
            await self._clock.sleep(min(left / SECOND_NS, self._options.look_seconds))
            if self._session.current() not in {None, session}:
                return

    def _refuse(self, session: Session) -> None:
        self._refused = session
        self._refused_until = self._clock.monotonic() + nanoseconds(self._options.refused_seconds)

    # -------------------------------------------------------------------------------------------------- a connection

    async def _connection(self, session: Session) -> End:
        """Connect once, and serve the connection until it ends."""
        async with aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._options.connect_seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"X-Kite-Version": "3"},
            trust_env=False,
        ) as client:
            try:
                async with asyncio.timeout(self._options.connect_seconds):
                    socket = await client.ws_connect(
                        self._address(session),
                        autoping=False,
                        max_msg_size=LARGEST_FRAME,
                        timeout=aiohttp.ClientWSTimeout(ws_close=CLOSING_SECONDS),
                    )
            except aiohttp.WSServerHandshakeError as error:  # its text has the token in it
                return self._not_opened(session, error.status)
            except (aiohttp.ClientError, OSError, ValueError) as error:
                self._lost(f"no connection: {type(error).__name__}")
                return End.LOST
            return await self._served(socket, session)

    def _address(self, session: Session) -> str:
        url = self._options.url
        credentials = urlencode({"api_key": session.api_key, "access_token": session.access_token})
        return f"{url}{'&' if '?' in url else '?'}{credentials}"

    def _not_opened(self, session: Session, status: int) -> End:
        if status == _FORBIDDEN:
            self._refuse(session)
            self._lost(
                "the broker refuses the connection (403): the access token is dead, or the app has no market data"
            )
            return End.REFUSED
        if status == _TOO_MANY:
            self._lost("the broker refuses the connection (429): too many of this app")
            return End.THROTTLED
        self._lost(f"the broker refuses the connection ({status})")
        return End.LOST

    async def _served(self, socket: aiohttp.ClientWebSocketResponse, session: Session) -> End:
        """Read and watch until either ends."""
        self._hear()
        self._problem = ""
        log.info("kite_socket_connected", socket=self.name, instruments=len(self._tokens))
        reader = asyncio.create_task(self._read(socket))
        watcher = asyncio.create_task(self._watch(session))
        end = End.LOST
        try:
            await asyncio.wait({reader, watcher}, return_when=asyncio.FIRST_COMPLETED)
            end = watcher.result() if watcher.done() else reader.result()
        finally:
            for task in (reader, watcher):
                task.cancel()
            await asyncio.gather(reader, watcher, return_exceptions=True)
            if end is not End.SILENT:
                with suppress(aiohttp.ClientError, OSError):
                    await socket.close()
        if end is End.RENEWED:
            log.info("kite_socket_renewed", socket=self.name)
        else:
            self._lost(f"the connection ended: {end}")
        return end

    async def _read(self, socket: aiohttp.ClientWebSocketResponse) -> End:
        try:
            self._ears.opened()
            for message in self._subscriptions():
                await socket.send_str(message)
            while await self._take(socket):
                pass
        except (aiohttp.ClientError, OSError) as error:
            log.info("kite_socket_broken", socket=self.name, error=type(error).__name__)
        return End.LOST

    async def _take(self, socket: aiohttp.ClientWebSocketResponse) -> bool:
        """Take one message in; False if it was the last."""
        message = await socket.receive()
        match message.type:
            case aiohttp.WSMsgType.BINARY:
                self._hear()
                self._ears.frame(message.data)
            case aiohttp.WSMsgType.TEXT:
                self._hear()
                self._ears.text(message.data)
            case aiohttp.WSMsgType.PING:
                self._hear()
                await socket.pong(message.data)
            case aiohttp.WSMsgType.PONG:
                self._hear()
            case _:
                return False
        return True

    def _subscriptions(self) -> list[str]:
        """Return the messages that ask for the instruments: numbers, for Kite ignores tokens in quotes."""
        messages: list[object] = []
        for begin in range(0, len(self._tokens), self._options.chunk):
            tokens = self._tokens[begin : begin + self._options.chunk]
            messages += ({"a": "subscribe", "v": tokens}, {"a": "mode", "v": (self._options.mode, tokens)})
        return [msgspec.json.encode(message).decode() for message in messages]

    async def _watch(self, session: Session) -> End:
        """Return once the connection says nothing any more, or there is another token."""
        open_since: int | None = None
        async for now in self._clock.every(self._options.look_seconds):
            moment = self._clock.monotonic()
            if not self._in_session(now):
                open_since = None
            elif open_since is None:
                open_since = moment
            current = self._session.current()
            if current is not None and current.access_token != session.access_token:
                return End.RENEWED
            if self._is_silent(moment, open_since):
                return End.SILENT
        raise AssertionError("the clock's ticker has ended")

    def _is_silent(self, moment: int, open_since: int | None) -> bool:
        if open_since is None:
            return moment - self._heard > nanoseconds(self._options.closed_silent_seconds)
        return moment - max(self._heard, open_since) > nanoseconds(self._options.silent_seconds)

    def _hear(self) -> None:
        self._heard = self._clock.monotonic()
        self.heard_at = self._clock.now()

    def _lost(self, problem: str) -> None:
        self._problem = problem
        tell = log.warning if self._in_session(self._clock.now()) else log.info
        tell("kite_socket_not_connected", socket=self.name, problem=problem, heard_s_ago=self._quiet_for())

    def _quiet_for(self) -> float | None:
        if not self._heard:
            return None
        return round((self._clock.monotonic() - self._heard) / SECOND_NS, 1)
