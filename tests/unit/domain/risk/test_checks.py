"""Each check of increasing orders both ways, with its code, through the gate."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import FeedMode, OrderType, SignalClass, TradingState, Validity
from alpha_panda.contracts.stored import InstrumentDifference, PriceReading
from alpha_panda.domain.risk.facts import (
    OrderCounts,
    PnlReading,
    RiskFacts,
    VenueRules,
    runaway_key,
    runaway_of,
)
from alpha_panda.domain.risk.gate import CHECKS, decide
from alpha_panda.domain.risk.limits import AccountLimits, Runaway, StrategyLimits
from alpha_panda.domain.sessions import SessionState, SessionStatus
from unit.domain.risk.making import (
    ALL_ACTIVE,
    BUY,
    INSTRUMENT,
    NOW,
    OTHER,
    SECOND,
    SELL,
    D,
    controls,
    facts,
    latch,
    open_order,
    position,
    positions,
    price,
    quote,
    reading,
    result,
    signal,
)

A, R, H = TradingState.ACTIVE, TradingState.REDUCING, TradingState.HALTED
RULES = facts().price_rules
LIVE = replace(RULES, account_is_live=True)


def inst(**changes: Any) -> RiskFacts:
    given = changes.pop("signal", signal())
    return facts(given, instrument=replace(INSTRUMENT, **changes))


def lim(given: Any = None, own: Any = None, **limits: Any) -> RiskFacts:
    """Limits of the account."""
    return facts(given or signal(), account=AccountLimits(**limits), own=own)


def mine(given: Any = None, own: Any = None, **limits: Any) -> RiskFacts:
    """Limits of the strategy."""
    return facts(given or signal(), StrategyLimits(**limits), own=own)


def test_a_good_signal_passes_all() -> None:
    ruling = decide(facts())
    assert ruling.validated
    assert (ruling.signal_class, ruling.code, ruling.message) == (SignalClass.INCREASING, None, "")
    assert ruling.reference_price == 100
    assert all(item.passed for item in ruling.checks)
    assert ruling.latches == ()


def cases(check: str, code: Code, *pairs: tuple[RiskFacts, RiskFacts]) -> list[Any]:
    return [pytest.param(check, code, bad, good, id=f"{check}-{n}") for n, (bad, good) in enumerate(pairs)]


def differing(ours: int, theirs: int) -> InstrumentDifference:
    """The book and the broker differ on the signal's instrument."""
    return InstrumentDifference(
        difference_id="d",
        instrument_token=1,
        symbol="X:A",
        ours=D(ours),
        theirs=D(theirs),
        price=D(100),
        since=1,
    )


