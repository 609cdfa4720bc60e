"""`/livez`, `/readyz` and `/metrics`. A standby answers too: it lives, and is ready to take over."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from alpha_panda.errors import SettingsError
from alpha_panda_operator.metrics import Metrics

Reasons = Callable[[], list[str]]
"""Says in words why not; nothing: all is well."""

PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"


def make_app(
    metrics: Metrics, alive: Reasons, ready: Reasons, refresh: Callable[[], None]
) -> web.Application:
    """Return the application; `refresh` brings gauges up to date before they are read."""

    async def livez(_: web.Request) -> web.Response:
        return _answer(alive())

    async def readyz(_: web.Request) -> web.Response:
        return _answer(ready())

    async def exposition(_: web.Request) -> web.Response:
        refresh()
        return web.Response(body=metrics.text(), headers={"Content-Type": PROMETHEUS})

    app = web.Application()
    app.add_routes([web.get("/livez", livez), web.get("/readyz", readyz), web.get("/metrics", exposition)])
    return app


def _answer(reasons: list[str]) -> web.Response:
    return web.Response(
        text="".join(f"{line}\n" for line in reasons or ["ok"]), status=503 if reasons else 200
    )


@asynccontextmanager
async def serving(app: web.Application, host: str, port: int) -> AsyncIterator[None]:
    """Answer while the context lasts; port 0: not at all.

    Raises:
        SettingsError: the port can't be had.

    """
    if not port:
        yield
        return
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise SettingsError(f"healthPort {port}: {error.strerror or error}; choose a free one") from error
        yield
    finally:
        await runner.cleanup()
