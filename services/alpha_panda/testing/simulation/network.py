"""What lies between a process and a server: time, loss, silence.

A call travels to its server and is executed there whatever becomes of the caller meanwhile: a process that was killed
or stopped after it had sent has sent. Servers run in the world's own context.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Any, Final

from alpha_panda.contracts.units import MS_NS, SECOND_NS
from alpha_panda.errors import AlphaPandaError, DependencyUnavailableError, MisuseError, UnknownOutcomeError
from alpha_panda.testing.simulation.loop import Process, SimulatedLoop

CLIENT_TIMEOUT: Final = 600 * MS_NS
"""How long a client waits for a reply."""


REFUSED_BEHIND_A_SPLIT: Final = 0.7
"""Share of the calls that find no connection; the others are never answered."""
AS_SLOW_AS_CAN_BE: Final = 0.5
"""Share of unanswered calls whose caller waits to the end; the others' connections break at once."""


class Server(StrEnum):
    """What processes talk to."""

    STORE = "store"
    CACHE = "cache"
    BUS = "bus"
    BROKER = "broker"


class Fate(StrEnum):
    """What becomes of one call."""

    WELL = "well"
    REFUSED = "refused"
    REQUEST_LOST = "request lost"
    REPLY_LOST = "reply lost"
    LATE = "applied after the caller gave up"


@dataclass(frozen=True, slots=True)
class Weather:
    """How likely each misfortune is, per call; all zero is a fine day."""

    refused: float = 0.0
    request_lost: float = 0.0
    reply_lost: float = 0.0
    late: float = 0.0
    slow: float = 0.0

    @property
    def bad(self) -> float:
        """Chance that a call meets any misfortune but slowness."""
        return self.refused + self.request_lost + self.reply_lost + self.late


FINE: Final = Weather()
FAST_NS: Final = (0, 0, 0, 200_000, MS_NS, 5 * MS_NS)
"""Usual one-way times; several of zero, so that the order of arrival is the scheduler's to choose."""

Step = Callable[[], Coroutine[Any, Any, Any]]
Before = Callable[[Process, str], None]


