"""Kite's JSON as structs, and a row of its order book as a `BrokerRow`. Pure.

Numbers are read as Decimal from their text: `109.4` is exactly that. Times are told in India's time without a zone.
Every field may be null or missing: of an order only what names it, its status and its quantities are asked for.
"""

import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Final, TypeVar

import msgspec

from alpha_panda.contracts.enums import OrderStatus, OrderType, Side, Validity
from alpha_panda.contracts.events import ZERO
from alpha_panda.contracts.instruments import Instrument, InstrumentMaster
from alpha_panda.contracts.stored import BrokerRow
from alpha_panda.contracts.units import SECOND_NS

from .session import IST

T = TypeVar("T")

ORDER_TYPES: Final[Mapping[OrderType, str]] = {
    OrderType.MARKET: "MARKET",
    OrderType.LIMIT: "LIMIT",
    OrderType.STOP: "SL-M",
    OrderType.STOP_LIMIT: "SL",
}
VALIDITIES: Final[Mapping[Validity, str]] = {Validity.DAY: "DAY", Validity.IOC: "IOC"}

SIDES: Final[Mapping[str, Side]] = {"BUY": Side.BUY, "SELL": Side.SELL}

COMPLETE: Final = "COMPLETE"
CANCELLED: Final = "CANCELLED"
REJECTED: Final = "REJECTED"
TERMINAL: Final = frozenset({COMPLETE, CANCELLED, REJECTED})
"""Every other status, one that nobody has heard of too, is of an order that may still trade."""

IN_LOTS: Final = frozenset({"MCX"})
"""Exchanges where Kite counts lots. Here quantities are what prices are of: an instrument's `lot_size` converts them."""

LOTS_NOT_KNOWN: Final = frozenset({"CDS", "BCD", "NCO"})
"""Exchanges of which Kite's facts don't say whether it counts lots or units; with a lot size of 1 they are the same."""

LONGEST_MESSAGE: Final = 200
"""Characters of a broker's message that an event carries."""

MOST_DIGITS: Final = 12
"""Digits before and behind the point of any sound number here: others would fill what they are written into."""


class Envelope(msgspec.Struct, frozen=True):
    """What every answer is: `data` of a success, or why not."""

    status: str
    data: msgspec.Raw = msgspec.Raw(b"null")
    message: str | None = None
    error_type: str | None = None


class OrderTaken(msgspec.Struct, frozen=True):
    """The data of a placed or cancelled order."""

    order_id: str


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """An order: of the book, of a push over the socket, of a postback. `account_id` or `user_id` is whose it is."""

    order_id: str
    status: str
    exchange: str
    tradingsymbol: str
    transaction_type: str
    quantity: Decimal
    filled_quantity: Decimal | None = None
    average_price: Decimal | None = None
    instrument_token: int | None = None
    account_id: str | None = None
    user_id: str | None = None
    placed_by: str | None = None
    product: str | None = None
    variety: str | None = None
    status_message: str | None = None
    status_message_raw: str | None = None
    order_timestamp: str | None = None
    tag: str | None = None
    tags: list[str] | None = None

    @property
    def symbol(self) -> str:
        """`EXCHANGE:SYMBOL`."""
        return f"{self.exchange}:{self.tradingsymbol}"

    @property
    def filled(self) -> Decimal:
        """What has filled; no status and no other quantity tells it."""
        return self.filled_quantity or ZERO


class Trade(msgspec.Struct, frozen=True, kw_only=True):
    """A part of an order that has filled."""

    trade_id: str
    order_id: str
    exchange: str
    quantity: Decimal
    average_price: Decimal


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """A net position; flat ones stay in the list for the day. `quantity` is signed."""

    exchange: str
    tradingsymbol: str
    product: str
    quantity: Decimal
    instrument_token: int = 0
    overnight_quantity: Decimal | None = None
    average_price: Decimal | None = None
    last_price: Decimal | None = None
    realised: Decimal | None = None


class Positions(msgspec.Struct, frozen=True):
    """`net`: carried and today's together."""

    net: list[Position] | None = None


class Holding(msgspec.Struct, frozen=True, kw_only=True):
    """Shares owned; `t1_quantity` are bought but not delivered yet, `opening_quantity` was held this morning."""

    exchange: str
    tradingsymbol: str
    quantity: Decimal
    instrument_token: int = 0
    t1_quantity: Decimal | None = None
    opening_quantity: Decimal | None = None
    average_price: Decimal | None = None
    last_price: Decimal | None = None


class Funds(msgspec.Struct, frozen=True):
    """One segment's money; `net` is what may be traded with now."""

    enabled: bool = False
    net: Decimal | None = None


class Margins(msgspec.Struct, frozen=True):
    """Money by segment."""

    equity: Funds | None = None
    commodity: Funds | None = None


class Profile(msgspec.Struct, frozen=True):
    """Whose token it is."""

    user_id: str


def parsed(body: bytes | msgspec.Raw, kind: type[T]) -> T | None:
    """Return the JSON as `kind`, or None if it is none."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


# ------------------------------------------------------------------------------------------------------- quantities


def units_of(instrument: Instrument | None, exchange: str) -> Decimal:
    """Return what one of Kite's quantity is here: the lot size where Kite counts lots, else 1."""
    return instrument.lot_size if instrument is not None and exchange in IN_LOTS else Decimal(1)


def listed(master: InstrumentMaster, symbol: str, token: int | None = None) -> Instrument | None:
    """Return the instrument of a symbol, or else of a token; None where the feed has neither."""
    found = master.by_symbol.get(symbol)
    return found if found is not None or token is None else master.by_token.get(token)


