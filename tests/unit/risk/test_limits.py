"""Every limit of the manifests reaches the gate: one that nobody maps fails here."""

from typing import Any

import pytest

from alpha_panda.contracts.enums import OrderType, Validity
from alpha_panda.contracts.manifests import ResourceSet
from alpha_panda.contracts.resources.broker_account import AccountRisk, BrokerAccount
from alpha_panda.contracts.resources.strategy import Strategy, StrategyRisk
from alpha_panda.domain.risk.limits import Runaway
from alpha_panda.risk.limits import account_limits, strategy_limits, venue_rules
from alpha_panda.runtime.settings import Settings
from alpha_panda.runtime.venues import price_rules
from unit.risk.world import D, documents

SECOND = 1_000_000_000

ACCOUNT_FIELDS: dict[str, tuple[object, object]] = {
    "max_order_quantity": ("11", D(11)),
    "max_order_value": ("12.5", D("12.5")),
    "price_collar_bps": ("13", D(13)),
    "max_position": ("14", D(14)),
    "max_open_orders": (15, 15),
    "max_open_order_value": ("16", D(16)),
    "max_gross_exposure": ("17", D(17)),
    "max_net_exposure": ("18", D(18)),
    "max_orders_per_second": (19, 19),
    "max_orders_per_minute": (20, 20),
    "max_orders_per_day": (21, 21),
    "max_daily_loss": ("22", D(22)),
    "max_drawdown": ("23", D(23)),
    "allow_short": (False, False),
    "runaway": ({"signals": 5, "seconds": 1.5}, Runaway(signals=5, seconds=1.5)),
    "signal_max_age_seconds": (2.5, 2_500_000_000),
    "quote_max_age_seconds": (1.5, 1_500_000_000),
}
"""Field of `spec.risk`: what the manifest says, what the gate must get."""

GATE_NAMES = {"signal_max_age_seconds": "signal_max_age"}
IN_PRICE_RULES = {"quote_max_age_seconds": "account_quote_max_age"}

STRATEGY_FIELDS: dict[str, tuple[object, object]] = {
    name: ACCOUNT_FIELDS[name]
    for name in (
        "max_position",
        "max_order_quantity",
        "max_order_value",
        "max_daily_loss",
        "max_drawdown",
        "max_orders_per_minute",
    )
}


def camel(name: str) -> str:
    head, *tail = name.split("_")
    return head + "".join(part.capitalize() for part in tail)


def resources(**parts: Any) -> ResourceSet:
    return ResourceSet.from_documents(documents(**parts))


def account(**parts: Any) -> BrokerAccount:
    return resources(**parts).accounts["paper"]


def strategy(**parts: Any) -> Strategy:
    return resources(**parts).strategies["alpha"]


def gate_value(name: str, made: BrokerAccount) -> object:
    if name in IN_PRICE_RULES:
        feed = resources().feeds["demo"]
        return getattr(price_rules(feed, made, Settings()), IN_PRICE_RULES[name])
    return getattr(account_limits(made), GATE_NAMES.get(name, name))


def test_every_limit_of_an_account_is_listed_here() -> None:
    assert set(ACCOUNT_FIELDS) == set(AccountRisk.model_fields)


def test_every_limit_of_a_strategy_is_listed_here() -> None:
    assert set(STRATEGY_FIELDS) == set(StrategyRisk.model_fields)


@pytest.mark.parametrize("name", sorted(ACCOUNT_FIELDS))
def test_account_limit_reaches_the_gate(name: str) -> None:
    given, wanted = ACCOUNT_FIELDS[name]
    assert gate_value(name, account(risk={camel(name): given})) == wanted
    assert gate_value(name, account()) != wanted


@pytest.mark.parametrize("name", sorted(STRATEGY_FIELDS))
def test_strategy_limit_reaches_the_gate(name: str) -> None:
    given, wanted = STRATEGY_FIELDS[name]
    assert getattr(strategy_limits(strategy(strategy_risk={camel(name): given})), name) == wanted
    assert getattr(strategy_limits(strategy()), name) is None


@pytest.mark.parametrize(
    ("risk", "paper", "allowed"), [(True, True, True), (True, False, False), (False, True, False)]
)
def test_short_needs_the_leave_of_limits_and_venue(*, risk: bool, paper: bool, allowed: bool) -> None:
    made = account(risk={"allowShort": risk}, paper={"allowShort": paper})
    assert account_limits(made).allow_short is allowed


def test_funds_set_aside_what_slippage_and_commission_may_cost() -> None:
    made = account(paper={"slippageBps": "5", "commissionBps": "3"})
    assert account_limits(made).cost_allowance_bps == 8


@pytest.mark.parametrize(("given", "wanted"), [({}, 1), ({"shortMarginRatio": "0.25"}, D("0.25"))])
def test_a_short_is_backed_by_the_margin_ratio(given: dict[str, str], wanted: object) -> None:
    assert account_limits(account(paper=given)).short_margin_ratio == wanted


def test_absent_lists_of_the_venue_mean_all() -> None:
    rules = venue_rules(account())
    assert (tuple(rules.order_types), tuple(rules.validities)) == (tuple(OrderType), tuple(Validity))


def test_lists_of_the_venue_bind() -> None:
    rules = venue_rules(account(orderTypes=["LIMIT"], validities=["IOC"]))
    assert (tuple(rules.order_types), tuple(rules.validities)) == ((OrderType.LIMIT,), (Validity.IOC,))
