"""Entries, instruments and answers for the tests of Zerodha's REST adapter."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

from alpha_panda.adapters.http.exchange import Answer
from alpha_panda.adapters.zerodha.session import Session, write_session
from alpha_panda.contracts.enums import EntryState, OrderType, Side, SignalClass, Validity
from alpha_panda.contracts.events import Signal
from alpha_panda.contracts.instruments import Instrument, InstrumentMaster
from alpha_panda.contracts.stored import JournalEntry, PriceReading
from alpha_panda.domain.ids import broker_tag

START = 1_767_343_500_000_000_000
"""2026-01-02 14:15 in India."""
SECOND = 1_000_000_000
USER = "AB1234"
NO_PRICE = PriceReading(quote=None, heartbeat_ts=None)

RELIANCE, MAHINDRA, CRUDE, DOLLAR, NIFTY, ODD = 738561, 519937, 99, 98, 97, 96
MASTER = InstrumentMaster.of(
    [
        Instrument(RELIANCE, "NSE:RELIANCE", Decimal("0.05")),
        Instrument(MAHINDRA, "NSE:M&M", Decimal("0.1")),
        Instrument(CRUDE, "MCX:CRUDEOIL26JANFUT", Decimal(1), lot_size=Decimal(100), kind="FUT"),
        Instrument(DOLLAR, "CDS:USDINR26JANFUT", Decimal("0.0025"), lot_size=Decimal(1000), kind="FUT"),
        Instrument(NIFTY, "NFO:NIFTY26JANFUT", Decimal("0.1"), lot_size=Decimal(65), kind="FUT"),
        Instrument(ODD, "XYZ:ODD", Decimal(0)),
    ]
)


class StillClock:
    """Stands still until it is told."""

    virtual = True

    def __init__(self, now: int = START) -> None:
        self.time = now
        self.slept: list[float] = []

    def now(self) -> int:
        return self.time

    def monotonic(self) -> int:
        return self.time - START + SECOND

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += round(seconds * SECOND)

    def every(self, seconds: float) -> Any:
        raise NotImplementedError

    async def pace_until(self, ts: int) -> None:
        raise NotImplementedError


def entry(n: int = 1, *, tag: str | None = None, token: int = RELIANCE, **changes: Any) -> JournalEntry:
    """Return an order about to be sent; `changes` are the signal's fields, `state` and `broker_order_id` the entry's."""
    own = {
        name: changes.pop(name) for name in ("state", "broker_order_id", "filled_quantity") if name in changes
    }
    fields: dict[str, Any] = {
        "signal_id": f"s{n}",
        "strategy_id": "alpha",
        "strategy_uid": "alpha",
        "instrument_token": token,
        "symbol": MASTER.by_token[token].symbol if token in MASTER.by_token else "NSE:NONE",
        "side": Side.BUY,
        "order_type": OrderType.LIMIT,
        "quantity": Decimal(10),
        "validity": Validity.DAY,
        "expires_at": START,
        "limit_price": Decimal("100.50"),
    }
    signal = Signal(**(fields | changes))
    entry_fields: dict[str, Any] = {
        "signal": signal,
        "state": EntryState.SENDING,
        "signal_class": SignalClass.INCREASING,
        "tag": broker_tag(signal.signal_id) if tag is None else tag,
        "revision": 0,
        "send_by": START,
        "updated_at": START,
        "correlation_id": "c",
        "causation_id": "d",
    }
    return JournalEntry(**(entry_fields | own))


def order_row(order_id: str = "1", **changes: Any) -> dict[str, Any]:
    """Return a row as Kite's book has it."""
    row: dict[str, Any] = {
        "account_id": USER,
        "placed_by": USER,
        "order_id": order_id,
        "status": "OPEN",
        "status_message": None,
        "status_message_raw": None,
        "order_timestamp": "2026-01-02 14:14:59",
        "variety": "regular",
        "exchange": "NSE",
        "tradingsymbol": "RELIANCE",
        "instrument_token": RELIANCE,
        "transaction_type": "BUY",
        "product": "MIS",
        "quantity": 10,
        "average_price": 0,
        "filled_quantity": 0,
        "pending_quantity": 10,
        "cancelled_quantity": 0,
        "tag": broker_tag("s1"),
        "meta": {},
    }
    return {name: value for name, value in (row | changes).items() if value is not ...}


def trade_row(
    order_id: str, quantity: float, price: float | str, trade_id: str = "t1", **changes: Any
) -> dict[str, Any]:
    row = {
        "trade_id": trade_id,
        "order_id": order_id,
        "exchange": "NSE",
        "tradingsymbol": "RELIANCE",
        "quantity": quantity,
        "average_price": price,
        "fill_timestamp": "2026-01-02 14:15:00",
    }
    return row | changes


def success(data: Any, status: int = 200) -> Answer:
    return Answer(status, json.dumps({"status": "success", "data": data}).encode())


def error(status: int, kind: str, message: str) -> Answer:
    envelope = {"status": "error", "message": message, "data": None, "error_type": kind}
    return Answer(status, json.dumps(envelope).encode())


def made_session(**changes: Any) -> Session:
    fields: dict[str, Any] = {
        "user_id": USER,
        "api_key": "key",
        "access_token": "tokenone",
        "login_at": START,
        "expires_at": START + 3600 * SECOND,
    }
    return Session(**(fields | changes))


def write_files(directory: Path, api_key: str = "key", **changes: Any) -> Session:
    """Write an account's keys and session."""
    (directory / "keys").mkdir(exist_ok=True)
    (directory / "keys" / "api_key").write_text(f"{api_key}\n")
    session = made_session(**changes)
    write_session(directory, session)
    return session
