"""The WebSocket side: subscriptions, snapshots, ticks, heartbeats, pushes of orders, and what may go wrong with them.

A socket sends the newest state of each token that has changed since it last sent: a slow reader gets fewer ticks, not
older ones. An expired token doesn't close an open socket; only the next upgrade is refused.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, Literal, cast

import msgspec
from aiohttp import WSMsgType, web

from .config import Limits
from .core import KiteCore, Update, postback
from .ticks import HEARTBEAT, PACKETS, STRANGE, Mode, frame, packet
from .tokens import NOT_LOGGED_IN
from .wire import JSON, encoded, error_body

HEARTBEAT_SECONDS: Final = 1.0
_MODES: Final = frozenset({"ltp", "quote", "full"})
_LONGEST_MESSAGE: Final = 1024 * 1024

SocketAction = Literal[
    "silent", "starve", "abort", "close", "truncated", "strange", "ping", "text", "refuse", "lose", "duplicate",
    "reorder",
]  # fmt: skip


class SocketFault(msgspec.Struct, frozen=True, kw_only=True, tag="socket", omit_defaults=True):
    """What goes wrong with the sockets.

    silent: for `seconds`, nothing at all is sent, no heartbeat either. starve: heartbeats go on, ticks don't.
    abort: the connections end without a close frame. close: with the close `code`. truncated: a frame that ends too
    early. strange: a packet of a length that no kind has. ping: the server's own. text: `text` as it is (an error, a
    message, a type that nobody knows). refuse: the next `times` upgrades get the status `code`. lose, duplicate:
    the next `times` pushes of orders. reorder: the next push comes after the one that follows it.
    """

    action: SocketAction
    seconds: float = 0
    code: int = 0
    times: int = 1
    text: str = ""


class _Wanted(msgspec.Struct):
    """What a client asks for."""

    a: str
    v: Any = None


class KiteSocket:
    """One connection. `modes`: what is subscribed; `dirty`: tokens that have changed since the last frame."""

    def __init__(
        self, core: KiteCore, ws: web.WebSocketResponse, transport: asyncio.BaseTransport | None
    ) -> None:
        self.ws = ws
        self.modes: dict[int, Mode] = {}
        self.dirty: dict[int, None] = {}
        self.transport = transport
        self.outbox: deque[str | bytes] = deque()
        self.silent_until = 0.0
        self.starved_until = 0.0
        self._core = core
        self._wake = asyncio.Event()

    def say(self, message: str | bytes) -> None:
        """Send text, or a binary frame."""
        self.outbox.append(message)
        self._wake.set()

    def changed(self, tokens: Iterable[int]) -> None:
        """Note which prices have moved."""
        modes, dirty = self.modes, self.dirty
        for token in tokens:
            if token in modes:
                dirty[token] = None
        if dirty:
            self._wake.set()

    def hear(self, text: str, most: int) -> None:
        """Do what the client asks; what can't be read, and tokens that are no numbers, are passed over in silence."""
        try:
            wanted = msgspec.json.decode(text, type=_Wanted)
        except msgspec.DecodeError:
            return
        match wanted.a, wanted.v:
            case "subscribe", list(tokens):
                self._subscribe(tokens, most)
            case "unsubscribe", list(tokens):
                for token in _numbers(tokens):
                    self.modes.pop(token, None)
                    self.dirty.pop(token, None)
            case "mode", [str(mode), list(tokens)] if mode in _MODES:
                self._subscribe(tokens, most, cast("Mode", mode))

    def _subscribe(self, tokens: Sequence[object], most: int, mode: Mode | None = None) -> None:
        """Add tokens, in quote mode unless told; those that are there keep their mode.

        Guesses: that they keep it, that `mode` alone subscribes, and the error's text.
        """
        known = [token for token in _numbers(tokens) if token in self._core.market.quotes]
        taken = []
        for token in known:
            if token in self.modes or len(self.modes) < most:
                self.modes[token] = mode or self.modes.get(token, "quote")
                taken.append(token)
        if len(taken) < len(known):
            self.say(text_message("error", f"Maximum {most} instruments can be subscribed on a connection."))
        self.changed(taken)

    async def pump(self) -> None:
        """Send what there is, and a heartbeat where there is nothing, until the connection ends."""
        loop = asyncio.get_running_loop()
        while not self.ws.closed:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT_SECONDS):
                    await self._wake.wait()
            self._wake.clear()
            if loop.time() < self.silent_until:
                await asyncio.sleep(min(HEARTBEAT_SECONDS, self.silent_until - loop.time()))
                self._wake.set()
                continue
            await self._send(starved=loop.time() < self.starved_until)

    async def _send(self, *, starved: bool) -> None:
        idle = not self.outbox
        while self.outbox:
            message = self.outbox.popleft()
            await (self.ws.send_str(message) if isinstance(message, str) else self.ws.send_bytes(message))
        if not starved:
            for part in self._frames():
                idle = False
                await self.ws.send_bytes(part)
        if idle:
            await self.ws.send_bytes(HEARTBEAT)

    def _frames(self) -> Iterator[bytes]:
        quotes, modes = self._core.market.quotes, self.modes
        dirty, self.dirty = self.dirty, {}
        tokens = iter(dirty)
        while chosen := list(islice(tokens, PACKETS)):
            yield frame(packet(quotes[token], modes[token]) for token in chosen if token in modes)


