"""What manifests say of Zerodha beyond one field at a time: defaults, names, and what resources say of one another."""

import copy
from typing import Any

import pytest

from alpha_panda.contracts.enums import FeedMode, Product
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.manifests.checking import check
from alpha_panda.contracts.manifests.documents import Document, Reading
from alpha_panda.errors import ManifestError, MisuseError
from cases.wrong_manifests import ACCOUNT, DRY, FEED, KITE, KITE_FEED, Manifest, changed


def loaded(*documents: Manifest) -> ResourceSet:
    return ResourceSet.from_documents([copy.deepcopy(item) for item in documents])


def faults(*documents: Manifest, complete: bool = True) -> list[tuple[str, str]]:
    read = Reading(
        [Document("m.yaml", number, item) for number, item in enumerate(documents, 1)], files=["m.yaml"]
    )
    try:
        check(read, None, complete=complete)
    except ManifestError as error:
        return [(fault.field, fault.problem) for fault in error.faults]
    return []


def test_a_live_account_has_the_broker_s_limits_and_automatic_protection() -> None:
    account = loaded(KITE_FEED, KITE).accounts["kite"]
    zerodha = account.spec.zerodha
    assert zerodha is not None
    assert (account.live, account.broker, account.broker_user) == (True, "zerodha", "zerodha:AB1234")
    assert (zerodha.product, zerodha.market_protection, zerodha.algo_id) == (Product.MIS, -1, None)
    limits = zerodha.limits
    assert (limits.orders_per_second, limits.orders_per_minute, limits.calls_per_second) == (8, 400, 8)
    assert limits.orders_per_day == 100
    assert (zerodha.keys_secret_of("kite"), zerodha.session_secret_of("kite")) == (
        "kite-zerodha-keys",
        "kite-zerodha-session",
    )


def test_a_dry_run_is_not_live_and_names_its_own_secrets() -> None:
    account = loaded(KITE_FEED, KITE, DRY).accounts["dry"]
    assert account.spec.zerodha is not None
    assert not account.live
    assert account.spec.zerodha.keys_secret_of("dry") == "my.keys"


def test_a_paper_account_is_not_live_and_has_no_user() -> None:
    account = loaded(FEED, ACCOUNT).accounts["paper"]
    assert (account.live, account.broker, account.broker_user) == (False, "paper", "")


def test_prices_of_a_login_are_live_and_not_of_a_virtual_time() -> None:
    feed = loaded(KITE_FEED, KITE).feeds["nse"]
    assert (feed.mode, feed.virtual_time) == (FeedMode.LIVE, False)


def test_symbols_are_known_before_their_tokens_are() -> None:
    feed = loaded(KITE_FEED, KITE).feeds["nse"]
    assert feed.symbols == feed.unresolved == ("NSE:RELIANCE", "NSE:INFY", "NSE:M&M")
    assert len(feed.instruments) == 0
    with pytest.raises(MisuseError, match="NSE:RELIANCE"):
        feed.spec.instruments[0].instrument()


def test_a_feed_of_a_simulation_is_resolved_by_its_manifest() -> None:
    feed = loaded(FEED).feeds["demo"]
    assert feed.unresolved == ()
    assert set(feed.instruments.by_symbol) == set(feed.symbols)


def test_a_paper_account_may_trade_on_live_prices() -> None:
    assert faults(KITE_FEED, KITE, changed(ACCOUNT, {"spec/marketFeed": "nse"})) == []


@pytest.mark.parametrize("account", [KITE, DRY], ids=["live", "dry run"])
def test_an_account_at_the_broker_is_refused_made_up_prices(account: Manifest) -> None:
    ((field, problem),) = faults(FEED, changed(account, {"spec/marketFeed": "demo"}))
    assert field == "spec.marketFeed"
    assert "feed 'demo' is simulated, and the account trades at Zerodha" in problem


def test_a_feed_needs_an_account_that_is_there() -> None:
    ((field, problem),) = faults(KITE_FEED)
    assert (field, "there is no BrokerAccount 'kite'" in problem) == ("spec.source.zerodha.account", True)
    assert faults(KITE_FEED, complete=False) == []


@pytest.mark.parametrize("complete", [True, False])
def test_a_feed_needs_an_account_with_a_login(complete: bool) -> None:
    paper = changed(ACCOUNT, {"metadata/name": "kite", "spec/marketFeed": "nse"})
    ((field, problem),) = faults(KITE_FEED, paper, complete=complete)
    assert (field, problem) == ("spec.source.zerodha.account", "account 'kite' is not one of Zerodha")


def test_one_user_in_two_accounts_is_refused_in_the_second() -> None:
    second = changed(DRY, {"spec/zerodha/userId": "AB1234"})
    ((field, problem),) = faults(KITE_FEED, KITE, second)
    assert field == "spec.zerodha.userId"
    assert problem == "'AB1234' is already the user of account 'kite'"


def test_what_is_no_user_is_the_model_s_to_refuse() -> None:
    wrong: dict[str, Any] = {"spec/zerodha/userId": 7}
    found = faults(KITE_FEED, changed(KITE, wrong), changed(DRY, wrong))
    assert [field for field, _ in found] == ["spec.zerodha.userId", "spec.zerodha.userId"]
    assert not any("already" in problem for _, problem in found)
