"""What the local Kite can be told to do wrong: the vocabulary of `testing.broker.faults`, in Kite's words.

The values are the same (`PlaceFault`, `CancelFault`, `BookFault`, `Wire`, `Part`), so are the named functions; whatever
carries a body says here what Kite would say. `KitePlaceFault` and `CallFault` add what only Kite has.
"""

from typing import Final

import msgspec

from alpha_panda.testing.broker.faults import (
    GARBAGE,
    LATE_SECONDS,
    BookFault,
    CancelFault,
    Part,
    PlaceFault,
    Wire,
    accept_late,
    accept_twice,
    book_cut,
    book_error,
    book_garbage,
    book_lag,
    book_of_day,
    book_of_user,
    book_truncated,
    book_unanswered,
    cancel_error,
    cancel_loses_race,
    cancel_unanswered,
    cut_reply,
    drop_reply,
    garbage,
    hang,
    partial,
    refuse_connection,
    rest,
    rest_then_fill,
    server_error,
    slow,
    strange_too_many_requests,
)

from .checks import PROCESSED
from .tokens import NOT_LOGGED_IN
from .wire import error_body

NO_CONTENT_TYPE: Final = "none"
"""A `content_type` that says: leave the header out."""

BAD_GATEWAY: Final = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
TOO_MANY: Final = "Too many requests"
IP_UNKNOWN: Final = "No IPs configured for this app. Add allowed IPs on the Kite developer console (https://developers.kite.trade)."
IP_REFUSED: Final = (
    "IP ({}) is not allowed to place orders for this app. Update allowed IPs on the Kite developer console."
)
MARGIN: Final = "Insufficient funds. Required margin is 95417.84 but available margin is 74251.80."
TIMED_OUT: Final = "Order request timed out. Please check the order book and confirm before placing again."


class KitePlaceFault(PlaceFault, frozen=True, kw_only=True, tag="kite-place", omit_defaults=True):
    """What else may be wrong with one order.

    `stuck_in`: the status that it doesn't leave, unless after `stuck_for` seconds. `message`: of the row, with
    `refused_after`. `content_type`: of the answer; empty: as the body looks, `NO_CONTENT_TYPE`: none.
    """

    stuck_in: str = ""
    stuck_for: float | None = None
    message: str = ""
    content_type: str = ""


class CallFault(msgspec.Struct, frozen=True, kw_only=True, tag="call", omit_defaults=True):
    """What is wrong with one call of another kind, or of any whose address begins with `path`.

    `method`: empty means all. `effective`: whether it is done all the same (a modification, a log-out). `lag`: it shows
    trades as they were so many seconds ago. The others as in `PlaceFault`.
    """

    method: str = ""
    path: str = "/"
    effective: bool = True
    lag: float = 0
    wire: Wire = Wire.ANSWER
    delay: float = 0
    status: int = 200
    body: str | None = None
    content_type: str = ""

    def covers(self, method: str, path: str) -> bool:
        """Whether it is about this call."""
        return self.method in {"", method} and path.startswith(self.path)


KiteFault = KitePlaceFault | PlaceFault | CancelFault | BookFault | CallFault


# ------------------------------------------------------------------------------- placing: as at the other broker


def reject() -> PlaceFault:
    """Refuse the order for want of funds, by the answer."""
    return _refusal(400, "MarginException", MARGIN)


def too_many_requests() -> PlaceFault:
    """429 in Kite's own words: refused before the order was looked at. Guess: the error type."""
    return _refusal(429, "NetworkException", TOO_MANY)


def timeout_400(*, accepts: bool) -> PlaceFault:
    """400 that speaks of a time-out; with `accepts` the order shows up all the same. Both are reported."""
    return _refusal(400, "InputException", TIMED_OUT, accepts=accepts)


def refuse_later(seconds: float) -> PlaceFault:
    """Take the order, and refuse it after all before anything has filled."""
    return PlaceFault(parts=(), refused_after=seconds)


# ----------------------------------------------------------------------------------------- placing: Kite's own


def late_answer(seconds: float = 8) -> PlaceFault:
    """Take the order at once and answer after most callers have given up."""
    return slow(seconds)


def slow_book(seconds: float) -> PlaceFault:
    """Answer well, and take the order into the book only later."""
    return PlaceFault(accepted_after=seconds)


def timed_out_yet_placed(seconds: float = 8) -> PlaceFault:
    """400 that speaks of a time-out; the order stands in the book `seconds` later."""
    body = error_body("InputException", TIMED_OUT)
    return PlaceFault(accepted_after=seconds, status=400, body=body)


def bad_gateway(*, accepts: bool) -> PlaceFault:
    """502 with a page of HTML, before or after accepting."""
    return PlaceFault(copies=int(accepts), status=502, body=BAD_GATEWAY)


