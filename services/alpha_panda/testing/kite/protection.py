"""Market orders of today's Kite: limit orders so many percent away from the last price."""

from dataclasses import replace
from decimal import ROUND_DOWN, ROUND_UP, Decimal

from alpha_panda.contracts.enums import Side

from .config import KiteConfig
from .orders import KiteOrder, Terms


def protect(order: KiteOrder, last: Decimal, config: KiteConfig) -> None:
    """Turn a market order into a limit order at its protected price, with the system's tags.

    The broker's own orders have no protection and stay as they are.
    """
    percent = _percent(order.terms, config)
    if order.order_type not in {"MARKET", "SL-M"} or not percent:
        return
    order.price = protected_price(order.terms, last, percent)
    order.order_type = "LIMIT"
    if config.protected_type == "MARKET":
        order.listed_type = "MARKET"
    order.tags.extend(("mktp", f"mktp:{percent:.2f}"))


def protected(terms: Terms, last: Decimal, config: KiteConfig) -> Terms:
    """Return the terms of an order that is changed to a market order as the limit order that it becomes."""
    percent = _percent(terms, config) or config.auto_protection
    return replace(terms, order_type="LIMIT", price=protected_price(terms, last, percent))


def protected_price(terms: Terms, last: Decimal, percent: Decimal) -> Decimal:
    """Return so many percent worse than the last price, on the tick grid, within the day's range."""
    item = terms.instrument
    exact = last * (1 + terms.side.sign * percent / 100)
    towards_last = ROUND_DOWN if terms.side is Side.BUY else ROUND_UP
    price = (exact / item.tick_size).to_integral_value(towards_last) * item.tick_size
    low, high = item.limits
    return min(max(price, low), high)


def _percent(terms: Terms, config: KiteConfig) -> Decimal:
    return config.auto_protection if terms.market_protection == -1 else terms.market_protection
