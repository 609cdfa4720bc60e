"""What Kite looks at once an order has its row: the money, the shares, the day's range of prices."""

from collections.abc import Callable, Iterable
from decimal import Decimal

from alpha_panda.contracts.enums import Side
from alpha_panda.contracts.events import ZERO

from .config import KiteConfig
from .market import Market
from .orders import KiteOrder, Terms
from .portfolio import Portfolio, segment_of
from .wire import number, rounded


class RiskChecks:
    """Says in Kite's words what an order lacks. `orders`: those that may still fill."""

    def __init__(
        self,
        config: Callable[[], KiteConfig],
        market: Market,
        portfolio: Portfolio,
        orders: Callable[[], Iterable[KiteOrder]],
    ) -> None:
        self._config = config
        self._market = market
        self._portfolio = portfolio
        self._orders = orders

    def refusal(self, order: KiteOrder) -> str | None:
        """Return why an order that has its row is refused."""
        return self._outside_band(order) or self.want_of_funds(order.terms, order)

    def blocks(self, order: KiteOrder) -> Decimal:
        """Return the rupees that an order blocks."""
        price = order.price or self._market.price(order.terms.instrument.token)
        return self._portfolio.margin(order.terms, price)

    def blocked(self, segment: str) -> Decimal:
        """Return the rupees that open orders block."""
        mine = (order for order in self._orders() if segment_of(order.terms.instrument) == segment)
        return sum((order.blocked for order in mine), ZERO)

    def want_of_funds(self, terms: Terms, order: KiteOrder | None = None) -> str | None:
        """Return Kite's words if the order costs more than there is; `order`: its row, if it has one."""
        if not self._config().check_funds:
            return None
        if terms.product == "CNC" and terms.side is Side.SELL:
            return self._want_of_shares(terms, order)
        price = terms.price or self._market.price(terms.instrument.token)
        required = self._portfolio.margin(terms, price)
        segment = segment_of(terms.instrument)
        available = rounded(self._portfolio.available(segment, self.blocked(segment)), 2)
        if required <= max(available, ZERO):
            return None
        return (
            f"Insufficient funds. Required margin is {required:.2f} but available margin is {available:.2f}."
        )

    def _want_of_shares(self, terms: Terms, own: KiteOrder | None) -> str | None:
        """Shares sold for delivery must be there. Guess: the text."""
        waiting = sum(
            order.missing
            for order in self._orders()
            if order is not own
            and order.terms.instrument is terms.instrument
            and (order.terms.product, order.terms.side) == ("CNC", Side.SELL)
        )
        there = self._portfolio.sellable(terms.instrument) - waiting
        if terms.quantity <= there:
            return None
        return f"Insufficient stock holding. Available quantity is {max(0, there)}."

    def _outside_band(self, order: KiteOrder) -> str | None:
        low, high = order.terms.instrument.limits
        if order.price and not low <= order.price <= high:
            return f"Order price is out of the day's range {number(low)} to {number(high)}."  # guess
        return None
