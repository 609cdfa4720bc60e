"""The broker with what a real one keeps beside orders: positions, money, a login that ends, and pushes of changes.

core = BrokerAccount(cash=Decimal(100_000))
core.hold(738561, "NSE:RELIANCE", Decimal(10), Decimal(2400))   # from before today
core.trade(738561, Side.SELL, Decimal(4), Decimal(2500), now)   # by hand, on the phone
core.square_off(now)                                            # the broker closes all that is intraday
"""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal
from itertools import count
from typing import Any, Final

from msgspec.structs import replace

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import EntryState, OrderType, Side, Validity
from alpha_panda.contracts.events import ZERO
from alpha_panda.contracts.stored import (
    BookReading,
    BrokerPosition,
    BrokerRow,
    JournalEntry,
    Outcome,
    PortfolioReading,
    PriceReading,
)
from alpha_panda.ports import Clock

from .api import PlaceRequest
from .core import BrokerCore, Reply
from .orders import BrokerOrder
from .trader import TIMEOUT, CoreTrader

RMS: Final = "RMS"
"""Who places the orders by which the broker squares off."""

MONEY: Final = Decimal(1_000_000)


class BrokerAccount(BrokerCore):
    """A `BrokerCore` of one product whose orders move positions and money.

    Args as `BrokerCore`, and:
        cash: what the account has at first.
        product: of all its orders and positions.

    Of the cash what resting BUYs with a limit may take is blocked.
    """

    def __init__(self, *, cash: Decimal = MONEY, product: str = "MIS", **options: Any) -> None:  # noqa: ANN401 - BrokerCore's own
        super().__init__(**options)
        self.product = product
        self.token_until: int | None = None
        self.token_problem = ""
        self.broken_portfolios = 0
        self.lagging_positions: dict[int, Decimal] = {}
        self.pushing = True
        self._cash = cash
        self._held: dict[int, BrokerPosition] = {}
        self._symbols: dict[int, str] = {}
        self._listeners: list[asyncio.Queue[BrokerRow | None]] = []
        self._pushed: dict[str, int] = {}
        self._by_hand = count()

    # ------------------------------------------------------------------------------------------ commands

    def hold(
        self, token: int, symbol: str, quantity: Decimal, price: Decimal, product: str | None = None
    ) -> None:
        """Let the account hold so much from before today."""
        name = self.product if product is None else product
        self._held[token] = BrokerPosition(
            instrument_token=token,
            symbol=symbol,
            product=name,
            quantity=quantity,
            average_price=price,
            last_price=price,
            overnight_quantity=quantity,
        )

    def trade(  # noqa: PLR0913 - a trade, and by keyword whose
        self,
        token: int,
        side: Side,
        quantity: Decimal,
        price: Decimal,
        now: int,
        *,
        placed_by: str | None = None,
        product: str | None = None,
        parts: tuple[str, ...] = (),
    ) -> str:
        """Trade without a tag of ours, as a person does by hand; return the broker's id of it.

        `parts`: quantities of which only the first is filled now; the others by `fill`.
        """
        self.settle(now)
        order_id = f"H{next(self._by_hand)}"
        request = PlaceRequest(
            tag="",
            instrument_token=token,
            side=side,
            order_type=OrderType.MARKET,
            quantity=quantity,
            validity=Validity.DAY,
        )
        order = BrokerOrder(order_id, request, self.trading_day, scripted=True)
        order.begin(now)
        named = replace(
            order.row,
            placed_by=self.user if placed_by is None else placed_by,
            product=self.product if product is None else product,
            placed_at=now,
        )
        order.versions[:] = [(now, named)]
        self.orders[order_id] = order
        self._trade(order, Decimal(parts[0]) if parts else quantity, price, now)
        self.push()
        return order_id

    def square_off(self, now: int, prices: dict[int, Decimal] | None = None) -> None:
        """Close each position by an order of the broker's own."""
        for token, quantity in self.net(now).items():
            price = (prices or {}).get(token) or self._prices.get(token, self._price)
            side = Side.SELL if quantity > 0 else Side.BUY
            self.trade(token, side, abs(quantity), price, now, placed_by=RMS)

    def lag(self, token: int, quantity: Decimal) -> None:
        """Let positions say another net quantity than the trades do, until `catch_up`."""
        self.lagging_positions[token] = quantity

    def catch_up(self) -> None:
        """Let positions be what the trades come to."""
        self.lagging_positions = {}

    def change_day(self, trading_day: str, now: int) -> None:
        """Begin another day: the book is empty, what is held goes on."""
        held = {token: self._position(token, quantity) for token, quantity in self.net(now).items()}
        self._cash = self._money()
        super().change_day(trading_day, now)
        self._executed = []
        self._held = {
            item.instrument_token: replace(item, overnight_quantity=item.quantity) for item in held.values()
        }

    # --------------------------------------------------------------------------------------------- truth

    def net(self, now: int | None = None) -> dict[int, Decimal]:
        """Return what is held, by token, without zeros."""
        found = {token: item.quantity for token, item in self._held.items() if item.product == self.product}
        for trade in self.executed(now):
            if self._product_of(trade.order_id) == self.product:
                signed = trade.side.sign * trade.quantity
                found[trade.instrument_token] = found.get(trade.instrument_token, ZERO) + signed
        return {token: quantity for token, quantity in found.items() if quantity}

    def portfolio(self, now: int) -> PortfolioReading:
        """Show what is held."""
        self.settle(now)
        if self.broken_portfolios:
            self.broken_portfolios -= 1
            return PortfolioReading(
                complete=False, begun_at=now, user=self.user, trading_day=self.trading_day
            )
        net = {**dict.fromkeys(self._touched(), ZERO), **self.net(), **self.lagging_positions}
        others = [item for item in self._held.values() if item.product != self.product]
        return PortfolioReading(
            complete=True,
            begun_at=now,
            user=self.user,
            trading_day=self.trading_day,
            positions=(*(self._position(token, quantity) for token, quantity in net.items()), *others),
            cash=self._money() - self._blocked(),
        )

    def _touched(self) -> list[int]:
        return [trade.instrument_token for trade in self._executed]

    def _position(self, token: int, quantity: Decimal) -> BrokerPosition:
        """Return the position; its average is that of all buys (or sells), of a flat one 0, as at Kite."""
        held = self._held.get(token)
        side = Side.BUY if quantity > 0 else Side.SELL
        traded = [item for item in self._executed if (item.instrument_token, item.side) == (token, side)]
        sizes = [item.quantity for item in traded]
        paid = sum((item.quantity * item.price for item in traded), ZERO)
        if held is not None and held.quantity * side.sign > 0:
            sizes.append(abs(held.quantity))
            paid += abs(held.quantity) * held.average_price
        average = paid / sum(sizes, ZERO) if quantity and sizes else ZERO
        return BrokerPosition(
            instrument_token=token,
            symbol=self._symbols.get(token, f"NSE:{token}") if held is None else held.symbol,
            product=self.product,
            quantity=quantity,
            average_price=average,
            last_price=self._prices.get(token, self._price if held is None else held.last_price),
        )

    def _money(self) -> Decimal:
        moved = (item.side.sign * item.quantity * item.price + item.fees for item in self._executed)
        return self._cash - sum(moved, ZERO)

    def _blocked(self) -> Decimal:
        resting = (order for order in self.orders.values() if order.open and order.request.side is Side.BUY)
        return sum((order.missing * (order.request.limit_price or ZERO) for order in resting), ZERO)

    def _product_of(self, order_id: str) -> str:
        return self.orders[order_id].row.product or self.product

    # -------------------------------------------------------------------------------------------- pushes

    def listen(self) -> "asyncio.Queue[BrokerRow | None]":
        """Return a queue of what is pushed from now on; it begins with None: there may be something before."""
        queue: asyncio.Queue[BrokerRow | None] = asyncio.Queue()
        queue.put_nowait(None)
        self._listeners.append(queue)
        return queue

    def deafen(self, queue: "asyncio.Queue[BrokerRow | None]") -> None:
        """Push no more into the queue."""
        self._listeners.remove(queue)

    def push(self, *rows: BrokerRow | None) -> None:
        """Push these rows, and what has changed since the last push (lost while `pushing` is false)."""
        fresh: list[BrokerRow | None] = [*rows]
        for order in self.orders.values():
            seen = self._pushed.get(order.order_id, 0)
            fresh += [row for _, row in order.versions[seen:]]
            self._pushed[order.order_id] = len(order.versions)
        for queue in self._listeners if self.pushing else ():
            for row in fresh:
                queue.put_nowait(row)

    def place(self, request: PlaceRequest, now: int) -> Reply:
        """See `BrokerCore`; then push."""
        reply = super().place(request, now)
        self.push()
        return reply

    def cancel(self, order_id: str, now: int) -> Reply:
        """See `BrokerCore`; then push."""
        reply = super().cancel(order_id, now)
        self.push()
        return reply

    def fill(self, order_id: str, quantity: Decimal, price: Decimal, now: int) -> None:
        """See `BrokerCore`; then push."""
        super().fill(order_id, quantity, price, now)
        self.push()

    def refuse(self, order_id: str, now: int, message: str = "refused by the exchange") -> None:
        """See `BrokerCore`; then push."""
        super().refuse(order_id, now, message)
        self.push()

    def set_price(self, token: int, price: Decimal, now: int) -> None:
        """See `BrokerCore`; then push."""
        super().set_price(token, price, now)
        self.push()


