"""Bytes to records and back: exact, deterministic, tolerant of newer writers, refusing what it can't know."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alpha_panda.contracts.codec import (
    decode_event,
    decode_ticks,
    encode_event,
    encode_ticks,
    payload_hash,
)
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
    MAX_NAME,
    MAX_REASON,
    MAX_SIGNAL_BYTES,
    PAYLOADS,
    VERSION,
    BookDifference,
    CancelRequest,
    CheckResult,
    ControlChanged,
    Envelope,
    OrderUpdate,
    PortfolioSnapshot,
    PositionView,
    Reconciled,
    RejectedSignal,
    Signal,
    StrategyBookView,
    Tick,
    TickBatch,
    ValidatedSignal,
)
from alpha_panda.errors import UndecodableRecordError, UnknownVersionError

D = Decimal
SIGNAL = Signal(
    signal_id="s1",
    strategy_id="m",
    strategy_uid="u",
    instrument_token=738561,
    symbol="NSE:RELIANCE",
    side=Side.BUY,
    order_type=OrderType.LIMIT,
    quantity=D("10"),
    validity=Validity.DAY,
    expires_at=1_767_343_500_000_000_001,  # more digits than a float64 has
    limit_price=D("2499.95"),
)
CANCEL = CancelRequest(
    signal_id="c1",
    strategy_id="m",
    strategy_uid="u",
    instrument_token=738561,
    symbol="NSE:RELIANCE",
    order_signal_id="s1",
    reason="changed my mind",
)
CHECKS = [CheckResult("rate", True), CheckResult("value", False, Code.MAX_ORDER_VALUE, "too much", "2", "1")]


def validated(of: Signal | CancelRequest) -> ValidatedSignal:
    return ValidatedSignal(
        original_signal=of,
        signal_class=SignalClass.INCREASING,
        payload_hash=payload_hash(of),
        risk_epoch="r",
        journal_epoch="j",
        decided_at=5,
        checks=CHECKS,
    )


UPDATE = OrderUpdate(
    signal_id="s1",
    order_id="ap1",
    strategy_id="m",
    instrument_token=738561,
    symbol="NSE:RELIANCE",
    side=Side.SELL,
    order_type=OrderType.MARKET,
    quantity=D(10),
    validity=Validity.IOC,
    status=OrderStatus.CANCELLED,
    rank=3,
    price=D("0.1000000000"),
    filled_quantity=D("0.3"),
    correction=True,
    code=Code.NO_FILL,
)
POSITION = PositionView(instrument_token=1, symbol="X", quantity=D(-3), average_price=D("1E-7"))
SNAPSHOT = PortfolioSnapshot(
    opening_cash=D(1),
    cash=D("1000000.0001"),
    equity=D(3),
    realized_pnl=D(-4),
    unrealized_pnl=D(5),
    fees=D(6),
    gross_exposure=D(7),
    net_exposure=D(8),
    positions={"X": POSITION},
    strategies={"m": StrategyBookView(positions={"X": POSITION})},
    open_orders=2,
    trading_state=TradingState.REDUCING,
)
REJECTED = RejectedSignal(
    original_signal=SIGNAL, code=Code.RATE_LIMIT, message="m", decided_at=1, checks=CHECKS
)
CHANGED = ControlChanged(scope="platform", latch_id="l", state=TradingState.HALTED, action="set")
RECONCILED = Reconciled(
    user="AB1234",
    trading_day="2026-01-02",
    reconciled=True,
    differences=[
        BookDifference(instrument_token=738561, symbol="NSE:X", ours=Decimal(10), theirs=Decimal("-2.5"))
    ],
    cash=Decimal("1000.05"),
)
PAYLOAD_OF: dict[EventType, list[Any]] = {
    EventType.TRADING_SIGNAL: [SIGNAL],
    EventType.CANCEL_REQUEST: [CANCEL],
    EventType.VALIDATED_SIGNAL: [validated(SIGNAL), validated(CANCEL)],
    EventType.REJECTED_SIGNAL: [REJECTED, msgspec.structs.replace(REJECTED, original_signal=CANCEL)],
    EventType.ORDER_PLACED: [UPDATE],
    EventType.ORDER_FILLED: [UPDATE],
    EventType.ORDER_FAILED: [UPDATE],
    EventType.ORDER_CANCELLED: [UPDATE],
    EventType.ORDER_UPDATED: [UPDATE],
    EventType.PORTFOLIO_SNAPSHOT: [SNAPSHOT],
    EventType.CONTROL_CHANGED: [CHANGED],
    EventType.RECONCILED: [RECONCILED],
}
EVERY = [(kind, data) for kind, payloads in PAYLOAD_OF.items() for data in payloads]


def envelope(kind: EventType = EventType.TRADING_SIGNAL, data: Any = SIGNAL) -> Envelope:
    return Envelope(
        id="e1",
        type=kind,
        version=VERSION,
        ts=1_767_343_500_000_000_001,
        source="test",
        account="paper",
        key="m:738561",
        correlation_id="c",
        causation_id="demo.market.ticks/0/7#738561:3",
        data=data,
    )


def changed(event: Envelope, **fields: Any) -> bytes:
    """Return the event's bytes with fields replaced, as another release might write them."""
    return msgspec.json.encode(msgspec.json.decode(encode_event(event)) | fields)


