"""What the operator does by the clock: fresh reads and control keys, statuses, listings of children, users' code."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

import structlog

from alpha_panda.errors import ApiRefusedError, ProcessMustExitError, TransientError, UnknownOutcomeError
from alpha_panda_operator.cache import Cache, Place
from alpha_panda_operator.clock import Clock
from alpha_panda_operator.cluster import Cluster, Object
from alpha_panda_operator.config import OperatorConfig
from alpha_panda_operator.control import ControlDesk, platform_state
from alpha_panda_operator.handlers.children import WATCHED
from alpha_panda_operator.intake import Intake
from alpha_panda_operator.loop import apart
from alpha_panda_operator.names import BROKER_ACCOUNT, CONFIG_MAP, RESOURCES, STRATEGY, Key, children_selector
from alpha_panda_operator.ownership import Ownership
from alpha_panda_operator.reconcile.acceptance import data_of
from alpha_panda_operator.reconcile.board import StatusBoard
from alpha_panda_operator.users_code import look_at_changed

log = structlog.get_logger()

AGAIN_SECONDS: Final = 0.5
"""Seconds until a trading state is written again that Redis did not take."""

INFORM_SECONDS: Final = 10.0
"""How long Redis may keep a new leader from its other work."""

WATCH_SECONDS: Final = 55
"""How long one watch of the platform's ConfigMap lasts; then another begins."""


