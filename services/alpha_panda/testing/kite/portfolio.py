"""Positions, holdings and funds.

Funds follow a rule of this local Kite, not Kite's: shares for delivery cost their whole price (and their sale brings it
back at once), intraday shares a fifth; futures 15 % of their value, 10 % intraday; bought options their premium, sold
ones 15 % of their strike. Charges are not taken.
"""

from decimal import Decimal
from typing import Any, Final

from alpha_panda.contracts.enums import Side
from alpha_panda.contracts.events import ZERO

from .config import KiteConfig
from .instruments import MCX, NCO, KiteInstrument
from .market import Market
from .orders import Terms
from .trades import Holding, KiteTrade, Position, Turnover
from .wire import number, rounded

INTRADAY: Final = frozenset({"MIS", "CO"})
_SHARES_RATE: Final = Decimal("0.2")
_FUTURE_RATE: Final = Decimal("0.15")
_FUTURE_INTRADAY_RATE: Final = Decimal("0.10")
_CENTS: Final = 2


class Portfolio:
    """What one client holds."""

    def __init__(self, config: KiteConfig, market: Market) -> None:
        self._market = market
        self.opening = {"equity": config.opening_cash, "commodity": config.commodity_cash}
        self.positions: dict[tuple[int, str], Position] = {}
        self.holdings: dict[int, Holding] = {}

    # ----------------------------------------------------------------------------------------- changes

    def add(self, trade: KiteTrade) -> None:
        """Book a trade; shares sold for delivery come out of the holdings first."""
        self._position(trade.instrument, trade.product).day.add(trade.side, trade.quantity, trade.money)
        holding = self.holdings.get(trade.instrument.token)
        if holding is not None and trade.product == "CNC" and trade.side is Side.SELL:
            holding.used += min(trade.quantity, holding.sellable)

    def hold(self, instrument: KiteInstrument, quantity: int, average: Decimal) -> None:
        """Put shares into the demat account, as if bought long ago."""
        self.holdings[instrument.token] = Holding(instrument, quantity, average)

    def carry(self, instrument: KiteInstrument, quantity: int, price: Decimal, product: str = "NRML") -> None:
        """Begin with a position from the days before."""
        position = self._position(instrument, product)
        position.carried, position.carried_price = quantity, price
        position.close = self._market.price(instrument.token)

    def convert(self, instrument: KiteInstrument, side: Side, quantity: int, old: str, new: str) -> bool:
        """Turn today's units of one product into another, at their price; whether there are that many."""
        position = self.positions.get((instrument.token, old))
        turnover = None if position is None else position.day
        if turnover is None or quantity <= 0 or turnover.net * side.sign < quantity:
            return False
        units, money = (turnover.bought, turnover.paid) if side is Side.BUY else (turnover.sold, turnover.got)
        moved = money * quantity / units
        self._position(instrument, new).day.add(side, quantity, moved)
        turnover.add(side, -quantity, -moved)
        return True

    def new_day(self) -> None:
        """Settle a day: profits into cash, delivered shares into holdings, positions are carried at their price."""
        for segment in self.opening:
            self.opening[segment] += sum((self._settled(p) for p in self._of(segment)), ZERO)
        used = {token: holding.settle() for token, holding in self.holdings.items()}
        for position in self.positions.values():
            if position.product == "CNC":
                self._deliver(position, used.get(position.instrument.token, 0))
            self._carry_over(position)
        self.holdings = {token: held for token, held in self.holdings.items() if held.sellable}
        self.positions = {key: position for key, position in self.positions.items() if position.carried}

    # ----------------------------------------------------------------------------------------- readings

    def position_rows(self) -> dict[str, list[dict[str, Any]]]:
        """Return the data of `GET /portfolio/positions`; flat rows stay for the day."""
        rows = [(p, self._market.price(p.instrument.token)) for p in self.positions.values()]
        today = [(p, last) for p, last in rows if p.day.bought or p.day.sold]
        return {
            "net": [position.row(last, today_alone=False) for position, last in rows],
            "day": [position.row(last, today_alone=True) for position, last in today],
        }

    def holding_rows(self) -> list[dict[str, Any]]:
        """Return the data of `GET /portfolio/holdings`."""
        rows = []
        for token, holding in self.holdings.items():
            quote = self._market.quotes[token]
            rows.append(holding.row(quote.price, quote.decimal(quote.close)))
        return rows

    def margin(self, terms: Terms, price: Decimal) -> Decimal:
        """Return what an order at this price blocks; nothing if it makes a position smaller."""
        position = self.positions.get((terms.instrument.token, terms.product))
        held = 0 if position is None else position.quantity
        if terms.product == "CNC" and terms.side is Side.SELL:
            return ZERO
        more = max(0, terms.quantity - max(0, -held * terms.side.sign))
        short = terms.side is Side.SELL
        return rounded(_cost(terms.instrument, terms.product, price, short=short) * more, _CENTS)

    def sellable(self, instrument: KiteInstrument) -> int:
        """Return how many shares may be sold for delivery."""
        holding = self.holdings.get(instrument.token)
        position = self.positions.get((instrument.token, "CNC"))
        bought = 0 if position is None else position.day.bought
        used = 0 if holding is None else holding.used
        sold = 0 if position is None else position.day.sold
        return (0 if holding is None else holding.sellable) + bought - (sold - used)

    def available(self, segment: str, blocked: Decimal) -> Decimal:
        """Return the money for new orders, with `blocked` by those that are open."""
        return self.opening[segment] - self.debits(segment) - blocked

    def debits(self, segment: str) -> Decimal:
        """Return what positions use, less what they have brought."""
        return sum((_used(position) for position in self._of(segment)), ZERO)

    def funds(self, segment: str, blocked: Decimal) -> dict[str, Any]:
        """Return the data of `GET /user/margins/{segment}`: net = live balance = opening balance - debits."""
        opening = self.opening[segment]
        debits = self.debits(segment) + blocked
        realised = sum((_realised(p) for p in self._of(segment) if p.product != "CNC"), ZERO)
        net = rounded(opening - debits, _CENTS)
        return {
            "enabled": True,
            "net": number(net),
            "available": {
                "adhoc_margin": 0,
                "cash": number(opening),
                "opening_balance": number(opening),
                "live_balance": number(net),
                "collateral": 0,
                "intraday_payin": 0,
            },
            "utilised": {
                "debits": number(rounded(debits, _CENTS)),
                "exposure": 0,
                "m2m_realised": number(rounded(realised, _CENTS)),
                "m2m_unrealised": 0,
                "option_premium": 0,
                "payout": 0,
                "span": 0,
                "holding_sales": 0,
                "turnover": 0,
                "liquid_collateral": 0,
                "stock_collateral": 0,
                "delivery": 0,
            },
        }

    # -------------------------------------------------------------------------------------------- parts

    def _position(self, instrument: KiteInstrument, product: str) -> Position:
        key = (instrument.token, product)
        if key not in self.positions:
            self.positions[key] = Position(instrument, product, Turnover())
        return self.positions[key]

    def _of(self, segment: str) -> list[Position]:
        return [p for p in self.positions.values() if segment_of(p.instrument) == segment]

    def _settled(self, position: Position) -> Decimal:
        """Return the money that a position's day brings at its end."""
        if position.product == "CNC":
            return position.day.got - position.day.paid
        marked = position.row(self._market.price(position.instrument.token), today_alone=False)["m2m"]
        return Decimal(marked)

    def _deliver(self, position: Position, sold: int) -> None:
        """Put the shares of a day into the holdings, of which `sold` were sold on that day."""
        fresh = position.day.net + sold
        if fresh <= 0:
            return
        held = self.holdings.setdefault(position.instrument.token, Holding(position.instrument, 0, ZERO))
        cost = position.day.paid / position.day.bought
        held.average = (held.average * held.quantity + cost * fresh) / (held.quantity + fresh)
        held.fresh = fresh

    def _carry_over(self, position: Position) -> None:
        whole = position.whole
        position.carried_price = position.average(whole)
        position.carried = 0 if position.product == "CNC" else whole.net
        position.close = self._market.price(position.instrument.token)
        position.day = Turnover()


def segment_of(instrument: KiteInstrument) -> str:
    """Return whose funds an instrument takes: `equity` or `commodity`."""
    return "commodity" if instrument.token & 0xFF in (MCX, NCO) else "equity"


def _cost(item: KiteInstrument, product: str, price: Decimal, *, short: bool) -> Decimal:
    """Return the rupees that one unit blocks."""
    value = price * item.multiplier
    if item.instrument_type in {"CE", "PE"}:
        return _FUTURE_RATE * item.strike * item.multiplier if short else value
    if item.instrument_type == "FUT":
        return value * (_FUTURE_INTRADAY_RATE if product in INTRADAY else _FUTURE_RATE)
    return value * (_SHARES_RATE if product in INTRADAY else Decimal(1))


def _used(position: Position) -> Decimal:
    if position.product == "CNC":
        return position.day.paid - position.day.got
    price = position.average(position.whole)
    unit = _cost(position.instrument, position.product, price, short=position.quantity < 0)
    return unit * abs(position.quantity) - _realised(position)


def _realised(position: Position) -> Decimal:
    whole = position.whole
    worth = whole.net * position.average(whole) * position.instrument.multiplier
    return whole.got - whole.paid + worth
