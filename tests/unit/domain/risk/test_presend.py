"""The engine's last look, on facts alone: which check, in which order, for whom."""

from dataclasses import replace
from typing import Any

import pytest

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import FeedMode, SignalClass
from alpha_panda.contracts.stored import PriceReading
from alpha_panda.domain.risk.facts import PriceRules
from alpha_panda.domain.risk.presend import SendFacts, send_fault
from alpha_panda.domain.sessions import SessionState, SessionStatus
from unit.domain.risk.making import INSTRUMENT, NOW, OPEN, SECOND, SELL, D, price, quote, signal

RULES = PriceRules(heartbeat_max_age=3 * SECOND, quote_max_age=5 * SECOND, clock_skew=SECOND // 5)
CLOSED = SessionStatus(SessionState.CLOSED, "closed", None)
CUT_OFF = SessionStatus(SessionState.CLOSED, "cut-off", None, reducing_allowed=True)
EXPIRED = SessionStatus(SessionState.EXPIRED, "no data", None)
INCREASING, REDUCING = SignalClass.INCREASING, SignalClass.REDUCING
NO_PRICE = PriceReading(None, None)


def fault(**changes: Any) -> Code | None:
    made = SendFacts(
        signal=signal(),
        signal_class=INCREASING,
        now=NOW,
        instrument=INSTRUMENT,
        price=price(),
        price_rules=RULES,
        session=OPEN,
        price_collar_bps=D(100),
    )
    outcome = send_fault(replace(made, **changes))
    assert outcome is None or outcome.message
    return None if outcome is None else outcome.code


def test_a_good_order_has_no_fault() -> None:
    assert fault() is None
    assert fault(signal=signal(limit_price=101)) is None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"instrument": None}, Code.INSTRUMENT_UNKNOWN),
        ({"token_valid": False}, Code.ACCESS_TOKEN_EXPIRED),
        ({"session": CLOSED}, Code.SESSION_CLOSED),
        ({"session": EXPIRED}, Code.CALENDAR_EXPIRED),
        ({"session": CUT_OFF}, Code.SESSION_CLOSED),
        ({"price": NO_PRICE}, Code.PRICE_MISSING),
        ({"price": PriceReading(None, NOW)}, Code.PRICE_MISSING),
        ({"price": PriceReading(quote(), None)}, Code.PRICE_STALE),
        ({"price": price(age=5 * SECOND + 1)}, Code.PRICE_STALE),
        ({"price": price(heartbeat_age=3 * SECOND + 1)}, Code.PRICE_STALE),
        ({"price": price(age=-SECOND)}, Code.CLOCK_SKEW),
        ({"price": price(heartbeat_age=-SECOND)}, Code.CLOCK_SKEW),
        ({"price_rules": replace(RULES, account_is_live=True)}, Code.PRICE_MODE),
        ({"signal": signal(limit_price="101.05")}, Code.PRICE_COLLAR),
        ({"signal": signal(limit_price=100, trigger_price="98.95")}, Code.PRICE_COLLAR),
    ],
)
def test_each_fault_alone_has_its_code(changes: dict[str, Any], code: Code) -> None:
    assert fault(**changes) is code


def test_the_first_fault_in_the_documented_order_counts() -> None:
    """Instrument, session, price, mode, age, collar."""
    faults: list[tuple[dict[str, Any], Code]] = [
        ({"signal": signal(limit_price=200)}, Code.PRICE_COLLAR),
        ({"price": price(age=6 * SECOND)}, Code.PRICE_STALE),
        ({"price_rules": replace(RULES, account_is_live=True)}, Code.PRICE_MODE),
        ({"price": NO_PRICE}, Code.PRICE_MISSING),
        ({"session": CLOSED}, Code.SESSION_CLOSED),
        ({"instrument": None}, Code.INSTRUMENT_UNKNOWN),
    ]
    together: dict[str, Any] = {}
    for changes, code in faults:
        together |= changes
        assert fault(**together) is code


@pytest.mark.parametrize(
    ("session", "code"),
    [(OPEN, None), (CUT_OFF, None), (CLOSED, Code.SESSION_CLOSED), (EXPIRED, Code.CALENDAR_EXPIRED)],
)
def test_reducing_orders_pass_the_cut_off_only(session: SessionStatus, code: Code | None) -> None:
    assert fault(session=session, signal_class=REDUCING) is code


def test_a_reducing_limit_needs_no_price_at_all() -> None:
    given = signal(side=SELL, limit_price=1)
    assert fault(signal=given, signal_class=REDUCING, price=NO_PRICE) is None
    assert fault(signal=given, signal_class=INCREASING, price=NO_PRICE) is Code.PRICE_MISSING


@pytest.mark.parametrize(
    "given", [signal(), signal(trigger_price=99), signal(trigger_price=99, limit_price=98)]
)
def test_any_other_reducing_order_needs_a_fresh_price(given: Any) -> None:
    assert fault(signal=given, signal_class=REDUCING, price=NO_PRICE) is Code.PRICE_MISSING
    assert fault(signal=given, signal_class=REDUCING, price=price(age=6 * SECOND)) is Code.PRICE_STALE


def test_the_collar_binds_no_reducing_order() -> None:
    assert fault(signal=signal(trigger_price=50), signal_class=REDUCING) is None
    assert fault(signal=signal(trigger_price=50), price_collar_bps=None) is None


def test_a_live_price_suits_a_live_account() -> None:
    live = PriceReading(quote(mode=FeedMode.LIVE), NOW)
    assert fault(price=live, price_rules=replace(RULES, account_is_live=True)) is None


@pytest.mark.parametrize("last", [float("nan"), float("inf"), -float("inf"), 0.0, -5.0, 0.02])
def test_what_is_no_price_is_missing(last: float) -> None:
    assert fault(price=price(last)) is Code.PRICE_MISSING
