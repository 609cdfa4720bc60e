"""A broker's list becomes what every service goes by: asked once a day, stored, put back when lost, faults named."""

import copy
from collections.abc import Collection, Mapping
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from alpha_panda.adapters.memory.database import EMPTY_IMAGE
from alpha_panda.adapters.memory.instruments import MemoryInstrumentStore
from alpha_panda.compose.lister import Lister, list_faults, list_of
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.contracts.manifests import ResourceSet, load_manifests
from alpha_panda.contracts.stored import InstrumentList
from alpha_panda.errors import DependencyUnavailableError
from alpha_panda.ports import ListedSymbols
from cases.wrong_manifests import KITE, KITE_FEED, changed
from contracts.memory_stores import ManualClock, memory_stores

TICK = Decimal("0.05")
KNOWN = {
    "NSE:RELIANCE": Instrument(token=738561, symbol="NSE:RELIANCE", tick_size=TICK),
    "NSE:INFY": Instrument(token=408065, symbol="NSE:INFY", tick_size=TICK),
    "NSE:M&M": Instrument(token=519937, symbol="NSE:M&M", tick_size=TICK),
}


def manifests(**changes: object) -> ResourceSet:
    spelt = {name.replace("__", "/"): value for name, value in changes.items()}
    return ResourceSet.from_documents([changed(KITE_FEED, spelt), copy.deepcopy(KITE)])


class Broker:
    """A broker's lists, by day."""

    def __init__(self) -> None:
        self.newest = "2026-11-23"
        self.has = "2026-11-23"
        self.known = dict(KNOWN)
        self.down = False
        self.asked = 0
        self.lot_sizes: Mapping[str, Decimal] = {}

    def day(self) -> str:
        return self.newest

    async def find(self, symbols: Collection[str], lot_sizes: Mapping[str, Decimal]) -> ListedSymbols:
        self.asked += 1
        self.lot_sizes = lot_sizes
        if self.down:
            raise DependencyUnavailableError("zerodha instruments", "no session")
        return ListedSymbols(
            self.has,
            self.has >= self.newest,
            {symbol: self.known[symbol] for symbol in symbols if symbol in self.known},
            {
                symbol: f"{symbol} is unknown; nearest: NSE:X, NSE:Y"
                for symbol in symbols
                if symbol not in self.known
            },
        )


class Holder:
    def __init__(self, resources: ResourceSet) -> None:
        self.resources = resources
        self.problem: str | None = None


class Desk:
    """A lister with a broker, a store and a clock in a test's hands."""

    def __init__(self) -> None:
        self.broker, self.holder, self.clock = Broker(), Holder(manifests()), ManualClock()
        stores = memory_stores()
        assert isinstance(stores.instruments, MemoryInstrumentStore)
        self.store = stores.instruments
        self.told: list[InstrumentList] = []
        self.lister = Lister(
            "nse", self.holder, self.broker, self.store, self.clock,
            poll_seconds=1, retry_seconds=30, on_listed=self.told.append,
        )  # fmt: skip


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_a_list_is_asked_for_once_a_day_and_stored(desk: Desk) -> None:
    for _ in range(3):
        await desk.lister.turn()
        desk.clock.advance(60)
    assert desk.broker.asked == 1
    stored = await desk.store.read("nse")
    assert stored == desk.told[0]
    assert [item.symbol for item in desk.told[0].instruments] == ["NSE:RELIANCE", "NSE:INFY", "NSE:M&M"]
    desk.broker.newest = desk.broker.has = "2026-11-24"
    await desk.lister.turn()
    assert desk.broker.asked == 2
    assert (await desk.store.read("nse")).day == "2026-11-24"  # type: ignore[union-attr]  # else it fails too


async def test_a_store_that_forgot_is_told_again(desk: Desk) -> None:
    await desk.lister.turn()
    desk.store.database.restart(EMPTY_IMAGE)
    await desk.lister.turn()
    assert await desk.store.read("nse") == desk.told[0]
    assert desk.broker.asked == 1


async def test_another_s_word_is_put_right(desk: Desk) -> None:
    await desk.lister.turn()
    await desk.store.put(InstrumentList(feed="nse", day="2026-11-20", version="old", instruments=()))
    await desk.lister.turn()
    assert await desk.store.version("nse") == desk.told[0].version


async def test_a_store_that_is_away_is_tried_again_at_each_turn(desk: Desk) -> None:
    desk.store.database.faults.refuse("version")
    await desk.lister.turn()
    assert await desk.store.version("nse") is None
    desk.store.database.faults.lose_reply("put")
    await desk.lister.turn()
    assert await desk.store.version("nse") == desk.told[0].version


async def test_a_broker_that_gives_no_list_is_asked_again_after_a_while_and_the_reason_is_kept(
    desk: Desk,
) -> None:
    desk.broker.down = True
    await desk.lister.turn()
    assert "no session" in desk.lister.problem
    await desk.lister.turn()
    assert desk.broker.asked == 1
    desk.clock.advance(30)
    desk.broker.down = False
    await desk.lister.turn()
    assert (desk.broker.asked, desk.lister.problem, len(desk.told)) == (2, "", 1)


