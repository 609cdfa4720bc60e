"""The broker as an HTTP server on loopback, and the commands to it under `/_control`.

async with BrokerServer() as server:
    server.core.plan(faults.drop_reply())           # in this process; elsewhere: BrokerControl(server.control_url)
    trader = HttpTrader(server.url, RealClock())

Orders and commands come in on two ports, so that commands arrive while the broker takes no connections.
"""

from decimal import Decimal
from typing import Any, Self

import msgspec
from aiohttp import web

from alpha_panda.adapters.clock import RealClock
from alpha_panda.ports import Clock

from .api import ErrorBody, ErrorDetail, PlaceRequest, parsed
from .core import BrokerCore, Reply
from .faults import Misbehaviour, Wire
from .misbehaving import MisbehavingServer


class Plan(msgspec.Struct, frozen=True):
    """Command: misbehave so the next `times`, or (if not None) for so many `seconds` from now."""

    fault: Misbehaviour
    times: int = 1
    seconds: float | None = None


class Price(msgspec.Struct, frozen=True):
    """Command: move the market."""

    token: int
    price: Decimal


class Day(msgspec.Struct, frozen=True):
    """Command: end the day, begin another."""

    trading_day: str


class Silence(msgspec.Struct, frozen=True):
    """Command: take no connections for so many seconds."""

    seconds: float


class BrokerServer(MisbehavingServer):
    """Serves a `BrokerCore` on free ports (or those given). Use as an async context manager, once.

    `access_token`: what orders and readings must carry, if not None.
    """

    def __init__(
        self,
        core: BrokerCore | None = None,
        clock: Clock | None = None,
        *,
        port: int = 0,
        control_port: int = 0,
        access_token: str | None = None,
    ) -> None:
        self.core = core or BrokerCore()
        self.access_token = access_token
        self.headers_seen: list[dict[str, str]] = []
        self._clock = clock or RealClock()
        super().__init__(port, control_port)

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    # ------------------------------------------------------------------------------------------- orders

    def _app(self) -> web.Application:
        app = web.Application()
        app.router.add_post("/orders", self._place)
        app.router.add_delete("/orders/{order_id}", self._cancel)
        app.router.add_get("/orders", self._book)
        return app

    async def _place(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        refusal = self._refusal(request)
        order = parsed(body, PlaceRequest)
        if refusal is not None or order is None:
            return refusal or _error(400, "INVALID_ORDER", "not an order")
        return await self._show(request, self.core.place(order, self._clock.now()))

    async def _cancel(self, request: web.Request) -> web.StreamResponse:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        reply = self.core.cancel(request.match_info["order_id"], self._clock.now())
        return await self._show(request, reply)

    async def _book(self, request: web.Request) -> web.StreamResponse:
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        page = int(request.query.get("page", "1"))
        return await self._show(request, self.core.book(self._clock.now(), page))

    def _refusal(self, request: web.Request) -> web.Response | None:
        self.headers_seen.append(dict(request.headers))
        expected = self.access_token
        if expected is None or request.headers.get("Authorization") == f"token {expected}":
            return None
        return _error(403, "TOKEN_EXPIRED", "log in again")

    async def _show(self, request: web.Request, reply: Reply) -> web.StreamResponse:
        """Let the caller experience the reply."""
        await self._hold(reply)
        if reply.wire is Wire.ANSWER:
            return web.Response(status=reply.status, body=reply.body, content_type="application/json")
        return await self._break_off(request, reply)

    # ------------------------------------------------------------------------------------------ commands

    def _control_app(self) -> web.Application:
        app = web.Application()
        for name, command in (
            ("plan", self._on_plan),
            ("behave", self._on_behave),
            ("price", self._on_price),
            ("day", self._on_day),
            ("refuse", self._on_refuse),
        ):
            app.router.add_post(f"/_control/{name}", command)
        app.router.add_get("/_control/truth", self._on_truth)
        return app

    async def _on_plan(self, request: web.Request) -> web.Response:
        plan = msgspec.json.decode(await request.read(), type=Plan)
        if plan.seconds is None:
            self.core.plan(plan.fault, plan.times)
        else:
            now = self._clock.now()
            self.core.plan_during(plan.fault, now, now + round(plan.seconds * 1e9))
        return _done()

    async def _on_behave(self, _: web.Request) -> web.Response:
        self.core.behave()
        return _done()

    async def _on_price(self, request: web.Request) -> web.Response:
        price = msgspec.json.decode(await request.read(), type=Price)
        self.core.set_price(price.token, price.price, self._clock.now())
        return _done()

    async def _on_day(self, request: web.Request) -> web.Response:
        day = msgspec.json.decode(await request.read(), type=Day)
        self.core.change_day(day.trading_day, self._clock.now())
        return _done()

    async def _on_refuse(self, request: web.Request) -> web.Response:
        silence = msgspec.json.decode(await request.read(), type=Silence)
        await self.refuse_for(silence.seconds)
        return _done()

    async def _on_truth(self, _: web.Request) -> web.Response:
        core = self.core
        executed = core.executed(self._clock.now())
        truth = {
            "user": core.user,
            "trading_day": core.trading_day,
            "executed": [_plain(trade) for trade in executed],
            "orders": [order.row for order in core.orders.values()],
            "calls": [_plain(call) for call in core.calls],
        }
        return web.Response(body=msgspec.json.encode(truth), content_type="application/json")


def _plain(value: object) -> Any:  # noqa: ANN401 - JSON
    return msgspec.to_builtins(value)


def _error(status: int, code: str, message: str) -> web.Response:
    body = msgspec.json.encode(ErrorBody(ErrorDetail(code, message)))
    return web.Response(status=status, body=body, content_type="application/json")


def _done() -> web.Response:
    return web.Response(body=b"{}", content_type="application/json")
