"""What may be concluded from what came over the wire (DESIGN section 4, "Outcome of the call"). Pure.

FAILED only where Kite surely has no order: nothing was sent, or an answer that this list names. Everything else is
UNKNOWN, and the order book tells: a 400 may say that Kite itself got no answer, and the order is placed seconds later.
"""

import re
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from alpha_panda.adapters.http.exchange import Answer, Exchange, NotSent, speaks_of_timeout
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState
from alpha_panda.contracts.stored import Outcome

from .wire import LONGEST_MESSAGE, Envelope, OrderTaken, parsed

T = TypeVar("T")

OK: Final = 200
BAD_REQUEST: Final = 400
FORBIDDEN: Final = 403
NOT_AUTHORISED: Final = 428
"""The depository's authorisation to sell a holding is missing."""
TOO_MANY: Final = 429

SUCCESS: Final = "success"
ERROR: Final = "error"

DEFINITE_REFUSALS: Final = {
    (BAD_REQUEST, "InputException"): Code.BROKER_REJECTED,
    (BAD_REQUEST, "OrderException"): Code.BROKER_REJECTED,
    (BAD_REQUEST, "MarginException"): Code.INSUFFICIENT_FUNDS,
    (BAD_REQUEST, "HoldingException"): Code.BROKER_REJECTED,
    (NOT_AUTHORISED, "HoldingException"): Code.BROKER_REJECTED,
    (FORBIDDEN, "TokenException"): Code.ACCESS_TOKEN_EXPIRED,
    (FORBIDDEN, "PermissionException"): Code.BROKER_REJECTED,
    (FORBIDDEN, "PermissionError"): Code.BROKER_REJECTED,
    (FORBIDDEN, "UserException"): Code.BROKER_REJECTED,
    (FORBIDDEN, "TwoFAException"): Code.ACCESS_TOKEN_EXPIRED,
    (TOO_MANY, "NetworkException"): Code.RATE_LIMIT,
    (TOO_MANY, "InputException"): Code.RATE_LIMIT,
    (TOO_MANY, "OrderException"): Code.RATE_LIMIT,
    (TOO_MANY, "GeneralException"): Code.RATE_LIMIT,
}
"""Status and error type of answers after which Kite surely has no order. They count only in Kite's own envelope."""

_UNSURE: Final = re.compile(
    r"(check|refer|verify|see)\b.{0,40}\border ?book|before placing again|being processed|unable to (confirm|reach)"
    r"|not (been )?(able to )?confirm|may have been|status (is )?(un|not )known|connection|gateway|kitetrade-oms",
    re.IGNORECASE,
)
"""Whoever says so under a type of definite refusals doesn't know either what became of the order."""

_ADDRESS: Final = re.compile(
    r"\bIPs?\b.{0,80}\b(not allowed|configured|whitelist)|\ballowed IPs\b|\bwhitelisted IP"
)
_FUNDS: Final = re.compile(r"insufficient (funds|balance|margin)|margin (exceeds|shortfall)", re.IGNORECASE)
_RATE: Final = re.compile(r"too many requests|maximum allowed order requests exceeded", re.IGNORECASE)

_BY_WORDS: Final[tuple[tuple[Callable[[str], object], Code], ...]] = (
    (_ADDRESS.search, Code.EGRESS_IP_REFUSED),
    (_FUNDS.search, Code.INSUFFICIENT_FUNDS),
    (_RATE.search, Code.RATE_LIMIT),
)
"""What a definite refusal's text says more exactly than its type: the types have changed over the years."""


def place_outcome(exchange: Exchange) -> Outcome:
    """Return what became of an order: PLACED, FAILED if it was surely not taken, else UNKNOWN."""
    if isinstance(exchange, NotSent):
        return Outcome(state=EntryState.FAILED, code=exchange.code, message=exchange.message)
    if not isinstance(exchange, Answer):
        return _unknown(exchange.message)
    return _taken(exchange) if exchange.status == OK else _refused(exchange)


def unwelcome(exchange: Exchange) -> Code | None:
    """Return why Kite refuses whoever calls, whatever the call is: too often, or from another address; else None."""
    if not isinstance(exchange, Answer):
        return None
    if exchange.status == TOO_MANY:
        return Code.RATE_LIMIT
    envelope = parsed(exchange.body, Envelope) if exchange.status == FORBIDDEN else None
    message = envelope.message if envelope is not None else None
    return Code.EGRESS_IP_REFUSED if message and _ADDRESS.search(message) else None


def data_of(exchange: Exchange, kind: type[T]) -> T | None:
    """Return the data of a success as `kind`; None for anything else."""
    if not isinstance(exchange, Answer) or exchange.status != OK:
        return None
    envelope = parsed(exchange.body, Envelope)
    return parsed(envelope.data, kind) if envelope is not None and envelope.status == SUCCESS else None


def items_of(exchange: Exchange) -> list[msgspec.Raw] | None:
    """Return the items of a success's list, which is null where it is empty; None for anything else."""
    data = data_of(exchange, msgspec.Raw)
    if data is None:
        return None
    return [] if bytes(data) == b"null" else parsed(data, list[msgspec.Raw])


def problem_of(exchange: Exchange) -> str:
    """Return in words what came instead of data; a token is never in it."""
    if not isinstance(exchange, Answer):
        return exchange.message
    envelope = parsed(exchange.body, Envelope)
    if envelope is None:
        return f"answer {exchange.status} that can't be read"
    return _message(exchange, envelope) if envelope.status != SUCCESS else "data that can't be read"


def _taken(answer: Answer) -> Outcome:
    taken = data_of(answer, OrderTaken)
    if taken is None or not taken.order_id:
        return _unknown(f"an answer 200 without an order's id: {problem_of(answer)}")
    return Outcome(state=EntryState.PLACED, broker_order_id=taken.order_id)


def _refused(answer: Answer) -> Outcome:
    """Return FAILED for a definite refusal; whoever speaks of a time-out has refused nothing."""
    envelope = parsed(answer.body, Envelope)
    if envelope is None or envelope.status != ERROR:
        return _unknown(f"answer {answer.status}")
    message, text = _message(answer, envelope), envelope.message or ""
    code = DEFINITE_REFUSALS.get((answer.status, envelope.error_type or ""))
    if code is None or not text or speaks_of_timeout(text) or _UNSURE.search(text):
        return _unknown(message)
    told = next((better for says, better in _BY_WORDS if says(text)), code)
    return Outcome(state=EntryState.FAILED, code=told, message=message)


def _message(answer: Answer, envelope: Envelope) -> str:
    words = f"answer {answer.status} {envelope.error_type or ''}: {envelope.message or ''}"
    return "".join(char if char.isprintable() else " " for char in words)[:LONGEST_MESSAGE]


def _unknown(message: str) -> Outcome:
    return Outcome(state=EntryState.UNKNOWN, message=message)
