"""The events of one order, as its services would tell them: for the tests of `explain`."""

from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

from alpha_panda.compose.recorder import event_line, tick_line
from alpha_panda.contracts.codec import encode_event, encode_ticks, payload_hash
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import (
    EventType,
    FeedMode,
    OrderStatus,
    OrderType,
    Side,
    SignalClass,
    TradingState,
    Validity,
)
from alpha_panda.contracts.events import (
    VERSION,
    CancelRequest,
    CheckResult,
    Envelope,
    OrderUpdate,
    Payload,
    PortfolioSnapshot,
    PositionView,
    RejectedSignal,
    Signal,
    Tick,
    TickBatch,
    ValidatedSignal,
)
from alpha_panda.domain.ids import broker_tag, event_id
from alpha_panda.domain.story.evidence import Evidence, TickSeen
from alpha_panda.ports import Outgoing, Record

D = Decimal
MS = 1_000_000
T0 = 1_704_080_700_000 * MS
"""2024-01-01T03:45:00Z: the tick's time."""
ACCOUNT, STRATEGY, SYMBOL, TOKEN = "paper", "alpha", "NSE:RELIANCE", 738561
SIGNAL_AT, DECIDED_AT, BEGUN_AT, ANSWERED_AT = (T0 + ms * MS for ms in (3, 7, 9, 49))
TICKS = "demo.market.ticks"
TICK_RECORD = f"{TICKS}/3/7"
CAUSE = f"{TICK_RECORD}#{TOKEN}:21"
A = "11111111-aaaa-5555-8888-000000000001"
B = "11111111-bbbb-5555-8888-000000000002"
TICK = Tick(TOKEN, 2503.0, T0, 21, bid=2502.95, ask=2503.0)
CHECKS = [
    CheckResult("schema", True),
    CheckResult("price_fresh", True, value="2500000", limit="5000000000"),
    CheckResult("account.max_order_value", True, value="25030", limit="500000"),
]


def signal(signal_id: str = A, **changes: Any) -> Signal:
    fields: dict[str, Any] = {
        "strategy_id": STRATEGY,
        "strategy_uid": "uid",
        "instrument_token": TOKEN,
        "symbol": SYMBOL,
        "side": Side.BUY,
        "order_type": OrderType.MARKET,
        "quantity": D(10),
        "validity": Validity.DAY,
        "expires_at": T0 + 10_000 * MS,
        "price": D("2503.00"),
        "reason": "it rose",
        "tick_ts": T0,
        "state": {"return": "12 bps"},
    }
    return Signal(signal_id=signal_id, **(fields | changes))


def envelope(  # noqa: PLR0917 - an event's parts, in the order of its fields
    kind: EventType, data: Payload, ts: int, about: str, source: str, causation: str = "", revision: int = 0
) -> Envelope:
    return Envelope(
        id=event_id(about, kind, revision),
        type=kind,
        version=VERSION,
        ts=ts,
        source=source,
        account=ACCOUNT,
        key=f"{STRATEGY}:{TOKEN}",
        correlation_id=about,
        causation_id=causation,
        data=data,
    )


def raw(of: Signal | None = None) -> Envelope:
    made = of or signal()
    kind = EventType.TRADING_SIGNAL
    return envelope(kind, made, SIGNAL_AT, made.signal_id, f"strategy/{STRATEGY}", CAUSE)


def validated(of: Signal | CancelRequest | None = None, ts: int = DECIDED_AT) -> Envelope:
    made = of or signal()
    data = ValidatedSignal(
        original_signal=made,
        signal_class=SignalClass.INCREASING,
        payload_hash=payload_hash(made),
        risk_epoch="r",
        journal_epoch="j",
        decided_at=ts,
        checks=CHECKS,
    )
    return envelope(EventType.VALIDATED_SIGNAL, data, ts, made.signal_id, f"risk/{ACCOUNT}")


def rejected(of: Signal | CancelRequest | None = None) -> Envelope:
    made = of or signal()
    message = "account: quantity 10 exceeds 5; the quote is 1500000 ns old"
    check = CheckResult("account.max_order_quantity", False, Code.MAX_ORDER_QUANTITY, message, "10", "5")
    data = RejectedSignal(
        original_signal=made,
        code=Code.MAX_ORDER_QUANTITY,
        message=message,
        decided_at=DECIDED_AT,
        checks=[*CHECKS, check],
    )
    return envelope(EventType.REJECTED_SIGNAL, data, DECIDED_AT, made.signal_id, f"risk/{ACCOUNT}")


_TYPES = {
    OrderStatus.PLACED: EventType.ORDER_PLACED,
    OrderStatus.PARTIALLY_FILLED: EventType.ORDER_FILLED,
    OrderStatus.FILLED: EventType.ORDER_FILLED,
    OrderStatus.CANCELLED: EventType.ORDER_CANCELLED,
    OrderStatus.FAILED: EventType.ORDER_FAILED,
    OrderStatus.LOST: EventType.ORDER_FAILED,
}


