"""All calls that are not about placing, changing or cancelling an order: one table of addresses."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from alpha_panda.contracts.enums import Side
from alpha_panda.contracts.units import nanoseconds

from .calculators import Calculators
from .core import KiteCore
from .faults import CallFault
from .gtt import Gtts
from .order_calls import NO_ORDER, OrderCalls
from .orders import history
from .quotes import Quotes
from .request import Request
from .wire import CSV, Refusal, Reply, bad_input, number, refused, success

NOT_FOUND: Final = Refusal(404, "GeneralException", "Route not found")

PROFILE: Final[dict[str, Any]] = {
    "user_type": "individual",
    "email": "local@kite.test",
    "user_name": "Local Kite",
    "user_shortname": "Local",
    "broker": "ZERODHA",
    "exchanges": ["NSE", "NFO", "BFO", "CDS", "BSE", "MCX", "BCD", "MF"],
    "products": ["CNC", "NRML", "MIS", "BO", "CO"],
    "order_types": ["MARKET", "LIMIT", "SL", "SL-M"],
    "avatar_url": None,
    "meta": {"demat_consent": "physical"},
}


@dataclass(frozen=True, slots=True)
class _Asked:
    """`args`: what stands in the address where the table has a star."""

    request: Request
    now: int
    fault: CallFault
    args: tuple[str, ...]


class Reads:
    """Answers what the table below names."""

    def __init__(self, core: KiteCore, calls: OrderCalls) -> None:
        self._core = core
        self._calls = calls
        self._quotes = Quotes(core)
        self._calculators = Calculators(core)
        self._gtts = Gtts(core)

    def answer(self, request: Request, now: int) -> Reply:
        """Return the answer, or what is planned instead. The order book has faults of its own."""
        if request.parts == ["orders"]:
            return self._calls.book(now)
        for method, pattern, answer in _TABLE:
            args = _fit(pattern.split("/"), request.parts) if request.method == method else None
            if args is not None:
                return self._experienced(request, now, args, answer)
        return refused(NOT_FOUND)

    def _experienced(
        self, request: Request, now: int, args: tuple[str, ...], answer: "Callable[[Reads, _Asked], Reply]"
    ) -> Reply:
        return self._calls.other(
            request.method, request.path, now, lambda fault: answer(self, _Asked(request, now, fault, args))
        )

    # ---------------------------------------------------------------------------------- orders and account

    def history(self, asked: _Asked) -> Reply:
        """Return an order's states."""
        order = self._core.orders.get(asked.args[0])
        if order is None or order.day != self._core.trading_day:
            return refused(NO_ORDER)
        return success(history(order))

    def trades(self, asked: _Asked) -> Reply:
        """Return the day's trades, or those of an order."""
        as_of = asked.now - nanoseconds(asked.fault.lag)
        known = [trade for trade in self._core.desk.trades if trade.ts <= as_of]
        return success([trade.row() for trade in known if asked.args in ((), (trade.order_id,))])

    def profile(self, asked: _Asked) -> Reply:
        """Return who it is."""
        more = {"twofa_type": "totp", "tags": []} if "full" in asked.request.parts else {}
        return success({**PROFILE, "user_id": self._core.user, **more})

    def margins(self, asked: _Asked) -> Reply:
        """Return the funds of a segment, or of both."""
        segments = {name: self._funds(name) for name in self._core.desk.portfolio.opening}
        if not asked.args:
            return success(segments)
        return success(segments[asked.args[0]]) if asked.args[0] in segments else refused(NOT_FOUND)

    def _funds(self, segment: str) -> dict[str, Any]:
        return self._core.desk.portfolio.funds(segment, self._core.desk.checks.blocked(segment))

    # -------------------------------------------------------------------------------------------- portfolio

    def positions(self, _: _Asked) -> Reply:
        """Return the positions."""
        return success(self._core.desk.portfolio.position_rows())

    def convert(self, asked: _Asked) -> Reply:
        """Turn units of one product into another."""
        form = asked.request.form
        item = self._core.dump.by_key.get(f"{form.get('exchange')}:{form.get('tradingsymbol')}")
        quantity, side = form.get("quantity", ""), form.get("transaction_type", "")
        if item is None or not quantity.isdigit() or side not in set(Side):
            return refused(bad_input("Invalid conversion."))
        old, new = form.get("old_product", ""), form.get("new_product", "")
        done = self._core.desk.portfolio.convert(item, Side(side), int(quantity), old, new)
        return success(data=True) if done else refused(bad_input("There is not that much to convert."))

    def holdings(self, asked: _Asked) -> Reply:
        """Return the holdings, short or in full, or what they are worth altogether."""
        rows = self._core.desk.portfolio.holding_rows()
        match asked.request.parts[2:]:
            case ["compact"]:
                names = ("exchange", "tradingsymbol", "instrument_token", "t1_quantity", "quantity")
                return success([{name: row[name] for name in names} for row in rows])
            case ["summary"]:
                return success(_summary(rows))
            case ["auctions"]:
                return success([])
            case _:
                return success(rows)

    def authorise(self, _: _Asked) -> Reply:
        """Begin an authorisation at the depository; nothing here needs it."""
        return success({"request_id": "localauthorisation"})

    # ---------------------------------------------------------------------------------------------- market

    def dump(self, asked: _Asked) -> Reply:
        """Return the instruments as CSV."""
        return Reply(200, self._core.dump.csv(next(iter(asked.args), None)), CSV)

    def candles(self, asked: _Asked) -> Reply:
        """Return historical candles."""
        token, interval = asked.args
        return self._quotes.candles(token, interval, asked.request.query)

    def quotes(self, asked: _Asked) -> Reply:
        """Return quotes, with all or a part of what they hold."""
        return self._quotes.quotes(list(asked.args), asked.request.query.get("i", []), asked.now)

    def calculated(self, asked: _Asked) -> Reply:
        """Return margins or charges of orders that nobody has placed."""
        request = asked.request
        return self._calculators.answer(request.parts[0], asked.args[0], request.query, request.body)

    def gtt(self, asked: _Asked) -> Reply:
        """Keep, show, change or delete a GTT."""
        return self._gtts.answer(asked.request.method, list(asked.args), asked.request.form, asked.now)


