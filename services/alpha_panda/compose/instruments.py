"""A process's part in what its feed's symbols stand for: it asks or follows, waits until it knows, and notices a change."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, Self

import structlog

from alpha_panda.contracts.instruments import Instrument
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.stored import InstrumentList
from alpha_panda.errors import (
    DependencyUnavailableError,
    ManifestError,
    ManifestFault,
    TransientError,
    UserInputError,
)
from alpha_panda.ports import InstrumentStore
from alpha_panda.runtime.context import Ports, ServiceContext
from alpha_panda.runtime.listing import ListedManifests, broker_feeds, follow, look
from alpha_panda.runtime.manifests import Manifests
from alpha_panda.runtime.settings import Settings

from .lister import Lister, list_faults, list_of
from .zerodha import login_problem

log = structlog.get_logger()

ASKING: Final = "market-feed"
"""The service that asks the broker's list; all others read what it has stored."""

UNCONCERNED: Final = frozenset({"feed-cacher"})
"""Services that know tokens alone, whatever they stand for."""

BUILT_OF_THEM: Final = frozenset({"market-feed", "strategy"})
"""Services that are built of instruments, and so are built anew when those change; the others follow the manifests."""


def feed_of(service: str, kind: str, name: str, resources: ResourceSet) -> str:
    """Return the broker's feed whose instruments a service needs; "" if it needs none."""
    if service in UNCONCERNED:
        return ""
    if kind == "MarketFeed":
        feed = name
    elif kind == "BrokerAccount":
        feed = resources.accounts[name].spec.market_feed
    else:
        feed = resources.strategies[name.split(",", maxsplit=1)[0]].spec.market_feed
    return feed if feed in broker_feeds(resources) else ""


def needed_of(kind: str, name: str, resources: ResourceSet) -> tuple[str, ...]:
    """Return the symbols without which a service can't start."""
    if kind != "Strategy":
        return ()
    named = (resources.strategies[each] for each in name.split(",") if each in resources.strategies)
    return tuple(dict.fromkeys(symbol for strategy in named for symbol in strategy.spec.instruments))


class Instruments:
    """What a service of one resource knows of its feed's instruments; an async context manager.

    Args:
        service: the service's name.
        kind: of the resource that it serves.
        context: the service's; its manifests are `listed`.
        plain: the manifests as they are written.
        listed: the same, with what the broker's list says.

    """

    def __init__(
        self, service: str, kind: str, context: ServiceContext, plain: Manifests, listed: ListedManifests
    ) -> None:
        self._service = service
        self._kind = kind
        self._context = context
        self._plain = plain
        self._listed = listed
        self._feed = feed_of(service, kind, context.resource, plain.resources)
        self._lister: Lister | None = None
        self._task: asyncio.Task[None] | None = None
        self._known = asyncio.Event()
        self._used: tuple[Instrument, ...] | None = None
        self._stop: Callable[[], Awaitable[None]] | None = None
        self.changed = False
        """Whether what the service was built of is out of date, and it was stopped for that."""

    async def __aenter__(self) -> Self:
        if self._feed:
            self._task = asyncio.create_task(self._run(), name="instruments")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def lacking(self) -> str:
        """Return in words why the service can't start yet; "" if it can."""
        if not self._feed:
            return ""
        needed = needed_of(self._kind, self._context.resource, self._plain.resources)
        lacking = self._listed.lacking(self._feed, needed)
        own = self._lister.problem if self._lister is not None else ""
        return own if lacking and own else lacking

    async def known(self) -> None:
        """Return when the service can start."""
        seconds = self._context.settings.instruments_poll_seconds
        async for _ in self._context.ports.clock.every(seconds):
            if not self.lacking():
                return

    async def look(self) -> None:
        """Take what is stored now, so that a start need not wait for the next look."""
        store = self._context.ports.instruments
        if self._feed and store is not None and self._service != ASKING:
            try:
                await look(self._listed, store, [self._feed])
            except TransientError as error:
                log.warning("instruments_not_looked_at", error=str(error))

    def watch(self, stop: Callable[[], Awaitable[None]]) -> None:
        """Note what the service was built of; `stop` ends it when that has changed."""
        if self._feed and self._service in BUILT_OF_THEM:
            self._used, self._stop = self._instruments(), stop

    def _instruments(self) -> tuple[Instrument, ...]:
        resources = self._listed.resources
        master = resources.feeds[self._feed].instruments
        if self._service == ASKING:
            return tuple(master)
        needed = needed_of(self._kind, self._context.resource, resources)
        return tuple(master.by_symbol[symbol] for symbol in needed if symbol in master.by_symbol)

    async def _run(self) -> None:
        ports, settings = self._context.ports, self._context.settings
        store = ports.instruments
        if store is None:
            return
        if self._service == ASKING and ports.lists is not None:
            self._lister = lister(self._feed, self._plain, ports, settings, store, self._listed.take)
            turns = self._lister.run
        else:
            turns = None
        if turns is None:
            seconds = settings.instruments_poll_seconds
            await follow(self._listed, store, [self._feed], ports.clock, seconds, self._look_at_own)
            return
        listing = asyncio.create_task(turns())
        try:
            async for _ in ports.clock.every(settings.instruments_poll_seconds):
                await self._look_at_own()
                if listing.done():
                    listing.result()
        finally:
            listing.cancel()
            await asyncio.gather(listing, return_exceptions=True)

    async def _look_at_own(self) -> None:
        """Stop a service that was built of other instruments than there are now, if there are all that it needs."""
        if self._stop is None or self.changed or self.lacking() or self._used == self._instruments():
            return
        log.warning("instruments_changed", service_name=self._service, feed=self._feed)
        self.changed = True
        await self._stop()