@dataclass(slots=True)
class Sync:
    """One turn of each kind of work, and loops that repeat them. `home`: the operator's own namespace."""

    config: OperatorConfig
    cluster: Cluster
    cache: Cache
    intake: Intake
    desk: ControlDesk
    board: StatusBoard
    ownership: Ownership
    clock: Clock
    home: str
    tell: Callable[[Key], Awaitable[None]]
    _platform: asyncio.Lock = field(default_factory=asyncio.Lock)

    # ---------------------------------------------------------------------------------------- resources

    async def read_resources(self) -> None:
        """Read the three kinds from the API itself, and take over what differs from what the watches have shown."""
        for kind in RESOURCES.values():
            present: set[Key] = set()

            def take(page: Iterable[Object], name: str = kind.kind, present: set[Key] = present) -> None:
                present |= self.intake.resources_shown(name, page)

            listing = await self.cluster.list(kind, self.config.watch_namespaces, take=take)
            self.intake.resources_absent(kind.kind, present, listing.version)

    async def read_platform(self) -> None:
        """Read the platform's ConfigMap, and write its state; one at a time, or an older one could be written last."""
        async with self._platform:
            found = await self.cluster.get(CONFIG_MAP, self.home, self.config.platform_config_map)
            await self.desk.publish_platform(platform_state(found), self._namespaces())

    async def inform(self) -> None:
        """Write all states and read what binds once before anything is told, or what was known would be told as unknown.

        Not for long: without Redis there is work to do all the same.
        """
        try:
            async with asyncio.timeout(INFORM_SECONDS):
                await self.renew()
                for namespace in self._namespaces():
                    await self._refresh(namespace)
        except (TransientError, ApiRefusedError, UnknownOutcomeError, TimeoutError) as error:
            log.warning("begun without knowing what binds", error=str(error) or "no answer in time")
        except ProcessMustExitError:
            raise
        except Exception:  # as in `every`
            log.exception("begun without knowing what binds")

    async def renew(self) -> None:
        """Read everything anew and renew all control keys: one turn."""
        await self.read_resources()
        await self._claim(again=False)
        await self.read_platform()
        views = [view for key, view in self.cache.resources.items() if key.kind in (BROKER_ACCOUNT, STRATEGY)]
        await self.desk.renew(views)
        await self._forget_vanished()

    async def _claim(self, *, again: bool) -> None:
        for namespace in await self.ownership.claim(sorted(self.cache.namespaces()), again=again):
            for key in [key for key in self.cache.resources if key.namespace == namespace]:
                self.intake.work.add(key)
        await self.ownership.release(self.cache.namespaces())

    async def _forget_vanished(self) -> None:
        while self.intake.vanished:
            view = self.intake.vanished.pop()
            if view.key not in self.cache.resources:  # not if another one has its name by now
                await apart(view.key, lambda view=view: self.desk.drop(view))  # type: ignore[misc]

    def _namespaces(self) -> list[str]:
        return sorted(name for name in self.cache.namespaces() if not self.ownership.foreign(name))

    async def publish(self, key: Key) -> float | None:
        """Write the trading state of a resource that may have changed; return in how many seconds to try again."""
        view = self.cache.resources.get(key)
        if view is None:
            return None
        await self.ownership.claim([key.namespace])
        if not self.desk.platform_known:
            await self.read_platform()
        before = self.desk.problem(key)
        await self.desk.publish(view)
        after = self.desk.problem(key)
        if after != before:
            self.intake.work.add(key)
        return AGAIN_SECONDS if after else None

    async def watch_platform(self) -> None:
        """Follow the platform's ConfigMap until cancelled: a halt of all acts within a second."""
        while True:
            try:
                async with self.cluster.watch_one(
                    CONFIG_MAP, self.home, self.config.platform_config_map, WATCH_SECONDS
                ) as changes:
                    async for _ in changes:
                        await self.read_platform()
            except (TransientError, ApiRefusedError, TimeoutError) as error:
                log.info("the platform's ConfigMap can't be watched", error=str(error))
                await self.clock.sleep(1)

    # ---------------------------------------------------------------------------------------- children

    async def read_children(self) -> None:
        """Read what we have made and its pods, and look at every resource again."""
        selector = children_selector(self.config.installation)
        for kind in WATCHED:
            present: set[Key] = set()

            def take(page: Iterable[Object], name: str = kind.kind, present: set[Key] = present) -> None:
                present |= self.intake.children_shown(name, page)

            listing = await self.cluster.list(
                kind, self.config.watch_namespaces, selector=selector, take=take
            )
            self.intake.children_absent(kind.kind, present, listing.version)
        await self._claim(again=True)
        for key in self.cache.resources:
            self.intake.work.add(key)

    async def read_code(self) -> None:
        """Look whether users' ConfigMaps have changed."""
        named = {
            Place(view.key.namespace, data_of(view))
            for view in self.cache.resources.values()
            if data_of(view)
        }
        changed = await look_at_changed(self.cluster, self.cache, named)
        if not changed:
            return
        for view in list(self.cache.resources.values()):
            if (view.key.namespace, data_of(view)) in changed:
                for key in (view.key, *self.cache.dependents(view.key)):
                    if key in self.cache.resources:
                        self.intake.work.add(key)

    # ---------------------------------------------------------------------------------------- statuses

    async def read_statuses(self) -> None:
        """Read what the services report and what binds, and bring every resource's status up to date."""
        for namespace in self._namespaces():
            try:
                await self._refresh(namespace)
            except Exception:  # what can't be read of one namespace hides no other's
                log.exception("statuses can't be read", namespace=namespace)
                self.board.forget(namespace)
        for key in list(self.cache.resources):
            await apart(key, lambda key=key: self._tell(key))  # type: ignore[misc]

    async def _refresh(self, namespace: str) -> None:
        views = [view for kind in (BROKER_ACCOUNT, STRATEGY) for view in self.cache.of_kind(kind, namespace)]
        await self.board.refresh(namespace, views)

    async def _tell(self, key: Key) -> None:
        try:
            await self.tell(key)
        except ApiRefusedError:
            self.intake.work.add(key)  # written by somebody meanwhile

    # ------------------------------------------------------------------------------------------- loops

    async def every(self, seconds: float, turn: Callable[[], Awaitable[None]], what: str) -> None:
        """Repeat a turn until cancelled; one that fails is told of and tried again next time."""
        due = self.clock.monotonic()
        while True:
            try:
                await turn()
            except ProcessMustExitError as error:
                if not isinstance(error, UnknownOutcomeError):
                    raise
                log.warning("a turn failed", turn=what, error=str(error))
            except (TransientError, ApiRefusedError) as error:
                log.warning("a turn failed", turn=what, error=str(error))
            except Exception:  # a bug, or what somebody wrote into Redis: the other turns have to go on
                log.exception("a turn failed unexpectedly", turn=what)
            due = max(due + seconds, self.clock.monotonic())
            await self.clock.sleep(due - self.clock.monotonic())
            await asyncio.sleep(0)