class Hub:
    """All sockets of one API key."""

    def __init__(self, core: KiteCore) -> None:
        self.sockets: set[KiteSocket] = set()
        self.upgrades_seen = 0
        self._core = core
        self._refusals: deque[int] = deque()
        self._lose = self._duplicate = 0
        self._reorder = False
        self._kept_back: list[str] = []
        core.listeners.append(self.tell)
        core.watchers.append(self.changed)

    @property
    def tokens(self) -> list[int]:
        """All tokens that anybody has subscribed."""
        return list({token: None for socket in self.sockets for token in socket.modes})

    async def serve(self, request: web.Request, now: int) -> web.StreamResponse:
        """Serve one connection to its end, or refuse the upgrade: 403 for a wrong token, 429 for one too many."""
        self.upgrades_seen += 1
        status = self._refused(request, now)
        if status:
            return web.Response(
                status=status, body=error_body(NOT_LOGGED_IN.error_type, ""), content_type=JSON
            )
        ws = web.WebSocketResponse(compress=False, max_msg_size=_LONGEST_MESSAGE)
        await ws.prepare(request)
        socket = KiteSocket(self._core, ws, request.transport)
        self.sockets.add(socket)
        pump = asyncio.create_task(socket.pump())
        try:
            async for message in ws:
                if message.type is WSMsgType.TEXT:
                    socket.hear(message.data, self._limits.tokens_per_socket)
        finally:
            self.sockets.discard(socket)
            pump.cancel()
            await asyncio.gather(pump, return_exceptions=True)
        return ws

    def changed(self, tokens: Sequence[int]) -> None:
        """Note which prices have moved."""
        for socket in self.sockets:
            socket.changed(tokens)

    def tell(self, update: Update) -> None:
        """Push a change of an order to all sockets."""
        if self._lose:
            self._lose -= 1
            return
        text = text_message("order", postback(update, self._core.config, signed=False))
        if self._reorder:
            self._reorder = False
            self._kept_back.append(text)
            return
        copies = 2 if self._duplicate else 1
        self._duplicate = max(0, self._duplicate - 1)
        kept_back, self._kept_back = self._kept_back, []
        self._say([text] * copies + kept_back)

    async def apply(self, fault: SocketFault) -> None:
        """Let it go wrong now, or at what comes next."""
        match fault.action:
            case "refuse":
                self._refusals.extend([fault.code] * fault.times)
            case "lose":
                self._lose += fault.times
            case "duplicate":
                self._duplicate += fault.times
            case "reorder":
                self._reorder = True
            case "text":
                self._say([fault.text])
            case "strange":
                self._say([STRANGE])
            case "truncated":
                self._say([STRANGE[:-4]])
            case _:
                for socket in tuple(self.sockets):
                    await _spoil(socket, fault)

    def close(self) -> None:
        """End all connections at once."""
        for socket in tuple(self.sockets):
            _abort(socket)

    @property
    def _limits(self) -> Limits:
        return self._core.config.limits or Limits()

    def _refused(self, request: web.Request, now: int) -> int:
        """Return the status that refuses the upgrade, 0 if nothing does."""
        if self._refusals:
            return self._refusals.popleft()
        config, query = self._core.config, request.query
        token = query.get("access_token", "")
        if query.get("api_key") != config.api_key or not self._core.tokens.valid(token, now):
            return 403
        return 429 if len(self.sockets) >= self._limits.sockets else 0

    def _say(self, messages: Sequence[str | bytes]) -> None:
        for socket in self.sockets:
            for message in messages:
                socket.say(message)


async def _spoil(socket: KiteSocket, fault: SocketFault) -> None:
    until = asyncio.get_running_loop().time() + fault.seconds
    match fault.action:
        case "silent":
            socket.silent_until = until
        case "starve":
            socket.starved_until = until
        case "abort":
            _abort(socket)
        case "ping":
            await socket.ws.ping()
        case _:
            await socket.ws.close(code=fault.code or 1000, message=b"closed on command", drain=False)


def _abort(socket: KiteSocket) -> None:
    if isinstance(socket.transport, asyncio.WriteTransport):
        socket.transport.abort()


def _numbers(tokens: Sequence[object]) -> list[int]:
    return [token for token in tokens if isinstance(token, int)]


def text_message(kind: str, data: Any) -> str:  # noqa: ANN401 - JSON
    """Return a text frame: `order`, `error`, `message`, or a type that nobody knows."""
    return encoded({"type": kind, "data": data}).decode()
