"""A story's parts: plain values, in the order in which things happen. Times are UTC ns, spans ns, money Decimal."""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import SignalClass
from alpha_panda.contracts.events import CheckResult


class Ending(StrEnum):
    """What came of the order, as far as is known."""

    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"
    LOST = "LOST"
    REJECTED = "REJECTED"
    RESTING = "RESTING"
    IN_DOUBT = "IN DOUBT"
    VALIDATED = "VALIDATED, NOT SENT"
    UNTOLD = "VALIDATED, OUTCOME NOT KNOWN"
    UNDECIDED = "UNDECIDED"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What was wanted."""

    signal_id: str
    order_id: str
    account: str
    strategy: str
    symbol: str
    instrument_token: int
    side: str
    order_type: str
    quantity: Decimal
    validity: str
    limit_price: Decimal | None
    trigger_price: Decimal | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TickPart:
    """The causing tick. `age`: how old it was when the signal was made; `price` and `feed` None: the tick is not kept."""

    record: str
    ts: int | None
    price: float | None = None
    bid: float | None = None
    ask: float | None = None
    feed: str = ""
    mode: str = ""
    seq: int | None = None
    age: int | None = None
    source_ts: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalPart:
    """What the strategy said. `state`: its own words on itself at that moment; `cause`: what it was, if no tick."""

    ts: int | None
    reason: str
    price: Decimal | None
    expires_at: int
    closing: bool
    state: dict[str, str]
    cause: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionPart:
    """What risk said."""

    ts: int
    passed: bool
    signal_class: SignalClass | None
    code: Code | None
    message: str
    checks: tuple[CheckResult, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PricePart:
    """The price that the engine read just before it began to send. `age`: at that moment."""

    price: Decimal
    ts: int
    age: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of the order, or a request on it. `after`: since the step before (None: the first)."""

    ts: int
    what: str
    by: str
    after: int | None = None
    code: Code | None = None
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FillPart:
    """All that has filled."""

    quantity: Decimal
    price: Decimal
    amount: Decimal
    fees: Decimal
    slippage: Decimal | None
    """Against the engine's price, per unit; above zero is worse than that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """A book at one moment."""

    ts: int
    cash: Decimal
    position: Decimal
    realized_pnl: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class BookPart:
    """What the order did to the account's book. The changes are the order's own; the holdings are the account's.

    `alone`: nothing but this order has changed the cash between them.
    """

    position_change: Decimal
    cash_change: Decimal
    before: Holding | None
    after: Holding | None
    alone: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """Why it did not trade, or not in full: the code, what it was here, what it means, what to do."""

    code: Code
    message: str
    meaning: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Hop:
    """How long one part of the way took."""

    name: str
    span: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """The whole story; parts that nothing was found of are None or empty. `missing` says which, and why."""

    order: Order
    ending: Ending
    tick: TickPart | None
    signal: SignalPart | None
    decision: DecisionPart | None
    price: PricePart | None
    steps: tuple[Step, ...]
    fill: FillPart | None
    book: BookPart | None
    why: Why | None
    hops: tuple[Hop, ...]
    notes: tuple[str, ...]
    missing: tuple[str, ...]
