"""Feeds' symbols stand for what the broker's list says, for whoever asks the manifests; nothing is guessed without one."""

import asyncio
import copy
from collections.abc import AsyncIterator
from datetime import date
from decimal import Decimal

import pytest

from alpha_panda.adapters.memory.instruments import MemoryInstrumentStore
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.stored import InstrumentList
from alpha_panda.runtime.listing import ListedManifests, broker_feeds, follow, listed_over, look
from alpha_panda.runtime.manifests import Derived
from cases.wrong_manifests import ACCOUNT, FEED, KITE, KITE_FEED, changed
from contracts.memory_stores import memory_stores

TICK = Decimal("0.05")
RELIANCE = Instrument(token=738561, symbol="NSE:RELIANCE", tick_size=Decimal("0.10"))
INFY = Instrument(token=408065, symbol="NSE:INFY", tick_size=TICK)
MM = Instrument(token=519937, symbol="NSE:M&M", tick_size=TICK, lot_size=Decimal(1))
ALL = (RELIANCE, INFY, MM)


def manifests(*changes: tuple[str, object]) -> ResourceSet:
    return ResourceSet.from_documents([changed(KITE_FEED, dict(changes)), copy.deepcopy(KITE)])


def listed(
    *instruments: Instrument, version: str = "1", faults: dict[str, str] | None = None
) -> InstrumentList:
    return InstrumentList(
        feed="nse", day="2026-11-23", version=version, instruments=instruments, faults=faults or {}
    )


class Changing:
    """Manifests that a test exchanges."""

    def __init__(self, resources: ResourceSet) -> None:
        self.resources = resources
        self.problem: str | None = None


def test_without_a_list_no_symbol_has_a_token_and_the_reason_says_who_knows() -> None:
    made = ListedManifests(manifests())
    assert len(made.resources.feeds["nse"].instruments) == 0
    assert made.lacking("nse") == (
        "the market-feed of nse has not said yet what its symbols stand for; see its status"
    )


def test_a_list_gives_tokens_and_what_the_manifest_leaves_open() -> None:
    made = ListedManifests(manifests())
    future = Instrument(
        token=7, symbol="NSE:M&M", tick_size=TICK, lot_size=Decimal(75), kind="FUT", expiry=date(2026, 12, 29)
    )
    assert made.take(listed(RELIANCE, INFY, future))
    found = made.resources.feeds["nse"].instruments
    assert (found.symbol("NSE:RELIANCE").token, found.symbol("NSE:RELIANCE").tick_size) == (
        738561,
        Decimal("0.10"),
    )
    mine = found.symbol("NSE:M&M")
    assert (mine.lot_size, mine.kind, mine.expiry) == (75, "FUT", date(2026, 12, 29))
    assert mine.freeze_quantity == 5000, "what only the manifest says stays"
    assert made.lacking("nse") == ""


def test_what_the_manifest_says_of_lots_stands() -> None:
    made = ListedManifests(manifests(("spec/instruments/0/lotSize", 10)))
    made.take(listed(*ALL))
    assert made.resources.feeds["nse"].instruments.symbol("NSE:RELIANCE").lot_size == 10


def test_tokens_of_the_manifest_alone_are_not_believed_at_a_broker() -> None:
    made = ListedManifests(manifests(("spec/instruments/1/tickSize", "0.05")))
    assert made.resources.feeds["nse"].unresolved == ("NSE:RELIANCE", "NSE:INFY", "NSE:M&M")
    made.take(listed(RELIANCE, MM, faults={"NSE:INFY": "its token is 5 in the list, not 408065"}))
    assert "NSE:INFY" not in made.resources.feeds["nse"].instruments.by_symbol


def test_other_feeds_are_left_alone() -> None:
    resources = ResourceSet.from_documents([copy.deepcopy(item) for item in (KITE_FEED, KITE, FEED, ACCOUNT)])
    made = ListedManifests(resources)
    demo = resources.feeds["demo"]
    made.take(InstrumentList(feed="demo", day="d", version="1", instruments=ALL))
    made.take(listed(*ALL))
    assert made.resources.feeds["demo"] is demo
    assert broker_feeds(resources) == ("nse",)
    assert made.lacking("demo") == made.lacking("nowhere") == ""


