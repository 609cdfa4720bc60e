"""Sizes: of the order, of the position, of what is open, of the whole book, of the cash. None binds reducing orders.

All are taken on confirmed positions plus every open order of the order's side (or less it): nothing that is open
is netted against anything else that is open, so no subset of fills can break a limit.
"""

from decimal import Decimal
from typing import Final

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import Side, SignalClass
from alpha_panda.domain.risk.case import Case, ScopeCase
from alpha_panda.domain.risk.limits import AccountLimits
from alpha_panda.domain.risk.outcome import PASSED, Outcome, at_most, passed, refused

_BASIS_POINTS: Final = Decimal(10_000)


def max_order_quantity(case: Case, scope: ScopeCase) -> Outcome | None:
    """Limit the quantity of this order."""
    limit = scope.limits.max_order_quantity
    if limit is None:
        return None
    return at_most(Code.MAX_ORDER_QUANTITY, f"{scope.label}: quantity", case.signal.quantity, limit)


def max_order_value(case: Case, scope: ScopeCase) -> Outcome | None:
    """Limit the value of this order at its reference price."""
    limit = scope.limits.max_order_value
    if limit is None:
        return None
    return at_most(Code.MAX_ORDER_VALUE, f"{scope.label}: value", case.value, limit)


def opposite_reduction(case: Case) -> Outcome:
    """Check that no reducing order of this side is open: an increasing one beside it could carry it across zero."""
    side = case.signal.side
    for order in case.own_orders:
        if order.side is side and order.signal_class is SignalClass.REDUCING and order.open_quantity > 0:
            message = f"reducing {side} order {order.signal_id} is still open for {order.open_quantity}"
            return refused(Code.REDUCTION_OPEN, message, order.open_quantity, 0)
    return PASSED


def max_position(case: Case, scope: ScopeCase) -> Outcome | None:
    """Limit the position if all that is open on this side fills; the other direction is not this order's doing."""
    side, limit = case.signal.side, scope.limits.max_position
    if limit is None:
        return None
    worst = side.sign * scope.worst_quantity(side, case.signal.quantity)
    return at_most(Code.MAX_POSITION, f"{scope.label}: position with open {side} orders", worst, limit)


def short(case: Case, scope: ScopeCase) -> Outcome | None:
    """Check that nothing is sold that is not held, where going short is not allowed."""
    allowed = scope.limits.allow_short and case.facts.account.limits.allow_short
    if allowed or case.signal.side is Side.BUY:
        return None
    worst = scope.worst_quantity(Side.SELL, case.signal.quantity)
    if worst >= 0:
        return passed(worst, 0)
    message = f"{scope.label}: the position with open SELL orders would be {worst}"
    return refused(Code.SHORT_NOT_ALLOWED, message, worst, 0)


def max_open_orders(case: Case, scope: ScopeCase) -> Outcome | None:
    """Limit the count of open orders with this one."""
    del case
    limit = scope.limits.max_open_orders
    if limit is None:
        return None
    return at_most(Code.MAX_OPEN_ORDERS, f"{scope.label}: open orders", len(scope.orders) + 1, limit)


def max_open_order_value(case: Case, scope: ScopeCase) -> Outcome | None:
    """Limit the value of all open orders, both sides added, with this one."""
    limit = scope.limits.max_open_order_value
    if limit is None:
        return None
    what = f"{scope.label}: value of open orders"
    return at_most(Code.MAX_OPEN_ORDER_VALUE, what, scope.open_value + case.value, limit)


def max_gross_exposure(case: Case, scope: ScopeCase) -> Outcome | None:
    """Limit the sum over instruments of the greatest absolute exposure that open orders may lead to."""
    limit = scope.limits.max_gross_exposure
    if limit is None:
        return None
    worst = scope.worst_gross(case.signal.side, case.value, case.marks)
    return at_most(Code.MAX_GROSS_EXPOSURE, f"{scope.label}: gross exposure", worst, limit)


def max_net_exposure(case: Case, scope: ScopeCase) -> Outcome | None:
    """Limit the net exposure in this order's direction, if all that is open on its side fills."""
    limit = scope.limits.max_net_exposure
    if limit is None:
        return None
    worst = case.signal.side.sign * scope.worst_net(case.signal.side, case.value, case.marks)
    return at_most(Code.MAX_NET_EXPOSURE, f"{scope.label}: net exposure", worst, limit)


def funds(case: Case) -> Outcome | None:
    """Check that free cash covers this order and all that is open, BUYs and increasing SELLs each in full.

    Free is the cash less what backs the shorts held: their value (the proceeds, which buy them back) and the margin
    ratio of it. A BUY takes its value with the allowance for slippage and fees, an increasing SELL the margin ratio
    of its value, whatever of it covers a long position: the two sides are added, never netted.

    A live account's order must be covered by the broker's own cash as well.
    """
    if not case.facts.account_reconciled:
        return None  # the order is refused for that; what cash there is nobody knows
    limits = case.facts.account.limits
    cash = case.facts.broker_cash
    if cash is not None and (needed := cash_needed(case.signal.side, case.value, limits)) > cash:
        what = "more than the broker's cash, less what was decided since it was told"
        return at_most(Code.INSUFFICIENT_FUNDS, what, needed, cash)
    values = dict(case.orders.account.covered)
    values[case.signal.side] += case.value
    spent = values[Side.BUY] * (_BASIS_POINTS + limits.cost_allowance_bps) / _BASIS_POINTS
    needed = spent + values[Side.SELL] * limits.short_margin_ratio
    free = case.facts.cash - (1 + limits.short_margin_ratio) * case.short_value
    return at_most(Code.INSUFFICIENT_FUNDS, "what open orders may take of the free cash", needed, free)


def cash_needed(side: Side, value: Decimal, limits: AccountLimits) -> Decimal:
    """Return the cash that an order of that value takes: a BUY with its costs, an increasing SELL its margin."""
    if side is Side.BUY:
        return value * (_BASIS_POINTS + limits.cost_allowance_bps) / _BASIS_POINTS
    return value * limits.short_margin_ratio
