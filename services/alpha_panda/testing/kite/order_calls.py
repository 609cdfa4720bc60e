"""The calls that have faults of their own: placing, changing, cancelling, and reading the book."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date
from functools import partial
from typing import Any, Final

import msgspec

from alpha_panda.contracts.units import nanoseconds
from alpha_panda.testing.broker.faults import GARBAGE

from .checks import CLOSED, PROCESSED, TOO_MANY_MODIFICATIONS, Form, off_grid, off_grid_refusal, terms_of
from .config import Limits
from .core import Call, KiteCore
from .faults import (
    NO_CONTENT_TYPE,
    BookFault,
    CallFault,
    CancelFault,
    KiteFault,
    KitePlaceFault,
    PlaceFault,
    Wire,
)
from .legs import iceberg_leg
from .orders import KiteOrder, Status, Terms
from .protection import protected
from .wire import HTML, JSON, TEXT, Refusal, Reply, bad_input, refused, success

NO_ORDER: Final = Refusal(404, "GeneralException", "Couldn't find that `order_id`.")
"""Guess: what Kite says to an unknown order id isn't settled."""

GONE_REGULAR: Final = Refusal(504, "NetworkException", "request 5b21 timed out")
"""What an after-market order's change by its old variety meets once the market is open."""

_CHANGEABLE: Final = frozenset({Status.OPEN, Status.TRIGGER, Status.AMO})
_OK: Final = 200


