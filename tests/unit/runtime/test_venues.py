from decimal import Decimal
from typing import Any

import pytest

from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.resources import BrokerAccount, MarketFeed
from alpha_panda.domain.matching import PaperTerms
from alpha_panda.domain.risk.facts import PriceRules
from alpha_panda.domain.sessions import SessionState
from alpha_panda.runtime.settings import Settings
from alpha_panda.runtime.venues import ns_of, paper_terms, price_rules, rules_of
from alpha_panda.testing.virtual_time import START

API = "alphapanda.io/v1alpha1"
SECOND = 1_000_000_000
DAY = 86_400 * SECOND


def made(feed: dict[str, Any] | None = None, **account: Any) -> tuple[MarketFeed, BrokerAccount]:
    def resource(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        return {"apiVersion": API, "kind": kind, "metadata": {"name": name}, "spec": spec}

    instruments = [{"symbol": "X:A", "token": 1, "tickSize": "0.05", "referencePrice": "1"}]
    spec = {"source": {"simulated": {"seed": 1}}, "instruments": instruments, **(feed or {})}
    found = ResourceSet.from_documents(
        [
            resource("MarketFeed", "demo", spec),
            resource("BrokerAccount", "paper", {"marketFeed": "demo", "paper": {"cash": "1"}, **account}),
        ]
    )
    return found.feeds["demo"], found.accounts["paper"]


@pytest.mark.parametrize(
    ("seconds", "ns"), [(None, None), (5, 5 * SECOND), (0.29, 290_000_000), (1.1, 1_100_000_000)]
)
def test_seconds_become_whole_nanoseconds_by_rounding(seconds: float | None, ns: int | None) -> None:
    assert ns_of(seconds) == ns


def test_paper_terms_are_the_manifests() -> None:
    paper = {"cash": "1", "slippageBps": "5", "commissionBps": "3", "partialFillRatio": "0.5", "seed": 9}
    terms = PaperTerms(
        slippage_bps=Decimal(5), commission_bps=Decimal(3), partial_fill_ratio=Decimal("0.5"), seed=9
    )
    assert paper_terms(made(paper=paper)[1]) == terms


def test_price_rules_join_feed_account_and_settings() -> None:
    feed, account = made({"staleAfterSeconds": 2.5}, risk={"quoteMaxAgeSeconds": 1.5})
    assert price_rules(feed, account, Settings(clock_skew_max_ms=100)) == PriceRules(
        heartbeat_max_age=2_500_000_000,
        quote_max_age=2_500_000_000,
        clock_skew=100_000_000,
        account_quote_max_age=1_500_000_000,
        account_is_live=False,
    )


def test_a_holiday_of_the_manifest_closes_the_session() -> None:
    open_feed, _ = made()
    closed_feed, account = made({"extraHolidays": ["2026-01-02"]})  # the day of START
    assert rules_of(open_feed).status(START).state is SessionState.OPEN
    assert rules_of(closed_feed).status(START).state is SessionState.CLOSED
    assert rules_of(closed_feed, account).status(START + DAY).state is SessionState.OPEN