# ------------------------------------------------------------------------------------------------ events


def test_every_event_type_but_ticks_has_a_payload_and_an_example_here() -> None:
    assert set(PAYLOADS) == set(PAYLOAD_OF) == set(EventType) - {EventType.MARKET_TICKS}


@pytest.mark.parametrize(("kind", "data"), EVERY)
def test_an_event_comes_back_as_it_was(kind: EventType, data: Any) -> None:
    event = envelope(kind, data)
    back = decode_event(encode_event(event))
    assert back == event
    assert type(back.data) is type(data)


@pytest.mark.parametrize(("kind", "data"), EVERY)
def test_the_same_event_gives_the_same_bytes(kind: EventType, data: Any) -> None:
    once = encode_event(envelope(kind, data))
    assert encode_event(decode_event(once)) == once


@pytest.mark.parametrize("digits", ["0.1", "1E-7", "2500.0500", "123456789012345678901234567890.123456789"])
def test_money_keeps_every_digit_and_is_text_on_the_wire(digits: str) -> None:
    event = envelope(data=msgspec.structs.replace(SIGNAL, limit_price=D(digits)))
    assert msgspec.json.decode(encode_event(event))["data"]["limit_price"] == digits
    back = decode_event(encode_event(event)).data
    assert isinstance(back, Signal)
    assert str(back.limit_price) == digits


@given(st.integers(-(2**63), 2**63 - 1))
def test_times_keep_every_nanosecond(ts: int) -> None:
    assert decode_event(encode_event(msgspec.structs.replace(envelope(), ts=ts))).ts == ts


def test_an_older_reader_follows_a_newer_writer_of_the_same_version() -> None:
    data = msgspec.json.decode(encode_event(envelope()))["data"]
    assert decode_event(changed(envelope(), data={**data, "novelty": 1}, novelty={"x": []})) == envelope()


def test_a_newer_version_is_known_as_such_whatever_it_holds() -> None:
    """Its type and its data may be unknown as well: still UNKNOWN_VERSION."""
    with pytest.raises(UnknownVersionError, match="e1 has version 2"):
        decode_event(changed(envelope(), version=VERSION + 1, type="TELEPATHY", data=[1]))


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"null",
        b"[]",
        b'"text"',
        b"{}",
        changed(envelope(), type="TELEPATHY"),
        changed(envelope(), type=""),
        changed(envelope(), type=EventType.MARKET_TICKS),
        changed(envelope(), data={}),
        changed(envelope(), data=None),
        changed(envelope(), ts="yesterday"),
        changed(envelope(), type=EventType.ORDER_FILLED),
        changed(envelope(), type=EventType.CANCEL_REQUEST),
        changed(envelope(), data={**msgspec.json.decode(encode_event(envelope()))["data"], "side": "HOLD"}),
        changed(
            envelope(), data={**msgspec.json.decode(encode_event(envelope()))["data"], "quantity": "ten"}
        ),
    ],
)
def test_what_is_no_event_is_undecodable(value: bytes) -> None:
    with pytest.raises(UndecodableRecordError):
        decode_event(value)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(value: bytes) -> None:
    for decode in (decode_event, decode_ticks):
        with pytest.raises((UndecodableRecordError, UnknownVersionError)):
            decode(value)


def test_the_error_names_the_event() -> None:
    with pytest.raises(UndecodableRecordError, match="event e1 of type 'ORDER_FILLED'"):
        decode_event(changed(envelope(), type=EventType.ORDER_FILLED))


# ------------------------------------------------------------------------------------------------- ticks


def batch(*ticks: Tick, **changes: Any) -> TickBatch:
    fields: dict[str, Any] = {"feed": "demo", "mode": FeedMode.REPLAY, "feed_epoch": 2, "ts": 9}
    return TickBatch(ticks=list(ticks), **(fields | changes))


def test_ticks_come_back_as_they_were() -> None:
    made = batch(
        Tick(1, 0.1 + 0.2, 5, 6),
        Tick(2, 2500.05, 7, 8, volume=3.0, bid=1.0, ask=2.0, open=3.0, high=4.0, low=5.0, source_ts=6),
    )
    assert decode_ticks(encode_ticks(made)) == made


def test_a_batch_without_ticks_is_a_heartbeat() -> None:
    assert decode_ticks(encode_ticks(batch())).ticks == []


def test_ticks_are_arrays_in_the_documented_order() -> None:
    """Field order is the wire format: append only."""
    wire = msgspec.msgpack.decode(encode_ticks(batch(Tick(1, 2.0, 3, 4, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11))))
    assert wire == ["demo", "replay", 2, 9, [[1, 2.0, 3, 4, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11]], VERSION]


