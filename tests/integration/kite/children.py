"""The official client as a child process, and its lines."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).with_name("official.py")
PATIENCE = 20.0
"""Seconds until a child that says nothing has failed. It takes one or two to import the client."""


class Child:
    """Lines of JSON that a child prints; lines for its input."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self.lines: list[Any] = []

    def say(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())

    async def line(self) -> Any:
        """Return the next line; fails if none comes."""
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            text = await self._process.stdout.readline()
        if not text:
            assert self._process.stderr is not None
            raise AssertionError((await self._process.stderr.read()).decode()[-2000:])
        self.lines.append(json.loads(text))
        return self.lines[-1]

    async def until(self, fits: Callable[[Any], bool]) -> Any:
        """Return the next line that fits; those between are kept in `lines`."""
        begun = len(self.lines)
        try:
            async with asyncio.timeout(PATIENCE):
                while not fits(await self.line()):
                    pass
        except TimeoutError:
            raise AssertionError(f"did not come; but {self.lines[begun:]}") from None
        return self.lines[-1]

    async def told(self, kind: str) -> Any:
        """Return the next line of this kind."""
        return await self.until(lambda line: line[0] == kind)


@asynccontextmanager
async def official(*arguments: str) -> AsyncIterator[Child]:
    """Run the script; it is ended with the context."""
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(SCRIPT),
        *arguments,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env=environment,
        limit=64 * 1024 * 1024,
    )
    try:
        yield Child(process)
    finally:
        if process.stdin is not None:
            process.stdin.close()
        if process.returncode is None:
            process.kill()
        await process.wait()
