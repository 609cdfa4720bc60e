"""What a broker's feed's symbols stand for: asked of the broker's list each day, and stored for all to know."""

import hashlib
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Final

import msgspec
import structlog

from alpha_panda.contracts.instruments import Instrument
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.resources import FeedInstrument, MarketFeed
from alpha_panda.contracts.stored import InstrumentList
from alpha_panda.contracts.units import nanoseconds
from alpha_panda.errors import DependencyUnavailableError, ManifestFault, TransientError, UnknownOutcomeError
from alpha_panda.ports import Clock, InstrumentLists, InstrumentStore
from alpha_panda.runtime.manifests import Manifests

log = structlog.get_logger()

AGREEING: Final = {"token": "token", "tick_size": "tickSize"}
"""What a manifest may say of a broker's instrument, but not otherwise than its list."""


def own_lot_sizes(feed: MarketFeed) -> dict[str, Decimal]:
    """Return the lot sizes that the manifest itself gives: they stand instead of the list's."""
    given = (item for item in feed.spec.instruments if "lot_size" in item.model_fields_set)
    return {item.symbol: Decimal(item.lot_size) for item in given}


def disagreements(item: FeedInstrument, found: Instrument) -> Iterator[tuple[str, str]]:
    """Yield each field in which the manifest says otherwise than the list, and that in words."""
    for name, field in AGREEING.items():
        said, listed = getattr(item, name), getattr(found, name)
        if said is not None and said != listed:
            yield (
                field,
                f"{item.symbol} has {field} {listed} in the broker's list, and the manifest says {said}: leave it out",
            )


async def list_of(feed: MarketFeed, lists: InstrumentLists) -> tuple[InstrumentList, bool]:
    """Ask for the feed's symbols, and say whether the answer is of the newest list there can be.

    Raises:
        DependencyUnavailableError: no list can be had.

    """
    found = await lists.find(feed.symbols, own_lot_sizes(feed))
    instruments, faults = [], dict(found.faults)
    for item in feed.spec.instruments:
        instrument = found.instruments.get(item.symbol)
        if instrument is None:
            continue
        problems = [problem for _, problem in disagreements(item, instrument)]
        if problems:
            faults[item.symbol] = "; ".join(problems)
        else:
            instruments.append(instrument)
    content = msgspec.json.encode([found.day, instruments, sorted(faults.items())])
    version = hashlib.sha256(content).hexdigest()[:16]
    listed = InstrumentList(
        feed=feed.name, day=found.day, version=version, instruments=tuple(instruments), faults=faults
    )
    return listed, found.today


def list_faults(resources: ResourceSet, feed: MarketFeed, listed: InstrumentList) -> Iterator[ManifestFault]:
    """Yield what the list finds wrong with the feed's instruments, as faults of its manifest."""
    document = resources.document(feed) if listed.faults else None
    for index, item in enumerate(feed.spec.instruments):
        if document is not None and item.symbol in listed.faults:
            problem, _, near = listed.faults[item.symbol].partition("; nearest: ")
            field = next((field for field in AGREEING.values() if f" has {field} " in problem), "symbol")
            yield document.fault(("spec", "instruments", index, field), problem, near)


class Lister:
    """Keeps a feed's list in the store what the broker's list of the day says.

    Args:
        feed: its name.
        manifests: where its symbols are, as they are now.
        lists: the broker's.
        store: where all services look.
        clock: paces.
        poll_seconds: how often to look whether anything is to do.
        retry_seconds: how long to wait where the broker's list could not be had, or is not today's.
        on_listed: is told of each list, as soon as there is another one.

    """

    def __init__(  # noqa: PLR0913 - by keyword
        self,
        feed: str,
        manifests: Manifests,
        lists: InstrumentLists,
        store: InstrumentStore,
        clock: Clock,
        *,
        poll_seconds: float,
        retry_seconds: float,
        on_listed: Callable[[InstrumentList], object],
    ) -> None:
        self._feed = feed
        self._manifests = manifests
        self._lists = lists
        self._store = store
        self._clock = clock
        self._poll_seconds = poll_seconds
        self._retry_ns = nanoseconds(retry_seconds)
        self._on_listed = on_listed
        self._listed: InstrumentList | None = None
        self._of: tuple[FeedInstrument, ...] = ()
        self._done = ""
        self._tried_at: int | None = None
        self.problem = ""
        """Why there is no list yet, or not today's; "" if there is."""

    async def run(self) -> None:
        """Look and list, until cancelled."""
        await self.turn()
        async for _ in self._clock.every(self._poll_seconds):
            await self.turn()

    async def turn(self) -> None:
        """List if the day or the manifest is another one, and see that the store has it."""
        feed = self._manifests.resources.feeds.get(self._feed)
        if feed is None:
            return  # its manifest is being taken away
        if self._due(feed):
            await self._list(feed)
        if self._listed is not None:
            await self._keep(self._listed)

    def begun_with(self, listed: InstrumentList, *, newest: bool) -> None:
        """Go on from a list that was asked for already."""
        self._listed = listed
        feed = self._manifests.resources.feeds[self._feed]
        self._of, self._done = feed.spec.instruments, listed.day if newest else ""

    def _due(self, feed: MarketFeed) -> bool:
        if self._listed is not None and self._done >= self._lists.day() and self._of == feed.spec.instruments:
            return False
        now = self._clock.monotonic()
        changed = self._listed is not None and self._of != feed.spec.instruments
        return changed or self._tried_at is None or now - self._tried_at >= self._retry_ns

    async def _list(self, feed: MarketFeed) -> None:
        self._tried_at = self._clock.monotonic()
        try:
            listed, newest = await list_of(feed, self._lists)
        except DependencyUnavailableError as error:
            self._tell(str(error))
            return
        self._tell("" if newest else f"the list of {listed.day} is used: no newer one could be had")
        self._of, self._done = feed.spec.instruments, listed.day if newest else ""
        if self._listed is not None and self._listed.version == listed.version:
            return
        self._listed = listed
        for problem in listed.faults.values():
            log.warning("instrument_unusable", feed=self._feed, problem=problem)
        self._on_listed(listed)

    def _tell(self, problem: str) -> None:
        if problem and problem != self.problem:
            log.warning("instruments_not_listed", feed=self._feed, problem=problem)
        self.problem = problem

    async def _keep(self, listed: InstrumentList) -> None:
        """Store the list unless it is there: a store may have lost it, and another process may have had its word."""
        try:
            if await self._store.version(self._feed) != listed.version:
                await self._store.put(listed)
                log.info(
                    "instruments_stored", feed=self._feed, day=listed.day, instruments=len(listed.instruments)
                )
        except (TransientError, UnknownOutcomeError) as error:
            log.warning("instruments_not_stored", feed=self._feed, error=str(error))
