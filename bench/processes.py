"""Services of a world as separate processes, as pods run them: `alpha-panda service NAME`, and `alpha-panda control`."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from bench.world import ACCOUNT, FEED, Servers

KIND: Final = {
    "market-feed": f"MarketFeed/{FEED}",
    "feed-cacher": f"MarketFeed/{FEED}",
    "strategy": "Strategy/{}",
    "risk": f"BrokerAccount/{ACCOUNT}",
    "engine": f"BrokerAccount/{ACCOUNT}",
    "order-tracker": f"BrokerAccount/{ACCOUNT}",
}
END_SECONDS: Final = 15.0
TAIL: Final = 2000


class Process:
    """One child with a name and a log."""

    def __init__(self, name: str, arguments: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        self.name = name
        self._log = log
        with log.open("ab") as output:
            self._popen = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
                [sys.executable, "-m", *arguments],
                env={**os.environ, **env},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    @property
    def pid(self) -> int:
        """The process."""
        return self._popen.pid

    def cpu_seconds(self) -> float:
        """Return the CPU that it has used so far (Linux)."""
        user, system = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def check(self) -> None:
        """Raise RuntimeError with the end of its log if it has ended."""
        if self._popen.poll() is not None:
            raise RuntimeError(f"{self.name} ended with {self._popen.returncode}:\n{self.tail()}")

    def tail(self) -> str:
        """Return the end of what it has said."""
        return self._log.read_text(errors="replace")[-TAIL:]

    def pause(self) -> None:
        """Freeze it."""
        self._popen.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._popen.send_signal(signal.SIGCONT)

    def ask_to_end(self) -> None:
        """SIGTERM, also to one that is frozen."""
        if self._popen.poll() is None:
            self._popen.terminate()
            self._popen.send_signal(signal.SIGCONT)

    async def end(self) -> None:
        """Wait for its end, and kill it when it takes too long."""
        try:
            await asyncio.to_thread(self._popen.wait, END_SECONDS)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            await asyncio.to_thread(self._popen.wait)


@asynccontextmanager
async def ending(processes: Sequence[Process]) -> AsyncIterator[None]:
    """End all of them with the context."""
    try:
        yield
    finally:
        for process in processes:
            process.ask_to_end()
        await asyncio.gather(*(process.end() for process in processes))


def environment(servers: Servers, prefix: str, **settings: object) -> dict[str, str]:
    """Return the environment that the services of a world need; `settings` are further fields."""
    fields = {
        "kafka_bootstrap_servers": servers.kafka,
        "redis_url": servers.redis,
        "topic_prefix": prefix,
        "health_port": 0,
        "log_level": "WARNING",
        "log_format": "json",
        **settings,
    }
    return {f"ALPHAPANDA_{name.upper()}": str(value) for name, value in fields.items()}


def start_services(
    folder: Path, manifests: Path, env: Mapping[str, str], strategies: Sequence[str]
) -> list[Process]:
    """Start `control` and every service of the world, a process each; the feed last."""
    processes = [
        Process("control", ("alpha_panda.cli", "control", str(manifests)), env, folder / "control.log")
    ]
    names = [("order-tracker", ""), ("risk", ""), ("engine", ""), ("feed-cacher", "")]
    for service, argument in [*names, *(("strategy", name) for name in strategies), ("market-feed", "")]:
        name = f"{service}-{argument}" if argument else service
        arguments = ("alpha_panda.cli", "service", service, "--manifests", str(manifests))
        resource = KIND[service].format(argument)
        processes.append(Process(name, (*arguments, "--resource", resource), env, folder / f"{name}.log"))
    return processes


async def until(
    holds: "asyncio.Future[None] | asyncio.Task[None]", processes: Sequence[Process], seconds: float
) -> None:
    """Wait for something while the processes live; RuntimeError if one ends, or after so many seconds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    while not holds.done():
        for process in processes:
            process.check()
        if loop.time() > deadline:
            tails = "\n".join(f"{process.name}: {process.tail()}" for process in processes)
            raise RuntimeError(f"nothing within {seconds:g} s; the logs end with\n{tails}")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(holds), 0.5)
    holds.result()
