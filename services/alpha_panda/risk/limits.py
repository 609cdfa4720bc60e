"""From manifests to the limits and venue rules that the gate takes."""

from decimal import Decimal

from alpha_panda.contracts.enums import OrderType, Validity
from alpha_panda.contracts.resources import BrokerAccount, Strategy
from alpha_panda.domain.risk.facts import VenueRules
from alpha_panda.domain.risk.limits import AccountLimits, Runaway, StrategyLimits
from alpha_panda.runtime.venues import ns_of


def account_limits(account: BrokerAccount) -> AccountLimits:
    """Return the account's limits; a paper account sets aside what slippage and commission may cost."""
    risk, paper = account.spec.risk, account.spec.paper
    costs = Decimal(0) if paper is None else Decimal(paper.slippage_bps) + Decimal(paper.commission_bps)
    return AccountLimits(
        max_order_quantity=risk.max_order_quantity,
        max_order_value=risk.max_order_value,
        price_collar_bps=risk.price_collar_bps,
        max_position=risk.max_position,
        max_open_orders=risk.max_open_orders,
        max_open_order_value=risk.max_open_order_value,
        max_gross_exposure=risk.max_gross_exposure,
        max_net_exposure=risk.max_net_exposure,
        max_orders_per_second=risk.max_orders_per_second,
        max_orders_per_minute=risk.max_orders_per_minute,
        max_orders_per_day=risk.max_orders_per_day,
        max_daily_loss=risk.max_daily_loss,
        max_drawdown=risk.max_drawdown,
        allow_short=risk.allow_short and (paper is None or paper.allow_short),
        signal_max_age=ns_of(risk.signal_max_age_seconds),
        runaway=None
        if risk.runaway is None
        else Runaway(signals=risk.runaway.signals, seconds=risk.runaway.seconds),
        cost_allowance_bps=costs,
        short_margin_ratio=Decimal(1) if paper is None else Decimal(paper.short_margin_ratio),
    )


def strategy_limits(strategy: Strategy) -> StrategyLimits:
    """Return the strategy's own limits."""
    risk = strategy.spec.risk
    return StrategyLimits(
        max_order_quantity=risk.max_order_quantity,
        max_order_value=risk.max_order_value,
        max_position=risk.max_position,
        max_orders_per_minute=risk.max_orders_per_minute,
        max_daily_loss=risk.max_daily_loss,
        max_drawdown=risk.max_drawdown,
    )


def venue_rules(account: BrokerAccount) -> VenueRules:
    """Return which orders the account takes; absent lists mean all that the venue takes."""
    spec = account.spec
    return VenueRules(
        order_types=tuple(OrderType) if spec.order_types is None else spec.order_types,
        validities=tuple(Validity) if spec.validities is None else spec.validities,
    )
