"""What the broker can be told to do wrong: values, by call, and the named ones that tests speak of.

A fault has independent parts: what the broker does with the request, and what the caller on the wire sees of it. So
simulations may combine them at random; the functions below name the combinations that have names.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Final

import msgspec

GARBAGE: Final = "<html>\x00 not what was asked for"
LATE_SECONDS: Final = 10.0
"""How late `accept_late` takes an order, unless told."""


class Wire(StrEnum):
    """How a reply reaches the caller."""

    ANSWER = "answer"
    """Status and body in full."""
    CUT = "cut"
    """Status and the beginning of the body, then the connection ends."""
    HANG = "hang"
    """Nothing, on a connection that stays open."""
    RESET = "reset"
    """Nothing: the connection is reset."""
    REFUSED = "refused"
    """No connection at all: the request never was at the broker."""


class Part(msgspec.Struct, frozen=True):
    """A fill: `share` of the order's quantity, or what is left if that is less, `after` seconds from acceptance."""

    after: float
    share: Decimal


class PlaceFault(msgspec.Struct, frozen=True, kw_only=True, tag="place", omit_defaults=True):
    """What is wrong with one order. The default is nothing.

    `copies`: how many orders the request becomes (0: none); `accepted_after`: seconds from arrival to the first,
    `repeat_after`: from each to the next. `parts`: what fills when (None: as the market says). `refused_after`:
    seconds from acceptance until the broker refuses the order after all. `delay`: seconds until the reply.
    `body`: instead of the true answer.
    """

    copies: int = 1
    accepted_after: float = 0
    repeat_after: float = 0
    parts: tuple[Part, ...] | None = None
    refused_after: float | None = None
    wire: Wire = Wire.ANSWER
    delay: float = 0
    status: int = 200
    body: str | None = None


class CancelFault(msgspec.Struct, frozen=True, kw_only=True, tag="cancel", omit_defaults=True):
    """What is wrong with one cancellation.

    `effective`: whether the order is cancelled; `fills_first`: it fills in the moment before, so the cancel loses.
    """

    effective: bool = True
    fills_first: bool = False
    wire: Wire = Wire.ANSWER
    delay: float = 0
    status: int = 200
    body: str | None = None


class BookFault(msgspec.Struct, frozen=True, kw_only=True, tag="book", omit_defaults=True):
    """What is wrong with one reading of the order book (of one page, where it has several).

    `lag`: it shows the orders as they were so many seconds ago. `keep`: it has only the first so many rows; with
    `admitted` the total still tells how many there are. `user`, `trading_day`: whose and of when it is instead.
    """

    lag: float = 0
    keep: int | None = None
    admitted: bool = True
    user: str | None = None
    trading_day: str | None = None
    wire: Wire = Wire.ANSWER
    delay: float = 0
    status: int = 200
    body: str | None = None


Misbehaviour = PlaceFault | CancelFault | BookFault


# -------------------------------------------------------------------------------------------- placing an order


def slow(seconds: float) -> PlaceFault:
    """Take the order at once and answer late."""
    return PlaceFault(delay=seconds)


def hang(*, accepts: bool = True) -> PlaceFault:
    """Never answer."""
    return PlaceFault(copies=int(accepts), wire=Wire.HANG)


def drop_reply(*, accepts: bool = True) -> PlaceFault:
    """Reset the connection instead of answering."""
    return PlaceFault(copies=int(accepts), wire=Wire.RESET)


def cut_reply() -> PlaceFault:
    """Take the order and end the connection within the answer."""
    return PlaceFault(wire=Wire.CUT)


def accept_twice(repeat_after: float = 0) -> PlaceFault:
    """Make two orders of one request, as a proxy that repeats."""
    return PlaceFault(copies=2, repeat_after=repeat_after)


def accept_late(seconds: float = LATE_SECONDS, wire: Wire = Wire.RESET) -> PlaceFault:
    """Lose the reply, and take the order only `seconds` after its arrival."""
    return PlaceFault(accepted_after=seconds, wire=wire)


