"""The life of orders: from status to status, matching against the last price, ends.

PUT ORDER REQ RECEIVED → VALIDATION PENDING → OPEN PENDING → OPEN → COMPLETE | CANCELLED; REJECTED from any of the first
three; a stop waits as TRIGGER PENDING before OPEN. An order that arrives trades at the last price, one that rests at its
limit once the last price has reached it. A market order becomes a limit order at its protected price.
"""

from collections.abc import Callable, Sequence
from decimal import ROUND_DOWN, Decimal
from functools import partial
from itertools import count
from typing import Any, Final

from alpha_panda.contracts.events import ZERO
from alpha_panda.testing.broker.faults import PlaceFault

from .agenda import Action, Agenda
from .config import KiteConfig
from .faults import KitePlaceFault
from .legs import closing, cover_stop, next_leg
from .market import Market
from .orders import AT_EXCHANGE, KiteOrder, Status, Terms
from .portfolio import INTRADAY, Portfolio
from .protection import protect
from .risk_checks import RiskChecks
from .trades import KiteTrade

SQUARE_OFF_BY: Final = "ADMINSQF"
"""Who places the broker's own orders. Guess."""

Told = Callable[[KiteOrder, str, int], None]
"""Called with an order, the status of the message (UPDATE, or how it ended) and UTC ns."""