def told(
    status: OrderStatus = OrderStatus.FILLED,
    filled: str = "10",
    *,
    signal_id: str = A,
    ts: int = ANSWERED_AT,
    source: str = f"engine/{ACCOUNT}",
    revision: int = 1,
    **changes: Any,
) -> Envelope:
    fields: dict[str, Any] = {
        "order_id": broker_tag(signal_id),
        "strategy_id": STRATEGY,
        "instrument_token": TOKEN,
        "symbol": SYMBOL,
        "side": Side.BUY,
        "order_type": OrderType.MARKET,
        "quantity": D(10),
        "validity": Validity.DAY,
        "price": D("2504.25") if D(filled) else None,
        "amount": D(filled) * D("2504.25"),
        "fees": D("7.5128") if D(filled) else D(0),
        "quote_price": D("2503.00"),
        "quote_ts": BEGUN_AT - 4 * MS,
        "begun_at": BEGUN_AT,
    }
    data = OrderUpdate(
        signal_id=signal_id,
        status=status,
        rank=int(status.rank),
        filled_quantity=D(filled),
        revision=revision,
        **(fields | changes),
    )
    return envelope(_TYPES[status], data, ts, signal_id, source, revision=revision)


def book(ts: int, cash: str, position: str = "0", reason: str = "change", **changes: Any) -> Envelope:
    view = PositionView(
        instrument_token=TOKEN, symbol=SYMBOL, quantity=D(position), average_price=D("2504.25")
    )
    fields: dict[str, Any] = {
        "opening_cash": D(1_000_000),
        "cash": D(cash),
        "equity": D(cash),
        "realized_pnl": D(0),
        "unrealized_pnl": D(0),
        "fees": D(0),
        "gross_exposure": D(0),
        "net_exposure": D(0),
        "positions": {SYMBOL: view},
        "strategies": {},
        "open_orders": 0,
        "trading_state": TradingState.ACTIVE,
        "reason": reason,
    }
    data = PortfolioSnapshot(**(fields | changes))
    return envelope(EventType.PORTFOLIO_SNAPSHOT, data, ts, f"book-{ts}", f"risk/{ACCOUNT}")


BEFORE = book(T0 - 500 * MS, "1000000")
PRICES = book(ANSWERED_AT + MS, "1000000", reason="prices")
"""Published after the fill, before risk has folded it."""
AFTER = book(ANSWERED_AT + 5 * MS, "974949.9872", "10")


def cancel(signal_id: str = "c0000000-1", of: str = A, ts: int = ANSWERED_AT + 20 * MS) -> Envelope:
    data = CancelRequest(
        signal_id=signal_id,
        strategy_id=STRATEGY,
        strategy_uid="uid",
        instrument_token=TOKEN,
        symbol=SYMBOL,
        order_signal_id=of,
        reason="it fell",
    )
    return envelope(EventType.CANCEL_REQUEST, data, ts, signal_id, f"strategy/{STRATEGY}")


def seen() -> TickSeen:
    return TickSeen(record=TICK_RECORD, feed="demo", mode=FeedMode.SIMULATED, tick=TICK)


def evidence(*events: Envelope, **changes: Any) -> Evidence:
    fields: dict[str, Any] = {"tick": seen(), "before": BEFORE, "after": [PRICES, AFTER]}
    return Evidence(signal_id=A, events=events, **(fields | changes))


def filled() -> Evidence:
    return evidence(raw(), validated(), told())


# --------------------------------------------------------------------------------------------------- records

_TOPICS = {
    EventType.TRADING_SIGNAL: "signals.raw",
    EventType.CANCEL_REQUEST: "signals.raw",
    EventType.VALIDATED_SIGNAL: "signals.validated",
    EventType.REJECTED_SIGNAL: "signals.rejected",
    EventType.ORDER_PLACED: "orders.submitted",
    EventType.ORDER_FILLED: "orders.filled",
    EventType.ORDER_FAILED: "orders.failed",
    EventType.ORDER_CANCELLED: "orders.cancelled",
    EventType.ORDER_UPDATED: "orders.updated",
    EventType.PORTFOLIO_SNAPSHOT: "portfolio",
}


def topic_of(event: Envelope) -> str:
    return f"{event.account}.{_TOPICS[event.type]}"


def batch(*ticks: Tick) -> bytes:
    return encode_ticks(TickBatch("demo", FeedMode.SIMULATED, 1, T0, list(ticks)))


def outgoing(*events: Envelope) -> list[Outgoing]:
    return [Outgoing(topic_of(event), encode_event(event), key=event.key) for event in events]


def lines(events: Iterable[Envelope], *, tick: bool = True) -> list[bytes]:
    """The lines that `run --events` writes."""
    first = Record(TICKS, 3, 7, None, batch(Tick(1, 5.0, T0, 21), TICK), (), T0)
    made = [tick_line(first)] if tick else []
    for n, event in enumerate(events):
        made.append(event_line(Record(topic_of(event), 0, n, event.key, encode_event(event), (), event.ts)))
    return made


def write(path: Path, events: Iterable[Envelope], *, tick: bool = True, more: Iterable[bytes] = ()) -> Path:
    path.write_bytes(b"".join(line + b"\n" for line in [*lines(events, tick=tick), *more]))
    return path
