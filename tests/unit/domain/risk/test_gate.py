"""What the gate does with its checks: the path of reducing orders, cancels, and failing closed."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import FeedMode, OrderType, SignalClass, TradingState, Validity
from alpha_panda.contracts.events import CancelRequest, Signal
from alpha_panda.contracts.stored import PriceReading
from alpha_panda.domain.book import Position
from alpha_panda.domain.risk.case import reference_price
from alpha_panda.domain.risk.facts import CancelFacts, OrderCounts, PnlReading, RiskFacts, VenueRules
from alpha_panda.domain.risk.gate import Ruling, decide
from alpha_panda.domain.risk.limits import AccountLimits, Runaway, StrategyLimits
from alpha_panda.domain.risk.outcome import Check, Outcome
from alpha_panda.domain.sessions import SessionState, SessionStatus
from unit.domain.risk.making import (
    ALL_ACTIVE,
    BUY,
    INSTRUMENT,
    NOW,
    SECOND,
    SELL,
    SIGNAL,
    D,
    controls,
    facts,
    open_order,
    position,
    positions,
    price,
    quote,
    result,
    signal,
)

A, R, H = TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED
CLOSING = signal(side=SELL, quantity=10)
LONG = positions(position(10))
TIGHT: dict[str, Any] = {
    "max_order_quantity": D(1),
    "max_order_value": D(1),
    "price_collar_bps": D(1),
    "max_position": D(1),
    "max_open_orders": 1,
    "max_open_order_value": D(1),
    "max_gross_exposure": D(1),
    "max_net_exposure": D(1),
    "max_orders_per_second": 1,
    "max_orders_per_minute": 1,
    "max_orders_per_day": 1,
    "max_daily_loss": D(1),
    "max_drawdown": D(1),
    "allow_short": False,
    "runaway": Runaway(signals=2, seconds=1),
}
BAD_DAY = {
    "counts": OrderCounts(last_second=9, last_minute=9, today=9),
    "pnl": PnlReading(day_pnl=D(-99), drawdown=D(99)),
}


def closing(given: Signal = CLOSING, **changes: Any) -> RiskFacts:
    return facts(given, **{"own": LONG, **changes})


def trapped(given: Signal = CLOSING, **changes: Any) -> RiskFacts:
    """A position under every limit there is, all of them exhausted."""
    worst = {
        "strategy": StrategyLimits(**TIGHT),
        "account": AccountLimits(**TIGHT),
        "strategy_facts": BAD_DAY,
        "account_facts": BAD_DAY,
        "held": positions(position(-50)),
        "cash": D(-1000),
        "repeats": 50,
        "key_in_doubt": True,
        "allowed_symbols": (),
        "strategy_accepted": False,
        "open_orders": (open_order(BUY, 70), open_order(BUY, 70, strategy_id="n")),
    }
    return closing(given, **{**worst, **changes})


@pytest.mark.parametrize("states", [(A, A, A), (R, A, A), (A, R, R)])
def test_no_limit_traps_a_position(states: tuple[TradingState, ...]) -> None:
    ruling = decide(trapped(controls=controls(*states)))
    assert ruling.validated, ruling.message
    assert ruling.signal_class is SignalClass.REDUCING
    assert ruling.latches == ()


def test_no_limit_traps_a_short_position_either_cash_least_of_all() -> None:
    given = signal(side=BUY, quantity=10)
    ruling = decide(trapped(given, own=positions(position(-10)), open_orders=(open_order(SELL, 70),)))
    assert ruling.validated, ruling.message
    assert ruling.signal_class is SignalClass.REDUCING
    assert decide(facts(given, cash=D(-1000))).code is Code.INSUFFICIENT_FUNDS


def test_the_same_order_without_a_position_meets_every_limit() -> None:
    ruling = decide(trapped(own={}))
    assert ruling.signal_class is SignalClass.INCREASING
    assert len([item for item in ruling.checks if not item.passed]) > 25


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (closing(controls=controls(H, A, A)), Code.TRADING_HALTED),
        (closing(controls=()), Code.TRADING_HALTED),
        (closing(instrument=None), Code.INSTRUMENT_UNKNOWN),
        (closing(session=SessionStatus(SessionState.CLOSED, "", None)), Code.SESSION_CLOSED),
        (closing(price=PriceReading(None, NOW)), Code.PRICE_MISSING),
        (closing(price=price(age=6 * SECOND)), Code.PRICE_STALE),
        (closing(price=price(heartbeat_age=6 * SECOND)), Code.PRICE_STALE),
        (closing(signal(side=SELL, expires_at=NOW)), Code.SIGNAL_EXPIRED),
        (closing(signal(side=SELL, limit_price="99.99")), Code.TICK_SIZE),
        (
            closing(signal(side=SELL, quantity=5), instrument=replace(INSTRUMENT, lot_size=D(3))),
            Code.LOT_SIZE,
        ),
        (closing(instrument=replace(INSTRUMENT, freeze_quantity=D(5))), Code.FREEZE_QUANTITY),
        (closing(venue=VenueRules(order_types=(OrderType.LIMIT,))), Code.ORDER_TYPE_NOT_ALLOWED),
        (closing(venue=VenueRules(validities=(Validity.IOC,))), Code.VALIDITY_NOT_ALLOWED),
        (closing(token_valid=False), Code.ACCESS_TOKEN_EXPIRED),
        (closing(account_reconciled=False), Code.NOT_RECONCILED),
        (
            closing(price_rules=replace(facts().price_rules, account_is_live=True)),
            Code.PRICE_MODE,
        ),
    ],
)
def test_what_could_not_be_traded_anyway_binds_reducing_orders_too(bad: RiskFacts, code: Code) -> None:
    ruling = decide(bad)
    assert (ruling.validated, ruling.code, ruling.signal_class) == (False, code, SignalClass.REDUCING)
    assert decide(closing()).validated


def test_after_the_products_cut_off_only_reductions_pass() -> None:
    cut_off = SessionStatus(SessionState.CLOSED, "after the cut-off", None, reducing_allowed=True)
    assert decide(closing(session=cut_off)).validated
    assert decide(facts(session=cut_off)).code is Code.SESSION_CLOSED


def test_a_reducing_limit_order_needs_no_last_price() -> None:
    given = signal(side=SELL, limit_price=101)
    for reading in (
        PriceReading(None, None),
        price(age=60 * SECOND),
        PriceReading(quote(mode=FeedMode.REPLAY), 0),
    ):
        ruling = decide(closing(given, price=reading))
        assert ruling.validated, ruling.message
        assert ruling.reference_price == 101
    assert decide(facts(given, price=PriceReading(None, None))).code is Code.PRICE_MISSING


def test_the_residue_of_a_position_may_be_closed_off_the_lot_grid() -> None:
    lots = replace(INSTRUMENT, lot_size=D(4))
    own = positions(position(6))
    assert decide(facts(signal(side=SELL, quantity=6), own=own, instrument=lots)).validated
    assert decide(facts(signal(side=SELL, quantity=5), own=own, instrument=lots)).code is Code.LOT_SIZE
    left = (open_order(SELL, 4),)
    assert decide(facts(signal(side=SELL, quantity=2), own=own, instrument=lots, open_orders=left)).validated


def test_the_class_is_of_the_strategys_own_book() -> None:
    other = positions(position(10))
    assert decide(facts(CLOSING, own={}, held=other)).signal_class is SignalClass.INCREASING
    short = positions(position(-90))
    assert decide(facts(CLOSING, own=LONG, held=short)).signal_class is SignalClass.REDUCING


@pytest.mark.parametrize(
    ("opens", "expected"),
    [
        ((), SignalClass.REDUCING),
        ((open_order(SELL, 1),), SignalClass.INCREASING),
        ((open_order(SELL, 1, signal_class=SignalClass.REDUCING),), SignalClass.INCREASING),
        ((open_order(BUY, 9),), SignalClass.REDUCING),
        ((open_order(SELL, 9, strategy_id="n"),), SignalClass.REDUCING),
        ((open_order(SELL, 9, instrument_token=99),), SignalClass.REDUCING),
    ],
)
def test_open_orders_of_its_side_use_up_what_may_be_reduced(opens: Any, expected: SignalClass) -> None:
    assert decide(closing(open_orders=opens)).signal_class is expected


def test_while_reducing_only_what_reduces_passes() -> None:
    state = controls(A, R, A)
    assert decide(closing(controls=state)).validated
    ruling = decide(closing(signal(side=SELL, quantity=11), controls=state))
    assert (ruling.code, ruling.signal_class) == (Code.TRADING_REDUCING, SignalClass.INCREASING)
    assert ruling.message.startswith("account/paper is Reducing")


def test_a_closing_signal_of_risk_that_would_not_reduce_is_refused() -> None:
    made = msgspec.structs.replace(CLOSING, closing=True)
    assert decide(closing(made)).validated
    assert decide(facts(made)).code is Code.TRADING_REDUCING


def test_the_first_failed_check_gives_the_code() -> None:
    ruling = decide(facts(allowed_symbols=(), session=SessionStatus(SessionState.CLOSED, "shut", None)))
    assert ruling.code is Code.INSTRUMENT_NOT_ALLOWED
    late = result(ruling, "session")
    assert late is not None
    assert (late.code, late.message) == (Code.SESSION_CLOSED, "shut")


def test_what_can_not_be_checked_is_listed_as_not_run() -> None:
    ruling = decide(facts(signal(limit_price="100.03"), instrument=None))
    grid = result(ruling, "tick_size")
    assert grid is not None
    assert (grid.passed, grid.code, grid.message) == (False, None, "not run: needs instrument_known")
    assert ruling.code is Code.INSTRUMENT_UNKNOWN


def test_a_broken_payload_is_judged_increasing_and_touches_no_rule() -> None:
    ruling = decide(closing(signal(side=SELL, quantity="NaN")))
    assert (ruling.code, ruling.signal_class) == (Code.SCHEMA_INVALID, SignalClass.INCREASING)
    assert {item.code for item in ruling.checks if not item.passed} == {Code.SCHEMA_INVALID, None}


def test_several_faults_of_a_payload_are_told_at_once() -> None:
    message = decide(facts(signal(signal_id="", quantity="0", order_type=OrderType.LIMIT))).message
    for part in ("signal_id is empty", "quantity 0 is not", "limit_price is missing"):
        assert part in message


class Raising(dict[int, Position]):
    """A book that can't be read."""

    def get(self, *_: object) -> Any:
        raise KeyError("lost")

    def items(self) -> Any:
        raise KeyError("lost")