def refuse_connection() -> PlaceFault:
    """Take no connection: nothing arrives."""
    return PlaceFault(copies=0, wire=Wire.REFUSED)


def reject() -> PlaceFault:
    """Refuse the order for want of funds, in the broker's own words."""
    return _refusal(400, "INSUFFICIENT_FUNDS", "margin 10 short")


def too_many_requests() -> PlaceFault:
    """429 in the broker's own words: refused before the order was looked at."""
    return _refusal(429, "RATE_LIMITED", "10 a second")


def strange_too_many_requests(*, accepts: bool = False) -> PlaceFault:
    """429 from something in between, which says nothing of the order."""
    return PlaceFault(copies=int(accepts), status=429, body="slow down")


def server_error(*, accepts: bool) -> PlaceFault:
    """500, before or after accepting."""
    return PlaceFault(copies=int(accepts), status=500, body="internal server error")


def garbage(*, accepts: bool) -> PlaceFault:
    """200 with a body that is nothing, before or after accepting."""
    return PlaceFault(copies=int(accepts), body=GARBAGE)


def timeout_400(*, accepts: bool) -> PlaceFault:
    """400 under a code of definite refusals, but the message speaks of a time-out."""
    return _refusal(400, "INVALID_ORDER", "gateway timed out while talking to the exchange", accepts=accepts)


def rest() -> PlaceFault:
    """Take the order and fill nothing of it."""
    return PlaceFault(parts=())


def rest_then_fill(seconds: float) -> PlaceFault:
    """Fill in full `seconds` after acceptance."""
    return PlaceFault(parts=(Part(seconds, Decimal(1)),))


def partial(share: str, *, rest_after: float | None = None) -> PlaceFault:
    """Fill a share at once, and what is left `rest_after` seconds later (None: never)."""
    first = Part(0, Decimal(share))
    last = () if rest_after is None else (Part(rest_after, Decimal(1)),)
    return PlaceFault(parts=(first, *last))


def refuse_later(seconds: float) -> PlaceFault:
    """Take the order, and refuse it after all before anything has filled."""
    return PlaceFault(parts=(), refused_after=seconds)


def _refusal(status: int, code: str, message: str, *, accepts: bool = False) -> PlaceFault:
    body = msgspec.json.encode({"error": {"code": code, "message": message}}).decode()
    return PlaceFault(copies=int(accepts), status=status, body=body)


# ------------------------------------------------------------------------------------------------ cancelling


def cancel_loses_race() -> CancelFault:
    """Fill the order in the moment before its cancellation arrives."""
    return CancelFault(fills_first=True)


def cancel_unanswered(*, effective: bool, wire: Wire = Wire.RESET) -> CancelFault:
    """Lose the reply to a cancellation that was done, or not."""
    return CancelFault(effective=effective, wire=wire)


def cancel_error() -> CancelFault:
    """500, and the order rests on."""
    return CancelFault(effective=False, status=500, body="internal server error")


# ------------------------------------------------------------------------------------------------- the book


def book_lag(seconds: float) -> BookFault:
    """Show the book as it was `seconds` ago."""
    return BookFault(lag=seconds)


def book_truncated(keep: int = 0, *, admitted: bool = True) -> BookFault:
    """Leave out rows; `admitted`: the total shows it."""
    return BookFault(keep=keep, admitted=admitted)


def book_cut() -> BookFault:
    """End the connection within the answer."""
    return BookFault(wire=Wire.CUT)


def book_of_day(trading_day: str) -> BookFault:
    """Show another day's book."""
    return BookFault(trading_day=trading_day)


def book_of_user(user: str) -> BookFault:
    """Show another user's book."""
    return BookFault(user=user)


def book_error() -> BookFault:
    """500."""
    return BookFault(status=500, body="internal server error")


def book_garbage() -> BookFault:
    """200 with a body that is nothing."""
    return BookFault(body=GARBAGE)


def book_unanswered(wire: Wire = Wire.HANG) -> BookFault:
    """No answer."""
    return BookFault(wire=wire)