class Desk:
    """All orders of one client. `config` is asked at each step."""

    def __init__(self, config: Callable[[], KiteConfig], market: Market, agenda: Agenda, told: Told) -> None:
        self.orders: dict[str, KiteOrder] = {}
        self.trades: list[KiteTrade] = []
        self.portfolio = Portfolio(config(), market)
        self.checks = RiskChecks(config, market, self.portfolio, self.open_orders)
        self.day = ""
        self._resting: dict[int, dict[str, KiteOrder]] = {}
        self._config = config
        self._market = market
        self._agenda = agenda
        self._told = told
        self._serial = count(1)
        self._trade_serial = count(1)

    # ------------------------------------------------------------------------------------------- placing

    def new_id(self) -> str:
        """Return an order id: the day and a serial number, opaque to whoever reads it."""
        day = int(self.day.replace("-", "")[2:])
        lead = "19" if self._config().id_digits == 19 else ""  # noqa: PLR2004 - digits
        return f"{lead}{day:06d}{next(self._serial):0{11 if lead else 9}d}"

    def accept(  # noqa: PLR0913 - by keyword
        self,
        order_id: str,
        terms: Terms,
        now: int,
        *,
        fault: PlaceFault | None = None,
        placed_by: str = "",
        by_app: bool = True,
        parent: str | None = None,
        tags: Sequence[str] = (),
        meta: dict[str, Any] | None = None,
    ) -> KiteOrder:
        """Give the order a row and send it on its way."""
        config = self._config()
        order = KiteOrder(
            order_id,
            terms,
            self.day,
            config.user_id,
            placed_by or config.user_id,
            now,
            by_app=by_app,
            parent=parent,
            average_places=config.average_places,
            hide_tag=config.hide_tag,
            meta=dict(meta or {}),
        )
        order.tags.extend(tags)
        self.orders[order_id] = order
        first = Status.AMO if terms.variety == "amo" else Status.RECEIVED
        self._become(order, first, now)
        self._give_faults(order, fault, now)
        if first is Status.RECEIVED:
            self._then(order, config.delays.received, now, partial(self._validate, order))
        return order

    def release_amo(self, now: int) -> None:
        """Send the after-market orders on their way: the market opens."""
        for order in tuple(self.orders.values()):
            if order.status is Status.AMO:
                self._become(order, Status.RECEIVED, now)
                self._validate(order, now)

    def square_off(self, now: int) -> None:
        """Close all intraday positions by market orders of the broker's own, as before the session's end."""
        for order in self.open_orders():
            if order.terms.product in INTRADAY:
                self.finish(order, Status.CANCELLED, None, now)
        for position in tuple(self.portfolio.positions.values()):
            if position.product in INTRADAY and position.quantity:
                self.accept(self.new_id(), closing(position), now, placed_by=SQUARE_OFF_BY, by_app=False)

    def end_session(self, now: int, message: str | None = None) -> None:
        """End what is open; the book still shows it."""
        for order in self.open_orders():
            if order.status is not Status.AMO:
                self.finish(order, Status.CANCELLED, message, now)

    def open_orders(self) -> list[KiteOrder]:
        """Return what may still fill."""
        return [order for order in self.orders.values() if order.open]

    @property
    def resting_tokens(self) -> list[int]:
        """Instruments in which something may rest."""
        return [token for token, orders in self._resting.items() if orders]

    # ------------------------------------------------------------------------------------ modify, cancel

    def modify(self, order: KiteOrder, changed: Terms, now: int, refused: str | None = None) -> None:
        """Change an order's price, quantity or type; `refused`: why the exchange won't, the order stays as it was."""
        delays, before = self._config().delays, order.status
        order.modifications += 1
        order.received_at = now
        self._become(order, Status.MODIFY_VALIDATION, now)

        def pending(due: int) -> None:
            if order.status is Status.MODIFY_VALIDATION:
                self._become(order, Status.MODIFY_PENDING, due)
                self._then(order, delays.modify_pending, due, modified)

        def modified(due: int) -> None:
            if order.status is not Status.MODIFY_PENDING:
                return
            if refused is None:
                order.exchange_ts = due
                self._become(order, Status.MODIFIED, due)
            order.message = refused
            self._then(order, delays.modified, due, again)

        def again(due: int) -> None:
            if order.status not in (Status.MODIFIED, Status.MODIFY_PENDING):
                return
            if refused is None:
                order.terms = changed
                order.order_type, order.price = changed.order_type, changed.price
                order.trigger_price = changed.trigger_price
                order.quantity = max(changed.quantity, order.filled)
            self._become(order, before, due)
            self._told(order, "UPDATE", due)
            self._match(order, due, arrived=True)

        self._then(order, delays.modify_validation, now, pending)

    def cancel(self, order: KiteOrder, now: int) -> None:
        """Ask the exchange to end the order; a fill may win the race."""
        if order.status is Status.AMO:
            self.finish(order, Status.CANCELLED, None, now)
            return
        self._become(order, Status.CANCEL_PENDING, now)
        self._then(
            order,
            self._config().delays.cancel_pending,
            now,
            lambda due: _ignore(self.finish(order, Status.CANCELLED, None, due)),
        )

    def finish(self, order: KiteOrder, status: Status, message: str | None, now: int) -> bool:
        """End an order; say whether there was anything to end."""
        if not order.open:
            return False
        if status is Status.CANCELLED:
            order.cancelled = order.missing
        order.message = message
        order.blocked = ZERO
        order.updated_ts = now if order.exchange_id else None
        self._become(order, status, now)
        self._told(order, status.value, now)
        return True

    # ------------------------------------------------------------------------------------------ trading

    def moved(self, token: int, now: int) -> None:
        """Match what rests in an instrument whose price has moved."""
        resting = self._resting.get(token)
        if resting:
            for order in tuple(resting.values()):
                self._match(order, now, arrived=False)

    def fill(self, order: KiteOrder, quantity: int, price: Decimal, now: int) -> None:
        """Trade up to `quantity` of what is missing."""
        traded = min(quantity, order.missing)
        if not order.open or traded <= 0:
            return
        order.exchange_id = order.exchange_id or self._exchange_id()
        trade = KiteTrade(
            f"{next(self._trade_serial):08d}",
            order.order_id,
            order.exchange_id,
            order.terms.tag,
            order.terms.instrument,
            order.terms.product,
            order.terms.side,
            traded,
            price,
            now,
            order.received_at,
        )
        order.blocked -= order.blocked * traded / order.missing
        order.filled += traded
        order.paid += price * traded
        order.exchange_ts = order.updated_ts = now
        self.trades.append(trade)
        self.portfolio.add(trade)
        whole = not order.missing
        in_flight = order.status in AT_EXCHANGE and order.status is not Status.OPEN
        self._become(order, Status.COMPLETE if whole else order.status if in_flight else Status.OPEN, now)
        self._told(order, "COMPLETE" if whole else "UPDATE", now)
        if whole:
            self._follow(order, now)

    # -------------------------------------------------------------------------------------- steps of a life

    def _become(self, order: KiteOrder, status: Status, now: int) -> None:
        order.status = status
        order.note(now)
        if not order.open:
            self._resting.get(order.terms.instrument.token, {}).pop(order.order_id, None)

    def _then(self, order: KiteOrder, seconds: float, now: int, step: Action) -> None:
        """Leave the present status after so many seconds, unless the order is held there."""
        if order.held == order.status:
            if order.held_for is None:
                return
            seconds = order.held_for
        self._agenda.after(seconds, now, step)

    def _validate(self, order: KiteOrder, now: int) -> None:
        if order.status is Status.RECEIVED:
            self._become(order, Status.VALIDATION, now)
            self._then(order, self._config().delays.validation, now, partial(self._check, order))

    def _check(self, order: KiteOrder, now: int) -> None:
        if order.status is not Status.VALIDATION:
            return
        reason = None if order.placed_by == SQUARE_OFF_BY else self.checks.refusal(order)
        if reason is not None:
            order.raw_message = f"RMS:{reason}"
            self.finish(order, Status.REJECTED, reason, now)
            return
        order.blocked = self.checks.blocks(order)
        self._become(order, Status.OPEN_PENDING, now)
        self._then(order, self._config().delays.open_pending, now, partial(self._open, order))

    def _open(self, order: KiteOrder, now: int) -> None:
        if order.status is not Status.OPEN_PENDING:
            return
        order.exchange_id = self._exchange_id()
        order.exchange_ts = order.updated_ts = now
        waits = order.waits_for_trigger
        if not waits:
            protect(order, self._last(order), self._config())
        self._become(order, Status.TRIGGER if waits else Status.OPEN, now)
        self._resting.setdefault(order.terms.instrument.token, {})[order.order_id] = order
        if order.terms.validity == "TTL":
            seconds = order.terms.validity_ttl * self._config().ttl_minute_seconds
            self._agenda.after(seconds, now, partial(self._expire, order))
        self._arrive(order, now)

    def _arrive(self, order: KiteOrder, now: int) -> None:
        """Match an order that has come to the exchange; what is IOC ends there."""
        if order.scripted:
            self._follow_script(order, now)
            return
        self._match(order, now, arrived=True)
        if order.terms.validity == "IOC":
            self._expire(order, now)

    def _match(self, order: KiteOrder, now: int, *, arrived: bool) -> None:
        if order.scripted or order.status not in AT_EXCHANGE | {Status.TRIGGER}:
            return
        last = self._last(order)
        if order.waits_for_trigger and not self._triggered(order, last, now):
            return
        price = order.price_at(last)
        if price is None:
            return
        at_limit = not arrived and not order.triggered and order.order_type == "LIMIT"
        liquidity = self._config().liquidity
        quantity = order.missing if liquidity is None else min(order.missing, liquidity)
        self.fill(order, quantity, order.price if at_limit else price, now)

    def _triggered(self, order: KiteOrder, last: Decimal, now: int) -> bool:
        if (last - order.trigger_price) * order.terms.side.sign < 0:
            return False
        order.triggered = True
        if order.terms.order_type == "SL":
            order.order_type = "LIMIT"
        else:
            protect(order, last, self._config())
        order.updated_ts = now
        self._become(order, Status.OPEN, now)
        self._told(order, "UPDATE", now)
        return True

    def _expire(self, order: KiteOrder, now: int) -> None:
        self.finish(order, Status.CANCELLED, None, now)

    def _follow(self, order: KiteOrder, now: int) -> None:
        """Send what follows a whole fill: the next iceberg leg, the second leg of a cover order."""
        if order.terms.variety == "iceberg":
            following = next_leg(order)
            if following is not None:
                self.accept(self.new_id(), following[0], now, meta=following[1])
        elif order.terms.variety == "co" and order.parent is None:
            self.accept(self.new_id(), cover_stop(order), now, parent=order.order_id)

    # --------------------------------------------------------------------------------------------- parts

    def _give_faults(self, order: KiteOrder, fault: PlaceFault | None, now: int) -> None:
        if fault is None:
            return
        message = "refused by the exchange"
        if isinstance(fault, KitePlaceFault):
            order.held, order.held_for = fault.stuck_in, fault.stuck_for
            message = fault.message or message
        order.script = fault.parts
        if fault.refused_after is not None:
            self._agenda.after(
                fault.refused_after,
                now,
                lambda due: _ignore(self.finish(order, Status.REJECTED, message, due)),
            )

    def _follow_script(self, order: KiteOrder, now: int) -> None:
        """Plan the fills of an order that has one; they count from its arrival at the exchange."""
        parts = order.script or ()
        for part in parts:
            self._agenda.after(part.after, now, partial(self._fill_share, order, part.share))
        if order.terms.validity == "IOC":
            last = max((part.after for part in parts), default=0)
            self._agenda.after(last, now, partial(self._expire, order))

    def _fill_share(self, order: KiteOrder, share: Decimal, now: int) -> None:
        """Fill a share, at least one unit, at its limit or at the last price."""
        quantity = max(1, int((order.quantity * share).to_integral_value(ROUND_DOWN)))
        self.fill(order, quantity, order.terms.price or self._last(order), now)

    def _last(self, order: KiteOrder) -> Decimal:
        return self._market.price(order.terms.instrument.token)

    def _exchange_id(self) -> str:
        return f"13{next(self._serial):014d}"


def _ignore(_: object) -> None:
    pass
