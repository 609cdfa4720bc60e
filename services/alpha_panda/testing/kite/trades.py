"""What traded, and what the trades come to: Kite's positions and holdings.

Arithmetic of positions, found by recomputing the published sample rows: value = sell_value - buy_value, and values
include the multiplier; pnl = value + quantity * last_price * multiplier; m2m the same with the overnight part priced at
the last close; average_price is 0 when flat. `net` is carried and today's together, `day` is today's alone.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from alpha_panda.contracts.enums import Side
from alpha_panda.contracts.events import ZERO

from .instruments import KiteInstrument
from .wire import number, rounded, stamp

_PLACES = 4


@dataclass(frozen=True, slots=True)
class KiteTrade:
    """One fill. `ts` in UTC ns, `received_at` when its order came."""

    trade_id: str
    order_id: str
    exchange_id: str
    tag: str
    instrument: KiteInstrument
    product: str
    side: Side
    quantity: int
    price: Decimal
    ts: int
    received_at: int

    @property
    def instrument_token(self) -> int:
        """The token of what traded."""
        return self.instrument.token

    @property
    def money(self) -> Decimal:
        """Rupees that changed hands: price * quantity * multiplier."""
        return self.price * self.quantity * self.instrument.multiplier

    def row(self) -> dict[str, Any]:
        """Return the trade as `GET /trades` shows it."""
        return {
            "trade_id": self.trade_id,
            "order_id": self.order_id,
            "exchange": self.instrument.exchange,
            "tradingsymbol": self.instrument.tradingsymbol,
            "instrument_token": self.instrument.token,
            "product": self.product,
            "average_price": number(self.price),
            "quantity": self.quantity,
            "exchange_order_id": self.exchange_id,
            "transaction_type": self.side.value,
            "fill_timestamp": stamp(self.ts),
            "order_timestamp": (stamp(self.received_at) or "")[11:],
            "exchange_timestamp": stamp(self.ts),
        }


@dataclass(slots=True)
class Turnover:
    """Bought and sold: units and rupees."""

    bought: int = 0
    paid: Decimal = ZERO
    sold: int = 0
    got: Decimal = ZERO

    def add(self, side: Side, quantity: int, money: Decimal) -> None:
        """Count a trade."""
        if side is Side.BUY:
            self.bought += quantity
            self.paid += money
        else:
            self.sold += quantity
            self.got += money

    @property
    def net(self) -> int:
        """Units that are held because of it."""
        return self.bought - self.sold


@dataclass(slots=True)
class Position:
    """What is held of one instrument as one product. `carried` units at `carried_price`, from the days before."""

    instrument: KiteInstrument
    product: str
    day: Turnover
    carried: int = 0
    carried_price: Decimal = ZERO
    close: Decimal = ZERO

    @property
    def quantity(self) -> int:
        """Units held, below 0 if sold short."""
        return self.carried + self.day.net

    @property
    def whole(self) -> Turnover:
        """Carried and today's."""
        return self._with_carried(self.carried_price)

    def _with_carried(self, price: Decimal) -> Turnover:
        whole = Turnover(self.day.bought, self.day.paid, self.day.sold, self.day.got)
        if self.carried:
            side = Side.BUY if self.carried > 0 else Side.SELL
            units = abs(self.carried)
            whole.add(side, units, units * price * self.instrument.multiplier)
        return whole

    def average(self, turnover: Turnover) -> Decimal:
        """Return the price of what is held; 0 if nothing is."""
        units, money = (turnover.bought, turnover.paid) if turnover.net > 0 else (turnover.sold, turnover.got)
        return _price(money, units, self.instrument) if turnover.net else ZERO

    def row(self, last: Decimal, *, today_alone: bool) -> dict[str, Any]:
        """Return the position as `net` or (`today_alone`) as `day` shows it."""
        item = self.instrument
        turnover = self.day if today_alone else self.whole
        marked = self.day if today_alone else self._with_carried(self.close)
        worth = turnover.net * last * item.multiplier
        pnl = turnover.got - turnover.paid + worth
        money = {
            "average_price": self.average(turnover),
            "close_price": self.close,
            "last_price": last,
            "value": turnover.got - turnover.paid,
            "pnl": pnl,
            "m2m": marked.got - marked.paid + worth,
            "unrealised": pnl,
            "realised": ZERO,
            "buy_price": _price(turnover.paid, turnover.bought, item),
            "buy_value": turnover.paid,
            "buy_m2m": marked.paid,
            "sell_price": _price(turnover.got, turnover.sold, item),
            "sell_value": turnover.got,
            "sell_m2m": marked.got,
            "day_buy_price": _price(self.day.paid, self.day.bought, item),
            "day_buy_value": self.day.paid,
            "day_sell_price": _price(self.day.got, self.day.sold, item),
            "day_sell_value": self.day.got,
        }
        return {
            "tradingsymbol": item.tradingsymbol,
            "exchange": item.exchange,
            "instrument_token": item.token,
            "product": self.product,
            "quantity": turnover.net,
            "overnight_quantity": 0 if today_alone else self.carried,
            "multiplier": item.multiplier,
            "buy_quantity": turnover.bought,
            "sell_quantity": turnover.sold,
            "day_buy_quantity": self.day.bought,
            "day_sell_quantity": self.day.sold,
            **{name: number(value) for name, value in money.items()},
        }


