from decimal import Decimal

from alpha_panda.contracts.codes import Code
from alpha_panda.contracts.enums import OrderStatus, OrderType, Side, Validity
from alpha_panda.contracts.events import CancelRequest, OrderUpdate, RejectedSignal
from alpha_panda.runtime.tracing import names
from unit.runtime.tracing.kit import SIGNAL, event, record, signal


def test_a_record_says_where_it_is_by_the_conventions() -> None:
    assert names.received(record(), "g") == {
        "messaging.destination.name": "paper.signals.raw",
        "messaging.destination.partition.id": "2",
        "messaging.kafka.offset": 33,
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.consumer.group.name": "g",
        "messaging.kafka.message.key": "alpha:7",
    }


def test_a_batch_says_how_many() -> None:
    assert "messaging.batch.message_count" not in names.sent("t")
    assert names.sent("t", 3)["messaging.batch.message_count"] == 3


def test_a_signal_is_told_in_our_own_words() -> None:
    assert names.told(event()) == {
        "messaging.message.id": event().id,
        "messaging.message.conversation_id": SIGNAL,
        "alphapanda.account": "paper",
        "alphapanda.signal_id": SIGNAL,
        "alphapanda.strategy": "alpha",
        "alphapanda.instrument": "NSE:A",
        "alphapanda.side": "BUY",
        "alphapanda.quantity": "2",
    }


def test_a_rejection_is_told_with_its_code() -> None:
    rejected = RejectedSignal(
        original_signal=signal(), code=Code.PRICE_STALE, message="secret?", decided_at=1
    )
    told = names.told(event(data=rejected))
    assert told["alphapanda.code"] == "PRICE_STALE"
    assert told["alphapanda.signal_id"] == SIGNAL
    assert "secret?" not in told.values()  # words may be a broker's


def test_an_order_is_told_with_what_became_of_it() -> None:
    update = OrderUpdate(
        signal_id=SIGNAL,
        order_id="ap1",
        strategy_id="alpha",
        instrument_token=7,
        symbol="NSE:A",
        side=Side.SELL,
        order_type=OrderType.MARKET,
        quantity=Decimal(2),
        validity=Validity.DAY,
        status=OrderStatus.FAILED,
        rank=int(OrderStatus.FAILED.rank),
        code=Code.BROKER_REJECTED,
        message="secret?",
    )
    told = names.of_order(update)
    assert told["alphapanda.outcome"] == "FAILED"
    assert told["alphapanda.code"] == "BROKER_REJECTED"
    assert told["alphapanda.order_id"] == "ap1"
    assert "secret?" not in told.values()


def test_a_cancel_request_has_no_side() -> None:
    request = CancelRequest(
        signal_id=SIGNAL,
        strategy_id="alpha",
        strategy_uid="u",
        instrument_token=7,
        symbol="NSE:A",
        order_signal_id="o",
    )
    assert "alphapanda.side" not in names.of_order(request)
