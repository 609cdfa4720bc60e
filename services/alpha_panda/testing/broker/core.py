"""The broker as a state machine: no I/O, no clock, the same calls always give the same broker.

core = BrokerCore()
core.plan(faults.drop_reply())                      # the next order is taken, its reply is lost
reply = core.place(request, now)                    # reply.wire is Wire.RESET
core.executed(now)                                  # ... and yet it has traded

Times are UTC ns and never go back. What is due between two calls happens at its own time, in order, when the next
call comes.
"""

import heapq
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Decimal
from functools import partial
from itertools import count
from typing import Final, Literal, TypeVar, cast

import msgspec

from alpha_panda.contracts.enums import OrderStatus, Validity
from alpha_panda.contracts.events import ZERO
from alpha_panda.contracts.units import nanoseconds
from alpha_panda.errors import MisuseError

from .api import OK, BookPage, ErrorBody, ErrorDetail, OrderState, OrderTaken, PlaceRequest
from .faults import BookFault, CancelFault, Misbehaviour, Part, PlaceFault, Wire
from .orders import BrokerOrder, Execution

USER: Final = "AB1234"
DAY: Final = "2026-01-02"
"""The trading day at `testing.virtual_time.START`."""
PRICE: Final = Decimal(100)
PAGE_ROWS: Final = 100
ONE: Final = Decimal(1)

CallKind = Literal["place", "cancel", "book"]
F = TypeVar("F", bound=Misbehaviour)


@dataclass(frozen=True, slots=True)
class Reply:
    """What the caller on the wire experiences, `delay` seconds after its request arrived."""

    wire: Wire
    status: int
    body: bytes
    delay: float


@dataclass(frozen=True, slots=True)
class Call:
    """One call as the broker's side of the wire saw it. `reached` is False where the connection was refused.

    `subject`: the tag of an order, the id of the order to cancel, the page of the book.
    """

    kind: CallKind
    subject: str
    ts: int
    reached: bool
    fault: Misbehaviour


@dataclass(frozen=True, slots=True)
class _Window:
    begin: int
    end: int
    fault: Misbehaviour


