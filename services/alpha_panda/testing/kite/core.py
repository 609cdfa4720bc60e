"""The broker as a state machine: no I/O, no clock, the same calls always give the same broker.

Times are UTC ns and never go back. What is due between two calls happens at its own time, in order, when the next
call comes. Commands and truth are those of `testing.broker.core.BrokerCore`; calls come by `api.KiteApi`.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from typing import Any, Final

import msgspec

from alpha_panda.contracts.enums import Side
from alpha_panda.contracts.events import ZERO
from alpha_panda.contracts.units import nanoseconds
from alpha_panda.testing.broker.orders import Execution

from .agenda import Agenda
from .config import KiteConfig
from .desk import Desk
from .faults import KiteFault
from .instruments import InstrumentDump, instruments
from .limits import CallCounter
from .market import Market
from .orders import KiteOrder, Status, Terms
from .plans import Plans
from .tokens import Tokens, checksum
from .trades import totals
from .wire import day_of

BEGIN: Final = date(2026, 1, 2)
"""The day of the instruments, unless told: that of `testing.virtual_time.START`."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call as the broker's side of the wire saw it. `reached` is False where the connection was refused.

    `kind`: place, modify, cancel, book, or the first part of the address. `subject`: the tag of an order, the id of the
    order to change, else the address.
    """

    kind: str
    subject: str
    ts: int
    reached: bool
    fault: KiteFault


@dataclass(frozen=True, slots=True)
class Update:
    """A change that Kite tells of. `status`: UPDATE, COMPLETE, CANCELLED, REJECTED; `row` as in the book."""

    order_id: str
    status: str
    row: dict[str, Any]
    ts: int
    by_app: bool


class KiteCore:
    """One client of Kite.

    Args:
        config: see there; `configure` changes it.
        dump: the instruments.
        seed: of the walk of prices.
        trading_day: the broker's present day (ISO date), which then changes by `change_day` only; empty: India's date.

    """

    def __init__(
        self,
        config: KiteConfig | None = None,
        *,
        dump: InstrumentDump | None = None,
        seed: int = 0,
        trading_day: str = "",
    ) -> None:
        self.config = config or KiteConfig()
        self.dump = dump or instruments(date.fromisoformat(trading_day) if trading_day else BEGIN)
        self.agenda = Agenda()
        self.market = Market(self.dump, seed)
        self.tokens = Tokens()
        self.counter = CallCounter()
        self.plans = Plans()
        self.calls: list[Call] = []
        self.listeners: list[Callable[[Update], None]] = []
        self.watchers: list[Callable[[Sequence[int]], None]] = []
        self.desk = Desk(lambda: self.config, self.market, self.agenda, self._tell)
        self.desk.day = trading_day
        self.past_trades: list[Execution] = []
        self._pinned = bool(trading_day)
        self._plan_of_sessions = 0
        self._begun = False

    @property
    def user(self) -> str:
        """The client's id."""
        return self.config.user_id

    @property
    def trading_day(self) -> str:
        """The broker's present day, as an ISO date; empty before its first call."""
        return self.desk.day

    @property
    def orders(self) -> dict[str, KiteOrder]:
        """All orders, of all days, by id."""
        return self.desk.orders

    # ----------------------------------------------------------------------------------------- commands

    def plan(self, fault: KiteFault, times: int = 1) -> None:
        """Misbehave so at each of the next `times` calls of the fault's kind, after those planned before."""
        self.plans.plan(fault, times)

    def plan_during(self, fault: KiteFault, begin: int, end: int) -> None:
        """Misbehave so at every call that comes at `begin` ≤ now < `end` (UTC ns) and has no fault planned."""
        self.plans.plan_during(fault, begin, end)

    def behave(self) -> None:
        """Forget all that is planned; orders to be taken or filled later still will be."""
        self.plans.forget()

    def configure(self, **changes: Any) -> None:  # noqa: ANN401 - fields of KiteConfig
        """Change fields of the configuration, given as values or as JSON has them."""
        known = msgspec.to_builtins(self.config)
        self.config = msgspec.convert(
            {**known, **msgspec.to_builtins(changes)}, type=KiteConfig, strict=False
        )
        if "sessions" in changes or "square_off_seconds" in changes:
            self._plan_sessions(self.agenda.now)

    def set_price(self, token: int, price: Decimal, now: int) -> None:
        """Move the market; orders that rest and now match trade, those with a script of their own apart."""
        self.settle(now)
        self.market.set_price(token, price, now)
        self._moved([token], now)

    def walk(self, count: int, now: int, tokens: Sequence[int] | None = None) -> None:
        """Let that many prices (of all, or of these instruments) move at random."""
        self.settle(now)
        self._moved(self.market.walk(count, now, tokens), now)

    def fill(self, order_id: str, quantity: int | Decimal, price: Decimal, now: int) -> None:
        """Trade up to `quantity` of the order, if it is open."""
        self.settle(now)
        self.desk.fill(self.orders[order_id], int(quantity), price, now)

    def refuse(self, order_id: str, now: int, message: str = "refused by the exchange") -> None:
        """Refuse an order that was taken."""
        self.settle(now)
        self.desk.finish(self.orders[order_id], Status.REJECTED, message, now)

    def trade_elsewhere(  # noqa: PLR0913, PLR0917 - an order's fields
        self, token: int, side: Side, quantity: int, now: int, product: str = "MIS", price: Decimal = ZERO
    ) -> KiteOrder:
        """Place an order as the client does in Kite's own app: without a tag, and not by this API key."""
        self.settle(now)
        terms = Terms(
            instrument=self.dump.by_token[token],
            variety="regular",
            side=side,
            order_type="LIMIT" if price else "MARKET",
            product=product,
            quantity=quantity,
            price=price,
        )
        return self.desk.accept(self.desk.new_id(), terms, now, by_app=False)

    def square_off(self, now: int) -> None:
        """Close the intraday positions, as Kite does before a session ends."""
        self.settle(now)
        self.desk.square_off(now)

    def end_session(self, now: int) -> None:
        """End what is open; the book still shows it."""
        self.settle(now)
        self.desk.end_session(now, "day over")

    def change_day(self, trading_day: str, now: int) -> None:
        """Begin another day: what is open ends, the book is empty, shares are delivered, positions carried."""
        self.settle(now)
        self._pinned = True
        self._roll(trading_day, now)

    def new_session(self, now: int) -> str:
        """Log in and return the access token; with `one_token` the one before is dead."""
        self.settle(now)
        return self.tokens.begin(self.config, now)

    def expire_token(self, token: str | None = None) -> None:
        """Kill an access token, or all."""
        self.tokens.end(token)

    # -------------------------------------------------------------------------------------------- truth

    def executed(self, now: int | None = None) -> tuple[Execution, ...]:
        """Return all trades of all days, oldest first; with `now`, after all that is due by then."""
        if now is not None:
            self.settle(now)
        return (*self.past_trades, *self._executions())

    def positions(self, now: int | None = None) -> dict[int, Decimal]:
        """Return what today's trades come to, by token; without those that come to nothing."""
        if now is not None:
            self.settle(now)
        return totals(self.desk.trades)

    def placed(self) -> Counter[str]:
        """Return how often each tag was sent: calls, whether they reached the broker or not."""
        return Counter(call.subject for call in self.calls if call.kind == "place")

    def orders_of(self, tag: str) -> list[KiteOrder]:
        """Return the orders that carry the tag, oldest first."""
        return [order for order in self.orders.values() if order.terms.tag == tag]

    def settle(self, now: int) -> None:
        """Let happen what is due by `now`."""
        if not self._begun:
            self._begun = True
            self.market.begin(now)
            self._plan_sessions(now)
        self.agenda.settle(now)
        today = day_of(now)
        if not self._pinned and self.desk.day != today:
            self._roll(today, now)

    # -------------------------------------------------------------------------------------------- parts

    def _moved(self, tokens: Sequence[int], now: int) -> None:
        for token in tokens:
            self.desk.moved(token, now)
        for watcher in self.watchers:
            watcher(tokens)

    def _executions(self) -> list[Execution]:
        return [
            Execution(
                trade.order_id, trade.tag, trade.instrument_token, trade.side, Decimal(trade.quantity), trade.price,
                ZERO, trade.ts,
            )
            for trade in self.desk.trades
        ]  # fmt: skip

    def _tell(self, order: KiteOrder, status: str, now: int) -> None:
        update = Update(order.order_id, status, order.row, now, order.by_app)
        for listener in self.listeners:
            listener(update)

    def _roll(self, day: str, now: int) -> None:
        if self.desk.day:
            self.desk.end_session(now, "day over")
            self.past_trades.extend(self._executions())
            self.desk.trades.clear()
            self.desk.portfolio.new_day()
            self.market.new_day()
        self.desk.day = day

    def _plan_sessions(self, now: int) -> None:
        """Put the sessions' begins and ends on the agenda; those planned before count no more."""
        self._plan_of_sessions += 1
        generation = self._plan_of_sessions
        for begin, end in self.config.sessions or ():
            steps = [(begin, self.desk.release_amo), (end, lambda due: self.desk.end_session(due, None))]
            if self.config.square_off_seconds is not None:
                steps.append((end - nanoseconds(self.config.square_off_seconds), self.desk.square_off))
            for due, step in steps:
                if due > now:
                    self.agenda.at(due, now, self._if_still(generation, step))

    def _if_still(self, generation: int, step: Callable[[int], None]) -> Callable[[int], None]:
        return lambda due: step(due) if generation == self._plan_of_sessions else None


def postback(update: Update, config: KiteConfig, *, signed: bool) -> dict[str, Any]:
    """Return the change as webhooks have it (`signed`), or as sockets do: there the checksum is blank."""
    row = {
        name: value
        for name, value in update.row.items()
        if name not in {"account_id", "tags", "modified", "validity_ttl"}
    }
    sign = checksum(update.order_id, str(row["order_timestamp"]), config.api_secret) if signed else ""
    return {
        "user_id": config.user_id,
        "unfilled_quantity": 0,
        "app_id": config.app_id,
        "checksum": sign,
        **row,
        "status": update.status,
    }
