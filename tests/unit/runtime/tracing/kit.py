"""A signal, its event, and a record that holds it."""

from decimal import Decimal
from typing import Any

from alpha_panda.contracts.enums import EventType, OrderType, Side, Validity
from alpha_panda.contracts.events import VERSION, Envelope, Signal
from alpha_panda.domain.ids import event_id, signal_id
from alpha_panda.ports import Record

SIGNAL = signal_id("00000000-0000-4000-8000-000000000000", "paper", 1)
OTHER = signal_id("00000000-0000-4000-8000-000000000000", "paper", 2)


def signal(new_id: str = SIGNAL, **changes: Any) -> Signal:
    fields: dict[str, Any] = {
        "signal_id": new_id,
        "strategy_id": "alpha",
        "strategy_uid": "u",
        "instrument_token": 7,
        "symbol": "NSE:A",
        "side": Side.BUY,
        "order_type": OrderType.MARKET,
        "quantity": Decimal(2),
        "validity": Validity.DAY,
        "expires_at": 9,
        **changes,
    }
    return Signal(**fields)


def event(new_id: str = SIGNAL, data: Any = None, **changes: Any) -> Envelope:
    fields: dict[str, Any] = {
        "id": event_id(new_id, EventType.TRADING_SIGNAL, 0),
        "type": EventType.TRADING_SIGNAL,
        "version": VERSION,
        "ts": 5,
        "source": "strategy/alpha",
        "account": "paper",
        "key": "alpha:7",
        "correlation_id": new_id,
        "causation_id": "demo.market.ticks/0/3#7:4",
        "data": signal(new_id) if data is None else data,
        **changes,
    }
    return Envelope(**fields)


def record(headers: tuple[tuple[str, bytes], ...] = (), topic: str = "paper.signals.raw") -> Record:
    return Record(topic, 2, 33, "alpha:7", b"{}", headers, 1_000)
