"""Is a price good enough to trade on? Each rule at its boundary."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import FeedMode, OrderType
from alpha_panda.contracts.stored import PriceReading
from alpha_panda.domain.risk import pricing
from alpha_panda.domain.risk.facts import PriceRules
from unit.domain.risk.making import INSTRUMENT, NOW, SECOND, D, price, quote, signal

RULES = PriceRules(heartbeat_max_age=3 * SECOND, quote_max_age=5 * SECOND, clock_skew=SECOND // 5)


@pytest.mark.parametrize("order_type", list(OrderType))
def test_only_a_reducing_limit_needs_no_price(order_type: OrderType) -> None:
    order = signal(order_type=order_type)
    assert pricing.needs_price(order, reducing=False)
    assert pricing.needs_price(order, reducing=True) is (order_type is not OrderType.LIMIT)


def test_presence_tells_the_price_on_the_tick_grid() -> None:
    assert pricing.presence(quote(100.02), INSTRUMENT).value == "100"
    assert pricing.presence(None, INSTRUMENT).code is Code.PRICE_MISSING


@pytest.mark.parametrize(("last", "there"), [(0.03, True), (0.02, False), (0.0, False), (-0.05, False)])
def test_a_price_is_at_least_one_tick(last: float, there: bool) -> None:
    assert (pricing.presence(quote(last), INSTRUMENT).code is None) is there


@pytest.mark.parametrize("mode", list(FeedMode))
def test_mode_binds_live_accounts_only(mode: FeedMode) -> None:
    assert pricing.mode(quote(mode=mode), RULES) is None
    outcome = pricing.mode(quote(mode=mode), replace(RULES, account_is_live=True))
    assert outcome is not None
    assert outcome.code is (None if mode is FeedMode.LIVE else Code.PRICE_MODE)


def age_code(
    age: int, heartbeat_age: int = 0, rules: PriceRules = RULES, own_limit: int | None = None
) -> Code | None:
    reading = price(age=age, heartbeat_age=heartbeat_age)
    assert reading.quote is not None
    instrument = replace(INSTRUMENT, stale_after_ns=own_limit)
    return pricing.freshness(reading, reading.quote, instrument, rules, NOW).code


@pytest.mark.parametrize(
    ("age", "heartbeat_age", "code"),
    [
        (5 * SECOND, 3 * SECOND, None),
        (5 * SECOND + 1, 0, Code.PRICE_STALE),
        (0, 3 * SECOND + 1, Code.PRICE_STALE),
        (-SECOND // 5, -SECOND // 5, None),
        (-SECOND // 5 - 1, 0, Code.CLOCK_SKEW),
        (0, -SECOND // 5 - 1, Code.CLOCK_SKEW),
    ],
)
def test_fresh_is_a_live_feed_and_a_quote_within_its_limit(
    age: int, heartbeat_age: int, code: Code | None
) -> None:
    assert age_code(age, heartbeat_age) is code


def test_a_feed_that_never_proved_alive_is_stale() -> None:
    outcome = pricing.freshness(PriceReading(quote(), None), quote(), INSTRUMENT, RULES, NOW)
    assert outcome.code is Code.PRICE_STALE


def test_an_instruments_own_limit_replaces_the_feeds_either_way() -> None:
    """Illiquid names stay tradable."""
    assert age_code(60 * SECOND, own_limit=60 * SECOND) is None
    assert age_code(2 * SECOND, own_limit=SECOND) is Code.PRICE_STALE


def test_the_accounts_limit_tightens_both() -> None:
    rules = replace(RULES, account_quote_max_age=SECOND)
    assert age_code(SECOND + 1, rules=rules) is Code.PRICE_STALE
    assert age_code(SECOND + 1, rules=rules, own_limit=60 * SECOND) is Code.PRICE_STALE
    assert (
        age_code(5 * SECOND + 1, rules=replace(RULES, account_quote_max_age=60 * SECOND)) is Code.PRICE_STALE
    )


@pytest.mark.parametrize(
    ("prices", "bps", "code"),
    [
        ([], 100, None),
        ([D(105)], None, None),
        ([D(101)], 100, None),
        ([D("101.05")], 100, Code.PRICE_COLLAR),
        ([D(99)], 100, None),
        ([D("98.95")], 100, Code.PRICE_COLLAR),
        ([D(100), D("98.95")], 100, Code.PRICE_COLLAR),
        ([D(100)], 0, None),
        ([D("100.05")], 0, Code.PRICE_COLLAR),
    ],
)
def test_the_collar_counts_from_the_last_price_to_either_side(
    prices: list[D], bps: int | None, code: Code | None
) -> None:
    outcome = pricing.collar(prices, D(100), None if bps is None else D(bps))
    assert (outcome.code if outcome else None) is code


@given(st.lists(st.none() | st.integers(0, 100), max_size=5))
def test_least_is_the_smallest_that_is_set(limits: list[int | None]) -> None:
    found = [limit for limit in limits if limit is not None]
    assert pricing.least(limits) == (min(found) if found else None)
