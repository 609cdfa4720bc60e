"""Accounts at a broker: who may have which user, which prices, and what their status says of log-in and comparison."""

from typing import Any

import pytest

from alpha_panda.contracts.status_details import BrokerFigures, FeedFigures, TrackerFigures
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda_operator.cache import Cache
from alpha_panda_operator.names import Key
from alpha_panda_operator.reconcile.acceptance import Verdict, World, judge
from alpha_panda_operator.reconcile.figures import Seen, figures, findings
from unit.operator.kit import NAMESPACE, account, cache_of, feed, kite, kite_feed, strategy, view
from unit.operator.reconcile.test_figures import report

NOW = 1_767_600_000 * SECOND_NS  # 2026-01-05T08:00:00Z
HOUR = 3_600 * SECOND_NS
NO_TOKEN = {"token_problem": "no session: x"}
LATER: dict[str, Any] = {"metadata": {"creationTimestamp": "2026-01-05T07:30:00Z"}}


def verdict(cache: Cache, kind: str, name: str) -> Verdict:
    return judge(view(cache, kind, name), World(cache))


def test_feed_and_account_that_need_one_another_are_both_accepted() -> None:
    cache = cache_of(kite_feed(), kite())
    assert verdict(cache, "MarketFeed", "nse").accepted
    assert verdict(cache, "BrokerAccount", "kite").accepted


def test_a_strategy_names_symbols_whose_tokens_nobody_knows_yet() -> None:
    cache = cache_of(kite_feed(), kite(), strategy(marketFeed="nse", accounts=["kite"]))
    assert verdict(cache, "Strategy", "momo").accepted
    cache = cache_of(
        kite_feed(), kite(), strategy(marketFeed="nse", accounts=["kite"], instruments=["NSE:X"])
    )
    assert verdict(cache, "Strategy", "momo").reason == "UnknownInstrument"


@pytest.mark.parametrize(
    ("accounts", "words"),
    [
        ([], "there is no BrokerAccount 'kite'"),
        ([account("kite", marketFeed="nse")], "has no log-in at Zerodha"),
        ([kite(userId="x")], "is not valid: spec.zerodha.userId"),
        ([kite("old"), kite(**LATER)], "user AB1234 is already that of BrokerAccount 'old'"),
    ],
)
def test_a_feed_needs_a_sound_account(accounts: list[dict[str, Any]], words: str) -> None:
    found = verdict(cache_of(kite_feed(), *accounts), "MarketFeed", "nse")
    assert (found.reason, words in found.message) == ("MissingAccount", True), found


def test_the_second_account_of_a_user_is_refused_and_the_first_trades_on() -> None:
    cache = cache_of(kite_feed(), kite(), kite("again", **LATER))
    assert verdict(cache, "BrokerAccount", "kite").accepted
    found = verdict(cache, "BrokerAccount", "again")
    assert found.reason == "BrokerUserInUse"
    assert "user AB1234 is already that of BrokerAccount 'kite'; change userId" in found.message


def test_a_dry_run_takes_the_user_too() -> None:
    cache = cache_of(kite_feed(), kite(live=False, dryRun=True), kite("again", **LATER))
    assert verdict(cache, "BrokerAccount", "again").reason == "BrokerUserInUse"


def test_a_freed_user_can_be_had_and_its_accounts_are_looked_at_again() -> None:
    cache = cache_of(kite_feed(), kite(), kite("again", **LATER), account())
    first = Key("BrokerAccount", NAMESPACE, "kite")
    assert set(cache.dependents(first)) == {
        Key("MarketFeed", NAMESPACE, "nse"),
        Key("BrokerAccount", NAMESPACE, "again"),
    }
    cache.drop(first)
    assert "BrokerUserInUse" not in str(verdict(cache, "BrokerAccount", "again"))


def test_paper_accounts_have_no_user_to_share() -> None:
    cache = cache_of(feed(), account(), account("second"))
    assert verdict(cache, "BrokerAccount", "second").accepted


def test_a_broker_s_account_is_refused_prices_that_are_made_up() -> None:
    found = verdict(cache_of(feed("nse"), kite()), "BrokerAccount", "kite")
    assert (found.reason, "none of a market's" in found.message) == ("FeedMismatch", True)