class BrokerCore:
    """One login at a broker.

    Args:
        user: the login.
        trading_day: the broker's present day (ISO date); it changes by `change_day` only.
        page_rows: rows in one page of the book.
        fees: what each execution costs.
        price: of MARKET orders in instruments that have none (`set_price`). LIMIT orders there trade at their limit.

    """

    def __init__(
        self,
        *,
        user: str = USER,
        trading_day: str = DAY,
        page_rows: int = PAGE_ROWS,
        fees: Decimal = ZERO,
        price: Decimal = PRICE,
    ) -> None:
        self.user = user
        self.trading_day = trading_day
        self.calls: list[Call] = []
        self.orders: dict[str, BrokerOrder] = {}
        self._page_rows = page_rows
        self._fees = fees
        self._price = price
        self._prices: dict[int, Decimal] = {}
        self._executed: list[Execution] = []
        self._planned: dict[type, deque[Misbehaviour]] = {}
        self._windows: list[_Window] = []
        self._due: list[tuple[int, int, Callable[[int], None]]] = []
        self._arrival = count()
        self._now = 0

    # ----------------------------------------------------------------------------------------- commands

    def plan(self, fault: Misbehaviour, times: int = 1) -> None:
        """Misbehave so at each of the next `times` calls of the fault's kind, after those planned before."""
        self._planned.setdefault(type(fault), deque()).extend([fault] * times)

    def plan_during(self, fault: Misbehaviour, begin: int, end: int) -> None:
        """Misbehave so at every call that comes at `begin` ≤ now < `end` (UTC ns) and has no fault planned."""
        self._windows.append(_Window(begin, end, fault))

    def behave(self) -> None:
        """Forget all that is planned; orders to be taken or filled later still will be."""
        self._planned.clear()
        self._windows.clear()

    def set_price(self, token: int, price: Decimal, now: int) -> None:
        """Move the market; orders that rest and now match trade, those with a script of their own apart."""
        self.settle(now)
        self._prices[token] = price
        for order in tuple(self.orders.values()):
            if order.request.instrument_token == token and not order.scripted:
                self._match(order, now)

    def fill(self, order_id: str, quantity: Decimal, price: Decimal, now: int) -> None:
        """Trade up to `quantity` of the order, if it is open."""
        self.settle(now)
        self._trade(self.orders[order_id], quantity, price, now)

    def refuse(self, order_id: str, now: int, message: str = "refused by the exchange") -> None:
        """Refuse an order that was taken."""
        self.settle(now)
        self.orders[order_id].end(OrderStatus.FAILED, message, now)

    def end_session(self, now: int) -> None:
        """End what is open; the book still shows it."""
        self.settle(now)
        for order in self.orders.values():
            order.end(OrderStatus.CANCELLED, "day over", now)

    def change_day(self, trading_day: str, now: int) -> None:
        """Begin another day: what is open ends, and the book is empty."""
        self.end_session(now)
        self.trading_day = trading_day

    # -------------------------------------------------------------------------------------------- truth

    def executed(self, now: int | None = None) -> tuple[Execution, ...]:
        """Return all trades, oldest first; with `now`, after all that is due by then."""
        if now is not None:
            self.settle(now)
        return tuple(self._executed)

    def positions(self, now: int | None = None) -> dict[int, Decimal]:
        """Return what the trades come to, by token; without those that come to nothing."""
        held: dict[int, Decimal] = {}
        for trade in self.executed(now):
            before = held.get(trade.instrument_token, ZERO)
            held[trade.instrument_token] = before + trade.side.sign * trade.quantity
        return {token: quantity for token, quantity in held.items() if quantity}

    def placed(self) -> Counter[str]:
        """Return how often each tag was sent: calls, whether they reached the broker or not."""
        return Counter(call.subject for call in self.calls if call.kind == "place")

    def orders_of(self, tag: str) -> list[BrokerOrder]:
        """Return the orders that carry the tag, oldest first."""
        return [order for order in self.orders.values() if order.request.tag == tag]

    def settle(self, now: int) -> None:
        """Let happen what is due by `now`."""
        if now < self._now:
            raise MisuseError(f"the broker's time can't go back from {self._now} to {now}")
        while self._due and self._due[0][0] <= now:
            due, _, action = heapq.heappop(self._due)
            self._now = due
            action(due)
        self._now = now

    # -------------------------------------------------------------------------------------------- calls

    def place(self, request: PlaceRequest, now: int) -> Reply:
        """Take an order, or what is planned instead."""
        fault = self._begin("place", request.tag, now, PlaceFault())
        first = next(self._arrival)
        for copy in range(fault.copies):
            after = fault.accepted_after + copy * fault.repeat_after
            suffix = f"-{copy}" if copy else ""
            self._at(now, after, partial(self._accept, request, fault, f"B{first}{suffix}"))
        return _reply(fault, OrderTaken(f"B{first}"))

    def cancel(self, order_id: str, now: int) -> Reply:
        """Cancel what is left of an order, or what is planned instead."""
        fault = self._begin("cancel", order_id, now, CancelFault())
        order = self.orders.get(order_id)
        if order is None:
            unknown = ErrorBody(ErrorDetail("UNKNOWN_ORDER", order_id))
            return _reply(_with_status(fault, 404), unknown)
        if fault.wire is Wire.REFUSED:
            return _reply(fault, None)
        if fault.fills_first:
            self._trade(order, order.missing, self._own_price(order), now)
        if fault.effective:
            order.end(OrderStatus.CANCELLED, "cancelled", now)
        return _reply(fault, OrderState(order.row))

    def book(self, now: int, page: int = 1) -> Reply:
        """Show a page of the day's orders, or what is planned instead."""
        fault = self._begin("book", str(page), now, BookFault())
        day = fault.trading_day or self.trading_day
        as_of = now - nanoseconds(fault.lag)
        shown = [order.as_of(as_of) for order in self.orders.values() if order.day == day]
        rows = [row for row in shown if row is not None and fault.user in (None, self.user)]
        total, kept = len(rows), rows if fault.keep is None else rows[: fault.keep]
        if not fault.admitted:
            total = len(kept)
        first = (page - 1) * self._page_rows
        body = BookPage(
            user=fault.user or self.user,
            trading_day=day,
            total=total,
            page=page,
            pages=max(1, -(-total // self._page_rows)),
            orders=tuple(kept[first : first + self._page_rows]),
        )
        return _reply(fault, body)

    # -------------------------------------------------------------------------------------------- parts

    def _begin(self, kind: CallKind, subject: str, now: int, well: F) -> F:
        """Note the call and return its fault; `well` is the one that is none."""
        self.settle(now)
        fault = self._next_fault(well, now)
        self.calls.append(Call(kind, subject, now, fault.wire is not Wire.REFUSED, fault))
        return fault

    def _next_fault(self, well: F, now: int) -> F:
        planned = self._planned.get(type(well))
        if planned:
            return cast("F", planned.popleft())
        kind = type(well)
        open_now = (window.fault for window in self._windows if window.begin <= now < window.end)
        return next((fault for fault in open_now if isinstance(fault, kind)), well)

    def _at(self, now: int, seconds: float, action: Callable[[int], None]) -> None:
        """Do it so many seconds later: at once, before the reply is made, if there are none."""
        due = now + nanoseconds(seconds)
        if due <= now:
            action(now)
        else:
            heapq.heappush(self._due, (due, next(self._arrival), action))

    def _accept(self, request: PlaceRequest, fault: PlaceFault, order_id: str, now: int) -> None:
        order = BrokerOrder(order_id, request, self.trading_day, scripted=fault.parts is not None)
        order.begin(now)
        self.orders[order_id] = order
        if fault.refused_after is not None:
            refusal = partial(order.end, OrderStatus.FAILED, "refused by the exchange")
            self._at(now, fault.refused_after, lambda due: _ignore(refusal(due)))
        if fault.parts is None:
            self._match(order, now)
        else:
            self._script(order, fault.parts, now)

    def _script(self, order: BrokerOrder, parts: Sequence[Part], now: int) -> None:
        for part in parts:
            self._at(now, part.after, partial(self._fill_share, order, part.share))
        if order.request.validity is Validity.IOC:
            last = max((part.after for part in parts), default=0)
            self._at(now, last, partial(self._expire, order))

    def _fill_share(self, order: BrokerOrder, share: Decimal, now: int) -> None:
        """Fill a share, in whole numbers where the order is in whole numbers; at least one."""
        quantity = order.request.quantity * share
        if order.request.quantity == order.request.quantity.to_integral_value():
            quantity = max(ONE, quantity.to_integral_value(ROUND_DOWN))
        self._trade(order, quantity, self._own_price(order), now)

    def _match(self, order: BrokerOrder, now: int) -> None:
        price = order.price_at(self._market(order))
        if price is not None:
            self._trade(order, order.missing, price, now)
        if order.request.validity is Validity.IOC:
            self._expire(order, now)

    def _market(self, order: BrokerOrder) -> Decimal | None:
        """Return the instrument's price; where it has none, what the order would like. A trigger waits for a real one."""
        request = order.request
        known = self._prices.get(request.instrument_token)
        return known if known is not None or request.trigger_price is not None else self._own_price(order)

    def _own_price(self, order: BrokerOrder) -> Decimal:
        """Return the price of a fill that doesn't ask the market: its limit, else the last price."""
        request = order.request
        return request.limit_price or self._prices.get(request.instrument_token, self._price)

    def _expire(self, order: BrokerOrder, now: int) -> None:
        order.end(OrderStatus.CANCELLED, "nothing more to trade with", now)

    def _trade(self, order: BrokerOrder, quantity: Decimal, price: Decimal, now: int) -> None:
        trade = order.fill(quantity, price, self._fees, now)
        if trade is not None:
            self._executed.append(trade)


def _with_status(fault: CancelFault, status: int) -> CancelFault:
    """Return the fault with the status that is true, unless it says one of its own."""
    return msgspec.structs.replace(fault, status=status) if fault.status == OK else fault


def _reply(fault: Misbehaviour, truth: object) -> Reply:
    body = msgspec.json.encode(truth) if fault.body is None else fault.body.encode()
    return Reply(fault.wire, fault.status, body, fault.delay)


def _ignore(_: object) -> None:
    pass
