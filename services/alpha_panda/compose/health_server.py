"""Answers health probes over HTTP: `/livez`, `/readyz` and `/statusz`; a no says why, a line each.

Whoever reaches the port may ask, so no answer has figures of an account or addresses of stores: those are in the
statuses (Redis, under its access rules) and in the log.
"""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager

import msgspec
import structlog
from aiohttp import web
from msgspec.structs import replace

from alpha_panda.runtime.service import StreamService
from alpha_panda.runtime.settings import Settings

from .http_server import serving

log = structlog.get_logger()

Services = Callable[[], Iterable[StreamService]]


def make_app(services: Services) -> web.Application:
    """Return the application; `services` are those of the process, as they are at each question.

    It runs on the services' own event loop: where that hangs nothing answers, which is a no too.
    """

    async def livez(_: web.Request) -> web.Response:
        return _answer([line for service in services() for line in service.stuck()])

    async def readyz(_: web.Request) -> web.Response:
        present = list(services())
        return _answer(
            [line for service in present for line in service.not_ready_because()] if present else ["starting"]
        )

    async def statusz(_: web.Request) -> web.Response:
        statuses = (service.get_status() for service in services())
        body = msgspec.json.encode([replace(status, details={}) for status in statuses])
        return web.Response(body=body, content_type="application/json")

    app = web.Application()
    app.add_routes([web.get("/livez", livez), web.get("/readyz", readyz), web.get("/statusz", statusz)])
    return app


def _answer(reasons: list[str]) -> web.Response:
    return web.Response(
        text="".join(f"{line}\n" for line in reasons or ["ok"]), status=503 if reasons else 200
    )


@asynccontextmanager
async def answering_probes(services: Services, settings: Settings) -> AsyncIterator[int | None]:
    """Answer while the context lasts; gives the port, None where the settings want none.

    Raises:
        SettingsError: the port can't be had.

    """
    if not settings.health_port:
        yield None
        return
    async with serving(make_app(services), settings.health_host, settings.health_port, "health_port"):
        log.info("answering health probes", host=settings.health_host, port=settings.health_port)
        yield settings.health_port
