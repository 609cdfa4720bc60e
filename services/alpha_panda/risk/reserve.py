"""What has been decided since the broker last told its cash, and what the broker therefore may not know of yet."""

from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from alpha_panda.contracts.enums import Side, SignalClass, Verdict
from alpha_panda.contracts.events import ZERO, Signal
from alpha_panda.contracts.stored import Decision
from alpha_panda.domain.exact import wide
from alpha_panda.domain.risk.checks_exposure import cash_needed
from alpha_panda.domain.risk.limits import AccountLimits


class _Order(NamedTuple):
    decided_at: int
    side: Side
    value: Decimal


@dataclass(slots=True)
class Reserve:
    """The increasing orders that were decided lately, each in full: also what of them has traded, for that is paid.

    `within` (ns): how long an order may take from its decision to the broker.
    """

    within: int
    _orders: dict[str, _Order] = field(default_factory=dict)

    def note(self, decision: Decision) -> None:
        """Take note of a decision."""
        signal, price = decision.signal, decision.reference_price
        if decision.verdict is not Verdict.VALIDATED or decision.signal_class is not SignalClass.INCREASING:
            return
        if isinstance(signal, Signal) and price is not None:
            with wide():
                value = signal.quantity * price
            self._orders[signal.signal_id] = _Order(decision.decided_at, signal.side, value)

    def drop(self, signal_id: str) -> None:
        """Forget an order that ended without a fill."""
        self._orders.pop(signal_id, None)

    def left(
        self, cash: Decimal, cash_at: int, limits: AccountLimits, is_placed: Callable[[str], bool]
    ) -> Decimal:
        """Return what is left of the broker's cash as of `cash_at` (UTC ns).

        An order that was decided well before, and that reached the broker, is in the broker's own figure: it is
        forgotten. Around that moment it may be counted twice, until the next reading.
        """
        for signal_id, order in [*self._orders.items()]:
            if order.decided_at <= cash_at - self.within and is_placed(signal_id):
                del self._orders[signal_id]
        with wide():
            taken = (cash_needed(order.side, order.value, limits) for order in self._orders.values())
            return cash - sum(taken, ZERO)
