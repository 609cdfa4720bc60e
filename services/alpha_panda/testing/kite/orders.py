"""One order, with its whole past: what a lagging book shows is what was true then."""

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final

from alpha_panda.contracts.enums import Side
from alpha_panda.contracts.events import ZERO
from alpha_panda.testing.broker.faults import Part

from .instruments import KiteInstrument
from .wire import number, rounded, stamp


class Status(StrEnum):
    """Statuses of an order, in Kite's spelling; clients must bear others too."""

    RECEIVED = "PUT ORDER REQ RECEIVED"
    VALIDATION = "VALIDATION PENDING"
    OPEN_PENDING = "OPEN PENDING"
    OPEN = "OPEN"
    TRIGGER = "TRIGGER PENDING"
    MODIFY_VALIDATION = "MODIFY VALIDATION PENDING"
    MODIFY_PENDING = "MODIFY PENDING"
    MODIFIED = "MODIFIED"
    CANCEL_PENDING = "CANCEL PENDING"
    AMO = "AMO REQ RECEIVED"
    COMPLETE = "COMPLETE"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"


TERMINAL: Final = frozenset({Status.COMPLETE, Status.CANCELLED, Status.REJECTED})
AT_EXCHANGE: Final = frozenset(
    {Status.OPEN, Status.MODIFY_VALIDATION, Status.MODIFY_PENDING, Status.MODIFIED, Status.CANCEL_PENDING}
)
"""Where an order can trade."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What was ordered. Prices in rupees, 0 where there is none; quantities as the exchange counts them (MCX: lots)."""

    instrument: KiteInstrument
    variety: str
    side: Side
    order_type: str
    product: str
    quantity: int
    price: Decimal = ZERO
    trigger_price: Decimal = ZERO
    validity: str = "DAY"
    validity_ttl: int = 0
    disclosed_quantity: int = 0
    market_protection: Decimal = ZERO
    tag: str = ""
    iceberg_legs: int = 0
    iceberg_quantity: int = 0
    auction_number: str = ""
    algo_id: str = ""
    autoslice: bool = False


@dataclass(slots=True)
class KiteOrder:
    """An order that Kite has a row of. `versions`: (UTC ns, row) of each change, oldest first.

    `by_app`: it came by this API key, so postbacks tell of it. `held`: a status that it leaves only after `held_for`
    seconds (None: never). `script`: what fills when, instead of the market. `listed_type`: what the book says instead.
    """

    order_id: str
    terms: Terms
    day: str
    account: str
    placed_by: str
    received_at: int
    by_app: bool = True
    status: Status = Status.RECEIVED
    order_type: str = ""
    price: Decimal = ZERO
    trigger_price: Decimal = ZERO
    quantity: int = 0
    filled: int = 0
    paid: Decimal = ZERO
    cancelled: int = 0
    blocked: Decimal = ZERO
    message: str | None = None
    raw_message: str | None = None
    exchange_id: str | None = None
    exchange_ts: int | None = None
    updated_ts: int | None = None
    parent: str | None = None
    tags: list[str] = field(default_factory=list)
    meta: dict[str, Any] = field(default_factory=dict)
    modifications: int = 0
    triggered: bool = False
    held: str = ""
    held_for: float | None = None
    script: tuple[Part, ...] | None = None
    listed_type: str = ""
    average_places: int = 4
    hide_tag: bool = False
    versions: list[tuple[int, dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        terms = self.terms
        self.order_type, self.price = terms.order_type, terms.price
        self.trigger_price, self.quantity = terms.trigger_price, terms.quantity
        if terms.tag:
            self.tags.append(terms.tag)

    @property
    def open(self) -> bool:
        """Whether it may still fill."""
        return self.status not in TERMINAL

    @property
    def scripted(self) -> bool:
        """Whether a script decides what fills."""
        return self.script is not None

    @property
    def missing(self) -> int:
        """What may still fill."""
        return self.quantity - self.filled

    @property
    def waits_for_trigger(self) -> bool:
        """Whether a stop's price has not been touched yet."""
        return self.terms.order_type in {"SL", "SL-M"} and not self.triggered

    @property
    def row(self) -> dict[str, Any]:
        """The order as the book shows it now."""
        return self.versions[-1][1]

    def as_of(self, ts: int) -> dict[str, Any] | None:
        """Return the order as it was at `ts` (UTC ns), None before it was taken."""
        return next((row for since, row in reversed(self.versions) if since <= ts), None)

    def note(self, now: int) -> None:
        """Keep what it is now as a state of its history."""
        self.versions.append((now, self._row()))

    def price_at(self, last: Decimal) -> Decimal | None:
        """Return the price at which it trades when the last price is this, None if it rests.

        An order that arrives gets the market's price. One that rested trades at its limit: the market came to it.
        """
        sign = self.terms.side.sign
        if self.order_type == "MARKET":
            return last
        return last if (last - self.price) * sign <= 0 else None

    def _row(self) -> dict[str, Any]:
        terms, item = self.terms, self.terms.instrument
        average = rounded(self.paid / self.filled, self.average_places) if self.filled else ZERO
        row: dict[str, Any] = {
            "account_id": self.account,
            "placed_by": self.placed_by,
            "order_id": self.order_id,
            "exchange_order_id": self.exchange_id,
            "parent_order_id": self.parent,
            "status": self.status.value,
            "status_message": self.message,
            "status_message_raw": self.raw_message,
            "order_timestamp": stamp(self.received_at),
            "exchange_update_timestamp": stamp(self.updated_ts),
            "exchange_timestamp": stamp(self.exchange_ts),
            "variety": terms.variety,
            "modified": False,
            "exchange": item.exchange,
            "tradingsymbol": item.tradingsymbol,
            "instrument_token": item.token,
            "order_type": self.listed_type or self.order_type,
            "transaction_type": terms.side.value,
            "validity": terms.validity,
            "validity_ttl": terms.validity_ttl,
            "product": terms.product,
            "quantity": self.quantity,
            "disclosed_quantity": terms.disclosed_quantity,
            "price": 0 if self.listed_type else number(self.price),
            "trigger_price": number(self.trigger_price),
            "average_price": number(average),
            "filled_quantity": self.filled,
            "pending_quantity": self._pending(),
            "cancelled_quantity": self.cancelled,
            "market_protection": 0,
            "meta": dict(self.meta),
            "tag": None if self.hide_tag or not terms.tag else terms.tag,
            "guid": f"{self.order_id}-guid",
        }
        if self.tags:
            row["tags"] = list(self.tags)
        if terms.auction_number:
            row["auction_number"] = terms.auction_number
        return row

    def _pending(self) -> int:
        """Return what the sample rows show: a cancelled order keeps its open rest here, a refused one doesn't."""
        return 0 if self.status is Status.REJECTED else self.missing


HISTORY_FIELDS: Final = (
    "average_price", "cancelled_quantity", "disclosed_quantity", "exchange", "exchange_order_id",
    "exchange_timestamp", "filled_quantity", "instrument_token", "order_id", "order_timestamp", "order_type",
    "parent_order_id", "pending_quantity", "placed_by", "price", "product", "quantity", "status", "status_message",
    "tag", "tradingsymbol", "transaction_type", "trigger_price", "validity", "variety", "modified",
)  # fmt: skip


def history(order: KiteOrder) -> list[dict[str, Any]]:
    """Return the order's states, oldest first. The first names no real token, as the published sample doesn't."""
    rows = [{name: row[name] for name in HISTORY_FIELDS} for _, row in order.versions]
    if rows and rows[0]["status"] == Status.RECEIVED.value:
        rows[0]["instrument_token"] = 1
    return rows
