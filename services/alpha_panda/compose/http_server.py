"""Serves one small application over HTTP, on the services' own event loop, while a context lasts."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from alpha_panda.errors import SettingsError
from alpha_panda.runtime.settings import env_name


@asynccontextmanager
async def serving(app: web.Application, host: str, port: int, setting: str) -> AsyncIterator[None]:
    """Serve; `setting` names the field that the port comes from. No access log: probes and scrapes need no line each.

    Raises:
        SettingsError: the port can't be had.

    """
    runner = web.AppRunner(app, access_log=None, handle_signals=False)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, host, port).start()
        except OSError as error:
            raise SettingsError(
                f"{env_name(setting)} is {port}: {error.strerror or error}; choose a free port"
            ) from error
        yield
    finally:
        await runner.cleanup()