def lister(  # noqa: PLR0913, PLR0917 - what it takes
    feed: str,
    plain: Manifests,
    ports: Ports,
    settings: Settings,
    store: InstrumentStore,
    on_listed: Callable[[InstrumentList], object],
) -> Lister:
    """Return what keeps a feed's list."""
    if ports.lists is None:
        raise DependencyUnavailableError("instruments", f"nobody can be asked for the list of {feed}")
    return Lister(
        feed,
        plain,
        ports.lists(feed),
        store,
        ports.clock,
        poll_seconds=settings.instruments_poll_seconds,
        retry_seconds=settings.instruments_retry_seconds,
        on_listed=on_listed,
    )


async def list_at_start(
    plain: ResourceSet, listed: ListedManifests, ports: Ports, settings: Settings
) -> list[Lister]:
    """Ask what the symbols of all brokers' feeds stand for, and return what keeps that up to date.

    Raises:
        ManifestError: a symbol is unknown, expired, or not what the manifest says: each with its field.
        UserInputError: a list can't be had; or nobody is logged in: with a list that is kept, a run would begin without,
            and end without a price.

    """
    # Without such a feed the traders are handed in, with log-ins of their own.
    accounts = plain.accounts.values() if broker_feeds(plain) else ()
    problems = (login_problem(account, settings, ports.clock) for account in accounts)
    if problem := next(filter(None, problems), ""):
        raise UserInputError(problem)
    faults: list[ManifestFault] = []
    listers: list[Lister] = []
    for name in broker_feeds(plain):
        feed, store = plain.feeds[name], ports.instruments
        if ports.lists is None or store is None:
            raise UserInputError(f"{feed.ref}: nobody can be asked for its broker's list of instruments")
        try:
            found, newest = await list_of(feed, ports.lists(name))
        except DependencyUnavailableError as error:
            login = feed.spec.source.zerodha
            remedy = f"; log in first: alpha-panda login {login.account}" if login else ""
            raise UserInputError(f"{feed.ref}: its symbols can't be looked up ({error}){remedy}") from error
        faults.extend(list_faults(plain, feed, found))
        listed.take(found)
        await store.put(found)
        keeper = lister(name, plain, ports, settings, store, listed.take)
        keeper.begun_with(found, newest=newest)
        listers.append(keeper)
    if faults:
        raise ManifestError(faults)
    return listers


def usable(listed: ListedManifests, feed: str, needed: Iterable[str]) -> tuple[Instrument, ...] | None:
    """Return the instruments of the symbols, all of a feed without any; None if one of them is not usable."""
    symbols = tuple(needed)
    if listed.lacking(feed, symbols):
        return None
    master = listed.resources.feeds[feed].instruments
    return tuple(master.symbol(symbol) for symbol in symbols) if symbols else tuple(master)