def test_an_order_whose_class_can_not_be_told_is_refused() -> None:
    ruling = decide(facts(own=Raising()))
    assert (ruling.validated, ruling.code) == (False, Code.INTERNAL_ERROR)
    assert ruling.signal_class is SignalClass.INCREASING
    assert "lost" in ruling.message


def test_a_check_that_raises_fails_and_the_others_go_on() -> None:
    unreadable = facts(account=AccountLimits(max_gross_exposure=D(10**9)), held=Raising())
    ruling = decide(unreadable)
    assert (ruling.validated, ruling.code) == (False, Code.INTERNAL_ERROR)
    failed = [item.check for item in ruling.checks if not item.passed]
    assert "account.max_gross_exposure" in failed
    after = result(ruling, "in_doubt")
    assert after is not None
    assert after.passed


def test_a_check_frames_whatever_its_function_does() -> None:
    def broken(_: object) -> Outcome:
        raise ZeroDivisionError("boom")

    found = Check("broken", broken).run(object(), ())  # type: ignore[arg-type]
    assert found is not None
    assert (found.passed, found.code) == (False, Code.INTERNAL_ERROR)
    assert "boom" in found.message


def test_without_a_price_its_age_is_not_checked() -> None:
    ruling = decide(facts(price=PriceReading(None, NOW)))
    fresh = result(ruling, "price_fresh")
    assert fresh is not None
    assert fresh.message == "not run: needs price_present"


