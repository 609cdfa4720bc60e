"""Serves `/metrics` on a port of its own: its figures are an account's, which whoever may ask for health must not see."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog
from aiohttp import web

from alpha_panda.runtime.metrics.metrics import Metrics
from alpha_panda.runtime.settings import Settings

from .http_server import serving

log = structlog.get_logger()

PATH: Final = "/metrics"


def make_app(metrics: Metrics) -> web.Application:
    """Return the application. It runs on the services' event loop, where the figures are made: nobody else reads them."""

    async def scrape(request: web.Request) -> web.Response:
        body, content_type = metrics.exposition(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    app = web.Application()
    app.add_routes([web.get(PATH, scrape)])
    return app


@asynccontextmanager
async def answering_scrapes(metrics: Metrics, settings: Settings) -> AsyncIterator[int | None]:
    """Answer while the context lasts; gives the port, None where the settings want none.

    Raises:
        SettingsError: the port can't be had.

    """
    if not settings.metrics_port:
        yield None
        return
    async with serving(make_app(metrics), settings.metrics_host, settings.metrics_port, "metrics_port"):
        log.info("answering scrapes", host=settings.metrics_host, port=settings.metrics_port)
        yield settings.metrics_port
