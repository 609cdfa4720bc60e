"""Reads the order book and the trades into one `BookReading`, and never calls complete what is not.

The book tells what has filled, the trades at what money: to the paisa, where the book's average price is rounded.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import date, datetime
from typing import Final

import msgspec

from alpha_panda.adapters.http.exchange import Exchange
from alpha_panda.contracts.instruments import InstrumentMaster
from alpha_panda.contracts.stored import BookReading, BrokerRow
from alpha_panda.contracts.units import SECOND_NS
from alpha_panda.ports import Clock

from .answers import items_of
from .orders import REGULAR
from .session import IST
from .wire import Order, Trade, Traded, day_of, is_priced, parsed, row_of, sound

TRADES_LAG: Final = 10 * SECOND_NS
"""So long (ns) fills wait for their trades, which Kite may list later; then the order's average price counts."""

AMO: Final = "amo"
"""Placed after hours, for the next day: its time may be of the day before."""
AMO_WAITING: Final = "AMO REQ RECEIVED"


class BookReader:
    """Makes readings of what was read. Keeps what it takes to cancel orders that are not ours, and to wait for trades.

    Args:
        clock: tells when a reading begins.
        user_id: whose book it must be.
        instruments: what the account's feed lists now.
        trading_day: tells the account's day (ISO date) of a moment.

    """

    def __init__(
        self,
        clock: Clock,
        user_id: str,
        instruments: Callable[[], InstrumentMaster],
        trading_day: Callable[[int], str],
    ) -> None:
        self._clock = clock
        self._user_id = user_id
        self._instruments = instruments
        self._trading_day = trading_day
        self._varieties: dict[str, str] = {}
        self._unpriced: dict[str, int] = {}
        self._seen: frozenset[str] = frozenset()
        self._seen_on = ""

    def reading(self, begun_at: int, orders: Exchange, trades: Exchange) -> BookReading:
        """Return what both answers come to. Rows of another user or day are left out; rows that are there count."""
        found = rows_of(orders)
        traded = trades_by_order(trades)
        read = [order for order in found or () if order is not None]
        ours = [order for order in read if self._is_ours(order)]
        self._varieties = {
            order.order_id: variety_of(order) for order in ours if variety_of(order) != REGULAR
        }
        self._unpriced = {
            order.order_id: since
            for order in ours
            if (since := self._unpriced.get(order.order_id)) is not None
        }
        rows = self._rows(ours, traded or {})
        ids = {row.broker_order_id for row in rows}
        grown = found is not None and self._has_all_seen(ids, begun_at)
        sure = found is not None and traded is not None and len(ours) == len(found) == len(ids)
        return BookReading(
            complete=sure and grown and _is_of_the_day(ours, begun_at),
            begun_at=begun_at,
            user=self._user_id,
            trading_day=self._trading_day(begun_at),
            rows=tuple(rows),
        )

    def incomplete(self, begun_at: int) -> BookReading:
        """Return a reading of nothing."""
        day = self._trading_day(begun_at)
        return BookReading(complete=False, begun_at=begun_at, user=self._user_id, trading_day=day)

    def variety(self, order_id: str) -> str:
        """Return under which variety an order is cancelled: that of the last book, regular if it was not in it."""
        return self._varieties.get(order_id, REGULAR)

    def ended(self, order: Order, trades: Exchange) -> BrokerRow | None:
        """Return an order that has ended as a row; None while its trades don't tell all that has filled."""
        traded = trades_by_order(trades)
        rows = [] if traded is None else self._rows([order], traded)
        return next((row for row in rows if row.status.terminal), None)

    def _has_all_seen(self, ids: set[str], begun_at: int) -> bool:
        """Whether the book has every order that an earlier reading of the day had: a book only grows until the next day.

        An answer is no more than a list; of one that is cut short, old or another day's nothing else tells it.
        """
        today = _today(begun_at).isoformat()
        before = self._seen if self._seen_on == today else frozenset()
        self._seen, self._seen_on = before | ids, today
        return before <= ids

    def _is_ours(self, order: Order) -> bool:
        return (order.account_id or order.user_id or self._user_id) == self._user_id

    def _rows(self, orders: Iterable[Order], traded: Mapping[str, Traded]) -> list[BrokerRow]:
        master = self._instruments()
        rows = (row_of(self._settled(order, traded), master, traded.get(order.order_id)) for order in orders)
        return [row for row in rows if row is not None]

    def _settled(self, order: Order, traded: Mapping[str, Traded]) -> Order:
        """Return the order; one whose trades are not all listed yet as if it went on, with the fills that they tell.

        An amount that was told once is not lowered later: so it is told when it is exact.
        """
        if is_priced(order, traded.get(order.order_id)):
            self._unpriced.pop(order.order_id, None)
            return order
        since = self._unpriced.setdefault(order.order_id, self._clock.monotonic())
        if self._clock.monotonic() - since >= TRADES_LAG:
            return order
        return msgspec.structs.replace(order, status="", average_price=None)


def rows_of(exchange: Exchange) -> list[Order | None] | None:
    """Return the orders of a list, None for each that can't be read; None if the list itself can't be."""
    rows = items_of(exchange)
    return None if rows is None else [parsed(row, Order) for row in rows]


def trades_by_order(exchange: Exchange) -> dict[str, Traded] | None:
    """Return the sums of the trades by order, each trade once; None if the list can't be read.

    A trade that can't be read is missing in its order's sum, which then doesn't tell all that has filled.
    """
    rows = items_of(exchange)
    if rows is None:
        return None
    sums: dict[str, Traded] = {}
    seen: set[tuple[str, str, str]] = set()
    for trade in (parsed(row, Trade) for row in rows):
        if trade is None or not sound(trade.quantity, trade.average_price) or trade.quantity <= 0:
            continue
        key = (trade.exchange, trade.order_id, trade.trade_id)
        if key not in seen:
            seen.add(key)
            sums[trade.order_id] = sums.get(trade.order_id, Traded()).plus(trade)
    return sums


def last_state(history: Exchange) -> Order | None:
    """Return the last of an order's states; None if it can't be read."""
    states = rows_of(history)
    return states[-1] if states else None


def variety_of(order: Order) -> str:
    """Return under which variety an order is cancelled: what waited for the opening is a regular one after it."""
    variety = order.variety or REGULAR
    return REGULAR if variety == AMO and order.status != AMO_WAITING else variety


def _is_of_the_day(orders: Iterable[Order], begun_at: int) -> bool:
    """Whether the book is today's, in India: none of its orders of another day, but for those placed after hours."""
    today = _today(begun_at)
    return all(order.variety == AMO or day_of(order.order_timestamp) == today for order in orders)


def _today(ts: int) -> date:
    return datetime.fromtimestamp(ts // SECOND_NS, IST).date()