def gateway_timeout(*, accepts: bool) -> PlaceFault:
    """504 with nothing in it, before or after accepting."""
    return PlaceFault(copies=int(accepts), status=504, body="")


def oms_down(*, accepts: bool) -> PlaceFault:
    """503 NetworkException, before or after accepting."""
    return _refusal(503, "NetworkException", "Request failed (kitetrade-oms).", accepts=accepts)


def oms_timeout(*, accepts: bool) -> PlaceFault:
    """504 NetworkException that speaks of a time-out, before or after accepting."""
    return _refusal(504, "NetworkException", "request 7f3a timed out", accepts=accepts)


def order_exception(*, accepts: bool, status: int = 500) -> PlaceFault:
    """OrderException; as 500 it says nothing of the order."""
    return _refusal(status, "OrderException", "Couldn't place the order.", accepts=accepts)


def success_with_500(*, accepts: bool) -> PlaceFault:
    """500 whose body says success."""
    return PlaceFault(copies=int(accepts), status=500)


def no_content_type(*, accepts: bool) -> PlaceFault:
    """The true answer without its Content-Type."""
    return KitePlaceFault(copies=int(accepts), content_type=NO_CONTENT_TYPE)


def error_without_type(*, accepts: bool) -> PlaceFault:
    """400 in Kite's envelope, but without an error type."""
    return PlaceFault(
        copies=int(accepts), status=400, body='{"status":"error","message":"Something is wrong"}'
    )


def success_without_data(*, accepts: bool) -> PlaceFault:
    """200 in Kite's envelope, but without an order id."""
    return PlaceFault(copies=int(accepts), body='{"status":"success","data":null}')


def ip_refused(address: str = "192.0.2.1") -> PlaceFault:
    """403: the call came from an address that isn't listed. `KiteConfig.allowed_ips` is the rule itself."""
    return _refusal(403, "PermissionException", IP_REFUSED.format(address))


def token_refused() -> PlaceFault:
    """403: the access token is dead."""
    return _refusal(403, NOT_LOGGED_IN.error_type, NOT_LOGGED_IN.message)


def margin_row() -> PlaceFault:
    """Take the order; the risk check refuses it in the book, at once."""
    return KitePlaceFault(parts=(), refused_after=0, message=MARGIN)


def stuck(status: str, seconds: float | None = None) -> PlaceFault:
    """Take the order and leave it in this status, for ever or for so long."""
    return KitePlaceFault(stuck_in=status, stuck_for=seconds)


def _refusal(status: int, error_type: str, message: str, *, accepts: bool = False) -> PlaceFault:
    return PlaceFault(copies=int(accepts), status=status, body=error_body(error_type, message))


# ------------------------------------------------------------------------------------- cancelling, other calls


def cancel_in_process() -> CancelFault:
    """400: the order is being processed; it rests on."""
    body = error_body("InputException", f"Order cannot be cancelled {PROCESSED}")
    return CancelFault(effective=False, status=400, body=body)


def call_fails(path: str, status: int = 500, *, method: str = "", body: str = BAD_GATEWAY) -> CallFault:
    """Answer a call with an error and do nothing."""
    return CallFault(method=method, path=path, effective=False, status=status, body=body)


def call_hangs(path: str, *, method: str = "") -> CallFault:
    """Never answer a call."""
    return CallFault(method=method, path=path, wire=Wire.HANG)


def slow_trades(seconds: float) -> CallFault:
    """Show the trades as they were `seconds` ago."""
    return CallFault(method="GET", path="/trades", lag=seconds)


__all__ = [
    "BAD_GATEWAY", "GARBAGE", "IP_REFUSED", "IP_UNKNOWN", "LATE_SECONDS", "MARGIN", "NO_CONTENT_TYPE", "TIMED_OUT",
    "TOO_MANY", "BookFault", "CallFault", "CancelFault", "KiteFault", "KitePlaceFault", "Part", "PlaceFault", "Wire",
    "accept_late", "accept_twice", "bad_gateway", "book_cut", "book_error", "book_garbage", "book_lag", "book_of_day",
    "book_of_user", "book_truncated", "book_unanswered", "call_fails", "call_hangs", "cancel_error",
    "cancel_in_process", "cancel_loses_race", "cancel_unanswered", "cut_reply", "drop_reply", "error_without_type",
    "garbage", "gateway_timeout", "hang", "ip_refused", "late_answer", "margin_row", "no_content_type",
    "oms_down", "oms_timeout", "order_exception", "partial", "refuse_connection", "refuse_later", "reject", "rest",
    "rest_then_fill", "server_error", "slow", "slow_book", "slow_trades", "strange_too_many_requests", "stuck",
    "success_with_500", "success_without_data", "timed_out_yet_placed", "timeout_400", "token_refused",
    "too_many_requests",
]  # fmt: skip
