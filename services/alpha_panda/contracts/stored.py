"""What the stores keep: quotes, decisions, journal entries, checkpoints, latches. Values only.

Each is written by exactly one owner; `ports` says by which operation and what guards it.
"""

from decimal import Decimal
from typing import Final

import msgspec

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import (
    EntryState,
    FeedMode,
    OrderStatus,
    SignalClass,
    StatusRank,
    TradingState,
    Verdict,
)
from alpha_panda.contracts.events import ZERO, CancelRequest, CheckResult, Envelope, OrderUpdate, Signal
from alpha_panda.contracts.instruments import Instrument

NO_EPOCH: Final = ""
"""A journal epoch that is never valid."""


class Quote(msgspec.Struct, frozen=True, gc=False):
    """Value of a price key: the last tick of an instrument. `ts` in UTC ns; `bid` and `ask` if the tick had them."""

    last_price: float
    ts: int
    feed: str
    mode: FeedMode
    feed_epoch: int
    seq: int
    bid: float | None = None
    ask: float | None = None


class PriceRange(msgspec.Struct, frozen=True, gc=False):
    """What a watched token's price did within one batch; `cursor` orders the ranges of a token.

    `first_seq` … `last_seq` are the ticks it covers, so that a gap is noticed; `first_ts` … `ts` their times. With
    `bars` they all are bars, which hold what came before their time stamp.
    """

    cursor: int
    token: int
    low: float
    high: float
    last: float
    ts: int
    first_seq: int
    last_seq: int
    mode: FeedMode
    first_ts: int = 0
    bars: bool = False


class PriceReading(msgspec.Struct, frozen=True):
    """What the engine reads at once: the quote, if any, and the feed's last proof of life (UTC ns).

    The proof is the one that came with the ticks of the token's own partition.
    """

    quote: Quote | None
    heartbeat_ts: int | None