def test_a_tick_with_more_columns_is_read_by_this_release() -> None:
    wire = ["demo", "live", 1, 9, [[1, 2.0, 3, 4, 0.0, None, None, None, None, None, None, "new"]], 1, "new"]
    assert decode_ticks(msgspec.msgpack.encode(wire)).ticks == [Tick(1, 2.0, 3, 4)]


def test_a_newer_version_of_ticks_is_unknown() -> None:
    with pytest.raises(UnknownVersionError):
        decode_ticks(encode_ticks(batch(version=VERSION + 1)))


@pytest.mark.parametrize(
    "value", [b"", b"{}", msgspec.msgpack.encode(["demo", "psychic", 1, 1, []]), b"\x96\xa1\xff"]
)
def test_what_are_no_ticks_is_undecodable(value: bytes) -> None:
    with pytest.raises(UndecodableRecordError):
        decode_ticks(value)


# ---------------------------------------------------------------------------------------------- payload hash


def test_the_hash_is_of_the_content() -> None:
    assert payload_hash(SIGNAL) == payload_hash(msgspec.structs.replace(SIGNAL))
    assert len(payload_hash(SIGNAL)) == 64


@pytest.mark.parametrize(
    "change",
    [
        {"quantity": D(11)},
        {"side": Side.SELL},
        {"limit_price": None},
        {"trigger_price": D(1)},
        {"expires_at": 1},
        {"instrument_token": 1},
        {"strategy_uid": "other"},
        {"closing": True},
        {"signal_id": "s2"},
    ],
)
def test_another_content_has_another_hash(change: dict[str, Any]) -> None:
    assert payload_hash(msgspec.structs.replace(SIGNAL, **change)) != payload_hash(SIGNAL)


def test_a_cancel_and_a_signal_never_share_a_hash() -> None:
    assert payload_hash(CANCEL) != payload_hash(SIGNAL)


def test_the_hash_survives_the_wire() -> None:
    back = decode_event(encode_event(envelope())).data
    assert isinstance(back, Signal)
    assert payload_hash(back) == payload_hash(SIGNAL)


def enveloped(payload: Any) -> bytes:
    return encode_event(
        Envelope(
            id="e",
            type=next(kind for kind, struct in PAYLOADS.items() if isinstance(payload, struct)),
            version=VERSION,
            ts=1,
            source="s",
            account="a",
            key="k",
            correlation_id="c",
            causation_id="",
            data=payload,
        )
    )


TEXTS = [
    *((SIGNAL, name, MAX_NAME) for name in ("signal_id", "strategy_id", "strategy_uid", "symbol")),
    *((CANCEL, name, MAX_NAME) for name in ("signal_id", "strategy_uid", "symbol", "order_signal_id")),
    (SIGNAL, "reason", MAX_REASON),
    (CANCEL, "reason", MAX_REASON),
]


class TestLongSignals:
    """What risk decides on it repeats: a signal that is too long could be decided on, and never told."""

    @pytest.mark.parametrize(("payload", "name", "most"), TEXTS)
    def test_a_text_of_a_signal_has_a_bound(
        self, payload: Signal | CancelRequest, name: str, most: int
    ) -> None:
        fits = msgspec.structs.replace(payload, **{name: "é" * most})
        assert decode_event(enveloped(fits)).data == fits
        with pytest.raises(UndecodableRecordError, match=f"{most + 1} .*at most {MAX_NAME} and {MAX_REASON}"):
            decode_event(enveloped(msgspec.structs.replace(payload, **{name: "x" * (most + 1)})))

    def test_so_has_the_whole_a_number_may_be_long_too(self) -> None:
        long = msgspec.structs.replace(SIGNAL, quantity=D("1" * MAX_SIGNAL_BYTES))
        with pytest.raises(UndecodableRecordError, match=f"at most {MAX_SIGNAL_BYTES} are taken"):
            decode_event(enveloped(long))

    @pytest.mark.parametrize("wrap", ["validated", "rejected"])
    def test_what_was_decided_before_can_still_be_read(self, wrap: str) -> None:
        long = msgspec.structs.replace(SIGNAL, reason="x" * 100_000)
        told = (
            validated(long)
            if wrap == "validated"
            else msgspec.structs.replace(REJECTED, original_signal=long)
        )
        assert decode_event(enveloped(told)).data == told

    @pytest.mark.parametrize("field", ["instrument_token", "expires_at"])
    @pytest.mark.parametrize("number", [2**63, -(2**63) - 1, 10**40])
    def test_a_whole_number_that_could_not_be_written_again_is_refused(self, field: str, number: int) -> None:
        text = enveloped(SIGNAL).replace(
            b'"%s":' % field.encode(), b'"%s":%d,"x":' % (field.encode(), number)
        )
        with pytest.raises(UndecodableRecordError, match=field):
            decode_event(text)

    @pytest.mark.parametrize("number", [2**63 - 1, -(2**63)])
    def test_the_greatest_and_the_least_whole_number_come_back(self, number: int) -> None:
        made = msgspec.structs.replace(SIGNAL, expires_at=number)
        assert decode_event(enveloped(made)).data == made