async def test_yesterday_s_list_serves_and_today_s_is_asked_for_on(desk: Desk) -> None:
    desk.broker.has = "2026-11-22"
    await desk.lister.turn()
    assert desk.told[0].day == "2026-11-22"
    assert desk.lister.problem == "the list of 2026-11-22 is used: no newer one could be had"
    desk.broker.has = "2026-11-23"
    desk.clock.advance(30)
    await desk.lister.turn()
    assert [item.day for item in desk.told] == ["2026-11-22", "2026-11-23"]
    assert desk.lister.problem == ""


async def test_a_symbol_that_is_added_is_looked_up_at_once(desk: Desk) -> None:
    await desk.lister.turn()
    more = [*KITE_FEED["spec"]["instruments"], {"symbol": "NSE:TCS"}]
    desk.holder.resources = manifests(spec__instruments=more)
    await desk.lister.turn()
    assert desk.told[1].faults == {"NSE:TCS": "NSE:TCS is unknown; nearest: NSE:X, NSE:Y"}
    assert desk.broker.asked == 2


async def test_a_feed_that_is_gone_is_left_alone(desk: Desk) -> None:
    desk.holder.resources = ResourceSet()
    await desk.lister.turn()
    assert desk.broker.asked == 0


async def test_what_was_asked_at_the_start_is_not_asked_again(desk: Desk) -> None:
    listed, newest = await list_of(desk.holder.resources.feeds["nse"], desk.broker)
    desk.lister.begun_with(listed, newest=newest)
    await desk.lister.turn()
    assert (desk.broker.asked, desk.told) == (1, [])
    assert await desk.store.version("nse") == listed.version


async def test_versions_tell_contents_apart_and_nothing_else() -> None:
    broker = Broker()
    first, _ = await list_of(manifests().feeds["nse"], broker)
    again, _ = await list_of(manifests().feeds["nse"], Broker())
    assert first.version == again.version
    broker.known["NSE:INFY"] = Instrument(token=9, symbol="NSE:INFY", tick_size=TICK)
    other, _ = await list_of(manifests(spec__instruments__1__token=9).feeds["nse"], broker)
    assert other.version != first.version


async def test_a_token_that_the_manifest_gives_must_be_the_list_s() -> None:
    resources = manifests(spec__instruments__1__token=5, spec__instruments__0__tickSize="0.10")
    feed = resources.feeds["nse"]
    listed, _ = await list_of(feed, Broker())
    assert [item.symbol for item in listed.instruments] == ["NSE:M&M"]
    faults = [(fault.field, fault.problem) for fault in list_faults(resources, feed, listed)]
    assert faults == [
        (
            "spec.instruments[0].tickSize",
            "NSE:RELIANCE has tickSize 0.05 in the broker's list, and the manifest says 0.10: leave it out",
        ),
        (
            "spec.instruments[1].token",
            "NSE:INFY has token 408065 in the broker's list, and the manifest says 5: leave it out",
        ),
    ]


async def test_a_symbol_that_is_not_listed_is_a_fault_of_its_line_with_the_nearest() -> None:
    resources = manifests(spec__instruments__2__symbol="NSE:MM")
    listed, _ = await list_of(resources.feeds["nse"], Broker())
    (fault,) = list_faults(resources, resources.feeds["nse"], listed)
    assert (fault.field, fault.problem, fault.allowed) == (
        "spec.instruments[2].symbol",
        "NSE:MM is unknown",
        "NSE:X, NSE:Y",
    )
    assert fault.resource == "MarketFeed/nse"


async def test_the_line_of_a_symbol_is_told_though_nobody_keeps_the_files_nodes(tmp_path: Path) -> None:
    file = tmp_path / "feed.yaml"
    documents = [copy.deepcopy(KITE), changed(KITE_FEED, {"spec/instruments/2/symbol": "NSE:MM"})]
    file.write_text(yaml.safe_dump_all(documents))
    resources = load_manifests([file])
    feed = resources.feeds["nse"]
    listed, _ = await list_of(feed, Broker())
    (fault,) = list_faults(resources, feed, listed)
    line = next(number for number, text in enumerate(file.read_text().splitlines(), 1) if "NSE:MM" in text)
    assert (fault.file, fault.document, fault.line) == (str(file), 2, line)
    begins = resources.origins[feed.ref].line
    file.write_text("# changed since\n" + file.read_text().replace("NSE:INFY", "NSE:TCS"))
    assert [fault.line for fault in list_faults(resources, feed, listed)] == [begins]
    file.unlink()
    assert [fault.line for fault in list_faults(resources, feed, listed)] == [begins]


async def test_lot_sizes_of_the_manifest_alone_are_handed_on() -> None:
    broker = Broker()
    await list_of(manifests(spec__instruments__0__lotSize=100).feeds["nse"], broker)
    assert broker.lot_sizes == {"NSE:RELIANCE": 100}
