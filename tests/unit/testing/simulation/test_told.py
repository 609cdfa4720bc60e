from decimal import Decimal
from typing import Any

from alpha_panda.contracts.codec import encode_event
from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import (
    EventType,
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
    ControlChanged,
    Envelope,
    OrderUpdate,
    RejectedSignal,
    Signal,
    ValidatedSignal,
)
from alpha_panda.domain.ids import broker_tag
from alpha_panda.ports import Record
from alpha_panda.testing.simulation.invariants import difference
from alpha_panda.testing.simulation.told import Told, decides

SIGNAL = Signal(
    signal_id="s1",
    strategy_id="alpha",
    strategy_uid="alpha",
    instrument_token=7,
    symbol="NSE:X",
    side=Side.BUY,
    order_type=OrderType.MARKET,
    quantity=Decimal(2),
    validity=Validity.DAY,
    expires_at=10,
)


def update(status: OrderStatus, filled: int = 0, **changes: Any) -> OrderUpdate:
    fields: dict[str, Any] = {
        "signal_id": "s1",
        "order_id": broker_tag("s1"),
        "strategy_id": "alpha",
        "instrument_token": 7,
        "symbol": "NSE:X",
        "side": Side.BUY,
        "order_type": OrderType.MARKET,
        "quantity": Decimal(2),
        "validity": Validity.DAY,
        "status": status,
        "rank": int(status.rank),
        "filled_quantity": Decimal(filled),
        "price": Decimal(5) if filled else None,
        "signal_class": SignalClass.INCREASING,
        "revision": 0,
    }
    return OrderUpdate(**{**fields, **changes})


def event(data: Any, kind: EventType, name: str = "e") -> Envelope:
    return Envelope(
        id=name, type=kind, version=VERSION, ts=1, source="x", account="live", key="alpha:7",
        correlation_id="s1", causation_id="", data=data,
    )  # fmt: skip


def record(topic: str, data: Any, kind: EventType, name: str = "e") -> Record:
    return Record(topic, 0, 0, "alpha:7", encode_event(event(data, kind, name)), (), 1)


def test_signals_decisions_and_ends_are_gathered_by_id() -> None:
    validated = ValidatedSignal(
        original_signal=SIGNAL, signal_class=SignalClass.INCREASING, payload_hash="h", risk_epoch="r",
        journal_epoch="j", decided_at=1, checks=[],
    )  # fmt: skip
    told = Told(
        "live",
        [
            record("live.signals.raw", SIGNAL, EventType.TRADING_SIGNAL),
            record("live.signals.validated", validated, EventType.VALIDATED_SIGNAL),
            record("live.orders.submitted", update(OrderStatus.PLACED), EventType.ORDER_PLACED),
            record("live.orders.filled", update(OrderStatus.FILLED, 2), EventType.ORDER_FILLED),
            record("paper.orders.failed", update(OrderStatus.FAILED), EventType.ORDER_FAILED),  # another's
        ],
    )
    assert told.raw == {"s1": SIGNAL}
    assert list(told.validated) == ["s1"]
    assert told.ends("s1") == ["FILLED"]
    assert told.folds["s1"].filled_quantity == 2


def test_two_words_of_an_order_are_two_ends() -> None:
    rejected = RejectedSignal(
        original_signal=SIGNAL, code=Code.TRADING_HALTED, message="", decided_at=1, checks=[]
    )
    told = Told(
        "live",
        [
            record("live.orders.failed", update(OrderStatus.LOST), EventType.ORDER_FAILED),
            record("live.orders.filled", update(OrderStatus.FILLED, 2), EventType.ORDER_FILLED),
            record("live.signals.rejected", rejected, EventType.REJECTED_SIGNAL),
        ],
    )
    assert told.ends("s1") == ["FILLED", "LOST", "REJECTED"]
    assert not told.contradicted("s1")
    assert not told.late_latch


def test_latches_and_strays_are_known_by_their_ids() -> None:
    def latch(latch_id: str) -> Record:
        changed = ControlChanged(
            scope="account/live",
            latch_id=latch_id,
            state=TradingState.HALTED,
            action="set",
            reason="",
            set_by="x",
        )
        return record("live.control", changed, EventType.CONTROL_CHANGED)

    stray = update(
        OrderStatus.FILLED, 2, signal_id="external:B1", broker_order_id="B1", external=True, correction=True
    )
    records = [
        record("live.orders.updated", stray, EventType.ORDER_UPDATED),
        latch(f"contradiction-{broker_tag('s1')}"),
    ]
    assert Told("live", records).strays() == set()
    told = Told("live", [*records, latch("stray-B1")])
    assert told.strays() == {broker_tag("s1")}
    assert told.contradicted("s1")
    assert told.late_latch


def test_what_nobody_can_read_is_passed_over_and_dead_letters_count_by_their_id() -> None:
    poison = Record("live.signals.raw", 0, 0, None, b"\x00", (), 1)
    letter = record("live.signals.raw.dlq", SIGNAL, EventType.TRADING_SIGNAL)
    told = Told("live", [poison, letter])
    assert (told.events, told.letters) == ([], {"s1"})


def test_answers_to_cancel_requests_decide_nothing() -> None:
    cancel = CancelRequest(
        signal_id="c", strategy_id="alpha", strategy_uid="alpha", instrument_token=7, symbol="NSE:X",
        order_signal_id="s1",
    )  # fmt: skip
    refusal = RejectedSignal(
        original_signal=cancel, code=Code.UNKNOWN_ORDER, message="", decided_at=1, checks=[]
    )
    assert not decides(event(refusal, EventType.REJECTED_SIGNAL))
    assert not decides(event(update(OrderStatus.FILLED, 2), EventType.ORDER_UPDATED))
    assert decides(event(update(OrderStatus.FILLED, 2, correction=True), EventType.ORDER_UPDATED))
    assert decides(event(update(OrderStatus.FILLED, 2), EventType.ORDER_FILLED))


def test_a_difference_names_the_fields_down_to_the_payload() -> None:
    one = event(update(OrderStatus.FILLED, 2), EventType.ORDER_FILLED)
    other = event(update(OrderStatus.FILLED, 1), EventType.ORDER_FILLED)
    assert difference(one, one) == ""
    assert difference(one, other) == "OrderUpdate: filled_quantity: 2 / 1"
