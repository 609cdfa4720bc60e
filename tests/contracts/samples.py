"""Signals, decisions, outcomes, latches for the contract suites: plain values with sensible defaults."""

from decimal import Decimal
from typing import Any

from alpha_panda.contracts.codec import payload_hash
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import (
    EntryState,
    OrderType,
    Side,
    SignalClass,
    TradingState,
    Validity,
    Verdict,
)
from alpha_panda.contracts.events import CancelRequest, Signal
from alpha_panda.contracts.stored import Decision, JournalEntry, Latch, Outcome
from alpha_panda.domain.ids import broker_tag

SECOND = 1_000_000_000
SCOPE = "account:paper"
TOKEN = 738561
FOREVER = 4_000_000_000 * SECOND


def signal(
    signal_id: str = "s1", *, token: int = TOKEN, strategy: str = "momentum", **changes: Any
) -> Signal:
    """Return a market BUY of 10 that never expires."""
    fields: dict[str, Any] = {
        "signal_id": signal_id,
        "strategy_id": strategy,
        "strategy_uid": "uid",
        "instrument_token": token,
        "symbol": "NSE:RELIANCE",
        "side": Side.BUY,
        "order_type": OrderType.MARKET,
        "quantity": Decimal(10),
        "validity": Validity.DAY,
        "expires_at": FOREVER,
    }
    return Signal(**(fields | changes))


def cancel_request(signal_id: str = "c1") -> CancelRequest:
    """Return a wish to cancel the order of signal s1."""
    return CancelRequest(
        signal_id=signal_id,
        strategy_id="momentum",
        strategy_uid="uid",
        instrument_token=TOKEN,
        symbol="NSE:RELIANCE",
        order_signal_id="s1",
    )


def decision(of: Signal | CancelRequest, **changes: Any) -> Decision:
    """Return risk's VALIDATED, increasing."""
    fields: dict[str, Any] = {
        "signal": of,
        "verdict": Verdict.VALIDATED,
        "signal_class": SignalClass.INCREASING,
        "payload_hash": payload_hash(of),
        "risk_epoch": "risk",
        "journal_epoch": "epoch",
        "decided_at": 1,
        "correlation_id": "corr",
        "causation_id": "cause",
    }
    return Decision(**(fields | changes))


def outcome(state: EntryState, filled: int | str = 0, **changes: Any) -> Outcome:
    """Return an outcome; what filled did so at 100 with a fee of 1."""
    quantity = Decimal(filled)
    price, fees = (Decimal(100), Decimal(1)) if quantity else (Decimal(0), Decimal(0))
    fields: dict[str, Any] = {"filled_quantity": quantity, "average_price": price, "fees": fees}
    fields["amount"] = price * quantity if quantity else None
    return Outcome(state=state, **(fields | changes))


FILLED = outcome(EntryState.FILLED, 10, broker_order_id="b1")
PARTIAL = outcome(EntryState.PARTIALLY_FILLED, 4, broker_order_id="b1")
PLACED = outcome(EntryState.PLACED, broker_order_id="b1")
CANCELLED = outcome(EntryState.CANCELLED, broker_order_id="b1", code=Code.CANCELLED_BY_STRATEGY)
REJECTED = outcome(EntryState.FAILED, code=Code.BROKER_REJECTED, message="no")
UNKNOWN = outcome(EntryState.UNKNOWN, message="time-out")
LOST = outcome(EntryState.LOST, code=Code.ORDER_LOST)


def latch(latch_id: str = "late:s1", scope: str = SCOPE, state: TradingState = TradingState.HALTED) -> Latch:
    """Return a latch that the order-tracker sets."""
    return Latch(
        latch_id=latch_id, scope=scope, state=state, reason="late match", set_by="order-tracker", set_at=1
    )


def entry(of: Signal, state: EntryState = EntryState.UNKNOWN, **changes: Any) -> JournalEntry:
    """Return an entry as the order-tracker makes it from Kafka or from a row of the broker's book."""
    fields: dict[str, Any] = {
        "signal": of,
        "state": state,
        "signal_class": SignalClass.INCREASING,
        "tag": broker_tag(of.signal_id),
        "revision": 0,
        "send_by": 0,
        "updated_at": 0,
        "correlation_id": "corr",
        "causation_id": "cause",
    }
    return JournalEntry(**(fields | changes))
