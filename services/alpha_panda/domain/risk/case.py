"""One signal to judge: the facts, and what several checks derive from them, each computed once and when needed.

A check that touches something which can't be derived raises, and so fails; the others are not disturbed.
"""

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property

from alpha_panda.contracts.enums import OrderType, Side, SignalClass
from alpha_panda.contracts.events import ZERO, Signal
from alpha_panda.contracts.instruments import Instrument
from alpha_panda.domain.book import Prices, quantity_of
from alpha_panda.domain.exact import plus
from alpha_panda.domain.risk.facts import OpenOrder, RiskFacts, ScopeFacts
from alpha_panda.domain.risk.limits import AccountLimits, Limits, StrategyLimits
from alpha_panda.domain.risk.open_orders import OpenOrders, OrderGroup
from alpha_panda.domain.risk.payload import signal_faults
from alpha_panda.domain.risk.position import OpenQuantity, classify, open_quantity, own_orders
from alpha_panda.domain.risk.shorts import remarked, shorts_at

Scope = ScopeFacts[StrategyLimits] | ScopeFacts[AccountLimits]


@dataclass(frozen=True)
class ScopeCase:
    """A scope's facts with its open orders, all and on the instrument; `label` names the scope in checks."""

    label: str
    facts: Scope
    orders: OrderGroup
    on_token: Collection[OpenOrder]
    token: int

    @property
    def limits(self) -> Limits:
        """The scope's limits."""
        return self.facts.limits

    @cached_property
    def quantity(self) -> Decimal:
        """Confirmed signed position in the signal's instrument."""
        return quantity_of(self.facts.positions, self.token)

    @cached_property
    def opens(self) -> OpenQuantity:
        """What the scope's open orders on the instrument may still buy and sell."""
        return open_quantity(self.on_token)

    @property
    def open_value(self) -> Decimal:
        """Value of all open orders of the scope."""
        return plus(self.orders.values[Side.BUY], self.orders.values[Side.SELL])

    def worst_quantity(self, side: Side, quantity: Decimal) -> Decimal:
        """Position if this order and every open one of its side filled, and none of the other side."""
        return self.quantity + side.sign * (self.opens.of(side) + quantity)

    def worst_net(self, side: Side, value: Decimal, marks: Prices) -> Decimal:
        """Net exposure if this order and every open one of its side filled, and none of the other side."""
        held = sum(self._held_values(marks).values(), ZERO)
        return held + side.sign * (self.orders.values[side] + value)

    def worst_gross(self, side: Side, value: Decimal, marks: Prices) -> Decimal:
        """Sum over instruments of the greater absolute exposure of the two that the open orders may lead to."""
        held = self._held_values(marks)
        buys, sells = self._by_token(Side.BUY), self._by_token(Side.SELL)
        mine = buys if side is Side.BUY else sells
        mine[self.token] = mine.get(self.token, ZERO) + value
        # A dict, not a set: the order of a sum of Decimals is the same in every run.
        tokens = dict.fromkeys((*held, *buys, *sells))
        return sum((_worst(held.get(t, ZERO), buys.get(t, ZERO), sells.get(t, ZERO)) for t in tokens), ZERO)

    def _held_values(self, marks: Prices) -> dict[int, Decimal]:
        return {token: item.value(marks.get(token)) for token, item in self.facts.positions.items()}

    def _by_token(self, side: Side) -> dict[int, Decimal]:
        values: dict[int, Decimal] = {}
        for order in self.orders:
            if order.side is side:
                values[order.instrument_token] = values.get(order.instrument_token, ZERO) + order.value
        return values


