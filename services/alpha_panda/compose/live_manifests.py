"""Manifests that are followed while a service runs: a ConfigMap's files change under it, as `kubectl apply` changes them.

What a change may bring while the service runs are the LIVE fields: of an account its trading state, clearLatch, risk
limits, acceptStrategies, orderTypes, validities and productCutOff; strategies, whole (who comes, who goes, who is
another resource of the same name); of a feed everything but the number of its partitions. All else are START-UP
fields: what is written there now is ignored until the next start, which the operator sees to.

A mounted ConfigMap is switched over in one step. Files that are written in place are read only when two looks in a row
have found them alike: half of a manifest may be a manifest too, without the limits that its other half has.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import structlog

from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.resources import BrokerAccount, MarketFeed, Strategy
from alpha_panda.errors import UserInputError
from alpha_panda.ports import Clock
from alpha_panda.runtime.venues import rules_of

log = structlog.get_logger()

R = TypeVar("R", MarketFeed, BrokerAccount)

LIVE_ACCOUNT_FIELDS: Final = frozenset(
    {
        "trading_state",
        "clear_latch",
        "risk",
        "accept_strategies",
        "order_types",
        "validities",
        "product_cut_off",
    }
)
"""Fields of an account's spec that a running service follows; the others are those of its start."""

START_FEED_FIELDS: Final = frozenset({"partitions"})
"""Fields of a feed's spec that stay those of the start: other readers and writers count on them."""

MAX_PROBLEM: Final = 2_000
"""Characters of a problem that are told: the log has all."""

RETRY_LOOKS: Final = 10
"""Looks after which what could not be used is read again, though it has not changed: the fault may have been the disk's."""

_CONFIG_MAP_LINK: Final = "..data"
"""What a mounted ConfigMap is switched over by, in one step."""

Mark = tuple[tuple[str, int, int, int], ...]


class LiveManifests:
    """`runtime.manifests.Manifests` of files and folders that are read again when they have changed.

    `read` returns what is written, or raises UserInputError. `served`: kind and name of what the service serves,
    which must stay among the resources ("": nothing must). `begin` comes first.
    """

    def __init__(self, paths: Sequence[Path], read: Callable[[], ResourceSet], served: str = "") -> None:
        self.resources = ResourceSet()
        self.problem: str | None = None
        self._paths = tuple(paths)
        self._read = read
        self._served = served
        self._at_start = self.resources
        self.mark: Mark = ()
        self._coming: Mark = ()
        self._looks_left = 0

    def present_mark(self) -> Mark:
        """Return the mark of what is written now; `mark` is that of what was read last."""
        return mark_of(self._paths)

    def begin(self) -> None:
        """Read for the first time; UserInputError if that can't be used."""
        self.mark = self.present_mark()
        self.resources = self._at_start = self._read()
        self.problem = None

    async def look(self) -> bool:
        """Read again if anything has changed, and say whether the resources are others now.

        What can't be used leaves the last good resources standing, and is told once and in `problem`.
        """
        try:
            if not self._due():
                return False
            found = await asyncio.to_thread(self._found)
            if not self._switched() and self.present_mark() != self.mark:
                return False  # it was written to while it was read
        except UserInputError as error:
            self._refuse(error)
            return False
        except Exception as error:
            if _told(error) != self.problem:
                log.exception("manifests_unreadable", paths=list(map(str, self._paths)))
            self._refuse(error)
            return False
        if self.problem is not None:
            log.info("manifests_usable_again")
        self.problem = None
        if found == self.resources:
            return False
        self.resources = found
        log.info("manifests_changed", resources=[resource.ref for resource in found])
        return True

    async def follow(self, clock: Clock, seconds: float, on_change: "Callable[[], Any]" = bool) -> None:
        """Look each `seconds` until cancelled; `on_change` is called, and awaited if need be, when others stand."""
        async for _ in clock.every(seconds):
            if await self.look():
                doing = on_change()
                if asyncio.iscoroutine(doing):
                    await doing

    def _due(self) -> bool:
        """Whether to read: there is something else, and it is whole; or what is there could not be used some time ago."""
        mark = self.present_mark()
        if mark == self.mark:
            self._looks_left -= 1
            return self.problem is not None and self._looks_left <= 0
        if mark != self._coming and not self._switched():
            self._coming = mark
            return False
        self.mark = mark  # taken before reading: a change meanwhile makes the next look read again
        return True

    def _switched(self) -> bool:
        """Whether all that is followed is mounted ConfigMaps."""
        return all((path / _CONFIG_MAP_LINK).is_symlink() for path in self._paths)

    def _found(self) -> ResourceSet:
        """Return what is written now, or raise UserInputError if the service could not work with it."""
        found = pinned(self._read(), self._at_start)
        if self._served and self._served not in {resource.ref for resource in found}:
            raise UserInputError(f"{self._served} is not among the manifests any more")
        for account in found.accounts.values():
            if account.ref == self._served:  # hours that overlap, say: no schema sees that
                rules_of(found.feed_of(account), account)
        return found

    def _refuse(self, error: Exception) -> None:
        self._looks_left = RETRY_LOOKS
        problem = _told(error)
        if problem != self.problem:
            log.error("manifests_refused", problem=problem, kept=[item.ref for item in self.resources])
        self.problem = problem


def _told(error: Exception) -> str:
    return str(error)[:MAX_PROBLEM] or repr(error)


def mark_of(paths: Iterable[Path]) -> Mark:
    """Return what tells one state of the files from another, without reading them: name, inode, time and size."""
    marks = []
    for path in paths:
        link = path / _CONFIG_MAP_LINK
        try:
            target = str(link.readlink()) if link.is_symlink() else ""
            files = sorted(path.rglob("*")) if path.is_dir() else [path]
        except OSError as error:  # a folder of the last state is removed while it is walked
            target, files = str(error), []
        marks.append((target, 0, 0, 0))
        marks += [mark for file in files if (mark := _mark(file)) is not None]
    return tuple(marks)


def _mark(file: Path) -> tuple[str, int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return (str(file), found.st_ino, found.st_mtime_ns, found.st_size)


def pinned(now: ResourceSet, at_start: ResourceSet) -> ResourceSet:
    """Return the resources of now with the START-UP fields of those that were there at the start."""
    accounts = {name: _account(item, at_start.accounts.get(name)) for name, item in now.accounts.items()}
    feeds = {name: _feed(item, at_start.feeds.get(name)) for name, item in now.feeds.items()}
    strategies: dict[str, Strategy] = dict(now.strategies)
    lacking = {account.spec.market_feed for account in accounts.values()} - feeds.keys()
    if lacking:
        raise UserInputError(f"MarketFeed {', '.join(sorted(lacking))} is not among the manifests any more")
    return ResourceSet(feeds=feeds, accounts=accounts, strategies=strategies, origins=now.origins)


def _account(now: BrokerAccount, at_start: BrokerAccount | None) -> BrokerAccount:
    return _kept(now, at_start, frozenset(type(now.spec).model_fields) - LIVE_ACCOUNT_FIELDS)


def _feed(now: MarketFeed, at_start: MarketFeed | None) -> MarketFeed:
    return _kept(now, at_start, START_FEED_FIELDS)


def _kept(now: R, at_start: R | None, names: frozenset[str]) -> R:
    """Return the resource with these fields of its spec as they were at the start."""
    if at_start is None:
        return now
    before: dict[str, Any] = {name: getattr(at_start.spec, name) for name in names}
    if all(getattr(now.spec, name) == value for name, value in before.items()):
        return now
    return now.model_copy(update={"spec": now.spec.model_copy(update=before)})
