"""Quotes and candles. A symbol that isn't known is missing from the answer: no error."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from .core import KiteCore
from .market import Quote
from .wire import IST, Reply, bad_input, number, refused, stamp, success

MOST_QUOTES: Final = 500
MOST_PRICES: Final = 1000
DEPTH: Final = 5
MOST_CANDLES: Final = 2000

_MINUTES: Final = {
    "minute": 1, "3minute": 3, "5minute": 5, "10minute": 10, "15minute": 15, "30minute": 30, "60minute": 60, "day": 1440,
}  # fmt: skip


class Quotes:
    """Answers `/quote…` and `/instruments/historical/…`."""

    def __init__(self, core: KiteCore) -> None:
        self._core = core

    def quotes(self, rest: list[str], names: list[str], now: int) -> Reply:
        """Return quotes of the kind that the address says, by the names asked for."""
        kind = rest[0] if rest else "full"
        most = MOST_QUOTES if kind == "full" else MOST_PRICES
        if not 0 < len(names) <= most or kind not in {"full", "ohlc", "ltp"}:
            return refused(bad_input("Invalid `i`."))
        found = {}
        for name in names:
            item = self._core.dump.find(name)
            if item is not None:
                found[name] = _row(self._core.market.quotes[item.token], kind, now)
        return success(found)

    def candles(self, token: str, interval: str, query: Mapping[str, list[str]]) -> Reply:
        """Return made-up candles: the price goes in a fixed pattern around where the day began."""
        item = self._core.dump.find(token) if token.isdigit() else None
        minutes = _MINUTES.get(interval)
        begin, end = _moment(query, "from"), _moment(query, "to")
        if item is None or minutes is None or begin is None or end is None:
            return refused(bad_input("Invalid `instrument_token`, `interval`, `from` or `to`."))
        quote = self._core.market.quotes[item.token]
        with_interest = query.get("oi", ["0"])[0] == "1"
        candles: list[list[Any]] = []
        while begin <= end and len(candles) < MOST_CANDLES:
            candles.append(_candle(quote, begin, with_interest=with_interest))
            begin += timedelta(minutes=minutes)
        return success({"candles": candles})


def levels(quote: Quote) -> tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]:
    """Return bids and offers, best first: quantity, price in units, orders. Made up around the last price."""
    if not quote.instrument.tradable:
        return [], []
    lot = quote.instrument.lot_size
    bids = [(lot * (10 + 3 * n), max(0, quote.last - n * quote.tick), 1 + n) for n in range(DEPTH)]
    offers = [(lot * (12 + 2 * n), quote.last + (n + 1) * quote.tick, 2 + n) for n in range(DEPTH)]
    return bids, offers


def _row(quote: Quote, kind: str, now: int) -> dict[str, Any]:
    row: dict[str, Any] = {
        "instrument_token": quote.instrument.token,
        "last_price": number(quote.price),
    }
    if kind == "ltp":
        return row
    row["ohlc"] = {
        name: number(quote.decimal(getattr(quote, name))) for name in ("open", "high", "low", "close")
    }
    return row if kind == "ohlc" else {**row, **_rest(quote, now)}


def _rest(quote: Quote, now: int) -> dict[str, Any]:
    low, high = quote.instrument.limits
    bids, offers = levels(quote)
    return {
        "timestamp": stamp(now),
        "last_trade_time": stamp(quote.traded_at * 1_000_000_000) if quote.traded_at else None,
        "last_quantity": quote.quantity,
        "buy_quantity": sum(level[0] for level in bids),
        "sell_quantity": sum(level[0] for level in offers),
        "volume": quote.volume,
        "average_price": number(quote.decimal(quote.average)),
        "oi": quote.interest,
        "oi_day_high": quote.interest_high,
        "oi_day_low": quote.interest_low,
        "net_change": 0,
        "lower_circuit_limit": number(low),
        "upper_circuit_limit": number(high),
        "depth": {"buy": _shown(quote, bids), "sell": _shown(quote, offers)},
    }


def _shown(quote: Quote, side: list[tuple[int, int, int]]) -> list[dict[str, Any]]:
    """Return five levels; empty ones are zeros."""
    rows = [*side, *[(0, 0, 0)] * (DEPTH - len(side))]
    return [
        {"quantity": quantity, "price": number(quote.decimal(price)), "orders": orders}
        for quantity, price, orders in rows
    ]


def _moment(query: Mapping[str, list[str]], name: str) -> datetime | None:
    try:
        return datetime.fromisoformat(query[name][0]).replace(tzinfo=IST)
    except (KeyError, IndexError, ValueError):
        return None


def _candle(quote: Quote, begin: datetime, *, with_interest: bool) -> list[Any]:
    step = int(begin.timestamp()) // 60 % 7 - 3
    opened = quote.open + step * quote.tick
    prices = (opened, opened + 2 * quote.tick, opened - 2 * quote.tick, opened + quote.tick)
    shown = [number(quote.decimal(units)) for units in prices]
    row = [begin.strftime("%Y-%m-%dT%H:%M:%S%z"), *shown, 1000 + step]
    return [*row, quote.interest] if with_interest else row