def _price(money: Decimal, units: int, item: KiteInstrument) -> Decimal:
    return rounded(money / units / item.multiplier, _PLACES) if units else ZERO


@dataclass(slots=True)
class Holding:
    """Shares in the demat account. `fresh`: bought yesterday (T1); `used`: sold today."""

    instrument: KiteInstrument
    quantity: int
    average: Decimal
    fresh: int = 0
    used: int = 0

    @property
    def sellable(self) -> int:
        """What is left to sell."""
        return self.quantity + self.fresh - self.used

    def settle(self) -> int:
        """End a day: what was fresh is settled, what was sold is gone; return how many were sold."""
        sold = self.used
        self.quantity, self.fresh, self.used = self.sellable, 0, 0
        return sold

    def row(self, last: Decimal, close: Decimal) -> dict[str, Any]:
        """Return the holding as `GET /portfolio/holdings` shows it."""
        units = self.quantity + self.fresh
        change = last - close
        return {
            "tradingsymbol": self.instrument.tradingsymbol,
            "exchange": self.instrument.exchange,
            "instrument_token": self.instrument.token,
            "isin": self.instrument.isin,
            "product": "CNC",
            "price": 0,
            "quantity": self.quantity,
            "used_quantity": self.used,
            "t1_quantity": self.fresh,
            "realised_quantity": self.quantity,
            "authorised_quantity": 0,
            "authorised_date": "2025-01-17 00:00:00",
            "authorisation": {},
            "opening_quantity": units,
            "short_quantity": 0,
            "collateral_quantity": 0,
            "collateral_type": "",
            "discrepancy": False,
            "average_price": number(rounded(self.average, _PLACES)),
            "last_price": number(last),
            "close_price": number(close),
            "pnl": number(rounded((last - self.average) * units, _PLACES)),
            "day_change": number(change),
            "day_change_percentage": number(rounded(change / close * 100, _PLACES)) if close else 0,
            "mtf": {"quantity": 0, "used_quantity": 0, "average_price": 0, "value": 0, "initial_margin": 0},
        }


def totals(trades: Iterable[KiteTrade]) -> dict[int, Decimal]:
    """Return what trades come to, by token; without those that come to nothing."""
    held: dict[int, Decimal] = {}
    for trade in trades:
        held[trade.instrument_token] = (
            held.get(trade.instrument_token, ZERO) + trade.side.sign * trade.quantity
        )
    return {token: quantity for token, quantity in held.items() if quantity}
