"""Manifests whose feeds' symbols stand for what a broker's daily list says: laid over them, and followed.

A feed of a broker names symbols. Its market-feed asks the broker's list what they stand for and stores that
(`ports.InstrumentStore`); every service lays it over the manifests, so that all know the same tokens, and waits until
it is there.
"""

from collections.abc import Callable, Coroutine, Iterable
from dataclasses import replace
from typing import Any, Final

import structlog

from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.stored import InstrumentList
from alpha_panda.errors import TransientError
from alpha_panda.ports import Clock, InstrumentStore
from alpha_panda.runtime.manifests import Manifests

log = structlog.get_logger()

NAMED: Final = 3
"""How many symbols a reason names."""


class ListedManifests:
    """`Manifests` over others: as they are now, with the lists that were taken last."""

    def __init__(self, manifests: Manifests) -> None:
        self._manifests = manifests
        self._lists: dict[str, InstrumentList] = {}
        self._of: ResourceSet | None = None
        self._made = manifests.resources

    @property
    def resources(self) -> ResourceSet:
        """The manifests' resources; the feeds know the tokens of what is listed."""
        present = self._manifests.resources
        if present is not self._of:
            self._made, self._of = listed_over(present, self._lists), present
        return self._made

    @property
    def problem(self) -> str | None:
        """As the manifests'."""
        return self._manifests.problem

    def version(self, feed: str) -> str | None:
        """Return which list of the feed was taken; None: none."""
        taken = self._lists.get(feed)
        return None if taken is None else taken.version

    def take(self, listed: InstrumentList) -> bool:
        """Use this list from now on; say whether any instrument is another than before."""
        before = self.resources
        self._lists[listed.feed] = listed
        after = listed_over(self._manifests.resources, self._lists)
        if after.feeds == before.feeds:
            return False
        self._made, self._of = after, self._manifests.resources
        return True

    def lacking(self, feed: str, needed: Iterable[str] = ()) -> str:
        """Return in words what the feed's instruments lack for a service to start; "" if nothing.

        `needed`: symbols without which it can't. Others that can't be used are left out of the feed.
        """
        resource = self.resources.feeds.get(feed)
        if resource is None or not resource.unresolved:
            return ""
        taken = self._lists.get(feed)
        if taken is None:
            return f"the market-feed of {feed} has not said yet what its symbols stand for; see its status"
        unknown = [symbol for symbol in resource.unresolved if symbol not in taken.faults]
        if unknown:
            return f"the market-feed of {feed} has not said yet what {_named(unknown)} stands for"
        wanted = set(needed) or (set() if len(resource.instruments) else set(resource.unresolved))
        return "; ".join(taken.faults[symbol] for symbol in resource.unresolved if symbol in wanted)


def _named(symbols: list[str]) -> str:
    more = f" and {len(symbols) - NAMED} more" if len(symbols) > NAMED else ""
    return ", ".join(symbols[:NAMED]) + more


def listed_over(resources: ResourceSet, lists: dict[str, InstrumentList]) -> ResourceSet:
    """Return the resources with what the lists say of their feeds' symbols; themselves where that is nothing new."""
    feeds = {
        name: feed.listed(lists[name].instruments) if name in lists and feed.spec.source.zerodha else feed
        for name, feed in resources.feeds.items()
    }
    if all(feeds[name] is feed for name, feed in resources.feeds.items()):
        return resources
    return replace(resources, feeds=feeds)


def broker_feeds(resources: ResourceSet) -> tuple[str, ...]:
    """Return the feeds whose symbols a broker's list resolves."""
    return tuple(name for name, feed in resources.feeds.items() if feed.spec.source.zerodha)


async def look(manifests: ListedManifests, store: InstrumentStore, feeds: Iterable[str]) -> bool:
    """Take what is stored of the feeds, if it is another list; say whether any instrument changed.

    Raises:
        TransientError: the store does not answer.

    """
    changed = False
    for feed in feeds:
        version = await store.version(feed)
        if version is None or version == manifests.version(feed):
            continue
        found = await store.read(feed)
        if found is not None and manifests.take(found):
            changed = True
            log.info("instruments_taken", feed=feed, day=found.day, instruments=len(found.instruments))
    return changed


async def follow(  # noqa: PLR0913, PLR0917 - what following consists of
    manifests: ListedManifests,
    store: InstrumentStore,
    feeds: Iterable[str],
    clock: Clock,
    seconds: float,
    on_change: Callable[[], Coroutine[Any, Any, None]],
) -> None:
    """Look each `seconds` until cancelled; `on_change` is awaited when any instrument is another one."""
    names = tuple(feeds)
    async for _ in clock.every(seconds):
        try:
            changed = await look(manifests, store, names)
        except (
            TransientError
        ) as error:  # what was taken stands: prices tell by themselves that a store is away
            log.debug("instruments_not_looked_at", error=str(error))
            continue
        if changed:
            await on_change()