def sound(*numbers: Decimal | None) -> bool:
    """Whether all are numbers that a broker may mean: not NaN, not infinite, not absurdly long."""
    return all(number is None or _sound(number) for number in numbers)


def _sound(number: Decimal) -> bool:
    if not number.is_finite():
        return False
    exponent = number.as_tuple().exponent
    return isinstance(exponent, int) and exponent >= -MOST_DIGITS and abs(number) < Decimal(10) ** MOST_DIGITS


# ------------------------------------------------------------------------------------------------------------- rows


def row_of(order: Order, master: InstrumentMaster, traded: "Traded | None" = None) -> BrokerRow | None:
    """Return an order as a row; None if it can't be one: an unknown side, or numbers that make no sense.

    Nor can an order of ours in lots of an instrument that is not listed (any longer): of unknown size it would be taken
    for another order than the one we know.
    `traded`: what the broker's list of trades says of this order; its amount counts where it tells all that has filled.
    An order whose fills have no price yet has not ended yet, and has filled what its trades tell.
    """
    side = SIDES.get(order.transaction_type)
    if side is None or not order.order_id or not _plausible(order):
        return None
    instrument = listed(master, order.symbol, order.instrument_token)
    if instrument is None and order.exchange in IN_LOTS and _TAG.fullmatch(tag_of(order)):
        return None
    filled, status, amount = _fills(order, traded)
    unit = units_of(instrument, order.exchange)
    average = amount / filled if amount is not None and filled else order.average_price or ZERO
    return BrokerRow(
        broker_order_id=order.order_id,
        tag=tag_of(order),
        instrument_token=instrument.token if instrument is not None else order.instrument_token or 0,
        side=side.value,
        quantity=order.quantity * unit,
        status=status,
        filled_quantity=filled * unit,
        average_price=average if filled else ZERO,
        message=_message(order),
        amount=None if amount is None else amount * unit,
        symbol=order.symbol,
        product=order.product or "",
        placed_by=order.placed_by or "",
        placed_at=timestamp(order.order_timestamp) or 0,
    )


def pushed_row(order: Order, master: InstrumentMaster) -> BrokerRow | None:
    """Return a pushed order as a row; None where the book must be read for it.

    So it is with whatever has filled: a push tells an average price that is rounded, the list of trades the money.
    """
    return None if order.filled else row_of(order, master)


class Traded(msgspec.Struct, frozen=True):
    """The sum of an order's trades, in the broker's own quantity."""

    quantity: Decimal = ZERO
    amount: Decimal = ZERO

    def plus(self, trade: Trade) -> "Traded":
        """Return the sum with one trade more."""
        return Traded(self.quantity + trade.quantity, self.amount + trade.quantity * trade.average_price)


def has_ended(order: Order) -> bool:
    """Whether the broker says that nothing more can fill."""
    return order.status in TERMINAL


def is_priced(order: Order, traded: Traded | None) -> bool:
    """Whether the list of trades tells just what has filled, so that the money is known exactly."""
    return order.filled == (traded.quantity if traded is not None else ZERO)


def _fills(order: Order, traded: Traded | None) -> tuple[Decimal, OrderStatus, Decimal | None]:
    """Return what has filled, the status, and the exact amount if the trades tell it."""
    if is_priced(order, traded):
        return order.filled, _status(order, order.filled), traded.amount if traded is not None else None
    if order.average_price:
        return order.filled, _status(order, order.filled), None
    known = traded if traded is not None and traded.quantity <= order.quantity else Traded()
    status = OrderStatus.PARTIALLY_FILLED if known.quantity else OrderStatus.PLACED
    return known.quantity, status, known.amount if known.quantity else None


def _status(order: Order, filled: Decimal) -> OrderStatus:
    if order.status == COMPLETE and filled == order.quantity:
        return OrderStatus.FILLED
    if order.status == CANCELLED or (order.status == REJECTED and filled):
        return OrderStatus.CANCELLED
    if order.status == REJECTED:
        return OrderStatus.FAILED
    return OrderStatus.PARTIALLY_FILLED if filled else OrderStatus.PLACED


def _plausible(order: Order) -> bool:
    """Whether the numbers fit each other."""
    if not sound(order.quantity, order.filled_quantity, order.average_price):
        return False
    return 0 <= order.filled <= order.quantity and order.quantity > 0 and (order.average_price or ZERO) >= 0


_TAG: Final = re.compile(r"ap[a-z2-7]{18}")
"""What `domain.ids.broker_tag` makes: the broker adds tags of its own to ours."""


def tag_of(order: Order) -> str:
    """Return the tag of our form, of `tag` or among `tags`; else `tag`, or the first of `tags`, or ""."""
    tags = [tag for tag in (order.tag, *(order.tags or ())) if tag]
    ours = next((tag for tag in tags if _TAG.fullmatch(tag)), None)
    return ours or (tags[0] if tags else "")


def _message(order: Order) -> str:
    return (order.status_message or order.status_message_raw or "")[:LONGEST_MESSAGE]


# ------------------------------------------------------------------------------------------------------------ times


def timestamp(text: str | None) -> int | None:
    """Return `YYYY-MM-DD HH:MM:SS` in India's time as UTC ns; None for anything else."""
    try:
        local = datetime.strptime(text or "", "%Y-%m-%d %H:%M:%S").replace(tzinfo=IST)
    except ValueError:
        return None
    return round(local.timestamp()) * SECOND_NS


def day_of(text: str | None) -> date | None:
    """Return the day that a time says, in India; None if it says none."""
    try:
        return date.fromisoformat((text or "")[:10])
    except ValueError:
        return None
