"""A local Kite without sockets, and its time."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.testing.kite.api import KiteApi
from alpha_panda.testing.kite.config import KiteConfig
from alpha_panda.testing.kite.core import KiteCore, Update
from alpha_panda.testing.kite.request import Request
from alpha_panda.testing.kite.wire import Reply
from alpha_panda.testing.virtual_time import START

DAY = "2026-01-02"
BUY: dict[str, str] = {
    "exchange": "NSE",
    "tradingsymbol": "RELIANCE",
    "transaction_type": "BUY",
    "quantity": "10",
    "product": "MIS",
    "order_type": "LIMIT",
    "price": "1390",
    "validity": "DAY",
    "tag": "ap1",
}


class Kite:
    """Calls to one local Kite; time passes by `wait` alone."""

    def __init__(self, config: KiteConfig | None = None, **changes: Any) -> None:
        self.core = KiteCore(config or KiteConfig(**changes), trading_day=DAY)
        self.api = KiteApi(self.core)
        self.now = START
        self.updates: list[Update] = []
        self.core.listeners.append(self.updates.append)
        self.token = self.core.new_session(self.now)

    def wait(self, seconds: float) -> None:
        self.now += round(seconds * SECOND_NS)
        self.core.settle(self.now)

    def reply(  # noqa: PLR0917 - the first four as they come
        self,
        method: str,
        path: str,
        form: Mapping[str, str] | None = None,
        query: Mapping[str, list[str]] | None = None,
        body: bytes = b"",
        remote: str = "127.0.0.1",
    ) -> Reply:
        return self.api.handle(
            Request(
                method=method,
                path=path,
                form=form or {},
                query=query or {},
                body=body,
                authorization=f"token {self.core.config.api_key}:{self.token}",
                remote=remote,
            ),
            self.now,
        )

    def call(self, method: str, path: str, *args: Any, **options: Any) -> Any:
        """Return the data of an answer that must be a success."""
        reply = self.reply(method, path, *args, **options)
        envelope = msgspec.json.decode(reply.body)
        assert (reply.status, envelope["status"]) == (200, "success"), envelope
        return envelope["data"]

    def failure(self, method: str, path: str, *args: Any, **options: Any) -> tuple[int, str, str]:
        """Return status, error type and message of an answer that must be an error."""
        reply = self.reply(method, path, *args, **options)
        envelope = msgspec.json.decode(reply.body)
        assert envelope["status"] == "error", envelope
        return reply.status, envelope["error_type"], envelope["message"]

    def place(self, variety: str = "regular", /, **fields: Any) -> str:
        data = self.call("POST", f"/orders/{variety}", order(**fields))
        return str(data["order_id"])

    def refusal(self, variety: str = "regular", /, **fields: Any) -> str:
        """Return the message of an order that must be refused at once, without a row."""
        before = len(self.core.orders)
        status, error, message = self.failure("POST", f"/orders/{variety}", order(**fields))
        assert (status, error, len(self.core.orders)) == (400, "InputException", before)
        return message

    def row(self, order_id: str) -> dict[str, Any]:
        return next(row for row in self.call("GET", "/orders") if row["order_id"] == order_id)

    def status(self, order_id: str) -> str:
        return str(self.row(order_id)["status"])

    def statuses(self, order_id: str) -> list[str]:
        return [row["status"] for row in self.call("GET", f"/orders/{order_id}")]

    def price(self, token: int, price: str) -> None:
        self.core.set_price(token, Decimal(price), self.now)

    def told(self) -> list[str]:
        """Return the statuses that were pushed since the last question."""
        told = [update.status for update in self.updates]
        self.updates.clear()
        return told


def order(**fields: Any) -> dict[str, str]:
    """Return the form of an order: `BUY` with changes; None leaves a field out."""
    merged = {**BUY, **fields}
    return {name: str(value) for name, value in merged.items() if value is not None}


def market(**fields: Any) -> dict[str, Any]:
    """Return the fields of a market order."""
    return {"order_type": "MARKET", "price": None, "market_protection": -1, **fields}