CLOSED = SessionStatus(SessionState.CLOSED, "closed", None)
EXPIRED = SessionStatus(SessionState.EXPIRED, "no data", None)
BAND = (D(90), D(110))
ODD = replace(INSTRUMENT, symbol="X:B")
PAIRS = [
    *cases(
        "schema",
        Code.SCHEMA_INVALID,
        (
            facts(signal(quantity="0")),
            facts(signal(quantity="0.0001"), instrument=replace(INSTRUMENT, lot_size=D("0.0001"))),
        ),
        (facts(signal(quantity="NaN")), facts(signal(quantity="1"))),
        (facts(signal(quantity="-1")), facts(signal(quantity="1"))),
        (facts(signal(quantity="1E+99")), facts(signal(quantity="1"))),
        (facts(signal(order_type=OrderType.LIMIT)), facts(signal(limit_price=100))),
        (facts(signal(order_type=OrderType.STOP)), facts(signal(trigger_price=100))),
        (facts(signal(order_type=OrderType.MARKET, limit_price=100)), facts(signal())),
        (
            facts(signal(order_type=OrderType.LIMIT, limit_price=1, trigger_price=1)),
            facts(signal(limit_price=1)),
        ),
        (
            facts(signal(order_type=OrderType.STOP_LIMIT, limit_price=1)),
            facts(signal(limit_price=1, trigger_price=1)),
        ),
        (facts(signal(limit_price="Infinity")), facts(signal(limit_price="1"))),
        (facts(signal(price=D(0))), facts(signal(price=D(1)))),
        (facts(signal(signal_id="")), facts(signal(signal_id="x"))),
    ),
    *cases("strategy_accepted", Code.STRATEGY_NOT_ACCEPTED, (facts(strategy_accepted=False), facts())),
    *cases(
        "instrument_known",
        Code.INSTRUMENT_UNKNOWN,
        (facts(instrument=None), facts()),
        (facts(instrument=ODD), facts()),
    ),
    *cases("instrument_allowed", Code.INSTRUMENT_NOT_ALLOWED, (facts(allowed_symbols=("X:B",)), facts())),
    *cases(
        "instrument_expiry",
        Code.INSTRUMENT_EXPIRED,
        (inst(expiry=date(2023, 11, 13)), inst(expiry=date(2023, 11, 14))),
    ),
    *cases(
        "tick_size",
        Code.TICK_SIZE,
        (facts(signal(limit_price="100.03")), facts(signal(limit_price="100.05"))),
        (facts(signal(trigger_price="100.03")), facts(signal(trigger_price="100.05"))),
    ),
    *cases("lot_size", Code.LOT_SIZE, (inst(lot_size=D(3)), inst(lot_size=D(5)))),
    *cases(
        "freeze_quantity", Code.FREEZE_QUANTITY, (inst(freeze_quantity=D(9)), inst(freeze_quantity=D(10)))
    ),
    *cases(
        "price_present",
        Code.PRICE_MISSING,
        (facts(price=PriceReading(None, NOW)), facts()),
        (facts(price=price(float("nan"))), facts()),
        (facts(price=price(float("inf"))), facts()),
        (facts(price=price(-5.0)), facts()),
        (facts(price=price(0.02)), facts(price=price(0.03))),  # nearest multiple of 0.05: 0 and 0.05
    ),
    *cases(
        "price_mode",
        Code.PRICE_MODE,
        (
            facts(price_rules=LIVE),
            facts(price_rules=LIVE, price=PriceReading(quote(mode=FeedMode.LIVE), NOW)),
        ),
        (facts(price_rules=LIVE, price=PriceReading(quote(mode=FeedMode.REPLAY), NOW)), facts()),
    ),
    *cases(
        "price_fresh",
        Code.PRICE_STALE,
        (facts(price=PriceReading(quote(), None)), facts()),
        (facts(price=price(heartbeat_age=3 * SECOND + 1)), facts(price=price(heartbeat_age=3 * SECOND))),
        (facts(price=price(age=5 * SECOND + 1)), facts(price=price(age=5 * SECOND))),
        (
            facts(price=price(age=8 * SECOND), instrument=replace(INSTRUMENT, stale_after_ns=7 * SECOND)),
            facts(price=price(age=7 * SECOND), instrument=replace(INSTRUMENT, stale_after_ns=7 * SECOND)),
        ),
        (
            facts(price=price(age=3 * SECOND), price_rules=replace(RULES, account_quote_max_age=2 * SECOND)),
            facts(price=price(age=2 * SECOND), price_rules=replace(RULES, account_quote_max_age=2 * SECOND)),
        ),
    ),
    *cases(
        "price_fresh",
        Code.CLOCK_SKEW,
        (facts(price=price(age=-SECOND // 5 - 1)), facts(price=price(age=-SECOND // 5))),
        (facts(price=price(heartbeat_age=-SECOND)), facts(price=price(heartbeat_age=-SECOND // 5))),
    ),
    *cases(
        "signal_age", Code.CLOCK_SKEW, (facts(signal_ts=NOW + SECOND), facts(signal_ts=NOW + SECOND // 5))
    ),
    *cases(
        "signal_age",
        Code.SIGNAL_EXPIRED,
        (facts(signal(expires_at=NOW)), facts(signal(expires_at=NOW + 1))),
        (
            facts(account=AccountLimits(signal_max_age=SECOND), signal_ts=NOW - SECOND - 1),
            facts(account=AccountLimits(signal_max_age=SECOND), signal_ts=NOW - SECOND),
        ),
        (
            facts(strategy=StrategyLimits(signal_max_age=SECOND), signal_ts=NOW - 2 * SECOND),
            facts(account=AccountLimits(signal_max_age=3 * SECOND), signal_ts=NOW - 2 * SECOND),
        ),
    ),
    *cases(
        "account.max_order_quantity",
        Code.MAX_ORDER_QUANTITY,
        (lim(max_order_quantity=D(9)), lim(max_order_quantity=D(10))),
    ),
    *cases(
        "strategy.max_order_quantity",
        Code.MAX_ORDER_QUANTITY,
        (mine(max_order_quantity=D(9)), mine(max_order_quantity=D(10))),
    ),
    *cases(
        "account.max_order_value",
        Code.MAX_ORDER_VALUE,
        (lim(max_order_value=D(999)), lim(max_order_value=D(1000))),
        (
            lim(signal(limit_price=110), max_order_value=D(1099)),
            lim(signal(limit_price=110), max_order_value=D(1100)),
        ),
        (
            lim(signal(trigger_price=110), max_order_value=D(1099)),
            lim(signal(trigger_price=110), max_order_value=D(1100)),
        ),
    ),
    *cases(
        "strategy.max_order_value",
        Code.MAX_ORDER_VALUE,
        (mine(max_order_value=D(999)), mine(max_order_value=D(1000))),
    ),
    *cases(
        "account.price_collar",
        Code.PRICE_COLLAR,
        (
            lim(signal(limit_price="101.05"), price_collar_bps=D(100)),
            lim(signal(limit_price=101), price_collar_bps=D(100)),
        ),
        (
            lim(signal(limit_price="98.95"), price_collar_bps=D(100)),
            lim(signal(limit_price=99), price_collar_bps=D(100)),
        ),
        (
            lim(signal(trigger_price=102), price_collar_bps=D(100)),
            lim(signal(trigger_price=101), price_collar_bps=D(100)),
        ),
    ),
    *cases(
        "price_band",
        Code.PRICE_BAND,
        (
            inst(signal=signal(limit_price="110.05"), price_band=BAND),
            inst(signal=signal(limit_price=110), price_band=BAND),
        ),
        (
            inst(signal=signal(trigger_price="89.95"), price_band=BAND),
            inst(signal=signal(trigger_price=90), price_band=BAND),
        ),
    ),
    *cases("session", Code.SESSION_CLOSED, (facts(session=CLOSED), facts())),
    *cases("session", Code.CALENDAR_EXPIRED, (facts(session=EXPIRED), facts())),
    *cases(
        "order_type",
        Code.ORDER_TYPE_NOT_ALLOWED,
        (facts(venue=VenueRules(order_types=(OrderType.LIMIT,))), facts()),
    ),
    *cases(
        "validity", Code.VALIDITY_NOT_ALLOWED, (facts(venue=VenueRules(validities=(Validity.IOC,))), facts())
    ),
    *cases(
        "opposite_reduction",
        Code.REDUCTION_OPEN,
        (
            facts(
                own=positions(position(-3)),
                open_orders=(open_order(BUY, 3, signal_class=SignalClass.REDUCING),),
            ),
            facts(own=positions(position(-3)), open_orders=(open_order(BUY, 3),)),
        ),
        (
            facts(open_orders=(open_order(BUY, 1, signal_class=SignalClass.REDUCING),)),
            facts(open_orders=(open_order(BUY, 0, signal_class=SignalClass.REDUCING),)),
        ),
        (
            facts(open_orders=(open_order(BUY, 1, signal_class=SignalClass.REDUCING),)),
            facts(open_orders=(open_order(SELL, 1, signal_class=SignalClass.REDUCING),)),
        ),
        (
            facts(open_orders=(open_order(BUY, 1, signal_class=SignalClass.REDUCING),)),
            facts(open_orders=(open_order(BUY, 1, signal_class=SignalClass.REDUCING, strategy_id="n"),)),
        ),
    ),
    *cases(
        "account.max_position",
        Code.MAX_POSITION,
        (
            lim(own=positions(position(6)), max_position=D(15)),
            lim(own=positions(position(5)), max_position=D(15)),
        ),
        (
            facts(
                account=AccountLimits(max_position=D(15)), open_orders=(open_order(BUY, 6, strategy_id="n"),)
            ),
            facts(
                account=AccountLimits(max_position=D(15)), open_orders=(open_order(BUY, 5, strategy_id="n"),)
            ),
        ),
        (lim(signal(side=SELL), max_position=D(9)), lim(signal(side=SELL), max_position=D(10))),
        # Nothing that is open is netted: an open SELL frees nothing for a BUY.
        (
            facts(account=AccountLimits(max_position=D(9)), open_orders=(open_order(SELL, 5),)),
            facts(account=AccountLimits(max_position=D(10)), open_orders=(open_order(SELL, 5),)),
        ),
    ),
    *cases(
        "strategy.max_position",
        Code.MAX_POSITION,
        (
            mine(own=positions(position(6)), max_position=D(15)),
            mine(own=positions(position(5)), max_position=D(15)),
        ),
        (
            facts(strategy=StrategyLimits(max_position=D(15)), open_orders=(open_order(BUY, 6),)),
            facts(
                strategy=StrategyLimits(max_position=D(15)),
                open_orders=(open_order(BUY, 6, strategy_id="n"),),
            ),
        ),
    ),
    *cases(
        "account.max_open_orders",
        Code.MAX_OPEN_ORDERS,
        (
            facts(
                account=AccountLimits(max_open_orders=1), open_orders=(open_order(BUY, 1, strategy_id="n"),)
            ),
            facts(account=AccountLimits(max_open_orders=1)),
        ),
    ),
    *cases(
        "strategy.max_open_orders",
        Code.MAX_OPEN_ORDERS,
        (
            facts(strategy=StrategyLimits(max_open_orders=1), open_orders=(open_order(BUY, 1),)),
            facts(
                strategy=StrategyLimits(max_open_orders=1), open_orders=(open_order(BUY, 1, strategy_id="n"),)
            ),
        ),
    ),
    *cases(
        "account.max_open_order_value",
        Code.MAX_OPEN_ORDER_VALUE,
        (
            facts(account=AccountLimits(max_open_order_value=D(1500)), open_orders=(open_order(SELL, 6),)),
            facts(account=AccountLimits(max_open_order_value=D(1500)), open_orders=(open_order(SELL, 5),)),
        ),
    ),
    *cases(
        "account.max_gross_exposure",
        Code.MAX_GROSS_EXPOSURE,
        (
            facts(
                own=positions(position(-5, token=OTHER)),
                marks={OTHER: D(201)},
                account=AccountLimits(max_gross_exposure=D(2000)),
            ),
            facts(
                own=positions(position(-5, token=OTHER)),
                marks={OTHER: D(200)},
                account=AccountLimits(max_gross_exposure=D(2000)),
            ),
        ),
        (
            facts(
                own=positions(position(-5, token=OTHER)), account=AccountLimits(max_gross_exposure=D(1499))
            ),
            facts(
                own=positions(position(-5, token=OTHER)), account=AccountLimits(max_gross_exposure=D(1500))
            ),
        ),
        # 10 long and 20 open to sell may become 10 short: with the BUY of 10 the worst is 20 long.
        (
            facts(
                own=positions(position(10)),
                open_orders=(open_order(SELL, 20),),
                account=AccountLimits(max_gross_exposure=D(1999)),
            ),
            facts(
                own=positions(position(10)),
                open_orders=(open_order(SELL, 20),),
                account=AccountLimits(max_gross_exposure=D(2000)),
            ),
        ),
        (
            facts(
                open_orders=(open_order(SELL, 3, at=50, instrument_token=OTHER),),
                account=AccountLimits(max_gross_exposure=D(1149)),
            ),
            facts(
                open_orders=(open_order(SELL, 3, at=50, instrument_token=OTHER),),
                account=AccountLimits(max_gross_exposure=D(1150)),
            ),
        ),
    ),
    *cases(
        "strategy.max_gross_exposure",
        Code.MAX_GROSS_EXPOSURE,
        (mine(max_gross_exposure=D(999)), mine(max_gross_exposure=D(1000))),
    ),
    *cases(
        "account.max_net_exposure",
        Code.MAX_NET_EXPOSURE,
        (
            facts(own=positions(position(-4, token=OTHER)), account=AccountLimits(max_net_exposure=D(599))),
            facts(own=positions(position(-4, token=OTHER)), account=AccountLimits(max_net_exposure=D(600))),
        ),
        (lim(signal(side=SELL), max_net_exposure=D(999)), lim(signal(side=SELL), max_net_exposure=D(1000))),
        (
            facts(
                open_orders=(open_order(BUY, 5, instrument_token=OTHER), open_order(SELL, 5, signal_id="o2")),
                account=AccountLimits(max_net_exposure=D(1499)),
            ),
            facts(
                open_orders=(open_order(BUY, 5, instrument_token=OTHER), open_order(SELL, 5, signal_id="o2")),
                account=AccountLimits(max_net_exposure=D(1500)),
            ),
        ),
    ),
    *cases(
        "strategy.max_net_exposure",
        Code.MAX_NET_EXPOSURE,
        (mine(max_net_exposure=D(999)), mine(max_net_exposure=D(1000))),
    ),
    *cases(
        "funds",
        Code.INSUFFICIENT_FUNDS,
        (facts(cash=D(999)), facts(cash=D(1000))),
        (
            facts(cash=D(1499), open_orders=(open_order(BUY, 5, instrument_token=OTHER),)),
            facts(cash=D(1500), open_orders=(open_order(BUY, 5, instrument_token=OTHER),)),
        ),
        (facts(broker_cash=D(999)), facts(broker_cash=D(1000))),
        # An increasing SELL of 1000: margin ratio 1, as much again as it brings.
        (facts(signal(side=SELL), cash=D(999)), facts(signal(side=SELL), cash=D(1000))),
        (
            facts(signal(side=SELL), cash=D(499), account=AccountLimits(short_margin_ratio=D("0.5"))),
            facts(signal(side=SELL), cash=D(500), account=AccountLimits(short_margin_ratio=D("0.5"))),
        ),
        # -10 at a last price of 100 takes 2 x 1000 of the cash, whatever it was sold at.
        (
            facts(signal(side=SELL), cash=D(2999), held=positions(position(-10, 50)), own={}),
            facts(signal(side=SELL), cash=D(3000), held=positions(position(-10, 50)), own={}),
        ),
        (
            facts(cash=D(2999), held=positions(position(-5, 300, OTHER)), marks={OTHER: D(200)}),
            facts(cash=D(3000), held=positions(position(-5, 300, OTHER)), marks={OTHER: D(200)}),
        ),
        # Another strategy's long does not back this one's short.
        (
            facts(cash=D(2999), held={}, books=(positions(position(10)), positions(position(-10)))),
            facts(cash=D(3000), held={}, books=(positions(position(10)), positions(position(-10)))),
        ),
        # What is open is never netted, and both sides take their part.
        (
            facts(cash=D(1499), open_orders=(open_order(SELL, 5, instrument_token=OTHER),)),
            facts(cash=D(1500), open_orders=(open_order(SELL, 5, instrument_token=OTHER),)),
        ),
        (
            facts(signal(side=SELL), cash=D(1499), open_orders=(open_order(BUY, 5, instrument_token=OTHER),)),
            facts(signal(side=SELL), cash=D(1500), open_orders=(open_order(BUY, 5, instrument_token=OTHER),)),
        ),
        (
            facts(cash=D(1499), open_orders=(open_order(SELL, 5, instrument_token=OTHER),)),
            facts(
                cash=D(1000),
                open_orders=(open_order(SELL, 5, instrument_token=OTHER, signal_class=SignalClass.REDUCING),),
            ),
        ),
        (
            facts(cash=D("1000.79"), account=AccountLimits(cost_allowance_bps=D(8))),
            facts(cash=D("1000.80"), account=AccountLimits(cost_allowance_bps=D(8))),
        ),
    ),
    *cases(
        "account.short",
        Code.SHORT_NOT_ALLOWED,
        (lim(signal(side=SELL), allow_short=False), lim(signal(side=BUY), allow_short=False)),
        (
            facts(
                signal(side=SELL, quantity=5),
                account=AccountLimits(allow_short=False),
                held=positions(position(9)),
                open_orders=(open_order(SELL, 5, strategy_id="n"),),
            ),
            facts(
                signal(side=SELL, quantity=5),
                account=AccountLimits(),
                held=positions(position(9)),
                open_orders=(open_order(SELL, 5, strategy_id="n"),),
            ),
        ),
    ),
    *cases(
        "strategy.short",
        Code.SHORT_NOT_ALLOWED,
        (mine(signal(side=SELL), allow_short=False), mine(signal(side=SELL))),
        # What the account holds belongs to another strategy.
        (
            facts(signal(side=SELL), account=AccountLimits(allow_short=False), held=positions(position(50))),
            facts(signal(side=SELL), account=AccountLimits(), held=positions(position(50))),
        ),
    ),
    *cases(
        "runaway",
        Code.RUNAWAY_LOOP,
        (
            facts(account=AccountLimits(runaway=Runaway(signals=5, seconds=1)), repeats=4),
            facts(account=AccountLimits(runaway=Runaway(signals=5, seconds=1)), repeats=3),
        ),
    ),
    *cases(
        "trading_state",
        Code.TRADING_HALTED,
        *(
            (facts(controls=controls(*states)), facts())
            for states in ((H, A, A), (A, H, A), (A, A, H), (A, A, None))
        ),
        (facts(controls=ALL_ACTIVE[:2]), facts()),
        (facts(controls=()), facts()),
        (facts(controls=(*ALL_ACTIVE[:2], reading("platform", A, expired=True))), facts()),
        (facts(controls=(*ALL_ACTIVE[:2], reading("platform", A, latches=(latch("platform"),)))), facts()),
    ),
    *cases(
        "trading_state",
        Code.TRADING_REDUCING,
        (facts(controls=controls(R, A, A)), facts()),
        (facts(controls=controls(A, A, R)), facts()),
        (facts(signal(closing=True)), facts()),
    ),
    *cases("access_token", Code.ACCESS_TOKEN_EXPIRED, (facts(token_valid=False), facts())),
    *cases(
        "reconciled",
        Code.NOT_RECONCILED,
        (facts(account_reconciled=False), facts()),
        (facts(reconciled_lately=False), facts()),
        (facts(difference=differing(0, 3)), facts()),
        (facts(unjudged=True), facts()),
        (facts(sharing=True), facts()),
    ),
    *cases("in_doubt", Code.IN_DOUBT, (facts(key_in_doubt=True), facts())),
]


def scoped_cases() -> list[Any]:
    """Checks that read only the scope's own counts and P&L, for both scopes."""
    rows: list[tuple[str, Code, dict[str, Any], dict[str, Any], dict[str, Any]]] = [
        (
            "orders_per_second",
            Code.RATE_LIMIT,
            {"max_orders_per_second": 2},
            {"counts": OrderCounts(last_second=2)},
            {"counts": OrderCounts(last_second=1)},
        ),
        (
            "orders_per_minute",
            Code.RATE_LIMIT,
            {"max_orders_per_minute": 2},
            {"counts": OrderCounts(last_minute=2)},
            {"counts": OrderCounts(last_minute=1)},
        ),
        (
            "orders_per_day",
            Code.RATE_LIMIT,
            {"max_orders_per_day": 2},
            {"counts": OrderCounts(today=2)},
            {"counts": OrderCounts(today=1)},
        ),
        (
            "daily_loss",
            Code.DAILY_LOSS,
            {"max_daily_loss": D(50)},
            {"pnl": PnlReading(day_pnl=D(-50))},
            {"pnl": PnlReading(day_pnl=D("-49.99"))},
        ),
        (
            "drawdown",
            Code.DRAWDOWN,
            {"max_drawdown": D(50)},
            {"pnl": PnlReading(drawdown=D(50))},
            {"pnl": PnlReading(drawdown=D("49.99"))},
        ),
    ]
    made = []
    for name, code, limits, bad, good in rows:
        strict = AccountLimits(**limits)
        made += cases(
            f"account.{name}",
            code,
            (facts(account=strict, account_facts=bad), facts(account=strict, account_facts=good)),
        )
        narrow = StrategyLimits(**limits)
        made += cases(
            f"strategy.{name}",
            code,
            (facts(strategy=narrow, strategy_facts=bad), facts(strategy=narrow, strategy_facts=good)),
        )
    return made


@pytest.mark.parametrize(("check", "code", "bad", "good"), [*PAIRS, *scoped_cases()])
def test_a_check_refuses_with_its_code_and_passes_what_is_right(
    check: str, code: Code, bad: RiskFacts, good: RiskFacts
) -> None:
    refused, passed = decide(bad), decide(good)
    failed = [(item.check, item.code) for item in refused.checks if not item.passed and item.code]
    assert (check, code) in failed
    assert not refused.validated
    assert refused.code is failed[0][1]
    assert refused.signal_class is SignalClass.INCREASING
    again = result(passed, check)
    assert again is None or again.passed
    assert passed.validated, passed.message


def test_every_check_was_refused_by_some_pair() -> None:
    shown = {param.values[0] for param in [*PAIRS, *scoped_cases()]}
    same_function = {"strategy.price_collar", "strategy.max_open_order_value"}
    assert {check.name for check in CHECKS} - shown == same_function


def test_the_strategys_own_collar_and_open_value_bind_too() -> None:
    ruling = decide(mine(signal(limit_price=102), price_collar_bps=D(100), max_open_order_value=D(1)))
    for name in ("strategy.price_collar", "strategy.max_open_order_value"):
        found = result(ruling, name)
        assert found is not None
        assert not found.passed


def test_a_failed_check_says_its_numbers() -> None:
    found = result(decide(lim(max_order_value=D("999.50"))), "account.max_order_value")
    assert found is not None
    assert (found.value, found.limit) == ("1000", "999.5")
    assert "value 1000 exceeds 999.5" in found.message


def test_a_halt_says_which_scope_and_why() -> None:
    ruling = decide(facts(controls=(*ALL_ACTIVE[:2], reading("platform", A, latches=(latch("platform"),)))))
    assert ruling.message == "platform is Halted, latched by l1 (why)"
    assert (
        "key expired"
        in decide(facts(controls=(*ALL_ACTIVE[:2], reading("platform", A, expired=True)))).message
    )
    assert "no control key" in decide(facts(controls=controls(A, A, None))).message


def test_a_runaway_latches_the_strategy_even_if_another_check_failed_first() -> None:
    ruling = decide(
        facts(strategy=StrategyLimits(runaway=Runaway(signals=2, seconds=1)), repeats=1, session=CLOSED)
    )
    assert ruling.code is Code.SESSION_CLOSED
    assert [(item.scope, item.state, item.code) for item in ruling.latches] == [
        ("strategy/m", H, Code.RUNAWAY_LOOP)
    ]


def test_the_strategys_own_runaway_limit_counts_before_the_accounts() -> None:
    own, other = Runaway(signals=2, seconds=1), Runaway(signals=9, seconds=1)
    assert runaway_of(StrategyLimits(runaway=own), AccountLimits(runaway=other)) is own
    assert runaway_of(StrategyLimits(), AccountLimits(runaway=other)) is other
    assert runaway_of(StrategyLimits(), AccountLimits()) is None


def test_like_signals_are_those_of_one_strategy_instrument_and_side() -> None:
    assert runaway_key(signal(quantity=1)) == runaway_key(signal(quantity=2, signal_id="other"))
    assert runaway_key(signal()) != runaway_key(signal(side=SELL))
    assert runaway_key(signal()) != runaway_key(signal(instrument_token=OTHER))
    assert runaway_key(signal()) != runaway_key(signal(strategy_id="n"))


def test_a_limit_that_is_not_set_is_not_listed() -> None:
    names = [item.check for item in decide(facts()).checks]
    assert not [name for name in names if "max_" in name]
    assert "funds" in names


@pytest.mark.parametrize(
    ("theirs", "quantity", "open_sells", "passes"),
    [
        (10, 10, 0, True),
        (4, 4, 0, True),
        (4, 5, 0, False),  # what the broker has not would be a short
        (4, 4, 1, False),
        (0, 1, 0, False),
        (-3, 1, 0, False),
        (12, 10, 0, True),
    ],
)
def test_where_book_and_broker_differ_only_what_both_hold_is_closed(
    theirs: int, quantity: int, open_sells: int, *, passes: bool
) -> None:
    opens = (open_order(SELL, open_sells, strategy_id="another"),) if open_sells else ()
    given = facts(
        signal(side=SELL, quantity=quantity),
        own=positions(position(10)),
        held=positions(position(20)),
        open_orders=opens,
        difference=differing(20, theirs),
    )
    ruling = decide(given)
    assert ruling.signal_class is SignalClass.REDUCING
    assert (ruling.code is None) is passes
    assert ruling.code in (None, Code.NOT_RECONCILED)


def test_what_shrinks_goes_on_an_old_comparison_but_on_none_at_all_nothing_goes() -> None:
    held, order = positions(position(10)), signal(side=SELL, quantity=10)
    assert decide(facts(order, own=held, reconciled_lately=False, unjudged=True)).validated
    assert decide(facts(order, own=held, account_reconciled=False)).code is Code.NOT_RECONCILED
    assert decide(facts(order, own=held, sharing=True)).code is Code.NOT_RECONCILED


def test_before_the_account_was_compared_nothing_is_said_of_its_cash() -> None:
    ruling = decide(facts(account_reconciled=False, reconcile_problem="not yet", cash=D(0)))
    assert (ruling.code, ruling.message) == (Code.NOT_RECONCILED, "not yet")
    assert result(ruling, "funds") is None
