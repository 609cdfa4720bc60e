"""The in-process ports: memory adapters on one clock, shared by all services of a run."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache

from alpha_panda.adapters.ids import RandomIds, SeededIds
from alpha_panda.adapters.memory.bus import MemoryBus
from alpha_panda.adapters.memory.checkpoints import MemoryCheckpointStore
from alpha_panda.adapters.memory.control import MemoryControlStore
from alpha_panda.adapters.memory.database import MemoryDatabase
from alpha_panda.adapters.memory.decisions import MemoryDecisionStore
from alpha_panda.adapters.memory.instruments import MemoryInstrumentStore
from alpha_panda.adapters.memory.journal import MemoryOrderJournal
from alpha_panda.adapters.memory.leases import MemoryLease
from alpha_panda.adapters.memory.pace import MemoryOrderPace
from alpha_panda.adapters.memory.prices import MemoryPriceCache
from alpha_panda.adapters.memory.statuses import MemoryStatusStore
from alpha_panda.contracts.keys import KeyMap
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.ports import Clock, InstrumentLists, MarketSource
from alpha_panda.runtime.context import Ports
from alpha_panda.runtime.manifests import Manifests
from alpha_panda.runtime.settings import Settings

from .sources import Played, TickBudget, WatchedSource, make_source
from .traders import ManifestTraders
from .zerodha import Kites


def memory_ports(  # noqa: PLR0913 - the options of a run
    resources: ResourceSet,
    settings: Settings,
    clock: Clock,
    *,
    seed: int | None = None,
    max_ticks: int | None = None,
    on_source_end: Callable[[str], None] | None = None,
    manifests: Manifests | None = None,
) -> tuple[MemoryBus, Ports]:
    """Return the bus and the ports of one process. With `seed` all ids, and simulated prices, are the same from run to run.

    `max_ticks` bounds the ticks of all feeds together; `on_source_end` is told the feed whose source has ended.
    `manifests`: where the resources come from, if they may change.
    """
    ids = RandomIds() if seed is None else SeededIds(seed)
    database = MemoryDatabase(clock, ids.child("store"), KeyMap(settings.topic_prefix, settings.installation))
    bus = MemoryBus(
        clock,
        ids=ids.child("bus"),
        retain_records=settings.memory_retain_records,
        max_backlog=settings.memory_max_backlog,
    )
    pace = MemoryOrderPace(database)
    kites = Kites(settings, clock, pace)
    ports = Ports(
        clock=clock,
        ids=ids.child("services"),
        bus=bus,
        prices=MemoryPriceCache(database),
        journal=cache(lambda account: MemoryOrderJournal(database, account)),
        decisions=cache(lambda account: MemoryDecisionStore(database, account)),
        checkpoints=MemoryCheckpointStore(database),
        control=MemoryControlStore(database),
        lease=MemoryLease(database),
        statuses=MemoryStatusStore(database),
        instruments=MemoryInstrumentStore(database),
        traders=ManifestTraders(manifests or resources, clock, kites),
        source=_sources(resources, settings, clock, seed, max_ticks, on_source_end, kites, manifests),
        pace=pace,
        lists=_lists(resources, manifests, kites),
        close=kites.close,
    )
    return bus, ports


def with_manifests(  # noqa: PLR0913 - the options of a run
    transports: Ports,
    resources: ResourceSet,
    settings: Settings,
    *,
    seed: int | None = None,
    max_ticks: int | None = None,
    on_source_end: Callable[[str], None] | None = None,
    manifests: Manifests | None = None,
) -> Ports:
    """Return the ports with what no transport has: the traders and sources of these manifests (see `memory_ports`)."""
    clock = transports.clock
    kites = Kites(settings, clock, transports.pace)
    return replace(
        transports,
        traders=ManifestTraders(manifests or resources, clock, kites),
        source=_sources(resources, settings, clock, seed, max_ticks, on_source_end, kites, manifests),
        lists=_lists(resources, manifests, kites),
        close=kites.close,
    )


def _lists(
    resources: ResourceSet, manifests: Manifests | None, kites: Kites
) -> Callable[[str], InstrumentLists]:
    """Return what asks a feed's broker for its list of instruments."""

    def lists(feed: str) -> InstrumentLists:
        now = resources if manifests is None else manifests.resources
        return kites.lists(now, now.feeds[feed])

    return lists


def _sources(  # noqa: PLR0913, PLR0917 - the options of a run, handed on
    resources: ResourceSet,
    settings: Settings,
    clock: Clock,
    seed: int | None,
    max_ticks: int | None,
    on_end: Callable[[str], None] | None,
    kites: Kites,
    manifests: Manifests | None,
) -> Callable[[str], MarketSource]:
    """Return what makes a feed's source; all of them share the budget of ticks."""
    budget = TickBudget(max_ticks)
    played: dict[str, Played] = {}

    def source(feed: str) -> MarketSource:
        far = played.setdefault(feed, Played(clock)) if clock.virtual else None
        begin_ts = far.begin_ts if far else None
        now = resources if manifests is None else manifests.resources
        made = make_source(now.feeds[feed], now, settings, clock, seed, begin_ts, kites)
        return WatchedSource(made, budget, lambda: on_end(feed) if on_end else None, far)

    return source
