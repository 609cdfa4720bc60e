"""Margins and charges of orders that nobody has placed. The shapes are Kite's, the figures those of `portfolio`."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from alpha_panda.contracts.enums import Side

from .core import KiteCore
from .orders import Terms
from .portfolio import segment_of
from .wire import Reply, bad_input, number, refused, success

CHARGES: Final[dict[str, Any]] = {
    "transaction_tax": 0,
    "transaction_tax_type": "stt",
    "exchange_turnover_charge": 0,
    "sebi_turnover_charge": 0,
    "brokerage": 0,
    "stamp_duty": 0,
    "gst": {"igst": 0, "cgst": 0, "sgst": 0, "total": 0},
    "total": 0,
}
"""This local Kite charges nothing."""


class Calculators:
    """Answers `POST /margins/orders`, `/margins/basket` and `/charges/orders`."""

    def __init__(self, core: KiteCore) -> None:
        self._core = core

    def answer(self, kind: str, what: str, query: Mapping[str, list[str]], body: bytes) -> Reply:
        """Return figures for the orders of a JSON list."""
        try:
            orders = msgspec.json.decode(body, type=list[dict[str, Any]])
            rows = [self._row(order) for order in orders]
        except (msgspec.DecodeError, KeyError, ValueError, InvalidOperation):
            return refused(bad_input("Invalid order list."))
        match kind, what:
            case "charges", "orders":
                names = (
                    "transaction_type",
                    "tradingsymbol",
                    "exchange",
                    "variety",
                    "product",
                    "order_type",
                    "quantity",
                )
                return success(
                    [
                        {
                            **{name: order.get(name) for name in names},
                            "price": order.get("average_price", 0),
                            "charges": CHARGES,
                        }
                        for order in orders
                    ]
                )
            case "margins", "orders":
                return success(rows)
            case "margins", "basket":
                return success(_basket(rows, compact=query.get("mode") == ["compact"]))
            case _:
                return refused(bad_input("Unknown calculator."))

    def _row(self, order: Mapping[str, Any]) -> dict[str, Any]:
        item = self._core.dump.by_key[f"{order['exchange']}:{order['tradingsymbol']}"]
        price = Decimal(str(order.get("price") or order.get("average_price") or 0))
        terms = Terms(
            instrument=item,
            variety=str(order.get("variety", "regular")),
            side=Side(order["transaction_type"]),
            order_type=str(order.get("order_type", "LIMIT")),
            product=str(order.get("product", "MIS")),
            quantity=int(order["quantity"]),
        )
        total = self._core.desk.portfolio.margin(terms, price or self._core.market.price(item.token))
        return {**_empty(), "type": segment_of(item), "tradingsymbol": item.tradingsymbol,
                "exchange": item.exchange, "var": number(total), "leverage": 1, "total": number(total)}  # fmt: skip


def _basket(rows: list[dict[str, Any]], *, compact: bool) -> dict[str, Any]:
    """Return the sums: no order of a basket makes another cheaper here."""
    total = {**_empty(), "total": number(sum((Decimal(row["total"]) for row in rows), Decimal(0)))}
    return {"initial": total, "final": total, "orders": [] if compact else rows, "charges": CHARGES}


def _empty() -> dict[str, Any]:
    names = ("span", "exposure", "option_premium", "additional", "bo", "cash", "var", "leverage", "total")
    return {
        "type": "",
        "tradingsymbol": "",
        "exchange": "",
        **dict.fromkeys(names, 0),
        "pnl": {"realised": 0, "unrealised": 0},
        "charges": CHARGES,
    }
