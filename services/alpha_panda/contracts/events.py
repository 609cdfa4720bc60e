"""Wire records: the envelope, the tick batch and one payload struct for each event type.

Units: times are UTC nanoseconds as int, money and quantities are Decimal (strings on the wire), a tick's price
is a float64. Unknown fields are ignored on decoding, so that an older reader follows a newer writer.
"""

from decimal import Decimal
from typing import Annotated, Final

import msgspec

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import (
    EventType,
    FeedMode,
    OrderStatus,
    OrderType,
    Side,
    SignalClass,
    TradingState,
    Validity,
)

VERSION: Final = 1
"""Version written into every envelope; a reader sends a greater one to the dead letter queue."""

ZERO: Final = Decimal(0)

MAX_SIGNAL_BYTES: Final = 16 * 1024
"""Of a whole TRADING_SIGNAL or CANCEL_REQUEST: risk repeats what is in it, in a decision that must fit a record."""

MAX_REASON: Final = 2_000
"""Characters of a signal's or cancel request's `reason`."""

MAX_NAME: Final = 256
"""Characters of each of its ids and names."""

MAX_STATE_ENTRIES: Final = 20
MAX_STATE_TEXT: Final = 100
MAX_STATE_BYTES: Final = 2_048
"""Of a signal's `state`: entries, characters of each name and value, and bytes of all as JSON. Whoever writes keeps them."""

Int64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
"""What every encoding holds: a greater one can be read from JSON, but not be written or stored again."""


