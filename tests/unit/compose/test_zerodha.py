"""Zerodha by the manifests' words: what is handed to its adapter, and what is shared within a process."""

import asyncio
import copy
import json
from collections.abc import Callable, Collection
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Self, cast

import pytest

from alpha_panda.adapters.clock import RealClock
from alpha_panda.adapters.memory.pace import MemoryOrderPace
from alpha_panda.adapters.zerodha.dump import Found
from alpha_panda.adapters.zerodha.instruments import DumpFiles
from alpha_panda.compose.egress import EgressCheck
from alpha_panda.compose.ports import memory_ports
from alpha_panda.compose.safety import refuse_live_in_memory
from alpha_panda.compose.traders import ManifestTraders, has_live_accounts
from alpha_panda.compose.zerodha import (
    KiteLists,
    Kites,
    ZerodhaAccount,
    has_socket_left,
    lists_directory,
    login_of,
    terms_of,
)
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, FeedMode
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.errors import MisuseError, SettingsError
from alpha_panda.ports import OrderUpdates, PortfolioReader, TokenHolder, TokenTeller
from alpha_panda.runtime.settings import Settings
from cases.wrong_manifests import ACCOUNT, DRY, FEED, KITE, KITE_FEED, Manifest, changed
from contracts.memory_stores import memory_stores


def loaded(*documents: Manifest) -> ResourceSet:
    return ResourceSet.from_documents([copy.deepcopy(item) for item in documents])


BOTH = loaded(KITE_FEED, KITE, DRY)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(broker_directory=str(tmp_path), zerodha_instruments_directory=str(tmp_path / "lists"))


@pytest.fixture
def kites(settings: Settings) -> Kites:
    stores = memory_stores()
    return Kites(settings, RealClock(), MemoryOrderPace(cast("Any", stores.instruments).database))


def test_terms_are_the_manifest_s() -> None:
    live, dry = (terms_of(cast("Any", BOTH.accounts[name].spec.zerodha)) for name in ("kite", "dry"))
    assert (live.live, live.user_id, live.product, live.algo_id) == (True, "AB1234", "MIS", "")
    assert (live.limits.orders_per_day, live.limits.orders_per_second) == (100, 8)
    assert live.market_protection == -1
    assert (dry.live, dry.product, dry.algo_id) == (False, "CNC", "ALGO-1")
    assert dry.market_protection == Decimal("2.5")


def test_a_trader_is_all_that_services_ask_for(kites: Kites) -> None:
    trader = ManifestTraders(BOTH, RealClock(), kites).trader("kite")
    for port in (TokenHolder, TokenTeller, PortfolioReader, OrderUpdates):
        assert isinstance(trader, port)


def write_session(folder: Path, user: str, life: int = 3_600) -> None:
    now = RealClock().now()
    session = {
        "user_id": user, "api_key": "k", "access_token": "t", "login_at": now, "expires_at": now + life * SECOND_NS,
    }  # fmt: skip
    (folder / "kite" / "session").mkdir(parents=True)
    (folder / "kite" / "session" / "session.json").write_text(json.dumps(session))


def test_a_session_is_read_where_log_in_puts_it(kites: Kites, tmp_path: Path) -> None:
    write_session(tmp_path, "AB1234")
    trader = kites.trader(BOTH, "kite")
    assert isinstance(trader, ZerodhaAccount)
    assert (trader.token_problem(), (trader.token_expires_at() or 0) > RealClock().now()) == ("", True)


def test_another_user_s_session_is_none(kites: Kites, tmp_path: Path) -> None:
    write_session(tmp_path, "ZZ0000")
    trader = kites.trader(BOTH, "kite")
    assert isinstance(trader, ZerodhaAccount)
    assert "ZZ0000" in trader.token_problem()


