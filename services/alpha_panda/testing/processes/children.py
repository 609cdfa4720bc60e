"""The parent's side of the nursery: processes with names, logs and exit codes; dead ones start again, as pods do."""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from signal import SIGKILL, SIGTERM, Signals
from typing import Any, Final, Self

from alpha_panda.errors import DependencyUnavailableError, MisuseError

PATIENCE: Final = 30.0
"""Seconds for the nursery's own work: its start and a fork. A loaded machine may take long."""

AGAIN: Final = 0.1
"""Seconds before an ended process is started again; doubled while it ends at once, up to `AGAIN_MOST`."""
AGAIN_MOST: Final = 2.0
LIVED: Final = 2.0
"""Seconds after which a start counts as gone well."""


EXIT_USAGE: Final = 2
"""Exit code of a process that can't work with what it was given."""


class Nursery:
    """The process that forks. Use as an async context manager; leaving kills all that it has forked.

    `calendars`: which ones the services need, beside 24/7.
    """

    def __init__(self, calendars: Sequence[str] = ()) -> None:
        self._calendars = calendars
        self._process: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._orders = count(1)
        self._began: dict[int, asyncio.Future[int]] = {}
        self._ended: dict[int, asyncio.Future[int]] = {}
        self._ready = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "alpha_panda.testing.processes",
            "--nursery",
            *self._calendars,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=child_environment(),
            start_new_session=True,  # a Ctrl-C is for the tests, which then end their processes
        )
        self._reading = asyncio.create_task(self._read(), name="nursery")
        try:
            async with asyncio.timeout(PATIENCE):
                await self._ready.wait()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        process = self._running()
        if process.stdin is not None:
            process.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()
        if self._reading is not None:
            await self._reading

    async def fork(
        self, arguments: Sequence[str], env: Mapping[str, str], log: Path
    ) -> tuple[int, asyncio.Future[int]]:
        """Start a process; return its pid and what will hold its exit code (-9: killed)."""
        number = next(self._orders)
        began = self._began[number] = asyncio.get_running_loop().create_future()
        order = {"order": number, "arguments": list(arguments), "env": dict(env), "log": str(log)}
        stdin = self._running().stdin
        if stdin is None or self._reading is None or self._reading.done():
            raise DependencyUnavailableError("nursery", "has ended")
        stdin.write(json.dumps(order).encode() + b"\n")
        await stdin.drain()
        async with asyncio.timeout(PATIENCE):
            pid = await began
        return pid, self._ended[pid]

    async def _read(self) -> None:
        stdout = self._running().stdout
        if stdout is None:
            raise MisuseError("the nursery was started without a pipe")
        async for line in stdout:
            self._note(json.loads(line))

    def _note(self, facts: dict[str, Any]) -> None:
        if "began" in facts:
            self._ended[facts["began"]] = asyncio.get_running_loop().create_future()
            self._began.pop(facts["order"]).set_result(facts["began"])
        elif "ended" in facts:
            self._ended.pop(facts["ended"]).set_result(facts["code"])
        else:
            self._ready.set()

    def _running(self) -> asyncio.subprocess.Process:
        if self._process is None:
            raise MisuseError("enter the nursery first")
        return self._process


class Child:
    """One service process with a name; while `kept` it is started again whenever it ends.

    `exits`: the exit codes so far. All runs write to one log.
    """

    def __init__(
        self, nursery: Nursery, name: str, arguments: Sequence[str], env: Mapping[str, str], log: Path
    ) -> None:
        self.name = name
        self.log = log
        self.exits: list[int] = []
        self.kept = False
        self.pid = 0
        self._nursery = nursery
        self._arguments = tuple(arguments)
        self._env = dict(env)
        self._keeping: asyncio.Task[None] | None = None
        self._changed = asyncio.Condition()

    async def start(self) -> None:
        """Start it, and keep it."""
        self.kept = True
        self._keeping = asyncio.create_task(self._keep(), name=f"keep {self.name}")
        await self._until(lambda: self.running)

    @property
    def running(self) -> bool:
        """Whether there is a process now."""
        return self.pid != 0

    @property
    def refused(self) -> bool:
        """Whether it ended because of what it was given, and was not started again."""
        return not self.running and self.exits[-1:] == [EXIT_USAGE]

    @property
    def frozen(self) -> bool:
        """Whether it is stopped by a signal (Linux)."""
        with contextlib.suppress(OSError):
            return (
                self.running
                and Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
            )
        return False

    def send_signal(self, number: Signals) -> None:
        """Send a signal, if it runs."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    async def end(self, number: Signals = SIGTERM, seconds: float = PATIENCE) -> int:
        """Send it a signal, don't start it again, and return its exit code; kill it if it takes too long."""
        self.kept = False
        before = len(self.exits)
        if not self.running:
            return self.exits[-1] if self.exits else 0
        self.send_signal(number)
        try:
            async with asyncio.timeout(seconds):
                await self._until(lambda: len(self.exits) > before)
        except TimeoutError:
            self.send_signal(SIGKILL)
            await self._until(lambda: len(self.exits) > before)
        return self.exits[-1]

    async def wait_exit(self, seen: int, seconds: float = PATIENCE) -> int:
        """Wait until it has ended more than `seen` times; return the last exit code."""
        async with asyncio.timeout(seconds):
            await self._until(lambda: len(self.exits) > seen)
        return self.exits[-1]

    async def close(self) -> None:
        """Kill it for good."""
        self.kept = False
        self.send_signal(SIGKILL)
        if self._keeping is not None:
            await asyncio.gather(self._keeping, return_exceptions=True)

    async def _keep(self) -> None:
        wait = AGAIN
        loop = asyncio.get_running_loop()
        while self.kept:
            began = loop.time()
            pid, ended = await self._nursery.fork(self._arguments, self._env, self.log)
            await self._change(pid)
            code = await ended
            self.exits.append(code)
            await self._change(0)
            if code == EXIT_USAGE:
                return  # it would say the same again
            wait = AGAIN if loop.time() - began > LIVED else min(2 * wait, AGAIN_MOST)
            if self.kept:
                await asyncio.sleep(wait)

    async def _change(self, pid: int) -> None:
        async with self._changed:
            self.pid = pid
            self._changed.notify_all()

    async def _until(self, holds: Any) -> None:  # noqa: ANN401 - a predicate
        async with self._changed:
            await self._changed.wait_for(holds)


def child_environment(**changes: str) -> dict[str, str]:
    """Return the environment of a child: none of our own settings, our sources on its path."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ALPHAPANDA_")}
    return {**kept, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path), **changes}
