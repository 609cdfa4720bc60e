"""Signals that a test sends in the name of the strategy that has no process."""

import time
from decimal import Decimal
from itertools import count
from typing import Final
from uuid import uuid4

from alpha_panda.contracts.codec import payload_hash
from alpha_panda.contracts.enums import EventType, OrderType, Side, SignalClass, Validity
from alpha_panda.contracts.events import (
    VERSION,
    CancelRequest,
    Envelope,
    Signal,
    ValidatedSignal,
    order_key,
)
from alpha_panda.domain.ids import event_id

from . import manifests

_turns: Final = count()


def make_signal(
    side: Side = Side.BUY,
    quantity: str = "1",
    *,
    token: int | None = None,
    ttl: float = 20.0,
    limit: str | None = None,
) -> Signal:
    """Return a new signal; without a token of the next instrument, so that none waits for doubt about another."""
    chosen = manifests.HAND_TOKENS[next(_turns) % len(manifests.HAND_TOKENS)] if token is None else token
    return Signal(
        signal_id=str(uuid4()),
        strategy_id=manifests.HAND,
        strategy_uid=manifests.HAND,
        instrument_token=chosen,
        symbol=manifests.symbol_of(chosen),
        side=side,
        order_type=OrderType.MARKET if limit is None else OrderType.LIMIT,
        quantity=Decimal(quantity),
        validity=Validity.DAY,
        expires_at=time.time_ns() + round(ttl * 1e9),
        limit_price=None if limit is None else Decimal(limit),
    )


def make_cancel(order: Signal) -> CancelRequest:
    """Return a request to cancel the order that a signal made."""
    return CancelRequest(
        signal_id=str(uuid4()),
        strategy_id=order.strategy_id,
        strategy_uid=order.strategy_uid,
        instrument_token=order.instrument_token,
        symbol=order.symbol,
        order_signal_id=order.signal_id,
    )


def validated_event(signal: Signal, *, source: str, risk_epoch: str, journal_epoch: str) -> Envelope:
    """Return the event of a decision that lets a signal pass, as risk would produce it."""
    raw = raw_event(signal)
    return Envelope(
        id=event_id(signal.signal_id, EventType.VALIDATED_SIGNAL, 0),
        type=EventType.VALIDATED_SIGNAL,
        version=raw.version,
        ts=raw.ts,
        source=source,
        account=raw.account,
        key=raw.key,
        correlation_id=signal.signal_id,
        causation_id=raw.id,
        data=ValidatedSignal(
            original_signal=signal,
            signal_class=SignalClass.INCREASING,
            payload_hash=payload_hash(signal),
            risk_epoch=risk_epoch,
            journal_epoch=journal_epoch,
            decided_at=raw.ts,
        ),
    )


def raw_event(made: Signal | CancelRequest) -> Envelope:
    """Return the event of a signal or cancel request, as a strategy produces it."""
    event_type = EventType.TRADING_SIGNAL if isinstance(made, Signal) else EventType.CANCEL_REQUEST
    return Envelope(
        id=event_id(made.signal_id, event_type, 0),
        type=event_type,
        version=VERSION,
        ts=time.time_ns(),
        source=f"strategy/{made.strategy_id}",
        account=manifests.ACCOUNT,
        key=order_key(made.strategy_id, made.instrument_token),
        correlation_id=made.signal_id,
        causation_id="test",
        data=made,
    )
