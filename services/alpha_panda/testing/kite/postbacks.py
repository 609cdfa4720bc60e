"""Posts changes of orders to the app's address, signed. Sent once: what fails is not sent again, nothing is in order."""

import asyncio
import contextlib
from typing import Final

import aiohttp

from .core import KiteCore, Update, postback
from .wire import JSON, encoded

_TIMEOUT_SECONDS: Final = 5.0


class Postbacks:
    """Sends to `KiteConfig.postback_url`, if there is one. Call `aclose` at the end."""

    def __init__(self, core: KiteCore) -> None:
        self.duplicate = self.lose = 0
        self.failed = 0
        self._core = core
        self._session: aiohttp.ClientSession | None = None
        self.under_way: set[asyncio.Task[None]] = set()
        core.listeners.append(self.tell)

    def tell(self, update: Update) -> None:
        """Send a change of an order that came by this API key; `lose`, `duplicate`: so many of the next ones."""
        config = self._core.config
        if not config.postback_url or not update.by_app:
            return
        if self.lose:
            self.lose -= 1
            return
        body = encoded(postback(update, config, signed=True))
        copies = 2 if self.duplicate else 1
        self.duplicate = max(0, self.duplicate - 1)
        for _ in range(copies):
            task = asyncio.create_task(self._post(config.postback_url, body))
            self.under_way.add(task)
            task.add_done_callback(self.under_way.discard)

    async def aclose(self) -> None:
        """Give up what is under way."""
        for task in self.under_way:
            task.cancel()
        await asyncio.gather(*self.under_way, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _post(self, url: str, body: bytes) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS))
        self.failed += 1
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError):
            async with self._session.post(url, data=body, headers={"Content-Type": JSON}) as response:
                await response.read()
                self.failed -= 1
