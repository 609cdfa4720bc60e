"""The account's book: cash, fees and positions, for the account and for each strategy's virtual share of it.

Everything is exact. A position keeps its cost (signed: what a long one cost, what a short one brought, negative)
instead of an average price, and three identities hold to the last digit for every book at any moment:

* quantity = sum of signed fills, cash = opening cash - sum of signed amounts - fees;
* of each position: cost - realized P&L = sum of its signed amounts, so closing a part may round the share of
  the cost that goes with it: what the share lacks stays in the position;
* equity - opening cash = realized + unrealized P&L - fees.

Strategies' quantities, fees and `cost - realized` add up to the account's, so their P&L at given prices does too;
realized alone need not: the account nets a long strategy against a short one.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Self

import msgspec

from alpha_panda.contracts.enums import Side, TradingState
from alpha_panda.contracts.events import ZERO, PortfolioSnapshot, PositionView, StrategyBookView
from alpha_panda.domain.exact import exact, quotient, share, tidy

Prices = Mapping[int, Decimal]
"""Last price by instrument token."""


class Position(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What is held of one instrument: signed quantity, signed cost, realized P&L before fees."""

    instrument_token: int
    symbol: str
    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    realized_pnl: Decimal = ZERO

    @property
    def average_price(self) -> Decimal:
        """Cost of one unit, for display: rounded to ten places; 0 when nothing is held."""
        if not self.quantity:
            return ZERO
        return quotient(self.cost, self.quantity)

    def trade(self, side: Side, quantity_delta: Decimal, amount_delta: Decimal) -> None:
        """Add a fill, or take one back (negative deltas). Call under `exact()`.

        A quantity of zero is a change of price of what was traded before: it goes to the cost if that side opened
        what is held, else to the realized P&L.
        """
        quantity, amount = side.sign * quantity_delta, side.sign * amount_delta
        if not quantity:
            self._reprice(side, amount)
        elif self.quantity * quantity >= 0:
            self.quantity, self.cost = tidy(self.quantity + quantity), tidy(self.cost + amount)
        else:
            self._reduce(quantity, amount)

    def _reprice(self, side: Side, amount: Decimal) -> None:
        if self.quantity * side.sign > 0:
            self.cost = tidy(self.cost + amount)
        else:
            self.realized_pnl = tidy(self.realized_pnl - amount)

    def _reduce(self, quantity: Decimal, amount: Decimal) -> None:
        """Close a part or all, and open the other side with what is left of the fill."""
        closed = min(abs(quantity), abs(self.quantity))
        cost = share(self.cost, closed, abs(self.quantity))
        paid = share(amount, closed, abs(quantity))
        self.realized_pnl = tidy(self.realized_pnl - paid - cost)
        self.cost = tidy(self.cost - cost + amount - paid)
        self.quantity = tidy(self.quantity + quantity)

    def value(self, price: Decimal | None) -> Decimal:
        """Signed value at the price; without one at the average price, which is the cost, exactly."""
        return self.cost if price is None else self.quantity * price

    def view(self, price: Decimal | None) -> PositionView:
        """Return the position as a snapshot shows it; no `last_price` says that it is marked at its average."""
        return PositionView(
            instrument_token=self.instrument_token,
            symbol=self.symbol,
            quantity=self.quantity,
            average_price=self.average_price,
            last_price=price,
            realized_pnl=self.realized_pnl,
            unrealized_pnl=tidy(self.value(price) - self.cost),
        )


Positions = dict[int, Position]


