"""Runs several services in one process, and starts a failed one anew: what Kubernetes does for pods."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import structlog

from alpha_panda.contracts.stored import ServiceStatus
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.errors import MisuseError, StrategyError, TopicMismatchError, UserInputError
from alpha_panda.ports import Clock
from alpha_panda.runtime.retry import Backoff
from alpha_panda.runtime.service import StreamService
from alpha_panda.runtime.settings import Settings

log = structlog.get_logger()

# What a person must put right: the same start fails the same way.
_HOPELESS = (UserInputError, TopicMismatchError)


@dataclass(slots=True, eq=False)
class _Member:
    name: str
    factory: Callable[[], StreamService]
    after: tuple[str, ...]
    was_ready: asyncio.Event = field(default_factory=asyncio.Event)
    service: StreamService | None = None
    running: asyncio.Task[None] | None = None
    keeper: asyncio.Task[None] | None = None
    failures: int = 0
    restarts: int = 0
    kill_requested: bool = False
    revive: bool = True
    renewing: bool = False
    down: BaseException | None = None


class Supervisor:
    """Members are added, then `run` starts them. A restart is a fresh build: nothing of its memory survives."""

    def __init__(self, clock: Clock, settings: Settings) -> None:
        self._clock = clock
        self._settings = settings
        self._backoff = Backoff(settings.restart_initial_seconds, settings.restart_max_seconds)
        self._members: dict[str, _Member] = {}
        self._stopping = False
        self._held: set[str] = set()
        self._all_ready = asyncio.Event()
        self._done = asyncio.Event()
        self._failure: BaseException | None = None
        self._end = asyncio.Event()

    def add(self, name: str, factory: Callable[[], StreamService], *, after: Sequence[str] = ()) -> None:
        """Add a member. `after`: it is first started when these have been ready (a feed after its readers).

        Raises:
            MisuseError: the name is taken, or `after` names a member that is not there yet.

        """
        unknown = [other for other in after if other not in self._members]
        if name in self._members or unknown:
            raise MisuseError(f"member {name!r} is there already, or comes before {unknown}")
        self._members[name] = _Member(name, factory, tuple(after))

    # --------------------------------------------------------------------------------------------------- run

    async def run(self) -> None:
        """Run all until `stop`, or until one is given up. Cancellation kills all.

        Raises:
            BaseException: the last error of the member that was given up, after the others stopped gracefully.

        """
        for member in self._members.values():
            member.keeper = asyncio.create_task(self._keep(member), name=f"supervise {member.name}")
        watch = asyncio.create_task(self._watch_ready())
        try:
            await self._end.wait()
            if self._failure is not None:
                await self._stop_all(())
                raise self._failure
        finally:
            watch.cancel()
            await self._kill_all()
            self._done.set()

    async def wait_ready(self) -> None:
        """Return when every member has been ready once, or the run has ended."""
        waits = [asyncio.create_task(event.wait()) for event in (self._all_ready, self._end)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()

    async def hold(self, name: str) -> None:
        """Stop a member gracefully, and don't start it (again), not even for the first time."""
        member = self._member(name)
        self._held.add(name)
        if member.service is not None:
            await member.service.stop()

    async def renew(self, name: str) -> None:
        """Stop a member gracefully and build it anew: what it was built of has changed. Nothing if it is not running."""
        member = self._member(name)
        if member.service is not None and member.running is not None and not member.running.done():
            member.renewing = True
            await member.service.stop()

    async def stop(self, order: Sequence[str] = ()) -> None:
        """Stop gracefully, one after the other: those in `order` first, then the rest as they were added."""
        await self._stop_all(order)
        self._end.set()
        if any(member.keeper is not None for member in self._members.values()):
            await self._done.wait()

    async def _stop_all(self, order: Sequence[str]) -> None:
        self._stopping = True
        for name in dict.fromkeys([*order, *self._members]):
            member = self._member(name)
            if member.running is not None and member.service is not None:
                await member.service.stop()

    async def _kill_all(self) -> None:
        tasks = [
            task
            for member in self._members.values()
            for task in (member.keeper, member.running)
            if task is not None
        ]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch_ready(self) -> None:
        for member in self._members.values():
            await member.was_ready.wait()
        self._all_ready.set()

    # ------------------------------------------------------------------------------------------- one member

    async def _keep(self, member: _Member) -> None:
        for other in member.after:
            await self._members[other].was_ready.wait()
        while not self._stopping and member.name not in self._held:
            begun = self._clock.monotonic()
            error = await self._run_once(member)
            member.down = None if member.kill_requested else error
            if error is None and member.renewing and not self._stopping:
                member.renewing = False
                continue
            if error is None or self._stopping:
                return
            member.restarts += 1
            if member.kill_requested:
                member.kill_requested = False
                if not member.revive:
                    return
                continue
            self._count_failure(member, begun)
            if _hopeless(member, error) or member.failures >= self._settings.restart_max_attempts:
                self._give_up(member, error)
                return
            await self._back_off(member, error)

    async def _run_once(self, member: _Member) -> BaseException | None:
        """Build and run the member once; return what it ended with, None after a stop."""
        try:
            member.service = member.factory()
        except Exception as error:  # noqa: BLE001 - a build that fails is a failed start, logged by the caller
            return error
        member.running = asyncio.create_task(member.service.run(), name=member.name)
        ready = asyncio.create_task(self._note_ready(member, member.service))
        try:
            await asyncio.wait({member.running})
        finally:
            ready.cancel()
        if member.running.cancelled():
            return asyncio.CancelledError(f"{member.name} was cancelled")
        return member.running.exception()

    async def _note_ready(self, member: _Member, service: StreamService) -> None:
        await service.ready.wait()
        member.was_ready.set()
        member.down = None

    def _count_failure(self, member: _Member, begun: int) -> None:
        """Count quick failures in a row. Virtual time tells nothing of how quick one was: there, all are."""
        lived = (self._clock.monotonic() - begun) / SECOND_NS
        recovered = not self._clock.virtual and lived > self._settings.restart_max_seconds
        member.failures = 0 if recovered else member.failures + 1

    def _give_up(self, member: _Member, error: BaseException) -> None:
        log.error("service given up", service_name=member.name, failures=member.failures, error=repr(error))
        if self._failure is None:
            self._failure = error
        self._end.set()

    async def _back_off(self, member: _Member, error: BaseException) -> None:
        wait = self._backoff.delay(max(1, member.failures), member.name)
        log.warning(
            "service will be restarted",
            service_name=member.name,
            error=repr(error),
            failures=member.failures,
            wait_seconds=round(wait, 3),
        )
        await self._clock.sleep(wait)

    # ----------------------------------------------------------------------------------------------- inspect

    async def kill(self, name: str, *, restart: bool = True) -> None:
        """End a member as SIGKILL would: nothing is flushed or committed. Then a fresh one starts at once.

        With `restart=False` it stays dead until `revive`. For tests and chaos runs.
        """
        member = self._member(name)
        if member.running is None or member.running.done():
            raise MisuseError(f"{name!r} is not running")
        member.kill_requested, member.revive = True, restart
        member.running.cancel()
        await asyncio.wait({member.running})

    def revive(self, name: str) -> None:
        """Start a member that was killed for good."""
        member = self._member(name)
        if member.running is not None and not member.running.done():
            raise MisuseError(f"{name!r} is running")
        member.keeper = asyncio.create_task(self._keep(member), name=f"supervise {name}")

    def _member(self, name: str) -> _Member:
        if name not in self._members:
            raise MisuseError(f"no member {name!r}; there are {', '.join(self._members)}")
        return self._members[name]

    @property
    def services(self) -> Mapping[str, StreamService]:
        """The present services by member name (those that have been built)."""
        return MappingProxyType({n: m.service for n, m in self._members.items() if m.service is not None})

    @property
    def down(self) -> Mapping[str, BaseException]:
        """The members that failed and have not been ready since, each with its error."""
        return MappingProxyType({n: m.down for n, m in self._members.items() if m.down is not None})

    def restarts(self, name: str) -> int:
        """Return how often the member was started again."""
        return self._member(name).restarts

    def statuses(self) -> list[ServiceStatus]:
        """Return the status of each present service, in the order of adding."""
        return [service.get_status() for service in self.services.values()]


def _hopeless(member: _Member, error: BaseException) -> bool:
    """Whether a person must put it right: a user's strategy that can't even start would fail the same way again."""
    never_ready = isinstance(error, StrategyError) and not member.was_ready.is_set()
    return never_ready or isinstance(error, _HOPELESS)