class Tick(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One trade, quote or bar of one instrument. Field order is the wire format: append only.

    `seq` counts up per token within one `feed_epoch`. A bar is a tick at the bar's end whose `last_price` is the
    close and whose open, high and low are set.
    """

    token: int
    last_price: float
    ts: int
    seq: int
    volume: float = 0.0
    bid: float | None = None
    ask: float | None = None
    open: float | None = None
    high: float | None = None
    low: float | None = None
    source_ts: int | None = None


class TickBatch(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Ticks of one partition in feed order. Without ticks it is a heartbeat: the source is proven alive at `ts`."""

    feed: str
    mode: FeedMode
    feed_epoch: int
    ts: int
    ticks: list[Tick]
    version: int = VERSION


class Signal(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag=EventType.TRADING_SIGNAL.value,
):
    """What a strategy wants (TRADING_SIGNAL). `price` is the last price it saw; `expires_at` ends its use.

    `tick_ts`: time of the causing tick (0: something else caused it). `state`: what the strategy says of itself at that
    moment, for `alpha-panda explain`; nothing is decided by it.

    Risk takes at most `MAX_REASON` characters of `reason` and `MAX_NAME` of each id and name.
    """

    signal_id: str
    strategy_id: str
    strategy_uid: str
    instrument_token: Int64
    symbol: str
    side: Side
    order_type: OrderType
    quantity: Decimal
    validity: Validity
    expires_at: Int64
    limit_price: Decimal | None = None
    trigger_price: Decimal | None = None
    price: Decimal | None = None
    reason: str = ""
    closing: bool = False
    tick_ts: Int64 = 0
    state: dict[str, str] = {}

    def __hash__(self) -> int:
        return hash(self.signal_id)  # `state` has no hash; equal signals have equal ids

    @property
    def key(self) -> str:
        """Record key and in-doubt key: `strategy_id:instrument_token`."""
        return order_key(self.strategy_id, self.instrument_token)


class CancelRequest(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="type",
    tag=EventType.CANCEL_REQUEST.value,
):
    """A strategy's wish to cancel the order that signal `order_signal_id` made; `signal_id` is its own id.

    Its texts are bounded as a signal's.
    """

    signal_id: str
    strategy_id: str
    strategy_uid: str
    instrument_token: Int64
    symbol: str
    order_signal_id: str
    reason: str = ""

    @property
    def key(self) -> str:
        """Record key: that of the order, so that both travel in order."""
        return order_key(self.strategy_id, self.instrument_token)


class CheckResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """Outcome of one risk check: `limit` and `value` are the numbers it compared, as text."""

    check: str
    passed: bool
    code: Code | None = None
    message: str = ""
    value: str = ""
    limit: str = ""


class ValidatedSignal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """VALIDATED_SIGNAL: what BEGIN compares with the stored decision."""

    original_signal: Signal | CancelRequest
    signal_class: SignalClass
    payload_hash: str
    risk_epoch: str
    journal_epoch: str
    decided_at: int
    checks: list[CheckResult] = []


class RejectedSignal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """REJECTED_SIGNAL: terminal. `code` is that of the first failed check."""

    original_signal: Signal | CancelRequest
    code: Code
    message: str
    decided_at: int
    checks: list[CheckResult] = []


class OrderUpdate(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """ORDER_PLACED, _FILLED, _FAILED, _CANCELLED, _UPDATED.

    `filled_quantity`, `price` (average, perhaps rounded: for display), `amount` (exact money traded, before fees;
    None, as from a broker that tells averages only: price times quantity) and `fees` are cumulative; `rank` is the
    status' stage. A fold takes the greatest filled quantity and, separately, the greatest rank. `correction` marks
    an event that may lower them: only the order-tracker makes one. `revision` counts the entry's changes in the
    journal; `begun_at` (UTC ns, 0 not told) is when its first was written: just before the broker was called.
    `share_of`: the id of the `external` order whose fills these are, as far as they closed what this strategy held: the
    account has traded once, and the strategy's own book, not the account's, changes by it.
    """

    signal_id: str
    order_id: str
    strategy_id: str
    instrument_token: Int64
    symbol: str
    side: Side
    order_type: OrderType
    quantity: Decimal
    validity: Validity
    status: OrderStatus
    rank: Int64
    limit_price: Decimal | None = None
    trigger_price: Decimal | None = None
    price: Decimal | None = None
    filled_quantity: Decimal = ZERO
    amount: Decimal | None = None
    fees: Decimal = ZERO
    signal_class: SignalClass = SignalClass.INCREASING
    revision: Int64 = 0
    correction: bool = False
    external: bool = False
    broker_order_id: str = ""
    quote_price: Decimal | None = None
    quote_ts: Int64 | None = None
    code: Code | None = None
    message: str = ""
    begun_at: Int64 = 0
    share_of: str = ""


class PositionView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A position in a snapshot: signed quantity, average entry price, money amounts before fees."""

    instrument_token: int
    symbol: str
    quantity: Decimal
    average_price: Decimal
    last_price: Decimal | None = None
    realized_pnl: Decimal = ZERO
    unrealized_pnl: Decimal = ZERO


class StrategyBookView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A strategy's virtual book inside an account's snapshot."""

    realized_pnl: Decimal = ZERO
    unrealized_pnl: Decimal = ZERO
    fees: Decimal = ZERO
    positions: dict[str, PositionView] = {}


PRICES_MOVED: Final = "prices"
"""What `PortfolioSnapshot.reason` begins with where no order, but the prices have changed the book."""


class PortfolioSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """PORTFOLIO_SNAPSHOT: an account's book. `equity` = cash + positions at last price; P&L is before fees."""

    opening_cash: Decimal
    cash: Decimal
    equity: Decimal
    realized_pnl: Decimal
    unrealized_pnl: Decimal
    fees: Decimal
    gross_exposure: Decimal
    net_exposure: Decimal
    positions: dict[str, PositionView]
    strategies: dict[str, StrategyBookView]
    open_orders: int
    trading_state: TradingState
    reason: str = ""


class ControlChanged(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """CONTROL_CHANGED on `{account}.control`, or the installation's: a latch was set or cleared on a scope.

    `set_at` (UTC ns), of a latch that was cleared: when it had been set. One of the same id that is set later stands.
    """

    scope: str
    latch_id: str
    state: TradingState
    action: str
    reason: str = ""
    set_by: str = ""
    set_at: int = 0


class BookDifference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One instrument of RECONCILED: what the account's book holds, and what its broker says; signed, net."""

    instrument_token: Int64
    symbol: str
    ours: Decimal
    theirs: Decimal


class Reconciled(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """RECONCILED on `{account}.control`: the order-tracker has compared the account with its broker, or found it can't.

    `differences`: those that have stood at two readings; none and `reconciled`: book and broker agree. `opened`: what
    the book begins with, told once (`ours` is zero). `cash`: the broker's, at that moment. `reason` in words.
    """

    user: str
    trading_day: str
    reconciled: bool
    differences: list[BookDifference] = []
    opened: list[BookDifference] = []
    cash: Decimal | None = None
    reason: str = ""


Payload = (
    Signal
    | CancelRequest
    | ValidatedSignal
    | RejectedSignal
    | OrderUpdate
    | PortfolioSnapshot
    | ControlChanged
    | Reconciled
)
"""Every `data` of a JSON envelope."""


class Envelope(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What every JSON record wears. `id` is deterministic where the event may be re-emitted, so repeats fold.

    `correlation_id` is the causing tick's chain (the signal id, for all that follows from a signal);
    `causation_id` is the id of the record that caused this one (`topic/partition/offset#token:seq` for a tick).
    """

    id: str
    type: EventType
    version: int
    ts: int
    source: str
    account: str
    key: str
    correlation_id: str
    causation_id: str
    data: Payload


class RawEnvelope(msgspec.Struct, frozen=True, kw_only=True):
    """An envelope whose `data` is not decoded yet: the type and version are looked at first."""

    id: str
    type: str
    version: Int64
    ts: Int64
    source: str
    account: str
    key: str
    correlation_id: str
    causation_id: str
    data: msgspec.Raw


PAYLOADS: Final[dict[EventType, type]] = {
    EventType.TRADING_SIGNAL: Signal,
    EventType.CANCEL_REQUEST: CancelRequest,
    EventType.VALIDATED_SIGNAL: ValidatedSignal,
    EventType.REJECTED_SIGNAL: RejectedSignal,
    EventType.ORDER_PLACED: OrderUpdate,
    EventType.ORDER_FILLED: OrderUpdate,
    EventType.ORDER_FAILED: OrderUpdate,
    EventType.ORDER_CANCELLED: OrderUpdate,
    EventType.ORDER_UPDATED: OrderUpdate,
    EventType.PORTFOLIO_SNAPSHOT: PortfolioSnapshot,
    EventType.CONTROL_CHANGED: ControlChanged,
    EventType.RECONCILED: Reconciled,
}
"""Which struct `data` is, by event type (MARKET_TICKS has no envelope: see TickBatch)."""


def order_key(strategy_id: str, instrument_token: int) -> str:
    """Return the record key of signals and orders: `strategy_id:instrument_token`."""
    return f"{strategy_id}:{instrument_token}"