class StrategyBook(msgspec.Struct, kw_only=True):
    """A strategy's virtual share of the account's book."""

    fees: Decimal = ZERO
    positions: Positions = {}

    def quantity(self, token: int) -> Decimal:
        """Signed quantity of the strategy's own position."""
        return quantity_of(self.positions, token)

    def net_pnl(self, prices: Prices) -> Decimal:
        """Return realized + unrealized P&L - fees: what the strategy has made in all."""
        with exact():
            return tidy(_realized(self.positions) + _unrealized(self.positions, prices) - self.fees)

    def view(self, prices: Prices) -> StrategyBookView:
        """Return the book as a snapshot shows it."""
        with exact():
            return StrategyBookView(
                realized_pnl=_realized(self.positions),
                unrealized_pnl=_unrealized(self.positions, prices),
                fees=self.fees,
                positions=_views(self.positions, prices),
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Marking:
    """A book at given prices. `unpriced` are the symbols held that had none and are valued at their average."""

    opening_cash: Decimal
    cash: Decimal
    equity: Decimal
    realized_pnl: Decimal
    unrealized_pnl: Decimal
    fees: Decimal
    gross_exposure: Decimal
    net_exposure: Decimal
    positions: dict[str, PositionView]
    strategies: dict[str, StrategyBookView]
    unpriced: tuple[str, ...]

    def snapshot(self, open_orders: int, trading_state: TradingState, reason: str = "") -> PortfolioSnapshot:
        """Return the event's payload; unpriced symbols are named in `reason`."""
        note = f"no price, valued at average: {', '.join(self.unpriced)}" if self.unpriced else ""
        return PortfolioSnapshot(
            opening_cash=self.opening_cash,
            cash=self.cash,
            equity=self.equity,
            realized_pnl=self.realized_pnl,
            unrealized_pnl=self.unrealized_pnl,
            fees=self.fees,
            gross_exposure=self.gross_exposure,
            net_exposure=self.net_exposure,
            positions=self.positions,
            strategies=self.strategies,
            open_orders=open_orders,
            trading_state=trading_state,
            reason="; ".join(part for part in (reason, note) if part),
        )


class Book(msgspec.Struct, kw_only=True):
    """An account's book. Mutable, and serialisable as it is (`msgspec.json`)."""

    opening_cash: Decimal
    cash: Decimal
    fees: Decimal = ZERO
    positions: Positions = {}
    strategies: dict[str, StrategyBook] = {}

    @classmethod
    def opened(cls, cash: Decimal) -> Self:
        """Return an empty book with that cash."""
        return cls(opening_cash=tidy(cash), cash=tidy(cash))

    @property
    def realized_pnl(self) -> Decimal:
        """Realized P&L of the account's positions, before fees."""
        with exact():
            return _realized(self.positions)

    def quantity(self, token: int) -> Decimal:
        """Signed quantity of the account's position."""
        return quantity_of(self.positions, token)

    def strategy(self, strategy_id: str) -> StrategyBook:
        """Return the strategy's own book; an empty one, not kept, if it has none."""
        return self.strategies.get(strategy_id) or StrategyBook()

    def apply(  # noqa: PLR0913, PLR0917 - the fields of a fold step and whose it is; a class for them would name them twice
        self,
        strategy_id: str,
        token: int,
        symbol: str,
        side: Side,
        quantity_delta: Decimal,
        amount_delta: Decimal,
        fees_delta: Decimal,
    ) -> None:
        """Book a step of an order's fold (`fold.FoldStep`), for the account and for the strategy.

        Deltas don't know the side. Negative ones take back: they are the reverse trade at that amount.
        """
        own = self.strategies.setdefault(strategy_id, StrategyBook())
        with exact():
            self.cash = tidy(self.cash - side.sign * amount_delta - fees_delta)
            self.fees = tidy(self.fees + fees_delta)
            own.fees = tidy(own.fees + fees_delta)
            if quantity_delta or amount_delta:
                for positions in (self.positions, own.positions):
                    held = positions.setdefault(token, Position(instrument_token=token, symbol=symbol))
                    held.trade(side, quantity_delta, amount_delta)

    def transfer(  # noqa: PLR0913, PLR0917 - as above, and from whom
        self,
        from_id: str,
        strategy_id: str,
        token: int,
        symbol: str,
        side: Side,
        quantity_delta: Decimal,
        amount_delta: Decimal,
    ) -> None:
        """Make a part of a trade that is booked under one strategy another's: the account has traded once."""
        with exact():
            for name, sign in ((strategy_id, 1), (from_id, -1)):
                positions = self.strategies.setdefault(name, StrategyBook()).positions
                held = positions.setdefault(token, Position(instrument_token=token, symbol=symbol))
                held.trade(side, sign * quantity_delta, sign * amount_delta)

    def reopen(self, opening_cash: Decimal) -> Decimal:
        """Set what the book began with; what has moved since stays. Return how much more cash that is."""
        with exact():
            more = tidy(opening_cash - self.opening_cash)
            self.opening_cash, self.cash = tidy(opening_cash), tidy(self.cash + more)
        return more

    def equity(self, prices: Prices) -> Decimal:
        """Return cash and positions at the prices (without one: at the average price)."""
        with exact():
            return tidy(self.cash + sum(_values(self.positions, prices), ZERO))

    def mark(self, prices: Prices) -> Marking:
        """Return the book at the prices."""
        with exact():
            net = tidy(sum(_values(self.positions, prices), ZERO))
            return Marking(
                opening_cash=self.opening_cash,
                cash=self.cash,
                equity=tidy(self.cash + net),
                realized_pnl=_realized(self.positions),
                unrealized_pnl=_unrealized(self.positions, prices),
                fees=self.fees,
                gross_exposure=tidy(sum(map(abs, _values(self.positions, prices)), ZERO)),
                net_exposure=net,
                positions=_views(self.positions, prices),
                strategies={name: self.strategies[name].view(prices) for name in sorted(self.strategies)},
                unpriced=_unpriced(self.positions, prices),
            )


def quantity_of(positions: Mapping[int, Position], token: int) -> Decimal:
    """Return the signed quantity held of a token."""
    held = positions.get(token)
    return ZERO if held is None else held.quantity


def _values(positions: Positions, prices: Prices) -> Iterable[Decimal]:
    return [held.value(prices.get(token)) for token, held in positions.items()]


def _realized(positions: Positions) -> Decimal:
    return tidy(sum([held.realized_pnl for held in positions.values()], ZERO))


def _unrealized(positions: Positions, prices: Prices) -> Decimal:
    """Return what the priced positions are worth more than they cost; one without a price is worth its cost."""
    priced = [(held, prices[token]) for token, held in positions.items() if token in prices]
    return tidy(sum([held.value(price) - held.cost for held, price in priced], ZERO))


def _views(positions: Positions, prices: Prices) -> dict[str, PositionView]:
    """Return the views by symbol, sorted; instruments that were traded and are flat again are among them."""
    held = sorted(positions.values(), key=lambda item: (item.symbol, item.instrument_token))
    return {item.symbol: item.view(prices.get(item.instrument_token)) for item in held}


def _unpriced(positions: Positions, prices: Prices) -> tuple[str, ...]:
    return tuple(
        sorted(item.symbol for token, item in positions.items() if item.quantity and token not in prices)
    )