class AccountTrader(CoreTrader):
    """A trader to a `BrokerAccount` in this process: with all that a broker may offer."""

    core: BrokerAccount

    def __init__(self, core: BrokerAccount, clock: Clock, *, timeout: float = TIMEOUT) -> None:
        super().__init__(core, clock, timeout=timeout)
        self._now = clock.now

    async def place(self, entry: JournalEntry, price: PriceReading, deadline: int) -> Outcome:
        """See the port; nothing is sent without a token."""
        if not self._admitted():
            return Outcome(state=EntryState.FAILED, code=Code.ACCESS_TOKEN_EXPIRED, message="no token")
        return await super().place(entry, price, deadline)

    async def order_book(self) -> BookReading:
        """See the port."""
        if not self._admitted():
            return BookReading(complete=False, begun_at=self._now(), user=self.core.user, trading_day="")
        return await super().order_book()

    async def portfolio(self) -> PortfolioReading:
        """See the port."""
        now = self._now()
        if not self._admitted():
            return PortfolioReading(complete=False, begun_at=now, user=self.core.user, trading_day="")
        return self.core.portfolio(now)

    async def order_updates(self) -> AsyncIterator[BrokerRow | None]:
        """See the port."""
        queue = self.core.listen()
        try:
            while True:
                yield await queue.get()
        finally:
            self.core.deafen(queue)

    def token_expires_at(self) -> int | None:
        """See the port."""
        return self.core.token_until

    def token_problem(self) -> str:
        """See the port."""
        return self.core.token_problem

    def _admitted(self) -> bool:
        until = self.core.token_until
        return until is None or self._now() < until
