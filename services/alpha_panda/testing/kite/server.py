"""The local Kite on a port of the loopback interface: REST, the WebSocket and the log-in page.

Another port takes commands (`control`), so that they arrive while Kite takes no connections.
"""

import asyncio
from datetime import date
from typing import Final, Self
from urllib.parse import urlencode

import msgspec
from aiohttp import web

from alpha_panda.adapters.clock import RealClock
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.ports import Clock
from alpha_panda.testing.broker.misbehaving import HOST, MisbehavingServer

from .api import KiteApi
from .commands import Command, obey
from .config import KiteConfig
from .core import KiteCore
from .faults import Wire
from .instruments import instruments
from .postbacks import Postbacks
from .request import Request
from .sockets import Hub
from .wire import HTML, JSON, Reply, day_of, encoded

_LONGEST_NAP: Final = 0.05
"""Seconds after which the driver looks again whether something is due: a call may have planned it meanwhile."""
_TICK_SECONDS: Final = 0.02
"""How often prices move, if they do: as many at once as have come due."""


class KiteServer(MisbehavingServer):
    """Serves a `KiteCore` on free ports (or those given). Use as an async context manager, once.

    Args:
        core: None: one of today's date, with `config`.
        config: of the core that is made.
        clock: whose time the core lives in.
        port, control_port: 0: free ones.
        ticks_per_second: how often prices move by themselves, of all that is subscribed or has resting orders
            together; may be changed at any time.

    """

    def __init__(  # noqa: PLR0913 - by keyword, with defaults
        self,
        core: KiteCore | None = None,
        clock: Clock | None = None,
        *,
        config: KiteConfig | None = None,
        port: int = 0,
        control_port: int = 0,
        ticks_per_second: float = 0,
    ) -> None:
        self._clock = clock or RealClock()
        today = date.fromisoformat(day_of(self._clock.now()))
        self.core = core or KiteCore(config, dump=instruments(today))
        self.api = KiteApi(self.core)
        self.hub = Hub(self.core)
        self.postbacks = Postbacks(self.core)
        self.ticks_per_second = ticks_per_second
        self.requests_seen: list[Request] = []
        self._tasks: list[asyncio.Task[None]] = []
        super().__init__(port, control_port)

    @property
    def ws_url(self) -> str:
        """Root of the WebSocket."""
        return f"ws://{HOST}:{self._port}"

    @property
    def login_url(self) -> str:
        """The page that stands for Kite's own log-in."""
        return f"{self.url}/connect/login"

    @property
    def api_key(self) -> str:
        """The app's key."""
        return self.core.config.api_key

    @property
    def api_secret(self) -> str:
        """The app's secret."""
        return self.core.config.api_secret

    @property
    def user_id(self) -> str:
        """The client's id."""
        return self.core.config.user_id

    def new_session(self) -> str:
        """Log in and return the access token; the one before is dead."""
        return self.core.new_session(self.now())

    def request_token(self) -> str:
        """Log in as with the browser and return the request token."""
        return self.core.tokens.request_token(self.core.config, self.now())

    def now(self) -> int:
        """Return the time, never before that of the core."""
        return max(self._clock.now(), self.core.agenda.now)

    async def __aenter__(self) -> Self:
        self.core.settle(self.now())
        await self._open()
        self._tasks = [asyncio.create_task(self._drive()), asyncio.create_task(self._tick())]
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.hub.close()
        await self._close()
        await self.postbacks.aclose()

    async def _drive(self) -> None:
        """Let happen what is due, so that changes are told without a call."""
        while True:
            self.core.settle(self.now())
            due = self.core.agenda.next_due
            wait = _LONGEST_NAP if due is None else (due - self.now()) / SECOND_NS
            await self._clock.sleep(min(max(wait, 0.001), _LONGEST_NAP))

    async def _tick(self) -> None:
        """Move prices while the exchanges are open."""
        owed, before = 0.0, self._clock.monotonic()
        async for _ in self._clock.every(_TICK_SECONDS):
            now, here = self.now(), self._clock.monotonic()
            owed = min(owed + self.ticks_per_second * (here - before) / SECOND_NS, self.ticks_per_second)
            before, count = here, int(owed)
            owed -= count
            if count and self.core.config.is_open(now):
                tokens = self.hub.tokens
                chosen = [*tokens, *self.core.desk.resting_tokens] if tokens else None
                self.core.walk(count, now, chosen)

    # ------------------------------------------------------------------------------------------- calls

    def _app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/connect/login", self._login)
        app.router.add_route("*", "/{path:.*}", self._call)
        return app

    async def _call(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self.hub.serve(request, self.now())
        call = await read(request)
        self.requests_seen.append(call)
        return await self._show(request, self.api.handle(call, self.now()))

    async def _login(self, request: web.Request) -> web.StreamResponse:
        """Stand for Kite's log-in page: nobody is asked for a password here."""
        config = self.core.config
        if request.query.get("api_key") != config.api_key:
            return web.Response(status=400, text="Invalid `api_key`.")
        token = self.request_token()
        if not config.redirect_url:
            return web.Response(text=f"<p>request_token: <code>{token}</code></p>", content_type=HTML)
        fields = {"request_token": token, "action": "login", "type": "login", "status": "success"}
        extra = request.query.get("redirect_params", "")
        joint = "&" if "?" in config.redirect_url else "?"
        target = f"{config.redirect_url}{joint}{urlencode(fields)}" + (f"&{extra}" if extra else "")
        raise web.HTTPFound(target)

    async def _show(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        """Let the caller experience the reply."""
        await self._hold(reply)
        if reply.wire is not Wire.ANSWER:
            return await self._break_off(request, reply)
        if reply.content_type is None:
            return self._without_type(request, reply)
        response = web.Response(status=reply.status, body=reply.body, content_type=reply.content_type)
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            response.enable_compression(web.ContentCoding.gzip)
        return response

    def _without_type(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        """Write the answer by hand: aiohttp always says some Content-Type."""
        head = (
            f"HTTP/1.1 {reply.status} Local\r\nContent-Length: {len(reply.body)}\r\nConnection: close\r\n\r\n"
        )
        transport = request.transport
        if isinstance(transport, asyncio.Transport):
            transport.write(head.encode() + reply.body)
            transport.close()
        return web.StreamResponse(status=reply.status)

    # ------------------------------------------------------------------------------------------ commands

    def _control_app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/_control/do", self._on_command)
        app.router.add_get("/_control/truth", self._on_truth)
        return app

    async def _on_command(self, request: web.Request) -> web.Response:
        try:
            command: Command = msgspec.json.decode(await request.read(), type=Command)
            done = await obey(self, command)
        except (ValueError, LookupError) as error:
            return web.Response(status=400, text=f"{type(error).__name__}: {error}")
        return web.Response(body=msgspec.json.encode(done), content_type=JSON)

    async def _on_truth(self, _: web.Request) -> web.Response:
        core = self.core
        executed = core.executed(self.now())
        truth = {
            "user": core.user,
            "trading_day": core.trading_day,
            "executed": executed,
            "orders": [order.row for order in core.orders.values() if order.day == core.trading_day],
            "calls": [
                {"kind": call.kind, "subject": call.subject, "ts": call.ts, "reached": call.reached}
                for call in core.calls
            ],
            "positions": core.positions(),
            "sockets": len(self.hub.sockets),
            "resting": len(core.desk.open_orders()),
            "funds": core.desk.portfolio.available("equity", core.desk.checks.blocked("equity")),
        }
        return web.Response(body=encoded(truth), content_type=JSON)


async def read(request: web.Request) -> Request:
    """Return the request as the pure interface takes it."""
    body = await request.read()
    form: dict[str, str] = {}
    if request.content_type == "application/x-www-form-urlencoded":
        form = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
    return Request(
        method=request.method,
        path=request.path,
        query={name: request.query.getall(name) for name in request.query},
        form=form,
        body=body,
        authorization=request.headers.get("Authorization", ""),
        remote=request.remote or "",
    )