def test_one_process_has_one_session_of_an_account_and_so_learns_of_a_dead_token_at_once(
    kites: Kites,
) -> None:
    first, second = (cast("Any", kites.trader(BOTH, "kite")).trader.session for _ in range(2))
    source = cast("Any", kites.source(BOTH, BOTH.feeds["nse"]))
    assert first is second is source._session
    assert cast("Any", kites.trader(BOTH, "dry")).trader.session is not first


def test_prices_are_live(kites: Kites) -> None:
    assert kites.source(BOTH, BOTH.feeds["nse"]).mode is FeedMode.LIVE


def test_nothing_is_wired_by_mistake(settings: Settings, kites: Kites) -> None:
    with pytest.raises(MisuseError, match="nobody has wired"):
        ManifestTraders(BOTH, RealClock()).trader("kite")
    with pytest.raises(MisuseError, match="OrderPace"):
        Kites(settings, RealClock(), None).trader(BOTH, "kite")
    paper = loaded(FEED, ACCOUNT)
    with pytest.raises(MisuseError, match="not one of Zerodha"):
        kites.session(paper.accounts["paper"])
    with pytest.raises(MisuseError, match="not among its manifests"):
        login_of(paper, BOTH.feeds["nse"])


def test_paper_accounts_open_no_client() -> None:
    _, ports = memory_ports(loaded(FEED, ACCOUNT), Settings(), RealClock())
    assert type(ports.traders.trader("paper")).__name__ == "_PresentTrader"
    assert ports.close is not None


@pytest.mark.parametrize(("count", "left"), [(3, True), (6_000, True), (6_001, False)])
def test_a_feed_of_three_sockets_leaves_none_for_pushes(count: int, left: bool) -> None:
    symbols = [{"symbol": f"NSE:S{number}"} for number in range(count)]
    resources = loaded(changed(KITE_FEED, {"spec/instruments": symbols}), KITE, DRY)
    assert has_socket_left(resources, "kite") is left
    assert has_socket_left(resources, "dry"), "the feed uses another log-in"


@pytest.mark.parametrize(
    ("counts", "left"),
    [((10, 10), True), ((3_000, 3_000), True), ((3_001, 10), False), ((10, 10, 10), False)],
)
def test_each_feed_of_a_log_in_has_sockets_of_its_own(counts: tuple[int, ...], left: bool) -> None:
    feeds = [
        changed(
            KITE_FEED,
            {
                "metadata/name": "nse" if not feed else f"nse-{feed}",
                "spec/instruments": [{"symbol": f"NSE:S{number}"} for number in range(count)],
            },
        )
        for feed, count in enumerate(counts)
    ]
    assert has_socket_left(loaded(*feeds, KITE, DRY), "kite") is left


def test_the_lists_of_a_local_kite_are_never_taken_for_the_real_one_s(settings: Settings) -> None:
    real = settings.model_copy(update={"zerodha_api_url": "https://api.kite.trade"})
    local = settings.model_copy(update={"zerodha_api_url": "http://127.0.0.1:8600"})
    other = settings.model_copy(update={"zerodha_api_url": "http://127.0.0.1:8601"})
    folders = {lists_directory(each) for each in (real, local, other)}
    assert len(folders) == 3
    assert lists_directory(real).name == "api.kite.trade"
    root = Path(settings.zerodha_instruments_directory).expanduser()
    assert all(folder.parent == root for folder in folders)


def test_lists_are_kept_where_the_settings_say(
    settings: Settings, kites: Kites, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Path] = []

    def files(folder: Path, *_: object, **__: object) -> DumpFiles:
        made.append(folder)
        return cast("DumpFiles", None)

    monkeypatch.setattr("alpha_panda.adapters.zerodha.instruments.DumpFiles", files)
    kites.lists(BOTH, BOTH.feeds["nse"])
    assert made == [lists_directory(settings)]


