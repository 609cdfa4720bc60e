"""The local Kite as a process of its own, as `alpha-panda dev kite` is for a person."""

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from decimal import Decimal
from signal import SIGTERM
from typing import Any, Final, Self

import aiohttp

from alpha_panda.testing.kite.commands import Command, Login
from alpha_panda.testing.kite.config import API_KEY, API_SECRET, USER
from alpha_panda.testing.kite.control import KiteControl, Truth
from alpha_panda.testing.processes.children import child_environment

PATIENCE: Final = 30.0
"""Seconds within which it must listen, or be gone."""


@dataclass(frozen=True)
class Addresses:
    """Where the process listens."""

    url: str
    ws_url: str
    login_url: str
    control_url: str


class KiteProcess:
    """Starts `python -m alpha_panda.testing.kite` with these options. Use as an async context manager, once."""

    user = USER
    api_key = API_KEY
    api_secret = API_SECRET

    def __init__(self, *options: str) -> None:
        self._options = options
        self._stack = AsyncExitStack()
        self._process: asyncio.subprocess.Process
        self._control: KiteControl
        self.at: Addresses

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "alpha_panda.testing.kite",
            *self._options,
            stdout=asyncio.subprocess.PIPE,
            env=child_environment(),
            start_new_session=True,
        )
        self._stack.push_async_callback(self._end)
        try:
            assert self._process.stdout is not None
            line = await asyncio.wait_for(self._process.stdout.readline(), PATIENCE)
            told = json.loads(line)
            self.at = Addresses(**{name: told[name] for name in Addresses.__annotations__})
            self._control = await self._stack.enter_async_context(KiteControl(self.at.control_url))
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _end(self) -> None:
        if self._process.returncode is None:
            self._process.send_signal(SIGTERM)
            try:
                await asyncio.wait_for(self._process.wait(), PATIENCE)
            except TimeoutError:
                self._process.kill()
                await self._process.wait()

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process.returncode is None

    async def do(self, *commands: Command) -> str:
        """Have it done; return what came of the last one."""
        answer = ""
        for command in commands:
            answer = await self._control.do(command)
        return answer

    async def truth(self) -> Truth:
        """Return what the broker knows."""
        return await self._control.truth()

    async def log_in(self) -> str:
        """Log in elsewhere, as with another app; return the access token."""
        return await self.do(Login())

    async def positions(self, access_token: str) -> list[dict[str, Any]]:
        """Return the rows of today that a client sees; numbers as Decimal or int."""
        headers = {"Authorization": f"token {self.api_key}:{access_token}"}
        page = f"{self.at.url}/portfolio/positions"
        async with aiohttp.ClientSession(headers=headers) as client, client.get(page) as answer:
            told = json.loads(await answer.text(), parse_float=Decimal)
        rows: list[dict[str, Any]] = told["data"]["day"]
        return rows


async def redirected(page: str) -> str:
    """Open the log-in page as a browser does, and return the address that it leads to."""
    async with aiohttp.ClientSession() as browser, browser.get(page, allow_redirects=False) as answer:
        assert answer.status in {302, 303}, await answer.text()
        return answer.headers["Location"]