# ------------------------------------------------------------------------------------------------------- status


def told(**broker: Any) -> Seen:
    details = {**TrackerFigures(reconciled=True).details(), **BrokerFigures(**broker).details()}
    return Seen(dict([report("order-tracker", "kite", details)]), {}, NOW, HOUR)


def condition(type_: str, seen: Seen, **zerodha: Any) -> tuple[str, str, str]:
    item = view(cache_of(kite_feed(), kite(**zerodha)), "BrokerAccount", "kite")
    found = next(one for one in findings(item, seen) if one.type == type_)
    return found.status, found.reason, found.message


@pytest.mark.parametrize(
    ("seen", "status", "reason", "words"),
    [
        (Seen({}, {}, NOW, HOUR), "Unknown", "Pending", "has not said yet"),
        (told(), "Unknown", "Pending", "has not said yet"),
        (told(token_expires_at=NOW + 2 * HOUR), "True", "Valid", "until 2026-01-05T10:00:00Z"),
        (told(token_expires_at=NOW + HOUR), "True", "ExpiresSoon", "kubectl alpha-panda login kite -n desk"),
        (told(token_expires_at=NOW), "False", "LoginNeeded", "ended at 2026-01-05T08:00:00Z"),
        (told(token_expires_at=0, **NO_TOKEN), "False", "LoginNeeded", "no session: x; no order is sent"),
    ],
)  # fmt: skip
def test_the_session_is_what_the_order_tracker_says(seen: Seen, status: str, reason: str, words: str) -> None:
    found = condition("SessionValid", seen)
    assert found[:2] == (status, reason)
    assert words in found[2]


def test_a_paper_account_needs_no_session() -> None:
    item = view(cache_of(feed(), account()), "BrokerAccount", "paper")
    found = next(one for one in findings(item, told()) if one.type == "SessionValid")
    assert (found.status, found.reason) == ("True", "NotRequired")


@pytest.mark.parametrize(
    ("seen", "status", "reason", "words"),
    [
        (told(broker_reconciled=True), "True", "Reconciled", "agree"),
        (told(broker_reconciled=False, reconcile_problem="no session"), "False", "Waiting", "broker: no session"),
        (
            told(broker_reconciled=True, differences=1, difference_names="NSE:X ours 5 broker 3"),
            "False", "Difference", "NSE:X ours 5 broker 3; new orders in these wait",
        ),
    ],
)  # fmt: skip
def test_what_differs_at_the_broker_is_named(seen: Seen, status: str, reason: str, words: str) -> None:
    found = condition("Reconciled", seen)
    assert found[:2] == (status, reason)
    assert words in found[2]


@pytest.mark.parametrize(
    ("zerodha", "broker"), [({}, "zerodha"), ({"live": False, "dryRun": True}, "zerodha (dry run)")]
)
def test_figures_name_broker_user_and_the_end_of_the_session(zerodha: dict[str, Any], broker: str) -> None:
    item = view(cache_of(kite_feed(), kite(**zerodha)), "BrokerAccount", "kite")
    found = figures(item, told(token_expires_at=NOW + HOUR))
    assert (found["broker"], found["brokerUser"], found["sessionExpires"]) == (
        broker,
        "AB1234",
        "2026-01-05T09:00:00Z",
    )
    for gone in (0, NOW - HOUR, NOW):
        assert figures(item, told(token_expires_at=gone))["sessionExpires"] is None


def test_a_feed_says_what_keeps_its_prices_from_coming() -> None:
    item = view(cache_of(kite_feed()), "MarketFeed", "nse")
    details = {**FeedFigures(session_open=True).details(), "problem": "no session: log in"}
    seen = Seen(dict([report("market-feed", "nse", details)]), {})
    found = next(one for one in findings(item, seen) if one.type == "FeedFresh")
    assert (found.status, found.reason, found.message) == ("False", "SourceProblem", "no session: log in")
    waiting = Seen(dict([report("market-feed", "nse", {"problem": "no list"})]), {})
    assert next(one for one in findings(item, waiting) if one.type == "FeedFresh").message == "no list"