async def test_a_list_is_walked_once_for_one_question() -> None:
    walked: list[tuple[str, ...]] = []

    class Dump:
        def __init__(self, day: date) -> None:
            self.day, self.path = day, Path(f"list-{day}")

        def find(self, symbols: Collection[str], *_: object) -> Found:
            walked.append(tuple(symbols))
            return Found()

    class Files:
        newest = date(2026, 11, 20)

        async def dump(self) -> Dump:
            return Dump(self.newest)

        def today(self) -> date:
            return date(2026, 11, 22)

        def day(self) -> date:
            return date(2026, 11, 22)

    files = Files()
    lists = KiteLists(cast("DumpFiles", files))
    for _ in range(3):
        assert not (await lists.find(["NSE:A"], {})).today
    assert walked == [("NSE:A",)]
    await lists.find(["NSE:A", "NSE:B"], {})
    await lists.find(["NSE:A", "NSE:B"], {"NSE:B": Decimal(5)})
    files.newest = date(2026, 11, 22)
    assert (await lists.find(["NSE:A", "NSE:B"], {"NSE:B": Decimal(5)})).today
    assert walked == [("NSE:A",), *[("NSE:A", "NSE:B")] * 3]


async def test_a_postback_is_a_reason_to_read_the_book_and_ends_no_order_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: asyncio.Queue[Callable[[bytes], None]] = asyncio.Queue()

    class Server:
        def __init__(self, port: int, _: object, deliver: Callable[[bytes], None]) -> None:
            assert port == 8600
            taken.put_nowait(deliver)

        async def __aenter__(self) -> Self:
            return self

        async def __aexit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr("alpha_panda.adapters.zerodha.postbacks.PostbackServer", Server)
    monkeypatch.setattr("alpha_panda.compose.zerodha.has_socket_left", lambda *_: False)
    stores = memory_stores()
    settings = Settings(broker_directory=str(tmp_path), postback_port=8600)
    kites = Kites(settings, RealClock(), MemoryOrderPace(cast("Any", stores.instruments).database))
    updates = cast("ZerodhaAccount", kites.trader(BOTH, "dry")).order_updates()
    coming = asyncio.ensure_future(anext(updates))
    try:
        async with asyncio.timeout(20):
            deliver = await taken.get()
            changed_on_its_way = {
                "order_id": "1", "status": "CANCELLED", "exchange": "NSE", "tradingsymbol": "RELIANCE",
                "transaction_type": "BUY", "quantity": 1, "filled_quantity": 0, "user_id": "CD5678",
            }  # fmt: skip
            deliver(json.dumps(changed_on_its_way).encode())
            assert await coming is None
    finally:
        coming.cancel()
        await cast("Any", updates).aclose()


def test_real_money_is_what_live_means() -> None:
    assert has_live_accounts(BOTH)
    dry = loaded(KITE_FEED, KITE, DRY)
    dry.accounts.pop("kite")
    assert not has_live_accounts(dry)
    assert not has_live_accounts(loaded(FEED, ACCOUNT))


def test_a_live_journal_must_outlive_its_process() -> None:
    with pytest.raises(SettingsError, match=r"JOURNAL_REQUIRE_DURABLE=false"):
        refuse_live_in_memory(BOTH, Settings())
    refuse_live_in_memory(BOTH, Settings(journal_require_durable=False))
    refuse_live_in_memory(loaded(FEED, ACCOUNT), Settings())


class Wrong(EgressCheck):
    """An address that is known to be wrong."""

    def __init__(self) -> None:
        super().__init__(RealClock(), "http://127.0.0.1:9/", "203.0.113.7", seconds=1, again_seconds=1)

    async def problem(self, deadline: int | None = None) -> str:
        assert deadline == 42
        return "requests leave from elsewhere"


async def test_no_order_leaves_from_another_address() -> None:
    class Untouched:
        async def place(self, *_: object) -> None:
            raise AssertionError

    account = ZerodhaAccount(cast("Any", Untouched()), Wrong(), cast("Any", None))
    outcome = await account.place(cast("Any", None), cast("Any", None), 42)
    assert (outcome.state, outcome.code) == (EntryState.FAILED, Code.EGRESS_IP_REFUSED)
    assert outcome.message == "requests leave from elsewhere; nothing was sent"