def test_the_same_list_is_no_change_and_keeps_the_set() -> None:
    made = ListedManifests(manifests())
    assert made.take(listed(*ALL))
    before = made.resources
    assert not made.take(listed(*ALL, version="2"))
    assert made.resources is before
    assert made.version("nse") == "2"


def test_a_token_that_changes_overnight_reaches_what_follows_the_manifests() -> None:
    made = ListedManifests(manifests())
    made.take(listed(*ALL))
    tokens = Derived(made, lambda resources: sorted(resources.feeds["nse"].instruments.by_token))
    assert tokens() == [408065, 519937, 738561]
    made.take(listed(RELIANCE, MM, Instrument(token=9, symbol="NSE:INFY", tick_size=TICK), version="2"))
    assert tokens() == [9, 519937, 738561]


def test_other_manifests_keep_the_list() -> None:
    inner = Changing(manifests())
    made = ListedManifests(inner)
    made.take(listed(*ALL))
    inner.resources = manifests(("spec/staleAfterSeconds", 7))
    feed = made.resources.feeds["nse"]
    assert (feed.spec.stale_after_seconds, len(feed.instruments)) == (7, 3)
    inner.problem = "half of a manifest"
    assert made.problem == "half of a manifest"


def test_a_symbol_that_is_new_in_the_manifest_is_waited_for() -> None:
    inner = Changing(manifests())
    made = ListedManifests(inner)
    made.take(listed(*ALL))
    more = [*KITE_FEED["spec"]["instruments"], {"symbol": "NSE:TCS"}]
    inner.resources = manifests(("spec/instruments", more))
    assert made.lacking("nse") == "the market-feed of nse has not said yet what NSE:TCS stands for"


def test_an_expired_contract_leaves_the_others_usable() -> None:
    made = ListedManifests(manifests())
    made.take(listed(RELIANCE, INFY, faults={"NSE:M&M": "NSE:M&M expired on 2026-11-01; nearest: NSE:MM"}))
    assert made.lacking("nse") == ""
    assert made.lacking("nse", ["NSE:INFY"]) == ""
    assert made.lacking("nse", ["NSE:INFY", "NSE:M&M"]) == "NSE:M&M expired on 2026-11-01; nearest: NSE:MM"
    assert made.resources.feeds["nse"].unresolved == ("NSE:M&M",)


def test_a_feed_of_which_nothing_is_usable_waits_with_every_reason() -> None:
    made = ListedManifests(manifests())
    made.take(listed(faults={item.symbol: f"{item.symbol} is gone" for item in ALL}))
    assert made.lacking("nse") == "NSE:RELIANCE is gone; NSE:INFY is gone; NSE:M&M is gone"


def test_a_set_without_news_stays_the_same_object() -> None:
    resources = manifests()
    assert listed_over(resources, {}) is resources


async def test_look_takes_what_is_stored_once() -> None:
    store = memory_stores().instruments
    made = ListedManifests(manifests())
    assert not await look(made, store, ["nse"])
    await store.put(listed(*ALL))
    assert await look(made, store, ["nse"])
    assert not await look(made, store, ["nse"])


class Beat:
    """A clock whose `every` a test drives."""

    virtual = False

    def __init__(self) -> None:
        self.beats: asyncio.Queue[None] = asyncio.Queue()

    async def every(self, seconds: float) -> AsyncIterator[int]:
        assert seconds == 2
        while True:
            await self.beats.get()
            yield 0


async def test_follow_tells_of_changes_and_outlives_a_store_that_is_away() -> None:
    stores = memory_stores()
    assert isinstance(stores.instruments, MemoryInstrumentStore)
    made, clock = ListedManifests(manifests()), Beat()
    told: asyncio.Queue[int] = asyncio.Queue()

    async def on_change() -> None:
        told.put_nowait(len(made.resources.feeds["nse"].instruments))

    following = asyncio.create_task(follow(made, stores.instruments, ["nse"], clock, 2, on_change))  # type: ignore[arg-type]  # what it asks of a clock
    try:
        await stores.instruments.put(listed(*ALL))
        stores.instruments.database.faults.refuse("version")
        for _ in range(3):
            clock.beats.put_nowait(None)
        assert await asyncio.wait_for(told.get(), 5) == 3
        for _ in range(20):
            await asyncio.sleep(0)
        assert told.empty()
    finally:
        following.cancel()
        with pytest.raises(asyncio.CancelledError):
            await following