class Network:
    """All links. `trace` is the run's history: (ns, process, operation, fate)."""

    def __init__(self, loop: SimulatedLoop, random: Random) -> None:
        self.loop = loop
        self.random = random
        self.weather = FINE
        self.trace: list[tuple[int, str, str, str]] = []
        self.counts: Counter[str] = Counter()
        self.split: dict[tuple[str, str], int] = {}  # (process, server) → ns until which they can't talk
        self.down: dict[str, int] = {}  # server → ns until which it is gone
        self.next_fates: dict[str, list[Fate]] = {}  # by operation: ordered by the plan
        self.before: Before | None = None
        self.after: Before | None = None

    def note(self, process: str, operation: str, fate: str) -> None:
        """Add to the history."""
        self.trace.append((self.loop.now_ns, process, operation, fate))

    def cut(self, process: Process, server: str) -> bool:
        """Whether the two can't talk now."""
        now = self.loop.now_ns
        if self.down.get(server, 0) > now:
            return True
        return bool(self.split) and self.split.get((process.name, server), 0) > now

    def heal(self) -> None:
        """End all splits and outages, and let the sun shine."""
        self.weather = FINE
        self.split.clear()
        self.down.clear()
        self.next_fates.clear()

    # ------------------------------------------------------------------------------------------- calls

    async def call(self, process: Process, server: str, operation: str, step: Step, *, writes: bool) -> Any:  # noqa: ANN401 - any port's
        """Make one call; errors as `ports` says: unanswered writes are of unknown outcome."""
        if self.before is not None:
            self.before(process, operation)
        loop = self.loop
        if process.paused or process.dead:  # by what `before` did: the request is not out yet
            await self.turn()
        fate, there = self.fate(process, server, operation)
        self.trace.append((loop.now_ns, process.name, operation, fate.value))
        if fate is Fate.WELL:
            future = loop.create_future()
            loop.after(there, self._serve, step, future, process, operation)
            return await future
        return await self._unlucky(process, server, operation, fate, step, writes=writes)

    async def turn(self) -> None:
        """Give the scheduler the choice."""
        future = self.loop.create_future()
        self.loop.call_soon(_settle, future)
        await future

    def fate(self, process: Process, server: str, operation: str) -> tuple[Fate, int]:
        """Draw what becomes of a call, and how long its request travels (ns)."""
        random = self.random.random
        if self.next_fates and (ordered := self.next_fates.get(operation)):
            fate = ordered.pop()
            self.counts[f"ordered {fate}"] += 1
            return fate, 0
        if self.cut(process, server):
            return (Fate.REFUSED if random() < REFUSED_BEHIND_A_SPLIT else Fate.REQUEST_LOST), 0
        weather = self.weather
        drawn = random()
        if weather.bad and drawn < weather.bad:
            return self._misfortune(drawn), 0
        if weather.slow and random() < weather.slow:
            self.counts["slow call"] += 1
            return Fate.WELL, int(random() * CLIENT_TIMEOUT)
        return Fate.WELL, FAST_NS[int(drawn * 1e6) % len(FAST_NS)]

    def _misfortune(self, drawn: float) -> Fate:
        for fate, chance in (
            (Fate.REFUSED, self.weather.refused),
            (Fate.REQUEST_LOST, self.weather.request_lost),
            (Fate.REPLY_LOST, self.weather.reply_lost),
        ):
            if drawn < chance:
                return fate
            drawn -= chance
        return Fate.LATE

    async def _unlucky(  # noqa: PLR0913 - a call and what becomes of it
        self, process: Process, server: str, operation: str, fate: Fate, step: Step, *, writes: bool
    ) -> Any:  # noqa: ANN401 - any port's
        self.counts[f"call {fate.value}"] += 1
        loop = self.loop
        if fate is Fate.REFUSED:
            await self.sleep(int(self.random.random() * 20 * MS_NS))
            raise DependencyUnavailableError(server, f"{operation}: no connection")
        if fate is Fate.REPLY_LOST:
            loop.after(int(self.random.random() * 5 * MS_NS), self._serve, step, None, process, operation)
        elif fate is Fate.LATE:
            late = CLIENT_TIMEOUT + int(self.random.random() * 3 * SECOND_NS)
            loop.after(late, self._serve, step, None, process, operation)
        await self.sleep(CLIENT_TIMEOUT if self.random.random() < AS_SLOW_AS_CAN_BE else 5 * MS_NS)
        raise _unanswered(server, operation, writes=writes)

    async def sleep(self, delay_ns: int) -> None:
        """Wait in the caller's own process: one that is stopped wakes up later."""
        await asyncio.sleep(delay_ns / SECOND_NS)

    def _serve(
        self, step: Step, future: "asyncio.Future[Any] | None", process: Process, operation: str
    ) -> None:
        """Execute a request at its server; the caller hears of it if somebody waits."""
        result, error = executed(step)
        if future is None:
            self.trace.append((self.loop.now_ns, process.name, operation, "served in silence"))
        elif not future.done():
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)
        if self.after is not None:
            self.after(process, operation)


def executed(step: Step) -> tuple[Any, AlphaPandaError | None]:
    """Run a step that never waits; return its result, or the error that its caller is to get."""
    coroutine = step()
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value, None
    except AlphaPandaError as error:
        return None, error
    coroutine.close()
    raise MisuseError("a step on a server must not wait")


def _settle(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


def _unanswered(server: str, operation: str, *, writes: bool) -> AlphaPandaError:
    if writes and server in (Server.STORE, Server.CACHE):
        return UnknownOutcomeError(f"no reply to {operation}")
    return DependencyUnavailableError(server, f"no reply to {operation}")
