"""Records and runs for the tests of `compose` and of the live view."""

from decimal import Decimal
from typing import Any

from alpha_panda.contracts.codec import encode_event, encode_ticks
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
from alpha_panda.ports import Record

D = Decimal
TS = 1_704_080_700_123_000_000
"""2024-01-01T03:45:00.123Z."""
SYMBOL = "NSE:RELIANCE"


def record(topic: str, value: bytes, offset: int = 0, **fields: Any) -> Record:
    given: dict[str, Any] = {"partition": 0, "key": "k", "headers": (), "timestamp": TS}
    return Record(topic=topic, value=value, offset=offset, **(given | fields))


def event(event_type: EventType, data: Payload, event_id: str = "e1", account: str = "paper") -> Envelope:
    return Envelope(
        id=event_id,
        type=event_type,
        version=VERSION,
        ts=TS,
        source="test",
        account=account,
        key="k",
        correlation_id="c",
        causation_id="c",
        data=data,
    )


def recorded(told: Envelope, topic: str = "paper.any", offset: int = 0) -> Record:
    return record(topic, encode_event(told), offset)


def ticks(*prices: float, ts: int = TS, feed: str = "demo", offset: int = 0) -> Record:
    batch = TickBatch(
        feed, FeedMode.SIMULATED, 1, ts, [Tick(1, price, ts, n) for n, price in enumerate(prices, 1)]
    )
    return record(f"{feed}.market.ticks", encode_ticks(batch), offset)


def signal(signal_id: str = "s1", **fields: Any) -> Signal:
    given: dict[str, Any] = {
        "strategy_id": "momentum-shared",
        "strategy_uid": "u",
        "instrument_token": 1,
        "symbol": SYMBOL,
        "side": Side.BUY,
        "order_type": OrderType.MARKET,
        "quantity": D(10),
        "validity": Validity.DAY,
        "expires_at": TS,
    }
    return Signal(signal_id=signal_id, **(given | fields))


def cancel(signal_id: str = "c1", of: str = "s1") -> CancelRequest:
    return CancelRequest(
        signal_id=signal_id,
        strategy_id="momentum-shared",
        strategy_uid="u",
        order_signal_id=of,
        instrument_token=1,
        symbol=SYMBOL,
    )


def validated(original: Signal) -> ValidatedSignal:
    return ValidatedSignal(
        original_signal=original,
        signal_class=SignalClass.INCREASING,
        payload_hash="h",
        risk_epoch="r",
        journal_epoch="j",
        decided_at=TS,
    )


def rejected(original: Signal) -> RejectedSignal:
    return RejectedSignal(
        original_signal=original, code=Code.MAX_ORDER_QUANTITY, message="10 is more than 5", decided_at=TS
    )


def order(
    signal_id: str = "s1", status: OrderStatus = OrderStatus.FILLED, filled: str = "10", **fields: Any
) -> OrderUpdate:
    given: dict[str, Any] = {
        "order_id": "o",
        "strategy_id": "momentum-shared",
        "instrument_token": 1,
        "symbol": SYMBOL,
        "side": Side.BUY,
        "order_type": OrderType.MARKET,
        "quantity": D(10),
        "validity": Validity.DAY,
        "rank": int(status.rank),
        "price": D("2509.85") if D(filled) else None,
    }
    return OrderUpdate(signal_id=signal_id, status=status, filled_quantity=D(filled), **(given | fields))


def snapshot(**fields: Any) -> PortfolioSnapshot:
    """A book in millions, with two positions and one that is flat again."""
    positions = {
        symbol: PositionView(
            instrument_token=token, symbol=symbol, quantity=D(quantity), average_price=D(average)
        )
        for token, (symbol, quantity, average) in enumerate(
            [("NSE:TCS", "-12345", "3962.8785714286"), (SYMBOL, "7", "2509.85"), ("NSE:SBIN", "0", "0")]
        )
    }
    given: dict[str, Any] = {
        "opening_cash": D(2_000_000),
        "cash": D("1940981.5775"),
        "equity": D("1999135.8357"),
        "realized_pnl": D("-22171.9"),
        "unrealized_pnl": D("30095.25"),
        "fees": D("12673.2143"),
        "gross_exposure": D(0),
        "net_exposure": D(0),
        "positions": positions,
        "strategies": {},
        "open_orders": 0,
        "trading_state": TradingState.ACTIVE,
    }
    return PortfolioSnapshot(**(given | fields))
