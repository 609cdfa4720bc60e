"""What the gate is told: all it needs to judge one signal, as of one moment, and nothing it has to fetch."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Generic, TypeVar

from alpha_panda.contracts.enums import OrderType, Side, SignalClass, Validity
from alpha_panda.contracts.events import ZERO, CancelRequest, Signal
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.contracts.stored import ControlReading, InstrumentDifference, PriceReading
from alpha_panda.domain.book import Position, Prices
from alpha_panda.domain.exact import times
from alpha_panda.domain.risk.limits import AccountLimits, Limits, Runaway, StrategyLimits
from alpha_panda.domain.risk.shorts import Shorts
from alpha_panda.domain.sessions import SessionStatus

L = TypeVar("L", bound=Limits)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOrder:
    """A validated order that has not ended, as far as the fold knows: being sent and in doubt included.

    `open_quantity` is the decision's quantity less what is folded; `reference_price` is what the gate valued it
    at (`Ruling.reference_price`). An order of open quantity 0 is as good as none.
    """

    signal_id: str
    strategy_id: str
    instrument_token: int
    side: Side
    open_quantity: Decimal
    reference_price: Decimal
    signal_class: SignalClass

    @property
    def value(self) -> Decimal:
        """What may still be traded, in money."""
        return times(self.open_quantity, self.reference_price)


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCounts:
    """How many orders of the scope were validated lately, this one not among them."""

    last_second: int = 0
    last_minute: int = 0
    today: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PnlReading:
    """A scope's day: net P&L since it began (negative: a loss), and the fall from its peak (never negative)."""

    day_pnl: Decimal = ZERO
    drawdown: Decimal = ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class ScopeFacts(Generic[L]):
    """One side of the facts: the strategy's own, or the account's whole. `scope` is its name as control scope.

    `positions` are confirmed, from folds alone.
    """

    scope: str
    limits: L
    positions: Mapping[int, Position]
    counts: OrderCounts = field(default_factory=OrderCounts)
    pnl: PnlReading = field(default_factory=PnlReading)


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceRules:
    """What makes a price usable: greatest ages of the feed's heartbeat and of a quote, and clock skew, in ns.

    The instrument's own `stale_after_ns`, if set, replaces the feed's `quote_max_age`; the account's own greatest
    age, if set, binds beside either. `account_is_live`: only a live feed's prices are good enough.
    """

    heartbeat_max_age: int
    quote_max_age: int
    clock_skew: int
    account_quote_max_age: int | None = None
    account_is_live: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class VenueRules:
    """Which orders the account's venue takes."""

    order_types: Collection[OrderType] = tuple(OrderType)
    validities: Collection[Validity] = tuple(Validity)


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskFacts:
    """The facts about a signal.

    `now` and `signal_ts` (the envelope's time) in UTC ns; `trading_day` the venue's, ISO. `instrument`: of the
    signal's token, None if the feed has none. `allowed_symbols`: what the strategy's manifest names. `marks`: last
    prices of other instruments held (one without is valued at its average). `books`: the positions of every
    strategy's own book, for a short of one is not backed by another's long, which may be sold at any time. `shorts`: what `account.positions` and `books` are short at `marks`, where that is at hand.
    `open_orders`: all of the account; `OpenOrders` spare each decision their sums.
    `repeats`: earlier signals like this one (`runaway_key`) within `runaway.seconds`, refused ones too. `controls`:
    readings of strategy, account and platform; one that is missing halts.

    Of a broker that keeps positions: `account_reconciled` with `reconcile_problem` (why not) and `reconciled_lately`;
    on the signal's instrument the `difference` between book and broker, whether it is `unjudged`, and whether an
    external trade is being shared out (`sharing`); `broker_cash`: what the broker lets the account trade with, less
    what was decided since it said so.
    """

    signal: Signal
    signal_ts: int
    now: int
    trading_day: str
    instrument: Instrument | None
    allowed_symbols: Collection[str]
    strategy_accepted: bool
    venue: VenueRules
    price: PriceReading
    price_rules: PriceRules
    session: SessionStatus
    strategy: ScopeFacts[StrategyLimits]
    account: ScopeFacts[AccountLimits]
    cash: Decimal
    marks: Prices
    open_orders: Collection[OpenOrder]
    repeats: int
    controls: tuple[ControlReading, ...]
    account_reconciled: bool
    token_valid: bool
    key_in_doubt: bool
    books: Collection[Mapping[int, Position]] = ()
    shorts: Shorts | None = None
    reconcile_problem: str = ""
    reconciled_lately: bool = True
    difference: InstrumentDifference | None = None
    unjudged: bool = False
    sharing: bool = False
    broker_cash: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelFacts:
    """The facts about a cancel request: the signal of the order it names, if risk has validated one of that id."""

    request: CancelRequest
    order: Signal | None


def runaway_key(signal: Signal) -> tuple[str, int, Side]:
    """Return what makes two signals alike: strategy, instrument and side; price and quantity may move on."""
    return (signal.strategy_id, signal.instrument_token, signal.side)


def runaway_of(strategy: StrategyLimits, account: AccountLimits) -> Runaway | None:
    """Return the limit on like signals that binds a strategy: its own, else the account's."""
    return strategy.runaway or account.runaway
