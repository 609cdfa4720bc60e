"""An account's open orders, with what the checks ask of them kept at hand, so that no decision adds up all of them.

Sums are exact, so they don't depend on what was added and taken away before.
"""

from collections.abc import Collection, Iterable, Iterator

from alpha_panda.contracts.enums import Side, SignalClass
from alpha_panda.contracts.events import ZERO
from alpha_panda.domain.exact import minus, plus
from alpha_panda.domain.risk.facts import OpenOrder


class OrderGroup(Collection[OpenOrder]):
    """Open orders in the order in which they came; `values` in money by side, `covered` of those cash must cover.

    Cash covers BUYs and increasing SELLs.
    """

    def __init__(self) -> None:
        self.values = {Side.BUY: ZERO, Side.SELL: ZERO}
        self.covered = {Side.BUY: ZERO, Side.SELL: ZERO}
        self._orders: dict[str, OpenOrder] = {}

    def __iter__(self) -> Iterator[OpenOrder]:
        return iter(self._orders.values())

    def __len__(self) -> int:
        return len(self._orders)

    def __contains__(self, order: object) -> bool:
        return isinstance(order, OpenOrder) and self._orders.get(order.signal_id) == order

    def get(self, signal_id: str) -> OpenOrder | None:
        """Return the order of a signal."""
        return self._orders.get(signal_id)

    def put(self, order: OpenOrder) -> None:
        """Add an order, or replace what is known of it."""
        known = self._orders.get(order.signal_id)
        if known is not None:
            self._subtract(known)
        self._orders[order.signal_id] = order
        self.values[order.side] = plus(self.values[order.side], order.value)
        if _is_covered(order):
            self.covered[order.side] = plus(self.covered[order.side], order.value)

    def drop(self, signal_id: str) -> None:
        """Forget an order that has ended."""
        self._subtract(self._orders.pop(signal_id))

    def _subtract(self, order: OpenOrder) -> None:
        self.values[order.side] = minus(self.values[order.side], order.value)
        if _is_covered(order):
            self.covered[order.side] = minus(self.covered[order.side], order.value)


NO_ORDERS = OrderGroup()


class OpenOrders(Collection[OpenOrder]):
    """All open orders of an account, by strategy and by instrument. An order's strategy and instrument never change."""

    def __init__(self, orders: Iterable[OpenOrder] = ()) -> None:
        self.account = OrderGroup()
        self._by_strategy: dict[str, OrderGroup] = {}
        self._by_token: dict[int, dict[str, OpenOrder]] = {}
        for order in orders:
            self.put(order)

    def __iter__(self) -> Iterator[OpenOrder]:
        return iter(self.account)

    def __len__(self) -> int:
        return len(self.account)

    def __contains__(self, order: object) -> bool:
        return order in self.account

    def strategy(self, strategy_id: str) -> OrderGroup:
        """Return the orders of a strategy; not to be changed."""
        return self._by_strategy.get(strategy_id, NO_ORDERS)

    def on_token(self, token: int) -> Collection[OpenOrder]:
        """Return the orders on an instrument."""
        return self._by_token.get(token, {}).values()

    def put(self, order: OpenOrder) -> None:
        """Add an order, or replace what is known of it."""
        self.account.put(order)
        self._by_strategy.setdefault(order.strategy_id, OrderGroup()).put(order)
        self._by_token.setdefault(order.instrument_token, {})[order.signal_id] = order

    def drop(self, signal_id: str) -> None:
        """Forget an order that has ended; nothing happens if it is none of these."""
        order = self.account.get(signal_id)
        if order is None:
            return
        self.account.drop(signal_id)
        self._by_strategy[order.strategy_id].drop(signal_id)
        del self._by_token[order.instrument_token][signal_id]


def _is_covered(order: OpenOrder) -> bool:
    return order.side is Side.BUY or order.signal_class is SignalClass.INCREASING