class OrderCalls:
    """Takes calls that concern orders to the core's desk, by way of what is planned to go wrong."""

    def __init__(self, core: KiteCore) -> None:
        self._core = core

    # ------------------------------------------------------------------------------------------- placing

    def place(self, variety: str, fields: Mapping[str, str], now: int) -> Reply:
        """Take an order, or what is planned instead."""
        core = self._core
        fault = core.plans.take(PlaceFault(), now)
        self._note("place", fields.get("tag", ""), now, fault)
        if fault.wire is Wire.REFUSED:
            return spoilt(fault, success(None))
        terms = self._terms(Form(fields), variety, now)
        if isinstance(terms, Refusal):
            return spoilt(fault, refused(terms))
        first, data = self._ids(terms)
        for copy in range(fault.copies):
            after = fault.accepted_after + copy * fault.repeat_after
            accept = partial(self._accept, terms, data, first=copy == 0, fault=fault)
            core.agenda.after(after, now, accept)
        return spoilt(fault, success({"order_id": first} if "children" not in data else data))

    def _terms(self, form: Form, variety: str, now: int) -> Terms | Refusal:
        core = self._core
        if variety != "amo" and not core.config.is_open(now):
            return CLOSED
        terms = terms_of(form, variety, core.dump, date.fromisoformat(core.trading_day))
        if isinstance(terms, Refusal) or core.config.margin_refusal == "row":
            return terms
        lacking = core.desk.checks.want_of_funds(terms)
        return terms if lacking is None else Refusal(400, "MarginException", lacking)

    def _ids(self, terms: Terms) -> tuple[str, dict[str, Any]]:
        """Return the order's id, and with autoslice the ids of its slices, which are what the book shows."""
        first = self._core.desk.new_id()
        slices = -(-terms.quantity // terms.instrument.freeze_quantity) if terms.autoslice else 1
        if slices == 1:
            return first, {"order_id": first}
        children = [{"order_id": self._core.desk.new_id()} for _ in range(slices)]
        return first, {"order_id": first, "children": children}

    def _accept(
        self, terms: Terms, data: dict[str, Any], now: int, *, first: bool, fault: PlaceFault
    ) -> None:
        desk = self._core.desk
        order_id = str(data["order_id"]) if first else desk.new_id()
        if terms.variety == "iceberg":
            part = iceberg_leg(terms, 1)
            if part is not None:
                desk.accept(order_id, part[0], now, fault=fault, meta=part[1])
            return
        if "children" not in data:
            desk.accept(order_id, terms, now, fault=fault)
            return
        left = terms.quantity
        for child in data["children"]:
            slice_ = replace(terms, quantity=min(left, terms.instrument.freeze_quantity), tag="")
            left -= slice_.quantity
            tags = ["autoslice", f"autoslice:{order_id}", *([terms.tag] if terms.tag else [])]
            desk.accept(child["order_id"] if first else desk.new_id(), slice_, now, fault=fault, tags=tags)

    # --------------------------------------------------------------------------------- changing, cancelling

    def modify(self, variety: str, order_id: str, fields: Mapping[str, str], now: int) -> Reply:
        """Change an order, or what is planned instead."""
        core = self._core
        path = f"/orders/{order_id}"
        fault = core.plans.take(CallFault(path=path), now, lambda fault: fault.covers("PUT", "/orders"))
        self._note("modify", order_id, now, fault)
        order = core.orders.get(order_id)
        if order is None or order.day != core.trading_day:
            return spoilt(fault, refused(NO_ORDER))
        changed = GONE_REGULAR if _gone_regular(order, variety) else self._changed(order, Form(fields))
        if isinstance(changed, Refusal):
            return spoilt(fault, refused(changed))
        if fault.effective:
            core.desk.modify(order, changed, now)
        return spoilt(fault, success({"order_id": order_id}))

    def _changed(self, order: KiteOrder, form: Form) -> Terms | Refusal:
        if order.status not in _CHANGEABLE:
            return bad_input(f"Order cannot be modified {PROCESSED}")
        if order.modifications >= (self._core.config.limits or Limits()).modifications:
            return TOO_MANY_MODIFICATIONS
        terms = order.terms
        kind = form.text("order_type", order.order_type)
        changed = replace(
            terms,
            order_type=kind,
            quantity=form.whole("quantity") or order.quantity,
            price=form.decimal("price") or order.price,
            trigger_price=form.decimal("trigger_price") or order.trigger_price,
            validity=form.text("validity", terms.validity),
            market_protection=form.decimal("market_protection") or terms.market_protection,
        )
        if changed.quantity <= 0 or changed.quantity % terms.instrument.lot_size:
            return bad_input("Invalid `quantity`.")
        if off_grid(terms.instrument, changed.price, changed.trigger_price):
            return off_grid_refusal(terms.instrument)
        last = self._core.market.price(terms.instrument.token)
        return protected(changed, last, self._core.config) if kind == "MARKET" else changed

    def cancel(self, variety: str, order_id: str, now: int) -> Reply:
        """Cancel what is left of an order, or what is planned instead."""
        core = self._core
        fault = core.plans.take(CancelFault(), now)
        self._note("cancel", order_id, now, fault)
        order = core.orders.get(order_id)
        if fault.wire is Wire.REFUSED:
            return spoilt(fault, success(None))
        if order is None or order.day != core.trading_day:
            return spoilt(fault, refused(NO_ORDER))
        if _gone_regular(order, variety):
            return spoilt(fault, refused(GONE_REGULAR))
        if order.status not in _CHANGEABLE:
            return spoilt(fault, refused(bad_input(f"Order cannot be cancelled {PROCESSED}")))
        if fault.effective:
            if fault.fills_first:
                price = order.terms.price or core.market.price(order.terms.instrument.token)
                core.desk.fill(order, order.missing, price, now)
            if order.open:
                core.desk.cancel(order, now)
        return spoilt(fault, success({"order_id": order_id}))

    # --------------------------------------------------------------------------------------------- the book

    def book(self, now: int) -> Reply:
        """Show the day's orders, or what is planned instead."""
        core = self._core
        fault = core.plans.take(BookFault(), now)
        self._note("book", "", now, fault)
        day = fault.trading_day or core.trading_day
        as_of = now - nanoseconds(fault.lag)
        shown = [order.as_of(as_of) for order in core.orders.values() if order.day == day]
        rows = [row for row in shown if row is not None]
        if fault.user is not None:
            rows = [{**row, "account_id": fault.user, "placed_by": fault.user} for row in rows]
        return spoilt(fault, success(rows if fault.keep is None else rows[: fault.keep]))

    def other(self, method: str, path: str, now: int, answer: Callable[[CallFault], Reply]) -> Reply:
        """Answer another call, or what is planned instead; `answer` is asked unless the fault says it does nothing."""
        fault = self._core.plans.take(CallFault(), now, lambda fault: fault.covers(method, path))
        kind = path.strip("/").partition("/")[0]
        self._note(kind, path, now, fault)
        return spoilt(fault, answer(fault) if fault.effective else success(None))

    def _note(self, kind: str, subject: str, now: int, fault: KiteFault) -> None:
        self._core.calls.append(Call(kind, subject, now, fault.wire is not Wire.REFUSED, fault))


def _gone_regular(order: KiteOrder, variety: str) -> bool:
    return variety == "amo" and order.status is not Status.AMO


def spoilt(fault: KiteFault, truth: Reply) -> Reply:
    """Return the reply as the fault lets the caller experience it."""
    kind = fault.content_type if isinstance(fault, KitePlaceFault | CallFault) else ""
    body = truth.body if fault.body is None else fault.body.encode()
    looks = truth.content_type if fault.body is None else _kind_of(fault.body)
    return replace(
        truth,
        status=truth.status if fault.status == _OK and fault.body is None else fault.status,
        body=body,
        content_type=None if kind == NO_CONTENT_TYPE else kind or looks,
        wire=fault.wire,
        delay=fault.delay,
    )


def _kind_of(body: str) -> str:
    """Return the content type that a body looks like."""
    if body.startswith("<") and body != GARBAGE:
        return HTML
    try:
        msgspec.json.decode(body)
    except msgspec.DecodeError:
        return JSON if body == GARBAGE else TEXT
    return JSON
