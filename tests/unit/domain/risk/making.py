"""Facts for tests: one good signal of strategy `m` on an account without limits, and what to change in it."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

import msgspec

from alpha_panda.contracts.enums import FeedMode, OrderType, Side, SignalClass, TradingState, Validity
from alpha_panda.contracts.events import CheckResult, Signal
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.contracts.stored import ControlReading, Latch, PriceReading, Quote
from alpha_panda.domain.book import Position
from alpha_panda.domain.risk.facts import OpenOrder, PriceRules, RiskFacts, ScopeFacts, VenueRules
from alpha_panda.domain.risk.gate import Ruling
from alpha_panda.domain.risk.limits import AccountLimits, StrategyLimits
from alpha_panda.domain.sessions import SessionState, SessionStatus

D = Decimal
SECOND = 1_000_000_000
NOW = 1_700_000_000 * SECOND
TOKEN, OTHER = 7, 8
BUY, SELL = Side.BUY, Side.SELL
OPEN = SessionStatus(SessionState.OPEN, "", None)
INSTRUMENT = Instrument(TOKEN, "X:A", D("0.05"))
SIGNAL = Signal(
    signal_id="s1",
    strategy_id="m",
    strategy_uid="u",
    instrument_token=TOKEN,
    symbol="X:A",
    side=BUY,
    order_type=OrderType.MARKET,
    quantity=D(10),
    validity=Validity.DAY,
    expires_at=NOW + 10 * SECOND,
)


def signal(**changes: Any) -> Signal:
    for name in ("quantity", "limit_price", "trigger_price"):
        if isinstance(changes.get(name), int | str):
            changes[name] = D(changes[name])
    if "order_type" not in changes:
        shape = ("limit_price" in changes, "trigger_price" in changes)
        kinds = {
            (True, False): OrderType.LIMIT,
            (False, True): OrderType.STOP,
            (True, True): OrderType.STOP_LIMIT,
        }
        changes["order_type"] = kinds.get(shape, OrderType.MARKET)
    return msgspec.structs.replace(SIGNAL, **changes)


def quote(price: float = 100.0, age: int = 0, mode: FeedMode = FeedMode.SIMULATED) -> Quote:
    return Quote(last_price=price, ts=NOW - age, feed="demo", mode=mode, feed_epoch=1, seq=1)


def price(last: float = 100.0, age: int = 0, heartbeat_age: int = 0) -> PriceReading:
    return PriceReading(quote(last, age), NOW - heartbeat_age)


def position(quantity: int | str, average: int | str = 100, token: int = TOKEN) -> Position:
    return Position(
        instrument_token=token, symbol=f"X:{token}", quantity=D(quantity), cost=D(quantity) * D(average)
    )


def positions(*held: Position) -> dict[int, Position]:
    return {item.instrument_token: item for item in held}


def open_order(side: Side, quantity: int | str, at: int | str = 100, **changes: Any) -> OpenOrder:
    order = OpenOrder(
        signal_id="o1",
        strategy_id="m",
        instrument_token=TOKEN,
        side=side,
        open_quantity=D(quantity),
        reference_price=D(at),
        signal_class=SignalClass.INCREASING,
    )
    return replace(order, **changes)


def reading(scope: str, state: TradingState | None = TradingState.ACTIVE, **changes: Any) -> ControlReading:
    return ControlReading(**{"scope": scope, "spec": state, "expired": False, "latches": (), **changes})


def latch(scope: str, state: TradingState = TradingState.HALTED) -> Latch:
    return Latch(latch_id="l1", scope=scope, state=state, reason="why", set_by="risk", set_at=0)


def controls(*states: TradingState | None) -> tuple[ControlReading, ...]:
    scopes = ("strategy/m", "account/paper", "platform")
    return tuple(reading(scope, state) for scope, state in zip(scopes, states, strict=True))


ALL_ACTIVE = controls(*[TradingState.ACTIVE] * 3)


def facts(
    given: Signal = SIGNAL,
    strategy: StrategyLimits | None = None,
    account: AccountLimits | None = None,
    *,
    own: Mapping[int, Position] | None = None,
    held: Mapping[int, Position] | None = None,
    strategy_facts: Mapping[str, Any] | None = None,
    account_facts: Mapping[str, Any] | None = None,
    **changes: Any,
) -> RiskFacts:
    """Return facts; `own` are the strategy's positions, `held` the account's (default: the same)."""
    mine = {} if own is None else own
    made = RiskFacts(
        signal=given,
        signal_ts=NOW,
        now=NOW,
        trading_day="2023-11-14",
        instrument=INSTRUMENT,
        allowed_symbols=("X:A",),
        strategy_accepted=True,
        venue=VenueRules(),
        price=price(),
        price_rules=PriceRules(
            heartbeat_max_age=3 * SECOND, quote_max_age=5 * SECOND, clock_skew=SECOND // 5
        ),
        session=OPEN,
        strategy=ScopeFacts(
            scope="strategy/m",
            limits=strategy or StrategyLimits(),
            positions=mine,
            **(strategy_facts or {}),
        ),
        account=ScopeFacts(
            scope="account/paper",
            limits=account or AccountLimits(),
            positions=mine if held is None else held,
            **(account_facts or {}),
        ),
        cash=D(1_000_000),
        marks={},
        open_orders=(),
        repeats=0,
        controls=ALL_ACTIVE,
        account_reconciled=True,
        token_valid=True,
        key_in_doubt=False,
    )
    return replace(made, **changes)


def result(ruling: Ruling, name: str) -> CheckResult | None:
    """Return the outcome of one check, None if it was not run."""
    return next((item for item in ruling.checks if item.check == name), None)