@dataclass(frozen=True)
class Case:
    """The facts about one signal, and what follows from them. Use under `exact.wide()`."""

    facts: RiskFacts

    @cached_property
    def orders(self) -> OpenOrders:
        """The account's open orders."""
        known = self.facts.open_orders
        return known if isinstance(known, OpenOrders) else OpenOrders(known)

    @cached_property
    def signal(self) -> Signal:
        """The signal to judge."""
        return self.facts.signal

    @cached_property
    def faults(self) -> tuple[str, ...]:
        """What is wrong with the signal's fields by themselves."""
        return tuple(signal_faults(self.signal))

    @property
    def instrument(self) -> Instrument:
        """The signal's instrument; ValueError if it is unknown."""
        if self.facts.instrument is None:
            raise ValueError(f"token {self.signal.instrument_token} is unknown")
        return self.facts.instrument

    @cached_property
    def own_orders(self) -> list[OpenOrder]:
        """The strategy's open orders on the instrument."""
        token = self.signal.instrument_token
        return own_orders(self.orders.on_token(token), self.signal.strategy_id, token)

    @cached_property
    def own_opens(self) -> OpenQuantity:
        """What the strategy's own open orders on the instrument may still buy and sell."""
        return open_quantity(self.own_orders)

    @cached_property
    def own_quantity(self) -> Decimal:
        """The strategy's confirmed position in the instrument."""
        return quantity_of(self.facts.strategy.positions, self.signal.instrument_token)

    @cached_property
    def signal_class(self) -> SignalClass:
        """Whether the order can only shrink the strategy's own confirmed position."""
        return classify(self.signal.side, self.signal.quantity, self.own_quantity, self.own_opens)

    @cached_property
    def reducing(self) -> bool:
        """Whether the order is of class REDUCING."""
        return self.signal_class is SignalClass.REDUCING

    @cached_property
    def last_price(self) -> Decimal:
        """Last price on the tick grid; ValueError if there is none."""
        quote = self.facts.price.quote
        if quote is None:
            raise ValueError(f"token {self.signal.instrument_token} has no price")
        return self.instrument.quantize(quote.last_price)

    @cached_property
    def reference_price(self) -> Decimal:
        """What one unit is valued at; ValueError where that takes a last price and there is none."""
        return reference_price(self.signal, self.last_price if self.facts.price.quote else None)

    @cached_property
    def value(self) -> Decimal:
        """Value of the order: quantity times reference price."""
        return self.signal.quantity * self.reference_price

    @cached_property
    def marks(self) -> Prices:
        """Last prices of what is held, the signal's instrument included."""
        return {**self.facts.marks, self.signal.instrument_token: self.last_price}

    @cached_property
    def short_value(self) -> Decimal:
        """Value of all short positions, not below zero: the strategies' own, or the account's net if those are more."""
        facts, token = self.facts, self.signal.instrument_token
        held, mark = facts.account.positions, facts.marks.get(token)
        known = facts.shorts or shorts_at(held, facts.books, facts.marks)
        net = known.net + remarked((held,), token, mark, self.last_price)
        return max(net, known.own + remarked(facts.books, token, mark, self.last_price))

    @cached_property
    def account(self) -> ScopeCase:
        """The account's side of the case."""
        token, orders = self.signal.instrument_token, self.orders
        return ScopeCase("account", self.facts.account, orders.account, orders.on_token(token), token)

    @cached_property
    def strategy(self) -> ScopeCase:
        """The strategy's side of the case."""
        mine = self.orders.strategy(self.signal.strategy_id)
        return ScopeCase("strategy", self.facts.strategy, mine, self.own_orders, self.signal.instrument_token)


def reference_price(signal: Signal, last_price: Decimal | None) -> Decimal:
    """Return the price that an order is valued at: the worst it can trade at, slippage of MARKET and STOP aside.

    MARKET: the last price. A BUY pays at most its limit, or at a stop's trigger (the last price, where the stop
    is through already). A SELL brings its limit or the last price if that is higher; a stop at most its trigger.
    ValueError where a price that this needs is missing; a SELL LIMIT does without the last one.
    """
    limit, trigger, buys = signal.limit_price, signal.trigger_price, signal.side is Side.BUY
    if signal.order_type is OrderType.MARKET:
        return _given(last_price)
    if signal.order_type is OrderType.STOP:
        return max(_given(trigger), last_price or ZERO) if buys else _given(trigger)
    if buys:
        return _given(limit)
    return max(_given(limit), (last_price if signal.order_type is OrderType.LIMIT else trigger) or ZERO)


def _given(price: Decimal | None) -> Decimal:
    if price is None:
        raise ValueError("a price is missing that the order's value depends on")
    return price


def _worst(held: Decimal, buys: Decimal, sells: Decimal) -> Decimal:
    return max(abs(held + buys), abs(held - sells))
