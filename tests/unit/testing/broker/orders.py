"""Orders for the broker's tests."""

from decimal import Decimal
from typing import Any

from alpha_panda.contracts.enums import EntryState, OrderType, Side, SignalClass, Validity
from alpha_panda.contracts.events import Signal
from alpha_panda.contracts.stored import JournalEntry, PriceReading
from alpha_panda.domain.ids import broker_tag
from alpha_panda.testing.broker.api import PlaceRequest
from alpha_panda.testing.virtual_time import START

SECOND = 1_000_000_000
TOKEN = 738561
NO_PRICE = PriceReading(quote=None, heartbeat_ts=None)


def order(tag: str = "ap1", **changes: Any) -> PlaceRequest:
    fields: dict[str, Any] = {
        "tag": tag,
        "instrument_token": TOKEN,
        "side": Side.BUY,
        "order_type": OrderType.MARKET,
        "quantity": Decimal(10),
    }
    return PlaceRequest(**(fields | changes))


def entry(n: int = 1, **changes: Any) -> JournalEntry:
    signal = Signal(
        signal_id=f"s{n}",
        strategy_id="alpha",
        strategy_uid="alpha",
        instrument_token=TOKEN,
        symbol="NSE:RELIANCE",
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        quantity=Decimal(10),
        validity=Validity.DAY,
        expires_at=START,
        limit_price=Decimal("100.5"),
    )
    fields: dict[str, Any] = {
        "signal": signal,
        "state": EntryState.SENDING,
        "signal_class": SignalClass.INCREASING,
        "tag": broker_tag(signal.signal_id),
        "revision": 0,
        "send_by": START,
        "updated_at": START,
        "correlation_id": "c",
        "causation_id": "d",
    }
    return JournalEntry(**(fields | changes))