REFERENCES = [
    (signal(), 100),
    (signal(side=SELL), 100),
    (signal(limit_price=90), 90),
    (signal(limit_price=110), 110),
    (signal(side=SELL, limit_price=110), 110),
    (signal(side=SELL, limit_price=90), 100),
    (signal(trigger_price=110), 110),
    (signal(trigger_price=90), 100),
    (signal(side=SELL, trigger_price=90), 90),
    (signal(side=SELL, trigger_price=110), 110),
    (signal(limit_price=112, trigger_price=110), 112),
    (signal(side=SELL, limit_price=88, trigger_price=90), 90),
]


@pytest.mark.parametrize(("given", "expected"), REFERENCES)
def test_an_order_is_valued_at_the_worst_it_can_trade_at(given: Signal, expected: int) -> None:
    assert reference_price(given, D(100)) == expected
    ruling = decide(facts(given, account=AccountLimits(max_order_value=D(10 * expected))))
    assert ruling.validated
    assert ruling.reference_price == expected
    assert not decide(facts(given, account=AccountLimits(max_order_value=D(10 * expected - 1)))).validated


def test_the_reference_price_of_a_market_order_without_price_can_not_be_told() -> None:
    with pytest.raises(ValueError, match="missing"):
        reference_price(SIGNAL, None)
    assert decide(facts(price=PriceReading(None, NOW))).reference_price is None


def test_the_float_price_is_taken_on_the_tick_grid() -> None:
    assert decide(facts(price=price(100.07))).reference_price == Decimal("100.05")


def cancel(**changes: Any) -> CancelFacts:
    request = CancelRequest(
        signal_id="c1",
        strategy_id="m",
        strategy_uid="u",
        instrument_token=SIGNAL.instrument_token,
        symbol="X:A",
        order_signal_id="s1",
    )
    return CancelFacts(request=msgspec.structs.replace(request, **changes), order=SIGNAL)


def test_a_cancel_of_an_own_order_passes_and_nothing_else_is_asked() -> None:
    ruling = decide(cancel())
    assert ruling.validated
    assert ruling.signal_class is SignalClass.CANCEL
    assert [item.check for item in ruling.checks] == ["schema", "order_known"]


def refused_cancels() -> Iterator[tuple[CancelFacts, Code]]:
    yield replace(cancel(), order=None), Code.UNKNOWN_ORDER
    yield cancel(order_signal_id="s2"), Code.UNKNOWN_ORDER
    yield cancel(strategy_id="n"), Code.UNKNOWN_ORDER
    yield cancel(instrument_token=99), Code.UNKNOWN_ORDER
    yield cancel(order_signal_id=""), Code.SCHEMA_INVALID
    yield cancel(signal_id=""), Code.SCHEMA_INVALID


@pytest.mark.parametrize(("given", "code"), list(refused_cancels()))
def test_a_cancel_of_what_is_not_the_strategys_order_is_refused(given: CancelFacts, code: Code) -> None:
    ruling: Ruling = decide(given)
    assert (ruling.validated, ruling.code) == (False, code)


def test_deciding_twice_says_the_same() -> None:
    assert decide(trapped()) == decide(trapped())
    assert decide(facts(controls=ALL_ACTIVE)) == decide(facts())
