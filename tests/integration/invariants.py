"""What holds of every pipeline, whatever was killed: checked from its events, its journal and its books."""

from collections import Counter
from decimal import Decimal

import msgspec

from alpha_panda.contracts.enums import EventType, OrderStatus
from alpha_panda.contracts.events import Envelope, OrderUpdate, Signal
from alpha_panda.contracts.stored import OrderFold
from alpha_panda.domain.fold import fold_order
from alpha_panda.testing.pipeline import Pipeline

ENDS = (OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.FAILED, OrderStatus.LOST)


def raw_signals(pipeline: Pipeline, account: str) -> dict[str, Signal]:
    """Every signal that a strategy has produced, by id."""
    events = pipeline.events(EventType.TRADING_SIGNAL, account=account)
    return {event.data.signal_id: event.data for event in events if isinstance(event.data, Signal)}


def updates(pipeline: Pipeline, account: str) -> list[OrderUpdate]:
    return [e.data for e in pipeline.events(account=account) if isinstance(e.data, OrderUpdate)]


def folds(pipeline: Pipeline, account: str) -> dict[str, OrderFold]:
    found: dict[str, OrderFold] = {}
    for update in updates(pipeline, account):
        found[update.signal_id] = fold_order(found.get(update.signal_id, OrderFold()), update).fold
    return found


def faults(pipeline: Pipeline, account: str = "paper") -> list[str]:
    """Return everything that does not hold; call it when all has come to rest."""
    return [
        *_calls(pipeline, account),
        *_repeats(pipeline),
        *_ends(pipeline, account),
        *_books(pipeline, account),
    ]


async def stored_faults(pipeline: Pipeline, account: str = "paper") -> list[str]:
    """Return what the stores still hold that should be done with."""
    journal = pipeline.stores(account).journal
    waiting = [entry.signal_id for entry in await journal.unacknowledged()]
    doubtful = [entry.signal_id for entry in await journal.in_doubt()]
    silent = []
    for signal_id, fold in folds(pipeline, account).items():
        entry = await journal.get(signal_id)
        if entry is None or (fold.terminal and not entry.state.terminal):
            silent.append(signal_id)
    return [
        f"{what}: {ids}" for what, ids in (("open", waiting), ("doubt", doubtful), ("journal", silent)) if ids
    ]


def _calls(pipeline: Pipeline, account: str) -> list[str]:
    calls = pipeline.broker(account).calls
    filled = {u.signal_id for u in updates(pipeline, account) if u.filled_quantity}
    never = sorted(filled - calls.keys())
    return [f"{n} broker calls for {i}" for i, n in calls.items() if n > 1] + [
        f"filled unsent: {i}" for i in never
    ]


def _repeats(pipeline: Pipeline) -> list[str]:
    """An event that comes again says the same; only who says it may differ (engine or order-tracker)."""
    seen: dict[str, Envelope] = {}
    found = []
    for event in pipeline.events():
        bare = msgspec.structs.replace(event, source="")
        if seen.setdefault(event.id, bare) != bare:
            found.append(f"event {event.id} ({event.type}) came again with another content")
    return found


def _ends(pipeline: Pipeline, account: str) -> list[str]:
    found = []
    for signal_id in raw_signals(pipeline, account):
        events = pipeline.about(signal_id)
        ends = Counter(
            event.data.status if isinstance(event.data, OrderUpdate) else event.type
            for event in events
            if event.type is EventType.REJECTED_SIGNAL
            or (isinstance(event.data, OrderUpdate) and event.data.status in ENDS)
        )
        if sum(ends.values()) != 1:
            found.append(f"{signal_id} has the ends {dict(ends)} of {[event.type.value for event in events]}")
    return found


def _books(pipeline: Pipeline, account: str) -> list[str]:
    snapshot = pipeline.snapshot(account)
    by_order = {update.signal_id: update for update in updates(pipeline, account)}
    held: dict[str, Decimal] = {}
    cash, fees = snapshot.opening_cash, Decimal(0)
    for signal_id, fold in folds(pipeline, account).items():
        order = by_order[signal_id]
        quantity = order.side.sign * fold.filled_quantity
        held[order.symbol] = held.get(order.symbol, Decimal(0)) + quantity
        cash -= order.side.sign * fold.amount + fold.fees
        fees += fold.fees
    booked = {symbol: view.quantity for symbol, view in snapshot.positions.items() if view.quantity}
    told = {symbol: quantity for symbol, quantity in held.items() if quantity}
    found = [] if booked == told else [f"positions {booked}, fills come to {told}"]
    if (snapshot.cash, snapshot.fees) != (cash, fees):
        found.append(f"cash {snapshot.cash} and fees {snapshot.fees}, fills come to {cash} and {fees}")
    if snapshot.open_orders:
        found.append(f"{snapshot.open_orders} orders still open")
    return found