class OrderFold(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the events of one order amount to: cumulative quantity, amount and fees, and the greatest rank.

    `amount` is the exact money traded, before fees; `average_price` is that by the quantity, perhaps rounded, for
    display. `statuses` is the set of all statuses told, so that LOST together with a fill is noticed. `unplaced`: a
    FAILED was told of an order that had no broker's id: not the broker's own later refusal.
    """

    filled_quantity: Decimal = ZERO
    average_price: Decimal = ZERO
    amount: Decimal = ZERO
    fees: Decimal = ZERO
    rank: int = 0
    statuses: tuple[OrderStatus, ...] = ()
    correction_revision: int = -1
    unplaced: bool = False

    @property
    def terminal(self) -> bool:
        """Whether the order has ended."""
        return self.rank >= StatusRank.TERMINAL


class Decision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Risk's word on one signal id, stored before it is produced and never changed.

    `closing` decisions are risk's own (Flatten): their signal exists nowhere else. `reference_price` is what an
    order was valued at: until it ends, limits count its open quantity at this price.
    """

    signal: Signal | CancelRequest
    verdict: Verdict
    signal_class: SignalClass
    payload_hash: str
    risk_epoch: str
    journal_epoch: str
    decided_at: int
    correlation_id: str
    causation_id: str
    code: Code | None = None
    message: str = ""
    checks: list[CheckResult] = []
    closing: bool = False
    reference_price: Decimal | None = None

    @property
    def signal_id(self) -> str:
        """Id of the decided signal or cancel request."""
        return self.signal.signal_id


class RiskSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Risk's place in its input (`topic/partition` → next offset) and its book, encoded by risk itself."""

    offsets: dict[str, int]
    state: bytes


class RiskClaim(msgspec.Struct, frozen=True, kw_only=True):
    """What a risk process gets when it claims the account: its epoch and everything stored, in one step."""

    epoch: str
    decisions: dict[str, Decision]
    snapshot: RiskSnapshot | None
    folds: dict[str, OrderFold]


class JournalEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One order in the journal. `revision` counts its changes; `send_by` (UTC ns) ends GO's permission.

    `amount` is the exact money traded, before fees (None: average price times quantity). `created_at` and
    `updated_at` are the store's times of the first and the last change.
    """

    signal: Signal
    state: EntryState
    signal_class: SignalClass
    tag: str
    revision: int
    send_by: int
    updated_at: int
    correlation_id: str
    causation_id: str
    attempt: str = ""
    broker_order_id: str = ""
    filled_quantity: Decimal = ZERO
    average_price: Decimal = ZERO
    amount: Decimal | None = None
    fees: Decimal = ZERO
    triggered: bool = False
    late: bool = False
    quote_price: Decimal | None = None
    quote_ts: int | None = None
    code: Code | None = None
    message: str = ""
    created_at: int = 0

    @property
    def signal_id(self) -> str:
        """Id of the signal that caused the order; key of the journal."""
        return self.signal.signal_id

    @property
    def open_quantity(self) -> Decimal:
        """What may still fill."""
        return self.signal.quantity - self.filled_quantity


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a broker call, a match or a cancel came to; quantities, price, amount and fees are cumulative.

    `amount` is the exact money traded, before fees. Whoever knows an average price only leaves it None: books then
    take average price times quantity.
    """

    state: EntryState
    filled_quantity: Decimal = ZERO
    average_price: Decimal = ZERO
    amount: Decimal | None = None
    fees: Decimal = ZERO
    broker_order_id: str = ""
    triggered: bool = False
    code: Code | None = None
    message: str = ""


class BeginVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """Reply of BEGIN. `go`: this caller, and only this one, may call the broker once.

    Not `go` and `fresh`: refused now, `entry` is the stored refusal. Not `go`, not `fresh`: DUP, do nothing.
    """

    go: bool
    fresh: bool
    entry: JournalEntry


class Latch(msgspec.Struct, frozen=True, kw_only=True):
    """A halt that no manifest releases; cleared by a person who names its id."""

    latch_id: str
    scope: str
    state: TradingState
    reason: str
    set_by: str
    set_at: int


class TeardownRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A strategy (`scope`, resource `uid`) is being deleted: `policy` as in its manifest. `requested_at` in UTC ns."""

    scope: str
    uid: str
    policy: str
    requested_at: int


class ClearRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A manifest names a latch to be cleared, since `asked_at` (UTC ns). `outcome`: see CLEARED and IGNORED, "" pending.

    What is done stays done while the id is in the manifest: the same manifest again clears nothing.
    """

    scope: str
    latch_id: str
    asked_at: int
    outcome: str = ""

    def clears(self, latch: Latch) -> bool:
        """Whether the request is about this very latch: one that was set later is another, even under this id."""
        return (latch.scope, latch.latch_id) == (self.scope, self.latch_id) and latch.set_at <= self.asked_at


CLEARED: Final = "cleared"
"""Outcome of a request whose latch stood."""
IGNORED: Final = "ignored"
"""Outcome of a request whose latch did not stand, or was set after it was asked for."""


class ControlReading(msgspec.Struct, frozen=True, kw_only=True):
    """Trading state of one scope: what its manifest asks for (None: never written), latches, and what binds.

    `expired`: the spec key was there and ran out (new orders halt, resting ones stay).
    """

    scope: str
    spec: TradingState | None
    expired: bool
    latches: tuple[Latch, ...]

    @property
    def state(self) -> TradingState:
        """The state that binds: missing or expired is Halted, latches tighten."""
        spec = TradingState.HALTED if self.spec is None or self.expired else self.spec
        return TradingState.strictest(spec, *(latch.state for latch in self.latches))

    @property
    def deliberate_state(self) -> TradingState:
        """The state that a manifest or a latch asks for, Active if none does: what resting orders must obey.

        A key that is missing or merely expired halts new orders (`state`) but asks for nothing.
        """
        spec = TradingState.ACTIVE if self.spec is None or self.expired else self.spec
        return TradingState.strictest(spec, *(latch.state for latch in self.latches))


class PendingEvent(msgspec.Struct, frozen=True):
    """An event that is stored but not yet acknowledged by the bus."""

    topic: str
    event: Envelope


class TopicOffset(msgspec.Struct, frozen=True):
    """Next offset to read, and the identity of the topic it belongs to: a re-created topic is a gap."""

    topic_id: str
    offset: int


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A strategy's memory on one account. `state` is the strategy's own snapshot, encoded by the runner."""

    lineage: str
    store_run_id: str
    strategy_uid: str
    counter: int
    state: bytes
    offsets: dict[str, TopicOffset]
    sequences: dict[int, tuple[int, int]]
    pending: list[PendingEvent]


class CheckpointClaim(msgspec.Struct, frozen=True, kw_only=True):
    """What a runner gets when it claims a strategy: a fresh incarnation and the last checkpoint, in one step."""

    incarnation: str
    store_run_id: str
    checkpoint: Checkpoint | None
    folds: dict[str, OrderFold]


class BrokerRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One order as the broker's book shows it.

    `amount` is the exact money traded, before fees, where the broker tells its trades (None: average price times
    quantity). `symbol`, `product`, `placed_by` and `placed_at` (UTC ns) as far as the broker says them.
    """

    broker_order_id: str
    tag: str
    instrument_token: int
    side: str
    quantity: Decimal
    status: OrderStatus
    filled_quantity: Decimal = ZERO
    average_price: Decimal = ZERO
    fees: Decimal = ZERO
    message: str = ""
    amount: Decimal | None = None
    symbol: str = ""
    product: str = ""
    placed_by: str = ""
    placed_at: int = 0


class BookReading(msgspec.Struct, frozen=True, kw_only=True):
    """A read of the broker's order book. `complete`: it answered in full, for `user` on `trading_day`."""

    complete: bool
    begun_at: int
    user: str
    trading_day: str
    rows: tuple[BrokerRow, ...] = ()


class BrokerPosition(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the broker says is held of one instrument under one product; `quantity` is signed, short is negative.

    `realised` is the money won or lost by what was closed today, before fees; prices are per unit.
    """

    instrument_token: int
    symbol: str
    product: str
    quantity: Decimal
    average_price: Decimal = ZERO
    last_price: Decimal = ZERO
    overnight_quantity: Decimal = ZERO
    realised: Decimal = ZERO


class PortfolioReading(msgspec.Struct, frozen=True, kw_only=True):
    """A read of what the account holds at its broker. `complete`: everything was answered, for `user`.

    `holdings` are shares owned since before today, which no position shows; `cash` is what the broker lets the account
    trade with now.
    """

    complete: bool
    begun_at: int
    user: str
    trading_day: str
    positions: tuple[BrokerPosition, ...] = ()
    holdings: tuple[BrokerPosition, ...] = ()
    cash: Decimal | None = None


class InstrumentDifference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the account's book says is held of an instrument, and what its broker says: signed net quantities.

    `price`: what one unit is booked at if a person adopts the difference. `since` (UTC ns): when these very quantities
    were first seen, which is part of the id: another difference has another one. `confirmed`: seen at two readings.
    """

    difference_id: str
    instrument_token: int
    symbol: str
    ours: Decimal
    theirs: Decimal
    price: Decimal
    since: int
    confirmed: bool = False

    @property
    def quantity(self) -> Decimal:
        """What the book lacks, signed."""
        return self.theirs - self.ours


class OpeningPosition(msgspec.Struct, frozen=True, kw_only=True):
    """A position that the account's book begins with; `quantity` is signed, prices per unit.

    `price`: what it is booked at, the broker's average. `last_price`: what it is worth then; what it has made or lost
    before is no day's P&L of ours.
    """

    instrument_token: int
    symbol: str
    quantity: Decimal
    price: Decimal
    last_price: Decimal


class BrokerFacts(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the order-tracker has learnt of a live account at its broker: what risk may rely on.

    `reconciled`: orders, positions and money were compared in full on `trading_day` under `journal_epoch`, at
    `compared_at` the last time (UTC ns; the moment that the broker's positions are of). `problem`: why not, in words.
    `unjudged`: tokens that were never quiet enough to be compared since.

    `cash`: what the broker lets the account trade with, as of `cash_at`. `opened_at` (0: not yet) with `opening_cash`
    and `opening`: what the book began with; it is set once and stays.

    `token_valid_until`: past, or 0, if there is no valid access token; None where the broker wants none.
    """

    journal_epoch: str = NO_EPOCH
    user: str = ""
    trading_day: str = ""
    reconciled: bool = False
    compared_at: int = 0
    problem: str = ""
    differences: tuple[InstrumentDifference, ...] = ()
    unjudged: tuple[int, ...] = ()
    cash: Decimal | None = None
    cash_at: int = 0
    opened_at: int = 0
    opening_cash: Decimal = ZERO
    opening: tuple[OpeningPosition, ...] = ()
    token_valid_until: int | None = None
    token_problem: str = ""


class AdoptionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A person says that a difference is to be booked as it is. `asked_at` in UTC ns."""

    difference_id: str
    by: str
    reason: str
    asked_at: int


class PaceWindow(msgspec.Struct, frozen=True):
    """At most `limit` calls in each `seconds` of the store's clock; windows begin at multiples of it, moved by `offset`.

    `rolling`: in any `seconds` instead, wherever they begin.
    """

    name: str
    seconds: int
    limit: int
    offset: int = 0
    rolling: bool = False


class InstrumentList(msgspec.Struct, frozen=True, kw_only=True):
    """What a feed's symbols stand for, by its broker's list of `day` (a date, in the venue's time).

    `version` tells one content from another: of the same day, too, where the manifest has changed. `faults`: the
    symbols that can't be used, each with why and what is nearest.
    """

    feed: str
    day: str
    version: str
    instruments: tuple[Instrument, ...]
    faults: dict[str, str] = {}


class ServiceStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What `get_status` answers, the same for every service. Times in UTC ns.

    `instance` names the replica: several engines serve one account, and each reports for itself.
    """

    service: str
    resource: str
    instance: str
    state: str
    processed: int
    errors: int
    dead_lettered: int
    last_event_ts: int | None
    started_at: int
    details: dict[str, str | int | float | bool | None] = {}


def order_id_of(update: OrderUpdate) -> str:
    """Return the fold key of an order event: our signal id, or the broker's id for an external trade."""
    return update.signal_id or f"external:{update.broker_order_id}"
