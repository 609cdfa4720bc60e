"""The broker's wire format, and what may be concluded from what came over the wire.

POST /orders            PlaceRequest → 200 OrderTaken
DELETE /orders/{id}     → 200 OrderState
GET /orders?page=N      → 200 BookPage
anything else           → 4xx or 5xx ErrorBody

Pure: both traders, in the process and over HTTP, conclude by the same functions (DESIGN section 4, "Outcome of the
call").
"""

from decimal import Decimal
from typing import Final, TypeVar

import msgspec

from alpha_panda.adapters.http.exchange import Answer, Exchange, NotSent, speaks_of_timeout
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, OrderType, Side, Validity
from alpha_panda.contracts.stored import BrokerRow, JournalEntry, Outcome
from alpha_panda.domain.matching import outcome_of
from alpha_panda.domain.order_events import outcome_of_row

T = TypeVar("T")

DEFINITE_REFUSALS: Final = {
    (400, "INVALID_ORDER"): Code.BROKER_REJECTED,
    (400, "INSUFFICIENT_FUNDS"): Code.BROKER_REJECTED,
    (403, "TOKEN_EXPIRED"): Code.ACCESS_TOKEN_EXPIRED,
    (429, "RATE_LIMITED"): Code.RATE_LIMIT,
}
"""Answers after which the broker surely has no order. All that is not on this list leaves the order in doubt."""

LONGEST_MESSAGE: Final = 200
"""Characters of a broker's message that an event carries."""

OK: Final = 200


class PlaceRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An order as it is sent."""

    tag: str
    instrument_token: int
    side: Side
    order_type: OrderType
    quantity: Decimal
    validity: Validity = Validity.DAY
    limit_price: Decimal | None = None
    trigger_price: Decimal | None = None


class OrderTaken(msgspec.Struct, frozen=True):
    """The answer to an order: it has an id; what becomes of it stands in the book."""

    order_id: str


class OrderState(msgspec.Struct, frozen=True):
    """The answer to a cancellation: the order as it is after it."""

    order: BrokerRow


class BookPage(msgspec.Struct, frozen=True):
    """One page, from 1, of the day's orders, oldest first; `total` counts the orders of all `pages`."""

    user: str
    trading_day: str
    total: int
    page: int
    pages: int
    orders: tuple[BrokerRow, ...]


class ErrorDetail(msgspec.Struct, frozen=True):
    """Why not."""

    code: str
    message: str = ""


class ErrorBody(msgspec.Struct, frozen=True):
    """The answer to what can't be done."""

    error: ErrorDetail


def request_of(entry: JournalEntry) -> PlaceRequest:
    """Return the order that the entry stands for."""
    signal = entry.signal
    return PlaceRequest(
        tag=entry.tag,
        instrument_token=signal.instrument_token,
        side=signal.side,
        order_type=signal.order_type,
        quantity=signal.quantity,
        validity=signal.validity,
        limit_price=signal.limit_price,
        trigger_price=signal.trigger_price,
    )


def parsed(body: bytes, kind: type[T]) -> T | None:
    """Return the body as `kind`, or None if it is none."""
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def place_outcome(exchange: Exchange) -> Outcome:
    """Return what became of an order: PLACED, FAILED if it was surely not taken, else UNKNOWN."""
    if isinstance(exchange, NotSent):
        return Outcome(state=EntryState.FAILED, code=exchange.code, message=exchange.message)
    if not isinstance(exchange, Answer):
        return _unknown(exchange.message)
    return _taken(exchange) if exchange.status == OK else _refused(exchange)


def _taken(answer: Answer) -> Outcome:
    taken = parsed(answer.body, OrderTaken)
    if taken is None or not taken.order_id:
        return _unknown("an answer that can't be read")
    return Outcome(state=EntryState.PLACED, broker_order_id=taken.order_id)


def _refused(answer: Answer) -> Outcome:
    """Return FAILED for a definite refusal; whoever speaks of a time-out has refused nothing."""
    body = parsed(answer.body, ErrorBody)
    if body is None:
        return _unknown(f"answer {answer.status}")
    error = body.error
    message = f"answer {answer.status} {error.code}: {error.message}"[:LONGEST_MESSAGE]
    code = DEFINITE_REFUSALS.get((answer.status, error.code))
    if code is None or speaks_of_timeout(error.message):
        return _unknown(message)
    return Outcome(state=EntryState.FAILED, code=code, message=message)


def cancel_outcome(entry: JournalEntry, exchange: Exchange) -> Outcome:
    """Return the order after a cancellation; the entry's own state where the broker's word is missing or unclear."""
    state = (
        parsed(exchange.body, OrderState) if isinstance(exchange, Answer) and exchange.status == OK else None
    )
    if state is None or state.order.broker_order_id != entry.broker_order_id:
        return outcome_of(entry)
    return outcome_of_row(state.order)


def _unknown(message: str) -> Outcome:
    return Outcome(state=EntryState.UNKNOWN, message=message)
