"""Zerodha by the manifests' words: what is handed to its adapter, and what is shared within a process."""

import copy
import json
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import pytest

from alpha_panda.adapters.clock import RealClock
from alpha_panda.adapters.memory.pace import MemoryOrderPace
from alpha_panda.compose.egress import EgressCheck
from alpha_panda.compose.ports import memory_ports
from alpha_panda.compose.safety import refuse_live_in_memory
from alpha_panda.compose.traders import ManifestTraders, has_live_accounts
from alpha_panda.compose.zerodha import Kites, ZerodhaAccount, has_socket_left, login_of, terms_of
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