_TABLE: Final[tuple[tuple[str, str, Callable[[Reads, _Asked], Reply]], ...]] = (
    ("GET", "orders/*", Reads.history),
    ("GET", "orders/*/trades", Reads.trades),
    ("GET", "trades", Reads.trades),
    ("GET", "user/profile", Reads.profile),
    ("GET", "user/profile/full", Reads.profile),
    ("GET", "user/margins", Reads.margins),
    ("GET", "user/margins/*", Reads.margins),
    ("GET", "portfolio/positions", Reads.positions),
    ("PUT", "portfolio/positions", Reads.convert),
    ("GET", "portfolio/holdings", Reads.holdings),
    ("GET", "portfolio/holdings/*", Reads.holdings),
    ("POST", "portfolio/holdings/authorise", Reads.authorise),
    ("GET", "instruments", Reads.dump),
    ("GET", "instruments/*", Reads.dump),
    ("GET", "instruments/historical/*/*", Reads.candles),
    ("GET", "quote", Reads.quotes),
    ("GET", "quote/*", Reads.quotes),
    ("POST", "margins/*", Reads.calculated),
    ("POST", "charges/*", Reads.calculated),
    ("GET", "gtt/triggers", Reads.gtt),
    ("POST", "gtt/triggers", Reads.gtt),
    ("GET", "gtt/triggers/*", Reads.gtt),
    ("PUT", "gtt/triggers/*", Reads.gtt),
    ("DELETE", "gtt/triggers/*", Reads.gtt),
)


def _fit(pattern: list[str], parts: list[str]) -> tuple[str, ...] | None:
    """Return what stands for the stars, None if the address is another."""
    if len(pattern) != len(parts):
        return None
    pairs = list(zip(pattern, parts, strict=True))
    fits = all(wanted in ("*", given) for wanted, given in pairs)
    return tuple(given for wanted, given in pairs if wanted == "*") if fits else None


def _summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    units = [(row, row["quantity"] + row["t1_quantity"]) for row in rows]
    invested = sum((Decimal(row["average_price"]) * count for row, count in units), Decimal(0))
    value = sum((Decimal(row["last_price"]) * count for row, count in units), Decimal(0))
    today = sum((Decimal(row["day_change"]) * count for row, count in units), Decimal(0))
    return {
        "total_pnl": number(value - invested),
        "total_pnl_percent": number(round((value - invested) / invested * 100, 4)) if invested else 0,
        "today_pnl": number(today),
        "today_pnl_percent": number(round(today / (value - today) * 100, 4)) if value != today else 0,
        "invested_amount": number(invested),
        "current_value": number(value),
    }
