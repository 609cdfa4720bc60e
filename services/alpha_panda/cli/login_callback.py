"""A page on this machine that a broker's log-in sends the browser to: it takes the address's query, once."""

import asyncio
from collections.abc import Callable
from typing import Final, Self

from aiohttp import web

from alpha_panda.errors import UserInputError

LOOPBACK: Final = "127.0.0.1"

_DONE: Final = "Alpha Panda has what it needs: you can close this page and go back to the terminal."
_STRANGE: Final = "This is not the log-in that Alpha Panda waits for."


class Callback:
    """Listens on the loopback address alone, while it is entered.

    Args:
        port: where; 0: any free one.
        is_ours: whether a query belongs to this log-in: another page may send the browser here too.

    """

    def __init__(self, port: int, is_ours: Callable[[str], bool]) -> None:
        self._port = port
        self._is_ours = is_ours
        self._runner: web.AppRunner | None = None
        self._query: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/{path:.*}", self._came)
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, LOOPBACK, self._port).start()
        except OSError as error:
            await self._runner.cleanup()
            raise UserInputError(
                f"--callback {self._port}: can't listen there ({error.strerror or error}); choose another port, and make it "
                "the app's redirect URL"
            ) from error
        self.url = f"http://{LOOPBACK}:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def query(self, seconds: float) -> str:
        """Return `?…` of the address that the browser came with; UserInputError after so many seconds."""
        try:
            return await asyncio.wait_for(asyncio.shield(self._query), seconds)
        except TimeoutError:
            raise UserInputError(
                f"the browser did not come back within {seconds:g} s; log in again, or leave --callback out and paste the address"
            ) from None

    async def _came(self, request: web.Request) -> web.Response:
        query = request.query_string
        if "request_token" not in request.query and "status" not in request.query:
            return web.Response(status=404, text=_STRANGE)  # an icon, say
        if not self._is_ours(query):
            return web.Response(status=403, text=_STRANGE)
        if not self._query.done():
            self._query.set_result(f"?{query}")
        return web.Response(text=_DONE)
