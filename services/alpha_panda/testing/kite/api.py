"""Kite's REST interface over a `KiteCore`: a pure function from a request to what its caller experiences."""

from typing import Final

from .core import KiteCore
from .faults import IP_REFUSED, IP_UNKNOWN
from .limits import CallCounter
from .order_calls import OrderCalls
from .reads import NOT_FOUND, PROFILE, Reads
from .request import Request
from .tokens import NOT_LOGGED_IN
from .wire import Refusal, Reply, refused, stamp, success

__all__ = ["KiteApi", "Request"]

NOT_ALLOWED: Final = Refusal(405, "GeneralException", "Method not allowed")


class KiteApi:
    """Answers calls. `handle` never raises for what a caller sends."""

    def __init__(self, core: KiteCore) -> None:
        self._core = core
        self._orders = OrderCalls(core)
        self._reads = Reads(core, self._orders)
        self._counter = CallCounter()

    def handle(self, request: Request, now: int) -> Reply:
        """Return what the caller experiences."""
        core = self._core
        core.settle(now)
        if request.path.rstrip("/") in {"/session/token", "/session/refresh_token"}:
            return self._orders.other(
                request.method, request.path, now, lambda _: self._session(request, now)
            )
        if not core.tokens.authorised(request.authorization, core.config, now):
            return refused(NOT_LOGGED_IN)
        refusal = self._refusal(request, now)
        if refusal is not None:
            return refused(refusal)
        return self._write(request, now) if writes_orders(request) else self._reads.answer(request, now)

    # ------------------------------------------------------------------------------------ before the call

    def _refusal(self, request: Request, now: int) -> Refusal | None:
        """Return why the call isn't looked at: too many, or from an address that isn't listed."""
        limits = self._core.config.limits
        writes = writes_orders(request)
        if limits is not None:
            places = writes and request.method == "POST"
            kind = "order" if writes else _kind(request)
            refusal = self._counter.count(kind, limits, now, places=places)
            if refusal is not None:
                return refusal
        return self._wrong_address(request.remote) if writes else None

    def _wrong_address(self, remote: str) -> Refusal | None:
        allowed = self._core.config.allowed_ips
        if allowed is None or remote in allowed:
            return None
        return Refusal(403, "PermissionException", IP_REFUSED.format(remote) if allowed else IP_UNKNOWN)

    def _session(self, request: Request, now: int) -> Reply:
        core = self._core
        if request.method == "DELETE":
            core.tokens.end(request.first("access_token") or None)
            return success(data=True)
        if request.path.rstrip("/") == "/session/refresh_token" or request.method != "POST":
            return refused(NOT_ALLOWED)
        token = core.tokens.exchange(dict(request.form), core.config, now)
        if isinstance(token, Refusal):
            return refused(token)
        return success(
            {
                **PROFILE,
                "user_id": core.user,
                "api_key": core.config.api_key,
                "access_token": token,
                "public_token": token[::-1],
                "enctoken": "",
                "refresh_token": "",
                "silo": "",
                "login_time": stamp(now),
            }
        )

    def _write(self, request: Request, now: int) -> Reply:
        match request.method, request.parts[1:]:
            case "POST", [variety]:
                return self._orders.place(variety, request.form, now)
            case "PUT", [variety, order_id]:
                return self._orders.modify(variety, order_id, request.form, now)
            case "DELETE", [variety, order_id]:
                return self._orders.cancel(variety, order_id, now)
            case _:
                return refused(NOT_FOUND)


def writes_orders(request: Request) -> bool:
    """Whether the call places, changes or cancels an order."""
    return request.parts[0] == "orders" and request.method != "GET"


def _kind(request: Request) -> str:
    """Return which of the limits a call counts to."""
    if request.parts[0] == "quote":
        return "quote"
    return "candles" if request.parts[:2] == ["instruments", "historical"] else "other"
